//! The engine: WAL, memtable, runs, blocks, and the one way in and out of them.
//!
//! A write is decoded, its memory reserved, its body logged and fsynced together with those of the writers that came at
//! the same time, its rows made visible, and then acknowledged. Everything else happens behind it, in steps that can be
//! called one by one (which is what the simulation does) or by two threads of the engine's own ([`background`]):
//! freeze heads into parts, flush sealed generations into runs, merge runs into blocks, remove what is superseded or
//! expired.
//!
//! Order of durability: run or block files fsync, meta fsync and rename, directories fsync, checkpoint, and only then
//! the WAL segments go. Killed anywhere, the rows are in the WAL, in a committed run or in a committed block.

mod background;
mod bell;
mod blocks;
mod commit;
mod commits;
mod documents;
mod erase;
mod flush;
mod ingest;
mod list;
mod merge;
mod moving;
mod open;
mod retention;
mod scan;
mod settings;
mod snapshot;
mod stats;

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use base::{Clock, Error, Result};
use disk::Fs;
use parking_lot::{Mutex, RwLock};
use store::Store;

use crate::catalog::Catalog;
use crate::generation::Generation;
use crate::ingest::Codec;
use crate::keys::Keys;
use crate::loss::{Loss, Losses};
use crate::memory_budget::{MemoryBudget, QueryBudget};
use crate::sorted::{self, IndexCache, SortedFile, SortedMeta};
use crate::spec::TableSpec;

pub use commits::{BlockRef, Commits, Owner};
pub use erase::Erase;
pub use ingest::{Admission, Ingested, Prepared, RATE_LIMITED_ENTRY};
pub use list::Refresh;
pub use merge::MergeWhat;
pub use open::WAL_TAIL_DAMAGED;
pub use settings::{Retention, Settings};
pub use stats::STATS;

/// What an engine is made of.
pub struct EngineOptions {
    /// The disk.
    pub fs: Arc<dyn Fs>,
    /// The data directory.
    pub dir: PathBuf,
    /// Where blocks are kept: another place than the data directory, which other nodes may share.
    pub store: Option<Arc<dyn Store>>,
    /// Name of this node among those that share the store; "local" if there are none. Lower-case letters, digits and `_`.
    pub node: String,
    /// The clock.
    pub clock: Clock,
    /// The tables; their order gives their ids, which are not stored.
    pub tables: Vec<&'static TableSpec>,
    /// Every codec that the WAL may hold frames of.
    pub codecs: Vec<Arc<dyn Codec>>,
    /// Tuning.
    pub settings: Settings,
}

/// Memory and disk at one instant: a scan reads a snapshot of both, so no row is between them.
pub(crate) struct Live {
    /// Oldest first; the last takes rows, the others are sealed and wait for their flush.
    pub generations: Vec<Arc<Generation>>,
    pub catalog: Catalog,
}

/// A durable store of tables on one node.
pub struct Engine {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) keys: Keys,
    pub(crate) clock: Clock,
    pub(crate) tables: Vec<&'static TableSpec>,
    pub(crate) codecs: BTreeMap<u16, Arc<dyn Codec>>,
    pub(crate) settings: Settings,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) losses: Arc<Losses>,
    pub(crate) indexes: Arc<IndexCache>,
    pub(crate) stats: stats::Counters,
    pub(crate) live: RwLock<Live>,
    pub(crate) queue: Mutex<VecDeque<Arc<commit::Submission>>>,
    pub(crate) committer: Mutex<commit::Committer>,
    /// Positions of sources at the end of each sealed generation, by its id.
    pub(crate) sealed_positions: Mutex<BTreeMap<u64, BTreeMap<String, Vec<u8>>>>,
    pub(crate) positions: Mutex<BTreeMap<String, Vec<u8>>>,
    /// One flush, and one merge, at a time.
    pub(crate) flushing: Mutex<()>,
    pub(crate) merging: Mutex<()>,
    pub(crate) bell: bell::Bell,
    pub(crate) stopping: AtomicBool,
    pub(crate) retention: Mutex<retention::RetentionClock>,
    me: Weak<Engine>,
    pub(crate) blocks: blocks::Blocks,
    pub(crate) stop_merging: crate::scan::Cancel,
    /// When the list of blocks was last begun to be read, in whole and in part; 0 for not since the start.
    pub(crate) listed_ns: AtomicI64,
    pub(crate) listed_recent_ns: AtomicI64,
    /// The whole list was read once, in this life or an earlier one.
    pub(crate) all_known: AtomicBool,
    /// Blocks whose metas are damaged.
    pub(crate) unreadable: Mutex<BTreeSet<String>>,
    /// Key of the block, file, and whether the block is committed.
    pub(crate) orphans: Mutex<Vec<(String, String, bool)>>,
    pub(crate) to_fetch: Mutex<VecDeque<Arc<crate::catalog::Block>>>,
    pub(crate) compacted_ns: AtomicI64,
    /// Who knows what is to be deleted; when it was last looked for; blocks that hold no row of it, with the names of the requests.
    pub(crate) erase: OnceLock<Arc<dyn Erase>>,
    pub(crate) erased_ns: AtomicI64,
    pub(crate) untouched: Mutex<HashSet<(String, Vec<String>)>>,
    pub(crate) merge_failures: AtomicU32,
    pub(crate) list_failures: AtomicU32,
    pub(crate) owner: RwLock<Owner>,
    pub(crate) commits: Mutex<commits::CommitLog>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl Engine {
    /// Makes everything acknowledged final: seals and flushes the memtable, merges all runs into blocks, in the store if
    /// there is one, and removes what they supersede.
    pub fn flush(&self) -> Result<()> {
        self.seal()?;
        self.flush_sealed()?;
        self.merge(MergeWhat::All)?;
        self.erase_rows()?;
        match self.sweep() {
            // What is to be removed from a store can wait: no row depends on it.
            Err(e) if self.blocks.remote().is_some() => tracing::warn!(error = %e, "superseded blocks are not removed yet"),
            other => other?,
        }
        Ok(())
    }

    /// Stops: no more rows are taken, what is in memory goes to runs, the WAL is closed. Without it, dropping the engine
    /// is a crash, which loses nothing either, but the next start replays.
    pub fn shutdown(&self) -> Result<()> {
        self.stopping.store(true, Ordering::SeqCst);
        self.join_threads();
        self.seal()?;
        self.flush_sealed()?;
        self.committer.lock().close()
    }

    /// Final losses found by this process.
    pub fn losses(&self) -> Vec<Loss> {
        self.losses.list()
    }

    /// The durable position of every source whose name starts with `prefix`.
    pub fn positions(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        self.positions.lock().iter().filter(|(s, _)| s.starts_with(prefix)).map(|(s, p)| (s.clone(), p.clone())).collect()
    }

    /// The tables, by id.
    pub fn tables(&self) -> &[&'static TableSpec] {
        &self.tables
    }

    /// A share of the memory for queries, for what a query holds beside the rows that its scans read; given back when it is dropped.
    pub fn query_memory(&self) -> Arc<QueryBudget> {
        Arc::new(self.budget.query())
    }
    /// The clock it lives by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn current(&self) -> Arc<Generation> {
        self.live.read().generations.last().expect("there is always a generation that takes rows").clone()
    }

    pub(crate) fn table_id(&self, spec: &TableSpec) -> Result<usize> {
        self.tables
            .iter()
            .position(|t| t.name == spec.name)
            .ok_or_else(|| Error::internal(format!("the engine has no table {:?}", spec.name)))
    }

    /// Opens a run's or block's files, which were just written.
    fn open_file(&self, spec: &'static TableSpec, data: &Path, series: &Path, meta: &SortedMeta) -> Result<Arc<SortedFile>> {
        sorted::open(spec, &self.fs, data, series, meta, self.losses.of_table(spec, &self.clock), &self.indexes)
    }

    pub(crate) fn running(&self) -> Result<()> {
        if self.stopping.load(Ordering::SeqCst) { Err(Error::unavailable("the server is stopping")) } else { Ok(()) }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.join_threads();
    }
}
