//! What turns received bodies into rows of the samples table: remote write 1.0.
//!
//! A series is found by the hash of its label fields as they came; only one that this node has never seen has its
//! labels read and checked. A native histogram is kept as the message it came as. Exemplars and metadata are not kept
//! yet; they are counted ([`NOT_KEPT`]) and no error.

mod series;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::{ArrayRef, BinaryViewArray, Float64Array, Int64Array, RecordBatch, UInt32Array};
use arrow_buffer::Buffer;
use base::hash::hash128_seeded;
use base::units::format_rfc3339;
use base::{Error, Kind, Result};
use bytes::Bytes;
use table::{Codec, FrameHeader, Refusal, Sink, TableId};
use wire::encoding::{media_type, shorten};
use wire::limits::ROWS_PER_BODY;
use wire::proto::offset_in;
use wire::remote_write::{Item, MEDIA_TYPE, Series, SeriesList, count_metadata};
use wire::{Encoding, Options};

use crate::SPEC;
use series::BadSeries;

/// Prometheus remote write, `prometheus.WriteRequest`, version 1.
pub const REMOTE_WRITE_1: u16 = 0x0201;

/// Bytes that a sample counts for: its time and its value.
const SAMPLE_BYTES: u64 = 16;
/// A refusal beyond this many of a body carries its reason without a text: nobody reads the thousandth.
const REFUSALS_WITH_TEXT: usize = 16;

/// Rows of the array of no histograms that bodies share: Prometheus sends 2,000 at once, its largest setting is 10,000.
const SHARED_NULLS: usize = 16_384;

/// What was received and is not kept yet, since the start of the process (bodies decoded again after a crash count
/// again).
#[derive(Debug, Default)]
pub struct NotKept {
    /// Exemplars.
    pub exemplars: AtomicU64,
    /// Entries of metric metadata.
    pub metadata: AtomicU64,
}

/// See [`NotKept`].
pub static NOT_KEPT: NotKept = NotKept { exemplars: AtomicU64::new(0), metadata: AtomicU64::new(0) };

/// All codecs of this crate.
pub fn codecs() -> Vec<Arc<dyn Codec>> {
    vec![Arc::new(RemoteWrite)]
}

/// What a [`table::FrameHeader`] says about a body: how it is to be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// `FrameHeader::codec`
    pub codec: u16,
    /// `FrameHeader::options`
    pub options: Bytes,
}

/// The codec of a remote write with these headers: protobuf of version 1 as a snappy block. `limits` are the tenant's;
/// their encoding is ignored. `Invalid` for anything else, to which the answer is 415, so that a sender of version 2
/// falls back.
pub fn select_remote_write(content_type: Option<&str>, content_encoding: Option<&str>, limits: Options) -> Result<Selected> {
    let content_type = content_type.unwrap_or(MEDIA_TYPE);
    let proto = content_type.split(';').skip(1).find_map(|p| p.trim().strip_prefix("proto="));
    if media_type(content_type) != MEDIA_TYPE || !matches!(proto, None | Some("prometheus.WriteRequest")) {
        return Err(Error::invalid(format!(
            "content type {:?} is not supported: send remote write 1.0 ({MEDIA_TYPE};proto=prometheus.WriteRequest)",
            shorten(content_type)
        )));
    }
    // A sender that names no encoding sends snappy all the same: version 1 knows nothing else.
    let encoding = match Encoding::from_header(content_encoding, Encoding::SnappyBlock)? {
        Encoding::Identity => Encoding::SnappyBlock,
        other => other,
    };
    Ok(Selected { codec: REMOTE_WRITE_1, options: Options { encoding, ..limits }.to_bytes() })
}

/// Remote write 1.0.
struct RemoteWrite;

impl Codec for RemoteWrite {
    fn id(&self) -> u16 {
        REMOTE_WRITE_1
    }

    fn decode(&self, header: &FrameHeader, body: &Bytes, sink: &mut dyn Sink) -> Result<()> {
        let options = Options::from_bytes(&header.options)?;
        let body = wire::encoding::decode(options.encoding, body, base::limits::BODY_DECOMPRESSED_BYTES)?;
        let metadata = count_metadata(&body)?;
        let mut samples = Samples::new(header, options, &body, sink)?;
        for series in SeriesList::new(&body) {
            samples.series(&series?)?;
        }
        NOT_KEPT.exemplars.fetch_add(samples.exemplars, Ordering::Relaxed);
        NOT_KEPT.metadata.fetch_add(metadata as u64, Ordering::Relaxed);
        samples.finish()
    }
}

/// The batch in the making.
struct Samples<'s> {
    sink: &'s mut dyn Sink,
    table: TableId,
    options: Options,
    latest_ms: i64,
    body: &'s Bytes,
    next: u32,
    refused: usize,
    exemplars: u64,
    series: Vec<u32>,
    time: Vec<i64>,
    value: Vec<f64>,
    /// Row, place in the body, length.
    histograms: Vec<(usize, u32, u32)>,
}

impl<'s> Samples<'s> {
    fn new(header: &FrameHeader, options: Options, body: &'s Bytes, sink: &'s mut dyn Sink) -> Result<Self> {
        let table = sink.table(&SPEC)?;
        Ok(Samples {
            sink,
            table,
            options,
            latest_ms: header.received_ns.saturating_add(base::limits::FUTURE_NS).div_euclid(1_000_000),
            body,
            next: 0,
            refused: 0,
            exemplars: 0,
            series: vec![],
            time: vec![],
            value: vec![],
            histograms: vec![],
        })
    }

    fn series(&mut self, s: &Series<'_>) -> Result<()> {
        let mut number: Option<std::result::Result<u32, BadSeries>> = None;
        for item in s.items() {
            let (time_ms, value, histogram) = match item? {
                Item::Exemplar => {
                    self.exemplars += 1;
                    continue;
                }
                Item::Sample { time_ms, value } => (time_ms, value, None),
                Item::Histogram { time_ms, message } => (time_ms, 0.0, Some(message)),
            };
            let number = match &number {
                Some(n) => n,
                None => number.insert(self.lookup(s)?),
            };
            self.sample(s, number, time_ms, value, histogram)?;
        }
        Ok(())
    }

    /// The number of a series, or what is wrong with it. An error is one of the store.
    fn lookup(&mut self, s: &Series<'_>) -> Result<std::result::Result<u32, BadSeries>> {
        let mut bad = None;
        let raw = hash128_seeded(s.labels.bytes(), u64::from(REMOTE_WRITE_1));
        let options = self.options;
        let found = self.sink.series(self.table, raw, &mut || {
            series::labels(s, &options).map_err(|b| {
                let error = b.error.clone();
                bad = Some(b);
                error
            })
        });
        match (found, bad) {
            (Ok(number), _) => Ok(Ok(number)),
            (Err(_), Some(bad)) => Ok(Err(bad)),
            (Err(error), None) => Err(error),
        }
    }

    fn sample(
        &mut self,
        s: &Series<'_>,
        number: &std::result::Result<u32, BadSeries>,
        time_ms: i64,
        value: f64,
        histogram: Option<&[u8]>,
    ) -> Result<()> {
        let ordinal = self.next;
        self.next += 1;
        if self.next as usize > ROWS_PER_BODY {
            return Err(Error::new(Kind::TooLarge, format!("the request has more than {ROWS_PER_BODY} samples: send smaller batches")));
        }
        let bytes = histogram.map_or(SAMPLE_BYTES, |h| h.len() as u64);
        let time_ns = time_ms.saturating_mul(1_000_000);
        let number = match number {
            Ok(n) => *n,
            Err(bad) => {
                self.refuse(ordinal, bad.reason, bytes, time_ns, || bad.error.message().to_owned());
                return Ok(());
            }
        };
        if time_ms > self.latest_ms {
            self.refuse(ordinal, "too_far_in_future", bytes, time_ns, || {
                let shown = series::show(s);
                format!("out of bounds: a sample of {shown} has time {}, too far in the future", format_rfc3339(time_ns))
            });
            return Ok(());
        }
        if !self.sink.admit(ordinal, self.table, number, bytes, time_ns) {
            return Ok(());
        }
        if let Some(h) = histogram {
            // A message of no bytes is a histogram too: it lies nowhere, so anywhere.
            let at = if h.is_empty() { Some(0) } else { offset_in(self.body, h) };
            let at = at.ok_or_else(|| Error::internal("a histogram does not lie in its body"))?;
            self.histograms.push((self.series.len(), at as u32, h.len() as u32));
        }
        self.series.push(number);
        self.time.push(time_ms);
        self.value.push(value);
        Ok(())
    }

    fn refuse(&mut self, ordinal: u32, reason: &'static str, bytes: u64, time_ns: i64, message: impl FnOnce() -> String) {
        let message = if self.refused < REFUSALS_WITH_TEXT { message() } else { String::new() };
        self.refused += 1;
        self.sink.refuse(Refusal { ordinal, reason, message, bytes, time_ns: Some(time_ns) });
    }

    /// Hands the batch over.
    fn finish(self) -> Result<()> {
        let rows = self.series.len();
        if rows == 0 {
            return Ok(());
        }
        let histogram = histogram_column(self.body, rows, &self.histograms)?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(self.series)),
            Arc::new(Int64Array::from(self.time)),
            Arc::new(Float64Array::from(self.value)),
            Arc::new(histogram),
        ];
        let batch = RecordBatch::try_new(SPEC.schema(), columns).map_err(|e| Error::internal(e.to_string()))?;
        self.sink.rows(self.table, batch);
        Ok(())
    }
}

/// Most bodies have none: they share one array, where sixteen bytes a row were as much as time and value.
fn no_histograms(rows: usize) -> BinaryViewArray {
    static NONE: LazyLock<BinaryViewArray> = LazyLock::new(|| BinaryViewArray::new_null(SHARED_NULLS));
    if rows <= SHARED_NULLS { NONE.slice(0, rows) } else { BinaryViewArray::new_null(rows) }
}

fn histogram_column(body: &Bytes, rows: usize, histograms: &[(usize, u32, u32)]) -> Result<BinaryViewArray> {
    if histograms.is_empty() {
        return Ok(no_histograms(rows));
    }
    let mut column = BinaryViewBuilder::with_capacity(rows);
    column.append_block(Buffer::from(body.clone()));
    let mut next = histograms.iter().peekable();
    for row in 0..rows {
        match next.next_if(|h| h.0 == row) {
            Some((_, at, len)) => column.try_append_view(0, *at, *len).map_err(|e| Error::internal(e.to_string()))?,
            None => column.append_null(),
        }
    }
    Ok(column.finish())
}

#[cfg(test)]
mod tests;
