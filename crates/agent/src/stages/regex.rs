//! `regex`: extracts the named groups of a pattern.

use ::regex::Regex;
use serde::Deserialize;

use super::parse::{label, pattern, required, source};
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    expression: String,
    source: Option<String>,
    #[serde(default)]
    labels_from_groups: bool,
}

struct RegexStage {
    regex: Regex,
    /// Number and name.
    groups: Vec<(usize, String)>,
    source: Option<String>,
    labels: bool,
}

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    required(&s.expression, "expression")?;
    source(&s.source)?;
    let regex = pattern(&s.expression)?;
    let groups: Vec<(usize, String)> = regex.capture_names().enumerate().filter_map(|(i, n)| Some((i, n?.to_owned()))).collect();
    if s.labels_from_groups {
        groups.iter().try_for_each(|(_, n)| label(n))?;
    }
    Ok(Box::new(RegexStage { regex, groups, source: s.source, labels: s.labels_from_groups }))
}

impl Stage for RegexStage {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        let Some(input) = entry.input(self.source.as_deref()) else { return Step::On };
        let Some(found) = self.regex.captures(&input) else { return Step::On };
        // A group that took no part is extracted as empty.
        let values: Vec<String> = self.groups.iter().map(|(i, _)| found.get(*i).map_or("", |m| m.as_str()).to_owned()).collect();
        for ((_, name), value) in self.groups.iter().zip(values) {
            if self.labels {
                entry.labels.set(name, &value);
            }
            entry.extracted.set_text(name, value);
        }
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, refused};

    #[test]
    fn groups_are_extracted() {
        let stages = r"[{regex: {expression: '^(?P<ip>\S+) (?P<m>GET|PUT) (?:(?P<q>\?.*))?'}}, {labels: {ip: , m: , q: }}]";
        assert_eq!(one(stages, "q=old", "1.2.3.4 GET /"), "{ip=\"1.2.3.4\", m=\"GET\"} 1.2.3.4 GET /");
        assert_eq!(one(stages, "q=old", "nothing"), "{q=\"old\"} nothing");
    }

    #[test]
    fn labels_at_once_and_another_source() {
        let stages = r"[{regex: {source: filename, expression: '/(?P<app>[^/]+)\.log$', labels_from_groups: true}}]";
        assert_eq!(one(stages, "filename=/var/log/web.log", "x"), "{app=\"web\", filename=\"/var/log/web.log\"} x");
        assert!(refused("[regex: {expression: ''}]").contains("expression is required"));
        assert!(refused("[regex: {expression: '(?P<a', source: b}]").contains("invalid expression"));
        assert!(refused("[regex: {expression: a, source: ''}]").contains("empty source"));
    }
}
