//! `pattern`: extracts what lies between texts, `<ip> - <_> "<method> <path>"`.

use lang::line_pattern::Pattern;
use serde::Deserialize;

use super::parse::{required, source};
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pattern: String,
    source: Option<String>,
    #[serde(default)]
    labels_from_groups: bool,
}

struct PatternStage {
    pattern: Pattern,
    source: Option<String>,
    labels: bool,
}

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    required(&s.pattern, "pattern")?;
    source(&s.source)?;
    let pattern = Pattern::with_captures(&s.pattern).map_err(|e| format!("invalid pattern {:?}: {e}", s.pattern))?;
    Ok(Box::new(PatternStage { pattern, source: s.source, labels: s.labels_from_groups }))
}

impl Stage for PatternStage {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        let Some(input) = entry.input(self.source.as_deref()) else { return Step::On };
        let mut found: Vec<(String, String)> = vec![];
        self.pattern.capture(&input, |name, value| found.push((name.to_owned(), value.to_owned())));
        for (name, value) in found {
            if self.labels {
                entry.labels.set(&name, &value);
            }
            entry.extracted.set_text(&name, value);
        }
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, refused};

    #[test]
    fn captures_are_extracted() {
        let line = r#"1.2.3.4 - bob "GET /x HTTP/1.1" 200"#;
        let pattern = r#"'<ip> - <_> "<method> <path> <_>" <status>'"#;
        let stages = format!("[{{pattern: {{pattern: {pattern}}}}}, {{labels: {{method: , status: }}}}]");
        assert_eq!(one(&stages, "", line), format!("{{method=\"GET\", status=\"200\"}} {line}"));
        let stages = format!("[{{pattern: {{pattern: {pattern}, labels_from_groups: true}}}}, {{label_keep: [ip]}}]");
        assert_eq!(one(&stages, "", line), format!("{{ip=\"1.2.3.4\"}} {line}"));
        assert!(refused("[pattern: {pattern: '<a><b>'}]").contains("consecutive"));
    }
}
