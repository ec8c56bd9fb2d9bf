//! Knowing which blocks the store has: a list read at the start and from time to time, and names learnt from other nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{Error, Kind, Result, Tenant};
use parking_lot::Mutex;

use super::blocks::Remote;
use super::{BlockRef, Commits, Engine};
use crate::catalog::{Block, Home, PartitionKey};
use crate::keys::{Keys, META};
use crate::limits;
use crate::loss::Loss;

/// How much of the list to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// Partitions of the last days, as far as they are known; all if that costs no more.
    Recent,
    /// All.
    All,
}

/// What a listing says of one block.
#[derive(Default)]
struct Listed {
    committed: bool,
    files: Vec<String>,
}

impl Engine {
    /// Since when, in nanoseconds, every block is known that the store had then. `None` as long as the list was not read since
    /// the start. A data directory of one's own is always known.
    pub fn blocks_fresh(&self) -> Option<i64> {
        match self.blocks.remote() {
            None => Some(self.clock.now_ns()),
            Some(_) => Some(self.listed_ns.load(Ordering::Acquire)).filter(|ns| *ns != 0),
        }
    }

    /// The runs of this node that are read, by what blocks call them that hold their rows, for each partition in which no known
    /// block does: table, tenant, day, name.
    pub fn unmerged_runs(&self) -> Vec<(&'static str, Tenant, i64, String)> {
        let live = self.live.read();
        let named = |k: &PartitionKey| {
            live.catalog.runs_of(k).iter().map(|r| (self.tables[k.table].name, k.tenant.clone(), k.day, r.name.clone())).collect::<Vec<_>>()
        };
        live.catalog.unmerged().iter().flat_map(named).collect()
    }

    /// An error if there may be blocks that this node never heard of: an answer without them would be as if whole.
    pub(super) fn blocks_known(&self) -> Result<()> {
        if self.all_known.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(Error::unavailable("the list of blocks has not been read from the store yet, try again"))
    }

    /// Reads the list of blocks from the store: learns new ones, and forgets those that are gone.
    pub fn refresh(&self, what: Refresh) -> Result<()> {
        let Some(remote) = self.blocks.remote() else { return Ok(()) };
        let began_ns = self.clock.now_ns();
        let all = vec!["blocks/".to_owned()];
        let prefixes = match what {
            Refresh::All => all.clone(),
            Refresh::Recent => self.recent_prefixes().unwrap_or_else(|| all.clone()),
        };
        for prefix in &prefixes {
            self.refresh_prefix(remote, prefix)?;
        }
        if prefixes == all {
            if !self.all_known.swap(true, Ordering::AcqRel) {
                self.blocks.note_all_known()?;
            }
            if let Err(e) = self.blocks.copy_again() {
                tracing::debug!(error = %e, "metas are not copied to this disk: after a restart the list of blocks is read first");
            }
            self.listed_ns.store(began_ns, Ordering::Release);
        }
        Ok(())
    }

    /// Known partitions of the last days, unless one listing of everything is cheaper: it names a thousand objects for each
    /// request, and a block has three.
    fn recent_prefixes(&self) -> Option<Vec<String>> {
        let live = self.live.read();
        let recent = |k: &PartitionKey| {
            let today = self.tables[k.table].day_of(self.tables[k.table].unit.from_ns(self.clock.now_ns()));
            k.day >= today - limits::RECENT_DAYS
        };
        let prefix = |k: &PartitionKey| self.block_key(k, "");
        let out: Vec<String> = live.catalog.partitions().filter(|(k, _)| recent(k)).map(|(k, _)| prefix(k)).collect();
        (out.len() <= 1 + live.catalog.all_blocks().count() * 3 / 1000).then_some(out)
    }

    pub(super) fn refresh_partition(&self, key: &PartitionKey) -> Result<()> {
        let Some(remote) = self.blocks.remote() else { return Ok(()) };
        self.refresh_prefix(remote, &self.block_key(key, ""))
    }

    /// Key of a block of a partition; the partition's prefix if `id` is empty.
    pub(super) fn block_key(&self, key: &PartitionKey, id: &str) -> String {
        Keys::block(self.tables[key.table].name, key.tenant.as_str(), key.day, id)
    }

    /// One look at the list below `prefix`, repeated if a block goes while its meta is read: then a newer one has come.
    fn refresh_prefix(&self, remote: &Remote, prefix: &str) -> Result<()> {
        let mut left = 3;
        while !self.look(remote, prefix)? {
            left -= 1;
            if left == 0 {
                return Err(Error::unavailable(format!("{prefix}: blocks come and go faster than they can be listed")));
            }
        }
        Ok(())
    }

    fn look(&self, remote: &Remote, prefix: &str) -> Result<bool> {
        // Before the listing: what is added meanwhile may not be in it.
        let mut known: BTreeMap<String, (PartitionKey, Arc<Block>)> = {
            let live = self.live.read();
            let in_store = live.catalog.all_blocks().filter(|(_, b)| b.home == Home::Store);
            let named = in_store.map(|(k, b)| (self.block_key(k, &b.meta.id), (k.clone(), b.clone())));
            named.filter(|(key, _)| key.starts_with(prefix)).collect()
        };
        let mut listed: BTreeMap<String, Listed> = BTreeMap::new();
        for o in remote.store.list(prefix)? {
            let Some((table, tenant, _, file)) = Keys::of_block(&o.key) else { continue };
            if !self.tables.iter().any(|t| t.name == table) || Tenant::new(tenant).is_err() {
                continue;
            }
            let block = listed.entry(o.key[..o.key.len() - file.len() - 1].to_owned()).or_default();
            if file == META {
                block.committed = true;
            } else {
                block.files.push(file.to_owned());
            }
        }
        // Superseded, deleted, and made again from the same runs while this node was away: known by old names of its files.
        let stale: Vec<String> = listed
            .iter()
            .filter(|(k, l)| l.committed && known.get(*k).is_some_and(|(_, b)| !l.files.contains(&b.meta.data)))
            .map(|(k, _)| k.clone())
            .collect();
        let stale: Vec<(PartitionKey, Arc<Block>)> = stale.iter().filter_map(|k| known.remove(k)).collect();
        stale.iter().for_each(|(_, block)| self.blocks.forget(&block.meta));
        let unreadable = self.unreadable.lock().clone();
        let new: Vec<String> = listed
            .iter()
            .filter(|(k, l)| l.committed && !known.contains_key(*k) && !unreadable.contains(*k))
            .map(|(k, _)| k.clone())
            .collect();
        let Some(blocks) = self.load_all(remote, new)? else { return Ok(false) };
        self.learn_blocks(blocks, &stale);
        self.forget_missing(&known, &listed);
        self.note_orphans(&listed);
        Ok(true)
    }

    /// Reads metas, several at a time. `None` if one of them is gone.
    fn load_all(&self, remote: &Remote, keys: Vec<String>) -> Result<Option<Vec<Block>>> {
        let threads = keys.len().div_ceil(8).clamp(1, limits::METAS_AT_ONCE);
        let queue = Mutex::new(keys);
        let hands = || -> Result<Option<Vec<Block>>> {
            let mut out = vec![];
            loop {
                let Some(key) = queue.lock().pop() else { return Ok(Some(out)) };
                match self.blocks.load(remote, &key) {
                    Ok(b) => out.push(b),
                    Err(e) if e.kind() == Kind::NotFound => return Ok(None),
                    Err(e) if e.kind() == Kind::Corrupt => {
                        self.lost(key.clone(), "meta_damaged", None, None, format!("{}; left in the store", e.message()));
                        self.unreadable.lock().insert(key);
                    }
                    Err(e) => return Err(e),
                }
            }
        };
        if threads == 1 {
            return hands();
        }
        let parts: Vec<_> = std::thread::scope(|s| {
            let started: Vec<_> = (0..threads).map(|_| s.spawn(hands)).collect();
            started.into_iter().map(|h| h.join().unwrap_or_else(|_| Err(Error::internal("reading metas panicked")))).collect()
        });
        let mut out = vec![];
        for p in parts {
            match p? {
                Some(blocks) => out.extend(blocks),
                None => return Ok(None),
            }
        }
        Ok(Some(out))
    }

    /// Adds blocks to what is read in place of `stale` ones, all at one instant.
    fn learn_blocks(&self, blocks: Vec<Block>, stale: &[(PartitionKey, Arc<Block>)]) {
        let now = self.clock.now_ns();
        let mut fetch = vec![];
        let mut live = self.live.write();
        for (key, b) in stale {
            live.catalog.vanished(key, &b.meta.id);
        }
        for b in blocks {
            let Some(key) = self.key_of(&b) else { continue };
            if live.catalog.block(&key, &b.meta.id).is_none() {
                // A commit of ours whose answer was lost, or what another node made of one: rows move into it now, as seen from others.
                if live.catalog.runs_of(&key).iter().any(|r| b.meta.ancestors.contains(&r.name)) {
                    self.note_commit(&b);
                }
                let b = Arc::new(b);
                fetch.push(b.clone());
                live.catalog.add_block(key, b, now);
            }
        }
        drop(live);
        self.want_fetched(fetch);
    }

    pub(super) fn key_of(&self, b: &Block) -> Option<PartitionKey> {
        let table = self.tables.iter().position(|t| t.name == b.meta.table)?;
        Some(PartitionKey { table, tenant: Tenant::new(&b.meta.tenant).ok()?, day: b.meta.day })
    }

    fn forget_missing(&self, known: &BTreeMap<String, (PartitionKey, Arc<Block>)>, listed: &BTreeMap<String, Listed>) {
        for (key, (partition, block)) in known.iter().filter(|(k, _)| !listed.get(*k).is_some_and(|l| l.committed)) {
            let mut live = self.live.write();
            let accounted = live.catalog.vanished(partition, &block.meta.id);
            // After a long absence the block that superseded it may be superseded itself: a higher one tells.
            let higher = live.catalog.blocks_of(partition).iter().any(|b| b.meta.level > block.meta.level);
            drop(live);
            self.blocks.forget(&block.meta);
            if !accounted && !higher && !self.is_expired(partition) {
                let rows = Some(block.meta.sorted.rows);
                let detail = "the store does not have it any more, and no other block holds its rows: was it deleted by hand or by a lifecycle rule?";
                self.losses.add(Loss {
                    source: key.clone(),
                    reason: "block_missing".into(),
                    rows,
                    bytes: Some(block.bytes()),
                    first_ns: None,
                    last_ns: None,
                    found_ns: self.clock.now_ns(),
                    detail: detail.into(),
                });
            }
        }
    }

    /// Remembers files that no meta names and that are old enough to be nobody's work in progress.
    fn note_orphans(&self, listed: &BTreeMap<String, Listed>) {
        let now = self.clock.now_ns();
        let mut found = vec![];
        for (key, l) in listed {
            for file in &l.files {
                let Some((node, since_ns)) = Keys::writer_of(file) else { continue };
                let age = now.saturating_sub(since_ns);
                let old = age > if node == self.blocks.node { limits::ORPHAN_NS } else { limits::FOREIGN_ORPHAN_NS };
                if old {
                    found.push((key.clone(), file.clone(), l.committed));
                }
            }
        }
        *self.orphans.lock() = found;
    }

    /// Deletes what [`Engine::note_orphans`] found, if it is this node's to delete. Called while no upload is under way.
    pub(super) fn sweep_orphans(&self, remote: &Remote) -> Result<()> {
        for (key, file, committed) in std::mem::take(&mut *self.orphans.lock()) {
            let path = format!("{key}/{file}");
            let Some((table, tenant, id, _)) = Keys::of_block(&path) else { continue };
            let Some(table) = self.tables.iter().position(|t| t.name == table) else { continue };
            let block = self.live.read().catalog.all_blocks().find(|(_, b)| b.meta.id == id).map(|(k, b)| (k.clone(), b.clone()));
            let mine = Keys::writer_of(&file).is_some_and(|(node, _)| node == self.blocks.node);
            let owned = || match (&block, Tenant::new(tenant)) {
                (Some((k, _)), _) => self.owns(k),
                // Of a block that was never committed the day is only in the key; any day of the tenant decides.
                (None, Ok(tenant)) => self.owns(&PartitionKey { table, tenant, day: 0 }),
                (None, Err(_)) => false,
            };
            let named = match &block {
                Some((_, b)) => b.meta.data == file || b.meta.series == file,
                // Committed, and we do not know by what: whose it is cannot be said.
                None => committed,
            };
            if !named && (mine || owned()) {
                remote.store.delete(&path)?;
                self.stats.orphans.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Takes in what another node says of its commits. If it cannot name them all, the list of blocks is read anew.
    pub fn learn_commits(&self, commits: &Commits) -> Result<()> {
        if commits.reset && self.blocks.remote().is_some() {
            self.refresh(Refresh::All)?;
        }
        self.learn(&commits.blocks)
    }

    /// Learns blocks that another node has committed. Those that are gone already are superseded: their partition is looked
    /// up again.
    pub fn learn(&self, blocks: &[BlockRef]) -> Result<()> {
        let Some(remote) = self.blocks.remote() else { return Ok(()) };
        let (mut new, mut gone) = (vec![], BTreeSet::new());
        for b in blocks {
            let Some(table) = self.tables.iter().position(|t| t.name == b.table) else { continue };
            let key = PartitionKey { table, tenant: Tenant::new(&b.tenant)?, day: b.day };
            if self.live.read().catalog.block(&key, &b.id).is_some() {
                continue;
            }
            match self.blocks.load(remote, &Keys::block(&b.table, &b.tenant, b.day, &b.id)) {
                Ok(block) => new.push(block),
                Err(e) if e.kind() == Kind::NotFound => {
                    gone.insert(key);
                }
                Err(e) => return Err(e),
            }
        }
        self.learn_blocks(new, &[]);
        gone.iter().try_for_each(|key| self.refresh_partition(key))
    }

    /// Blocks to be fetched in the background, so that the first question about the present finds them here.
    fn want_fetched(&self, blocks: Vec<Arc<Block>>) {
        let mut queue = self.to_fetch.lock();
        for b in blocks.into_iter().filter(|b| self.clock.now_ns().saturating_sub(b.meta.created_ns) < limits::PREFETCH_AGE_NS) {
            if queue.len() >= limits::PREFETCH_QUEUE {
                queue.pop_front();
            }
            queue.push_back(b);
        }
        self.bell.list();
    }

    /// Fetches what new blocks wait for. Returns whether there was something.
    pub(super) fn prefetch(&self) -> Result<bool> {
        let Some(remote) = self.blocks.remote() else { return Ok(false) };
        let Some(b) = self.to_fetch.lock().pop_front() else { return Ok(false) };
        if let Some(cache) = &remote.cache {
            let key = Keys::block(&b.meta.table, &b.meta.tenant, b.meta.day, &b.meta.id);
            if b.bytes() <= limits::PREFETCH_BYTES {
                cache.prefetch(&format!("{key}/{}", b.meta.data), b.meta.sorted.data_bytes)?;
            }
            b.file.warm()?;
        }
        Ok(true)
    }
}
