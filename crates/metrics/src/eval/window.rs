//! Range vectors: a window moves along the samples of each series.

use std::borrow::Cow;
use std::cell::{Cell, RefCell, RefMut};

use base::{Labels, Result};

use crate::eval::Evaluator;
use crate::eval::alike::{Alike, Run, windows_before};
use crate::eval::budget::{Budget, SAMPLES_UNWATCHED};
use crate::eval::fetch::{Held, Steady, Stretch, Taker};
use crate::eval::value::{Column, Grid, Sample, Series, all_present, is_present};
use crate::promql::ast::Edge;
use crate::promql::plan::{RangePlan, RangeSource, Select};

/// Times and values of samples that are floats.
pub type Floats<'a> = (Cow<'a, [i64]>, Cow<'a, [f64]>);

/// The samples of a series in `(start, end]`, and what lies around them as far as it was fetched.
pub struct Window<'a> {
    held: &'a Held,
    known: &'a Known,
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
    /// Whether no float is less than the one before it. Asked of one window after the other it looks at each sample once.
    #[inline]
    pub fn rises(&self) -> bool {
        let v = &self.held.values;
        let (mut from, mut to) = self.known.rising.get();
        if to <= self.lo {
            (from, to) = (self.lo, self.lo + 1);
        }
        for i in to..self.hi {
            if v[i] < v[i - 1] {
                from = i;
            }
        }
        self.known.rising.set((from, to.max(self.hi)));
        from <= self.lo
    }
    /// How the samples lie in the window, of which there is at least one. Most windows of a series have the shape of the one before.
    #[inline]
    pub fn shape(&self) -> RefMut<'_, Shape> {
        let (first, last) = (self.held.times[self.lo], self.held.times[self.hi - 1]);
        let place = (first - self.start, last - first, self.end - last, self.len());
        let mut shape = self.known.shape.borrow_mut();
        if shape.place != place {
            *shape = Shape::new(place);
        }
        shape
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

/// How a window's samples lie, and by how much what they gained is extended to its borders: a series that begins or ends inside the
/// window is extended by half the distance of its samples only.
#[derive(Debug, Default)]
pub struct Shape {
    /// Milliseconds before the first sample, between first and last, and after the last; samples.
    place: (i64, i64, i64, usize),
    /// Seconds from the first sample to the last.
    pub sampled: f64,
    /// Seconds before the first sample that count.
    pub to_start: f64,
    /// Seconds after the last sample that count.
    pub to_end: f64,
    /// The window's width in seconds.
    pub width: f64,
    /// All that counts by what was sampled.
    pub factor: f64,
    /// The same for each second of the window.
    pub factor_per_second: f64,
}

impl Shape {
    /// Of this many milliseconds before the first sample, between first and last, and after the last; and of so many samples.
    pub fn new(place: (i64, i64, i64, usize)) -> Shape {
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let (before, inside, after, samples) = place;
        let sampled = seconds(inside);
        let between = if samples > 1 { sampled / (samples - 1) as f64 } else { 0.0 };
        let counting = |ms: i64| if seconds(ms) >= between * 1.1 { between / 2.0 } else { seconds(ms) };
        let (to_start, to_end, width) = (counting(before), counting(after), seconds(before + inside + after));
        let factor = (sampled + to_start + to_end) / sampled;
        Shape { place, sampled, to_start, to_end, width, factor, factor_per_second: factor / width }
    }
}

/// What windows of a series found out that holds for later ones.
#[derive(Default)]
struct Known {
    /// From the first of these positions up to the second no float falls.
    rising: Cell<(usize, usize)>,
    shape: RefCell<Shape>,
}

impl Known {
    /// The first `n` samples are forgotten.
    fn forget(&self, n: usize) {
        let (from, to) = self.rising.get();
        self.rising.set((from.saturating_sub(n), to.saturating_sub(n)));
    }
}

/// What is calculated from windows.
pub trait Calculate {
    /// The value of a window of a series with these labels (and whether its name no longer holds).
    fn window(&mut self, labels: &Labels, drop_name: bool, w: &Window<'_>) -> Option<Sample>;
    /// The values of windows that lie alike, where each has one; false if they must be looked at one by one.
    fn alike(&mut self, _: &Alike<'_>, _: &mut [f64]) -> bool {
        false
    }
}

/// What is calculated from a window, and from each by itself.
type Each<'f> = dyn FnMut(&Labels, bool, &Window<'_>) -> Option<Sample> + 'f;

impl Calculate for &mut Each<'_> {
    fn window(&mut self, labels: &Labels, drop_name: bool, w: &Window<'_>) -> Option<Sample> {
        self(labels, drop_name, w)
    }
}

/// How many windows of so many samples, at most `most`, are calculated before the time is looked at.
fn at_once(samples: usize, most: usize) -> usize {
    most.min((SAMPLES_UNWATCHED / samples.max(1)).max(1))
}

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
    fn margins(&self) -> i64 {
        self.margin_before + self.margin_after
    }
    /// Whether windows follow the steps, and see nothing but their samples.
    fn is_plain(&self) -> bool {
        self.at.is_none() && self.margins() == 0
    }
}

/// A series with its window's place.
struct Moving {
    held: Held,
    lo: usize,
    hi: usize,
    step: usize,
    /// The samples at equal distances in which `lo` lies.
    run: Run,
    known: Known,
    column: Column,
}

impl Moving {
    /// The column is made with its first value: many series of a long range have none.
    fn new(held: Held) -> Self {
        Moving { held, lo: 0, hi: 0, step: 0, run: Run::default(), known: Known::default(), column: Column::default() }
    }

    /// The last time that the next step looks at; `None` behind the last step.
    fn next_known(&self, frame: &Frame) -> Option<i64> {
        (self.step < frame.grid.n).then(|| frame.end(self.step).saturating_add(frame.margin_after))
    }

    /// Evaluates all steps for which everything before `known_before` is enough.
    fn advance(&mut self, frame: &Frame, known_before: i64, budget: &Budget, f: &mut dyn Calculate) -> Result<()> {
        let plain = frame.is_plain() && self.held.are_floats();
        while self.next_known(frame).is_some_and(|known| known < known_before) {
            let end = frame.end(self.step);
            let start = end - frame.width;
            let times = &self.held.times;
            while self.lo < times.len() && times[self.lo] <= start {
                self.lo += 1;
            }
            self.hi = self.hi.max(self.lo);
            while self.hi < times.len() && times[self.hi] <= end {
                self.hi += 1;
            }
            if plain && self.alike(frame, known_before, budget, f)? {
                continue;
            }
            if self.lo < self.hi || frame.margins() > 0 {
                let (held, known, step) = (&self.held, &self.known, self.step);
                budget.look_at(held.weight(self.lo..self.hi))?;
                let w = Window { held, known, lo: self.lo, hi: self.hi, start, end, time: frame.grid.at(step), step };
                if let Some(v) = f.window(&self.held.labels, self.held.drop_name, &w) {
                    self.put(v, frame.grid.n, budget)?;
                }
            }
            self.step += 1;
        }
        Ok(())
    }

    /// Evaluates the window at hand and those behind it that lie alike; false if there is none.
    fn alike(&mut self, frame: &Frame, known_before: i64, budget: &Budget, f: &mut dyn Calculate) -> Result<bool> {
        let times = &self.held.times;
        if self.lo >= self.hi {
            return Ok(false);
        }
        if self.lo + 1 >= self.run.end {
            self.run = Run::new(times, self.lo);
        }
        let Run { end: run_end, distance } = self.run;
        let (first, last, end) = (times[self.lo], times[self.hi - 1], frame.end(self.step));
        let start = end - frame.width;
        // The window must begin within the run, or just before it, as all later ones do.
        if self.hi > run_end || distance <= 0 || frame.grid.step % distance != 0 || first - start > distance {
            return Ok(false);
        }
        let behind = times.get(run_end).copied().unwrap_or(i64::MAX).min(times[run_end - 1] + distance);
        let (samples, stride) = (self.hi - self.lo, (frame.grid.step / distance) as usize);
        let n = windows_before(&frame.grid, end, behind.min(known_before), at_once(samples, frame.grid.n - self.step));
        if n < 2 {
            return Ok(false);
        }
        let shape = Shape::new((first - start, last - first, end - last, samples));
        let values = std::mem::take(&mut self.held.values);
        let windows = Alike::new(&values[self.lo..run_end], samples, stride, n, shape);
        let done = self.put_alike(&windows, n, frame.grid.n, budget, f);
        self.held.values = values;
        if !done? {
            return Ok(false);
        }
        self.step += n;
        self.lo += (n - 1) * stride;
        self.hi += (n - 1) * stride;
        Ok(true)
    }

    /// Whether `rows` go on at the distance of the samples that are held.
    fn goes_on(&self, rows: &Steady<'_>) -> bool {
        let times = &self.held.times;
        self.held.are_floats()
            && times.last().is_none_or(|last| last + rows.step == rows.first)
            && times.windows(2).all(|t| t[0] + rows.step == t[1])
    }

    /// Evaluates the steps that end with or before the last of these samples, which are what is held and what follows it. False as soon as
    /// a window must be looked at by itself.
    fn advance_steady(&mut self, frame: &Frame, all: &Steady<'_>, budget: &Budget, f: &mut dyn Calculate) -> Result<bool> {
        let grid = &frame.grid;
        while self.step < grid.n && frame.end(self.step) <= all.last() {
            let end = frame.end(self.step);
            let start = end - frame.width;
            let (lo, hi) = (all.upto(start), all.upto(end));
            if lo == hi {
                self.step += 1;
                continue;
            }
            let n = windows_before(grid, end, all.last() + 1, at_once(hi - lo, grid.n - self.step));
            let (first, last) = (all.at(lo), all.at(hi - 1));
            // The window must begin within these samples, or just before them, as all later ones do.
            if first - start > all.step || n > 1 && grid.step % all.step != 0 {
                return Ok(false);
            }
            let stride = (grid.step / all.step).max(1) as usize;
            let shape = Shape::new((first - start, last - first, end - last, hi - lo));
            let windows = Alike::new(&all.values[lo..], hi - lo, stride, n, shape);
            if !self.put_alike(&windows, n, grid.n, budget, f)? {
                return Ok(false);
            }
            self.step += n;
        }
        Ok(true)
    }

    /// Evaluates `n` windows that lie alike; false if there is no way to.
    fn put_alike(&mut self, windows: &Alike<'_>, n: usize, steps: usize, budget: &Budget, f: &mut dyn Calculate) -> Result<bool> {
        let no_column = self.column.floats.is_empty();
        if no_column {
            budget.column(steps)?;
            self.column = Column::absent(steps);
        }
        let done = f.alike(windows, &mut self.column.floats[self.step..self.step + n]);
        if done {
            budget.look_at(n * windows.samples())?;
        } else if no_column {
            self.column = Column::default();
        }
        Ok(done)
    }

    /// Holds those of these samples that a later window can see; answers how many there are.
    fn hold(&mut self, frame: &Frame, all: &Steady<'_>) -> usize {
        let n = if self.step >= frame.grid.n { all.values.len() } else { all.upto(frame.end(self.step) - frame.width) };
        self.held.times.clear();
        self.held.times.extend((n..all.values.len()).map(|i| all.at(i)));
        self.held.values.clear();
        self.held.values.extend_from_slice(&all.values[n..]);
        self.look_anew();
        self.held.values.len()
    }

    /// Forgets where windows lie.
    fn look_anew(&mut self) {
        (self.lo, self.hi, self.run) = (0, 0, Run::default());
        self.known.rising.take();
    }

    fn put(&mut self, v: Sample, n: usize, budget: &Budget) -> Result<()> {
        if self.column.floats.is_empty() {
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
        self.known.forget(n);
        self.lo = self.lo.saturating_sub(n);
        self.hi = self.hi.saturating_sub(n);
        self.run = Run::default();
        n
    }
}

/// Windows over what a scan brings: whenever rows of a series come, the steps they complete are evaluated and what no later step sees is
/// forgotten, so that a month's query holds a window of each series, not a month.
struct Windows<'e, 'a> {
    ev: &'e Evaluator<'a>,
    frame: Frame,
    moving: Vec<Moving>,
    /// Where the times and values of the series at hand lie.
    room: (Vec<i64>, Vec<f64>),
    calculate: &'e mut dyn Calculate,
}

impl Taker for Windows<'_, '_> {
    fn series(&mut self, series: &[Labels]) {
        let starts = self.wants_starts().then(Vec::new);
        self.moving = series.iter().map(|l| Moving::new(Held { labels: l.clone(), starts: starts.clone(), ..Held::default() })).collect();
    }
    fn wants_starts(&self) -> bool {
        self.ev.options.start_timestamps
    }
    fn rows(&mut self, series: usize, rows: &Stretch<'_>) -> Result<()> {
        let Some(last) = rows.times.last() else { return Ok(()) };
        let m = &mut self.moving[series];
        // What is held of a series is a window's rest; with what comes to it, it lies where the one before lay, which is still near.
        let room = &mut self.room;
        room.0.clear();
        room.1.clear();
        room.0.append(&mut m.held.times);
        room.1.append(&mut m.held.values);
        std::mem::swap(&mut m.held.times, &mut room.0);
        std::mem::swap(&mut m.held.values, &mut room.1);
        let before = m.held.times.len();
        if !(rows.floats().is_some_and(all_present) && m.held.extend(rows)) {
            for (i, &t) in rows.times.iter().enumerate() {
                let (v, h) = rows.at(i)?;
                if h.is_some() || is_present(v) {
                    m.held.push(t, v, h, rows.start(i));
                }
            }
        }
        self.ev.budget.take(m.held.times.len() - before)?;
        // Up to the last of these rows, all of this series are known.
        m.advance(&self.frame, last + 1, &self.ev.budget, self.calculate)?;
        self.ev.budget.give(m.forget(&self.frame));
        std::mem::swap(&mut m.held.times, &mut room.0);
        std::mem::swap(&mut m.held.values, &mut room.1);
        m.held.times.append(&mut room.0);
        m.held.values.append(&mut room.1);
        Ok(())
    }
    fn steady(&mut self, series: usize, rows: &Steady<'_>, times: &mut Vec<i64>) -> Result<()> {
        let m = &mut self.moving[series];
        if !(self.frame.is_plain() && rows.all_present && m.goes_on(rows)) {
            return rows.with_times(times, |rows| self.rows(series, rows));
        }
        let (held, values) = (m.held.values.len(), &mut self.room.1);
        values.clear();
        if held > 0 {
            values.extend_from_slice(&m.held.values);
            values.extend_from_slice(rows.values);
        }
        let all = match held {
            0 => *rows,
            _ => Steady { first: rows.first - rows.step * held as i64, values, ..*rows },
        };
        self.ev.budget.take(rows.values.len())?;
        if m.advance_steady(&self.frame, &all, &self.ev.budget, self.calculate)? {
            let kept = m.hold(&self.frame, &all);
            self.ev.budget.give(all.values.len() - kept);
            return Ok(());
        }
        m.look_anew();
        self.ev.budget.give(rows.values.len());
        rows.with_times(times, |rows| self.rows(series, rows))
    }
    fn reached(&mut self, time: i64) -> Result<()> {
        self.ev.check()?;
        // Of most series, all that could be said was said when their rows came.
        let is_behind = |m: &&mut Moving| m.next_known(&self.frame).is_some_and(|known| known < time);
        for m in self.moving.iter_mut().filter(is_behind) {
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
    pub(super) fn windows(&self, r: &RangePlan, grid: &Grid, mut f: &mut Each<'_>) -> Result<Vec<Series>> {
        self.windows_by(r, grid, &mut f)
    }

    /// The same, where windows may be calculated together.
    pub(super) fn windows_by(&self, r: &RangePlan, grid: &Grid, f: &mut dyn Calculate) -> Result<Vec<Series>> {
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

    fn stored_windows(&self, s: &Select, width: i64, grid: &Grid, f: &mut dyn Calculate) -> Result<Vec<Series>> {
        let lookback = self.options.lookback_ms;
        let margin_before = if s.edge == Edge::Inside { 0 } else { lookback };
        let margin_after = if s.edge == Edge::Smoothed { lookback } else { 0 };
        let frame = Frame { grid: *grid, at: s.at, offset: s.offset, width, margin_before, margin_after };
        let first = frame.end(0) - width - margin_before + 1;
        let mut all = Windows { ev: self, frame, moving: vec![], room: Default::default(), calculate: f };
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
    if m.column.floats.is_empty() { None } else { Some(Series { labels: m.held.labels, drop_name: m.held.drop_name, column: m.column }) }
}
