//! Figures of the wires between nodes.

use std::sync::atomic::{AtomicU64, Ordering};

use base::stats::{CounterVec, Desc, Exposition};

/// Calls to other nodes.
pub const CALLS: Desc = Desc::counter(
    "watchfire_cluster_calls_total",
    "calls",
    "Calls to other nodes, by what came of them: ok, unavailable (nobody there), timeout, or an error of the other node.",
)
.labels(&["method", "outcome"]);
/// Bytes of calls.
pub const CALL_BYTES: Desc =
    Desc::counter("watchfire_cluster_call_bytes_total", "bytes", "Bodies of calls to other nodes.").labels(&["method"]);
/// Calls answered.
pub const ANSWERED: Desc =
    Desc::counter("watchfire_cluster_answered_total", "calls", "Calls of other nodes that were taken up.").labels(&["method"]);
/// Refused at the door.
pub const REFUSED: Desc = Desc::counter(
    "watchfire_cluster_refused_total",
    "connections",
    "Connections of other nodes refused, by reason: cluster (another name), version, secret, tls, strange (no proof, or not for this call).",
)
.labels(&["reason"]);
/// Connections made.
pub const DIALS: Desc =
    Desc::counter("watchfire_cluster_dials_total", "connections", "Attempts to connect to other nodes.").labels(&["outcome"]);
/// Open connections of others.
pub const CONNECTIONS: Desc = Desc::gauge("watchfire_cluster_connections", "connections", "Connections that other nodes hold open.");

/// All of them, for the reference page.
pub const ALL: &[&Desc] = &[&CALLS, &CALL_BYTES, &ANSWERED, &REFUSED, &DIALS, &CONNECTIONS];

/// The numbers behind the figures.
pub struct Stats {
    pub(super) calls: CounterVec,
    pub(super) call_bytes: CounterVec,
    pub(super) answered: CounterVec,
    pub(super) refused: CounterVec,
    pub(super) dials: CounterVec,
    pub(super) connections: AtomicU64,
}

impl Stats {
    pub(super) fn new() -> Self {
        Stats {
            calls: CounterVec::new(&CALLS),
            call_bytes: CounterVec::new(&CALL_BYTES),
            answered: CounterVec::new(&ANSWERED),
            refused: CounterVec::new(&REFUSED),
            dials: CounterVec::new(&DIALS),
            connections: AtomicU64::new(0),
        }
    }

    pub(super) fn write(&self, out: &mut Exposition) {
        self.calls.write(out);
        self.call_bytes.write(out);
        self.answered.write(out);
        self.refused.write(out);
        self.dials.write(out);
        out.value(&CONNECTIONS, &[], self.connections.load(Ordering::Relaxed) as f64);
    }
}
