//! Readiness, figures, flush, the ledger.

use server::Settings;

use crate::harness::{Scripted, Server};
use crate::loki::push_json;

#[test]
fn readiness_names_what_is_not_ready_and_pushes_wait_for_it() {
    let backend = Scripted::not_ready("replaying the log");
    let server = Server::start(backend.clone(), Settings::default());
    let answer = server.get("/ready");
    assert_eq!((answer.status, answer.text()), (503, "not ready: replaying the log\n"));
    let answer = server.post("/loki/api/v1/push", &[], b"x");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(backend.seen.lock().is_empty());
}

#[test]
fn figures_have_help_and_count_what_happened() {
    let server = Server::plain();
    assert_eq!(server.get("/ready").text(), "ready\n");
    push_json(&server, &[], "{\"app\":\"a\"}", &[(0, "one"), (1, "two")]).ok();
    server.get("/loki/api/v1/labels").ok();
    let answer = server.get("/metrics").ok();
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    for want in [
        "watchfire_http_requests_total{route=\"/loki/api/v1/push\",status=\"204\"} 1\n",
        "watchfire_http_requests_total{route=\"/loki/api/v1/labels\",status=\"200\"} 1\n",
        "watchfire_ingest_rows_total{route=\"/loki/api/v1/push\"} 2\n",
        "watchfire_rows_total{table=\"logs\"} 2\n",
        "watchfire_jobs_running{pool=\"pushes\"} 0\n",
    ] {
        assert!(text.contains(want), "{want} is not in\n{text}");
    }
    let names: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).map(|l| l.split(['{', ' ']).next().unwrap()).collect();
    for name in names {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s)).unwrap_or(name);
        let described = |n: &str| text.contains(&format!("# HELP {n} ")) && text.contains(&format!("# TYPE {n} "));
        assert!(described(name) || described(base), "{name} is not described");
    }
}

#[test]
fn flush_answers_when_rows_are_in_their_final_form() {
    let server = Server::plain();
    push_json(&server, &[], "{\"app\":\"a\"}", &[(-1, "one")]).ok();
    assert_eq!(server.post("/flush", &[], b"").status, 204);
    assert!(server.get("/metrics").text().contains("watchfire_blocks 1\n"));
    let found = server.get("/loki/api/v1/query_range?query=%7Bapp%3D%22a%22%7D").ok();
    assert_eq!(found.json()["data"]["result"][0]["values"][0][1], "one");
}

#[test]
fn the_ledger_names_what_was_refused_by_tenant() {
    let server = Server::plain();
    let hour = 3_600_000_000_000;
    let answer = push_json(&server, &[("x-scope-orgid", "team-a")], "{\"app\":\"a\"}", &[(0, "good"), (hour, "from the future")]);
    assert_eq!(answer.status, 400, "{}", answer.text());
    let ledger = server.get("/api/v1/ledger").ok().json();
    assert_eq!(ledger["lost"][0]["tenant"], "team-a");
    assert_eq!(ledger["lost"][0]["count"], 1);
    assert_eq!(ledger["deferred"], serde_json::json!([]));
    assert_eq!(server.get("/api/v1/ledger?tenant=other").ok().json()["lost"], serde_json::json!([]));
    assert_eq!(server.get("/api/v1/ledger?tenant=a/b").status, 400);
}
