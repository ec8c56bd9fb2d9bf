//! Lanes against a real server that answers as servers do on their bad days.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use base::Labels;
use disk::SimFs;
use wire::loki::Streams;

use super::*;
use crate::deliver::{Batch, Deliver, Line, Lines, Stream};
use crate::spool::{self, Settings};

/// How the server treats a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Treat {
    Status(u16),
    /// 429, and to come again after so many seconds.
    Later(u64),
    /// No answer.
    Hang,
    /// The connection ends within the answer, after the lines were stored.
    BreakOff,
    /// The connection ends before the answer; nothing was stored.
    Reset,
    /// Lines with this word are refused with 400, the others stored.
    Without(&'static str),
    /// The same, and the answer numbers them.
    WithoutAndSays(&'static str),
    /// More lines at once are too much (413).
    AtMost(usize),
}

/// What the server was sent, and what it stored.
#[derive(Default)]
struct Log {
    bodies: Vec<Vec<u8>>,
    heads: Vec<String>,
    stored: Vec<(i64, String)>,
}

struct Server {
    url: String,
    log: Arc<Mutex<Log>>,
    treats: Arc<Mutex<VecDeque<Treat>>>,
}

impl Server {
    /// Treats its requests in this way, one after the other, and the last of them for ever.
    fn start(treats: &[Treat]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (log, treats) = (Arc::new(Mutex::new(Log::default())), Arc::new(Mutex::new(treats.iter().copied().collect::<VecDeque<_>>())));
        let (l, t) = (log.clone(), treats.clone());
        let accept = move || {
            for stream in listener.incoming() {
                let (stream, l, t) = (stream.unwrap(), l.clone(), t.clone());
                std::thread::Builder::new().name("connection".into()).spawn(move || serve(stream, &l, &t)).unwrap();
            }
        };
        std::thread::Builder::new().name("server".into()).spawn(accept).unwrap();
        Server { url, log, treats }
    }
    fn stored(&self) -> Vec<(i64, String)> {
        self.log.lock().stored.clone()
    }
    /// What it stored, as a set of rows: a row that comes twice is one.
    fn rows(&self) -> BTreeSet<(i64, String)> {
        self.stored().into_iter().collect()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Log>, treats: &Mutex<VecDeque<Treat>>) {
    let mut buf = vec![];
    while let Some((head, body)) = request(&mut stream, &mut buf) {
        let treat = {
            let mut t = treats.lock();
            if t.len() > 1 { t.pop_front() } else { t.front().copied() }
        };
        let plain = wire::encoding::decode(wire::Encoding::SnappyBlock, &body.clone().into(), 64 << 20).unwrap_or_default();
        let lines: Vec<(i64, String)> = Streams::new(&plain)
            .flatten()
            .flat_map(|s| s.entries().flatten().map(|e| (e.time_ns, String::from_utf8_lossy(e.line).into_owned())).collect::<Vec<_>>())
            .collect();
        let mut log = log.lock();
        log.bodies.push(body);
        log.heads.push(head);
        let (status, extra) = match treat.unwrap_or(Treat::Status(204)) {
            Treat::Status(s) => (s, String::new()),
            Treat::Later(s) => (429, format!("Retry-After: {s}\r\n")),
            Treat::Reset => return,
            Treat::Hang => {
                drop(log);
                let _ = stream.read(&mut [0; 1]);
                return;
            }
            Treat::BreakOff => {
                log.stored.extend(lines);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
                return;
            }
            Treat::Without(word) | Treat::WithoutAndSays(word) => {
                let (bad, good): (Vec<_>, Vec<_>) = lines.iter().cloned().partition(|l| l.1.contains(word));
                log.stored.extend(good);
                let numbers = (0..).zip(&lines).filter(|(_, l)| l.1.contains(word)).map(|(n, _)| n);
                let says = wire::refused::write(numbers).filter(|_| matches!(treat, Some(Treat::WithoutAndSays(_))));
                (if bad.is_empty() { 204 } else { 400 }, says.map_or_else(String::new, |v| format!("{}: {v}\r\n", wire::refused::HEADER)))
            }
            Treat::AtMost(n) if lines.len() > n => (413, String::new()),
            Treat::AtMost(_) => (204, String::new()),
        };
        if status == 204 && !matches!(treat, Some(Treat::Without(_) | Treat::WithoutAndSays(_))) {
            log.stored.extend(lines);
        }
        drop(log);
        let answer = format!("HTTP/1.1 {status} X\r\n{extra}Content-Length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The next request of a connection: head and body.
fn request(stream: &mut TcpStream, buf: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = buf.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buf[..end]).to_lowercase();
            let len: usize = head.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |l| l.trim().parse().unwrap());
            if buf.len() >= end + 4 + len {
                let body = buf[end + 4..end + 4 + len].to_vec();
                buf.drain(..end + 4 + len);
                return Some((head, body));
            }
        }
        let mut chunk = [0; 16 << 10];
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => buf.extend_from_slice(&chunk[..n]),
            _ => return None,
        }
    }
}

fn endpoint(name: &str, kind: Kind, url: &str) -> Endpoint {
    Endpoint {
        name: name.into(),
        kind,
        url: url.into(),
        tenant: Some(Tenant::new("team-a").unwrap()),
        credentials: Credentials::Bearer("top-secret".into()),
        ca: None,
        timeout: Duration::from_millis(400),
        batch_bytes: 1 << 20,
        batch_wait: Duration::from_millis(5),
        backlog_rate: 64 << 20,
    }
}

struct Rig {
    spool: Arc<Spool>,
    fs: SimFs,
    shipping: Option<Shipping>,
    next: i64,
}

impl Rig {
    fn new(endpoints: &[Endpoint], before: i64) -> Rig {
        let mut rig = Rig::stopped(SimFs::default(), endpoints);
        if before > 0 {
            rig.deliver(before, "before");
        }
        rig.start(endpoints);
        rig
    }
    /// On a disk on which there was one before.
    fn over(fs: SimFs, endpoints: &[Endpoint]) -> Rig {
        let mut rig = Rig::stopped(fs, endpoints);
        rig.start(endpoints);
        rig
    }
    fn stopped(fs: SimFs, endpoints: &[Endpoint]) -> Rig {
        let context = spool::Context {
            fs: Arc::new(fs.clone()),
            dir: "/spool".into(),
            clock: Clock::System,
            host: "h".into(),
            readers: endpoints.iter().map(Endpoint::reader).collect(),
        };
        let spool = Spool::open(Settings::default(), context).unwrap();
        Rig { spool, fs, shipping: None, next: 0 }
    }
    fn start(&mut self, endpoints: &[Endpoint]) {
        let context = Context {
            spool: self.spool.clone(),
            clock: Clock::System,
            identity: Identity { agent: "agent-1".into(), boot: "boot-1".into() },
            fs: Arc::new(self.fs.clone()),
            dead_dir: "/dead".into(),
            stats: Arc::default(),
        };
        self.shipping = Some(Shipping::start(endpoints, context).unwrap());
    }
    fn deliver(&mut self, n: i64, text: &str) {
        let lines = (self.next..self.next + n).map(|i| Line { time_ns: i, text: format!("{text} {i}"), metadata: vec![] }).collect();
        self.next += n;
        let labels = Labels::from_pairs([("job", "a")]).unwrap();
        let streams = vec![Stream { tenant: None, labels, lines }];
        self.spool.deliver(Batch::Lines(&Lines { streams, source: "s".into(), position: b"p".to_vec() })).unwrap();
    }
    fn pending(&self) -> u64 {
        self.spool.report().endpoints.iter().map(|e| e.pending_rows).sum()
    }
}

/// Waits until it is so: the lanes are threads of their own. The bound only ends a test that has failed.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_fails_for_now_is_sent_again_as_the_same_bytes() {
    use Treat::*;
    for trouble in [Status(429), Status(500), Status(503), Status(401), Status(403), Status(404), Later(1), Hang, BreakOff, Reset] {
        let server = Server::start(&[trouble, trouble, Status(204)]);
        let mut r = Rig::new(&[endpoint("home", Kind::Watchfire, &server.url)], 0);
        r.deliver(3, "line");
        until(&format!("{trouble:?} heals"), || r.pending() == 0);
        let log = server.log.lock();
        let first: Vec<&Vec<u8>> = log.bodies.iter().take(3).collect();
        assert!(first.len() == 3 && first.iter().all(|b| *b == first[0]), "{trouble:?}: the same bytes");
        drop(log);
        assert_eq!(server.rows().len(), 3, "{trouble:?}");
        let report = r.spool.report();
        assert_eq!((report.endpoints[0].retries, report.endpoints[0].trouble.as_str(), report.lost.last.len()), (2, "", 0), "{trouble:?}");
    }
}

#[test]
fn an_alarm_stands_until_somebody_mends_it_and_no_secret_is_told() {
    let server = Server::start(&[Treat::Status(401)]);
    let mut r = Rig::new(&[endpoint("home", Kind::Watchfire, &server.url)], 0);
    r.deliver(1, "line");
    until("the alarm", || r.spool.report().endpoints[0].alarm);
    let told = serde_json::to_string(&r.spool.report()).unwrap();
    assert!(told.contains("401") && !told.contains("secret"));
    server.treats.lock().push_back(Treat::Status(204));
    until("it is mended", || r.pending() == 0);
    let head = server.log.lock().heads[0].clone();
    for wanted in [
        "authorization: bearer top-secret",
        "x-scope-orgid: team-a",
        "x-watchfire-agent: agent-1",
        "x-watchfire-agent-boot: boot-1",
        "x-watchfire-agent-frames: ",
    ] {
        assert!(head.contains(wanted), "{wanted} in {head}");
    }
    assert!(!r.spool.report().endpoints[0].alarm);
}

#[test]
fn exactly_the_lines_that_are_refused_are_set_aside_and_stated() {
    for treat in [Treat::Without("bad"), Treat::WithoutAndSays("bad")] {
        let server = Server::start(&[treat]);
        let mut r = Rig::new(&[endpoint("home", Kind::Watchfire, &server.url)], 0);
        r.deliver(40, "good");
        r.deliver(2, "bad");
        r.deliver(30, "good");
        until("all is done with", || r.pending() == 0);
        assert_eq!(server.rows().len(), 70);
        if treat == Treat::WithoutAndSays("bad") {
            assert_eq!(server.stored().len(), 70, "no row is sent again to find the bad ones");
        }
        let report = r.spool.report();
        assert_eq!((report.lost.by_reason["refused"].rows, report.lost.last[0].endpoint.as_str()), (2, "home"));
        let file = disk::read(&r.fs, std::path::Path::new("/dead/home.jsonl")).unwrap();
        let file = String::from_utf8(file).unwrap();
        assert!(file.lines().count() == 2 && file.contains("bad 40") && file.contains("bad 41"), "{file}");
        r.spool.tick();
        until("the loss is a line itself", || server.rows().iter().any(|(_, l)| l.contains("\"reason\":\"refused\"")));
    }
}

#[test]
fn lines_about_losses_that_are_refused_make_no_further_losses() {
    // As a server does while the agent's clock is ahead.
    for treat in [Treat::Without(""), Treat::WithoutAndSays("")] {
        let server = Server::start(&[treat]);
        let mut r = Rig::new(&[endpoint("home", Kind::Watchfire, &server.url)], 0);
        r.deliver(3, "line");
        for _ in 0..3 {
            until("all is done with", || r.pending() == 0);
            r.spool.tick();
        }
        until("all is done with", || r.pending() == 0);
        let lost = r.spool.report().lost;
        assert_eq!((lost.by_reason["refused"].rows, lost.last.len()), (3, 1), "{lost:?}");
        assert_eq!((lost.last[0].stream.as_str(), lost.last[0].from_ns, lost.last[0].to_ns), (r#"{job="a"}"#, 0, 2));
    }
}

#[test]
fn refused_rows_are_stated_once_though_the_agent_dies_among_them() {
    // It answers 400 to the whole and to all pieces but the last one, which hangs: the agent dies in the middle of it.
    let bad = Treat::Without("bad");
    let server = Server::start(&[bad, bad, bad, bad, Treat::Hang]);
    let endpoints = [endpoint("home", Kind::Watchfire, &server.url)];
    let mut r = Rig::new(&endpoints, 0);
    r.deliver(4, "bad");
    until("it hangs", || server.log.lock().bodies.len() > 5);
    r.spool.tick();
    r.shipping.take().unwrap().stop(Duration::from_millis(1));
    r.fs.power_cut();
    server.treats.lock().push_back(bad);
    let mut r = Rig::over(r.fs.clone(), &endpoints);
    until("all is done with", || r.pending() == 0);
    assert_eq!(r.spool.report().lost.by_reason["refused"].rows, 4);
    // Known for good with the acknowledgement, which goes along with the next batch.
    r.shipping.take().unwrap().stop(Duration::from_secs(5));
    r.deliver(1, "good");
    r.fs.power_cut();
    let r = Rig::stopped(r.fs.clone(), &endpoints);
    assert_eq!((r.spool.report().lost.by_reason["refused"].rows, r.pending()), (4, 2), "the good line, and the line about the loss");
}

#[test]
fn what_is_too_large_at_once_goes_in_pieces() {
    let server = Server::start(&[Treat::AtMost(10)]);
    let mut r = Rig::new(&[endpoint("home", Kind::Watchfire, &server.url)], 0);
    r.deliver(100, "line");
    until("all is taken", || r.pending() == 0);
    assert_eq!((server.stored().len(), server.rows().len()), (100, 100));
    assert_eq!(r.spool.report().lost.last.len(), 0);
}

#[test]
fn one_that_hangs_holds_up_nobody_else() {
    let (slow, fast) = (Server::start(&[Treat::Hang]), Server::start(&[Treat::Status(204)]));
    let mut r = Rig::new(&[endpoint("slow", Kind::Loki, &slow.url), endpoint("fast", Kind::Watchfire, &fast.url)], 0);
    for i in 0..20 {
        let began = Instant::now();
        r.deliver(1, "line");
        until("the fast one has it", || fast.rows().len() == i + 1);
        assert!(began.elapsed() < Duration::from_millis(350), "faster than the slow one's timeout");
    }
    let report = r.spool.report();
    assert_eq!((report.endpoints[0].pending_rows, report.endpoints[1].pending_rows), (20, 0));
    slow.treats.lock().push_back(Treat::Status(204));
    until("the slow one has it too", || slow.rows().len() == 20);
    assert!(slow.log.lock().heads[0].starts_with("post /loki/api/v1/push"));
}

#[test]
fn what_is_new_goes_beside_what_has_piled_up() {
    let server = Server::start(&[Treat::Status(204)]);
    let mut e = endpoint("home", Kind::Watchfire, &server.url);
    e.backlog_rate = 8 << 20;
    let big = "x".repeat(1000);
    let fs_lines = 40_000;
    let mut r = Rig::new(&[e], 0);
    // Stopped while it piles up, then started anew as after a restart.
    r.shipping.take().unwrap().stop(Duration::from_secs(5));
    let already = r.next;
    for _ in 0..fs_lines / 1000 {
        r.deliver(1000, &big);
    }
    let context = Context {
        spool: r.spool.clone(),
        clock: Clock::System,
        identity: Identity { agent: "a".into(), boot: "b".into() },
        fs: Arc::new(r.fs.clone()),
        dead_dir: "/dead".into(),
        stats: Arc::default(),
    };
    let mut slow = endpoint("home", Kind::Watchfire, &server.url);
    slow.backlog_rate = 8 << 20;
    r.shipping = Some(Shipping::start(&[slow], context).unwrap());
    r.deliver(1, "new");
    until("what is new is there", || server.rows().iter().any(|(_, l)| l.starts_with("new")));
    assert!((server.rows().len() as i64) < fs_lines / 2 + already, "before most of the backlog");
    until("all is there", || r.pending() == 0);
    assert_eq!(server.rows().len() as i64, r.next);
    assert_eq!(server.stored().len() as i64, r.next, "none twice");
}

#[test]
fn bodies_pass_as_they_came_to_those_that_take_them() {
    let (otlp, loki) = (Server::start(&[Treat::Status(204)]), Server::start(&[Treat::Status(204)]));
    let r = Rig::new(&[endpoint("otlp", Kind::Otlp, &otlp.url), endpoint("loki", Kind::Loki, &format!("{}/custom/push", loki.url))], 0);
    let body = crate::Body {
        tenant: None,
        format: Format::OtlpTraces,
        encoding: wire::Encoding::Gzip,
        bytes: b"packed spans",
        source: "otlp",
        rows: 3,
    };
    r.spool.deliver(Batch::Body(body)).unwrap();
    until("it is there", || r.pending() == 0);
    let log = otlp.log.lock();
    assert_eq!(log.bodies, [b"packed spans".to_vec()]);
    assert!(log.heads[0].starts_with("post /v1/traces") && log.heads[0].contains("content-encoding: gzip"), "{}", log.heads[0]);
    drop(log);
    let report = r.spool.report();
    assert_eq!(report.endpoints.iter().map(|e| e.acknowledged_rows).collect::<Vec<_>>(), [3, 0]);
    assert!(loki.log.lock().bodies.is_empty());
}
