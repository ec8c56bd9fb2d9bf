//! A simulated disk: in memory, deterministic by its seed, and as unkind as a real one is allowed to be.
//!
//! What it models. Every file has its *durable* bytes and the *view* that programs see; writes and length changes wait in
//! a list until the file is synced. Every directory likewise: creations, renames and removals wait until the directory
//! is synced, whatever happens to the files. [`SimFs::crash`] decides for each waiting thing by the seed whether it had
//! reached the disk: a write is kept, dropped or torn at 512-byte sectors, a directory change is kept or dropped, each
//! for itself and in no order. That is more than a journaling file system does, and all that POSIX promises.
//!
//! What it does not model: permissions, links, directories' own space, and time.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::{Entry, File, Fs};

mod state;

use state::{Change, Ino, ROOT, State};

/// Settings of the simulated disk.
#[derive(Clone, Debug)]
pub struct SimSettings {
    /// Decides every "kept or dropped".
    pub seed: u64,
    /// Bytes that all files together may have.
    pub capacity_bytes: u64,
}

impl Default for SimSettings {
    fn default() -> Self {
        SimSettings { seed: 1, capacity_bytes: u64::MAX }
    }
}

/// What a reboot loses of the things that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: the process was killed, the operating system lived on.
    Nothing,
    /// Each unsynced thing is kept, dropped or torn as the seed decides.
    Whim,
    /// Everything that was not synced.
    All,
}

/// A simulated disk. Clones are handles on the same disk.
#[derive(Clone)]
pub struct SimFs(Arc<Mutex<State>>);

impl Default for SimFs {
    fn default() -> Self {
        SimFs::new(SimSettings::default())
    }
}

impl SimFs {
    /// An empty disk with a root directory.
    pub fn new(settings: SimSettings) -> Self {
        SimFs(Arc::new(Mutex::new(State::new(settings.seed, settings.capacity_bytes))))
    }
    /// An empty disk with this seed and no bound.
    pub fn seeded(seed: u64) -> Self {
        Self::new(SimSettings { seed, ..SimSettings::default() })
    }
    /// [`SimFs::reboot`] with [`Loss::Whim`].
    pub fn crash(&self) {
        self.reboot(Loss::Whim);
    }
    /// [`SimFs::reboot`] with [`Loss::All`].
    pub fn power_cut(&self) {
        self.reboot(Loss::All);
    }
    /// Ends the life of every open handle, loses what `loss` says, and makes the disk usable again.
    pub fn reboot(&self, loss: Loss) {
        self.0.lock().reboot(loss);
    }
    /// After `n` more changing operations every operation fails, until the next reboot. The operation that meets the
    /// end may have been half done.
    pub fn crash_after(&self, n: u64) {
        self.0.lock().dies_in = Some(n);
    }
    /// True once [`SimFs::crash_after`] has struck.
    pub fn is_dead(&self) -> bool {
        self.0.lock().dead
    }
    /// Changes the capacity.
    pub fn set_capacity(&self, bytes: u64) {
        self.0.lock().capacity = bytes;
    }
    /// The next `n` file syncs fail with `EIO`. As on Linux the unsynced bytes are then clean as far as the system
    /// knows, so a later sync succeeds without having written them: each is on the disk or is not.
    pub fn fail_syncs(&self, n: u64) {
        self.0.lock().fail_syncs = n;
    }
    /// The next `n` reads of files fail with `EIO`.
    pub fn fail_reads(&self, n: u64) {
        self.0.lock().fail_reads = n;
    }
    /// Reads that touch the 512-byte sector of `offset` fail until it is written again.
    pub fn break_sector(&self, path: &Path, offset: u64) -> io::Result<()> {
        let mut s = self.0.lock();
        let ino = s.find(&names(path))?;
        s.file(ino)?.bad_sectors.insert(offset / state::SECTOR);
        Ok(())
    }
    /// Makes syncs do nothing but say that they did. A simulation that does not turn red with this proves nothing.
    pub fn lying_sync(&self, lie: bool) {
        self.0.lock().lying_sync = lie;
    }
    /// Flips the bits of `mask` in the byte at `offset`, on the disk and in the view.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        let mut s = self.0.lock();
        let ino = s.find(&names(path))?;
        s.file(ino)?.flip(offset, mask)
    }
    fn handle(&self, s: &mut State, ino: Ino) -> io::Result<SimFile> {
        s.file(ino)?.handles += 1;
        Ok(SimFile { fs: self.clone(), ino, life: s.life })
    }
    fn move_file(&self, from: &Path, to: &Path, replace: bool) -> io::Result<()> {
        let mut s = self.0.lock();
        s.begin_change()?;
        let ((from_dir, from), (to_dir, to)) = (split(from)?, split(to)?);
        let (from_dir, to_dir) = (s.find_dir(&from_dir)?, s.find_dir(&to_dir)?);
        let ino = s.dir(from_dir)?.now.get(&from).copied().ok_or(io::ErrorKind::NotFound)?;
        if let Some(&there) = s.dir(to_dir)?.now.get(&to) {
            if !replace {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if s.is_dir(there) {
                return Err(io::ErrorKind::IsADirectory.into());
            }
        }
        s.change(Change::Rename { from_dir, from, to_dir, to, ino })
    }

    /// All files, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.lock().paths()
    }
    /// Bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.0.lock().used
    }
    /// Changing operations so far.
    pub fn ops(&self) -> u64 {
        self.0.lock().ops
    }
}

/// The names on the way from the root; the root and `.` have none.
fn names(path: &Path) -> Vec<String> {
    path.components()
        .filter_map(|c| match c {
            Component::Normal(n) => Some(n.to_string_lossy().into_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

/// The directory's names and the last name.
fn split(path: &Path) -> io::Result<(Vec<String>, String)> {
    let mut all = names(path);
    let last = all.pop().ok_or(io::ErrorKind::InvalidInput)?;
    Ok((all, last))
}

impl Fs for SimFs {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut s = self.0.lock();
        s.begin_change()?;
        let (dir, name) = split(path)?;
        let dir = s.find_dir(&dir)?;
        let ino = match s.dir(dir)?.now.get(&name).copied() {
            Some(ino) => {
                s.set_len(ino, 0)?;
                ino
            }
            None => {
                let ino = s.new_file();
                s.change(Change::Link { dir, name, ino })?;
                ino
            }
        };
        Ok(Arc::new(self.handle(&mut s, ino)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut s = self.0.lock();
        s.alive()?;
        let ino = s.find(&names(path))?;
        Ok(Arc::new(self.handle(&mut s, ino)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.move_file(from, to, true)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.move_file(from, to, false)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut s = self.0.lock();
        s.begin_change()?;
        let ino = s.find(&names(path))?;
        s.file(ino)?;
        let (dir, name) = split(path)?;
        let dir = s.find_dir(&dir)?;
        s.change(Change::Unlink { dir, name, ino })
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut s = self.0.lock();
        s.begin_change()?;
        let mut at = ROOT;
        for name in names(path) {
            at = match s.dir(at)?.now.get(&name).copied() {
                Some(ino) => ino,
                None => {
                    let ino = s.new_dir();
                    s.change(Change::Link { dir: at, name, ino })?;
                    s.sync_dir(at)?;
                    ino
                }
            };
        }
        s.dir(at).map(|_| ())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut s = self.0.lock();
        s.begin_change()?;
        let ino = s.find_dir(&names(path))?;
        if !s.dir(ino)?.now.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (dir, name) = split(path)?;
        let dir = s.find_dir(&dir)?;
        s.change(Change::Unlink { dir, name, ino })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut s = self.0.lock();
        s.alive()?;
        let dir = s.find_dir(&names(dir))?;
        let entries: Vec<(String, Ino)> = s.dir(dir)?.now.iter().map(|(n, &i)| (n.clone(), i)).collect();
        Ok(entries
            .into_iter()
            .map(|(name, ino)| {
                let is_dir = s.is_dir(ino);
                Entry { name, is_dir, len: if is_dir { 0 } else { s.len(ino) } }
            })
            .collect())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut s = self.0.lock();
        s.begin_change()?;
        let dir = s.find_dir(&names(dir))?;
        s.sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let mut s = self.0.lock();
        s.alive()?;
        s.find_dir(&names(dir))?;
        Ok(s.capacity.saturating_sub(s.used))
    }
}

/// A handle, good for one life of the disk.
struct SimFile {
    fs: SimFs,
    ino: Ino,
    life: u64,
}

impl SimFile {
    fn state(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let s = self.fs.0.lock();
        if s.life != self.life {
            return Err(io::Error::other("the machine went down since this file was opened"));
        }
        Ok(s)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut s = self.fs.0.lock();
        if s.life == self.life
            && let Ok(f) = s.file(self.ino)
        {
            f.handles -= 1;
        }
    }
}

impl File for SimFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut s = self.state()?;
        s.alive()?;
        s.read_at(self.ino, offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut s = self.state()?;
        let was_dead = s.dead;
        if let Err(e) = s.begin_change() {
            if !was_dead {
                s.half_write(self.ino, offset, data);
            }
            return Err(e);
        }
        s.write_at(self.ino, offset, data)
    }

    fn len(&self) -> io::Result<u64> {
        let s = self.state()?;
        s.alive()?;
        Ok(s.len(self.ino))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut s = self.state()?;
        s.begin_change()?;
        s.set_len(self.ino, len)
    }

    fn sync(&self) -> io::Result<()> {
        let mut s = self.state()?;
        s.begin_change()?;
        s.sync(self.ino)
    }
}

#[cfg(test)]
mod tests;
