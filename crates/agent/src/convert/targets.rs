//! What a list of targets stands for.

use std::collections::BTreeMap;

use serde_yaml_ng::Value as Yaml;

use super::About;
use super::components::Components;
use super::open::Open;
use super::stages::rules;
use super::value::Value;

/// Where targets come from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    /// Containers found through the Engine at an address.
    Docker(BTreeMap<String, Yaml>),
    /// Files by a pattern, with labels.
    Files(String, BTreeMap<String, String>),
    /// This host's own figures.
    Host(BTreeMap<String, Yaml>),
    /// The agent's own figures.
    Agent,
    /// An address, with labels.
    Static(String, BTreeMap<String, String>),
}

/// Targets, and the rules that are applied to them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Targets {
    pub list: Vec<Target>,
    pub rules: Vec<Yaml>,
}

/// References are followed so far: a circle is a mistake of the file.
const MAX_HOPS: usize = 32;

/// Finds out what `value`, an attribute of `of`, stands for.
pub(super) fn resolve(all: &Components<'_>, of: &Open<'_>, value: &Value, hops: usize) -> Targets {
    let mut out = Targets::default();
    if hops > MAX_HOPS {
        of.note(About::Missing, "targets", format!("{}: its targets lead in a circle", of.title));
        return out;
    }
    match value {
        Value::List(items) => {
            for item in items {
                let t = resolve(all, of, item, hops + 1);
                out.list.extend(t.list);
                out.rules.extend(t.rules);
            }
        }
        Value::Object(pairs) => out.list.extend(object(of, pairs)),
        Value::Reference(path) => return reference(all, of, path, hops),
        Value::Unknown(what) => of.note(About::Missing, "targets", format!("{}: its targets are {what}", of.title)),
        _ => {}
    }
    out
}

fn object(of: &Open<'_>, pairs: &[(String, Value)]) -> Option<Target> {
    let mut labels = BTreeMap::new();
    for (k, v) in pairs {
        match v {
            Value::Text(t) | Value::Number(t) => drop(labels.insert(k.clone(), t.clone())),
            _ => of.note(About::Missing, "targets", format!("{}: the label {k} of a target is not known from the file alone", of.title)),
        }
    }
    if let Some(path) = labels.remove("__path__") {
        return Some(Target::Files(path, labels));
    }
    match labels.remove("__address__") {
        Some(address) => Some(Target::Static(address, labels)),
        None => {
            of.note(About::Missing, "targets", format!("{}: a target has neither __address__ nor __path__", of.title));
            None
        }
    }
}

fn reference(all: &Components<'_>, of: &Open<'_>, path: &str, hops: usize) -> Targets {
    let found = all.of_reference(path);
    let Some((kind, open)) = found else {
        of.note(About::Missing, "targets", format!("{}: there is no component for {path}", of.title));
        return Targets::default();
    };
    let one = |t: Target| Targets { list: vec![t], rules: vec![] };
    let out = match kind {
        "discovery.relabel" => {
            let inner = open.get("targets").unwrap_or(Value::Null);
            let mut t = resolve(all, &open, &inner, hops + 1);
            t.rules.extend(rules(&open, "rule"));
            t
        }
        "local.file_match" => {
            open.ignore(&["sync_period"]);
            let inner = open.get("path_targets").unwrap_or(Value::Null);
            resolve(all, &open, &inner, hops + 1)
        }
        "discovery.docker" => {
            let mut settings = BTreeMap::new();
            for name in ["host", "refresh_interval", "match_first_network"] {
                settings.extend(open.yaml(name).map(|v| (name.to_owned(), v)));
            }
            let filters: Vec<Yaml> = open.blocks("filter").iter().map(|f| filter(f)).collect();
            if !filters.is_empty() {
                settings.insert("filters".into(), Yaml::Sequence(filters));
            }
            one(Target::Docker(settings))
        }
        "prometheus.exporter.unix" => {
            let mut settings = BTreeMap::new();
            for name in ["set_collectors", "enable_collectors", "disable_collectors", "procfs_path", "sysfs_path", "rootfs_path"] {
                settings.extend(open.yaml(name).map(|v| (name.to_owned(), v)));
            }
            one(Target::Host(settings))
        }
        "prometheus.exporter.self" => one(Target::Agent),
        other => {
            of.note(About::Missing, "targets", format!("{}: targets of {other} are not supported", of.title));
            Targets::default()
        }
    };
    all.done(open);
    out
}

fn filter(of: &Open<'_>) -> Yaml {
    Yaml::Mapping(["name", "values"].into_iter().filter_map(|n| Some((Yaml::String(n.into()), of.yaml(n)?))).collect())
}
