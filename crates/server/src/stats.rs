//! Figures of the edge.

use std::sync::atomic::{AtomicU64, Ordering};

use base::stats::{CounterVec, Desc, Exposition, HistogramVec};

use crate::cpu::Pool;

/// Which version runs.
pub const BUILD: Desc = Desc::gauge("watchfire_build_info", "1", "Always 1; the version is in the label.").labels(&["version"]);
/// Requests.
pub const REQUESTS: Desc = Desc::counter(
    "watchfire_http_requests_total",
    "requests",
    "Requests answered; status 499 is a client that went away. gRPC's statuses are counted as those of HTTP that mean the same.",
)
.labels(&["route", "status"]);
/// How long requests took.
pub const REQUEST_SECONDS: Desc =
    Desc::histogram("watchfire_http_request_seconds", "seconds", "From the head of a request to the head of its answer.")
        .labels(&["route"]);
/// Bodies.
pub const BODY_BYTES: Desc =
    Desc::counter("watchfire_http_body_bytes_total", "bytes", "Bytes of bodies as received, by route.").labels(&["route"]);
/// Rows acknowledged.
pub const ROWS: Desc = Desc::counter("watchfire_ingest_rows_total", "rows", "Rows acknowledged, by route.").labels(&["route"]);
/// Entries refused for good.
pub const REFUSED: Desc =
    Desc::counter("watchfire_ingest_refused_total", "entries", "Entries of bodies that can never be taken, by reason.")
        .labels(&["route", "reason"]);
/// Bugs of ours.
pub const PANICS: Desc = Desc::counter("watchfire_panics_total", "panics", "Bugs of ours that ended a request; each is in the log.");
/// Wrong or missing tokens.
pub const UNAUTHENTICATED: Desc = Desc::counter(
    "watchfire_http_unauthenticated_total",
    "requests",
    "Requests without the right token. Agents drop what is answered so: look at who it is.",
);
/// Connections.
pub const CONNECTIONS: Desc = Desc::gauge("watchfire_http_connections", "connections", "Open connections.");
/// Answers under way.
pub const ANSWERS: Desc = Desc::gauge(
    "watchfire_answers_bytes",
    "bytes",
    "Answers that wait for their clients, those above 64 KiB; queries keep their places until there is room for theirs.",
);
/// Jobs of a pool.
pub const JOBS: Desc = Desc::gauge("watchfire_jobs_running", "jobs", "Pushes and queries being worked on.").labels(&["pool"]);
/// Jobs turned away.
pub const TURNED_AWAY: Desc =
    Desc::counter("watchfire_jobs_turned_away_total", "jobs", "Pushes and queries asked to come again because all places were taken.")
        .labels(&["pool"]);

/// All figures of the edge, for the reference page.
pub const ALL: &[&Desc] = &[
    &BUILD,
    &REQUESTS,
    &REQUEST_SECONDS,
    &BODY_BYTES,
    &ROWS,
    &REFUSED,
    &PANICS,
    &UNAUTHENTICATED,
    &CONNECTIONS,
    &ANSWERS,
    &JOBS,
    &TURNED_AWAY,
];

const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The numbers behind the figures.
pub struct Stats {
    pub(crate) requests: CounterVec,
    pub(crate) seconds: HistogramVec,
    pub(crate) body_bytes: CounterVec,
    pub(crate) rows: CounterVec,
    pub(crate) refused: CounterVec,
    pub(crate) panics: AtomicU64,
    pub(crate) unauthenticated: AtomicU64,
}

impl Stats {
    pub(crate) fn new() -> Self {
        Stats {
            requests: CounterVec::new(&REQUESTS),
            seconds: HistogramVec::new(&REQUEST_SECONDS, SECONDS),
            body_bytes: CounterVec::new(&BODY_BYTES),
            rows: CounterVec::new(&ROWS),
            refused: CounterVec::new(&REFUSED),
            panics: AtomicU64::new(0),
            unauthenticated: AtomicU64::new(0),
        }
    }

    pub(crate) fn write(&self, connections: usize, answers: usize, pools: &[&Pool], out: &mut Exposition) {
        out.value(&BUILD, &[env!("CARGO_PKG_VERSION")], 1.0);
        self.requests.write(out);
        self.seconds.write(out);
        self.body_bytes.write(out);
        self.rows.write(out);
        self.refused.write(out);
        let panics = self.panics.load(Ordering::Relaxed) + pools.iter().map(|p| p.panics()).sum::<u64>();
        out.value(&PANICS, &[], panics as f64);
        out.value(&UNAUTHENTICATED, &[], self.unauthenticated.load(Ordering::Relaxed) as f64);
        out.value(&CONNECTIONS, &[], connections as f64);
        out.value(&ANSWERS, &[], answers as f64);
        for p in pools {
            out.value(&JOBS, &[p.what()], p.running() as f64);
        }
        for p in pools {
            out.value(&TURNED_AWAY, &[p.what()], p.turned_away() as f64);
        }
    }
}
