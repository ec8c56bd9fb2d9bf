//! Small documents that others keep with the rows: each is replaced as a whole, durably. They are in the data directory, or, where
//! nodes share a store, in it: what one node keeps, all can read.

use base::{Error, Kind, Result};
use bytes::Bytes;

use super::Engine;

/// Bytes of one document: it is held in memory and written anew with every change.
const DOCUMENT_BYTES: usize = 1 << 20;
/// Where they are in a store.
const PREFIX: &str = "documents/";

impl Engine {
    /// Keeps `bytes` under `name`, which is a file's name; a crash leaves the old document or the new one.
    pub fn keep(&self, name: &str, bytes: &[u8]) -> Result<()> {
        if bytes.len() > DOCUMENT_BYTES {
            return Err(Error::new(Kind::TooLarge, format!("a document of {} bytes is larger than {DOCUMENT_BYTES}", bytes.len())));
        }
        if let Some(remote) = self.shared_store() {
            return remote.put(&format!("{PREFIX}{name}"), Bytes::copy_from_slice(bytes));
        }
        let dir = self.keys.documents();
        self.fs.create_dir_all(&dir)?;
        self.fs.sync_dir(self.keys.root())?;
        Ok(disk::write_durably(&*self.fs, &dir.join(name), bytes)?)
    }

    /// The documents whose names start with `prefix`, by name.
    pub fn kept(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let mut all = vec![];
        if let Some(remote) = self.shared_store() {
            for object in remote.list(PREFIX)? {
                let Some(name) = object.key.strip_prefix(PREFIX).filter(|n| n.starts_with(prefix)) else { continue };
                match remote.get(&object.key) {
                    Ok(bytes) => all.push((name.to_owned(), bytes.to_vec())),
                    // Another node has just removed it.
                    Err(e) if e.kind() == Kind::NotFound => {}
                    Err(e) => return Err(e),
                }
            }
            return Ok(all);
        }
        let dir = self.keys.documents();
        let entries = match self.fs.list(&dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(all),
            other => other?,
        };
        // A name with another ending is a document that was being written when the process ended.
        for entry in entries.iter().filter(|e| e.name.starts_with(prefix) && !e.name.ends_with(".tmp")) {
            all.push((entry.name.clone(), disk::read(&*self.fs, &dir.join(&entry.name))?));
        }
        all.sort();
        Ok(all)
    }

    /// Removes a document, durably. Not an error if there is none.
    pub fn discard(&self, name: &str) -> Result<()> {
        if let Some(remote) = self.shared_store() {
            return remote.delete(&format!("{PREFIX}{name}"));
        }
        let dir = self.keys.documents();
        match self.fs.remove(&dir.join(name)) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => Ok(other.and_then(|()| self.fs.sync_dir(&dir))?),
        }
    }

    fn shared_store(&self) -> Option<&dyn store::Store> {
        self.blocks.remote().filter(|r| r.shared).map(|r| &*r.store)
    }
}
