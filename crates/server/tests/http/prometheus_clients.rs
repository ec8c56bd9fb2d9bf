//! What clients of Prometheus ask beside queries: what is scraped, Grafana's first requests, promtool's pushes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::scrape::{Context, Group, Job, Pool, start};
use agent::{Batch, Deliver, Loss};
use base::Clock;
use serde_json::json;
use server::{Backend, Node, Settings};
use wire::Encoding;
use wire::remote_write::RequestWriter;

use crate::harness::{NOW_NS, Server, store};

/// Takes whatever is scraped.
struct Taken;

impl Deliver for Taken {
    fn deliver(&self, _: Batch<'_>) -> base::Result<()> {
        Ok(())
    }
    fn positions(&self, _: &str) -> Vec<(String, Vec<u8>)> {
        vec![]
    }
    fn lost(&self, _: &Loss) {}
}

#[test]
fn what_is_scraped_is_shown() {
    let node = Node::new(Clock::manual(NOW_NS), "opening");
    node.open(store(Default::default()));
    let server = Server::start(node.clone(), Settings::default());
    let nothing = json!({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}});
    assert_eq!(server.get("/api/v1/targets").ok().json()["data"], nothing);
    // It scrapes itself, and a port where nobody listens.
    let address = server.base.strip_prefix("http://").unwrap().to_owned();
    let group = |targets: &[&str]| Group {
        targets: targets.iter().map(|t| (*t).to_owned()).collect(),
        labels: [("zone".into(), "a".into())].into(),
    };
    let rules = json!([{"source_labels": ["__address__"], "regex": "dropped:.*", "action": "drop"}]);
    let job = |name: &str, targets: Vec<Group>| Job {
        job: name.into(),
        targets,
        interval: Duration::from_millis(200),
        timeout: Duration::from_millis(200),
        relabel: serde_json::from_value(rules.clone()).unwrap(),
        ..Job::default()
    };
    let pool = Pool::default();
    for job in [job("own", vec![group(&[&address, "dropped:1"])]), job("away", vec![group(&["127.0.0.1:1"])])] {
        let context = Context { deliver: Arc::new(Taken), clock: Clock::System, stats: Arc::default(), watch: node.scraped() };
        start(job, context, &pool).unwrap();
    }
    let until = Instant::now() + Duration::from_secs(60);
    let seen = loop {
        let seen = server.get("/api/v1/targets").ok().json()["data"].clone();
        if seen["activeTargets"][1]["health"] == "up" && seen["activeTargets"][0]["health"] == "down" {
            break seen;
        }
        assert!(Instant::now() < until, "{seen}");
        std::thread::sleep(Duration::from_millis(20));
    };
    pool.stop();
    let own = &seen["activeTargets"][1];
    assert_eq!(own["labels"], json!({"instance": address, "job": "own", "zone": "a"}));
    let found = json!({
        "__address__": address, "__metrics_path__": "/metrics", "__scheme__": "http", "__scrape_interval__": "200ms",
        "__scrape_timeout__": "200ms", "job": "own", "zone": "a",
    });
    assert_eq!(own["discoveredLabels"], found);
    assert_eq!((own["scrapePool"].clone(), own["scrapeUrl"].clone()), (json!("own"), json!(format!("{}/metrics", server.base))));
    assert_eq!((own["lastError"].clone(), own["scrapeInterval"].clone()), (json!(""), json!("200ms")));
    assert!(own["lastScrapeDuration"].as_f64().unwrap() > 0.0 && own["lastScrape"].as_str().unwrap() > "2024");
    assert!(!seen["activeTargets"][0]["lastError"].as_str().unwrap().is_empty());
    assert_eq!(seen["droppedTargets"][0]["discoveredLabels"]["__address__"], "dropped:1");
    assert_eq!(seen["droppedTargetCounts"], json!({"away": 0, "own": 1}));
    let count = |query: &str, list: &str| {
        server.get(&format!("/prometheus/api/v1/targets?{query}")).ok().json()["data"][list].as_array().unwrap().len()
    };
    assert_eq!((count("state=active", "activeTargets"), count("state=active", "droppedTargets")), (2, 0));
    assert_eq!((count("state=dropped", "activeTargets"), count("state=dropped", "droppedTargets")), (0, 1));
    assert_eq!((count("scrapePool=own", "activeTargets"), count("scrapePool=away", "droppedTargets")), (1, 0));
    assert_eq!(server.get("/api/v1/scrape_pools").ok().json()["data"], json!({"scrapePools": ["away", "own"]}));
    let said = server.get("/api/v1/targets/metadata?match_target=%7Bjob%3D%22own%22%7D&metric=watchfire_http_requests_total").ok().json();
    assert_eq!((&said["data"][0]["type"], &said["data"][0]["target"]["zone"]), (&json!("counter"), &json!("a")), "{said}");
    let said = |query: &str| server.get(&format!("/api/v1/targets/metadata?{query}")).ok().json()["data"].as_array().unwrap().len();
    assert_eq!((said("match_target=%7Bjob%3D%22none%22%7D"), said("limit=1")), (0, 1));
    assert!(said("limit=-1") > 1, "no limit");
}

#[test]
fn grafana_saves_and_tests() {
    let server = Server::plain();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = server.post("/api/v1/query", &form, b"query=1%2B1&time=4").ok().json();
    assert_eq!(answer["data"], json!({"resultType": "scalar", "result": [4, "2"]}));
    assert_eq!(server.get("/api/v1/query?query=1%2B1&time=4").ok().json()["data"], answer["data"]);
    let build = server.get("/api/v1/status/buildinfo").ok().json();
    assert!(build["status"] == "success" && build["data"]["features"].is_null(), "{build}");
    assert_eq!(server.get("/api/v1/rules").ok().json()["status"], "success");
    assert_eq!(server.get("/api/v1/query_exemplars?query=test&start=1700000000&end=1700003600").ok().json()["status"], "success");
    // Explore: names, then labels and values of one metric, then a range, each as the query editor sends it.
    let now = NOW_NS / 1_000_000_000;
    crate::prometheus::write(&server, &[], &[("__name__", "up"), ("job", "a")], &[(-1000, 1.0)]).ok();
    let names = server.get(&format!("/api/v1/label/__name__/values?start={}&end={now}&limit=40000", now - 3600)).ok().json();
    assert_eq!(names["data"], json!(["up"]));
    let selector = format!("start={}&end={now}&match%5B%5D=%7B__name__%3D%22up%22%7D&limit=40000", now - 3600);
    let labels = server.post("/api/v1/labels", &form, selector.as_bytes()).ok().json();
    assert_eq!(labels["data"], json!(["__name__", "job"]));
    assert_eq!(server.get(&format!("/api/v1/label/job/values?{selector}")).ok().json()["data"], json!(["a"]));
    assert_eq!(server.post("/api/v1/series", &form, selector.as_bytes()).ok().json()["data"][0]["job"], "a");
    assert_eq!(server.get("/api/v1/metadata?limit=10").ok().json()["status"], "success");
    let range = format!("query=sum(up)&start={}&end={now}&step=15", now - 60);
    let range = server.post("/api/v1/query_range", &form, range.as_bytes()).ok().json();
    assert_eq!(range["data"]["result"][0]["values"], json!([[now, "1"]]));
}

/// `promtool push metrics` reads text and sends one request of version 1: metadata, and series with the label `job="promtool"`.
#[test]
fn promtool_pushes() {
    let server = Server::plain();
    let mut request = RequestWriter::default();
    let labels = [("__name__", "batch_size"), ("job", "promtool"), ("zone", "b")];
    request.series(labels, &[(NOW_NS / 1_000_000, 5.0)], &[]);
    request.metadata(2, "batch_size", "How much.", "");
    let body = wire::encoding::encode(Encoding::SnappyBlock, &request.finish()).unwrap();
    let headers = [
        ("user-agent", "promtool/3.5.0"),
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ];
    let answer = server.post("/api/v1/write", &headers, &body);
    assert_eq!((answer.status, answer.bytes.len()), (204, 0), "promtool takes any status of the two hundreds");
    let found = server.get(&format!("/api/v1/query?query=batch_size&time={}", NOW_NS / 1_000_000_000)).ok().json();
    assert_eq!(found["data"]["result"][0]["value"][1], "5");
    assert_eq!(server.get("/api/v1/metadata?metric=batch_size").ok().json()["data"]["batch_size"][0]["type"], "gauge");
}

#[test]
fn deleted_series_are_in_no_answer() {
    let server = Server::plain();
    let now = NOW_NS / 1_000_000_000;
    for job in ["a", "b"] {
        crate::prometheus::write(&server, &[], &[("__name__", "up"), ("job", job)], &[(-60_000, 1.0), (-1000, 2.0)]).ok();
    }
    let sum = |of: &str| {
        let query = format!("/api/v1/query?query=sum(sum_over_time(up{of}%5B5m%5D))&time={now}");
        server.get(&query).ok().json()["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    };
    assert_eq!(sum("").as_deref(), Some("6"));
    let delete = |rest: &str| server.post(&format!("/api/v1/admin/tsdb/delete_series?{rest}"), &[], b"").status;
    assert_eq!((delete(""), delete("match%5B%5D=%7B"), delete(&format!("match%5B%5D=up&start={now}&end=1"))), (400, 400, 400));
    assert_eq!(sum("").as_deref(), Some("6"), "what is refused deletes nothing");
    // A part of one series, then the other one as a whole; the same again is one request.
    let part = format!("match%5B%5D=up%7Bjob%3D%22a%22%7D&end={}", now - 30);
    assert_eq!((delete(&part), sum("").as_deref()), (204, Some("5")));
    assert_eq!(delete("match%5B%5D=up%7Bjob%3D%22b%22%7D"), 204);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let put = server.send("PUT", "/api/v1/admin/tsdb/delete_series", &form, b"match[]=up{job%3D%22b%22}");
    assert_eq!(put.status, 204, "{}", put.text());
    assert_eq!((sum("").as_deref(), sum("%7Bjob%3D%22b%22%7D")), (Some("2"), None));
    let names = format!("start={}&end={now}", now - 60);
    assert_eq!(server.get(&format!("/api/v1/label/job/values?{names}")).ok().json()["data"], json!(["a"]));
    assert_eq!(server.get(&format!("/api/v1/series?match%5B%5D=up&{names}")).ok().json()["data"].as_array().unwrap().len(), 1);
    assert!(!server.get(&format!("/federate?match%5B%5D=up&time={now}")).ok().text().contains("job=\"b\""));
    // What is written afterwards is there, and other tenants have lost nothing.
    crate::prometheus::write(&server, &[], &[("__name__", "up"), ("job", "b")], &[(1000, 7.0)]).ok();
    let later = server.get(&format!("/api/v1/query?query=up%7Bjob%3D%22b%22%7D&time={}", now + 1)).ok().json();
    assert_eq!(later["data"]["result"][0]["value"][1], "7");
}

#[test]
fn snapshots_have_names_and_tombstones_are_cleaned() {
    let server = Server::plain();
    crate::prometheus::write(&server, &[], &[("__name__", "up")], &[(-1000, 2.0)]).ok();
    let snapshot = |rest: &str| server.post(&format!("/api/v1/admin/tsdb/snapshot{rest}"), &[], b"");
    let made = snapshot("").ok().json();
    let name = made["data"]["name"].as_str().unwrap();
    // The time of the test's clock, to the second.
    let second: String = base::units::format_rfc3339(NOW_NS).chars().filter(char::is_ascii_alphanumeric).collect();
    assert!(name.starts_with(&format!("{second}-")) && name.len() == second.len() + 17, "{name}");
    // The clock stands still, so there is one of that name.
    assert_eq!((snapshot("?skip_head=true").status, snapshot("?skip_head=maybe").status), (400, 400));
    assert_eq!(server.get("/api/v1/admin/tsdb/snapshot").status, 405);
    assert_eq!(server.send("PUT", "/api/v1/admin/tsdb/clean_tombstones", &[], b"").status, 204);
}
