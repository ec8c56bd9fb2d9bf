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

use crate::keys::{Keys, META};
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
    /// Its files by table id.
    pub files: BTreeMap<usize, Arc<SortedFile>>,
    /// What it holds.
    pub partitions: BTreeSet<PartitionKey>,
}

/// A committed block.
pub struct Block {
    /// Its meta.
    pub meta: BlockMeta,
    /// Its files.
    pub file: Arc<SortedFile>,
}

impl Block {
    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.meta.sorted.data_bytes + self.meta.sorted.series_bytes
    }
}

/// Removed from the catalog, still on disk.
pub struct Dead {
    /// Run or block id.
    pub id: String,
    /// Its directory.
    pub dir: PathBuf,
    /// Its files; in use while a scan holds them too.
    pub files: Vec<Arc<SortedFile>>,
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
    dead: Vec<Dead>,
}

impl Catalog {
    /// Adds a committed run.
    pub fn add_run(&mut self, run: Arc<Run>, keys: &Keys) {
        self.runs.insert(run.meta.id.clone(), run);
        self.bury_runs(keys);
    }

    /// Adds a committed block; what it supersedes is not read from now on.
    pub fn add_block(&mut self, key: PartitionKey, block: Arc<Block>, keys: &Keys, table: &str) {
        let p = self.partitions.entry(key.clone()).or_default();
        p.superseded.extend(block.meta.ancestors.iter().cloned());
        if !p.blocks.iter().any(|b| b.meta.id == block.meta.id) {
            p.blocks.push(block);
        }
        let (dead, alive) = std::mem::take(&mut p.blocks).into_iter().partition(|b| p.superseded.contains(&b.meta.id));
        p.blocks = alive;
        let dir = keys.partition(table, &key.tenant, key.day);
        self.dead.extend(dead.into_iter().map(|b: Arc<Block>| Dead {
            dir: dir.join(&b.meta.id),
            id: b.meta.id.clone(),
            files: vec![b.file.clone()],
        }));
        self.bury_runs(keys);
    }

    /// Drops partitions that are past their retention; their blocks die.
    pub fn expire(&mut self, expired: &dyn Fn(&PartitionKey) -> bool, keys: &Keys, tables: &[&'static TableSpec]) -> usize {
        let old: Vec<PartitionKey> = self.partitions.keys().filter(|k| expired(k)).cloned().collect();
        let mut n = 0;
        for k in old {
            let Some(p) = self.partitions.remove(&k) else { continue };
            let dir = keys.partition(tables[k.table].name, &k.tenant, k.day);
            n += p.blocks.len();
            self.dead.extend(p.blocks.into_iter().map(|b| Dead {
                dir: dir.join(&b.meta.id),
                id: b.meta.id.clone(),
                files: vec![b.file.clone()],
            }));
        }
        // A run whose every partition has expired goes as well.
        let gone: Vec<String> = self
            .runs
            .iter()
            .filter(|(_, r)| r.partitions.iter().all(|k| expired(k) || self.hides(k, &r.meta.id)))
            .map(|(id, _)| id.clone())
            .collect();
        n += gone.len();
        gone.iter().for_each(|id| self.bury_run(id, keys));
        n
    }

    fn hides(&self, key: &PartitionKey, run: &str) -> bool {
        self.partitions.get(key).is_some_and(|p| p.superseded.contains(run))
    }

    fn bury_runs(&mut self, keys: &Keys) {
        let done: Vec<String> =
            self.runs.iter().filter(|(id, r)| r.partitions.iter().all(|k| self.hides(k, id))).map(|(id, _)| id.clone()).collect();
        done.iter().for_each(|id| self.bury_run(id, keys));
    }

    fn bury_run(&mut self, id: &str, keys: &Keys) {
        if let Some(r) = self.runs.remove(id) {
            self.dead.push(Dead { id: id.into(), dir: keys.run(id), files: r.files.values().cloned().collect() });
        }
    }

    /// Files that may hold rows of a tenant between two days.
    pub fn sources(&self, table: usize, tenant: &Tenant, days: std::ops::RangeInclusive<i64>, out: &mut Vec<Source>) {
        let key = |day| PartitionKey { table, tenant: tenant.clone(), day };
        for (k, p) in self.partitions.range(key(*days.start())..=key(*days.end())) {
            debug_assert!(k.table == table);
            out.extend(p.blocks.iter().map(|b| Source::File { file: b.file.clone(), hidden_days: vec![] }));
        }
        self.unmerged_sources(table, tenant, days, out);
    }

    /// Runs that may hold rows of a tenant between two days that no block holds yet.
    pub fn unmerged_sources(&self, table: usize, tenant: &Tenant, days: std::ops::RangeInclusive<i64>, out: &mut Vec<Source>) {
        let key = |day| PartitionKey { table, tenant: tenant.clone(), day };
        for (id, r) in &self.runs {
            let Some(file) = r.files.get(&table) else { continue };
            let mine = || r.partitions.range(key(*days.start())..=key(*days.end()));
            if mine().any(|k| !self.hides(k, id)) {
                let hidden_days = mine().filter(|k| self.hides(k, id)).map(|k| k.day).collect();
                out.push(Source::File { file: file.clone(), hidden_days });
            }
        }
    }

    /// Partitions that have rows in runs.
    pub fn unmerged(&self) -> BTreeSet<PartitionKey> {
        self.runs.iter().flat_map(|(id, r)| r.partitions.iter().filter(|k| !self.hides(k, id)).cloned()).collect()
    }

    /// Runs with rows of a partition that no block holds yet, oldest first.
    pub fn runs_of(&self, key: &PartitionKey) -> Vec<Arc<Run>> {
        self.runs.iter().filter(|(id, r)| r.partitions.contains(key) && !self.hides(key, id)).map(|(_, r)| r.clone()).collect()
    }

    /// Blocks of a partition.
    pub fn blocks_of(&self, key: &PartitionKey) -> &[Arc<Block>] {
        self.partitions.get(key).map_or(&[], |p| &p.blocks)
    }

    /// All partitions with blocks.
    pub fn partitions(&self) -> impl Iterator<Item = (&PartitionKey, &[Arc<Block>])> {
        self.partitions.iter().map(|(k, p)| (k, p.blocks.as_slice()))
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

    /// Whether a run or block may still be on disk, and so must be named by whoever supersedes it.
    pub fn exists(&self, id: &str) -> bool {
        self.runs.contains_key(id)
            || self.dead.iter().any(|d| d.id == id)
            || self.partitions.values().any(|p| p.blocks.iter().any(|b| b.meta.id == id))
    }

    /// Dead files that no scan holds, oldest first, with their ids; they stay dead until [`Catalog::buried`].
    pub fn removable(&self) -> Vec<(String, PathBuf)> {
        let unused = |d: &&Dead| d.files.iter().all(|f| Arc::strong_count(f) == 1);
        self.dead.iter().filter(unused).map(|d| (d.id.clone(), d.dir.clone())).collect()
    }

    /// The directory of a dead run or block is confirmed gone.
    pub fn buried(&mut self, dir: &Path) {
        self.dead.retain(|d| d.dir != dir);
    }

    /// Directories waiting for removal.
    pub fn dead(&self) -> usize {
        self.dead.len()
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
) -> Result<Catalog> {
    let mut o = Opening { fs, keys, tables, losses, clock, indexes, catalog: Catalog::default() };
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
                self.catalog.add_block(key.clone(), b, self.keys, self.tables[key.table].name);
            }
        }
        Ok(())
    }

    fn block(&mut self, table: usize, id: &str, dir: &Path) -> Result<Option<Arc<Block>>> {
        let Some(meta) = self.committed::<BlockMeta>(id, dir)? else { return Ok(None) };
        let file = self.file(table, &Keys::data(dir), &Keys::series(dir), &meta.sorted)?;
        Ok(Some(Arc::new(Block { meta, file })))
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
            let run = run_of(meta, files, self.tables);
            self.catalog.add_run(Arc::new(run), self.keys);
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

/// A run from its meta and open files.
pub fn run_of(meta: RunMeta, files: BTreeMap<usize, Arc<SortedFile>>, tables: &[&'static TableSpec]) -> Run {
    let mut partitions = BTreeSet::new();
    for t in &meta.tables {
        if let Some(table) = tables.iter().position(|s| s.name == t.table) {
            let key = |p: &sorted::Partition| Some(PartitionKey { table, tenant: Tenant::new(&p.tenant).ok()?, day: p.day });
            partitions.extend(t.sorted.partitions.iter().filter_map(key));
        }
    }
    Run { meta, files, partitions }
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
