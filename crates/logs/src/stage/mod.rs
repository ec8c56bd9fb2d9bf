//! The stages of a pipeline: each takes a row, may change its line and labels, and says whether the row goes on. One
//! operator, one file.
//!
//! A stage never fails a query: what goes wrong with one line becomes its `__error__` label, which later stages and
//! the evaluator look at.

pub mod decolorize;
pub mod ip;
pub mod json;
pub mod json_glance;
pub mod json_path;
pub mod keep;
pub mod label_filter;
pub mod label_format;
pub mod labels;
pub mod line_filter;
pub mod line_format;
pub mod logfmt;
pub mod pattern;
pub mod pipeline;
pub mod regexp;
pub mod template;
#[cfg(test)]
mod testing;
pub mod unpack;
pub mod unwrap;

use std::borrow::Cow;

use table::Cancel;

pub use labels::{Category, RowLabels, SeriesLabels};
pub use pipeline::Pipeline;

/// One line on its way through a pipeline.
pub struct Row<'a> {
    /// When, nanoseconds.
    pub time_ns: i64,
    /// The line as it is by now.
    pub line: Cow<'a, str>,
    /// Its labels by now.
    pub labels: &'a mut RowLabels,
    /// Whether somebody still waits. A stage that works on without end over one line looks at it, and may leave anything behind once
    /// nobody does.
    pub cancel: &'a Cancel,
}

/// One operator.
pub trait Stage: Send + Sync {
    /// Changes the row; false drops it.
    fn apply(&self, row: &mut Row<'_>) -> bool;
}

/// Which labels somebody looks at later on; parsers extract no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Any.
    All,
    /// These.
    Only(Vec<String>),
}

impl Wanted {
    /// Nobody looks at any.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Wanted::Only(names) if names.is_empty())
    }
    /// Whether `name` is looked at.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Only(names) => names.iter().any(|n| n == name),
        }
    }
    /// Whether it matters that the stream or the metadata have `name`: because it is looked at, or what a parser finds under
    /// its name.
    pub fn depends_on(&self, name: &str) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Only(names) => names.iter().any(|n| n.strip_suffix(labels::SUFFIX).unwrap_or(n) == name || n == name),
        }
    }
    /// Whether a label whose name starts so may be looked at.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Only(names) => names.iter().any(|n| n.starts_with(prefix)),
        }
    }
    /// Adds a name.
    pub fn add(&mut self, name: &str) {
        if let Wanted::Only(names) = self
            && !names.iter().any(|n| n == name)
        {
            names.push(name.to_string());
        }
    }
}

/// Replaces what could not be decoded, as the original does.
fn clean(value: &str) -> Cow<'_, str> {
    if value.contains('\u{FFFD}') { Cow::Owned(value.replace('\u{FFFD}', " ")) } else { Cow::Borrowed(value) }
}
