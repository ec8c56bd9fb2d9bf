//! `watchfire load`: writes rows it can find again, measures how long acknowledgement takes, and proves afterwards that
//! every acknowledged row is in the store exactly once.
//!
//! Constraints: it knows the store only by its protocols, as any client does, so it works against any server that
//! speaks them; it must be cheaper than the server it loads; whatever it sends can be made again from a few numbers, or
//! a run of a hundred million rows could not be verified.
//!
//! Design: a run is a [`rows::Run`] (seed, start, series, tenants ...). Batch number `b` at time `t` is a pure function of
//! the run, `b` and `t`, and every row carries its sequence number. Connections take batch numbers from one counter,
//! send the body until it is acknowledged or refused for good, and note each acknowledged `(b, t)` in the [`journal`]. The
//! journal outlives the server and the generator; [`verify`] reads everything the run wrote back through the query
//! APIs, counts each sequence number, and compares.
//!
//! Rejected: remembering a hash per row (memory grows with the run), counting rows with a query (finds how many, not
//! which), and a random body per attempt (a retry after a lost answer must be the same rows).

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};

pub mod client;
mod histogram;
pub mod journal;
mod limits;
pub mod pace;
mod proto;
pub mod rng;
pub mod rows;
pub mod send;
pub mod verify;

use client::{Client, Targets};
use journal::Journal;
use rows::Run;
use send::Sender;

use crate::exit::Exit;

/// Which of the three tables to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Log lines, by Loki push (protobuf, snappy).
    Logs,
    /// Samples, by Prometheus remote write 1.0.
    Metrics,
    /// Spans, by OTLP over HTTP (protobuf).
    Traces,
}

/// How the figures are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Write rows that can be found again; measure; verify.
///
/// The same seed, start and rate give the same rows. With --journal and --verify on a file that exists nothing is
/// written: the run the journal tells of is verified, for example after the server was killed and started again.
#[derive(Clone, Debug, Parser)]
pub struct Args {
    /// What to write.
    #[arg(value_enum)]
    pub signal: Signal,
    /// The server. Given several times: nodes of one cluster; on a failure or timeout the next one is tried.
    #[arg(long, default_value = "http://127.0.0.1:3100", value_name = "URL")]
    pub addr: Vec<String>,
    /// How long one request may take.
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = duration)]
    pub timeout: Duration,
    /// Open loop: 10MB/s of raw rows, or a number of rows (5000/s). Without it, as fast as answers come.
    #[arg(long, value_name = "RATE", value_parser = pace::Rate::parse)]
    pub rate: Option<pace::Rate>,
    /// How long to write.
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = duration)]
    pub duration: Duration,
    /// Stop after so many rows, if that comes first.
    #[arg(long, value_name = "N")]
    pub rows: Option<u64>,
    /// Decides every row.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Streams or series over all tenants [default: 50 streams, 10000 metric series, 12 services].
    #[arg(long, visible_alias = "streams", value_name = "N")]
    pub series: Option<u64>,
    /// Tenants; with 1 no tenant is named.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub tenants: u64,
    /// Share of rows that are late, by up to six hours (0 to 1).
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub late: f64,
    /// Rows in one request [default: 4000 lines, 2000 samples, 1000 spans].
    #[arg(long, value_name = "N")]
    pub batch_rows: Option<u64>,
    /// Spans of one trace; a trace comes whole, in one request.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub trace_spans: u64,
    /// Begin at this time instead of now (seconds since 1970), and let batches lie --step apart: the same bytes each time.
    #[arg(long, value_name = "SECONDS")]
    pub start: Option<i64>,
    /// Time from batch to batch, with --start.
    #[arg(long, default_value = "2ms", value_name = "DURATION", value_parser = duration, requires = "start")]
    pub step: Duration,
    /// Connections, each with one request in flight.
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub connections: usize,
    /// How long a request is tried again before the run gives up on it.
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = duration)]
    pub retry_for: Duration,
    /// File that holds the bearer token; without it WATCHFIRE_TOKEN of the environment is used, if set.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Note every acknowledged request in this file.
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// Ask for every acknowledged row afterwards. Exit code 6 if one is missing, doubled or altered.
    #[arg(long)]
    pub verify: bool,
    /// Figures for people or for programs.
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

/// A duration of a command line.
pub fn duration(text: &str) -> Result<Duration, String> {
    let ns = base::units::parse_duration_ns(text).map_err(|e| e.to_string())?;
    u64::try_from(ns).map(Duration::from_nanos).map_err(|_| "a duration cannot be negative".into())
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if (0.0..=1.0).contains(&v) => Ok(v),
        _ => Err(format!("{text:?} is not a share: write a number from 0 to 1, for example 0.05")),
    }
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let existing = args.journal.as_deref().filter(|p| p.exists());
    let targets = Targets::new(args.addr.iter().cloned());
    let (journal, sent) = match (existing, args.verify) {
        (Some(path), true) => (Arc::new(Journal::read(path)?), None),
        (Some(path), false) => {
            bail!("{} exists: remove it to write a new run, or add --verify to check the run it tells of", path.display())
        }
        (None, _) => {
            let run = Run::new(&args, &base::Clock::System)?;
            let journal = Arc::new(Journal::create(run, args.journal.as_deref())?);
            let report = Sender::new(args.clone(), journal.clone(), targets.clone()).run().context("loading")?;
            (journal, Some(report))
        }
    };
    let signal = journal.run().signal;
    anyhow::ensure!(signal == args.signal, "the journal tells of {signal:?}, not of {:?}", args.signal);
    let clients = || (0..args.connections).map(|n| Client::new(&args, targets.clone(), n)).collect::<anyhow::Result<Vec<_>>>();
    let verified = if args.verify { Some(verify::verify(clients()?, &journal)?) } else { None };
    match args.output {
        Output::Text => {
            sent.iter().for_each(|r| print!("{r}"));
            verified.iter().for_each(|v| print!("{v}"));
        }
        Output::Json => println!("{}", serde_json::json!({ "run": journal.run(), "load": sent, "verify": verified })),
    }
    Ok(match (sent, verified) {
        (_, Some(v)) if !v.good() => Exit::Mismatch,
        (Some(r), _) if r.refused_requests > 0 => Exit::Refused,
        _ => Exit::Ok,
    }
    .into())
}

#[cfg(test)]
mod tests;
