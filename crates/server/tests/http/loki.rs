//! Loki's API: what is pushed is found.

use std::collections::BTreeMap;

use cluster::{Limits, Rate};
use serde_json::{Value, json};
use server::Settings;
use wire::Encoding;

use crate::harness::{Answer, NOW_NS, Server};

/// Pushes lines of one stream; times are nanoseconds after "now".
pub fn push_json(server: &Server, headers: &[(&str, &str)], stream: &str, lines: &[(i64, &str)]) -> Answer {
    let stream: Value = serde_json::from_str(stream).unwrap();
    let values: Vec<Value> = lines.iter().map(|(t, l)| json!([(NOW_NS + t).to_string(), l])).collect();
    let body = json!({"streams": [{"stream": stream, "values": values}]}).to_string();
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    server.post("/loki/api/v1/push", &all, body.as_bytes())
}

fn lines(server: &Server, headers: &[(&str, &str)], query: &str) -> Vec<String> {
    let answer = server
        .send("GET", &format!("/loki/api/v1/query_range?direction=forward&query={query}&end={}", NOW_NS + 1_000_000), headers, b"")
        .ok();
    let result = answer.json();
    let streams = result["data"]["result"].as_array().unwrap().clone();
    streams.iter().flat_map(|s| s["values"].as_array().unwrap().clone()).map(|v| v[1].as_str().unwrap().to_owned()).collect()
}

#[test]
fn lines_come_back_whichever_way_they_were_sent() {
    let server = Server::plain();
    push_json(&server, &[], r#"{"app":"json"}"#, &[(0, "plain")]).ok();
    for (name, encoding) in [("gzip", Encoding::Gzip), ("deflate", Encoding::Deflate), ("snappy", Encoding::SnappyFramed)] {
        let body = json!({"streams": [{"stream": {"app": "json"}, "values": [[(NOW_NS + 5).to_string(), name]]}]}).to_string();
        let body = wire::encoding::encode(encoding, body.as_bytes()).unwrap();
        let answer =
            server.post("/loki/api/v1/push", &[("content-type", "application/json; charset=utf-8"), ("content-encoding", name)], &body);
        assert_eq!(answer.status, 204, "{name}: {}", answer.text());
    }
    let mut found = lines(&server, &[], "%7Bapp%3D%22json%22%7D");
    found.sort();
    assert_eq!(found, ["deflate", "gzip", "plain", "snappy"]);
}

#[test]
fn tenants_see_their_own_lines_alone() {
    let server = Server::plain();
    let (a, b) = ([("x-scope-orgid", "a")], [("x-scope-orgid", "b")]);
    push_json(&server, &a, r#"{"app":"x"}"#, &[(0, "of a")]).ok();
    push_json(&server, &b, r#"{"app":"x"}"#, &[(0, "of b")]).ok();
    let query = "%7Bapp%3D%22x%22%7D";
    assert_eq!(lines(&server, &a, query), ["of a"]);
    assert_eq!(lines(&server, &b, query), ["of b"]);
    assert!(lines(&server, &[], query).is_empty());
}

#[test]
fn several_tenants_are_asked_at_once() {
    let server = Server::plain();
    for (tenant, line) in [("a", "of a"), ("b", "of b"), ("c", "of c")] {
        push_json(&server, &[("x-scope-orgid", tenant)], r#"{"app":"x"}"#, &[(0, line)]).ok();
    }
    let both = [("x-scope-orgid", "b|a|b")];
    let get = |path: &str| server.send("GET", &format!("/loki/api/v1/{path}"), &both, b"");
    let mut found = lines(&server, &both, "%7Bapp%3D%22x%22%7D");
    found.sort();
    assert_eq!(found, ["of a", "of b"]);
    assert_eq!(lines(&server, &both, "%7Bapp%3D%22x%22,__tenant_id__%3D%22b%22%7D"), ["of b"]);
    assert!(lines(&server, &both, "%7B__tenant_id__%3D%22c%22%7D").is_empty(), "who is not named is not asked");
    assert_eq!(get("labels").ok().json()["data"], json!(["__tenant_id__", "app", "service_name"]));
    assert_eq!(get("label/__tenant_id__/values").ok().json()["data"], json!(["a", "b"]));
    let series = get("series?match[]=%7Bapp%3D%22x%22%7D").ok().json();
    let of: Vec<&str> = series["data"].as_array().unwrap().iter().map(|s| s["__tenant_id__"].as_str().unwrap()).collect();
    assert_eq!(of, ["a", "b"]);
    // What is deleted of one is not there, and of the other is.
    let from = (NOW_NS - 60_000_000_000) / 1_000_000_000;
    let delete = format!("/loki/api/v1/delete?query=%7Bapp%3D%22x%22%7D%7C%3D%22of%22&start={from}&end={}", from + 120);
    server.send("POST", &delete, &[("x-scope-orgid", "a")], b"").ok();
    assert_eq!(lines(&server, &both, "%7Bapp%3D%22x%22%7D"), ["of b"]);
    // Nothing is written for two, nothing deleted, and nothing followed.
    assert_eq!(push_json(&server, &both, r#"{"app":"x"}"#, &[(0, "y")]).status, 400);
    for path in ["/loki/api/v1/tail?query=%7Bapp%3D%22x%22%7D", &delete] {
        assert_eq!(server.send("GET", path, &both, b"").status, 400, "{path}");
    }
    let many = (0..65).map(|i| format!("t{i}")).collect::<Vec<_>>().join("|");
    assert_eq!(server.send("GET", "/loki/api/v1/labels", &[("x-scope-orgid", &many)], b"").status, 400);
}

#[test]
fn an_answer_numbers_the_entries_that_are_refused_and_the_others_are_there() {
    let server = Server::plain();
    let late = 7_200_000_000_000;
    let answer = push_json(&server, &[], r#"{"app":"x"}"#, &[(0, "a"), (late, "b"), (1, "c"), (late, "d"), (late, "e")]);
    assert_eq!((answer.status, answer.header("x-watchfire-refused")), (400, Some("1,3-4")), "{}", answer.text());
    assert_eq!(lines(&server, &[], "%7Bapp%3D%22x%22%7D"), ["a", "c"]);
    let answer = push_json(&server, &[], r#"{"app":"x"}"#, &[(2, "f")]);
    assert_eq!((answer.status, answer.header("x-watchfire-refused")), (204, None));
}

#[test]
fn labels_values_and_series_are_listed() {
    let server = Server::plain();
    push_json(&server, &[], r#"{"app":"x","env":"dev"}"#, &[(0, "l")]).ok();
    push_json(&server, &[], r#"{"app":"y"}"#, &[(0, "l")]).ok();
    let names = server.get("/loki/api/v1/labels").ok().json();
    assert_eq!(names["status"], "success");
    for n in ["app", "env"] {
        assert!(names["data"].as_array().unwrap().contains(&json!(n)), "{names}");
    }
    assert_eq!(server.get("/loki/api/v1/label/app/values").ok().json()["data"], json!(["x", "y"]));
    let series = server
        .post("/loki/api/v1/series", &[("content-type", "application/x-www-form-urlencoded")], b"match%5B%5D=%7Benv%3D%22dev%22%7D")
        .ok()
        .json();
    assert_eq!((series["data"].as_array().unwrap().len(), &series["data"][0]["app"]), (1, &json!("x")));
}

#[test]
fn the_datasource_test_of_grafana_passes() {
    let server = Server::plain();
    let path = "/loki/api/v1/query?direction=backward&query=vector(1)%2Bvector(1)&time=4000000000";
    let answer = server.send("GET", path, &[("x-loki-response-encoding-flags", "categorize-labels")], b"").ok().json();
    assert_eq!(answer["data"]["resultType"], "vector");
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 1);
    assert_eq!((&answer["data"]["result"][0]["metric"], &answer["data"]["result"][0]["value"][1]), (&json!({}), &json!("2")));
}

#[test]
fn lines_are_pairs_unless_triples_are_asked_for() {
    let server = Server::plain();
    push_json(&server, &[], r#"{"app":"x"}"#, &[(-1, "l")]).ok();
    let path = "/loki/api/v1/query_range?query=%7Bapp%3D%22x%22%7D";
    let pairs = server.get(path).ok().json();
    assert_eq!(pairs["data"]["result"][0]["values"][0].as_array().unwrap().len(), 2);
    let triples = server.send("GET", path, &[("x-loki-response-encoding-flags", "categorize-labels")], b"").ok().json();
    assert_eq!(triples["data"]["result"][0]["values"][0].as_array().unwrap().len(), 3);
    assert_eq!(triples["data"]["encodingFlags"], json!(["categorize-labels"]));
}

#[test]
fn what_cannot_be_asked_is_refused_as_plain_text() {
    let server = Server::plain();
    for bad in [
        "query_range",
        "query_range?query=%7B",
        "query_range?query=%7Ba%3D%22b%22%7D&start=x",
        "query_range?query=%7Ba%3D%22b%22%7D&direction=sideways",
        "query_range?query=%7Ba%3D%22b%22%7D&limit=-1",
        "query_range?query=rate(%7Ba%3D%22b%22%7D%5B1m%5D)&step=0",
        "query_range?query=%7Ba%3D%22b%22%7D&start=20&end=10",
    ] {
        let answer = server.get(&format!("/loki/api/v1/{bad}"));
        assert_eq!((answer.status, answer.header("content-type")), (400, Some("text/plain; charset=utf-8")), "{bad}: {}", answer.text());
    }
}

#[test]
fn a_push_that_is_no_push_is_refused() {
    let server = Server::plain();
    assert_eq!(server.post("/loki/api/v1/push", &[("content-type", "application/json")], b"{").status, 400);
    assert_eq!(server.post("/loki/api/v1/push", &[], b"not snappy").status, 400);
    assert_eq!(server.post("/loki/api/v1/push", &[("content-type", "text/html")], b"x").status, 415);
    let json = [("content-type", "application/json"), ("content-encoding", "br")];
    assert_eq!(server.post("/loki/api/v1/push", &json, b"x").status, 415);
}

#[test]
fn beyond_the_rate_a_push_is_asked_to_come_again_as_a_whole() {
    let rate = Rate { bytes_per_second: 100, burst_bytes: 100 };
    let limits = BTreeMap::from([("logs".to_owned(), Limits { tenant: Some(rate), stream: None })]);
    let server = Server::over_engine(Settings::default(), limits);
    let long = "x".repeat(80);
    push_json(&server, &[], r#"{"app":"x"}"#, &[(0, &long)]).ok();
    let answer = push_json(&server, &[], r#"{"app":"x"}"#, &[(1, &long)]);
    assert_eq!(answer.status, 429);
    assert!(answer.text().starts_with("ingestion rate limit exceeded for user default (limit: 100 bytes/sec)"), "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    assert_eq!(server.get("/api/v1/ledger").ok().json()["deferred"][0]["reason"], "rate_limited");
    // Another tenant has a rate of its own.
    push_json(&server, &[("x-scope-orgid", "b")], r#"{"app":"x"}"#, &[(1, &long)]).ok();
}
