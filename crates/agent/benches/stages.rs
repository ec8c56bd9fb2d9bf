//! Lines per second through stages, on one core, without what comes before and after.
//!
//! `cargo bench -p watchfire-agent`. Prints nanoseconds of processor time per line and lines per second of it (Linux);
//! compare runs on one machine only.

use std::sync::Arc;

use agent::stages::{Stages, Through};
use agent::{Batch, Deliver, Line, Lines, Loss, Stream};
use base::{Clock, Labels, Result};

/// Takes everything.
struct Sink;

impl Deliver for Sink {
    fn deliver(&self, _: Batch<'_>) -> Result<()> {
        Ok(())
    }
    fn positions(&self, _: &str) -> Vec<(String, Vec<u8>)> {
        vec![]
    }
    fn lost(&self, _: &Loss) {}
}

const LINES: usize = 2_000;
const ROUNDS: usize = 100;

const JSON: &str = r#"{"time":"2023-11-14T22:13:20.123456789Z","level":"info","msg":"request served","path":"/api/v1/items/4711","status":200,"took_ms":12.5,"trace":"0af7651916cd43dd8448eb211c80319c"}"#;
const NGINX: &str = r#"203.0.113.9 - - [14/Nov/2023:22:13:20 +0000] "GET /api/v1/items/4711?page=2 HTTP/1.1" 200 5124 "https://example.com/" "Mozilla/5.0 (X11; Linux x86_64)" 0.012"#;

const CASES: &[(&str, &str, &str)] = &[
    ("none", "[]", NGINX),
    ("static_labels", "[static_labels: {env: prod}]", NGINX),
    ("json, labels, output", "[{json: {expressions: {level: , msg: }}}, {labels: {level: }}, {output: {source: msg}}]", JSON),
    (
        "json, timestamp, metadata",
        "[{json: {expressions: {time: , trace: }}}, {timestamp: {source: time, format: RFC3339Nano}}, {structured_metadata: {trace: }}]",
        JSON,
    ),
    (
        "regex, labels",
        r#"[{regex: {expression: '^(?P<ip>\S+) \S+ \S+ \[[^\]]+\] "(?P<method>\S+) (?P<path>\S+) [^"]*" (?P<status>\d+)'}}, {labels: {method: , status: }}]"#,
        NGINX,
    ),
    (
        "pattern, labels",
        r#"[{pattern: {pattern: '<ip> - - <_> "<method> <path> <_>" <status> <_>'}}, {labels: {method: , status: }}]"#,
        NGINX,
    ),
    ("template, output", "[{template: {source: o, template: '{{ .a }} {{ .Entry | ToUpper }}'}}, {output: {source: o}}]", NGINX),
    ("multiline", "[multiline: {firstline: '^203'}]", NGINX),
    ("redact", "[redact: {}]", NGINX),
    ("drop", "[drop: {expression: 'GET /health'}]", NGINX),
];

/// Nanoseconds that this thread has been on a processor: other work on the machine does not count.
fn cpu_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells how long a thread ran");
    text.split(' ').next().and_then(|n| n.parse().ok()).expect("the first number is the time")
}

fn main() {
    println!("{:>28} {:>10} {:>12}", "stages", "ns/line", "lines/s");
    for (name, stages, line) in CASES {
        let pipeline = Stages::from_yaml(stages).and_then(|s| s.build()).expect("the stages of the bench are valid");
        let through = Through::new(pipeline, Arc::new(Sink), Clock::System, Arc::default());
        let labels = Labels::from_pairs([("a", "1"), ("job", "bench")]).expect("two names");
        let began = cpu_ns();
        for round in 0..ROUNDS {
            let at = |i: usize| (round * LINES + i) as i64;
            let lines = (0..LINES).map(|i| Line { time_ns: at(i), text: (*line).into(), metadata: vec![] }).collect();
            let stream = Stream { tenant: None, labels: labels.clone(), lines };
            let batch = Lines { streams: vec![stream], source: "bench".into(), position: round.to_string().into() };
            through.deliver(Batch::Lines(&batch)).expect("everything is taken");
        }
        let ns = (cpu_ns() - began) / (ROUNDS * LINES) as f64;
        println!("{name:>28} {ns:>10.0} {:>12.0}", 1e9 / ns);
    }
}
