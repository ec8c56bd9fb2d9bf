//! Small documents that others keep in the data directory: each is replaced as a whole, durably.

use base::{Error, Result};

use super::Engine;

/// Bytes of one document: it is held in memory and written anew with every change.
const DOCUMENT_BYTES: usize = 16 << 20;

impl Engine {
    /// Keeps `bytes` under `name`, which is a file's name; a crash leaves the old document or the new one.
    pub fn keep(&self, name: &str, bytes: &[u8]) -> Result<()> {
        if bytes.len() > DOCUMENT_BYTES {
            return Err(Error::new(base::Kind::TooLarge, format!("a document of {} bytes is larger than {DOCUMENT_BYTES}", bytes.len())));
        }
        let dir = self.keys.documents();
        self.fs.create_dir_all(&dir)?;
        self.fs.sync_dir(self.keys.root())?;
        Ok(disk::write_durably(&*self.fs, &dir.join(name), bytes)?)
    }

    /// What was kept under `name`, if anything was.
    pub fn kept(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match disk::read(&*self.fs, &self.keys.documents().join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}
