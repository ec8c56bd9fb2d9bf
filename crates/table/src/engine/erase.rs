//! Rows that somebody asked to delete go for good when blocks are merged.
//!
//! What is to go is known above the waist: the engine asks [`Erase`] before each merge, and now and then looks for blocks that were
//! made before a request was due and may hold rows of it. Such a block is merged alone, and its successor names the requests whose rows
//! it does not hold ([`BlockMeta::erased`]), so that none is looked at twice. Answers must leave the rows out until then, and after it,
//! too: they may come again from a log that is replayed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::Result;

use super::Engine;
use super::merge::Inputs;
use crate::catalog::{Block, PartitionKey};
use crate::erase::Erasing;
use crate::limits;
use crate::scan::{ScanRequest, TimeRange};
use crate::sorted::{self, Source};

/// Whoever knows what is to be deleted.
pub trait Erase: Send + Sync {
    /// The requests that are due at `now_ns`; nothing if there are none.
    fn due(&self, engine: &Engine, now_ns: i64) -> Result<Option<Arc<dyn Erasing>>>;
}

impl Engine {
    /// Says who knows what is to be deleted; once.
    pub fn erase_with(&self, erase: Arc<dyn Erase>) {
        let _ = self.erase.set(erase);
    }

    /// What merges leave out by now. Without an answer they leave nothing out: a later one does.
    pub(super) fn erasing(&self) -> Option<Arc<dyn Erasing>> {
        // What goes does not come back, so this goes by the clock of retention.
        let due = self.erase.get()?.due(self, self.retention_now_ns());
        due.unwrap_or_else(|e| {
            tracing::warn!(error = %e, "it cannot be told which rows are to be deleted, so a merge keeps them");
            None
        })
    }

    /// The times of a partition.
    pub(super) fn day_range(&self, key: &PartitionKey) -> TimeRange {
        let day = self.tables[key.table].unit.day();
        let start = key.day.saturating_mul(day);
        TimeRange { start, end: start.saturating_add(day) }
    }

    /// One look for rows that are to be deleted, if it is time for one.
    pub(super) fn erase_due(&self) -> Result<()> {
        let now = self.clock.now_ns();
        if now.saturating_sub(self.erased_ns.load(Ordering::Relaxed)) < limits::ERASE_EVERY_NS {
            return Ok(());
        }
        self.erased_ns.store(now, Ordering::Relaxed);
        self.erase_rows().map(|_| ())
    }

    /// Rewrites the blocks of this node's partitions that may hold rows that are to be deleted; returns how many.
    pub fn erase_rows(&self) -> Result<usize> {
        let Some(erasing) = self.erasing() else { return Ok(0) };
        let _one = self.merging.lock();
        let partitions: Vec<PartitionKey> = self.live.read().catalog.partitions().map(|(k, _)| k.clone()).collect();
        let mut rewritten = 0;
        for key in partitions.iter().filter(|k| !self.is_expired(k) && self.owns(k)) {
            let blocks: Vec<Arc<Block>> = self.live.read().catalog.blocks_of(key).to_vec();
            for block in blocks {
                if self.stopping.load(Ordering::SeqCst) {
                    return Ok(rewritten);
                }
                if self.holds_rows_of(&*erasing, key, &block)? {
                    self.merge_again(key, &|| Ok(Inputs::of_blocks([&block])))?;
                    rewritten += 1;
                }
            }
        }
        Ok(rewritten)
    }

    fn holds_rows_of(&self, erasing: &dyn Erasing, key: &PartitionKey, block: &Block) -> Result<bool> {
        let spec = self.tables[key.table];
        let day = self.day_range(key);
        let names = erasing.names(spec.name, &key.tenant, day);
        if names.iter().all(|n| block.meta.erased.contains(n)) {
            return Ok(false);
        }
        let looked_at = (block.meta.id.clone(), names);
        if self.untouched.lock().contains(&looked_at) {
            return Ok(false);
        }
        let request = ScanRequest::new(spec, key.tenant.clone(), vec![], day);
        let series = sorted::series(spec, &[Source::File { file: block.file.clone(), hidden_days: vec![] }], &request)?;
        let touched = series.iter().any(|l| erasing.touches(spec.name, &key.tenant, day, l));
        if !touched {
            let mut untouched = self.untouched.lock();
            if untouched.len() >= limits::UNTOUCHED_BLOCKS {
                untouched.clear();
            }
            untouched.insert(looked_at);
        }
        Ok(touched)
    }
}
