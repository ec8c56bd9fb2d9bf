//! Range vectors: a window moves along the samples of each series.

use std::borrow::Cow;

use base::{Labels, Result};

use crate::eval::Evaluator;
use crate::eval::budget::Budget;
use crate::eval::fetch::{Held, Stretch, Taker};
use crate::eval::value::{Column, Grid, Sample, Series, is_present};
use crate::promql::ast::Edge;
use crate::promql::plan::{RangePlan, RangeSource, Select};

/// Times and values of samples that are floats.
pub type Floats<'a> = (Cow<'a, [i64]>, Cow<'a, [f64]>);

/// The samples of a series in `(start, end]`, and what lies around them as far as it was fetched.
pub struct Window<'a> {
    held: &'a Held,
    fell: i64,
    lo: usize,
    hi: usize,
    /// The window begins after this time.
    pub start: i64,
    /// Its last time.
    pub end: i64,
    /// The time of evaluation.
    pub time: i64,
    /// Number of the step.
    pub step: usize,
}

impl<'a> Window<'a> {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.hi - self.lo
    }
    /// Times of the samples.
    pub fn times(&self) -> &'a [i64] {
        &self.held.times[self.lo..self.hi]
    }
    /// Floats of the samples, where they are floats.
    pub fn values(&self) -> &'a [f64] {
        &self.held.values[self.lo..self.hi]
    }
    /// The sample at position `i`.
    pub fn sample(&self, i: usize) -> Sample {
        match self.held.histogram(self.lo + i) {
            Some(h) => Sample::Histogram(h.clone()),
            None => Sample::Float(self.held.values[self.lo + i]),
        }
    }
    /// Whether the floats surely never fall from one sample to the next.
    pub fn never_falls(&self) -> bool {
        self.lo < self.hi && self.fell <= self.held.times[self.lo]
    }
    /// Whether any sample is a histogram.
    pub fn has_histograms(&self) -> bool {
        self.held.histograms.as_ref().is_some_and(|h| h[self.lo..self.hi].iter().any(Option::is_some))
    }
    /// Times and values of the floats.
    pub fn floats(&self) -> Floats<'a> {
        if !self.has_histograms() {
            return (Cow::Borrowed(self.times()), Cow::Borrowed(self.values()));
        }
        let floats = || (self.lo..self.hi).filter(|&i| self.held.histogram(i).is_none());
        (floats().map(|i| self.held.times[i]).collect(), floats().map(|i| self.held.values[i]).collect())
    }
    /// Times and values of the histograms.
    pub fn histograms(&self) -> Vec<(i64, &'a std::sync::Arc<crate::histogram::Histogram>)> {
        (self.lo..self.hi).filter_map(|i| self.held.histogram(i).map(|h| (self.held.times[i], h))).collect()
    }
    /// When the counting of each sample began, milliseconds; none of them, unless the query's options ask for them.
    pub fn starts(&self) -> &'a [i64] {
        self.held.starts.as_ref().map_or(&[], |s| &s[self.lo..self.hi])
    }
    /// The fetched sample before the window, `n` = 1 for the nearest.
    pub fn before(&self, n: usize) -> Option<(i64, Sample)> {
        let i = self.lo.checked_sub(n)?;
        Some((self.held.times[i], self.held.sample(i)?))
    }
    /// The first fetched sample after the window.
    pub fn after(&self) -> Option<(i64, Sample)> {
        let t = self.held.times.get(self.hi)?;
        Some((*t, self.held.sample(self.hi)?))
    }
}

/// What is calculated from a window of a series with these labels (and whether its name no longer holds).
pub type Calculate<'f> = dyn FnMut(&Labels, bool, &Window<'_>) -> Option<Sample> + 'f;

/// Where windows lie.
#[derive(Clone, Copy)]
struct Frame {
    grid: Grid,
    /// End of the window at a step is this time, or the step, minus the offset.
    at: Option<i64>,
    offset: i64,
    width: i64,
    /// Samples this much before and after a window must be at hand, too.
    margin_before: i64,
    margin_after: i64,
}

impl Frame {
    fn end(&self, i: usize) -> i64 {
        self.at.unwrap_or_else(|| self.grid.at(i)) - self.offset
    }
}

/// A series with its window's place.
struct Moving {
    held: Held,
    /// Time of the last sample that is less than the one before it; none was yet if it is the least of all times.
    fell: i64,
    lo: usize,
    hi: usize,
    step: usize,
    column: Column,
}

impl Moving {
    /// The column is made with its first value: many series of a long range have none.
    fn new(held: Held) -> Self {
        let mut m = Moving { held, fell: i64::MIN, lo: 0, hi: 0, step: 0, column: Column::default() };
        m.look_for_falls(0);
        m
    }

    /// Notes whether any sample from position `from` on is less than the one before it.
    fn look_for_falls(&mut self, from: usize) {
        let v = &self.held.values[from.saturating_sub(1)..];
        // Two passes: the first is without a branch, and nearly always says no.
        if v.windows(2).fold(false, |any, w| any | (w[1] < w[0])) {
            let last = v.windows(2).rposition(|w| w[1] < w[0]).unwrap_or(0);
            self.fell = self.held.times[from.saturating_sub(1) + last + 1];
        }
    }

    /// Evaluates all steps for which everything before `known_before` is enough.
    fn advance(&mut self, frame: &Frame, known_before: i64, budget: &Budget, f: &mut Calculate<'_>) -> Result<()> {
        while self.step < frame.grid.n {
            let end = frame.end(self.step);
            if end.saturating_add(frame.margin_after) >= known_before {
                break;
            }
            let start = end - frame.width;
            let times = &self.held.times;
            while self.lo < times.len() && times[self.lo] <= start {
                self.lo += 1;
            }
            self.hi = self.hi.max(self.lo);
            while self.hi < times.len() && times[self.hi] <= end {
                self.hi += 1;
            }
            let around = frame.margin_before > 0 || frame.margin_after > 0;
            if self.lo < self.hi || around {
                let time = frame.grid.at(self.step);
                let w = Window { held: &self.held, fell: self.fell, lo: self.lo, hi: self.hi, start, end, time, step: self.step };
                if let Some(v) = f(&self.held.labels, self.held.drop_name, &w) {
                    self.put(v, frame.grid.n, budget)?;
                }
            }
            self.step += 1;
        }
        Ok(())
    }

    fn put(&mut self, v: Sample, n: usize, budget: &Budget) -> Result<()> {
        if self.column.is_empty() {
            budget.column(n)?;
            self.column = Column::absent(n);
        }
        match v {
            Sample::Float(v) => self.column.floats[self.step] = v,
            Sample::Histogram(h) => {
                budget.take(h.weight())?;
                self.column.set(self.step, Sample::Histogram(h));
            }
        }
        Ok(())
    }

    /// Forgets samples that no later window can see; answers how many.
    fn forget(&mut self, frame: &Frame) -> usize {
        let n = if self.step >= frame.grid.n {
            self.held.times.len()
        } else {
            let oldest = frame.end(self.step) - frame.width - frame.margin_before;
            self.held.times.partition_point(|t| *t <= oldest)
        };
        self.held.forget(n);
        self.lo = self.lo.saturating_sub(n);
        self.hi = self.hi.saturating_sub(n);
        n
    }
}

/// Windows over what a scan brings: whenever a time slice is complete, the steps it completes are evaluated and
/// forgotten, so that a month's query holds a slice and a window, not a month.
struct Windows<'e, 'a, 'f> {
    ev: &'e Evaluator<'a>,
    frame: Frame,
    moving: Vec<Moving>,
    calculate: &'e mut Calculate<'f>,
}

impl Taker for Windows<'_, '_, '_> {
    fn series(&mut self, series: &[Labels]) {
        let starts = self.wants_starts().then(Vec::new);
        self.moving = series.iter().map(|l| Moving::new(Held { labels: l.clone(), starts: starts.clone(), ..Held::default() })).collect();
    }
    fn wants_starts(&self) -> bool {
        self.ev.options.start_timestamps
    }
    fn rows(&mut self, series: usize, rows: &Stretch<'_>) -> Result<()> {
        let moving = &mut self.moving[series];
        let held = &mut moving.held;
        let before = held.times.len();
        if held.starts.is_none() && rows.is_plain() {
            held.extend(rows.times, rows.values);
        } else {
            for (i, &t) in rows.times.iter().enumerate() {
                let (v, h) = rows.at(i)?;
                if h.is_some() || is_present(v) {
                    held.push(t, v, h, rows.start(i));
                }
            }
        }
        let new = held.times.len() - before;
        moving.look_for_falls(before);
        self.ev.budget.take(new)
    }
    fn reached(&mut self, time: i64) -> Result<()> {
        for m in &mut self.moving {
            self.ev.check()?;
            m.advance(&self.frame, time, &self.ev.budget, self.calculate)?;
            self.ev.budget.give(m.forget(&self.frame));
        }
        Ok(())
    }
}

impl Evaluator<'_> {
    /// Calculates a value from the window of each series at each step. Whether its name still describes it is up to the
    /// caller; `drop_name` is that of the samples.
    pub(super) fn windows(&self, r: &RangePlan, grid: &Grid, f: &mut Calculate<'_>) -> Result<Vec<Series>> {
        match &r.source {
            RangeSource::Select(s) => self.stored_windows(s, r.width, grid, f),
            RangeSource::Subquery { plan, step, offset, at } => {
                let frame = Frame { grid: *grid, at: *at, offset: *offset, width: r.width, margin_before: 0, margin_after: 0 };
                let held = self.subquery(plan, *step, frame.end(0), frame.end(grid.n - 1), r.width)?;
                let mut out = vec![];
                for h in held {
                    self.check()?;
                    let mut m = Moving::new(h);
                    m.advance(&frame, i64::MAX, &self.budget, f)?;
                    self.budget.give(m.forget(&frame));
                    out.extend(finished(m));
                }
                Ok(out)
            }
        }
    }

    fn stored_windows(&self, s: &Select, width: i64, grid: &Grid, f: &mut Calculate<'_>) -> Result<Vec<Series>> {
        let lookback = self.options.lookback_ms;
        let margin_before = if s.edge == Edge::Inside { 0 } else { lookback };
        let margin_after = if s.edge == Edge::Smoothed { lookback } else { 0 };
        let frame = Frame { grid: *grid, at: s.at, offset: s.offset, width, margin_before, margin_after };
        let first = frame.end(0) - width - margin_before + 1;
        let mut all = Windows { ev: self, frame, moving: vec![], calculate: f };
        self.fetch(&s.matchers, first, frame.end(grid.n - 1) + margin_after, &mut all)?;
        let Windows { moving, calculate, .. } = all;
        let mut out = Vec::with_capacity(moving.len());
        for mut m in moving {
            self.check()?;
            m.advance(&frame, i64::MAX, &self.budget, calculate)?;
            self.budget.give(m.forget(&frame));
            out.extend(finished(m));
        }
        Ok(out)
    }
}

fn finished(m: Moving) -> Option<Series> {
    if m.column.is_empty() { None } else { Some(Series { labels: m.held.labels, drop_name: m.held.drop_name, column: m.column }) }
}
