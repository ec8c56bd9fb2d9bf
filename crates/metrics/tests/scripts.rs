//! Behaviour as data: every `scripts/*.test` is run. A script is read line by line:
//!
//! ```text
//! # a comment
//! clear                          forgets all series
//! load 1m                        series follow, one sample each minute from 0
//!   up{job="a"} 1 2 _ stale 5    a gap and a staleness marker
//!   n_total 0+10x5               0, 10, 20, 30, 40, 50
//! at 5m: QUERY                   an instant query; its series follow (none: an empty answer)
//!   {job="a"} 5
//! from 0s to 5m step 1m: QUERY   a range query; values by step
//!   {job="a"} 1 2 _ _ 5 5
//! scalar 5 | text abc            below a query: its value
//! fails PART                     below a query: it fails with this in its message
//! warns PART, notes PART         below a query: a warning or an info has this in it
//! ordered                        below a query: the series come in this order
//! ```
#![allow(clippy::unwrap_used)] // a test

mod support;

use std::path::Path;

use base::{Labels, MatchOp, Tenant};
use metrics::eval::value::Sample;
use metrics::{Options, QueryResult, Value, instant, parse_selector, range};
use support::{Point, almost, load};
use table::MemoryRows;

fn ms(text: &str) -> i64 {
    lang::duration::parse_prom(text).unwrap_or_else(|| panic!("not a duration: {text}")) / 1_000_000
}

fn labels(text: &str) -> Labels {
    if text == "{}" {
        return Labels::empty();
    }
    let matchers = parse_selector(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert!(matchers.iter().all(|m| m.op == MatchOp::Eq), "{text}");
    Labels::from_pairs(matchers.iter().map(|m| (&m.name, &m.value))).unwrap()
}

/// `{a="b"} 1 2 3` into labels and values. Label values have no spaces outside quotes.
fn series(line: &str) -> (Labels, Vec<Option<f64>>) {
    let end = match line.find('}') {
        Some(i) => i + 1,
        None => line.find(' ').unwrap_or(line.len()),
    };
    let mut values = vec![];
    for word in line[end..].split_whitespace() {
        match word {
            "_" => values.push(None),
            "stale" => values.push(Some(f64::from_bits(metrics::spec::STALE_NAN_BITS))),
            _ => match word.split_once('x') {
                Some((law, n)) => {
                    let (start, by) = law.split_once('+').unwrap_or((law, "0"));
                    let number = |t: &str| lang::number::parse(t).unwrap();
                    (0..=n.parse::<u32>().unwrap()).for_each(|i| values.push(Some(number(start) + f64::from(i) * number(by))));
                }
                None => values.push(Some(lang::number::parse(word).unwrap_or_else(|| panic!("not a number: {word}")))),
            },
        }
    }
    (labels(line[..end].trim()), values)
}

/// A query with what is expected of it.
struct Case<'a> {
    query: &'a str,
    /// First time, last time, step; a step of 0 is an instant query.
    times: (i64, i64, i64),
    expected: Vec<&'a str>,
}

fn case<'a>(line: &'a str) -> Case<'a> {
    let (when, query) = line.split_once(": ").unwrap_or_else(|| panic!("no query in {line}"));
    let w: Vec<&str> = when.split_whitespace().collect();
    let times = match w[..] {
        ["at", t] => (ms(t), ms(t), 0),
        ["from", a, "to", b, "step", s] => (ms(a), ms(b), ms(s)),
        _ => panic!("not a time: {when}"),
    };
    Case { query, times, expected: vec![] }
}

fn check_value(c: &Case<'_>, r: &QueryResult) {
    let (start, _, step) = c.times;
    let mut wanted = vec![];
    let mut ordered = false;
    for line in &c.expected {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "ordered" => ordered = true,
            "warns" => assert!(r.warnings.iter().any(|w| w.contains(rest)), "{}: warnings {:?}", c.query, r.warnings),
            "notes" => assert!(r.infos.iter().any(|w| w.contains(rest)), "{}: infos {:?}", c.query, r.infos),
            "scalar" => assert!(
                matches!(r.value, Value::Scalar(_, v) if almost(v, lang::number::parse(rest).unwrap())),
                "{}: {:?}",
                c.query,
                r.value
            ),
            "text" => assert!(matches!(&r.value, Value::String(_, v) if v == rest), "{}: {:?}", c.query, r.value),
            _ => wanted.push(series(line)),
        }
    }
    let got: Vec<(Labels, Vec<(i64, Sample)>)> = match &r.value {
        Value::Vector(v) => v.iter().map(|s| (s.labels.clone(), vec![(s.time_ms, s.sample.clone())])).collect(),
        Value::Matrix(m) => m.iter().map(|s| (s.labels.clone(), s.points.clone())).collect(),
        Value::Scalar(..) | Value::String(..) => return,
    };
    let names = |l: Vec<&Labels>| l.iter().map(|l| l.to_string()).collect::<Vec<_>>();
    let (mut have, mut want) = (names(got.iter().map(|g| &g.0).collect()), names(wanted.iter().map(|w| &w.0).collect()));
    if !ordered {
        have.sort();
        want.sort();
    }
    assert_eq!(have, want, "{}", c.query);
    for (l, values) in &wanted {
        let points = &got.iter().find(|g| g.0 == *l).unwrap().1;
        let there: Vec<(i64, f64)> = values.iter().enumerate().filter_map(|(i, v)| v.map(|v| (start + step * i as i64, v))).collect();
        let same = there.len() == points.len()
            && there.iter().zip(points).all(|((t, v), (u, s))| t == u && matches!(s, Sample::Float(x) if almost(*v, *x)));
        assert!(same, "{}: {l}: got {points:?}, want {there:?}", c.query);
    }
}

fn run(c: &Case<'_>, rows: &MemoryRows) {
    let (start, end, step) = c.times;
    let (tenant, options) = (Tenant::default(), Options::default());
    let answer = if step == 0 {
        instant(rows, &tenant, c.query, start, &options)
    } else {
        range(rows, &tenant, c.query, start, end, step, &options)
    };
    if let Some(part) = c.expected.iter().find_map(|l| l.strip_prefix("fails")) {
        let e = answer.map(|r| r.value).expect_err(c.query);
        assert!(e.message().contains(part.trim()), "{}: {e}", c.query);
        return;
    }
    check_value(c, &answer.unwrap_or_else(|e| panic!("{}: {e}", c.query)));
}

fn script(text: &str) -> usize {
    let mut rows = MemoryRows::default();
    let mut gap = 0;
    let mut open: Option<Case<'_>> = None;
    let mut run_so_far = 0;
    for line in text.lines().chain(["clear"]) {
        let inner = line.trim();
        if inner.is_empty() || inner.starts_with('#') {
            continue;
        }
        if line.starts_with(' ') {
            match &mut open {
                Some(c) => c.expected.push(inner),
                None => {
                    let (l, values) = series(inner);
                    let samples: Vec<(i64, Point)> =
                        values.iter().enumerate().filter_map(|(i, v)| v.map(|v| (gap * i as i64, Point::Float(v)))).collect();
                    load(&rows, l, &samples);
                }
            }
            continue;
        }
        if let Some(c) = open.take() {
            run(&c, &rows);
            run_so_far += 1;
        }
        match inner.split_once(' ') {
            Some(("load", step)) => gap = ms(step),
            _ if inner == "clear" => rows = MemoryRows::default(),
            _ => open = Some(case(inner)),
        }
    }
    run_so_far
}

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut count = 0;
    for f in std::fs::read_dir(folder).unwrap() {
        let path = f.unwrap().path();
        println!("{}", path.display());
        count += script(&std::fs::read_to_string(path).unwrap());
    }
    assert!(count > 80, "only {count} queries were run");
}
