//! The Docker source: the lines of all containers of one Engine.
//!
//! **A line is delivered once**, whatever happens to the container, the Engine, the store or this process, as long as
//! Docker still has it. The position of a container travels in the batch with the lines before it, is bound to the
//! container's id and to the file it is in, and is kept until the container is removed, not merely stopped. A batch that
//! the store refuses for now is given again as it is. Where Docker no longer has a line, the loss is stated: between which
//! times, and why.
//!
//! **Files first.** The json-file log of a container is read from disk, through all the files that Docker rotates it into,
//! compressed ones too ([`chain`]). Where that is not possible (the `local` and `journald` drivers, no permission, Docker on
//! another host) the log comes through the Engine ([`follow`]), which rereads and decodes it at its own cost and hides what was
//! rotated away. A driver that the Engine itself cannot read from is said once, and counted.
//!
//! **Finding containers** is looking at the list of all of them, the stopped ones included, every `list_interval`, so that
//! nothing depends on having been told. Events only tell sooner, which matters for containers that are removed when they
//! stop ([`watch`]). A container that is removed before its log file could be opened is beyond reach.
//!
//! **Times** are Docker's own. Two messages of one output with the same time get times one nanosecond apart, derived from
//! the log and the position alone, so that a line that is read again is the same row.
//!
//! Rejected: `follow` through the Engine for all (what Docker has rotated away is invisible, whole seconds and no file
//! identity, twice the CPU); subscriptions to file changes (lost under load); a thread for each container.

pub mod chain;
pub mod client;
mod discover;
pub mod engine;
pub mod entry;
pub mod follow;
pub mod frames;
mod generation;
pub mod http;
pub mod join;
pub mod labels;
pub mod position;
mod step;
mod watch;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Labels, Result};
use serde::{Deserialize, Serialize};

use crate::deliver::{Deliver, Lines};
use crate::runner::{Pause, Runner};
use crate::stats::Stats;
use chain::{Chain, Gap};
use client::{Address, Client};
use engine::Listed;
use entry::Pipe;
use follow::Follow;
use join::Skip;
use position::Position;
use watch::{Notes, Watch};

pub use crate::files::Polled;
pub use labels::{Meta, Relabel};

/// Which containers are followed, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the Engine listens: `unix:///var/run/docker.sock` or `tcp://host:port`.
    pub endpoint: String,
    /// Names of containers that are followed, `*` and `?` allowed. All are if this and `include_labels` are empty.
    pub include_names: Vec<String>,
    /// Labels of containers that are followed: `name`, or `name=value` with `*` and `?` in the value.
    pub include_labels: Vec<String>,
    /// Names of containers that are not followed.
    pub exclude_names: Vec<String>,
    /// Labels of containers that are not followed.
    pub exclude_labels: Vec<String>,
    /// The `job` label.
    pub job: String,
    /// Further labels of every line.
    pub labels: BTreeMap<String, String>,
    /// Where the Engine's directory `containers` is seen from here; empty for where the Engine says it is.
    pub containers_dir: String,
    /// How often logs are looked at.
    #[serde(with = "crate::settings")]
    pub poll_interval: Duration,
    /// How often the list of containers is looked at, beside when one starts or dies.
    #[serde(with = "crate::settings")]
    pub list_interval: Duration,
    /// How long the Engine may take to answer.
    #[serde(with = "crate::settings")]
    pub timeout: Duration,
    /// A longer line is cut, bytes; what is cut off is counted as lost.
    pub max_line_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            endpoint: "unix:///var/run/docker.sock".into(),
            include_names: vec![],
            include_labels: vec![],
            exclude_names: vec![],
            exclude_labels: vec![],
            job: "docker".into(),
            labels: BTreeMap::new(),
            containers_dir: String::new(),
            poll_interval: Duration::from_millis(500),
            list_interval: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            max_line_bytes: 256 << 10,
        }
    }
}

/// What a source needs beside its settings.
#[derive(Clone)]
pub struct Context {
    /// Where lines go, and where positions come from.
    pub deliver: Arc<dyn Deliver>,
    /// When things are noticed; lines have Docker's time.
    pub clock: Clock,
    /// The `host` label.
    pub host: String,
    /// Makes other labels of the meta labels, if there is such a rule.
    pub relabel: Option<Relabel>,
    /// Where figures are counted.
    pub stats: Arc<Stats>,
}

/// Follows the containers of one Engine. One thread calls [`Source::poll`] again and again.
pub struct Source {
    settings: Settings,
    context: Context,
    client: Client,
    /// Names of positions begin with it.
    prefix: String,
    containers: BTreeMap<String, Container>,
    /// Stored positions whose container has not been seen yet, by id.
    recovered: HashMap<String, Position>,
    /// Containers that were made since then should have been read from their first line, nanoseconds since 1970.
    since_ns: i64,
    /// Positions to be forgotten by the store.
    forget: Vec<String>,
    /// Containers that are gone, the last ones.
    forgotten: VecDeque<String>,
    notes: Notes,
    /// When the list was last looked at, on the clock that never jumps.
    listed_ns: Option<i64>,
    /// Nothing is given to the store before then, on the clock that never jumps.
    refused_until_ns: i64,
    /// The Engine did not answer, which was said.
    is_deaf: bool,
    /// Listens to events; none in tests that note them themselves.
    _watch: Option<Runner>,
}

/// A container that is followed.
struct Container {
    listed: Listed,
    /// The labels of its two outputs; none for one that relabelling leaves out.
    streams: [Option<Labels>; 2],
    reader: Reader,
    position: Position,
    /// A batch that the store has not taken yet. Nothing is read while there is one.
    waiting: Option<Lines>,
    /// Lines are missing before the next one.
    gap: Option<Gap>,
    /// What was taken before the files were read, by output.
    skip: [Option<Skip>; 2],
    /// It has stopped, and was read to its end since. What was stored about that may be older than its last run.
    is_complete: bool,
    /// Nothing of it was read before, though it should have been: what Docker has rotated away is a loss.
    is_expected_whole: bool,
    /// It is not in the list any more.
    is_gone: bool,
    /// Its files stay open: they vanish when it stops.
    is_removed_at_end: bool,
    /// When its last line came, on the clock that never jumps.
    active_ns: i64,
    /// That it cannot be read was said.
    complained: bool,
    is_unreadable: bool,
}

/// How a container is read.
enum Reader {
    /// It was never started, or has not been asked about.
    Unknown,
    /// From its json-file log.
    Disk(Box<Chain>),
    /// Through the Engine.
    Api(Box<Follow>),
    /// Not at all.
    Hopeless,
}

impl Source {
    /// A source named `name`; positions are stored under that name, so it must stay the same from start to start and
    /// differ from that of other sources. Refuses an endpoint that is not valid. The Engine need not run.
    pub fn new(name: &str, settings: Settings, context: Context) -> Result<Source> {
        let mut source = Source::without_events(name, settings, context)?;
        let dir = Some(&source.settings.containers_dir).filter(|d| !d.is_empty()).map(PathBuf::from);
        let mut watch = Watch::new(source.client.clone(), dir, source.notes.clone());
        source._watch = Some(Runner::start("docker-events", move || watch.step())?);
        Ok(source)
    }

    fn without_events(name: &str, settings: Settings, context: Context) -> Result<Source> {
        let client = Client::new(Address::parse(&settings.endpoint)?, settings.timeout);
        // Labels that no container could have are found out now.
        labels::default(&Listed::default(), Pipe::Stdout, &settings, &context.host)?;
        let mut source = Source {
            prefix: format!("docker/{name}/"),
            client,
            containers: BTreeMap::new(),
            recovered: HashMap::new(),
            since_ns: 0,
            forget: vec![],
            forgotten: VecDeque::new(),
            notes: Notes::default(),
            listed_ns: None,
            refused_until_ns: 0,
            is_deaf: false,
            _watch: None,
            settings,
            context,
        };
        source.recover();
        Ok(source)
    }

    /// Takes the positions that the store recovered.
    fn recover(&mut self) {
        for (name, bytes) in self.context.deliver.positions(&self.prefix) {
            let Some(id) = name.strip_prefix(&self.prefix).filter(|_| !bytes.is_empty()) else { continue };
            match Position::decode(&bytes) {
                Some(p) => {
                    self.recovered.insert(id.to_owned(), p);
                }
                None => tracing::warn!(source = name, "stored position cannot be read, the container is read from its start"),
            }
        }
        // What Docker had rotated away before anybody was told to read it is no loss.
        if self.recovered.is_empty() {
            self.since_ns = self.context.clock.now_ns();
        }
    }

    /// One step: looks for containers, reads what is new, delivers it.
    pub fn poll(&mut self) -> Polled {
        let now_ns = self.context.clock.now_ns();
        self.discover(now_ns);
        let polled = self.read_all(now_ns);
        self.count();
        polled
    }

    /// What a thread does between two steps.
    pub fn pause(&self, polled: Polled) -> Pause {
        match polled {
            // Logs are looked at meanwhile: Docker goes on rotating them.
            Polled { wait: Some(d), .. } => Pause::Rest(d.min(self.settings.poll_interval)),
            Polled { more: true, .. } => Pause::None,
            _ => Pause::Beat(self.settings.poll_interval),
        }
    }
}

#[cfg(test)]
mod property;
#[cfg(test)]
#[allow(clippy::disallowed_methods)] // they play the Engine that writes the files we read
mod tests;
