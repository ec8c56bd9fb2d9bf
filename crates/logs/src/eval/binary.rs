//! `a + b`, `a > bool b`, `a and on (x) b`: two sides, step by step.

use std::collections::HashMap;

use base::{Error, Labels, Result};

use super::keys::Key;
use super::{Series, Value};
use crate::logql::ast::{Binary, BinaryOp, CompareOp, Matching, Side};
use crate::stage::labels::labels_of;

/// Joins the sides.
pub fn apply(b: &Binary, left: Value, right: Value, steps: u32) -> Result<Value> {
    Ok(match (left, right) {
        // Two numbers give a number: a comparison of them does not filter, it is 0 or 1.
        (Value::Scalar(l), Value::Scalar(r)) => Value::Scalar(combine(b.op, true, l, r, l).unwrap_or(0.0)),
        (Value::Scalar(l), Value::Series(s)) => Value::Series(with_scalar(s, |v| combine(b.op, b.returns_bool, l, v, v))),
        (Value::Series(s), Value::Scalar(r)) => Value::Series(with_scalar(s, |v| combine(b.op, b.returns_bool, v, r, v))),
        (Value::Series(l), Value::Series(r)) if b.op.is_set() => Value::Series(sets(b, l, r, steps)),
        (Value::Series(l), Value::Series(r)) => Value::Series(matched(b, l, r, steps)?),
    })
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

/// Which steps each match key has a point at.
fn present(series: &[Series], key: &Key, steps: u32) -> HashMap<Labels, Vec<bool>> {
    let mut out: HashMap<Labels, Vec<bool>> = HashMap::new();
    for s in series {
        let at = out.entry(key.of_labels(&s.labels)).or_insert_with(|| vec![false; steps as usize]);
        s.points.iter().for_each(|&(k, _)| at[k as usize] = true);
    }
    out
}

fn sets(b: &Binary, left: Vec<Series>, right: Vec<Series>, steps: u32) -> Vec<Series> {
    let key = key(&b.matching);
    let keep = |series: Vec<Series>, other: &HashMap<Labels, Vec<bool>>, want: bool| -> Vec<Series> {
        let filter = |mut s: Series| {
            let there = other.get(&key.of_labels(&s.labels));
            s.points.retain(|&(k, _)| there.is_some_and(|t| t[k as usize]) == want);
            s
        };
        series.into_iter().map(filter).filter(|s| !s.points.is_empty()).collect()
    };
    match b.op {
        BinaryOp::And => keep(left, &present(&right, &key, steps), true),
        BinaryOp::Unless => keep(left, &present(&right, &key, steps), false),
        _ => {
            let there = present(&left, &key, steps);
            let mut out = left;
            for s in keep(right, &there, false) {
                // A series may be on the left at other steps.
                match out.iter_mut().find(|o| o.labels == s.labels) {
                    Some(o) => {
                        o.points.extend(s.points);
                        o.points.sort_by_key(|p| p.0);
                    }
                    None => out.push(s),
                }
            }
            out
        }
    }
}

/// Arithmetic and comparison: each series of the "many" side with the one of the other that has its key.
fn matched(b: &Binary, left: Vec<Series>, right: Vec<Series>, steps: u32) -> Result<Vec<Series>> {
    let m = &b.matching;
    let key = key(m);
    let swapped = m.group == Some(Side::Right);
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let one_by_key = index_one(&one, &key, swapped)?;
    let mut out: HashMap<Labels, Vec<(u32, f64)>> = HashMap::new();
    let mut order = vec![];
    // One-to-one: no two series of the left side may meet the same partner at one step.
    let mut taken: HashMap<Labels, Vec<bool>> = HashMap::new();
    for s in &many {
        let k = key.of_labels(&s.labels);
        let Some(partners) = one_by_key.get(&k) else { continue };
        for &(step, v) in &s.points {
            let Some((partner, w)) = partners.iter().find_map(|&i| Some((i, value_at(&one[i], step)?))) else { continue };
            if m.group.is_none() {
                let used = taken.entry(k.clone()).or_insert_with(|| vec![false; steps as usize]);
                if std::mem::replace(&mut used[step as usize], true) {
                    return Err(Error::invalid(
                        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                    ));
                }
            }
            let (l, r) = if swapped { (w, v) } else { (v, w) };
            let Some(value) = combine(b.op, b.returns_bool, l, r, l) else { continue };
            let labels = result_labels(m, &key, &s.labels, &one[partner].labels);
            let points = out.entry(labels.clone()).or_insert_with(|| {
                order.push(labels.clone());
                vec![]
            });
            if m.group.is_some() && points.iter().any(|p| p.0 == step) {
                return Err(Error::invalid("multiple matches for labels: grouping labels must ensure unique matches"));
            }
            points.push((step, value));
        }
    }
    let series = order.into_iter().filter_map(|labels| {
        let mut points = out.remove(&labels)?;
        points.sort_by_key(|p| p.0);
        Some(Series { labels, points })
    });
    Ok(series.collect())
}

/// The series of the "one" side by match key; two of one key must not have a point at one step.
fn index_one(one: &[Series], key: &Key, swapped: bool) -> Result<HashMap<Labels, Vec<usize>>> {
    let mut out: HashMap<Labels, Vec<usize>> = HashMap::new();
    for (i, s) in one.iter().enumerate() {
        let same = out.entry(key.of_labels(&s.labels)).or_default();
        let clash = same.iter().any(|&j| s.points.iter().any(|p| value_at(&one[j], p.0).is_some()));
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
        match apply(&b, left, right, 1)? {
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
}
