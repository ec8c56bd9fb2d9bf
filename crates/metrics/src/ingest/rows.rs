//! The batches that a body becomes: samples, exemplars, and what is said of metrics.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_array::builder::{BinaryViewBuilder, Int64Builder};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, UInt32Array};
use arrow_buffer::Buffer;
use arrow_schema::DataType;
use base::hash::hash128_seeded;
use base::labels::METRIC_NAME;
use base::units::format_rfc3339;
use base::{Error, Kind, Labels, LabelsBuilder, Result};
use bytes::Bytes;
use table::sorted::blank;
use table::{FrameHeader, Refusal, Sink, TableId};
use wire::limits::{EXEMPLAR_BYTES, ROWS_PER_BODY};
use wire::proto::{offset_in, text};
use wire::remote_write::{METRIC_TYPES, label_pairs};

use super::series::BadSeries;
use crate::histogram::Histogram;
use crate::{about, exemplar, limits, spec};

/// Bytes that a sample counts for: its time and its value.
const SAMPLE_BYTES: u64 = 16;
/// A refusal beyond this many of a body carries its reason without a text: nobody reads the thousandth.
const REFUSALS_WITH_TEXT: usize = 16;

/// Kinds of entries, as [`Sink::count`] is told.
pub mod kind {
    /// Floats.
    pub const SAMPLES: &str = "samples";
    /// Native histograms.
    pub const HISTOGRAMS: &str = "histograms";
    /// Exemplars.
    pub const EXEMPLARS: &str = "exemplars";
}

/// A series of a body.
pub struct Owner<'a> {
    /// Hash of whatever determines its labels.
    pub raw: u128,
    /// Reads and checks its labels: called when the hash is new to this node.
    pub labels: &'a dyn Fn() -> std::result::Result<Labels, BadSeries>,
    /// The series for people.
    pub show: &'a dyn Fn() -> String,
}

/// The number of a series in a table, or what is wrong with it.
type Number = std::result::Result<u32, BadSeries>;

/// A series, as far as it has been looked up.
pub struct Found<'a> {
    owner: Owner<'a>,
    sample: Option<Number>,
    exemplar: Option<Number>,
}

impl<'a> Found<'a> {
    /// With labels that no series has: nothing is looked up, and all that it has is refused.
    pub fn refused(owner: Owner<'a>, bad: BadSeries) -> Self {
        Found { owner, sample: Some(Err(bad.clone())), exemplar: Some(Err(bad)) }
    }
}

impl<'a> From<Owner<'a>> for Found<'a> {
    fn from(owner: Owner<'a>) -> Self {
        Found { owner, sample: None, exemplar: None }
    }
}

/// A sample's value.
#[derive(Clone, Copy)]
pub enum Payload<'a> {
    /// A float.
    Float(f64),
    /// A `Histogram` message that is a slice of the body.
    Received(&'a [u8]),
    /// A `Histogram` message that was made while decoding.
    Made(&'a [u8]),
}

/// Where a histogram lies: row, whether it was made, place, length.
struct Placed(usize, bool, u32, u32);

/// The batches in the making.
pub struct Rows<'s> {
    sink: &'s mut dyn Sink,
    samples: TableId,
    exemplars: TableId,
    about: TableId,
    body: &'s Bytes,
    /// Times that are taken.
    taken: RangeInclusive<i64>,
    day_ms: i64,
    next: u32,
    refused: usize,
    series: Vec<u32>,
    time: Vec<i64>,
    value: Vec<f64>,
    /// Row and start, of those that have one.
    starts: Vec<(usize, i64)>,
    histograms: Vec<Placed>,
    made: Vec<u8>,
    exemplar_series: Vec<u32>,
    exemplar_time: Vec<i64>,
    exemplar_value: Vec<f64>,
    exemplar_labels: BinaryViewBuilder,
    about_series: Vec<u32>,
    about_seen: HashSet<u128>,
}

impl<'s> Rows<'s> {
    /// Nothing yet, of this body.
    pub fn new(header: &FrameHeader, body: &'s Bytes, sink: &'s mut dyn Sink) -> Result<Self> {
        let latest_ms = header.received_ns.saturating_add(base::limits::FUTURE_NS).div_euclid(1_000_000);
        Ok(Rows {
            samples: sink.table(&spec::SPEC)?,
            exemplars: sink.table(&exemplar::SPEC)?,
            about: sink.table(&about::SPEC)?,
            sink,
            body,
            taken: base::limits::PAST_NS / 1_000_000..=latest_ms,
            day_ms: header.received_ns.div_euclid(1_000_000 * about::DAY_MS) * about::DAY_MS,
            next: 0,
            refused: 0,
            series: vec![],
            time: vec![],
            value: vec![],
            starts: vec![],
            histograms: vec![],
            made: vec![],
            exemplar_series: vec![],
            exemplar_time: vec![],
            exemplar_value: vec![],
            exemplar_labels: BinaryViewBuilder::new(),
            about_series: vec![],
            about_seen: HashSet::new(),
        })
    }

    /// Takes a sample; `start_ms` is 0 where nothing is known of when its counting began.
    pub fn sample(&mut self, s: &mut Found<'_>, time_ms: i64, start_ms: i64, payload: Payload<'_>) -> Result<()> {
        let ordinal = self.ordinal()?;
        let bytes = match payload {
            Payload::Float(_) => SAMPLE_BYTES,
            Payload::Received(h) | Payload::Made(h) => h.len() as u64,
        };
        let Some(number) = self.number(s, ordinal, bytes, time_ms)? else { return Ok(()) };
        let value = match payload {
            Payload::Float(v) => v,
            Payload::Received(h) | Payload::Made(h) => {
                if let Err(what) = Histogram::check(h) {
                    let show = s.owner.show;
                    self.refuse(ordinal, "invalid_histogram", bytes, time_ms, || format!("a native histogram of {}: {what}", show()));
                    return Ok(());
                }
                0.0
            }
        };
        if !self.sink.admit(ordinal, self.samples, number, bytes, time_ms.saturating_mul(1_000_000)) {
            return Ok(());
        }
        let row = self.series.len();
        match payload {
            Payload::Float(_) => {}
            Payload::Received(h) => {
                // A message of no bytes is a histogram too: it lies nowhere, so anywhere.
                let at = if h.is_empty() { Some(0) } else { offset_in(self.body, h) };
                let at = at.ok_or_else(|| Error::internal("a histogram does not lie in its body"))?;
                self.histograms.push(Placed(row, false, at as u32, h.len() as u32));
            }
            Payload::Made(h) => {
                self.histograms.push(Placed(row, true, self.made.len() as u32, h.len() as u32));
                self.made.extend_from_slice(h);
            }
        }
        if start_ms != 0 {
            self.starts.push((row, start_ms));
        }
        self.series.push(number);
        self.time.push(time_ms);
        self.value.push(value);
        Ok(())
    }

    /// Takes an exemplar; its labels are label fields of remote write 1.0.
    pub fn exemplar(&mut self, s: &mut Found<'_>, time_ms: i64, value: f64, labels: &[u8]) -> Result<()> {
        let ordinal = self.ordinal()?;
        let bytes = SAMPLE_BYTES + labels.len() as u64;
        let exemplar_number = match s.exemplar.take() {
            Some(n) => n,
            None => self.lookup(self.exemplars, &s.owner)?,
        };
        let number = match &exemplar_number {
            Ok(n) => *n,
            Err(bad) => {
                self.refuse(ordinal, bad.reason, bytes, time_ms, || bad.error.message().to_owned());
                s.exemplar = Some(exemplar_number);
                return Ok(());
            }
        };
        s.exemplar = Some(exemplar_number);
        let show = s.owner.show;
        if !self.taken.contains(&time_ms) {
            self.out_of_bounds(ordinal, bytes, time_ms, "an exemplar", show);
            return Ok(());
        }
        if let Err(what) = check_exemplar(labels) {
            self.refuse(ordinal, "invalid_exemplar", bytes, time_ms, || format!("an exemplar of {}: {what}", show()));
            return Ok(());
        }
        if !self.sink.admit(ordinal, self.exemplars, number, bytes, time_ms.saturating_mul(1_000_000)) {
            return Ok(());
        }
        self.exemplar_series.push(number);
        self.exemplar_time.push(time_ms);
        self.exemplar_value.push(value);
        self.exemplar_labels.append_value(labels);
        Ok(())
    }

    /// Takes what is said of a metric. It is not an entry: where it is wrong or too long, it is left out or cut short.
    pub fn about(&mut self, kind: u64, name: &[u8], help: &[u8], unit: &[u8]) -> Result<()> {
        let kind = usize::try_from(kind).ok().and_then(|k| METRIC_TYPES.get(k)).copied().unwrap_or(METRIC_TYPES[0]);
        if name.is_empty() || name.len() > limits::METADATA_NAME_BYTES || (kind == METRIC_TYPES[0] && help.is_empty() && unit.is_empty()) {
            return Ok(());
        }
        // What is cut off is not even read: many may refer to one long symbol.
        let (help, unit) = (text(head(help, limits::METADATA_HELP_BYTES)), text(head(unit, limits::METADATA_NAME_BYTES)));
        let Ok(name) = std::str::from_utf8(name) else { return Ok(()) };
        let (help, unit) = (cut(&help, limits::METADATA_HELP_BYTES), cut(&unit, limits::METADATA_NAME_BYTES));
        let raw = hash128_seeded([name, kind, help, unit].join("\u{0}").as_bytes(), ABOUT_SEED);
        if self.about_seen.len() >= ROWS_PER_BODY || !self.about_seen.insert(raw) {
            return Ok(());
        }
        let number = self.sink.series(self.about, raw, &mut || {
            let mut b = LabelsBuilder::default();
            for (n, v) in [(METRIC_NAME, name), (about::TYPE, kind), (about::HELP, help), (about::UNIT, unit)] {
                if !v.is_empty() {
                    b.push(n, v);
                }
            }
            b.finish()
        })?;
        self.about_series.push(number);
        Ok(())
    }

    /// Refuses an entry that cannot be read.
    pub fn refuse_unread(&mut self, reason: &'static str, time_ms: i64, message: impl FnOnce() -> String) -> Result<()> {
        let ordinal = self.ordinal()?;
        self.refuse(ordinal, reason, SAMPLE_BYTES, time_ms, message);
        Ok(())
    }

    fn ordinal(&mut self) -> Result<u32> {
        let ordinal = self.next;
        self.next += 1;
        if self.next as usize > ROWS_PER_BODY {
            return Err(Error::new(Kind::TooLarge, format!("the request has more than {ROWS_PER_BODY} entries: send smaller batches")));
        }
        Ok(ordinal)
    }

    /// The number of a sample's series; `None` if the sample was refused.
    fn number(&mut self, s: &mut Found<'_>, ordinal: u32, bytes: u64, time_ms: i64) -> Result<Option<u32>> {
        if s.sample.is_none() {
            s.sample = Some(self.lookup(self.samples, &s.owner)?);
        }
        match &s.sample {
            Some(Ok(n)) if self.taken.contains(&time_ms) => return Ok(Some(*n)),
            Some(Err(bad)) => self.refuse(ordinal, bad.reason, bytes, time_ms, || bad.error.message().to_owned()),
            _ => self.out_of_bounds(ordinal, bytes, time_ms, "a sample", s.owner.show),
        }
        Ok(None)
    }

    fn out_of_bounds(&mut self, ordinal: u32, bytes: u64, time_ms: i64, what: &str, show: &dyn Fn() -> String) {
        if time_ms < *self.taken.start() {
            self.refuse(ordinal, "too_far_in_past", bytes, time_ms, || {
                format!("out of bounds: {what} of {} has time {time_ms} (milliseconds since 1970), too far in the past", show())
            });
            return;
        }
        let time = format_rfc3339(time_ms.saturating_mul(1_000_000));
        self.refuse(ordinal, "too_far_in_future", bytes, time_ms, || {
            format!("out of bounds: {what} of {} has time {time}, too far in the future", show())
        });
    }

    /// The number of a series, or what is wrong with it. An error is one of the store.
    fn lookup(&mut self, table: TableId, owner: &Owner<'_>) -> Result<Number> {
        let mut bad = None;
        let found = self.sink.series(table, owner.raw, &mut || {
            (owner.labels)().map_err(|b| {
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

    fn refuse(&mut self, ordinal: u32, reason: &'static str, bytes: u64, time_ms: i64, message: impl FnOnce() -> String) {
        let message = if self.refused < REFUSALS_WITH_TEXT { message() } else { String::new() };
        self.refused += 1;
        self.sink.refuse(Refusal { ordinal, reason, message, bytes, time_ns: Some(time_ms.saturating_mul(1_000_000)) });
    }

    /// Hands the batches over.
    pub fn finish(mut self) -> Result<()> {
        let (rows, histograms, exemplars) = (self.series.len(), self.histograms.len(), self.exemplar_series.len());
        if rows > 0 {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(UInt32Array::from(self.series)),
                Arc::new(Int64Array::from(self.time)),
                Arc::new(Float64Array::from(self.value)),
                histogram_column(self.body, self.made, rows, &self.histograms)?,
                start_column(rows, &self.starts),
            ];
            self.sink.rows(self.samples, batch(&spec::SPEC, columns)?);
        }
        if exemplars > 0 {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(UInt32Array::from(self.exemplar_series)),
                Arc::new(Int64Array::from(self.exemplar_time)),
                Arc::new(Float64Array::from(self.exemplar_value)),
                Arc::new(self.exemplar_labels.finish()),
            ];
            self.sink.rows(self.exemplars, batch(&exemplar::SPEC, columns)?);
        }
        if !self.about_series.is_empty() {
            let times = Int64Array::from(vec![self.day_ms; self.about_series.len()]);
            let columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(self.about_series)), Arc::new(times)];
            self.sink.rows(self.about, batch(&about::SPEC, columns)?);
        }
        self.sink.count(kind::SAMPLES, (rows - histograms) as u64);
        self.sink.count(kind::HISTOGRAMS, histograms as u64);
        self.sink.count(kind::EXEMPLARS, exemplars as u64);
        Ok(())
    }
}

/// Keeps hashes of what is said of metrics apart from others.
const ABOUT_SEED: u64 = 0x02ff;

fn batch(spec: &table::TableSpec, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(spec.schema(), columns).map_err(|e| Error::internal(e.to_string()))
}

/// The first bytes, and enough more that no character is cut within them.
pub(super) fn head(text: &[u8], bytes: usize) -> &[u8] {
    &text[..text.len().min(bytes + 4)]
}

/// The text, cut at a character.
fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// Whether an exemplar's labels can be kept.
fn check_exemplar(fields: &[u8]) -> std::result::Result<(), &'static str> {
    if fields.len() > EXEMPLAR_BYTES {
        return Err("its labels are too long");
    }
    let mut names: Vec<&[u8]> = vec![];
    for pair in label_pairs(fields) {
        let (name, value) = pair.map_err(|_| "its labels cannot be read")?;
        if std::str::from_utf8(name).is_err() || std::str::from_utf8(value).is_err() {
            return Err("a label is not UTF-8");
        }
        if name.is_empty() || names.contains(&name) {
            return Err("a label has no name, or one that another has too");
        }
        names.push(name);
    }
    Ok(())
}

fn histogram_column(body: &Bytes, made: Vec<u8>, rows: usize, histograms: &[Placed]) -> Result<ArrayRef> {
    if histograms.is_empty() {
        return Ok(blank(&DataType::BinaryView, rows));
    }
    let mut column = BinaryViewBuilder::with_capacity(rows);
    let received = column.append_block(Buffer::from(body.clone()));
    let made = column.append_block(Buffer::from(made));
    let mut next = histograms.iter().peekable();
    for row in 0..rows {
        match next.next_if(|h| h.0 == row) {
            Some(Placed(_, is_made, at, len)) => {
                let block = if *is_made { made } else { received };
                column.try_append_view(block, *at, *len).map_err(|e| Error::internal(e.to_string()))?;
            }
            None => column.append_null(),
        }
    }
    Ok(Arc::new(column.finish()))
}

fn start_column(rows: usize, starts: &[(usize, i64)]) -> ArrayRef {
    if starts.is_empty() {
        return blank(&DataType::Int64, rows);
    }
    let mut column = Int64Builder::with_capacity(rows);
    let mut next = starts.iter().peekable();
    for row in 0..rows {
        column.append_option(next.next_if(|s| s.0 == row).map(|s| s.1));
    }
    Arc::new(column.finish())
}
