//! Instant selectors: at each step the latest sample that is younger than the lookback and not a staleness marker.

use std::sync::Arc;

use base::{Labels, Result};

use crate::eval::Evaluator;
use crate::eval::alike::{Run, windows_before};
use crate::eval::budget::Budget;
use crate::eval::fetch::{Steady, Stretch, Taker};
use crate::eval::value::{Column, Grid, Sample, Series, all_present, is_present};
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

/// What of a sample: itself, its time, or when its counting began (seconds, 0 where nobody says).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Sample,
    Time,
    Start,
}

impl Latest {
    /// What is wanted of it; `None` of a staleness marker.
    fn take(&self, wanted: Wanted) -> Option<Sample> {
        if self.h.is_none() && !is_present(self.v) {
            return None;
        }
        let seconds = |ms: i64| Some(Sample::Float(ms as f64 / 1000.0));
        match (wanted, &self.h) {
            (Wanted::Sample, Some(h)) => Some(Sample::Histogram(h.clone())),
            (Wanted::Sample, None) => Some(Sample::Float(self.v)),
            (Wanted::Time, _) => seconds(self.t),
            (Wanted::Start, _) => seconds(self.start),
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

impl Seen {
    /// Makes the column where there is none.
    fn column(&mut self, grid: &Grid, budget: &Budget) -> Result<()> {
        if self.column.floats.is_empty() {
            budget.column(grid.n)?;
            self.column = Column::absent(grid.n);
        }
        Ok(())
    }
}

/// Steps that see samples: each one the last before it.
struct Steps<'e, 'a> {
    ev: &'e Evaluator<'a>,
    /// In the time of the samples.
    grid: Grid,
    seen: Vec<Seen>,
    wanted: Wanted,
}

impl Steps<'_, '_> {
    /// The steps before `t` see the latest row.
    fn decide(&mut self, series: usize, t: i64) -> Result<()> {
        let seen = &mut self.seen[series];
        let lookback = self.ev.options.lookback_ms;
        while seen.step < self.grid.n && self.grid.at(seen.step) < t {
            let step = seen.step;
            seen.step += 1;
            let Some(latest) = seen.latest.as_ref().filter(|l| l.t > self.grid.at(step) - lookback) else { continue };
            let Some(sample) = latest.take(self.wanted) else { continue };
            seen.column(&self.grid, &self.ev.budget)?;
            self.ev.budget.look_at(sample.weight())?;
            match sample {
                Sample::Float(v) => seen.column.floats[step] = v,
                h => seen.column.set(step, h),
            }
        }
        Ok(())
    }

    /// Takes floats at equal distances of which steps are a multiple: what steps see lies at equal distances as well. False if these are no
    /// such.
    fn take_steady(&mut self, series: usize, rows: &Steady<'_>) -> Result<bool> {
        let (grid, lookback) = (self.grid, self.ev.options.lookback_ms);
        let lie_alike = rows.step <= lookback && (grid.step % rows.step == 0 || grid.n - self.seen[series].step < 2);
        if self.wanted != Wanted::Sample || !rows.all_present || !lie_alike {
            return Ok(false);
        }
        self.decide(series, rows.first)?;
        let seen = &mut self.seen[series];
        // What the last row is seen from depends on the next.
        let (at, last) = (grid.at(seen.step), rows.last());
        let n = windows_before(&grid, at, last, grid.n - seen.step);
        if n > 0 {
            seen.column(&grid, &self.ev.budget)?;
            let from = ((at - rows.first) / rows.step) as usize;
            let values = rows.values[from..].iter().step_by((grid.step / rows.step).max(1) as usize);
            seen.column.floats[seen.step..seen.step + n].iter_mut().zip(values).for_each(|(out, v)| *out = *v);
            seen.step += n;
            self.ev.budget.look_at(n)?;
        }
        seen.latest = Some(Latest { t: last, v: rows.values[rows.values.len() - 1], h: None, start: 0 });
        Ok(true)
    }
}

impl Taker for Steps<'_, '_> {
    fn series(&mut self, series: &[Labels]) {
        self.seen = series.iter().map(|l| Seen { labels: l.clone(), ..Seen::default() }).collect();
    }
    fn wants_starts(&self) -> bool {
        self.wanted == Wanted::Start
    }
    fn rows(&mut self, series: usize, rows: &Stretch<'_>) -> Result<()> {
        let run = Run::new(rows.times, 0);
        if let Some(values) = rows.floats().filter(|v| run.distance > 0 && run.end == v.len()) {
            let steady = Steady { first: rows.times[0], step: run.distance, values, all_present: all_present(values) };
            if self.take_steady(series, &steady)? {
                return Ok(());
            }
        }
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
    fn steady(&mut self, series: usize, rows: &Steady<'_>, times: &mut Vec<i64>) -> Result<()> {
        if self.take_steady(series, rows)? { Ok(()) } else { rows.with_times(times, |rows| self.rows(series, rows)) }
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
        self.select_with(s, grid, Wanted::Sample)
    }

    /// The times of the samples an instant selector finds, in seconds.
    pub(super) fn select_times(&self, s: &Select, grid: &Grid) -> Result<Vec<Series>> {
        self.select_with(s, grid, Wanted::Time)
    }

    /// When the counting of the samples that an instant selector finds began, in seconds; 0 where nobody says.
    pub(super) fn select_starts(&self, s: &Select, grid: &Grid) -> Result<Vec<Series>> {
        self.select_with(s, grid, Wanted::Start)
    }

    fn select_with(&self, s: &Select, grid: &Grid, wanted: Wanted) -> Result<Vec<Series>> {
        if let (Some(at), true) = (s.at, grid.n > 1) {
            let once = self.budget.times(grid.n, || self.select_with(s, &Grid { start: at, ..grid.first_only() }, wanted))?;
            let spread = |x: Series| {
                self.budget.column(grid.n)?;
                Ok(Series::new(x.labels, x.column.spread(grid.n)))
            };
            return once.into_iter().map(spread).collect();
        }
        let there = Grid { start: s.at.unwrap_or(grid.start) - s.offset, ..*grid };
        let mut steps = Steps { ev: self, grid: there, seen: vec![], wanted };
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
