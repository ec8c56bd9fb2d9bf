//! What scripts cannot say: long ranges, bounds, cancelling, listings, damaged bytes.
#![allow(clippy::unwrap_used)] // a test

mod support;

use std::sync::Arc;
use std::time::Duration;

use base::{Kind, Labels, Matcher, Tenant};
use metrics::eval::value::Sample;
use metrics::limits;
use metrics::metadata::{self, Scope};
use metrics::spec::STALE_NAN_BITS;
use metrics::{Options, Value, instant, parse_selector, range};
use proptest::prelude::*;
use support::{Point, almost, load, load_with_starts};
use table::sorted::Budget as _;
use table::{Cancel, MemoryBudget, MemoryRows, QueryBudget, RowStream, Rows, ScanRequest};

const STEP_MS: i64 = 15_000;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

/// Ten hours of a counter in two series: five time slices.
fn long() -> MemoryRows {
    let rows = MemoryRows::default();
    for (i, by) in [("a", 1.0), ("b", 3.0)] {
        let samples: Vec<(i64, Point)> = (0..2400).map(|k| (k * STEP_MS, Point::Float(k as f64 * by))).collect();
        load(&rows, labels(&[("__name__", "n_total"), ("i", i)]), &samples);
    }
    rows
}

fn floats(v: Value) -> Vec<(Labels, Vec<(i64, f64)>)> {
    let float = |s: &Sample| if let Sample::Float(v) = s { *v } else { panic!("a histogram") };
    match v {
        Value::Matrix(m) => m.into_iter().map(|s| (s.labels, s.points.iter().map(|(t, v)| (*t, float(v))).collect())).collect(),
        Value::Vector(v) => v.into_iter().map(|s| (s.labels, vec![(s.time_ms, float(&s.sample))])).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn windows_and_selectors_reach_over_time_slices() {
    let rows = long();
    let end = 2399 * STEP_MS;
    let ask =
        |q: &str, step: i64| floats(range(&rows, &Tenant::default(), q, 3 * 3_600_000, end, step, &Options::default()).unwrap().value);
    for (q, step, want) in [
        ("rate(n_total{i=\"b\"}[10m])", 420_000, 0.2),
        ("sum(count_over_time(n_total[3h]))", 61_000, 1440.0),
        ("delta(n_total{i=\"a\"}[2h30m] offset 20m)", 3_000_000, 600.0),
        ("sum_over_time((n_total{i=\"a\"} - n_total{i=\"a\"} offset 15s)[3h:15s] offset -10s)", 3_600_000, 720.0),
    ] {
        let got = ask(q, step);
        assert_eq!(got.len(), 1, "{q}");
        let points = &got[0].1;
        assert!(!points.is_empty());
        // At multiples of the sampling interval every window holds the same; elsewhere an edge may lie a sample off.
        for (t, v) in points.iter().filter(|(t, _)| t % STEP_MS == 0) {
            assert!(almost(*v, want), "{q} at {t}: {v}, want {want}");
        }
    }
    let each: Vec<f64> = ask("n_total{i=\"a\"}", STEP_MS)[0].1.iter().map(|p| p.1).collect();
    assert_eq!(each, (720..2400).map(f64::from).collect::<Vec<_>>());
    let coarse: Vec<f64> = ask("n_total{i=\"a\"}", 3_600_000)[0].1.iter().map(|p| p.1).collect();
    assert_eq!(coarse, [720.0, 960.0, 1200.0, 1440.0, 1680.0, 1920.0, 2160.0]);
}

#[test]
fn a_query_has_bounds() {
    let rows = long();
    let fails = |o: Options, q: &str| instant(&rows, &Tenant::default(), q, 2000 * STEP_MS, &o).unwrap_err();
    let few = Options { max_samples: 100, ..Options::default() };
    let e = fails(few.clone(), "n_total[1h]");
    assert_eq!(
        (e.kind(), e.message()),
        (Kind::Unprocessable, "query processing would load too many samples into memory in query execution")
    );
    assert_eq!(fails(few, "sum_over_time(vector(1)[1d:1s])").kind(), Kind::Unprocessable);
    assert_eq!(fails(Options::default(), "sum_over_time(vector(1)[100y:1ms])").kind(), Kind::Unprocessable);
    // A wide grid is counted even where it is empty.
    let many = Options { max_samples: 10_000, ..Options::default() };
    assert_eq!(fails(many, "max_over_time(n_total[10h:1s])").kind(), Kind::Unprocessable);
    let cancel = Cancel::default();
    cancel.cancel();
    assert_eq!(fails(Options { cancel, ..Options::default() }, "n_total").kind(), Kind::Canceled);
    assert_eq!(fails(Options { timeout: Some(Duration::ZERO), ..Options::default() }, "n_total").kind(), Kind::Timeout);
    let far = instant(&rows, &Tenant::default(), "n_total", i64::MAX, &Options::default()).unwrap_err();
    assert_eq!(far.kind(), Kind::Invalid);
    // A window is given back slice by slice: only a part of the ten hours is held at one time.
    let narrow = Options { max_samples: 2_500, ..Options::default() };
    assert!(range(&rows, &Tenant::default(), "rate(n_total[5m])", 0, 2399 * STEP_MS, 600_000, &narrow).is_ok());
}

#[test]
fn queries_share_the_memory_there_is_for_them() {
    let rows = long();
    let memory = MemoryBudget::new(0, 0, 1 << 20, 1 << 20);
    let ask = |q: &str, memory: &Arc<QueryBudget>| {
        let options = Options { memory: Some(memory.clone()), ..Options::default() };
        instant(&rows, &Tenant::default(), q, 2000 * STEP_MS, &options)
    };
    let one = Arc::new(memory.query());
    assert!(ask("sum_over_time(n_total[2h])", &one).is_ok());
    assert!((880 * limits::SAMPLE_BYTES..=128 << 10).contains(&memory.queries()), "{}", memory.queries());
    let e = ask("sum_over_time(vector(1)[8h:1s])", &Arc::new(memory.query())).unwrap_err();
    assert!(e.kind() == Kind::Unprocessable && e.message().contains("memory_limit"), "{e}");
    drop(one);
    assert_eq!(memory.queries(), 0);
    let others = memory.query();
    others.reserve(600 << 10).unwrap();
    let e = ask("sum_over_time(vector(1)[5h:1s])", &Arc::new(memory.query())).unwrap_err();
    assert!(e.kind() == Kind::Unavailable && e.retry_hint().is_some(), "{e}");
    drop(others);
    ask("sum_over_time(vector(1)[5h:1s])", &Arc::new(memory.query())).unwrap();
}

/// One series, and a minute and more of work on it, by windows one by one and by windows that lie alike.
#[test]
fn the_time_is_looked_at_within_a_series() {
    let rows = MemoryRows::default();
    let options = Options { timeout: Some(Duration::from_millis(300)), ..Options::default() };
    let ask = |q: &str| range(&rows, &Tenant::default(), q, 0, 3_000_000, 1_000, &options);
    for q in ["quantile_over_time(0.5, vector(time())[2h:1ms])", "stddev_over_time(vector(time())[2h:1ms])"] {
        assert_eq!(ask(q).unwrap_err().kind(), Kind::Timeout, "{q}");
    }
}

#[test]
fn what_is_made_on_the_way_is_counted() {
    let rows = long();
    let few = Options { max_samples: 15_000, ..Options::default() };
    let with = |q: &str, o: &Options| range(&rows, &Tenant::default(), q, 0, 600_000, 1_000, o);
    let ask = |q: &str| with(q, &few);
    // A column for each value, a scalar for each operand, a series for each label that comes and goes.
    for q in [
        "count_values(\"v\", n_total)",
        &format!("vector({}1{})", "time() + (".repeat(100), ")".repeat(100)),
        "n_total * on () group_left (v) label_replace(count_values(\"v\", n_total{i=\"a\"}), \"v\", \"$1\", \"v\", \"(.*)\")",
    ] {
        assert!(ask(q).is_err_and(|e| e.message().contains("too many samples")), "{q}");
    }
    assert!(ask("count_values(\"v\", n_total * 0)").is_ok());
    let grown = format!("{}n_total{}", "label_join(".repeat(30), ", \"x\", \"\", \"x\", \"x\", \"i\")".repeat(30));
    let replaced = format!(
        "label_replace(label_replace(n_total, \"x\", \"{}\", \"i\", \"(.*)\"), \"x\", \"{}\", \"x\", \"(.*)\")",
        "$1".repeat(5_000),
        "$1".repeat(50)
    );
    for q in [grown, replaced] {
        assert!(with(&q, &Options::default()).is_err_and(|e| e.message().contains("labels have more than 128 KiB")), "{}", &q[..60]);
    }
}

#[test]
fn samples_are_counted_as_often_as_steps_look_at_them() {
    let rows = MemoryRows::default();
    // 40 samples, one each 15 s from 0 on.
    load(&rows, labels(&[("__name__", "n")]), &(0..40).map(|i| (i * 15_000, Point::Float(i as f64))).collect::<Vec<_>>());
    let (tenant, options) = (Tenant::default(), Options::default());
    let counted = |q: &str, last: i64, step: i64| range(&rows, &tenant, q, 300_000, last, step, &options).unwrap().stats.samples;
    // Eleven steps of 20 s.
    for (q, samples) in [
        ("n", 11),
        ("n offset 10m", 0),
        ("n @ 300", 11),
        ("sum(n) + n", 22),
        ("sum_over_time(n[1m])", 11 * 4),
        ("rate(n[1m] @ 300)", 11 * 4),
        // What its windows look at, not what their samples are made of.
        ("max_over_time(sum_over_time(n[1m])[1m:30s])", 11 * 2),
        ("vector(1)", 0),
    ] {
        assert_eq!(counted(q, 500_000, 20_000), samples, "{q}");
    }
    let found = range(&rows, &tenant, "n", 300_000, 500_000, 20_000, &options).unwrap();
    assert!(found.stats.peak > 0);
}

#[test]
fn the_deepest_query_is_evaluated_on_a_small_stack() {
    let rows = long();
    let deep = limits::EXPRESSION_DEPTH - 2;
    for q in [
        format!("{}n_total{}", "abs(".repeat(deep), ")".repeat(deep)),
        format!("{}n_total{}", "sum(".repeat(deep), ")".repeat(deep)),
        format!("{}n_total", "-".repeat(deep)),
        vec!["n_total"; deep].join(" + "),
        format!("{}n_total{}", "max_over_time(".repeat(deep / 2), "[1m:1m])".repeat(deep / 2)),
    ] {
        let r = instant(&rows, &Tenant::default(), &q, 600_000, &Options::default());
        assert!(r.is_ok(), "{:?}", r.map(|_| ()));
    }
}

#[test]
fn damaged_histograms_are_an_error() {
    let rows = MemoryRows::default();
    load(&rows, labels(&[("__name__", "h")]), &[(0, Point::Histogram(vec![0xff, 0xff]))]);
    assert_eq!(instant(&rows, &Tenant::default(), "h", 0, &Options::default()).unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn series_names_and_values_are_listed() {
    let rows = long();
    load(&rows, labels(&[("__name__", "up"), ("job", "x")]), &[(0, Point::Float(1.0))]);
    let t = Tenant::default();
    let scope =
        |selectors: &'static [Vec<Matcher>], limit| Scope { selectors, start_ms: 0, end_ms: 1000, limit, cancel: Cancel::default() };
    let all = scope(&[], 0);
    assert_eq!(metadata::label_names(&rows, &t, &all).unwrap().items, ["__name__", "i", "job"]);
    assert_eq!(metadata::label_values(&rows, &t, "i", &all).unwrap().items, ["a", "b"]);
    let cut = metadata::label_values(&rows, &t, "i", &scope(&[], 1)).unwrap();
    assert_eq!((cut.items.len(), cut.warnings().len()), (1, 1));
    let selectors: &'static [Vec<Matcher>] = vec![parse_selector("n_total{i=\"a\"}").unwrap(), parse_selector("{i!=\"\"}").unwrap()].leak();
    assert_eq!(metadata::series(&rows, &t, &scope(selectors, 0)).unwrap().items.len(), 2);
    let later = Scope { start_ms: 1, ..all };
    assert!(metadata::label_values(&rows, &t, "job", &later).unwrap().items.is_empty());
}

/// The one value of an instant query.
fn value(rows: &MemoryRows, query: &str, seconds: i64, options: &Options) -> f64 {
    let found = floats(instant(rows, &Tenant::default(), query, seconds * 1000, options).unwrap().value);
    assert_eq!(found.len(), 1, "{query}: {found:?}");
    found[0].1[0].1
}

#[test]
fn deltas_are_read_as_what_they_add_up_to() {
    let rows = MemoryRows::default();
    // Four hours, so two slices; a marker of the end at the last.
    let stale = f64::from_bits(metrics::spec::STALE_NAN_BITS);
    let mut samples: Vec<(i64, Point)> = (0..960).map(|k| (k * STEP_MS, Point::Float(2.0))).collect();
    samples.push((960 * STEP_MS, Point::Float(stale)));
    load(&rows, labels(&[("__name__", "d_total"), ("__temporality__", "delta")]), &samples);
    let options = Options::default();
    // Sixteen samples in four minutes, wherever a query begins to look.
    for at in [600, 3_600, 7_260, 10_000, 14_380] {
        assert!(almost(value(&rows, "increase(d_total[4m])", at, &options), 32.0), "at {at}");
        assert!(almost(value(&rows, "rate(d_total[4m])", at, &options), 2.0 / 15.0), "at {at}");
        assert_eq!(value(&rows, "resets(d_total[4m])", at, &options), 0.0);
    }
    // What was before the first sample that is needed counts since the start of its slice.
    assert_eq!(value(&rows, "d_total", 600, &options), 82.0);
    assert_eq!(value(&rows, "d_total", 3_600, &options), 482.0);
    let ended = instant(&rows, &Tenant::default(), "d_total", 14_410_000, &options).unwrap();
    assert_eq!(ended.value, Value::Vector(vec![]), "a marker stays one");
    let found = floats(range(&rows, &Tenant::default(), "increase(d_total[4m])", 600_000, 14_000_000, 60_000, &options).unwrap().value);
    assert!(found[0].1.iter().all(|(_, v)| almost(*v, 32.0)), "{found:?}");
}

#[test]
fn starts_of_counting_are_heeded_where_they_are_asked_for() {
    let rows = MemoryRows::default();
    let at = |k: i64| k * 60_000;
    // A counter that begins anew between its second and third sample, and is not lower for it.
    let samples: Vec<(i64, Point)> =
        [10.0, 20.0, 20.0, 30.0].iter().enumerate().map(|(k, v)| (at(k as i64 + 2), Point::Float(*v))).collect();
    let starts = [Some(at(1)), Some(at(1)), Some(at(3) + 1), Some(at(3) + 1)];
    load_with_starts(&rows, labels(&[("__name__", "c_total")]), &samples, &starts);
    let plain = Options::default();
    let heeding = Options { start_timestamps: true, ..Options::default() };
    assert_eq!(value(&rows, "start_timestamp(c_total)", 300, &plain), 180.001);
    assert_eq!(value(&rows, "resets(c_total[5m])", 300, &plain), 0.0);
    assert_eq!(value(&rows, "resets(c_total[5m])", 300, &heeding), 1.0);
    // From 60 s, where it was zero, to 300 s: 20 before it began anew, 30 since.
    assert!(almost(value(&rows, "increase(c_total[5m])", 300, &heeding), 50.0));
    assert!(almost(value(&rows, "rate(c_total[5m])", 300, &heeding), 50.0 / 300.0));
    assert!(almost(value(&rows, "irate(c_total[2m])", 240, &heeding), 20.0 / 60.0));
    // One sample is enough when its start is inside.
    assert!(almost(value(&rows, "increase(c_total[2m])", 120, &heeding), 10.0));
    assert_eq!(instant(&rows, &Tenant::default(), "increase(c_total[2m])", 120_000, &plain).unwrap().value, Value::Vector(vec![]));
}

/// Rows that never come as stretches.
struct OneByOne<'a>(&'a MemoryRows);

impl Rows for OneByOne<'_> {
    fn scan(&self, q: &ScanRequest) -> base::Result<RowStream> {
        self.0.scan(&ScanRequest { stretches: false, ..q.clone() })
    }
    fn series(&self, q: &ScanRequest) -> base::Result<Vec<Labels>> {
        self.0.series(q)
    }
}

/// Samples at equal distances, but for some that are missing, late, stale, or less than the one before.
fn uneven() -> impl Strategy<Value = Vec<(i64, Point)>> {
    let sample = (0..200u32, 0.0..9.0f64);
    proptest::collection::vec(sample, 1..1200).prop_map(|samples| {
        let mut total = 0.0;
        let at = samples.into_iter().enumerate().filter_map(|(k, (what, more))| {
            let t = k as i64 * STEP_MS + 4_000;
            total = if what == 0 { more } else { total + more };
            match what {
                1 => None,
                2 => Some((t + 1_500, Point::Float(total))),
                3 => Some((t, Point::Float(f64::from_bits(STALE_NAN_BITS)))),
                4 => Some((t, Point::Float(f64::NAN))),
                _ => Some((t, Point::Float(total))),
            }
        });
        at.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What is calculated for many steps at once is what is calculated for each alone, to the last bit.
    #[test]
    fn a_range_says_what_instants_say(
        series in proptest::collection::vec(uneven(), 1..3),
        step in prop_oneof![Just(15_000i64), Just(30_000), Just(60_000), Just(40_000), Just(300_000)],
        width in prop_oneof![Just("15s"), Just("20s"), Just("1m"), Just("5m"), Just("90m")],
        start in 0i64..3_000_000,
    ) {
        let rows = MemoryRows::default();
        for (i, samples) in series.iter().enumerate() {
            load(&rows, labels(&[("__name__", "n_total"), ("i", ["a", "b"][i])]), samples);
        }
        let functions = ["rate", "increase", "delta", "irate", "sum_over_time", "avg_over_time", "min_over_time", "max_over_time",
            "count_over_time", "last_over_time", "present_over_time", "resets", "stddev_over_time"];
        let mut queries: Vec<String> = functions.iter().map(|f| format!("{f}(n_total[{width}])")).collect();
        queries.extend(["n_total", "n_total offset 1m", "sum(n_total)", "avg(rate(n_total[5m]))"].map(String::from));
        let (tenant, options) = (Tenant::default(), Options::default());
        let end = start + 40 * step;
        for q in queries {
            let looked_at = std::cell::Cell::new(0);
            let bits = |rows: &dyn Rows| {
                let found = range(rows, &tenant, &q, start, end, step, &options).unwrap();
                looked_at.set(found.stats.samples);
                floats(found.value).into_iter().map(|(l, points)| (l, points.into_iter().map(|(t, v)| (t, v.to_bits())).collect())).collect::<Vec<(_, Vec<_>)>>()
            };
            prop_assert_eq!(bits(&rows), bits(&OneByOne(&rows)), "{} of rows one by one", q);
            let mut all = vec![];
            for (l, points) in floats(range(&rows, &tenant, &q, start, end, step, &options).unwrap().value) {
                all.extend(points.into_iter().map(|(t, v)| (t, l.clone(), v.to_bits())));
            }
            all.sort();
            let (mut single, mut looked_at_singly) = (vec![], 0);
            for t in (start..=end).step_by(step as usize) {
                let found = instant(&rows, &tenant, &q, t, &options).unwrap();
                looked_at_singly += found.stats.samples;
                for (l, points) in floats(found.value) {
                    single.extend(points.into_iter().map(|(t, v)| (t, l.clone(), v.to_bits())));
                }
            }
            single.sort();
            prop_assert_eq!(all, single, "{}", q);
            prop_assert_eq!(looked_at.get(), looked_at_singly, "samples of {}", q);
        }
    }
}
