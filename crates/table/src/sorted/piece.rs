//! A piece: sorted rows of one source within one slice, read as they are needed.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use base::{Kind, Result};

use super::Budget;
use super::arrivals::Slice;
use super::data::{DataFile, RowReader, joined, overlap, total};
use super::index::{Segment, Stretch, StretchReader};
use super::limits;
use super::numbers::Steady;
use super::order::{key_values, time_key};
use super::text::read::Reads;
use crate::missing::Missing;
use crate::scan::Meter;

/// A decoded batch that counts against a budget until it is dropped.
pub struct Held {
    pub batch: RecordBatch,
    bytes: usize,
    budget: Arc<dyn Budget>,
}

impl Held {
    /// About how much `rows` of its rows take.
    pub fn bytes_of(&self, rows: usize) -> usize {
        self.bytes / self.batch.num_rows().max(1) * rows
    }

    fn new(batch: RecordBatch, budget: &Arc<dyn Budget>) -> Result<Arc<Held>> {
        let bytes = batch.columns().iter().map(held_bytes).sum();
        budget.reserve(bytes)?;
        Ok(Arc::new(Held { batch, bytes, budget: budget.clone() }))
    }
}

/// Bytes of a column's own rows: batches of one page share its buffers, which must not count for each of them.
pub fn held_bytes(column: &ArrayRef) -> usize {
    let n = column.len();
    if column.null_count() == n {
        return n;
    }
    match column.data_type() {
        DataType::Utf8View => n * 16 + column.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => n * 16 + column.as_binary_view().total_buffer_bytes_used(),
        DataType::FixedSizeBinary(width) => n * *width as usize,
        other => n * other.primitive_width().unwrap_or(8),
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

/// Where a piece's rows come from.
pub enum Rows {
    /// A segment of a data file and the rows wanted of it: one range for each stretch, and of these only what lies in
    /// `only`.
    Segment { data: Arc<DataFile>, segment: Segment, ranges: Vec<Range<u32>>, only: Option<Vec<Range<u32>>> },
    /// All rows of a segment, whose stretches are decoded as it goes on.
    Whole { data: Arc<DataFile>, segment: Segment, stretches: Mapped },
    /// Sorted rows at hand, whole rows in the table's schema, in order; one range for each stretch.
    Memory { batch: RecordBatch, ranges: Vec<Range<u32>> },
    /// Rows of another node. The piece's stretches are those of the batch at hand; what comes after it is not known yet.
    Arriving(Slice),
}

/// Stretches of a segment under the caller's numbers, which all of them have.
#[derive(Clone, Default)]
pub struct Mapped {
    pub stretches: StretchReader,
    /// Each has a step, or is one row.
    pub are_steady: bool,
    /// The caller's numbers, from the source's number `base` on.
    pub map: Arc<Vec<u32>>,
    pub base: u32,
}

impl Iterator for Mapped {
    type Item = Stretch;

    fn next(&mut self) -> Option<Stretch> {
        let s = self.stretches.next()?;
        Some(Stretch { series: self.map[(s.series - self.base) as usize], ..s })
    }
}

enum Reading {
    Closed(Rows),
    Open(Box<(RowReader, Segment)>),
    Batches(VecDeque<RecordBatch>),
    Arriving(Slice),
}

/// What a scan reads of each piece.
#[derive(Clone)]
pub struct Wanted {
    /// Columns of the table, ascending.
    pub columns: Vec<usize>,
    /// Where the key lies among them, for tables ordered by a key.
    pub key: Option<usize>,
    pub batch_rows: usize,
    /// What all readers of text share.
    pub texts: Arc<Reads>,
}

/// Sorted rows of one source.
pub struct Piece {
    reading: Reading,
    /// The stretches left, the one being read first. Tables ordered by a key have one, with series 0.
    pub stretches: VecDeque<Stretch>,
    /// The stretches after those.
    more: Mapped,
    /// Which source, for what its series numbers mean.
    pub source: usize,
    current: Option<Arc<Held>>,
    keys: Keys,
    at: usize,
    missing: Missing,
    meter: Meter,
    /// Counts the batches, so that users can tell whether they have seen the current one.
    pub generation: u64,
}

/// Whether the times of a stretch's rows are known without reading them.
fn is_steady(s: &Stretch, rows: &Range<u32>) -> bool {
    s.step > 0 || rows.len() == 1
}

/// The stretches that lie at `ranges`, if all of them have a step.
fn steady(stretches: &VecDeque<Stretch>, ranges: &[Range<u32>]) -> Option<Vec<Steady>> {
    let one = |(s, rows): (&Stretch, &Range<u32>)| is_steady(s, rows).then(|| Steady { rows: rows.clone(), first: s.first, step: s.step });
    stretches.iter().zip(ranges).map(one).collect()
}

/// Stretches of a piece that have a step, and where their rows are.
pub struct SteadyPart {
    pub data: Arc<DataFile>,
    pub segment: Segment,
    /// Ascending; one for each stretch.
    pub ranges: VecDeque<Range<u32>>,
    pub stretches: VecDeque<Stretch>,
    pub missing: Missing,
    pub meter: Meter,
}

enum Keys {
    None,
    Times(ArrayRef),
    Wide(Vec<u128>),
}

impl Piece {
    pub fn new(source: usize, rows: Rows, stretches: Vec<Stretch>, missing: Missing, meter: Meter) -> Piece {
        let more = if let Rows::Whole { stretches, .. } = &rows { stretches.clone() } else { Mapped::default() };
        let (reading, stretches) = (Reading::Closed(rows), stretches.into());
        let mut piece = Piece { reading, stretches, more, source, current: None, keys: Keys::None, at: 0, missing, meter, generation: 0 };
        piece.refill();
        piece
    }

    /// Makes sure that the next stretch is at hand.
    fn refill(&mut self) {
        if self.stretches.is_empty() {
            self.stretches.extend(self.more.by_ref().take(limits::STRETCHES_AT_ONCE));
        }
    }

    /// All stretches and their rows in memory.
    fn hold_all(&mut self, data: Arc<DataFile>, segment: Segment) -> Rows {
        self.stretches.extend(self.more.by_ref());
        let mut at = segment.first_row;
        let range = |s: &Stretch| {
            let rows = at..at + s.rows;
            at = rows.end;
            rows
        };
        let ranges = self.stretches.iter().map(range).collect();
        Rows::Segment { data, segment, ranges, only: None }
    }

    /// Its stretches that have a step, if they are most of it and nothing was read yet.
    pub fn steady_part(&self) -> Option<SteadyPart> {
        let Reading::Closed(Rows::Segment { data, segment, ranges, only: None }) = &self.reading else { return None };
        let (mut part, mut stretches) = (VecDeque::with_capacity(ranges.len()), VecDeque::with_capacity(ranges.len()));
        for (s, rows) in self.stretches.iter().zip(ranges).filter(|(s, rows)| is_steady(s, rows)) {
            part.push_back(rows.clone());
            stretches.push_back(*s);
        }
        if stretches.len() * 2 < self.stretches.len() {
            return None;
        }
        let (data, segment, missing, meter) = (data.clone(), segment.clone(), self.missing.clone(), self.meter.clone());
        Some(SteadyPart { data, segment, ranges: part, stretches, missing, meter })
    }

    /// What is left of it when others have read its steady part; `None` if nothing is.
    pub fn without_steady_part(mut self) -> Option<Piece> {
        if let Reading::Closed(Rows::Segment { ranges, .. }) = &mut self.reading {
            let left: Vec<bool> = self.stretches.iter().zip(ranges.iter()).map(|(s, rows)| !is_steady(s, rows)).collect();
            let mut keep = left.iter();
            ranges.retain(|_| keep.next() == Some(&true));
            let mut keep = left.iter();
            self.stretches.retain(|_| keep.next() == Some(&true));
        }
        (!self.stretches.is_empty()).then_some(self)
    }

    /// Whether its stretches are only those of the rows at hand.
    pub fn is_arriving(&self) -> bool {
        matches!(self.reading, Reading::Closed(Rows::Arriving(_)) | Reading::Arriving(_))
    }

    /// Opens the rows. Damage may take rows out of stretches, or all of them.
    pub fn open(&mut self, wanted: &Wanted) -> Result<()> {
        if let Reading::Closed(Rows::Whole { data, segment, stretches }) = &self.reading {
            let (data, segment) = (data.clone(), segment.clone());
            match data.all_rows(&segment, &stretches.stretches, stretches.are_steady, wanted, &self.missing) {
                Ok(Some(reader)) => {
                    self.reading = Reading::Open(Box::new((reader, segment)));
                    return Ok(());
                }
                Err(e) if e.kind() != Kind::Corrupt => return Err(e),
                // What is left of its rows, if any are.
                _ => self.reading = Reading::Closed(self.hold_all(data, segment)),
            }
        }
        let Reading::Closed(rows) = &mut self.reading else { return Ok(()) };
        self.reading = match rows {
            Rows::Segment { data, segment, ranges, only } => {
                let before = self.stretches.iter().map(|s| s.rows).sum();
                let steady = wanted.key.is_none().then(|| steady(&self.stretches, ranges)).flatten();
                let (reader, left) = match data.rows(segment, ranges, only.as_deref(), steady, wanted, &self.missing) {
                    Err(e) if e.kind() == Kind::Corrupt => {
                        data.report(segment, None, u64::from(before), &e, &self.missing);
                        (None, vec![])
                    }
                    other => other.map(|(reader, left)| (Some(reader), left))?,
                };
                if total(&left) < before {
                    match wanted.key {
                        // One stretch, however many ranges.
                        Some(_) => self.stretches.iter_mut().for_each(|s| s.rows = total(&left)),
                        None => self.stretches.iter_mut().zip(ranges.iter()).for_each(|(s, range)| s.rows = overlap(&left, range)),
                    }
                    self.stretches.retain(|s| s.rows > 0);
                }
                match reader {
                    Some(r) => Reading::Open(Box::new((r, segment.clone()))),
                    None => Reading::Batches(VecDeque::new()),
                }
            }
            Rows::Whole { .. } => return Ok(()),
            Rows::Memory { batch, ranges } => {
                let whole = batch.project(&wanted.columns).map_err(super::layout::internal)?;
                let pieces = joined(ranges).into_iter().map(|r| whole.slice(r.start as usize, (r.end - r.start) as usize));
                Reading::Batches(pieces.collect())
            }
            Rows::Arriving(slice) => Reading::Arriving(slice.clone()),
        };
        Ok(())
    }

    /// Makes sure that there is a current row; false at the end of the rows.
    pub fn load(&mut self, wanted: &Wanted, budget: &Arc<dyn Budget>) -> Result<bool> {
        self.open(wanted)?;
        while self.current.as_ref().is_none_or(|b| self.at >= b.batch.num_rows()) {
            self.current = None;
            let mut left_out_bytes = 0;
            let next = match &mut self.reading {
                Reading::Batches(b) => b.pop_front(),
                Reading::Closed(_) => None,
                Reading::Open(open) => match open.0.next() {
                    Err(e) if e.kind() == Kind::Corrupt => {
                        let lost: u64 = self.stretches.iter().copied().chain(self.more.by_ref()).map(|s| u64::from(s.rows)).sum();
                        open.0.data().report(&open.1, None, lost, &e, &self.missing);
                        self.reading = Reading::Batches(VecDeque::new());
                        None
                    }
                    other => {
                        left_out_bytes = open.0.left_out_bytes();
                        other?
                    }
                },
                Reading::Arriving(slice) => match slice.next()? {
                    Some((batch, stretches)) => {
                        self.stretches = stretches.into();
                        Some(batch.project(&wanted.columns).map_err(super::layout::internal)?)
                    }
                    None => None,
                },
            };
            let Some(batch) = next else {
                (self.stretches, self.more) = (VecDeque::new(), Mapped::default());
                return Ok(false);
            };
            self.keys = Keys::None;
            self.at = 0;
            self.generation += 1;
            let held = Held::new(batch, budget)?;
            self.meter.add(held.bytes + left_out_bytes)?;
            self.current = Some(held);
        }
        Ok(!self.stretches.is_empty())
    }

    /// The current batch, the current row in it, and how many rows of the current stretch it still holds.
    pub fn rows(&self) -> Option<(&Arc<Held>, usize, usize)> {
        let held = self.current.as_ref()?;
        let left = self.stretches.front()?.rows as usize;
        Some((held, self.at, left.min(held.batch.num_rows() - self.at)))
    }

    /// Keys of the rows that [`Piece::rows`] offers: `key(i)` of the `i`-th from the current.
    pub fn key(&mut self, i: usize, wanted: &Wanted) -> u128 {
        let Some(held) = &self.current else { return u128::MAX };
        if matches!(self.keys, Keys::None) {
            self.keys = match wanted.key {
                Some(k) => Keys::Wide(key_values(held.batch.column(k))),
                None => Keys::Times(held.batch.column(0).clone()),
            };
        }
        match &self.keys {
            Keys::Wide(k) => k.get(self.at + i).copied().unwrap_or(u128::MAX),
            Keys::Times(t) if self.at + i < t.len() => time_key(t.as_primitive::<Int64Type>().value(self.at + i)),
            _ => u128::MAX,
        }
    }

    /// Steps over `n` rows of the current stretch and batch. True when the stretch is known to be at its end: the last one of
    /// arriving rows may go on in the next batch.
    pub fn advance(&mut self, n: usize) -> bool {
        self.at += n;
        let Some(s) = self.stretches.front_mut() else { return true };
        s.rows = s.rows.saturating_sub(n as u32);
        if s.rows == 0 {
            self.stretches.pop_front();
            self.refill();
            return !(self.stretches.is_empty() && matches!(self.reading, Reading::Arriving(_)));
        }
        false
    }
}
