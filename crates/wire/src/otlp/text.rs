//! Attribute values as text.

use std::borrow::Cow;

use base::attrs::{self, Value};
use serde_json::Value as Json;

use super::json::to_base64;
use crate::limits::VALUE_DEPTH;

/// A value as text: bytes in base64, lists and maps as JSON. `double` prints numbers, in which the systems that we are compared with differ.
pub fn show<'a>(value: &Value<'a>, double: impl FnOnce(f64) -> String) -> Cow<'a, str> {
    Cow::Owned(match value {
        Value::Empty => return Cow::Borrowed(""),
        Value::Str(s) => return Cow::Borrowed(s),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Double(d) => double(*d),
        Value::Bytes(b) => to_base64(b),
        Value::Array(_) | Value::Map(_) => json(value, 0).to_string(),
    })
}

/// What is nested deeper than [`VALUE_DEPTH`] is `null`.
fn json(value: &Value<'_>, depth: usize) -> Json {
    match value {
        Value::Array(b) if depth < VALUE_DEPTH => attrs::iter_array(b).map(|v| json(&v, depth + 1)).collect(),
        Value::Map(b) if depth < VALUE_DEPTH => Json::Object(attrs::iter(b).map(|(k, v)| (k.to_owned(), json(&v, depth + 1))).collect()),
        Value::Str(s) => (*s).into(),
        Value::Bool(b) => (*b).into(),
        Value::Int(i) => (*i).into(),
        Value::Double(d) => (*d).into(),
        Value::Bytes(b) => to_base64(b).into(),
        Value::Empty | Value::Array(_) | Value::Map(_) => Json::Null,
    }
}
