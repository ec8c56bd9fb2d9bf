//! What the engine tells about itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base::stats::{Desc, Exposition};

use super::Engine;

const WAL_FRAMES: Desc =
    Desc::counter("watchfire_wal_frames_total", "requests", "Requests written to the log; replayed ones are not counted.");
const WAL_BYTES: Desc = Desc::counter("watchfire_wal_bytes_total", "bytes", "Requests written to the log.");
const WAL_SYNCS: Desc = Desc::counter("watchfire_wal_syncs_total", "syncs", "Group commits, one fsync each (P1).");
const SYNC_FAILURES: Desc =
    Desc::counter("watchfire_wal_sync_failures_total", "syncs", "Group commits that failed; their writers were asked to retry (P9).");
const WRITES_DEFERRED: Desc =
    Desc::counter("watchfire_writes_deferred_total", "requests", "Writes asked to come back for want of memory or disk (P7).");
const FREEZES: Desc = Desc::counter("watchfire_freezes_total", "parts", "Memtable heads frozen into sorted parts.");
const FLUSHES: Desc = Desc::counter("watchfire_flushes_total", "runs", "Memtable generations flushed to runs (P4).");
const MERGES: Desc = Desc::counter("watchfire_merges_total", "blocks", "Blocks made by merging.");
const DOUBLES: Desc =
    Desc::counter("watchfire_doubles_total", "rows", "Rows that were a second copy of a stored row and were collapsed (P3).");
const ERASED: Desc =
    Desc::counter("watchfire_erased_rows_total", "rows", "Rows that somebody asked to delete and that a merge left out for good.");
const EXPIRED: Desc = Desc::counter("watchfire_expired_total", "directories", "Runs and blocks that ended by retention.");
const REMOVED: Desc = Desc::counter("watchfire_removed_total", "directories", "Superseded or expired directories removed from disk (P5).");
const SCANS: Desc = Desc::counter("watchfire_scans_total", "scans", "Scans begun (P2).");
const ORPHANS: Desc =
    Desc::counter("watchfire_store_orphans_total", "objects", "Objects of the store that no block named and that were deleted.");
const MOVED: Desc = Desc::counter("watchfire_store_moved_total", "blocks", "Blocks moved from the data directory to the store.");
const TO_MOVE: Desc =
    Desc::gauge("watchfire_store_to_move_blocks", "blocks", "Blocks in the data directory that wait to be moved to the store.");
const STORE_READ_FAILURES: Desc =
    Desc::counter("watchfire_store_read_failures_total", "scans", "Scans that failed because blocks could not be read from the store.");
const LOOKED_AGAIN: Desc =
    Desc::counter("watchfire_store_looked_again_total", "scans", "Scans that met a vanished block and looked its partition up again (P2).");
const STORE_FRESH: Desc = Desc::gauge(
    "watchfire_store_list_age_seconds",
    "seconds",
    "Time since the whole list of the store's blocks was read; 0 without a store, -1 if not since the start.",
);
const OLDEST_RUN: Desc = Desc::gauge(
    "watchfire_oldest_run_age_seconds",
    "seconds",
    "Age of the oldest run that is not in blocks yet: how far the store lags behind.",
);
const CACHE_HITS: Desc = Desc::counter("watchfire_store_cache_hits_total", "pieces", "Pieces of objects read from the disk.");
const CACHE_MISSES: Desc = Desc::counter("watchfire_store_cache_misses_total", "pieces", "Pieces of objects fetched from the store.");
const CACHE_FETCHES: Desc = Desc::counter("watchfire_store_cache_fetches_total", "requests", "Requests that fetched pieces.");
const CACHE_FETCHED: Desc = Desc::counter("watchfire_store_cache_fetched_bytes_total", "bytes", "Bytes fetched from the store.");
const CACHE_BYTES: Desc = Desc::gauge("watchfire_store_cache_bytes", "bytes", "Bytes of objects kept on the disk.");
const BACKGROUND_FAILURES: Desc =
    Desc::counter("watchfire_background_failures_total", "steps", "Background steps that failed and are tried again.");
const LOSSES: Desc = Desc::counter(
    "watchfire_losses_total",
    "stretches",
    "Stretches of stored data found damaged or unreadable; the ledger names them (P8, P9).",
);
const LOST_ROWS: Desc = Desc::counter("watchfire_lost_rows_total", "rows", "Rows known to be in those stretches.");
const MEMTABLE: Desc = Desc::gauge("watchfire_memtable_bytes", "bytes", "Memory of rows not yet in runs (P10).");
const UNPACKING: Desc =
    Desc::gauge("watchfire_unpacking_bytes", "bytes", "Memory that large bodies may take which are being unpacked (P10).");
const REGISTRY: Desc = Desc::gauge("watchfire_registry_bytes", "bytes", "Memory of series names of rows not yet in runs (P10).");
const QUERIES: Desc = Desc::gauge("watchfire_queries_bytes", "bytes", "Memory that running queries hold (P10).");
const INDEX_BYTES: Desc = Desc::gauge("watchfire_index_bytes", "bytes", "Memory of indexes of runs and blocks (P10).");
const INDEX_EVICTIONS: Desc =
    Desc::counter("watchfire_index_evictions_total", "indexes", "Indexes of runs and blocks put out of memory for others (P10).");
const GENERATIONS: Desc =
    Desc::gauge("watchfire_generations", "generations", "Memtable generations in memory; more than two means that flushes do not keep up.");
const RUNS: Desc = Desc::gauge("watchfire_runs", "runs", "Runs not yet merged into blocks.");
const BLOCKS: Desc = Desc::gauge("watchfire_blocks", "blocks", "Blocks.");
const BLOCKS_BYTES: Desc = Desc::gauge("watchfire_blocks_bytes", "bytes", "Size of blocks on disk.");
const DEAD: Desc = Desc::gauge("watchfire_dead_directories", "directories", "Superseded directories that wait for scans to end.");
const CLOCK_AHEAD: Desc = Desc::gauge(
    "watchfire_retention_clock_ahead_seconds",
    "seconds",
    "How far the wall clock is ahead of the time that has passed; retention believes it after a day, and keeps rows until then (P9).",
);
const ROWS: Desc = Desc::counter("watchfire_rows_total", "rows", "Rows made durable and visible since the start, replayed ones included.")
    .labels(&["table"]);

/// Every figure of the engine.
pub const STATS: &[&Desc] = &[
    &WAL_FRAMES,
    &WAL_BYTES,
    &WAL_SYNCS,
    &SYNC_FAILURES,
    &WRITES_DEFERRED,
    &FREEZES,
    &FLUSHES,
    &MERGES,
    &DOUBLES,
    &ERASED,
    &EXPIRED,
    &REMOVED,
    &SCANS,
    &BACKGROUND_FAILURES,
    &ORPHANS,
    &MOVED,
    &TO_MOVE,
    &STORE_READ_FAILURES,
    &LOOKED_AGAIN,
    &STORE_FRESH,
    &OLDEST_RUN,
    &CACHE_HITS,
    &CACHE_MISSES,
    &CACHE_FETCHES,
    &CACHE_FETCHED,
    &CACHE_BYTES,
    &LOSSES,
    &LOST_ROWS,
    &MEMTABLE,
    &REGISTRY,
    &QUERIES,
    &INDEX_BYTES,
    &INDEX_EVICTIONS,
    &GENERATIONS,
    &RUNS,
    &BLOCKS,
    &BLOCKS_BYTES,
    &DEAD,
    &CLOCK_AHEAD,
    &ROWS,
];

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
    pub erased: AtomicU64,
    pub expired: AtomicU64,
    pub removed: AtomicU64,
    pub scans: AtomicU64,
    pub background_failures: AtomicU64,
    pub orphans: AtomicU64,
    pub moved: AtomicU64,
    pub store_read_failures: AtomicU64,
    pub looked_again: AtomicU64,
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
            erased: c(),
            expired: c(),
            removed: c(),
            scans: c(),
            background_failures: c(),
            orphans: c(),
            moved: c(),
            store_read_failures: c(),
            looked_again: c(),
            pressure: AtomicBool::new(false),
        }
    }
}

impl Engine {
    /// Writes every figure of the engine.
    pub fn write_stats(&self, out: &mut Exposition) {
        let s = &self.stats;
        for (desc, value) in [
            (&WAL_FRAMES, &s.wal_frames),
            (&WAL_BYTES, &s.wal_bytes),
            (&WAL_SYNCS, &s.wal_syncs),
            (&SYNC_FAILURES, &s.sync_failures),
            (&WRITES_DEFERRED, &s.writes_deferred),
            (&FREEZES, &s.freezes),
            (&FLUSHES, &s.flushes),
            (&MERGES, &s.merges),
            (&DOUBLES, &s.doubles),
            (&ERASED, &s.erased),
            (&EXPIRED, &s.expired),
            (&REMOVED, &s.removed),
            (&SCANS, &s.scans),
            (&BACKGROUND_FAILURES, &s.background_failures),
            (&ORPHANS, &s.orphans),
            (&MOVED, &s.moved),
            (&STORE_READ_FAILURES, &s.store_read_failures),
            (&LOOKED_AGAIN, &s.looked_again),
        ] {
            out.value(desc, &[], value.load(Ordering::Relaxed) as f64);
        }
        self.write_store_stats(out);
        let (losses, lost_rows) = self.losses.totals();
        let live = self.live.read();
        let blocks = || live.catalog.partitions().flat_map(|(_, b)| b.iter());
        for (desc, value) in [
            (&LOSSES, losses as usize),
            (&LOST_ROWS, lost_rows as usize),
            (&MEMTABLE, self.budget.rows()),
            (&UNPACKING, self.budget.bodies()),
            (&REGISTRY, live.generations.iter().map(|g| g.registries_bytes()).sum()),
            (&QUERIES, self.budget.queries()),
            (&INDEX_BYTES, self.indexes.bytes()),
            (&INDEX_EVICTIONS, self.indexes.evictions() as usize),
            (&GENERATIONS, live.generations.len()),
            (&RUNS, live.catalog.runs().count()),
            (&BLOCKS, blocks().count()),
            (&BLOCKS_BYTES, blocks().map(|b| b.bytes() as usize).sum()),
            (&DEAD, live.catalog.dead()),
            (&CLOCK_AHEAD, (self.retention.lock().behind_ns() / base::units::SECOND_NS) as usize),
        ] {
            out.value(desc, &[], value as f64);
        }
        for (table, rows) in self.tables.iter().zip(&s.rows) {
            out.value(&ROWS, &[table.name], rows.load(Ordering::Relaxed) as f64);
        }
    }

    fn write_store_stats(&self, out: &mut Exposition) {
        let now = self.clock.now_ns();
        let seconds = |since: i64| now.saturating_sub(since).max(0) as f64 / 1e9;
        let cache = self.blocks.remote().and_then(|r| r.cache.as_ref()).map(|c| c.stats()).unwrap_or_default();
        let oldest = self.live.read().catalog.runs().map(|r| r.meta.created_ns).min();
        for (desc, value) in [
            (&TO_MOVE, self.blocks_to_move().0 as f64),
            (&STORE_FRESH, self.blocks_fresh().map_or(-1.0, seconds)),
            (&OLDEST_RUN, oldest.map_or(0.0, seconds)),
            (&CACHE_HITS, cache.hits as f64),
            (&CACHE_MISSES, cache.misses as f64),
            (&CACHE_FETCHES, cache.fetches as f64),
            (&CACHE_FETCHED, cache.fetched_bytes as f64),
            (&CACHE_BYTES, cache.bytes as f64),
        ] {
            out.value(desc, &[], value);
        }
    }
}
