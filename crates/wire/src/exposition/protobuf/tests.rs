//! Pages made with generated types.

use proptest::prelude::*;
use prost::Message;

use super::*;

#[derive(Clone, PartialEq, Message)]
struct Family {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    help: Option<String>,
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    metrics: Vec<Metric>,
    #[prost(string, optional, tag = "5")]
    unit: Option<String>,
}
#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Pair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Single>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Single>,
    #[prost(message, optional, tag = "4")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "5")]
    untyped: Option<Single>,
    #[prost(int64, optional, tag = "6")]
    time_ms: Option<i64>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}
#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}
#[derive(Clone, PartialEq, Message)]
struct Single {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
}
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(uint64, optional, tag = "1")]
    count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    quantiles: Vec<Quantile>,
}
#[derive(Clone, PartialEq, Message)]
struct Quantile {
    #[prost(double, optional, tag = "1")]
    quantile: Option<f64>,
    #[prost(double, optional, tag = "2")]
    value: Option<f64>,
}
#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    bound: Option<f64>,
    #[prost(double, optional, tag = "4")]
    count_float: Option<f64>,
}
#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(sint32, optional, tag = "1")]
    offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    length: Option<u32>,
}
#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    buckets: Vec<Bucket>,
    #[prost(double, optional, tag = "4")]
    count_float: Option<f64>,
    #[prost(sint32, optional, tag = "5")]
    schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    zero_threshold: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    zero_count: Option<u64>,
    #[prost(double, optional, tag = "8")]
    zero_count_float: Option<f64>,
    #[prost(message, repeated, tag = "9")]
    negative_spans: Vec<Span>,
    #[prost(sint64, repeated, packed = "false", tag = "10")]
    negative_deltas: Vec<i64>,
    #[prost(message, repeated, tag = "12")]
    positive_spans: Vec<Span>,
    #[prost(sint64, repeated, packed = "false", tag = "13")]
    positive_deltas: Vec<i64>,
    #[prost(double, repeated, packed = "true", tag = "14")]
    positive_counts: Vec<f64>,
}
/// The `Histogram` of remote write.
#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(uint64, optional, tag = "1")]
    count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    count_float: Option<f64>,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    #[prost(uint64, optional, tag = "6")]
    zero_count: Option<u64>,
    #[prost(double, optional, tag = "7")]
    zero_count_float: Option<f64>,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "9")]
    negative_deltas: Vec<i64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "13")]
    positive_counts: Vec<f64>,
}

const BOTH: Histograms = Histograms { native: true, classic: true };
const NATIVE: Histograms = Histograms { native: true, classic: false };
const CLASSIC: Histograms = Histograms { native: false, classic: false };

fn page(families: &[Family]) -> Vec<u8> {
    families.iter().flat_map(|f| f.encode_length_delimited_to_vec()).collect()
}

fn family(name: &str, kind: i32, metrics: Vec<Metric>) -> Family {
    Family { name: Some(name.into()), kind: Some(kind), metrics, ..Family::default() }
}

/// Lines as the text format has them.
fn lines(page: &[u8], histograms: Histograms) -> Result<Vec<String>> {
    let mut out = vec![];
    read(page, histograms, &mut |line| {
        out.push(match line {
            Line::Type { name, kind } => format!("# TYPE {name} {kind}"),
            Line::Help { name, text } => format!("# HELP {name} {text}"),
            Line::Unit { name, unit } => format!("# UNIT {name} {unit}"),
            Line::Sample(s) => {
                let labels: Vec<String> = s.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
                format!("{}{{{}}} {} {:?}", s.name, labels.join(","), s.value, s.time_ms)
            }
            Line::Native(n) => {
                let h = Written::decode(&*n.message).unwrap();
                format!("{} native {:?}/{:?} sum {}", n.name, h.count, h.count_float, h.sum)
            }
        });
        Ok(())
    })?;
    Ok(out)
}

fn seconds() -> Histogram {
    Histogram {
        count: Some(5),
        sum: Some(7.5),
        buckets: vec![
            Bucket { count: Some(2), bound: Some(1.0), ..Bucket::default() },
            Bucket { count: Some(4), bound: Some(0.25), ..Bucket::default() },
        ],
        schema: Some(-1),
        zero_threshold: Some(1e-3),
        zero_count: Some(1),
        negative_spans: vec![Span { offset: Some(-2), length: Some(1) }],
        negative_deltas: vec![1],
        positive_spans: vec![Span { offset: Some(-1), length: Some(2) }, Span { offset: Some(3), length: Some(1) }],
        positive_deltas: vec![1, 0, 0],
        ..Histogram::default()
    }
}

#[test]
fn a_page_of_every_type() {
    let pair = |n: &str, v: &str| Pair { name: Some(n.into()), value: Some(v.into()) };
    let one = |v| Some(Single { value: Some(v) });
    let quantiles = vec![Quantile { quantile: Some(0.5), value: Some(1.5) }, Quantile { quantile: Some(1.0), value: Some(f64::NAN) }];
    let counter = Metric { labels: vec![pair("a", "b"), pair("e", "")], counter: one(3.0), time_ms: Some(-5), ..Metric::default() };
    let page = page(&[
        Family {
            help: Some("Of \\ things.".into()),
            unit: Some("things".into()),
            kind: None,
            ..family("c_total", 0, vec![counter, Metric { counter: Some(Single::default()), ..Metric::default() }])
        },
        family("g", 1, vec![Metric { gauge: one(f64::NEG_INFINITY), ..Metric::default() }]),
        family("s", 2, vec![Metric { summary: Some(Summary { count: Some(9), sum: Some(2.5), quantiles }), ..Metric::default() }]),
        family("u", 3, vec![Metric { untyped: one(1.0), ..Metric::default() }]),
        family("h", 4, vec![Metric { histogram: Some(seconds()), ..Metric::default() }]),
    ]);
    let before = [
        "# TYPE c_total counter",
        "# HELP c_total Of \\ things.",
        "# UNIT c_total things",
        "c_total{a=b,e=} 3 Some(-5)",
        "c_total{} 0 None",
        "# TYPE g gauge",
        "g{} -inf None",
        "# TYPE s summary",
        "s_count{} 9 None",
        "s_sum{} 2.5 None",
        "s{quantile=0.5} 1.5 None",
        "s{quantile=1.0} NaN None",
        "# TYPE u untyped",
        "u{} 1 None",
        "# TYPE h histogram",
    ];
    let native = ["h native Some(5)/None sum 7.5"];
    let classic =
        ["h_count{} 5 None", "h_sum{} 7.5 None", "h_bucket{le=1.0} 2 None", "h_bucket{le=0.25} 4 None", "h_bucket{le=+Inf} 5 None"];
    for (histograms, wanted) in [
        (CLASSIC, [&before[..], &classic].concat()),
        (NATIVE, [&before[..], &native].concat()),
        (BOTH, [&before[..], &native, &classic].concat()),
    ] {
        assert_eq!(lines(&page, histograms).unwrap(), wanted, "{histograms:?}");
    }
}

#[test]
fn a_native_histogram_is_that_of_remote_write() {
    let message = |h: Histogram| {
        let mut found = None;
        let metric = Metric { histogram: Some(h), time_ms: Some(7), ..Metric::default() };
        read(&page(&[family("h", 4, vec![metric])]), BOTH, &mut |line| {
            if let Line::Native(n) = line {
                assert_eq!((&*n.name, n.time_ms), ("h", Some(7)));
                found = Some(Written::decode(&*n.message).unwrap());
            }
            Ok(())
        })
        .unwrap();
        found
    };
    let Histogram { negative_spans, positive_spans, .. } = seconds();
    let wanted = Written {
        count: Some(5),
        sum: 7.5,
        schema: -1,
        zero_threshold: 1e-3,
        zero_count: Some(1),
        negative_spans,
        negative_deltas: vec![1],
        positive_spans: positive_spans.clone(),
        positive_deltas: vec![1, 0, 0],
        ..Written::default()
    };
    assert_eq!(message(seconds()), Some(wanted));
    // More than a float can count.
    let many = (1 << 60) + 1;
    assert_eq!(message(Histogram { count: Some(many), ..seconds() }).unwrap().count, Some(many));
    let float = Histogram { count_float: Some(4.5), zero_count_float: Some(0.5), positive_counts: vec![1.0, 1.5, 1.5], ..seconds() };
    let wanted = Written {
        count_float: Some(4.5),
        sum: 7.5,
        schema: -1,
        zero_threshold: 1e-3,
        zero_count_float: Some(0.5),
        negative_spans: seconds().negative_spans,
        positive_spans,
        positive_counts: vec![1.0, 1.5, 1.5],
        ..Written::default()
    };
    assert_eq!(message(float), Some(wanted));
    // One that has not counted yet has an empty span; one without is a classic one.
    let empty = Histogram { positive_spans: vec![Span::default()], ..Histogram::default() };
    assert!(message(empty).is_some());
    assert!(message(Histogram { schema: Some(3), buckets: seconds().buckets, ..Histogram::default() }).is_none());
}

#[test]
fn bounds_as_open_metrics_writes_them() {
    for (v, text) in [
        (0.0, "0.0"),
        (1.0, "1.0"),
        (-1.0, "-1.0"),
        (0.005, "0.005"),
        (2.5, "2.5"),
        (10.0, "10.0"),
        (100_000.0, "100000.0"),
        (1e6, "1e+06"),
        (1_234_567.5, "1.2345675e+06"),
        (1e-5, "1e-05"),
        (0.0001, "0.0001"),
        (5e-324, "5e-324"),
        (1e100, "1e+100"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
    ] {
        assert_eq!(open_metrics_number(v), text);
    }
}

#[test]
fn what_is_wrong_is_said() {
    let gauge = |labels| Metric { labels, gauge: Some(Single::default()), ..Metric::default() };
    let long = Pair { name: Some("a".into()), value: Some("v".repeat(LABEL_VALUE_BYTES)) };
    let whole = page(&[family("a", 1, vec![gauge(vec![])])]);
    let cases: [(Vec<u8>, &str); 9] = [
        (page(&[family("", 1, vec![])]), "no name"),
        (page(&[family("a", 6, vec![])]), "unknown type"),
        (page(&[family("a", -1, vec![])]), "unknown type"),
        (page(&[family("a", 4, vec![gauge(vec![])])]), "no value of its type, histogram"),
        (page(&[family("a", 1, vec![gauge(vec![long])])]), "too many labels"),
        (page(&[family("a", 1, vec![gauge(vec![Pair::default(); LABELS_PER_SERIES + 1])])]), "too many labels"),
        (vec![3, 0x0a, 1, 0xff], "UTF-8"),
        (whole[..whole.len() - 1].to_vec(), "cut short"),
        (vec![0x80], "cut short"),
    ];
    for (bytes, said) in cases {
        let e = lines(&bytes, BOTH).expect_err(said).to_string();
        assert!(e.contains(said), "{said}: {e}");
    }
    assert!(lines(&[], BOTH).unwrap().is_empty());
    // What a caller fails with ends the page.
    let two = page(&[family("a", 1, vec![]), family("b", 1, vec![])]);
    let mut count = 0;
    let stopped = read(&two, BOTH, &mut |_| {
        count += 1;
        Err(Error::invalid("enough"))
    });
    assert!(stopped.is_err_and(|e| e.message() == "enough") && count == 1);
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let _ = lines(&bytes, BOTH);
        let mut page = page(&[family("h", 4, vec![Metric { histogram: Some(seconds()), ..Metric::default() }])]);
        let at = at.index(page.len());
        page[at] = with;
        let _ = read(&page, BOTH, &mut |_| Ok(()));
    }
}

#[test]
fn exemplars() {
    let exemplar = |w: &mut Writer, number: u32, name: &str, at: Option<(u64, u64)>| {
        w.message(number, |w| {
            w.message(1, |w| {
                w.bytes(1, b"trace_id");
                w.bytes(2, name.as_bytes());
            });
            w.double(2, 0.5);
            if let Some((s, ns)) = at {
                w.message(3, |w| {
                    w.varint(1, s);
                    w.varint(2, ns);
                });
            }
        });
    };
    let page = |kind: u64, field: u32, body: &dyn Fn(&mut Writer)| {
        let mut w = Writer::default();
        w.bytes(1, b"m");
        w.varint(3, kind);
        w.message(4, |w| w.message(field, |w| body(w)));
        let mut page = vec![];
        base::attrs::write_varint(&mut page, w.out.len() as u64);
        page.extend(w.out);
        page
    };
    let shown = |page: &[u8], native: bool| {
        let mut out = vec![];
        let mut show = |line: Line<'_>| {
            let (name, all) = match line {
                Line::Sample(s) => (s.name.into_owned(), s.exemplar.into_iter().map(|e| *e).collect()),
                Line::Native(n) => (n.name.into_owned(), n.exemplars),
                _ => return Ok(()),
            };
            out.extend(all.iter().map(|e| format!("{name} {}={} {} {:?}", e.labels[0].0, e.labels[0].1, e.value, e.time_ms)));
            Ok(())
        };
        read(page, Histograms { native, classic: false }, &mut show).unwrap();
        out
    };
    let counter = page(0, 3, &|w| {
        w.double(1, 5.0);
        exemplar(w, 2, "c", None);
    });
    assert_eq!(shown(&counter, false), ["m trace_id=c 0.5 None"]);
    let histogram = |has_own: bool| {
        page(4, 7, &|w| {
            w.varint(1, 1);
            for (name, at) in [("b1", Some((7, 8_999_999))), ("b2", None)] {
                w.message(3, |w| {
                    w.varint(1, 1);
                    w.double(2, 2.0);
                    exemplar(w, 3, name, at);
                });
            }
            w.message(12, |w| w.varint(2, 1));
            w.varint(13, 2);
            if has_own {
                exemplar(w, 16, "n1", Some((9, 0)));
                exemplar(w, 16, "n2", None);
            }
        })
    };
    let of_buckets = ["m_bucket trace_id=b1 0.5 Some(7008)", "m_bucket trace_id=b2 0.5 None"];
    assert_eq!(shown(&histogram(true), false), of_buckets);
    assert_eq!(shown(&histogram(true), true), ["m trace_id=n1 0.5 Some(9000)"], "without a time they do not count");
    assert_eq!(shown(&histogram(false), true), ["m trace_id=b1 0.5 Some(7008)"]);
    let broken = page(0, 3, &|w| {
        w.double(1, 5.0);
        w.bytes(2, &[0xff]);
    });
    assert!(shown(&broken, false).is_empty(), "it costs itself alone");
}
