use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt8Type, UInt32Type};
use arrow_array::{Array, RecordBatch};
use base::attrs::{self, Value};
use base::{Kind, Labels, Tenant};
use proptest::prelude::*;
use table::{Refusal, TableId, TableSpec};
use wire::otlp::{SpanFields, span_field};
use wire::proto::Writer;

use super::*;

const NOW: i64 = 1_700_000_000_000_000_000;

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
        assert_eq!(spec.name, "spans");
        Ok(TableId(2))
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

fn decode_into(sink: &mut Recorder, codec: u16, body: &[u8]) -> Result<()> {
    let options = Options::default().to_bytes();
    let header = FrameHeader { tenant: Tenant::default(), received_ns: NOW, codec, options, origin: None, refused: vec![], rows: None };
    let codec = codecs().into_iter().find(|c| c.id() == codec).unwrap();
    codec.decode(&header, &Bytes::copy_from_slice(body), sink)
}

fn decode(codec: u16, body: &[u8]) -> Result<Recorder> {
    let mut sink = Recorder::default();
    decode_into(&mut sink, codec, body)?;
    Ok(sink)
}

fn refused(r: &Recorder) -> Vec<(u32, &str)> {
    r.refusals.iter().map(|x| (x.ordinal, x.reason)).collect()
}

fn span() -> SpanFields<'static> {
    SpanFields {
        trace_id: [0xab; 16],
        span_id: [1; 8],
        parent_id: Some([2; 8]),
        name: "GET /a/long/path",
        kind: 2,
        start_ns: NOW as u64,
        end_ns: NOW as u64 + 5,
        status: 2,
        status_message: "it did not work out",
        attributes: &[("http.method", Value::Str("GET")), ("n", Value::Int(3))],
        events: &[(NOW as u64 + 1, "boom")],
    }
}

const RESOURCE: [(&str, Value<'static>); 2] = [("service.name", Value::Str("shop")), ("process.pid", Value::Int(5))];

fn i64s(b: &RecordBatch, column: &str) -> Vec<i64> {
    b[column].as_primitive::<Int64Type>().values().to_vec()
}

#[test]
fn a_trace_becomes_rows() {
    let root =
        SpanFields { span_id: [2; 8], parent_id: None, kind: 1, status: 0, status_message: "", attributes: &[], events: &[], ..span() };
    let body = wire::otlp::traces(&RESOURCE, ("lib", "1"), &[span(), root]);
    let got = decode(OTLP_PROTOBUF, &body).unwrap();
    assert_eq!(got.labels.len(), 1);
    assert_eq!(
        got.labels[0].to_string(),
        r#"{resource.process.pid:int="5", resource.service.name="shop", scope.name="lib", scope.version="1"}"#
    );
    let b = &got.batches[0];
    assert_eq!(b.schema(), crate::SPEC.schema());
    assert_eq!(b["trace_id"].as_fixed_size_binary().value(0), [0xab; 16]);
    assert_eq!(b["span_id"].as_fixed_size_binary().value(1), [2; 8]);
    let parent = b["parent_id"].as_fixed_size_binary();
    assert!(parent.value(0) == [2; 8] && parent.is_null(1));
    assert_eq!(b["name"].as_string_view().value(0), "GET /a/long/path");
    assert_eq!(b["kind"].as_primitive::<UInt8Type>().values().to_vec(), [2, 1]);
    assert_eq!(b["status"].as_primitive::<UInt8Type>().values().to_vec(), [2, 0]);
    assert_eq!(b["status_message"].as_string_view().iter().collect::<Vec<_>>(), [Some("it did not work out"), None]);
    assert_eq!((i64s(b, "time_ns"), i64s(b, "duration_ns")), (vec![NOW, NOW], vec![5, 5]));
    assert_eq!(b["flags"].as_primitive::<UInt32Type>().values().to_vec(), [0, 0]);
    let attributes = b["attributes"].as_binary_view();
    let list: Vec<_> = attrs::iter(attributes.value(0)).collect();
    assert_eq!(list, [("http.method", Value::Str("GET")), ("n", Value::Int(3))]);
    assert!(attributes.is_null(1) && b["events"].is_null(1) && b["links"].is_null(0) && b["dropped"].is_null(0));
    assert_eq!(b["events"].as_binary_view().value(0)[0], (span_field::EVENTS << 3 | 2) as u8);
    // The body itself is the buffer of the attributes.
    assert_eq!(attributes.data_buffers()[0].as_slice(), body);
}

#[test]
fn json_is_read_like_protobuf() {
    let json = format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}},{{"key":"process.pid","value":{{"intValue":"5"}}}}]}},
          "scopeSpans":[{{"scope":{{"name":"lib","version":"1"}},"spans":[{{"traceId":"{}","spanId":"{}","parentSpanId":"{}","name":"GET /a/long/path","kind":2,
          "startTimeUnixNano":"{NOW}","endTimeUnixNano":"{}","attributes":[{{"key":"http.method","value":{{"stringValue":"GET"}}}},{{"key":"n","value":{{"intValue":3}}}}],
          "events":[{{"timeUnixNano":"{}","name":"boom"}}],"status":{{"message":"it did not work out","code":2}}}}]}}]}}]}}"#,
        "ab".repeat(16),
        "01".repeat(8),
        "02".repeat(8),
        NOW + 5,
        NOW + 1
    );
    let one = decode(OTLP_JSON, json.as_bytes()).unwrap();
    let two = decode(OTLP_PROTOBUF, &wire::otlp::traces(&RESOURCE, ("lib", "1"), &[span()])).unwrap();
    assert_eq!(one.labels, two.labels);
    assert_eq!(one.batches, two.batches);
}

/// A request with one span, written field by field.
fn raw(span: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::default();
    w.message(1, |w| w.message(2, |w| w.message(2, span)));
    w.out
}

#[test]
fn fields_that_lie_apart_are_gathered() {
    let attribute = |w: &mut Writer, key: &str| {
        w.message(span_field::ATTRIBUTES, |w| w.bytes(1, key.as_bytes()));
    };
    let body = raw(|w| {
        attribute(w, "first");
        w.bytes(span_field::TRACE_ID, &[1; 16]);
        w.varint(span_field::DROPPED_EVENTS, 7);
        w.bytes(span_field::SPAN_ID, &[1; 8]);
        w.varint(span_field::DROPPED_LINKS, 0);
        attribute(w, "second");
        w.bytes(span_field::PARENT_ID, &[0; 8]);
    });
    let got = decode(OTLP_PROTOBUF, &body).unwrap();
    let b = &got.batches[0];
    let keys: Vec<_> = attrs::iter(b["attributes"].as_binary_view().value(0)).map(|(k, _)| k).collect();
    assert_eq!(keys, ["first", "second"]);
    assert_eq!(b["dropped"].as_binary_view().value(0), [(span_field::DROPPED_EVENTS << 3) as u8, 7]);
    assert!(b["parent_id"].is_null(0));
    assert_eq!(b["name"].as_string_view().value(0), "");
}

#[test]
fn what_cannot_be_kept_is_refused_and_the_rest_is_kept() {
    let late = SpanFields { start_ns: NOW as u64 + 600_000_000_001, ..span() };
    let ever = SpanFields { start_ns: u64::MAX, ..span() };
    let backwards = SpanFields { end_ns: 0, ..span() };
    let mut body = wire::otlp::traces(&RESOURCE, ("lib", "1"), &[late, ever, backwards]);
    for ids in [
        (vec![], vec![1; 8], vec![]),
        (vec![0; 16], vec![1; 8], vec![]),
        (vec![1; 16], vec![1; 7], vec![]),
        (vec![1; 16], vec![0; 8], vec![]),
        (vec![1; 16], vec![1; 8], vec![1; 3]),
    ] {
        body.extend(raw(|w| {
            w.bytes(span_field::TRACE_ID, &ids.0);
            w.bytes(span_field::SPAN_ID, &ids.1);
            w.bytes(span_field::PARENT_ID, &ids.2);
        }));
    }
    let long = "x".repeat(wire::limits::OWNER_BYTES);
    body.extend(wire::otlp::traces(&[("long", Value::Str(&long))], ("", ""), &[span()]));
    body.extend(wire::otlp::traces(&[("long", Value::Str(&long[..70_000]))], ("", ""), &[span()]));
    body.extend(wire::otlp::traces(&RESOURCE, ("lib", "1"), &[span(), span()]));
    let mut got = Recorder { not_admitted: vec![10], ..Recorder::default() };
    decode_into(&mut got, OTLP_PROTOBUF, &body).unwrap();
    let want = [
        (0, "too_far_in_future"),
        (1, "too_far_in_future"),
        (3, "invalid_trace_id"),
        (4, "invalid_trace_id"),
        (5, "invalid_span_id"),
        (6, "invalid_span_id"),
        (7, "invalid_parent_id"),
        (8, "resource_too_large"),
        (9, "resource_attribute_too_long"),
    ];
    assert_eq!(refused(&got), want);
    assert_eq!(i64s(&got.batches[0], "duration_ns"), [0, 5]);
    assert!(got.refusals[5].message.contains("0000000000000000"), "{}", got.refusals[5].message);
}

#[test]
fn names_that_are_not_utf8_are_repaired() {
    let body = raw(|w| {
        w.bytes(span_field::TRACE_ID, &[1; 16]);
        w.bytes(span_field::SPAN_ID, &[1; 8]);
        w.bytes(span_field::NAME, b"a name that is \xff not inlined");
    });
    let got = decode(OTLP_PROTOBUF, &body).unwrap();
    assert_eq!(got.batches[0]["name"].as_string_view().value(0), "a name that is \u{fffd} not inlined");
}

#[test]
fn bodies_that_are_none_are_errors() {
    assert_eq!(decode(OTLP_PROTOBUF, b"\xff").err().unwrap().kind(), Kind::Invalid);
    assert_eq!(decode(OTLP_JSON, b"\xff").err().unwrap().kind(), Kind::Invalid);
    assert!(decode(OTLP_PROTOBUF, b"").unwrap().batches.is_empty());
    let (s, form) = select_otlp(Some("application/x-protobuf"), Some("gzip"), Options::default()).unwrap();
    assert_eq!((s.codec, form, Options::from_bytes(&s.options).unwrap().encoding), (OTLP_PROTOBUF, Form::Protobuf, Encoding::Gzip));
    assert!(select_otlp(Some("text/plain"), None, Options::default()).is_err());
}

proptest! {
    /// Whatever arrives is decoded, refused or an error; and the same again the second time, as a replay needs.
    #[test]
    fn damaged_bodies_are_answered_the_same_way_twice(edits in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..6), cut in any::<u16>()) {
        let mut body = wire::otlp::traces(&RESOURCE, ("lib", "1"), &[span(), span()]);
        for (at, to) in edits {
            let at = at as usize % body.len();
            body[at] = to;
        }
        body.truncate(body.len().saturating_sub(cut as usize % 64));
        match (decode(OTLP_PROTOBUF, &body), decode(OTLP_PROTOBUF, &body)) {
            (Ok(one), Ok(two)) => {
                prop_assert_eq!(&one.batches, &two.batches);
                prop_assert_eq!(one.labels, two.labels);
                prop_assert_eq!(one.refusals.len(), two.refusals.len());
            }
            (Err(one), Err(two)) => prop_assert_eq!(one.kind(), two.kind()),
            _ => prop_assert!(false, "decoded once and not the other time"),
        }
    }
}
