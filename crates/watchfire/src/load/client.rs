//! HTTP as both halves of the tool need it: one connection per thread, kept alive, and the next server when one fails.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::limits::{ANSWER_BYTES, HOME_AGAIN};
use super::rows::Batch;
use super::{Args, Signal};
use crate::ask;
use crate::cli::ServerArgs;

/// An answer to a push.
pub enum Answer {
    /// Durable.
    Acknowledged,
    /// Will never be taken, or not whole: status and what the server said.
    Refused(u16, String),
    /// To be sent again, to another server if there is one; after as long as the server asked for; what went wrong.
    Again(Option<Duration>, String),
    /// To be sent again, to the same server: it asks for less.
    Slower(Option<Duration>, String),
}

/// The servers that clients know: any of them takes every request.
pub struct Targets(Vec<Target>);

struct Target {
    url: String,
    /// Nothing that is sent there arrives, and no answer of it: a drill has cut the way between clients and this server.
    cut: AtomicBool,
}

impl Targets {
    /// Of these addresses.
    pub fn new(urls: impl IntoIterator<Item = String>) -> Arc<Self> {
        let target = |url: String| Target { url: url.trim_end_matches('/').to_owned(), cut: AtomicBool::new(false) };
        Arc::new(Targets(urls.into_iter().map(target).collect()))
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// From now on what clients send to the `n`-th is lost on the way, or is not any more.
    pub fn cut(&self, n: usize, cut: bool) {
        self.0[n].cut.store(cut, Ordering::SeqCst);
    }
}

/// A client of some servers that hold the same rows. It stays with the one that works; after a while it tries the one
/// it began with again, as the clients of a load balancer come back to a server that has recovered.
pub struct Client {
    agent: ureq::Agent,
    targets: Arc<Targets>,
    home: Cell<usize>,
    at: Cell<usize>,
    /// Servers that failed one after the other.
    failed: Cell<usize>,
    away_since: Cell<Instant>,
    authorization: Option<String>,
    signal: Signal,
    timeout: Duration,
    retry_for: Duration,
    incomplete: Cell<u64>,
    lacks: RefCell<String>,
}

/// A read that came through.
struct Reply {
    status: u16,
    body: Vec<u8>,
}

impl Client {
    /// A client with its own connections, which begins at the `home`-th server (counted round).
    pub fn new(args: &Args, targets: Arc<Targets>, home: usize) -> anyhow::Result<Self> {
        anyhow::ensure!(targets.len() > 0, "no server is named");
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(args.timeout));
        let server = ServerArgs { addr: String::new(), tenant: None, token_file: args.token_file.clone() };
        let home = home % targets.len();
        Ok(Client {
            agent: config.build().into(),
            targets,
            home: Cell::new(home),
            at: Cell::new(home),
            failed: Cell::new(0),
            away_since: Cell::new(Instant::now()),
            authorization: ask::token(&server)?.map(|t| format!("Bearer {t}")),
            signal: args.signal,
            timeout: args.timeout,
            retry_for: args.retry_for,
            incomplete: Cell::new(0),
            lacks: RefCell::default(),
        })
    }
    /// Answers so far that said they were incomplete.
    pub fn incomplete(&self) -> u64 {
        self.incomplete.get()
    }
    /// What the last of them said it may lack.
    pub fn lacks(&self) -> String {
        self.lacks.borrow().clone()
    }
    /// Asks the `n`-th server first from now on.
    pub fn begin_at(&self, n: usize) {
        self.home.set(n % self.targets.len());
        self.at.set(self.home.get());
        self.failed.set(0);
    }
    /// Goes on to the next server. True when all of them have failed since one answered: then it is time to wait.
    pub fn turn(&self) -> bool {
        self.at.set((self.at.get() + 1) % self.targets.len());
        self.failed.set(self.failed.get() + 1);
        self.away_since.set(Instant::now());
        self.failed.get().is_multiple_of(self.targets.len())
    }
    /// The server to ask now.
    fn target(&self) -> &Target {
        if self.at != self.home && self.failed.get() == 0 && self.away_since.get().elapsed() > HOME_AGAIN {
            self.at.set(self.home.get());
        }
        &self.targets.0[self.at.get()]
    }
    /// An error if what is sent to a server, or what it answers, is lost now; returned when a request that began at `began` would have waited
    /// in vain.
    fn passes(&self, target: &Target, began: Instant) -> Result<(), String> {
        if target.cut.load(Ordering::SeqCst) {
            std::thread::sleep(self.timeout.saturating_sub(began.elapsed()));
            return Err(format!("{}: nothing came back in time", target.url));
        }
        Ok(())
    }
    /// Sends a batch once.
    pub fn push(&self, batch: &Batch) -> Answer {
        let (target, began) = (self.target(), Instant::now());
        if let Err(e) = self.passes(target, began) {
            return Answer::Again(None, e);
        }
        let mut request = self.agent.post(format!("{}{}", target.url, batch.path)).content_type(batch.form.0);
        if let Some(encoding) = batch.form.1 {
            request = request.header("Content-Encoding", encoding).header("X-Prometheus-Remote-Write-Version", "0.1.0");
        }
        for (name, value) in self.headers(batch.tenant.as_deref()) {
            request = request.header(name, value);
        }
        let mut response = match request.send(&batch.body[..]) {
            Ok(response) => response,
            Err(e) => return Answer::Again(None, e.to_string()),
        };
        let status = response.status().as_u16();
        let after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        // Read to its end, or the connection could not be used again.
        let read = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec().map_err(|e| e.to_string());
        let text = match read.and_then(|bytes| self.passes(target, began).map(|()| bytes)) {
            Ok(bytes) => bytes,
            Err(e) => return Answer::Again(None, e),
        };
        let text = || String::from_utf8_lossy(&text).chars().take(200).collect::<String>();
        match status {
            // An OTLP answer of 200 may refuse some of the spans; then its body is not empty.
            200 if self.signal == Signal::Traces && refuses_some(text().as_bytes()) => Answer::Refused(status, text()),
            200..=299 => {
                self.failed.set(0);
                Answer::Acknowledged
            }
            429 => Answer::Slower(after, format!("{status} {}", text())),
            502..=504 => Answer::Again(after, format!("{status} {}", text())),
            // By its specification an OTLP sender must not repeat after any other status.
            500..=599 if self.signal != Signal::Traces => Answer::Again(after, format!("{status} {}", text())),
            _ => Answer::Refused(status, text()),
        }
    }
    /// Asks one server once. The error is what went wrong and can be tried again; an answer of another status cannot.
    fn get_once(&self, path: &str, query: &[(&str, &str)], tenant: Option<&str>) -> Result<Reply, String> {
        let (target, began) = (self.target(), Instant::now());
        self.passes(target, began)?;
        let mut request = self.agent.get(format!("{}{path}", target.url)).query_pairs(query.iter().copied());
        for (name, value) in self.headers(tenant) {
            request = request.header(name, value);
        }
        let mut response = request.call().map_err(|e| e.to_string())?;
        let status = response.status().as_u16();
        let incomplete = response.headers().get("x-watchfire-incomplete").map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        let body = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec().map_err(|e| e.to_string())?;
        self.passes(target, began)?;
        if matches!(status, 429 | 502..=504) {
            return Err(format!("{status} {}", String::from_utf8_lossy(&body)));
        }
        self.failed.set(0);
        if let Some(lacks) = incomplete {
            self.incomplete.set(self.incomplete.get() + 1);
            *self.lacks.borrow_mut() = lacks;
        }
        Ok(Reply { status, body })
    }
    /// Asks until there is an answer of status 200 (its body) or 404 (`None`).
    pub fn get(&self, path: &str, query: &[(&str, &str)], tenant: Option<&str>) -> anyhow::Result<Option<Vec<u8>>> {
        let began = Instant::now();
        loop {
            let problem = match self.get_once(path, query, tenant) {
                Ok(Reply { status: 200, body }) => return Ok(Some(body)),
                Ok(Reply { status: 404, .. }) => return Ok(None),
                Ok(Reply { status, body }) => bail!("{path} {query:?}: {status} {}", String::from_utf8_lossy(&body)),
                Err(problem) => problem,
            };
            if began.elapsed() > self.retry_for {
                bail!("{path} {query:?}: {problem}");
            }
            if self.turn() {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
    /// Like [`Client::get`], decoded from JSON; 404 is an error.
    pub fn json<T: serde::de::DeserializeOwned>(&self, path: &str, query: &[(&str, &str)], tenant: Option<&str>) -> anyhow::Result<T> {
        let body = self.get(path, query, tenant)?.with_context(|| format!("{path}: 404"))?;
        serde_json::from_slice(&body).with_context(|| {
            format!("{path} {query:?}: not the answer expected: {}", String::from_utf8_lossy(&body).chars().take(200).collect::<String>())
        })
    }
    fn headers<'a>(&'a self, tenant: Option<&'a str>) -> impl Iterator<Item = (&'static str, &'a str)> {
        let authorization = self.authorization.as_deref().map(|v| ("Authorization", v));
        authorization.into_iter().chain(tenant.map(|t| ("X-Scope-OrgID", t)))
    }
}

/// Whether an `ExportTraceServiceResponse` counts rejected spans: field 1 (partial success) with a field 1 above 0.
fn refuses_some(body: &[u8]) -> bool {
    matches!(body, [0x0A, _, 0x08, n, ..] if *n > 0)
}

/// Compresses as one snappy block.
pub fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("a batch is far below snappy's bound of 4 GiB")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use clap::Parser;

    use super::*;

    /// Answers every request with `answer`, each on a connection of its own, as long as the test runs.
    fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve = move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
            }
        };
        std::thread::Builder::new().name("answers".into()).spawn(serve).unwrap();
        url
    }

    fn client(urls: &[&str]) -> (Client, Arc<Targets>) {
        let args = Args::try_parse_from(["load", "logs", "--timeout", "300ms", "--retry-for", "2s"]).unwrap();
        let targets = Targets::new(urls.iter().map(|u| (*u).to_owned()));
        (Client::new(&args, targets.clone(), 0).unwrap(), targets)
    }

    fn nobody() -> String {
        format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
    }

    /// Takes a request and answers it when the way back is cut.
    fn answers_too_late(targets: &Arc<std::sync::OnceLock<Arc<Targets>>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let targets = targets.clone();
        let serve = move || {
            let mut stream = listener.accept().unwrap().0;
            let _ = stream.read(&mut [0; 4096]);
            targets.wait().cut(0, true);
            let _ = stream.write_all(YES.as_bytes());
        };
        std::thread::Builder::new().name("answers".into()).spawn(serve).unwrap();
        url
    }

    /// Else rows that one side of a cut took alone would count as acknowledged.
    #[test]
    fn an_answer_on_its_way_when_the_server_is_cut_off_is_lost() {
        let cell = Arc::new(std::sync::OnceLock::new());
        let (c, targets) = client(&[&answers_too_late(&cell), &server(PART)]);
        cell.set(targets).ok().unwrap();
        assert!(c.get("/x", &[], None).unwrap().is_some());
        assert_eq!(c.incomplete(), 1, "the answer is the second one's");
    }

    const YES: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab";
    const LATER: &str = "HTTP/1.1 503 Later\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const PART: &str = "HTTP/1.1 200 OK\r\nX-Watchfire-Incomplete: b is silent\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab";

    #[test]
    fn the_next_server_is_asked_when_one_is_not_there_or_asks_to_come_again() {
        for first in [nobody(), server(LATER)] {
            let (c, _) = client(&[&first, &server(YES)]);
            assert_eq!(c.get("/x", &[], None).unwrap(), Some(b"ab".to_vec()));
            assert_eq!((c.at.get(), c.failed.get()), (1, 0), "it stays with the one that works");
        }
        let (c, _) = client(&[&nobody(), &nobody()]);
        assert!(c.get("/x", &[], None).is_err());
    }

    #[test]
    fn it_is_time_to_wait_when_all_have_failed() {
        let (c, _) = client(&["http://a", "http://b", "http://c"]);
        assert_eq!([c.turn(), c.turn(), c.turn(), c.turn()], [false, false, true, false]);
    }

    #[test]
    fn what_is_sent_to_a_server_that_is_cut_off_takes_its_time_and_is_lost() {
        let (c, targets) = client(&[&server(YES), &server(PART)]);
        targets.cut(0, true);
        let began = Instant::now();
        assert!(c.get("/x", &[], None).unwrap().is_some());
        assert!(began.elapsed() >= Duration::from_millis(300));
        assert_eq!(c.incomplete(), 1, "the answer of the second one said so");
        targets.cut(0, false);
        c.begin_at(0);
        c.get("/x", &[], None).unwrap();
        assert_eq!(c.incomplete(), 1);
    }
}
