//! The operating system's file system with a cache that a kill of the process loses: a power cut for one process.
//!
//! Killing a process loses nothing that it has written, because the operating system keeps it. To rehearse a power cut with real
//! processes, [`VolatileFs`] is the operating system's page cache in the process's own memory: written pages wait there and
//! reach the file only when it is synced. What a `kill -9` then leaves on the disk is what a power cut would have left.
//!
//! What it does not model: directories (creations, renames and removals are durable at once), and syncs that reach the disk in part.
//! The simulated disk does both.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::{Entry, File, Fs, RealFs};

const PAGE: usize = 4096;

/// The operating system's file system, seen through a cache that only syncs empty. Clones share the cache. It can be told to be full.
#[derive(Clone, Default)]
pub struct VolatileFs(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Files that are open, or hold bytes that were not synced.
    files: Mutex<BTreeMap<PathBuf, Arc<Cached>>>,
    full: AtomicBool,
}

impl VolatileFs {
    /// From now on the disk takes nothing that needs room, or does again.
    pub fn set_full(&self, full: bool) {
        self.0.full.store(full, Ordering::SeqCst);
    }
}

impl Shared {
    fn room(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl VolatileFs {
    fn handle(&self, file: &Arc<Cached>) -> Arc<dyn File> {
        Arc::new(Handle { shared: self.0.clone(), file: file.clone() })
    }

    /// The file of a path, opened once.
    fn cached(&self, files: &mut BTreeMap<PathBuf, Arc<Cached>>, path: &Path) -> io::Result<Arc<Cached>> {
        if let Some(f) = files.get(path) {
            return Ok(f.clone());
        }
        let real = RealFs.open(path)?;
        let len = real.len()?;
        let pages = Pages { len, valid: len, durable_len: len, dirty: BTreeMap::new() };
        let file = Arc::new(Cached { real, path: Mutex::new(path.to_owned()), pages: Mutex::new(pages) });
        files.insert(path.to_owned(), file.clone());
        Ok(file)
    }
}

impl Fs for VolatileFs {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut files = self.0.files.lock();
        let file = match self.cached(&mut files, path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.0.room()?;
                RealFs.create(path)?;
                self.cached(&mut files, path)?
            }
            other => other?,
        };
        file.pages.lock().cut(0);
        Ok(self.handle(&file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = self.cached(&mut self.0.files.lock(), path)?;
        Ok(self.handle(&file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.0.files.lock();
        RealFs.rename(from, to)?;
        moved(&mut files, from, to);
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.0.files.lock();
        RealFs.rename_new(from, to)?;
        moved(&mut files, from, to);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut files = self.0.files.lock();
        RealFs.remove(path)?;
        files.remove(path);
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if !path.is_dir() {
            self.0.room()?;
        }
        RealFs.create_dir_all(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealFs.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let files = self.0.files.lock();
        let mut entries = RealFs.list(dir)?;
        for e in entries.iter_mut().filter(|e| !e.is_dir) {
            if let Some(file) = files.get(&dir.join(&e.name)) {
                e.len = file.pages.lock().len;
            }
        }
        Ok(entries)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealFs.sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let free = RealFs.free_bytes(dir)?;
        Ok(if self.0.full.load(Ordering::SeqCst) { 0 } else { free })
    }
}

/// What was `from`, a file or a directory with what is in it, is `to` now.
fn moved(files: &mut BTreeMap<PathBuf, Arc<Cached>>, from: &Path, to: &Path) {
    if from == to {
        return;
    }
    files.remove(to);
    let below: Vec<PathBuf> = files.keys().filter(|p| p.starts_with(from)).cloned().collect();
    for old in below {
        let Some(file) = files.remove(&old) else { continue };
        let new = match old.strip_prefix(from) {
            Ok(rest) if !rest.as_os_str().is_empty() => to.join(rest),
            _ => to.to_owned(),
        };
        file.path.lock().clone_from(&new);
        files.insert(new, file);
    }
}

/// A file and its pages that were not synced.
struct Cached {
    real: Arc<dyn File>,
    path: Mutex<PathBuf>,
    pages: Mutex<Pages>,
}

struct Pages {
    /// As programs see it.
    len: u64,
    /// The real file's bytes count below this; beyond, what was not written since is zeros.
    valid: u64,
    /// Length of the real file.
    durable_len: u64,
    dirty: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl Pages {
    fn is_clean(&self) -> bool {
        self.dirty.is_empty() && self.len == self.durable_len && self.valid == self.durable_len
    }

    /// Cuts to `len` bytes; nothing if there are fewer.
    fn cut(&mut self, len: u64) {
        if len >= self.len {
            return;
        }
        self.len = len;
        self.valid = self.valid.min(len);
        let (page, within) = split(len);
        self.dirty.retain(|p, _| *p < page || *p == page && within > 0);
        if let Some(last) = self.dirty.get_mut(&page) {
            last[within..].fill(0);
        }
    }

    /// A page as programs see it, beyond the end zeros.
    fn load(&self, real: &dyn File, page: u64) -> io::Result<[u8; PAGE]> {
        if let Some(p) = self.dirty.get(&page) {
            return Ok(**p);
        }
        let mut out = [0; PAGE];
        let from = page * PAGE as u64;
        let there = self.valid.saturating_sub(from).min(PAGE as u64) as usize;
        real.read_exact_at(from, &mut out[..there])?;
        Ok(out)
    }

    fn write(&mut self, real: &dyn File, offset: u64, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let mut done = 0;
        while done < data.len() {
            let (page, within) = split(offset + done as u64);
            let n = (PAGE - within).min(data.len() - done);
            let mut bytes = self.load(real, page)?;
            bytes[within..within + n].copy_from_slice(&data[done..done + n]);
            self.dirty.insert(page, Box::new(bytes));
            done += n;
        }
        self.len = self.len.max(offset + data.len() as u64);
        Ok(())
    }

    /// Gives everything to the real file.
    fn write_back(&mut self, real: &dyn File) -> io::Result<()> {
        if self.valid < self.durable_len {
            real.set_len(self.valid)?;
        }
        for (page, bytes) in &self.dirty {
            let from = page * PAGE as u64;
            let n = self.len.saturating_sub(from).min(PAGE as u64) as usize;
            real.write_at(from, &bytes[..n])?;
        }
        real.set_len(self.len)?;
        self.dirty.clear();
        (self.valid, self.durable_len) = (self.len, self.len);
        Ok(())
    }
}

fn split(offset: u64) -> (u64, usize) {
    (offset / PAGE as u64, (offset % PAGE as u64) as usize)
}

struct Handle {
    shared: Arc<Shared>,
    file: Arc<Cached>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut files = self.shared.files.lock();
        let path = self.file.path.lock().clone();
        // The map's and this one: nobody else has it open. (A removed file is in the map no more.)
        let last = Arc::strong_count(&self.file) == 2 && files.get(&path).is_some_and(|f| Arc::ptr_eq(f, &self.file));
        if last && self.file.pages.lock().is_clean() {
            files.remove(&path);
        }
    }
}

impl File for Handle {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let pages = self.file.pages.lock();
        let n = pages.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        let mut done = 0;
        while done < n {
            let (page, within) = split(offset + done as u64);
            let some = (PAGE - within).min(n - done);
            let bytes = pages.load(&*self.file.real, page)?;
            buf[done..done + some].copy_from_slice(&bytes[within..within + some]);
            done += some;
        }
        Ok(n)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut pages = self.file.pages.lock();
        if offset + data.len() as u64 > pages.len {
            self.shared.room()?;
        }
        pages.write(&*self.file.real, offset, data)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.pages.lock().len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut pages = self.file.pages.lock();
        if len > pages.len {
            self.shared.room()?;
            pages.len = len;
        }
        pages.cut(len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.pages.lock().write_back(&*self.file.real)?;
        self.file.real.sync()
    }
}

#[cfg(test)]
mod tests;
