//! What can be tuned at the edge.

use std::time::Duration;

use crate::auth::Token;

/// Settings of the listener and the adapters.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Asked of every request but `/ready`, when set.
    pub token: Option<Token>,
    /// Largest body as received, bytes.
    pub body_bytes: usize,
    /// Bodies in memory at once, bytes.
    pub body_memory_bytes: usize,
    /// Open connections.
    pub connections: usize,
    /// Pushes decoded or waiting for the disk at once.
    pub ingest_concurrency: usize,
    /// Queries running at once.
    pub query_concurrency: usize,
    /// A query that runs longer is stopped.
    pub query_timeout: Duration,
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
            connections: 4_096,
            ingest_concurrency: 16,
            query_concurrency: std::thread::available_parallelism().map_or(2, usize::from).max(2),
            query_timeout: Duration::from_secs(120),
            start_timestamps: false,
            retention: String::new(),
            otlp: metrics::ingest::otlp::Translation::default(),
        }
    }
}
