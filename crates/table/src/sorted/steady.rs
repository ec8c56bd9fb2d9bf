//! Scans of stretches: rows whose times are known go from the page to the one who asks without a series and a time for each.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use base::{Kind, Result};

use super::Budget;
use super::data::{DataFile, Pages, joined};
use super::doubles::Doubles;
use super::index::{Segment, Stretch};
use super::limits::STRETCH_ROWS;
use super::numbers::Numbers;
use super::piece::{Piece, SteadyPart};
use super::text::read::Reads;
use super::view::Reserved;
use crate::missing::Missing;
use crate::scan::TimeRange;
use crate::stretches::Collected;

/// What a row is said to take in memory, as rows in batches do: its time, its value, and a byte for each blank column.
const ROW_BYTES: usize = 16;

/// Reads the steady parts of a scan's pieces.
pub struct SteadyScan {
    /// The table's columns: that of the values, then those that must be blank.
    columns: Vec<usize>,
    range: TimeRange,
    reads: Arc<Reads>,
    budget: Arc<dyn Budget>,
    /// What the batch at hand is made of.
    collected: Collected,
    /// The part at hand.
    part: Option<Part>,
}

struct Part {
    left: SteadyPart,
    doubles: Doubles<Pages>,
    pages: Arc<Pages>,
    _reserved: Reserved,
}

impl SteadyScan {
    pub fn new(columns: Vec<usize>, range: TimeRange, reads: Arc<Reads>, budget: Arc<dyn Budget>) -> SteadyScan {
        SteadyScan { columns, range, reads, budget, collected: Collected::default(), part: None }
    }

    /// Begins with the steady part of a piece; returns what is left of the piece for the general way. That is all of it if there is no steady
    /// part, its columns are of another shape, or there is damage.
    pub fn begin(&mut self, piece: Piece) -> Result<Option<Piece>> {
        let Some(left) = piece.steady_part() else { return Ok(Some(piece)) };
        let ranges: Vec<Range<u32>> = left.ranges.iter().cloned().collect();
        let opened = left.data.doubles(&left.segment, &joined(&ranges), &self.columns, &self.reads, &left.missing);
        let (doubles, pages) = match opened {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(Some(piece)),
            Err(e) if e.kind() == Kind::Corrupt => return Ok(Some(piece)),
            Err(e) => return Err(e),
        };
        let mut reserved = Reserved::none(&self.budget);
        reserved.add(STRETCH_ROWS * self.row_bytes())?;
        self.part = Some(Part { left, doubles, pages, _reserved: reserved });
        Ok(piece.without_steady_part())
    }

    fn row_bytes(&self) -> usize {
        ROW_BYTES + self.columns.len() - 1
    }

    /// The next stretches of the part at hand; `None` at its end.
    pub fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(part) = &mut self.part else { return Ok(None) };
        self.collected.begin();
        while self.collected.rows() < STRETCH_ROWS
            && let (Some(s), Some(rows)) = (part.left.stretches.front(), part.left.ranges.front())
        {
            if let Some(read) = cut(self.range, s, rows) {
                match part.doubles.stretch(read.rows, read.skipped, &mut self.collected.values) {
                    Ok(are_finite) => self.collected.push(s.series, read.first, s.step, are_finite),
                    Err(e) => {
                        part.fail(e)?;
                        break;
                    }
                }
            }
            part.left.stretches.pop_front();
            part.left.ranges.pop_front();
        }
        let (rows, meter) = (self.collected.rows(), part.left.meter.clone());
        let batch = self.collected.finish()?;
        if batch.is_none() {
            self.part = None;
        }
        meter.add(rows * self.row_bytes())?;
        Ok(batch)
    }
}

impl Part {
    /// Damage that the checksums did not show takes all rows that are left; any other error ends the scan.
    fn fail(&mut self, e: parquet::errors::ParquetError) -> Result<()> {
        let SteadyPart { data, segment, stretches, ranges, missing, .. } = &mut self.left;
        let e = self.pages.reason(e, |e| data.unreadable(segment, e));
        if e.kind() != Kind::Corrupt {
            return Err(e);
        }
        let lost = ranges.iter().map(|r| r.len() as u64).sum();
        data.report(segment, None, lost, &e, missing);
        stretches.clear();
        ranges.clear();
        Ok(())
    }
}

/// Rows of a stretch that must be read.
#[derive(Debug, PartialEq)]
struct Read {
    rows: Range<u32>,
    /// Of these, the first so many are not in the range of time, and no value of them is given out.
    skipped: u32,
    /// Time of the first that is.
    first: i64,
}

/// What must be read of a stretch that lies at `rows`, for its rows in the range. `None` if there are none.
fn cut(range: TimeRange, s: &Stretch, rows: &Range<u32>) -> Option<Read> {
    let step = s.step.max(1);
    // Rows at a distance of less than 2^63 from the first.
    let before = |t: i64| {
        let distance = i128::from(t) - i128::from(s.first) + i128::from(step) - 1;
        (distance / i128::from(step)).clamp(0, rows.len() as i128) as u32
    };
    let (skipped, end) = (before(range.start), before(range.end));
    (skipped < end).then(|| Read { rows: rows.start..rows.start + end, skipped, first: s.first + s.step * i64::from(skipped) })
}

impl DataFile {
    /// Opens a column of doubles, the first of `columns`, for rows of a segment. `None` if one of the other columns has a value there,
    /// columns are of another shape, or damage took rows.
    fn doubles(
        self: &Arc<Self>,
        s: &Segment,
        rows: &[Range<u32>],
        columns: &[usize],
        reads: &Arc<Reads>,
        missing: &Missing,
    ) -> Result<Option<(Doubles<Pages>, Arc<Pages>)>> {
        let Some((deltas, blank)) = columns.split_first().and_then(|(d, blank)| Some((self.layout.deltas(*d)?, blank))) else {
            return Ok(None);
        };
        let Some(blank) = blank.iter().map(|w| self.layout.leaf(*w)).collect::<Option<Vec<_>>>() else { return Ok(None) };
        let mut left = rows.to_vec();
        let leaves: Vec<usize> = [deltas, deltas + 1].into_iter().chain(blank.iter().copied()).collect();
        let pages = Arc::new(self.checked_pages(s, &leaves, &mut left, reads, missing)?);
        if left != rows {
            return Ok(None);
        }
        let open = |leaf: usize| self.numbers(s, leaf, rows, reads, &pages).map_err(|e| pages.reason(e, |e| self.unreadable(s, e)));
        for leaf in blank {
            if !matches!(open(leaf)?, Some(Numbers::Nulls(_))) {
                return Ok(None);
            }
        }
        Ok(match (open(deltas)?, open(deltas + 1)?) {
            (Some(Numbers::Wide(deltas)), Some(Numbers::Codes(scales))) => Some((Doubles::new(deltas, scales), pages)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_cut_at_the_range() {
        let s = Stretch { series: 0, rows: 4, first: 100, last: 130, step: 10 };
        let of = |start, end| cut(TimeRange { start, end }, &s, &(7..11));
        let read = |rows, skipped, first| Some(Read { rows, skipped, first });
        assert_eq!(of(i64::MIN, i64::MAX), read(7..11, 0, 100));
        assert_eq!(of(100, 131), read(7..11, 0, 100));
        assert_eq!(of(101, 130), read(7..10, 1, 110));
        assert_eq!(of(110, 111), read(7..9, 1, 110));
        assert_eq!([of(111, 120), of(131, 200), of(0, 100), of(120, 120)], [None, None, None, None]);
        let one = Stretch { rows: 1, last: 100, step: 0, ..s };
        let of = |start, end| cut(TimeRange { start, end }, &one, &(7..8));
        assert_eq!((of(100, 101), of(101, 200), of(0, 100)), (read(7..8, 0, 100), None, None));
    }
}
