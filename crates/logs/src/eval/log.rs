//! Log queries: the first or last lines that pass.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use base::{Error, Kind, Labels, Result};
use table::{Cancel, Direction, TimeRange};

use super::Source;
use super::budget::{Budget, ENTRY_BYTES};
use super::scan::{self, Batch, Reads};
use crate::limits;
use crate::logql::ast::LogExpr;
use crate::spec;
use crate::stage::{Category, Pipeline, Row, RowLabels, SeriesLabels, Wanted};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct LogRequest {
    /// `start <= time < end`, nanoseconds.
    pub range: TimeRange,
    /// Lines at most.
    pub limit: usize,
    /// From which end.
    pub direction: Direction,
    /// At least this long between two lines of the answer, nanoseconds; 0 for all lines.
    pub interval_ns: i64,
}

/// The labels of lines, apart by origin.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LineLabels {
    /// All of them.
    pub all: Labels,
    /// The stream's.
    pub stream: Labels,
    /// Structured metadata.
    pub metadata: Labels,
    /// Made by stages.
    pub parsed: Labels,
}

/// A line of the answer; `labels` is an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, nanoseconds.
    pub time_ns: i64,
    /// The line.
    pub line: Box<str>,
    /// Its labels.
    pub labels: u32,
}

/// Lines in the order asked for, and their labels.
pub struct Lines {
    /// Lines.
    pub lines: Vec<Line>,
    /// Label sets.
    pub labels: Vec<LineLabels>,
}

/// Position of a row in the answer: time, then the order of arrival.
type Place = (i64, u64);

struct Candidate {
    /// Greater is better.
    rank: (i64, i64, u64),
    place: Place,
    line: Line,
}

impl PartialEq for Candidate {
    fn eq(&self, o: &Self) -> bool {
        self.rank == o.rank
    }
}
impl Eq for Candidate {}
impl PartialOrd for Candidate {
    fn partial_cmp(&self, o: &Self) -> Option<Ordering> {
        Some(self.cmp(o))
    }
}
impl Ord for Candidate {
    /// The worst is the greatest, so that a heap gives it up first.
    fn cmp(&self, o: &Self) -> Ordering {
        o.rank.cmp(&self.rank)
    }
}

/// Bytes of a line among the best beside its text: itself, its place in the heap and in the answer.
const CANDIDATE_BYTES: usize = 2 * size_of::<Candidate>();

/// The best lines so far.
struct Best<'b> {
    budget: &'b Budget,
    heap: BinaryHeap<Candidate>,
    limit: usize,
    backward: bool,
}

impl Best<'_> {
    fn rank(&self, (time, order): Place) -> (i64, i64, u64) {
        // Backward: late is good, and among equal times a late arrival. Forward: the opposite of both.
        if self.backward { (time, 0, order) } else { (!time, 0, !order) }
    }
    fn is_full(&self) -> bool {
        self.heap.len() >= self.limit
    }
    /// Whether a row at `place` would be among the best.
    fn wants(&self, place: Place) -> bool {
        !self.is_full() || self.heap.peek().is_some_and(|worst| self.rank(place) > worst.rank)
    }
    fn push(&mut self, place: Place, line: Line) -> Result<()> {
        self.budget.take(CANDIDATE_BYTES + line.line.len())?;
        self.heap.push(Candidate { rank: self.rank(place), place, line });
        if self.heap.len() > self.limit
            && let Some(worst) = self.heap.pop()
        {
            self.budget.give(CANDIDATE_BYTES + worst.line.line.len());
        }
        Ok(())
    }
}

/// Finds the lines.
pub fn select(source: Source<'_>, log: &LogExpr, request: &LogRequest) -> Result<Lines> {
    let pipeline = Pipeline::new(log, Wanted::All, source.now_ns)?;
    let backward = request.direction == Direction::Backward;
    // Thinned lines are chosen one after another, so all of them are candidates.
    let limit = if request.interval_ns > 0 { usize::MAX } else { request.limit };
    let mut best = Best { budget: source.budget, heap: BinaryHeap::new(), limit, backward };
    let mut labels = LabelTable::new(source.budget);
    if request.limit == 0 {
        return Ok(Lines { lines: vec![], labels: vec![] });
    }
    let reads = Reads::ALL;
    let mut row_labels = RowLabels::default();
    for range in pieces(request.range, request.direction) {
        let stream = scan::open(source, &log.matchers, range, pipeline.predicate.clone(), reads, request.direction)?;
        let mut slice = None;
        for (number, batch) in stream.batches.enumerate() {
            source.cancel.check()?;
            let batch = Batch::new(&batch?)?;
            let Some(&first) = batch.times().first() else { continue };
            let start = spec::SPEC.slice_of(first);
            if slice != Some(start) && best.is_full() {
                break;
            }
            slice = Some(start);
            let mut take =
                Take { pipeline: &pipeline, cancel: source.cancel, labels: &mut row_labels, table: &mut labels, best: &mut best };
            take.batch(&batch, number as u64, &stream.series)?;
        }
        if best.is_full() {
            break;
        }
    }
    let mut found = best.heap.into_vec();
    found.sort_unstable_by_key(|c| c.place);
    if backward {
        found.reverse();
    }
    let mut lines: Vec<Line> = found.into_iter().map(|c| c.line).collect();
    if request.interval_ns > 0 {
        lines = thin(lines, request.interval_ns, request.limit);
    }
    Ok(Lines { lines, labels: labels.sets })
}

/// A range in pieces from the end that is asked for first: rows lie in the order of their streams, so the first lines of an
/// hour are found by looking at the whole hour. Each piece is much longer than the one before it, so that lines that
/// are few, and far, cost few scans.
fn pieces(range: TimeRange, direction: Direction) -> impl Iterator<Item = TimeRange> {
    let whole = range.end.saturating_sub(range.start);
    let mut width = (whole / limits::PIECE_GROWTH.pow(limits::PIECES - 1)).max(limits::PIECE_NS);
    let mut rest = range;
    std::iter::from_fn(move || {
        let left = rest.end.saturating_sub(rest.start);
        if left <= 0 {
            return None;
        }
        // What is not longer than the next piece would be is taken at once: opening a scan has its price, too.
        let width_now = if left / limits::PIECE_GROWTH < width { left } else { width };
        width = width.saturating_mul(limits::PIECE_GROWTH);
        let piece = match direction {
            Direction::Forward => TimeRange { end: rest.start + width_now, ..rest },
            Direction::Backward => TimeRange { start: rest.end - width_now, ..rest },
        };
        match direction {
            Direction::Forward => rest.start = piece.end,
            Direction::Backward => rest.end = piece.start,
        }
        Some(piece)
    })
}

/// Takes the best lines out of batches.
struct Take<'t, 'b> {
    pipeline: &'t Pipeline,
    cancel: &'t Cancel,
    labels: &'t mut RowLabels,
    table: &'t mut LabelTable<'b>,
    best: &'t mut Best<'b>,
}

impl Take<'_, '_> {
    fn batch(&mut self, batch: &Batch, number: u64, series: &[Labels]) -> Result<()> {
        let Take { pipeline, cancel, labels, table, best } = self;
        let mut current = None;
        let rows = batch.len();
        for n in 0..rows {
            // From the better end, so that the worse rows are never looked at.
            let i = if best.backward { rows - 1 - n } else { n };
            let place = (batch.times()[i], number << 32 | i as u64);
            if !best.wants(place) {
                continue;
            }
            let s = batch.series()[i];
            if current == Some(s) {
                labels.start_row();
            } else {
                current = Some(s);
                labels.start_series(&SeriesLabels::new(scan::series_labels(series, s)?));
            }
            batch.add_metadata(i, &Wanted::All, labels);
            let mut row = Row { time_ns: place.0, line: batch.line(i).into(), labels, cancel };
            if pipeline.apply(&mut row)? {
                let line = Line { time_ns: place.0, line: row.line.into(), labels: table.number(labels)? };
                best.push(place, line)?;
            }
        }
        Ok(())
    }
}

/// Leaves lines out that follow another too closely.
fn thin(lines: Vec<Line>, interval_ns: i64, limit: usize) -> Vec<Line> {
    let mut last: Option<i64> = None;
    let far = |l: &Line| {
        let keep = last.is_none_or(|t| l.time_ns.abs_diff(t) >= interval_ns.unsigned_abs());
        if keep {
            last = Some(l.time_ns);
        }
        keep
    };
    lines.into_iter().filter(far).take(limit).collect()
}

struct LabelTable<'b> {
    budget: &'b Budget,
    numbers: HashMap<Vec<u8>, u32>,
    sets: Vec<LineLabels>,
    /// Of all of them.
    bytes: usize,
    /// Of the row before, which mostly has the same labels: its key as it came, and its number.
    last: Option<(Vec<u8>, u32)>,
    buffer: Vec<u8>,
}

impl<'b> LabelTable<'b> {
    fn new(budget: &'b Budget) -> Self {
        LabelTable { budget, numbers: HashMap::new(), sets: vec![], bytes: 0, last: None, buffer: vec![] }
    }

    fn number(&mut self, row: &RowLabels) -> Result<u32> {
        self.buffer.clear();
        row.write_as_is(&mut self.buffer);
        if let Some((key, n)) = &self.last
            && *key == self.buffer
        {
            return Ok(*n);
        }
        let n = self.find(row)?;
        let key = std::mem::take(&mut self.buffer);
        self.buffer = self.last.replace((key, n)).map_or_else(Vec::new, |(old, _)| old);
        Ok(n)
    }

    fn find(&mut self, row: &RowLabels) -> Result<u32> {
        let part = |category: Category| {
            let (mut bytes, mut scratch) = (vec![], vec![]);
            row.write(&mut bytes, &mut scratch, |_, n| match row.category(n) {
                Some(c) => c == category,
                // Errors are made by stages.
                None => category == Category::Parsed,
            });
            bytes
        };
        let parts = [part(Category::Stream), part(Category::Metadata), part(Category::Parsed)];
        let mut key = Vec::with_capacity(parts.iter().map(|p| p.len() + 4).sum());
        for p in &parts {
            key.extend_from_slice(&(p.len() as u32).to_le_bytes());
            key.extend_from_slice(p);
        }
        if let Some(&n) = self.numbers.get(&key) {
            return Ok(n);
        }
        // As parts, as a whole, and as what they are known by.
        self.bytes += 3 * key.len();
        if self.bytes > limits::LABEL_SETS_BYTES {
            return Err(Error::new(Kind::Unprocessable, "the labels of the answer are too long: ask for fewer lines or a shorter range"));
        }
        self.budget.take(3 * key.len() + 4 * ENTRY_BYTES)?;
        let (mut all, mut scratch) = (vec![], vec![]);
        row.write(&mut all, &mut scratch, |_, _| true);
        let [stream, metadata, parsed] = parts;
        let n = self.sets.len() as u32;
        self.sets.push(LineLabels {
            all: Labels::from_canonical(&all)?,
            stream: Labels::from_canonical(&stream)?,
            metadata: Labels::from_canonical(&metadata)?,
            parsed: Labels::from_canonical(&parsed)?,
        });
        self.numbers.insert(key, n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_few_and_cover_the_range_once() {
        const SECOND: i64 = 1_000_000_000;
        for whole in [1, SECOND - 1, SECOND * 3, SECOND * 3_600, SECOND * 3_600 * 24 * 30, i64::MAX] {
            for direction in [Direction::Forward, Direction::Backward] {
                let range = TimeRange { start: i64::MAX - whole, end: i64::MAX };
                let mut all: Vec<TimeRange> = pieces(range, direction).collect();
                assert!(all.len() <= limits::PIECES as usize + 1, "{whole}: {all:?}");
                if direction == Direction::Backward {
                    all.reverse();
                }
                assert_eq!((all[0].start, all[all.len() - 1].end), (range.start, range.end));
                assert!(all.windows(2).all(|w| w[0].end == w[1].start && w[0].start < w[0].end), "{all:?}");
            }
        }
        assert_eq!(pieces(TimeRange { start: 5, end: 5 }, Direction::Forward).count(), 0);
        let hour = TimeRange { start: 0, end: 3_600 * SECOND };
        assert_eq!(pieces(hour, Direction::Backward).next().map(|p| p.start), Some(3_599 * SECOND));
        assert_eq!(pieces(TimeRange { start: 0, end: 7 * SECOND }, Direction::Forward).count(), 1);
    }
}
