//! The wires between real nodes: HTTP/2 on a port of its own.
//!
//! Constraints: a node that is dead, frozen, slow or a stranger costs its callers a bounded time and bounded memory, and
//! nothing of it delays calls to others. Hellos, copies and reads do not wait for each other.
//!
//! Design. A call is `POST /cluster/v1/<method>` with the body as it is; its answer is a sequence of frames ([`frame`]), of
//! which the last says that the answer is whole or why it is not. Each peer has three connections, one for hellos, one
//! for copies, one for reads: what piles up in one stands in nobody else's way. A ping every few hundred milliseconds finds the
//! peer that is gone or frozen. Both sides prove that they belong together ([`proof`]), with certificates too when there
//! are some ([`Tls`]; then the listener's first byte says that the caller's is accepted). Everything runs on a small runtime of its own, and the service on its blocking threads, with places for
//! each kind of call: a node that is busy with its users still says hello. Memory for bodies is reserved before they are read.
//!
//! Rejected: one connection for all (a stalled reader and a large body share the connection's window with the hellos), HTTP/1.1
//! (a connection for each call under way), and a retry of calls that may have arrived: whoever asked has another node to
//! turn to. Only what certainly was not sent is sent again, once.

mod client;
mod complaints;
mod dial;
pub mod frame;
mod proof;
mod resolve;
mod server;
pub mod stats;
#[cfg(test)]
mod tests;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use base::stats::Exposition;
use base::{Error, Result};
use bytes::Bytes;
use tokio::runtime::{Builder, Handle, Runtime};

use super::{Answer, LateService, Messages, Method, Transport};
use crate::limits;

pub use proof::Secret;
pub use server::Listener;
pub use tls::Tls;

/// Version of the protocol. Nodes of different versions refuse each other, so it changes only when they cannot understand each
/// other.
pub const VERSION: &str = "2";
const PATH: &str = "/cluster/v1/";

/// Names of headers.
mod header {
    pub const CLUSTER: &str = "watchfire-cluster";
    pub const VERSION: &str = "watchfire-version";
    pub const SECRET: &str = "watchfire-secret";
    pub const NONCE: &str = "watchfire-nonce";
    pub const PROOF: &str = "watchfire-proof";
    pub const CALL: &str = "watchfire-call";
    pub const BODY: &str = "watchfire-body";
    pub const REFUSED: &str = "watchfire-refused";
}

/// How a node talks to the others.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the cluster. Nodes of another name are refused.
    pub cluster: String,
    /// What all nodes share; without it only this machine should reach the listener.
    pub secret: Option<Secret>,
    /// Certificates, if nodes talk over TLS.
    pub tls: Option<Tls>,
    /// Largest body of a call, bytes. As large as what a node takes in, with its header.
    pub body_bytes: usize,
    /// Bodies of calls in memory at once, bytes; more wait.
    pub body_memory_bytes: usize,
}

/// What the two sides of a node share.
struct Shared {
    settings: Settings,
    key: Secret,
    tls: Option<tls::Configs>,
    complaints: complaints::Complaints,
    lookups: resolve::Lookups,
    stats: stats::Stats,
    handle: Handle,
}

/// One node's end of the wires.
pub struct Http {
    shared: Arc<Shared>,
    peers: client::Peers,
    runtime: Option<Runtime>,
}

impl Http {
    /// Starts it; certificates are read now. Errors of kind `Invalid` are wrong settings.
    pub fn start(settings: Settings) -> Result<Http> {
        let tls = settings.tls.as_ref().map(Tls::load).transpose()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(limits::HELLOS + limits::MARKS + limits::APPENDS + limits::READS + limits::LOOKUPS + limits::CHECKS)
            .thread_name("cluster-io")
            .enable_all()
            .build()?;
        let shared = Shared {
            key: settings.secret.clone().unwrap_or_else(Secret::none),
            settings,
            tls,
            complaints: complaints::Complaints::default(),
            lookups: resolve::Lookups::default(),
            stats: stats::Stats::new(),
            handle: runtime.handle().clone(),
        };
        Ok(Http { shared: Arc::new(shared), peers: client::Peers::default(), runtime: Some(runtime) })
    }

    /// Opens the port. Calls that come before there is a service are told that this node is starting.
    pub fn listen(&self, address: &str, service: LateService) -> Result<Listener> {
        Listener::start(self.shared.clone(), address, service)
    }

    /// Addresses behind names and addresses with ports, each once, in order. Blocks while names are looked up; a name that has no
    /// address now is left out.
    pub fn resolve(&self, names: &[String]) -> Vec<String> {
        let (handle, shared) = (self.shared.handle.clone(), self.shared.clone());
        let (sender, receiver) = std::sync::mpsc::channel();
        for (i, name) in names.iter().cloned().enumerate() {
            let (shared, sender) = (shared.clone(), sender.clone());
            handle.spawn(async move {
                let found = shared.lookups.find(&name).await.unwrap_or_else(|e| {
                    if shared.complaints.due(format!("lookup {name}")) {
                        tracing::warn!(name, error = %e, "a name of cluster.join has no address now");
                    }
                    vec![]
                });
                // The one who asked waits for all of them.
                let _ = sender.send((i, found));
            });
        }
        drop(sender);
        let mut found: Vec<_> = receiver.iter().collect();
        found.sort();
        let mut out: Vec<String> = vec![];
        for a in found.into_iter().flat_map(|(_, found)| found).map(|a| a.to_string()) {
            if !out.contains(&a) {
                out.push(a);
            }
        }
        out
    }

    /// Writes its figures.
    pub fn write_stats(&self, out: &mut Exposition) {
        self.shared.stats.write(out);
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        // Calls under way end as given up; a thread that is deep in the service is not waited for.
        if let Some(r) = self.runtime.take() {
            r.shutdown_background();
        }
    }
}

impl Transport for Http {
    fn call(&self, address: &str, method: Method, body: Bytes, deadline: Duration, answer: Answer) {
        let peer = self.peers.of(address);
        self.shared.handle.spawn(client::call(self.shared.clone(), peer, method, client::Sealed::new(body), deadline, answer));
    }

    fn stream(&self, address: &str, method: Method, body: Bytes, deadline: Duration) -> Result<Messages> {
        client::stream(&self.shared, self.peers.of(address), method, client::Sealed::new(body), deadline)
    }
}

/// What is wrong, with what is behind it.
fn causes(e: &dyn std::error::Error) -> String {
    let mut out = e.to_string();
    let mut next = e.source();
    while let Some(e) = next {
        let text = e.to_string();
        if !out.contains(&text) {
            out = format!("{out}: {text}");
        }
        next = e.source();
    }
    out
}

/// The error of a call that took too long.
fn late(address: &str, deadline: Duration) -> Error {
    Error::new(base::Kind::Timeout, format!("node at {address} did not answer within {} ms", deadline.as_millis()))
}
