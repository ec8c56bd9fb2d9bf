//! Fields of lines: what structured metadata and the parsers would give, found in the newest lines.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use base::{Error, Result};
use lang::json_text::{JsonCursor, Value, Wrong, unescape};
use lang::logfmt::Scanner;
use table::{Direction, TimeRange};

use crate::eval::{self, LineLabels, LogRequest};
use crate::limits;
use crate::logql::ast::{LogExpr, StageExpr};
use crate::query::Context;
use crate::stage::labels::{SUFFIX, push_sanitized};

/// What a field's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FieldType {
    Int,
    Float,
    Boolean,
    Duration,
    Bytes,
    String,
}

impl FieldType {
    /// As the protocol has it.
    pub fn name(self) -> &'static str {
        match self {
            FieldType::Int => "int",
            FieldType::Float => "float",
            FieldType::Boolean => "boolean",
            FieldType::Duration => "duration",
            FieldType::Bytes => "bytes",
            FieldType::String => "string",
        }
    }

    fn of(value: &str) -> FieldType {
        if value.parse::<i64>().is_ok() {
            FieldType::Int
        } else if lang::number::parse(value).is_some() {
            FieldType::Float
        } else if matches!(value, "t" | "T" | "true" | "TRUE" | "True" | "f" | "F" | "false" | "FALSE" | "False") {
            FieldType::Boolean
        } else if lang::duration::parse_go(value).is_some() {
            FieldType::Duration
        } else if lang::size::parse(value).is_some() {
            FieldType::Bytes
        } else {
            FieldType::String
        }
    }

    /// What values of both types are.
    fn or(self, other: FieldType) -> FieldType {
        match (self, other) {
            (a, b) if a == b => a,
            (FieldType::Int, FieldType::Float) | (FieldType::Float, FieldType::Int) => FieldType::Float,
            _ => FieldType::String,
        }
    }
}

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectedField {
    /// Its name as a label.
    pub label: String,
    /// What its values are.
    pub kind: FieldType,
    /// Different values among the lines that were looked at.
    pub cardinality: usize,
    /// Parsers that find it: `json`, `logfmt`; none if it is structured metadata.
    pub parsers: Vec<&'static str>,
    /// Where it is in the JSON.
    pub json_path: Vec<String>,
}

/// Which lines are looked at; times in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct FieldQuery<'q> {
    /// Log query.
    pub query: &'q str,
    /// First time.
    pub start_ns: i64,
    /// First time after.
    pub end_ns: i64,
    /// Lines that are looked at, the newest ones.
    pub lines: usize,
}

#[derive(Default)]
struct Found {
    kind: Option<FieldType>,
    values: BTreeSet<String>,
    parsers: Vec<&'static str>,
    json_path: Vec<String>,
}

/// The fields of the lines, in order of their names; at most `limit`.
pub fn detected_fields(context: Context<'_>, q: &FieldQuery<'_>, limit: usize) -> Result<Vec<DetectedField>> {
    let found = find(context, q)?;
    let field = |(label, f): (String, Found)| DetectedField {
        label,
        kind: f.kind.unwrap_or(FieldType::String),
        cardinality: f.values.len(),
        parsers: f.parsers,
        json_path: f.json_path,
    };
    Ok(found.into_iter().take(limit).map(field).collect())
}

/// The values of one field among the lines, in order; at most `limit`.
pub fn detected_field_values(context: Context<'_>, q: &FieldQuery<'_>, name: &str, limit: usize) -> Result<Vec<String>> {
    let found = find(context, q)?.remove(name).unwrap_or_default();
    Ok(found.values.into_iter().take(limit).collect())
}

fn find(context: Context<'_>, q: &FieldQuery<'_>) -> Result<BTreeMap<String, Found>> {
    if q.lines > context.settings.max_entries {
        return Err(Error::invalid(format!(
            "max entries limit per query exceeded, limit > max_entries_limit_per_query ({} > {})",
            q.lines, context.settings.max_entries
        )));
    }
    let log = super::log_query(q.query)?;
    let range = TimeRange { start: q.start_ns, end: q.end_ns };
    let request = LogRequest { range, limit: q.lines, direction: Direction::Backward, interval_ns: 0 };
    let budget = context.budget();
    let lines = eval::select(context.source(&budget), &log, &request)?;
    let of_query = parsers_of(&log);
    let mut fields = Fields { found: BTreeMap::new() };
    // Labels of the query's own stages are the same for all lines of one set.
    for labels in &lines.labels {
        labels.metadata.iter().for_each(|(n, v)| fields.add(n, v, None, &[]));
        for (n, v) in labels.parsed.iter().filter(|(n, _)| !n.starts_with("__")) {
            match of_query.as_slice() {
                [] => fields.add(n, v, None, &[]),
                parsers => parsers.iter().for_each(|p| fields.add(n, v, Some(p), &[])),
            }
        }
    }
    if of_query.is_empty() {
        let mut seen: HashSet<&str> = HashSet::new();
        for l in lines.lines.iter().filter(|l| seen.insert(&l.line)) {
            context.cancel.check()?;
            if let Some(labels) = lines.labels.get(l.labels as usize) {
                fields.line(&l.line, labels);
            }
        }
    }
    Ok(fields.found)
}

fn parsers_of(log: &LogExpr) -> Vec<&'static str> {
    let mut out = vec![];
    for s in &log.stages {
        match s.value {
            StageExpr::Json(_) => out.push("json"),
            StageExpr::Logfmt { .. } => out.push("logfmt"),
            _ => {}
        }
    }
    out.dedup();
    out
}

struct Fields {
    found: BTreeMap<String, Found>,
}

impl Fields {
    fn add(&mut self, name: &str, value: &str, parser: Option<&'static str>, path: &[String]) {
        if name.is_empty() || value.is_empty() || !self.found.contains_key(name) && self.found.len() >= limits::FIELDS {
            return;
        }
        let f = self.found.entry(name.to_string()).or_default();
        let kind = FieldType::of(value);
        f.kind = Some(f.kind.map_or(kind, |k| k.or(kind)));
        if f.values.len() < limits::FIELD_VALUES {
            f.values.insert(value.to_string());
        }
        if let Some(p) = parser
            && !f.parsers.contains(&p)
        {
            f.parsers.push(p);
        }
        if f.json_path.is_empty() {
            f.json_path = path.to_vec();
        }
    }

    fn line(&mut self, line: &str, labels: &LineLabels) {
        if line.trim_start().starts_with('{') {
            // A line that is no JSON after all has the fields up to the place where it is wrong.
            let _ = self.object(&mut JsonCursor::new(line), &mut vec![], labels);
            return;
        }
        let mut pairs = Scanner::new(line);
        let mut count = 0;
        while let Some(pair) = pairs.next_pair() {
            count += 1;
            // Text with a stray `=` in it is no logfmt; a key that stands alone is a word.
            if let Ok((key, value)) = pair
                && count <= limits::FIELDS_PER_LINE
            {
                let mut name = String::new();
                push_sanitized(&mut name, key, true);
                self.add(&not_taken(name, labels), &value, Some("logfmt"), &[]);
            }
        }
    }

    fn object(&mut self, cursor: &mut JsonCursor<'_>, path: &mut Vec<String>, labels: &LineLabels) -> std::result::Result<(), Wrong> {
        cursor
            .object(|c, key| {
                path.push(unescape(key).into_owned());
                if c.peek() == Some(b'{') && path.len() < limits::JSON_DEPTH {
                    self.object(c, path, labels)?;
                } else {
                    match c.value()? {
                        Value::Text(t) => self.scalar(&unescape(t), path, labels),
                        Value::Word(w) => self.scalar(w, path, labels),
                        Value::Null | Value::Object(_) | Value::Array(_) => {}
                    }
                }
                path.pop();
                Ok(true)
            })
            .map(drop)
    }

    fn scalar(&mut self, value: &str, path: &[String], labels: &LineLabels) {
        let mut name = String::new();
        for (i, key) in path.iter().enumerate() {
            if i > 0 {
                name.push('_');
            }
            push_sanitized(&mut name, key, i == 0);
        }
        self.add(&not_taken(name, labels), value, Some("json"), path);
    }
}

/// The name under which a parser would extract it.
fn not_taken(name: String, labels: &LineLabels) -> String {
    let taken = labels.stream.get(&name).is_some() || labels.metadata.get(&name).is_some();
    if taken { format!("{name}{SUFFIX}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_by_their_values() {
        use FieldType::*;
        for (value, want) in [("5", Int), ("-5.5", Float), ("true", Boolean), ("5ms", Duration), ("10MB", Bytes), ("x", String)] {
            assert_eq!(FieldType::of(value), want, "{value}");
        }
        assert_eq!((Int.or(Float), Float.or(Float), Int.or(String), Duration.or(Bytes)), (Float, Float, String, String));
    }
}
