//! `logfmt`: extracts from `key=value key="quoted value"`.

use std::collections::BTreeMap;

use lang::logfmt::Scanner;
use regex::Regex;
use serde::Deserialize;

use super::parse::{optional_pattern, source, sources};
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};
use crate::scalar::Scalar;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// Names, and the keys their values have.
    #[serde(default)]
    mapping: BTreeMap<String, Scalar>,
    /// Keys that are extracted beside.
    regex: Option<String>,
    source: Option<String>,
}

struct Logfmt {
    /// Name and key.
    mapping: Vec<(String, String)>,
    regex: Option<Regex>,
    source: Option<String>,
}

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    if s.mapping.is_empty() && s.regex.as_deref().is_none_or(str::is_empty) {
        return Err("a mapping is required".into());
    }
    source(&s.source)?;
    Ok(Box::new(Logfmt { mapping: sources(s.mapping), regex: optional_pattern(&s.regex)?, source: s.source }))
}

impl Stage for Logfmt {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        let Some(input) = entry.input(self.source.as_deref()) else { return Step::On };
        let mut found: Vec<(String, String)> = vec![];
        let mut scanner = Scanner::new(&input);
        // What comes after something that is no pair is not read, as in the original.
        while let Some(Ok((key, value))) = scanner.next_pair() {
            for (name, _) in self.mapping.iter().filter(|(_, k)| k == key) {
                found.push((name.clone(), value.clone().into_owned()));
            }
            if self.regex.as_ref().is_some_and(|r| r.is_match(key)) {
                found.push((key.to_owned(), value.into_owned()));
            }
        }
        found.into_iter().for_each(|(n, v)| entry.extracted.set_text(&n, v));
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, refused};

    #[test]
    fn pairs_are_extracted() {
        let stages = "[{logfmt: {mapping: {level: , m: msg}, regex: '^x_'}}, {labels: {level: , m: , x_1: , y: }}]";
        let line = r#"level=warn msg="a b" x_1=2 y=3"#;
        assert_eq!(one(stages, "", line), format!("{{level=\"warn\", m=\"a b\", x_1=\"2\"}} {line}"));
        assert_eq!(one(stages, "", "level=a =b msg=c"), "{level=\"a\"} level=a =b msg=c");
    }

    #[test]
    fn another_source() {
        let stages = "[{logfmt: {mapping: {in: }}}, {logfmt: {source: in, mapping: {k: }}}, {labels: {k: }}]";
        assert_eq!(one(stages, "", r#"in="k=v""#), "{k=\"v\"} in=\"k=v\"");
        assert!(refused("[logfmt: {}]").contains("mapping is required"));
    }
}
