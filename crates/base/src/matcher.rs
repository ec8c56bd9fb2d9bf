//! Label matchers, as the three languages share them.

use std::fmt;

use regex::Regex;

use crate::{Error, Labels, RegexRoom, Result};

/// What anchors a pattern at both ends and lets `.` match a newline.
const BEFORE: &str = "^(?s:";
const AFTER: &str = ")$";

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `=~`, anchored at both ends
    Re,
    /// `!~`, anchored at both ends
    NotRe,
}

/// `name op "value"`. An absent label has the empty value.
#[derive(Clone)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// How it is compared.
    pub op: MatchOp,
    /// The value or pattern as written.
    pub value: String,
    regex: Option<Regex>,
}

impl Matcher {
    /// Compiles a matcher; a pattern is RE2-like, fully anchored, and `.` matches a newline.
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Self> {
        let value = value.into();
        let pattern = value.clone();
        Self::with_pattern(name, op, value, &pattern, &mut RegexRoom::default())
    }
    /// The same, where `pattern` is what a pattern matcher compiles: `value`, as it was written, in the syntax of the
    /// `regex` crate. It is counted in the room of the request that it is part of.
    pub fn with_pattern(
        name: impl Into<String>,
        op: MatchOp,
        value: impl Into<String>,
        pattern: &str,
        room: &mut RegexRoom,
    ) -> Result<Self> {
        let value = value.into();
        let regex = match op {
            MatchOp::Eq | MatchOp::Ne => None,
            MatchOp::Re | MatchOp::NotRe => {
                let anchored = format!("{BEFORE}{pattern}{AFTER}");
                let regex = room.compile(|most| regex::RegexBuilder::new(&anchored).size_limit(most).build());
                Some(regex.map_err(|e| Error::invalid(format!("regular expression {value:?} is not valid: {e}")))?)
            }
        };
        Ok(Matcher { name: name.into(), op, value, regex })
    }
    /// The pattern that a pattern matcher compiled, in the syntax of the `regex` crate: what [`Matcher::with_pattern`] was given.
    pub fn pattern(&self) -> Option<&str> {
        self.regex.as_ref()?.as_str().strip_prefix(BEFORE)?.strip_suffix(AFTER)
    }
    /// An equality matcher.
    pub fn eq(name: impl Into<String>, value: impl Into<String>) -> Self {
        Matcher { name: name.into(), op: MatchOp::Eq, value: value.into(), regex: None }
    }
    /// Whether a label with this value (empty when absent) matches.
    pub fn matches_value(&self, v: &str) -> bool {
        let re = || self.regex.as_ref().is_some_and(|r| r.is_match(v));
        match self.op {
            MatchOp::Eq => self.is_value(v),
            MatchOp::Ne => !self.is_value(v),
            MatchOp::Re => re(),
            MatchOp::NotRe => !re(),
        }
    }
    /// An empty text has no place in memory, and comparing at no place takes some processors a hundred times as long as comparing: rows
    /// without the label are asked here one by one.
    fn is_value(&self, v: &str) -> bool {
        v.len() == self.value.len() && (v.is_empty() || v == self.value)
    }
    /// Whether a label set matches.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matches_value(labels.get(&self.name).unwrap_or(""))
    }
    /// Whether an absent label matches.
    pub fn matches_empty(&self) -> bool {
        self.matches_value("")
    }
}

impl PartialEq for Matcher {
    fn eq(&self, o: &Self) -> bool {
        self.name == o.name && self.op == o.op && self.value == o.value
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            MatchOp::Eq => "=",
            MatchOp::Ne => "!=",
            MatchOp::Re => "=~",
            MatchOp::NotRe => "!~",
        };
        write!(f, "{}{op}{:?}", self.name, self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_anchored_and_cross_lines() {
        let m = Matcher::new("a", MatchOp::Re, "x.*y|z").unwrap();
        assert!(m.matches_value("x\ny") && m.matches_value("z") && !m.matches_value("az"));
        assert_eq!((m.pattern(), Matcher::eq("a", "x").pattern()), (Some("x.*y|z"), None));
        let m = Matcher::new("a", MatchOp::NotRe, ".+").unwrap();
        assert!(m.matches(&Labels::empty()));
        assert!(Matcher::new("a", MatchOp::Re, "(").is_err());
    }

    #[test]
    fn an_absent_label_has_the_empty_value() {
        for (value, v, is) in [("", "", true), ("", "x", false), ("x", "", false), ("x", "x", true), ("x", "y", false), ("x", "xx", false)]
        {
            assert_eq!(Matcher::eq("a", value).matches_value(v), is, "{value:?} {v:?}");
            assert_eq!(Matcher::new("a", MatchOp::Ne, value).unwrap().matches_value(v), !is, "{value:?} {v:?}");
        }
    }
}
