//! Calculation, as Sprig and Loki have it: arguments may be text that is a number.

use super::{Function, Value};
use crate::template::decimal::Decimal;
use crate::template::numbers::{to_float, to_int};

const ANY: usize = usize::MAX;

pub(super) const ALL: &[Function] = &[
    Function::plain("add", 1, ANY, |a| Ok(Value::Int(a.iter().map(to_int).fold(0, i64::wrapping_add)))),
    Function::plain("add1", 1, 1, |a| Ok(Value::Int(to_int(&a[0]).wrapping_add(1)))),
    Function::plain("sub", 2, ANY, |a| Ok(ints(a, i64::wrapping_sub))),
    Function::plain("mul", 2, ANY, |a| Ok(ints(a, i64::wrapping_mul))),
    Function::plain("div", 2, 2, |a| divided(a, i64::wrapping_div)),
    Function::plain("mod", 2, 2, |a| divided(a, i64::wrapping_rem)),
    Function::plain("max", 1, ANY, |a| Ok(ints(a, i64::max))),
    Function::plain("min", 1, ANY, |a| Ok(ints(a, i64::min))),
    Function::plain("addf", 1, ANY, |a| decimals(a, Decimal::add, |x, y| x + y)),
    Function::plain("subf", 1, ANY, |a| decimals(a, Decimal::sub, |x, y| x - y)),
    Function::plain("mulf", 1, ANY, |a| decimals(a, Decimal::mul, |x, y| x * y)),
    Function::plain("divf", 1, ANY, |a| {
        if a[1..].iter().any(|d| to_float(d) == 0.0) {
            return Err("division by zero".into());
        }
        decimals(a, Decimal::div, |x, y| x / y)
    }),
    Function::plain("maxf", 1, ANY, |a| Ok(floats(a, f64::max))),
    Function::plain("minf", 1, ANY, |a| Ok(floats(a, f64::min))),
    Function::plain("ceil", 1, 1, |a| Ok(Value::Float(to_float(&a[0]).ceil()))),
    Function::plain("floor", 1, 1, |a| Ok(Value::Float(to_float(&a[0]).floor()))),
    Function::plain("round", 2, 3, round),
    Function::plain("int", 1, 1, |a| Ok(Value::Int(to_int(&a[0])))),
    Function::plain("int64", 1, 1, |a| Ok(Value::Int(to_int(&a[0])))),
    Function::plain("float64", 1, 1, |a| Ok(Value::Float(to_float(&a[0])))),
    Function::plain("bytes", 1, 1, |a| {
        let t = a[0].as_text()?;
        crate::size::parse(t).map(|n| Value::Float(n as f64)).ok_or_else(|| format!("{t:?} is not a size"))
    }),
];

fn ints<'a>(a: &[Value<'a>], f: fn(i64, i64) -> i64) -> Value<'a> {
    Value::Int(a[1..].iter().map(to_int).fold(to_int(&a[0]), f))
}

fn floats<'a>(a: &[Value<'a>], f: fn(f64, f64) -> f64) -> Value<'a> {
    Value::Float(a[1..].iter().map(to_float).fold(to_float(&a[0]), f))
}

/// In tens, as Sprig does it; by `otherwise` where that takes too many digits.
fn decimals<'a>(a: &[Value<'a>], f: fn(Decimal, Decimal) -> Option<Decimal>, otherwise: fn(f64, f64) -> f64) -> Result<Value<'a>, String> {
    if a.iter().any(|v| !to_float(v).is_finite()) {
        return Err("infinity and what is no number have no decimals".into());
    }
    let mut all = a.iter().map(|v| Decimal::of(to_float(v)));
    let first = all.next().flatten();
    let exact = all.try_fold(first, |sum, next| Some(Some(f(sum?, next?)?))).flatten();
    Ok(exact.map_or_else(|| floats(a, otherwise), |d| Value::Float(d.to_f64())))
}

fn divided<'a>(a: &[Value<'a>], f: fn(i64, i64) -> i64) -> Result<Value<'a>, String> {
    match to_int(&a[1]) {
        0 => Err("integer divide by zero".into()),
        by => Ok(Value::Int(f(to_int(&a[0]), by))),
    }
}

/// To so many digits after the point; what is at or above the third argument (0.5) is rounded up.
fn round<'a>(a: &[Value<'a>]) -> Result<Value<'a>, String> {
    let (v, places) = (to_float(&a[0]), to_int(&a[1]).clamp(-300, 300) as i32);
    let up = a.get(2).map_or(0.5, to_float);
    let scaled = v * 10f64.powi(places);
    let fraction = scaled - scaled.trunc();
    let rounded = if fraction >= up { scaled.ceil() } else { scaled.floor() };
    Ok(Value::Float(rounded / 10f64.powi(places)))
}
