//! What is not taken of metrics, and what is said of it.

use std::collections::BTreeMap;

use cluster::{Limits, Rate};
use serde_json::json;
use server::Settings;
use wire::Encoding;
use wire::proto::Writer;

use crate::harness::{NOW_NS, Server};
use crate::prometheus::{V2, version2, write, written};

/// The reasons in the ledger of what was lost.
fn lost(server: &Server) -> Vec<String> {
    let ledger = server.get("/api/v1/ledger").ok().json();
    ledger["lost"].as_array().unwrap().iter().map(|l| l["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_histogram_with_a_million_bounds_is_refused_for_good() {
    let bounds: Vec<u8> = (0..1_500_000).flat_map(|b| f64::from(b).to_le_bytes()).collect();
    let point = |w: &mut Writer, bounds: &[u8]| {
        w.message(1, |w| {
            w.fixed64(3, NOW_NS as u64);
            w.bytes(7, bounds);
        });
    };
    let mut w = Writer::default();
    w.message(1, |w| {
        w.message(2, |w| {
            w.message(2, |w| {
                w.bytes(1, b"h");
                w.message(9, |w| {
                    w.varint(2, 2);
                    point(w, &bounds);
                    point(w, &bounds[..8]);
                });
            });
        });
    });
    let server = Server::plain();
    let answer = server.post("/v1/metrics", &[("content-type", "application/x-protobuf")], &w.out);
    assert_eq!(answer.status, 200);
    let partial = wire::proto::repeated(&answer.bytes, 1).next().unwrap().unwrap();
    let text = String::from_utf8_lossy(partial);
    assert!(partial.starts_with(&[8, 1]) && text.contains("it has 1500000 bounds, and 65536 are the most that are taken"), "{text}");
    assert_eq!(lost(&server), ["invalid_histogram"]);
    assert_eq!(server.get("/api/v1/label/le/values").ok().json()["data"], json!(["+Inf", "0"]), "the other is there");
}

#[test]
fn metadata_that_refer_to_nothing_are_named_and_the_samples_are_kept() {
    let server = Server::plain();
    let answer = server.post("/api/v1/write", &V2, &version2([0, 15_000], 99));
    assert_eq!((answer.status, written(&answer)), (400, [Some("2"), Some("0"), Some("1")]));
    let want = "metadata of up{job=\"x\"}: its help or unit refers to a symbol that the request does not have\n";
    assert_eq!(answer.text(), want);
    assert_eq!(lost(&server), ["invalid_metadata"]);
}

#[test]
fn samples_of_a_time_before_all_clocks_are_refused_and_the_rest_is_kept() {
    let server = Server::plain();
    let year_1600 = -11_676_096_000_000 - NOW_NS / 1_000_000;
    let answer = write(&server, &[], &[("__name__", "up")], &[(year_1600, 1.0), (0, 2.0)]);
    assert_eq!(answer.status, 400, "{}", answer.text());
    let found = server.get(&format!("/api/v1/query?query=up&time={}", NOW_NS / 1_000_000_000)).ok().json();
    assert_eq!(found["data"]["result"][0]["value"][1], "2");
}

#[test]
fn beyond_the_rate_samples_are_spoken_of() {
    let rate = Rate { bytes_per_second: 16, burst_bytes: 16 };
    let limits = BTreeMap::from([("samples".to_owned(), Limits { tenant: Some(rate), stream: None })]);
    let server = Server::over_engine(Settings::default(), limits);
    write(&server, &[], &[("__name__", "up")], &[(0, 1.0)]).ok();
    let answer = write(&server, &[], &[("__name__", "up")], &[(1, 1.0)]);
    assert_eq!(answer.status, 429);
    assert!(answer.text().contains("while attempting to ingest '1' samples totaling '16' bytes"), "{}", answer.text());
}

#[test]
fn selectors_of_one_request_are_counted() {
    let server = Server::plain();
    write(&server, &[], &[("__name__", "up")], &[(0, 1.0)]).ok();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for (n, status) in [(1_000, 200), (1_001, 400)] {
        let selectors = vec!["match%5B%5D=up"; n].join("&");
        for path in ["series", "labels"] {
            let answer = server.post(&format!("/api/v1/{path}"), &form, selectors.as_bytes());
            assert_eq!(answer.status, status, "{path}");
            assert!(status == 200 || answer.text().contains("more than 1000 selectors"), "{}", answer.text());
        }
        for path in ["/api/v1/label/__name__/values", "/federate"] {
            assert_eq!(server.get(&format!("{path}?{selectors}")).status, status, "{path}");
        }
        let mut w = Writer::default();
        (0..n).for_each(|_| w.message(1, |w| w.varint(2, 1)));
        let body = wire::encoding::encode(Encoding::SnappyBlock, &w.out).unwrap();
        assert_eq!(server.post("/api/v1/read", &[("content-encoding", "snappy")], &body).status, status, "read");
    }
}
