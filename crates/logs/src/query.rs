//! LogQL's face: a query and a time in, a result out.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::label_order::sort_by_labels;
use base::{Error, Labels, Result, Tenant};
use table::sorted::Budget as Memory;
use table::{Cancel, Direction, Rows, ScanRequest, TimeRange};

use crate::erase::Erasure;
use crate::eval::{self, Budget, LogRequest, Source, Steps, Value};
use crate::limits;
use crate::logql::ast::{AggregateOp, Expr, MetricExpr};
use crate::{SPEC, logql};

/// Bounds that the operator may set.
#[derive(Clone)]
pub struct Settings {
    /// Series in the answer of a metric query.
    pub max_series: usize,
    /// Lines in the answer of a log query.
    pub max_entries: usize,
    /// Time that the windows of a metric query may span, nanoseconds.
    pub max_window_ns: Option<i64>,
    /// Bytes that one query may hold at one time.
    pub max_held_bytes: usize,
    /// Where that is taken from, and as much for the answer: it is given back when the last clone of it is dropped.
    pub memory: Option<Arc<dyn Memory>>,
}

impl Default for Settings {
    fn default() -> Self {
        let (max_series, max_entries, max_held_bytes) = (limits::SERIES, limits::ENTRIES, limits::HELD_BYTES);
        Settings { max_series, max_entries, max_window_ns: None, max_held_bytes, memory: None }
    }
}

/// Where a query reads, and within which bounds.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The rows.
    pub rows: &'a dyn Rows,
    /// Whose.
    pub tenant: &'a Tenant,
    /// Stops it.
    pub cancel: &'a Cancel,
    /// Bounds.
    pub settings: &'a Settings,
    /// The time of the query, nanoseconds: what `now` is in templates.
    pub now_ns: i64,
    /// Rows that somebody asked to delete: no answer shows them.
    pub erased: &'a [Erasure],
}

impl<'a> Context<'a> {
    /// What one query may hold.
    pub(crate) fn budget(&self) -> Budget {
        Budget::new(self.settings.max_held_bytes, self.cancel.clone()).of(self.settings.memory.clone())
    }
    pub(crate) fn source(&self, budget: &'a Budget) -> Source<'a> {
        Source {
            budget,
            rows: self.rows,
            tenant: self.tenant,
            cancel: self.cancel,
            now_ns: self.now_ns,
            erased: self.erased,
            max_window_ns: self.settings.max_window_ns,
        }
    }
}

/// A query over a range of time; all times in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct RangeQuery<'q> {
    /// LogQL.
    pub query: &'q str,
    /// First time.
    pub start_ns: i64,
    /// Metric queries: last time at most. Log queries: first time after.
    pub end_ns: i64,
    /// Metric queries: between two points.
    pub step_ns: i64,
    /// Log queries: at least between two lines; 0 for all lines.
    pub interval_ns: i64,
    /// Log queries: lines at most.
    pub limit: usize,
    /// Log queries: from which end.
    pub direction: Direction,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, nanoseconds.
    pub time_ns: i64,
    /// The line.
    pub line: Box<str>,
}

/// Lines that have all their labels in common, in the order asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// All labels: of the stream, of the structured metadata, and those made by stages.
    pub labels: Labels,
    /// The stream's own.
    pub stream: Labels,
    /// Structured metadata.
    pub structured_metadata: Labels,
    /// Made by stages.
    pub parsed: Labels,
    /// The lines.
    pub entries: Vec<Entry>,
}

/// A series of points `(nanoseconds, value)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    /// Labels.
    pub labels: Labels,
    /// Points, oldest first.
    pub points: Vec<(i64, f64)>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryResult {
    /// Lines; within a stream in the order asked for.
    Streams(Vec<Stream>, Direction),
    /// One point per series, in the order of the answer.
    Vector(Vec<(Labels, i64, f64)>),
    /// Series.
    Matrix(Vec<Points>),
    /// One number.
    Scalar(i64, f64),
}

/// Evaluates a metric query at one time.
pub fn instant(context: Context<'_>, query: &str, time_ns: i64) -> Result<QueryResult> {
    let expr = match logql::parse(query)? {
        Expr::Metric(m) => m,
        Expr::Log(_) => {
            return Err(Error::invalid(
                "log queries are not supported as an instant query type, please change your query to a range query type",
            ));
        }
    };
    let budget = context.budget();
    match eval::evaluate(context.source(&budget), &expr, Steps::instant(time_ns))? {
        Value::Scalar(v) => Ok(QueryResult::Scalar(time_ns, v)),
        Value::Series(mut series) => {
            check_series(series.len(), context.settings)?;
            if !is_ordered(&expr) {
                sort_by_labels(&mut series, |s| &s.labels);
            }
            Ok(QueryResult::Vector(series.into_iter().filter_map(|s| Some((s.labels, time_ns, s.points.first()?.1))).collect()))
        }
    }
}

/// Evaluates a query over a range: a metric query at each step, a log query for its lines.
pub fn range(context: Context<'_>, q: &RangeQuery<'_>) -> Result<QueryResult> {
    let budget = context.budget();
    let source = context.source(&budget);
    match logql::parse(q.query)? {
        Expr::Log(log) => {
            if q.limit > context.settings.max_entries {
                return Err(Error::invalid(format!(
                    "max entries limit per query exceeded, limit > max_entries_limit_per_query ({} > {})",
                    q.limit, context.settings.max_entries
                )));
            }
            let range = TimeRange { start: q.start_ns, end: q.end_ns };
            let request = LogRequest { range, limit: q.limit, direction: q.direction, interval_ns: q.interval_ns };
            let found = eval::select(source, &log, &request)?;
            Ok(QueryResult::Streams(streams(found), q.direction))
        }
        Expr::Metric(expr) => {
            if has_approximation(&expr) {
                return Err(Error::invalid("approx_topk is only supported on instant queries"));
            }
            let steps = Steps::range(q.start_ns, q.end_ns, q.step_ns)?;
            let mut series = match eval::evaluate(source, &expr, steps)? {
                Value::Series(s) => s,
                Value::Scalar(v) => vec![eval::Series { labels: Labels::empty(), points: (0..steps.count()).map(|k| (k, v)).collect() }],
            };
            check_series(series.len(), context.settings)?;
            sort_by_labels(&mut series, |s| &s.labels);
            let points =
                |s: eval::Series| Points { labels: s.labels, points: s.points.into_iter().map(|(k, v)| (steps.time(k), v)).collect() };
            Ok(QueryResult::Matrix(series.into_iter().map(points).collect()))
        }
    }
}

fn has_approximation(expr: &MetricExpr) -> bool {
    match expr {
        MetricExpr::Aggregate(a) => a.op == AggregateOp::ApproxTopk || has_approximation(&a.inner),
        MetricExpr::Binary(b) => has_approximation(&b.left) || has_approximation(&b.right),
        MetricExpr::LabelReplace(l) => has_approximation(&l.inner),
        MetricExpr::Literal(_) | MetricExpr::Vector(_) | MetricExpr::Range(_) => false,
    }
}

/// Whether the order of the series is part of an instant's answer.
fn is_ordered(expr: &MetricExpr) -> bool {
    use AggregateOp::*;
    match expr {
        MetricExpr::Aggregate(a) => matches!(a.op, Sort | SortDesc | Topk | Bottomk | ApproxTopk),
        // A number leaves the series as they are.
        MetricExpr::Binary(b) => {
            matches!(b.right, MetricExpr::Literal(_)) && is_ordered(&b.left)
                || matches!(b.left, MetricExpr::Literal(_)) && is_ordered(&b.right)
        }
        _ => false,
    }
}

fn check_series(found: usize, settings: &Settings) -> Result<()> {
    if found <= settings.max_series {
        return Ok(());
    }
    let what = format!("maximum number of series ({}) reached for a single query", settings.max_series);
    Err(Error::invalid(base::limits::beyond(
        &what,
        "queries.series",
        settings.max_series,
        "Add more specific stream selectors, ask for a shorter time, or aggregate with functions like sum(), count() or topk()",
    )))
}

pub(crate) fn streams(found: eval::Lines) -> Vec<Stream> {
    let empty = |l: eval::LineLabels| Stream {
        labels: l.all,
        stream: l.stream,
        structured_metadata: l.metadata,
        parsed: l.parsed,
        entries: vec![],
    };
    let mut out: Vec<Stream> = found.labels.into_iter().map(empty).collect();
    for l in found.lines {
        if let Some(s) = out.get_mut(l.labels as usize) {
            s.entries.push(Entry { time_ns: l.time_ns, line: l.line });
        }
    }
    out.retain(|s| !s.entries.is_empty());
    // The original compares them as it writes them.
    out.sort_by_cached_key(|s| s.labels.to_string());
    out
}

/// Label sets of the streams that match one of the selectors (all streams if there is none), each once, in label order.
pub fn series(context: Context<'_>, selectors: &[&str], start_ns: i64, end_ns: i64) -> Result<Vec<Labels>> {
    let mut all = logql::parse_selectors(selectors)?;
    if all.is_empty() {
        all.push(vec![]);
    }
    let mut out = BTreeSet::new();
    for matchers in all {
        let range = TimeRange { start: start_ns, end: end_ns };
        let mut request = ScanRequest::new(&SPEC, context.tenant.clone(), matchers, range);
        request.columns.clear();
        request.cancel = context.cancel.clone();
        out.extend(context.rows.series(&request)?);
    }
    let mut out: Vec<Labels> = out.into_iter().collect();
    sort_by_labels(&mut out, |l| l);
    Ok(out)
}

/// Names of the labels of the streams that match a selector (all streams if it is empty), in order.
pub fn labels(context: Context<'_>, selector: &str, start_ns: i64, end_ns: i64) -> Result<Vec<String>> {
    let all = series(context, &[selector], start_ns, end_ns)?;
    let names: BTreeSet<&str> = all.iter().flat_map(|l| l.iter().map(|(n, _)| n)).collect();
    Ok(names.into_iter().map(str::to_string).collect())
}

/// Values of the label `name` on the streams that match a selector (all streams if it is empty), in order.
pub fn label_values(context: Context<'_>, name: &str, selector: &str, start_ns: i64, end_ns: i64) -> Result<Vec<String>> {
    let all = series(context, &[selector], start_ns, end_ns)?;
    let values: BTreeSet<&str> = all.iter().filter_map(|l| l.get(name)).collect();
    Ok(values.into_iter().map(str::to_string).collect())
}
