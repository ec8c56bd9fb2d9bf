//! The file seam. Everything that touches a disk goes through [`Fs`] and [`File`], so that the simulation can crash
//! after any write, lose the unsynced tail, fill the disk, fail an fsync or flip a bit.
//!
//! Three implementations: [`RealFs`], [`SimFs`] for simulations, and [`VolatileFs`], which lets a killed process lose what a power cut
//! would have lost.

use std::io;
use std::path::Path;
use std::sync::Arc;

mod real;
mod sim;
mod volatile;

pub use real::RealFs;
pub use sim::{Loss, SimFs, SimSettings};
pub use volatile::VolatileFs;

/// A directory entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// File name without its directory.
    pub name: String,
    /// True for a directory.
    pub is_dir: bool,
    /// Bytes of a file; 0 for a directory.
    pub len: u64,
}

/// The operations of a file system that Watchfire needs.
pub trait Fs: Send + Sync + 'static {
    /// Creates a file, empty if it existed, open for reading and writing.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Replaces `to` by `from` at once. Durable after [`Fs::sync_dir`] of the parent.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives `from` the name `to` unless something has it, which is [`io::ErrorKind::AlreadyExists`]: of several that try at
    /// once, one succeeds. Durable after [`Fs::sync_dir`] of the parent; a crash may leave both names.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file that is never written again a second name, or, where that cannot be, makes a copy of it, synced. It is
    /// [`io::ErrorKind::AlreadyExists`] if something has the name. Durable after [`Fs::sync_dir`] of the parent of `to`.
    fn link_or_copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        copy(self, from, to)
    }
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory and what is missing above it, and syncs the parent of each one it made.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Entries of a directory, by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Makes creations, renames and removals inside `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that can still be written below `dir`.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file. Reads and writes name their place, so a handle can be shared.
pub trait File: Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `data` at `offset`, growing the file.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Current length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// True when the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts or grows (with zeros) to `len`.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes the file's bytes and length durable (`fdatasync`). After an error the file is done with: what it
    /// holds beyond the last good sync is unknown (promise P9).
    fn sync(&self) -> io::Result<()>;
    /// Reads exactly `buf.len()` bytes.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            match self.read_at(offset + done as u64, &mut buf[done..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => done += n,
            }
        }
        Ok(())
    }
}

/// Bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Copies a file to a name that nothing has, and syncs the copy.
fn copy<F: Fs + ?Sized>(fs: &F, from: &Path, to: &Path) -> io::Result<()> {
    match fs.open(to) {
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let (source, target) = (fs.open(from)?, fs.create(to)?);
    let mut piece = vec![0; COPY_BYTES];
    let mut at = 0;
    loop {
        let n = source.read_at(at, &mut piece)?;
        if n == 0 {
            return target.sync();
        }
        target.write_at(at, &piece[..n])?;
        at += n as u64;
    }
}

/// Reads a whole file.
pub fn read(fs: &dyn Fs, path: &Path) -> io::Result<Vec<u8>> {
    let f = fs.open(path)?;
    let mut buf = vec![0; f.len()? as usize];
    f.read_exact_at(0, &mut buf)?;
    Ok(buf)
}

/// Writes `data` aside, syncs, renames over `path` and syncs the directory: after it returns, `path` holds `data`
/// whatever happens; before, it holds what it held.
pub fn write_durably(fs: &dyn Fs, path: &Path, data: &[u8]) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".tmp");
    let aside = Path::new(&aside);
    let f = fs.create(aside)?;
    f.write_at(0, data)?;
    f.sync()?;
    drop(f);
    fs.rename(aside, path)?;
    fs.sync_dir(path.parent().unwrap_or(Path::new(".")))
}
