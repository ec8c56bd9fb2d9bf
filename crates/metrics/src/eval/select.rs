//! Instant selectors: at each step the latest sample that is younger than the lookback and not a staleness marker.

use base::{Labels, Result};

use crate::eval::Evaluator;
use crate::eval::fetch::{Held, Stretch, Taker};
use crate::eval::value::{Column, Grid, Sample, Series};
use crate::promql::ast::Edge;
use crate::promql::plan::{RangePlan, RangeSource, Select};

/// Keeps of each series only what can be seen from a step: the last sample between two steps.
struct Thin<'e, 'a> {
    ev: &'e Evaluator<'a>,
    /// Steps in the time of the samples.
    grid: Grid,
    held: Vec<Held>,
    /// For each series the first step that sees its last sample.
    seen_from: Vec<i64>,
    starts: bool,
}

impl Taker for Thin<'_, '_> {
    fn series(&mut self, series: &[Labels]) {
        let starts = self.starts.then(Vec::new);
        self.held = series.iter().map(|l| Held { labels: l.clone(), starts: starts.clone(), ..Held::default() }).collect();
        self.seen_from = vec![i64::MIN; series.len()];
    }
    fn wants_starts(&self) -> bool {
        self.starts
    }
    fn rows(&mut self, series: usize, rows: &Stretch<'_>) -> Result<()> {
        let held = &mut self.held[series];
        let seen_from = &mut self.seen_from[series];
        let before = held.times.len();
        let mut i = 0;
        while let Some(&first) = rows.times.get(i) {
            // Of the rows up to a step the last alone is seen from it. Histograms are decoded only if kept.
            let step = first_step_from(&self.grid, first);
            while rows.times.get(i + 1).is_some_and(|&next| next <= step) {
                i += 1;
            }
            let t = rows.times[i];
            let (v, h) = rows.at(i)?;
            if t <= *seen_from {
                held.replace_last(t, v, h, rows.start(i));
            } else {
                held.push(t, v, h, rows.start(i));
                *seen_from = step;
            }
            i += 1;
        }
        self.ev.budget.take(held.times.len() - before)
    }
    fn reached(&mut self, _: i64) -> Result<()> {
        Ok(())
    }
}

/// Time of the first step at or after `t`.
#[inline]
fn first_step_from(grid: &Grid, t: i64) -> i64 {
    if t <= grid.start {
        return grid.start;
    }
    grid.start + (t - grid.start + grid.step - 1) / grid.step * grid.step
}

impl Evaluator<'_> {
    /// The value of an instant selector.
    pub(super) fn select(&self, s: &Select, grid: &Grid) -> Result<Vec<Series>> {
        if s.edge == Edge::Smoothed {
            return self.select_smoothed(s, grid);
        }
        self.select_with(s, grid, false, |held, i| held.sample(i))
    }

    /// The times of the samples an instant selector finds, in seconds.
    pub(super) fn select_times(&self, s: &Select, grid: &Grid) -> Result<Vec<Series>> {
        self.select_with(s, grid, false, |held, i| held.sample(i).map(|_| Sample::Float(held.times[i] as f64 / 1000.0)))
    }

    /// When the counting of the samples that an instant selector finds began, in seconds; 0 where nobody says.
    pub(super) fn select_starts(&self, s: &Select, grid: &Grid) -> Result<Vec<Series>> {
        let start = |held: &Held, i: usize| held.starts.as_ref().map_or(0, |s| s[i]) as f64 / 1000.0;
        self.select_with(s, grid, true, |held, i| held.sample(i).map(|_| Sample::Float(start(held, i))))
    }

    fn select_with(&self, s: &Select, grid: &Grid, starts: bool, take: impl Fn(&Held, usize) -> Option<Sample>) -> Result<Vec<Series>> {
        if let (Some(at), true) = (s.at, grid.n > 1) {
            let once = self.select_with(s, &Grid { start: at, ..grid.first_only() }, starts, take)?;
            let spread = |x: Series| {
                self.budget.column(grid.n)?;
                Ok(Series::new(x.labels, x.column.spread(grid.n)))
            };
            return once.into_iter().map(spread).collect();
        }
        let there = Grid { start: s.at.unwrap_or(grid.start) - s.offset, ..*grid };
        let lookback = self.options.lookback_ms;
        let mut thin = Thin { ev: self, grid: there, held: vec![], seen_from: vec![], starts };
        self.fetch(&s.matchers, there.start - lookback + 1, there.last(), &mut thin)?;
        let mut out = Vec::with_capacity(thin.held.len());
        for held in thin.held {
            self.check()?;
            self.budget.column(there.n)?;
            let mut column = Column::absent(there.n);
            let mut next = 0;
            for i in 0..there.n {
                let now = there.at(i);
                while next < held.times.len() && held.times[next] <= now {
                    next += 1;
                }
                if next == 0 || held.times[next - 1] <= now - lookback {
                    continue;
                }
                match take(&held, next - 1) {
                    Some(Sample::Float(v)) => column.floats[i] = v,
                    Some(h) => column.set(i, h),
                    None => {}
                }
            }
            self.budget.give(held.times.len());
            if column.is_empty() {
                self.budget.give_column(there.n);
            } else {
                self.budget.take(column.histogram_weight())?;
                out.push(Series::new(held.labels, column));
            }
        }
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
