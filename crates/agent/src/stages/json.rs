//! `json`: extracts from JSON. The expressions are the part of JMESPath that people write: `a.b`, `"quoted name".c`,
//! `list[0]`, `list[-1]`, `[0]`, and `||` between alternatives. An empty expression is its own name.
//!
//! Numbers, booleans and texts are extracted as such; objects and lists as JSON.

use std::collections::BTreeMap;

use lang::json_text::{JsonCursor, Value as Json, unescape};
use regex::Regex;
use serde::Deserialize;

use super::parse::{optional_pattern, source};
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step, Value};
use crate::scalar::Scalar;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    #[serde(default)]
    expressions: BTreeMap<String, Scalar>,
    /// Names of the outermost object that are extracted beside.
    regex: Option<String>,
    source: Option<String>,
    #[serde(default)]
    drop_malformed: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Key(String),
    /// Counted from the end if negative.
    Index(i64),
}

struct JsonStage {
    /// Name, and paths of which the first that leads somewhere counts.
    expressions: Vec<(String, Vec<Vec<Part>>)>,
    regex: Option<Regex>,
    source: Option<String>,
    drop_malformed: bool,
}

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    if s.expressions.is_empty() && s.regex.as_deref().is_none_or(str::is_empty) {
        return Err("expressions are required".into());
    }
    source(&s.source)?;
    let mut expressions = vec![];
    for (name, e) in s.expressions {
        let text = if e.0.is_empty() { format!("\"{name}\"") } else { e.0 };
        let paths = paths(&text).map_err(|m| format!("expression {text:?}: {m}"))?;
        expressions.push((name, paths));
    }
    Ok(Box::new(JsonStage { expressions, regex: optional_pattern(&s.regex)?, source: s.source, drop_malformed: s.drop_malformed }))
}

/// Alternatives with `||` between them.
fn paths(text: &str) -> Result<Vec<Vec<Part>>, String> {
    text.split("||").map(|t| path(t.trim())).collect()
}

fn path(text: &str) -> Result<Vec<Part>, String> {
    let mut out = vec![];
    let mut rest = text;
    loop {
        if let Some(inner) = rest.strip_prefix('[') {
            let (index, after) = inner.split_once(']').ok_or("expected `]`")?;
            out.push(Part::Index(index.trim().parse().map_err(|_| "only an index may stand between `[` and `]`")?));
            rest = after;
        } else {
            if !out.is_empty() {
                rest = rest.strip_prefix('.').ok_or("expected `.` or `[`")?;
            }
            let n = if rest.starts_with('"') {
                lang::literal::scan(rest, "\"").map_err(|e| e.message)?
            } else {
                rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
            };
            let (key, after) = rest.split_at(n);
            out.push(Part::Key(match key.as_bytes().first() {
                Some(b'"') => unescape(&key[1..n - 1]).into_owned(),
                Some(b) if !b.is_ascii_digit() => key.to_owned(),
                _ => return Err("a name is missing; names with other signs stand in double quotes".into()),
            }));
            rest = after;
        }
        if rest.is_empty() {
            return Ok(out);
        }
    }
}

/// The value at a path; none if there is no such thing.
fn find<'a>(text: &'a str, path: &[Part]) -> Option<Json<'a>> {
    let mut value = JsonCursor::new(text).value().ok()?;
    for part in path {
        value = match (part, value) {
            (Part::Key(key), Json::Object(o)) => member(o, key)?,
            (Part::Index(i), Json::Array(a)) => element(a, *i)?,
            _ => return None,
        };
    }
    Some(value)
}

fn member<'a>(object: &'a str, key: &str) -> Option<Json<'a>> {
    let mut found = None;
    let walked = JsonCursor::new(object).object(|c, k| {
        let value = c.value()?;
        // The last of equal names counts, as where JSON becomes a map.
        if unescape(k) == key {
            found = Some(value);
        }
        Ok(true)
    });
    walked.ok()?;
    found
}

fn element(array: &str, index: i64) -> Option<Json<'_>> {
    let at = |i: usize| {
        let mut c = JsonCursor::new(array);
        c.element(i).ok()?.then(|| c.value().ok())?
    };
    match usize::try_from(index) {
        Ok(i) => at(i),
        Err(_) => {
            let length = (0..).take_while(|i| at(*i).is_some()).count() as i64;
            at(usize::try_from(length + index).ok()?)
        }
    }
}

fn value(json: Json<'_>) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Text(t) => Value::Text(unescape(t).into_owned()),
        Json::Word("true") => Value::Bool(true),
        Json::Word("false") => Value::Bool(false),
        Json::Word(n) => n.parse().map_or_else(|_| Value::Text(n.into()), Value::Number),
        // Written as a serializer would: without spaces.
        Json::Object(t) | Json::Array(t) => {
            let compact = serde_json::from_str::<serde_json::Value>(t).map(|v| v.to_string());
            Value::Text(compact.unwrap_or_else(|_| t.to_owned()))
        }
    }
}

impl Stage for JsonStage {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        let Some(input) = entry.input(self.source.as_deref()) else { return Step::On };
        let mut found: Vec<(String, Value)> = vec![];
        let whole = is_object(&input);
        if whole {
            for (name, paths) in &self.expressions {
                let mut hits = paths.iter().map(|p| find(&input, p));
                // An alternative counts if it is there and not `null`; otherwise the result is `null`.
                let hit = hits.find(|v| v.is_some_and(|v| v != Json::Null)).flatten();
                found.push((name.clone(), hit.map_or(Value::Null, value)));
            }
            if let Some(regex) = &self.regex {
                let _ = JsonCursor::new(&input).object(|c, k| {
                    let (k, v) = (unescape(k), c.value()?);
                    if regex.is_match(&k) {
                        found.push((k.into_owned(), value(v)));
                    }
                    Ok(true)
                });
            }
        }
        if !whole && self.drop_malformed {
            return Step::Drop("malformed_json".into());
        }
        found.into_iter().for_each(|(n, v)| entry.extracted.set(&n, v));
        Step::On
    }
}

/// Whether text is one JSON object and nothing else.
fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, outcome, refused};

    #[test]
    fn paths_lead_to_values() {
        let line = r#"{"a":{"b":[1,{"c":"x"}],"d e":true},"f.g":1.50,"n":null,"o":{"p" : [ 1 ]}}"#;
        for (expression, want) in [
            ("a.b[0]", "1"),
            ("a.b[1].c", "x"),
            ("a.b[-1].c", "x"),
            ("a.\"d e\"", "true"),
            ("\"f.g\"", "1.5"),
            ("o", "{\"p\":[1]}"),
            ("a.b", "[1,{\"c\":\"x\"}]"),
            ("nope || n || a.b[0]", "1"),
        ] {
            let stages = format!("[{{json: {{expressions: {{v: '{expression}'}}}}}}, {{output: {{source: v}}}}]");
            assert_eq!(one(&stages, "", line), format!("{{}} {want}"), "{expression}");
        }
    }

    #[test]
    fn what_is_not_there_has_no_text() {
        let stages = "[{json: {expressions: {n: , a: , f.g: }}}, {labels: {n: , a: , x: f.g}}]";
        assert_eq!(one(stages, "", r#"{"n":null,"f.g":2}"#), r#"{x="2"} {"n":null,"f.g":2}"#);
    }

    #[test]
    fn names_by_pattern_and_another_source() {
        let stages = "[{json: {expressions: {s: }}}, {json: {source: s, regex: '^k'}}, {labels: {k1: , z: }}]";
        assert_eq!(one(stages, "", r#"{"s":"{\"k1\":1,\"z\":2}"}"#), r#"{k1="1"} {"s":"{\"k1\":1,\"z\":2}"}"#);
    }

    #[test]
    fn malformed_lines_pass_or_go() {
        assert_eq!(one("[json: {expressions: {a: }}]", "", "{\"a\":1"), "{} {\"a\":1");
        for line in ["{\"a\":1", "[1]", "{} x"] {
            assert_eq!(outcome("[json: {expressions: {a: }, drop_malformed: true}]", "", &[line]).dropped[0].reason, "malformed_json");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (e, wanted) in [("a[", "expected `]`"), ("a[*]", "only an index"), ("a..b", "a name is missing"), ("a-b", "expected `.`")] {
            assert!(refused(&format!("[json: {{expressions: {{a: '{e}'}}}}]")).contains(wanted), "{e}");
        }
        assert!(refused("[json: {}]").contains("expressions are required"));
    }
}
