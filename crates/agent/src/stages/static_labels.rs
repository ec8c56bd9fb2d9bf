//! `static_labels`: sets labels to values that are written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_yaml_ng::Value;

use super::labels::{again, is_alloy};
use super::parse::label;
use super::settings::read;
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};
use crate::scalar::Scalar;

/// Names and values: Promtail's form, or Alloy's, which has them under `values`.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Settings(BTreeMap<String, Value>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alloy {
    values: BTreeMap<String, Scalar>,
}

struct StaticLabels(Vec<(String, String)>);

pub(super) fn build(Settings(written): Settings) -> Result<Box<dyn Stage>, Refused> {
    let alloy = is_alloy(&written);
    let written = again(written);
    let values = if alloy { read::<Alloy>(written)?.values } else { read(written)? };
    if values.is_empty() {
        return Err("labels are required".into());
    }
    values.keys().try_for_each(|n| label(n))?;
    Ok(Box::new(StaticLabels(values.into_iter().filter(|(_, v)| !v.0.is_empty()).map(|(n, v)| (n, v.0)).collect())))
}

impl Stage for StaticLabels {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        self.0.iter().for_each(|(n, v)| entry.labels.set(n, v));
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, refused};

    #[test]
    fn labels_are_set() {
        assert_eq!(one("[static_labels: {env: prod, n: 5, e: }]", "env=dev", "x"), "{env=\"prod\", n=\"5\"} x");
        assert_eq!(one("[static_labels: {values: {env: prod}}]", "", "x"), "{env=\"prod\"} x");
        assert!(refused("[static_labels: {a-b: c}]").contains("invalid label name"));
        assert!(refused("[static_labels: ]").contains("required"));
    }
}
