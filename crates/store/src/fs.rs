//! A directory as a store.
//!
//! An object is written aside, synced, and renamed to its name, and every directory on the way is synced. Create-only is a
//! rename that does not replace: atomic on one machine and on network file systems that have hard links.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Error, Result};
use bytes::Bytes;
use disk::Fs;

use crate::{Created, Object, Store, check_key, limits};

/// Ends the names of files that are being written.
const ASIDE: &str = ".tmp";

/// Objects as files below a directory.
pub struct FsStore {
    fs: Arc<dyn Fs>,
    root: PathBuf,
    writer: String,
    next: AtomicU64,
}

impl FsStore {
    /// The directory `root`, which is made with the first object. Where several processes write to one directory, each
    /// must be called something else by `writer`.
    pub fn new(fs: Arc<dyn Fs>, root: impl Into<PathBuf>, writer: &str) -> Self {
        FsStore { fs, root: root.into(), writer: writer.into(), next: AtomicU64::new(0) }
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        check_key(key)?;
        Ok(self.root.join(key))
    }

    /// Writes a durable file beside `path` and gives it to `place`. Its directory may be removed by another at any moment
    /// until the file is in it.
    fn write(&self, path: &Path, fill: &dyn Fn(&dyn disk::File) -> io::Result<()>, place: &dyn Fn(&Path) -> io::Result<()>) -> Result<()> {
        let dir = path.parent().unwrap_or(&self.root);
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}-{}{ASIDE}", self.writer, self.next.fetch_add(1, Ordering::Relaxed)));
        let aside = PathBuf::from(aside);
        let mut tries = limits::DIRECTORY_TRIES;
        let file = loop {
            match self.fs.create_dir_all(dir).and_then(|()| self.fs.create(&aside)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && tries > 0 => tries -= 1,
                other => break other?,
            }
        };
        let done = fill(&*file).and_then(|()| file.sync());
        drop(file);
        if let Err(e) = done.and_then(|()| place(&aside)) {
            let _ = self.fs.remove(&aside);
            return Err(e.into());
        }
        match self.fs.sync_dir(dir) {
            // Placed, and deleted again by another, with the directory.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => Ok(other?),
        }
    }

    fn walk(&self, dir: &Path, key: &str, out: &mut Vec<Object>) -> Result<()> {
        let entries = match self.fs.list(dir) {
            Ok(e) => e,
            // Never made, or removed while we walked.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        for e in entries {
            let key = if key.is_empty() { e.name.clone() } else { format!("{key}/{}", e.name) };
            if e.is_dir {
                self.walk(&dir.join(&e.name), &key, out)?;
            } else if !e.name.ends_with(ASIDE) {
                out.push(Object { key, len: e.len });
            }
        }
        Ok(())
    }
}

impl Store for FsStore {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn put(&self, key: &str, data: Bytes) -> Result<()> {
        let path = self.path(key)?;
        self.write(&path, &|f| f.write_at(0, &data), &|aside| self.fs.rename(aside, &path))
    }

    fn create(&self, key: &str, data: Bytes) -> Result<Created> {
        let path = self.path(key)?;
        let exists = std::cell::Cell::new(false);
        let place = |aside: &Path| match self.fs.rename_new(aside, &path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                exists.set(true);
                self.fs.remove(aside)
            }
            other => other,
        };
        self.write(&path, &|f| f.write_at(0, &data), &place)?;
        Ok(if exists.get() { Created::Exists } else { Created::Yes })
    }

    fn put_file(&self, key: &str, from: &dyn Fs, source: &Path) -> Result<()> {
        let path = self.path(key)?;
        let source = from.open(source)?;
        let len = source.len()?;
        let copy = |to: &dyn disk::File| {
            let mut buffer = vec![0; limits::COPY_BYTES.min(len.max(1)) as usize];
            let mut at = 0;
            while at < len {
                let n = (len - at).min(buffer.len() as u64) as usize;
                source.read_exact_at(at, &mut buffer[..n])?;
                to.write_at(at, &buffer[..n])?;
                at += n as u64;
            }
            Ok(())
        };
        self.write(&path, &copy, &|aside| self.fs.rename(aside, &path))
    }

    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let len = range.end.checked_sub(range.start).ok_or_else(|| Error::invalid("not a range"))?;
        let mut buf = vec![0; len as usize];
        self.fs.open(&self.path(key)?)?.read_exact_at(range.start, &mut buf)?;
        Ok(buf.into())
    }

    fn get(&self, key: &str) -> Result<Bytes> {
        Ok(disk::read(&*self.fs, &self.path(key)?)?.into())
    }

    fn len(&self, key: &str) -> Result<u64> {
        Ok(self.fs.open(&self.path(key)?)?.len()?)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let key = prefix.trim_end_matches('/');
        let dir = if key.is_empty() { self.root.clone() } else { self.path(key)? };
        let mut out = vec![];
        self.walk(&dir, key, &mut out)?;
        // By key, not by directory: `a.b` sorts before `a/b`.
        out.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(out)
    }

    fn delete(&self, key: &str) -> Result<()> {
        let path = self.path(key)?;
        match self.fs.remove(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        }
        let mut dir = path.parent();
        while let Some(d) = dir.filter(|d| d.starts_with(&self.root)) {
            match self.fs.sync_dir(d) {
                // Another deleted the last object of the directory at the same time.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
            if d == self.root || self.fs.list(d).is_ok_and(|l| !l.is_empty()) || self.fs.remove_dir(d).is_err() {
                break;
            }
            dir = d.parent();
        }
        Ok(())
    }

    fn directory(&self) -> Option<(Arc<dyn Fs>, PathBuf)> {
        Some((self.fs.clone(), self.root.clone()))
    }
}
