//! `and`, `or`, `unless`: sets of series, step by step.

use std::collections::HashMap;

use base::{Labels, Result};

use crate::eval::Evaluator;
use crate::eval::matching::signature;
use crate::eval::value::{NAMING, Series};
use crate::promql::ast::BinaryOp;
use crate::promql::plan::BinaryPlan;

impl Evaluator<'_> {
    /// A set operation.
    pub(super) fn set_operation(&self, b: &BinaryPlan, left: Vec<Series>, right: Vec<Series>) -> Result<Vec<Series>> {
        let key = |s: &Series| signature(&b.matching, &s.labels);
        let (filter, mut filtered, keep_where_there) = match b.op {
            BinaryOp::And => (&right, left.clone(), true),
            BinaryOp::Unless => (&right, left.clone(), false),
            _ => (&left, right.clone(), false),
        };
        // For each signature the steps at which the other side has it.
        let mut there: HashMap<Labels, Vec<bool>> = HashMap::new();
        for s in filter {
            self.check()?;
            let steps = there.entry(key(s)).or_insert_with(|| vec![false; s.column.len()]);
            steps.iter_mut().enumerate().for_each(|(i, t)| *t |= s.column.has(i));
        }
        for s in &mut filtered {
            self.check()?;
            match there.get(&key(s)) {
                Some(steps) => (0..steps.len()).filter(|&i| steps[i] != keep_where_there).for_each(|i| s.column.clear(i)),
                None if keep_where_there => (0..s.column.len()).for_each(|i| s.column.clear(i)),
                None => {}
            }
        }
        filtered.retain(|s| !s.column.is_empty());
        if b.op != BinaryOp::Or {
            return Ok(filtered);
        }
        Ok(united(left, filtered))
    }
}

/// Both lists. Series of the same labels, which are never there at the same step, are one series.
fn united(mut left: Vec<Series>, right: Vec<Series>) -> Vec<Series> {
    let known: HashMap<Labels, usize> = left.iter().enumerate().map(|(i, s)| (s.labels.clone(), i)).collect();
    for s in right {
        // Without a name it does not matter whether the name goes.
        let is_bare = NAMING.iter().all(|n| s.labels.get(n).is_none());
        let same = known.get(&s.labels).map(|&i| &mut left[i]).filter(|l| is_bare || l.drop_name == s.drop_name);
        let Some(same) = same else {
            left.push(s);
            continue;
        };
        for i in 0..s.column.len() {
            if let Some(v) = s.column.get(i) {
                same.column.set(i, v);
            }
        }
    }
    left
}
