//! Blocks of a server that stands alone go to an object store while it serves.

use base::{Error, Result};
use server::GiveStore;
use store::Store;

use super::compose;
use super::ground::Ground;
use super::open::NODE;
use crate::cli::ServeArgs;
use crate::storage;

/// Reads the settings again as at the start, tries the store that they name by now, and gives it to the engine. What comes after
/// a restart is what the file says, so the file is what is asked.
pub fn give_store(args: ServeArgs, ground: Ground) -> GiveStore {
    Box::new(move |engine| {
        let Some(file) = &args.config else {
            return Err(Error::invalid(
                "this server was started without a settings file: start it with --config, and set storage.url there",
            ));
        };
        let settings = compose(&args).map_err(|e| Error::invalid(format!("{e:#}")))?;
        let dir = std::path::absolute(&settings.data_dir)?;
        let Some(store) = storage::open(&settings.storage, &dir, NODE)? else {
            return Err(Error::invalid(format!("{} does not set storage.url: set it to where blocks shall go", file.display())));
        };
        let store = ground.store(store);
        tried(&*store)?;
        tracing::info!(store = store.name(), "blocks go to an object store from now on");
        engine.take_store(store, settings.storage.cache_bytes)
    })
}

/// An error that names each call that does not work, and what it needs.
fn tried(store: &dyn Store) -> Result<()> {
    let failed: Vec<String> =
        store::check(store)?.iter().filter_map(|s| s.result.as_ref().err().map(|e| format!("{}: {e}; {}", s.what, s.needs))).collect();
    if failed.is_empty() { Ok(()) } else { Err(Error::invalid(format!("{}: {}", store.name(), failed.join("; ")))) }
}
