//! Native histograms in queries: what is said about them, and what becomes of hints, of names and of what lies between.
#![allow(clippy::unwrap_used)] // a test

mod support;

use base::{Labels, Tenant};
use metrics::eval::value::Sample;
use metrics::{Options, QueryResult, Value, instant, range};
use support::{Point, almost, load};
use table::MemoryRows;

const GAUGE: u8 = 3;

/// A histogram of floats with exponential buckets from index 1 on, or with custom bounds.
#[derive(Clone, Copy)]
struct H<'a> {
    schema: i32,
    counts: &'a [f64],
    bounds: &'a [f64],
    /// Observations of NaN.
    nan: f64,
    hint: u8,
}

const EMPTY: H<'_> = H { schema: 0, counts: &[], bounds: &[], nan: 0.0, hint: 0 };

impl H<'_> {
    fn message(&self) -> Point {
        let double = |field: u8, v: f64| [&[field << 3 | 1], &v.to_le_bytes()[..]].concat();
        let packed = |key: &[u8], v: &[f64]| {
            let bytes: Vec<u8> = v.iter().flat_map(|v| v.to_le_bytes()).collect();
            [key, &[bytes.len() as u8], &bytes].concat()
        };
        let zigzag = |n: i32| ((n << 1) ^ (n >> 31)) as u8;
        let sum = if self.nan > 0.0 { f64::NAN } else { self.counts.iter().sum() };
        let mut m = double(2, self.counts.iter().sum::<f64>() + self.nan);
        m.extend(double(3, sum));
        m.extend([4 << 3, zigzag(self.schema)]);
        m.extend([11 << 3 | 2, 4, 1 << 3, zigzag(i32::from(self.bounds.is_empty())), 2 << 3, self.counts.len() as u8]);
        m.extend(packed(&[13 << 3 | 2], self.counts));
        m.extend([14 << 3, self.hint]);
        if !self.bounds.is_empty() {
            m.extend(packed(&[0x82, 1], self.bounds));
        }
        Point::Histogram(m)
    }
}

fn series(rows: &MemoryRows, pairs: &[(&str, &str)], points: Vec<Point>) {
    let samples: Vec<(i64, Point)> = (0..).step_by(15_000).zip(points).collect();
    load(rows, Labels::from_pairs(pairs.iter().copied()).unwrap(), &samples);
}

fn at(rows: &MemoryRows, q: &str) -> QueryResult {
    instant(rows, &Tenant::default(), q, 60_000, &Options::default()).unwrap_or_else(|e| panic!("{q}: {e}"))
}

/// Warnings and infos without the kind and the place.
fn said(r: &QueryResult) -> Vec<String> {
    let bare = |t: &String| t.split_once(": ").unwrap().1.rsplit_once(" (").unwrap().0.to_owned();
    r.warnings.iter().chain(&r.infos).map(bare).collect()
}

fn floats(r: &QueryResult) -> Vec<f64> {
    let Value::Vector(v) = &r.value else { panic!("{:?}", r.value) };
    v.iter().map(|s| if let Sample::Float(v) = s.sample { v } else { panic!("a histogram") }).collect()
}

fn count(r: &QueryResult) -> usize {
    let Value::Vector(v) = &r.value else { panic!("{:?}", r.value) };
    v.len()
}

/// Exponential and custom histograms, a gauge, a float, one with observations of NaN.
fn all_kinds() -> MemoryRows {
    let rows = MemoryRows::default();
    let steps = |h: H<'_>| {
        let at = |k: f64| H { counts: &h.counts.iter().map(|c| c * k).collect::<Vec<_>>(), nan: h.nan * k, ..h }.message();
        (1..=5).map(|k| at(f64::from(k))).collect()
    };
    series(&rows, &[("__name__", "exponential"), ("i", "1")], steps(H { counts: &[1.0, 2.0], ..EMPTY }));
    series(&rows, &[("__name__", "custom"), ("i", "1")], steps(H { schema: -53, counts: &[1.0, 2.0], bounds: &[1.0], ..EMPTY }));
    series(&rows, &[("__name__", "gauge"), ("i", "1")], steps(H { counts: &[3.0], hint: GAUGE, ..EMPTY }));
    series(&rows, &[("__name__", "odd"), ("i", "1")], steps(H { counts: &[1.0, 2.0], nan: 1.0, ..EMPTY }));
    series(&rows, &[("__name__", "float"), ("i", "1")], vec![Point::Float(2.0); 5]);
    rows
}

#[test]
fn what_does_not_go_together_is_named() {
    let rows = all_kinds();
    let mix = "vector contains a mix of histograms with exponential and custom buckets schemas for metric name";
    for (q, want) in [
        ("custom + on(i) exponential", &["incompatible bucket layout encountered for binary operator +"][..]),
        ("exponential - on(i) custom", &["incompatible bucket layout encountered for binary operator -"]),
        // The first that does not go with those before it.
        ("sum({__name__=~\"custom|exponential|gauge\"})", &[&format!("{mix} \"exponential\"")]),
        ("avg(rate({__name__=~\"custom|exponential\"}[1m]))", &[&format!("{mix} \"exponential\"")]),
        ("sum({__name__=~\"custom|float\"})", &["encountered a mix of histograms and floats for aggregation"]),
        ("stddev({__name__=~\"exponential|float\"})", &["ignored histogram in stddev aggregation"]),
        ("topk(1, {__name__=~\"exponential|float\"})", &["ignored histogram in topk aggregation"]),
        ("topk(0, {__name__=~\"exponential|float\"})", &[]),
        ("rate((gauge or on() vector(1))[1m:15s] offset 15s)", &["this native histogram metric is not a counter: \"gauge\""]),
    ] {
        assert_eq!(said(&at(&rows, q)), want, "{q}");
    }
    for (q, place) in
        [("sum(topk(1, {__name__=~\"exponential|float\"}))", "(1:5)"), ("sum(max({__name__=~\"exponential|float\"}))", "(1:9)")]
    {
        assert!(at(&rows, q).infos[0].ends_with(place), "{q}: {:?}", at(&rows, q).infos);
    }
    // A window of what has no name any more is no aggregation.
    let mixed = at(&rows, "sum_over_time((sum(exponential) and vector(time()) > 30 or sum(float))[1m:15s])");
    assert_eq!(said(&mixed), ["encountered a mix of histograms and floats for metric name \"\""]);
}

#[test]
fn observations_of_nan_are_spoken_of_where_they_matter() {
    let rows = all_kinds();
    let skewed = "input to histogram_quantile has NaN observations, result is skewed higher";
    let none = "input to histogram_quantile has NaN observations, result is NaN";
    let excluded = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
    for (q, value, want) in [
        ("histogram_quantile(0.25, odd)", 2.0, Some(format!("{skewed} for metric name \"odd\""))),
        ("histogram_quantile(0.25, sum(odd))", 2.0, Some(skewed.into())),
        ("histogram_quantile(0.9, odd)", f64::NAN, Some(format!("{none} for metric name \"odd\""))),
        ("histogram_fraction(-Inf, 2, odd)", 0.25, Some(format!("{excluded} for metric name \"odd\""))),
        ("histogram_fraction(2, 2, odd)", 0.0, None),
        // All that it counts is in buckets; its sum is of both infinities.
        ("histogram_quantile(1, odd - on(i) odd + on(i) exponential)", 4.0, None),
    ] {
        let r = at(&rows, q);
        assert_eq!(said(&r), want.into_iter().collect::<Vec<String>>(), "{q}");
        let got = floats(&r)[0];
        assert!(almost(got, value), "{q}: {got}");
    }
}

#[test]
fn a_difference_is_a_gauge() {
    let rows = all_kinds();
    let falls = "this native histogram metric is not a counter: \"\"";
    assert_eq!(said(&at(&rows, "rate((exponential - exponential offset 15s)[1m:15s])")), [falls]);
    assert!(said(&at(&rows, "delta((exponential - exponential offset 15s)[1m:15s])")).is_empty());
    assert_eq!(said(&at(&rows, "delta((exponential + exponential)[1m:15s])")).len(), 1);
}

#[test]
fn what_lies_between_counts_for_counters_alone() {
    let rows = MemoryRows::default();
    let h = |schema: i32, n: f64| H { schema, counts: &[n, n], hint: GAUGE, ..EMPTY }.message();
    series(&rows, &[("__name__", "h")], vec![h(1, 1.0), h(0, 2.0), h(1, 3.0), h(0, 4.0), h(1, 5.0)]);
    let schema = |q: &str| match at(&rows, q).value {
        Value::Vector(v) => match &v[0].sample {
            Sample::Histogram(h) => h.schema,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!((schema("delta(h[2m])"), schema("increase(h[2m])")), (1, 0));
}

#[test]
fn a_series_that_is_now_and_then_a_float_has_a_counters_name() {
    let rows = MemoryRows::default();
    let h = |n: f64| H { counts: &[n], ..EMPTY }.message();
    series(&rows, &[("__name__", "turns")], vec![Point::Float(1.0), Point::Float(2.0), h(3.0), h(4.0), h(5.0)]);
    let r = range(&rows, &Tenant::default(), "rate(turns[30s])", 15_000, 60_000, 15_000, &Options::default()).unwrap();
    assert!(r.infos[0].contains("might not be a counter"), "{:?}", r.infos);
}

#[test]
fn sorting_leaves_histograms_out_of_ranges_too() {
    let rows = all_kinds();
    let shown = |q: &str| match range(&rows, &Tenant::default(), q, 0, 60_000, 15_000, &Options::default()).unwrap().value {
        Value::Matrix(m) => m.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(shown("sort({i=\"1\"})"), 1);
    assert_eq!(shown("sort_by_label({i=\"1\"}, \"i\")"), 5);
    assert_eq!(count(&at(&rows, "sort_desc({i=\"1\"})")), 1);
}

#[test]
fn what_is_calculated_of_two_series_has_no_name() {
    let rows = all_kinds();
    let label = |q: &str, name: &str| match at(&rows, q).value {
        Value::Vector(v) => v[0].labels.get(name).unwrap_or("").to_owned(),
        other => panic!("{other:?}"),
    };
    let seen = |of: &str| label(&format!("label_replace({of}, \"was\", \"$1\", \"__name__\", \"(.*)\")"), "was");
    for (of, want) in [
        ("float - float", ""),
        ("float * on(i) group_left() float", ""),
        ("float * 2", "float"),
        ("float >= bool float", "float"),
        ("exponential + exponential", ""),
    ] {
        assert_eq!(seen(of), want, "{of}");
    }
    // One that is taken over stays.
    assert_eq!(label("float * on(i) group_left(__name__) label_replace(float, \"__name__\", \"new\", \"\", \"\")", "__name__"), "new");
    assert_eq!(label("float >= bool on(i) group_left(__name__) float", "__name__"), "");
}

#[test]
fn series_of_a_range_are_in_the_order_of_their_labels() {
    let rows = MemoryRows::default();
    for (name, i) in [("n_total", "0"), ("n", "10"), ("n", "2"), ("n", "1")] {
        series(&rows, &[("__name__", name), ("i", i)], vec![Point::Float(1.0)]);
    }
    let shown = |q: &str| match range(&rows, &Tenant::default(), q, 0, 15_000, 15_000, &Options::default()).unwrap().value {
        Value::Matrix(m) => {
            m.iter().map(|s| format!("{} {}", s.labels.get("__name__").unwrap(), s.labels.get("i").unwrap())).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(shown("{i=~\".+\"}"), ["n 1", "n 10", "n 2", "n_total 0"]);
}

#[test]
fn a_gauge_that_stays_at_minus_zero_changes_by_minus_zero() {
    let rows = MemoryRows::default();
    series(&rows, &[("__name__", "g")], [0.0, 1.0, 2.0, 3.0, -0.0].map(Point::Float).to_vec());
    assert!(floats(&at(&rows, "delta(g[2m])"))[0].is_sign_negative());
}
