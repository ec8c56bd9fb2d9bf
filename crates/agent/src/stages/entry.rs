//! One line on its way through the stages.

use std::borrow::Cow;

use base::{Labels, Tenant};
use serde::{Deserialize, Serialize};

use crate::label_set::LabelSet;

/// A value that a stage extracted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `null` of JSON, or a value that was removed: it is there, but has no text.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
}

impl Value {
    /// Its text; none for [`Value::Null`].
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Null => None,
            Value::Bool(b) => Some(Cow::Borrowed(if *b { "true" } else { "false" })),
            Value::Number(n) => Some(Cow::Owned(lang::number::format(*n))),
            Value::Text(t) => Some(Cow::Borrowed(t)),
        }
    }
}

/// What the stages extracted. The labels that the line came with are among it, as in the original.
#[derive(Clone, Debug, Default)]
pub struct Extracted {
    came_with: Labels,
    /// What was set since; `None` was removed.
    own: Vec<(String, Option<Value>)>,
}

impl Extracted {
    /// What is known by `name`, if anything.
    pub fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        match self.own.iter().find(|(n, _)| n == name) {
            Some((_, v)) => v.as_ref().map(Cow::Borrowed),
            None => self.came_with.get(name).map(|v| Cow::Owned(Value::Text(v.into()))),
        }
    }
    /// Its text; none if there is no such thing or it has no text.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.own.iter().find(|(n, _)| n == name) {
            Some((_, v)) => v.as_ref().and_then(Value::text),
            None => self.came_with.get(name).map(Cow::Borrowed),
        }
    }
    /// Sets a value.
    pub fn set(&mut self, name: &str, value: Value) {
        self.put(name, Some(value));
    }
    /// Sets a text.
    pub fn set_text(&mut self, name: &str, text: impl Into<String>) {
        self.put(name, Some(Value::Text(text.into())));
    }
    /// Removes a value.
    pub fn remove(&mut self, name: &str) {
        self.put(name, None);
    }
    fn put(&mut self, name: &str, value: Option<Value>) {
        match self.own.iter_mut().find(|(n, _)| n == name) {
            Some((_, v)) => *v = value,
            None => self.own.push((name.into(), value)),
        }
    }
    /// Names and texts of all that have one.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let own = self.own.iter().filter_map(|(n, v)| Some((n.as_str(), v.as_ref()?.text()?)));
        let came_with = self.came_with.iter().filter(|(n, _)| !self.own.iter().any(|(o, _)| o == n));
        own.chain(came_with.map(|(n, v)| (n, Cow::Borrowed(v))))
    }
}

/// A line, what it is labelled with, and what is known about it.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// When it was written, or else read, nanoseconds since 1970.
    pub time_ns: i64,
    /// Its text.
    pub line: String,
    /// Its labels.
    pub labels: LabelSet,
    /// Structured metadata: names and values, each name once.
    pub metadata: Vec<(String, String)>,
    /// Whose it is; `None` for the tenant that the place of delivery is set to.
    pub tenant: Option<Tenant>,
    /// What stages extracted.
    pub extracted: Extracted,
}

impl Entry {
    /// A line as it comes from a source.
    pub fn new(labels: Labels, time_ns: i64, line: impl Into<String>) -> Entry {
        Entry {
            time_ns,
            line: line.into(),
            labels: labels.clone().into(),
            metadata: vec![],
            tenant: None,
            extracted: Extracted { came_with: labels, own: vec![] },
        }
    }
    /// What a stage with this `source` reads: something extracted, or the line.
    pub fn input(&self, source: Option<&str>) -> Option<Cow<'_, str>> {
        match source {
            Some(name) => self.extracted.text(name),
            None => Some(Cow::Borrowed(&self.line)),
        }
    }
    /// Sets one name of the metadata.
    pub fn set_metadata(&mut self, name: &str, value: &str) {
        match self.metadata.iter_mut().find(|(n, _)| n == name) {
            Some((_, v)) => *v = value.into(),
            None => self.metadata.push((name.into(), value.into())),
        }
    }
}

/// An entry in the form in which it is stored with a position.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    time_ns: i64,
    line: String,
    labels: Vec<(String, String)>,
    metadata: Vec<(String, String)>,
    tenant: Option<String>,
    came_with: Vec<(String, String)>,
    extracted: Vec<(String, Option<Value>)>,
}

fn pairs<'a>(of: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    of.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

impl From<&Entry> for Stored {
    fn from(e: &Entry) -> Stored {
        Stored {
            time_ns: e.time_ns,
            line: e.line.clone(),
            labels: pairs(e.labels.iter()),
            metadata: e.metadata.clone(),
            tenant: e.tenant.as_ref().map(|t| t.as_str().to_owned()),
            came_with: pairs(e.extracted.came_with.iter()),
            // `null` reads back as removed, which differs for `drop` alone.
            extracted: e.extracted.own.clone(),
        }
    }
}

impl TryFrom<Stored> for Entry {
    type Error = base::Error;
    fn try_from(s: Stored) -> base::Result<Entry> {
        Ok(Entry {
            time_ns: s.time_ns,
            line: s.line,
            labels: Labels::from_pairs(s.labels)?.into(),
            metadata: s.metadata,
            tenant: s.tenant.map(|t| Tenant::new(&t)).transpose()?,
            extracted: Extracted { came_with: Labels::from_pairs(s.came_with)?, own: s.extracted },
        })
    }
}
