//! The same messages as generated types: what the walkers are held against.
//!
//! These properties are also the fuzz tests of the readers: random messages, random damage, random bytes. `fuzz/` runs
//! the same readers under coverage guidance.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use crate::loki::Streams;
use crate::otlp::{LogRecord, Span, resources};
use crate::proto::Region;
use crate::remote_write::{Item, SeriesList};

/// Of a scope.
type NameAndAttributes = (Vec<u8>, Vec<Vec<u8>>);

#[derive(Clone, PartialEq, Message)]
struct Push {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<PushStream>,
}
#[derive(Clone, PartialEq, Message)]
struct PushStream {
    #[prost(bytes = "vec", tag = "1")]
    labels: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<PushEntry>,
    #[prost(uint64, tag = "3")]
    hash: u64,
}
#[derive(Clone, PartialEq, Message)]
struct PushEntry {
    #[prost(message, optional, tag = "1")]
    time: Option<Timestamp>,
    #[prost(bytes = "vec", tag = "2")]
    line: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Pair>,
}
#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(uint64, tag = "1")]
    kind: u64,
    #[prost(bytes = "vec", tag = "2")]
    name: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    help: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    unit: Vec<u8>,
}
#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}
#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    series: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Metadata>,
}
#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Pair>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    exemplars: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Histogram>,
}
#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    time_ms: i64,
}
#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(int64, tag = "15")]
    time_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    groups: Vec<Group>,
}
#[derive(Clone, PartialEq, Message)]
struct Group {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeGroup>,
    #[prost(bytes = "vec", tag = "3")]
    schema: Vec<u8>,
}
#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(bytes = "vec", repeated, tag = "1")]
    attributes: Vec<Vec<u8>>,
}
#[derive(Clone, PartialEq, Message)]
struct ScopeGroup {
    #[prost(message, optional, tag = "1")]
    scope: Option<ScopeMessage>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<SpanMessage>,
}
#[derive(Clone, PartialEq, Message)]
struct ScopeMessage {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    version: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    attributes: Vec<Vec<u8>>,
}
#[derive(Clone, PartialEq, Message)]
struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    trace_state: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    name: Vec<u8>,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_ns: u64,
    #[prost(fixed64, tag = "8")]
    end_ns: u64,
    #[prost(bytes = "vec", repeated, tag = "9")]
    attributes: Vec<Vec<u8>>,
    #[prost(uint32, tag = "10")]
    dropped_attributes: u32,
    #[prost(bytes = "vec", repeated, tag = "11")]
    events: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "13")]
    links: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(bytes = "vec", tag = "2")]
    message: Vec<u8>,
    #[prost(int32, tag = "3")]
    code: i32,
}
#[derive(Clone, PartialEq, Message)]
struct RecordMessage {
    #[prost(fixed64, tag = "1")]
    time_ns: u64,
    #[prost(int32, tag = "2")]
    severity_number: i32,
    #[prost(bytes = "vec", tag = "3")]
    severity_text: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    body: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    attributes: Vec<Vec<u8>>,
    #[prost(uint32, tag = "7")]
    dropped_attributes: u32,
    #[prost(fixed32, tag = "8")]
    flags: u32,
    #[prost(bytes = "vec", tag = "9")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "10")]
    span_id: Vec<u8>,
    #[prost(fixed64, tag = "11")]
    observed_ns: u64,
    #[prost(bytes = "vec", tag = "12")]
    event_name: Vec<u8>,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..6), vec(any::<u8>(), 100..300)]
}
fn list() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(bytes(), 0..4)
}
prop_compose! {
    fn pair()(name in bytes(), value in bytes()) -> Pair {
        Pair { name, value }
    }
}
prop_compose! {
    fn entry()(time in any::<Option<(i32, u16)>>(), line in bytes(), metadata in vec(pair(), 0..3)) -> PushEntry {
        PushEntry { time: time.map(|(s, n)| Timestamp { seconds: s.into(), nanos: n.into() }), line, metadata }
    }
}
prop_compose! {
    fn push()(streams in vec((bytes(), vec(entry(), 0..4), any::<u64>()), 0..4)) -> Push {
        Push { streams: streams.into_iter().map(|(labels, entries, hash)| PushStream { labels, entries, hash }).collect() }
    }
}
prop_compose! {
    fn sample()(value in any::<f64>(), time_ms in any::<i64>()) -> Sample {
        // The oracle takes -0 for the default and does not write it.
        Sample { value: if value == 0.0 { 0.0 } else { value }, time_ms }
    }
}
prop_compose! {
    fn series()(labels in vec(pair(), 0..4), samples in vec(sample(), 0..4), exemplars in vec(sample(), 0..2), times in vec(any::<i64>(), 0..3)) -> TimeSeries {
        TimeSeries { labels, samples, exemplars, histograms: times.into_iter().map(|time_ms| Histogram { sum: 1.5, time_ms }).collect() }
    }
}
prop_compose! {
    fn span()(ids in [bytes(), bytes(), bytes(), bytes(), bytes()], numbers in any::<(i32, u64, u64, u32, u32)>(), lists in [list(), list(), list()],
              status in proptest::option::of((bytes(), any::<i32>()))) -> SpanMessage {
        let ([trace_id, span_id, trace_state, parent_id, name], [attributes, events, links]) = (ids, lists);
        let (kind, start_ns, end_ns, dropped_attributes, flags) = numbers;
        let status = status.map(|(message, code)| Status { message, code });
        SpanMessage { trace_id, span_id, trace_state, parent_id, name, kind, start_ns, end_ns, attributes, dropped_attributes, events, links, status, flags }
    }
}
prop_compose! {
    fn export()(groups in vec((proptest::option::of(list()), bytes(), vec((proptest::option::of((bytes(), list())), vec(span(), 0..3)), 0..3)), 0..3)) -> Export {
        let scope = |(scope, spans): (Option<NameAndAttributes>, Vec<SpanMessage>)| ScopeGroup {
            scope: scope.map(|(name, attributes)| ScopeMessage { version: name.clone(), name, attributes }),
            spans,
        };
        Export { groups: groups.into_iter().map(|(resource, schema, scopes)| Group {
            resource: resource.map(|attributes| Resource { attributes }),
            schema,
            scopes: scopes.into_iter().map(scope).collect(),
        }).collect() }
    }
}
prop_compose! {
    fn record()(texts in [bytes(), bytes(), bytes(), bytes(), bytes()], attributes in list(), numbers in any::<(u64, u64, i32, u32, u32)>()) -> RecordMessage {
        let [severity_text, body, trace_id, span_id, event_name] = texts;
        let (time_ns, observed_ns, severity_number, dropped_attributes, flags) = numbers;
        RecordMessage { time_ns, observed_ns, severity_number, severity_text, body, attributes, dropped_attributes, flags, trace_id, span_id, event_name }
    }
}

/// The walkers' view of a push, as generated types. (The hash is not read.)
fn walk_push(body: &[u8]) -> crate::proto::Result<Push> {
    let mut streams = vec![];
    for s in Streams::new(body) {
        let s = s?;
        let mut entries = vec![];
        for e in s.entries() {
            let e = e?;
            let time = Some(Timestamp { seconds: e.time_ns.div_euclid(1_000_000_000), nanos: e.time_ns.rem_euclid(1_000_000_000) as i32 });
            let metadata = e.metadata().map(|p| p.map(|(n, v)| Pair { name: n.into(), value: v.into() })).collect::<Result<_, _>>()?;
            entries.push(PushEntry { time, line: e.line.into(), metadata });
        }
        streams.push(PushStream { labels: s.labels.into(), entries, hash: 0 });
    }
    Ok(Push { streams })
}

fn normal_push(mut p: Push) -> Push {
    for s in &mut p.streams {
        s.hash = 0;
        for e in &mut s.entries {
            let t = e.time.take().unwrap_or_default();
            let ns = t.seconds.saturating_mul(1_000_000_000).saturating_add(t.nanos.into());
            e.time = Some(Timestamp { seconds: ns.div_euclid(1_000_000_000), nanos: ns.rem_euclid(1_000_000_000) as i32 });
        }
    }
    p
}

/// Labels, then items as (kind, time, bits or bytes).
type Walked = (Vec<Pair>, Vec<(u8, i64, Vec<u8>)>);

fn walk_series(body: &[u8]) -> crate::proto::Result<Vec<Walked>> {
    let mut out = vec![];
    for s in SeriesList::new(body) {
        let s = s?;
        let labels = s.labels().map(|p| p.map(|(n, v)| Pair { name: n.into(), value: v.into() })).collect::<Result<_, _>>()?;
        let items = s.items().map(|i| {
            i.map(|i| match i {
                Item::Sample { time_ms, value } => (2, time_ms, value.to_bits().to_le_bytes().to_vec()),
                Item::Exemplar { .. } => (3, 0, vec![]),
                Item::Histogram { time_ms, message } => (4, time_ms, message.to_vec()),
            })
        });
        out.push((labels, items.collect::<Result<_, _>>()?));
    }
    Ok(out)
}

fn want_series(r: &WriteRequest) -> Vec<Walked> {
    let one = |s: &TimeSeries| {
        let samples = s.samples.iter().map(|x| (2, x.time_ms, x.value.to_bits().to_le_bytes().to_vec()));
        let exemplars = s.exemplars.iter().map(|_| (3, 0, vec![]));
        let histograms = s.histograms.iter().map(|h| (4, h.time_ms, h.encode_to_vec()));
        (s.labels.clone(), samples.chain(exemplars).chain(histograms).collect())
    };
    r.series.iter().map(one).collect()
}

/// The fields of a region, without their tags.
fn fields(region: &Region<'_>) -> Vec<Vec<u8>> {
    let mut out = vec![];
    let mut f = crate::proto::Fields::new(region.bytes());
    while let Some((_, v)) = f.next().unwrap() {
        out.push(v.bytes().unwrap().to_vec());
    }
    out
}

fn read_span(message: &[u8]) -> crate::proto::Result<SpanMessage> {
    let s = Span::new(message)?;
    let mut dropped = crate::proto::Fields::new(s.dropped.bytes());
    let status =
        (s.status != 0 || !s.status_message.is_empty()).then(|| Status { message: s.status_message.into(), code: s.status as i32 });
    Ok(SpanMessage {
        trace_id: s.trace_id.into(),
        span_id: s.span_id.into(),
        trace_state: s.trace_state.into(),
        parent_id: s.parent_id.into(),
        name: s.name.into(),
        kind: s.kind as i32,
        start_ns: s.start_ns,
        end_ns: s.end_ns,
        attributes: fields(&s.attributes),
        dropped_attributes: dropped.next()?.map_or(0, |(_, v)| v.varint().unwrap() as u32),
        events: fields(&s.events),
        links: fields(&s.links),
        status,
        flags: s.flags,
    })
}

/// The walkers' view of an export of spans, as generated types.
fn walk_export(body: &[u8]) -> crate::proto::Result<Export> {
    let mut groups = vec![];
    for r in resources(body) {
        let r = r?;
        let mut scopes = vec![];
        for s in r.scopes() {
            let s = s?;
            let parts = s.parts()?;
            let scope = ScopeMessage { name: parts.name.into(), version: parts.version.into(), attributes: fields(&parts.attributes) };
            let spans = s.records().map(|m| m.and_then(read_span)).collect::<Result<_, _>>()?;
            scopes.push(ScopeGroup { scope: Some(scope), spans });
        }
        groups.push(Group { resource: Some(Resource { attributes: fields(&r.attributes()?) }), scopes, schema: r.schema.into() });
    }
    Ok(Export { groups })
}

/// What was not sent is the same as what was sent empty.
fn normal_export(mut e: Export) -> Export {
    for g in &mut e.groups {
        g.resource.get_or_insert_default();
        for s in &mut g.scopes {
            s.scope.get_or_insert_default();
            for span in &mut s.spans {
                if span.status.as_ref().is_some_and(|s| *s == Status::default()) {
                    span.status = None;
                }
            }
        }
    }
    e
}

fn damage(mut body: Vec<u8>, edits: &[(u16, u8)], cut: u8) -> Vec<u8> {
    for (at, to) in edits {
        if !body.is_empty() {
            let at = *at as usize % body.len();
            body[at] = *to;
        }
    }
    body.truncate(body.len().saturating_sub(cut as usize % 8));
    body
}

proptest! {
    #[test]
    fn a_push_reads_the_same(p in push()) {
        prop_assert_eq!(walk_push(&p.encode_to_vec()).unwrap(), normal_push(p));
    }
    #[test]
    fn a_remote_write_reads_the_same(series in vec(series(), 0..4), metadata in vec(pair(), 0..3)) {
        let metadata = metadata.into_iter().map(|p| Metadata { kind: p.value.len() as u64, unit: p.value.clone(), help: p.value, name: p.name });
        let r = WriteRequest { series, metadata: metadata.collect() };
        let body = r.encode_to_vec();
        prop_assert_eq!(walk_series(&body).unwrap(), want_series(&r));
        let got: Vec<_> = crate::remote_write::metadata(&body).map(|m| m.unwrap()).collect();
        let want = r.metadata.iter().map(|m| crate::remote_write::Metadata { kind: m.kind, name: &m.name, help: &m.help, unit: &m.unit });
        prop_assert_eq!(got, want.collect::<Vec<_>>());
    }
    #[test]
    fn an_export_of_spans_reads_the_same(e in export()) {
        prop_assert_eq!(walk_export(&e.encode_to_vec()).unwrap(), normal_export(e));
    }
    #[test]
    fn a_log_record_reads_the_same(want in record()) {
        let body = want.encode_to_vec();
        let r = LogRecord::new(&body).unwrap();
        prop_assert_eq!(RecordMessage {
            time_ns: r.time_ns,
            severity_number: r.severity_number as i32,
            severity_text: r.severity_text.into(),
            body: r.body.into(),
            attributes: fields(&r.attributes),
            dropped_attributes: r.dropped_attributes as u32,
            flags: r.flags,
            trace_id: r.trace_id.into(),
            span_id: r.span_id.into(),
            observed_ns: r.observed_ns,
            event_name: r.event_name.into(),
        }, want);
    }

    /// What the oracle still understands, the walkers understand alike; of the rest they may make an error.
    #[test]
    fn damaged_pushes_read_as_the_oracle_reads_them(p in push(), edits in vec(any::<(u16, u8)>(), 1..5), cut in any::<u8>()) {
        let body = damage(p.encode_to_vec(), &edits, cut);
        let got = walk_push(&body);
        if let Ok(want) = Push::decode(&body[..]) && !has_group(&body) {
            prop_assert_eq!(got.unwrap(), normal_push(want));
        }
    }
    #[test]
    fn damaged_writes_are_answered(s in vec(series(), 1..4), edits in vec(any::<(u16, u8)>(), 1..5), cut in any::<u8>()) {
        let body = damage(WriteRequest { series: s, metadata: vec![] }.encode_to_vec(), &edits, cut);
        if let Ok(series) = walk_series(&body) {
            prop_assert!(series.len() <= body.len());
        }
    }
    #[test]
    fn damaged_exports_are_answered(e in export(), edits in vec(any::<(u16, u8)>(), 1..5), cut in any::<u8>()) {
        let body = damage(e.encode_to_vec(), &edits, cut);
        for r in resources(&body).map_while(Result::ok) {
            let _ = r.attributes();
            for s in r.scopes().map_while(Result::ok) {
                let _ = s.parts();
                for m in s.records().map_while(Result::ok) {
                    let _ = (Span::new(m), LogRecord::new(m));
                }
            }
        }
    }
    #[test]
    fn random_bytes_are_answered(body in vec(any::<u8>(), 0..400)) {
        let _ = (walk_push(&body), walk_series(&body), LogRecord::new(&body), Span::new(&body));
        let _ = crate::loki::json::to_protobuf(&body);
        let _ = crate::otlp::json::to_protobuf(&crate::otlp::TRACES, &body);
    }
}

/// Whether a group (wire type 3 or 4) may be in there: the oracle passes over unknown ones, the walkers refuse them.
fn has_group(body: &[u8]) -> bool {
    fn inside(b: &[u8], depth: u8) -> bool {
        let mut f = crate::proto::Fields::new(b);
        loop {
            match f.next() {
                Ok(None) => return false,
                Ok(Some((_, crate::proto::Value::Bytes(m)))) if depth < 3 && inside(m, depth + 1) => return true,
                Ok(Some(_)) => {}
                Err(e) => return e == crate::proto::Malformed::WireType,
            }
        }
    }
    inside(body, 0)
}
