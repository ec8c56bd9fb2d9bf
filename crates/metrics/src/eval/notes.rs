//! Warnings and infos of an answer: what a query's author should know, although there is an answer.

use std::cell::RefCell;

use lang::Span;

use crate::limits;

/// Collects them, each once.
pub struct Notes<'a> {
    source: &'a str,
    warnings: RefCell<Vec<String>>,
    infos: RefCell<Vec<String>>,
}

impl<'a> Notes<'a> {
    /// None yet, about the query `source`.
    pub fn new(source: &'a str) -> Self {
        Notes { source, warnings: RefCell::default(), infos: RefCell::default() }
    }
    /// Something is probably wrong.
    pub fn warn(&self, message: &str, span: Span) {
        self.add(&self.warnings, "PromQL warning", message, span);
    }
    /// Something may be wrong.
    pub fn info(&self, message: &str, span: Span) {
        self.add(&self.infos, "PromQL info", message, span);
    }
    fn add(&self, list: &RefCell<Vec<String>>, kind: &str, message: &str, span: Span) {
        let mut list = list.borrow_mut();
        if list.len() > limits::ANNOTATIONS {
            return;
        }
        let (line, column) = span.line_column(self.source);
        let text = format!("{kind}: {message} ({line}:{column})");
        if list.contains(&text) {
            return;
        }
        let full = list.len() == limits::ANNOTATIONS;
        list.push(if full { format!("{kind}: more of the kind are not listed") } else { text });
    }
    /// Warnings and infos.
    pub fn finish(self) -> (Vec<String>, Vec<String>) {
        (self.warnings.into_inner(), self.infos.into_inner())
    }
    /// A window or a group holds both floats and histograms.
    pub fn mixed(&self, name: &str, span: Span) {
        self.warn(&format!("encountered a mix of histograms and floats for {}", metric(name)), span);
    }
    /// Histograms with exponential and with custom buckets cannot be calculated with together.
    pub fn mixed_schemas(&self, name: &str, span: Span) {
        self.warn(&format!("vector contains a mix of histograms with exponential and custom buckets schemas for {}", metric(name)), span);
    }
    /// A sample's counting begins before the sample before it, and not where that one's did.
    pub fn start_overlap(&self, name: &str, span: Span) {
        self.warn(&format!("sample has start time that overlaps with previous sample timestamp for metric name {name:?}"), span);
    }
    /// A function or aggregation passed over histograms.
    pub fn ignored_histograms(&self, what: &str, span: Span) {
        self.info(&format!("ignored histograms in {what}"), span);
    }
    /// An operator does not exist for these types.
    pub fn incompatible(&self, left: &str, op: &str, right: &str, span: Span) {
        self.info(&format!("incompatible sample types encountered for binary operator {op:?}: {left} {op} {right}"), span);
    }
}

fn metric(name: &str) -> String {
    if name.is_empty() { "aggregation".into() } else { format!("metric name {name:?}") }
}
