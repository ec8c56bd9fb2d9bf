//! What the edge needs of the store: one way in, one way out, and a few words about its state.

use std::sync::Arc;

use base::stats::Exposition;
use base::{Error, Kind, Result};
use bytes::Bytes;
use table::sorted::Budget;
use table::{FrameHeader, Ingested, Rows};

/// The store behind the adapters. All calls may block and are made off the async runtime.
pub trait Backend: Send + Sync + 'static {
    /// Decodes, makes durable and visible; returns when a crash cannot take it back. An error means that nothing
    /// of the body was taken.
    fn ingest(&self, header: FrameHeader, body: Bytes) -> Result<Ingested>;
    /// Whom queries ask. An error of kind `Unavailable` while the store is not whole yet.
    fn rows(&self) -> Result<&dyn Rows>;
    /// A share of the memory for queries, for what a query holds beside the rows that it reads.
    fn query_memory(&self) -> Option<Arc<dyn Budget>> {
        None
    }
    /// Returns when everything that was acknowledged is in its final form on disk.
    fn flush(&self) -> Result<()>;
    /// What is not ready, in words; never blocks.
    fn ready(&self) -> std::result::Result<(), String>;
    /// What was refused or lost, by reason, source and time.
    fn ledger(&self, tenant: Option<&base::Tenant>) -> Result<serde_json::Value>;
    /// Writes the store's figures.
    fn metrics(&self, out: &mut Exposition);
    /// The clock that says when a body was received.
    fn clock(&self) -> base::Clock;
    /// Keeps a small document of the edge, durably: in the data directory, or, in a cluster, where all nodes find it.
    fn keep(&self, _name: &str, _bytes: &[u8]) -> Result<()> {
        Err(no_store())
    }
    /// The documents whose names start with `prefix`, by name.
    fn kept(&self, _prefix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        Ok(vec![])
    }
    /// Removes a document.
    fn discard(&self, _name: &str) -> Result<()> {
        Err(no_store())
    }
    /// Makes a copy of everything at this instant; with `memory`, also of what is not flushed yet.
    fn snapshot(&self, _name: &str, _memory: bool) -> Result<()> {
        Err(no_store())
    }
    /// What is scraped by this process itself.
    fn scraped(&self) -> agent::scrape::Watch {
        agent::scrape::Watch::default()
    }
    /// Whether other nodes hold rows, too.
    fn is_clustered(&self) -> bool {
        false
    }
    /// Where blocks are, and how much is still to be moved there.
    fn storage(&self) -> Result<serde_json::Value> {
        Err(no_store())
    }
    /// Reads the settings again, and moves blocks to the store that they name, while serving.
    fn move_storage(&self) -> Result<()> {
        Err(no_store())
    }
    /// The cluster as this node sees it. `NotFound` when it is in none, as the next two.
    fn cluster(&self) -> Result<serde_json::Value> {
        Err(no_cluster())
    }
    /// An operator's word that a node will never come back.
    fn forget(&self, _node: &str) -> Result<()> {
        Err(no_cluster())
    }
    /// Asks this node to leave: it begins to, and ends by itself.
    fn leave(&self) -> Result<()> {
        Err(no_cluster())
    }
}

fn no_store() -> Error {
    Error::new(Kind::NotFound, "this server has no blocks")
}

/// What a server answers that stands alone.
pub(crate) fn no_cluster() -> Error {
    Error::new(Kind::NotFound, "this server is no node of a cluster: it has no cluster.name (flag --cluster)")
}
