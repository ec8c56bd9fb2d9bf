//! Function calls: each to the file of its family.

use base::{Error, Labels, Result};
use lang::Span;

use crate::eval::Evaluator;
use crate::eval::alike::Alike;
use crate::eval::edges;
use crate::eval::math::{go_max, go_min, map_floats, unary};
use crate::eval::notes::Notes;
use crate::eval::over_time::{over_time, over_time_alike};
use crate::eval::rate::{self, Kind, Place, looks_like_counter};
use crate::eval::regression;
use crate::eval::value::{Column, Grid, Sample, Series, Value, is_present};
use crate::eval::window::{Calculate, Window};
use crate::promql::ast::Edge;
use crate::promql::function::Func;
use crate::promql::plan::{CallPlan, Plan, RangePlan, RangeSource};

impl Evaluator<'_> {
    /// The value of a call.
    pub(super) fn call(&self, c: &CallPlan, grid: &Grid) -> Result<Value> {
        use Func as F;
        if let Some(f) = unary(c.func) {
            return Ok(Value::Vector(map_floats(self.vector(&c.args[0], grid)?, |_, v| f(v))));
        }
        Ok(Value::Vector(match c.func {
            F::Time => return Ok(Value::Scalar((0..grid.n).map(|i| grid.at(i) as f64 / 1000.0).collect())),
            F::Scalar => return Ok(Value::Scalar(self.to_scalar(&c.args[0], grid)?)),
            F::MinOf | F::MaxOf => return self.of_two(c, grid),
            F::Vector => vec![Series::new(Labels::empty(), Column::of(self.scalar(&c.args[0], grid)?))],
            F::Absent => self.absent(&c.args[0], grid)?,
            F::AbsentOverTime => self.absent_over_time(&c.args[0], grid)?,
            F::Clamp | F::ClampMin | F::ClampMax => self.clamp(c, grid)?,
            F::Round => self.round(c, grid)?,
            F::Timestamp => self.timestamp(c, grid)?,
            F::StartTimestamp => self.start_timestamp(c, grid)?,
            F::DayOfMonth | F::DayOfWeek | F::DayOfYear | F::DaysInMonth | F::Hour | F::Minute | F::Month | F::Year => {
                self.calendar(c, grid)?
            }
            F::LabelReplace => self.label_replace(c, grid)?,
            F::LabelJoin => self.label_join(c, grid)?,
            F::Sort | F::SortDesc => self.sort(c, grid)?,
            F::SortByLabel | F::SortByLabelDesc => self.sort_by_label(c, grid)?,
            F::HistogramQuantile | F::HistogramFraction => self.histogram_figure(c, grid)?,
            F::HistogramQuantiles => self.histogram_quantiles(c, grid)?,
            F::HistogramCount | F::HistogramSum | F::HistogramAvg | F::HistogramStddev | F::HistogramStdvar => {
                self.native_figure(c, grid)?
            }
            F::Info => self.info(c, grid)?,
            _ => self.over_range(c, grid)?,
        }))
    }

    fn of_two(&self, c: &CallPlan, grid: &Grid) -> Result<Value> {
        let mut a = self.scalar(&c.args[0], grid)?;
        let b = self.scalar(&c.args[1], grid)?;
        let f = if c.func == Func::MinOf { go_min } else { go_max };
        a.iter_mut().zip(b).for_each(|(x, y)| *x = f(*x, y));
        Ok(Value::Scalar(a))
    }

    /// A function of a range vector.
    fn over_range(&self, c: &CallPlan, grid: &Grid) -> Result<Vec<Series>> {
        use Func as F;
        let at = c
            .args
            .iter()
            .position(|a| matches!(a, Plan::Range(_)))
            .ok_or_else(|| Error::internal("no range vector among the arguments"))?;
        let Plan::Range(r) = &c.args[at] else { return Ok(vec![]) };
        let mut params = vec![];
        for (i, a) in c.args.iter().enumerate().filter(|(i, _)| *i != at) {
            params.push((i, self.scalar(a, grid)?));
        }
        if c.func == F::QuantileOverTime {
            for q in params.iter().flat_map(|p| &p.1).filter(|q| !(0.0..=1.0).contains(*q)) {
                self.notes.warn(&format!("quantile value should be between 0 and 1, got {}", lang::number::general(*q)), c.spans[0]);
            }
        }
        if c.func == F::DoubleExponentialSmoothing {
            for (k, which) in [(0, "smoothing"), (1, "trend")] {
                params.get(k).map_or(&[][..], |p| &p.1).iter().try_for_each(|v| regression::check_factor(*v, which))?;
            }
        }
        let span = c.spans[at];
        let params = params.into_iter().map(|p| p.1).collect();
        let mut out = self.windows_by(r, grid, &mut OverRange { func: c.func, edge: edge_of(r), params, span, notes: self.notes })?;
        if matches!(c.func, F::Rate | F::Increase) {
            let has_floats = |s: &Series| s.column.floats.iter().any(|v| is_present(*v));
            for s in out.iter().filter(|s| !looks_like_counter(s.name()) && has_floats(s)) {
                self.notes
                    .info(&format!("metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {:?}", s.name()), span);
            }
        }
        // The first and the last sample are still samples of their metric.
        if !matches!(c.func, F::LastOverTime | F::FirstOverTime) {
            out.iter_mut().for_each(|s| s.drop_name = true);
        }
        Ok(out)
    }
}

/// A function of a range vector.
struct OverRange<'a> {
    func: Func,
    edge: Edge,
    /// Its scalar parameters at each step.
    params: Vec<Vec<f64>>,
    span: Span,
    notes: &'a Notes<'a>,
}

impl OverRange<'_> {
    fn param(&self, k: usize, step: usize) -> f64 {
        self.params.get(k).map_or(0.0, |p| p[step])
    }
}

/// Which of the functions of [`rate::extrapolated`] it is.
fn extrapolated(f: Func) -> Option<Kind> {
    let kind = |counter, per_second| Some(Kind { counter, per_second });
    match f {
        Func::Rate => kind(true, true),
        Func::Increase => kind(true, false),
        Func::Delta => kind(false, false),
        _ => None,
    }
}

impl Calculate for OverRange<'_> {
    fn window(&mut self, labels: &Labels, _: bool, w: &Window<'_>) -> Option<Sample> {
        use Func as F;
        let place = Place { labels, span: self.span, notes: self.notes };
        let edge = self.edge;
        if let Some(kind) = extrapolated(self.func) {
            return if edge == Edge::Inside {
                rate::extrapolated(kind, w, &place)
            } else {
                edges::gain(kind, edge == Edge::Smoothed, w, &place)
            };
        }
        match self.func {
            F::Irate => rate::instant(true, w, &place),
            F::Idelta => rate::instant(false, w, &place),
            F::Deriv => regression::deriv(w, &place),
            F::PredictLinear => regression::predict_linear(w, self.param(0, w.step), &place),
            F::DoubleExponentialSmoothing => regression::smooth(w, self.param(0, w.step), self.param(1, w.step), &place),
            F::Changes | F::Resets if edge == Edge::Anchored => edges::count(self.func, w, &place),
            f => over_time(f, w, self.param(0, w.step), &place),
        }
    }

    fn alike(&mut self, w: &Alike<'_>, out: &mut [f64]) -> bool {
        match extrapolated(self.func) {
            Some(kind) if w.samples() > 1 => rate::extrapolated_alike(kind, w, out),
            Some(_) => return false,
            None => return over_time_alike(self.func, w, out),
        }
        true
    }
}

fn edge_of(r: &RangePlan) -> Edge {
    match &r.source {
        RangeSource::Select(s) => s.edge,
        RangeSource::Subquery { .. } => Edge::Inside,
    }
}
