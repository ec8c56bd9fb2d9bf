//! Figures of the agent about itself.

use std::sync::atomic::{AtomicU64, Ordering};

use base::stats::{CounterVec, Desc, Exposition};

mod shipping;

pub use shipping::{OF_SHIPPING, Sent, Shipping};

/// See its help.
pub const FILES: Desc = Desc::gauge("watchfire_agent_files", "files", "Files that are followed now.");
/// See its help.
pub const FILES_UNREADABLE: Desc =
    Desc::gauge("watchfire_agent_files_unreadable", "files", "Files that match a pattern but cannot be read now.");
/// See its help.
pub const FILES_OVER_LIMIT: Desc = Desc::gauge(
    "watchfire_agent_files_over_limit",
    "files",
    "Files that match a pattern but are not followed, because there are too many.",
);
/// See its help.
pub const LINES: Desc = Desc::counter("watchfire_agent_lines_total", "lines", "Lines delivered from files and containers.");
/// See its help.
pub const BYTES: Desc = Desc::counter("watchfire_agent_read_bytes_total", "bytes", "Bytes of files that are done with.");
/// See its help.
pub const ROTATIONS: Desc =
    Desc::counter("watchfire_agent_rotations_total", "files", "Files that were renamed or removed while they were followed.");
/// See its help.
pub const TRUNCATIONS: Desc =
    Desc::counter("watchfire_agent_truncations_total", "files", "Files whose content was replaced while they were followed.");
/// See its help.
pub const COPIES_SKIPPED: Desc =
    Desc::counter("watchfire_agent_copies_skipped_total", "files", "Files that were not read because they are copies of a followed file.");
/// See its help.
pub const CONTAINERS: Desc = Desc::gauge("watchfire_agent_containers", "containers", "Docker containers that are followed now.");
/// See its help.
pub const CONTAINERS_UNREADABLE: Desc =
    Desc::gauge("watchfire_agent_containers_unreadable", "containers", "Docker containers whose log cannot be read now, or not at all.");
/// See its help.
pub const SAMPLES: Desc = Desc::counter("watchfire_agent_samples_total", "samples", "Samples delivered by the collectors.");
/// See its help.
pub const DEFERRED: Desc =
    Desc::counter("watchfire_agent_deferred_total", "batches", "Batches that the store asked to give again later; nothing was lost by it.")
        .labels(&["kind"]);
/// See its help.
pub const LOST_LINES: Desc =
    Desc::counter("watchfire_agent_lost_lines_total", "lines", "Lines known to be lost for good.").labels(&["reason"]);
/// See its help.
pub const LOST_BYTES: Desc =
    Desc::counter("watchfire_agent_lost_bytes_total", "bytes", "Bytes known to be lost for good.").labels(&["reason"]);
/// See its help.
pub const LOST_SAMPLES: Desc = Desc::counter("watchfire_agent_lost_samples_total", "samples", "Samples lost for good.").labels(&["reason"]);
/// See its help.
pub const WAITING_SAMPLES: Desc = Desc::gauge(
    "watchfire_agent_waiting_samples",
    "samples",
    "Samples that were measured and wait in memory until there is room for them.",
);
/// See its help.
pub const STAGE_DROPPED_LINES: Desc =
    Desc::counter("watchfire_agent_stage_dropped_lines_total", "lines", "Lines that stages dropped, as they are set to.")
        .labels(&["reason"]);
/// See its help.
pub const STAGE_DROPPED_BYTES: Desc =
    Desc::counter("watchfire_agent_stage_dropped_bytes_total", "bytes", "Bytes of lines that stages dropped, as they are set to.")
        .labels(&["reason"]);
/// See its help.
pub const RECEIVED: Desc = Desc::counter("watchfire_agent_received_requests_total", "requests", "Requests that receivers answered.")
    .labels(&["receiver", "status"]);
/// See its help.
pub const RECEIVED_ROWS: Desc =
    Desc::counter("watchfire_agent_received_rows_total", "rows", "Lines, samples and spans that receivers acknowledged.")
        .labels(&["receiver"]);
/// See its help.
pub const REPAIRED: Desc =
    Desc::counter("watchfire_agent_repaired_lines_total", "lines", "Lines with bytes that are no UTF-8, which were replaced.")
        .labels(&["source"]);

/// All of them, for the reference page.
pub const ALL: &[&Desc] = &[
    &FILES,
    &FILES_UNREADABLE,
    &FILES_OVER_LIMIT,
    &LINES,
    &BYTES,
    &ROTATIONS,
    &TRUNCATIONS,
    &COPIES_SKIPPED,
    &CONTAINERS,
    &CONTAINERS_UNREADABLE,
    &SAMPLES,
    &DEFERRED,
    &LOST_LINES,
    &LOST_BYTES,
    &LOST_SAMPLES,
    &WAITING_SAMPLES,
    &STAGE_DROPPED_LINES,
    &STAGE_DROPPED_BYTES,
    &RECEIVED,
    &RECEIVED_ROWS,
    &REPAIRED,
];

/// The numbers behind them, shared by all sources of a process.
pub struct Stats {
    pub(crate) files: AtomicU64,
    pub(crate) files_unreadable: AtomicU64,
    pub(crate) files_over_limit: AtomicU64,
    pub(crate) lines: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) rotations: AtomicU64,
    pub(crate) truncations: AtomicU64,
    pub(crate) copies_skipped: AtomicU64,
    pub(crate) containers: AtomicU64,
    pub(crate) containers_unreadable: AtomicU64,
    pub(crate) samples: AtomicU64,
    pub(crate) waiting_samples: AtomicU64,
    pub(crate) deferred: CounterVec,
    pub(crate) lost_lines: CounterVec,
    pub(crate) lost_bytes: CounterVec,
    pub(crate) lost_samples: CounterVec,
    pub(crate) stage_dropped: CounterVec,
    pub(crate) stage_dropped_bytes: CounterVec,
    pub(crate) received: CounterVec,
    pub(crate) received_rows: CounterVec,
    pub(crate) repaired: CounterVec,
}

impl Default for Stats {
    fn default() -> Self {
        let zero = AtomicU64::default;
        Stats {
            files: zero(),
            files_unreadable: zero(),
            files_over_limit: zero(),
            lines: zero(),
            bytes: zero(),
            rotations: zero(),
            truncations: zero(),
            copies_skipped: zero(),
            containers: zero(),
            containers_unreadable: zero(),
            samples: zero(),
            waiting_samples: zero(),
            deferred: CounterVec::new(&DEFERRED),
            lost_lines: CounterVec::new(&LOST_LINES),
            lost_bytes: CounterVec::new(&LOST_BYTES),
            lost_samples: CounterVec::new(&LOST_SAMPLES),
            stage_dropped: CounterVec::new(&STAGE_DROPPED_LINES),
            stage_dropped_bytes: CounterVec::new(&STAGE_DROPPED_BYTES),
            received: CounterVec::new(&RECEIVED),
            received_rows: CounterVec::new(&RECEIVED_ROWS),
            repaired: CounterVec::new(&REPAIRED),
        }
    }
}

impl Stats {
    /// Writes all figures.
    pub fn write(&self, out: &mut Exposition) {
        let plain = [
            (&FILES, &self.files),
            (&FILES_UNREADABLE, &self.files_unreadable),
            (&FILES_OVER_LIMIT, &self.files_over_limit),
            (&LINES, &self.lines),
            (&BYTES, &self.bytes),
            (&ROTATIONS, &self.rotations),
            (&TRUNCATIONS, &self.truncations),
            (&COPIES_SKIPPED, &self.copies_skipped),
            (&CONTAINERS, &self.containers),
            (&CONTAINERS_UNREADABLE, &self.containers_unreadable),
            (&SAMPLES, &self.samples),
            (&WAITING_SAMPLES, &self.waiting_samples),
        ];
        for (desc, n) in plain {
            out.value(desc, &[], n.load(Ordering::Relaxed) as f64);
        }
        let counted = [
            &self.deferred,
            &self.lost_lines,
            &self.lost_bytes,
            &self.lost_samples,
            &self.stage_dropped,
            &self.stage_dropped_bytes,
            &self.received,
            &self.received_rows,
            &self.repaired,
        ];
        for v in counted {
            v.write(out);
        }
    }
}

/// Counts `n` more.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
