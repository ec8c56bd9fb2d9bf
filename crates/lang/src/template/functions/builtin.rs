//! Go's own functions (package `text/template`, "Functions"). `and` and `or` are part of the language.

use std::cmp::Ordering;

use super::{Function, Value};
use crate::template::print;

pub(super) const ALL: &[Function] = &[
    Function::plain("not", 1, 1, |a| Ok(Value::Bool(!a[0].is_true()))),
    Function::plain("len", 1, 1, len),
    Function::plain("index", 1, usize::MAX, index),
    Function::plain("slice", 1, 3, slice),
    Function::plain("print", 0, usize::MAX, |a| print::sprint(a).map(Value::owned)),
    Function::plain("println", 0, usize::MAX, |a| print::sprintln(a).map(Value::owned)),
    Function::plain("printf", 1, usize::MAX, |a| print::sprintf(a[0].as_text()?, &a[1..]).map(Value::owned)),
    Function::plain("eq", 2, usize::MAX, |a| {
        for other in &a[1..] {
            if equal(&a[0], other)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }),
    Function::plain("ne", 2, 2, |a| equal(&a[0], &a[1]).map(|e| Value::Bool(!e))),
    Function::plain("lt", 2, 2, |a| compare(a, |o| o == Ordering::Less)),
    Function::plain("le", 2, 2, |a| compare(a, |o| o != Ordering::Greater)),
    Function::plain("gt", 2, 2, |a| compare(a, |o| o == Ordering::Greater)),
    Function::plain("ge", 2, 2, |a| compare(a, |o| o != Ordering::Less)),
    Function::plain("html", 1, 1, |a| Ok(Value::owned(html(&a[0].shown())))),
    Function::plain("urlquery", 1, 1, |a| Ok(Value::owned(super::texts::url_query(&a[0].shown())))),
];

fn len<'a>(a: &[Value<'a>]) -> Result<Value<'a>, String> {
    Ok(Value::Int(match &a[0] {
        Value::Text(t) => t.len(),
        Value::List(l) => l.len(),
        Value::Map(m) => m.len(),
        other => return Err(format!("len of type {}", other.kind())),
    } as i64))
}

fn index<'a>(a: &[Value<'a>]) -> Result<Value<'a>, String> {
    let mut value = a[0].clone();
    for i in &a[1..] {
        value = match (&value, i) {
            (Value::List(l), Value::Int(n)) => {
                usize::try_from(*n).ok().and_then(|n| l.get(n)).cloned().ok_or_else(|| format!("index out of range: {n}"))?
            }
            (Value::Text(t), Value::Int(n)) => {
                let byte = usize::try_from(*n).ok().and_then(|n| t.as_bytes().get(n).copied());
                Value::Int(i64::from(byte.ok_or_else(|| format!("index out of range: {n}"))?))
            }
            (Value::Map(m), Value::Text(k)) => m.get(k.as_ref()).cloned().unwrap_or(Value::Nil),
            (Value::Nil, _) => return Err("index of untyped nil".into()),
            (v, i) => return Err(format!("can't index item of type {} with {}", v.kind(), i.kind())),
        };
    }
    Ok(value)
}

fn slice<'a>(a: &[Value<'a>]) -> Result<Value<'a>, String> {
    let at = |i: usize, default: usize| match a.get(i) {
        None => Ok(default),
        Some(Value::Int(n)) => usize::try_from(*n).map_err(|_| format!("index out of range: {n}")),
        Some(other) => Err(format!("cannot index slice with type {}", other.kind())),
    };
    match &a[0] {
        Value::Text(t) => {
            let (from, to) = (at(1, 0)?, at(2, t.len())?);
            t.get(from..to).map(Value::owned).ok_or_else(|| format!("index out of range: {from}:{to}"))
        }
        Value::List(l) => {
            let (from, to) = (at(1, 0)?, at(2, l.len())?);
            l.get(from..to).map(|s| Value::list(s.to_vec())).ok_or_else(|| format!("index out of range: {from}:{to}"))
        }
        other => Err(format!("can't slice item of type {}", other.kind())),
    }
}

fn equal(a: &Value<'_>, b: &Value<'_>) -> Result<bool, String> {
    let same_kind = std::mem::discriminant(a) == std::mem::discriminant(b);
    if same_kind || *a == Value::Nil || *b == Value::Nil { Ok(a == b) } else { Err("incompatible types for comparison".into()) }
}

fn compare<'a>(a: &[Value<'a>], wanted: fn(Ordering) -> bool) -> Result<Value<'a>, String> {
    let order = match (&a[0], &a[1]) {
        (Value::Int(x), Value::Int(y)) => Some(x.cmp(y)),
        (Value::Float(x), Value::Float(y)) => x.partial_cmp(y),
        (Value::Text(x), Value::Text(y)) => Some(x.cmp(y)),
        (Value::Time(x), Value::Time(y)) => Some(x.cmp(y)),
        (x, y) if std::mem::discriminant(x) == std::mem::discriminant(y) => return Err("invalid type for comparison".into()),
        _ => return Err("incompatible types for comparison".into()),
    };
    Ok(Value::Bool(order.is_some_and(wanted)))
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
