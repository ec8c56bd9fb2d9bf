//! Aggregations: series are put into groups once, then each group is calculated over all steps.

use std::collections::HashMap;

use base::labels::METRIC_NAME;
use base::{Error, Kind, Labels, Result};

use crate::eval::over_time::{mean, quantile, variance};
use crate::eval::value::{ABSENT, Column, Grid, NAMING, Series, is_present, keep_labels};
use crate::eval::{Evaluator, kahan};
use crate::promql::ast::AggregateOp;
use crate::promql::plan::AggregatePlan;

/// Series that are aggregated together.
pub struct Group {
    /// Labels of the result.
    pub labels: Labels,
    /// Whether the name among them, if any, no longer holds.
    pub drop_name: bool,
    /// Positions of its series.
    pub members: Vec<usize>,
}

/// Puts series into groups, in the order in which the groups first occur.
pub fn groups(a: &AggregatePlan, series: &[Series]) -> Vec<Group> {
    let mut index: HashMap<Labels, usize> = HashMap::new();
    let mut out: Vec<Group> = vec![];
    for (i, s) in series.iter().enumerate() {
        let named = |n: &str| a.labels.iter().any(|l| l == n);
        let labels = match (a.without, a.labels.is_empty()) {
            (false, true) => Labels::empty(),
            (false, false) => keep_labels(&s.labels, named),
            (true, _) => keep_labels(&s.labels, |n| !NAMING.contains(&n) && !named(n)),
        };
        let g = *index.entry(labels.clone()).or_insert_with(|| {
            out.push(Group { labels, drop_name: false, members: vec![] });
            out.len() - 1
        });
        out[g].members.push(i);
        out[g].drop_name |= s.drop_name;
    }
    out
}

impl Evaluator<'_> {
    /// The value of an aggregation.
    pub(super) fn aggregate(&self, a: &AggregatePlan, grid: &Grid) -> Result<Vec<Series>> {
        use AggregateOp as A;
        if a.op == A::CountValues {
            return self.count_values(a, grid);
        }
        let param = a.param.as_ref().map(|p| self.scalar(p, grid)).transpose()?.unwrap_or_default();
        let series = self.vector(&a.input, grid)?;
        let groups = groups(a, &series);
        match a.op {
            A::Topk | A::Bottomk => return self.rank(a, &param, series, &groups, grid),
            A::Limitk | A::LimitRatio => return self.limit(a, &param, series, &groups, grid),
            _ => {}
        }
        if a.op == A::Quantile {
            for q in param.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
                self.notes.warn(&format!("quantile value should be between 0 and 1, got {}", lang::number::general(*q)), a.param_span);
            }
        }
        let mut out = Vec::with_capacity(groups.len());
        for g in groups {
            self.check()?;
            let members: Vec<&Column> = g.members.iter().map(|&i| &series[i].column).collect();
            let column = if members.iter().any(|c| c.histograms.is_some()) {
                let members: Vec<&Series> = g.members.iter().map(|&i| &series[i]).collect();
                self.aggregate_histograms(a, &members, &param, grid)
            } else {
                floats(a.op, &members, &param, grid.n)
            };
            if !column.is_empty() {
                let drop_name = g.drop_name && g.labels.get(METRIC_NAME).is_some();
                out.push(Series { labels: g.labels, drop_name, column });
            }
        }
        self.budget.columns(&out)?;
        Ok(out)
    }
}

/// An aggregation of float columns.
pub fn floats(op: AggregateOp, members: &[&Column], param: &[f64], n: usize) -> Column {
    use AggregateOp as A;
    Column::of(match op {
        A::Sum => sums(members, n).map(|_, s, r, _| if s.is_infinite() { s } else { s + r }),
        A::Avg => averages(members, n),
        A::Min => fold(members, n, |best, v| if v < best || best.is_nan() { v } else { best }),
        A::Max => fold(members, n, |best, v| if v > best || best.is_nan() { v } else { best }),
        A::Group => fold(members, n, |_, _| 1.0).into_iter().map(|v| if is_present(v) { 1.0 } else { v }).collect(),
        A::Count => counts(members, n),
        A::Stddev => by_step(members, n, |_, v| variance(v).sqrt()),
        A::Stdvar => by_step(members, n, |_, v| variance(v)),
        A::Quantile => by_step(members, n, |i, v| quantile(param[i], v)),
        A::Topk | A::Bottomk | A::CountValues | A::Limitk | A::LimitRatio => vec![ABSENT; n],
    })
}

/// For each step the sum, its rounding error, and the number of values; each in a column of its own, so that steps are added several at
/// a time.
struct Sums {
    sums: Vec<f64>,
    rests: Vec<f64>,
    counts: Vec<u64>,
}

fn sums(members: &[&Column], n: usize) -> Sums {
    let mut all = Sums { sums: vec![0.0; n], rests: vec![0.0; n], counts: vec![0; n] };
    let mut whole = 0;
    for m in members {
        // Looked at once more, which is cheap, so that nearly all columns are added without a look at each value.
        if m.floats.iter().fold(true, |finite, v| finite & v.is_finite()) {
            all.add_finite(&m.floats);
            whole += 1;
        } else {
            all.add(&m.floats);
        }
    }
    all.counts.iter_mut().for_each(|count| *count += whole);
    all
}

impl Sums {
    fn add(&mut self, values: &[f64]) {
        let columns = self.sums.iter_mut().zip(&mut self.rests).zip(&mut self.counts);
        for (((sum, rest), count), &v) in columns.zip(values) {
            let (s, r) = kahan(v, *sum, *rest);
            let there = is_present(v);
            *sum = if there { s } else { *sum };
            *rest = if there { r } else { *rest };
            *count += u64::from(there);
        }
    }

    /// The same of finite values, but for the counts. The rounding error is the same one, exactly, as [`kahan`] finds, without a comparison;
    /// where a sum is not finite it is of no use, nor is it used.
    fn add_finite(&mut self, values: &[f64]) {
        for ((sum, rest), &v) in self.sums.iter_mut().zip(&mut self.rests).zip(values) {
            let s = *sum + v;
            let added = s - *sum;
            *rest += (*sum - (s - added)) + (v - added);
            *sum = s;
        }
    }

    /// What `value` makes of the sum, its error and the number of values at each step; nothing where there is none.
    fn map(self, value: impl Fn(usize, f64, f64, f64) -> f64) -> Vec<f64> {
        let all = self.sums.into_iter().zip(self.rests).zip(self.counts);
        all.enumerate().map(|(i, ((s, r), k))| if k == 0 { ABSENT } else { value(i, s, r, k as f64) }).collect()
    }
}

fn averages(members: &[&Column], n: usize) -> Vec<f64> {
    sums(members, n).map(|i, s, r, k| {
        if s.is_finite() {
            return s / k + r / k;
        }
        // The sum overflowed, or there are infinities: the slow way knows.
        let v: Vec<f64> = members.iter().map(|m| m.floats[i]).filter(|v| is_present(*v)).collect();
        mean(&v)
    })
}

fn fold(members: &[&Column], n: usize, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let mut out = vec![ABSENT; n];
    for m in members {
        for (o, &v) in out.iter_mut().zip(&m.floats) {
            if is_present(v) {
                *o = if is_present(*o) { f(*o, v) } else { v };
            }
        }
    }
    out
}

fn counts(members: &[&Column], n: usize) -> Vec<f64> {
    let mut out = vec![0u32; n];
    for m in members {
        out.iter_mut().zip(&m.floats).for_each(|(o, v)| *o += u32::from(is_present(*v)));
    }
    out.into_iter().map(|k| if k == 0 { ABSENT } else { f64::from(k) }).collect()
}

fn by_step(members: &[&Column], n: usize, mut f: impl FnMut(usize, &mut [f64]) -> f64) -> Vec<f64> {
    let mut here = Vec::with_capacity(members.len());
    (0..n)
        .map(|i| {
            here.clear();
            here.extend(members.iter().map(|m| m.floats[i]).filter(|v| is_present(*v)));
            if here.is_empty() { ABSENT } else { f(i, &mut here) }
        })
        .collect()
}

/// A whole number from a parameter, as `topk` and its kin take it.
pub fn whole_parameter(v: f64, what: &str) -> Result<i64> {
    if v.is_nan() {
        return Err(Error::new(Kind::Unprocessable, format!("Parameter value is NaN for {what}")));
    }
    // 2^63 is the first float that does not fit.
    if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&v) {
        return Err(Error::new(Kind::Unprocessable, format!("Scalar value {v} overflows int64")));
    }
    Ok(v as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = f64> {
        let wide = any::<f64>();
        prop_oneof![4 => -1e6..1e6f64, 2 => (-30..30i32, -1.0..1.0f64).prop_map(|(e, v)| v * 10f64.powi(e)), 1 => Just(0.1), 1 => wide]
    }

    proptest! {
        #[test]
        fn sums_of_finite_columns_are_those_of_any(columns in prop::collection::vec(prop::collection::vec(value(), 5), 1..12)) {
            let columns: Vec<Column> = columns.into_iter().map(Column::of).collect();
            let members: Vec<&Column> = columns.iter().collect();
            let mut slow = Sums { sums: vec![0.0; 5], rests: vec![0.0; 5], counts: vec![0; 5] };
            columns.iter().for_each(|c| slow.add(&c.floats));
            let value = |_: usize, s: f64, r: f64, k: f64| if s.is_infinite() { s } else { (s + r) / k };
            let bits = |s: Sums| s.map(value).iter().map(|v| if v.is_nan() { 0 } else { v.to_bits() }).collect::<Vec<_>>();
            prop_assert_eq!(bits(sums(&members, 5)), bits(slow));
        }
    }
}
