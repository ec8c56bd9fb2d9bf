//! `truncate`: cuts the line, labels, structured metadata or extracted values that are too long.

use serde::Deserialize;

use super::parse::floor_char;
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step, Value};

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SourceType {
    #[default]
    Line,
    Label,
    StructuredMetadata,
    Extracted,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Bytes, the suffix included.
    #[serde(default, deserialize_with = "super::parse::size")]
    limit: Option<usize>,
    #[serde(default)]
    suffix: String,
    /// Names; all if there are none.
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    source_type: SourceType,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    rules: Vec<Rule>,
}

struct Truncate(Vec<Rule>);

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    for r in &s.rules {
        let limit = r.limit.filter(|n| *n > 0).ok_or("limit must be greater than zero")?;
        if r.source_type == SourceType::Line && !r.sources.is_empty() {
            return Err("sources cannot be set when source_type is line".into());
        }
        if limit <= r.suffix.len() {
            return Err("the suffix must be shorter than the limit".into());
        }
    }
    Ok(Box::new(Truncate(s.rules)))
}

impl Rule {
    fn cut(&self, text: &str) -> Option<String> {
        let max = self.limit.unwrap_or(usize::MAX) - self.suffix.len();
        (text.len() > max).then(|| format!("{}{}", &text[..floor_char(text, max)], self.suffix))
    }
    fn names(&self, name: &str) -> bool {
        self.sources.is_empty() || self.sources.iter().any(|s| s == name)
    }
}

impl Stage for Truncate {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        let mut fields = std::collections::BTreeSet::new();
        for rule in &self.0 {
            match rule.source_type {
                SourceType::Line => {
                    if let Some(cut) = rule.cut(&entry.line) {
                        entry.line = cut;
                        fields.insert("line");
                    }
                }
                SourceType::Label => {
                    let cut: Vec<(String, String)> = entry
                        .labels
                        .iter()
                        .filter(|(n, _)| rule.names(n))
                        .filter_map(|(n, v)| Some((n.to_owned(), rule.cut(v)?)))
                        .collect();
                    fields.extend(cut.first().map(|_| "label"));
                    cut.iter().for_each(|(n, v)| entry.labels.set(n, v));
                }
                SourceType::StructuredMetadata => {
                    for (n, v) in &mut entry.metadata {
                        if let Some(cut) = rule.names(n).then(|| rule.cut(v)).flatten() {
                            *v = cut;
                            fields.insert("structured_metadata");
                        }
                    }
                }
                SourceType::Extracted => {
                    let texts = entry.extracted.iter().filter(|(n, _)| rule.names(n));
                    let cut: Vec<(String, String)> = texts.filter_map(|(n, v)| Some((n.to_owned(), rule.cut(&v)?))).collect();
                    fields.extend(cut.first().map(|_| "extracted"));
                    cut.into_iter().for_each(|(n, v)| entry.extracted.set(&n, Value::Text(v)));
                }
            }
        }
        if !fields.is_empty() {
            entry.extracted.set_text("truncated", fields.into_iter().collect::<Vec<_>>().join(","));
        }
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, refused};

    #[test]
    fn what_is_too_long_is_cut() {
        let stages =
            "[{truncate: {rules: [{limit: 5, suffix: '..'}, {limit: 2, source_type: label, sources: [a]}]}}, {labels: {t: truncated}}]";
        assert_eq!(one(stages, "a=123 b=123", "a long line"), "{a=\"12\", b=\"123\", t=\"label,line\"} a l..");
        assert_eq!(one(stages, "", "ééé"), "{t=\"line\"} é..");
        assert_eq!(one(stages, "a=12", "short"), "{a=\"12\", t=\"line\"} sho..");
        assert_eq!(one("[truncate: {rules: [{limit: 5}]}]", "a=12", "short"), "{a=\"12\"} short");
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(refused("[truncate: {rules: [{limit: 0}]}]").contains("greater than zero"));
        assert!(refused("[truncate: {rules: [{limit: 2, suffix: abc}]}]").contains("suffix"));
        assert!(refused("[truncate: {rules: [{limit: 2, sources: [a]}]}]").contains("sources cannot"));
    }
}
