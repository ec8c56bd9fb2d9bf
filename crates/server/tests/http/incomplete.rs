//! An answer that may lack something says so, in every protocol's own form and in a header (P6).

use base::{Labels, Result};
use server::Settings;
use table::{Lack, MemoryRows, RowStream, Rows, ScanRequest};

use crate::harness::{NOW_NS, Scripted, Server};

/// No rows, and the word that some may be missing.
struct Lacking(MemoryRows);

impl Lacking {
    fn note(q: &ScanRequest) {
        q.missing.note(Lack { whose: "node b".into(), why: "does not answer \u{2014}".into(), since_ns: Some(NOW_NS) });
    }
}

impl Rows for Lacking {
    fn scan(&self, q: &ScanRequest) -> Result<RowStream> {
        Self::note(q);
        self.0.scan(q)
    }
    fn series(&self, q: &ScanRequest) -> Result<Vec<Labels>> {
        Self::note(q);
        Ok(vec![])
    }
}

const PATHS: [&str; 10] = [
    "/loki/api/v1/query_range?query=%7Ba%3D%22b%22%7D",
    "/loki/api/v1/query?query=count_over_time(%7Ba%3D%22b%22%7D%5B5m%5D)",
    "/loki/api/v1/labels",
    "/loki/api/v1/label/a/values",
    "/loki/api/v1/series",
    "/api/v1/query?query=up",
    "/api/v1/query_range?query=up&start=0&end=10&step=1",
    "/api/v1/labels",
    "/api/v1/label/a/values",
    "/api/v1/series?match%5B%5D=up",
];

#[test]
fn every_query_warns_once_and_marks_its_head() {
    let server = Server::start(Scripted::over(Lacking(MemoryRows::default())), Settings::default());
    for path in PATHS {
        let answer = server.get(path).ok();
        assert_eq!(answer.header("x-watchfire-incomplete"), Some("node b: does not answer ?, since 2023-11-14T22:13:20Z"), "{path}");
        let warnings = answer.json()["warnings"].clone();
        let want = "this answer may be incomplete: node b: does not answer \u{2014}, since 2023-11-14T22:13:20Z";
        assert_eq!(warnings, serde_json::json!([want]), "{path}");
    }
    // What is not found may be what is missing.
    let answer = server.get("/api/v2/traces/0af7651916cd43dd8448eb211c80319c");
    assert_eq!((answer.status, answer.header("x-watchfire-incomplete").is_some()), (404, true));
}

#[test]
fn a_whole_answer_says_nothing() {
    let server = Server::start(Scripted::over(MemoryRows::default()), Settings::default());
    for path in PATHS {
        let answer = server.get(path).ok();
        assert_eq!((answer.header("x-watchfire-incomplete"), answer.json().get("warnings")), (None, None), "{path}");
    }
}
