//! `a + b`, `a > bool b`, `a and on (x) b`: two sides, step by step.

use std::collections::HashMap;

use base::{Error, Labels, Result};

use super::budget::{self, Budget, ENTRY_BYTES, POINT_BYTES};
use super::keys::Key;
use super::{Series, Value};
use crate::logql::ast::{Binary, BinaryOp, CompareOp, Matching, Side};
use crate::stage::labels::labels_of;

/// Joins the sides.
pub fn apply(b: &Binary, left: Value, right: Value, steps: u32, budget: &Budget) -> Result<Value> {
    let before = weight(&left) + weight(&right);
    let made = match (left, right) {
        // Two numbers give a number: a comparison of them does not filter, it is 0 or 1.
        (Value::Scalar(l), Value::Scalar(r)) => Value::Scalar(combine(b.op, true, l, r, l).unwrap_or(0.0)),
        (Value::Scalar(l), Value::Series(s)) => Value::Series(with_scalar(s, |v| combine(b.op, b.returns_bool, l, v, v))),
        (Value::Series(s), Value::Scalar(r)) => Value::Series(with_scalar(s, |v| combine(b.op, b.returns_bool, v, r, v))),
        (Value::Series(l), Value::Series(r)) if b.op.is_set() => Value::Series(sets(b, l, r, steps, budget)?),
        (Value::Series(l), Value::Series(r)) => Value::Series(matched(b, l, r, steps, budget)?),
    };
    budget.swap(before, weight(&made))?;
    Ok(made)
}

fn weight(v: &Value) -> usize {
    match v {
        Value::Scalar(_) => 0,
        Value::Series(s) => budget::weight(s),
    }
}

/// The value of `l op r`; a comparison that filters gives `kept` or nothing.
fn combine(op: BinaryOp, returns_bool: bool, l: f64, r: f64, kept: f64) -> Option<f64> {
    Some(match op {
        BinaryOp::Add => l + r,
        BinaryOp::Sub => l - r,
        BinaryOp::Mul => l * r,
        // Unlike Prometheus, a division by zero is not a number.
        BinaryOp::Div if r == 0.0 => f64::NAN,
        BinaryOp::Div => l / r,
        BinaryOp::Mod if r == 0.0 => f64::NAN,
        BinaryOp::Mod => l % r,
        BinaryOp::Pow => l.powf(r),
        BinaryOp::Compare(c) => return compare(c, returns_bool, l, r, kept),
        BinaryOp::Or | BinaryOp::And | BinaryOp::Unless => return None,
    })
}

fn compare(op: CompareOp, returns_bool: bool, l: f64, r: f64, kept: f64) -> Option<f64> {
    let holds = op.holds(l, r);
    if returns_bool { Some(f64::from(u8::from(holds))) } else { holds.then_some(kept) }
}

fn with_scalar(series: Vec<Series>, value: impl Fn(f64) -> Option<f64>) -> Vec<Series> {
    let map = |mut s: Series| {
        s.points = s.points.iter().filter_map(|&(k, v)| Some((k, value(v)?))).collect();
        s
    };
    series.into_iter().map(map).filter(|s| !s.points.is_empty()).collect()
}

/// The labels by which the sides match.
fn key(m: &Matching) -> Key {
    if m.on { Key::By(m.labels.clone()) } else { Key::Without(m.labels.clone()) }
}

/// Bits per step, by match key, and what they take of the budget.
struct Steps<'b> {
    by_key: HashMap<Labels, Vec<bool>>,
    steps: usize,
    budget: &'b Budget,
    taken: usize,
}

impl<'b> Steps<'b> {
    fn new(steps: u32, budget: &'b Budget) -> Self {
        Steps { by_key: HashMap::new(), steps: steps as usize, budget, taken: 0 }
    }

    /// Which steps each match key has a point at.
    fn of(series: &[Series], key: &Key, steps: u32, budget: &'b Budget) -> Result<Self> {
        let mut out = Steps::new(steps, budget);
        for s in series {
            budget.watch(s.labels.as_bytes().len() + s.points.len())?;
            let at = out.at(&key.of_labels(&s.labels))?;
            s.points.iter().for_each(|&(k, _)| at[k as usize] = true);
        }
        Ok(out)
    }

    fn at(&mut self, key: &Labels) -> Result<&mut Vec<bool>> {
        if !self.by_key.contains_key(key) {
            let bytes = ENTRY_BYTES + key.as_bytes().len() + self.steps;
            self.budget.take(bytes)?;
            self.taken += bytes;
        }
        Ok(self.by_key.entry(key.clone()).or_insert_with(|| vec![false; self.steps]))
    }
}

impl Drop for Steps<'_> {
    fn drop(&mut self) {
        self.budget.give(self.taken);
    }
}

/// The points of series at whose steps their key is, or is not, among the others.
fn keep(series: Vec<Series>, key: &Key, others: &Steps<'_>, want: bool) -> Result<Vec<Series>> {
    let mut out = vec![];
    for mut s in series {
        others.budget.watch(s.labels.as_bytes().len() + s.points.len())?;
        let there = others.by_key.get(&key.of_labels(&s.labels));
        s.points.retain(|&(k, _)| there.is_some_and(|t| t[k as usize]) == want);
        if !s.points.is_empty() {
            out.push(s);
        }
    }
    Ok(out)
}

fn sets(b: &Binary, left: Vec<Series>, right: Vec<Series>, steps: u32, budget: &Budget) -> Result<Vec<Series>> {
    let key = key(&b.matching);
    let of = |series: &[Series]| Steps::of(series, &key, steps, budget);
    match b.op {
        BinaryOp::And => keep(left, &key, &of(&right)?, true),
        BinaryOp::Unless => keep(left, &key, &of(&right)?, false),
        _ => {
            let added = keep(right, &key, &of(&left)?, false)?;
            let bytes = left.len() * ENTRY_BYTES;
            budget.take(bytes)?;
            let mut places: HashMap<Labels, usize> = HashMap::with_capacity(left.len());
            left.iter().enumerate().for_each(|(i, s)| {
                places.entry(s.labels.clone()).or_insert(i);
            });
            let mut out = left;
            for s in added {
                // A series may be on the left at other steps.
                match places.get(&s.labels) {
                    Some(&i) => {
                        out[i].points.extend(s.points);
                        out[i].points.sort_by_key(|p| p.0);
                    }
                    None => out.push(s),
                }
            }
            budget.give(bytes);
            Ok(out)
        }
    }
}

/// What has been made of two sides: series in the order in which they came.
#[derive(Default)]
struct Made {
    numbers: HashMap<Labels, usize>,
    series: Vec<Series>,
}

impl Made {
    fn points(&mut self, labels: &Labels, budget: &Budget) -> Result<&mut Vec<(u32, f64)>> {
        let n = match self.numbers.get(labels) {
            Some(&n) => n,
            None => {
                budget.take(2 * ENTRY_BYTES + labels.as_bytes().len())?;
                self.numbers.insert(labels.clone(), self.series.len());
                self.series.push(Series { labels: labels.clone(), points: vec![] });
                self.series.len() - 1
            }
        };
        Ok(&mut self.series[n].points)
    }

    /// Of the budget.
    fn taken(&self) -> usize {
        budget::weight(&self.series) + self.series.len() * ENTRY_BYTES
    }
}

/// Arithmetic and comparison: each series of the "many" side with the one of the other that has its key.
fn matched(b: &Binary, left: Vec<Series>, right: Vec<Series>, steps: u32, budget: &Budget) -> Result<Vec<Series>> {
    let m = &b.matching;
    let key = key(m);
    let swapped = m.group == Some(Side::Right);
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let one_by_key = index_one(&one, &key, swapped, budget)?;
    let mut made = Made::default();
    // One-to-one: no two series of the left side may meet the same partner at one step.
    let mut taken = Steps::new(steps, budget);
    for s in &many {
        let k = key.of_labels(&s.labels);
        budget.watch(s.labels.as_bytes().len())?;
        let Some(partners) = one_by_key.get(&k) else { continue };
        // The labels of what is made with a partner, which mostly is the one of the step before.
        let mut last: Option<(usize, Labels)> = None;
        for &(step, v) in &s.points {
            budget.watch(partners.len())?;
            let Some((partner, w)) = partners.iter().find_map(|&i| Some((i, value_at(&one[i], step)?))) else { continue };
            if m.group.is_none() && std::mem::replace(&mut taken.at(&k)?[step as usize], true) {
                return Err(Error::invalid("multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"));
            }
            let (l, r) = if swapped { (w, v) } else { (v, w) };
            let Some(value) = combine(b.op, b.returns_bool, l, r, l) else { continue };
            if last.as_ref().is_none_or(|(p, _)| *p != partner) {
                last = Some((partner, result_labels(m, &key, &s.labels, &one[partner].labels)));
            }
            let Some((_, labels)) = &last else { continue };
            budget.take(POINT_BYTES)?;
            add(made.points(labels, budget)?, step, value, m.group.is_some(), budget)?;
        }
    }
    made.series.iter_mut().for_each(|s| s.points.sort_by_key(|p| p.0));
    budget.give(made.taken());
    Ok(made.series)
}

fn add(points: &mut Vec<(u32, f64)>, step: u32, value: f64, is_unique: bool, budget: &Budget) -> Result<()> {
    // Mostly it comes behind them.
    if is_unique && points.last().is_some_and(|p| p.0 >= step) {
        budget.watch(points.len())?;
        if points.iter().any(|p| p.0 == step) {
            return Err(Error::invalid("multiple matches for labels: grouping labels must ensure unique matches"));
        }
    }
    points.push((step, value));
    Ok(())
}

/// The series of the "one" side by match key; two of one key must not have a point at one step.
fn index_one(one: &[Series], key: &Key, swapped: bool, budget: &Budget) -> Result<HashMap<Labels, Vec<usize>>> {
    let mut out: HashMap<Labels, Vec<usize>> = HashMap::new();
    for (i, s) in one.iter().enumerate() {
        let same = out.entry(key.of_labels(&s.labels)).or_default();
        let mut clash = false;
        for &j in same.iter() {
            budget.watch(s.points.len())?;
            clash |= s.points.iter().any(|p| value_at(&one[j], p.0).is_some());
        }
        if clash {
            let side = if swapped { "left" } else { "right" };
            return Err(Error::invalid(format!(
                "found duplicate series on the {side} hand-side;many-to-many matching not allowed: matching labels must be unique on one side"
            )));
        }
        same.push(i);
    }
    Ok(out)
}

fn value_at(s: &Series, step: u32) -> Option<f64> {
    s.points.binary_search_by_key(&step, |p| p.0).ok().map(|i| s.points[i].1)
}

fn result_labels(m: &Matching, key: &Key, many: &Labels, one: &Labels) -> Labels {
    if m.group.is_none() {
        return key.of_labels(many);
    }
    let included = |n: &str| m.include.iter().any(|i| i == n);
    let own = many.iter().filter(|(n, _)| !included(n));
    labels_of(own.chain(one.iter().filter(|(n, _)| included(n))).collect())
}

#[cfg(test)]
mod tests {
    use table::Cancel;

    use super::*;
    use crate::logql::Expr;
    use crate::logql::ast::MetricExpr;

    fn series(rows: &[(&[(&str, &str)], f64)]) -> Value {
        let one =
            |(l, v): &(&[(&str, &str)], f64)| Series { labels: Labels::from_pairs(l.iter().copied()).unwrap(), points: vec![(0, *v)] };
        Value::Series(rows.iter().map(one).collect())
    }

    fn run(op: &str, left: Value, right: Value) -> Result<Vec<String>> {
        let Expr::Metric(MetricExpr::Binary(b)) = crate::logql::parse(&format!("vector(1) {op} vector(1)")).unwrap() else {
            panic!("{op}")
        };
        let budget = Budget::new(1 << 20, Cancel::default());
        budget.take(weight(&left) + weight(&right)).unwrap();
        let made = apply(&b, left, right, 1, &budget)?;
        budget.give(weight(&made));
        assert!(budget.take(1 << 20).is_ok() && budget.take(1).is_err(), "what is counted is what there is");
        match made {
            Value::Scalar(v) => Ok(vec![v.to_string()]),
            Value::Series(s) => Ok(s.iter().map(|s| format!("{} {}", s.labels, s.points[0].1)).collect()),
        }
    }

    #[test]
    fn scalars() {
        assert_eq!(run("/", Value::Scalar(1.0), Value::Scalar(0.0)).unwrap(), ["NaN"]);
        assert_eq!(run(">", Value::Scalar(2.0), Value::Scalar(1.0)).unwrap(), ["1"]);
        let v = || series(&[(&[("a", "1")], 3.0), (&[("a", "2")], 6.0)]);
        assert_eq!(run(">", Value::Scalar(4.0), v()).unwrap(), [r#"{a="1"} 3"#], "the series' value is kept");
        assert_eq!(run("> bool", v(), Value::Scalar(4.0)).unwrap(), [r#"{a="1"} 0"#, r#"{a="2"} 1"#]);
    }

    #[test]
    fn sides_match_by_labels() {
        let v = || series(&[(&[("a", "1"), ("b", "x")], 3.0), (&[("a", "2"), ("b", "y")], 6.0)]);
        let w = || series(&[(&[("a", "1")], 10.0)]);
        assert_eq!(run("+ on (a)", v(), w()).unwrap(), [r#"{a="1"} 13"#]);
        assert_eq!(run("+ ignoring (b)", v(), w()).unwrap(), [r#"{a="1"} 13"#]);
        assert_eq!(run("- on (a) group_left", v(), w()).unwrap(), [r#"{a="1", b="x"} -7"#]);
        assert_eq!(run("- on (a) group_right (c)", w(), v()).unwrap(), [r#"{a="1", b="x"} 7"#]);
        assert_eq!(run("and on (a)", v(), w()).unwrap(), [r#"{a="1", b="x"} 3"#]);
        assert_eq!(run("unless on (a)", v(), w()).unwrap(), [r#"{a="2", b="y"} 6"#]);
        assert_eq!(run("or", v(), w()).unwrap().len(), 3);
        assert!(run("+ on ()", v(), w()).is_err());
        assert!(run("+ on ()", w(), v()).is_err());
    }

    /// Series with one point each, all of one key: each is compared with all before it.
    fn side(n: u32) -> Value {
        let one = |i: u32| Series {
            labels: Labels::from_pairs([("a", i.to_string())]).unwrap(),
            points: (i * 10..i * 10 + 10).map(|k| (k, 1.0)).collect(),
        };
        Value::Series((0..n).map(one).collect())
    }

    #[test]
    fn large_sides_end_when_nobody_waits() {
        let Expr::Metric(MetricExpr::Binary(b)) = crate::logql::parse("vector(1) * on () group_left vector(1)").unwrap() else { panic!() };
        let cancel = Cancel::default();
        cancel.cancel();
        let budget = Budget::new(usize::MAX / 2, cancel);
        let ended = apply(&b, side(5_000), side(5_000), 50_000, &budget).unwrap_err();
        assert_eq!(ended.kind(), base::Kind::Canceled);
    }

    #[test]
    fn steps_of_keys_are_counted() {
        let Expr::Metric(MetricExpr::Binary(b)) = crate::logql::parse("vector(1) unless vector(1)").unwrap() else { panic!() };
        let ended = apply(&b, side(1_000), side(1_000), 11_000, &Budget::new(8 << 20, Cancel::default())).unwrap_err();
        assert!(ended.message().contains("raise memory_limit"), "{}", ended.message());
    }

    #[test]
    fn or_finds_the_same_series_on_the_left() {
        let at = |k: u32| Value::Series(vec![Series { labels: Labels::from_pairs([("a", "1")]).unwrap(), points: vec![(k, 1.0)] }]);
        let Expr::Metric(MetricExpr::Binary(b)) = crate::logql::parse("vector(1) or vector(1)").unwrap() else { panic!() };
        let budget = Budget::new(1 << 20, Cancel::default());
        budget.take(weight(&at(1)) * 2).unwrap();
        let Value::Series(made) = apply(&b, at(1), at(0), 2, &budget).unwrap() else { panic!() };
        assert_eq!(made[0].points, [(0, 1.0), (1, 1.0)]);
    }
}
