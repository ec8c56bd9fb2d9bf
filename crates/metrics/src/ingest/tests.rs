use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt32Type};
use arrow_array::{Array, RecordBatch};
use base::{Labels, Tenant};
use proptest::prelude::*;
use table::TableSpec;
use wire::proto::Writer;
use wire::remote_write::RequestWriter;

use super::*;

const NOW_MS: i64 = 1_700_000_000_000;

/// Keeps what a codec gives it.
#[derive(Default)]
struct Recorder {
    known: HashMap<u128, u32>,
    labels: Vec<Labels>,
    refusals: Vec<Refusal>,
    not_admitted: Vec<u32>,
    batches: Vec<RecordBatch>,
}

impl Sink for Recorder {
    fn table(&self, spec: &TableSpec) -> Result<TableId> {
        assert_eq!(spec.name, "samples");
        Ok(TableId(3))
    }
    fn series(&mut self, _: TableId, raw: u128, labels: &mut dyn FnMut() -> Result<Labels>) -> Result<u32> {
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
    fn rows(&mut self, _: TableId, batch: RecordBatch) {
        self.batches.push(batch);
    }
}

fn decode_into(sink: &mut Recorder, options: Options, body: &[u8]) -> Result<()> {
    let header = FrameHeader {
        tenant: Tenant::default(),
        received_ns: NOW_MS * 1_000_000,
        codec: REMOTE_WRITE_1,
        options: options.to_bytes(),
        origin: None,
        refused: vec![],
    };
    codecs()[0].decode(&header, &Bytes::copy_from_slice(body), sink)
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
fn exemplars_and_metadata_are_counted() {
    let mut w = Writer::default();
    w.message(1, |w| {
        w.message(1, |w| {
            w.bytes(1, b"__name__");
            w.bytes(2, b"x");
        });
        w.message(3, |w| w.double(2, 1.0));
    });
    w.message(3, |w| w.bytes(2, b"x"));
    let before = (NOT_KEPT.exemplars.load(Ordering::Relaxed), NOT_KEPT.metadata.load(Ordering::Relaxed));
    assert!(decode(&w.out).unwrap().batches.is_empty());
    assert!(NOT_KEPT.exemplars.load(Ordering::Relaxed) > before.0 && NOT_KEPT.metadata.load(Ordering::Relaxed) > before.1);
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
    assert!(select(Some("application/x-protobuf;proto=io.prometheus.write.v2.Request"), Some("snappy")).is_err());
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
