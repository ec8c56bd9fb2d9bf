//! Prometheus' API.

use wire::Encoding;
use wire::remote_write::RequestWriter;

use crate::harness::{Answer, NOW_NS, Server};

/// Writes samples of one series; times are milliseconds after "now".
pub fn write(server: &Server, headers: &[(&str, &str)], labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Answer {
    let samples: Vec<(i64, f64)> = samples.iter().map(|(t, v)| (NOW_NS / 1_000_000 + t, *v)).collect();
    let mut request = RequestWriter::default();
    request.series(labels.iter().copied(), &samples, &[]);
    let body = wire::encoding::encode(Encoding::SnappyBlock, &request.finish()).unwrap();
    let mut all = vec![("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    all.extend_from_slice(headers);
    server.post("/api/v1/write", &all, &body)
}

#[test]
fn a_write_says_how_much_was_written() {
    let server = Server::plain();
    let answer = write(&server, &[], &[("__name__", "up"), ("job", "x")], &[(0, 1.0), (15_000, 1.0)]);
    assert_eq!((answer.status, answer.header("x-prometheus-remote-write-samples-written")), (204, Some("2")));
    assert_eq!(answer.header("x-prometheus-remote-write-histograms-written"), Some("0"));
    assert_eq!(answer.header("x-prometheus-remote-write-exemplars-written"), Some("0"));
    let hour = 3_600_000;
    let answer = write(&server, &[], &[("__name__", "up"), ("job", "x")], &[(30_000, 1.0), (hour, 1.0)]);
    assert_eq!((answer.status, answer.header("x-prometheus-remote-write-samples-written")), (400, Some("1")));
}

#[test]
fn version_two_and_other_encodings_are_sent_back_to_version_one() {
    let server = Server::plain();
    let v2 = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
    assert_eq!(server.post("/api/v1/write", &[v2, ("content-encoding", "snappy")], b"x").status, 415);
    assert_eq!(server.post("/api/v1/write", &[("content-type", "application/json")], b"x").status, 415);
    assert_eq!(server.post("/api/v1/write", &[("content-type", "application/x-protobuf")], b"not snappy").status, 400);
}

#[test]
fn buildinfo_names_no_features() {
    let answer = Server::plain().get("/api/v1/status/buildinfo").ok().json();
    assert_eq!(answer["status"], "success");
    assert!(answer["data"]["version"].is_string() && answer["data"]["features"].is_null());
}
