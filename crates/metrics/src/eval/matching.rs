//! Binary operators between vectors: which series belong together, and what the result is called.

use std::collections::HashMap;

use base::{Error, Kind, Labels, Result};

use crate::eval::Evaluator;
use crate::eval::budget::Budget;
use crate::eval::elementwise::{Operator, drops_name, is_arithmetic};
use crate::eval::value::{Column, Grid, NAMING, Sample, Series, keep_labels, with_labels, without_name};
use crate::promql::ast::{Cardinality, Matching};
use crate::promql::plan::BinaryPlan;

/// The labels by which series are matched.
pub fn signature(m: &Matching, labels: &Labels) -> Labels {
    if m.on == Some(true) {
        keep_labels(labels, |n| m.labels.iter().any(|l| l == n))
    } else {
        keep_labels(labels, |n| !NAMING.contains(&n) && !m.labels.iter().any(|l| l == n))
    }
}

/// Series with one signature.
#[derive(Default)]
struct Group {
    /// Of the side that may have many.
    many: Vec<usize>,
    /// Of the side that has one at each step.
    one: Vec<usize>,
}

/// A binary operation between vectors under way. `group_right` is turned round at the beginning, so that the "many"
/// side is always the first.
struct Join<'j, 'a> {
    plan: &'j BinaryPlan,
    op: &'j Operator<'a>,
    many: &'j [Series],
    one: &'j [Series],
    /// Whether the many side is the operator's right one.
    swapped: bool,
    grid: Grid,
    budget: &'j Budget,
    out: Vec<Series>,
}

impl Evaluator<'_> {
    pub(super) fn matched(
        &self,
        b: &BinaryPlan,
        op: &Operator<'_>,
        left: Vec<Series>,
        right: Vec<Series>,
        grid: &Grid,
    ) -> Result<Vec<Series>> {
        let m = &b.matching;
        let swapped = m.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let mut groups: HashMap<Labels, usize> = HashMap::new();
        let mut list: Vec<(Labels, Group)> = Vec::new();
        for (side, series) in [(true, &many), (false, &one)] {
            for (i, s) in series.iter().enumerate() {
                let key = signature(m, &s.labels);
                let g = *groups.entry(key.clone()).or_insert_with(|| {
                    list.push((key, Group::default()));
                    list.len() - 1
                });
                let group = &mut list[g].1;
                if side { group.many.push(i) } else { group.one.push(i) }
            }
        }
        let mut join = Join { plan: b, op, many: &many, one: &one, swapped, grid: *grid, budget: &self.budget, out: vec![] };
        for (key, group) in &list {
            self.check()?;
            join.group(key, group)?;
        }
        let out = join.out;
        // Their columns were counted one by one.
        self.budget.take(out.iter().map(|s| s.column.histogram_weight()).sum())?;
        Ok(out)
    }
}

impl Join<'_, '_> {
    /// As Prometheus has it, `group_right` turns the sides round but not the values for what is missing.
    fn fill_many(&self) -> Option<f64> {
        self.plan.matching.fill_left
    }
    fn fill_one(&self) -> Option<f64> {
        self.plan.matching.fill_right
    }

    fn group(&mut self, key: &Labels, g: &Group) -> Result<()> {
        let filled = self.fill_many().is_some() || self.fill_one().is_some();
        if !filled && (g.many.is_empty() || g.one.is_empty()) {
            // No partner, but the one side must still be unique where it is.
            return self.check_one(key, g);
        }
        if let ([a], [b], false) = (&g.many[..], &g.one[..], filled) {
            let (a, b) = (&self.many[*a], &self.one[*b]);
            let column = if self.swapped { self.op.columns(&b.column, &a.column) } else { self.op.columns(&a.column, &b.column) };
            if !column.is_empty() {
                self.budget.column(self.grid.n)?;
                let series = self.result(key, Some(a), Some(b), column);
                self.out.push(series);
            }
            return Ok(());
        }
        self.check_one(key, g)?;
        self.by_step(key, g)
    }

    /// At each step at most one series of the one side may have a value.
    fn check_one(&self, key: &Labels, g: &Group) -> Result<()> {
        for i in 0..if g.one.len() > 1 { self.grid.n } else { 0 } {
            let mut there = g.one.iter().map(|&s| &self.one[s]).filter(|s| s.column.has(i));
            if let (Some(a), Some(b)) = (there.next(), there.next()) {
                let side = if self.swapped { "left" } else { "right" };
                return Err(Error::new(
                    Kind::Unprocessable,
                    format!(
                        "found duplicate series for the match group {key} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                        b.labels, a.labels
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The general way: which series of the one side is there may change from step to step.
    fn by_step(&mut self, key: &Labels, g: &Group) -> Result<()> {
        let one_to_one = self.plan.matching.cardinality == Cardinality::OneToOne;
        let mut made: HashMap<Labels, usize> = HashMap::new();
        let mut names: HashMap<(Option<usize>, Option<usize>), Labels> = HashMap::new();
        let first = self.out.len();
        for i in 0..self.grid.n {
            self.budget.watch(g.many.len() + g.one.len())?;
            let one = g.one.iter().copied().find(|&s| self.one[s].column.has(i));
            let y = match one {
                Some(s) => self.one[s].column.get(i),
                None => self.fill_one().map(Sample::Float),
            };
            let mut pairs: Vec<(Option<usize>, Sample)> =
                g.many.iter().filter_map(|&s| self.many[s].column.get(i).map(|v| (Some(s), v))).collect();
            if pairs.is_empty() && one.is_some() {
                pairs.extend(self.fill_many().map(|v| (None, Sample::Float(v))));
            }
            let mut seen = 0usize;
            for (many, x) in pairs {
                let Some(y) = &y else { continue };
                let v = if self.swapped { self.op.samples(y, &x, false) } else { self.op.samples(&x, y, false) };
                let Some(v) = v else { continue };
                seen += 1;
                if one_to_one && seen > 1 {
                    return Err(many_to_one("multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"));
                }
                let labels = names
                    .entry((many, one))
                    .or_insert_with(|| self.result_labels(key, many.map(|s| &self.many[s]), one.map(|s| &self.one[s])))
                    .clone();
                let at = match made.get(&labels) {
                    Some(at) => *at,
                    None => {
                        self.budget.column(self.grid.n)?;
                        self.budget.labels(&labels)?;
                        let drop_name = self.drops_name(many.map(|s| &self.many[s]));
                        made.insert(labels.clone(), self.out.len());
                        self.out.push(Series { labels, drop_name, column: Column::absent(self.grid.n) });
                        self.out.len() - 1
                    }
                };
                if self.out[at].column.has(i) {
                    return Err(many_to_one("multiple matches for labels: grouping labels must ensure unique matches"));
                }
                self.out[at].column.set(i, v);
            }
        }
        debug_assert!(self.out[first..].iter().all(|s| !s.column.is_empty()));
        Ok(())
    }

    fn result(&self, key: &Labels, many: Option<&Series>, one: Option<&Series>, column: Column) -> Series {
        Series { labels: self.result_labels(key, many, one), drop_name: self.drops_name(many), column }
    }

    /// Whether the name that the result still has goes at the end. What is calculated of two series has none, except one that is
    /// taken over from the one side, which stays.
    fn drops_name(&self, many: Option<&Series>) -> bool {
        !is_arithmetic(self.plan.op) && (drops_name(self.plan.op, self.plan.returns_bool) || many.is_some_and(|s| s.drop_name))
    }

    fn result_labels(&self, key: &Labels, many: Option<&Series>, one: Option<&Series>) -> Labels {
        let m = &self.plan.matching;
        let Some(many) = many else {
            // Filled in: all that is known is what was matched by, and the labels to take over.
            let key = self.without_naming(key);
            return match one {
                Some(one) if m.cardinality != Cardinality::OneToOne => self.included(key, Some(one)),
                _ => key,
            };
        };
        let labels = self.without_naming(&many.labels);
        if m.cardinality == Cardinality::OneToOne {
            return match m.on {
                Some(true) => keep_labels(&labels, |n| m.labels.iter().any(|l| l == n)),
                _ => keep_labels(&labels, |n| !m.labels.iter().any(|l| l == n)),
            };
        }
        self.included(labels, one)
    }

    /// What is calculated of two series is at once called by neither's name.
    fn without_naming(&self, labels: &Labels) -> Labels {
        if is_arithmetic(self.plan.op) { without_name(labels) } else { labels.clone() }
    }

    /// Labels taken over from the one side.
    fn included(&self, labels: Labels, one: Option<&Series>) -> Labels {
        let include = &self.plan.matching.include;
        if include.is_empty() {
            return labels;
        }
        let set: Vec<(&str, &str)> = include.iter().map(|n| (n.as_str(), one.and_then(|o| o.labels.get(n)).unwrap_or(""))).collect();
        with_labels(&labels, &set)
    }
}

fn many_to_one(message: &str) -> Error {
    Error::new(Kind::Unprocessable, message)
}
