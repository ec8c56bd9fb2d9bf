//! Operators on two values, and on a vector and a scalar.

use std::sync::Arc;

use base::Result;
use lang::Span;

use crate::eval::Evaluator;
use crate::eval::notes::Notes;
use crate::eval::value::{ABSENT, Column, Grid, Sample, Series, Value, is_present};
use crate::histogram::{Histogram, Incompatible, Remarks, ResetHint};
use crate::promql::ast::BinaryOp;
use crate::promql::plan::Plan;

/// What an operator makes of two floats.
#[inline]
pub fn arithmetic(op: BinaryOp, a: f64, b: f64) -> f64 {
    use BinaryOp as O;
    match op {
        O::Add => a + b,
        O::Sub => a - b,
        O::Mul => a * b,
        O::Div => a / b,
        O::Mod => a % b,
        O::Pow => a.powf(b),
        O::Atan2 => a.atan2(b),
        other => f64::from(u8::from(compare(other, a, b))),
    }
}

/// Whether a comparison of two floats holds.
#[inline]
pub fn compare(op: BinaryOp, a: f64, b: f64) -> bool {
    use BinaryOp as O;
    match op {
        O::Eq => a == b,
        O::Ne => a != b,
        O::Lt => a < b,
        O::Gt => a > b,
        O::Le => a <= b,
        O::Ge => a >= b,
        _ => false,
    }
}

/// Whether the result's name no longer holds.
pub fn drops_name(op: BinaryOp, returns_bool: bool) -> bool {
    let keeps = op.is_comparison() || op.is_set() || matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
    returns_bool || !keeps
}

/// Whether the result is of another kind than what is calculated with.
pub fn is_arithmetic(op: BinaryOp) -> bool {
    !op.is_comparison() && drops_name(op, false)
}

/// An operator between elements, with what it may have to say.
pub struct Operator<'a> {
    /// Which.
    pub op: BinaryOp,
    /// Whether a comparison gives 0 and 1 rather than its left side.
    pub returns_bool: bool,
    /// Where it is written.
    pub span: Span,
    /// Where it says something.
    pub notes: &'a Notes<'a>,
}

impl Operator<'_> {
    /// The result for two floats; `keep` is what a comparison that holds gives.
    #[inline]
    pub fn floats(&self, a: f64, b: f64, keep: f64) -> f64 {
        if self.op.is_comparison() && !self.returns_bool {
            return if compare(self.op, a, b) { keep } else { ABSENT };
        }
        arithmetic(self.op, a, b)
    }

    /// The result for any two values, if there is one. `keep_right`: a comparison gives its right side.
    pub fn samples(&self, a: &Sample, b: &Sample, keep_right: bool) -> Option<Sample> {
        use BinaryOp as O;
        use Sample as S;
        let made = |h: Histogram| Some(S::Histogram(Arc::new(h.compact())));
        match (a, b, self.op) {
            (S::Float(_), S::Float(_), O::TrimUpper | O::TrimLower) => self.refuse(a, b),
            (S::Float(x), S::Float(y), _) => {
                let v = self.floats(*x, *y, if keep_right { *y } else { *x });
                is_present(v).then_some(S::Float(v))
            }
            (S::Histogram(h), S::Float(f), O::Mul) | (S::Float(f), S::Histogram(h), O::Mul) => made(h.scaled(*f)),
            (S::Histogram(h), S::Float(f), O::Div) => made(h.divided(*f)),
            (S::Histogram(h), S::Float(f), O::TrimUpper) => made(h.trimmed(*f, true)),
            (S::Histogram(h), S::Float(f), O::TrimLower) => made(h.trimmed(*f, false)),
            (S::Histogram(x), S::Histogram(y), O::Add) => self.combined(x.add(y), "addition"),
            (S::Histogram(x), S::Histogram(y), O::Sub) => {
                // A difference may fall.
                self.combined(x.sub(y).map(|(h, r)| (Histogram { hint: ResetHint::Gauge, ..h }, r)), "subtraction")
            }
            (S::Histogram(x), S::Histogram(y), O::Eq | O::Ne) => {
                let holds = (x == y) == (self.op == O::Eq);
                if self.returns_bool {
                    return Some(S::Float(f64::from(u8::from(holds))));
                }
                holds.then(|| if keep_right { b.clone() } else { a.clone() })
            }
            _ => self.refuse(a, b),
        }
    }

    fn refuse(&self, a: &Sample, b: &Sample) -> Option<Sample> {
        let name = |s: &Sample| if matches!(s, Sample::Float(_)) { "float" } else { "histogram" };
        self.notes.incompatible(name(a), self.op.text(), name(b), self.span);
        None
    }

    fn combined(&self, r: std::result::Result<(Histogram, Remarks), Incompatible>, what: &str) -> Option<Sample> {
        match r {
            Ok((h, remarks)) => {
                let labels = base::Labels::empty();
                crate::eval::rate::Place { labels: &labels, span: self.span, notes: self.notes }.remark(remarks, what);
                Some(Sample::Histogram(Arc::new(h.compact())))
            }
            Err(_) => {
                self.notes.incompatible_buckets(self.op.text(), self.span);
                None
            }
        }
    }

    /// The operator on each step of two columns.
    pub fn columns(&self, a: &Column, b: &Column) -> Column {
        let mut out = Column::absent(a.len());
        let trims = matches!(self.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
        if a.histograms.is_none() && b.histograms.is_none() && !trims {
            for (o, (&x, &y)) in out.floats.iter_mut().zip(a.floats.iter().zip(&b.floats)) {
                if is_present(x) && is_present(y) {
                    *o = self.floats(x, y, x);
                }
            }
            return out;
        }
        for i in 0..a.len() {
            if let (Some(x), Some(y)) = (a.get(i), b.get(i))
                && let Some(v) = self.samples(&x, &y, false)
            {
                out.set(i, v);
            }
        }
        out
    }

    /// The operator between a column and a scalar, which is on the left if `swapped`. A comparison gives the column's
    /// value in any case.
    fn with_scalar(&self, c: &Column, s: &[f64], swapped: bool) -> Column {
        let mut out = Column::absent(c.len());
        let trims = matches!(self.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
        if c.histograms.is_none() && !trims {
            for (o, (&x, &y)) in out.floats.iter_mut().zip(c.floats.iter().zip(s)) {
                if is_present(x) {
                    *o = if swapped { self.floats(y, x, x) } else { self.floats(x, y, x) };
                }
            }
            return out;
        }
        for (i, &y) in s.iter().enumerate() {
            let Some(x) = c.get(i) else { continue };
            let y = Sample::Float(y);
            let v = if swapped { self.samples(&y, &x, true) } else { self.samples(&x, &y, false) };
            if let Some(v) = v {
                out.set(i, v);
            }
        }
        out
    }

    /// The operator between each series and a scalar.
    pub fn series_with_scalar(&self, series: Vec<Series>, s: &[f64], swapped: bool) -> Vec<Series> {
        let drop_name = drops_name(self.op, self.returns_bool);
        series
            .into_iter()
            .filter_map(|x| {
                let column = self.with_scalar(&x.column, s, swapped);
                (!column.is_empty()).then_some(Series { labels: x.labels, drop_name: x.drop_name || drop_name, column })
            })
            .collect()
    }
}

impl Evaluator<'_> {
    /// `-x`.
    pub(super) fn negate(&self, p: &Plan, grid: &Grid) -> Result<Value> {
        Ok(match self.eval(p, grid)? {
            Value::Scalar(mut v) => {
                v.iter_mut().for_each(|x| *x = -*x);
                Value::Scalar(v)
            }
            Value::Vector(mut all) => {
                for s in &mut all {
                    s.column.floats.iter_mut().filter(|x| is_present(**x)).for_each(|x| *x = -*x);
                    for h in s.column.histograms.iter_mut().flat_map(|h| h.iter_mut().flatten()) {
                        *h = Arc::new(h.scaled(-1.0));
                    }
                    s.drop_name = true;
                }
                Value::Vector(all)
            }
            t => t,
        })
    }
}
