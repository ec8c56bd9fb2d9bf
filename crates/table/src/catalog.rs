//! What is on disk and alive: runs and blocks, who supersedes whom, and what may be removed.
//!
//! The unit of superseding is the partition (table, tenant, day): a block names the runs and blocks whose rows of its
//! partition it holds (its ancestors), and from its commit on those are not read for that partition. A run is dead
//! when every one of its partitions is superseded; a block when its own is. Dead files go once no scan holds them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Clock, Error, Kind, Result, Tenant};
use disk::Fs;

use crate::keys::{Keys, LOCAL, META};
use crate::loss::{Loss, Losses};
use crate::meta::{self, BlockMeta, RunMeta};
use crate::sorted::{self, IndexCache, SortedFile, SortedMeta, Source};
use crate::spec::TableSpec;

/// Which rows: table id, tenant, day since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionKey {
    /// Table id.
    pub table: usize,
    /// Tenant.
    pub tenant: Tenant,
    /// Day since 1970.
    pub day: i64,
}

/// A committed flush.
pub struct Run {
    /// Its meta.
    pub meta: RunMeta,
    /// What blocks call it that supersede it: its id, and the node's name before it where stores are shared, because
    /// each node counts its own runs.
    pub name: String,
    /// Its files by table id.
    pub files: BTreeMap<usize, Arc<SortedFile>>,
    /// What it holds.
    pub partitions: BTreeSet<PartitionKey>,
}

/// Where a block's files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// In the data directory.
    Here,
    /// In the store.
    Store,
}

/// A committed block.
pub struct Block {
    /// Its meta.
    pub meta: BlockMeta,
    /// Where it is.
    pub home: Home,
    /// Its files.
    pub file: Arc<SortedFile>,
}

impl Block {
    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.meta.sorted.data_bytes + self.meta.sorted.series_bytes
    }
}

/// Not read any more, and still there.
#[derive(Clone)]
pub enum Dead {
    /// A run of this node.
    Run(Arc<Run>),
    /// A block.
    Block(PartitionKey, Arc<Block>),
}

impl Dead {
    /// Whether a scan holds one of its files.
    fn in_use(&self) -> bool {
        match self {
            Dead::Run(r) => r.files.values().any(|f| Arc::strong_count(f) > 1),
            Dead::Block(_, b) => Arc::strong_count(&b.file) > 1,
        }
    }
}

struct Grave {
    dead: Dead,
    since_ns: i64,
}

#[derive(Default)]
struct Partition {
    blocks: Vec<Arc<Block>>,
    superseded: HashSet<String>,
}

/// The live set. Its methods do no I/O; whoever holds the lock around it decides what is one instant.
#[derive(Default)]
pub struct Catalog {
    runs: BTreeMap<String, Arc<Run>>,
    partitions: BTreeMap<PartitionKey, Partition>,
    graves: Vec<Grave>,
}

impl Catalog {
    /// Adds a committed run.
    pub fn add_run(&mut self, run: Arc<Run>, now_ns: i64) {
        self.runs.insert(run.meta.id.clone(), run);
        self.bury_runs(now_ns);
    }

    /// Adds a committed block; what it supersedes is not read from now on.
    pub fn add_block(&mut self, key: PartitionKey, block: Arc<Block>, now_ns: i64) {
        let p = self.partitions.entry(key.clone()).or_default();
        p.superseded.extend(block.meta.ancestors.iter().cloned());
        if !p.blocks.iter().any(|b| b.meta.id == block.meta.id) {
            p.blocks.push(block);
        }
        let (dead, alive) = std::mem::take(&mut p.blocks).into_iter().partition(|b: &Arc<Block>| p.superseded.contains(&b.meta.id));
        p.blocks = alive;
        for b in dead {
            self.bury(Dead::Block(key.clone(), b), now_ns);
        }
        self.bury_runs(now_ns);
    }

    /// The same block at another place; the one that was read until now dies.
    pub fn rehome(&mut self, key: &PartitionKey, old: &Arc<Block>, new: Arc<Block>, now_ns: i64) {
        let blocks = self.partitions.get_mut(key).map(|p| &mut p.blocks);
        match blocks.and_then(|b| b.iter_mut().find(|b| Arc::ptr_eq(b, old))) {
            Some(place) => {
                *place = new;
                self.bury(Dead::Block(key.clone(), old.clone()), now_ns);
            }
            // Superseded meanwhile: so is its copy.
            None => self.bury(Dead::Block(key.clone(), new), now_ns),
        }
    }

    /// Drops partitions that are past their retention; their blocks die.
    pub fn expire(&mut self, expired: &dyn Fn(&PartitionKey) -> bool, now_ns: i64) -> usize {
        let old: Vec<PartitionKey> = self.partitions.keys().filter(|k| expired(k)).cloned().collect();
        let mut n = 0;
        for k in old {
            let Some(p) = self.partitions.remove(&k) else { continue };
            n += p.blocks.len();
            p.blocks.into_iter().for_each(|b| self.bury(Dead::Block(k.clone(), b), now_ns));
        }
        // A run whose every partition has expired goes as well.
        let gone: Vec<String> = self
            .runs
            .iter()
            .filter(|(_, r)| r.partitions.iter().all(|k| expired(k) || self.hides(k, &r.name)))
            .map(|(id, _)| id.clone())
            .collect();
        n += gone.len();
        gone.iter().for_each(|id| self.bury_run(id, now_ns));
        n
    }

    /// Forgets a block that its store does not have any more. False if it was being read and nothing supersedes it.
    pub fn vanished(&mut self, key: &PartitionKey, id: &str) -> bool {
        let before = self.graves.len();
        self.graves.retain(|g| !matches!(&g.dead, Dead::Block(k, b) if k == key && b.meta.id == id));
        let Some(p) = self.partitions.get_mut(key) else { return true };
        let alive = p.blocks.len();
        p.blocks.retain(|b| b.meta.id != id);
        before > self.graves.len() || p.blocks.len() == alive
    }

    fn hides(&self, key: &PartitionKey, name: &str) -> bool {
        self.partitions.get(key).is_some_and(|p| p.superseded.contains(name))
    }

    fn bury(&mut self, dead: Dead, since_ns: i64) {
        self.graves.push(Grave { dead, since_ns });
    }

    fn bury_runs(&mut self, now_ns: i64) {
        let all_hidden = |r: &Run| r.partitions.iter().all(|k| self.hides(k, &r.name));
        let done: Vec<String> = self.runs.iter().filter(|(_, r)| all_hidden(r)).map(|(id, _)| id.clone()).collect();
        done.iter().for_each(|id| self.bury_run(id, now_ns));
    }

    fn bury_run(&mut self, id: &str, now_ns: i64) {
        if let Some(r) = self.runs.remove(id) {
            self.bury(Dead::Run(r), now_ns);
        }
    }

    /// Files that may hold rows of a tenant between two days.
    pub fn sources(&self, table: usize, tenant: &Tenant, days: std::ops::RangeInclusive<i64>, out: &mut Vec<Source>) {
        let key = |day| PartitionKey { table, tenant: tenant.clone(), day };
        for (k, p) in self.partitions.range(key(*days.start())..=key(*days.end())) {
            debug_assert!(k.table == table);
            out.extend(p.blocks.iter().map(|b| Source::File { file: b.file.clone(), hidden_days: vec![] }));
        }
        for r in self.runs.values() {
            let Some(file) = r.files.get(&table) else { continue };
            let mine = || r.partitions.range(key(*days.start())..=key(*days.end()));
            if mine().any(|k| !self.hides(k, &r.name)) {
                let hidden_days = mine().filter(|k| self.hides(k, &r.name)).map(|k| k.day).collect();
                out.push(Source::File { file: file.clone(), hidden_days });
            }
        }
    }

    /// Partitions that have rows in runs.
    pub fn unmerged(&self) -> BTreeSet<PartitionKey> {
        self.runs.values().flat_map(|r| r.partitions.iter().filter(|k| !self.hides(k, &r.name)).cloned()).collect()
    }

    /// Runs with rows of a partition that no block holds yet, oldest first.
    pub fn runs_of(&self, key: &PartitionKey) -> Vec<Arc<Run>> {
        self.runs.values().filter(|r| r.partitions.contains(key) && !self.hides(key, &r.name)).cloned().collect()
    }

    /// Blocks of a partition.
    pub fn blocks_of(&self, key: &PartitionKey) -> &[Arc<Block>] {
        self.partitions.get(key).map_or(&[], |p| &p.blocks)
    }

    /// A block that is read, or a dead one that is still there.
    pub fn block(&self, key: &PartitionKey, id: &str) -> Option<Arc<Block>> {
        let dead = self.graves.iter().filter_map(|g| match &g.dead {
            Dead::Block(k, b) if k == key => Some(b),
            _ => None,
        });
        self.blocks_of(key).iter().chain(dead).find(|b| b.meta.id == id).cloned()
    }

    /// All partitions with blocks.
    pub fn partitions(&self) -> impl Iterator<Item = (&PartitionKey, &[Arc<Block>])> {
        self.partitions.iter().map(|(k, p)| (k, p.blocks.as_slice()))
    }

    /// Every block that is there: those that are read, and the dead.
    pub fn all_blocks(&self) -> impl Iterator<Item = (&PartitionKey, &Arc<Block>)> {
        let dead = self.graves.iter().filter_map(|g| match &g.dead {
            Dead::Block(k, b) => Some((k, b)),
            Dead::Run(_) => None,
        });
        self.partitions.iter().flat_map(|(k, p)| p.blocks.iter().map(move |b| (k, b))).chain(dead)
    }

    /// All runs, oldest first.
    pub fn runs(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.runs.values()
    }

    /// When the newest run or block was made, nanoseconds.
    pub fn newest_ns(&self) -> Option<i64> {
        let blocks = self.partitions.values().flat_map(|p| p.blocks.iter().map(|b| b.meta.created_ns));
        self.runs.values().map(|r| r.meta.created_ns).chain(blocks).max()
    }

    /// Whether a run or block may still be there, and so must be named by whoever supersedes it.
    pub fn exists(&self, name: &str) -> bool {
        let dead = |d: &Dead| match d {
            Dead::Run(r) => r.name == name,
            Dead::Block(_, b) => b.meta.id == name,
        };
        self.runs.values().any(|r| r.name == name)
            || self.graves.iter().any(|g| dead(&g.dead))
            || self.partitions.values().any(|p| p.blocks.iter().any(|b| b.meta.id == name))
    }

    /// The dead that no scan holds, oldest first, and since when they are; they stay until [`Catalog::buried`].
    pub fn removable(&self) -> Vec<(Dead, i64)> {
        self.graves.iter().filter(|g| !g.dead.in_use()).map(|g| (g.dead.clone(), g.since_ns)).collect()
    }

    /// A dead run or block is confirmed gone.
    pub fn buried(&mut self, dead: &Dead) {
        self.graves.retain(|g| match (&g.dead, dead) {
            (Dead::Run(a), Dead::Run(b)) => !Arc::ptr_eq(a, b),
            (Dead::Block(_, a), Dead::Block(_, b)) => !Arc::ptr_eq(a, b),
            _ => true,
        });
    }

    /// Dead runs and blocks.
    pub fn dead(&self) -> usize {
        self.graves.len()
    }
}

/// Opens what is committed below the data directory and removes what never was.
pub fn open(
    fs: &Arc<dyn Fs>,
    keys: &Keys,
    tables: &[&'static TableSpec],
    losses: &Arc<Losses>,
    clock: &Clock,
    indexes: &Arc<IndexCache>,
    node: &str,
) -> Result<Catalog> {
    let mut o = Opening { fs, keys, tables, losses, clock, indexes, node, catalog: Catalog::default() };
    o.blocks()?;
    o.runs()?;
    Ok(o.catalog)
}

struct Opening<'a> {
    fs: &'a Arc<dyn Fs>,
    keys: &'a Keys,
    tables: &'a [&'static TableSpec],
    losses: &'a Arc<Losses>,
    clock: &'a Clock,
    indexes: &'a Arc<IndexCache>,
    node: &'a str,
    catalog: Catalog,
}

impl Opening<'_> {
    fn subdirs(&self, dir: &Path) -> Result<Vec<(String, PathBuf)>> {
        match self.fs.list(dir) {
            Ok(l) => Ok(l.into_iter().filter(|e| e.is_dir).map(|e| (e.name.clone(), dir.join(e.name))).collect()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
            Err(e) => Err(e.into()),
        }
    }

    fn blocks(&mut self) -> Result<()> {
        let mut found: HashMap<PartitionKey, Vec<Arc<Block>>> = HashMap::new();
        for (table_name, table_dir) in self.subdirs(&self.keys.blocks())? {
            // A table that this build does not know is left alone.
            let Some(table) = self.tables.iter().position(|t| t.name == table_name) else { continue };
            for (tenant_name, tenant_dir) in self.subdirs(&table_dir)? {
                let Ok(tenant) = Tenant::new(&tenant_name) else { continue };
                for (_, day_dir) in self.subdirs(&tenant_dir)? {
                    for (id, dir) in self.subdirs(&day_dir)? {
                        if let Some(block) = self.block(table, &id, &dir)? {
                            let key = PartitionKey { table, tenant: tenant.clone(), day: block.meta.day };
                            found.entry(key).or_default().push(block);
                        }
                    }
                }
            }
        }
        let mut all: Vec<_> = found.into_iter().collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        for (key, blocks) in all {
            for b in blocks {
                self.catalog.add_block(key.clone(), b, self.clock.now_ns());
            }
        }
        Ok(())
    }

    fn block(&mut self, table: usize, id: &str, dir: &Path) -> Result<Option<Arc<Block>>> {
        let Some(meta) = self.committed::<BlockMeta>(id, dir)? else { return Ok(None) };
        let file = self.file(table, &dir.join(&meta.data), &dir.join(&meta.series), &meta.sorted)?;
        Ok(Some(Arc::new(Block { meta, home: Home::Here, file })))
    }

    fn runs(&mut self) -> Result<()> {
        for (id, dir) in self.subdirs(&self.keys.runs())? {
            let Some(meta) = self.committed::<RunMeta>(&id, &dir)? else { continue };
            let mut files = BTreeMap::new();
            for t in &meta.tables {
                let Some(table) = self.tables.iter().position(|s| s.name == t.table) else { continue };
                files.insert(table, self.file(table, &self.keys.run_data(&id, &t.table), &self.keys.run_series(&id, &t.table), &t.sorted)?);
            }
            if let Some(t) = meta.tables.iter().find(|t| !self.tables.iter().any(|s| s.name == t.table)) {
                return Err(Error::new(
                    Kind::Unprocessable,
                    format!("{} holds rows of table {:?}, which this build does not have", dir.display(), t.table),
                ));
            }
            let run = run_of(meta, files, self.tables, self.node);
            self.catalog.add_run(Arc::new(run), self.clock.now_ns());
        }
        Ok(())
    }

    fn file(&self, table: usize, data: &Path, series: &Path, meta: &SortedMeta) -> Result<Arc<SortedFile>> {
        sorted::open(self.tables[table], self.fs, data, series, meta, self.losses.of_table(self.tables[table], self.clock), self.indexes)
    }

    /// A directory's meta; a directory without one was never committed and goes, one with a damaged one is set aside.
    fn committed<T: serde::de::DeserializeOwned>(&self, id: &str, dir: &Path) -> Result<Option<T>> {
        match meta::read::<T>(&**self.fs, &dir.join(META)) {
            Ok(m) => Ok(Some(m)),
            Err(e) if e.kind() == Kind::NotFound => {
                remove_dir(&**self.fs, dir)?;
                Ok(None)
            }
            Err(e) if e.kind() == Kind::Corrupt => {
                self.losses.add(Loss {
                    source: dir.display().to_string(),
                    reason: "meta_damaged".into(),
                    rows: None,
                    bytes: None,
                    first_ns: None,
                    last_ns: None,
                    found_ns: self.clock.now_ns(),
                    detail: format!("{}; set aside as damaged/{id}", e.message()),
                });
                set_aside(&**self.fs, self.keys, id, dir)?;
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}

/// What blocks of a node call its run.
fn run_name(node: &str, id: &str) -> String {
    if node == LOCAL { id.to_owned() } else { format!("{node}/{id}") }
}

/// A run from its meta and open files.
pub fn run_of(meta: RunMeta, files: BTreeMap<usize, Arc<SortedFile>>, tables: &[&'static TableSpec], node: &str) -> Run {
    let mut partitions = BTreeSet::new();
    for t in &meta.tables {
        if let Some(table) = tables.iter().position(|s| s.name == t.table) {
            let key = |p: &sorted::Partition| Some(PartitionKey { table, tenant: Tenant::new(&p.tenant).ok()?, day: p.day });
            partitions.extend(t.sorted.partitions.iter().filter_map(key));
        }
    }
    Run { name: run_name(node, &meta.id), meta, files, partitions }
}

/// Removes a run's or block's directory: the meta first, so that a crash in between leaves an orphan and not a hole.
pub fn remove_dir(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let entries = match fs.list(dir) {
        Ok(e) => e,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    if entries.iter().any(|e| e.name == META) {
        fs.remove(&dir.join(META))?;
        fs.sync_dir(dir)?;
    }
    for e in entries.iter().filter(|e| e.name != META) {
        fs.remove(&dir.join(&e.name))?;
    }
    fs.remove_dir(dir)?;
    Ok(fs.sync_dir(dir.parent().unwrap_or(Path::new(".")))?)
}

/// Moves a damaged run or block out of the way, for people to look at.
pub fn set_aside(fs: &dyn Fs, keys: &Keys, id: &str, dir: &Path) -> Result<()> {
    fs.create_dir_all(&keys.damaged())?;
    let name = dir.strip_prefix(keys.root()).unwrap_or(Path::new(id)).display().to_string().replace('/', "_");
    fs.rename(dir, &keys.damaged().join(name))?;
    fs.sync_dir(&keys.damaged())?;
    Ok(fs.sync_dir(dir.parent().unwrap_or(Path::new(".")))?)
}
