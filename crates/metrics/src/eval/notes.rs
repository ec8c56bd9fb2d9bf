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
    /// A window holds both floats and histograms.
    pub fn mixed(&self, name: &str, span: Span) {
        self.warn(&format!("encountered a mix of histograms and floats for metric name {name:?}"), span);
    }
    /// A group holds both floats and histograms.
    pub fn mixed_group(&self, span: Span) {
        self.warn("encountered a mix of histograms and floats for aggregation", span);
    }
    /// Histograms with exponential and with custom buckets cannot be calculated with together.
    pub fn mixed_schemas(&self, name: &str, span: Span) {
        let what = "vector contains a mix of histograms with exponential and custom buckets schemas";
        self.warn(&format!("{what} for metric name {name:?}"), span);
    }
    /// Nor with an operator.
    pub fn incompatible_buckets(&self, op: &str, span: Span) {
        self.warn(&format!("incompatible bucket layout encountered for binary operator {op}"), span);
    }
    /// Histograms have observations of NaN, and a function of this name makes `what` of them.
    pub fn nan_observations(&self, function: &str, what: &str, name: &str, span: Span) {
        self.info(&format!("input to {function} has NaN observations, {what}{}", of_metric(name)), span);
    }
    /// A sample's counting begins before the sample before it, and not where that one's did.
    pub fn start_overlap(&self, name: &str, span: Span) {
        self.warn(&format!("sample has start time that overlaps with previous sample timestamp for metric name {name:?}"), span);
    }
    /// A function passed over the histograms of a window.
    pub fn ignored_in_range(&self, name: &str, span: Span) {
        self.info(&format!("ignored histograms in a range containing both floats and histograms for metric name {name:?}"), span);
    }
    /// An aggregation passed over the histograms of a group.
    pub fn ignored_in_aggregation(&self, op: &str, span: Span) {
        self.info(&format!("ignored histogram in {op} aggregation"), span);
    }
    /// An operator does not exist for these types.
    pub fn incompatible(&self, left: &str, op: &str, right: &str, span: Span) {
        self.info(&format!("incompatible sample types encountered for binary operator {op:?}: {left} {op} {right}"), span);
    }
}

/// The end of a message about a metric, which may have no name any more.
pub fn of_metric(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" for metric name {name:?}") }
}
