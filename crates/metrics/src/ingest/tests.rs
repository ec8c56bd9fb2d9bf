use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt32Type};
use arrow_array::{Array, RecordBatch};
use base::{Labels, Tenant};
use proptest::prelude::*;
use table::TableSpec;
use wire::proto::Writer;
use wire::remote_write::RequestWriter;

use base::Error;
use table::{FrameHeader, Refusal, Sink, TableId};
use wire::otlp::Form;

use super::otlp::Translation;
use super::*;
use crate::SPEC;

mod bounded;

const NOW_MS: i64 = 1_700_000_000_000;

/// Keeps what a codec gives it.
#[derive(Default)]
struct Recorder {
    known: HashMap<u128, u32>,
    labels: Vec<Labels>,
    refusals: Vec<Refusal>,
    not_admitted: Vec<u32>,
    batches: Vec<RecordBatch>,
    exemplars: Vec<RecordBatch>,
    about: Vec<RecordBatch>,
    counts: Vec<(&'static str, u64)>,
}

const SAMPLES: TableId = TableId(3);
const EXEMPLARS: TableId = TableId(4);
const ABOUT: TableId = TableId(5);

impl Sink for Recorder {
    fn table(&self, spec: &TableSpec) -> Result<TableId> {
        match spec.name {
            "samples" => Ok(SAMPLES),
            "exemplars" => Ok(EXEMPLARS),
            "metric_metadata" => Ok(ABOUT),
            other => Err(Error::internal(other)),
        }
    }
    fn series(&mut self, table: TableId, raw: u128, labels: &mut dyn FnMut() -> Result<Labels>) -> Result<u32> {
        let raw = raw ^ u128::from(table.0);
        if let Some(n) = self.known.get(&raw) {
            return Ok(*n);
        }
        self.labels.push(labels()?);
        self.known.insert(raw, self.labels.len() as u32 - 1);
        Ok(self.labels.len() as u32 - 1)
    }
    fn admit(&mut self, ordinal: u32, _: TableId, _: u32, _: u64, _: i64) -> bool {
        !self.not_admitted.contains(&ordinal)
    }
    fn refuse(&mut self, refusal: Refusal) {
        self.refusals.push(refusal);
    }
    fn rows(&mut self, table: TableId, batch: RecordBatch) {
        match table {
            SAMPLES => self.batches.push(batch),
            EXEMPLARS => self.exemplars.push(batch),
            _ => self.about.push(batch),
        }
    }
    fn count(&mut self, kind: &'static str, entries: u64) {
        self.counts.push((kind, entries));
    }
}

fn decode_as(codec: u16, sink: &mut Recorder, options: Bytes, body: &[u8]) -> Result<()> {
    let header = FrameHeader {
        tenant: Tenant::default(),
        received_ns: NOW_MS * 1_000_000,
        codec,
        options,
        origin: None,
        refused: vec![],
        rows: None,
    };
    let codec = codecs().into_iter().find(|c| c.id() == codec).unwrap();
    codec.decode(&header, &Bytes::copy_from_slice(body), sink)
}

fn decode_into(sink: &mut Recorder, options: Options, body: &[u8]) -> Result<()> {
    decode_as(REMOTE_WRITE_1, sink, options.to_bytes(), body)
}

fn decode(body: &[u8]) -> Result<Recorder> {
    let mut sink = Recorder::default();
    decode_into(&mut sink, Options::default(), body)?;
    Ok(sink)
}

/// `labels|time - NOW|value bits or h:<bytes>`
fn rows(r: &Recorder) -> Vec<String> {
    let mut out = vec![];
    for b in &r.batches {
        assert_eq!(b.schema(), SPEC.schema());
        let histogram = b.column(3).as_binary_view();
        for i in 0..b.num_rows() {
            let labels = &r.labels[b.column(0).as_primitive::<UInt32Type>().value(i) as usize];
            let time = b.column(1).as_primitive::<Int64Type>().value(i) - NOW_MS;
            let value = b.column(2).as_primitive::<Float64Type>().value(i);
            let value = if histogram.is_null(i) { format!("{:x}", value.to_bits()) } else { format!("{value}:{:?}", histogram.value(i)) };
            out.push(format!("{labels}|{time}|{value}"));
        }
    }
    out
}

fn histogram(time_ms: i64) -> Vec<u8> {
    let mut w = Writer::default();
    w.varint(1, 5);
    w.varint(6, 5);
    w.varint(15, time_ms as u64);
    w.out
}

#[test]
fn a_write_becomes_rows() {
    let stale = f64::from_bits(crate::spec::STALE_NAN_BITS);
    let h = histogram(NOW_MS + 2);
    let mut w = RequestWriter::default();
    w.series([("__name__", "up"), ("job", "a")], &[(NOW_MS, 1.0), (NOW_MS + 1, stale)], &[]);
    w.series([("zone", "한"), ("__name__", "h.utf8")], &[(NOW_MS, -0.0)], &[&h]);
    w.series([("__name__", "empty")], &[], &[]);
    let body = w.finish();
    let want = [
        r#"{__name__="up", job="a"}|0|3ff0000000000000"#.to_owned(),
        r#"{__name__="up", job="a"}|1|7ff0000000000002"#.to_owned(),
        r#"{__name__="h.utf8", zone="한"}|0|8000000000000000"#.to_owned(),
        format!(r#"{{__name__="h.utf8", zone="한"}}|2|0:{h:?}"#),
    ];
    let got = decode(&body).unwrap();
    assert_eq!(rows(&got), want);
    assert_eq!(got.labels.len(), 2, "a series without samples is not registered");
    let mut sink = Recorder::default();
    let sent = wire::encoding::encode(Encoding::SnappyBlock, &body).unwrap();
    decode_into(&mut sink, Options::encoded(Encoding::SnappyBlock), &sent).unwrap();
    assert_eq!(rows(&sink), want);
}

#[test]
fn what_cannot_be_kept_is_refused_and_the_rest_is_kept() {
    let mut w = RequestWriter::default();
    w.series([("__name__", "up")], &[(NOW_MS + 600_001, 1.0), (NOW_MS + 600_000, 2.0)], &[]);
    w.series([("job", "a")], &[(NOW_MS, 1.0), (NOW_MS, 2.0)], &[]);
    w.series([("__name__", "up"), ("a", "1"), ("a", "2")], &[(NOW_MS, 1.0)], &[]);
    w.series([("__name__", "up"), ("", "2")], &[(NOW_MS, 1.0)], &[]);
    w.series([("__name__", ""), ("a", "2")], &[(NOW_MS, 1.0)], &[]);
    w.series([("__name__", "up"), ("a", "1"), ("b", "1"), ("c", "1")], &[(NOW_MS, 1.0)], &[]);
    w.series([("__name__", "up"), ("long_name", "1")], &[(NOW_MS, 1.0)], &[]);
    w.series([("__name__", "up"), ("a", "long value")], &[(NOW_MS, 1.0)], &[]);
    w.series([("__name__", "up")], &[(NOW_MS, 3.0)], &[]);
    let options = Options { labels: 3, label_name_bytes: 8, label_value_bytes: 9, ..Options::default() };
    let mut got = Recorder { not_admitted: vec![10], ..Recorder::default() };
    decode_into(&mut got, options, &w.finish()).unwrap();
    assert_eq!(rows(&got), [r#"{__name__="up"}|600000|4000000000000000"#]);
    let refused: Vec<_> = got.refusals.iter().map(|r| (r.ordinal, r.reason)).collect();
    let want = [
        (0, "too_far_in_future"),
        (2, "missing_metric_name"),
        (3, "missing_metric_name"),
        (4, "duplicate_label_names"),
        (5, "invalid_labels"),
        (6, "missing_metric_name"),
        (7, "max_label_names_per_series"),
        (8, "label_name_too_long"),
        (9, "label_value_too_long"),
    ];
    assert_eq!(refused, want);
    assert_eq!(got.refusals[0].message, "out of bounds: a sample of up{} has time 2023-11-14T22:23:20Z, too far in the future");
    assert_eq!(got.refusals[3].message, "series up{a=\"1\", a=\"2\"}: label name \"a\" is not unique");
}

#[test]
fn times_that_nobody_can_ask_for_are_refused() {
    let mut w = RequestWriter::default();
    let first = base::limits::PAST_NS / 1_000_000;
    let samples = [i64::MIN, first - 1, first, 0, NOW_MS, i64::MAX].map(|t| (t, 1.0));
    w.series([("__name__", "up")], &samples, &[&histogram(i64::MIN)]);
    w.exemplar([("__name__", "up")], [("trace_id", "abc")], i64::MIN, 1.5);
    let got = decode(&w.finish()).unwrap();
    assert_eq!(rows(&got).len(), 3);
    let refused: Vec<_> = got.refusals.iter().map(|r| (r.ordinal, r.reason)).collect();
    let past = "too_far_in_past";
    assert_eq!(refused, [(0, past), (1, past), (5, "too_far_in_future"), (6, past), (7, past)]);
    let text = "out of bounds: a sample of up{} has time -9223372036854775808 (milliseconds since 1970), too far in the past";
    assert_eq!(got.refusals[0].message, text);
}

/// The label sets of the rows of a table, with their times after NOW.
fn named(r: &Recorder, batches: &[RecordBatch]) -> Vec<(String, i64)> {
    let rows = batches.iter().flat_map(|b| (0..b.num_rows()).map(move |i| (b, i)));
    rows.map(|(b, i)| {
        let labels = &r.labels[b.column(0).as_primitive::<UInt32Type>().value(i) as usize];
        (labels.to_string(), b.column(1).as_primitive::<Int64Type>().value(i) - NOW_MS)
    })
    .collect()
}

#[test]
fn exemplars_and_metadata_go_to_their_tables() {
    let mut w = RequestWriter::default();
    w.exemplar([("__name__", "x"), ("job", "a")], [("trace_id", "abc")], NOW_MS - 5, 1.5);
    w.exemplar([("__name__", "x"), ("job", "a")], [("", "nameless")], NOW_MS - 5, 1.5);
    w.metadata(1, "x", "What x is.", "seconds");
    w.metadata(1, "x", "What x is.", "seconds");
    w.metadata(0, "nothing_said", "", "");
    let got = decode(&w.finish()).unwrap();
    assert!(got.batches.is_empty());
    assert_eq!(named(&got, &got.exemplars), [(r#"{__name__="x", job="a"}"#.to_owned(), -5)]);
    assert_eq!(got.exemplars[0].column(2).as_primitive::<Float64Type>().value(0), 1.5);
    let day = NOW_MS.rem_euclid(crate::about::DAY_MS);
    assert_eq!(named(&got, &got.about), [(r#"{__name__="x", help="What x is.", type="counter", unit="seconds"}"#.to_owned(), -day)]);
    assert_eq!(got.counts, [(kind::SAMPLES, 0), (kind::HISTOGRAMS, 0), (kind::EXEMPLARS, 1)]);
    assert_eq!(got.refusals.iter().map(|r| (r.ordinal, r.reason)).collect::<Vec<_>>(), [(1, "invalid_exemplar")]);
}

#[test]
fn broken_histograms_are_refused_and_the_rest_is_kept() {
    let broken = |f: &dyn Fn(&mut Writer)| {
        let mut w = Writer::default();
        w.varint(15, NOW_MS as u64);
        f(&mut w);
        w.out
    };
    let span = |w: &mut Writer, offset: u64, length: u64| {
        w.message(11, |w| {
            w.varint(1, offset << 1);
            w.varint(2, length);
        });
    };
    let bad: [Vec<u8>; 6] = [
        // A count that its buckets do not have.
        broken(&|w| w.varint(1, 5)),
        // A span without counts.
        broken(&|w| span(w, 0, 3)),
        // A schema that does not exist.
        broken(&|w| w.varint(4, 200)),
        // More observations taken away than there were.
        broken(&|w| {
            span(w, 0, 2);
            w.bytes(12, &[2, 5]);
            w.varint(1, 0);
        }),
        // Custom bounds that fall.
        broken(&|w| {
            w.varint(4, 105);
            w.bytes(16, &[2.0f64, 1.0].map(f64::to_le_bytes).concat());
        }),
        // A bucket beyond the custom bounds.
        broken(&|w| {
            w.varint(4, 105);
            w.varint(1, 1);
            span(w, 7, 1);
            w.bytes(12, &[2]);
            w.bytes(16, &1.0f64.to_le_bytes());
        }),
    ];
    let good = histogram(NOW_MS + 1);
    let mut all: Vec<&[u8]> = bad.iter().map(Vec::as_slice).collect();
    all.push(&good);
    let mut w = RequestWriter::default();
    w.series([("__name__", "h")], &[], &all);
    let got = decode(&w.finish()).unwrap();
    assert_eq!(rows(&got), [format!(r#"{{__name__="h"}}|1|0:{good:?}"#)]);
    let refused: Vec<_> = got.refusals.iter().map(|r| (r.ordinal, r.reason)).collect();
    assert_eq!(refused, (0..6).map(|i| (i, "invalid_histogram")).collect::<Vec<_>>());
    assert_eq!(got.counts[1], (kind::HISTOGRAMS, 1));
}

#[test]
fn version_two_has_starts_and_names_what_its_series_lack() {
    let mut w = Writer::default();
    for s in ["", "__name__", "up_total", "job", "a", "help", "trace", "t1"] {
        w.bytes(4, s.as_bytes());
    }
    let refs = |w: &mut Writer, r: &[u8]| w.bytes(1, r);
    let sample = |w: &mut Writer, time: i64, start: i64| {
        w.message(2, |w| {
            w.double(1, 1.0);
            w.varint(2, time as u64);
            w.varint(3, start as u64);
        });
    };
    w.message(5, |w| {
        refs(w, &[1, 2, 3, 4]);
        sample(w, NOW_MS, NOW_MS - 60_000);
        sample(w, NOW_MS + 1, 0);
        w.message(4, |w| {
            refs(w, &[6, 7]);
            w.varint(3, NOW_MS as u64);
        });
        w.message(5, |w| {
            w.varint(1, 1);
            w.varint(3, 5);
        });
        // A help, and a unit, that the request does not have: the samples beside them are kept.
        for field in [3, 4] {
            w.message(5, |w| {
                w.varint(1, 2);
                w.varint(field, 99);
            });
        }
    });
    // Symbols that are not there; no name; names without a value.
    for r in [&[1u8, 99][..], &[3, 4], &[1, 2, 3]] {
        w.message(5, |w| {
            refs(w, r);
            sample(w, NOW_MS, 0);
        });
    }
    let mut got = Recorder::default();
    decode_as(REMOTE_WRITE_2, &mut got, Options::default().to_bytes(), &w.out).unwrap();
    assert_eq!(rows(&got), [0, 1].map(|t| format!(r#"{{__name__="up_total", job="a"}}|{t}|3ff0000000000000"#)));
    let starts = got.batches[0].column(4).as_primitive::<Int64Type>();
    assert_eq!((starts.value(0), starts.is_null(1)), (NOW_MS - 60_000, true));
    assert_eq!(named(&got, &got.exemplars), [(r#"{__name__="up_total", job="a"}"#.to_owned(), 0)]);
    assert_eq!(got.about[0].num_rows(), 1);
    let refused: Vec<_> = got.refusals.iter().map(|r| r.reason).collect();
    assert_eq!(refused, ["invalid_metadata", "invalid_metadata", "invalid_labels", "missing_metric_name", "invalid_labels"]);
    assert_eq!(
        got.refusals[0].message,
        "metadata of up_total{job=\"a\"}: its help or unit refers to a symbol that the request does not have"
    );
    assert_eq!(got.counts, [(kind::SAMPLES, 2), (kind::HISTOGRAMS, 0), (kind::EXEMPLARS, 1)]);
}

fn decode_otlp(translation: &Translation, body: &str) -> Recorder {
    let (selected, form) = otlp::select(Some("application/json"), None, Options::default(), translation).unwrap();
    assert_eq!((selected.codec, form), (OTLP_JSON, Form::Json));
    let mut got = Recorder::default();
    decode_as(selected.codec, &mut got, selected.options, body.as_bytes()).unwrap();
    got
}

/// A request with these metrics of one service.
fn export(metrics: &str) -> String {
    let attribute = |k: &str, v: &str| format!(r#"{{"key":"{k}","value":{{"stringValue":"{v}"}}}}"#);
    let resource = [
        attribute("service.name", "shop"),
        attribute("service.namespace", "eu"),
        attribute("service.instance.id", "i1"),
        attribute("k8s.pod.name", "pod-1"),
    ]
    .join(",");
    format!(r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{resource}]}},"scopeMetrics":[{{"metrics":[{metrics}]}}]}}]}}"#)
}

/// Names and values of the samples, without the labels of the service.
fn values(r: &Recorder) -> Vec<String> {
    let short = |s: &String| s.replace(r#", instance="i1", job="eu/shop""#, "").replace(r#", job="eu/shop""#, "");
    rows(r)
        .iter()
        .map(|row| {
            let mut parts = row.split('|');
            let (labels, time, value) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            let value = u64::from_str_radix(value, 16).map_or_else(|_| "histogram".to_owned(), |v| f64::from_bits(v).to_string());
            format!("{} {time} {value}", short(&labels.to_owned()))
        })
        .collect()
}

#[test]
fn otlp_points_become_samples() {
    let t = format!(r#""timeUnixNano":"{}000000","startTimeUnixNano":"{}000000""#, NOW_MS, NOW_MS - 60_000);
    let metrics = [
        format!(
            r#"{{"name":"a.requests","unit":"1","description":"d","sum":{{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{{{t},"asInt":"7","attributes":[{{"key":"code","value":{{"intValue":200}}}}]}}]}}}}"#
        ),
        format!(r#"{{"name":"b","sum":{{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{{{t},"asDouble":2}}]}}}}"#),
        format!(
            r#"{{"name":"c","unit":"s","histogram":{{"aggregationTemporality":2,"dataPoints":[{{{t},"count":"3","sum":4.5,"bucketCounts":["1","2","0"],"explicitBounds":[0.5,1],"exemplars":[{{"asDouble":0.7,"timeUnixNano":"{NOW_MS}000000","traceId":"0102"}}]}}]}}}}"#
        ),
        format!(
            r#"{{"name":"d","summary":{{"dataPoints":[{{{t},"count":"2","sum":3,"quantileValues":[{{"quantile":0.5,"value":9}}]}}]}}}}"#
        ),
        format!(r#"{{"name":"e","gauge":{{"dataPoints":[{{{t},"flags":1}},{{{t}}}]}}}}"#),
        format!(r#"{{"name":"f","sum":{{"dataPoints":[{{{t},"asDouble":2}}]}}}}"#),
    ];
    let got = decode_otlp(&Translation::default(), &export(&metrics.join(",")));
    let want = [
        r#"{__name__="a_requests_total", code="200"} 0 7"#,
        r#"{__name__="b_total", __temporality__="delta"} 0 2"#,
        r#"{__name__="c_seconds_sum"} 0 4.5"#,
        r#"{__name__="c_seconds_count"} 0 3"#,
        r#"{__name__="c_seconds_bucket", instance="i1", job="eu/shop", le="0.5"} 0 1"#,
        r#"{__name__="c_seconds_bucket", instance="i1", job="eu/shop", le="1"} 0 3"#,
        r#"{__name__="c_seconds_bucket", instance="i1", job="eu/shop", le="+Inf"} 0 3"#,
        r#"{__name__="d_sum"} 0 3"#,
        r#"{__name__="d_count"} 0 2"#,
        r#"{__name__="d", instance="i1", job="eu/shop", quantile="0.5"} 0 9"#,
        r#"{__name__="e"} 0 NaN"#,
        r#"{__name__="target_info", instance="i1", job="eu/shop", k8s_pod_name="pod-1"} 0 1"#,
    ];
    let want = want.map(|w| w.replace(r#", instance="i1", job="eu/shop""#, ""));
    assert_eq!(values(&got), want);
    assert_eq!(got.batches[0].column(4).as_primitive::<Int64Type>().value(0), NOW_MS - 60_000);
    assert_eq!(got.exemplars[0].num_rows(), 1);
    assert!(named(&got, &got.exemplars)[0].0.contains("le=\"1\""));
    assert_eq!(got.refusals.iter().map(|r| r.reason).collect::<Vec<_>>(), ["no_value", "invalid_temporality"]);
    assert!(named(&got, &got.about).iter().any(|n| n.0 == r#"{__name__="a_requests_total", help="d", type="counter", unit="1"}"#));
}

#[test]
fn otlp_histograms_become_native_ones() {
    let t = format!(r#""timeUnixNano":"{NOW_MS}000000""#);
    let metrics = [
        format!(
            r#"{{"name":"x","exponentialHistogram":{{"aggregationTemporality":2,"dataPoints":[{{{t},"count":"10","sum":4,"scale":9,"zeroCount":"1","positive":{{"offset":-1,"bucketCounts":["1","2","3","0","0","3"]}}}}]}}}}"#
        ),
        format!(
            r#"{{"name":"y","histogram":{{"aggregationTemporality":2,"dataPoints":[{{{t},"count":"3","sum":4.5,"bucketCounts":["1","0","2"],"explicitBounds":[0.5,1]}}]}}}}"#
        ),
        format!(r#"{{"name":"z","exponentialHistogram":{{"aggregationTemporality":2,"dataPoints":[{{{t},"count":"1","scale":-5}}]}}}}"#),
    ];
    let translation = Translation { custom_buckets: true, promote: vec!["k8s.pod.name".into()], ..Translation::default() };
    let got = decode_otlp(&translation, &export(&metrics.join(",")));
    let column = got.batches[0].column(3).as_binary_view();
    let x = crate::histogram::Histogram::decode(column.value(0)).unwrap();
    // Scale 9 brought down to 8: of OTLP's buckets -1..=4 come -1, 0, 1, 2, and ours end where its begin.
    assert_eq!((x.schema, x.count, x.zero_count), (8, 10.0, 1.0));
    assert_eq!(x.positive, [(0, 1.0), (1, 5.0), (3, 3.0)]);
    let y = crate::histogram::Histogram::decode(column.value(1)).unwrap();
    assert_eq!((y.is_custom(), &*y.bounds, y.positive), (true, &[0.5, 1.0][..], vec![(0, 1.0), (2, 2.0)]));
    assert!(rows(&got)[0].contains("k8s_pod_name=\"pod-1\""));
    assert_eq!(got.refusals.iter().map(|r| r.reason).collect::<Vec<_>>(), ["invalid_histogram"]);
}

#[test]
fn labels_between_the_samples_are_labels_too() {
    let label = |w: &mut Writer, n: &str, v: &str| {
        w.message(1, |w| {
            w.bytes(1, n.as_bytes());
            w.bytes(2, v.as_bytes());
        });
    };
    let mut w = Writer::default();
    w.message(1, |w| {
        label(w, "__name__", "x");
        w.message(2, |w| w.varint(2, NOW_MS as u64));
        label(w, "late", "1");
    });
    assert_eq!(rows(&decode(&w.out).unwrap()), [r#"{__name__="x", late="1"}|0|0"#]);
}

#[test]
fn headers_choose_the_codec() {
    let select = |t, e| select_remote_write(t, e, Options::default()).map(|s| (s.codec, Options::from_bytes(&s.options).unwrap().encoding));
    let want = (REMOTE_WRITE_1, Encoding::SnappyBlock);
    assert_eq!(select(Some("application/x-protobuf"), Some("snappy")).unwrap(), want);
    assert_eq!(select(None, None).unwrap(), want);
    assert_eq!(select(Some("application/x-protobuf;proto=prometheus.WriteRequest"), None).unwrap(), want);
    assert_eq!(select(Some("application/x-protobuf"), Some("zstd")).unwrap().1, Encoding::Zstd);
    assert_eq!(select(Some("application/x-protobuf;proto=io.prometheus.write.v2.Request"), Some("snappy")).unwrap().0, REMOTE_WRITE_2);
    assert!(select(Some("application/x-protobuf;proto=io.prometheus.write.v3.Request"), Some("snappy")).is_err());
    assert!(select(Some("application/json"), None).is_err());
}

proptest! {
    /// Whatever arrives is decoded, refused or an error; and the same again the second time, as a replay needs.
    #[test]
    fn damaged_bodies_are_answered_the_same_way_twice(edits in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..6), cut in any::<u16>()) {
        let mut w = RequestWriter::default();
        w.series([("__name__", "up"), ("job", "a")], &[(NOW_MS, 1.0), (NOW_MS + 1, 2.0)], &[&histogram(NOW_MS)]);
        w.series([("__name__", "up"), ("job", "b")], &[(NOW_MS, 1.0)], &[]);
        let mut body = w.finish();
        for (at, to) in edits {
            let at = at as usize % body.len();
            body[at] = to;
        }
        body.truncate(body.len().saturating_sub(cut as usize % 64));
        match (decode(&body), decode(&body)) {
            (Ok(one), Ok(two)) => {
                prop_assert_eq!(rows(&one), rows(&two));
                prop_assert_eq!(one.refusals.len(), two.refusals.len());
            }
            (Err(one), Err(two)) => prop_assert_eq!(one.kind(), two.kind()),
            _ => prop_assert!(false, "decoded once and not the other time"),
        }
    }
}
