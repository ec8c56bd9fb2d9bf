//! Shipping: from the spool to the endpoints, until they have acknowledged it.
//!
//! **Each endpoint for itself.** An endpoint has two lanes, each a thread with one request under way: the *live* lane sends
//! what is new within a second, and when it has fallen behind it leaves what has piled up to the *backlog* lane, which sends
//! it in order and at a bounded rate beside it. So what happens now is seen at once after an outage, and an endpoint that
//! hangs holds up nobody else. Endpoints that want rows in the order of their time have one lane.
//!
//! **Nothing is given up.** What an endpoint may take later (no connection, no answer in time, 429, 5xx) is sent again for
//! ever, the same bytes, after a pause with jitter or as long as it asks for. So is what a wrong token or path is the reason
//! for (401, 403, 404 and the like), with an alarm: that is mended by people, and lines that are thrown away meanwhile would
//! not come back. What can never be taken (400, 413, 422) is cut in halves until the rows that are meant stand alone; they
//! go to a file ([`dead`]) and are stated as lost.
//!
//! **Who sends what.** Requests bear the agent's id, the id of this start and the numbers of the frames they hold, so that a
//! receiver can tell a gap from a delay.

mod backoff;
mod dead;
mod http;
mod lane;
mod parcel;
pub mod report;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use base::{Clock, Result, Tenant};
use disk::Fs;
use parking_lot::Mutex;

use crate::deliver::Format;
use crate::runner::Runner;
use crate::spool::{Cursor, Reader, Spool};
use crate::{limits, stats};

pub(crate) use http::tls;
pub use http::{Client, Credentials, Pem, Tls};

/// What an endpoint is, and so what it takes and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Watchfire: everything.
    Watchfire,
    /// Loki: lines.
    Loki,
    /// Anything that takes remote write: samples.
    RemoteWrite,
    /// Anything that takes OTLP over HTTP: what was received as OTLP.
    Otlp,
}

impl Kind {
    /// The forms that it takes.
    pub fn takes(self) -> Vec<Format> {
        use Format as F;
        match self {
            Kind::Watchfire => F::ALL.to_vec(),
            Kind::Loki => vec![F::LokiPush, F::LokiPushJson],
            Kind::RemoteWrite => vec![F::RemoteWrite, F::RemoteWrite2],
            Kind::Otlp => F::ALL.into_iter().filter(|f| *f >= F::OtlpLogs).collect(),
        }
    }
    /// Whether rows may come in another order than that of their time. Loki refuses lines that are an hour behind their
    /// stream, and Prometheus samples that are behind at all, unless it is told otherwise.
    pub fn takes_any_order(self) -> bool {
        matches!(self, Kind::Watchfire | Kind::Otlp)
    }
}

/// An endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name: what it has acknowledged is kept under it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its address; of Loki and remote write with or without the path.
    pub url: String,
    /// The tenant of rows that have none.
    pub tenant: Option<Tenant>,
    /// What it is told about who asks.
    pub credentials: Credentials,
    /// A file with certificates (PEM) of authorities that are believed, instead of the system's.
    pub ca: Option<PathBuf>,
    /// An answer that takes longer does not come.
    pub timeout: Duration,
    /// About so many bytes are sent at once.
    pub batch_bytes: usize,
    /// Rows wait so long for others to go with.
    pub batch_wait: Duration,
    /// Bytes a second of what has piled up.
    pub backlog_rate: u64,
}

impl Endpoint {
    /// How the spool sees it.
    pub fn reader(&self) -> Reader {
        Reader { name: self.name.clone(), takes: self.kind.takes() }
    }
}

/// Who sends.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The agent: stays the same from start to start.
    pub agent: String,
    /// This start.
    pub boot: String,
}

/// What all lanes share.
pub struct Context {
    /// What is sent.
    pub spool: Arc<Spool>,
    /// The time.
    pub clock: Clock,
    /// Who sends.
    pub identity: Identity,
    /// Where files for what is refused are made.
    pub fs: Arc<dyn Fs>,
    /// Their directory.
    pub dead_dir: PathBuf,
    /// Where figures are counted.
    pub stats: Arc<stats::Shipping>,
}

/// What became of a request, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The endpoint has it.
    Accepted,
    /// It is sent again.
    Again,
    /// It is cut, or kept in a file.
    Refused,
}

impl Answered {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Answered::Accepted => "accepted",
            Answered::Again => "again",
            Answered::Refused => "refused",
        }
    }
}

/// Stretches that the live lane has left to the backlog lane: where it is, and where it ends.
type Backlog = Mutex<VecDeque<(Cursor, u64)>>;

/// Makes ring the process's provider of cryptography, for clients that are not handed one. It may be there already.
pub fn use_ring() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The lanes of all endpoints.
pub struct Shipping {
    lanes: Vec<Runner>,
    /// Requests that are under way.
    busy: Arc<AtomicU64>,
}

impl Shipping {
    /// Starts the lanes; `endpoints` are in the order in which the spool knows them.
    ///
    /// # Errors
    /// A certificate that cannot be read, a thread that does not start.
    pub fn start(endpoints: &[Endpoint], context: Context) -> Result<Shipping> {
        let context = Arc::new(context);
        let busy = Arc::new(AtomicU64::new(0));
        let mut lanes = vec![];
        for (n, e) in endpoints.iter().enumerate() {
            let endpoint = Arc::new(e.clone());
            let backlog = Arc::new(Backlog::default());
            let dead = Arc::new(Mutex::new(dead::DeadLetters::new(context.fs.clone(), &context.dead_dir, &e.name)));
            let mut start = |role| -> Result<()> {
                let shared = lane::Shared { dead: dead.clone(), backlog: backlog.clone(), busy: busy.clone() };
                let mut lane = lane::Lane::new(n, endpoint.clone(), role, context.clone(), shared)?;
                lanes.push(Runner::start(lane.name(), move || lane.step())?);
                Ok(())
            };
            start(lane::Role::Live)?;
            if e.kind.takes_any_order() {
                start(lane::Role::Backlog)?;
            }
        }
        Ok(Shipping { lanes, busy })
    }

    /// Ends the lanes. One that waits for an answer is not waited for longer than `grace`: what it holds is in the spool.
    pub fn stop(self, grace: Duration) {
        self.lanes.iter().for_each(Runner::tell);
        let began = std::time::Instant::now();
        for lane in self.lanes {
            while !lane.is_finished() && began.elapsed() < grace {
                std::thread::sleep(limits::STOP_LOOK);
            }
            if !lane.is_finished() {
                std::mem::forget(lane);
            }
        }
        tracing::debug!(busy = self.busy.load(std::sync::atomic::Ordering::Relaxed), "lanes have ended");
    }
}

#[cfg(test)]
mod tests;
