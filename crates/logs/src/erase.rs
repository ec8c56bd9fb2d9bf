//! Rows that somebody asked to delete. From then on no answer shows them, wherever they still lie.
//!
//! A request names streams, a time, and filters of lines; its rows are left out of every scan of this crate. Labels of streams
//! all of whose rows are deleted are still listed as long as the rows lie there.

use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use base::{Error, Labels, Matcher, Result};
use table::{RowStream, TimeRange};

use crate::eval::scan::{Batch, series_labels};
use crate::logql::{self, Expr, ast::StageExpr};
use crate::stage::{Pipeline, Row, RowLabels, SeriesLabels, Wanted};

/// What is to be deleted.
#[derive(Clone)]
pub struct Erasure {
    matchers: Vec<Matcher>,
    /// Filters, if there are any.
    filters: Option<Arc<Pipeline>>,
    range: TimeRange,
}

impl Erasure {
    /// Reads a request: a selector with filters of lines and labels, and the first and last time, nanoseconds.
    pub fn new(query: &str, start_ns: i64, end_ns: i64) -> Result<Self> {
        let Expr::Log(log) = logql::parse(query)? else {
            return Err(Error::invalid("a delete request takes a selector, perhaps with filters, and no metric query"));
        };
        let is_filter = |s: &StageExpr| matches!(s, StageExpr::LineFilter(_) | StageExpr::LabelFilter(_));
        if let Some(other) = log.stages.iter().find(|s| !is_filter(&s.value)) {
            return Err(Error::invalid(format!(
                "a delete request takes filters of lines and labels after its selector, and not `{}`",
                other.value
            )));
        }
        if end_ns < start_ns {
            return Err(Error::invalid("the end of the delete request is before its start"));
        }
        let filters = if log.stages.is_empty() { None } else { Some(Arc::new(Pipeline::of_all_stages(&log)?)) };
        Ok(Erasure { matchers: log.matchers, filters, range: TimeRange { start: start_ns, end: end_ns.saturating_add(1) } })
    }

    /// Whether a time of `range` is in it.
    pub fn touches(&self, range: TimeRange) -> bool {
        range.start < self.range.end && self.range.start < range.end
    }
    /// Whether it depends on more than a row's series and time.
    pub fn looks_at_rows(&self) -> bool {
        self.filters.is_some()
    }
    fn has_series(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|m| m.matches(labels))
    }
}

/// The same rows without those that are deleted. Where an erasure looks at rows, `stream` has their lines and metadata.
pub fn without(stream: RowStream, erasures: &[&Erasure]) -> Result<RowStream> {
    let of_series = |e: &&Erasure| -> Option<(Erasure, Vec<bool>)> {
        let hit: Vec<bool> = stream.series.iter().map(|l| e.has_series(l)).collect();
        hit.contains(&true).then(|| ((*e).clone(), hit))
    };
    let erasures: Vec<(Erasure, Vec<bool>)> = erasures.iter().filter_map(of_series).collect();
    if erasures.is_empty() {
        return Ok(stream);
    }
    let series = stream.series.clone();
    let mut labels = RowLabels::default();
    let left = stream.batches.map(move |batch| strip(batch?, &series, &erasures, &mut labels));
    Ok(RowStream { series: stream.series, batches: Box::new(left) })
}

fn strip(batch: RecordBatch, series: &[Labels], erasures: &[(Erasure, Vec<bool>)], labels: &mut RowLabels) -> Result<RecordBatch> {
    let rows = Batch::new(&batch)?;
    let mut keep = vec![true; rows.len()];
    for (e, hit) in erasures {
        for (i, keep) in keep.iter_mut().enumerate() {
            let number = rows.series()[i];
            if !*keep || !hit.get(number as usize).copied().unwrap_or(false) || !e.range.contains(rows.times()[i]) {
                continue;
            }
            *keep = match &e.filters {
                None => false,
                Some(filters) => {
                    labels.start_series(&SeriesLabels::new(series_labels(series, number)?));
                    rows.add_metadata(i, &Wanted::All, labels);
                    !filters.apply(&mut Row { time_ns: rows.times()[i], line: rows.line(i).into(), labels })
                }
            };
        }
    }
    if keep.iter().all(|k| *k) {
        return Ok(batch);
    }
    filter_record_batch(&batch, &BooleanArray::from(keep)).map_err(|e| Error::internal(format!("leaving deleted rows out: {e}")))
}

impl Pipeline {
    /// All stages of `log`, none of them left to a scan.
    fn of_all_stages(log: &logql::ast::LogExpr) -> Result<Pipeline> {
        Pipeline::compiled(log, Wanted::All, 0, false)
    }
}
