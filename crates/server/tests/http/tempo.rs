//! Tempo's API: a trace that was sent is found by its id.

use serde_json::json;

use crate::harness::{NOW_NS, Server};

const ID: &str = "0af7651916cd43dd8448eb211c80319c";

fn send(server: &Server, headers: &[(&str, &str)]) {
    let span = json!({"traceId": ID, "spanId": "b7ad6b7169203331", "name": "checkout", "kind": 2,
        "startTimeUnixNano": (NOW_NS - 1_000_000).to_string(), "endTimeUnixNano": NOW_NS.to_string()});
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]});
    let body = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}).to_string();
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    assert_eq!(server.post("/v1/traces", &all, body.as_bytes()).ok().status, 200);
}

#[test]
fn a_trace_is_found_by_its_id_in_both_versions_and_forms() {
    let server = Server::plain();
    send(&server, &[]);
    let v1 = server.get(&format!("/api/traces/{ID}")).ok().json();
    assert_eq!(v1["batches"][0]["scopeSpans"][0]["spans"][0]["name"], "checkout");
    let v2 = server.get(&format!("/api/v2/traces/{ID}")).ok().json();
    assert_eq!(v2["trace"]["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"], "checkout");
    for path in ["/api/traces/", "/api/v2/traces/"] {
        let answer = server.send("GET", &format!("{path}{ID}"), &[("accept", "application/protobuf")], b"").ok();
        assert_eq!(answer.header("content-type"), Some("application/protobuf"));
        assert!(answer.bytes.windows(8).any(|w| w == b"checkout"));
    }
}

#[test]
fn a_trace_that_is_not_there_is_404_and_a_wrong_id_400() {
    let server = Server::plain();
    send(&server, &[("x-scope-orgid", "a")]);
    assert_eq!(server.get(&format!("/api/traces/{ID}")).status, 404, "it is another tenant's");
    let seconds = NOW_NS / 1_000_000_000;
    let asked = |query: String| server.send("GET", &format!("/api/v2/traces/{ID}?{query}"), &[("x-scope-orgid", "a")], b"").status;
    assert_eq!(asked(format!("start={}&end={}", seconds - 60, seconds + 60)), 200);
    assert_eq!(asked(format!("start={}&end={}", seconds - 60, seconds - 30)), 404);
    assert_eq!(asked("start=0&end=0".into()), 200);
    assert_eq!(server.get("/api/traces/nothex").status, 400);
    assert_eq!(server.get("/api/echo").text(), "echo");
}
