//! Opening: what is committed, then what the WAL holds beyond it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use base::{Error, Kind, Result};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::bell::Bell;
use super::blocks::{Blocks, Remote};
use super::commit::Committer;
use super::commits::CommitLog;
use super::ingest::{EngineSink, Found};
use super::retention::RetentionClock;
use super::{Engine, EngineOptions, Live, Refresh, stats};
use crate::catalog::Catalog;
use crate::generation::Generation;
use crate::keys::{Keys, LOCAL};
use crate::loss::{Loss, Losses};
use crate::memory_budget::MemoryBudget;
use crate::meta::{Checkpoint, RetentionMark};
use crate::scan::Cancel;
use crate::sorted::IndexCache;
use crate::{catalog, frame, limits, meta};

/// The reason of a loss that may be none: the last write before a crash is torn or damaged, nobody can know which.
pub const WAL_TAIL_DAMAGED: &str = "wal_tail_damaged";

impl Engine {
    /// Opens the data directory, or makes it, and replays the WAL. When it returns, every acknowledged row is visible.
    pub fn open(o: EngineOptions) -> Result<Arc<Engine>> {
        if o.tables.len() > limits::TABLES {
            return Err(Error::internal("too many tables"));
        }
        let keys = Keys::new(&o.dir);
        for dir in [keys.root().to_owned(), keys.wal(), keys.runs(), keys.blocks()] {
            o.fs.create_dir_all(&dir)?;
        }
        let losses = Arc::new(Losses::default());
        let indexes = IndexCache::new(o.settings.index_limit);
        let catalog = catalog::open(&o.fs, &keys, &o.tables, &losses, &o.clock, &indexes, &o.node)?;
        let blocks = blocks_of(&o, &keys, &losses, &indexes)?;
        let checkpoint = read_checkpoint(&o, &keys, &losses)?;
        let in_runs = catalog.runs().map(|r| r.meta.wal_upto).max().unwrap_or(0).max(checkpoint.wal_upto);
        let retention = retention_clock(&o, &checkpoint, &catalog);
        let positions: BTreeMap<String, Vec<u8>> = checkpoint.positions.iter().filter_map(|(s, h)| Some((s.clone(), unhex(h)?))).collect();
        let s = &o.settings;
        let budget = MemoryBudget::new(s.memtable_limit, s.bodies_limit, s.queries_limit, s.query_limit);
        let first = Generation::new(1, in_runs, &o.tables, budget.clone(), s.freeze_bytes, None);
        let engine = Arc::new_cyclic(|me| Engine {
            me: me.clone(),
            blocks,
            stop_merging: Cancel::default(),
            listed_ns: AtomicI64::new(0),
            listed_recent_ns: AtomicI64::new(0),
            all_known: AtomicBool::new(false),
            unreadable: Mutex::default(),
            orphans: Mutex::default(),
            to_fetch: Mutex::default(),
            erase: OnceLock::new(),
            erased_ns: AtomicI64::new(0),
            untouched: Mutex::default(),
            compacted_ns: AtomicI64::new(0),
            merge_failures: AtomicU32::new(0),
            list_failures: AtomicU32::new(0),
            owner: RwLock::new(Arc::new(|_, _, _| true)),
            commits: Mutex::new(CommitLog::new(&o.node, o.clock.now_ns())),
            stats: stats::Counters::new(o.tables.len()),
            codecs: o.codecs.into_iter().map(|c| (c.id(), c)).collect(),
            fs: o.fs,
            keys,
            clock: o.clock,
            tables: o.tables,
            settings: o.settings,
            budget,
            losses,
            indexes,
            live: RwLock::new(Live { generations: vec![first], catalog }),
            queue: Mutex::new(VecDeque::new()),
            committer: Mutex::new(Committer { wal: None }),
            sealed_positions: Mutex::default(),
            positions: Mutex::new(positions),
            flushing: Mutex::default(),
            merging: Mutex::default(),
            bell: Bell::default(),
            stopping: AtomicBool::new(false),
            retention: Mutex::new(retention),
            threads: Mutex::default(),
        });
        engine.open_store()?;
        if engine.settings.background {
            engine.start_threads()?;
        }
        engine.replay(checkpoint.wal_upto, in_runs)?;
        Ok(engine)
    }

    /// What this node knows of the store's blocks, and if it never read their whole list, that list. A store that is away does
    /// not keep a node from opening.
    pub(super) fn open_store(&self) -> Result<()> {
        let Some(remote) = self.blocks.remote() else {
            if self.blocks.knows_all() {
                return Err(Error::invalid(
                    "the blocks of this data directory are in an object store, and none is set (storage.url): without it every answer would lack them",
                ));
            }
            self.all_known.store(true, Ordering::Release);
            return Ok(());
        };
        self.blocks.clear_staging()?;
        for block in self.blocks.copies(remote)? {
            if let Some(key) = self.key_of(&block) {
                let mut live = self.live.write();
                if live.catalog.block(&key, &block.meta.id).is_none() {
                    live.catalog.add_block(key, Arc::new(block), self.clock.now_ns());
                }
            }
        }
        if self.blocks.knows_all() {
            self.all_known.store(true, Ordering::Release);
        } else if let Err(e) = self.refresh(Refresh::All) {
            tracing::warn!(store = remote.store.name(), error = %e, "the list of blocks cannot be read yet: reads wait for it");
        }
        self.note_earlier_commits();
        Ok(())
    }

    /// Frames from `from` on tell positions; frames from `in_runs` on hold rows that are nowhere else.
    fn replay(&self, from: u64, in_runs: u64) -> Result<()> {
        let wal_settings = wal::Settings { segment_bytes: self.settings.wal_segment_bytes };
        let (mut wal, recovered) = wal::Wal::open(self.fs.clone(), &self.keys.wal(), wal_settings, from, &mut |f| {
            if f.kind == frame::PUSH {
                self.replay_frame(f.seq, &Bytes::copy_from_slice(f.payload), f.seq >= in_runs)?;
            }
            Ok(())
        })?;
        for d in recovered.damage.iter().filter(|d| !d.known) {
            let mut detail = d.reason.clone();
            if let Some((a, b)) = d.seq_range {
                detail.push_str(&format!("; requests {a} to {b} of the log"));
            }
            if !d.was_synced {
                detail.push_str("; the last write before the stop, which may not have been acknowledged");
            }
            let reason = if d.was_synced { "wal_damaged" } else { WAL_TAIL_DAMAGED };
            self.lost(format!("wal segment {} offset {}", d.segment, d.offset), reason, None, Some(d.bytes), detail);
        }
        let flushed = self.live.read().generations[0].from.max(in_runs);
        if flushed > from {
            // A crash between a run's commit and its checkpoint: the frames that go now told positions, too.
            self.write_checkpoint(flushed, &self.positions.lock())?;
        }
        wal.remove_before(flushed)?;
        let g = self.current();
        g.upto.fetch_max(wal.next_seq(), Ordering::AcqRel);
        if self.live.read().generations.len() == 1 && g.rows_bytes() == 0 {
            // Nothing was replayed: the generation begins where the log goes on.
            let fresh = Generation::new(g.id, wal.next_seq(), &self.tables, self.budget.clone(), self.settings.freeze_bytes, None);
            self.live.write().generations = vec![fresh];
        }
        tracing::info!(
            frames = recovered.frames,
            bytes = recovered.bytes,
            torn_tail_bytes = recovered.torn_tail_bytes,
            damage = recovered.damage.len(),
            "log replayed"
        );
        self.committer.lock().wal = Some(wal);
        Ok(())
    }

    fn replay_frame(&self, seq: u64, payload: &Bytes, with_rows: bool) -> Result<()> {
        let name = || format!("wal frame {seq}");
        let (header, body) = match frame::decode(payload) {
            Ok(x) => x,
            Err(e) => {
                self.lost(name(), "frame_damaged", None, Some(payload.len() as u64), e.to_string());
                return Ok(());
            }
        };
        self.note_position(header.origin.as_ref());
        if !with_rows {
            return Ok(());
        }
        let generation = self.current();
        let mut sink = EngineSink::new(self, &generation, &header, None);
        let decoded = match self.codecs.get(&header.codec) {
            Some(c) => c.decode(&header, &body, &mut sink),
            None => Err(Error::invalid(format!("this build has no codec {}", header.codec))),
        };
        if let Err(e) = decoded {
            self.lost(name(), "frame_undecodable", None, Some(body.len() as u64), e.to_string());
            return Ok(());
        }
        let found = sink.found();
        self.note_short(name, header.rows, &found);
        let rows = found.rows;
        self.make_room(rows.iter().map(|r| r.bytes).sum())?;
        generation.wal_bytes.fetch_add(payload.len() as u64, Ordering::AcqRel);
        generation.upto.store(seq + 1, Ordering::Release);
        self.show(&generation, rows);
        if !self.settings.background {
            self.freeze_due()?;
        }
        if generation.wal_bytes.load(Ordering::Acquire) >= self.settings.generation_wal_bytes
            || generation.rows_bytes() >= self.settings.generation_bytes
        {
            self.seal()?;
            if !self.settings.background {
                self.flush_sealed()?;
            }
        }
        Ok(())
    }

    /// A body that was taken gives all its rows again, unless this build refuses what an earlier one took: that is told.
    fn note_short(&self, name: impl Fn() -> String, taken: Option<u64>, found: &Found) {
        let rows = found.count();
        let Some(fewer) = taken.and_then(|taken| taken.checked_sub(rows)).filter(|n| *n > 0) else { return };
        let why = found.refusals.iter().find(|r| !r.message.is_empty());
        let why = why.map_or("this build reads the body otherwise", |r| &r.message);
        self.lost(name(), "refused_at_replay", Some(fewer), None, format!("{fewer} of {} rows that were taken: {why}", fewer + rows));
    }

    /// Replayed rows were accepted long ago: they wait for memory, they are not refused.
    fn make_room(&self, bytes: usize) -> Result<()> {
        if !self.settings.background {
            self.budget.force_rows(bytes);
            return Ok(());
        }
        let mut patience = 200;
        while !self.budget.try_rows(bytes) {
            self.stats.pressure.store(true, Ordering::Relaxed);
            self.bell.freeze();
            self.bell.flush();
            self.budget.wait_freed(std::time::Duration::from_millis(50));
            patience -= 1;
            if patience == 0 {
                // The disk takes nothing more, and the rows must be readable all the same.
                self.budget.force_rows(bytes);
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn lost(&self, source: String, reason: &str, rows: Option<u64>, bytes: Option<u64>, detail: String) {
        self.losses.add(Loss {
            source,
            reason: reason.into(),
            rows,
            bytes,
            first_ns: None,
            last_ns: None,
            found_ns: self.clock.now_ns(),
            detail,
        });
    }
}

/// Goes on where the last process left it. Without a mark (the checkpoint was damaged) it stands where the newest file
/// was made; without files, at the wall clock.
fn retention_clock(o: &EngineOptions, checkpoint: &Checkpoint, catalog: &Catalog) -> RetentionClock {
    let wall_ns = o.clock.now_ns();
    let newest = || catalog.newest_ns().map(|n| RetentionMark { now_ns: n.min(wall_ns), ahead_for_ns: 0 });
    RetentionClock::new(checkpoint.retention.clone().or_else(newest), wall_ns, o.clock.elapsed_ns())
}

fn blocks_of(o: &EngineOptions, keys: &Keys, losses: &Arc<Losses>, indexes: &Arc<IndexCache>) -> Result<Blocks> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if o.node.is_empty() || !o.node.bytes().all(fits) {
        return Err(Error::invalid(format!("{:?} cannot be the name of a node: lower-case letters, digits, - and _", o.node)));
    }
    if o.settings.shared_store && o.node == LOCAL {
        return Err(Error::invalid("a node that shares its store needs a name of its own"));
    }
    let shared = o.settings.shared_store;
    let remote = o.store.clone().map(|s| Remote::new(s, shared, &o.fs, keys, o.settings.cache_bytes)).transpose()?;
    let remote = remote.map_or_else(OnceLock::new, OnceLock::from);
    Ok(Blocks {
        fs: o.fs.clone(),
        keys: keys.clone(),
        node: o.node.clone(),
        losses: losses.clone(),
        clock: o.clock.clone(),
        tables: o.tables.clone(),
        remote,
        indexes: indexes.clone(),
        uncopied: Mutex::default(),
        drafted_ns: AtomicI64::new(0),
    })
}

/// A damaged checkpoint only makes the replay longer and may repeat a source's lines, which are told as such.
fn read_checkpoint(o: &EngineOptions, keys: &Keys, losses: &Losses) -> Result<Checkpoint> {
    match meta::read::<Checkpoint>(&*o.fs, &keys.checkpoint()) {
        Ok(c) => Ok(c),
        Err(e) if e.kind() == Kind::NotFound => Ok(Checkpoint::default()),
        Err(e) if e.kind() == Kind::Corrupt => {
            losses.add(Loss {
                source: keys.checkpoint().display().to_string(),
                reason: "checkpoint_damaged".into(),
                rows: Some(0),
                bytes: None,
                first_ns: None,
                last_ns: None,
                found_ns: o.clock.now_ns(),
                detail: format!("{}: no rows are lost, but sources that were quiet since may be read again", e.message()),
            });
            Ok(Checkpoint::default())
        }
        Err(e) => Err(e),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(text.get(i..i + 2)?, 16).ok()).collect()
}
