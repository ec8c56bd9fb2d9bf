//! The conformance cases, run against the crate alone. They are not part of the repository: the folder is named by
//! `WATCHFIRE_CONFORMANCE` or lies beside the repository, and without it the test passes over them.
//!
//! The floors below are a ratchet: they say how many cases pass, and only go up.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::{Kind, Labels};
use logs::query::QueryResult;
use serde_json::Value;

use super::store::{BASE_NS, Entry, Store};

/// Cases that pass, by kind.
const FLOORS: [(&str, usize); 4] = [("parse", 459), ("filter", 26), ("pipeline", 87), ("script", 549)];

const SECOND: i64 = 1_000_000_000;

fn folder() -> Option<PathBuf> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance"));
    let dir = std::env::var_os("WATCHFIRE_CONFORMANCE").map_or(beside, PathBuf::from);
    dir.join("cases/logql.jsonl").exists().then_some(dir)
}

#[test]
fn conformance_cases_pass_as_often_as_before() {
    let Some(dir) = folder() else {
        eprintln!("passed over: no conformance cases (set WATCHFIRE_CONFORMANCE to their folder)");
        return;
    };
    let text = std::fs::read_to_string(dir.join("cases/logql.jsonl")).expect("cases");
    let verbose = std::env::var_os("WATCHFIRE_CONFORMANCE_VERBOSE").is_some();
    let mut groups: BTreeMap<(String, String), (usize, usize)> = BTreeMap::new();
    let mut entries = vec![];
    let mut store = Store::new(&[]);
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("a case is JSON");
        let kind = text_of(&case, "kind");
        match (text_of(&case, "type"), kind) {
            ("clear", _) => entries.clear(),
            ("load", _) => {
                entries.extend(case["entries"].as_array().into_iter().flatten().map(entry));
                store = Store::new(&entries);
            }
            ("case", "parse" | "filter" | "pipeline" | "script") => {
                if entries.is_empty() {
                    store = Store::new(&[]);
                }
                let outcome = match kind {
                    "parse" => parse(&case),
                    "filter" => filter(&case),
                    "pipeline" => pipeline(&case),
                    _ => script(&case, &store),
                };
                let group = text_of(&case, "group").split('/').next().unwrap_or("").to_string();
                let counts = groups.entry((kind.to_string(), group)).or_default();
                counts.1 += 1;
                match outcome {
                    Ok(()) => counts.0 += 1,
                    Err(why) if verbose => eprintln!("FAIL {}\n     {why}", text_of(&case, "name")),
                    Err(_) => {}
                }
            }
            _ => {}
        }
    }
    let mut passed: BTreeMap<&str, usize> = BTreeMap::new();
    for ((kind, group), (ok, all)) in &groups {
        eprintln!("{kind:9} {group:44} {ok} of {all}");
        *passed.entry(kind).or_default() += ok;
    }
    for (kind, floor) in FLOORS {
        let n = passed.get(kind).copied().unwrap_or(0);
        assert!(n >= floor, "{kind}: {n} cases pass, {floor} did before");
    }
}

/// Every query of the cases that is one prints to a text that reads back to the same.
#[test]
fn what_the_cases_ask_prints_to_text_that_reads_back() {
    let Some(dir) = folder() else {
        eprintln!("passed over: no conformance cases (set WATCHFIRE_CONFORMANCE to their folder)");
        return;
    };
    let text = std::fs::read_to_string(dir.join("cases/logql.jsonl")).expect("cases");
    let mut read = 0;
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("a case is JSON");
        let stages = format!("{{acc=\"c\"}} {}", text_of(&case, "stages"));
        for query in [text_of(&case, "query"), stages.as_str()] {
            let Ok(tree) = logs::logql::parse(query) else { continue };
            read += 1;
            let printed = tree.to_string();
            let back = logs::logql::parse(&printed).unwrap_or_else(|e| panic!("{query} prints to {printed}: {}", e.message()));
            assert_eq!(back, tree, "{query} prints to {printed}");
        }
    }
    assert!(read > 1000, "only {read} queries could be read");
}

fn text_of<'a>(v: &'a Value, key: &str) -> &'a str {
    v[key].as_str().unwrap_or("")
}

fn pairs(v: &Value) -> Vec<(String, String)> {
    v.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_string())).collect()
}

fn entry(v: &Value) -> Entry {
    Entry {
        labels: pairs(&v[0]),
        time_ns: BASE_NS + v[1].as_i64().unwrap_or(0),
        line: v[2].as_str().unwrap_or("").into(),
        metadata: pairs(&v[3]),
    }
}

fn parse(case: &Value) -> Result<(), String> {
    let got = Store::new(&[]).range(text_of(case, "query"), BASE_NS, BASE_NS + 60 * SECOND, 60 * SECOND);
    match (text_of(case, "expect"), got) {
        ("accept", Ok(_)) => Ok(()),
        ("accept", Err(e)) => Err(e.message().to_string()),
        (_, Ok(_)) => Err("accepted".into()),
        (_, Err(e)) if e.kind() == Kind::Invalid => Ok(()),
        (_, Err(e)) => Err(format!("{:?}: {}", e.kind(), e.message())),
    }
}

type Found = Vec<(BTreeMap<String, String>, String)>;

fn lines(store: &Store, query: &str, start: i64, end: i64) -> Result<Found, String> {
    let QueryResult::Streams(streams, _) = store.range(query, start, end, SECOND).map_err(|e| format!("{query}: {}", e.message()))? else {
        return Err("not lines".into());
    };
    let labels = |l: &Labels| l.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect::<BTreeMap<_, _>>();
    Ok(streams.iter().flat_map(|s| s.entries.iter().map(|e| (labels(&s.labels), e.line.to_string()))).collect())
}

fn filter(case: &Value) -> Result<(), String> {
    let all: Vec<(String, bool)> =
        case["lines"].as_array().into_iter().flatten().map(|l| (l[0].as_str().unwrap_or("").to_string(), l[1] == true)).collect();
    let entry = |(i, (line, _)): (usize, &(String, bool))| Entry {
        labels: vec![("acc".into(), "c".into())],
        time_ns: BASE_NS + i as i64,
        line: line.clone(),
        metadata: vec![],
    };
    let store = Store::new(&all.iter().enumerate().map(entry).collect::<Vec<_>>());
    let query = format!("{{acc=\"c\"}} {}", text_of(case, "stages"));
    let mut got: Vec<String> = lines(&store, &query, BASE_NS - SECOND, BASE_NS + SECOND)?.into_iter().map(|(_, l)| l).collect();
    let mut want: Vec<String> = all.into_iter().filter(|(_, keep)| *keep).map(|(l, _)| l).collect();
    got.sort();
    want.sort();
    if got == want { Ok(()) } else { Err(format!("kept {got:?}, want {want:?}")) }
}

fn pipeline(case: &Value) -> Result<(), String> {
    let time = case["ts"].as_i64().unwrap_or(BASE_NS);
    let mut labels = pairs(&case["labels"]);
    labels.push(("acc".into(), "c".into()));
    let store = Store::new(&[Entry { labels, time_ns: time, line: text_of(case, "line").into(), metadata: pairs(&case["meta"]) }]);
    let got = lines(&store, &format!("{{acc=\"c\"}} {}", text_of(case, "stages")), time - SECOND, time + SECOND)?;
    if case["match"] == false {
        return if got.is_empty() { Ok(()) } else { Err("the line passes".into()) };
    }
    let [(labels, line)] = got.as_slice() else { return Err(format!("{} lines", got.len())) };
    let strip = |m: BTreeMap<String, String>| m.into_iter().filter(|(n, _)| n != "acc").collect::<BTreeMap<_, _>>();
    let (labels, want) = (strip(labels.clone()), strip(pairs(&case["want_labels"]).into_iter().collect()));
    if labels != want {
        return Err(format!("labels {labels:?}, want {want:?}"));
    }
    if line != text_of(case, "want_line") { Err(format!("line {line:?}, want {:?}", text_of(case, "want_line"))) } else { Ok(()) }
}

fn number(v: &Value) -> Option<f64> {
    v.as_f64().or_else(|| lang::number::parse(v.as_str()?))
}

fn close(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 || (a - b).abs() / a.abs().max(b.abs()) <= 1e-9
}

fn script(case: &Value, store: &Store) -> Result<(), String> {
    let query = text_of(case, "query");
    let at = |k: &str| BASE_NS + case[k].as_i64().unwrap_or(0);
    let step = case["step"].as_i64().unwrap_or(1);
    let is_instant = text_of(case, "mode") == "instant";
    let got = if is_instant { store.instant(query, at("at")) } else { store.range(query, at("start"), at("end"), step) };
    let expect = &case["expect"];
    if expect["fail"] == true {
        return got.map_or(Ok(()), |_| Err("expected a failure".into()));
    }
    let got = got.map_err(|e| e.message().to_string())?;
    if let Some(want) = number(&expect["scalar"]) {
        let values = match got {
            QueryResult::Scalar(_, v) => vec![v],
            QueryResult::Vector(v) => v.into_iter().map(|v| v.2).collect(),
            QueryResult::Matrix(m) => m.into_iter().flat_map(|s| s.points).map(|p| p.1).collect(),
            QueryResult::Streams(..) => vec![],
        };
        return if !values.is_empty() && values.iter().all(|v| close(*v, want)) { Ok(()) } else { Err(format!("{values:?}, want {want}")) };
    }
    let series: Vec<(Labels, Vec<(i64, f64)>)> = match got {
        QueryResult::Vector(v) => v.into_iter().map(|(l, t, v)| (l, vec![(t, v)])).collect(),
        QueryResult::Matrix(m) => m.into_iter().map(|s| (s.labels, s.points)).collect(),
        other => return Err(format!("{other:?}")),
    };
    let start = if is_instant { at("at") } else { at("start") };
    let want: Vec<&Value> = expect["series"].as_array().into_iter().flatten().collect();
    if series.len() != want.len() {
        return Err(format!("{} series {:?}, want {}", series.len(), series.iter().take(4).collect::<Vec<_>>(), want.len()));
    }
    for (i, w) in want.iter().enumerate() {
        // Empty values count, so this does not go through `Labels::from_pairs`.
        let mut named = pairs(&w["labels"]);
        named.sort();
        let bytes: Vec<u8> = named.iter().flat_map(|(n, v)| [n.as_bytes(), b"\xff", v.as_bytes(), b"\xff"].concat()).collect();
        let labels = Labels::from_canonical(&bytes).map_err(|e| e.message().to_string())?;
        let found = series.iter().position(|(l, _)| *l == labels);
        let Some(found) = found else {
            return Err(format!("no series {labels} among {:?}", series.iter().map(|s| &s.0).take(4).collect::<Vec<_>>()));
        };
        if expect["ordered"] == true && found != i {
            return Err(format!("{labels} is number {found}, want {i}"));
        }
        let values: Vec<Option<f64>> = w["values"].as_array().into_iter().flatten().map(number).collect();
        let points = &series[found].1;
        for (k, want) in values.iter().enumerate() {
            let time = start + k as i64 * step;
            let got = points.iter().find(|p| p.0 == time).map(|p| p.1);
            let same = match (got, want) {
                (Some(a), Some(b)) => close(a, *b),
                (None, None) => true,
                _ => false,
            };
            if !same {
                return Err(format!("{labels} at step {k}: got {got:?}, want {want:?}"));
            }
        }
        if points.len() != values.iter().flatten().count() {
            return Err(format!("{labels} has points at other times: {points:?}"));
        }
    }
    Ok(())
}
