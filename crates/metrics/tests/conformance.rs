//! Runs PromQL cases that were not written here, if they are at hand: a folder named by `WATCHFIRE_CONFORMANCE`, or
//! `../shared/conformance` beside the repository, with `cases/promql.jsonl`. How many must pass is written down below
//! and only ever goes up.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test, which also reads its settings and writes files of its own

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::{Labels, Tenant};
use metrics::eval::value::Sample;
use metrics::eval::{Options, QueryResult, QueryValue, instant, range};
use metrics::histogram::Histogram;
use serde_json::Value as Json;
use support::{Point, almost, load};
use table::MemoryRows;

/// Cases that must pass: of those about floats alone, and of those that need native histograms.
const FLOATS: usize = 622;
const NATIVE: usize = 448;

fn cases() -> Option<String> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance");
    let folder = std::env::var("WATCHFIRE_CONFORMANCE").map_or_else(|_| PathBuf::from(beside), PathBuf::from);
    std::fs::read_to_string(folder.join("cases/promql.jsonl")).ok()
}

fn number(v: &Json) -> f64 {
    match v {
        Json::String(s) if s == "stale" => f64::NAN,
        Json::String(s) => lang::number::parse(s).unwrap(),
        v => v.as_f64().unwrap(),
    }
}

fn varint(mut v: u64, out: &mut Vec<u8>) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

fn double(field: u8, v: f64, out: &mut Vec<u8>) {
    out.push(field << 3 | 1);
    out.extend(v.to_le_bytes());
}

fn bytes(field: u64, b: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(b.len() as u64, out);
    out.extend(b);
}

fn zigzag(v: i64) -> u64 {
    (v << 1 ^ v >> 63) as u64
}

/// Buckets given as `[[index, count], ...]`.
fn buckets(v: &Json) -> Vec<(i64, f64)> {
    v.as_array().unwrap().iter().map(|b| (b[0].as_i64().unwrap(), number(&b[1]))).collect()
}

fn side(spans_field: u64, b: &[(i64, f64)], out: &mut Vec<u8>) {
    if b.is_empty() {
        return;
    }
    let mut at = 0;
    for &(i, _) in b {
        let mut span = vec![0x08];
        varint(zigzag(i - at), &mut span);
        span.extend([0x10, 1]);
        bytes(spans_field, &span, out);
        at = i + 1;
    }
    let counts: Vec<u8> = b.iter().flat_map(|(_, c)| c.to_le_bytes()).collect();
    bytes(spans_field + 2, &counts, out);
}

/// A histogram of the cases as the message that senders write.
fn message(h: &Json) -> Vec<u8> {
    let mut out = vec![];
    double(2, number(&h["count"]), &mut out);
    double(3, number(&h["sum"]), &mut out);
    out.push(0x20);
    varint(zigzag(h["schema"].as_i64().unwrap()), &mut out);
    double(5, number(&h["zt"]), &mut out);
    double(7, number(&h["zc"]), &mut out);
    side(8, &buckets(&h["neg"]), &mut out);
    side(11, &buckets(&h["pos"]), &mut out);
    let hint = ["unknown", "reset", "not_reset", "gauge"].iter().position(|x| h["hint"].as_str() == Some(x)).unwrap_or(0);
    out.extend([14 << 3, hint as u8]);
    let custom: Vec<u8> = h["custom"].as_array().unwrap().iter().flat_map(|v| number(v).to_le_bytes()).collect();
    if !custom.is_empty() {
        bytes(16, &custom, &mut out);
    }
    out
}

fn labels(v: &Json) -> Labels {
    Labels::from_pairs(v.as_object().unwrap().iter().map(|(k, v)| (k, v.as_str().unwrap()))).unwrap()
}

fn load_case(rows: &MemoryRows, case: &Json) {
    for s in case["series"].as_array().unwrap().iter().chain(case["nhcb"].as_array().unwrap()) {
        let point = |v: &Json| match v {
            Json::Object(o) => Point::Histogram(message(&o["h"])),
            Json::String(s) if s == "stale" => Point::Float(f64::from_bits(metrics::spec::STALE_NAN_BITS)),
            v => Point::Float(number(v)),
        };
        let samples: Vec<(i64, Point)> = s["samples"].as_array().unwrap().iter().map(|x| (x[0].as_i64().unwrap(), point(&x[1]))).collect();
        load(rows, labels(&s["labels"]), &samples);
    }
}

fn same_histogram(want: &Json, got: &Histogram) -> Result<(), String> {
    let want = Histogram::decode(&message(want)).ok_or("undecodable expectation")?;
    if !almost(want.count, got.count) || !almost(want.sum, got.sum) {
        return Err(format!("got {got}, want {want}"));
    }
    let filled = |h: &Histogram| h.all_buckets().into_iter().filter(|b| b.count != 0.0).collect::<Vec<_>>();
    let (w, g) = (filled(&want), filled(got));
    let ok = w.len() == g.len()
        && w.iter().zip(&g).all(|(a, b)| almost(a.lower, b.lower) && almost(a.upper, b.upper) && almost(a.count, b.count));
    if ok { Ok(()) } else { Err(format!("got {got}, want {want}")) }
}

fn same(want: &Json, got: &Sample) -> Result<(), String> {
    match (want, got) {
        (Json::Object(o), Sample::Histogram(h)) => same_histogram(&o["h"], h),
        (Json::Object(_), Sample::Float(v)) => Err(format!("got {v}, want a histogram")),
        (_, Sample::Histogram(h)) => Err(format!("got {h}, want {want}")),
        (v, Sample::Float(g)) if almost(number(v), *g) => Ok(()),
        (v, Sample::Float(g)) => Err(format!("got {g}, want {v}")),
    }
}

/// Series with their points, in the order of the answer.
type Points = Vec<(Labels, Vec<(i64, Sample)>)>;

fn check_series(want: &Json, times: impl Fn(usize) -> i64, got: &Points, ordered: bool) -> Result<(), String> {
    let want: Vec<(Labels, &Vec<Json>)> =
        want.as_array().unwrap().iter().map(|s| (labels(&s["labels"]), s["values"].as_array().unwrap())).collect();
    for (position, (l, points)) in got.iter().enumerate() {
        let place = want.iter().position(|w| w.0 == *l).ok_or_else(|| format!("unexpected series {l} {:?}", points.first()))?;
        if ordered && place != position {
            return Err(format!("{l} at position {position}, want {place}"));
        }
        let there: Vec<(i64, &Json)> = want[place].1.iter().enumerate().filter(|(_, v)| !v.is_null()).map(|(i, v)| (times(i), v)).collect();
        if there.len() != points.len() {
            return Err(format!("{l}: {} points, want {}: {points:?}", points.len(), there.len()));
        }
        for ((t, v), (gt, g)) in there.iter().zip(points) {
            if t != gt {
                return Err(format!("{l}: point at {gt}, want {t}"));
            }
            same(v, g).map_err(|e| format!("{l} at {t}: {e}"))?;
        }
    }
    match want.iter().find(|w| !got.iter().any(|g| g.0 == w.0)) {
        Some(w) => Err(format!("missing series {}", w.0)),
        None => Ok(()),
    }
}

fn points(v: &QueryValue) -> Points {
    match v {
        QueryValue::Vector(v) => v.iter().map(|s| (s.labels.clone(), vec![(s.time_ms, s.sample.clone())])).collect(),
        QueryValue::Matrix(m) => m.iter().map(|s| (s.labels.clone(), s.points.clone())).collect(),
        _ => vec![],
    }
}

fn check_notes(e: &Json, r: &QueryResult) -> Result<(), String> {
    for (what, no, texts) in [("warn", "no_warn", &r.warnings), ("info", "no_info", &r.infos)] {
        if e[what].as_array().is_some_and(|a| !a.is_empty()) && texts.is_empty() {
            return Err(format!("expected {what} {}", e[what]));
        }
        if e[no] == Json::Bool(true) && !texts.is_empty() {
            return Err(format!("unexpected {what}: {texts:?}"));
        }
    }
    Ok(())
}

fn run(rows: &MemoryRows, c: &Json) -> Result<(), String> {
    let options = Options::default();
    let tenant = Tenant::default();
    let q = c["expr"].as_str().unwrap();
    let time = |k: &str| c[k].as_i64().unwrap();
    let e = &c["expect"];
    let is_instant = c["kind"] == "instant";
    let answer = if is_instant {
        instant(rows, &tenant, q, time("at"), &options)
    } else {
        range(rows, &tenant, q, time("start"), time("end"), time("step"), &options)
    };
    if e["fail"] == Json::Bool(true) {
        return answer.map_or(Ok(()), |_| Err("expected a failure".into()));
    }
    let r = answer.map_err(|e| format!("failed: {e}"))?;
    check_notes(e, &r)?;
    if let Some(text) = e["string"].as_str() {
        return if matches!(&r.value, QueryValue::String(_, t) if t == text) { Ok(()) } else { Err(format!("got {:?}", r.value)) };
    }
    if !e["scalar"].is_null() {
        return match r.value {
            QueryValue::Scalar(_, v) if almost(v, number(&e["scalar"])) => Ok(()),
            v => Err(format!("got {v:?}, want {}", e["scalar"])),
        };
    }
    let (first, step) = match (&e["range_vector"], is_instant) {
        (Json::Array(a), _) => (a[0].as_i64().unwrap(), a[2].as_i64().unwrap()),
        (_, true) => (time("at"), 0),
        (_, false) => (time("start"), time("step")),
    };
    let ordered = e["ordered"] == Json::Bool(true);
    check_series(&e["series"], |i| first + step * i as i64, &points(&r.value), ordered)?;
    let of_query = ["start()", "end()", "range()", "step()"].iter().any(|w| q.contains(w));
    if is_instant && e["range_vector"].is_null() && !ordered && !of_query {
        // The same as one step of a range.
        let at = time("at");
        let r = range(rows, &tenant, q, at - 60_000, at + 60_000, 60_000, &options).map_err(|e| format!("range mode: {e}"))?;
        let mut there = points(&r.value);
        there.iter_mut().for_each(|s| s.1.retain(|p| p.0 == at));
        there.retain(|s| !s.1.is_empty());
        check_series(&e["series"], |_| at, &there, false).map_err(|e| format!("range mode: {e}"))?;
    }
    Ok(())
}

#[test]
fn cases_of_others() {
    let Some(text) = cases() else {
        println!("no cases at hand: passed over");
        return;
    };
    let mut rows = MemoryRows::default();
    let mut block = (String::new(), -1);
    let mut groups: BTreeMap<String, [usize; 4]> = BTreeMap::new();
    let mut failed = vec![];
    for line in text.lines() {
        let c: Json = serde_json::from_str(line).unwrap();
        let key = (c["file"].as_str().unwrap().to_string(), c["block"].as_i64().unwrap());
        if key != block {
            (rows, block) = (MemoryRows::default(), key);
        }
        match c["type"].as_str() {
            Some("load") => load_case(&rows, &c),
            Some("eval") => {
                let native = c["tags"].as_array().unwrap().iter().any(|t| t == "native");
                let group = groups.entry(block.0.clone()).or_default();
                let at = if native { 2 } else { 0 };
                group[at + 1] += 1;
                match run(&rows, &c) {
                    Ok(()) => group[at] += 1,
                    Err(why) => failed.push(format!(
                        "{}{}: {}\n    {why}",
                        c["name"].as_str().unwrap(),
                        if native { " [native]" } else { "" },
                        c["expr"].as_str().unwrap()
                    )),
                }
            }
            _ => {}
        }
    }
    for f in &failed {
        println!("FAIL {f}");
    }
    let mut total = [0; 4];
    for (name, g) in &groups {
        println!("{name:24} floats {:4} of {:4}   native {:4} of {:4}", g[0], g[1], g[2], g[3]);
        total.iter_mut().zip(g).for_each(|(t, n)| *t += n);
    }
    println!("floats {} of {}, native {} of {}", total[0], total[1], total[2], total[3]);
    assert!(total[0] >= FLOATS, "fewer cases about floats pass than before: {} of {FLOATS}", total[0]);
    assert!(total[2] >= NATIVE, "fewer cases about native histograms pass than before: {} of {NATIVE}", total[2]);
}
