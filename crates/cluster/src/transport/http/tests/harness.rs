//! A service that does as it is asked, and a relay that cuts and freezes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base::{Error, Kind, Result};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use table::Cancel;

use super::super::{Http, Listener, Secret, Settings, frame};
use crate::transport::{Answers, LateService, Method, Service, Transport};

pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub const BODY_BYTES: usize = 8 << 20;
/// What takes longer hangs, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn settings(cluster: &str, secret: Option<&str>) -> Settings {
    let secret = secret.map(|s| Secret::new(s).unwrap());
    Settings { cluster: cluster.into(), secret, tls: None, body_bytes: BODY_BYTES, body_memory_bytes: 16 << 20 }
}

/// What the service shall do.
pub enum Ask {
    /// Answer with the length of the question and the question.
    Echo(Bytes),
    Send {
        messages: u64,
        bytes: u64,
    },
    SendThenWork,
    Fail {
        after: u64,
        error: Error,
    },
    Panic,
    Hang,
}

impl Ask {
    pub fn encode(&self) -> Bytes {
        let two = |what: u8, a: u64, b: u64| [&[what][..], &a.to_le_bytes(), &b.to_le_bytes()].concat().into();
        match self {
            Ask::Echo(body) => [b"e", &body[..]].concat().into(),
            Ask::Send { messages, bytes } => two(b's', *messages, *bytes),
            Ask::SendThenWork => two(b'w', 0, 0),
            Ask::Fail { after, error } => [&[b'f'][..], &after.to_le_bytes(), &frame::error_payload(error)].concat().into(),
            Ask::Panic => two(b'p', 0, 0),
            Ask::Hang => two(b'h', 0, 0),
        }
    }
}

#[derive(Default)]
pub struct TestService {
    pub calls: AtomicU64,
    pub sent: AtomicU64,
    canceled: AtomicU64,
    hanging: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl TestService {
    fn hang(&self) {
        let mut h = self.hanging.lock();
        h.0 += 1;
        self.changed.notify_all();
        while !h.1 {
            self.changed.wait(&mut h);
        }
    }
    pub fn until_hanging(&self, calls: usize) {
        let mut h = self.hanging.lock();
        while h.0 < calls {
            assert!(!self.changed.wait_for(&mut h, PATIENCE).timed_out(), "{} of {calls} calls arrived", h.0);
        }
    }
    pub fn release(&self) {
        self.hanging.lock().1 = true;
        self.changed.notify_all();
    }
    /// Until one stream has noticed that nobody reads it; counts it off.
    pub fn until_canceled(&self) {
        until("the stream was stopped", || self.canceled.swap(0, Ordering::SeqCst) == 1);
    }
    /// Until no message was sent for a while.
    pub fn until_sending_stalls(&self) {
        let mut last = (0, Instant::now());
        until("sending stalls", || {
            let now = self.sent.load(Ordering::SeqCst);
            if now != last.0 || now == 0 {
                last = (now, Instant::now());
            }
            last.1.elapsed() > Duration::from_millis(500)
        });
    }
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn number(b: &[u8]) -> u64 {
    u64::from_le_bytes(b[..8].try_into().unwrap())
}

impl Service for TestService {
    fn call(&self, _: Method, body: Bytes) -> Result<Bytes> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match body[0] {
            b'e' => Ok([&(body.len() as u64 - 1).to_le_bytes()[..], &body[1..]].concat().into()),
            b'f' => Err(frame::error_of(&body[9..])),
            b'h' => {
                self.hang();
                Ok(Bytes::from_static(b"done"))
            }
            b'p' => panic!("on purpose"),
            other => Err(Error::invalid(format!("asked for {other}"))),
        }
    }

    fn stream(&self, _: Method, body: Bytes, cancel: &Cancel, send: &mut dyn FnMut(Bytes) -> Result<()>) -> Result<()> {
        let noticed = |_: &Error| {
            self.canceled.fetch_add(1, Ordering::SeqCst);
        };
        match body[0] {
            b's' => {
                for i in 0..number(&body[1..]) {
                    send(vec![i as u8; number(&body[9..]) as usize].into()).inspect_err(noticed)?;
                    self.sent.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            }
            b'w' => {
                send(Bytes::from_static(b"first"))?;
                let began = Instant::now();
                while began.elapsed() < PATIENCE {
                    cancel.check().inspect_err(noticed)?;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(Error::new(Kind::Timeout, "nobody canceled"))
            }
            b'f' => {
                (0..number(&body[1..])).try_for_each(|_| send(Bytes::from_static(b"one")))?;
                Err(frame::error_of(&body[9..]))
            }
            b'p' => panic!("on purpose"),
            other => Err(Error::invalid(format!("asked for {other}"))),
        }
    }
}

/// A node: its ends of the wires, its listener, its service.
pub struct Side {
    pub http: Http,
    pub address: String,
    pub service: Arc<TestService>,
    settings: Settings,
    listener: Option<Listener>,
}

impl Side {
    pub fn start(cluster: &str, secret: Option<&str>) -> Side {
        Side::with(settings(cluster, secret), "127.0.0.1:0")
    }
    pub fn with(settings: Settings, address: &str) -> Side {
        let http = Http::start(settings.clone()).unwrap();
        let service = Arc::new(TestService::default());
        let late = LateService::default();
        assert!(late.set(service.clone()).is_ok());
        let listener = http.listen(address, late).unwrap();
        Side { http, address: listener.address().to_string(), service, settings, listener: Some(listener) }
    }
    /// Ends the listener with all its connections and opens it again at its address.
    pub fn restart(&mut self) {
        self.listener.take().unwrap().stop();
        *self = Side::with(self.settings.clone(), &self.address.clone());
    }
    pub fn stop(mut self) {
        self.listener.take().unwrap().stop();
    }
    pub fn connections_made(&self) -> u64 {
        figure(&self.http, "watchfire_cluster_dials_total{outcome=\"ok\"}")
    }
}

/// A figure as `/metrics` would show it; 0 when it is not there.
pub fn figure(http: &Http, name: &str) -> u64 {
    let mut out = base::stats::Exposition::default();
    http.write_stats(&mut out);
    let text = out.finish();
    text.lines().find_map(|l| l.strip_prefix(name)).map_or(0, |v| v.trim().parse().unwrap())
}

pub fn ask(http: &Http, address: &str, method: Method, ask: &Ask, deadline: Duration) -> Result<Bytes> {
    let answers = Answers::default();
    http.call(address, method, ask.encode(), deadline, answers.of(()));
    answers.next(PATIENCE).expect("each call is answered").1
}

/// The error that comes of it.
pub fn told(side: &Side, method: Method, what: &Ask) -> Error {
    if method == Method::Scan {
        return side.http.stream(&side.address, method, what.encode(), PATIENCE).map(|_| ()).unwrap_err();
    }
    ask(&side.http, &side.address, method, what, PATIENCE).unwrap_err()
}

pub fn closed_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[derive(Default)]
struct Faults {
    frozen: AtomicBool,
    calls: AtomicUsize,
    answers: AtomicUsize,
}

/// Stands between two nodes.
pub struct Relay {
    pub address: String,
    faults: Arc<Faults>,
}

impl Relay {
    pub fn start(to: &str) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let faults = Arc::new(Faults::default());
        faults.calls.store(usize::MAX, Ordering::SeqCst);
        faults.answers.store(usize::MAX, Ordering::SeqCst);
        let (to, shared) = (to.to_owned(), faults.clone());
        thread(move || {
            for here in listener.incoming() {
                let (here, there) = (here.unwrap(), TcpStream::connect(&to).unwrap());
                let (f, a, b) = (shared.clone(), here.try_clone().unwrap(), there.try_clone().unwrap());
                thread(move || pass(a, b, &f, true));
                let f = shared.clone();
                thread(move || pass(there, here, &f, false));
            }
        });
        Relay { address, faults }
    }
    /// Nothing passes any more, and no connection ends (or everything passes again).
    pub fn freeze(&self, on: bool) {
        self.faults.frozen.store(on, Ordering::SeqCst);
    }
    pub fn cut_calls_after(&self, bytes: usize) {
        self.faults.calls.store(bytes, Ordering::SeqCst);
    }
    pub fn cut_answers_after(&self, bytes: usize) {
        self.faults.answers.store(bytes, Ordering::SeqCst);
    }
}

fn thread(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().name("relay".into()).spawn(run).unwrap();
}

fn pass(mut from: TcpStream, mut to: TcpStream, faults: &Faults, calls: bool) {
    let mut buf = [0; 4096];
    let mut passed = 0;
    loop {
        let n = match from.read(&mut buf) {
            Ok(0) | Err(_) => break,
            Ok(n) => n,
        };
        while faults.frozen.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let most = if calls { &faults.calls } else { &faults.answers }.load(Ordering::SeqCst);
        let n = n.min(most - passed.min(most));
        passed += n;
        if to.write_all(&buf[..n]).is_err() || passed >= most {
            break;
        }
    }
    // Either may be gone already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
