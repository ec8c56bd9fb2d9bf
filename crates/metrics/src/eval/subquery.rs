//! Subqueries: an expression evaluated on a grid of its own gives the samples of range vectors. The grid lies on the
//! multiples of its step, so that neighbouring queries see the same samples.

use std::sync::Arc;

use base::{Error, Kind, Result};

use crate::eval::Evaluator;
use crate::eval::fetch::Held;
use crate::eval::value::{Grid, Sample};
use crate::histogram::{Histogram, ResetHint};
use crate::limits;
use crate::promql::plan::Plan;

impl Evaluator<'_> {
    /// Samples of `plan` for windows of `width` that end in `first_end..=last_end`.
    pub(super) fn subquery(&self, plan: &Plan, step: Option<i64>, first_end: i64, last_end: i64, width: i64) -> Result<Vec<Held>> {
        let step = step.unwrap_or(self.options.subquery_step_ms).max(1);
        let start = ((first_end - width).div_euclid(step) + 1) * step;
        if start > last_end {
            return Ok(vec![]);
        }
        let steps = (last_end - start) / step + 1;
        if steps > limits::SUBQUERY_STEPS {
            return Err(Error::new(
                Kind::Unprocessable,
                format!("a subquery would have {steps} steps; at most {} are evaluated", limits::SUBQUERY_STEPS),
            ));
        }
        let grid = Grid { start, step, n: steps as usize };
        // What its windows look at is counted, not what their samples were made of.
        let series = self.budget.times(0, || self.vector(plan, &grid))?;
        let mut out = Vec::with_capacity(series.len());
        for s in series {
            let mut held = Held { labels: s.labels, drop_name: s.drop_name, ..Held::default() };
            for i in 0..grid.n {
                match s.column.get(i) {
                    Some(Sample::Float(v)) => held.push(grid.at(i), v, None, 0),
                    Some(Sample::Histogram(h)) => held.push(grid.at(i), 0.0, Some(without_hint(h)), 0),
                    None => {}
                }
            }
            self.budget.take(held.times.len())?;
            out.push(held);
        }
        Ok(out)
    }
}

/// A hint tells about the sample before in the store, which is not the sample at the step before.
fn without_hint(h: Arc<Histogram>) -> Arc<Histogram> {
    match h.hint {
        ResetHint::Unknown | ResetHint::Gauge => h,
        ResetHint::Reset | ResetHint::NotReset => Arc::new(Histogram { hint: ResetHint::Unknown, ..(*h).clone() }),
    }
}
