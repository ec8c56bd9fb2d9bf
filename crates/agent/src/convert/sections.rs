//! Writes what was found as the agent's settings have it: a section for each kind of source.
//!
//! Labels that an endpoint puts on everything become labels of the sources that lead to it: the agent's endpoints have none,
//! since rows are written down once for all of them.

use std::collections::BTreeMap;

use serde_yaml_ng::{Mapping, Value as Yaml};

use super::About;
use super::model::{Endpoint, Plan, Source};
use super::open::Notes;

/// How often Alloy scrapes unless it is told otherwise.
const INTERVAL: &str = "1m";
/// The `job` of what `prometheus.exporter.unix` tells.
const UNIX: &str = "integrations/unix";

/// The settings, `agent:` and what is under it.
pub(super) fn of(plan: &Plan, notes: &Notes<'_>) -> Yaml {
    let writer = Writer { plan, notes };
    let mut host = None;
    let (mut docker, mut files, mut scrape, mut syslog, mut journal) = (vec![], vec![], vec![], vec![], vec![]);
    let mut receive = Mapping::new();
    for s in &plan.sources {
        match s.kind.as_str() {
            "docker" => docker.push(writer.docker(s)),
            "files" => files.push(writer.files(s)),
            "scrape" => scrape.extend(writer.scrape(s)),
            "syslog" => syslog.push(writer.syslog(s)),
            "journal" => journal.push(writer.journal(s)),
            "loki_push" | "firehose" | "otlp" => writer.receive(s, &mut receive),
            "host" if host.is_none() => host = Some(writer.host(s)),
            "host" => writer.missing(s, "the host is measured once; this is left out"),
            kind => writer.missing(s, &format!("the agent has no source of the kind {kind}; nothing comes from here")),
        }
    }
    let mut sources = Mapping::new();
    put_list(&mut sources, "docker", docker);
    put_list(&mut sources, "files", files);
    // The agent measures its host unless it is told not to.
    sources.insert("host".into(), Yaml::Mapping(host.unwrap_or_else(|| section([("enabled", Yaml::from(false))]))));
    put_list(&mut sources, "scrape", scrape);
    put_list(&mut sources, "syslog", syslog);
    put_list(&mut sources, "journal", journal);
    let endpoints = plan.endpoints.iter().map(|e| Yaml::Mapping(writer.endpoint(e))).collect();
    let mut agent = section([("sources", Yaml::Mapping(sources))]);
    if !receive.is_empty() {
        agent.insert("receive".into(), Yaml::Mapping(receive));
    }
    agent.insert("endpoints".into(), Yaml::Sequence(endpoints));
    Yaml::Mapping(section([("agent", Yaml::Mapping(agent))]))
}

struct Writer<'a> {
    plan: &'a Plan,
    notes: &'a Notes<'a>,
}

impl Writer<'_> {
    fn note(&self, about: About, s: &Source, text: &str) {
        if let Some(span) = s.span {
            self.notes.add(about, span, format!("{}: {text}", s.name));
        }
    }

    fn missing(&self, s: &Source, text: &str) {
        self.note(About::Missing, s, text);
    }

    /// Its own labels and those of the endpoints that it leads to; its own are right.
    fn labels(&self, s: &Source) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        let to: Vec<&Endpoint> = self.plan.endpoints.iter().filter(|e| s.to.contains(&e.name)).collect();
        to.iter().for_each(|e| labels.extend(e.labels.clone()));
        if to.iter().any(|e| e.labels != labels) {
            self.note(About::Different, s, "its endpoints have different external_labels; here all of these go to all of them");
        }
        labels.extend(s.labels.clone());
        labels
    }

    fn docker(&self, s: &Source) -> Mapping {
        let mut out = section([("name", s.name.as_str().into())]);
        self.engine(s, &s.settings, &mut out);
        put_labels(&mut out, self.labels(s));
        put_list_of(&mut out, "relabel", &s.relabel);
        self.note(
            About::Different,
            s,
            "lines also have the labels container, compose_project, compose_service, service_name, image, host and stream; a rule labeldrop leaves out what is not wanted",
        );
        end(out, s)
    }

    /// Which Engine, and which of its containers.
    fn engine(&self, s: &Source, settings: &BTreeMap<String, Yaml>, out: &mut Mapping) {
        if let Some(host) = settings.get("host") {
            out.insert("endpoint".into(), host.clone());
        }
        let filters = settings.get("filters").and_then(Yaml::as_sequence).map_or(&[][..], Vec::as_slice);
        for f in filters {
            let values = f.get("values").and_then(Yaml::as_sequence).cloned().unwrap_or_default();
            let key = match f.get("name").and_then(Yaml::as_str) {
                Some("label") => "include_labels",
                Some("name") => "include_names",
                other => {
                    self.missing(s, &format!("the filter {:?} of containers has no counterpart", other.unwrap_or_default()));
                    continue;
                }
            };
            // The Engine takes a part of a name for the name.
            let part = |v: &Yaml| Yaml::from(format!("*{}*", v.as_str().unwrap_or_default()));
            let values = if key == "include_names" { values.iter().map(part).collect() } else { values };
            out.insert(key.into(), Yaml::Sequence(values));
        }
    }

    fn files(&self, s: &Source) -> Mapping {
        let mut out = section([("name", s.name.as_str().into())]);
        let mut labels = self.labels(s);
        if let Some(job) = labels.remove("job") {
            out.insert("job".into(), job.into());
        }
        for key in ["include", "from"] {
            put_as(&mut out, key, &s.settings, key);
        }
        put_labels(&mut out, labels);
        if !s.relabel.is_empty() {
            self.missing(s, "rules for targets that are files have no counterpart; write them as a stage relabel");
        }
        end(out, s)
    }

    fn host(&self, s: &Source) -> Mapping {
        let mut out = section([("enabled", Yaml::from(true)), ("interval", INTERVAL.into()), ("job", UNIX.into())]);
        put_as(&mut out, "interval", &s.settings, "scrape_interval");
        for key in s.settings.keys().filter(|k| *k != "scrape_interval") {
            self.missing(s, &format!("{key} has no counterpart: the agent has one set of collectors"));
        }
        if !s.relabel.is_empty() || !s.metric_relabel.is_empty() {
            self.missing(s, "rules for metrics of the host have no counterpart");
        }
        put_labels(&mut out, self.labels(s));
        end(out, s)
    }

    /// One section for each set of labels of named targets.
    fn scrape(&self, s: &Source) -> Vec<Mapping> {
        let mut by_labels: BTreeMap<BTreeMap<String, String>, Vec<Yaml>> = BTreeMap::new();
        for t in s.settings.get("targets").and_then(Yaml::as_sequence).map_or(&[][..], Vec::as_slice) {
            let labels = t.get("labels").and_then(Yaml::as_mapping).into_iter().flatten();
            let labels = labels.filter_map(|(k, v)| Some((k.as_str()?.to_owned(), v.as_str()?.to_owned()))).collect();
            by_labels.entry(labels).or_default().extend(t.get("address").cloned());
        }
        if let Some(docker) = s.settings.get("docker").and_then(Yaml::as_mapping) {
            let settings = docker.iter().filter_map(|(k, v)| Some((k.as_str()?.to_owned(), v.clone()))).collect();
            let mut engine = Mapping::new();
            self.engine(s, &settings, &mut engine);
            return vec![self.job(s, "docker", Yaml::Mapping(engine), BTreeMap::new())];
        }
        by_labels.into_iter().map(|(labels, targets)| self.job(s, "targets", Yaml::Sequence(targets), labels)).collect()
    }

    fn job(&self, s: &Source, key: &str, targets: Yaml, labels: BTreeMap<String, String>) -> Mapping {
        let mut out = section([("job", s.name.as_str().into()), (key, targets), ("interval", INTERVAL.into())]);
        for (ours, theirs) in [
            ("job", "job_name"),
            ("interval", "scrape_interval"),
            ("timeout", "scrape_timeout"),
            ("path", "metrics_path"),
            ("scheme", "scheme"),
            ("params", "params"),
            ("honor_labels", "honor_labels"),
            ("honor_timestamps", "honor_timestamps"),
            ("protocols", "scrape_protocols"),
            ("native_histograms", "scrape_native_histograms"),
            ("classic_histograms", "scrape_classic_histograms"),
            ("token", "bearer_token"),
        ] {
            put_as(&mut out, ours, &s.settings, theirs);
        }
        if let Some(n) = s.settings.get("sample_limit").filter(|n| n.as_u64() != Some(0)) {
            out.insert("limits".into(), Yaml::Mapping(section([("samples", n.clone())])));
        }
        put_labels(&mut out, self.labels(s).into_iter().chain(labels).collect());
        put_list_of(&mut out, "relabel", &s.relabel);
        put_list_of(&mut out, "metric_relabel", &s.metric_relabel);
        end(out, s)
    }

    /// One address for each protocol; further ones are named.
    fn syslog(&self, s: &Source) -> Mapping {
        let mut out = section([("name", s.name.as_str().into())]);
        for l in s.settings.get("listeners").and_then(Yaml::as_sequence).map_or(&[][..], Vec::as_slice) {
            let Some(address) = l.get("address").and_then(Yaml::as_str) else { continue };
            let key = l.get("protocol").and_then(Yaml::as_str).filter(|p| *p == "udp").unwrap_or("tcp");
            if out.contains_key(key) {
                self.missing(s, &format!("it listens for {key} at one address; {address} is left out"));
            } else {
                out.insert(key.into(), address.into());
            }
        }
        let mut labels = self.labels(s);
        if let Some(job) = labels.remove("job") {
            out.insert("job".into(), job.into());
        }
        put_labels(&mut out, labels);
        put_list_of(&mut out, "relabel", &s.relabel);
        self.note(About::Different, s, "lines also have the labels job, host, app, facility and level");
        end(out, s)
    }

    fn journal(&self, s: &Source) -> Mapping {
        let mut out = section([("name", s.name.as_str().into()), ("from", "start".into())]);
        put_as(&mut out, "directory", &s.settings, "path");
        self.note(
            About::Different,
            s,
            "it is read from its start the first time, not from max_age (7h unless told otherwise); lines also have the labels job, host, unit, app and level",
        );
        if s.settings.contains_key("matches") {
            self.missing(s, "matches has no counterpart; a rule that drops or keeps does the same");
        }
        let mut labels = self.labels(s);
        if let Some(job) = labels.remove("job") {
            out.insert("job".into(), job.into());
        }
        put_labels(&mut out, labels);
        put_list_of(&mut out, "relabel", &s.relabel);
        end(out, s)
    }

    /// Adds a receiver. All of them listen at all addresses.
    fn receive(&self, s: &Source, out: &mut Mapping) {
        let key = if s.kind == "loki_push" { "loki" } else { &s.kind };
        if out.contains_key(key) {
            return self.missing(s, "there is one receiver of each kind; this one is left out");
        }
        let value = match s.kind.as_str() {
            "otlp" => Yaml::from(true),
            "firehose" => {
                let mut of = Mapping::new();
                put_as(&mut of, "access_key", &s.settings, "access_key");
                put_labels(&mut of, self.labels(s));
                put_list_of(&mut of, "relabel", &s.relabel);
                put_list_of(&mut of, "stages", &s.stages);
                Yaml::Mapping(of)
            }
            _ => {
                // A push has its labels already: further ones and rules are stages.
                let mut stages = vec![];
                let labels = self.labels(s);
                if !labels.is_empty() {
                    let pairs: Mapping = labels.into_iter().map(|(n, v)| (Yaml::from(n), Yaml::from(v))).collect();
                    stages.push(Yaml::Mapping(section([("static_labels", Yaml::Mapping(pairs))])));
                }
                if !s.relabel.is_empty() {
                    stages.push(Yaml::Mapping(section([("relabel", Yaml::Sequence(s.relabel.clone()))])));
                }
                stages.extend(s.stages.iter().cloned());
                let mut of = Mapping::new();
                put_list_of(&mut of, "stages", &stages);
                Yaml::Mapping(of)
            }
        };
        out.insert(key.into(), value);
        self.listen(s, out);
        let takes = |e: &&Endpoint| (s.kind == "otlp") == (e.kind == "otlp") && e.kind != "remote_write";
        let others: Vec<&str> =
            self.plan.endpoints.iter().filter(takes).map(|e| e.name.as_str()).filter(|n| !s.to.iter().any(|t| t == n)).collect();
        if !others.is_empty() {
            self.note(
                About::Different,
                s,
                &format!("what is received goes to every endpoint that takes it, so also to {}", others.join(", ")),
            );
        }
    }

    /// Where receivers listen: wherever one of them did.
    fn listen(&self, s: &Source, out: &mut Mapping) {
        let mut all: Vec<String> = match out.get("listen") {
            Some(Yaml::Sequence(many)) => many.iter().filter_map(Yaml::as_str).map(str::to_owned).collect(),
            one => one.and_then(Yaml::as_str).map(str::to_owned).into_iter().collect(),
        };
        let before = all.len();
        for listen in ["listen", "http", "grpc"].into_iter().filter_map(|k| s.settings.get(k)).filter_map(Yaml::as_str) {
            if all.iter().any(|a| a == listen) {
                continue;
            }
            all.push(listen.to_owned());
            let host = listen.rsplit_once(':').map_or(listen, |(h, _)| h);
            if !matches!(host, "127.0.0.1" | "localhost" | "[::1]") {
                out.insert("insecure".into(), true.into());
                let said = format!("anybody who reaches {listen} may send, as before; set receive.token instead of receive.insecure");
                self.note(About::Different, s, &said);
            }
        }
        if before > 0 && all.len() > before {
            self.note(About::Different, s, &format!("all receivers listen at all addresses: {}", all.join(", ")));
        }
        let mut all = all.into_iter().map(Yaml::from);
        match (all.next(), all.next()) {
            (Some(one), None) => _ = out.insert("listen".into(), one),
            (Some(one), Some(two)) => _ = out.insert("listen".into(), Yaml::Sequence([one, two].into_iter().chain(all).collect())),
            _ => {}
        }
    }

    fn endpoint(&self, e: &Endpoint) -> Mapping {
        let mut out = section([("name", e.name.as_str().into()), ("type", e.kind.as_str().into()), ("url", e.url.as_str().into())]);
        let auth = e.basic_auth.as_ref();
        for (key, value) in [
            ("tenant", e.tenant.as_ref()),
            ("user", auth.map(|a| &a.username)),
            ("password", auth.map(|a| &a.password)),
            ("token", e.bearer_token.as_ref()),
        ] {
            if let Some(v) = value {
                out.insert(key.into(), v.as_str().into());
            }
        }
        for name in e.headers.keys() {
            if let Some(span) = e.span {
                self.notes.add(About::Missing, span, format!("{}: the header {name} has no counterpart", e.name));
            }
        }
        out
    }
}

fn section<const N: usize>(pairs: [(&str, Yaml); N]) -> Mapping {
    pairs.into_iter().map(|(k, v)| (Yaml::from(k), v)).collect()
}

/// Stages and endpoints, which all sources have alike.
fn end(mut out: Mapping, s: &Source) -> Mapping {
    put_list_of(&mut out, "stages", &s.stages);
    put_list_of(&mut out, "to", &s.to.iter().map(|n| Yaml::from(n.as_str())).collect::<Vec<_>>());
    out
}

fn put_as(out: &mut Mapping, ours: &str, settings: &BTreeMap<String, Yaml>, theirs: &str) {
    if let Some(v) = settings.get(theirs) {
        out.insert(ours.into(), v.clone());
    }
}

fn put_labels(out: &mut Mapping, labels: BTreeMap<String, String>) {
    if !labels.is_empty() {
        let pairs = labels.into_iter().map(|(n, v)| (Yaml::from(n), Yaml::from(v)));
        out.insert("labels".into(), Yaml::Mapping(pairs.collect()));
    }
}

fn put_list_of(out: &mut Mapping, key: &str, list: &[Yaml]) {
    if !list.is_empty() {
        out.insert(key.into(), Yaml::Sequence(list.to_vec()));
    }
}

fn put_list(out: &mut Mapping, key: &str, list: Vec<Mapping>) {
    put_list_of(out, key, &list.into_iter().map(Yaml::Mapping).collect::<Vec<_>>());
}
