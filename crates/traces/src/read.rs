//! Reading one trace back: the rows of its id become OTLP's `TracesData` message again, which is also Tempo's `Trace`.
//!
//! Attributes, events and links are the bytes that were received, so they come back exactly; the rest is put together
//! from columns and from the labels of the series. Spans come in the order of their start, grouped by resource and scope,
//! groups in the order of their first span.

mod json;

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt8Type, UInt32Type};
use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch, StringViewArray, UInt8Array, UInt32Array};
use base::{Error, Kind, Labels, Result, Tenant};
use table::{Cancel, Predicate, Rows, ScanRequest, TimeRange};
use wire::proto::Writer;

use crate::ingest::resource::{self, OwnerParts};
use crate::{SPEC, limits, spec};

/// A trace, put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    message: Vec<u8>,
    spans: usize,
}

/// The trace `id` as far as it lies in `range` (of span starts, nanoseconds); none if no span does.
///
/// `id` is 1 to 32 hexadecimal digits, zeros in front may be missing; anything else is `Invalid`. A trace that is larger
/// than [`limits::TRACE_BYTES`] is `Unprocessable`.
pub fn by_id(rows: &dyn Rows, tenant: Tenant, id: &str, range: TimeRange, cancel: Cancel) -> Result<Option<Trace>> {
    let id = parse_id(id)?;
    let mut request = ScanRequest::new(&SPEC, tenant, vec![], range);
    request.predicate = Some(Predicate::Equals(spec::TRACE_ID.into(), id.to_vec()));
    request.cancel = cancel.clone();
    let stream = rows.scan(&request)?;
    let mut found = Found::default();
    for batch in stream.batches {
        cancel.check()?;
        found.take(&batch?)?;
    }
    Ok(found.assemble(&stream.series))
}

/// The 16 bytes of a trace id as people write it.
pub fn parse_id(text: &str) -> Result<[u8; 16]> {
    let bad = || {
        let shown: String = text.chars().take(64).collect();
        Error::invalid(format!("trace id {shown:?} is not valid: 1 to 32 hexadecimal digits are wanted"))
    };
    if text.is_empty() || text.len() > 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(bad());
    }
    Ok(u128::from_str_radix(text, 16).map_err(|_| bad())?.to_be_bytes())
}

impl Trace {
    /// Number of spans.
    pub fn span_count(&self) -> usize {
        self.spans
    }
    /// `{"batches":[...]}`: the answer of Tempo's first interface.
    pub fn to_json_v1(&self) -> Result<String> {
        json::trace(&self.message, "batches")
    }
    /// `{"trace":{"resourceSpans":[...]},"metrics":{}}`: the answer of Tempo's second interface. `partial` says what may be
    /// missing, which adds `"status":"PARTIAL"` and the message.
    pub fn to_json_v2(&self, partial: Option<&str>) -> Result<String> {
        let status = partial.map(|p| format!(",\"status\":\"PARTIAL\",\"message\":{}", serde_json::Value::from(p))).unwrap_or_default();
        Ok(format!("{{\"trace\":{},\"metrics\":{{}}{status}}}", json::trace(&self.message, "resourceSpans")?))
    }
    /// `Trace { 1: resourceSpans }`.
    pub fn to_protobuf_v1(&self) -> &[u8] {
        &self.message
    }
    /// `TraceByIDResponse { 1: trace, 2: metrics, 3: status, 4: message }`, the status being `COMPLETE` (0, not written), or
    /// `PARTIAL` (1) with a message that says what may be missing.
    pub fn to_protobuf_v2(&self, partial: Option<&str>) -> Vec<u8> {
        let mut w = Writer::default();
        w.bytes(1, &self.message);
        w.bytes(2, &[]);
        if let Some(partial) = partial {
            w.varint(3, 1);
            w.bytes(4, partial.as_bytes());
        }
        w.out
    }
}

/// Spans as they are found.
#[derive(Default)]
struct Found {
    spans: Vec<Encoded>,
    bytes: usize,
}

/// An encoded `Span` message, and what orders and groups it.
struct Encoded {
    start_ns: i64,
    series: u32,
    message: Vec<u8>,
}

impl Found {
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = Columns::of(batch)?;
        for i in 0..batch.num_rows() {
            let message = columns.span(i);
            self.bytes += message.len();
            if self.bytes > limits::TRACE_BYTES {
                return Err(Error::new(
                    Kind::Unprocessable,
                    format!("the trace is larger than {} bytes: narrow the time range with start and end", limits::TRACE_BYTES),
                ));
            }
            self.spans.push(Encoded { start_ns: columns.time.value(i), series: columns.series.value(i), message });
        }
        Ok(())
    }

    fn assemble(mut self, series: &[Labels]) -> Option<Trace> {
        if self.spans.is_empty() {
            return None;
        }
        self.spans.sort_by(|a, b| (a.start_ns, &a.message).cmp(&(b.start_ns, &b.message)));
        let spans = self.spans.len();
        // Resources, and within each its scopes, in the order of their first span.
        let mut resources: Vec<(OwnerParts, Vec<Scoped>)> = vec![];
        let mut place: HashMap<u32, (usize, usize)> = HashMap::new();
        for span in self.spans {
            let (r, s) = *place.entry(span.series).or_insert_with(|| {
                let owner = series.get(span.series as usize).map(resource::read).unwrap_or_default();
                let same = |o: &OwnerParts| o.resource == owner.resource && o.resource_schema == owner.resource_schema;
                let r = resources.iter().position(|(o, _)| same(o)).unwrap_or_else(|| {
                    resources.push((owner.clone(), vec![]));
                    resources.len() - 1
                });
                resources[r].1.push(Scoped { owner, spans: vec![] });
                (r, resources[r].1.len() - 1)
            });
            resources[r].1[s].spans.push(span.message);
        }
        let mut w = Writer { out: Vec::with_capacity(self.bytes + 1024) };
        for (owner, scopes) in &resources {
            w.message(1, |w| resource_spans(w, owner, scopes));
        }
        Some(Trace { message: w.out, spans })
    }
}

/// The spans of one series.
struct Scoped {
    owner: OwnerParts,
    spans: Vec<Vec<u8>>,
}

/// Writes the fields of a `ResourceSpans`.
fn resource_spans(w: &mut Writer, owner: &OwnerParts, scopes: &[Scoped]) {
    w.bytes(1, &owner.resource);
    for Scoped { owner: scope, spans } in scopes {
        w.message(2, |w| {
            w.message(1, |w| {
                some(w, 1, scope.scope_name.as_bytes());
                some(w, 2, scope.scope_version.as_bytes());
                for field in wire::proto::repeated(&scope.scope_attributes, 1).flatten() {
                    w.bytes(3, field);
                }
            });
            for span in spans {
                w.bytes(2, span);
            }
            some(w, 3, scope.scope_schema.as_bytes());
        });
    }
    some(w, 3, owner.resource_schema.as_bytes());
}

/// Writes a field unless it is empty.
fn some(w: &mut Writer, number: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        w.bytes(number, bytes);
    }
}

/// The columns of a batch.
struct Columns<'b> {
    series: &'b UInt32Array,
    time: &'b Int64Array,
    trace_id: &'b FixedSizeBinaryArray,
    span_id: &'b FixedSizeBinaryArray,
    parent_id: &'b FixedSizeBinaryArray,
    name: &'b StringViewArray,
    kind: &'b UInt8Array,
    status: &'b UInt8Array,
    status_message: &'b StringViewArray,
    duration: &'b Int64Array,
    trace_state: &'b StringViewArray,
    flags: &'b UInt32Array,
    /// Attributes, dropped counts, events, links: fields of a span with their tags.
    fields: [&'b ArrayRef; 4],
}

impl<'b> Columns<'b> {
    fn of(batch: &'b RecordBatch) -> Result<Self> {
        let column =
            |name: &str| batch.column_by_name(name).ok_or_else(|| Error::internal(format!("a scan of spans has no column {name:?}")));
        let odd = || Error::internal("a scan of spans has a column of another type than the table");
        Ok(Columns {
            series: column(table::SERIES)?.as_primitive_opt::<UInt32Type>().ok_or_else(odd)?,
            time: column(SPEC.time())?.as_primitive_opt::<Int64Type>().ok_or_else(odd)?,
            trace_id: column(spec::TRACE_ID)?.as_fixed_size_binary_opt().ok_or_else(odd)?,
            span_id: column(spec::SPAN_ID)?.as_fixed_size_binary_opt().ok_or_else(odd)?,
            parent_id: column(spec::PARENT_ID)?.as_fixed_size_binary_opt().ok_or_else(odd)?,
            name: column(spec::NAME)?.as_string_view_opt().ok_or_else(odd)?,
            kind: column(spec::KIND)?.as_primitive_opt::<UInt8Type>().ok_or_else(odd)?,
            status: column(spec::STATUS)?.as_primitive_opt::<UInt8Type>().ok_or_else(odd)?,
            status_message: column(spec::STATUS_MESSAGE)?.as_string_view_opt().ok_or_else(odd)?,
            duration: column(spec::DURATION_NS)?.as_primitive_opt::<Int64Type>().ok_or_else(odd)?,
            trace_state: column(spec::TRACE_STATE)?.as_string_view_opt().ok_or_else(odd)?,
            flags: column(spec::FLAGS)?.as_primitive_opt::<UInt32Type>().ok_or_else(odd)?,
            fields: [column(spec::ATTRIBUTES)?, column(spec::DROPPED)?, column(spec::EVENTS)?, column(spec::LINKS)?],
        })
    }

    /// The `Span` message of row `i` (opentelemetry-proto `trace.proto`).
    fn span(&self, i: usize) -> Vec<u8> {
        let mut w = Writer::default();
        w.bytes(1, self.trace_id.value(i));
        w.bytes(2, self.span_id.value(i));
        if self.trace_state.is_valid(i) {
            some(&mut w, 3, self.trace_state.value(i).as_bytes());
        }
        if self.parent_id.is_valid(i) {
            w.bytes(4, self.parent_id.value(i));
        }
        some(&mut w, 5, self.name.value(i).as_bytes());
        if self.kind.value(i) != 0 {
            w.varint(6, u64::from(self.kind.value(i)));
        }
        let start_ns = self.time.value(i) as u64;
        w.fixed64(7, start_ns);
        w.fixed64(8, start_ns.saturating_add(self.duration.value(i) as u64));
        for column in self.fields {
            if let Some(bytes) = column.as_binary_view_opt().filter(|c| c.is_valid(i)) {
                w.out.extend_from_slice(bytes.value(i));
            }
        }
        w.message(15, |w| {
            if self.status_message.is_valid(i) {
                some(w, 2, self.status_message.value(i).as_bytes());
            }
            if self.status.value(i) != 0 {
                w.varint(3, u64::from(self.status.value(i)));
            }
        });
        if self.flags.value(i) != 0 {
            w.fixed32(16, self.flags.value(i));
        }
        w.out
    }
}

#[cfg(test)]
mod tests;
