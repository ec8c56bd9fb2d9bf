//! Evaluation of checked queries over the rows of a store.
//!
//! Each selector is scanned once over all the time the query needs; what comes is kept as columns of times and values
//! per series, already thinned to what can still be seen from a step. Then each series is taken over all steps before
//! the next one (series-major): windows move along its samples, operators run along columns, and labels are looked at
//! once per series, never per step. A step without a value holds the staleness marker ([`value::ABSENT`]).
//!
//! Rejected: step by step over all series (the order Prometheus had at first), which looks up labels at every step;
//! streaming operators between threads, which buys little on the sizes that fit the sample limit.

mod absent;
mod aggregate;
mod aggregate_native;
mod alike;
mod binary;
pub(crate) mod budget;
mod calendar;
mod call;
mod classic;
mod count_values;
mod delta;
mod edges;
mod elementwise;
mod fetch;
mod info;
mod labels;
mod limit;
mod matching;
mod math;
mod native;
mod notes;
mod order;
mod over_time;
mod rank;
mod rate;
mod reach;
mod regression;
mod select;
mod sets;
mod subquery;
pub mod value;
mod window;

use std::sync::Arc;
use std::time::Duration;

use base::label_order::sort_by_labels;
use base::{Error, Kind, Labels, Matcher, Result, Tenant};
use lang::Span;
use table::sorted::Budget as Memory;
use table::{Cancel, Rows};

use crate::eval::budget::Budget;
pub use crate::eval::budget::Stats;
use crate::eval::notes::Notes;
use crate::eval::value::{Column, Grid, Sample, Series};
use crate::limits;
use crate::promql::ast::Edge;
use crate::promql::function::Type;
use crate::promql::parse;
use crate::promql::plan::{Plan, QueryTimes, RangePlan, Select, plan};

/// How a query is evaluated.
#[derive(Clone)]
pub struct Options {
    /// How far back an instant selector looks, milliseconds.
    pub lookback_ms: i64,
    /// Step of subqueries that name none, milliseconds.
    pub subquery_step_ms: i64,
    /// Samples that may be held at one time.
    pub max_samples: usize,
    /// Whether `rate`, `irate`, `increase` and `resets` heed what samples say of when their counting began: Prometheus' flag
    /// `use-start-timestamps`.
    pub start_timestamps: bool,
    /// Nanoseconds that the steps and windows of a query may span together.
    pub max_span_ns: Option<i64>,
    /// Time the query may take.
    pub timeout: Option<Duration>,
    /// Stops it early.
    pub cancel: Cancel,
    /// Where the memory for its samples is taken from: it is given back when the last clone of it is dropped.
    pub memory: Option<Arc<dyn Memory>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            lookback_ms: limits::LOOKBACK_MS,
            subquery_step_ms: 60_000,
            max_samples: limits::QUERY_SAMPLES,
            start_timestamps: false,
            max_span_ns: None,
            timeout: None,
            cancel: Cancel::default(),
            memory: None,
        }
    }
}

/// One series of an instant query's result.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// Labels.
    pub labels: Labels,
    /// Milliseconds.
    pub time_ms: i64,
    /// Value.
    pub sample: Sample,
}

/// One series of a range: points by time, milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSeries {
    /// Labels.
    pub labels: Labels,
    /// Points.
    pub points: Vec<(i64, Sample)>,
}

/// The value of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryValue {
    /// Time in milliseconds and number.
    Scalar(i64, f64),
    /// Series at one time.
    Vector(Vec<VectorSample>),
    /// Series over time.
    Matrix(Vec<MatrixSeries>),
    /// Time in milliseconds and text.
    String(i64, String),
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    /// The value.
    pub value: QueryValue,
    /// What is probably wrong with the query or the data.
    pub warnings: Vec<String>,
    /// What may be wrong with them.
    pub infos: Vec<String>,
    /// What it took.
    pub stats: Stats,
}

/// Evaluates a query at one time.
pub fn instant(rows: &dyn Rows, tenant: &Tenant, query: &str, time_ms: i64, options: &Options) -> Result<QueryResult> {
    check_times(&[time_ms])?;
    let expr = parse(query)?;
    let plan = plan(&expr, query, QueryTimes { start: time_ms, end: time_ms, step: 0 })?;
    reach::check(&plan, 0, options.max_span_ns)?;
    let notes = Notes::new(query);
    let ev = Evaluator::new(rows, tenant, options, &notes);
    let grid = Grid { start: time_ms, step: 1, n: 1 };
    let value = match &plan {
        Plan::Range(r) => QueryValue::Matrix(ev.raw_matrix(r, &grid)?),
        p => match ev.eval(p, &grid)? {
            value::Value::Scalar(v) => QueryValue::Scalar(time_ms, v[0]),
            value::Value::Text(t) => QueryValue::String(time_ms, t),
            value::Value::Vector(v) => QueryValue::Vector(
                finish_names(v)?
                    .into_iter()
                    .filter_map(|s| s.column.get(0).map(|sample| VectorSample { labels: s.labels, time_ms, sample }))
                    .collect(),
            ),
        },
    };
    let stats = ev.budget.stats();
    let (warnings, infos) = notes.finish();
    Ok(QueryResult { value, warnings, infos, stats })
}

/// The latest sample of each series at a time, within the lookback: labels, its own time, and the sample.
pub fn latest(
    rows: &dyn Rows,
    tenant: &Tenant,
    matchers: &[Matcher],
    time_ms: i64,
    options: &Options,
) -> Result<Vec<(Labels, i64, Sample)>> {
    check_times(&[time_ms])?;
    let notes = Notes::new("");
    let ev = Evaluator::new(rows, tenant, options, &notes);
    let grid = Grid { start: time_ms, step: 1, n: 1 };
    let select = Select { matchers: matchers.to_vec(), offset: 0, at: None, edge: Edge::Inside, span: Span::default() };
    let times = ev.select_times(&select, &grid)?;
    let samples = ev.select(&select, &grid)?;
    let both = samples.into_iter().zip(times);
    Ok(both.filter_map(|(s, t)| Some((s.labels, (t.column.floats[0] * 1000.0).round() as i64, s.column.get(0)?))).collect())
}

/// Evaluates a query at `start_ms`, `start_ms + step_ms`, ... up to `end_ms`.
pub fn range(
    rows: &dyn Rows,
    tenant: &Tenant,
    query: &str,
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
    options: &Options,
) -> Result<QueryResult> {
    check_times(&[start_ms, end_ms])?;
    if end_ms < start_ms {
        return Err(Error::invalid("end timestamp must not be before start time"));
    }
    if step_ms <= 0 {
        return Err(Error::invalid("zero or negative query resolution step widths are not accepted. Try a positive integer"));
    }
    let steps = (end_ms - start_ms) / step_ms;
    if steps > limits::RANGE_STEPS {
        return Err(Error::invalid(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    let expr = parse(query)?;
    let plan = plan(&expr, query, QueryTimes { start: start_ms, end: end_ms, step: step_ms })?;
    reach::check(&plan, end_ms - start_ms, options.max_span_ns)?;
    let grid = Grid { start: start_ms, step: step_ms, n: steps as usize + 1 };
    let notes = Notes::new(query);
    let ev = Evaluator::new(rows, tenant, options, &notes);
    let series = match plan.ty() {
        Type::Scalar | Type::Vector => match ev.eval(&plan, &grid)? {
            value::Value::Scalar(v) => vec![Series::new(Labels::empty(), Column::of(v))],
            value::Value::Vector(v) => finish_names(v)?,
            value::Value::Text(_) => return Err(Error::internal("an expression of numbers gave a text")),
        },
        other => return Err(range_type_error(other)),
    };
    let mut out: Vec<MatrixSeries> = series.into_iter().filter_map(|s| points_of(s, &grid)).collect();
    sort_by_labels(&mut out, |s| &s.labels);
    let stats = ev.budget.stats();
    let (warnings, infos) = notes.finish();
    Ok(QueryResult { value: QueryValue::Matrix(out), warnings, infos, stats })
}

fn range_type_error(got: Type) -> Error {
    Error::invalid(format!("invalid expression type {:?} for range query, must be Scalar or instant Vector", got.name()))
}

/// Times so far out that adding a window to them could overflow are nobody's.
fn check_times(times: &[i64]) -> Result<()> {
    if times.iter().any(|t| t.unsigned_abs() > 1 << 60) {
        return Err(Error::invalid("time is out of range"));
    }
    Ok(())
}

fn points_of(s: Series, grid: &Grid) -> Option<MatrixSeries> {
    let points: Vec<(i64, Sample)> = (0..grid.n).filter_map(|i| s.column.get(i).map(|v| (grid.at(i), v))).collect();
    if points.is_empty() { None } else { Some(MatrixSeries { labels: s.labels, points }) }
}

/// Removes the names that no longer hold, and puts together series that are the same without them.
fn finish_names(series: Vec<Series>) -> Result<Vec<Series>> {
    let mut out: Vec<Series> = Vec::with_capacity(series.len());
    let mut seen: std::collections::HashMap<Labels, usize> = std::collections::HashMap::with_capacity(series.len());
    for mut s in series {
        if s.drop_name {
            s.labels = value::without_name(&s.labels);
            s.drop_name = false;
        }
        match seen.entry(s.labels.clone()) {
            std::collections::hash_map::Entry::Vacant(e) => {
                e.insert(out.len());
                out.push(s);
            }
            std::collections::hash_map::Entry::Occupied(e) => merge_into(&mut out[*e.get()].column, &s.column)?,
        }
    }
    Ok(out)
}

/// Adds the values of `from`; both having one at a step is an error.
fn merge_into(into: &mut Column, from: &Column) -> Result<()> {
    for i in 0..into.len() {
        if let Some(v) = from.get(i) {
            if into.has(i) {
                return Err(same_labels());
            }
            into.set(i, v);
        }
    }
    Ok(())
}

fn same_labels() -> Error {
    Error::new(Kind::Unprocessable, "vector cannot contain metrics with the same labelset")
}

/// Adds `v` to a running sum with its rounding error kept apart (Kahan's summation as improved by Neumaier).
#[inline]
pub(crate) fn kahan(v: f64, sum: f64, rest: f64) -> (f64, f64) {
    let t = sum + v;
    let lost = if sum.abs() >= v.abs() { (sum - t) + v } else { (v - t) + sum };
    (t, if t.is_infinite() { 0.0 } else { rest + lost })
}

/// Evaluates plans.
pub(crate) struct Evaluator<'a> {
    rows: &'a dyn Rows,
    tenant: &'a Tenant,
    options: &'a Options,
    notes: &'a Notes<'a>,
    budget: Budget,
}

impl<'a> Evaluator<'a> {
    fn new(rows: &'a dyn Rows, tenant: &'a Tenant, options: &'a Options, notes: &'a Notes<'a>) -> Self {
        Evaluator { rows, tenant, options, notes, budget: Budget::new(options) }
    }

    /// An error if nobody waits any more or the time is up. Called once per series or batch.
    fn check(&self) -> Result<()> {
        self.budget.check()
    }

    /// The value of `plan` at each step of `grid`.
    fn eval(&self, plan: &Plan, grid: &Grid) -> Result<value::Value> {
        self.check()?;
        let made = match plan {
            Plan::Number(v) => value::Value::Scalar(vec![*v; grid.n]),
            Plan::Text(t) => value::Value::Text(t.clone()),
            Plan::Select(s) => value::Value::Vector(self.select(s, grid)?),
            Plan::Range(_) => return Err(Error::internal("a range vector has no value of its own")),
            Plan::Negate(p) => self.negate(p, grid)?,
            Plan::Binary(b) => self.binary(b, grid)?,
            Plan::Aggregate(a) => value::Value::Vector(self.aggregate(a, grid)?),
            Plan::Call(c) => self.call(c, grid)?,
            Plan::Invariant(p) => self.invariant(p, grid)?,
        };
        if let value::Value::Scalar(v) = &made {
            self.budget.column(v.len())?;
        }
        Ok(made)
    }

    /// Evaluated once, then the same at every step.
    fn invariant(&self, plan: &Plan, grid: &Grid) -> Result<value::Value> {
        Ok(match self.budget.times(grid.n, || self.eval(plan, &grid.first_only()))? {
            value::Value::Scalar(v) => value::Value::Scalar(vec![v[0]; grid.n]),
            value::Value::Vector(mut v) => {
                for s in &mut v {
                    self.budget.column(grid.n)?;
                    s.column = s.column.spread(grid.n);
                }
                value::Value::Vector(v)
            }
            t => t,
        })
    }

    /// The value of a plan that is a vector by its type.
    fn vector(&self, plan: &Plan, grid: &Grid) -> Result<Vec<Series>> {
        match self.eval(plan, grid)? {
            value::Value::Vector(v) => Ok(v),
            _ => Err(Error::internal("expected an instant vector")),
        }
    }

    /// The value of a plan that is a scalar by its type.
    fn scalar(&self, plan: &Plan, grid: &Grid) -> Result<Vec<f64>> {
        match self.eval(plan, grid)? {
            value::Value::Scalar(v) => Ok(v),
            _ => Err(Error::internal("expected a scalar")),
        }
    }

    /// Samples as they are, for an instant query of a range vector.
    fn raw_matrix(&self, r: &RangePlan, grid: &Grid) -> Result<Vec<MatrixSeries>> {
        let mut out = vec![];
        self.windows(r, grid, &mut |labels, drop_name, w| {
            let points: Vec<(i64, Sample)> = (0..w.len()).map(|i| (w.times()[i], w.sample(i))).collect();
            if !points.is_empty() {
                let labels = if drop_name { value::without_name(labels) } else { labels.clone() };
                out.push(MatrixSeries { labels, points });
            }
            None
        })?;
        Ok(out)
    }
}
