//! Collects spans into a batch of the spans table, and refuses those that cannot be kept.

use std::sync::Arc;

use arrow_array::builder::{BinaryViewBuilder, FixedSizeBinaryBuilder, StringViewBuilder};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, UInt8Array, UInt32Array};
use arrow_buffer::Buffer;
use base::units::format_rfc3339;
use base::{Error, Kind, Labels, Result};
use bytes::Bytes;
use table::{FrameHeader, Refusal, Sink, TableId};
use wire::limits::ROWS_PER_BODY;
use wire::otlp::Span;
use wire::otlp::json::to_hex;
use wire::proto::{Region, offset_in, text};

use super::resource::BadOwner;
use crate::SPEC;

/// A refusal beyond this many of a body carries its reason without a text: nobody reads the thousandth.
const REFUSALS_WITH_TEXT: usize = 16;
/// Longest span name and status message, bytes: columns of few distinct values. The rest is cut off.
const WORD_BYTES: usize = 64 << 10;

/// An owner's number, or why none of its spans can be kept.
pub type Series = std::result::Result<u32, BadOwner>;

/// The batch in the making.
pub struct Spans<'s> {
    sink: &'s mut dyn Sink,
    table: TableId,
    latest_ns: i64,
    body: &'s Bytes,
    next: u32,
    refused: usize,
    columns: Columns,
}

struct Columns {
    series: Vec<u32>,
    time: Vec<i64>,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    parent_id: FixedSizeBinaryBuilder,
    name: StringViewBuilder,
    kind: Vec<u8>,
    status: Vec<u8>,
    status_message: StringViewBuilder,
    duration: Vec<i64>,
    trace_state: StringViewBuilder,
    flags: Vec<u32>,
    /// Attributes, events, links, dropped counts.
    regions: [BinaryViewBuilder; 4],
}

impl Columns {
    fn new(body: &Bytes) -> Self {
        // Texts and regions are views into the body: block 0 of each.
        let block = Buffer::from(body.clone());
        let texts = || {
            let mut b = StringViewBuilder::new();
            b.append_block(block.clone());
            b
        };
        let regions = || {
            let mut b = BinaryViewBuilder::new();
            b.append_block(block.clone());
            b
        };
        Columns {
            series: vec![],
            time: vec![],
            trace_id: FixedSizeBinaryBuilder::new(16),
            span_id: FixedSizeBinaryBuilder::new(8),
            parent_id: FixedSizeBinaryBuilder::new(8),
            name: texts(),
            kind: vec![],
            status: vec![],
            status_message: texts(),
            duration: vec![],
            trace_state: texts(),
            flags: vec![],
            regions: [regions(), regions(), regions(), regions()],
        }
    }
}

impl<'s> Spans<'s> {
    /// `body` is decompressed; columns point into it.
    pub fn new(header: &FrameHeader, body: &'s Bytes, sink: &'s mut dyn Sink) -> Result<Self> {
        let table = sink.table(&SPEC)?;
        let latest_ns = header.received_ns.saturating_add(base::limits::FUTURE_NS);
        Ok(Spans { sink, table, latest_ns, body, next: 0, refused: 0, columns: Columns::new(body) })
    }

    /// Looks up an owner. An error is one of the store; an owner that is itself at fault comes back as such.
    pub fn series(&mut self, raw: u128, labels: impl Fn() -> std::result::Result<Labels, BadOwner>) -> Result<Series> {
        let mut bad = None;
        let found = self.sink.series(self.table, raw, &mut || {
            labels().map_err(|b| {
                let error = b.error.clone();
                bad = Some(b);
                error
            })
        });
        match (found, bad) {
            (Ok(series), _) => Ok(Ok(series)),
            (Err(_), Some(bad)) => Ok(Err(bad)),
            (Err(error), None) => Err(error),
        }
    }

    /// Adds a span of `bytes` encoded bytes.
    pub fn push(&mut self, series: &Series, bytes: usize, span: &Span<'_>) -> Result<()> {
        let ordinal = self.next;
        self.next += 1;
        if self.next as usize > ROWS_PER_BODY {
            return Err(Error::new(Kind::TooLarge, format!("the request has more than {ROWS_PER_BODY} spans: send smaller batches")));
        }
        let start_ns = span.start_ns.min(i64::MAX as u64) as i64;
        let fault = match series {
            Err(b) => Some((b.reason, b.error.message().to_owned())),
            Ok(_) => self.fault(span, start_ns),
        };
        if let Some((reason, message)) = fault {
            let message = if self.refused < REFUSALS_WITH_TEXT { message } else { String::new() };
            self.refused += 1;
            self.sink.refuse(Refusal { ordinal, reason, message, bytes: bytes as u64, time_ns: Some(start_ns) });
            return Ok(());
        }
        let Ok(series) = *series else { return Ok(()) };
        if !self.sink.admit(ordinal, self.table, series, bytes as u64, start_ns) {
            return Ok(());
        }
        self.keep(series, start_ns, span)
    }

    fn fault(&self, s: &Span<'_>, start_ns: i64) -> Option<(&'static str, String)> {
        let bad_id = |id: &[u8], len: usize| id.len() != len || id.iter().all(|b| *b == 0);
        let shown = |id: &[u8]| to_hex(&id[..id.len().min(32)]);
        if bad_id(s.trace_id, 16) {
            return Some(("invalid_trace_id", format!("trace id {:?} is not 16 bytes, not all of them 0", shown(s.trace_id))));
        }
        if bad_id(s.span_id, 8) {
            return Some((
                "invalid_span_id",
                format!("span id {:?} of trace {} is not 8 bytes, not all of them 0", shown(s.span_id), shown(s.trace_id)),
            ));
        }
        if !s.parent_id.is_empty() && s.parent_id.len() != 8 {
            return Some((
                "invalid_parent_id",
                format!("parent span id {:?} of trace {} is not 8 bytes", shown(s.parent_id), shown(s.trace_id)),
            ));
        }
        if start_ns > self.latest_ns {
            let text = format!(
                "span {} of trace {} starts at {}, too far in the future",
                shown(s.span_id),
                shown(s.trace_id),
                format_rfc3339(start_ns)
            );
            return Some(("too_far_in_future", text));
        }
        None
    }

    fn keep(&mut self, series: u32, start_ns: i64, s: &Span<'_>) -> Result<()> {
        let c = &mut self.columns;
        let internal = |e: arrow_schema::ArrowError| Error::internal(e.to_string());
        c.trace_id.append_value(s.trace_id).map_err(internal)?;
        c.span_id.append_value(s.span_id).map_err(internal)?;
        if s.parent_id.iter().all(|b| *b == 0) {
            c.parent_id.append_null();
        } else {
            c.parent_id.append_value(s.parent_id).map_err(internal)?;
        }
        append_text(&mut c.name, self.body, s.name, false);
        append_text(&mut c.status_message, self.body, s.status_message, true);
        append_text(&mut c.trace_state, self.body, s.trace_state, true);
        for (column, region) in c.regions.iter_mut().zip([&s.attributes, &s.events, &s.links, &s.dropped]) {
            append_region(column, self.body, region).map_err(internal)?;
        }
        c.series.push(series);
        c.time.push(start_ns);
        c.kind.push(s.kind.min(255) as u8);
        c.status.push(s.status.min(255) as u8);
        c.duration.push(s.end_ns.saturating_sub(s.start_ns).min(i64::MAX as u64) as i64);
        c.flags.push(s.flags);
        Ok(())
    }

    /// Hands the batch over.
    pub fn finish(self) -> Result<()> {
        let mut c = self.columns;
        if c.series.is_empty() {
            return Ok(());
        }
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(c.series)),
            Arc::new(Int64Array::from(c.time)),
            Arc::new(c.trace_id.finish()),
            Arc::new(c.span_id.finish()),
            Arc::new(c.parent_id.finish()),
            Arc::new(c.name.finish()),
            Arc::new(UInt8Array::from(c.kind)),
            Arc::new(UInt8Array::from(c.status)),
            Arc::new(c.status_message.finish()),
            Arc::new(Int64Array::from(c.duration)),
            Arc::new(c.trace_state.finish()),
            Arc::new(UInt32Array::from(c.flags)),
        ];
        columns.extend(c.regions.iter_mut().map(|r| Arc::new(r.finish()) as ArrayRef));
        let batch = RecordBatch::try_new(SPEC.schema(), columns).map_err(|e| Error::internal(e.to_string()))?;
        self.sink.rows(self.table, batch);
        Ok(())
    }
}

/// Appends a text as a view into the body; repaired where it is not UTF-8, cut where it is too long.
fn append_text(column: &mut StringViewBuilder, body: &[u8], bytes: &[u8], null_if_empty: bool) {
    if bytes.is_empty() && null_if_empty {
        return column.append_null();
    }
    if bytes.len() <= WORD_BYTES
        && let Some(at) = offset_in(body, bytes)
        && column.try_append_view(0, at as u32, bytes.len() as u32).is_ok()
    {
        return;
    }
    column.append_value(text(&bytes[..bytes.len().min(WORD_BYTES)]));
}

/// Appends fields of the body: a view where they lie side by side, a copy where they were gathered.
fn append_region(column: &mut BinaryViewBuilder, body: &[u8], region: &Region<'_>) -> std::result::Result<(), arrow_schema::ArrowError> {
    match region {
        Region::Slice([]) => column.append_null(),
        Region::Slice(s) => match offset_in(body, s) {
            Some(at) => return column.try_append_view(0, at as u32, s.len() as u32),
            None => column.append_value(s),
        },
        Region::Owned(v) => column.append_value(v),
    }
    Ok(())
}
