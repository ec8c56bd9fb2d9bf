//! `drop`: drops lines that meet every condition written.

use std::time::Duration;

use regex::Regex;
use serde::Deserialize;

use super::parse::{is_set, optional_pattern};
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};
use crate::scalar::Scalar;

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Sources {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    drop_counter_reason: Option<String>,
    /// What was extracted under these names; in one text they are separated by commas.
    #[serde(default)]
    source: Sources,
    value: Option<Scalar>,
    separator: Option<String>,
    expression: Option<String>,
    #[serde(default, deserialize_with = "super::parse::duration")]
    older_than: Option<Duration>,
    #[serde(default, deserialize_with = "super::parse::size")]
    longer_than: Option<usize>,
}

enum Test {
    Matches(Regex),
    Is(String),
}

struct Drop {
    reason: String,
    sources: Vec<String>,
    separator: String,
    test: Option<Test>,
    older_than_ns: Option<i64>,
    longer_than: Option<usize>,
}

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    let sources = match s.source {
        Sources::None => vec![],
        Sources::One(t) => t.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect(),
        Sources::Many(list) => list,
    };
    let value = s.value.map(|v| v.0).filter(|v| !v.is_empty());
    if value.is_some() && is_set(&s.expression) {
        return Err("`value` and `expression` cannot both be defined at the same time".into());
    }
    if value.is_some() && sources.is_empty() {
        return Err("`source` is needed where there is a `value`".into());
    }
    let test = match value {
        Some(v) => Some(Test::Is(v)),
        None => optional_pattern(&s.expression)?.map(Test::Matches),
    };
    if sources.is_empty() && test.is_none() && s.older_than.is_none() && s.longer_than.is_none() {
        return Err("at least one of `source`, `expression`, `older_than` or `longer_than` is needed".into());
    }
    Ok(Box::new(Drop {
        reason: s.drop_counter_reason.unwrap_or_else(|| "drop_stage".into()),
        sources,
        separator: s.separator.filter(|t| !t.is_empty()).unwrap_or_else(|| ";".into()),
        test,
        older_than_ns: s.older_than.map(|d| d.as_nanos() as i64).filter(|n| *n > 0),
        longer_than: s.longer_than.filter(|n| *n > 0),
    }))
}

impl Drop {
    fn joined(&self, entry: &Entry) -> Option<String> {
        let mut out = vec![];
        for name in self.sources.iter().filter(|n| entry.extracted.get(n).is_some()) {
            out.push(entry.extracted.text(name)?.into_owned());
        }
        Some(out.join(&self.separator))
    }

    fn wants(&self, entry: &Entry, at: Moment) -> bool {
        if self.longer_than.is_some_and(|n| entry.line.len() <= n) {
            return false;
        }
        if self.older_than_ns.is_some_and(|n| entry.time_ns >= at.now_ns.saturating_sub(n)) {
            return false;
        }
        match &self.test {
            None => self.sources.iter().all(|n| entry.extracted.get(n).is_some()),
            Some(test) if self.sources.is_empty() => is(test, &entry.line),
            Some(test) => self.joined(entry).is_some_and(|t| is(test, &t)),
        }
    }
}

fn is(test: &Test, text: &str) -> bool {
    match test {
        Test::Matches(r) => r.is_match(text),
        Test::Is(v) => v == text,
    }
}

impl Stage for Drop {
    fn apply(&self, entry: &mut Entry, at: Moment, _: &mut Memory<'_>) -> Step {
        if self.wants(entry, at) { Step::Drop(self.reason.clone()) } else { Step::On }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{outcome, refused};

    #[test]
    fn every_condition_must_be_met() {
        for (settings, from, line, dropped) in [
            ("{expression: '.*debug.*'}", "", "a debug line", true),
            ("{expression: '^debug'}", "", "a debug line", false),
            ("{longer_than: 4}", "", "12345", true),
            ("{longer_than: 8kb}", "", "12345", false),
            ("{longer_than: 4, expression: '9'}", "", "12345", false),
            ("{source: a}", "a=1", "", true),
            ("{source: [a, b]}", "a=1", "", false),
            ("{source: a, value: 1}", "a=1", "", true),
            ("{source: a, value: 1}", "a=11", "", false),
            ("{source: 'a,b', separator: '#', expression: '^1#2$'}", "a=1 b=2", "", true),
            ("{source: 'a,b', expression: '1;2'}", "a=1 b=2", "", true),
            ("{older_than: 1h}", "", "a line of this second", false),
        ] {
            let out = outcome(&format!("[drop: {settings}]"), from, &[line]);
            assert_eq!(out.dropped.len() == 1, dropped, "{settings}");
        }
        let old =
            "[{json: {expressions: {t: }}}, {timestamp: {source: t, format: Unix}}, {drop: {older_than: 1h, drop_counter_reason: old}}]";
        assert_eq!(outcome(old, "", &["{\"t\":1600000000}"]).dropped[0].reason, "old");
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(refused("[drop: {}]").contains("at least one of"));
        assert!(refused("[drop: {value: 1}]").contains("`source` is needed"));
        assert!(refused("[drop: {source: a, value: 1, expression: x}]").contains("cannot both"));
        assert!(refused("[drop: {expresion: x}]").contains("did you mean `expression`?"));
    }
}
