//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`: the order in which an instant query's series are shown.
//! A range query's series have an order of their own.

use std::cmp::Ordering;

use base::Result;
use base::label_order::compare;

use crate::eval::Evaluator;
use crate::eval::value::{Grid, Series};
use crate::promql::function::Func;
use crate::promql::plan::{CallPlan, Plan};

/// Text order with numbers in it compared as numbers: `a2` before `a10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let (Some(x), Some(y)) = (a.first(), b.first()) {
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let number = |s: &[u8]| s.iter().take_while(|c| c.is_ascii_digit()).count();
            let (m, n) = (number(a), number(b));
            let plain = |s: &[u8]| s.iter().position(|c| *c != b'0').unwrap_or(s.len());
            let (p, q) = (&a[plain(&a[..m])..m], &b[plain(&b[..n])..n]);
            let order = p.len().cmp(&q.len()).then_with(|| p.cmp(q)).then(m.cmp(&n));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (&a[m..], &b[n..]);
            continue;
        }
        if x != y {
            return x.cmp(y);
        }
        (a, b) = (&a[1..], &b[1..]);
    }
    a.len().cmp(&b.len())
}

impl Evaluator<'_> {
    fn warn_of_order(&self, c: &CallPlan) {
        self.notes.warn("sort is ineffective for range queries since results are always ordered by labels", c.span);
    }

    /// `sort` and `sort_desc`: NaN last; histograms have no order and are left out.
    pub(super) fn sort(&self, c: &CallPlan, grid: &Grid) -> Result<Vec<Series>> {
        let mut v = self.vector(&c.args[0], grid)?;
        v.iter_mut().for_each(|s| s.column.histograms = None);
        v.retain(|s| !s.column.is_empty());
        if grid.n > 1 {
            self.warn_of_order(c);
            return Ok(v);
        }
        let descending = c.func == Func::SortDesc;
        v.sort_by(|a, b| {
            let (a, b) = (a.column.floats[0], b.column.floats[0]);
            let order = if descending { b.partial_cmp(&a) } else { a.partial_cmp(&b) };
            order.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        });
        Ok(v)
    }

    /// `sort_by_label` and `sort_by_label_desc`: by these labels, then by all.
    pub(super) fn sort_by_label(&self, c: &CallPlan, grid: &Grid) -> Result<Vec<Series>> {
        let mut v = self.vector(&c.args[0], grid)?;
        let names: Vec<&str> = c.args[1..].iter().filter_map(|p| if let Plan::Text(t) = p { Some(t.as_str()) } else { None }).collect();
        if grid.n > 1 {
            self.warn_of_order(c);
            return Ok(v);
        }
        let descending = c.func == Func::SortByLabelDesc;
        v.sort_by(|a, b| {
            let by_name = |n: &&str| natural(a.labels.get(n).unwrap_or(""), b.labels.get(n).unwrap_or(""));
            let order = names.iter().map(by_name).find(|o| *o != Ordering::Equal).unwrap_or_else(|| compare(&a.labels, &b.labels));
            if descending { order.reverse() } else { order }
        });
        Ok(v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts_are_compared_as_numbers() {
        for (a, b) in [("a2", "a10"), ("4m5", "4m600"), ("4m600", "4m1000"), ("", "a"), ("a", "b"), ("1", "a")] {
            assert_eq!(natural(a, b), Ordering::Less, "{a} {b}");
        }
        assert_eq!(natural("x1y", "x1y"), Ordering::Equal);
    }
}
