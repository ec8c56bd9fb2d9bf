//! The requests that Grafana's Loki data source and Logs Drilldown send, as they send them, and answers in the shapes that they
//! decode.

use serde_json::{Value, json};
use server::Settings;

use crate::harness::{NOW_NS, Server};
use crate::loki::push_json;

/// What the plugin puts on its requests.
const HEADERS: [(&str, &str); 4] = [
    ("x-loki-response-encoding-flags", "categorize-labels"),
    ("x-query-tags", "Source=grafana-lokiexplore-app"),
    ("x-grafana-org-id", "1"),
    ("user-agent", "Grafana/12.0.0"),
];

const SECOND: i64 = 1_000_000_000;

fn server() -> Server {
    let server = Server::plain();
    for i in 0..20 {
        let line = format!(r#"{{"level":"{}","ms":{i},"msg":"request {i} done"}}"#, if i % 5 == 0 { "error" } else { "info" });
        push_json(&server, &[], r#"{"service_name":"shop","env":"prod"}"#, &[((i - 30) * SECOND, &line)]).ok();
    }
    push_json(&server, &[], r#"{"service_name":"cart","env":"dev"}"#, &[(-5 * SECOND, "level=warn took=5ms plain")]).ok();
    server
}

fn encode(text: &str) -> String {
    text.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Asks with GET and with a form, which must answer the same.
fn ask(server: &Server, path: &str, params: &[(&str, &str)]) -> Value {
    let form: Vec<String> = params.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
    let form = form.join("&");
    let got = server.send("GET", &format!("{path}?{form}"), &HEADERS, b"").ok().json();
    let mut headers = HEADERS.to_vec();
    headers.push(("content-type", "application/x-www-form-urlencoded"));
    let posted = server.post(path, &headers, form.as_bytes()).ok().json();
    assert_eq!(got, posted, "{path}: GET and POST");
    got
}

fn range() -> [(String, String); 2] {
    [("start".into(), (NOW_NS - 60 * SECOND).to_string()), ("end".into(), NOW_NS.to_string())]
}

fn ask_over_a_minute(server: &Server, path: &str, params: &[(&str, &str)]) -> Value {
    let range = range();
    let all: Vec<(&str, &str)> = params.iter().copied().chain(range.iter().map(|(n, v)| (n.as_str(), v.as_str()))).collect();
    ask(server, path, &all)
}

#[test]
fn save_and_test() {
    let got =
        ask(&Server::plain(), "/loki/api/v1/query", &[("direction", "backward"), ("query", "vector(1)+vector(1)"), ("time", "4000000000")]);
    assert_eq!(
        got,
        json!({"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[4_000_000_000i64,"2"]}],"stats":{}}})
    );
}

#[test]
fn explore_lines_come_in_triples() {
    let got = ask_over_a_minute(
        &server(),
        "/loki/api/v1/query_range",
        &[("direction", "backward"), ("limit", "1000"), ("query", r#"{service_name="shop"} | json | ms >= 19"#), ("step", "2000ms")],
    );
    assert_eq!((&got["data"]["resultType"], &got["data"]["encodingFlags"]), (&json!("streams"), &json!(["categorize-labels"])));
    let stream = &got["data"]["result"][0];
    assert_eq!(stream["stream"], json!({"env": "prod", "service_name": "shop"}));
    assert_eq!(stream["values"][0][0], json!((NOW_NS - 11 * SECOND).to_string()));
    assert_eq!(
        stream["values"][0][2],
        json!({"structuredMetadata": {"detected_level": "info"}, "parsed": {"level": "info", "ms": "19", "msg": "request 19 done"}})
    );
}

#[test]
fn explore_log_volume_is_by_level() {
    let got = ask_over_a_minute(
        &server(),
        "/loki/api/v1/query_range",
        &[
            ("query", r#"sum by (level, detected_level) (count_over_time({service_name="shop"} | drop __error__[10s]))"#),
            ("step", "10000ms"),
        ],
    );
    assert_eq!(got["data"]["resultType"], "matrix");
    let levels: Vec<&str> =
        got["data"]["result"].as_array().unwrap().iter().map(|s| s["metric"]["detected_level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["error", "info"]);
    let sum = |i: usize| -> f64 {
        got["data"]["result"][i]["values"].as_array().unwrap().iter().map(|v| v[1].as_str().unwrap().parse::<f64>().unwrap()).sum()
    };
    assert_eq!((sum(0), sum(1)), (4.0, 16.0));
}

#[test]
fn explore_context_goes_both_ways_from_a_line() {
    let server = server();
    let at = NOW_NS - 20 * SECOND;
    let lines = |direction: &str, start: i64, end: i64| -> Vec<String> {
        let got = ask(
            &server,
            "/loki/api/v1/query_range",
            &[
                ("query", r#"{service_name="shop", env="prod"}"#),
                ("direction", direction),
                ("limit", "2"),
                ("start", &start.to_string()),
                ("end", &end.to_string()),
            ],
        );
        let values = got["data"]["result"][0]["values"].as_array().unwrap().clone();
        values.iter().map(|v| v[0].as_str().unwrap().to_owned()).collect()
    };
    let ns = |s: i64| (NOW_NS - s * SECOND).to_string();
    assert_eq!(lines("backward", at - 7_200 * SECOND, at), [ns(21), ns(22)]);
    assert_eq!(lines("forward", at, at + 7_200 * SECOND), [ns(20), ns(19)]);
}

#[test]
fn query_builder_asks_for_labels_statistics_and_a_format() {
    let server = server();
    let labels = ask_over_a_minute(&server, "/loki/api/v1/labels", &[]);
    assert_eq!(labels, json!({"status": "success", "data": ["env", "service_name"]}));
    let values = ask_over_a_minute(&server, "/loki/api/v1/label/service_name/values", &[("query", r#"{env="prod"}"#)]);
    assert_eq!(values["data"], json!(["shop"]));
    let series = ask_over_a_minute(&server, "/loki/api/v1/series", &[("match[]", r#"{env="dev"}"#)]);
    assert_eq!(series["data"], json!([{"env": "dev", "service_name": "cart"}]));
    let stats = ask_over_a_minute(&server, "/loki/api/v1/index/stats", &[("query", r#"{env=~".+"}"#)]);
    assert_eq!((&stats["streams"], &stats["entries"]), (&json!(2), &json!(21)));
    assert_eq!(stats.as_object().unwrap().keys().collect::<Vec<_>>(), ["bytes", "chunks", "entries", "streams"]);
    let formatted = ask(&server, "/loki/api/v1/format_query", &[("query", r#"sum  by(a)(rate( {a="b"}|="x" [5m]))"#)]);
    assert_eq!(formatted, json!({"status": "success", "data": r#"sum by (a) (rate({a="b"} |= "x" [5m]))"#}));
    let build = server.get("/loki/api/v1/status/buildinfo").ok().json();
    assert!(build["version"].is_string());
}

#[test]
fn drilldown_finds_services_fields_patterns() {
    let server = server();
    let limits = server.get("/loki/api/v1/drilldown-limits").ok().json();
    assert_eq!((&limits["pattern_ingester_enabled"], &limits["limits"]["volume_enabled"]), (&json!(true), &json!(true)));

    let volume = ask_over_a_minute(
        &server,
        "/loki/api/v1/index/volume",
        &[("query", r#"{service_name=~".+"}"#), ("limit", "5000"), ("targetLabels", "service_name"), ("aggregateBy", "series")],
    );
    assert_eq!(volume["data"]["resultType"], "vector");
    let names: Vec<&Value> = volume["data"]["result"].as_array().unwrap().iter().map(|v| &v["metric"]["service_name"]).collect();
    assert_eq!(names, ["shop", "cart"], "the greatest first");
    assert_eq!(volume["data"]["result"][1]["value"], json!([NOW_NS / SECOND, "25"]));

    let detected = ask_over_a_minute(&server, "/loki/api/v1/detected_labels", &[("query", r#"{service_name="shop"}"#)]);
    assert_eq!(detected["detectedLabels"], json!([{"label": "env", "cardinality": 1}, {"label": "service_name", "cardinality": 1}]));

    let fields = ask_over_a_minute(
        &server,
        "/loki/api/v1/detected_fields",
        &[("query", r#"{service_name="shop"}"#), ("line_limit", "1000"), ("limit", "1000")],
    );
    assert_eq!(
        fields["fields"],
        json!([
            {"label": "detected_level", "type": "string", "cardinality": 2, "parsers": null},
            {"label": "level", "type": "string", "cardinality": 2, "parsers": ["json"], "jsonPath": ["level"]},
            {"label": "ms", "type": "int", "cardinality": 20, "parsers": ["json"], "jsonPath": ["ms"]},
            {"label": "msg", "type": "string", "cardinality": 20, "parsers": ["json"], "jsonPath": ["msg"]},
        ])
    );
    let values =
        ask_over_a_minute(&server, "/loki/api/v1/detected_field/level/values", &[("query", r#"{service_name="shop"}"#), ("limit", "1")]);
    assert_eq!(values, json!({"values": ["error"], "limit": 1}));
    let logfmt = ask_over_a_minute(&server, "/loki/api/v1/detected_field/took/values", &[("query", r#"{service_name="cart"}"#)]);
    assert_eq!(logfmt["values"], json!(["5ms"]));

    let patterns = ask_over_a_minute(&server, "/loki/api/v1/patterns", &[("query", r#"{service_name="shop"}"#), ("step", "60s")]);
    assert_eq!(patterns["status"], "success");
    let first = &patterns["data"][0];
    assert_eq!((&first["pattern"], &first["level"]), (&json!(r#"{"level":"info","ms":<_>,"msg":"request <_> done"}"#), &json!("info")));
    let total: u64 = first["samples"].as_array().unwrap().iter().map(|s| s[1].as_u64().unwrap()).sum();
    assert_eq!(total, 16);
}

#[test]
fn volumes_over_time_add_up() {
    let server = server();
    let whole = ask_over_a_minute(&server, "/loki/api/v1/index/volume", &[("query", r#"{env="prod"}"#)]);
    let steps = ask_over_a_minute(&server, "/loki/api/v1/index/volume_range", &[("query", r#"{env="prod"}"#), ("step", "7s")]);
    let number = |v: &Value| v.as_str().unwrap().parse::<f64>().unwrap();
    let sum: f64 = steps["data"]["result"][0]["values"].as_array().unwrap().iter().map(|v| number(&v[1])).sum();
    let total = number(&whole["data"]["result"][0]["value"][1]);
    assert!((sum - total).abs() <= 10.0, "{sum} is not {total}");
    assert_eq!(whole["data"]["result"][0]["metric"], json!({"env": "prod"}));
    let by_name = ask_over_a_minute(&server, "/loki/api/v1/index/volume", &[("query", "{}"), ("aggregateBy", "labels")]);
    assert_eq!(by_name["data"]["result"][0]["metric"], json!({"env": ""}));
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let server = Server::start(crate::harness::Scripted::over(table::MemoryRows::default()), Settings::default());
    for path in [
        "index/stats",
        "index/volume?query=%7B%7D&aggregateBy=x",
        "index/volume?query=rate(%7Ba%3D%22b%22%7D%5B1m%5D)",
        "patterns?query=%7B%7D&step=0",
        "index/volume_range?query=%7B%7D&step=0.000001",
        "detected_fields?query=%7B%7D&line_limit=100000",
        "format_query?query=%7B",
        "query_range?query=%7Ba%3D%22b%22%7D&start=1&end=1700000000&step=1",
        "tail?query=%7Ba%3D%22b%22%7D",
    ] {
        let answer = server.get(&format!("/loki/api/v1/{path}"));
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
    }
}
