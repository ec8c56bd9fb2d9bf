//! Load and readers of a drill, and the proof afterwards.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Parser;

use super::limits::{CLIENT_TIMEOUT, CONNECTIONS, PROVERS, READ_PATIENCE, READ_TIMEOUT, READERS, VERIFY_TIMEOUT, WRITE_PATIENCE};
use super::reader::{Met, Reader, Watch};
use crate::load::client::{Client, Targets};
use crate::load::journal::Journal;
use crate::load::pace::Rate;
use crate::load::rows::Run;
use crate::load::send::{Report, Sender};
use crate::load::verify::{self, Verified};
use crate::load::{Args, Signal};

const SIGNALS: [Signal; 3] = [Signal::Logs, Signal::Metrics, Signal::Traces];

/// Everything that clients do.
pub struct Traffic {
    targets: Arc<Targets>,
    watch: Arc<Watch>,
    writers: Vec<(Arc<Sender>, JoinHandle<Result<Report>>)>,
    readers: Vec<JoinHandle<Result<()>>>,
}

/// What clients met, and what they wrote.
pub struct Outcome {
    /// Of each signal.
    pub written: Vec<(Signal, Arc<Journal>, Report)>,
    /// Of the readers.
    pub met: Met,
}

impl Traffic {
    /// Begins to write and to read: logs at this many bytes a second, and metrics and traces in proportion.
    pub fn start(urls: Vec<String>, bytes_per_second: f64, dir: &Path, seed: u64) -> Result<Traffic> {
        let (targets, watch) = (Targets::new(urls), Watch::new());
        let mut t = Traffic { targets: targets.clone(), watch: watch.clone(), writers: vec![], readers: vec![] };
        let mut written = Vec::new();
        for signal in SIGNALS {
            let args = arguments(signal, bytes_per_second, seed)?;
            let path = dir.join(format!("{}.journal", word(signal)));
            let journal = Arc::new(Journal::create(Run::new(&args, &base::Clock::System)?, Some(&path))?);
            written.push((Args { timeout: READ_TIMEOUT, retry_for: READ_PATIENCE, ..args.clone() }, journal.clone()));
            let sender = Arc::new(Sender::new(args, journal, targets.clone()));
            let running = sender.clone();
            let thread = std::thread::Builder::new().name(format!("load-{}", word(signal))).spawn(move || running.run())?;
            t.writers.push((sender, thread));
        }
        for n in 0..READERS {
            let reader = Reader { watch: watch.clone(), written: written.clone(), targets: targets.clone(), seed: seed + n as u64 };
            t.readers.push(std::thread::Builder::new().name(format!("read-{n}")).spawn(move || reader.run())?);
        }
        Ok(t)
    }

    /// The nodes, as clients know them.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The readers.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Rows acknowledged so far.
    pub fn acknowledged_rows(&self) -> u64 {
        self.writers.iter().map(|(sender, _)| sender.acknowledged_rows()).sum()
    }

    /// Ends the load once every request that was begun is answered or given up, then the readers.
    pub fn finish(mut self, tick: &mut dyn FnMut() -> Result<()>) -> Result<Outcome> {
        self.writers.iter().for_each(|(sender, _)| sender.stop());
        while self.writers.iter().any(|(_, thread)| !thread.is_finished()) {
            tick()?;
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut written = Vec::new();
        for (sender, thread) in std::mem::take(&mut self.writers) {
            let report = join(thread).context("the load")?;
            written.push((sender.journal().run().signal, sender.journal().clone(), report));
        }
        self.watch.stop();
        let met = self.watch.met();
        for thread in std::mem::take(&mut self.readers) {
            join(thread).context("a reader")?;
        }
        Ok(Outcome { written, met })
    }
}

impl Drop for Traffic {
    /// Threads that are left end soon, each after the request it is at.
    fn drop(&mut self) {
        self.writers.iter().for_each(|(sender, _)| sender.abort());
        self.watch.stop();
    }
}

fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread ended by a bug of ours"))?
}

fn word(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "logs",
        Signal::Metrics => "metrics",
        Signal::Traces => "traces",
    }
}

/// The load of one signal, as its command line describes it. Requests are small, so that many of them meet the fault.
fn arguments(signal: Signal, bytes_per_second: f64, seed: u64) -> Result<Args> {
    let args = Args::try_parse_from(["load", word(signal), "--series", "1000"])?;
    let (rate, batch_rows, series) = match signal {
        Signal::Logs => (Rate::Bytes(bytes_per_second), 500, 100),
        Signal::Metrics => (Rate::Rows(bytes_per_second / 500.0), 500, 1000),
        Signal::Traces => (Rate::Rows(bytes_per_second / 50_000.0), 10, 12),
    };
    Ok(Args {
        rate: Some(rate),
        batch_rows: Some(batch_rows),
        series: Some(series),
        seed,
        // It ends when the script does.
        duration: Duration::from_secs(24 * 3600),
        connections: CONNECTIONS,
        timeout: CLIENT_TIMEOUT,
        retry_for: WRITE_PATIENCE,
        ..args
    })
}

/// Asks one node for every row that was acknowledged, all signals at once.
pub fn verify(url: &str, written: &[(Signal, Arc<Journal>, Report)]) -> Result<Vec<(Signal, Verified)>> {
    std::thread::scope(|scope| {
        let ask = |signal: Signal, journal: Arc<Journal>| -> Result<(Signal, Verified)> {
            let args = Args { timeout: VERIFY_TIMEOUT, retry_for: VERIFY_TIMEOUT, ..arguments(signal, 1e6, 0)? };
            let client = |_| Client::new(&args, Targets::new([url.to_owned()]), 0);
            let clients = (0..PROVERS).map(client).collect::<Result<Vec<_>>>()?;
            Ok((signal, verify::verify(clients, &journal)?))
        };
        let begin = |(signal, journal, _): &(Signal, Arc<Journal>, Report)| {
            let (signal, journal) = (*signal, journal.clone());
            std::thread::Builder::new().name(format!("verify-{}", word(signal))).spawn_scoped(scope, move || ask(signal, journal))
        };
        let threads = written.iter().map(begin).collect::<std::io::Result<Vec<_>>>()?;
        threads.into_iter().map(|t| t.join().map_err(|_| anyhow!("a thread ended by a bug of ours"))?).collect()
    })
}
