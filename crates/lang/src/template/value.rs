//! Values while a template is executed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A value; text is borrowed from data and template where it can be.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing.
    Nil,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// A time, nanoseconds since 1970.
    Time(i64),
    /// Several.
    List(Rc<Vec<Value<'a>>>),
    /// Named ones.
    Map(Rc<BTreeMap<String, Value<'a>>>),
    /// The data as a whole.
    Data,
}

impl<'a> Value<'a> {
    /// Borrowed text.
    pub fn text(t: &'a str) -> Value<'a> {
        Value::Text(Cow::Borrowed(t))
    }
    /// Text of its own.
    pub fn owned(t: impl Into<String>) -> Value<'a> {
        Value::Text(Cow::Owned(t.into()))
    }
    /// A list.
    pub fn list(items: Vec<Value<'a>>) -> Value<'a> {
        Value::List(Rc::new(items))
    }
    /// Whether `if` takes it for true: not zero and not empty.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(b) => *b,
            Value::Int(n) => *n != 0,
            Value::Float(f) => *f != 0.0,
            Value::Text(t) => !t.is_empty(),
            Value::List(l) => !l.is_empty(),
            Value::Map(m) => !m.is_empty(),
            Value::Time(_) | Value::Data => true,
        }
    }
    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Nil => "nil",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Time(_) => "time",
            Value::List(_) => "list",
            Value::Map(_) | Value::Data => "map",
        }
    }
    /// The text, where a function needs one.
    pub fn as_text(&self) -> Result<&str, String> {
        match self {
            Value::Text(t) => Ok(t),
            other => Err(format!("expected string; found {}", other.kind())),
        }
    }
    /// As the template prints it.
    pub fn shown(&self) -> Cow<'_, str> {
        match self {
            Value::Text(t) => Cow::Borrowed(t),
            other => Cow::Owned(super::print::shown(other)),
        }
    }
}
