//! Runs to blocks, small blocks to larger ones, superseded files to nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::Result;

use super::Engine;
use crate::catalog::{self, Block, PartitionKey};
use crate::keys::{Keys, META};
use crate::limits;
use crate::meta::{self, BlockMeta, FORMAT};
use crate::scan::Cancel;
use crate::sorted::{self, MergeOptions, SortedFile, Source};

/// What to merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeWhat {
    /// What is due by number and age of runs.
    Due,
    /// Every run.
    All,
}

/// Inputs of one merge, and what they are called.
#[derive(Default)]
struct Inputs {
    sources: Vec<Source>,
    parents: Vec<String>,
    level: u32,
}

impl Inputs {
    fn add(&mut self, id: &str, file: &Arc<SortedFile>, level: u32) {
        self.sources.push(Source::File { file: file.clone(), hidden_days: vec![] });
        self.parents.push(id.to_owned());
        self.level = self.level.max(level);
    }
}

impl Engine {
    /// Merges runs into blocks, partition by partition, and then blocks of a full size class into one. Each merge is
    /// committed on its own.
    pub fn merge(&self, what: MergeWhat) -> Result<()> {
        let _one = self.merging.lock();
        if what == MergeWhat::Due && !self.merge_is_due() {
            return Ok(());
        }
        let partitions = self.live.read().catalog.unmerged();
        for key in partitions {
            if self.stopping.load(Ordering::SeqCst) && what == MergeWhat::Due {
                break;
            }
            if !self.is_expired(&key) {
                self.merge_partition(&key, self.merge_inputs(&key))?;
                self.merge_partition(&key, self.compaction_inputs(&key))?;
            }
        }
        Ok(())
    }

    fn merge_is_due(&self) -> bool {
        let live = self.live.read();
        let now = self.clock.now_ns();
        let age = self.settings.merge_age.as_nanos() as i64;
        live.catalog.runs().count() >= self.settings.merge_runs || live.catalog.runs().any(|r| now.saturating_sub(r.meta.created_ns) > age)
    }

    fn merge_partition(&self, key: &PartitionKey, inputs: Inputs) -> Result<()> {
        if inputs.sources.is_empty() {
            return Ok(());
        }
        let Inputs { sources, parents, level } = inputs;
        let level = level + 1;
        let spec = self.tables[key.table];
        let id = BlockMeta::id_of(spec.name, &key.tenant, key.day, level, &parents);
        let dir = self.keys.partition(spec.name, &key.tenant, key.day).join(&id);
        self.fs.create_dir_all(&dir)?;
        let options = MergeOptions { keep_from: None, cancel: Cancel::default() };
        let (data, series) = (Keys::data(&dir), Keys::series(&dir));
        let (sorted, stats) = sorted::merge(spec, sources, &key.tenant, key.day, &*self.fs, &data, &series, &options)?;
        self.fs.sync_dir(&dir)?;
        let ancestors = self.ancestors(key, &parents);
        let meta = BlockMeta {
            format: FORMAT,
            id,
            table: spec.name.into(),
            tenant: key.tenant.to_string(),
            day: key.day,
            level,
            created_ns: self.clock.now_ns(),
            ancestors,
            sorted,
        };
        meta::write(&*self.fs, &dir.join(META), &meta)?;
        let file = self.open_file(spec, &data, &series, &meta.sorted)?;
        self.live.write().catalog.add_block(key.clone(), Arc::new(Block { meta, file }), &self.keys, spec.name);
        self.stats.merges.fetch_add(1, Ordering::Relaxed);
        self.stats.doubles.fetch_add(stats.doubles, Ordering::Relaxed);
        Ok(())
    }

    /// All runs of the partition and its small blocks.
    fn merge_inputs(&self, key: &PartitionKey) -> Inputs {
        let live = self.live.read();
        let runs = live.catalog.runs_of(key);
        let mut inputs = Inputs::default();
        for r in &runs {
            inputs.add(&r.meta.id, &r.files[&key.table], 0);
        }
        if !runs.is_empty() {
            for b in live.catalog.blocks_of(key).iter().filter(|b| b.bytes() < limits::SMALL_BLOCK_BYTES) {
                inputs.add(&b.meta.id, &b.file, b.meta.level);
            }
        }
        inputs
    }

    /// The blocks of a partition's fullest size class, if it is full.
    fn compaction_inputs(&self, key: &PartitionKey) -> Inputs {
        let live = self.live.read();
        let mut classes: BTreeMap<u32, Vec<&Arc<Block>>> = BTreeMap::new();
        for b in live.catalog.blocks_of(key) {
            let class = (b.bytes() / limits::SMALL_BLOCK_BYTES).max(1).ilog(limits::BLOCKS_OF_A_CLASS as u64);
            classes.entry(class).or_default().push(b);
        }
        let mut inputs = Inputs::default();
        if let Some(blocks) = classes.into_values().find(|b| b.len() >= limits::BLOCKS_OF_A_CLASS) {
            blocks.iter().for_each(|b| inputs.add(&b.meta.id, &b.file, b.meta.level));
        }
        inputs
    }

    /// The parents and those of their ancestors that are not confirmed gone: as long as one could come back after a
    /// crash, the newest block must name it (promise P5).
    fn ancestors(&self, key: &PartitionKey, parents: &[String]) -> Vec<String> {
        let live = self.live.read();
        let mut all = parents.to_vec();
        for b in live.catalog.blocks_of(key).iter().filter(|b| parents.contains(&b.meta.id)) {
            all.extend(b.meta.ancestors.iter().filter(|a| live.catalog.exists(a)).cloned());
        }
        all.sort();
        all.dedup();
        all
    }

    /// Removes what is superseded or past its retention and held by no scan.
    pub fn sweep(&self) -> Result<()> {
        let _one = self.merging.lock();
        self.retention_now_ns(); // also without a retention, so that the checkpoint never carries a stale one
        let expired = self.live.write().catalog.expire(&|k| self.is_expired(k), &self.keys, &self.tables);
        self.stats.expired.fetch_add(expired as u64, Ordering::Relaxed);
        let removable = self.live.read().catalog.removable();
        for (id, dir) in removable {
            if self.losses.damaged_below(&dir) {
                catalog::set_aside(&*self.fs, &self.keys, &id, &dir)?;
            } else {
                catalog::remove_dir(&*self.fs, &dir)?;
            }
            self.live.write().catalog.buried(&dir);
            self.stats.removed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
