//! Numbers as Go prints and reads them.

use super::value::Value;

/// `%v` and `%g` of a float: the shortest digits, with an exponent below 1e-4 and from 1e6 on.
pub(super) fn shown(v: f64) -> String {
    if v.is_nan() {
        return "NaN".into();
    }
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let magnitude = v.abs();
    if v == 0.0 || (1e-4..1e6).contains(&magnitude) { v.to_string() } else { exponent(&format!("{v:e}")) }
}

/// Rust's `1.5e21` in Go's form, `1.5e+21`.
pub(super) fn exponent(text: &str) -> String {
    let Some((digits, e)) = text.split_once(['e', 'E']) else { return text.to_owned() };
    let mark = if text.contains('E') { 'E' } else { 'e' };
    let (sign, e) = e.strip_prefix('-').map_or(('+', e), |e| ('-', e));
    format!("{digits}{mark}{sign}{e:0>2}")
}

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
