//! Collects entries into a batch of the logs table, and refuses those that cannot be kept.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_array::builder::{BinaryViewBuilder, StringViewBuilder};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow_buffer::Buffer;
use base::attrs::write_varint;
use base::units::format_rfc3339;
use base::{Error, Kind, Labels, Result};
use bytes::Bytes;
use table::{FrameHeader, Refusal, Sink, TableId};
use wire::Options;
use wire::limits::ROWS_PER_BODY;
use wire::proto::{offset_in, text};

use super::level::{self, Hint};
use super::limits::{METADATA_BYTES, METADATA_BYTES_PER_BODY, METADATA_PAIRS, REFUSALS_WITH_TEXT};
use super::stream::{BadStream, quoted};
use crate::SPEC;

/// A stream, looked up once for its entries.
pub struct Stream<'a> {
    /// Its number, or why none of its entries can be kept.
    pub series: std::result::Result<u32, BadStream>,
    /// How messages name it.
    pub shown: &'a str,
    /// What its labels say about the level.
    pub hint: Hint,
    /// Metadata that each of its entries has beside its own.
    pub about: Metadata,
}

/// Where a line is.
pub enum Line<'a> {
    /// In the decompressed body.
    Body(&'a [u8]),
    /// Made from something else.
    Made(String),
}

/// Why an entry is refused: reason, and the text for people, made only if it is wanted.
type Fault<'a> = (&'static str, Box<dyn Fn() -> String + 'a>);

/// The batch in the making.
pub struct Entries<'s> {
    sink: &'s mut dyn Sink,
    table: TableId,
    options: Options,
    /// Times that are taken.
    taken: RangeInclusive<i64>,
    body: Bytes,
    next: u32,
    refused: usize,
    series: Vec<u32>,
    time: Vec<i64>,
    ordinal: Vec<u32>,
    line: StringViewBuilder,
    level: StringViewBuilder,
    metadata_ends: Vec<(u32, u32)>,
    /// Structured metadata of the entry that comes next.
    pub metadata: Metadata,
}

impl<'s> Entries<'s> {
    /// `body` is decompressed; lines point into it.
    pub fn new(header: &FrameHeader, options: Options, body: &Bytes, sink: &'s mut dyn Sink) -> Result<Self> {
        let table = sink.table(&SPEC)?;
        let mut line = StringViewBuilder::new();
        line.append_block(Buffer::from(body.clone()));
        Ok(Entries {
            sink,
            table,
            options,
            taken: base::limits::PAST_NS..=header.received_ns.saturating_add(base::limits::FUTURE_NS),
            body: body.clone(),
            next: 0,
            refused: 0,
            series: vec![],
            time: vec![],
            ordinal: vec![],
            line,
            level: StringViewBuilder::new(),
            metadata_ends: vec![],
            metadata: Metadata::default(),
        })
    }

    /// Looks up a stream by the hash of its label bytes. An error is one of the store; a stream that is itself at
    /// fault comes back as such.
    pub fn series(
        &mut self,
        raw: u128,
        mut labels: impl FnMut() -> std::result::Result<Labels, BadStream>,
    ) -> Result<std::result::Result<u32, BadStream>> {
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

    /// Adds an entry with the metadata gathered since the last one.
    pub fn push(&mut self, stream: &Stream<'_>, time_ns: i64, line: Line<'_>) -> Result<()> {
        let ordinal = self.next;
        self.next += 1;
        if self.next as usize > ROWS_PER_BODY {
            return Err(Error::new(Kind::TooLarge, format!("the request has more than {ROWS_PER_BODY} entries: send smaller batches")));
        }
        let len = match &line {
            Line::Body(b) => b.len(),
            Line::Made(s) => s.len(),
        };
        let bytes = (len + self.metadata.pending().len() + stream.about.out.len()) as u64;
        let refusal = |reason, message: &dyn Fn() -> String, texts: usize| Refusal {
            ordinal,
            reason,
            message: if texts < REFUSALS_WITH_TEXT { message() } else { String::new() },
            bytes,
            time_ns: Some(time_ns),
        };
        let refused = match &stream.series {
            Err(b) => Some(refusal(b.reason, &|| b.error.message().to_owned(), self.refused)),
            Ok(_) => self.fault(stream, time_ns, len).map(|(reason, message)| refusal(reason, &*message, self.refused)),
        };
        if let Some(r) = refused {
            self.refused += 1;
            self.metadata.drop_pending();
            self.sink.refuse(r);
            return Ok(());
        }
        let Ok(series) = stream.series else { return Ok(()) };
        if !self.sink.admit(ordinal, self.table, series, bytes, time_ns) {
            self.metadata.drop_pending();
            return Ok(());
        }
        self.keep(stream, series, ordinal, time_ns, line)
    }

    /// What is wrong with an entry of a good stream: reason and text.
    fn fault<'a>(&self, stream: &'a Stream<'_>, time_ns: i64, len: usize) -> Option<Fault<'a>> {
        let limit = self.options.line_bytes;
        if !self.taken.contains(&time_ns) {
            let (reason, age) = if time_ns < *self.taken.start() { ("too_far_in_past", "old") } else { ("too_far_in_future", "new") };
            let text = move || format!("entry for stream '{}' has timestamp too {age}: {}", quoted(stream.shown), format_rfc3339(time_ns));
            return Some((reason, Box::new(text)));
        }
        if len as u64 > limit {
            let text = move || {
                let shown = quoted(stream.shown);
                format!("max entry size '{limit}' bytes exceeded for stream '{shown}' while adding an entry with length '{len}' bytes")
            };
            return Some(("line_too_long", Box::new(text)));
        }
        let pairs = self.metadata.pairs + stream.about.pairs;
        let size = self.metadata.pending().len() + stream.about.out.len();
        if size > METADATA_BYTES {
            let text = move || {
                format!(
                    "stream '{}' has structured metadata too large: '{size}' bytes, limit: '{METADATA_BYTES}' bytes",
                    quoted(stream.shown)
                )
            };
            return Some(("structured_metadata_too_large", Box::new(text)));
        }
        if pairs > METADATA_PAIRS {
            let text = move || {
                format!("stream '{}' has too many structured metadata labels: '{pairs}', limit: '{METADATA_PAIRS}'", quoted(stream.shown))
            };
            return Some(("structured_metadata_too_many", Box::new(text)));
        }
        None
    }

    fn keep(&mut self, stream: &Stream<'_>, series: u32, ordinal: u32, time_ns: i64, line: Line<'_>) -> Result<()> {
        self.metadata.extend(&stream.about);
        let level = match &line {
            Line::Body(b) => level::of_entry(&stream.hint, &self.metadata.hint, b),
            Line::Made(s) => level::of_entry(&stream.hint, &self.metadata.hint, s.as_bytes()),
        };
        self.level.append_value(&*level);
        match line {
            // A line that was not sent at all lies nowhere.
            Line::Body([]) => self.line.append_value(""),
            Line::Body(b) => {
                let at = offset_in(&self.body, b).ok_or_else(|| Error::internal("a line does not lie in its body"))?;
                // The only check of UTF-8; what fails it is copied and repaired.
                if self.line.try_append_view(0, at as u32, b.len() as u32).is_err() {
                    self.line.append_value(text(b));
                }
            }
            Line::Made(s) => self.line.append_value(s),
        }
        self.series.push(series);
        self.time.push(time_ns);
        self.ordinal.push(ordinal);
        self.metadata_ends.push(self.metadata.commit());
        if self.metadata.out.len() > METADATA_BYTES_PER_BODY {
            return Err(Error::new(Kind::TooLarge, "the request has too much structured metadata: send smaller batches"));
        }
        Ok(())
    }

    /// Hands the batch over.
    pub fn finish(mut self) -> Result<()> {
        if self.series.is_empty() {
            return Ok(());
        }
        let mut metadata = BinaryViewBuilder::with_capacity(self.series.len());
        metadata.append_block(Buffer::from_vec(self.metadata.out));
        for (start, end) in self.metadata_ends {
            if start == end {
                metadata.append_null();
            } else {
                metadata.try_append_view(0, start, end - start).map_err(|e| Error::internal(e.to_string()))?;
            }
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(self.series)),
            Arc::new(Int64Array::from(self.time)),
            Arc::new(UInt32Array::from(self.ordinal)),
            Arc::new(self.line.finish()),
            Arc::new(metadata.finish()),
            Arc::new(self.level.finish()),
        ];
        let batch = RecordBatch::try_new(SPEC.schema(), columns).map_err(|e| Error::internal(e.to_string()))?;
        self.sink.rows(self.table, batch);
        Ok(())
    }
}

/// Structured metadata in the form of [`base::attrs`], of one entry after the other in one buffer.
#[derive(Clone, Default)]
pub struct Metadata {
    out: Vec<u8>,
    start: usize,
    pairs: usize,
    /// What it says about the level.
    pub hint: Hint,
}

impl Metadata {
    /// Adds a pair, unless it is the level itself. `false` once there is too much: the entry will be refused, and more
    /// pairs are of no use.
    pub fn push(&mut self, name: &str, value: &str) -> bool {
        if !self.hint.see(name, value) {
            self.pairs += 1;
            write_pair(&mut self.out, name, value);
        }
        self.pending().len() <= METADATA_BYTES && self.pairs <= METADATA_PAIRS
    }
    /// Adds pairs that are encoded already.
    fn extend(&mut self, other: &Metadata) {
        self.out.extend_from_slice(&other.out);
        self.pairs += other.pairs;
        self.hint.merge(&other.hint);
    }
    fn pending(&self) -> &[u8] {
        &self.out[self.start..]
    }
    fn drop_pending(&mut self) {
        self.out.truncate(self.start);
        self.commit();
    }
    /// Ends the entry: where its pairs lie.
    fn commit(&mut self) -> (u32, u32) {
        let range = (self.start as u32, self.out.len() as u32);
        self.start = self.out.len();
        self.pairs = 0;
        self.hint.clear();
        range
    }
}

/// `KeyValue { 1: name, 2: AnyValue { 1: text } }` as field 1, in one pass.
fn write_pair(out: &mut Vec<u8>, name: &str, value: &str) {
    let size = |n: usize| 1 + varint_len(n) + n;
    let any = size(value.len());
    out.push(0x0a);
    write_varint(out, (size(name.len()) + size(any)) as u64);
    out.push(0x0a);
    write_varint(out, name.len() as u64);
    out.extend_from_slice(name.as_bytes());
    out.push(0x12);
    write_varint(out, any as u64);
    out.push(0x0a);
    write_varint(out, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

fn varint_len(n: usize) -> usize {
    (usize::BITS - (n | 1).leading_zeros()).div_ceil(7) as usize
}
