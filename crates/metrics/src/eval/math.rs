//! Functions of one number, and `clamp`, `round`, `timestamp`.

use base::Result;

use crate::eval::Evaluator;
use crate::eval::value::{ABSENT, Column, Grid, Series, is_present};
use crate::promql::function::Func;
use crate::promql::plan::{CallPlan, Plan};

/// The function of a number, if `f` is one.
pub fn unary(f: Func) -> Option<fn(f64) -> f64> {
    use Func as F;
    Some(match f {
        F::Abs => f64::abs,
        F::Acos => f64::acos,
        F::Acosh => f64::acosh,
        F::Asin => f64::asin,
        F::Asinh => f64::asinh,
        F::Atan => f64::atan,
        F::Atanh => f64::atanh,
        F::Ceil => f64::ceil,
        F::Cos => f64::cos,
        F::Cosh => f64::cosh,
        F::Deg => |v| v * 180.0 / std::f64::consts::PI,
        F::Exp => f64::exp,
        F::Floor => f64::floor,
        F::Ln => f64::ln,
        F::Log10 => f64::log10,
        F::Log2 => f64::log2,
        F::Rad => |v| v * std::f64::consts::PI / 180.0,
        F::Sgn => |v| {
            if v < 0.0 {
                -1.0
            } else if v > 0.0 {
                1.0
            } else {
                v
            }
        },
        F::Sin => f64::sin,
        F::Sinh => f64::sinh,
        F::Sqrt => f64::sqrt,
        F::Tan => f64::tan,
        F::Tanh => f64::tanh,
        _ => return None,
    })
}

/// Each float of each series through `f` with its step; histograms are left out.
pub fn map_floats(series: Vec<Series>, f: impl Fn(usize, f64) -> f64) -> Vec<Series> {
    series
        .into_iter()
        .filter_map(|mut s| {
            for (i, v) in s.column.floats.iter_mut().enumerate() {
                if is_present(*v) {
                    *v = f(i, *v);
                }
            }
            let column = std::mem::take(&mut s.column).without_histograms();
            (!column.is_empty()).then(|| s.derived(column))
        })
        .collect()
}

/// Smaller and larger as Go has them: NaN if either is.
pub fn go_min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// See [`go_min`].
pub fn go_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

impl Evaluator<'_> {
    /// `clamp`, `clamp_min`, `clamp_max`.
    pub(super) fn clamp(&self, c: &CallPlan, grid: &Grid) -> Result<Vec<Series>> {
        let v = self.vector(&c.args[0], grid)?;
        let a = self.scalar(&c.args[1], grid)?;
        Ok(match c.func {
            Func::ClampMin => map_floats(v, |i, x| go_max(x, a[i])),
            Func::ClampMax => map_floats(v, |i, x| go_min(x, a[i])),
            _ => {
                let b = self.scalar(&c.args[2], grid)?;
                // An empty interval has no values.
                map_floats(v, |i, x| if b[i] < a[i] { ABSENT } else { go_max(a[i], go_min(b[i], x)) })
                    .into_iter()
                    .filter(|s| !s.column.is_empty())
                    .collect()
            }
        })
    }

    /// `round(v, to)`.
    pub(super) fn round(&self, c: &CallPlan, grid: &Grid) -> Result<Vec<Series>> {
        let to = c.args.get(1).map(|p| self.scalar(p, grid)).transpose()?;
        let v = self.vector(&c.args[0], grid)?;
        Ok(map_floats(v, |i, x| {
            // By the inverse, because 1/0.1 is exact where 0.1 is not.
            let inverse = 1.0 / to.as_ref().map_or(1.0, |t| t[i]);
            (x * inverse + 0.5).floor() / inverse
        }))
    }

    /// `start_timestamp(v)`: when what a selector's samples count began. An expression has none.
    pub(super) fn start_timestamp(&self, c: &CallPlan, grid: &Grid) -> Result<Vec<Series>> {
        let mut select = &c.args[0];
        while let Plan::Invariant(p) = select {
            select = p;
        }
        let Plan::Select(s) = select else { return Ok(vec![]) };
        let mut out = self.select_starts(s, grid)?;
        out.iter_mut().for_each(|s| s.drop_name = true);
        Ok(out)
    }

    /// `timestamp(v)`: of a selector the time of the sample, else the time of evaluation.
    pub(super) fn timestamp(&self, c: &CallPlan, grid: &Grid) -> Result<Vec<Series>> {
        let mut select = &c.args[0];
        while let Plan::Invariant(p) = select {
            select = p;
        }
        if let Plan::Select(s) = select {
            let mut out = self.select_times(s, grid)?;
            out.iter_mut().for_each(|s| s.drop_name = true);
            return Ok(out);
        }
        let v = self.vector(&c.args[0], grid)?;
        Ok(v.into_iter()
            .map(|s| {
                let floats = (0..grid.n).map(|i| if s.column.has(i) { grid.at(i) as f64 / 1000.0 } else { ABSENT }).collect();
                s.derived(Column::of(floats))
            })
            .collect())
    }
}
