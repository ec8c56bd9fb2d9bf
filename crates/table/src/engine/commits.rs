//! Which blocks this node committed lately, for nodes that share its store: an answer to a scan names them, and whoever
//! asked learns those it does not know before it looks at blocks itself.

use std::collections::VecDeque;
use std::sync::Arc;

use base::Tenant;
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::catalog::{Block, Home, PartitionKey};
use crate::limits;

/// Names a block.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlockRef {
    /// Table.
    pub table: String,
    /// Tenant.
    pub tenant: String,
    /// Day since 1970.
    pub day: i64,
    /// The block's id.
    pub id: String,
}

impl BlockRef {
    fn of(block: &Block) -> Self {
        let m = &block.meta;
        BlockRef { table: m.table.clone(), tenant: m.tenant.clone(), day: m.day, id: m.id.clone() }
    }
}

/// What a node committed since it was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commits {
    /// To be given to the next [`Engine::commits_since`].
    pub version: u64,
    /// The blocks, oldest first.
    pub blocks: Vec<BlockRef>,
    /// `blocks` may lack some, because the asker's version is too old. They are in the store.
    pub reset: bool,
}

/// Whether a node compacts and sweeps a partition: table, tenant, day since 1970.
pub type Owner = Arc<dyn Fn(&str, &Tenant, i64) -> bool + Send + Sync>;

/// A bounded log of commits. Its versions carry the life of the node in their upper half. It begins with what earlier lives committed,
/// so that whoever knew an earlier life, or none, needs no list of the store.
pub(crate) struct CommitLog {
    life: u64,
    next: u64,
    blocks: VecDeque<BlockRef>,
    /// It forgot some.
    cut: bool,
}

impl CommitLog {
    pub fn new(node: &str, opened_ns: i64) -> Self {
        // Never 0, which is the version of whoever knows nothing.
        let life = base::hash::hash128(format!("{node}/{opened_ns}").as_bytes()) as u64 | 1;
        CommitLog { life: life << 32, next: 0, blocks: VecDeque::new(), cut: false }
    }

    pub fn add(&mut self, block: BlockRef) {
        self.next += 1;
        self.blocks.push_back(block);
        if self.blocks.len() > limits::COMMITS {
            self.blocks.pop_front();
            self.cut = true;
        }
    }

    pub fn since(&self, version: u64) -> Commits {
        let first = self.next - self.blocks.len() as u64;
        let seen = version.checked_sub(self.life).filter(|s| (first..=self.next).contains(s));
        let skip = seen.map_or(0, |s| (s - first) as usize);
        Commits {
            version: self.life + self.next,
            blocks: self.blocks.iter().skip(skip).cloned().collect(),
            reset: seen.is_none() && self.cut,
        }
    }
}

impl Engine {
    /// Blocks that this node committed after `version`, which is 0 for whoever never asked.
    pub fn commits_since(&self, version: u64) -> Commits {
        self.commits.lock().since(version)
    }

    /// Decides which partitions this node compacts and sweeps. Until it is called: all.
    pub fn set_owner(&self, owner: Owner) {
        *self.owner.write() = owner;
    }

    pub(super) fn owns(&self, key: &PartitionKey) -> bool {
        let owner = self.owner.read().clone();
        owner(self.tables[key.table].name, &key.tenant, key.day)
    }

    pub(super) fn note_commit(&self, block: &Block) {
        self.commits.lock().add(BlockRef::of(block));
    }

    /// The log begins with the blocks that earlier lives of this node committed.
    pub(super) fn note_earlier_commits(&self) {
        let live = self.live.read();
        let mut mine: Vec<&Arc<Block>> =
            live.catalog.all_blocks().map(|(_, b)| b).filter(|b| b.home == Home::Store && b.meta.node == self.blocks.node).collect();
        mine.sort_by_key(|b| b.meta.created_ns);
        let mut log = self.commits.lock();
        mine.into_iter().for_each(|b| log.add(BlockRef::of(b)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(n: usize) -> BlockRef {
        BlockRef { table: "t".into(), tenant: "a".into(), day: 1, id: format!("b{n}") }
    }

    #[test]
    fn the_log_tells_each_commit_once_and_says_when_it_forgot() {
        let mut log = CommitLog::new("n", 1);
        let first = log.since(0);
        assert!(!first.reset && first.blocks.is_empty());
        log.add(block(1));
        log.add(block(2));
        let second = log.since(first.version);
        assert_eq!((second.reset, second.blocks), (false, vec![block(1), block(2)]));
        let (none, other) = (log.since(0), log.since(CommitLog::new("n", 2).since(0).version));
        assert!(!none.reset && none.blocks.len() == 2 && other == none, "whoever knows nothing of this life hears everything");
        assert_eq!(log.since(second.version), Commits { version: second.version, blocks: vec![], reset: false });
        (0..limits::COMMITS).for_each(|n| log.add(block(n)));
        assert!(!log.since(second.version).reset, "all of them are still in the log");
        log.add(block(0));
        let late = log.since(second.version);
        assert!(late.reset && late.blocks.len() == limits::COMMITS);
        assert!(log.since(0).reset, "not everything any more");
        assert!(log.since(late.version + 1).reset, "a version from nowhere");
    }
}
