//! `limitk` and `limit_ratio`: some of each group's series, chosen without looking at their values.

use base::Result;

use crate::eval::Evaluator;
use crate::eval::aggregate::{Group, whole_parameter};
use crate::eval::value::{Column, Grid, Series};
use crate::promql::ast::AggregateOp;
use crate::promql::plan::AggregatePlan;

/// A number in 0..1 that depends on the labels alone, so that a ratio and its complement split a vector in two.
fn place_of(s: &Series) -> f64 {
    (s.labels.hash() >> 64) as u64 as f64 / 18_446_744_073_709_551_616.0
}

fn is_within(ratio: f64, place: f64) -> bool {
    if ratio >= 0.0 { place < ratio } else { place >= 1.0 + ratio }
}

impl Evaluator<'_> {
    pub(super) fn limit(
        &self,
        a: &AggregatePlan,
        param: &[f64],
        series: Vec<Series>,
        groups: &[Group],
        grid: &Grid,
    ) -> Result<Vec<Series>> {
        let mut kept: Vec<Column> = series.iter().map(|_| Column::absent(grid.n)).collect();
        for (i, &p) in param.iter().enumerate() {
            let mut keep = |s: usize| {
                if let Some(v) = series[s].column.get(i) {
                    kept[s].set(i, v);
                }
            };
            if a.op == AggregateOp::Limitk {
                let k = usize::try_from(whole_parameter(p, a.op.text())?).unwrap_or(0);
                for g in groups {
                    g.members.iter().copied().filter(|&s| series[s].column.has(i)).take(k).for_each(&mut keep);
                }
                continue;
            }
            if p.is_nan() {
                whole_parameter(p, a.op.text())?;
            }
            if !(-1.0..=1.0).contains(&p) {
                let text = format!("ratio value should be between -1 and 1, got {}, capping to {}", lang::number::general(p), p.signum());
                self.notes.warn(&text, a.param_span);
            }
            let ratio = p.clamp(-1.0, 1.0);
            (0..series.len()).filter(|&s| is_within(ratio, place_of(&series[s]))).for_each(&mut keep);
        }
        let out = series.into_iter().zip(kept).filter(|(_, c)| !c.is_empty());
        Ok(out.map(|(s, column)| Series { column, ..s }).collect())
    }
}
