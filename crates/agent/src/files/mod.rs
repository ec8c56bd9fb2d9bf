//! The file source: follows the log files that patterns name.
//!
//! **A line is delivered once**, whatever happens to the file, the store or this process. The position of a file travels
//! in the batch with the lines before it, so there is nothing to keep in step. A batch that the store refuses for now is
//! given again as it is, so that it is the same rows if it was stored after all.
//!
//! **A file is known again** by device and inode, by the bytes it begins with, and by the bytes before the position: so a
//! file that was truncated and has grown past the position is not taken for the old one, nor is a new file with the
//! inode of a removed one. After a restart a file is also found again by path and content alone, because device numbers
//! change when a machine boots.
//!
//! **Rotation by renaming**: the old file is read on under its new name until it has been quiet for `rotated_wait`, the new
//! one from its start. If files were renamed more than once while nobody looked, the ones in between are found by name and
//! age. What was compressed meanwhile (`.gz`) is read on as what it was. **Rotation by copying and truncating**: what had not been
//! read before the truncation is read from the copy, which is found by its content; a copy that matches a pattern itself is not
//! read again. A file that is truncated twice, or is filled and truncated, between two looks is beyond what can be told from outside:
//! then lines may be lost unseen. Rotate by renaming where that matters.
//!
//! **First sight.** Files that exist when their pattern is in force for the first time are read from their end (`from:
//! end`) or their start (`from: start`). Files that appear later, also while Watchfire is down, are read from their start.
//!
//! Looking for files is a walk every `poll_interval`, not a subscription to changes: those are lost under load, and do not
//! exist on network and overlay file systems.

pub(crate) mod content;
mod discover;
pub mod glob;
pub mod lines;
pub mod position;
mod step;
pub(crate) mod tail;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Labels, LabelsBuilder, Result};
use serde::{Deserialize, Serialize};

use crate::deliver::Deliver;
use crate::runner::Pause;
use crate::stats::Stats;
use glob::Glob;
use position::{Position, Scope};
use tail::{FileId, Tail};

/// Where reading begins in files that exist when their pattern is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// After what is there: old lines would all get today's time.
    #[default]
    End,
    /// At the beginning.
    Start,
}

/// Which files are followed, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Patterns of absolute paths: `*`, `?`, `[a-z]`, `{a,b}`, and `**` for any number of directories.
    pub include: Vec<String>,
    /// Patterns of paths, or of names in any directory, that are left out. Compressed files always are.
    pub exclude: Vec<String>,
    /// The `job` label.
    pub job: String,
    /// Further labels of every line.
    pub labels: BTreeMap<String, String>,
    /// Where reading begins in files that exist when their pattern is new.
    pub from: From,
    /// How often files are looked at.
    #[serde(with = "crate::settings")]
    pub poll_interval: Duration,
    /// A renamed file is read until it has been quiet for so long; then its last line counts as whole.
    #[serde(with = "crate::settings")]
    pub rotated_wait: Duration,
    /// A longer line is cut, bytes; what is cut off is counted as lost.
    pub max_line_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            include: vec![],
            exclude: vec![],
            job: "files".into(),
            labels: BTreeMap::new(),
            from: From::End,
            poll_interval: Duration::from_secs(1),
            rotated_wait: Duration::from_secs(60),
            max_line_bytes: 256 << 10,
        }
    }
}

/// What a source needs beside its settings.
pub struct Context {
    /// Where lines go, and where positions come from.
    pub deliver: Arc<dyn Deliver>,
    /// The time of lines.
    pub clock: Clock,
    /// The `host` label.
    pub host: String,
    /// Files and directories that are never read: our own data and log. What standard output and standard error of this
    /// process lead to is never read anyway.
    pub never: Vec<PathBuf>,
    /// Where figures are counted.
    pub stats: Arc<Stats>,
}

/// What one [`Source::poll`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// Lines delivered.
    pub lines: u64,
    /// There is more to read at once.
    pub more: bool,
    /// The store asked to wait at least so long.
    pub wait: Option<Duration>,
}

/// Follows files. One thread calls [`Source::poll`] again and again.
pub struct Source {
    settings: Settings,
    include: Vec<Glob>,
    exclude: Vec<Glob>,
    context: Context,
    /// Names of positions begin with it.
    prefix: String,
    tails: BTreeMap<FileId, Tail>,
    /// Stored positions whose file has not been found yet: source, position.
    recovered: Vec<(String, Position)>,
    scope_known: Option<(Vec<Glob>, Vec<Glob>)>,
    scope_stored: Option<Scope>,
    /// Sources whose files are gone, to be forgotten by the store.
    forget: Vec<String>,
    own: HashSet<FileId>,
    first_look: bool,
    last_ns: i64,
    checked_ns: i64,
    said: HashMap<&'static str, bool>,
    labels: HashMap<String, Labels>,
}

impl Source {
    /// A source named `name`; positions are stored under that name, so it must stay the same from start to start and
    /// differ from that of other sources. Refuses patterns that are not valid.
    pub fn new(name: &str, settings: Settings, mut context: Context) -> Result<Source> {
        // Under their real names too: a pattern may lead round a link.
        context.never.extend(context.never.clone().iter().filter_map(|p| p.canonicalize().ok()));
        let (include, exclude) = (compile(&settings.include)?, compile(&settings.exclude)?);
        if let Some((_, text)) = include.iter().zip(&settings.include).find(|(g, _)| !g.is_absolute()) {
            return Err(base::Error::invalid(format!("path pattern {text:?} must begin with /")));
        }
        let prefix = format!("file/{name}/");
        let mut source = Source {
            include,
            exclude,
            prefix,
            tails: BTreeMap::new(),
            recovered: vec![],
            scope_known: None,
            scope_stored: None,
            forget: vec![],
            own: own_output(),
            first_look: true,
            last_ns: 0,
            checked_ns: context.clock.now_ns(),
            said: HashMap::new(),
            labels: HashMap::new(),
            settings,
            context,
        };
        source.labels_of("/")?;
        source.recover();
        Ok(source)
    }

    /// Takes the positions that the store recovered.
    fn recover(&mut self) {
        let scope_name = self.scope_name();
        for (name, bytes) in self.context.deliver.positions(&self.prefix) {
            if bytes.is_empty() {
                continue;
            }
            if name == scope_name {
                self.scope_stored = Scope::decode(&bytes);
            } else if let Some(p) = Position::decode(&bytes) {
                self.last_ns = self.last_ns.max(p.time_ns);
                self.recovered.push((name, p));
            } else {
                tracing::warn!(source = name, "stored position cannot be read, the file is treated as new");
            }
        }
        // Patterns that were valid when they were stored stay valid; if not, they are new again.
        self.scope_known = self.scope_stored.as_ref().and_then(|s| Some((compile(&s.include).ok()?, compile(&s.exclude).ok()?)));
    }

    fn scope_name(&self) -> String {
        format!("{}scope", self.prefix)
    }

    /// The stream of the file first seen at `path`.
    fn labels_of(&mut self, path: &str) -> Result<Labels> {
        if let Some(l) = self.labels.get(path) {
            return Ok(l.clone());
        }
        let mut b = LabelsBuilder::default();
        for (name, value) in &self.settings.labels {
            b.push(name, value);
        }
        for (name, value) in [("job", self.settings.job.as_str()), ("filename", path), ("host", self.context.host.as_str())] {
            if !b.contains(name) {
                b.push(name, value);
            }
        }
        let labels = b.finish()?;
        self.labels.insert(path.into(), labels.clone());
        Ok(labels)
    }

    /// One step: looks for files, reads what is new, delivers it.
    pub fn poll(&mut self) -> Polled {
        let now_ns = self.context.clock.now_ns();
        self.discover(now_ns);
        let polled = self.read_all(now_ns);
        self.count_files();
        polled
    }

    /// What a thread does between two steps.
    pub fn pause(&self, polled: Polled) -> Pause {
        match polled {
            Polled { wait: Some(d), .. } => Pause::Rest(d),
            Polled { more: true, .. } => Pause::None,
            _ => Pause::Beat(self.settings.poll_interval),
        }
    }
}

fn compile(patterns: &[String]) -> Result<Vec<Glob>> {
    patterns.iter().map(|p| Glob::new(p)).collect()
}

/// The files that this process writes its own log to.
fn own_output() -> HashSet<FileId> {
    ["/proc/self/fd/1", "/proc/self/fd/2"]
        .iter()
        .filter_map(|p| std::fs::metadata(p).ok())
        .filter(|m| m.is_file())
        .map(|m| FileId::of(&m))
        .collect()
}

#[cfg(test)]
mod property;
#[cfg(test)]
#[allow(clippy::disallowed_methods)] // they play the programs that write the files we read
mod tests;
