//! Numbers as Go prints and reads them.

use super::value::Value;
pub(super) use crate::number::{exponent, general as shown};

/// As `cast.ToInt64` of Sprig: text is read, what is no number is 0.
pub(super) fn to_int(v: &Value<'_>) -> i64 {
    match v {
        Value::Int(n) => *n,
        Value::Float(f) => *f as i64,
        Value::Bool(b) => i64::from(*b),
        Value::Text(t) => t.trim().parse().unwrap_or(0),
        Value::Time(ns) => ns / 1_000_000_000,
        _ => 0,
    }
}

/// As `cast.ToFloat64` of Sprig.
pub(super) fn to_float(v: &Value<'_>) -> f64 {
    match v {
        Value::Int(n) => *n as f64,
        Value::Float(f) => *f,
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::Text(t) => crate::number::parse(t.trim()).unwrap_or(0.0),
        _ => 0.0,
    }
}
