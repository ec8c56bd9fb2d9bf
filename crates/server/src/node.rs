//! The store of one node behind the edge: the distributor, or nothing yet while it is being opened.

use std::sync::{Arc, OnceLock};

use agent::scrape::Watch;
use base::stats::Exposition;
use base::{Clock, Error, Result};
use bytes::Bytes;
use cluster::membership::Membership;
use cluster::{ClusterStatus, Distributor};
use parking_lot::Mutex;
use table::{Engine, FrameHeader, Ingested, Rows};
use tokio::sync::Notify;

use crate::backend::{Backend, no_cluster};

/// Writes figures of what runs beside the store.
pub type Figures = Box<dyn Fn(&mut Exposition) + Send + Sync>;

/// Gives the engine the object store that the settings name by now. May block.
pub type GiveStore = Box<dyn Fn(&Engine) -> Result<()> + Send + Sync>;

/// A store that may still be opening: the listener is there from the first moment, and says what it waits for.
pub struct Node {
    clock: Clock,
    opened: OnceLock<Arc<Distributor>>,
    state: Mutex<String>,
    figures: Mutex<Vec<Figures>>,
    cluster: OnceLock<Arc<Membership>>,
    leave: Notify,
    give_store: OnceLock<GiveStore>,
    scraped: Watch,
}

impl Node {
    /// A node that is not open yet; `state` says what is being done.
    pub fn new(clock: Clock, state: &str) -> Arc<Self> {
        Arc::new(Node {
            clock,
            opened: OnceLock::new(),
            state: Mutex::new(state.to_owned()),
            figures: Mutex::new(vec![]),
            cluster: OnceLock::new(),
            leave: Notify::new(),
            give_store: OnceLock::new(),
            scraped: Watch::default(),
        })
    }
    /// The store is whole: from now on it takes rows and answers.
    pub fn open(&self, store: Arc<Distributor>) {
        // Opened once, by the one who starts the server; a second store would be a bug and is ignored.
        let _ = self.opened.set(store);
        self.state.lock().clear();
    }
    /// It is a node of a cluster, which may be asked about from now on, also while the store is being opened.
    pub fn join(&self, membership: Arc<Membership>) {
        // Once, as the store.
        let _ = self.cluster.set(membership);
    }
    /// What is to be done when somebody wants blocks in the object store that the settings name by now.
    pub fn on_move(&self, give_store: GiveStore) {
        // Once, as the store.
        let _ = self.give_store.set(give_store);
    }
    /// Returns when somebody asks this node to leave its cluster.
    pub async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }
    /// Says from now on that it is not ready, and why.
    pub fn not_ready(&self, state: &str) {
        state.clone_into(&mut self.state.lock());
    }
    /// Adds figures to `/metrics`.
    pub fn add_figures(&self, figures: Figures) {
        self.figures.lock().push(figures);
    }
    /// The store, or an error of kind `Unavailable` that says what it waits for.
    pub fn store(&self) -> Result<&Arc<Distributor>> {
        self.opened.get().ok_or_else(|| Error::unavailable(format!("not ready: {}", self.state.lock())))
    }
}

impl Backend for Node {
    fn ingest(&self, header: FrameHeader, body: Bytes) -> Result<Ingested> {
        self.store()?.push(header, body)
    }
    fn rows(&self) -> Result<&dyn Rows> {
        let store = self.store()?;
        Ok(match store.cluster() {
            Some(c) => c.rows(),
            None => &**store.engine(),
        })
    }
    fn query_memory(&self) -> Option<Arc<dyn table::sorted::Budget>> {
        Some(self.store().ok()?.engine().query_memory())
    }
    fn flush(&self) -> Result<()> {
        self.store()?.engine().flush()
    }
    fn ready(&self) -> std::result::Result<(), String> {
        let state = self.state.lock();
        if state.is_empty() { Ok(()) } else { Err(state.clone()) }
    }
    fn ledger(&self, tenant: Option<&base::Tenant>) -> Result<serde_json::Value> {
        let store = self.store()?;
        let mut view = store.ledger().view(&store.engine().losses());
        if let Some(t) = tenant {
            view.deferred.retain(|e| e.tenant == t.as_str());
            view.lost.retain(|e| e.tenant == t.as_str());
        }
        serde_json::to_value(view).map_err(|e| Error::internal(e.to_string()))
    }
    fn metrics(&self, out: &mut Exposition) {
        if let Some(store) = self.opened.get() {
            store.engine().write_stats(out);
        }
        for f in self.figures.lock().iter() {
            f(out);
        }
    }
    fn clock(&self) -> Clock {
        self.clock.clone()
    }
    fn keep(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.store()?.engine().keep(name, bytes)
    }
    fn kept(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        self.store()?.engine().kept(prefix)
    }
    fn discard(&self, name: &str) -> Result<()> {
        self.store()?.engine().discard(name)
    }
    fn snapshot(&self, name: &str, memory: bool) -> Result<()> {
        self.store()?.engine().snapshot(name, memory).map(|_| ())
    }
    fn scraped(&self) -> Watch {
        self.scraped.clone()
    }
    fn is_clustered(&self) -> bool {
        self.cluster.get().is_some()
    }
    fn storage(&self) -> Result<serde_json::Value> {
        let engine = self.store()?.engine();
        let (blocks, bytes) = engine.blocks_to_move();
        Ok(serde_json::json!({"store": engine.store_name(), "blocks_to_move": blocks, "bytes_to_move": bytes}))
    }
    fn move_storage(&self) -> Result<()> {
        let engine = self.store()?.engine();
        self.give_store.get().ok_or_else(|| Error::unavailable("not ready"))?(engine)
    }
    fn cluster(&self) -> Result<serde_json::Value> {
        let membership = self.cluster.get().ok_or_else(no_cluster)?;
        let cluster = self.opened.get().and_then(|s| s.cluster());
        let status = cluster.map_or_else(|| ClusterStatus::of(membership), |c| c.status());
        serde_json::to_value(status).map_err(|e| Error::internal(e.to_string()))
    }
    fn forget(&self, node: &str) -> Result<()> {
        self.cluster.get().ok_or_else(no_cluster)?;
        let id = node.parse().map_err(Error::invalid)?;
        match self.store()?.cluster() {
            Some(c) => c.forget(id),
            None => Err(no_cluster()),
        }
    }
    fn leave(&self) -> Result<()> {
        self.cluster.get().ok_or_else(no_cluster)?;
        self.leave.notify_one();
        Ok(())
    }
}
