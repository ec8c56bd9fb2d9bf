//! Figures of native histograms: count, sum, mean, spread.

use base::Result;

use crate::eval::Evaluator;
use crate::eval::value::{ABSENT, Column, Grid, Series};
use crate::histogram::Histogram;
use crate::promql::function::Func;
use crate::promql::plan::CallPlan;

fn figure(f: Func, h: &Histogram) -> f64 {
    match f {
        Func::HistogramCount => h.count,
        Func::HistogramSum => h.sum,
        Func::HistogramAvg => h.sum / h.count,
        Func::HistogramStdvar => h.variance(),
        _ => h.variance().sqrt(),
    }
}

impl Evaluator<'_> {
    /// A figure of each histogram; floats are passed over.
    pub(super) fn native_figure(&self, c: &CallPlan, grid: &Grid) -> Result<Vec<Series>> {
        let series = self.vector(&c.args[0], grid)?;
        let mut out = vec![];
        for s in series.iter().filter(|s| s.column.histograms.is_some()) {
            self.check()?;
            let floats = (0..grid.n).map(|i| s.column.histogram(i).map_or(ABSENT, |h| figure(c.func, h))).collect();
            let column = Column::of(floats);
            if !column.is_empty() {
                out.push(s.derived(column));
            }
        }
        Ok(out)
    }
}
