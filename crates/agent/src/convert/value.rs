//! What expressions come to.

use serde_yaml_ng::{Mapping, Number, Value as Yaml};

use super::syntax::{Expr, Kind};

/// A value, as far as it is known without running Alloy.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// True or false.
    Bool(bool),
    /// A number as it is written.
    Number(String),
    /// Text. What comes from the environment is `${NAME}`, what comes from a file is `file:PATH`.
    Text(String),
    /// Several.
    List(Vec<Value>),
    /// Named ones.
    Object(Vec<(String, Value)>),
    /// Something of another component: `loki.write.x.receiver`.
    Reference(String),
    /// What cannot be known, in words.
    Unknown(String),
}

impl Value {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(t) => Some(t),
            _ => None,
        }
    }
    /// As YAML; the error says what cannot be.
    pub fn yaml(&self) -> Result<Yaml, String> {
        Ok(match self {
            Value::Null => Yaml::Null,
            Value::Bool(b) => Yaml::Bool(*b),
            Value::Number(n) => {
                let float = || lang::number::parse(n).map(Number::from);
                Yaml::Number(n.parse::<i64>().map(Number::from).ok().or_else(float).ok_or_else(|| format!("{n} is not a number"))?)
            }
            Value::Text(t) => Yaml::String(t.clone()),
            Value::List(l) => Yaml::Sequence(l.iter().map(Value::yaml).collect::<Result<_, _>>()?),
            Value::Object(o) => {
                let pairs = o.iter().map(|(k, v)| Ok((Yaml::String(k.clone()), v.yaml()?)));
                Yaml::Mapping(pairs.collect::<Result<Mapping, String>>()?)
            }
            Value::Reference(r) => return Err(format!("the value of {r}")),
            Value::Unknown(what) => return Err(what.clone()),
        })
    }
}

/// Evaluates what can be known from the file alone.
pub fn eval(e: &Expr) -> Value {
    match &e.kind {
        Kind::Null => Value::Null,
        Kind::Bool(b) => Value::Bool(*b),
        Kind::Number(n) => Value::Number(n.clone()),
        Kind::Text(t) => Value::Text(t.clone()),
        Kind::List(l) => Value::List(l.iter().map(eval).collect()),
        Kind::Object(o) => Value::Object(o.iter().map(|(k, v)| (k.clone(), eval(v))).collect()),
        Kind::Name(_) | Kind::Field(..) => match e.path() {
            Some(p) if p == "constants.hostname" => Value::Text("${HOSTNAME}".into()),
            Some(p) => Value::Reference(p),
            None => Value::Unknown("a field of a computed value".into()),
        },
        Kind::Call(f, args) => call(&f.path().unwrap_or_default(), &args.iter().map(eval).collect::<Vec<_>>()),
        Kind::Binary("+", a, b) => match (eval(a), eval(b)) {
            (Value::Text(a), Value::Text(b)) => Value::Text(a + &b),
            _ => Value::Unknown("a calculation".into()),
        },
        Kind::Unary('-', n) => match eval(n) {
            Value::Number(n) => Value::Number(format!("-{n}")),
            _ => Value::Unknown("a calculation".into()),
        },
        Kind::Index(..) => Value::Unknown("an element of a computed value".into()),
        Kind::Unary(..) | Kind::Binary(..) => Value::Unknown("a calculation".into()),
    }
}

fn call(name: &str, args: &[Value]) -> Value {
    match (name, args) {
        ("sys.env" | "env", [Value::Text(name)]) => Value::Text(format!("${{{name}}}")),
        ("convert.nonsensitive" | "nonsensitive", [v]) => v.clone(),
        ("array.concat" | "concat", lists) => {
            let mut all = vec![];
            for l in lists {
                match l {
                    Value::List(l) => all.extend(l.iter().cloned()),
                    other => all.push(other.clone()),
                }
            }
            Value::List(all)
        }
        ("string.join" | "join", [Value::List(parts), Value::Text(by)]) => {
            match parts.iter().map(Value::text).collect::<Option<Vec<_>>>() {
                Some(parts) => Value::Text(parts.join(by)),
                None => Value::Unknown("string.join of computed values".into()),
            }
        }
        _ => Value::Unknown(format!("a call of {}", if name.is_empty() { "a computed function" } else { name })),
    }
}
