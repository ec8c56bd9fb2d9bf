//! OTLP over HTTP.

use serde_json::json;
use wire::Encoding;

use crate::harness::{NOW_NS, Server};

fn log_record(time_ns: i64, body: &str) -> serde_json::Value {
    json!({"timeUnixNano": time_ns.to_string(), "body": {"stringValue": body}})
}

fn logs(records: &[serde_json::Value]) -> Vec<u8> {
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]});
    json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}).to_string().into_bytes()
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn logs_are_taken_and_found_by_lokis_api() {
    let server = Server::plain();
    let answer = server.post("/v1/logs", &[JSON], &logs(&[log_record(NOW_NS - 1, "hello")]));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.json()["partialSuccess"]["rejectedLogRecords"], json!(null));
    let gzipped = wire::encoding::encode(Encoding::Gzip, &logs(&[log_record(NOW_NS - 2, "gzipped")])).unwrap();
    let answer = server.post("/otlp/v1/logs", &[JSON, ("content-encoding", "gzip")], &gzipped);
    assert_eq!((answer.status, answer.bytes.len()), (204, 0));
    let found = server.get("/loki/api/v1/query_range?query=%7Bservice_name%3D%22shop%22%7D").ok().json();
    let values = found["data"]["result"][0]["values"].as_array().unwrap().clone();
    assert_eq!(values.iter().map(|v| v[1].as_str().unwrap()).collect::<Vec<_>>(), ["hello", "gzipped"]);
}

#[test]
fn entries_that_can_never_be_taken_are_a_partial_success() {
    let server = Server::plain();
    let body = logs(&[log_record(NOW_NS, "good"), log_record(NOW_NS + 3_600_000_000_000, "from the future")]);
    for path in ["/v1/logs", "/otlp/v1/logs"] {
        let answer = server.post(path, &[JSON], &body);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["partialSuccess"]["rejectedLogRecords"], "1");
        assert!(!answer.json()["partialSuccess"]["errorMessage"].as_str().unwrap().is_empty());
    }
}

#[test]
fn errors_are_a_status_in_the_form_of_the_request() {
    let server = Server::plain();
    let answer = server.post("/v1/logs", &[JSON], b"{");
    assert_eq!((answer.status, answer.json()["code"].as_u64()), (400, Some(3)));
    let answer = server.post("/v1/traces", &[("content-type", "application/x-protobuf")], b"\x0a\xff");
    assert_eq!((answer.status, answer.header("content-type")), (400, Some("application/x-protobuf")));
    assert_eq!(&answer.bytes[..2], [8, 3]);
    assert_eq!(server.post("/v1/traces", &[("content-type", "text/plain")], b"x").status, 415);
    assert_eq!(server.post("/v1/traces", &[JSON, ("content-encoding", "br")], b"x").status, 415);
}

#[test]
fn metrics_are_taken_where_each_system_has_them() {
    let server = Server::plain();
    for (i, path) in ["/v1/metrics", "/api/v1/otlp/v1/metrics", "/otlp/v1/metrics"].into_iter().enumerate() {
        let point = |value: f64, time_ns: i64| json!({"timeUnixNano": time_ns.to_string(), "asDouble": value});
        let points = json!([point(1.5, NOW_NS), point(2.5, NOW_NS + 3_600_000_000_000)]);
        let metric = json!({"name": format!("a.{i}"), "unit": "By", "gauge": {"dataPoints": points}});
        let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).to_string();
        let answer = server.post(path, &[JSON], body.as_bytes()).ok();
        assert_eq!(answer.json()["partialSuccess"]["rejectedDataPoints"], "1", "{path}");
        let found = server.get(&format!("/api/v1/query?query=a_{i}_bytes&time={}", NOW_NS / 1_000_000_000)).ok().json();
        assert_eq!(found["data"]["result"][0]["value"][1], "1.5", "{path}");
    }
    let answer = server.post("/api/v1/otlp/v1/metrics", &[JSON], b"{");
    assert_eq!((answer.status, answer.json()["code"].as_u64()), (400, Some(3)));
}
