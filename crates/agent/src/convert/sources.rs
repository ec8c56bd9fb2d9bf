//! Components that collect.

use std::collections::BTreeMap;

use serde_yaml_ng::Value as Yaml;

use super::About;
use super::beliefs;
use super::components::{Components, Way};
use super::model::Source;
use super::open::Open;
use super::targets::{Target, Targets, resolve};
use super::value::Value;

type Settings = BTreeMap<String, Yaml>;
type Collect = fn(&Components<'_>, &str, &Open<'_>) -> Vec<Source>;

const SOURCES: &[(&str, Collect)] = &[
    ("loki.source.docker", docker),
    ("loki.source.file", files),
    ("loki.source.journal", journal),
    ("loki.source.syslog", syslog),
    ("loki.source.api", |all, label, open| received(all, label, open, "loki_push")),
    ("loki.source.awsfirehose", |all, label, open| received(all, label, open, "firehose")),
    ("prometheus.scrape", scrape),
    ("otelcol.receiver.otlp", otlp),
];

/// Whether a component collects.
pub(super) fn is_source(name: &str) -> bool {
    SOURCES.iter().any(|(n, _)| *n == name)
}

/// The sources that a component becomes.
pub(super) fn sources(all: &Components<'_>, kind: &str, label: &str, open: &Open<'_>) -> Vec<Source> {
    SOURCES.iter().find(|(n, _)| *n == kind).map_or(vec![], |(_, f)| f(all, label, open))
}

/// Makes a source for each way; nearly always there is one.
fn with_ways(open: &Open<'_>, source: Source, ways: Vec<Way>) -> Vec<Source> {
    if ways.len() > 1 {
        open.note(
            About::Different,
            "forward_to",
            format!("{}: its lines go several ways with different stages, so it is read once for each", open.title),
        );
    }
    let one = |(i, w): (usize, Way)| Source {
        name: if i == 0 { source.name.clone() } else { format!("{}_{}", source.name, i + 1) },
        kind: source.kind.clone(),
        settings: source.settings.clone(),
        labels: source.labels.clone(),
        relabel: source.relabel.clone(),
        metric_relabel: w.metric_rules,
        stages: w.stages,
        to: w.to,
        span: source.span,
    };
    ways.into_iter().enumerate().map(one).collect()
}

fn forwarded(all: &Components<'_>, open: &Open<'_>, source: Source) -> Vec<Source> {
    let ways = all.ways(open, "forward_to", open.get("forward_to"));
    with_ways(open, source, ways)
}

/// The rules that `relabel_rules = loki.relabel.x.rules` speaks of.
fn relabel_rules(all: &Components<'_>, open: &Open<'_>) -> Vec<Yaml> {
    let Some(Value::Reference(path)) = open.get("relabel_rules") else { return vec![] };
    let Some((_, component)) = all.of_reference(&path) else {
        open.note(About::Missing, "relabel_rules", format!("{}: there is no component for {path}", open.title));
        return vec![];
    };
    let rules = super::stages::rules(&component, "rule");
    component.ignore(&["targets", "forward_to", "max_cache_size"]);
    all.done(component);
    rules
}

fn targets(all: &Components<'_>, open: &Open<'_>) -> Targets {
    let value = open.get("targets").unwrap_or(Value::Null);
    resolve(all, open, &value, 0)
}

fn take(open: &Open<'_>, names: &[&str]) -> Settings {
    names.iter().filter_map(|n| Some(((*n).to_owned(), open.yaml(n)?))).collect()
}

fn docker(all: &Components<'_>, label: &str, open: &Open<'_>) -> Vec<Source> {
    beliefs::docker(open);
    let found = targets(all, open);
    let mut settings = Settings::new();
    for t in &found.list {
        match t {
            Target::Docker(s) => settings.extend(s.clone()),
            _ => open.note(About::Missing, "targets", format!("{}: a target is not from discovery.docker", open.title)),
        }
    }
    settings.extend(take(open, &["host"]));
    let mut relabel = found.rules;
    relabel.extend(relabel_rules(all, open));
    open.ignore(&["refresh_interval"]);
    let source = Source { name: label.into(), kind: "docker".into(), settings, labels: open.texts("labels"), relabel, ..Source::default() };
    forwarded(all, open, source)
}

fn files(all: &Components<'_>, label: &str, open: &Open<'_>) -> Vec<Source> {
    beliefs::files(open);
    let found = targets(all, open);
    // Patterns with the same labels are one source.
    let mut groups: Vec<(BTreeMap<String, String>, Vec<Yaml>)> = vec![];
    for t in found.list {
        let Target::Files(path, mut labels) = t else {
            open.note(About::Missing, "targets", format!("{}: a target has no __path__", open.title));
            continue;
        };
        let exclude = labels.remove("__path_exclude__");
        if exclude.is_some() {
            open.note(About::Missing, "targets", format!("{}: __path_exclude__: write it as exclude of the source", open.title));
        }
        match groups.iter_mut().find(|(l, _)| *l == labels) {
            Some((_, paths)) => paths.push(path.into()),
            None => groups.push((labels, vec![path.into()])),
        }
    }
    let from = if open.is_true("tail_from_end") { "end" } else { "start" };
    open.ignore(&["file_watch", "on_positions_file_error", "legacy_positions_file"]);
    let ways = all.ways(open, "forward_to", open.get("forward_to"));
    let one = |(i, (labels, paths)): (usize, (BTreeMap<String, String>, Vec<Yaml>))| {
        let settings = Settings::from([("include".to_owned(), Yaml::Sequence(paths)), ("from".to_owned(), from.into())]);
        let name = if i == 0 { label.to_owned() } else { format!("{label}_{}", i + 1) };
        let source = Source { name, kind: "files".into(), settings, labels, relabel: found.rules.clone(), ..Source::default() };
        with_ways(open, source, ways.clone())
    };
    groups.into_iter().enumerate().flat_map(one).collect()
}

fn journal(all: &Components<'_>, label: &str, open: &Open<'_>) -> Vec<Source> {
    let settings = take(open, &["path", "max_age", "matches"]);
    open.ignore(&["format_as_json"]);
    let relabel = relabel_rules(all, open);
    let source =
        Source { name: label.into(), kind: "journal".into(), settings, labels: open.texts("labels"), relabel, ..Source::default() };
    forwarded(all, open, source)
}

fn syslog(all: &Components<'_>, label: &str, open: &Open<'_>) -> Vec<Source> {
    beliefs::receiver(open);
    let mut listeners = vec![];
    let mut labels = BTreeMap::new();
    for l in open.blocks("listener") {
        let names = ["address", "protocol", "syslog_format", "use_incoming_timestamp", "use_rfc5424_message", "max_message_length"];
        let of: serde_yaml_ng::Mapping = take(&l, &names).into_iter().map(|(k, v)| (Yaml::String(k), v)).collect();
        labels.extend(l.texts("labels"));
        l.ignore(&["idle_timeout", "label_structured_data"]);
        l.close();
        listeners.push(Yaml::Mapping(of));
    }
    let relabel = relabel_rules(all, open);
    let settings = Settings::from([("listeners".to_owned(), Yaml::Sequence(listeners))]);
    let source = Source { name: label.into(), kind: "syslog".into(), settings, labels, relabel, ..Source::default() };
    forwarded(all, open, source)
}

/// `loki_push` and `firehose`.
fn received(all: &Components<'_>, label: &str, open: &Open<'_>, kind: &str) -> Vec<Source> {
    beliefs::receiver(open);
    let mut settings = take(open, &["access_key"]);
    for http in open.blocks("http") {
        let address = http.text("listen_address").unwrap_or_else(|| "0.0.0.0".into());
        let port = http.text("listen_port").unwrap_or_else(|| "8080".into());
        settings.insert("listen".into(), format!("{address}:{port}").into());
        http.close();
    }
    open.ignore(&["use_incoming_timestamp", "graceful_shutdown_timeout", "max_send_message_size", "grpc"]);
    let relabel = relabel_rules(all, open);
    let source = Source { name: label.into(), kind: kind.into(), settings, labels: open.texts("labels"), relabel, ..Source::default() };
    forwarded(all, open, source)
}

fn scrape(all: &Components<'_>, label: &str, open: &Open<'_>) -> Vec<Source> {
    let found = targets(all, open);
    let interval = take(open, &["scrape_interval"]);
    let names = [
        "scrape_timeout",
        "job_name",
        "metrics_path",
        "scheme",
        "params",
        "honor_labels",
        "honor_timestamps",
        "scrape_protocols",
        "scrape_native_histograms",
        "scrape_classic_histograms",
        "sample_limit",
        "bearer_token",
    ];
    let scraped = take(open, &names);
    for auth in open.blocks("basic_auth") {
        auth.note(About::Missing, "", format!("{}: write basic_auth by hand", open.title));
    }
    open.ignore(&["clustering", "extra_metrics", "enable_protobuf_negotiation"]);
    let ways = all.ways(open, "forward_to", open.get("forward_to"));
    let mut out = vec![];
    let mut addresses = vec![];
    let base = |kind: &str, settings: Settings| Source {
        name: label.into(),
        kind: kind.into(),
        settings: interval.clone().into_iter().chain(settings).collect(),
        relabel: found.rules.clone(),
        ..Source::default()
    };
    for t in &found.list {
        match t {
            Target::Host(s) => out.push(base("host", s.clone())),
            Target::Agent => {
                open.note(About::Different, "targets", format!("{}: the agent's own figures are always sent", open.title));
            }
            Target::Docker(s) => {
                let docker: serde_yaml_ng::Mapping = s.iter().map(|(k, v)| (Yaml::String(k.clone()), v.clone())).collect();
                out.push(base("scrape", scraped.clone().into_iter().chain([("docker".to_owned(), Yaml::Mapping(docker))]).collect()));
            }
            Target::Static(address, labels) => {
                let mut target = serde_yaml_ng::Mapping::from_iter([(Yaml::from("address"), Yaml::from(address.as_str()))]);
                if !labels.is_empty() {
                    let labels = labels.iter().map(|(k, v)| (Yaml::from(k.as_str()), Yaml::from(v.as_str()))).collect();
                    target.insert("labels".into(), Yaml::Mapping(labels));
                }
                addresses.push(Yaml::Mapping(target));
            }
            Target::Files(path, _) => open.note(About::Missing, "targets", format!("{}: {path} is a file, not a target", open.title)),
        }
    }
    if !addresses.is_empty() {
        out.push(base("scrape", scraped.into_iter().chain([("targets".to_owned(), Yaml::Sequence(addresses))]).collect()));
    }
    let several = out.len() > 1;
    for (i, s) in out.iter_mut().enumerate().filter(|(i, _)| several && *i > 0) {
        s.name = format!("{label}_{}", i + 1);
    }
    out.into_iter().flat_map(|s| with_ways(open, s, ways.clone())).collect()
}

fn otlp(all: &Components<'_>, label: &str, open: &Open<'_>) -> Vec<Source> {
    beliefs::receiver(open);
    let mut settings = Settings::new();
    for (name, default) in [("grpc", "0.0.0.0:4317"), ("http", "0.0.0.0:4318")] {
        for block in open.blocks(name) {
            settings.insert(name.into(), block.text("endpoint").unwrap_or_else(|| default.into()).into());
            block.close();
        }
    }
    open.ignore(&["debug_metrics"]);
    let mut by_signal: Vec<(Vec<String>, Vec<&str>)> = vec![];
    for output in open.blocks("output") {
        for signal in ["metrics", "logs", "traces"] {
            let Some(targets) = output.get(signal).filter(|t| *t != Value::List(vec![])) else { continue };
            for way in all.ways(&output, signal, Some(targets)) {
                match by_signal.iter_mut().find(|(to, _)| *to == way.to) {
                    Some((_, signals)) => signals.push(signal),
                    None => by_signal.push((way.to, vec![signal])),
                }
            }
        }
        output.close();
    }
    if by_signal.len() > 1 {
        let ways: Vec<String> = by_signal.iter().map(|(to, signals)| format!("{} to {}", signals.join(", "), to.join(", "))).collect();
        open.note(
            About::Different,
            "",
            format!("{}: signals go different ways ({}); here all go to all endpoints that take them", open.title, ways.join("; ")),
        );
    }
    let mut to: Vec<String> = by_signal.into_iter().flat_map(|(to, _)| to).collect();
    to.sort();
    to.dedup();
    vec![Source { name: label.into(), kind: "otlp".into(), settings, to, ..Source::default() }]
}
