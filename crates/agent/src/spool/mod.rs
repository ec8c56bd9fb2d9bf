//! The spool: what was collected stays here until every endpoint has acknowledged it.
//!
//! **Durable.** A batch is one frame of a write-ahead log: its rows in the form in which they travel on, and the position of
//! its source, in one transaction. [`Deliver::deliver`] returns when it is synced; sources that come while one is being
//! synced share the next sync.
//!
//! **Acknowledged per frame and endpoint.** Each endpoint has a set of frames that it is done with ([`ranges`]), so that a
//! lane for what is new and a lane for what has piled up go side by side. Acknowledgements are written into the same log
//! with the next group, or within a second: after a crash at most those of that second are sent again, as the same rows.
//! A segment goes when all endpoints are done with all of its frames.
//!
//! **Routed.** A source may be for some endpoints only ([`Spool::route`]). The frame says for whom, so that settings that change
//! while it waits do not send it elsewhere; for everybody else it is done with when it is written.
//!
//! **Each segment begins with the state** ([`state`]): positions, counts, acknowledgements, losses. So older segments may go
//! whenever their frames may. A copy stands in a file beside the log, for the case that this one frame is damaged.
//!
//! **Rows are numbered by source.** A frame says how many rows its source had delivered before it. So a gap, whatever made
//! it, is a loss of known source, time and size.
//!
//! **Bounded** by bytes and age. When it is full, by [`Policy`]: sources wait, the oldest goes, or what matters least goes
//! first. What goes is stated in log lines of a stream of their own (`{job="watchfire-agent", kind="loss"}`), which are in the
//! spool before the rows are gone.
//!
//! Rejected: a queue per endpoint (twice the bytes and syncs for two endpoints), compressed frames (they could not be put
//! together into one request without being taken apart again), an index of frames in memory (an outage of a day is millions
//! of small frames; segments are few).

mod commit;
mod frame;
mod full;
mod index;
pub mod ledger;
mod level;
mod ranges;
mod read;
mod recover;
mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::{Clock, Labels, Result};
use disk::Fs;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

pub use frame::{Section, SectionHead};
pub use index::{Held, Reader};
pub use level::Priority;
pub use read::{Cursor, Lag, Taken};

use crate::deliver::{Batch, Deliver, Line, Lines, Loss, Stream};
use crate::limits;
use commit::Ticket;
use index::Index;
use ledger::{Lost, Report, SpoolReport};

/// Folder of the log below the spool's directory.
const WAL_FOLDER: &str = "wal";
/// The copy of the state.
const STATE_FILE: &str = "state";

/// What happens when the spool is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Sources wait, with what they have not read yet where it is.
    #[default]
    Block,
    /// The oldest rows go.
    DropOldest,
    /// Rows of the lowest level go first, the oldest of them first: debug before info, warn, error.
    DropLowPriority,
}

/// Settings of the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes that it may take.
    pub max_bytes: u64,
    /// Rows go when they have waited for so long.
    pub max_age: Duration,
    /// What happens when it is full.
    pub full: Policy,
    /// It is kept in memory, and lost with the process: for those who asked for just that.
    pub memory: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { max_bytes: 1 << 30, max_age: Duration::from_secs(7 * 86_400), full: Policy::Block, memory: false }
    }
}

impl Settings {
    /// Bytes of a segment: space comes back in such steps.
    fn segment_bytes(&self) -> u64 {
        (self.max_bytes / 16).clamp(limits::SEGMENT_MIN_BYTES, limits::SEGMENT_MAX_BYTES)
    }
}

/// Where the spool stands and whom it is for.
pub struct Context {
    /// The disk.
    pub fs: Arc<dyn Fs>,
    /// Its directory.
    pub dir: PathBuf,
    /// The time.
    pub clock: Clock,
    /// The `host` label of the lines about losses.
    pub host: String,
    /// Who reads it.
    pub readers: Vec<Reader>,
}

/// The spool.
pub struct Spool {
    settings: Settings,
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    clock: Clock,
    host: String,
    core: Mutex<Core>,
    /// Batches that wait for the next sync.
    queue: Mutex<Vec<Arc<Ticket>>>,
    index: Mutex<Index>,
    /// Told when there is something new to read.
    news: Condvar,
    /// Segments from this number on were written by this process.
    begun_at_seq: u64,
    damaged: AtomicU64,
}

/// What only one at a time may use: whoever has it writes and syncs for all.
struct Core {
    wal: wal::Wal,
    /// The state in the frame with this number is durable: what is older is needed for its rows alone.
    state_seq: u64,
    /// Time of the last line about a loss, so that they stay different.
    said_ns: i64,
}

impl Spool {
    /// Opens it and recovers what is there.
    ///
    /// # Errors
    /// The directory cannot be made or written; a newer program wrote it. Damage is no error: the rest is served.
    pub fn open(settings: Settings, context: Context) -> Result<Arc<Spool>> {
        recover::open(settings, context).map(Arc::new)
    }

    /// Where a source delivers to whose rows are for these endpoints only; for all if none is named. A frame whose endpoints
    /// are all gone from the settings is done with.
    pub fn route(self: &Arc<Self>, endpoints: &[String]) -> Arc<dyn Deliver> {
        if endpoints.is_empty() {
            return self.clone();
        }
        Arc::new(Route { spool: self.clone(), to: endpoints.to_vec() })
    }

    fn take(&self, batch: Batch<'_>, to: &[String]) -> Result<()> {
        let by_level = self.settings.full == Policy::DropLowPriority;
        let mut prepared = frame::prepare(batch, self.clock.now_ns(), by_level)?;
        prepared.to = to.to_vec();
        let answer = self.submit(prepared);
        if answer.as_ref().is_err_and(crate::deliver::retryable) {
            self.index.lock().deferred += 1;
        }
        answer
    }

    /// An endpoint is done with what a lane has read: it has acknowledged it, but for `refused`, which it will never take. The
    /// two are one: a crash forgets both, and what is sent again then is refused again.
    pub fn acknowledge(&self, endpoint: usize, taken: &Taken, refused: Vec<Lost>) {
        let now_ns = self.clock.now_ns();
        let mut index = self.index.lock();
        refused.into_iter().for_each(|l| index.lose(l));
        if !taken.damaged {
            return index.done(endpoint, (taken.from, taken.to), &taken.held, Some(now_ns));
        }
        for h in &taken.held {
            index.done(endpoint, (h.seq, h.seq + 1), std::slice::from_ref(h), Some(now_ns));
        }
    }

    /// Whether something of what a lane has read was dropped or moved meanwhile.
    pub fn is_changed(&self, endpoint: usize, taken: &Taken) -> bool {
        let index = self.index.lock();
        taken.held.iter().any(|h| index.endpoints[endpoint].acked.contains(h.seq))
    }

    /// Waits until there is a frame from `seq` on, or for as long as `timeout`. True if there is one.
    pub fn wait(&self, seq: u64, timeout: Duration) -> bool {
        let mut index = self.index.lock();
        if index.next_seq <= seq {
            self.news.wait_for(&mut index, timeout);
        }
        index.next_seq > seq
    }

    /// The number that the next frame gets.
    pub fn next_seq(&self) -> u64 {
        self.index.lock().next_seq
    }

    /// The first frame that an endpoint is not done with.
    pub fn floor(&self, endpoint: usize) -> u64 {
        self.index.lock().endpoints[endpoint].acked.floor()
    }

    /// Notes what was lost for good; it also becomes a log line.
    pub fn lose(&self, lost: Lost) {
        tracing::warn!(
            source = lost.source,
            stream = lost.stream,
            reason = lost.reason,
            rows = lost.rows,
            bytes = lost.bytes,
            "rows are lost"
        );
        self.index.lock().lose(lost);
    }

    /// Notes that an endpoint does not take what it is sent, and whether a person has to do something about it; an empty
    /// text says that it does again.
    pub fn trouble(&self, endpoint: usize, text: &str, alarm: bool) {
        let report = &mut self.index.lock().endpoints[endpoint].report;
        (report.trouble, report.alarm) = (text.to_owned(), alarm);
        report.retries += u64::from(!text.is_empty());
    }

    /// What is done every second: losses become lines, acknowledgements become durable, what is done with or too old goes.
    pub fn tick(&self) {
        let mut core = self.core.lock();
        if let Err(e) = self.say_losses(&mut core).and_then(|()| self.commit_acks(&mut core)) {
            tracing::warn!(error = %e, "the spool's books cannot be written now");
        }
        if let Err(e) = self.drop_aged(&mut core).and_then(|()| self.trim(&mut core)) {
            tracing::warn!(error = %e, "the spool cannot be tidied now");
        }
    }

    /// Everything it knows of deliveries.
    pub fn report(&self) -> Report {
        let index = self.index.lock();
        Report {
            spool: SpoolReport {
                bytes: index.segments.iter().map(|s| s.segment.bytes).sum(),
                max_bytes: self.settings.max_bytes,
                full: index.full,
                memory: self.settings.memory,
                damaged: self.damaged.load(Ordering::Relaxed),
                deferred: index.deferred,
            },
            endpoints: index.endpoint_reports(),
            sources: index.source_reports(),
            lost: index.all_losses(),
        }
    }

    /// The stream of the lines about losses.
    fn labels_about_losses(&self) -> Result<Labels> {
        Labels::from_pairs([("job", "watchfire-agent"), ("kind", "loss"), ("host", self.host.as_str())])
    }

    /// Whether a stream, as a push spells it, is that of the lines about losses.
    pub fn is_about_losses(&self, stream: &str) -> bool {
        let spelled = self.labels_about_losses().ok().and_then(|labels| {
            let mut push = wire::loki::PushWriter::default();
            push.stream(labels.iter());
            let body = push.finish();
            Some(wire::loki::Streams::new(&body).next()?.ok()?.labels == stream.as_bytes())
        });
        spelled == Some(true)
    }

    /// The lines that state these losses, as a batch of a source of its own.
    fn lines_about(&self, losses: &[Lost], said_ns: &mut i64) -> Result<Lines> {
        let labels = self.labels_about_losses()?;
        let line = |lost: &Lost| {
            *said_ns = self.clock.now_ns().max(*said_ns + 1);
            let text = serde_json::to_string(lost).expect("names and numbers always have a JSON form");
            Line { time_ns: *said_ns, text, metadata: vec![] }
        };
        let lines = losses.iter().map(line).collect();
        Ok(Lines { streams: vec![Stream { tenant: None, labels, lines }], source: LOSSES.into(), position: vec![] })
    }
}

/// The source of the lines about losses.
const LOSSES: &str = "watchfire/losses";

impl Deliver for Spool {
    fn deliver(&self, batch: Batch<'_>) -> Result<()> {
        self.take(batch, &[])
    }

    fn positions(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let index = self.index.lock();
        let known = index.sources.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        known.filter_map(|(name, p)| Some((name.clone(), p.position.clone()?))).collect()
    }

    fn lost(&self, loss: &Loss) {
        self.lose(Lost {
            source: loss.source.clone(),
            reason: loss.reason.into(),
            rows: loss.lines,
            bytes: loss.bytes,
            from_ns: loss.first_ns.or(loss.last_ns).unwrap_or(loss.time_ns),
            to_ns: loss.last_ns.unwrap_or(loss.time_ns),
            noticed_ns: loss.time_ns,
            ..Lost::default()
        });
    }
}

/// The spool, for some of its endpoints.
struct Route {
    spool: Arc<Spool>,
    to: Vec<String>,
}

impl Deliver for Route {
    fn deliver(&self, batch: Batch<'_>) -> Result<()> {
        self.spool.take(batch, &self.to)
    }
    fn positions(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        self.spool.positions(prefix)
    }
    fn lost(&self, loss: &Loss) {
        self.spool.lost(loss);
    }
}

/// Whether files can be made in `dir`; it is made if it is missing.
pub fn is_writable(fs: &dyn Fs, dir: &Path) -> std::io::Result<()> {
    fs.create_dir_all(dir)?;
    let probe = dir.join("probe");
    fs.create(&probe)?;
    fs.remove(&probe)
}

#[cfg(test)]
mod tests;
