use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};
use table::{Codec, FrameHeader, MemoryRows, Refusal, Sink, TableId, TableSpec};

use super::*;
use crate::ingest::{codecs, select_otlp};

/// OTLP's messages as a plain decoder sees them (opentelemetry-proto `trace.proto`, `common.proto`, `resource.proto`).
mod otlp {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TracesData {
        #[prost(message, repeated, tag = "1")]
        pub resource_spans: Vec<ResourceSpans>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TraceByIdResponse {
        #[prost(message, optional, tag = "1")]
        pub trace: Option<TracesData>,
        #[prost(message, optional, tag = "2")]
        pub metrics: Option<Empty>,
        #[prost(int32, tag = "3")]
        pub status: i32,
        #[prost(string, tag = "4")]
        pub message: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Empty {}
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ResourceSpans {
        #[prost(message, optional, tag = "1")]
        pub resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub scope_spans: Vec<ScopeSpans>,
        #[prost(string, tag = "3")]
        pub schema_url: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Resource {
        #[prost(message, repeated, tag = "1")]
        pub attributes: Vec<KeyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ScopeSpans {
        #[prost(message, optional, tag = "1")]
        pub scope: Option<Scope>,
        #[prost(message, repeated, tag = "2")]
        pub spans: Vec<Span>,
        #[prost(string, tag = "3")]
        pub schema_url: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Scope {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub version: String,
        #[prost(message, repeated, tag = "3")]
        pub attributes: Vec<KeyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Span {
        #[prost(bytes, tag = "1")]
        pub trace_id: Vec<u8>,
        #[prost(bytes, tag = "2")]
        pub span_id: Vec<u8>,
        #[prost(string, tag = "3")]
        pub trace_state: String,
        #[prost(bytes, tag = "4")]
        pub parent_span_id: Vec<u8>,
        #[prost(string, tag = "5")]
        pub name: String,
        #[prost(int32, tag = "6")]
        pub kind: i32,
        #[prost(fixed64, tag = "7")]
        pub start: u64,
        #[prost(fixed64, tag = "8")]
        pub end: u64,
        #[prost(message, repeated, tag = "9")]
        pub attributes: Vec<KeyValue>,
        #[prost(uint32, tag = "10")]
        pub dropped_attributes: u32,
        #[prost(message, repeated, tag = "11")]
        pub events: Vec<Event>,
        #[prost(uint32, tag = "12")]
        pub dropped_events: u32,
        #[prost(message, repeated, tag = "13")]
        pub links: Vec<Link>,
        #[prost(uint32, tag = "14")]
        pub dropped_links: u32,
        #[prost(message, optional, tag = "15")]
        pub status: Option<Status>,
        #[prost(fixed32, tag = "16")]
        pub flags: u32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Event {
        #[prost(fixed64, tag = "1")]
        pub time: u64,
        #[prost(string, tag = "2")]
        pub name: String,
        #[prost(message, repeated, tag = "3")]
        pub attributes: Vec<KeyValue>,
        #[prost(uint32, tag = "4")]
        pub dropped_attributes: u32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Link {
        #[prost(bytes, tag = "1")]
        pub trace_id: Vec<u8>,
        #[prost(bytes, tag = "2")]
        pub span_id: Vec<u8>,
        #[prost(string, tag = "3")]
        pub trace_state: String,
        #[prost(message, repeated, tag = "4")]
        pub attributes: Vec<KeyValue>,
        #[prost(uint32, tag = "5")]
        pub dropped_attributes: u32,
        #[prost(fixed32, tag = "6")]
        pub flags: u32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Status {
        #[prost(string, tag = "2")]
        pub message: String,
        #[prost(int32, tag = "3")]
        pub code: i32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct KeyValue {
        #[prost(string, tag = "1")]
        pub key: String,
        #[prost(message, optional, tag = "2")]
        pub value: Option<AnyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct AnyValue {
        #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5, 6, 7")]
        pub value: Option<Any>,
    }
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Any {
        #[prost(string, tag = "1")]
        Str(String),
        #[prost(bool, tag = "2")]
        Bool(bool),
        #[prost(int64, tag = "3")]
        Int(i64),
        #[prost(double, tag = "4")]
        Double(f64),
        #[prost(message, tag = "5")]
        Array(Array),
        #[prost(message, tag = "6")]
        Map(Map),
        #[prost(bytes, tag = "7")]
        Bytes(Vec<u8>),
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Array {
        #[prost(message, repeated, tag = "1")]
        pub values: Vec<AnyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Map {
        #[prost(message, repeated, tag = "1")]
        pub values: Vec<KeyValue>,
    }
}
use otlp::*;

const ID: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0xab];
const START: u64 = 1_700_000_000_000_000_000;

/// Gives numbers to series and keeps batches.
#[derive(Default)]
struct Collected {
    series: Vec<Labels>,
    by_raw: BTreeMap<u128, u32>,
    batches: Vec<RecordBatch>,
}

impl Sink for Collected {
    fn table(&self, spec: &TableSpec) -> Result<TableId> {
        assert_eq!(spec.name, SPEC.name);
        Ok(TableId(0))
    }
    fn series(&mut self, _: TableId, raw: u128, labels: &mut dyn FnMut() -> Result<Labels>) -> Result<u32> {
        if let Some(n) = self.by_raw.get(&raw) {
            return Ok(*n);
        }
        self.series.push(labels()?);
        let n = self.series.len() as u32 - 1;
        self.by_raw.insert(raw, n);
        Ok(n)
    }
    fn admit(&mut self, _: u32, _: TableId, _: u32, _: u64, _: i64) -> bool {
        true
    }
    fn refuse(&mut self, refusal: Refusal) {
        panic!("refused: {refusal:?}");
    }
    fn rows(&mut self, _: TableId, batch: RecordBatch) {
        self.batches.push(batch);
    }
}

/// Rows of these requests, each taken the way a received body goes.
fn ingested(requests: &[TracesData]) -> MemoryRows {
    let rows = MemoryRows::default();
    for r in requests {
        let (selected, _) = select_otlp(Some("application/x-protobuf"), None, Default::default()).unwrap();
        let header = FrameHeader {
            tenant: Tenant::default(),
            received_ns: START as i64,
            codec: selected.codec,
            options: selected.options,
            origin: None,
            refused: vec![],
            rows: None,
        };
        let codec: Arc<dyn Codec> = codecs().into_iter().find(|c| c.id() == selected.codec).unwrap();
        let mut sink = Collected::default();
        codec.decode(&header, &Bytes::from(r.encode_to_vec()), &mut sink).unwrap();
        for b in &sink.batches {
            for i in 0..b.num_rows() {
                let series = b.column(0).as_primitive::<UInt32Type>().value(i);
                rows.append(&SPEC, Tenant::default(), sink.series[series as usize].clone(), b.slice(i, 1));
            }
        }
    }
    rows
}

fn read(rows: &MemoryRows, id: &str) -> Option<super::Trace> {
    by_id(rows, Tenant::default(), id, TimeRange::ALL, Cancel::default()).unwrap()
}

fn kv(key: &str, v: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(v) }) }
}

fn every_type() -> Vec<KeyValue> {
    let list = otlp::Array { values: vec![AnyValue { value: Some(Any::Int(-1)) }, AnyValue { value: None }] };
    vec![
        kv("array", Any::Array(list)),
        kv("bool", Any::Bool(false)),
        kv("bytes", Any::Bytes(vec![0, 255])),
        kv("double", Any::Double(-0.5)),
        kv("empty", Any::Str(String::new())),
        kv("int", Any::Int(i64::MIN)),
        kv("map", Any::Map(Map { values: vec![kv("in", Any::Str("side\n\"<".into()))] })),
        KeyValue { key: "none".into(), value: Some(AnyValue { value: None }) },
        kv("string", Any::Str("é".into())),
    ]
}

fn full_span(n: u8) -> Span {
    Span {
        trace_id: ID.to_vec(),
        span_id: vec![n; 8],
        trace_state: "a=1".into(),
        parent_span_id: vec![9; 8],
        name: format!("span {n}"),
        kind: 2,
        start: START + u64::from(n),
        end: START + 1_000,
        attributes: every_type(),
        dropped_attributes: 3,
        events: vec![
            Event { time: START, name: "first".into(), attributes: every_type(), dropped_attributes: 1 },
            Event { time: START + 1, name: "second".into(), attributes: vec![], dropped_attributes: 0 },
        ],
        dropped_events: 4,
        links: vec![Link {
            trace_id: vec![7; 16],
            span_id: vec![8; 8],
            trace_state: "b=2".into(),
            attributes: every_type(),
            dropped_attributes: 2,
            flags: 0x101,
        }],
        dropped_links: 5,
        status: Some(Status { message: "broken".into(), code: 2 }),
        flags: 0x301,
    }
}

fn plain_span(n: u8) -> Span {
    let at = START + u64::from(n);
    Span { trace_id: ID.to_vec(), span_id: vec![n; 8], start: at, end: at, status: Some(Status::default()), ..Span::default() }
}

fn resource_spans(name: &str, scopes: Vec<(&str, Vec<Span>)>) -> ResourceSpans {
    let mut attributes = every_type();
    attributes.push(kv("service.name", Any::Str(name.into())));
    let scope = |name: &str| Scope { name: name.into(), version: "1.2".into(), attributes: every_type() };
    ResourceSpans {
        resource: Some(Resource { attributes }),
        scope_spans: scopes
            .into_iter()
            .map(|(name, spans)| ScopeSpans { scope: Some(scope(name)), spans, schema_url: "https://scope".into() })
            .collect(),
        schema_url: "https://resource".into(),
    }
}

/// Owners' attributes come back in another order; nothing else may differ.
fn sorted(mut t: TracesData) -> TracesData {
    for r in &mut t.resource_spans {
        r.resource.as_mut().unwrap().attributes.sort_by(|a, b| a.key.cmp(&b.key));
        for s in &mut r.scope_spans {
            s.scope.as_mut().unwrap().attributes.sort_by(|a, b| a.key.cmp(&b.key));
        }
    }
    t
}

#[test]
fn a_trace_comes_back_as_it_was_sent() {
    let sent = TracesData {
        resource_spans: vec![
            resource_spans("shop", vec![("http", vec![full_span(1), full_span(4)]), ("sql", vec![full_span(2)])]),
            resource_spans("bank", vec![("http", vec![plain_span(3)])]),
        ],
    };
    let rows = ingested(std::slice::from_ref(&sent));
    let t = read(&rows, "000000000000000102030405060708ab").unwrap();
    assert_eq!(t.span_count(), 4);
    let got = TracesData::decode(t.to_protobuf_v1()).unwrap();
    assert_eq!(sorted(got.clone()), sorted(sent));
    let v2 = TraceByIdResponse::decode(t.to_protobuf_v2(None).as_slice()).unwrap();
    assert_eq!(v2, TraceByIdResponse { trace: Some(got), metrics: Some(Empty {}), status: 0, message: String::new() });
    let partial = TraceByIdResponse::decode(t.to_protobuf_v2(Some("of \"b\"")).as_slice()).unwrap();
    assert_eq!((partial.status, partial.message.as_str(), partial.trace), (1, "of \"b\"", v2.trace));
    let json: Value = serde_json::from_str(&t.to_json_v2(Some("of \"b\"")).unwrap()).unwrap();
    assert_eq!((&json["status"], &json["message"]), (&Value::from("PARTIAL"), &Value::from("of \"b\"")));
}

#[test]
fn spans_of_one_resource_in_several_requests_come_together() {
    let part = |n| TracesData { resource_spans: vec![resource_spans("shop", vec![("http", vec![plain_span(n)])])] };
    let mut other = part(7);
    other.resource_spans[0].scope_spans[0].spans[0].trace_id = vec![1; 16];
    let rows = ingested(&[part(5), other, part(2), part(9)]);
    let got = TracesData::decode(read(&rows, "102030405060708ab").unwrap().to_protobuf_v1()).unwrap();
    assert_eq!(got.resource_spans.len(), 1);
    assert_eq!(got.resource_spans[0].scope_spans.len(), 1);
    let order: Vec<u8> = got.resource_spans[0].scope_spans[0].spans.iter().map(|s| s.span_id[0]).collect();
    assert_eq!(order, [2, 5, 9]);
}

#[test]
fn json_is_as_tempo_writes_it() {
    let mut span = full_span(1);
    span.events.truncate(1);
    span.events[0].attributes = vec![kv("k", Any::Int(0))];
    span.links[0].attributes.clear();
    let scope = Scope { name: "http".into(), version: String::new(), attributes: vec![] };
    let sent = TracesData {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: vec![kv("service.name", Any::Str("shop".into()))] }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans: vec![span, plain_span(2)], schema_url: String::new() }],
            schema_url: String::new(),
        }],
    };
    let rows = ingested(&[sent]);
    let t = read(&rows, "102030405060708AB").unwrap();
    let list = json!([{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeSpans": [{
            "scope": {"name": "http"},
            "spans": [{
                "traceId": "AAAAAAAAAAECAwQFBgcIqw==", "spanId": "AQEBAQEBAQE=", "traceState": "a=1", "parentSpanId": "CQkJCQkJCQk=",
                "flags": 0x301, "name": "span 1", "kind": "SPAN_KIND_SERVER",
                "startTimeUnixNano": "1700000000000000001", "endTimeUnixNano": "1700000000000001000",
                "attributes": [
                    {"key": "array", "value": {"arrayValue": {"values": [{"intValue": "-1"}, {}]}}},
                    {"key": "bool", "value": {"boolValue": false}},
                    {"key": "bytes", "value": {"bytesValue": "AP8="}},
                    {"key": "double", "value": {"doubleValue": -0.5}},
                    {"key": "empty", "value": {"stringValue": ""}},
                    {"key": "int", "value": {"intValue": "-9223372036854775808"}},
                    {"key": "map", "value": {"kvlistValue": {"values": [{"key": "in", "value": {"stringValue": "side\n\"<"}}]}}},
                    {"key": "none", "value": {}},
                    {"key": "string", "value": {"stringValue": "é"}},
                ],
                "droppedAttributesCount": 3,
                "events": [{
                    "timeUnixNano": "1700000000000000000", "name": "first", "attributes": [{"key": "k", "value": {"intValue": "0"}}],
                    "droppedAttributesCount": 1,
                }],
                "droppedEventsCount": 4,
                "links": [{
                    "traceId": "BwcHBwcHBwcHBwcHBwcHBw==", "spanId": "CAgICAgICAg=", "traceState": "b=2",
                    "droppedAttributesCount": 2, "flags": 0x101,
                }],
                "droppedLinksCount": 5,
                "status": {"message": "broken", "code": "STATUS_CODE_ERROR"},
            }, {
                "traceId": "AAAAAAAAAAECAwQFBgcIqw==", "spanId": "AgICAgICAgI=",
                "startTimeUnixNano": "1700000000000000002", "endTimeUnixNano": "1700000000000000002", "status": {},
            }],
        }],
    }]);
    let v1: Value = serde_json::from_str(&t.to_json_v1().unwrap()).unwrap();
    assert_eq!(v1, json!({"batches": list}));
    let v2: Value = serde_json::from_str(&t.to_json_v2(None).unwrap()).unwrap();
    assert_eq!(v2, json!({"trace": {"resourceSpans": list}, "metrics": {}}));
}

#[test]
fn numbers_that_json_has_not_are_texts() {
    let mut span = plain_span(1);
    span.attributes = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300].map(|d| kv("d", Any::Double(d))).to_vec();
    span.kind = 77;
    let sent = TracesData { resource_spans: vec![resource_spans("shop", vec![("", vec![span])])] };
    let v: Value = serde_json::from_str(&read(&ingested(&[sent]), "102030405060708ab").unwrap().to_json_v1().unwrap()).unwrap();
    let span = &v["batches"][0]["scopeSpans"][0]["spans"][0];
    let got: Vec<_> = span["attributes"].as_array().unwrap().iter().map(|a| a["value"]["doubleValue"].clone()).collect();
    assert_eq!(got, [json!("NaN"), json!("Infinity"), json!("-Infinity"), json!(1e300)]);
    assert_eq!(span["kind"], json!(77));
}

#[test]
fn ids_are_read_leniently_and_nonsense_is_refused() {
    assert_eq!(parse_id("1").unwrap(), 1u128.to_be_bytes());
    assert_eq!(parse_id(&"F".repeat(32)).unwrap(), [255; 16]);
    for bad in ["", "g", "+1", "0x1", " 1", &"0".repeat(33), "é"] {
        assert_eq!(parse_id(bad).unwrap_err().kind(), Kind::Invalid, "{bad:?}");
    }
}

#[test]
fn what_is_not_there_is_none() {
    let rows = ingested(&[TracesData { resource_spans: vec![resource_spans("shop", vec![("http", vec![plain_span(1)])])] }]);
    assert!(read(&rows, "1").is_none());
    let other = by_id(&rows, Tenant::new("other").unwrap(), "102030405060708ab", TimeRange::ALL, Cancel::default()).unwrap();
    assert!(other.is_none(), "another tenant's");
    let range = TimeRange { start: START as i64 + 2, end: i64::MAX };
    assert!(by_id(&rows, Tenant::default(), "102030405060708ab", range, Cancel::default()).unwrap().is_none());
    let cancel = Cancel::default();
    cancel.cancel();
    let canceled = by_id(&rows, Tenant::default(), "102030405060708ab", TimeRange::ALL, cancel);
    assert_eq!(canceled.unwrap_err().kind(), Kind::Canceled);
}

#[test]
fn deep_and_damaged_attributes_do_not_harm() {
    // A value inside a value inside a value ...
    let mut any = vec![];
    for _ in 0..5_000 {
        let mut w = Writer::default();
        w.message(5, |w| w.bytes(1, &any));
        any = w.out;
    }
    let mut span = Writer::default();
    span.message(9, |w| {
        w.bytes(1, b"deep");
        w.bytes(2, &any);
    });
    span.message(9, |w| w.bytes(1, &[0xff, 0xfe]));
    span.bytes(9, &[0x0a, 0x7f, 1]);
    let mut all = Writer::default();
    all.message(1, |w| w.message(2, |w| w.bytes(2, &span.out)));
    let text = json::trace(&all.out, "batches").unwrap();
    assert!(text.contains(r#""key":"deep""#) && text.contains("{}"));
    assert!(text.ends_with("]}") && text.contains('\u{FFFD}'));
}
