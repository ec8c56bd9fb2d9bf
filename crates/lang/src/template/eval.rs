//! Executes templates.

use std::collections::BTreeMap;
use std::rc::Rc;

use regex::Regex;

use super::ast::{Expr, Node};
use super::functions::{self, Run};
use super::held::{checked, weight, weight_in_passing};
use super::value::Value;
use super::{Data, bounded};
use crate::limits;

/// What is said of an execution that nobody waits for.
const STOPPED: &str = "it was stopped";

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
    /// What each variable holds, bytes.
    weights: Vec<usize>,
    /// What all of them hold, and values that are under way.
    held: usize,
    out: &'o mut String,
    /// Length of `out` when it began.
    began: usize,
    steps: usize,
}

pub(super) fn run(nodes: &[Node], slots: usize, data: &dyn Data, out: &mut String) -> Result<(), String> {
    let began = out.len();
    let mut m = Machine { data, variables: vec![Value::Nil; slots], weights: vec![0; slots], held: 0, out, began, steps: 0 };
    m.nodes(nodes, &Value::Data).map(drop)
}

impl<'a> Machine<'a, '_> {
    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps > limits::TEMPLATE_STEPS {
            return Err(format!("the template takes more than {} steps", limits::TEMPLATE_STEPS));
        }
        // One step may work through megabytes.
        if self.data.goes_on() { Ok(()) } else { Err(STOPPED.into()) }
    }

    fn hold(&mut self, bytes: usize) -> Result<(), String> {
        self.held = checked(self.held + bytes)?;
        Ok(())
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
                    let value = self.eval(e, dot)?;
                    self.set(Some(*slot), value)?;
                    Flow::On
                }
                Node::If { variable, condition, then, otherwise } => {
                    let value = self.eval(condition, dot)?;
                    let is_true = value.is_true();
                    self.set(*variable, value)?;
                    self.nodes(if is_true { then } else { otherwise }, dot)?
                }
                Node::With { variable, value, then, otherwise } => {
                    let value = self.eval(value, dot)?;
                    self.set(*variable, value.clone())?;
                    let bytes = weight(&value)?;
                    self.hold(bytes)?;
                    let flow = if value.is_true() { self.nodes(then, &value)? } else { self.nodes(otherwise, dot)? };
                    self.held -= bytes;
                    flow
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

    fn set(&mut self, variable: Option<usize>, value: Value<'a>) -> Result<(), String> {
        if let Some(slot) = variable {
            self.held -= std::mem::take(&mut self.weights[slot]);
            let bytes = weight(&value)?;
            self.hold(bytes)?;
            self.weights[slot] = bytes;
            self.variables[slot] = value;
        }
        Ok(())
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
        let bytes = weight(&over)?;
        self.hold(bytes)?;
        let variables = (key, element);
        let ended = match &over {
            Value::Nil => None,
            Value::List(l) => self.passes(variables, l.iter().enumerate().map(|(i, v)| (Value::Int(i as i64), v.clone())), body)?,
            Value::Map(m) => self.passes(variables, m.iter().map(|(k, v)| (Value::owned(k.clone()), v.clone())), body)?,
            // Bounded by the steps that its passes take.
            Value::Int(n) => self.passes(variables, (0..*n).map(|i| (Value::Int(i), Value::Int(i))), body)?,
            other => return Err(format!("range can't iterate over {}", other.kind())),
        };
        self.held -= bytes;
        match ended {
            None => self.nodes(otherwise, dot),
            Some(flow) => Ok(flow),
        }
    }

    /// Goes through the body with each of `items`; none if there were none.
    fn passes<'n: 'a>(
        &mut self,
        (key, element): (Option<usize>, Option<usize>),
        items: impl Iterator<Item = (Value<'a>, Value<'a>)>,
        body: &'n [Node],
    ) -> Result<Option<Flow>, String> {
        let mut ended = None;
        for (k, v) in items {
            self.step()?;
            ended = Some(Flow::On);
            self.set(key, k)?;
            self.set(element, v.clone())?;
            if self.nodes(body, &v)? == Flow::Break {
                break;
            }
        }
        Ok(ended)
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
                let before = self.held;
                let mut values = Vec::with_capacity(args.len());
                for a in args {
                    let value = match self.eval(a, dot)? {
                        Value::Data => self.all(),
                        v => v,
                    };
                    self.hold(weight_in_passing(&value)?)?;
                    values.push(value);
                }
                let made = self.call(*run, pattern.as_ref(), &values).map_err(|e| format!("error calling {name}: {e}"))?;
                self.hold(weight_in_passing(&made)?)?;
                self.held = before;
                made
            }
        })
    }

    fn call(&self, run: Run, pattern: Option<&Regex>, values: &[Value<'a>]) -> Result<Value<'a>, String> {
        let goes_on = || if self.data.goes_on() { Ok(()) } else { Err(STOPPED.to_owned()) };
        match (run, pattern) {
            (Run::Plain(f), _) => f(values),
            (Run::Pattern(f), Some(p)) => f(p, values, &goes_on),
            (Run::Pattern(f), None) => f(&functions::compile(values[0].as_text()?)?, values, &goes_on),
        }
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
