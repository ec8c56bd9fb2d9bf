//! The one place where the tables meet the engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent::{Pause, Runner};
use base::Result;
use cluster::{Cluster, Distributor, Ledger, Limits, Rate};
use server::Node;
use table::{Engine, EngineOptions, Erase, Erasing, ErasingAll, Retention};

use super::cluster::Joined;
use super::ground::Ground;
use crate::settings::{Caps, Keep, Settings};
use crate::storage;

/// How often the ledger is written to disk, if it has changed.
const LEDGER_EVERY: Duration = Duration::from_secs(10);

/// What this node is called in its store as long as it shares it with no other.
pub const NODE: &str = "local";

/// How long a superseded block stays in a shared store at least, and how often others read its list.
const DELETE_DELAY: Duration = Duration::from_secs(5 * 60);
const LIST_EVERY: Duration = Duration::from_secs(30);

/// An open store, and what keeps its ledger.
pub struct Opened {
    store: Arc<Distributor>,
    ledger: Runner,
    joined: Option<Joined>,
}

/// Opens the data directory and gives the store to `node`.
pub fn open(node: &Node, settings: &Settings, ground: &Ground, mut joined: Option<Joined>) -> Result<Opened> {
    let fs = ground.fs.clone();
    let dir = std::path::absolute(&settings.data_dir)?;
    let name = joined.as_ref().map_or_else(|| NODE.to_owned(), Joined::name);
    let store = storage::open(&settings.storage, &dir, &name)?.map(|s| ground.store(s));
    let engine = Engine::open(EngineOptions {
        fs: fs.clone(),
        dir: dir.clone(),
        store,
        node: name,
        clock: ground.clock.clone(),
        tables: [&logs::SPEC, &traces::SPEC].into_iter().chain(metrics::TABLES).collect(),
        codecs: [logs::ingest::codecs(), metrics::ingest::codecs(), traces::ingest::codecs()].concat(),
        settings: table::Settings {
            retention: retention(settings),
            max_bytes: settings.storage.max_bytes,
            cache_bytes: settings.storage.cache_bytes,
            shared_store: joined.is_some(),
            delete_delay: DELETE_DELAY.max(settings.server.query_timeout + 2 * LIST_EVERY),
            ..table::Settings::default()
        }
        .with_memory_limit(settings.memory_bytes as usize),
    })?;
    engine.erase_with(Arc::new(DeleteRequests { after: settings.server.erase_after, rules: settings.stream_retention.clone() }));
    let ledger = Arc::new(Ledger::open(fs, dir.join("ledger.json"))?);
    let mut store = Distributor::new(engine.clone(), limits(&settings.limits), ledger);
    if let Some(j) = &mut joined {
        store = store.in_cluster(j.open(engine, node)?);
    }
    let store = Arc::new(store);
    let kept = store.clone();
    let ledger = Runner::start("ledger", move || {
        if let Err(e) = kept.ledger().save(&kept.engine().losses()) {
            tracing::warn!(error = %e, "the ledger cannot be written, trying again later");
        }
        Pause::Rest(LEDGER_EVERY)
    })?;
    node.open(store.clone());
    store.cluster().into_iter().for_each(|c| c.activate());
    Ok(Opened { store, ledger, joined })
}

/// What people asked to delete, as merges ask for it.
struct DeleteRequests {
    after: Duration,
    rules: Vec<logs::erase::Rule>,
}

impl Erase for DeleteRequests {
    fn due(&self, engine: &Engine, now_ns: i64) -> Result<Option<Arc<dyn Erasing>>> {
        let kept = engine.kept(logs::erase::DOCUMENTS)?;
        let requests = kept.iter().map(|(name, bytes)| logs::erase::Request::read(name, bytes)).collect::<Result<_>>()?;
        let lines = logs::erase::Due::of(requests, now_ns.saturating_sub(self.after.as_nanos() as i64), &self.rules, now_ns)?;
        let kept = engine.kept(metrics::erase::DOCUMENT)?;
        let series =
            kept.iter().find(|d| d.0 == metrics::erase::DOCUMENT).map_or(Ok(vec![]), |(_, bytes)| metrics::erase::Deletion::read(bytes))?;
        let all: Vec<_> = [lines, metrics::erase::Due::of(&series)?].into_iter().flatten().collect();
        Ok((!all.is_empty()).then(|| Arc::new(ErasingAll(all)) as Arc<dyn Erasing>))
    }
}

impl Opened {
    /// The cluster it is in.
    pub fn cluster(&self) -> Option<Arc<Cluster>> {
        self.store.cluster().cloned()
    }
    /// Where other nodes reach this one.
    pub fn address(&self) -> Option<&str> {
        self.joined.as_ref().map(Joined::address)
    }
    /// Last phase of shutdown: memory to runs, log closed, ledger written.
    pub fn close(self) -> Result<()> {
        self.ledger.stop()?;
        self.joined.map_or(Ok(()), Joined::close)?;
        let saved = self.store.ledger().save(&self.store.engine().losses());
        self.store.engine().shutdown()?;
        saved
    }
}

/// The tenant's rate holds for each table by itself; the stream's rate is for log streams alone.
fn limits(caps: &Caps) -> BTreeMap<String, Limits> {
    let rate =
        |per_second: Option<u64>, burst: Option<u64>| per_second.map(|n| Rate { bytes_per_second: n, burst_bytes: burst.unwrap_or(n) });
    let tenant = rate(caps.rate, caps.burst);
    let stream = rate(caps.stream_rate, caps.stream_burst);
    [(logs::SPEC.name, stream), (traces::SPEC.name, None)]
        .into_iter()
        .chain(metrics::TABLES.map(|t| (t.name, None)))
        .map(|(table, stream)| (table.to_owned(), Limits { tenant, stream }))
        .collect()
}

fn retention(settings: &Settings) -> Vec<Retention> {
    let mut out = vec![];
    let mut add = |tenant: Option<&base::Tenant>, keep: &Keep| {
        let samples = metrics::TABLES.map(|t| (t.name, keep.metrics));
        for (table, keep_ns) in [(logs::SPEC.name, keep.logs), (traces::SPEC.name, keep.traces)].into_iter().chain(samples) {
            let tenant = tenant.map(|t| t.as_str().to_owned());
            // A tenant that keeps rows for good must say so, or what holds for all would hold for it.
            if let Some(keep_ns) = keep_ns.or(tenant.is_some().then_some(i64::MAX)) {
                out.push(Retention { table: Some(table.to_owned()), tenant, keep_ns });
            }
        }
    };
    add(None, &settings.retention);
    for (tenant, keep) in &settings.tenants {
        add(Some(tenant), keep);
    }
    out
}
