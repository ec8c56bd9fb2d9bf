//! `watchfire drill`: real processes of this same binary, real load, a fault, and the proof that nothing was lost.
//!
//! Constraints: a person who has never operated a cluster must understand what happened, what had to hold and whether it did; the nodes
//! are driven from outside, by signals and by their ports, so that what is rehearsed is what runs in production; a drill leaves
//! neither processes nor files behind, however it ends.
//!
//! Design: a drill is data ([`script`], [`table`]): steps, and times that must hold. [`stage`] plays it: it starts a
//! [`fleet`], lets [`traffic`] write and [`reader`]s read all the while, does one step after the other, and at the end asks every node for
//! every acknowledged row. [`report`] judges and tells. What a process cannot suffer from outside (a power cut, a full disk, a cut link, an
//! object store that fails, a clock that is off) the node does to itself when it was started with `serve --drill`; see [`crate::serve::drill`].
//!
//! Rejected: containers and network namespaces (they need root, and say less about which call failed), and faults at random (that is the
//! simulation's work; a rehearsal is repeated until it is boring).

mod control;
mod fleet;
mod limits;
mod progress;
mod reader;
mod report;
mod script;
mod stage;
mod table;
mod traffic;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Exit, Failure};
use crate::load::Output;
use crate::load::pace::Rate;
use progress::Progress;
use report::Summary;
use script::{Drill, Length};
use stage::Conditions;
use table::DRILLS;

const AFTER_HELP: &str = "\
Examples:
  watchfire drill --list                        what there is, and what must hold
  watchfire drill kill-one                      one drill, a quarter of a minute
  watchfire drill --length full --nodes 3       all of them on three nodes, as long as an operator would rehearse them";

/// Rehearse failures: start nodes of this binary, put load on them, break something, and prove that nothing was lost.
///
/// Everything happens on 127.0.0.1 and in one directory, which is removed afterwards. Without names all drills are run, one after the
/// other.
#[derive(Clone, Debug, Parser)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Drills, by name.
    pub names: Vec<String>,
    /// Say what drills there are, and what must hold in them.
    #[arg(long)]
    pub list: bool,
    /// Only with so many nodes [default: each drill with the numbers that it is for].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=3))]
    pub nodes: Option<u8>,
    /// Logs a second; metrics and traces come on top [default: 2MB/s in the short form, 10MB/s in the full one].
    #[arg(long, value_name = "RATE", value_parser = Rate::parse)]
    pub rate: Option<Rate>,
    /// Seconds for each drill, or as long as an operator would rehearse it.
    #[arg(long, value_enum, default_value = "short")]
    pub length: Length,
    /// Times that must hold are multiplied by this: for a machine that is slower than a server.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = slack)]
    pub slack: f64,
    /// Where nodes keep their data [default: a directory below the system's one for temporary files].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Object store that the nodes share, as in the setting `storage.url` [default: a directory]. Each drill uses a prefix of its own.
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Keep data, logs and journals for looking at.
    #[arg(long)]
    pub keep: bool,
    /// For people or for programs.
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
}

fn slack(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if (1.0..=100.0).contains(&v) => Ok(v),
        _ => Err(format!("{text:?} is not a factor: write a number from 1 to 100")),
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let drills = chosen(&args.names)?;
    if args.list {
        list(&drills);
        return Ok(Exit::Ok.into());
    }
    let short = args.length == Length::Short;
    let bytes_per_second = match args.rate {
        None => {
            if short {
                2e6
            } else {
                1e7
            }
        }
        Some(Rate::Bytes(n)) => n,
        Some(Rate::Rows(_)) => return Err(Failure::error(Exit::Usage, "--rate: write bytes a second, as in 10MB/s")),
    };
    let conditions = Conditions { length: args.length, bytes_per_second, slack: args.slack, store: args.store.clone(), keep: args.keep };
    let dir = args.dir.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("watchfire-drill-{}", std::process::id())));
    let stop = stop_on_signal()?;
    let mut progress = Progress::new(false);
    let mut done = Vec::new();
    for drill in drills {
        let sizes = if short { drill.nodes_short } else { drill.nodes };
        let asked = args.nodes.map(usize::from);
        let sizes = asked.map_or(sizes.to_vec(), |n| drill.nodes.iter().copied().filter(|size| *size == n).collect());
        for nodes in sizes {
            let place = dir.join(format!("{}-{nodes}", drill.name));
            let report = stage::play(drill, nodes, place, &conditions, &mut progress, &stop).with_context(|| drill.name)?;
            if args.output == Output::Text {
                println!("{report}");
            }
            done.push(report);
        }
    }
    remove_if_empty(&dir);
    if done.is_empty() {
        return Err(Failure::error(Exit::Usage, "none of these drills is for so many nodes: see watchfire drill --list"));
    }
    let summary = Summary { passed: done.iter().all(|r| r.passed), length: args.length, bytes_per_second, drills: done };
    match args.output {
        Output::Text => print!("{summary}"),
        Output::Json => println!("{}", serde_json::to_string(&summary)?),
    }
    Ok(if summary.passed { Exit::Ok } else { Exit::Mismatch }.into())
}

/// Drills by name, in the order of the table; all of them without names.
fn chosen(names: &[String]) -> Result<Vec<&'static Drill>> {
    if let Some(unknown) = names.iter().find(|n| DRILLS.iter().all(|d| d.name != **n)) {
        let known: Vec<&str> = DRILLS.iter().map(|d| d.name).collect();
        return Err(Failure::error(Exit::Usage, format!("there is no drill {unknown:?}; there are: {}", known.join(", "))));
    }
    Ok(DRILLS.iter().filter(|d| names.is_empty() || names.iter().any(|n| n == d.name)).collect())
}

fn list(drills: &[&Drill]) {
    for d in drills {
        let sizes: Vec<String> = d.nodes.iter().map(usize::to_string).collect();
        println!("{} (with {} nodes)\n  {}\n  {}", d.name, sizes.join(" and with "), d.story, d.must);
    }
    println!("In every drill: every write and every read comes through (a client goes on to the next node), no answer lacks a row");
    println!("without saying so, and afterwards every acknowledged row is there once, whichever node is asked.");
}

#[allow(clippy::disallowed_methods)] // the directory that this command made; what is in it was kept on purpose
fn remove_if_empty(dir: &std::path::Path) {
    let _ = std::fs::remove_dir(dir);
}

/// Set once Ctrl-C or SIGTERM has come: the drill then ends its nodes and removes what it made. The second one does not wait for that;
/// the nodes end with this process all the same.
fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let stopped = stop.clone();
    let wait = move || {
        runtime.block_on(async move {
            let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else { return };
            for _ in 0..2 {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if stopped.swap(true, Ordering::SeqCst) {
                    at_once();
                }
            }
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).context("starting a thread")?;
    Ok(stop)
}

#[allow(clippy::disallowed_methods)] // whoever sends the second signal does not want to wait
fn at_once() {
    std::process::exit(130);
}
