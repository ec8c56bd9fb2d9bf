//! Where blocks live: objects with a name, written once, read in ranges.
//!
//! **What it is for.** The engine keeps its log and its runs on the node's own disk, and commits blocks to a [`Store`]: a
//! directory ([`FsStore`], over the file seam, so that the simulation reaches it) or a bucket ([`Remote`]). Nodes that share
//! a store share the blocks.
//!
//! **Constraints.** One primitive decides races: [`Store::create`] succeeds for one of many writers. Everything else may be
//! late, may be repeated, and may fail. Calls block; each ends within a bound.
//!
//! **Design.** Keys are `/`-separated paths. [`Faulty`] wraps any store and makes it slow, lossy or dead for tests;
//! [`Cache`] keeps pieces of remote objects on the local disk and hands them out as [`disk::File`]s, so that whoever reads
//! local files reads remote ones by the same code.
//!
//! **Rejected.** Compare-and-swap of objects: not every store has it, and create-only suffices. Asking for modification
//! times: clocks of stores are not ours; ages are in the names.

mod cache;
mod check;
mod faulty;
mod fs;
mod limits;
#[cfg(feature = "remote")]
mod remote;

pub use cache::{Cache, CacheStats};
pub use check::{Step, check};
pub use faulty::{Faults, Faulty};
pub use fs::FsStore;
#[cfg(feature = "remote")]
pub use remote::{Remote, RemoteOptions};

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Error, Result};
use bytes::Bytes;
use disk::Fs;

/// An object, as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its whole key.
    pub key: String,
    /// Bytes.
    pub len: u64,
}

/// What became of a create-only write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "whoever did not create the object must not act as if it had"]
pub enum Created {
    /// It is ours.
    Yes,
    /// Something was there before and still is. It may be an earlier attempt of ours whose answer was lost.
    Exists,
}

/// Objects by key. What a call returned `Ok` for is durable and visible to everybody.
///
/// Errors: `NotFound` for an object that is not there, `Forbidden` and `Unauthenticated` when the store says so, `Invalid` for
/// a key or setting that can never work, and `Unavailable` for everything that time may heal; after it a write may or may not
/// have happened.
pub trait Store: Send + Sync {
    /// For people: where it is, without secrets.
    fn name(&self) -> String;
    /// Writes an object, in place of one of the same key.
    fn put(&self, key: &str, data: Bytes) -> Result<()>;
    /// Writes an object unless there is one: of any number of writers at once, one is told [`Created::Yes`].
    fn create(&self, key: &str, data: Bytes) -> Result<Created>;
    /// Writes a local file as an object, in parts if it is large. A failure leaves nothing that can be read.
    fn put_file(&self, key: &str, fs: &dyn Fs, path: &Path) -> Result<()>;
    /// Reads a range; an error if the object ends before the range does.
    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes>;
    /// Reads an object.
    fn get(&self, key: &str) -> Result<Bytes>;
    /// Length of an object.
    fn len(&self, key: &str) -> Result<u64>;
    /// All objects whose key starts with `prefix`, which ends with `/` or is empty, by key.
    fn list(&self, prefix: &str) -> Result<Vec<Object>>;
    /// Removes an object. Not an error if there is none.
    fn delete(&self, key: &str) -> Result<()>;
    /// Begins an upload in parts and gives it up, to see that this is possible. Nothing of it stays.
    fn abandon(&self, key: &str) -> Result<()> {
        check_key(key)
    }
    /// The directory that holds the objects as files of their keys, if it is one: its files may be read and, before the
    /// object that commits them, written directly.
    fn directory(&self) -> Option<(Arc<dyn Fs>, PathBuf)> {
        None
    }
}

/// An error for a key that could leave its place: keys are relative, without empty, `.` or `..` parts.
pub(crate) fn check_key(key: &str) -> Result<()> {
    let bad = key.is_empty() || key.split('/').any(|p| p.is_empty() || p == "." || p == "..");
    if bad { Err(Error::invalid(format!("{key:?} is no key of an object"))) } else { Ok(()) }
}
