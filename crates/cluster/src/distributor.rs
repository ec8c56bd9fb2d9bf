//! The one way in from the network: a body comes with its header, limits are asked, the engine stores, and whatever was
//! not stored is written into the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Error, Kind, Result, Tenant};
use bytes::Bytes;
use table::{Admission, Engine, FrameHeader, Ingested, TableSpec};

use crate::Cluster;
use crate::bucket::Buckets;
use crate::ledger::Ledger;
use crate::limits;

/// Bytes per second with a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What may come in the long run.
    pub bytes_per_second: u64,
    /// What may come at once.
    pub burst_bytes: u64,
}

/// Limits of one table. None is no limit but memory and disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of a tenant.
    pub tenant: Option<Rate>,
    /// Of one stream (series) of a tenant.
    pub stream: Option<Rate>,
}

/// Limits, storage and ledger of one node.
pub struct Distributor {
    engine: Arc<Engine>,
    cluster: Option<Arc<Cluster>>,
    limits: BTreeMap<String, Limits>,
    tenants: Buckets<(Tenant, &'static str)>,
    streams: Buckets<u128>,
    ledger: Arc<Ledger>,
}

impl Distributor {
    /// Limits are by table name.
    pub fn new(engine: Arc<Engine>, limits: BTreeMap<String, Limits>, ledger: Arc<Ledger>) -> Self {
        Distributor {
            engine,
            cluster: None,
            limits,
            tenants: Buckets::new(limits::BUCKETS),
            streams: Buckets::new(limits::BUCKETS),
            ledger,
        }
    }

    /// Keeps what it is given on as many nodes as the cluster promises.
    pub fn in_cluster(mut self, cluster: Arc<Cluster>) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// The cluster it is in.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }

    /// Stores a body; see [`Engine::ingest`]. A body over its tenant's rate is deferred as a whole.
    pub fn push(&self, header: FrameHeader, body: Bytes) -> Result<Ingested> {
        let tenant = header.tenant.clone();
        let received_ns = header.received_ns;
        let size = body.len() as u64;
        let admission = PerBody { distributor: self, now_ns: received_ns };
        let result = match &self.cluster {
            Some(c) => c.write(header, body, Some(&admission)),
            None => self.engine.ingest(header, body, Some(&admission)),
        };
        match &result {
            Ok(done) => {
                for r in &done.refusals {
                    if r.reason == table::RATE_LIMITED_ENTRY {
                        self.ledger.deferred(&tenant, r.reason, r.bytes, received_ns);
                    } else {
                        self.ledger.lost(&tenant, r.reason, 1, r.bytes, r.time_ns.unwrap_or(received_ns), received_ns, &r.message);
                    }
                }
            }
            Err(e) => match e.kind() {
                Kind::LimitExceeded => self.ledger.deferred(&tenant, "rate_limited", size, received_ns),
                Kind::Unavailable => self.ledger.deferred(&tenant, "unavailable", size, received_ns),
                Kind::Invalid | Kind::Unprocessable | Kind::TooLarge => {
                    self.ledger.lost(&tenant, "undecodable_body", 1, size, received_ns, received_ns, e.message())
                }
                _ => self.ledger.deferred(&tenant, "internal", size, received_ns),
            },
        }
        result
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// What was deferred and what was lost.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    fn limits(&self, table: &str) -> Limits {
        self.limits.get(table).copied().unwrap_or_default()
    }
}

/// Limits as one body meets them.
struct PerBody<'a> {
    distributor: &'a Distributor,
    now_ns: i64,
}

impl Admission for PerBody<'_> {
    fn may_refuse(&self) -> bool {
        self.distributor.limits.values().any(|l| *l != Limits::default())
    }

    fn limits_entries(&self, table: &'static TableSpec) -> bool {
        self.distributor.limits(table.name).stream.is_some()
    }

    fn entry(&self, _: &Tenant, table: &'static TableSpec, series: u128, bytes: u64) -> bool {
        self.distributor.limits(table.name).stream.is_none_or(|rate| self.distributor.streams.take(&series, rate, bytes, self.now_ns))
    }

    fn body(&self, tenant: &Tenant, table: Option<&'static TableSpec>, rows: u64, bytes: u64) -> Result<()> {
        let Some(&TableSpec { name: table, rows: called, .. }) = table else { return Ok(()) };
        let Some(limit) = self.distributor.limits(table).tenant else { return Ok(()) };
        let rates = self.distributor.cluster.as_ref().map(|c| c.membership().rates());
        let rate = rates.map_or(limit, |r| r.share(tenant, table, limit));
        if self.distributor.tenants.take(&(tenant.clone(), table), rate, bytes, self.now_ns) {
            rates.into_iter().for_each(|r| r.took(tenant, table, bytes));
            return Ok(());
        }
        let wait = (bytes.min(rate.burst_bytes) as f64 / rate.bytes_per_second.max(1) as f64).ceil().clamp(1.0, 60.0);
        Err(Error::new(
            Kind::LimitExceeded,
            format!(
                "ingestion rate limit exceeded for user {tenant} (limit: {} bytes/sec) while attempting to ingest '{rows}' {called} totaling '{bytes}' bytes, \
                 reduce the volume or raise the tenant's limit",
                limit.bytes_per_second
            ),
        )
        .retry_after(Duration::from_secs(wait as u64)))
    }
}
