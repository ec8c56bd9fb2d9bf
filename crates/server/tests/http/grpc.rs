//! gRPC, and HTTP/2 on the port of HTTP/1.1, by a client of its own over a real socket.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::Duration;

use axum::body::Body;
use base::{Error, Kind};
use bytes::Bytes;
use cluster::{Limits, Rate};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use server::{Paths, Settings, Token};
use table::Ingested;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use wire::encoding::encode;
use wire::grpc::{self, method};
use wire::loki::{PushEntry, PushStream, push_protobuf};
use wire::otlp::json::to_protobuf;
use wire::{Encoding, Options};

use crate::harness::{NOW_NS, Scripted, Server};

const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// A connection of HTTP/2, with what drives it.
struct Client {
    runtime: Runtime,
    sender: SendRequest<Body>,
}

/// What a call was answered: HTTP's status, and of gRPC code, words and message.
struct Answer {
    status: u16,
    headers: HeaderMap,
    trailers: HeaderMap,
    bytes: Bytes,
}

impl Answer {
    /// From the trailers, or from the headers of an answer that is nothing but a status.
    fn said(&self, name: &str) -> Option<&str> {
        self.trailers.get(name).or_else(|| self.headers.get(name)).and_then(|v| v.to_str().ok())
    }
    fn code(&self) -> Option<u64> {
        self.said("grpc-status").and_then(|c| c.parse().ok())
    }
    /// The message of a success.
    #[track_caller]
    fn message(&self) -> &[u8] {
        assert_eq!((self.status, self.code()), (200, Some(0)), "{:?}", self.said("grpc-message"));
        assert!(self.trailers.contains_key("grpc-status") && !self.headers.contains_key("grpc-status"), "the status is last");
        let (head, message) = self.bytes.split_at(grpc::HEAD_BYTES);
        assert_eq!((head[0], u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize), (0, message.len()));
        message
    }
}

impl Client {
    fn connect(server: &Server) -> Client {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = server.base.trim_start_matches("http://").to_owned();
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender
        });
        Client { runtime, sender }
    }

    fn request(method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(format!("http://host{path}"));
        for (n, v) in headers {
            request = request.header(*n, *v);
        }
        request.body(body).unwrap()
    }

    fn send(&self, request: Request<Body>) -> hyper::Result<Answer> {
        let sent = self.sender.clone().send_request(request);
        self.runtime.block_on(async { whole(sent.await?).await })
    }

    fn call_with(&self, path: &str, headers: &[(&str, &str)], framed: Vec<u8>) -> Answer {
        let request = Client::request(Method::POST, path, &[&[GRPC, ("te", "trailers")][..], headers].concat(), framed.into());
        self.send(request).unwrap()
    }

    fn call(&self, path: &str, message: &[u8]) -> Answer {
        self.call_with(path, &[], grpc::framed(message))
    }
}

async fn whole(response: Response<hyper::body::Incoming>) -> hyper::Result<Answer> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, trailers, bytes: body.to_bytes() })
}

fn resource() -> serde_json::Value {
    json!({"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]})
}

fn logs_of(records: &[(i64, &str)]) -> Vec<u8> {
    let records: Vec<_> = records.iter().map(|(t, b)| json!({"timeUnixNano": t.to_string(), "body": {"stringValue": b}})).collect();
    let body = json!({"resourceLogs": [{"resource": resource(), "scopeLogs": [{"logRecords": records}]}]});
    to_protobuf(&wire::otlp::LOGS, body.to_string().as_bytes()).unwrap()
}

fn loki_push(entries: &[(i64, &str)]) -> Vec<u8> {
    let entries: Vec<_> = entries.iter().map(|(time_ns, line)| PushEntry { time_ns: *time_ns, line, metadata: &[] }).collect();
    push_protobuf(&[PushStream { labels: &[("app", "x")], entries: &entries }])
}

fn lines(server: &Server, selector: &str) -> Vec<String> {
    let path = format!("/loki/api/v1/query_range?direction=forward&query={selector}");
    let found = server.get(&path).ok().json();
    let streams = found["data"]["result"].as_array().unwrap().clone();
    streams.iter().flat_map(|s| s["values"].as_array().unwrap().clone()).map(|v| v[1].as_str().unwrap().to_owned()).collect()
}

/// A frame as its first byte says, in the compression that the header names.
fn compressed(encoding: Encoding, message: &[u8]) -> Vec<u8> {
    let mut framed = grpc::framed(&encode(encoding, message).unwrap());
    framed[0] = 1;
    framed
}

#[test]
fn every_signal_is_taken_and_found_by_its_own_api() {
    let server = Server::plain();
    let client = Client::connect(&server);
    assert_eq!(client.call(method::LOGS, &logs_of(&[(NOW_NS - 1, "hello")])).message(), b"");
    assert_eq!(lines(&server, "%7Bservice_name%3D%22shop%22%7D"), ["hello"]);

    let point = json!({"timeUnixNano": NOW_NS.to_string(), "asDouble": 1.5});
    let metric = json!({"name": "used", "unit": "By", "gauge": {"dataPoints": [point]}});
    let body = json!({"resourceMetrics": [{"resource": resource(), "scopeMetrics": [{"metrics": [metric]}]}]}).to_string();
    assert_eq!(client.call(method::METRICS, &to_protobuf(&wire::otlp::METRICS, body.as_bytes()).unwrap()).message(), b"");
    let found = server.get(&format!("/api/v1/query?query=used_bytes&time={}", NOW_NS / 1_000_000_000)).ok().json();
    assert_eq!(found["data"]["result"][0]["value"][1], "1.5");

    let id = "0102030405060708090a0b0c0d0e0f10";
    let span = json!({"traceId": id, "spanId": "0102030405060708", "name": "work",
                      "startTimeUnixNano": (NOW_NS - 5).to_string(), "endTimeUnixNano": NOW_NS.to_string()});
    let body = json!({"resourceSpans": [{"resource": resource(), "scopeSpans": [{"spans": [span]}]}]}).to_string();
    assert_eq!(client.call(method::TRACES, &to_protobuf(&wire::otlp::TRACES, body.as_bytes()).unwrap()).message(), b"");
    let found = server.get(&format!("/api/traces/{id}")).ok().json();
    assert_eq!(found["batches"][0]["scopeSpans"][0]["spans"][0]["name"], "work");

    assert_eq!(client.call(method::LOKI, &loki_push(&[(NOW_NS - 2, "one"), (NOW_NS - 1, "two")])).message(), b"");
    assert_eq!(lines(&server, "%7Bapp%3D%22x%22%7D"), ["one", "two"]);

    let figures = server.get("/metrics").ok();
    for m in [method::LOGS, method::METRICS, method::TRACES, method::LOKI] {
        let line = format!("watchfire_http_requests_total{{route=\"{m}\",status=\"200\"}} 1\n");
        assert!(figures.text().contains(&line), "{line}: {}", figures.text());
    }
}

#[test]
fn a_message_reaches_the_store_as_it_came_and_with_its_compression_tenant_and_time() {
    let backend = Scripted::new(|| Ok(Ingested::default()));
    let server = Server::start(backend.clone(), Settings::default());
    let client = Client::connect(&server);
    let message = logs_of(&[(NOW_NS, "hello hello hello hello")]);
    let all = [Encoding::Identity, Encoding::Gzip, Encoding::Deflate, Encoding::SnappyFramed, Encoding::Zstd];
    for encoding in all {
        let framed = if encoding == Encoding::Identity { grpc::framed(&message) } else { compressed(encoding, &message) };
        client.call_with(method::LOGS, &[("grpc-encoding", encoding.name()), ("x-scope-orgid", "team-a")], framed).message();
    }
    for (encoding, (header, body)) in all.into_iter().zip(backend.seen.lock().iter().zip(backend.bodies.lock().iter())) {
        assert_eq!(Options::from_bytes(&header.options).unwrap().encoding, encoding);
        assert_eq!((&body[..], header.tenant.as_str(), header.received_ns), (&encode(encoding, &message).unwrap()[..], "team-a", NOW_NS));
    }
    assert_eq!(backend.seen.lock().len(), all.len());
    assert_eq!(client.call_with(method::LOGS, &[("x-scope-orgid", "a|b")], grpc::framed(b"")).code(), Some(3));
}

#[test]
fn compressed_messages_are_decoded_and_bombs_are_not() {
    let server = Server::plain();
    let client = Client::connect(&server);
    for (i, encoding) in [Encoding::Gzip, Encoding::SnappyFramed, Encoding::Zstd].into_iter().enumerate() {
        let named = [("grpc-encoding", encoding.name())];
        let logs = compressed(encoding, &logs_of(&[(NOW_NS - 9 + i as i64, encoding.name())]));
        assert_eq!(client.call_with(method::LOGS, &named, logs).message(), b"");
        let push = compressed(encoding, &loki_push(&[(NOW_NS - 9 + i as i64, encoding.name())]));
        assert_eq!(client.call_with(method::LOKI, &named, push).message(), b"");
    }
    assert_eq!(lines(&server, "%7Bservice_name%3D%22shop%22%7D"), ["gzip", "snappy", "zstd"]);
    assert_eq!(lines(&server, "%7Bapp%3D%22x%22%7D"), ["gzip", "snappy", "zstd"]);
    let bomb = compressed(Encoding::Gzip, &vec![0; base::limits::BODY_DECOMPRESSED_BYTES + 1]);
    let answer = client.call_with(method::LOGS, &[("grpc-encoding", "gzip")], bomb);
    assert_eq!(answer.code(), Some(3), "{:?}", answer.said("grpc-message"));
    assert!(answer.said("grpc-message").unwrap().contains("when decompressed"));
}

#[test]
fn every_kind_of_error_has_its_code_and_who_may_come_again_is_told_when() {
    for (kind, code, again, counted) in [
        (Kind::Invalid, 3, false, 400),
        (Kind::TooLarge, 3, false, 413),
        (Kind::LimitExceeded, 8, true, 429),
        (Kind::Unavailable, 14, true, 503),
        (Kind::Timeout, 4, false, 504),
        (Kind::Internal, 14, true, 503),
    ] {
        let server = Server::start(Scripted::new(move || Err(Error::new(kind, "be\u{e4}cause"))), Settings::default());
        let client = Client::connect(&server);
        for path in [method::LOGS, method::METRICS, method::TRACES, method::LOKI] {
            let answer = client.call(path, b"x");
            assert_eq!((answer.status, answer.code(), answer.bytes.len()), (200, Some(code), 0), "{kind:?}");
            assert_eq!(answer.said("grpc-message"), Some("be%C3%A4cause"));
            assert_eq!(answer.said("grpc-status-details-bin").is_some(), again, "{kind:?}");
        }
        let figures = server.get("/metrics").ok();
        let line = format!("watchfire_http_requests_total{{route=\"{}\",status=\"{counted}\"}} 1\n", method::LOGS);
        assert!(figures.text().contains(&line), "{line}: {}", figures.text());
    }
    let server = Server::start(Scripted::new(|| panic!("on purpose")), Settings::default());
    assert_eq!(Client::connect(&server).call(method::LOGS, b"x").code(), Some(14));
    let server = Server::start(Scripted::not_ready("replaying"), Settings::default());
    let answer = Client::connect(&server).call(method::LOGS, b"x");
    assert_eq!((answer.code(), answer.said("grpc-message")), (Some(14), Some("replaying")));
}

#[test]
fn what_can_never_be_taken_is_a_partial_success_or_lokis_refusal() {
    let server = Server::plain();
    let client = Client::connect(&server);
    let future = NOW_NS + 3_600_000_000_000;
    let answer = client.call(method::LOGS, &logs_of(&[(NOW_NS - 1, "good"), (future, "from the future")]));
    // ExportLogsServiceResponse { 1: { 1: rejected, 2: words } }
    let partial = answer.message();
    assert_eq!((partial[0], &partial[2..4]), (0x0a, &[8, 1][..]), "{partial:?}");
    assert_eq!(lines(&server, "%7Bservice_name%3D%22shop%22%7D"), ["good"]);
    let answer = client.call(method::LOKI, &loki_push(&[(NOW_NS - 1, "good"), (future, "from the future")]));
    assert_eq!(answer.code(), Some(3), "{:?}", answer.said("grpc-message"));
    assert_eq!(lines(&server, "%7Bapp%3D%22x%22%7D"), ["good"]);
    assert_eq!(client.call(method::LOGS, b"\x0a\xff").code(), Some(3));
}

#[test]
fn a_tenant_beyond_its_rate_is_told_to_come_again() {
    let limits = Limits { tenant: Some(Rate { bytes_per_second: 1, burst_bytes: 10 }), stream: None };
    let server = Server::over_engine(Settings::default(), BTreeMap::from([("logs".to_owned(), limits)]));
    let client = Client::connect(&server);
    // A full bucket lets one through that is larger than it.
    client.call(method::LOGS, &logs_of(&[(NOW_NS, &"x".repeat(100))])).message();
    let answer = client.call(method::LOGS, &logs_of(&[(NOW_NS, &"y".repeat(100))]));
    assert_eq!(answer.code(), Some(8), "{:?}", answer.said("grpc-message"));
    assert!(answer.said("grpc-status-details-bin").is_some(), "without it the row would be dropped");
}

#[test]
fn the_token_is_asked_for_before_the_message_is_read() {
    let settings = Settings { token: Some(Token::new("s3cret").unwrap()), ..Settings::default() };
    let backend = Scripted::new(|| Ok(Ingested::default()));
    let server = Server::start(backend.clone(), settings);
    let client = Client::connect(&server);
    for headers in [&[][..], &[("authorization", "Bearer wrong")]] {
        let answer = client.call_with(method::LOGS, headers, grpc::framed(b"x"));
        assert_eq!((answer.status, answer.code()), (200, Some(16)));
    }
    assert!(backend.seen.lock().is_empty());
    client.call_with(method::LOGS, &[("authorization", "Bearer s3cret")], grpc::framed(b"x")).message();
}

#[test]
fn what_is_no_call_of_ours_is_said_in_a_way_that_its_client_reads() {
    let server = Server::start(Scripted::new(|| Ok(Ingested::default())), Settings::default());
    let client = Client::connect(&server);
    for path in ["/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export", "/logproto.Querier/Query"] {
        let answer = client.call(path, b"");
        assert_eq!((answer.status, answer.code()), (200, Some(12)), "{path}");
    }
    let answer = client.call_with(method::LOGS, &[("grpc-encoding", "br")], compressed(Encoding::Gzip, b"x"));
    assert_eq!((answer.code(), answer.said("grpc-accept-encoding")), (Some(12), Some(grpc::ACCEPTED)));
    for framed in [vec![], vec![0, 0], compressed(Encoding::Gzip, b"x"), [grpc::framed(b"x"), grpc::framed(b"y")].concat()] {
        assert_eq!(client.call_with(method::LOGS, &[], framed).code(), Some(3));
    }
    assert_eq!(client.call_with(method::LOGS, &[("grpc-timeout", "soon")], grpc::framed(b"x")).code(), Some(3));
    for content_type in ["application/grpc+json", "application/json"] {
        let request = Client::request(Method::POST, method::LOGS, &[("content-type", content_type)], grpc::framed(b"x").into());
        let answer = client.send(request).unwrap();
        assert_eq!((answer.status, answer.code()), (415, None), "{content_type}");
    }
    let answer = server.post(method::LOGS, &[GRPC], &grpc::framed(b"x"));
    assert_eq!((answer.status, answer.text().contains("HTTP/2")), (505, true), "over HTTP/1.1 there are no trailers");
}

/// A body whose pieces the test sends one by one, and which ends when the sender goes.
fn dripping() -> (mpsc::UnboundedSender<Bytes>, Body) {
    let (sender, pieces) = mpsc::unbounded_channel();
    let pieces = stream::unfold(pieces, |mut pieces: mpsc::UnboundedReceiver<Bytes>| async move {
        let piece = pieces.recv().await?;
        Some((Ok::<_, std::io::Error>(Frame::data(piece)), pieces))
    });
    (sender, Body::new(StreamBody::new(Box::pin(pieces))))
}

#[test]
fn a_message_beyond_the_cap_is_refused_by_its_head() {
    let server = Server::start(Scripted::new(|| Ok(Ingested::default())), Settings { body_bytes: 1000, ..Settings::default() });
    let client = Client::connect(&server);
    client.call(method::LOGS, &[0; 1000]).message();
    let (pieces, body) = dripping();
    pieces.send(Bytes::from_static(&[0, 0, 0, 3, 0xe9])).unwrap();
    let answer = client.send(Client::request(Method::POST, method::LOGS, &[GRPC], body)).unwrap();
    assert_eq!(answer.code(), Some(3), "no byte of the message was sent: {:?}", answer.said("grpc-message"));
    assert!(answer.said("grpc-message").unwrap().contains("1001 bytes"));
}

#[test]
fn a_client_that_has_stopped_waiting_is_not_waited_for() {
    let backend = Scripted::new(|| Ok(Ingested::default()));
    let server = Server::start(backend.clone(), Settings::default());
    let client = Client::connect(&server);
    let (pieces, body) = dripping();
    pieces.send(Bytes::from_static(&[0, 0, 0])).unwrap();
    let answer = client.send(Client::request(Method::POST, method::LOGS, &[GRPC, ("grpc-timeout", "20m")], body)).unwrap();
    assert_eq!(answer.code(), Some(4));
    client.call_with(method::LOGS, &[("grpc-timeout", "60S")], grpc::framed(b"x")).message();
    assert_eq!(backend.seen.lock().len(), 1);
}

#[test]
fn the_end_waits_for_calls_under_way_and_lets_no_new_ones_in() {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let backend = Scripted::new(|| Ok(Ingested::default()));
    let stop_it = async {
        let _ = stopped.await;
    };
    let server = Server::start_until(backend.clone(), Settings::default(), Paths::All, stop_it);
    let client = Client::connect(&server);
    // Under way at the server: it has told the client of its settings and has answered another call since.
    let (pieces, body) = dripping();
    let mut sender = client.sender.clone();
    let under_way = client.runtime.spawn(sender.send_request(Client::request(Method::POST, method::LOGS, &[GRPC], body)));
    pieces.send(Bytes::from_static(&[0, 0])).unwrap();
    client.call(method::LOGS, b"x").message();
    stop.send(()).unwrap();
    // The connection is told to end, and then the client starts no more calls on it.
    let gone = client.runtime.block_on(async {
        let mut sender = client.sender.clone();
        while sender.ready().await.is_ok() {
            let request = Client::request(Method::POST, method::LOGS, &[GRPC], grpc::framed(b"x").into());
            if sender.send_request(request).await.is_err() {
                return true;
            }
        }
        true
    });
    assert!(gone);
    pieces.send(Bytes::from_static(&[0, 0, 1, b'y'])).unwrap();
    drop(pieces);
    let answer = client.runtime.block_on(async { whole(under_way.await.unwrap().unwrap()).await.unwrap() });
    assert_eq!(answer.code(), Some(0));
    assert_eq!(backend.bodies.lock().last().unwrap(), &Bytes::from_static(b"y"));
}

#[test]
fn everything_else_is_there_over_http2_too() {
    let server = Server::plain();
    let client = Client::connect(&server);
    let get = |path: &str| client.send(Client::request(Method::GET, path, &[], Body::empty())).unwrap();
    assert_eq!(get("/ready").status, 200);
    let long = format!("/loki/api/v1/query_range?query=%7Bapp%3D%22x%22%7D&pad={}", "x".repeat(20_000));
    assert_eq!(get(&long).status, 200);
    let beyond = format!("/ready?pad={}", "x".repeat(40_000));
    assert_eq!(get(&beyond).status, 431, "a head is bounded");
    assert_eq!(get("/ready").status, 200, "and the connection lives");
    let json = br#"{"streams":[{"stream":{"app":"x"},"values":[["1699999999000000000","over http2"]]}]}"#;
    let push = Client::request(Method::POST, "/loki/api/v1/push", &[("content-type", "application/json")], json.to_vec().into());
    assert_eq!(client.send(push).unwrap().status, 204);
    assert_eq!(lines(&server, "%7Bapp%3D%22x%22%7D"), ["over http2"]);
}

#[test]
fn a_connection_has_so_many_calls_at_once_and_the_others_wait() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = parking_lot::Mutex::new(held);
    let backend = Scripted::new(move || {
        let _ = held.lock().recv();
        Ok(Ingested::default())
    });
    let server = Server::start(backend.clone(), Settings { ingest_concurrency: 4, ..Settings::default() });
    let client = Client::connect(&server);
    // One is answered first, so that the client knows the server's settings.
    release.send(()).unwrap();
    client.call(method::LOGS, b"x").message();
    let calls = 3 * server::limits::H2_STREAMS as usize;
    let all: Vec<_> = (0..calls)
        .map(|_| {
            let mut sender = client.sender.clone();
            let request = Client::request(Method::POST, method::LOGS, &[GRPC], grpc::framed(b"x").into());
            client.runtime.spawn(async move { whole(sender.send_request(request).await?).await })
        })
        .collect();
    (0..calls).for_each(|_| release.send(()).unwrap());
    for call in all {
        client.runtime.block_on(call).unwrap().unwrap().message();
    }
    assert_eq!(backend.seen.lock().len(), calls + 1);
}

#[test]
fn a_port_for_otlp_has_that_alone() {
    let server = Server::start_until(Scripted::new(|| Ok(Ingested::default())), Settings::default(), Paths::Otlp, std::future::pending());
    let client = Client::connect(&server);
    client.call(method::LOGS, b"x").message();
    assert_eq!(server.post("/v1/traces", &[("content-type", "application/x-protobuf")], b"").status, 200);
    assert_eq!(server.get("/ready").status, 200);
    assert_eq!(client.call(method::LOKI, b"x").code(), Some(12));
    for path in ["/metrics", "/loki/api/v1/labels", "/api/v1/query", "/flush"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
}

/// What a connection answers to these bytes, sent one by one, until it ends. The writing side ends with them unless they are whole requests:
/// who has closed that gets no answer over HTTP/1.1.
fn first_answer(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = std::net::TcpStream::connect(server.base.trim_start_matches("http://")).unwrap();
    stream.set_nodelay(true).unwrap();
    // It may have heard enough, answered and closed before the last byte; what it had said may be lost then, too.
    let _ = bytes.iter().try_for_each(|b| stream.write_all(&[*b]));
    if !bytes.ends_with(b"\r\n\r\n") {
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
    let mut said = vec![];
    let _ = stream.read_to_end(&mut said);
    said
}

#[test]
fn the_first_bytes_say_which_protocol_it_is_however_they_arrive() {
    let server = Server::plain();
    let get = b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(first_answer(&server, get).starts_with(b"HTTP/1.1 200"));
    let post = b"PRI /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(first_answer(&server, post).starts_with(b"HTTP/1.1 405"), "a method that begins like the preface");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let said = first_answer(&server, preface);
    assert_eq!((said[3], said[4]), (4, 0), "the server's settings: {said:?}");
    let said = first_answer(&server, b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 4"), "no HTTP/2: {said:?}");
    assert!(first_answer(&server, b"").is_empty() && first_answer(&server, b"PRI").is_empty());
}

#[test]
fn a_flood_ends_the_connection_and_nothing_else() {
    let server = Server::plain();
    let address = server.base.trim_start_matches("http://").to_owned();
    // Requests that are taken back in the same breath (the "rapid reset" of 2023), more than any client has reason for.
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in (1..20_001u32).step_by(2) {
        // GET / of http, from the static table of header names.
        flood.extend(b"\0\0\x03\x01\x05");
        flood.extend(stream.to_be_bytes());
        flood.extend([0x82, 0x84, 0x86]);
        flood.extend(b"\0\0\x04\x03\0");
        flood.extend(stream.to_be_bytes());
        flood.extend(8u32.to_be_bytes());
    }
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // It may close while we write.
    let _ = stream.write_all(&flood);
    let mut said = vec![];
    let _ = stream.read_to_end(&mut said);
    // GOAWAY (type 7) is the last frame that is said, if the connection was not reset before it was read.
    let mut frames = &said[..];
    let mut last = None;
    while let Some((head, rest)) = frames.split_at_checked(9) {
        last = Some(head[3]);
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        frames = rest.get(length..).unwrap_or(&[]);
    }
    assert!(matches!(last, None | Some(7)), "the connection was not ended: {last:?}");
    assert_eq!(server.get("/ready").status, 200);
}
