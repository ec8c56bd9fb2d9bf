//! Samples that somebody asked to delete. From then on no answer shows them, wherever they still lie.
//!
//! A request names series and a time. What is written into that time later is left out as well: rows do not say when they came.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use base::{Error, Labels, Matcher, Result};
use table::{RowStream, Rows, ScanRequest, TimeRange};

use crate::exemplar;
use crate::spec::SPEC;

/// What is to be deleted.
#[derive(Clone, Debug)]
pub struct Erasure {
    matchers: Vec<Matcher>,
    range: TimeRange,
}

impl Erasure {
    /// Series that `selector` matches, from the first to the last time, milliseconds.
    ///
    /// # Errors
    /// The selector is none, or the end is before the start.
    pub fn new(selector: &str, start_ms: i64, end_ms: i64) -> Result<Self> {
        if end_ms < start_ms {
            return Err(Error::invalid("end timestamp must not be before start time"));
        }
        let range = TimeRange { start: start_ms, end: end_ms.saturating_add(1) };
        Ok(Erasure { matchers: crate::parse_selector(selector)?, range })
    }

    fn touches(&self, range: TimeRange) -> bool {
        range.start < self.range.end && self.range.start < range.end
    }

    fn covers(&self, range: TimeRange) -> bool {
        self.range.start <= range.start && range.end <= self.range.end
    }

    fn has(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|m| m.matches(labels))
    }
}

/// The same rows without those that are deleted.
pub struct Left<'a> {
    rows: &'a dyn Rows,
    erasures: &'a [Erasure],
}

impl<'a> Left<'a> {
    /// What is left of `rows`.
    pub fn of(rows: &'a dyn Rows, erasures: &'a [Erasure]) -> Self {
        Left { rows, erasures }
    }

    /// The erasures that a request meets.
    fn met(&self, q: &ScanRequest) -> Vec<&'a Erasure> {
        let has_series = q.table.name == SPEC.name || q.table.name == exemplar::SPEC.name;
        self.erasures.iter().filter(|e| has_series && e.touches(q.range)).collect()
    }
}

impl Rows for Left<'_> {
    fn scan(&self, q: &ScanRequest) -> Result<RowStream> {
        let stream = self.rows.scan(q)?;
        let met = self.met(q);
        let of = |l: &Labels| met.iter().filter(|e| e.has(l)).map(|e| e.range).collect::<Vec<_>>();
        let erased: Vec<Vec<TimeRange>> = if met.is_empty() { vec![] } else { stream.series.iter().map(of).collect() };
        if erased.iter().all(Vec::is_empty) {
            return Ok(stream);
        }
        let left = stream.batches.map(move |batch| strip(&batch?, &erased));
        Ok(RowStream { series: stream.series, batches: Box::new(left) })
    }

    fn series(&self, q: &ScanRequest) -> Result<Vec<Labels>> {
        let mut all = self.rows.series(q)?;
        // Of a series that is deleted in part something may be left.
        let whole: Vec<&Erasure> = self.met(q).into_iter().filter(|e| e.covers(q.range)).collect();
        all.retain(|l| !whole.iter().any(|e| e.has(l)));
        Ok(all)
    }

    fn label_values(&self, q: &ScanRequest, name: &str) -> Result<BTreeSet<String>> {
        if self.met(q).is_empty() {
            return self.rows.label_values(q, name);
        }
        Ok(self.series(q)?.iter().filter_map(|l| l.get(name).map(str::to_owned)).collect())
    }
}

fn strip(batch: &RecordBatch, erased: &[Vec<TimeRange>]) -> Result<RecordBatch> {
    let series = batch.column(0).as_primitive::<UInt32Type>().values();
    let times = batch.column(1).as_primitive::<Int64Type>().values();
    let is_left = |(s, t): (&u32, &i64)| !erased.get(*s as usize).is_some_and(|all| all.iter().any(|r| r.contains(*t)));
    let keep: Vec<bool> = series.iter().zip(times).map(is_left).collect();
    filter_record_batch(batch, &BooleanArray::from(keep)).map_err(|e| Error::internal(format!("leaving deleted samples out: {e}")))
}

/// What is deleted, shared.
pub type Erasures = Arc<[Erasure]>;
