//! Where blocks go and come from: the data directory, or a store and what this node keeps of it (a cache of pieces, copies
//! of metas, and a place to write a block before it is uploaded).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use base::{Error, Kind, Result};
use disk::Fs;
use parking_lot::Mutex;
use store::{Cache, Created, Store};

use crate::catalog::{Block, Home};
use crate::keys::{DATA, Keys, META, SERIES};
use crate::loss::Losses;
use crate::meta::{self, BlockMeta};
use crate::sorted::{self, Files, IndexCache};
use crate::spec::TableSpec;

/// Says that the copies of metas were complete once.
const COMPLETE: &str = "complete";

/// The blocks' place.
pub(crate) struct Blocks {
    pub fs: Arc<dyn Fs>,
    pub keys: Keys,
    pub node: String,
    pub losses: Arc<Losses>,
    pub clock: base::Clock,
    pub tables: Vec<&'static TableSpec>,
    pub indexes: Arc<IndexCache>,
    /// Empty: blocks are in the data directory.
    pub remote: OnceLock<Remote>,
    /// Metas of which there is no copy, because the disk was full.
    pub uncopied: Mutex<BTreeMap<String, BlockMeta>>,
    /// When the last draft was begun: no two have the same time.
    pub drafted_ns: AtomicI64,
}

/// A store, and what is kept of it.
pub(crate) struct Remote {
    pub store: Arc<dyn Store>,
    pub shared: bool,
    /// None if the store is a directory: its files are read where they are.
    pub cache: Option<Arc<Cache>>,
    directory: Option<(Arc<dyn Fs>, PathBuf)>,
}

impl Files for Arc<Cache> {
    fn open(&self, path: &Path, len: u64) -> Result<Arc<dyn disk::File>> {
        Ok(self.file(&path.to_string_lossy(), len))
    }
}

impl Remote {
    pub fn new(store: Arc<dyn Store>, shared: bool, fs: &Arc<dyn Fs>, keys: &Keys, cache_bytes: u64) -> Result<Remote> {
        let directory = store.directory();
        let cache = match directory {
            Some(_) => None,
            None => Some(Cache::open(store.clone(), fs.clone(), &keys.cache(), cache_bytes)?),
        };
        Ok(Remote { store, shared, cache, directory })
    }
}

/// Where a merge writes a block's files, and what they will be called.
pub(crate) struct Draft {
    pub fs: Arc<dyn Fs>,
    pub data: PathBuf,
    pub series: PathBuf,
    dir: PathBuf,
    names: (String, String),
    attempt_ns: i64,
}

impl Blocks {
    /// The store that blocks go to, if there is one.
    pub fn remote(&self) -> Option<&Remote> {
        self.remote.get()
    }

    fn spec(&self, table: &str) -> Result<&'static TableSpec> {
        self.tables.iter().find(|t| t.name == table).copied().ok_or_else(|| Error::invalid(format!("no table {table:?}")))
    }

    /// Where the files of a new block are to be written.
    pub fn draft(&self, key: &str, id: &str) -> Result<Draft> {
        self.drafted_ns.fetch_max(self.clock.now_ns() - 1, Ordering::AcqRel);
        let attempt_ns = self.drafted_ns.fetch_add(1, Ordering::AcqRel) + 1;
        let tagged = Keys::block_files(&self.node, attempt_ns);
        let plain = (DATA.to_owned(), SERIES.to_owned());
        let (fs, dir, names) = match self.remote() {
            None => (self.fs.clone(), self.keys.root().join(key), plain),
            Some(Remote { directory: Some((fs, root)), .. }) => (fs.clone(), root.join(key), tagged),
            Some(_) => (self.fs.clone(), self.keys.staging().join(id), tagged),
        };
        fs.create_dir_all(&dir)?;
        Ok(Draft { data: dir.join(&names.0), series: dir.join(&names.1), fs, dir, names, attempt_ns })
    }

    /// Commits a block whose files are durable in `draft`. If somebody has committed the same block, theirs is the one.
    pub fn commit(&self, key: &str, draft: &Draft, mut m: BlockMeta) -> Result<Block> {
        m.created_ns = draft.attempt_ns;
        m.node = self.node.clone();
        (m.data, m.series) = draft.names.clone();
        draft.fs.sync_dir(&draft.dir)?;
        let Some(remote) = self.remote() else {
            meta::write(&*self.fs, &draft.dir.join(META), &m)?;
            return self.block_here(key, m);
        };
        let names = [format!("{key}/{}", m.data), format!("{key}/{}", m.series)];
        if let Some(cache) = &remote.cache {
            for (name, path) in names.iter().zip([&draft.data, &draft.series]) {
                remote.store.put_file(name, &*draft.fs, path)?;
                if let Err(e) = cache.keep(name, &*draft.fs, path) {
                    tracing::debug!(error = %e, "an uploaded file is not in the cache");
                }
            }
        }
        let text = meta::encode(&m)?;
        let kept = match remote.store.create(&format!("{key}/{META}"), text.into())? {
            Created::Yes => m,
            Created::Exists => {
                let theirs: BlockMeta = meta::decode(&remote.store.get(&format!("{key}/{META}"))?).map_err(|e| e.context(key))?;
                // Unless it is ours after all: an earlier answer that we never got.
                if theirs.data != m.data {
                    for name in &names {
                        if let Some(cache) = &remote.cache {
                            cache.forget(name);
                        }
                        // What cannot be deleted now is an orphan, and swept as one.
                        let _ = remote.store.delete(name);
                    }
                }
                theirs
            }
        };
        self.copy_meta(&kept)?;
        self.block_in_store(remote, key, kept)
    }

    /// Whether blocks are written on this node's disk before they are uploaded.
    pub fn stages(&self) -> bool {
        matches!(self.remote(), Some(r) if r.cache.is_some())
    }

    /// Removes what a draft has left on this node, whether it was committed or not. The files of a directory stay: they are
    /// the block's, or an orphan's.
    pub fn discard(&self, draft: &Draft) {
        if !self.stages() {
            return;
        }
        for path in [&draft.data, &draft.series] {
            let _ = draft.fs.remove(path);
        }
        let _ = draft.fs.remove_dir(&draft.dir);
    }

    /// Removes what a crash left of blocks that were being written.
    pub fn clear_staging(&self) -> Result<()> {
        let entries = match self.fs.list(&self.keys.staging()) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for dir in entries.iter().map(|e| self.keys.staging().join(&e.name)) {
            for file in self.fs.list(&dir)? {
                self.fs.remove(&dir.join(&file.name))?;
            }
            self.fs.remove_dir(&dir)?;
        }
        Ok(())
    }

    fn block_here(&self, key: &str, m: BlockMeta) -> Result<Block> {
        let (spec, dir) = (self.spec(&m.table)?, self.keys.root().join(key));
        let damage = self.losses.of_table(spec, &self.clock);
        let file = sorted::open(spec, &self.fs, &dir.join(&m.data), &dir.join(&m.series), &m.sorted, damage, &self.indexes)?;
        Ok(Block { meta: m, home: Home::Here, file })
    }

    fn block_in_store(&self, remote: &Remote, key: &str, m: BlockMeta) -> Result<Block> {
        let spec = self.spec(&m.table)?;
        let damage = self.losses.of_table(spec, &self.clock);
        let (data, series) = (format!("{key}/{}", m.data), format!("{key}/{}", m.series));
        let file = match (&remote.directory, &remote.cache) {
            (Some((fs, root)), _) => sorted::open(spec, fs, &root.join(data), &root.join(series), &m.sorted, damage, &self.indexes)?,
            (None, Some(cache)) => {
                let files = Arc::new(cache.clone());
                sorted::open_of(spec, files, Path::new(&data), Path::new(&series), &m.sorted, damage, &self.indexes)?
            }
            (None, None) => return Err(Error::internal("a store has a directory or a cache")),
        };
        Ok(Block { meta: m, home: Home::Store, file })
    }

    /// A block of the store, by the copy of its meta or by asking.
    pub fn load(&self, remote: &Remote, key: &str) -> Result<Block> {
        let m = match self.copied_meta(key) {
            Some(m) => m,
            None => {
                let m: BlockMeta = meta::decode(&remote.store.get(&format!("{key}/{META}"))?).map_err(|e| e.context(key))?;
                if let Err(e) = self.copy_meta(&m) {
                    self.leave_uncopied(key, &m).map_err(|_| e)?;
                }
                m
            }
        };
        self.block_in_store(remote, key, m)
    }

    /// Whether the whole list of the store's blocks was ever read.
    pub fn knows_all(&self) -> bool {
        Fs::open(&*self.fs, &self.keys.metas().join(COMPLETE)).is_ok()
    }

    /// The whole list has been read: from now on this node knows of every block but others' newest.
    pub fn note_all_known(&self) -> Result<()> {
        self.fs.create_dir_all(&self.keys.metas())?;
        Ok(disk::write_durably(&*self.fs, &self.keys.metas().join(COMPLETE), b"")?)
    }

    fn copy_path(&self, key: &str) -> PathBuf {
        self.keys.metas().join(format!("{}.json", key.strip_prefix("blocks/").unwrap_or(key)))
    }

    fn copied_meta(&self, key: &str) -> Option<BlockMeta> {
        meta::read(&*self.fs, &self.copy_path(key)).ok()
    }

    /// Keeps a copy, durable before the block is read: what it supersedes is removed then, and must not be missed after a
    /// crash from which the store is away. A block may be ours although we learn it from the list, where the answer to its
    /// commit was lost.
    fn copy_meta(&self, m: &BlockMeta) -> Result<()> {
        let path = self.copy_path(&Keys::block(&m.table, &m.tenant, m.day, &m.id));
        let text = meta::encode(m)?;
        self.fs.create_dir_all(path.parent().unwrap_or(self.keys.root()))?;
        Ok(disk::write_durably(&*self.fs, &path, &text)?)
    }

    /// A block can be read without the copy of its meta if the next life of this node asks for the list again.
    fn leave_uncopied(&self, key: &str, m: &BlockMeta) -> Result<()> {
        match self.fs.remove(&self.keys.metas().join(COMPLETE)) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            other => {
                other?;
                self.fs.sync_dir(&self.keys.metas())?;
            }
        }
        self.uncopied.lock().insert(key.to_owned(), m.clone());
        Ok(())
    }

    /// Makes up for copies that could not be made.
    pub fn copy_again(&self) -> Result<()> {
        let due: Vec<(String, BlockMeta)> = self.uncopied.lock().iter().map(|(k, m)| (k.clone(), m.clone())).collect();
        if due.is_empty() {
            return Ok(());
        }
        for (key, m) in due {
            self.copy_meta(&m)?;
            self.uncopied.lock().remove(&key);
        }
        self.note_all_known()
    }

    /// Every block that a copy of a meta names.
    pub fn copies(&self, remote: &Remote) -> Result<Vec<Block>> {
        let mut out = vec![];
        self.walk_copies(&self.keys.metas(), &mut |m| {
            let key = Keys::block(&m.table, &m.tenant, m.day, &m.id);
            if self.spec(&m.table).is_ok() {
                out.push(self.block_in_store(remote, &key, m)?);
            }
            Ok(())
        })?;
        Ok(out)
    }

    fn walk_copies(&self, dir: &Path, each: &mut dyn FnMut(BlockMeta) -> Result<()>) -> Result<()> {
        let entries = match self.fs.list(dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for e in entries {
            let path = dir.join(&e.name);
            if e.is_dir {
                self.walk_copies(&path, each)?;
            } else if e.name.ends_with(".json") {
                match meta::read(&*self.fs, &path) {
                    Ok(m) => each(m)?,
                    Err(e) if e.kind() == Kind::Corrupt => self.fs.remove(&path)?,
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }

    /// The store does not have this block any more: neither shall we.
    pub fn forget(&self, m: &BlockMeta) {
        let key = Keys::block(&m.table, &m.tenant, m.day, &m.id);
        self.uncopied.lock().remove(&key);
        let _ = self.fs.remove(&self.copy_path(&key));
        if let Some(Remote { cache: Some(cache), .. }) = self.remote() {
            cache.forget(&format!("{key}/{}", m.data));
            cache.forget(&format!("{key}/{}", m.series));
        }
    }

    /// Deletes a block from the store: the meta first, so that what a failure leaves is an orphan and not a hole.
    pub fn delete(&self, remote: &Remote, m: &BlockMeta) -> Result<()> {
        let key = Keys::block(&m.table, &m.tenant, m.day, &m.id);
        for name in [META, &m.data, &m.series] {
            remote.store.delete(&format!("{key}/{name}"))?;
        }
        self.forget(m);
        Ok(())
    }
}
