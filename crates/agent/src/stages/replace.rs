//! `replace`: replaces what the groups of a pattern took by a template, in which `.Value` is what the group took. Named
//! groups are extracted, as they are afterwards.

use ::regex::Regex;
use lang::template::{Template, functions};
use serde::Deserialize;

use super::parse::{pattern, required};
use super::state::Memory;
use super::template::{Fields, compile};
use super::{Entry, Moment, Refused, Stage, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    expression: String,
    source: Option<String>,
    #[serde(default)]
    replace: String,
}

struct Replace {
    regex: Regex,
    names: Vec<(usize, String)>,
    source: Option<String>,
    template: Template,
}

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    required(&s.expression, "expression")?;
    let regex = pattern(&s.expression)?;
    let names = regex.capture_names().enumerate().filter_map(|(i, n)| Some((i, n?.to_owned()))).collect();
    let template = compile(&s.replace, &functions::PIPELINE)?;
    Ok(Box::new(Replace { regex, names, source: s.source.filter(|t| !t.is_empty()), template }))
}

impl Replace {
    /// The text with its replacements, and what named groups became. None if nothing matched or the template failed.
    fn replaced(&self, input: &str, entry: &Entry) -> Option<(String, Vec<(String, String)>)> {
        let mut out = String::new();
        let mut last = 0;
        let mut named = vec![];
        let mut matched = false;
        for (n, found) in self.regex.captures_iter(input).enumerate() {
            matched = true;
            for (i, group) in found.iter().enumerate().skip(1) {
                let Some(group) = group else { continue };
                let mut by = String::new();
                let fields = Fields { entry, value: Some(group.as_str()), absent_is_empty: true };
                self.template.execute(&fields, &mut by).ok()?;
                // The names speak of the first match.
                if let Some((_, name)) = self.names.iter().find(|(g, _)| n == 0 && *g == i) {
                    named.push((name.clone(), by.clone()));
                }
                // A group inside one that was replaced is gone already.
                if group.start() >= last {
                    out.push_str(&input[last..group.start()]);
                    out.push_str(&by);
                    last = group.end();
                }
                if out.len() > base::limits::LINE_BYTES {
                    return None;
                }
            }
        }
        out.push_str(&input[last..]);
        matched.then_some((out, named))
    }
}

impl Stage for Replace {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        let Some(input) = entry.input(self.source.as_deref()) else { return Step::On };
        let Some((text, named)) = self.replaced(&input, entry) else { return Step::On };
        match &self.source {
            Some(name) => entry.extracted.set_text(name, text),
            None => entry.line = text,
        }
        named.into_iter().for_each(|(n, v)| entry.extracted.set_text(&n, v));
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, refused};

    #[test]
    fn groups_are_replaced() {
        for (settings, from, line, want) in [
            (r#"{expression: "password (\\S+)", replace: "****"}"#, "", "password a and password b", "password **** and password ****"),
            (r#"{expression: "(a)", replace: "{{ .Value | ToUpper }}"}"#, "", "banana", "bAnAnA"),
            (r#"{expression: "(\\d)(x)?", replace: "<{{ .Value }}>"}"#, "", "1 2x", "<1> <2><x>"),
            (r#"{expression: "((a)b)", replace: "{{ .Value }}!"}"#, "", "ab", "ab!"),
            (r#"{expression: "(a)", replace: ""}"#, "", "banana", "bnn"),
            (r#"{expression: "(a)", replace: "{{ .app }}{{ .none }}"}"#, "app=z", "ba", "bz"),
            (r#"{expression: "nothing", replace: "x"}"#, "", "ba", "ba"),
        ] {
            let got = one(&format!("[replace: {settings}]"), from, line);
            assert_eq!(got.split_once("} ").map(|p| p.1), Some(want), "{settings}");
        }
    }

    #[test]
    fn named_groups_are_extracted_as_they_are_afterwards() {
        let stages = r#"[{replace: {expression: "^(?P<ip>\\S+)", replace: "{{ Sha2Hash \"s\" .Value | trunc 4 }}"}}, {labels: {ip: }}]"#;
        assert_eq!(one(stages, "", "1.2.3.4 x"), "{ip=\"29be\"} 29be x");
        let stages = r#"[{replace: {source: a, expression: "(.)", replace: "x"}}, {labels: {a: }}]"#;
        assert_eq!(one(stages, "a=123", "l"), "{a=\"xxx\"} l");
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(refused("[replace: {expression: a, replace: '{{ .a'}]").contains("expected }}"));
        assert!(refused("[replace: {expression: ''}]").contains("expression is required"));
    }
}
