//! `topk` and `bottomk`: of each group the series with the largest or smallest values, step by step.

use std::cmp::Ordering;

use base::Result;

use crate::eval::Evaluator;
use crate::eval::aggregate::{Group, whole_parameter};
use crate::eval::value::{Column, Grid, Series, is_present};
use crate::promql::ast::AggregateOp;
use crate::promql::plan::AggregatePlan;

/// Order in which values are kept: the wanted end first, NaN last, then the order of the series.
fn order(top: bool) -> impl Fn(&(f64, usize), &(f64, usize)) -> Ordering {
    move |a, b| {
        let values = if top { b.0.partial_cmp(&a.0) } else { a.0.partial_cmp(&b.0) };
        values.unwrap_or_else(|| a.0.is_nan().cmp(&b.0.is_nan())).then(a.1.cmp(&b.1))
    }
}

impl Evaluator<'_> {
    pub(super) fn rank(&self, a: &AggregatePlan, param: &[f64], series: Vec<Series>, groups: &[Group], grid: &Grid) -> Result<Vec<Series>> {
        let ks = param.iter().map(|v| whole_parameter(*v, a.op.text())).collect::<Result<Vec<i64>>>()?;
        if ks.iter().any(|k| *k > 0) && series.iter().any(|s| s.column.histograms.is_some()) {
            self.notes.ignored_in_aggregation(a.op.text(), a.span);
        }
        let order = order(a.op == AggregateOp::Topk);
        let mut kept: Vec<Option<Column>> = vec![None; series.len()];
        // The order of an instant query's answer.
        let mut shown = vec![];
        let mut here: Vec<(f64, usize)> = vec![];
        for g in groups {
            self.check()?;
            for (i, &k) in ks.iter().enumerate() {
                let Some(k) = usize::try_from(k).ok().filter(|k| *k > 0) else { continue };
                here.clear();
                here.extend(g.members.iter().map(|&s| (series[s].column.floats[i], s)).filter(|(v, _)| is_present(*v)));
                if here.len() > k {
                    here.select_nth_unstable_by(k - 1, &order);
                    here.truncate(k);
                }
                if grid.n == 1 {
                    here.sort_by(&order);
                    shown.extend(here.iter().map(|(_, s)| *s));
                }
                for &(v, s) in &here {
                    kept[s].get_or_insert_with(|| Column::absent(grid.n)).floats[i] = v;
                }
            }
        }
        if grid.n > 1 {
            shown = (0..series.len()).collect();
        }
        let mut out = vec![];
        for s in shown {
            if let Some(column) = kept[s].take() {
                out.push(Series { labels: series[s].labels.clone(), drop_name: series[s].drop_name, column });
            }
        }
        Ok(out)
    }
}
