//! `serve --drill`: faults that a node does to itself because nobody can do them to a process from outside.
//!
//! It is never on by itself, listens on loopback only, and says so loudly. With it the node's disk loses what was not synced when
//! the process is killed, as in a power cut; `POST /drill/faults` on the drill's own address tells the node its faults, all of them each time:
//! other nodes it does not reach, a disk that is full, an object store that fails. `docs/operations/drills.md` describes both.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use base::{Error, Kind};
use bytes::Bytes;
use cluster::transport::{Answer, Messages, Method, Transport};
use disk::{Fs, VolatileFs};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use store::{Faulty, Store};

/// Faults of a node, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Addresses of other nodes: what is sent there is lost.
    pub cut: Vec<String>,
    /// The disk takes nothing that needs room.
    pub disk_full: bool,
    /// The object store.
    pub store: StoreFaults,
}

/// Faults of the object store, as this node sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreFaults {
    /// No call comes through.
    pub down: bool,
    /// So many of a hundred calls fail.
    pub fail_percent: u64,
    /// Each call takes this longer.
    pub delay_ms: u64,
}

/// The node's faults and where they bite.
pub struct Drill {
    disk: VolatileFs,
    cut: Arc<Mutex<BTreeSet<String>>>,
    store: Mutex<ObjectStore>,
}

/// The faults of the object store, which may be told before it is opened.
#[derive(Default)]
struct ObjectStore {
    faults: store::Faults,
    faulty: Option<Arc<Faulty>>,
}

impl Drill {
    /// No faults so far.
    pub fn new() -> Arc<Self> {
        tracing::warn!(
            "THIS IS A DRILL: this node does faults to itself when it is told to, and loses what is not synced when it is killed"
        );
        Arc::new(Drill { disk: VolatileFs::default(), cut: Arc::default(), store: Mutex::default() })
    }

    /// The disk.
    pub fn fs(&self) -> Arc<dyn Fs> {
        Arc::new(self.disk.clone())
    }

    /// The way to other nodes.
    pub fn transport(&self, inner: Arc<dyn Transport>) -> Arc<dyn Transport> {
        Arc::new(Severed { inner, cut: self.cut.clone() })
    }

    /// The object store. Which calls fail is decided by the process's own number.
    pub fn store(&self, inner: Arc<dyn Store>) -> Arc<dyn Store> {
        let faulty = Arc::new(Faulty::new(inner, u64::from(std::process::id())));
        let mut store = self.store.lock();
        faulty.set(store.faults.clone());
        store.faulty = Some(faulty.clone());
        faulty
    }

    /// Has these faults from now on, and no others.
    pub fn set(&self, faults: &Faults) {
        tracing::warn!(?faults, "drill: the faults of this node from now on");
        self.disk.set_full(faults.disk_full);
        *self.cut.lock() = faults.cut.iter().cloned().collect();
        let StoreFaults { down, fail_percent, delay_ms } = faults.store;
        let mut store = self.store.lock();
        store.faults = store::Faults { down, fail_percent, delay: Duration::from_millis(delay_ms), ..Default::default() };
        if let Some(faulty) = &store.faulty {
            faulty.set(store.faults.clone());
        }
    }

    /// Listens for its faults on an address of this machine, as long as the process lives.
    pub async fn listen(self: Arc<Self>, address: SocketAddr) -> Result<()> {
        ensure!(
            address.ip().is_loopback(),
            "--drill {address}: a drill listens on 127.0.0.1 (or ::1) only, because anybody there may break this node"
        );
        let listener = tokio::net::TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let router = axum::Router::new().route("/drill/faults", post(take_faults)).with_state(self);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(())
    }
}

async fn take_faults(State(drill): State<Arc<Drill>>, body: Bytes) -> (StatusCode, String) {
    match serde_json::from_slice::<Faults>(&body) {
        Ok(faults) => {
            drill.set(&faults);
            (StatusCode::NO_CONTENT, String::new())
        }
        Err(e) => (StatusCode::BAD_REQUEST, format!("not the faults of a node: {e}\n")),
    }
}

/// A transport that loses what is sent to some addresses: like a cut network, and unlike a node that is not there, it lets the caller wait
/// until its time is over.
struct Severed {
    inner: Arc<dyn Transport>,
    cut: Arc<Mutex<BTreeSet<String>>>,
}

impl Severed {
    fn is_cut(&self, address: &str) -> bool {
        self.cut.lock().contains(address)
    }
}

fn lost(address: &str) -> Error {
    Error::new(Kind::Timeout, format!("node at {address} did not answer in time"))
}

impl Transport for Severed {
    fn call(&self, address: &str, method: Method, body: Bytes, deadline: Duration, answer: Answer) {
        if !self.is_cut(address) {
            return self.inner.call(address, method, body, deadline, answer);
        }
        let address = address.to_owned();
        let wait = move || {
            pause(deadline);
            answer.give(Err(lost(&address)));
        };
        // A thread that cannot be started drops the answer, which tells the caller as well.
        let _ = std::thread::Builder::new().name("drill-cut".into()).spawn(wait);
    }

    fn stream(&self, address: &str, method: Method, body: Bytes, deadline: Duration) -> base::Result<Messages> {
        if self.is_cut(address) {
            pause(deadline);
            return Err(lost(address));
        }
        self.inner.stream(address, method, body, deadline)
    }
}

fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use cluster::transport::local::Net;
    use cluster::transport::{Answers, Service};
    use table::Cancel;

    use super::*;

    struct Echo;

    impl Service for Echo {
        fn call(&self, _: Method, body: Bytes) -> base::Result<Bytes> {
            Ok(body)
        }
        fn stream(&self, _: Method, body: Bytes, _: &Cancel, send: &mut dyn FnMut(Bytes) -> base::Result<()>) -> base::Result<()> {
            send(body)
        }
    }

    #[test]
    fn a_cut_link_loses_calls_until_it_heals() {
        let net = Net::default();
        net.join("b:1", Arc::new(Echo));
        let drill = Drill::new();
        let transport = drill.transport(net.end("a:1"));
        let deadline = Duration::from_millis(30);
        let call = || {
            let answers = Answers::default();
            transport.call("b:1", Method::Hello, Bytes::from_static(b"x"), deadline, answers.of(()));
            answers.next(Duration::from_secs(5)).expect("each call gives one answer").1
        };
        assert_eq!(call().unwrap(), "x");
        drill.set(&Faults { cut: vec!["b:1".into()], ..Faults::default() });
        let began = Instant::now();
        assert_eq!(call().unwrap_err().kind(), Kind::Timeout);
        assert!(began.elapsed() >= deadline, "nobody says at once that nobody is there");
        assert_eq!(transport.stream("b:1", Method::Scan, Bytes::new(), deadline).err().map(|e| e.kind()), Some(Kind::Timeout));
        drill.set(&Faults::default());
        assert_eq!(call().unwrap(), "x");
        assert!(transport.stream("b:1", Method::Scan, Bytes::new(), deadline).is_ok());
    }

    #[test]
    fn faults_are_read_as_they_are_written_and_unknown_ones_are_refused() {
        let faults = Faults { cut: vec!["b:1".into()], disk_full: true, store: StoreFaults { down: true, fail_percent: 30, delay_ms: 5 } };
        let text = serde_json::to_string(&faults).unwrap();
        assert_eq!(serde_json::from_str::<Faults>(&text).unwrap(), faults);
        assert!(serde_json::from_str::<Faults>(r#"{"disc_full": true}"#).is_err());
    }
}
