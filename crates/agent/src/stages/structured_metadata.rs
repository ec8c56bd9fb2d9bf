//! `structured_metadata`: sets structured metadata from what was extracted and from labels; such labels are removed.

use std::collections::BTreeMap;

use ::regex::Regex;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::labels::{again, is_alloy};
use super::parse::{label, optional_pattern, sources};
use super::settings::read;
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
    #[serde(default)]
    values: BTreeMap<String, Scalar>,
    /// Names that are taken beside.
    regex: Option<String>,
}

struct StructuredMetadata {
    values: Vec<(String, String)>,
    regex: Option<Regex>,
}

pub(super) fn build(Settings(written): Settings) -> Result<Box<dyn Stage>, Refused> {
    // A `regex` alone is Alloy's form too.
    let alloy = is_alloy(&written) || written.len() == 1 && written.get("regex").is_some_and(Value::is_string);
    let written = again(written);
    let s: Alloy = if alloy { read(written)? } else { Alloy { values: read(written)?, regex: None } };
    let values = sources(s.values);
    values.iter().try_for_each(|(n, _)| label(n))?;
    let regex = optional_pattern(&s.regex)?;
    if values.is_empty() && regex.is_none() {
        return Err("values or a regex are required".into());
    }
    Ok(Box::new(StructuredMetadata { values, regex }))
}

impl Stage for StructuredMetadata {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        let mut found: Vec<(String, String)> = vec![];
        let named = |source: &str| entry.extracted.text(source).map(|t| t.into_owned());
        found.extend(self.values.iter().filter_map(|(n, s)| Some((n.clone(), named(s)?))));
        if let Some(r) = &self.regex {
            found.extend(entry.extracted.iter().filter(|(n, _)| r.is_match(n)).map(|(n, v)| (n.to_owned(), v.into_owned())));
        }
        // Labels last: where both have a name, the label's value counts.
        found.extend(self.values.iter().filter_map(|(n, s)| Some((n.clone(), entry.labels.get(s)?.to_owned()))));
        if let Some(r) = &self.regex {
            found.extend(entry.labels.iter().filter(|(n, _)| r.is_match(n)).map(|(n, v)| (n.to_owned(), v.to_owned())));
        }
        self.values.iter().for_each(|(_, s)| entry.labels.remove(s));
        if let Some(r) = &self.regex {
            entry.labels.retain(|n| !r.is_match(n));
        }
        found.iter().for_each(|(n, v)| entry.set_metadata(n, v));
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, refused};

    #[test]
    fn metadata_comes_from_what_was_extracted_and_from_labels() {
        let stages = "[{logfmt: {mapping: {trace: }}}, {structured_metadata: {trace_id: trace, pod: , gone: }}]";
        assert_eq!(one(stages, "pod=p a=1", "trace=t"), "{a=\"1\"} [pod=p trace_id=t] trace=t");
        assert_eq!(one("[structured_metadata: {regex: '^p'}]", "pod=p a=1", "x"), "{a=\"1\"} [pod=p] x");
        assert!(refused("[structured_metadata: {}]").contains("required"));
    }
}
