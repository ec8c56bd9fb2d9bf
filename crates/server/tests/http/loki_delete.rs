//! Delete requests: what they name is in no answer any more.

use serde_json::json;
use server::Settings;

use crate::harness::{NOW_NS, Scripted, Server};
use crate::loki::push_json;

const SECOND: i64 = 1_000_000_000;

fn lines(server: &Server, query: &str) -> Vec<String> {
    let path =
        format!("/loki/api/v1/query_range?direction=forward&limit=100&query={query}&start={}&end={}", NOW_NS - 60 * SECOND, NOW_NS + 1);
    let got = server.get(&path).ok().json();
    let streams = got["data"]["result"].as_array().unwrap().clone();
    let mut lines: Vec<String> =
        streams.iter().flat_map(|s| s["values"].as_array().unwrap().clone()).map(|v| v[1].as_str().unwrap().to_owned()).collect();
    lines.sort();
    lines
}

#[test]
fn what_is_deleted_is_in_no_answer_until_the_request_is_cancelled() {
    let server = Server::plain();
    push_json(&server, &[], r#"{"app":"a"}"#, &[(-30 * SECOND, "old"), (-20 * SECOND, "keep"), (-10 * SECOND, "card 4111")]).ok();
    push_json(&server, &[], r#"{"app":"b"}"#, &[(-10 * SECOND, "card 4111 of b")]).ok();
    let all = "%7Bapp%3D~%22.%2B%22%7D";
    assert_eq!(lines(&server, all).len(), 4);

    // A selector and a time; a selector and a filter.
    let delete = |query: &str, start: i64, end: i64| {
        server.post(&format!("/loki/api/v1/delete?query={query}&start={}&end={}", NOW_NS + start, NOW_NS + end), &[], b"")
    };
    assert_eq!(delete("%7Bapp%3D%22a%22%7D", -40 * SECOND, -30 * SECOND).status, 204);
    assert_eq!(delete("%7Bapp%3D%22a%22%7D%7C%3D%224111%22", -60 * SECOND, 0).status, 204);
    assert_eq!(lines(&server, all), ["card 4111 of b", "keep"]);
    let count = server.get(&format!("/loki/api/v1/query?query=sum(count_over_time({all}%5B1m%5D))&time={NOW_NS}")).ok().json();
    assert_eq!(count["data"]["result"][0]["value"][1], "2");
    let stats = server.get(&format!("/loki/api/v1/index/stats?query={all}")).ok().json();
    assert_eq!(stats["entries"], 2);
    // Of another tenant nothing is deleted.
    push_json(&server, &[("x-scope-orgid", "other")], r#"{"app":"a"}"#, &[(-30 * SECOND, "theirs")]).ok();
    let theirs = server.send("GET", &format!("/loki/api/v1/query_range?query={all}"), &[("x-scope-orgid", "other")], b"").ok();
    assert!(theirs.text().contains("theirs"));

    let list = server.get("/loki/api/v1/delete").ok().json();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["query"], &list[0]["status"]), (2, &json!(r#"{app="a"}"#), &json!("received")));
    assert_eq!(list[0]["start_time"], json!((NOW_NS - 40 * SECOND) as f64 / 1e9));
    let id = list[0]["request_id"].as_str().unwrap();
    assert_eq!(server.send("DELETE", &format!("/loki/api/v1/delete?request_id={id}"), &[], b"").status, 204);
    assert_eq!(lines(&server, all), ["card 4111 of b", "keep", "old"]);
    assert_eq!(server.send("DELETE", &format!("/loki/api/v1/delete?request_id={id}"), &[], b"").status, 404);
}

#[test]
fn requests_that_say_too_little_or_too_much_are_refused() {
    let server = Server::plain();
    for bad in [
        "query=%7Bapp%3D%22a%22%7D",
        "start=1",
        "query=%7B%7D&start=1",
        "query=rate(%7Bapp%3D%22a%22%7D%5B1m%5D)&start=1",
        "query=%7Bapp%3D%22a%22%7D%7Cjson&start=1",
        "query=%7Bapp%3D%22a%22%7D&start=20&end=10",
    ] {
        let answer = server.post(&format!("/loki/api/v1/delete?{bad}"), &[], b"");
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text());
    }
    // A store that keeps no documents takes no request, rather than forgetting it.
    let server = Server::start(Scripted::new(|| Ok(table::Ingested::default())), Settings::default());
    assert_eq!(server.post("/loki/api/v1/delete?query=%7Bapp%3D%22a%22%7D&start=1", &[], b"").status, 404);
}
