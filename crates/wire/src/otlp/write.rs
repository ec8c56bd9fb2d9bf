//! Writes OTLP requests: for the load generator, the agent and tests. The bytes of several requests one after the
//! other are one request with all of their resources.

use base::attrs::{self, Value};

use super::{log_field, span_field};
use crate::proto::Writer;

/// A span to send.
#[derive(Clone, Debug)]
pub struct SpanFields<'a> {
    /// Trace.
    pub trace_id: [u8; 16],
    /// Span.
    pub span_id: [u8; 8],
    /// Parent; `None` for a root.
    pub parent_id: Option<[u8; 8]>,
    /// Name of the operation.
    pub name: &'a str,
    /// `SpanKind`.
    pub kind: u8,
    /// Nanoseconds since 1970.
    pub start_ns: u64,
    /// Nanoseconds since 1970.
    pub end_ns: u64,
    /// `StatusCode`.
    pub status: u8,
    /// Text beside the status.
    pub status_message: &'a str,
    /// Attributes.
    pub attributes: &'a [(&'a str, Value<'a>)],
    /// Events: time (nanoseconds since 1970) and name.
    pub events: &'a [(u64, &'a str)],
}

/// A log record to send.
#[derive(Clone, Debug)]
pub struct RecordFields<'a> {
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// 0 for none, else 1 to 24.
    pub severity_number: u8,
    /// Level.
    pub severity_text: &'a str,
    /// What is logged.
    pub body: Value<'a>,
    /// Attributes.
    pub attributes: &'a [(&'a str, Value<'a>)],
    /// Trace and span.
    pub context: Option<([u8; 16], [u8; 8])>,
}

/// An `ExportTraceServiceRequest` with one resource and one scope (name, version).
pub fn traces(resource: &[(&str, Value<'_>)], scope: (&str, &str), spans: &[SpanFields<'_>]) -> Vec<u8> {
    request(resource, scope, |w| {
        for s in spans {
            w.message(2, |w| span(w, s));
        }
    })
}

/// An `ExportLogsServiceRequest` with one resource and one scope (name, version).
pub fn logs(resource: &[(&str, Value<'_>)], scope: (&str, &str), records: &[RecordFields<'_>]) -> Vec<u8> {
    request(resource, scope, |w| {
        for r in records {
            w.message(2, |w| record(w, r));
        }
    })
}

fn request(resource: &[(&str, Value<'_>)], scope: (&str, &str), records: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::default();
    w.message(1, |w| {
        w.message(1, |w| attributes(w, 1, resource));
        w.message(2, |w| {
            w.message(1, |w| {
                w.bytes(1, scope.0.as_bytes());
                w.bytes(2, scope.1.as_bytes());
            });
            records(w);
        });
    });
    w.out
}

fn attributes(w: &mut Writer, number: u32, list: &[(&str, Value<'_>)]) {
    for (key, value) in list {
        w.message(number, |w| {
            w.bytes(1, key.as_bytes());
            w.message(2, |w| attrs::write_value(&mut w.out, value));
        });
    }
}

fn span(w: &mut Writer, s: &SpanFields<'_>) {
    use span_field as f;
    w.bytes(f::TRACE_ID, &s.trace_id);
    w.bytes(f::SPAN_ID, &s.span_id);
    if let Some(p) = &s.parent_id {
        w.bytes(f::PARENT_ID, p);
    }
    w.bytes(f::NAME, s.name.as_bytes());
    w.varint(f::KIND, u64::from(s.kind));
    w.fixed64(f::START, s.start_ns);
    w.fixed64(f::END, s.end_ns);
    attributes(w, f::ATTRIBUTES, s.attributes);
    for (time_ns, name) in s.events {
        w.message(f::EVENTS, |w| {
            w.fixed64(1, *time_ns);
            w.bytes(2, name.as_bytes());
        });
    }
    if s.status != 0 || !s.status_message.is_empty() {
        w.message(f::STATUS, |w| {
            w.bytes(f::STATUS_MESSAGE, s.status_message.as_bytes());
            w.varint(f::STATUS_CODE, u64::from(s.status));
        });
    }
}

fn record(w: &mut Writer, r: &RecordFields<'_>) {
    use log_field as f;
    w.fixed64(f::TIME, r.time_ns);
    if r.severity_number != 0 {
        w.varint(f::SEVERITY_NUMBER, u64::from(r.severity_number));
    }
    if !r.severity_text.is_empty() {
        w.bytes(f::SEVERITY_TEXT, r.severity_text.as_bytes());
    }
    w.message(f::BODY, |w| attrs::write_value(&mut w.out, &r.body));
    attributes(w, f::ATTRIBUTES, r.attributes);
    if let Some((trace_id, span_id)) = &r.context {
        w.bytes(f::TRACE_ID, trace_id);
        w.bytes(f::SPAN_ID, span_id);
    }
}
