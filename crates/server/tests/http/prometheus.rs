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

#[test]
fn what_was_written_is_asked_for() {
    let server = Server::plain();
    for (instance, per_step) in [("a", 1.0), ("b", 3.0)] {
        let samples: Vec<(i64, f64)> = (0..5).map(|i| (i * 15_000 - 60_000, i as f64 * 15.0 * per_step)).collect();
        write(&server, &[], &[("__name__", "requests_total"), ("instance", instance)], &samples).ok();
    }
    let now = NOW_NS / 1_000_000_000;
    let answer = server.get(&format!("/api/v1/query?query=sum(requests_total)&time={now}")).ok().json();
    assert_eq!(answer["data"]["resultType"], "vector");
    assert_eq!(answer["data"]["result"][0]["value"][1], "240");
    let answer = server.get(&format!("/api/v1/query?query=round(sum(rate(requests_total%5B1m%5D)))&time={now}")).ok().json();
    assert_eq!(answer["data"]["result"][0]["value"][1], "4");
    let form = format!("query=requests_total%7Binstance%3D%22a%22%7D&start={}&end={now}&step=30s", now - 60);
    let answer = server.post("/api/v1/query_range", &[("content-type", "application/x-www-form-urlencoded")], form.as_bytes()).ok().json();
    let values: Vec<&str> = answer["data"]["result"][0]["values"].as_array().unwrap().iter().map(|v| v[1].as_str().unwrap()).collect();
    assert_eq!(values, ["0", "30", "60"]);
    assert_eq!(server.get("/api/v1/labels").ok().json()["data"], serde_json::json!(["__name__", "instance"]));
    assert_eq!(server.get("/api/v1/label/instance/values").ok().json()["data"], serde_json::json!(["a", "b"]));
    let series = server.get("/api/v1/series?match%5B%5D=requests_total&limit=1").ok().json();
    assert_eq!((series["data"].as_array().unwrap().len(), series["warnings"].as_array().unwrap().len()), (1, 1));
}

#[test]
fn the_datasource_test_of_grafana_passes() {
    let answer =
        Server::plain().post("/api/v1/query", &[("content-type", "application/x-www-form-urlencoded")], b"query=1%2B1&time=4").ok().json();
    assert_eq!(answer["data"], serde_json::json!({"resultType": "scalar", "result": [4, "2"]}));
}

#[test]
fn what_cannot_be_asked_is_bad_data() {
    let server = Server::plain();
    for bad in [
        "query?query=sum(",
        "query",
        "query?query=1&time=x",
        "query_range?query=1&start=0&step=1",
        "query_range?query=1&start=1&end=2&step=0",
        "query_range?query=1&start=2&end=1&step=1",
        "query_range?query=1&start=0&end=11001&step=1",
        "query_range?query=1&start=0&end=2&step=1&limit=-1",
        "series",
        "labels?match%5B%5D=%7Bfoo%3D%22%22%7D",
        "label/foo/values?start=boop&end=1",
    ] {
        let answer = server.get(&format!("/api/v1/{bad}"));
        assert_eq!((answer.status, answer.json()["errorType"].as_str()), (400, Some("bad_data")), "{bad}: {}", answer.text());
    }
}
