//! `labels`: sets labels from what was extracted, or from structured metadata.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_yaml_ng::Value;

use super::parse::{label, sources};
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};
use crate::scalar::Scalar;

/// Names and where their values come from: Promtail's form, or Alloy's, which has them under `values`.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Settings(BTreeMap<String, Value>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alloy {
    values: BTreeMap<String, Scalar>,
    source_type: Option<String>,
}

struct Labels {
    values: Vec<(String, String)>,
    from_metadata: bool,
}

/// Whether settings are in Alloy's form. A label that is called `values` is still possible in Promtail's.
pub(super) fn is_alloy(written: &BTreeMap<String, Value>) -> bool {
    written.get("values").is_some_and(Value::is_mapping)
}

/// The settings as a value again.
pub(super) fn again(written: BTreeMap<String, Value>) -> Value {
    Value::Mapping(written.into_iter().map(|(k, v)| (Value::String(k), v)).collect())
}

pub(super) fn build(Settings(written): Settings) -> Result<Box<dyn Stage>, Refused> {
    let alloy = is_alloy(&written);
    let written = again(written);
    let s: Alloy =
        if alloy { super::settings::read(written)? } else { Alloy { values: super::settings::read(written)?, source_type: None } };
    let from_metadata = match s.source_type.as_deref() {
        None | Some("" | "extracted") => false,
        Some("structured_metadata") => true,
        Some(t) => return Err(format!("invalid source_type {t:?}: write \"extracted\" or \"structured_metadata\"")),
    };
    let values = sources(s.values);
    if values.is_empty() {
        return Err("labels are required".into());
    }
    values.iter().try_for_each(|(n, _)| label(n))?;
    Ok(Box::new(Labels { values, from_metadata }))
}

impl Stage for Labels {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        for (name, source) in &self.values {
            if self.from_metadata {
                if let Some((_, v)) = entry.metadata.iter().find(|(n, _)| n == source) {
                    entry.labels.set(name, v);
                }
            } else if let Some(v) = entry.extracted.text(source) {
                entry.labels.set(name, &v);
            }
        }
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, refused};

    #[test]
    fn labels_come_from_what_was_extracted() {
        let line = r#"{"l":"warn","n":5}"#;
        let stages = |l: &str| format!("[{{json: {{expressions: {{l: , n: }}}}}}, {{labels: {l}}}]");
        assert_eq!(one(&stages("{level: l, n: , gone: none}"), "a=1", line), format!("{{a=\"1\", level=\"warn\", n=\"5\"}} {line}"));
        assert_eq!(one(&stages("{values: {a: l}, source_type: extracted}"), "a=1", line), format!("{{a=\"warn\"}} {line}"));
    }

    #[test]
    fn labels_come_from_metadata() {
        let stages = "[{structured_metadata: {m: a}}, {labels: {values: {b: m}, source_type: structured_metadata}}]";
        assert_eq!(one(stages, "a=1", "x"), "{b=\"1\"} [m=1] x");
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(refused("[labels: {}]").contains("required"));
        assert!(refused("[labels: {a-b: }]").contains("invalid label name"));
        assert!(refused("[labels: {values: {a: }, source_type: x}]").contains("invalid source_type"));
        assert!(refused("[labels: {values: {a: }, source_typ: x}]").contains("did you mean `source_type`?"));
    }
}
