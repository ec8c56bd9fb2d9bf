//! `absent`, `absent_over_time`, `scalar`, `vector`, `time`.

use base::labels::METRIC_NAME;
use base::{Labels, LabelsBuilder, MatchOp, Matcher, Result};

use crate::eval::Evaluator;
use crate::eval::value::{ABSENT, Column, Grid, Series};
use crate::promql::plan::{Plan, RangeSource};

/// The labels a missing series would have had: those that the selector fixes.
fn fixed_labels(matchers: &[Matcher]) -> Labels {
    let mut b = LabelsBuilder::default();
    for m in matchers {
        let alone = matchers.iter().filter(|o| o.name == m.name).count() == 1;
        if m.op == MatchOp::Eq && m.name != METRIC_NAME && alone {
            b.push(&m.name, &m.value);
        }
    }
    b.finish().unwrap_or_default()
}

fn labels_of(plan: &Plan) -> Labels {
    match plan {
        Plan::Invariant(p) => labels_of(p),
        Plan::Select(s) => fixed_labels(&s.matchers),
        Plan::Range(r) => match &r.source {
            RangeSource::Select(s) => fixed_labels(&s.matchers),
            RangeSource::Subquery { .. } => Labels::empty(),
        },
        _ => Labels::empty(),
    }
}

/// A series of ones where none of `series` has a value.
fn where_none(series: &[Series], labels: Labels, n: usize) -> Vec<Series> {
    let floats: Vec<f64> = (0..n).map(|i| if series.iter().any(|s| s.column.has(i)) { ABSENT } else { 1.0 }).collect();
    let column = Column::of(floats);
    if column.is_empty() { vec![] } else { vec![Series::new(labels, column)] }
}

impl Evaluator<'_> {
    /// `absent(v)`.
    pub(super) fn absent(&self, arg: &Plan, grid: &Grid) -> Result<Vec<Series>> {
        Ok(where_none(&self.vector(arg, grid)?, labels_of(arg), grid.n))
    }

    /// `absent_over_time(v[5m])`.
    pub(super) fn absent_over_time(&self, arg: &Plan, grid: &Grid) -> Result<Vec<Series>> {
        let Plan::Range(r) = arg else { return Ok(vec![]) };
        let there = self.windows(r, grid, &mut |_, _, w| (w.len() > 0).then_some(crate::eval::value::Sample::Float(1.0)))?;
        Ok(where_none(&there, labels_of(arg), grid.n))
    }

    /// `scalar(v)`: the value of a vector of one float, else NaN.
    pub(super) fn to_scalar(&self, arg: &Plan, grid: &Grid) -> Result<Vec<f64>> {
        let v = self.vector(arg, grid)?;
        Ok((0..grid.n)
            .map(|i| {
                let mut floats = v.iter().map(|s| s.column.floats[i]).filter(|x| crate::eval::value::is_present(*x));
                match (floats.next(), floats.next()) {
                    (Some(x), None) => x,
                    _ => f64::NAN,
                }
            })
            .collect())
    }
}
