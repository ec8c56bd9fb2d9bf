//! Go's `text/template`, the part that formatting lines, labels and alerts uses. One engine for all of them.
//!
//! Constraints: no input makes it panic, and every execution ends: source, depth, steps, output and what is held on the way are bounded
//! ([`crate::limits`]), and who waits for it may stop it ([`Data::goes_on`]). What the engine does not know (`define`, `template`, `block`) is refused when the template is
//! read, at its place, never answered wrongly.
//!
//! Design: [`Template::parse`] reads the text once: pipelines become nested calls, variables become slots, functions are
//! looked up, and patterns that are written as literals are compiled. [`Template::execute`] then walks the tree over
//! [`Data`], which lends its values, so that filling in a label costs one copy into the output.
//!
//! Differences from Go that can be seen: maps are ranged over in the order of their keys (as in Go); there are no methods;
//! integers have 64 bits; text is UTF-8.

mod ast;
mod decimal;
mod eval;
pub mod functions;
mod held;
mod numbers;
mod parser;
mod print;
mod value;

use crate::{Parsed, limits};

pub use functions::{Function, Functions};
pub use value::Value;

/// What a template is filled from: what `.` and `$` stand for.
pub trait Data {
    /// The value of `.name`; none if there is no such thing, for which [`Data::missing`] stands.
    fn field(&self, name: &str) -> Option<Value<'_>>;
    /// What an absent field is: Go prints `<no value>` for a map of any values, and nothing for a map of texts.
    fn missing(&self) -> Value<'_> {
        Value::Nil
    }
    /// The value of a name of [`Functions::context`], such as `__line__`.
    fn context(&self, _name: &str) -> Option<Value<'_>> {
        None
    }
    /// All fields, for `range` and for printing `.` itself.
    fn all(&self) -> Vec<(String, Value<'_>)>;
    /// Whether somebody still waits. It is asked before every step: a template of some kilobytes can work for minutes.
    fn goes_on(&self) -> bool {
        true
    }
}

/// A template that was read.
#[derive(Debug)]
pub struct Template {
    nodes: Vec<ast::Node>,
    /// Variables it has at the same time at most.
    slots: usize,
}

impl Template {
    /// Reads a template that may call `functions`.
    pub fn parse(text: &str, functions: &Functions) -> Parsed<Template> {
        parser::parse(text, functions)
    }

    /// Fills it in and appends the result to `out`. The error is for people; `out` then holds what was written before.
    pub fn execute(&self, data: &dyn Data, out: &mut String) -> Result<(), String> {
        eval::run(&self.nodes, self.slots, data, out)
    }

    /// Calls `name` with the first name of every field that is read of `.` or `$` anywhere in the template. False if the
    /// template also looks at all of them, so that the list says nothing.
    pub fn names(&self, mut name: impl FnMut(&str)) -> bool {
        ast::names(&self.nodes, &mut name)
    }
}

/// Refuses what would be longer than a template may make.
fn bounded(bytes: usize) -> Result<(), String> {
    if bytes > limits::TEMPLATE_OUTPUT { Err(format!("the result would be longer than {} bytes", limits::TEMPLATE_OUTPUT)) } else { Ok(()) }
}

/// Texts with `by` between them, if a template may make as much.
fn joined<T: AsRef<str>>(parts: impl Iterator<Item = T>, by: &str) -> Result<String, String> {
    let mut out = String::new();
    for (i, part) in parts.enumerate() {
        if i > 0 {
            out.push_str(by);
        }
        bounded(out.len() + part.as_ref().len())?;
        out.push_str(part.as_ref());
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
