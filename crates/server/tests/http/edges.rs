//! What every protocol has in common: statuses, sizes, tokens, tenants, panics, places.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base::{Error, Kind};
use server::{Settings, Token};
use table::Ingested;

use crate::harness::{NOW_NS, Scripted, Server};

const PROTOBUF: &[(&str, &str)] = &[("content-type", "application/x-protobuf")];
const FROM_PROMETHEUS: &[(&str, &str)] = &[("content-type", "application/x-protobuf"), ("user-agent", "Prometheus/3.5.0")];

/// The status table: kind of error, then the status of Loki push, remote write, remote write from a sender that drops on
/// 429, and OTLP; and whether it says when to come again.
#[test]
fn every_kind_of_error_has_its_status_in_every_protocol() {
    let table = [
        (Kind::Invalid, [400, 400, 400, 400]),
        (Kind::Unprocessable, [422, 422, 422, 422]),
        (Kind::TooLarge, [413, 413, 413, 413]),
        (Kind::LimitExceeded, [429, 429, 503, 429]),
        (Kind::Unavailable, [503, 503, 503, 503]),
        (Kind::Timeout, [504, 504, 504, 504]),
        (Kind::Corrupt, [500, 500, 500, 503]),
        (Kind::Internal, [500, 500, 500, 503]),
    ];
    for (kind, want) in table {
        let server = Server::start(Scripted::new(move || Err(Error::new(kind, "because"))), Settings::default());
        let got = [
            server.post("/loki/api/v1/push", PROTOBUF, b"x"),
            server.post("/api/v1/write", PROTOBUF, b"x"),
            server.post("/api/v1/write", FROM_PROMETHEUS, b"x"),
            server.post("/v1/traces", PROTOBUF, b"x"),
        ];
        for (answer, want) in got.iter().zip(want) {
            assert_eq!(answer.status, want, "{kind:?}");
            assert_eq!(answer.header("retry-after").is_some(), matches!(want, 429 | 503), "{kind:?}");
            assert!(String::from_utf8_lossy(&answer.bytes).contains("because"), "{kind:?}");
        }
    }
}

#[test]
fn a_panic_is_answered_and_counted_and_the_server_lives() {
    let server = Server::start(Scripted::new(|| panic!("on purpose")), Settings::default());
    assert_eq!(server.post("/loki/api/v1/push", PROTOBUF, b"x").status, 500);
    assert_eq!(server.post("/v1/logs", PROTOBUF, b"x").status, 503);
    let figures = server.get("/metrics").ok();
    assert!(figures.text().contains("watchfire_panics_total 2\n"), "{}", figures.text());
}

#[test]
fn a_body_beyond_the_cap_is_refused_while_it_arrives() {
    let server = Server::start(Scripted::new(|| Ok(Ingested::default())), Settings { body_bytes: 1000, ..Settings::default() });
    assert_eq!(server.post("/loki/api/v1/push", PROTOBUF, &[0; 1000]).status, 204);
    for path in ["/loki/api/v1/push", "/api/v1/write", "/v1/logs", "/v1/traces", "/otlp/v1/logs"] {
        assert_eq!(server.post(path, PROTOBUF, &[0; 1001]).status, 413, "{path}");
    }
    // Without an announced length, too; the rest of the body is never read.
    let mut stream = TcpStream::connect(server.base.trim_start_matches("http://")).unwrap();
    stream.write_all(b"POST /loki/api/v1/push HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n").unwrap();
    stream.write_all(&[0; 2000]).unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 413");
}

#[test]
fn targets_are_read_as_they_are_typed() {
    let server = Server::plain();
    let ask = |pieces: &[&str]| {
        let mut stream = TcpStream::connect(server.base.trim_start_matches("http://")).unwrap();
        for piece in pieces {
            stream.write_all(piece.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    const REST: &str = " HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for pieces in
        [&[&format!("GET /api/v1/query?query=vector(1)<2>\"\"{REST}")[..]][..], &["G", "ET /api/v1/query?query=vec", "tor(1)<2>\"\"", REST]]
    {
        let answer = ask(pieces);
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("parse error"), "{answer}");
    }
    let answer = ask(&["GET /api/v1/query?query=vector(1)>0", REST]);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"1\""), "{answer}");
}

#[test]
fn the_token_opens_everything_and_its_lack_opens_readiness_alone() {
    let settings = Settings { token: Some(Token::new("s3cret").unwrap()), ..Settings::default() };
    let backend = Scripted::new(|| Ok(Ingested::default()));
    let server = Server::start(backend.clone(), settings);
    assert_eq!(server.get("/ready").status, 200);
    let paths = [
        ("GET", "/metrics"),
        ("GET", "/loki/api/v1/labels"),
        ("POST", "/loki/api/v1/push"),
        ("POST", "/flush"),
        ("GET", "/no/such/path"),
        ("GET", "/ready/"),
    ];
    for (method, path) in paths {
        let answer = server.send(method, path, &[], b"");
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{path}");
        assert_eq!(server.send(method, path, &[("authorization", "Bearer wrong")], b"").status, 401, "{path}");
        let with = server.send(method, path, &[("authorization", "Bearer s3cret")], b"").status;
        assert_ne!(with, 401, "{path}");
    }
    assert_eq!(backend.seen.lock().len(), 1, "only the push with the token reached the store");
}

#[test]
fn the_tenant_of_a_push_is_the_one_it_names() {
    let backend = Scripted::new(|| Ok(Ingested::default()));
    let server = Server::start(backend.clone(), Settings::default());
    server.post("/loki/api/v1/push", &[("x-scope-orgid", "team-a")], b"x").ok();
    server.post("/loki/api/v1/push", &[], b"x").ok();
    for bad in ["a|b", "../x", ""] {
        assert_eq!(server.post("/loki/api/v1/push", &[("x-scope-orgid", bad)], b"x").status, 400, "{bad}");
    }
    let seen = backend.seen.lock();
    assert_eq!(seen.iter().map(|h| h.tenant.as_str()).collect::<Vec<_>>(), ["team-a", "default"]);
    assert!(seen.iter().all(|h| h.received_ns == NOW_NS));
}

#[test]
fn pushes_that_find_no_place_are_asked_to_come_again_only_after_a_wait() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = parking_lot::Mutex::new(held);
    let backend = Scripted::new(move || {
        let _ = held.lock().recv();
        Ok(Ingested::default())
    });
    let server = Arc::new(Server::start(backend.clone(), Settings { ingest_concurrency: 1, ..Settings::default() }));
    let pushes: Vec<_> = (0..3)
        .map(|_| {
            let server = server.clone();
            std::thread::Builder::new().spawn(move || server.post("/loki/api/v1/push", PROTOBUF, b"x").status).unwrap()
        })
        .collect();
    for _ in 0..3 {
        release.send(()).unwrap();
    }
    // They took turns in the one place, and each was taken.
    assert_eq!(pushes.into_iter().map(|p| p.join().unwrap()).collect::<Vec<_>>(), [204, 204, 204]);
    assert_eq!(backend.seen.lock().len(), 3);
}

#[test]
fn what_is_not_there_is_said_in_the_protocols_own_shape() {
    let server = Server::start(Scripted::new(|| Ok(Ingested::default())), Settings::default());
    assert_eq!(server.get("/nothing").status, 404);
    let answer = server.get("/api/v1/nothing");
    assert_eq!((answer.status, answer.json()["errorType"].as_str()), (404, Some("not_found")));
    assert_eq!(server.get("/loki/api/v1/push").status, 405);
    let answer = server.post("/v1/profiles/x", &[("content-type", "application/json")], b"{}");
    assert_eq!((answer.status, answer.json()["code"].as_u64()), (404, Some(5)));
}

#[test]
fn a_stopping_server_admits_nothing() {
    let server = Server::start(Scripted::new(|| Ok(Ingested::default())), Settings::default());
    server.post("/loki/api/v1/push", PROTOBUF, b"x").ok();
    server.app.stop_admitting();
    for answer in [server.post("/loki/api/v1/push", PROTOBUF, b"x"), server.get("/ready"), server.get("/loki/api/v1/labels")] {
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    }
}

#[test]
fn a_query_that_takes_too_long_is_given_up() {
    let settings = Settings { query_timeout: Duration::from_millis(20), query_concurrency: 1, ..Settings::default() };
    let backend = Scripted::new(|| Ok(Ingested::default()));
    let (open, gate) = std::sync::mpsc::channel();
    *backend.gate.lock() = Some(gate);
    let server = Server::start(backend, settings);
    let answer = server.get("/loki/api/v1/labels");
    assert_eq!(answer.status, 504, "{}", answer.text());
    let answer = server.get("/api/v1/query?query=1");
    assert_eq!((answer.status, answer.json()["errorType"].as_str()), (503, Some("timeout")));
    drop(open);
}

/// Two clients that ask for 12 MB each and do not read, where there is memory for one such answer.
#[test]
fn answers_that_nobody_reads_hold_up_queries_and_do_not_fill_the_memory() {
    let settings = Settings { query_concurrency: 2, answer_memory_bytes: 8 << 20, ..Settings::default() };
    let server = Server::over_engine(settings, std::collections::BTreeMap::new());
    let now_ms = NOW_NS / 1_000_000;
    for i in 0..60 {
        let labels = [("__name__", "x"), ("i", &*i.to_string())];
        let answer = crate::prometheus::write(&server, &[], &labels, &[(-11_000_000, 1.5)]);
        assert_eq!(answer.status, 204, "{}", String::from_utf8_lossy(&answer.bytes));
    }
    let end = now_ms / 1000;
    let path = format!("/api/v1/query_range?query=x&start={}&end={end}&step=1&lookback_delta=4h", end - 10_999);
    let ask = || {
        let mut client = TcpStream::connect(server.base.trim_start_matches("http://")).unwrap();
        client.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
        client
    };
    let figure = |name: &str| -> f64 {
        let page = String::from_utf8(server.get("/metrics").bytes).unwrap();
        page.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok()).unwrap()
    };
    let mut first = ask();
    let mut head = [0; 15];
    first.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let mut second = ask();
    second.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(second.read(&mut [0]).is_err(), "its answer has no memory yet");
    let held = figure("watchfire_answers_bytes");
    assert!(held > 0.0 && held <= f64::from(8 << 20), "{held}");
    assert!((figure("watchfire_jobs_running{pool=\"queries\"}") - 1.0).abs() < 0.5, "it keeps its place");
    assert_eq!(server.get(&path).status, 503, "others with long answers are asked to come again");
    assert_eq!(server.get(&path.replace("query=x", "query=sum(x)")).status, 200, "and others are answered");
    let mut rest = vec![];
    first.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > 12_000_000 && rest.ends_with(b"]]}]}}"), "{}", rest.len());
    second.set_read_timeout(None).unwrap();
    let mut whole = vec![];
    second.read_to_end(&mut whole).unwrap();
    assert_eq!(whole.len(), head.len() + rest.len());
    assert!(figure("watchfire_answers_bytes").abs() < 0.5);
}
