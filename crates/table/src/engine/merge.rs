//! Runs to blocks, small blocks to larger ones, superseded files to nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{Kind, Result};

use super::Engine;
use super::blocks::{Draft, Remote};
use crate::catalog::{self, Block, Dead, Home, PartitionKey};
use crate::erase::Erasing;
use crate::limits;
use crate::meta::{BlockMeta, FORMAT};
use crate::sorted::{self, MergeOptions, SortedFile, Source};

/// What to merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeWhat {
    /// What is due by number and age of runs, and what compaction has to do.
    Due,
    /// Every run.
    All,
    /// Every run, and then the blocks of each partition that this node owns into one.
    Whole,
}

/// Inputs of one merge, and what they are called.
#[derive(Default)]
pub(super) struct Inputs {
    sources: Vec<Source>,
    parents: Vec<String>,
    level: u32,
    bytes: u64,
    series: u64,
}

/// What a merge makes.
struct Successor {
    level: u32,
    id: String,
    /// Names of the requests whose rows it does not hold.
    erased: Vec<String>,
    erasing: Option<Arc<dyn Erasing>>,
}

impl Inputs {
    fn add(&mut self, name: &str, file: &Arc<SortedFile>, level: u32) {
        self.sources.push(Source::File { file: file.clone(), hidden_days: vec![] });
        self.parents.push(name.to_owned());
        self.level = self.level.max(level);
        self.bytes += file.meta().data_bytes + file.meta().series_bytes;
        self.series += file.meta().series;
    }

    pub(super) fn of_blocks<'a>(blocks: impl IntoIterator<Item = &'a Arc<Block>>) -> Inputs {
        let mut inputs = Inputs::default();
        blocks.into_iter().for_each(|b| inputs.add(&b.meta.id, &b.file, b.meta.level));
        inputs
    }
}

impl Engine {
    /// Merges runs into blocks, partition by partition, and then blocks of a full size class into one. Each merge is
    /// committed on its own. In a shared store, a node merges its own runs, and blocks only where it is the owner.
    pub fn merge(&self, what: MergeWhat) -> Result<()> {
        let _one = self.merging.lock();
        if what != MergeWhat::Due || self.merge_is_due() {
            let partitions = self.live.read().catalog.unmerged();
            for key in partitions.iter().filter(|k| !self.is_expired(k)) {
                if self.may_stop(what) {
                    return Ok(());
                }
                self.merge_runs(key)?;
                if self.owns(key) {
                    self.merge_blocks(key, &|| self.compaction_inputs(key))?;
                }
            }
        }
        if what == MergeWhat::Whole || self.blocks.remote().is_some() && self.compaction_is_due() {
            let partitions: Vec<PartitionKey> =
                self.live.read().catalog.partitions().filter(|(_, b)| b.len() > 1).map(|(k, _)| k.clone()).collect();
            for key in partitions.iter().filter(|k| !self.is_expired(k) && self.owns(k)) {
                if self.may_stop(what) {
                    return Ok(());
                }
                self.merge_blocks(key, &|| self.compaction_inputs(key))?;
                if what == MergeWhat::Whole || self.is_closed(key) {
                    self.merge_blocks(key, &|| self.whole_inputs(key, what == MergeWhat::Whole))?;
                }
            }
        }
        Ok(())
    }

    fn may_stop(&self, what: MergeWhat) -> bool {
        self.stopping.load(Ordering::SeqCst) && what == MergeWhat::Due
    }

    fn merge_is_due(&self) -> bool {
        let live = self.live.read();
        let now = self.clock.now_ns();
        let age = self.settings.merge_age.as_nanos() as i64;
        live.catalog.runs().count() >= self.settings.merge_runs || live.catalog.runs().any(|r| now.saturating_sub(r.meta.created_ns) > age)
    }

    /// Blocks of other nodes come at any time: a look every ten seconds costs nothing.
    fn compaction_is_due(&self) -> bool {
        let now = self.clock.now_ns();
        let last = self.compacted_ns.load(Ordering::Relaxed);
        let due = now.saturating_sub(last) >= limits::COMPACTION_EVERY_NS;
        if due {
            self.compacted_ns.store(now, Ordering::Relaxed);
        }
        due
    }

    /// Every run of a partition, as many at once as memory and disk allow.
    fn merge_runs(&self, key: &PartitionKey) -> Result<()> {
        while !self.merge_inputs(key)?.sources.is_empty() {
            self.merge_again(key, &|| self.merge_inputs(key))?;
        }
        Ok(())
    }

    fn merge_blocks(&self, key: &PartitionKey, inputs: &dyn Fn() -> Inputs) -> Result<()> {
        self.merge_again(key, &|| Ok(inputs()))
    }

    /// Another owner may have merged and deleted what we are about to merge: then we look what there is, and begin anew.
    pub(super) fn merge_again(&self, key: &PartitionKey, inputs: &dyn Fn() -> Result<Inputs>) -> Result<()> {
        match self.merge_partition(key, inputs()?) {
            Err(e) if e.kind() == Kind::NotFound && self.blocks.remote().is_some() => {
                self.refresh_partition(key)?;
                self.merge_partition(key, inputs()?)
            }
            other => other,
        }
    }

    fn merge_partition(&self, key: &PartitionKey, inputs: Inputs) -> Result<()> {
        if inputs.sources.is_empty() {
            return Ok(());
        }
        let spec = self.tables[key.table];
        let level = inputs.level + 1;
        let erasing = self.erasing();
        let erased = erasing.as_ref().map_or_else(Vec::new, |e| e.names(spec.name, &key.tenant, self.day_range(key)));
        let id = BlockMeta::id_of(spec.name, &key.tenant, key.day, level, &inputs.parents, &erased);
        let draft = self.blocks.draft(&self.block_key(key, &id), &id)?;
        let erasing = erasing.filter(|_| !erased.is_empty());
        let done = self.merge_into(key, inputs, Successor { level, id, erased, erasing }, &draft);
        self.blocks.discard(&draft);
        let (block, doubles) = done?;
        self.note_commit(&block);
        self.live.write().catalog.add_block(key.clone(), Arc::new(block), self.clock.now_ns());
        self.stats.merges.fetch_add(1, Ordering::Relaxed);
        self.stats.doubles.fetch_add(doubles, Ordering::Relaxed);
        Ok(())
    }

    fn merge_into(&self, key: &PartitionKey, inputs: Inputs, new: Successor, draft: &Draft) -> Result<(Block, u64)> {
        let spec = self.tables[key.table];
        let Successor { level, id, erased, erasing } = new;
        let options = MergeOptions { keep_from: None, erasing, cancel: self.stop_merging.clone() };
        let Inputs { sources, parents, .. } = inputs;
        let (sorted, stats) = sorted::merge(spec, sources, &key.tenant, key.day, &*draft.fs, &draft.data, &draft.series, &options)?;
        let meta = BlockMeta {
            format: FORMAT,
            id,
            table: spec.name.into(),
            tenant: key.tenant.to_string(),
            day: key.day,
            level,
            created_ns: 0,
            node: String::new(),
            data: String::new(),
            series: String::new(),
            ancestors: self.ancestors(key, &parents),
            erased,
            sorted,
        };
        let block = self.blocks.commit(&self.block_key(key, &meta.id), draft, meta)?;
        self.stats.erased.fetch_add(stats.erased, Ordering::Relaxed);
        Ok((block, stats.doubles))
    }

    /// Runs of the partition, oldest first, and its small blocks if this node is the owner.
    fn merge_inputs(&self, key: &PartitionKey) -> Result<Inputs> {
        // What is not written into the store's own directory waits on this disk for its upload.
        let room = match self.blocks.stages() {
            true => self.fs.free_bytes(self.keys.root())?.saturating_sub(self.settings.min_free_bytes / 2),
            false => u64::MAX,
        };
        let live = self.live.read();
        let mut inputs = Inputs::default();
        for r in live.catalog.runs_of(key).iter().take(limits::MERGED_RUNS) {
            let file = &r.files[&key.table];
            let indexes = (inputs.series + file.meta().series) * limits::SERIES_INDEX_BYTES;
            let fits =
                inputs.bytes + file.meta().data_bytes <= room && (inputs.sources.len() < 2 || indexes <= self.settings.index_limit as u64);
            if inputs.sources.is_empty() || fits {
                inputs.add(&r.name, file, 0);
            }
        }
        if !inputs.sources.is_empty() && self.owns(key) {
            for b in live.catalog.blocks_of(key).iter().filter(|b| b.bytes() < limits::SMALL_BLOCK_BYTES) {
                inputs.add(&b.meta.id, &b.file, b.meta.level);
            }
        }
        Ok(inputs)
    }

    /// The blocks of a partition's fullest size class, if it is full.
    fn compaction_inputs(&self, key: &PartitionKey) -> Inputs {
        let live = self.live.read();
        let mut classes: BTreeMap<u32, Vec<&Arc<Block>>> = BTreeMap::new();
        for b in live.catalog.blocks_of(key) {
            let class = (b.bytes() / limits::SMALL_BLOCK_BYTES).max(1).ilog(limits::BLOCKS_OF_A_CLASS as u64);
            classes.entry(class).or_default().push(b);
        }
        let full = classes.into_values().find(|b| b.len() >= limits::BLOCKS_OF_A_CLASS).unwrap_or_default();
        self.if_there_is_room(Inputs::of_blocks(full))
    }

    /// All blocks of a partition, if it is worth it.
    fn whole_inputs(&self, key: &PartitionKey, even_if_small: bool) -> Inputs {
        let live = self.live.read();
        let blocks = live.catalog.blocks_of(key);
        let inputs = Inputs::of_blocks(blocks);
        let largest = blocks.iter().map(|b| b.bytes()).max().unwrap_or(0);
        let worth = even_if_small || (inputs.bytes - largest) >= largest / limits::WORTH_WHOLE;
        if blocks.len() < 2 || !worth { Inputs::default() } else { self.if_there_is_room(inputs) }
    }

    fn if_there_is_room(&self, inputs: Inputs) -> Inputs {
        let room =
            || self.fs.free_bytes(self.keys.root()).is_ok_and(|free| free > inputs.bytes.saturating_add(self.settings.min_free_bytes));
        let fits = inputs.bytes <= limits::WHOLE_BYTES && (!self.blocks.stages() || room());
        if fits { inputs } else { Inputs::default() }
    }

    /// A day that has ended, of which nothing has come for a while.
    fn is_closed(&self, key: &PartitionKey) -> bool {
        let spec = self.tables[key.table];
        let now = self.clock.now_ns();
        let end_ns = spec.unit.to_ns((key.day + 1).saturating_mul(spec.unit.day()));
        let live = self.live.read();
        let newest = live.catalog.blocks_of(key).iter().map(|b| b.meta.created_ns).max().unwrap_or(now);
        now.saturating_sub(end_ns) > limits::CLOSED_NS
            && now.saturating_sub(newest) > limits::QUIET_NS
            && live.catalog.runs_of(key).is_empty()
    }

    /// The parents and those of their ancestors that are not confirmed gone: as long as one could come back after a
    /// crash, the newest block must name it (promise P5). Whether another node still has its runs is not known here: blocks
    /// made of runs hand their names on once. A node that comes back later reads the rows of such a run twice, as one.
    fn ancestors(&self, key: &PartitionKey, parents: &[String]) -> Vec<String> {
        let live = self.live.read();
        let mut all = parents.to_vec();
        for b in live.catalog.blocks_of(key).iter().filter(|b| parents.contains(&b.meta.id)) {
            let foreign_run = |a: &str| b.meta.level == 1 && a.split_once('/').is_some_and(|(node, _)| node != self.blocks.node);
            all.extend(b.meta.ancestors.iter().filter(|a| live.catalog.exists(a) || foreign_run(a)).cloned());
        }
        all.sort();
        all.dedup();
        all
    }

    /// Removes what is superseded or past its retention and held by no scan. From a shared store, the owner removes it, and
    /// only after a while.
    pub fn sweep(&self) -> Result<()> {
        let _one = self.merging.lock();
        self.retention_now_ns(); // also without a retention, so that the checkpoint never carries a stale one
        let now = self.clock.now_ns();
        let expired = self.live.write().catalog.expire(&|k| self.is_expired(k), now);
        let expired = expired + self.expire_by_size(now);
        self.stats.expired.fetch_add(expired as u64, Ordering::Relaxed);
        let removable = self.live.read().catalog.removable();
        for (dead, since_ns) in removable {
            let removed = match (&dead, self.blocks.remote()) {
                (Dead::Run(r), _) => self.remove_here(&self.keys.run(&r.meta.id), &r.meta.id)?,
                (Dead::Block(k, b), Some(remote)) if b.home == Home::Store => self.remove_from_store(remote, k, b, since_ns)?,
                (Dead::Block(k, b), _) => self.remove_here(&self.keys.root().join(self.block_key(k, &b.meta.id)), &b.meta.id)?,
            };
            if removed {
                self.live.write().catalog.buried(&dead);
                self.stats.removed.fetch_add(1, Ordering::Relaxed);
            }
        }
        match self.blocks.remote() {
            Some(remote) => self.sweep_orphans(remote),
            None => Ok(()),
        }
    }

    fn remove_here(&self, dir: &Path, id: &str) -> Result<bool> {
        if self.losses.damaged_below(dir) {
            catalog::set_aside(&*self.fs, &self.keys, id, dir)?;
        } else {
            catalog::remove_dir(&*self.fs, dir)?;
        }
        Ok(true)
    }

    fn remove_from_store(&self, remote: &Remote, key: &PartitionKey, block: &Block, since_ns: i64) -> Result<bool> {
        let waits = self.clock.now_ns().saturating_sub(since_ns) < self.settings.delete_delay.as_nanos() as i64;
        if remote.shared && (waits || !self.owns(key)) {
            return Ok(false);
        }
        // A damaged one is left for people to look at.
        if self.losses.damaged_below(Path::new(&self.block_key(key, &block.meta.id))) {
            return Ok(false);
        }
        self.blocks.delete(remote, &block.meta)?;
        Ok(true)
    }
}
