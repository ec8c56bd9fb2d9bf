//! Blocks in a bucket: opening it, and trying everything that is needed of it.

use std::path::Path;
use std::sync::Arc;

use base::{Error, Result};
use disk::RealFs;
use store::{FsStore, Remote, Store};

use crate::settings::Storage;

/// The store that the settings name; none if blocks are in the data directory.
pub fn open(settings: &Storage, data_dir: &Path, node: &str) -> Result<Option<Arc<dyn Store>>> {
    let Some(bucket) = &settings.bucket else { return Ok(None) };
    let Some(dir) = bucket.url.strip_prefix("file://") else { return Ok(Some(Arc::new(Remote::new(bucket)?))) };
    if Path::new(dir).starts_with(data_dir) {
        return Err(Error::invalid(format!("storage.url: {dir} is in the data directory, where blocks are without it")));
    }
    Ok(Some(Arc::new(FsStore::new(Arc::new(RealFs), dir, node))))
}

/// Tries every call that the server makes, says for each whether it works, and returns whether all did.
pub fn check(store: &dyn Store) -> Result<bool> {
    println!("{}:", store.name());
    let mut all = true;
    for step in store::check(store)? {
        match &step.result {
            Ok(()) => println!("  ok      {}", step.what),
            Err(e) => {
                all = false;
                println!("  FAILED  {}: {e}", step.what);
                println!("          {}", step.needs);
            }
        }
    }
    Ok(all)
}
