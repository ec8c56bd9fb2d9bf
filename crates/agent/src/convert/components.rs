//! The components of a file, and the ways between them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_yaml_ng::Value as Yaml;

use super::model::{Endpoint, Plan, Source};
use super::open::{Notes, Open};
use super::stages::{rules, stages};
use super::syntax::{Block, Body};
use super::value::Value;
use super::{About, Note, endpoints, sections, sources};

/// Components that send.
const SENDERS: &[&str] = &["loki.write", "prometheus.remote_write", "otelcol.exporter.otlp", "otelcol.exporter.otlphttp"];
/// Components that others refer to.
const PASSED: &[&str] = &[
    "discovery.docker",
    "discovery.relabel",
    "local.file_match",
    "loki.process",
    "loki.relabel",
    "otelcol.processor.batch",
    "otelcol.processor.memory_limiter",
    "prometheus.exporter.self",
    "prometheus.exporter.unix",
    "prometheus.relabel",
];
/// Blocks that configure Alloy itself.
const OWN: &[&str] = &["logging", "tracing", "http", "livedebugging", "remotecfg"];

/// All components by their reference.
pub(super) struct Components<'b> {
    blocks: BTreeMap<String, &'b Block>,
    notes: &'b Notes<'b>,
    /// Those that something leads to; their leftovers have been named.
    closed: RefCell<BTreeSet<u32>>,
}

/// A way from a source to endpoints.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Way {
    pub stages: Vec<Yaml>,
    pub metric_rules: Vec<Yaml>,
    pub to: Vec<String>,
}

/// References are followed so far: a circle is a mistake of the file.
const MAX_HOPS: usize = 32;

/// Makes settings of a file.
pub(super) fn translate(text: &str, body: &Body) -> (Plan, Yaml, Vec<Note>) {
    let notes = Notes::new(text);
    let plan = plan(body, &notes);
    let settings = sections::of(&plan, &notes);
    (plan, settings, notes.take())
}

fn plan(body: &Body, notes: &Notes<'_>) -> Plan {
    let mut plan = Plan::default();
    let reference = |b: &Block| if b.label.is_empty() { b.name.clone() } else { format!("{}.{}", b.name, b.label) };
    let blocks = body.blocks.iter().map(|b| (reference(b), b)).collect();
    let all = Components { blocks, notes, closed: RefCell::default() };
    for a in &body.attributes {
        notes.add(About::Missing, a.span, format!("{} has no counterpart", a.name));
    }
    for block in body.blocks.iter().filter(|b| SENDERS.contains(&b.name.as_str())) {
        let open = Open::new(block, notes);
        let found = endpoints::endpoints(&block.name, &all.sender_name(block), &open);
        plan.endpoints.extend(found.into_iter().map(|e| Endpoint { span: Some(block.span), ..e }));
        open.close();
    }
    for block in &body.blocks {
        let name = block.name.as_str();
        if SENDERS.contains(&name) || PASSED.contains(&name) {
            continue;
        }
        let open = Open::new(block, notes);
        if OWN.contains(&name) {
            open.note(About::Different, "", format!("{name}: the agent's own log, status page and metrics are set elsewhere"));
        } else if sources::is_source(name) {
            let found = sources::sources(&all, name, &block.label, &open);
            plan.sources.extend(found.into_iter().map(|s| Source { span: Some(block.span), ..s }));
            open.close();
        } else {
            open.note(About::Missing, "", format!("{}: this component has no counterpart", open.title));
        }
    }
    distinct(&mut plan);
    for block in body.blocks.iter().filter(|b| PASSED.contains(&b.name.as_str())) {
        if !all.closed.borrow().contains(&block.span.start) {
            notes.add(About::Missing, block.span, format!("{} {:?}: nothing that was carried over leads here", block.name, block.label));
        }
    }
    plan
}

/// Gives sources that have one label in different components different names.
fn distinct(plan: &mut Plan) {
    let mut names = BTreeSet::new();
    for s in &mut plan.sources {
        let plain = if s.name.is_empty() { s.kind.clone() } else { s.name.clone() };
        let with_kind = format!("{plain}_{}", s.kind);
        let numbered = (2..).map(|n| format!("{with_kind}_{n}"));
        let free = [plain, with_kind.clone()].into_iter().chain(numbered).find(|n| !names.contains(n));
        s.name = free.unwrap_or(with_kind);
        names.insert(s.name.clone());
    }
}

impl<'b> Components<'b> {
    /// The component that `loki.write.x.receiver` speaks of: its name and itself.
    pub fn of_reference(&self, path: &str) -> Option<(&'b str, Open<'b>)> {
        let (component, _) = path.rsplit_once('.')?;
        // An exporter without a label, or a field of a field.
        let block = self.blocks.get(component).or_else(|| self.blocks.get(component.rsplit_once('.')?.0))?;
        Some((block.name.as_str(), Open::new(block, self.notes)))
    }

    /// What the endpoints of a sending component are called: its label, with its kind if another kind has the same.
    fn sender_name(&self, block: &Block) -> String {
        let rivals = |b: &&&Block| b.label == block.label && b.name != block.name && SENDERS.contains(&b.name.as_str());
        let kind = block.name.rsplit('.').next().unwrap_or("");
        let kind = if block.name == "loki.write" { "loki" } else { kind };
        match (self.blocks.values().find(rivals), block.label.as_str()) {
            (_, "") => kind.to_owned(),
            (None, label) => label.to_owned(),
            (Some(_), label) => format!("{label}_{kind}"),
        }
    }

    /// Names what was not asked of a component, once.
    pub fn done(&self, open: Open<'b>) {
        if self.closed.borrow_mut().insert(open.span.start) {
            open.close();
        }
    }

    /// The ways that lead on from `targets`, a list of references, an attribute `name` of `of`.
    pub fn ways(&self, of: &Open<'_>, name: &str, targets: Option<Value>) -> Vec<Way> {
        let mut ways: Vec<Way> = vec![];
        for target in self.receivers(of, name, targets) {
            for way in self.follow(of, name, &target, 0) {
                // Endpoints behind the same stages are one way.
                match ways.iter_mut().find(|w| (&w.stages, &w.metric_rules) == (&way.stages, &way.metric_rules)) {
                    Some(w) => w.to.extend(way.to),
                    None => ways.push(way),
                }
            }
        }
        for w in &mut ways {
            w.to.sort();
            w.to.dedup();
        }
        ways
    }

    fn receivers(&self, of: &Open<'_>, name: &str, targets: Option<Value>) -> Vec<String> {
        let Some(Value::List(list)) = targets else {
            of.note(About::Missing, name, format!("{}: it leads nowhere that the file alone tells", of.title));
            return vec![];
        };
        let reference = |v: Value| match v {
            Value::Reference(r) => Some(r),
            _ => {
                of.note(About::Missing, name, format!("{}: a receiver is not known from the file alone", of.title));
                None
            }
        };
        list.into_iter().filter_map(reference).collect()
    }

    fn follow(&self, of: &Open<'_>, name: &str, path: &str, hops: usize) -> Vec<Way> {
        let Some((kind, open)) = self.of_reference(path).filter(|_| hops < MAX_HOPS) else {
            of.note(About::Missing, name, format!("{}: there is no receiver {path}", of.title));
            return vec![];
        };
        if SENDERS.contains(&kind) {
            let label = path.rsplit_once('.').and_then(|(c, _)| self.blocks.get(c)).map_or_else(String::new, |b| self.sender_name(b));
            return vec![Way { to: endpoints::names(kind, &label, &open), ..Way::default() }];
        }
        let mut before = Way::default();
        let next = match kind {
            "loki.process" => {
                before.stages = stages(&open);
                open.get("forward_to")
            }
            "loki.relabel" => {
                open.ignore(&["max_cache_size"]);
                let rules = rules(&open, "rule");
                if !rules.is_empty() {
                    let one = (Yaml::String("relabel".into()), Yaml::Sequence(rules));
                    before.stages.push(Yaml::Mapping([one].into_iter().collect()));
                }
                open.get("forward_to")
            }
            "prometheus.relabel" => {
                open.ignore(&["max_cache_size"]);
                before.metric_rules = rules(&open, "rule");
                open.get("forward_to")
            }
            "otelcol.processor.batch" | "otelcol.processor.memory_limiter" => {
                open.note(About::Different, "", format!("{}: batches and bounds are the spool's matter", open.title));
                let output = open.blocks("output").pop();
                open.ignore(&open.attributes());
                output.and_then(|o| ["metrics", "logs", "traces"].into_iter().find_map(|n| o.get(n)))
            }
            _ => {
                of.note(About::Missing, name, format!("{}: {kind} has no counterpart; what it does is left out", of.title));
                return vec![];
            }
        };
        let mut ways = vec![];
        for target in self.receivers(&open, "forward_to", next) {
            for mut way in self.follow(&open, "forward_to", &target, hops + 1) {
                way.stages.splice(0..0, before.stages.iter().cloned());
                way.metric_rules.splice(0..0, before.metric_rules.iter().cloned());
                ways.push(way);
            }
        }
        self.done(open);
        ways
    }
}
