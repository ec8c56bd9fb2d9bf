//! A copy of everything at one instant, for a backup: a data directory of its own below `snapshots/`.
//!
//! Runs, blocks and documents are never written again, so the copy is second names of their files, and takes no room until the originals
//! are superseded. It has no log: what is in memory is flushed first, or left out. It exists when it has its name; one that was being
//! made when the process ended has another, and is removed by the next.

use std::path::{Path, PathBuf};

use base::{Error, Kind, Result};
use disk::Fs;

use super::Engine;
use crate::keys::META;

/// Ends the name of a snapshot that is being made.
const UNFINISHED: &str = ".part";

impl Engine {
    /// Makes the snapshot `name`, which is a directory's name, and tells where it is. With `memory`, everything that is acknowledged before the
    /// call is in it; without, what is in runs and blocks.
    ///
    /// # Errors
    /// `Unprocessable` where blocks are kept in a store: they are safe there and have no second names. `Invalid` if there is one of that name.
    pub fn snapshot(&self, name: &str, memory: bool) -> Result<PathBuf> {
        if self.blocks.remote().is_some() {
            return Err(Error::new(Kind::Unprocessable, "blocks are kept in an object store: back that up instead of this node"));
        }
        if memory {
            self.seal()?;
            self.flush_sealed()?;
        }
        // Nothing is committed, superseded or removed meanwhile.
        let _merging = self.merging.lock();
        let _flushing = self.flushing.lock();
        let all = self.keys.snapshots();
        self.fs.create_dir_all(&all)?;
        for left in self.fs.list(&all)?.iter().filter(|e| e.name.ends_with(UNFINISHED)) {
            remove_tree(&*self.fs, &all.join(&left.name))?;
        }
        let done = all.join(name);
        if self.fs.list(&all)?.iter().any(|e| e.name == name) {
            return Err(Error::invalid(format!("there is a snapshot {name:?}")));
        }
        let part = all.join(format!("{name}{UNFINISHED}"));
        self.fs.create_dir_all(&part)?;
        let (runs, blocks): (Vec<PathBuf>, Vec<PathBuf>) = {
            let live = self.live.read();
            let runs = live.catalog.runs().map(|r| self.keys.run(&r.meta.id)).collect();
            let key = |k, b: &crate::catalog::Block| self.keys.root().join(self.block_key(k, &b.meta.id));
            (runs, live.catalog.partitions().flat_map(|(k, blocks)| blocks.iter().map(move |b| key(k, b))).collect())
        };
        for dir in runs.iter().chain(&blocks) {
            self.link_dir(dir, &part)?;
        }
        match self.fs.list(&self.keys.documents()) {
            Ok(_) => self.link_dir(&self.keys.documents(), &part)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e.into()),
        }
        match self.fs.link_or_copy(&self.keys.checkpoint(), &self.moved(&self.keys.checkpoint(), &part)) {
            // Nothing was ever flushed.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            other => other?,
        }
        self.fs.sync_dir(&part)?;
        self.fs.rename(&part, &done)?;
        self.fs.sync_dir(&all)?;
        tracing::info!(snapshot = %done.display(), runs = runs.len(), blocks = blocks.len(), "a snapshot is made");
        Ok(done)
    }

    /// The same place below another data directory.
    fn moved(&self, path: &Path, root: &Path) -> PathBuf {
        root.join(path.strip_prefix(self.keys.root()).unwrap_or(path))
    }

    /// Gives the files of a directory second names below another data directory, the meta last.
    fn link_dir(&self, dir: &Path, root: &Path) -> Result<()> {
        let to = self.moved(dir, root);
        self.fs.create_dir_all(&to)?;
        let mut files = self.fs.list(dir)?;
        files.retain(|e| !e.is_dir && !e.name.ends_with(".tmp"));
        files.sort_by_key(|e| e.name == META);
        for f in files {
            self.fs.link_or_copy(&dir.join(&f.name), &to.join(&f.name))?;
        }
        Ok(self.fs.sync_dir(&to)?)
    }
}

fn remove_tree(fs: &dyn Fs, dir: &Path) -> Result<()> {
    for e in fs.list(dir)? {
        let path = dir.join(&e.name);
        if e.is_dir {
            remove_tree(fs, &path)?;
        } else {
            fs.remove(&path)?;
        }
    }
    Ok(fs.remove_dir(dir)?)
}
