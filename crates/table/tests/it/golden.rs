//! A data directory written by version 1 of the metas must open for ever: a run, blocks, and the checkpoint.
//!
//! `tests/golden/v1/engine` is such a directory without its log. `UPDATE_GOLDEN=1 cargo test -p watchfire-table golden`
//! writes it anew.

use std::path::{Path, PathBuf};

use base::Clock;
use disk::{Fs, RealFs, SimFs};
use table::Origin;

use super::toy::*;

const NOW: i64 = 1_700_200_000_000_000_000;
const MERGED: [(&str, &str); 2] = [
    ("a", "N s1 1700100000000000000 first\nN s2 1700100001000000000 second\nE s1 1700100000000 7 1 80\n"),
    ("b", "N s1 1700100000000000000 of-another-tenant\n"),
];
const IN_A_RUN: [(&str, &str); 2] = [
    ("a", "N s1 1700100000000000000 first\nN s1 1700190000000000000 third\nE s2 1700190000000 9 2 16\n"),
    ("a", "E s1 1700100000000 7 1 88\n"),
];
const POSITION: &[u8] = b"line 17";

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/engine")
}

/// Fills a directory; its files but the log, by their path below the data directory.
fn write() -> Vec<(PathBuf, Vec<u8>)> {
    let (fs, clock) = (SimFs::seeded(1), Clock::manual(NOW));
    let e = open(&fs, &clock, settings()).unwrap();
    for (tenant, body) in MERGED {
        e.ingest(header(tenant, &clock, None), body.into(), None).unwrap();
    }
    e.flush().unwrap();
    for (tenant, body) in IN_A_RUN {
        let origin = Origin { source: "file:x".into(), position: POSITION.to_vec() };
        e.ingest(header(tenant, &clock, Some(origin)), body.into(), None).unwrap();
    }
    e.shutdown().unwrap();
    let data = Path::new("/data");
    let kept = |p: &PathBuf| p.starts_with(data) && !p.starts_with("/data/wal");
    let paths: Vec<PathBuf> = fs.paths().into_iter().filter(kept).collect();
    paths.iter().map(|p| (p.strip_prefix(data).unwrap().into(), disk::read(&fs, p).unwrap())).collect()
}

/// Every file below a directory of the machine.
fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for e in RealFs.list(dir).unwrap() {
        let path = dir.join(e.name);
        if e.is_dir { files(&path, out) } else { out.push(path) }
    }
}

#[test]
fn version_1_opens() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        for (path, bytes) in write() {
            RealFs.create_dir_all(golden().join(&path).parent().unwrap()).unwrap();
            disk::write_durably(&RealFs, &golden().join(path), &bytes).unwrap();
        }
    }
    let (fs, mut found) = (SimFs::seeded(2), vec![]);
    files(&golden(), &mut found);
    for p in &found {
        let to = Path::new("/data").join(p.strip_prefix(golden()).unwrap());
        fs.create_dir_all(to.parent().unwrap()).unwrap();
        disk::write_durably(&fs, &to, &disk::read(&RealFs, p).unwrap()).unwrap();
    }
    let e = open(&fs, &Clock::manual(NOW), settings()).unwrap();
    assert_eq!(e.losses(), []);
    assert_eq!(e.positions("file:"), [("file:x".to_owned(), POSITION.to_vec())]);
    for tenant in ["a", "b"] {
        let mut want = Set::new();
        for (t, body) in MERGED.iter().chain(&IN_A_RUN).filter(|(t, _)| *t == tenant) {
            // Of two copies the table prefers the greater weight, which comes later here.
            want.extend(rows_of(t, body));
        }
        assert_eq!(read(&*e, tenant, vec![]).unwrap(), want, "{tenant}");
    }
    // It goes on from there: the run is merged into the blocks that were there.
    e.flush().unwrap();
    assert!(!fs.paths().iter().any(|p| p.starts_with("/data/runs")));
    assert_eq!(read(&*e, "a", vec![]).unwrap().len(), 5);
}

/// What is written today has the same files, and metas with the same fields: anything else is a change of format, and
/// gets a number and a page.
#[test]
fn version_1_is_written() {
    let (mut want, mut got) = (vec![], vec![]);
    files(&golden(), &mut want);
    let form = |path: &Path, bytes: &[u8]| match path.extension().and_then(|e| e.to_str()) {
        Some("json") => shape(&serde_json::from_slice(bytes.split(|b| *b == b'\n').next().unwrap()).unwrap()),
        _ => String::new(),
    };
    let mut want: Vec<(PathBuf, String)> =
        want.into_iter().map(|p| (p.strip_prefix(golden()).unwrap().to_owned(), form(&p, &disk::read(&RealFs, &p).unwrap()))).collect();
    got.extend(write().into_iter().map(|(p, bytes)| (p.clone(), form(&p, &bytes))));
    want.sort();
    got.sort();
    assert_eq!(got, want);
}

/// The names of a JSON value's fields, and the types of what they hold.
fn shape(v: &serde_json::Value) -> String {
    use serde_json::Value::*;
    match v {
        Object(o) => o.iter().map(|(k, v)| format!("{k}: {}\n", shape(v))).collect(),
        Array(a) => a.first().map_or("[]".into(), |v| format!("[{}]", shape(v))),
        Null => "null".into(),
        Bool(_) => "bool".into(),
        Number(_) => "number".into(),
        String(_) => "string".into(),
    }
}
