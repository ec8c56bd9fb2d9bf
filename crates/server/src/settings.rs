//! What can be tuned at the edge.

use std::collections::BTreeMap;
use std::time::Duration;

use base::Tenant;

use crate::auth::Token;

/// What one query of a tenant may take. None is no bound of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryLimits {
    /// Time that it may span, nanoseconds.
    pub range_ns: Option<i64>,
    /// Bytes of rows that it may decode.
    pub bytes: Option<u64>,
    /// Series in the answer of a metric query of logs; `logs::limits::SERIES` when there is none.
    pub series: Option<usize>,
    /// How long it may run.
    pub time: Option<Duration>,
    /// How many of them may run at once.
    pub at_once: Option<usize>,
}

impl QueryLimits {
    /// What both allow.
    pub fn and(&self, other: &QueryLimits) -> QueryLimits {
        fn least<T: Copy + Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
            [a, b].into_iter().flatten().min()
        }
        QueryLimits {
            range_ns: least(self.range_ns, other.range_ns),
            bytes: least(self.bytes, other.bytes),
            series: least(self.series, other.series),
            time: least(self.time, other.time),
            at_once: least(self.at_once, other.at_once),
        }
    }
}

/// Settings of the listener and the adapters.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Asked of every request but `/ready`, when set.
    pub token: Option<Token>,
    /// Largest body as received, bytes.
    pub body_bytes: usize,
    /// Bodies in memory at once, bytes.
    pub body_memory_bytes: usize,
    /// What answers may take, bytes, that wait for their clients.
    pub answer_memory_bytes: usize,
    /// Open connections.
    pub connections: usize,
    /// Pushes decoded or waiting for the disk at once.
    pub ingest_concurrency: usize,
    /// Queries running at once.
    pub query_concurrency: usize,
    /// Samples of metrics that one query or remote read may hold at one time, at 16 bytes each and as much again for its answer.
    pub query_samples: usize,
    /// Bytes of lines, labels and points that one query of logs may hold at one time, and as much again for its answer.
    pub query_held_bytes: usize,
    /// A query that runs longer is stopped.
    pub query_timeout: Duration,
    /// What queries of each tenant may take.
    pub query_limits: QueryLimits,
    /// The same of tenants that have bounds of their own.
    pub tenant_query_limits: BTreeMap<Tenant, QueryLimits>,
    /// How long after a delete request its lines are removed from where they are kept; until then it can be cancelled.
    pub erase_after: Duration,
    /// See [`metrics::Options::start_timestamps`].
    pub start_timestamps: bool,
    /// How long samples are kept, as clients are told; empty for good.
    pub retention: String,
    /// How metrics of OTLP are translated.
    pub otlp: metrics::ingest::otlp::Translation,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            token: None,
            body_bytes: base::limits::BODY_BYTES,
            body_memory_bytes: 64 << 20,
            answer_memory_bytes: 64 << 20,
            connections: 4_096,
            ingest_concurrency: 16,
            query_concurrency: std::thread::available_parallelism().map_or(2, usize::from).max(2),
            query_samples: metrics::limits::QUERY_SAMPLES,
            query_held_bytes: logs::limits::HELD_BYTES,
            query_timeout: Duration::from_secs(120),
            query_limits: QueryLimits::default(),
            tenant_query_limits: BTreeMap::new(),
            erase_after: Duration::from_secs(86_400),
            start_timestamps: false,
            retention: String::new(),
            otlp: metrics::ingest::otlp::Translation::default(),
        }
    }
}

impl Settings {
    /// What a query of `tenant` may take.
    pub fn query_limits_of(&self, tenant: &Tenant) -> &QueryLimits {
        self.tenant_query_limits.get(tenant).unwrap_or(&self.query_limits)
    }
}
