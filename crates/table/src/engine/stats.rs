//! What the engine tells about itself: every counter and gauge with its name, unit and help.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Engine;

/// Counter or gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, until a restart.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One value of one metric.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Name with its unit, as Prometheus wants it.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: MetricKind,
    /// Labels.
    pub labels: Vec<(&'static str, String)>,
    /// Value.
    pub value: f64,
}

/// The engine's counters.
pub(crate) struct Counters {
    pub rows: Vec<AtomicU64>,
    pub wal_frames: AtomicU64,
    pub wal_bytes: AtomicU64,
    pub wal_syncs: AtomicU64,
    pub sync_failures: AtomicU64,
    pub writes_deferred: AtomicU64,
    pub freezes: AtomicU64,
    pub flushes: AtomicU64,
    pub merges: AtomicU64,
    pub doubles: AtomicU64,
    pub expired: AtomicU64,
    pub removed: AtomicU64,
    pub scans: AtomicU64,
    pub background_failures: AtomicU64,
    /// A writer waits for memory.
    pub pressure: AtomicBool,
}

impl Counters {
    pub fn new(tables: usize) -> Self {
        let c = || AtomicU64::new(0);
        Counters {
            rows: (0..tables).map(|_| c()).collect(),
            wal_frames: c(),
            wal_bytes: c(),
            wal_syncs: c(),
            sync_failures: c(),
            writes_deferred: c(),
            freezes: c(),
            flushes: c(),
            merges: c(),
            doubles: c(),
            expired: c(),
            removed: c(),
            scans: c(),
            background_failures: c(),
            pressure: AtomicBool::new(false),
        }
    }
}

impl Engine {
    /// Every metric of the engine.
    pub fn metrics(&self) -> Vec<Metric> {
        use MetricKind::{Counter, Gauge};
        let s = &self.stats;
        let mut out = vec![];
        let mut one = |kind, name, help, value: f64| out.push(Metric { name, help, kind, labels: vec![], value });
        let n = |c: &AtomicU64| c.load(Ordering::Relaxed) as f64;
        one(Counter, "watchfire_wal_frames_total", "Requests written to the log, replayed ones not counted.", n(&s.wal_frames));
        one(Counter, "watchfire_wal_bytes_total", "Bytes of requests written to the log.", n(&s.wal_bytes));
        one(Counter, "watchfire_wal_syncs_total", "Group commits: one fsync each (P1).", n(&s.wal_syncs));
        one(Counter, "watchfire_wal_sync_failures_total", "Group commits that failed; their writers were asked to retry (P9).", n(&s.sync_failures));
        one(Counter, "watchfire_writes_deferred_total", "Writes asked to come back for want of memory or disk (P7).", n(&s.writes_deferred));
        one(Counter, "watchfire_freezes_total", "Memtable heads frozen into sorted parts.", n(&s.freezes));
        one(Counter, "watchfire_flushes_total", "Memtable generations flushed to runs.", n(&s.flushes));
        one(Counter, "watchfire_merges_total", "Blocks merged.", n(&s.merges));
        one(Counter, "watchfire_doubles_total", "Rows that were a second copy of a stored row and were collapsed (P3).", n(&s.doubles));
        one(Counter, "watchfire_expired_total", "Runs and blocks that ended by retention.", n(&s.expired));
        one(Counter, "watchfire_removed_total", "Superseded or expired directories removed from disk (P5).", n(&s.removed));
        one(Counter, "watchfire_scans_total", "Scans begun.", n(&s.scans));
        one(Counter, "watchfire_background_failures_total", "Background steps that failed and were tried again.", n(&s.background_failures));
        let (losses, rows_lost) = self.losses.totals();
        one(Counter, "watchfire_losses_total", "Stretches of stored data found damaged or unreadable (P9); the ledger names them.", losses as f64);
        one(Counter, "watchfire_lost_rows_total", "Rows known to be in those stretches.", rows_lost as f64);
        one(Gauge, "watchfire_memtable_bytes", "Memory of rows not yet in runs (P10).", self.budget.rows() as f64);
        one(Gauge, "watchfire_queries_bytes", "Memory that running queries hold (P10).", self.budget.queries() as f64);
        {
            let live = self.live.read();
            let registries: usize = live.generations.iter().map(|g| g.registries_bytes()).sum();
            one(Gauge, "watchfire_registry_bytes", "Memory of series names of rows not yet in runs.", registries as f64);
            one(Gauge, "watchfire_generations", "Memtable generations in memory; more than two means flushes do not keep up.", live.generations.len() as f64);
            one(Gauge, "watchfire_runs", "Runs not yet merged into blocks.", live.catalog.runs().count() as f64);
            one(Gauge, "watchfire_blocks", "Blocks.", live.catalog.partitions().map(|(_, b)| b.len()).sum::<usize>() as f64);
            let bytes: u64 = live.catalog.partitions().flat_map(|(_, b)| b.iter().map(|b| b.bytes())).sum();
            one(Gauge, "watchfire_blocks_bytes", "Bytes of blocks on disk.", bytes as f64);
            one(Gauge, "watchfire_dead_directories", "Superseded directories waiting for scans to end.", live.catalog.dead() as f64);
        }
        for (t, rows) in self.tables.iter().zip(&s.rows) {
            let labels = vec![("table", t.name.to_owned())];
            out.push(Metric { name: "watchfire_rows_total", help: "Rows made durable and visible since the start, replayed ones included.", kind: Counter, labels, value: n(rows) });
        }
        out
    }
}
