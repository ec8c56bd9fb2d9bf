//! The journal source: what systemd's journal holds, read through `journalctl -o export -f`.
//!
//! **A line is delivered once.** The cursor of the last entry travels in the batch with the lines before it; after a restart,
//! of this process or of journalctl, reading goes on after it. A batch that is refused for now is given again as it is, and
//! nothing is read meanwhile: journalctl waits, and what the journal itself throws away is its own affair (`SystemMaxUse`).
//!
//! **First sight**: from the end, or from the start (`from: start`).
//!
//! Labels: `job`, `host`, `unit`, `app` (the identifier), `level`; rules see `__journal_*`, each field in lower case, as
//! Promtail names them, and `__journal_priority_keyword`. The process is metadata.
//!
//! Through journalctl and not by its files: their format is systemd's to change, and it reads them all, old, compact and
//! compressed ones.

mod export;

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::time::Duration;

use base::{Clock, Error, Labels};

use crate::deliver::{Batch, Deliver, Line, Lines, Loss, Stream, retryable};
use crate::files::From;
use crate::label_set::LabelSet;
use crate::limits;
use crate::relabel::{Rule, apply_to, drop_internal};
use crate::runner::Pause;
use crate::stats::{self, Stats};
use crate::syslog::message::SEVERITIES;
use export::{Entry, Reader};

/// A step waits so long for entries.
const WAIT: Duration = Duration::from_millis(250);
/// A journalctl that has ended is started again after so long.
const AGAIN: Duration = Duration::from_secs(5);
/// Waited when the spool does not say for how long.
const REFUSED_WAIT: Duration = Duration::from_secs(1);

/// What is read, and what lines are labelled with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The directory of the journal; none for the system's.
    pub directory: Option<String>,
    /// Where reading begins when nothing has been read yet.
    pub from: From,
    /// The `job` label.
    pub job: String,
    /// Further labels of every line.
    pub labels: BTreeMap<String, String>,
    /// Rules over the labels of a stream and `__journal_*`.
    pub relabel: Vec<Rule>,
}

/// What a source needs beside its settings.
pub struct Context {
    /// Where lines go, and where the position comes from.
    pub deliver: Arc<dyn Deliver>,
    /// The time of losses.
    pub clock: Clock,
    /// The `host` label of entries that name none.
    pub host: String,
    /// Where figures are counted.
    pub stats: Arc<Stats>,
    /// Begins to read after a cursor, or where the settings say.
    pub open: Open,
}

/// Begins to read after a cursor.
pub type Open = Box<dyn FnMut(&Settings, Option<&str>) -> std::io::Result<Feed> + Send>;

/// Bytes of an export, as they come. They end when journalctl does.
pub struct Feed {
    pieces: Receiver<Vec<u8>>,
    child: Option<Child>,
}

impl Feed {
    /// Bytes from somewhere else.
    pub fn of(pieces: Receiver<Vec<u8>>) -> Feed {
        Feed { pieces, child: None }
    }

    /// Starts journalctl.
    pub fn journalctl(settings: &Settings, cursor: Option<&str>) -> std::io::Result<Feed> {
        let mut command = Command::new("journalctl");
        command.args(arguments(settings, cursor)).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take();
        let (sender, pieces) = sync_channel(limits::JOURNAL_PIECES);
        let feed = Feed { pieces, child: Some(child) };
        let read = move || {
            let Some(mut stdout) = stdout else { return };
            let mut buffer = vec![0; limits::SOCKET_BYTES];
            while let Ok(n @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("journal-read".into()).spawn(read)?;
        Ok(feed)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already; either way it is waited for, so that it does not stay as a zombie.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// What journalctl is called with.
fn arguments(settings: &Settings, cursor: Option<&str>) -> Vec<String> {
    let mut out: Vec<String> = ["--output=export", "--follow", "--quiet", "--no-pager", "--all"].map(str::to_owned).into();
    out.extend(settings.directory.as_ref().map(|d| format!("--directory={d}")));
    out.push(match (cursor, settings.from) {
        (None, From::End) => "--lines=0".into(),
        _ => "--lines=all".into(),
    });
    out.extend(cursor.map(|c| format!("--after-cursor={c}")));
    out
}

/// Reads the journal. One thread calls [`Source::poll`] again and again.
pub struct Source {
    settings: Settings,
    context: Context,
    name: String,
    feed: Option<Feed>,
    reader: Reader,
    /// After the last entry that was delivered or is waiting.
    cursor: Option<String>,
    waiting: Option<Lines>,
    /// The last microsecond and how many entries it had, so that equal lines of it stay different rows.
    last: (i64, i64),
}

impl Source {
    /// A source named `name`, which goes on where it was.
    pub fn new(name: &str, settings: Settings, context: Context) -> Source {
        let name = format!("journal/{name}");
        let stored = context.deliver.positions(&name).into_iter().find(|(n, _)| *n == name);
        let cursor = stored.and_then(|(_, p)| String::from_utf8(p).ok()).filter(|c| !c.is_empty());
        Source { settings, context, name, feed: None, reader: Reader::default(), cursor, waiting: None, last: (0, 0) }
    }

    /// One step: reads what is there and delivers it.
    pub fn poll(&mut self) -> Pause {
        if let Err(wait) = self.offer() {
            return Pause::Rest(wait);
        }
        if self.feed.is_none() {
            match (self.context.open)(&self.settings, self.cursor.as_deref()) {
                Ok(feed) => (self.feed, self.reader) = (Some(feed), Reader::default()),
                Err(e) => {
                    tracing::warn!(source = self.name, error = %e, "journalctl cannot be started, it is tried again");
                    return Pause::Rest(AGAIN);
                }
            }
        }
        let (entries, has_ended) = self.read();
        let cut = self.reader.take_cut();
        if cut > 0 {
            self.lose("line_too_long", 0, cut, (None, None));
        }
        if !entries.is_empty() {
            self.batch(entries);
            if let Err(wait) = self.offer() {
                return Pause::Rest(wait);
            }
        }
        if has_ended {
            tracing::warn!(source = self.name, "journalctl has ended, it is started again");
            self.feed = None;
            return Pause::Rest(AGAIN);
        }
        Pause::None
    }

    /// Entries that are there, and whether there will be no more from this feed.
    fn read(&mut self) -> (Vec<Entry>, bool) {
        let Some(feed) = &self.feed else { return (vec![], true) };
        let mut entries = vec![];
        let mut piece = match feed.pieces.recv_timeout(WAIT) {
            Ok(piece) => piece,
            Err(RecvTimeoutError::Timeout) => return (entries, false),
            Err(RecvTimeoutError::Disconnected) => return (entries, true),
        };
        for _ in 0..limits::JOURNAL_PIECES {
            match self.reader.push(&piece) {
                Ok(read) => entries.extend(read),
                Err(export::Damaged) => {
                    tracing::error!(source = self.name, "what journalctl writes cannot be read, it is started again");
                    return (entries, true);
                }
            }
            piece = match feed.pieces.try_recv() {
                Ok(piece) => piece,
                Err(TryRecvError::Empty) => return (entries, false),
                Err(TryRecvError::Disconnected) => return (entries, true),
            };
        }
        // The piece at hand is not lost.
        match self.reader.push(&piece) {
            Ok(read) => entries.extend(read),
            Err(export::Damaged) => return (entries, true),
        }
        (entries, false)
    }

    fn batch(&mut self, entries: Vec<Entry>) {
        let mut streams: Vec<Stream> = vec![];
        let mut index: HashMap<Labels, usize> = HashMap::new();
        for e in entries {
            if let Some(cursor) = e.get("__CURSOR") {
                self.cursor = Some(String::from_utf8_lossy(cursor).into_owned());
            }
            let Some(time_ns) = self.time_ns(&e) else { continue };
            let Some(message) = e.get("MESSAGE") else { continue };
            let text = String::from_utf8_lossy(message);
            if matches!(text, std::borrow::Cow::Owned(_)) {
                self.context.stats.repaired.add(&["journal"], 1);
            }
            let Some(labels) = self.labels(&e) else { continue };
            let i = *index.entry(labels.clone()).or_insert_with(|| {
                streams.push(Stream { tenant: None, labels, lines: vec![] });
                streams.len() - 1
            });
            let metadata = e.get("_PID").map(|p| ("pid".to_owned(), String::from_utf8_lossy(p).into_owned()));
            streams[i].lines.push(Line { time_ns, text: text.into_owned(), metadata: metadata.into_iter().collect() });
        }
        let Some(cursor) = &self.cursor else { return };
        self.waiting = Some(Lines { streams, source: self.name.clone(), position: cursor.clone().into_bytes() });
    }

    /// The time of an entry: the journal's microsecond, and its place in it.
    fn time_ns(&mut self, e: &Entry) -> Option<i64> {
        let time_us: i64 = std::str::from_utf8(e.get("__REALTIME_TIMESTAMP")?).ok()?.parse().ok()?;
        let place = if self.last.0 == time_us { (self.last.1 + 1).min(999) } else { 0 };
        self.last = (time_us, place);
        Some(time_us.saturating_mul(1000).saturating_add(place))
    }

    /// Gives the waiting batch, if there is one; an error says how long to wait before it is given again.
    fn offer(&mut self) -> std::result::Result<(), Duration> {
        let Some(batch) = self.waiting.take() else { return Ok(()) };
        match self.context.deliver.deliver(Batch::Lines(&batch)) {
            Ok(()) => stats::add(&self.context.stats.lines, batch.count()),
            Err(e) if retryable(&e) => {
                self.context.stats.deferred.add(&[&format!("{:?}", e.kind()).to_lowercase()], 1);
                self.waiting = Some(batch);
                return Err(e.retry_hint().unwrap_or(REFUSED_WAIT));
            }
            Err(e) => self.refused(&batch, &e),
        }
        Ok(())
    }

    fn refused(&self, batch: &Lines, e: &Error) {
        tracing::error!(source = self.name, error = %e, lines = batch.count(), "lines refused for good");
        let all = || batch.streams.iter().flat_map(|s| &s.lines);
        let (lines, bytes) = (batch.count(), all().map(|l| l.text.len() as u64).sum());
        self.lose("refused", lines, bytes, (all().map(|l| l.time_ns).min(), all().map(|l| l.time_ns).max()));
    }

    fn lose(&self, reason: &'static str, lines: u64, bytes: u64, (first_ns, last_ns): (Option<i64>, Option<i64>)) {
        self.context.stats.lost_lines.add(&[reason], lines);
        self.context.stats.lost_bytes.add(&[reason], bytes);
        let (source, time_ns) = (self.name.clone(), self.context.clock.now_ns());
        self.context.deliver.lost(&Loss { source, reason, lines, bytes, time_ns, first_ns, last_ns });
    }

    /// The labels of an entry after the rules; none if they drop it.
    fn labels(&self, e: &Entry) -> Option<Labels> {
        let field = |name: &str| e.get(name).map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default();
        let level = field("PRIORITY").parse::<usize>().ok().and_then(|p| SEVERITIES.get(p)).copied().unwrap_or("");
        let host = Some(field("_HOSTNAME")).filter(|h| !h.is_empty()).unwrap_or_else(|| self.context.host.clone());
        let mut set = LabelSet::default();
        for (name, value) in [
            ("job", self.settings.job.as_str()),
            ("host", host.as_str()),
            ("unit", field("_SYSTEMD_UNIT").as_str()),
            ("app", field("SYSLOG_IDENTIFIER").as_str()),
            ("level", level),
        ] {
            set.set(name, value);
        }
        self.settings.labels.iter().for_each(|(n, v)| set.set(n, v));
        if !self.settings.relabel.is_empty() {
            for name in e.keys().filter(|n| *n != "MESSAGE" && !n.starts_with("__")) {
                set.set(&format!("__journal_{}", name.to_ascii_lowercase()), &field(name));
            }
            set.set("__journal_priority_keyword", level);
            if !apply_to(&self.settings.relabel, &mut set) {
                return None;
            }
            drop_internal(&mut set);
        }
        set.to_labels().inspect_err(|e| tracing::error!(error = %e, "rules make labels that cannot be")).ok()
    }
}

#[cfg(test)]
mod tests;
