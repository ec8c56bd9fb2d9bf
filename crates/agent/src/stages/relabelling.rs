//! `relabel`: Prometheus' rules for the labels of lines. Alloy has a component for this, `loki.relabel`; as a stage the
//! rules can also stand behind others.

use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};
use crate::relabel::{self, Rule};

struct Relabel(Vec<Rule>);

pub(super) fn build(rules: Vec<Rule>) -> Result<Box<dyn Stage>, Refused> {
    if rules.is_empty() { Err("rules are required".into()) } else { Ok(Box::new(Relabel(rules))) }
}

impl Stage for Relabel {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        if relabel::apply_to(&self.0, &mut entry.labels) { Step::On } else { Step::Drop("relabel_stage".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, outcome};

    #[test]
    fn rules_change_labels_or_drop() {
        assert_eq!(one("[relabel: [{source_labels: [a], target_label: b}, {regex: a, action: labeldrop}]]", "a=1", "x"), "{b=\"1\"} x");
        assert_eq!(outcome("[relabel: [{source_labels: [a], regex: 1, action: drop}]]", "a=1", &["x"]).dropped[0].reason, "relabel_stage");
    }
}
