//! `count_values`: how many series of each group have which value.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use base::{Error, Labels, Result};

use crate::eval::Evaluator;
use crate::eval::aggregate::groups;
use crate::eval::value::{Column, Grid, Sample, Series, with_labels};
use crate::promql::plan::{AggregatePlan, Plan};

impl Evaluator<'_> {
    pub(super) fn count_values(&self, a: &AggregatePlan, grid: &Grid) -> Result<Vec<Series>> {
        let Some(Plan::Text(label)) = &a.param else {
            return Err(Error::internal("count_values without a label"));
        };
        let series = self.vector(&a.input, grid)?;
        let mut out: BTreeMap<Labels, (bool, Vec<u32>)> = BTreeMap::new();
        for g in groups(a, &series) {
            for &m in &g.members {
                self.check()?;
                for i in 0..grid.n {
                    let text = match series[m].column.get(i) {
                        Some(Sample::Float(v)) => lang::number::format(v),
                        Some(Sample::Histogram(h)) => h.to_string(),
                        None => continue,
                    };
                    let labels = with_labels(&g.labels, &[(label, &text)]);
                    let counts = match out.entry(labels) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => {
                            self.budget.column(grid.n)?;
                            self.budget.labels(new.key())?;
                            new.insert((g.drop_name && label != base::labels::METRIC_NAME, vec![0; grid.n]))
                        }
                    };
                    counts.1[i] += 1;
                }
            }
        }
        let floats = |n: Vec<u32>| n.into_iter().map(|k| if k == 0 { crate::eval::value::ABSENT } else { f64::from(k) }).collect();
        Ok(out.into_iter().map(|(labels, (drop_name, n))| Series { labels, drop_name, column: Column::of(floats(n)) }).collect())
    }
}
