//! Executes templates.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::ast::{Expr, Node};
use super::functions::{self, Run};
use super::value::Value;
use super::{Data, bounded};
use crate::limits;

/// How a list of nodes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Machine<'a, 'o> {
    data: &'a dyn Data,
    variables: Vec<Value<'a>>,
    out: &'o mut String,
    /// Length of `out` when it began.
    began: usize,
    steps: usize,
}

pub(super) fn run(nodes: &[Node], slots: usize, data: &dyn Data, out: &mut String) -> Result<(), String> {
    let began = out.len();
    let mut m = Machine { data, variables: vec![Value::Nil; slots], out, began, steps: 0 };
    m.nodes(nodes, &Value::Data).map(drop)
}

impl<'a> Machine<'a, '_> {
    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps > limits::TEMPLATE_STEPS {
            Err(format!("the template takes more than {} steps", limits::TEMPLATE_STEPS))
        } else {
            Ok(())
        }
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        bounded(self.out.len() - self.began + text.len())?;
        self.out.push_str(text);
        Ok(())
    }

    fn nodes<'n: 'a>(&mut self, nodes: &'n [Node], dot: &Value<'a>) -> Result<Flow, String> {
        for n in nodes {
            self.step()?;
            let flow = match n {
                Node::Text(t) => {
                    self.write(t)?;
                    Flow::On
                }
                Node::Print(e) => {
                    let value = self.eval(e, dot)?;
                    match value {
                        Value::Data => self.write(&self.all().shown())?,
                        value => self.write(&value.shown())?,
                    }
                    Flow::On
                }
                Node::Set(slot, e) => {
                    self.variables[*slot] = self.eval(e, dot)?;
                    Flow::On
                }
                Node::If { variable, condition, then, otherwise } => {
                    let value = self.eval(condition, dot)?;
                    let is_true = value.is_true();
                    self.set(*variable, value);
                    self.nodes(if is_true { then } else { otherwise }, dot)?
                }
                Node::With { variable, value, then, otherwise } => {
                    let value = self.eval(value, dot)?;
                    self.set(*variable, value.clone());
                    if value.is_true() { self.nodes(then, &value)? } else { self.nodes(otherwise, dot)? }
                }
                Node::Range { key, element, over, body, otherwise } => self.range((*key, *element), over, body, otherwise, dot)?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn set(&mut self, variable: Option<usize>, value: Value<'a>) {
        if let Some(slot) = variable {
            self.variables[slot] = value;
        }
    }

    fn range<'n: 'a>(
        &mut self,
        (key, element): (Option<usize>, Option<usize>),
        over: &'n Expr,
        body: &'n [Node],
        otherwise: &'n [Node],
        dot: &Value<'a>,
    ) -> Result<Flow, String> {
        let over = match self.eval(over, dot)? {
            Value::Data => self.all(),
            v => v,
        };
        let items: Vec<(Value<'a>, Value<'a>)> = match over {
            Value::Nil => vec![],
            Value::List(l) => l.iter().enumerate().map(|(i, v)| (Value::Int(i as i64), v.clone())).collect(),
            Value::Map(m) => m.iter().map(|(k, v)| (Value::owned(k.clone()), v.clone())).collect(),
            // Bounded by the steps that its passes take.
            Value::Int(n) => (0..n.clamp(0, limits::TEMPLATE_STEPS as i64 + 1)).map(|i| (Value::Int(i), Value::Int(i))).collect(),
            other => return Err(format!("range can't iterate over {}", other.kind())),
        };
        if items.is_empty() {
            return self.nodes(otherwise, dot);
        }
        for (k, v) in items {
            self.step()?;
            self.set(key, k);
            self.set(element, v.clone());
            if self.nodes(body, &v)? == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    /// The data as a map.
    fn all(&self) -> Value<'a> {
        Value::Map(Rc::new(self.data.all().into_iter().collect::<BTreeMap<_, _>>()))
    }

    fn eval<'n: 'a>(&mut self, e: &'n Expr, dot: &Value<'a>) -> Result<Value<'a>, String> {
        self.step()?;
        Ok(match e {
            Expr::Dot => dot.clone(),
            Expr::Root => Value::Data,
            Expr::Nil => Value::Nil,
            Expr::Bool(b) => Value::Bool(*b),
            Expr::Int(n) => Value::Int(*n),
            Expr::Float(f) => Value::Float(*f),
            Expr::Text(t) => Value::text(t),
            Expr::Variable(slot) => self.variables[*slot].clone(),
            Expr::Context(name) => self.data.context(name).unwrap_or(Value::Nil),
            Expr::Field(base, path) => {
                let mut value = self.eval(base, dot)?;
                for name in path {
                    value = self.field(&value, name)?;
                }
                value
            }
            Expr::First { stop_at, args } => {
                let mut value = Value::Nil;
                for a in args {
                    value = self.eval(a, dot)?;
                    if value.is_true() == *stop_at {
                        break;
                    }
                }
                value
            }
            Expr::Call { name, run, pattern, args } => {
                let mut values = Vec::with_capacity(args.len());
                for a in args {
                    values.push(match self.eval(a, dot)? {
                        Value::Data => self.all(),
                        v => v,
                    });
                }
                let told = |e: String| format!("error calling {name}: {e}");
                match (run, pattern) {
                    (Run::Plain(f), _) => f(&values).map_err(told)?,
                    (Run::Pattern(f), Some(p)) => f(p, &values).map_err(told)?,
                    (Run::Pattern(f), None) => {
                        let p = values[0].as_text().and_then(functions::compile).map_err(told)?;
                        f(&p, &values).map_err(told)?
                    }
                }
            }
        })
    }

    fn field(&self, value: &Value<'a>, name: &str) -> Result<Value<'a>, String> {
        match value {
            Value::Data => Ok(self.data.field(name).unwrap_or_else(|| self.data.missing())),
            Value::Map(m) => Ok(m.get(name).cloned().unwrap_or(Value::Nil)),
            Value::Nil => Err(format!("nil data; no entry for key {name:?}")),
            other => Err(format!("can't evaluate field {name} in type {}", other.kind())),
        }
    }
}
