//! Series of deltas, read as what they add up to.
//!
//! A delta is stored as it came. A query sees such a series as a counter that began at the start of the time slice in which its
//! first sample that the query needs lies: what was before is a constant that no function of differences sees, and the beginning is
//! fixed, so that neighbouring queries mostly see the same numbers.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt32Type};
use arrow_array::{Array, BinaryViewArray};
use base::labels::METRIC_NAME;
use base::{Error, Labels, Matcher, Result};
use table::{ScanRequest, TimeRange};

use crate::eval::Evaluator;
use crate::eval::kahan;
use crate::eval::value::is_present;
use crate::histogram::{Histogram, ResetHint};
use crate::ingest::otlp::DELTA;
use crate::spec::{HISTOGRAM, SPEC, VALUE};

/// Whether a series' samples are deltas. All series of a query are asked, so only the labels that come before are looked at: the name,
/// and then names in their order.
pub fn is_delta(labels: &Labels) -> bool {
    labels.iter().find(|(n, _)| *n != METRIC_NAME && *n >= DELTA.0) == Some(DELTA)
}

/// What a series has added up to so far.
#[derive(Clone, Default)]
struct Total {
    sum: f64,
    rest: f64,
    histogram: Option<Histogram>,
}

impl Total {
    fn add_float(&mut self, v: f64) -> f64 {
        (self.sum, self.rest) = kahan(v, self.sum, self.rest);
        self.sum + self.rest
    }
    /// Histograms that do not go together begin anew.
    fn add_histogram(&mut self, h: Histogram) -> &Histogram {
        let sum = match self.histogram.take() {
            Some(before) => before.add(&h).map_or(h, |(sum, _)| sum),
            None => h,
        };
        self.histogram.insert(Histogram { hint: ResetHint::Unknown, ..sum })
    }
}

/// The totals of the series of a scan, by their position in it.
#[derive(Default)]
pub struct Totals(HashMap<usize, Total>);

/// Values of a stretch as totals.
pub struct Added {
    /// Floats; a staleness marker stays one.
    pub values: Vec<f64>,
    /// Histograms, where there are any.
    pub histograms: Option<Vec<Option<Arc<Histogram>>>>,
}

impl Totals {
    /// None of the series holds deltas.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the rows of a series; `None` if it holds no deltas. `histograms` begins at `first`.
    pub fn add(&mut self, series: usize, values: &[f64], histograms: Option<&BinaryViewArray>, first: usize) -> Result<Option<Added>> {
        let Some(total) = self.0.get_mut(&series) else { return Ok(None) };
        let mut out = Added { values: Vec::with_capacity(values.len()), histograms: histograms.map(|_| vec![]) };
        for (i, &v) in values.iter().enumerate() {
            let message = histograms.filter(|h| h.is_valid(first + i)).map(|h| h.value(first + i));
            let Some(message) = message else {
                out.values.push(if is_present(v) { total.add_float(v) } else { v });
                out.histograms.iter_mut().for_each(|h| h.push(None));
                continue;
            };
            let h = Histogram::decode(message).ok_or_else(|| Error::corrupt("a stored native histogram cannot be read"))?;
            // A marker of the series' end has no observations to add.
            let h = if is_present(h.sum) { total.add_histogram(h).clone() } else { h };
            out.values.push(0.0);
            out.histograms.iter_mut().for_each(|all| all.push(Some(Arc::new(h.clone()))));
        }
        Ok(Some(out))
    }
}

impl Evaluator<'_> {
    /// What the series of a scan that hold deltas had added up to before it begins at `first`.
    pub(super) fn totals(&self, series: &[Labels], matchers: &[Matcher], first: i64) -> Result<Totals> {
        let mut totals = Totals(series.iter().enumerate().filter(|(_, l)| is_delta(l)).map(|(i, _)| (i, Total::default())).collect());
        let start = SPEC.slice_of(first);
        if totals.is_empty() || start == first {
            return Ok(totals);
        }
        let place: HashMap<&Labels, usize> = totals.0.keys().map(|&i| (&series[i], i)).collect();
        let matchers = matchers.iter().cloned().chain([Matcher::eq(DELTA.0, DELTA.1)]).collect();
        let mut q = ScanRequest::new(&SPEC, self.tenant.clone(), matchers, TimeRange { start, end: first });
        q.columns = vec![VALUE, HISTOGRAM];
        q.cancel = self.options.cancel.clone();
        let stream = self.rows.scan(&q)?;
        for batch in stream.batches {
            let batch = batch?;
            self.check()?;
            let numbers = batch.column(0).as_primitive::<UInt32Type>().values();
            debug_assert!(batch.column(1).as_primitive_opt::<Int64Type>().is_some());
            let values = batch.column(2).as_primitive::<Float64Type>().values();
            let histograms = batch.column(3).as_binary_view();
            for i in 0..batch.num_rows() {
                // A series that has ended before `first` is not among those of the scan.
                let at = stream.series.get(numbers[i] as usize).and_then(|l| place.get(l));
                if let Some(&at) = at {
                    totals.add(at, &values[i..=i], Some(histograms), i)?;
                }
            }
        }
        Ok(totals)
    }
}
