//! Instant selectors: at each step the latest sample that is younger than the lookback and not a staleness marker.

use std::sync::Arc;

use base::{Labels, Result};

use crate::eval::Evaluator;
use crate::eval::fetch::{Stretch, Taker};
use crate::eval::value::{Column, Grid, Sample, Series, is_present};
use crate::histogram::Histogram;
use crate::promql::ast::Edge;
use crate::promql::plan::{RangePlan, RangeSource, Select};

/// The latest row of a series: its time, its sample, and when its counting began (milliseconds).
struct Latest {
    t: i64,
    v: f64,
    h: Option<Arc<Histogram>>,
    start: i64,
}

impl Latest {
    /// The sample; `None` for a staleness marker.
    fn sample(&self) -> Option<Sample> {
        match &self.h {
            Some(h) => Some(Sample::Histogram(h.clone())),
            None => is_present(self.v).then_some(Sample::Float(self.v)),
        }
    }
}

/// A series and what the steps see of it.
#[derive(Default)]
struct Seen {
    labels: Labels,
    latest: Option<Latest>,
    /// The first step that a later row may be seen from.
    step: usize,
    /// Made with its first value.
    column: Column,
}

/// Steps that see samples: each one the last before it.
struct Steps<'e, 'a, F> {
    ev: &'e Evaluator<'a>,
    /// In the time of the samples.
    grid: Grid,
    seen: Vec<Seen>,
    starts: bool,
    /// What is wanted of a sample.
    take: F,
}

impl<F: Fn(&Latest) -> Option<Sample>> Steps<'_, '_, F> {
    /// The steps before `t` see the latest row.
    fn decide(&mut self, series: usize, t: i64) -> Result<()> {
        let seen = &mut self.seen[series];
        let lookback = self.ev.options.lookback_ms;
        while seen.step < self.grid.n && self.grid.at(seen.step) < t {
            let step = seen.step;
            seen.step += 1;
            let Some(latest) = seen.latest.as_ref().filter(|l| l.t > self.grid.at(step) - lookback) else { continue };
            let Some(sample) = (self.take)(latest) else { continue };
            if seen.column.floats.is_empty() {
                self.ev.budget.column(self.grid.n)?;
                seen.column = Column::absent(self.grid.n);
            }
            match sample {
                Sample::Float(v) => seen.column.floats[step] = v,
                h => seen.column.set(step, h),
            }
        }
        Ok(())
    }
}

impl<F: Fn(&Latest) -> Option<Sample>> Taker for Steps<'_, '_, F> {
    fn series(&mut self, series: &[Labels]) {
        self.seen = series.iter().map(|l| Seen { labels: l.clone(), ..Seen::default() }).collect();
    }
    fn wants_starts(&self) -> bool {
        self.starts
    }
    fn rows(&mut self, series: usize, rows: &Stretch<'_>) -> Result<()> {
        let grid = self.grid;
        let next_step = |seen: &Seen| if seen.step < grid.n { grid.at(seen.step) } else { i64::MAX };
        let mut step = next_step(&self.seen[series]);
        for (i, &t) in rows.times.iter().enumerate() {
            if t > step {
                self.decide(series, t)?;
                step = next_step(&self.seen[series]);
            }
            // The next row hides this one from every step. Histograms are decoded only if they are seen.
            if rows.times.get(i + 1).is_some_and(|next| *next <= step) {
                continue;
            }
            let (v, h) = rows.at(i)?;
            self.seen[series].latest = Some(Latest { t, v, h, start: rows.start(i) });
        }
        Ok(())
    }
    fn reached(&mut self, _: i64) -> Result<()> {
        self.ev.check()
    }
}

impl Evaluator<'_> {
    /// The value of an instant selector.
    pub(super) fn select(&self, s: &Select, grid: &Grid) -> Result<Vec<Series>> {
        if s.edge == Edge::Smoothed {
            return self.select_smoothed(s, grid);
        }
        self.select_with(s, grid, false, &Latest::sample)
    }

    /// The times of the samples an instant selector finds, in seconds.
    pub(super) fn select_times(&self, s: &Select, grid: &Grid) -> Result<Vec<Series>> {
        self.select_with(s, grid, false, &|l: &Latest| l.sample().map(|_| Sample::Float(l.t as f64 / 1000.0)))
    }

    /// When the counting of the samples that an instant selector finds began, in seconds; 0 where nobody says.
    pub(super) fn select_starts(&self, s: &Select, grid: &Grid) -> Result<Vec<Series>> {
        self.select_with(s, grid, true, &|l: &Latest| l.sample().map(|_| Sample::Float(l.start as f64 / 1000.0)))
    }

    fn select_with(&self, s: &Select, grid: &Grid, starts: bool, take: &dyn Fn(&Latest) -> Option<Sample>) -> Result<Vec<Series>> {
        if let (Some(at), true) = (s.at, grid.n > 1) {
            let once = self.select_with(s, &Grid { start: at, ..grid.first_only() }, starts, take)?;
            let spread = |x: Series| {
                self.budget.column(grid.n)?;
                Ok(Series::new(x.labels, x.column.spread(grid.n)))
            };
            return once.into_iter().map(spread).collect();
        }
        let there = Grid { start: s.at.unwrap_or(grid.start) - s.offset, ..*grid };
        let mut steps = Steps { ev: self, grid: there, seen: vec![], starts, take };
        self.fetch(&s.matchers, there.start - self.options.lookback_ms + 1, there.last(), &mut steps)?;
        for i in 0..steps.seen.len() {
            steps.decide(i, i64::MAX)?;
        }
        self.check()?;
        let found = steps.seen.into_iter().filter(|s| !s.column.floats.is_empty());
        let out: Vec<Series> = found.map(|s| Series::new(s.labels, s.column)).collect();
        self.budget.take(out.iter().map(|s| s.column.histogram_weight()).sum())?;
        Ok(out)
    }

    /// `smoothed`: between two samples the value is interpolated.
    fn select_smoothed(&self, s: &Select, grid: &Grid) -> Result<Vec<Series>> {
        let lookback = self.options.lookback_ms;
        let wide = Select { offset: s.offset - lookback, edge: Edge::Inside, ..s.clone() };
        let range = RangePlan { width: 2 * lookback, source: RangeSource::Select(wide) };
        self.windows(&range, grid, &mut |labels, _, w| {
            crate::eval::edges::smooth_at(w, w.end - lookback, lookback, labels, s.span, self.notes)
        })
    }
}
