//! `sum by (a) (..)` and its kin: series into fewer series, step by step.

use std::cmp::Ordering;

use base::Result;
use base::label_order::compare;

use super::Series;
use super::budget::{self, Budget, ENTRY_BYTES, POINT_BYTES};
use super::keys::{Key, Keys};
use crate::logql::ast::{Aggregate, AggregateOp};

/// Applies an aggregation that groups by `key`.
pub fn apply(a: &Aggregate, key: &Key, series: Vec<Series>, steps: u32, budget: &Budget) -> Result<Vec<Series>> {
    let before = budget::weight(&series);
    let made = match a.op {
        AggregateOp::Sort | AggregateOp::SortDesc => return Ok(sort(series, a.op == AggregateOp::SortDesc, steps)),
        AggregateOp::Topk | AggregateOp::ApproxTopk => top(series, key, a.parameter.unwrap_or(1), true, steps, budget)?,
        AggregateOp::Bottomk => top(series, key, a.parameter.unwrap_or(1), false, steps, budget)?,
        _ => fold(a.op, key, &series, steps, budget)?,
    };
    budget.give(before);
    Ok(made)
}

/// The series by number in groups of one key, and the keys.
fn groups<'b>(series: &[Series], key: &Key, budget: &'b Budget) -> Result<(Vec<Vec<u32>>, Keys<'b>)> {
    let mut keys = Keys::new(budget);
    let mut groups: Vec<Vec<u32>> = vec![];
    for (i, s) in series.iter().enumerate() {
        budget.watch(s.labels.as_bytes().len())?;
        let (n, new) = keys.number_of(&key.of_labels(&s.labels))?;
        if new {
            groups.push(vec![]);
        }
        groups[n as usize].push(i as u32);
    }
    Ok((groups, keys))
}

#[derive(Clone, Copy, Default)]
struct State {
    count: f64,
    sum: f64,
    extreme: f64,
    mean: f64,
    m2: f64,
}

impl State {
    fn add(&mut self, op: AggregateOp, v: f64) {
        self.count += 1.0;
        self.sum += v;
        let is_first = self.count == 1.0;
        let better = match op {
            AggregateOp::Min => v < self.extreme,
            _ => v > self.extreme,
        };
        if is_first || better || self.extreme.is_nan() {
            self.extreme = v;
        }
        let delta = v - self.mean;
        self.mean += delta / self.count;
        self.m2 += delta * (v - self.mean);
    }
    fn value(&self, op: AggregateOp) -> f64 {
        match op {
            AggregateOp::Sum => self.sum,
            AggregateOp::Avg => self.sum / self.count,
            AggregateOp::Count => self.count,
            AggregateOp::Stdvar => self.m2 / self.count,
            AggregateOp::Stddev => (self.m2 / self.count).sqrt(),
            _ => self.extreme,
        }
    }
}

/// One group after the other, so that what a step's value takes while it is calculated is taken once.
fn fold(op: AggregateOp, key: &Key, series: &[Series], steps: u32, budget: &Budget) -> Result<Vec<Series>> {
    let (groups, keys) = groups(series, key, budget)?;
    let bytes = steps as usize * size_of::<State>();
    budget.take(bytes)?;
    let mut states = vec![State::default(); steps as usize];
    let mut out = Vec::with_capacity(groups.len());
    for (members, labels) in groups.iter().zip(keys.labels()) {
        states.fill(State::default());
        for s in members.iter().map(|&i| &series[i as usize]) {
            budget.watch(s.points.len())?;
            s.points.iter().for_each(|&(k, v)| states[k as usize].add(op, v));
        }
        budget.watch(states.len())?;
        let there = states.iter().enumerate().filter(|(_, s)| s.count > 0.0);
        let made = [Series { labels: labels.clone(), points: there.map(|(k, s)| (k as u32, s.value(op))).collect() }];
        budget.take(budget::weight(&made))?;
        out.extend(made);
    }
    budget.give(bytes);
    keys.give_back();
    Ok(out)
}

/// Order by value; NaN comes last in either direction, equal values by labels.
fn by_value(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) if descending => b.total_cmp(&a),
        (false, false) => a.total_cmp(&b),
        (x, y) => x.cmp(&y),
    }
}

/// Only an instant has an order of series.
fn sort(mut series: Vec<Series>, descending: bool, steps: u32) -> Vec<Series> {
    if steps == 1 {
        let value = |s: &Series| s.points.first().map_or(f64::NAN, |p| p.1);
        series.sort_by(|a, b| by_value(value(a), value(b), descending).then_with(|| compare(&a.labels, &b.labels)));
    }
    series
}

fn top(mut series: Vec<Series>, key: &Key, k: usize, largest: bool, steps: u32, budget: &Budget) -> Result<Vec<Series>> {
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let (groups, keys) = groups(&series, key, budget)?;
    keys.give_back();
    let mut kept: Vec<Vec<(u32, f64)>> = vec![vec![]; series.len()];
    for members in &groups {
        let members = members.iter().map(|&i| i as usize);
        let points: usize = members.clone().map(|i| series[i].points.len()).sum();
        let bytes = steps as usize * size_of::<Vec<(usize, f64)>>() + points * POINT_BYTES;
        budget.take(bytes)?;
        let mut at_step: Vec<Vec<(usize, f64)>> = vec![vec![]; steps as usize];
        for i in members {
            budget.watch(series[i].points.len())?;
            series[i].points.iter().for_each(|&(step, v)| at_step[step as usize].push((i, v)));
        }
        for (step, mut values) in at_step.into_iter().enumerate() {
            budget.watch(1 + 16 * values.len())?;
            values.sort_by(|a, b| by_value(a.1, b.1, largest));
            values.truncate(k);
            budget.take(values.len() * POINT_BYTES)?;
            values.into_iter().for_each(|(i, v)| kept[i].push((step as u32, v)));
        }
        budget.give(bytes);
    }
    let mut out = vec![];
    for (s, points) in series.into_iter().zip(kept).filter(|(_, p)| !p.is_empty()) {
        budget.take(ENTRY_BYTES + s.labels.as_bytes().len())?;
        out.push(Series { labels: s.labels, points });
    }
    Ok(sort(out, largest, steps))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Labels;
    use table::Cancel;

    fn series(rows: &[(&str, &str, &[f64])]) -> Vec<Series> {
        let one = |(a, b, v): &(&str, &str, &[f64])| Series {
            labels: Labels::from_pairs([("a", *a), ("b", *b)]).unwrap(),
            points: v.iter().enumerate().map(|(k, v)| (k as u32, *v)).collect(),
        };
        rows.iter().map(one).collect()
    }

    fn run(op: AggregateOp, parameter: Option<usize>, key: Key, rows: &[(&str, &str, &[f64])], steps: u32) -> Vec<String> {
        let inner = Box::new(crate::logql::ast::MetricExpr::Literal(0.0));
        let a = Aggregate { op, parameter, inner, grouping: None };
        let shown = |s: &Series| format!("{} {:?}", s.labels, s.points.iter().map(|p| p.1).collect::<Vec<_>>());
        let budget = Budget::new(1 << 20, Cancel::default());
        let series = series(rows);
        budget.take(budget::weight(&series)).unwrap();
        let made = apply(&a, &key, series, steps, &budget).unwrap();
        budget.give(budget::weight(&made));
        assert!(budget.take(1 << 20).is_ok() && budget.take(1).is_err(), "what is counted is what there is");
        made.iter().map(shown).collect()
    }

    #[test]
    fn groups_are_folded_step_by_step() {
        let rows: &[(&str, &str, &[f64])] = &[("x", "1", &[1.0, 2.0]), ("x", "2", &[3.0]), ("y", "1", &[5.0, 7.0])];
        let by_a = || Key::By(vec!["a".into()]);
        assert_eq!(run(AggregateOp::Sum, None, by_a(), rows, 2), [r#"{a="x"} [4.0, 2.0]"#, r#"{a="y"} [5.0, 7.0]"#]);
        assert_eq!(run(AggregateOp::Avg, None, Key::By(vec![]), rows, 2), ["{} [3.0, 4.5]"]);
        assert_eq!(run(AggregateOp::Max, None, Key::Without(vec!["a".into()]), rows, 2), [r#"{b="1"} [5.0, 7.0]"#, r#"{b="2"} [3.0]"#]);
        assert_eq!(run(AggregateOp::Stddev, None, by_a(), &rows[..2], 2), [r#"{a="x"} [1.0, 0.0]"#]);
        assert_eq!(run(AggregateOp::Min, None, by_a(), &[("x", "1", &[f64::NAN]), ("x", "2", &[2.0])], 1), [r#"{a="x"} [2.0]"#]);
    }

    #[test]
    fn the_greatest_are_chosen_at_each_step_and_nan_is_never_great() {
        let rows: &[(&str, &str, &[f64])] = &[("x", "1", &[1.0, 9.0]), ("x", "2", &[3.0, 2.0]), ("y", "1", &[f64::NAN, f64::NAN])];
        assert_eq!(run(AggregateOp::Topk, Some(1), Key::By(vec![]), rows, 2), [r#"{a="x", b="1"} [9.0]"#, r#"{a="x", b="2"} [3.0]"#]);
        assert_eq!(
            run(AggregateOp::Bottomk, Some(1), Key::By(vec!["a".into()]), rows, 2),
            [r#"{a="x", b="1"} [1.0]"#, r#"{a="x", b="2"} [2.0]"#, r#"{a="y", b="1"} [NaN, NaN]"#]
        );
        assert_eq!(
            run(AggregateOp::SortDesc, None, Key::By(vec![]), &[("x", "1", &[1.0]), ("y", "1", &[f64::NAN]), ("z", "1", &[3.0])], 1),
            [r#"{a="z", b="1"} [3.0]"#, r#"{a="x", b="1"} [1.0]"#, r#"{a="y", b="1"} [NaN]"#]
        );
    }

    /// A few samples each, at their own steps: what is taken while they are put together does not grow with groups times steps.
    #[test]
    fn many_groups_of_few_points_take_little() {
        let many = |n: u32| -> Vec<Series> {
            let one = |i: u32| Series { labels: Labels::from_pairs([("a", i.to_string())]).unwrap(), points: vec![(i % 11_000, 1.0)] };
            (0..n).map(one).collect()
        };
        let inner = Box::new(crate::logql::ast::MetricExpr::Literal(0.0));
        let a = Aggregate { op: AggregateOp::Max, parameter: None, inner, grouping: None };
        let budget = Budget::new(16 << 20, Cancel::default());
        budget.take(budget::weight(&many(20_000))).unwrap();
        let by = Key::By(vec!["a".into()]);
        assert_eq!(apply(&a, &by, many(20_000), 11_000, &budget).unwrap(), many(20_000));
        let refused = apply(&a, &by, many(2_000), 11_000, &Budget::new(100_000, Cancel::default())).unwrap_err();
        assert!(refused.message().contains("raise memory_limit"), "{}", refused.message());
    }
}
