//! Spans: call trees over a few services, each trace whole in one request.

use super::super::proto::Message;
use super::super::rng::{Rng, mix};
use super::{Batch, Run};

const NAMES: [&str; 6] = ["GET /orders", "POST /checkout", "SELECT orders", "INSERT payment", "render", "authorize"];

/// Traces of a batch, numbered over the whole run.
pub fn traces_of(run: &Run, batch: u64) -> std::ops::Range<u64> {
    let n = run.batch_rows / run.trace_spans;
    batch * n..(batch + 1) * n
}

/// Sequence numbers of the spans of a trace.
pub fn spans_of(run: &Run, trace: u64) -> std::ops::Range<u64> {
    trace * run.trace_spans..(trace + 1) * run.trace_spans
}

/// Id of a trace: the run in one half, the trace in the other, both well mixed.
pub fn trace_id(run: &Run, trace: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&base::hash::hash64(run.name.as_bytes()).to_be_bytes());
    id[8..].copy_from_slice(&mix(trace + 1).to_be_bytes());
    id
}

/// Id of a span; never zero, and never that of another span of the run, because mixing can be undone.
pub fn span_id(sequence: u64) -> [u8; 8] {
    mix(sequence + 1).to_be_bytes()
}

/// Name of a span.
pub fn name(run: &Run, sequence: u64) -> &'static str {
    NAMES[Rng::of(run.seed, sequence).below(NAMES.len() as u64) as usize]
}

/// Start of a span, nanoseconds.
pub fn start_ns(run: &Run, sequence: u64, batch_ns: i64) -> i64 {
    let (trace, place) = (sequence / run.trace_spans, (sequence % run.trace_spans) as i64);
    batch_ns - 200_000_000 + place * 1_000_000 - run.lateness_ns(trace)
}

fn service_of(run: &Run, sequence: u64) -> u64 {
    let (trace, place) = (sequence / run.trace_spans, sequence % run.trace_spans);
    (trace + place / 4) % run.series
}

/// An export of one batch: `ExportTraceServiceRequest`, plain protobuf.
pub fn batch(run: &Run, batch: u64, batch_ns: i64) -> Batch {
    let mut by_service: Vec<(u64, u64)> = traces_of(run, batch).flat_map(|t| spans_of(run, t)).map(|s| (service_of(run, s), s)).collect();
    by_service.sort_unstable();
    let mut export = Message::default();
    for group in by_service.chunk_by(|a, b| a.0 == b.0) {
        export.message(1, |resource_spans| {
            resource_spans.message(1, |resource| {
                attribute(resource, 1, "service.name", Value::Text(&format!("load-{}", group[0].0)));
                attribute(resource, 1, "run", Value::Text(&run.name));
            });
            resource_spans.message(2, |scope_spans| {
                scope_spans.message(1, |scope| {
                    scope.bytes(1, b"watchfire.load");
                });
                group.iter().for_each(|(_, s)| {
                    scope_spans.message(2, |span| write_span(span, run, *s, batch_ns));
                });
            });
        });
    }
    Batch {
        path: "/v1/traces",
        form: ("application/x-protobuf", None),
        tenant: run.tenant_of(batch),
        raw_bytes: export.0.len() as u64,
        body: export.0,
        rows: run.batch_rows,
    }
}

fn write_span(span: &mut Message, run: &Run, sequence: u64, batch_ns: i64) {
    let (trace, place) = (sequence / run.trace_spans, sequence % run.trace_spans);
    let mut r = Rng::of(run.seed ^ 0x59A2, sequence);
    let start = start_ns(run, sequence, batch_ns);
    let duration = 1_000_000 + r.below(150_000_000);
    span.bytes(1, &trace_id(run, trace)).bytes(2, &span_id(sequence));
    if place > 0 {
        span.bytes(4, &span_id(trace * run.trace_spans + (place - 1) / 2));
    }
    span.bytes(5, name(run, sequence).as_bytes()).varint(6, 1 + r.below(3));
    span.fixed64(7, start as u64).fixed64(8, start as u64 + duration);
    attribute(span, 9, "http.response.status_code", Value::Int(200 + 100 * r.below(4)));
    attribute(span, 9, "user.id", Value::Text(&format!("u{}", r.below(100_000))));
    if r.chance(0.02) {
        span.message(15, |status| {
            status.bytes(2, b"upstream timed out").varint(3, 2);
        });
    }
}

enum Value<'a> {
    Text(&'a str),
    Int(u64),
}

fn attribute(into: &mut Message, field: u32, key: &str, value: Value<'_>) {
    into.message(field, |kv| {
        kv.bytes(1, key.as_bytes());
        kv.message(2, |any| {
            match value {
                Value::Text(t) => any.bytes(1, t.as_bytes()),
                Value::Int(n) => any.varint(3, n),
            };
        });
    });
}
