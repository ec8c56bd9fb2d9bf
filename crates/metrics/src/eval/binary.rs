//! Binary operators: scalars with scalars, vectors with scalars, and the way to vectors with vectors.

use base::Result;

use crate::eval::Evaluator;
use crate::eval::elementwise::{Operator, arithmetic};
use crate::eval::value::{Grid, Value};
use crate::promql::plan::BinaryPlan;

impl Evaluator<'_> {
    /// The value of a binary operation.
    pub(super) fn binary(&self, b: &BinaryPlan, grid: &Grid) -> Result<Value> {
        let left = self.eval(&b.left, grid)?;
        let right = self.eval(&b.right, grid)?;
        let op = Operator { op: b.op, returns_bool: b.returns_bool, span: b.span, notes: self.notes };
        Ok(match (left, right) {
            (Value::Scalar(mut l), Value::Scalar(r)) => {
                for (x, y) in l.iter_mut().zip(&r) {
                    *x = arithmetic(b.op, *x, *y);
                }
                Value::Scalar(l)
            }
            (Value::Vector(l), Value::Scalar(r)) => Value::Vector(op.series_with_scalar(l, &r, false)),
            (Value::Scalar(l), Value::Vector(r)) => Value::Vector(op.series_with_scalar(r, &l, true)),
            (Value::Vector(l), Value::Vector(r)) if b.op.is_set() => Value::Vector(self.set_operation(b, l, r)?),
            (Value::Vector(l), Value::Vector(r)) => Value::Vector(self.matched(b, &op, l, r, grid)?),
            _ => return Err(base::Error::internal("a binary operator met a text")),
        })
    }
}
