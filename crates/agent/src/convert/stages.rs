//! Stages and rules.

use serde_yaml_ng::{Mapping, Value as Yaml};

use super::About;
use super::open::Open;
use crate::relabel::Rule;
use crate::stages::{Stages, settings};

/// The stages of a `loki.process` or of a `stage.match`.
pub(super) fn stages(of: &Open<'_>) -> Vec<Yaml> {
    let mut out = vec![];
    for block in of.all_blocks() {
        let open = Open::new(block, of.notes());
        let Some(kind) = block.name.strip_prefix("stage.") else {
            open.note(About::Missing, "", format!("{}: the block {} has no counterpart", of.title, block.name));
            continue;
        };
        if !settings::is_known(kind) {
            open.note(About::Missing, "", format!("{}: there is no stage {kind}; lines pass as if it were not there", of.title));
            continue;
        }
        let stage = one(kind, &open);
        // What we would refuse to read is not written.
        match Stages::from_value(vec![stage.clone()]) {
            Ok(_) => out.push(stage),
            Err(e) => open.note(About::Missing, "", format!("{}: {e}", of.title)),
        }
    }
    out
}

fn one(kind: &str, open: &Open<'_>) -> Yaml {
    let mut settings = Mapping::new();
    for name in open.attributes() {
        if let Some(value) = open.yaml(name) {
            settings.insert(name.into(), value);
        }
    }
    let inner: Vec<&str> = open.all_blocks().iter().map(|b| b.name.as_str()).collect();
    if kind == "match" && !inner.is_empty() {
        settings.insert("stages".into(), Yaml::Sequence(stages(open)));
    } else if inner.contains(&"rule") {
        let rules = open.blocks("rule").iter().map(attributes).collect();
        settings.insert("rules".into(), Yaml::Sequence(rules));
    }
    Yaml::Mapping([(Yaml::String(kind.into()), Yaml::Mapping(settings))].into_iter().collect())
}

fn attributes(of: &Open<'_>) -> Yaml {
    Yaml::Mapping(of.attributes().into_iter().filter_map(|n| Some((Yaml::String(n.into()), of.yaml(n)?))).collect())
}

/// The rules of a block, each a block `name`.
pub(super) fn rules(of: &Open<'_>, name: &str) -> Vec<Yaml> {
    let mut out = vec![];
    for block in of.blocks(name) {
        let rule = attributes(&block);
        match serde_yaml_ng::from_value::<Rule>(rule.clone()) {
            Ok(_) => out.push(rule),
            Err(e) => block.note(About::Missing, "", format!("{}: this rule is not valid: {e}", of.title)),
        }
    }
    out
}
