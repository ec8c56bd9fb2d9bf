//! Brings samples from the store: one scan for a selector, rows handed on series by series within each time slice.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt32Type};
use arrow_array::{Array, BinaryViewArray, Int64Array, RecordBatch};
use base::{Error, Labels, Matcher, Result};
use table::{ScanRequest, TimeRange};

use crate::eval::Evaluator;
use crate::eval::delta::{Added, Totals};
use crate::eval::value::{ABSENT, Histograms, Sample, all_present, is_present};
use crate::histogram::Histogram;
use crate::spec::{HISTOGRAM, SPEC, START, VALUE};

/// Samples of a series by time. A staleness marker is an [`ABSENT`] float.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Labels.
    pub labels: Labels,
    /// Whether the name no longer holds (of a subquery's series).
    pub drop_name: bool,
    /// Milliseconds.
    pub times: Vec<i64>,
    /// Floats; 0 where there is a histogram.
    pub values: Vec<f64>,
    /// Histograms, if there is any.
    pub histograms: Option<Histograms>,
    /// When each sample's counting began, if that is asked for: milliseconds, 0 where nobody says.
    pub starts: Option<Vec<i64>>,
}

impl Held {
    /// Adds a sample.
    #[inline]
    pub fn push(&mut self, t: i64, v: f64, h: Option<Arc<Histogram>>, start: i64) {
        if let Some(all) = &mut self.starts {
            all.push(start);
        }
        if h.is_some() && self.histograms.is_none() {
            self.histograms = Some(vec![None; self.times.len()]);
        }
        self.times.push(t);
        self.values.push(v);
        if let Some(all) = &mut self.histograms {
            all.push(h);
        }
    }
    /// Adds floats without starts; false if what is held, or these, are not such.
    #[inline]
    pub fn extend(&mut self, rows: &Stretch<'_>) -> bool {
        let Some(values) = rows.floats() else { return false };
        if !self.are_floats() {
            return false;
        }
        self.times.extend_from_slice(rows.times);
        self.values.extend_from_slice(values);
        true
    }
    /// Whether there is nothing but times and floats.
    pub fn are_floats(&self) -> bool {
        self.histograms.is_none() && self.starts.is_none()
    }
    /// Forgets the first `n`.
    pub fn forget(&mut self, n: usize) {
        self.times.drain(..n);
        self.values.drain(..n);
        self.starts.iter_mut().for_each(|s| _ = s.drain(..n));
        if let Some(all) = &mut self.histograms {
            all.drain(..n);
        }
    }
    /// The histogram at position `i`.
    #[inline]
    pub fn histogram(&self, i: usize) -> Option<&Arc<Histogram>> {
        self.histograms.as_ref().and_then(|h| h[i].as_ref())
    }
    /// How many samples these count as.
    pub fn weight(&self, range: Range<usize>) -> usize {
        let of = |h: &Option<Arc<Histogram>>| h.as_ref().map_or(1, |h| h.weight());
        self.histograms.as_ref().map_or(range.len(), |all| all[range].iter().map(of).sum())
    }
    /// The sample at position `i`; `None` for a staleness marker.
    pub fn sample(&self, i: usize) -> Option<Sample> {
        match self.histogram(i) {
            Some(h) => Some(Sample::Histogram(h.clone())),
            None if is_present(self.values[i]) => Some(Sample::Float(self.values[i])),
            None => None,
        }
    }
}

/// Rows of one series from one batch.
pub struct Stretch<'a> {
    /// Milliseconds.
    pub times: &'a [i64],
    /// Floats.
    pub values: &'a [f64],
    histograms: Option<&'a BinaryViewArray>,
    first: usize,
    /// Of a series of deltas, histograms that are already decoded and added up.
    added: Option<&'a [Option<Arc<Histogram>>]>,
    starts: Option<&'a Int64Array>,
}

impl Stretch<'_> {
    /// When the counting began that the sample at position `i` goes on with, milliseconds; 0 where nobody says.
    pub fn start(&self, i: usize) -> i64 {
        self.starts.filter(|s| s.is_valid(self.first + i)).map_or(0, |s| s.value(self.first + i))
    }
    /// The values, if they are all floats.
    pub fn floats(&self) -> Option<&[f64]> {
        (self.histograms.is_none() && self.added.is_none()).then_some(self.values)
    }
    /// The sample at position `i`: its float, and its histogram. A histogram that is a staleness marker becomes one.
    #[inline]
    pub fn at(&self, i: usize) -> Result<(f64, Option<Arc<Histogram>>)> {
        if let Some(h) = self.added.and_then(|a| a[i].as_ref()) {
            return Ok(if is_present(h.sum) { (0.0, Some(h.clone())) } else { (ABSENT, None) });
        }
        let Some(all) = self.histograms.filter(|h| h.is_valid(self.first + i)) else {
            return Ok((self.values[i], None));
        };
        let h = Histogram::decode(all.value(self.first + i)).ok_or_else(|| Error::corrupt("a stored native histogram cannot be read"))?;
        if is_present(h.sum) { Ok((0.0, Some(Arc::new(h)))) } else { Ok((ABSENT, None)) }
    }
}

/// Floats of one series at equal distances.
#[derive(Clone, Copy, Debug)]
pub struct Steady<'a> {
    /// Time of the first, milliseconds.
    pub first: i64,
    /// From each to the next; positive, however many there are.
    pub step: i64,
    /// At least one.
    pub values: &'a [f64],
    /// Whether none is a staleness marker.
    pub all_present: bool,
}

impl Steady<'_> {
    /// Time of the float at position `i`.
    pub fn at(&self, i: usize) -> i64 {
        self.first + self.step * i as i64
    }
    /// Time of the last.
    pub fn last(&self) -> i64 {
        self.at(self.values.len() - 1)
    }
    /// How many are at `t` or before.
    pub fn upto(&self, t: i64) -> usize {
        if t < self.first { 0 } else { self.values.len().min(((t - self.first) / self.step) as usize + 1) }
    }
    /// Calls `f` with the same as any other rows.
    pub fn with_times<T>(&self, times: &mut Vec<i64>, f: impl FnOnce(&Stretch<'_>) -> T) -> T {
        times.clear();
        times.extend((0..self.values.len()).map(|i| self.at(i)));
        f(&Stretch { times, values: self.values, histograms: None, first: 0, added: None, starts: None })
    }
}

/// Takes what a scan finds.
pub trait Taker {
    /// The series that may come; `rows` names them by position.
    fn series(&mut self, series: &[Labels]);
    /// Whether it asks for [`Stretch::start`].
    fn wants_starts(&self) -> bool {
        false
    }
    /// Rows of one series, later than those it had before.
    fn rows(&mut self, series: usize, rows: &Stretch<'_>) -> Result<()>;
    /// The same where they are floats at equal distances. `times` is memory for those who need a time for each.
    fn steady(&mut self, series: usize, rows: &Steady<'_>, times: &mut Vec<i64>) -> Result<()>;
    /// From now on all rows are at `time` or later.
    fn reached(&mut self, time: i64) -> Result<()>;
}

impl Evaluator<'_> {
    /// Scans the samples of a selector in `first..=last`.
    pub(super) fn fetch(&self, matchers: &[Matcher], first: i64, last: i64, taker: &mut dyn Taker) -> Result<()> {
        let range = TimeRange { start: first, end: last.saturating_add(1) };
        let mut q = ScanRequest::new(&SPEC, self.tenant.clone(), matchers.to_vec(), range);
        q.columns = vec![VALUE, HISTOGRAM];
        if taker.wants_starts() {
            q.columns.push(START);
        }
        q.cancel = self.options.cancel.clone();
        q.stretches = true;
        let stream = self.rows.scan(&q)?;
        taker.series(&stream.series);
        let mut totals = self.totals(&stream.series, matchers, first)?;
        let mut slice = i64::MIN;
        let mut times = vec![];
        for batch in stream.batches {
            let batch = batch?;
            self.check()?;
            if batch.num_rows() == 0 {
                continue;
            }
            let at = SPEC.slice_of(batch.column(1).as_primitive::<Int64Type>().value(0));
            if at != slice {
                slice = at;
                taker.reached(at)?;
            }
            match table::stretches(&batch) {
                Some(stretches) => {
                    for s in stretches {
                        hand_on(&s, stream.series.len(), &mut totals, taker, &mut times)?;
                    }
                }
                None => hand_out(&batch, stream.series.len(), &mut totals, taker)?,
            }
        }
        Ok(())
    }
}

fn unknown_series() -> Error {
    Error::internal("a scan answered with an unknown series")
}

/// Hands on a stretch as the scan gave it.
fn hand_on(s: &table::Stretch<'_>, known: usize, totals: &mut Totals, taker: &mut dyn Taker, times: &mut Vec<i64>) -> Result<()> {
    let series = s.series as usize;
    if series >= known {
        return Err(unknown_series());
    }
    if s.values.is_empty() {
        return Ok(());
    }
    let mut steady = Steady { first: s.first, step: s.step.max(1), values: s.values, all_present: s.are_finite || all_present(s.values) };
    let added = if totals.is_empty() { None } else { totals.add(series, s.values, None, 0)? };
    if let Some(added) = &added {
        steady.values = &added.values;
    }
    taker.steady(series, &steady, times)
}

/// How many rows the first series has; rows come series by series, and usually hundreds of each.
fn run(series: &[u32]) -> usize {
    let mut len = 1;
    while len < series.len() && series[len] == series[0] {
        len *= 2;
    }
    let known = len / 2;
    known + series[known..len.min(series.len())].partition_point(|s| *s == series[0])
}

/// Cuts a batch into stretches of one series.
fn hand_out(batch: &RecordBatch, known: usize, totals: &mut Totals, taker: &mut dyn Taker) -> Result<()> {
    let series = batch.column(0).as_primitive::<UInt32Type>().values();
    let times = batch.column(1).as_primitive::<Int64Type>().values();
    let values = batch.column(2).as_primitive::<Float64Type>().values();
    let histograms = Some(batch.column(3).as_binary_view()).filter(|h| h.null_count() < h.len());
    let starts = batch.columns().get(4).map(|c| c.as_primitive::<Int64Type>());
    let mut i = 0;
    while i < series.len() {
        let n = run(&series[i..]);
        if series[i] as usize >= known {
            return Err(unknown_series());
        }
        let s = series[i] as usize;
        let stretch = Stretch { times: &times[i..i + n], values: &values[i..i + n], histograms, first: i, added: None, starts };
        match if totals.is_empty() { None } else { totals.add(s, stretch.values, histograms, i)? } {
            Some(Added { values, histograms }) => {
                taker.rows(s, &Stretch { values: &values, added: histograms.as_deref(), ..stretch })?;
            }
            None => taker.rows(s, &stretch)?,
        }
        i += n;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_series_end_where_the_next_begins() {
        for n in 1..40 {
            for rest in [0, 1, 70] {
                let series: Vec<u32> = std::iter::repeat_n(7, n).chain(std::iter::repeat_n(8, rest)).collect();
                assert_eq!(run(&series), n, "{rest}");
            }
        }
    }
}
