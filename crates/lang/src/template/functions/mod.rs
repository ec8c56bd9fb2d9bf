//! What templates may call.

mod builtin;
mod digest;
mod encodings;
mod maths;
mod moments;
mod patterns;
mod texts;

use regex::Regex;

use super::value::Value;

pub(super) use patterns::compile;

/// What a function does with its arguments.
pub type Plain = for<'a> fn(&[Value<'a>]) -> Result<Value<'a>, String>;
/// An error once nobody waits any more.
pub type GoesOn<'g> = &'g dyn Fn() -> Result<(), String>;
/// The same for a function whose first argument is a pattern. It asks after every match: each may take a look at the whole text.
pub type WithPattern = for<'a> fn(&Regex, &[Value<'a>], GoesOn<'_>) -> Result<Value<'a>, String>;

/// How a function is run.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// With its arguments.
    Plain(Plain),
    /// With its first argument compiled: once, when the template is read, if it is a literal.
    Pattern(WithPattern),
}

/// A function that templates may call.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// The least number of arguments.
    pub min: usize,
    /// The greatest number of arguments.
    pub max: usize,
    /// What it does.
    pub run: Run,
}

impl Function {
    const fn plain(name: &'static str, min: usize, max: usize, run: Plain) -> Function {
        Function { name, min, max, run: Run::Plain(run) }
    }
    const fn pattern(name: &'static str, args: usize, run: WithPattern) -> Function {
        Function { name, min: args, max: args, run: Run::Pattern(run) }
    }
}

/// Functions by their sets, and names that the data knows beside its fields.
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    /// A name is looked up in the first set first.
    pub sets: &'static [&'static [Function]],
    /// Names such as `__line__`, which [`super::Data::context`] answers.
    pub context: &'static [&'static str],
}

/// Go's own functions.
pub const GO: &[Function] = builtin::ALL;
/// Texts: the functions of Loki, and those of Sprig that log pipelines use.
pub const TEXT: &[Function] = texts::ALL;
/// Calculation.
pub const MATHS: &[Function] = maths::ALL;
/// Dates and durations.
pub const TIME: &[Function] = moments::ALL;
/// Patterns and what counts by them.
pub const PATTERN: &[Function] = patterns::ALL;
/// Hashes.
pub const DIGEST: &[Function] = digest::ALL;

/// Base 64 and JSON.
pub const ENCODING: &[Function] = encodings::ALL;

/// What log pipelines may call: everything here, and no names beside the fields.
pub const PIPELINE: Functions = Functions { sets: &[GO, TEXT, MATHS, TIME, PATTERN, DIGEST, ENCODING], context: &[] };

impl Functions {
    /// The function of this name.
    pub fn find(&self, name: &str) -> Option<&'static Function> {
        self.sets.iter().flat_map(|s| s.iter()).find(|f| f.name == name)
    }
    /// All names, those of the language and of the context too.
    pub fn names(&self) -> Vec<&'static str> {
        self.sets.iter().flat_map(|s| s.iter().map(|f| f.name)).chain(self.context.iter().copied()).chain(["and", "or"]).collect()
    }
}
