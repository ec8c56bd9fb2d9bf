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

/// A request of version 2 with one series `up` and two samples, milliseconds after "now"; its help is symbol `help`, of which there are 8.
pub fn version2(times: [i64; 2], help: u64) -> Vec<u8> {
    let mut w = wire::proto::Writer::default();
    for s in ["", "__name__", "up", "job", "x", "trace_id", "abc", "Is it up?"] {
        w.bytes(4, s.as_bytes());
    }
    w.message(5, |w| {
        w.bytes(1, &[1, 2, 3, 4]);
        for t in times {
            w.message(2, |w| {
                w.double(1, 1.0);
                w.varint(2, (NOW_NS / 1_000_000 + t) as u64);
            });
        }
        w.message(4, |w| {
            w.bytes(1, &[5, 6]);
            w.double(2, 0.5);
            w.varint(3, (NOW_NS / 1_000_000) as u64);
        });
        w.message(5, |w| {
            w.varint(1, 2);
            w.varint(3, help);
        });
    });
    wire::encoding::encode(Encoding::SnappyBlock, &w.out).unwrap()
}

pub const V2: [(&str, &str); 2] =
    [("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"), ("content-encoding", "snappy")];

pub fn written(a: &Answer) -> [Option<&str>; 3] {
    ["samples", "histograms", "exemplars"].map(|k| a.header(&format!("x-prometheus-remote-write-{k}-written")))
}

#[test]
fn a_write_of_version_two_says_how_much_was_written() {
    let server = Server::plain();
    let answer = server.post("/api/v1/write", &V2, &version2([0, 15_000], 7));
    assert_eq!((answer.status, written(&answer)), (204, [Some("2"), Some("0"), Some("1")]));
    let answer = server.post("/api/v1/push", &V2, &version2([30_000, 3_600_000], 7));
    assert_eq!((answer.status, written(&answer)), (400, [Some("1"), Some("0"), Some("1")]));
    let answer = server.post("/prometheus/api/v1/write", &V2, b"not snappy");
    assert_eq!((answer.status, written(&answer)), (400, [Some("0"); 3]));
    // Version 1 knows nothing of this.
    let answer = write(&server, &[], &[("__name__", "up"), ("job", "x")], &[(0, 1.0), (15_000, 1.0)]);
    assert_eq!((answer.status, written(&answer)), (204, [None; 3]));
}

#[test]
fn an_answer_says_what_it_took_if_it_is_asked() {
    let server = Server::plain();
    let samples: Vec<(i64, f64)> = (0..8).map(|i| (i * 15_000, 1.0)).collect();
    write(&server, &[], &[("__name__", "up")], &samples);
    let now = NOW_NS / 1_000_000_000;
    let instant = server.get(&format!("/api/v1/query?query=sum_over_time(up%5B1m%5D)&time={}&stats=all", now + 105)).ok().json();
    let stats = &instant["data"]["stats"];
    assert_eq!(stats["samples"]["totalQueryableSamples"], 4, "{instant}");
    assert!(stats["samples"]["peakSamples"].as_u64() > Some(0) && stats["timings"]["evalTotalTime"].as_f64() > Some(0.0), "{instant}");
    let path = format!("/api/v1/query_range?query=up&start={now}&end={}&step=15", now + 105);
    let range = server.get(&format!("{path}&stats=true")).ok().json();
    assert_eq!(range["data"]["stats"]["samples"]["totalQueryableSamples"], 8, "{range}");
    assert!(server.get(&path).ok().json()["data"].get("stats").is_none());
}

#[test]
fn exemplars_and_metadata_are_found() {
    let server = Server::plain();
    server.post("/api/v1/write", &V2, &version2([0, 15_000], 7)).ok();
    let now = NOW_NS / 1_000_000_000;
    for prefix in ["", "/prometheus"] {
        let found = server.get(&format!("{prefix}/api/v1/query_exemplars?query=rate(up%5B5m%5D)&start={}&end={now}", now - 60)).ok().json();
        assert_eq!(
            found["data"],
            serde_json::json!([{
                "seriesLabels": {"__name__": "up", "job": "x"},
                "exemplars": [{"labels": {"trace_id": "abc"}, "value": "0.5", "timestamp": now}],
            }])
        );
        let found = server.get(&format!("{prefix}/api/v1/metadata")).ok().json();
        assert_eq!(found["data"], serde_json::json!({"up": [{"type": "gauge", "help": "Is it up?", "unit": ""}]}));
    }
    assert_eq!(server.get("/api/v1/metadata?metric=down").ok().json()["data"], serde_json::json!({}));
    assert_eq!(server.get("/api/v1/metadata?limit=0").ok().json()["data"], serde_json::json!({}));
    assert_eq!(server.get("/api/v1/metadata?limit=-1&limit_per_metric=-1").ok().json()["data"]["up"].as_array().unwrap().len(), 1);
    assert_eq!(server.get("/api/v1/query_exemplars?query=up").ok().json()["data"].as_array().unwrap().len(), 1, "at any time");
    assert_eq!(server.get("/api/v1/query_exemplars?query=test&start=1&end=0").status, 400);
}

#[test]
fn unknown_media_types_are_sent_back() {
    let server = Server::plain();
    assert_eq!(server.post("/api/v1/write", &[("content-type", "application/json")], b"x").status, 415);
    let v3 = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v3.Request");
    assert_eq!(server.post("/api/v1/write", &[v3], b"x").status, 415);
    assert_eq!(server.post("/api/v1/write", &[("content-type", "application/x-protobuf")], b"not snappy").status, 400);
    // None, in both ways to say it, is version 1.
    assert_eq!(server.post("/api/v1/write", &[], b"not snappy").status, 400);
    let empty = wire::encoding::encode(Encoding::SnappyBlock, &RequestWriter::default().finish()).unwrap();
    assert_eq!(server.post("/api/v1/write", &[("content-type", "")], &empty).status, 204);
}

/// Patterns of one remote read are counted together, in one query or in many.
#[test]
fn a_remote_read_of_too_many_patterns_is_refused() {
    let server = Server::plain();
    for (queries, matchers) in [(1, 257), (257, 1)] {
        let mut w = wire::proto::Writer::default();
        for _ in 0..queries {
            w.message(1, |w| {
                w.varint(2, (NOW_NS / 1_000_000) as u64);
                for _ in 0..matchers {
                    w.message(3, |w| {
                        w.varint(1, 2);
                        w.bytes(2, b"a");
                        w.bytes(3, b"b+");
                    });
                }
            });
        }
        let body = wire::encoding::encode(Encoding::SnappyBlock, &w.out).unwrap();
        let answer = server.post("/api/v1/read", &[("content-encoding", "snappy")], &body);
        assert_eq!(answer.status, 400);
        assert!(String::from_utf8_lossy(&answer.bytes).contains("too many regular expressions"));
    }
}

#[test]
fn remote_read_and_federation_give_samples_as_they_are() {
    let server = Server::plain();
    write(&server, &[], &[("__name__", "up"), ("job", "x")], &[(-15_000, 0.0), (0, 1.0)]).ok();
    write(&server, &[], &[("__name__", "down")], &[(0, 5.0)]).ok();
    let mut w = wire::proto::Writer::default();
    w.message(1, |w| {
        w.varint(1, (NOW_NS / 1_000_000 - 60_000) as u64);
        w.varint(2, (NOW_NS / 1_000_000) as u64);
        w.message(3, |w| {
            w.varint(1, 2);
            w.bytes(2, b"__name__");
            w.bytes(3, b"u.");
        });
    });
    let body = wire::encoding::encode(Encoding::SnappyBlock, &w.out).unwrap();
    let answer = server.post("/api/v1/read", &[("content-encoding", "snappy")], &body).ok();
    assert_eq!((answer.header("content-encoding"), answer.header("content-type")), (Some("snappy"), Some("application/x-protobuf")));
    let body = wire::encoding::decode(Encoding::SnappyBlock, &answer.bytes.into(), 1 << 20).unwrap();
    let result = wire::proto::repeated(&body, 1).next().unwrap().unwrap();
    let series: Vec<_> = wire::remote_write::SeriesList::new(result).map(|s| s.unwrap()).collect();
    let values: Vec<f64> = series[0]
        .items()
        .map(|i| match i.unwrap() {
            wire::remote_write::Item::Sample { value, .. } => value,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((series.len(), values), (1, vec![0.0, 1.0]));
    // The same as chunks, for whoever likes them better.
    w.bytes(2, &[1, 0]);
    let body = wire::encoding::encode(Encoding::SnappyBlock, &w.out).unwrap();
    let answer = server.post("/api/v1/read", &[("content-encoding", "snappy")], &body).ok();
    assert_eq!((answer.header("content-encoding"), answer.header("content-type")), (None, Some(wire::remote_read::STREAMED)));
    let mut stream = wire::remote_read::Stream::default();
    let floats = [(NOW_NS / 1_000_000 - 15_000, 0.0), (NOW_NS / 1_000_000, 1.0)];
    stream.series(0, [("__name__", "up"), ("job", "x")].into_iter(), &floats, &[]).unwrap();
    assert_eq!(answer.bytes, stream.finish());
    let text = server.get("/federate?match%5B%5D=up&match%5B%5D=down").ok();
    let now_ms = NOW_NS / 1_000_000;
    let want =
        format!("# TYPE down untyped\ndown{{instance=\"\"}} 5 {now_ms}\n# TYPE up untyped\nup{{job=\"x\",instance=\"\"}} 1 {now_ms}\n");
    assert_eq!(text.text(), want);
    assert_eq!(server.get("/federate").ok().text(), "", "nothing is asked for");
    assert_eq!(server.get("/federate?match%5B%5D=%7B").status, 400);
}

/// A reader that does not say that it knows names in quotes gets none.
#[test]
fn federation_writes_names_as_the_reader_knows_them() {
    let server = Server::plain();
    write(&server, &[], &[("__name__", "utf.8"), ("a:b", "c"), ("lbl.x", "y.z")], &[(0, 5.0)]).ok();
    let now_ms = NOW_NS / 1_000_000;
    for (accept, escaping, name, rest) in [
        ("*/*", "underscores", "utf_8", "utf_8{a_b=\"c\",lbl_x="),
        ("text/plain;version=0.0.4;escaping=dots", "dots", "utf_dot_8", "utf_dot_8{a__b=\"c\",lbl_dot_x="),
        ("text/plain;escaping=values", "values", "U__utf_2e_8", "U__utf_2e_8{U__a_3a_b=\"c\",U__lbl_2e_x="),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", "allow-utf-8", "\"utf.8\"", "{\"utf.8\",\"a:b\"=\"c\",\"lbl.x\"="),
    ] {
        let answer = server.send("GET", "/federate?match%5B%5D=%7B__name__%3D~%22u.*%22%7D", &[("accept", accept)], b"").ok();
        let wanted = format!("# TYPE {name} untyped\n{rest}\"y.z\",instance=\"\"}} 5 {now_ms}\n");
        assert_eq!(answer.text(), wanted, "{accept}");
        let media_type = format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping}");
        assert_eq!(answer.header("content-type"), Some(media_type.as_str()));
    }
}

#[test]
fn queries_are_formatted_and_parsed() {
    let server = Server::plain();
    assert_eq!(server.get("/api/v1/format_query?query=foo%2Fbar").ok().json()["data"], "foo / bar");
    let tree = server.get("/api/v1/parse_query?query=sum(up)").ok().json();
    assert_eq!((&tree["data"]["type"], &tree["data"]["op"]), (&"aggregation".into(), &"sum".into()));
    let mut wrong = vec!["format_query?query=invalid%2F".to_owned(), "parse_query?query=".to_owned(), "parse_query".to_owned()];
    for ill_typed in ["rate(a)", "sum(a%5B5m%5D)", "1%2B%22a%22", "a+and+1", "1%3E2", "foo(a)", "-%22a%22", "%7B%7D", "absent_over_time(a)"]
    {
        for path in ["format_query", "parse_query", "query"] {
            wrong.push(format!("{path}?query={ill_typed}"));
        }
    }
    for path in wrong {
        assert_eq!(server.get(&format!("/api/v1/{path}")).json()["errorType"], "bad_data", "{path}");
    }
}

#[test]
fn the_state_of_the_server_has_prometheus_forms() {
    let server = Server::plain();
    write(&server, &[], &[("__name__", "up"), ("job", "x")], &[(0, 1.0)]).ok();
    write(&server, &[], &[("__name__", "up"), ("job", "y")], &[(0, 1.0)]).ok();
    let tsdb = server.get("/api/v1/status/tsdb?limit=1").ok().json();
    assert_eq!((&tsdb["data"]["headStats"]["numSeries"], &tsdb["data"]["headStats"]["numLabelPairs"]), (&2.into(), &3.into()));
    assert_eq!(tsdb["data"]["seriesCountByMetricName"], serde_json::json!([{"name": "up", "value": 2}]));
    assert_eq!(server.get("/api/v1/status/tsdb?limit=0").status, 400);
    assert_eq!(server.get("/api/v1/rules").ok().json()["data"]["groups"], serde_json::json!([]));
    assert_eq!(server.get("/api/v1/alerts").ok().json()["data"]["alerts"], serde_json::json!([]));
    assert_eq!(server.get("/api/v1/status/runtimeinfo").ok().json()["status"], "success");
    assert_eq!(server.get("/api/v1/rules?type=alert").status, 200);
    let refused = server.send("DELETE", "/api/v1/series", &[], b"");
    assert_eq!((refused.status, &refused.json()["errorType"]), (500, &"internal".into()));
    assert_eq!(server.get("/-/healthy").status, 200);
    assert_eq!(server.get("/-/ready").status, 200);
    // By these Grafana would take this for a server with a ruler.
    assert_eq!(server.get("/api/v1/status/flags").status, 404);
    let names = server.get("/prometheus/api/v1/cardinality/label_names").ok().json();
    assert_eq!(names["cardinality"][0], serde_json::json!({"label_name": "job", "label_values_count": 2}));
    let values = server.get("/prometheus/api/v1/cardinality/label_values?label_names%5B%5D=job").ok().json();
    assert_eq!((&values["series_count_total"], &values["labels"][0]["label_values_count"]), (&2.into(), &2.into()));
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

/// Clients in Go send the first and the last time that Prometheus knows where they mean none.
#[test]
fn no_bound_is_a_time() {
    let server = Server::plain();
    write(&server, &[], &[("__name__", "up"), ("job", "x")], &[(0, 1.0)]).ok();
    let all = "start=-292273086-05-16T16:47:06Z&end=292277025-08-18T07:12:54.999999999Z";
    for path in ["series?match%5B%5D=up&", "labels?", "label/job/values?", "query_exemplars?query=up&"] {
        let answer = server.get(&format!("/api/v1/{path}{all}")).ok().json();
        assert_eq!(answer["data"].as_array().unwrap().is_empty(), path.starts_with("query_exemplars"), "{path}");
    }
    for time in all.split('&').map(|t| t.split_once('=').unwrap().1) {
        assert_eq!(server.get(&format!("/api/v1/query?query=vector(1)&time={time}")).ok().json()["status"], "success");
    }
    assert_eq!(server.get(&format!("/api/v1/query_range?query=up&step=1&{all}")).json()["errorType"], "bad_data");
    let deletion = format!("/api/v1/admin/tsdb/delete_series?match%5B%5D=up&{all}");
    assert_eq!(server.post(&deletion, &[], b"").status, 204);
    assert_eq!(server.get(&format!("/api/v1/series?match%5B%5D=up&{all}")).ok().json()["data"], serde_json::json!([]));
}

#[test]
fn windows_are_counted_to_the_time_of_a_query() {
    let query_limits = server::QueryLimits { range_ns: Some(86_400_000_000_000), ..Default::default() };
    let server = Server::over_engine(server::Settings { query_limits, ..Default::default() }, Default::default());
    let now = NOW_NS / 1_000_000_000;
    for (query, hours, status) in [
        ("s", 0, 200),
        ("s", 24, 200),
        ("s", 25, 400),
        ("rate(s%5B1d%5D+offset+1w)", 0, 200),
        ("sum(rate(s%5B2d%5D))+%2B+1", 0, 400),
        ("rate(s%5B2h%5D)", 23, 400),
        ("rate(s%5B2h%5D+@+0)", 23, 200),
        ("max_over_time(rate(s%5B12h%5D)%5B13h:1h%5D)", 0, 400),
        ("max_over_time(rate(s%5B12h%5D)%5B12h:1h%5D)", 0, 200),
        ("topk(scalar(rate(s%5B2d%5D)),s)", 0, 400),
    ] {
        let path = match hours {
            0 => format!("query?query={query}&time={now}"),
            h => format!("query_range?query={query}&step=1h&start={}&end={now}", now - h * 3600),
        };
        let answer = server.get(&format!("/api/v1/{path}"));
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert_eq!(answer.text().contains("queries.range = 1d"), status == 400, "{path}: {}", answer.text());
    }
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
        "query?query=1&lookback_delta=-5m",
        "rules?type=x",
        "cardinality/label_names?limit=501",
        "cardinality/label_names?count_method=x",
        "cardinality/label_values?label_names%5B%5D=job&limit=501",
    ] {
        let answer = server.get(&format!("/api/v1/{bad}"));
        assert_eq!((answer.status, answer.json()["errorType"].as_str()), (400, Some("bad_data")), "{bad}: {}", answer.text());
    }
}
