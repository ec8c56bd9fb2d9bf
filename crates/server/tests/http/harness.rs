//! A running server and a client for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use base::stats::Exposition;
use base::{Clock, Error, Result};
use bytes::Bytes;
use cluster::{Distributor, Ledger, Limits};
use disk::{Fs, SimFs};
use parking_lot::Mutex;
use server::{App, Backend, Node, Settings};
use table::{Engine, EngineOptions, FrameHeader, Ingested, MemoryRows, Rows};

/// "Now" of all tests, nanoseconds: 2023-11-14T22:13:20Z.
pub const NOW_NS: i64 = 1_700_000_000_000_000_000;

/// A server on a port of its own; it ends with the test.
pub struct Server {
    pub base: String,
    pub app: Arc<App>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    pub fn start(backend: Arc<dyn Backend>, settings: Settings) -> Server {
        Server::start_until(backend, settings, server::Paths::All, std::future::pending())
    }

    /// With these paths, until it is told to stop.
    pub fn start_until(
        backend: Arc<dyn Backend>,
        settings: Settings,
        paths: server::Paths,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let app = App::new(backend, settings);
        let listener = runtime.block_on(server::bind("127.0.0.1:0")).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(server::serve(listener, app.clone(), paths, stop));
        Server { base, app, _runtime: runtime }
    }

    /// Over the engine, on a simulated disk.
    pub fn over_engine(settings: Settings, limits: BTreeMap<String, Limits>) -> Server {
        let node = Node::new(Clock::manual(NOW_NS), "opening");
        node.open(store(limits));
        Server::start(node, settings)
    }

    /// With nothing out of the ordinary.
    pub fn plain() -> Server {
        Server::over_engine(Settings::default(), BTreeMap::new())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send("POST", path, headers, body)
    }
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (n, v) in headers {
            request = request.header(*n, *v);
        }
        let mut response =
            if method == "GET" { agent.run(request.body(()).unwrap()) } else { agent.run(request.body(body).unwrap()) }.unwrap();
        let bytes = response.body_mut().read_to_vec().unwrap();
        let headers = response.headers().iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect();
        Answer { status: response.status().as_u16(), headers, bytes }
    }
}

/// A store on a simulated disk.
pub fn store(limits: BTreeMap<String, Limits>) -> Arc<Distributor> {
    let fs: Arc<dyn Fs> = Arc::new(SimFs::seeded(1));
    let engine = Engine::open(EngineOptions {
        fs: fs.clone(),
        dir: "/data".into(),
        store: None,
        node: "local".into(),
        clock: Clock::manual(NOW_NS),
        tables: [&logs::SPEC, &traces::SPEC].into_iter().chain(metrics::TABLES).collect(),
        codecs: [logs::ingest::codecs(), metrics::ingest::codecs(), traces::ingest::codecs()].concat(),
        settings: table::Settings { background: false, ..table::Settings::default() },
    })
    .unwrap();
    let ledger = Arc::new(Ledger::open(fs, "/data/ledger.json".into()).unwrap());
    Arc::new(Distributor::new(engine, limits, ledger))
}

/// What the server said.
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, String::from_utf8_lossy(&self.bytes));
        self
    }
}

/// A store that answers every push as the test says.
pub struct Scripted {
    pub answer: Box<dyn Fn() -> Result<Ingested> + Send + Sync>,
    pub ready: std::result::Result<(), String>,
    pub seen: Mutex<Vec<FrameHeader>>,
    /// And what came with each.
    pub bodies: Mutex<Vec<Bytes>>,
    /// Queries wait here until the other end is dropped.
    pub gate: Mutex<Option<Receiver<()>>>,
    rows: Box<dyn Rows>,
}

impl Scripted {
    pub fn new(answer: impl Fn() -> Result<Ingested> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Scripted {
            answer: Box::new(answer),
            ready: Ok(()),
            seen: Mutex::default(),
            bodies: Mutex::default(),
            gate: Mutex::default(),
            rows: Box::new(MemoryRows::default()),
        })
    }
    /// Answers queries with these rows.
    pub fn over(rows: impl Rows + 'static) -> Arc<Self> {
        let mut s = Scripted::new(|| Ok(Ingested::default()));
        if let Some(s) = Arc::get_mut(&mut s) {
            s.rows = Box::new(rows);
        }
        s
    }
    pub fn not_ready(what: &str) -> Arc<Self> {
        let answer = Box::new(|| Ok(Ingested::default()));
        Arc::new(Scripted {
            answer,
            ready: Err(what.into()),
            seen: Mutex::default(),
            bodies: Mutex::default(),
            gate: Mutex::default(),
            rows: Box::new(MemoryRows::default()),
        })
    }
}

impl Backend for Scripted {
    fn ingest(&self, header: FrameHeader, body: Bytes) -> Result<Ingested> {
        self.seen.lock().push(header);
        self.bodies.lock().push(body);
        (self.answer)()
    }
    fn rows(&self) -> Result<&dyn Rows> {
        if let Some(gate) = &*self.gate.lock() {
            let _ = gate.recv();
        }
        Ok(&*self.rows)
    }
    fn flush(&self) -> Result<()> {
        (self.answer)().map(|_| ())
    }
    fn ready(&self) -> std::result::Result<(), String> {
        self.ready.clone()
    }
    fn ledger(&self, _: Option<&base::Tenant>) -> Result<serde_json::Value> {
        Err(Error::internal("this store keeps none"))
    }
    fn metrics(&self, _: &mut Exposition) {}
    fn clock(&self) -> Clock {
        Clock::manual(NOW_NS)
    }
}
