//! A block that is being read: what nobody asked for is named at the end.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};

use lang::Span;
use serde_yaml_ng::Value as Yaml;

use super::syntax::{Block, Body};
use super::value::{Value, eval};
use super::{About, Note};

/// Remarks so far, and the text they speak of.
pub(super) struct Notes<'a> {
    text: &'a str,
    list: RefCell<Vec<Note>>,
}

impl<'a> Notes<'a> {
    /// None yet.
    pub fn new(text: &'a str) -> Self {
        Notes { text, list: RefCell::default() }
    }
    /// Adds one.
    pub fn add(&self, about: About, span: Span, text: impl Into<String>) {
        let (line, _) = span.line_column(self.text);
        self.list.borrow_mut().push(Note { line, about, text: text.into() });
    }
    /// All of them.
    pub fn take(self) -> Vec<Note> {
        self.list.into_inner()
    }
}

/// A block, and what has been asked of it.
pub(super) struct Open<'b> {
    /// Its name and label, for people.
    pub title: String,
    /// Where its head stands.
    pub span: Span,
    body: &'b Body,
    asked: RefCell<HashSet<String>>,
    notes: &'b Notes<'b>,
}

impl<'b> Open<'b> {
    /// Opens a block.
    pub fn new(block: &'b Block, notes: &'b Notes<'b>) -> Self {
        let title = if block.label.is_empty() { block.name.clone() } else { format!("{} {:?}", block.name, block.label) };
        Open { title, span: block.span, body: &block.body, asked: RefCell::default(), notes }
    }
    /// The value of an attribute.
    pub fn get(&self, name: &str) -> Option<Value> {
        self.asked.borrow_mut().insert(name.into());
        self.body.attributes.iter().find(|a| a.name == name).map(|a| eval(&a.value))
    }
    /// Where an attribute stands, or else the block.
    pub fn place(&self, name: &str) -> Span {
        self.body.attributes.iter().find(|a| a.name == name).map_or(self.span, |a| a.span)
    }
    /// The text of an attribute; what has none is named.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::Text(t) => Some(t),
            Value::Number(n) => Some(n),
            Value::Bool(b) => Some(b.to_string()),
            Value::Null => None,
            other => {
                self.unknown(name, &other);
                None
            }
        }
    }
    /// An attribute as YAML; what cannot be known is named.
    pub fn yaml(&self, name: &str) -> Option<Yaml> {
        let value = self.get(name)?;
        value.yaml().map_err(|_| self.unknown(name, &value)).ok()
    }
    /// An attribute that is a map of texts.
    pub fn texts(&self, name: &str) -> BTreeMap<String, String> {
        let Some(Value::Object(pairs)) = self.get(name) else { return BTreeMap::new() };
        let mut texts = BTreeMap::new();
        for (k, v) in pairs {
            match v {
                Value::Text(t) | Value::Number(t) => drop(texts.insert(k, t)),
                other => self.unknown(&format!("{name}.{k}"), &other),
            }
        }
        texts
    }
    /// Whether an attribute is `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some(Value::Bool(true))
    }
    /// Whether an attribute is written.
    pub fn has(&self, name: &str) -> bool {
        self.body.attributes.iter().any(|a| a.name == name)
    }
    /// All attributes, which are thereby asked for.
    pub fn attributes(&self) -> Vec<&'b str> {
        let body = self.body;
        body.attributes.iter().map(|a| a.name.as_str()).collect()
    }
    /// The blocks of this name inside.
    pub fn blocks(&self, name: &str) -> Vec<Open<'b>> {
        self.asked.borrow_mut().insert(name.into());
        let body: &'b Body = self.body;
        body.blocks.iter().filter(|b| b.name == name).map(|b| Open::new(b, self.notes)).collect()
    }
    /// All blocks inside, in order, which are thereby asked for.
    pub fn all_blocks(&self) -> &'b [Block] {
        self.asked.borrow_mut().extend(self.body.blocks.iter().map(|b| b.name.clone()));
        &self.body.blocks
    }
    /// Takes attributes as read that mean nothing here.
    pub fn ignore(&self, names: &[&str]) {
        self.asked.borrow_mut().extend(names.iter().map(|n| (*n).to_owned()));
    }
    /// Adds a remark about an attribute or the block.
    pub fn note(&self, about: About, name: &str, text: impl Into<String>) {
        self.notes.add(about, self.place(name), text);
    }
    /// The remarks.
    pub fn notes(&self) -> &'b Notes<'b> {
        self.notes
    }
    /// Names what nobody asked for.
    pub fn close(self) {
        let asked = self.asked.borrow();
        for a in self.body.attributes.iter().filter(|a| !asked.contains(&a.name)) {
            self.notes.add(About::Missing, a.span, format!("{}: {} has no counterpart", self.title, a.name));
        }
        for b in self.body.blocks.iter().filter(|b| !asked.contains(&b.name)) {
            self.notes.add(About::Missing, b.span, format!("{}: the block {} has no counterpart", self.title, b.name));
        }
    }
    fn unknown(&self, name: &str, value: &Value) {
        let what = match value {
            Value::Reference(r) => format!("the value of {r}"),
            Value::Unknown(w) => w.clone(),
            _ => "a value of another kind".into(),
        };
        let first = name.split('.').next().unwrap_or(name);
        self.notes.add(About::Missing, self.place(first), format!("{}: {name} is {what}, which the file alone does not tell", self.title));
    }
}
