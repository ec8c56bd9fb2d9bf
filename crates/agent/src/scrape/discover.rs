//! Finding targets. What is found is a set of labels, `__address__` among them; rules make a target of it.
//!
//! While a source of targets cannot be asked, those that it named last stay: a server that is away must not end all series.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use base::{Error, Result};
use serde::Deserialize;

use super::dns;
use super::fetch::Client;
use super::job::{Job, Lookup, Place};
use super::target::{self, Found};
use crate::docker;
use crate::docker::engine::Listed;
use crate::docker::entry::Pipe;
use crate::files::glob::{Glob, Walk};
use crate::limits;
use crate::scalar::Scalar;

/// The port of a container that says of none that it listens there, as in Prometheus.
const PORT: u16 = 80;

/// All sources of targets of a job.
pub(super) struct Discovery {
    sources: Vec<Source>,
}

struct Source {
    from: From,
    every: Duration,
    /// When it is asked next; at once if it was not asked yet.
    due: Option<Instant>,
    last: Vec<Found>,
    /// What was last said to be wrong.
    said: String,
}

enum From {
    Settings(Vec<Found>),
    Files(Glob),
    Http(String),
    Docker(Box<docker::Settings>, docker::client::Client),
    Dns(dns::Settings),
}

/// Targets with labels, as files and servers name them.
#[derive(Deserialize)]
struct Group {
    targets: Vec<Scalar>,
    #[serde(default)]
    labels: Option<BTreeMap<String, Scalar>>,
}

impl Discovery {
    /// The sources that a job names.
    ///
    /// # Errors
    /// A pattern that is none, an address of an Engine that is none.
    pub fn new(job: &Job) -> Result<Discovery> {
        let mut named = vec![];
        for g in &job.targets {
            for t in &g.targets {
                let mut found: Found = g.labels.clone();
                found.extend(target::named(t));
                named.push(found);
            }
        }
        let mut sources = vec![Source::new(From::Settings(named), limits::DISCOVER_EVERY)];
        for Lookup { place, every } in &job.lookups {
            let from = match place {
                Place::Files(pattern) => {
                    let glob = Glob::new(pattern)?;
                    if !glob.is_absolute() {
                        return Err(Error::invalid(format!("path pattern {pattern:?} does not begin with /")));
                    }
                    From::Files(glob)
                }
                Place::Http(url) => From::Http(url.clone()),
                Place::Docker(d) => {
                    let address = docker::client::Address::parse(&d.endpoint)?;
                    From::Docker(d.clone(), docker::client::Client::new(address, d.timeout))
                }
                Place::Dns(d) => From::Dns(d.clone()),
            };
            sources.push(Source::new(from, *every));
        }
        Ok(Discovery { sources })
    }

    /// Whether targets may come and go.
    pub fn is_live(&self) -> bool {
        self.sources.iter().any(|s| !matches!(s.from, From::Settings(_)))
    }

    /// How often to look, at the most often.
    pub fn every(&self) -> Duration {
        self.sources.iter().map(|s| s.every).min().unwrap_or(limits::DISCOVER_EVERY)
    }

    /// Asks those whose time it is, and gives what all of them know.
    pub fn found(&mut self, client: &Client, now: Instant) -> Vec<Found> {
        self.sources.iter_mut().filter(|s| s.due.is_none_or(|at| at <= now)).for_each(|s| s.ask(client, now));
        self.sources.iter().flat_map(|s| s.last.iter().cloned()).collect()
    }
}

impl Source {
    fn new(from: From, every: Duration) -> Source {
        Source { from, every, due: None, last: vec![], said: String::new() }
    }

    fn ask(&mut self, client: &Client, now: Instant) {
        self.due = Some(now + self.every);
        match self.from.ask(client) {
            Ok(found) => {
                self.last = found;
                self.said.clear();
            }
            Err(e) => {
                let text = e.to_string();
                if self.said != text {
                    tracing::warn!(error = %e, "targets cannot be looked for; those that are known stay");
                    self.said = text;
                }
            }
        }
    }
}

impl From {
    fn ask(&self, client: &Client) -> Result<Vec<Found>> {
        match self {
            From::Settings(found) => Ok(found.clone()),
            From::Files(glob) => {
                let mut walk = Walk::default();
                walk.add(glob);
                let files: Result<Vec<Vec<Found>>> = walk.files.keys().map(|path| of_file(path)).collect();
                files.map(|f| f.concat())
            }
            From::Http(url) => {
                let answer = client.get(url, "application/json", limits::DISCOVER_TIMEOUT, limits::DISCOVER_BYTES)?;
                answer.text().and_then(|t| groups(t, true, ("__meta_url", url))).map_err(|e| e.context(url))
            }
            From::Docker(settings, engine) => {
                let all = engine.containers()?;
                let wanted = all.iter().filter(|c| c.is_running() && docker::labels::is_wanted(c, settings));
                Ok(wanted.flat_map(of_container).collect())
            }
            From::Dns(d) => dns::found(d, &dns::Resolver::of_system()?),
        }
    }
}

fn of_file(path: &Path) -> Result<Vec<Found>> {
    let shown = path.display().to_string();
    let unreadable = |e: std::io::Error| Error::unavailable(format!("{shown}: {e}"));
    if std::fs::metadata(path).map_err(unreadable)?.len() > limits::DISCOVER_BYTES {
        return Err(Error::invalid(format!("{shown}: longer than {} bytes", limits::DISCOVER_BYTES)));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let is_json = path.extension().is_some_and(|e| e == "json");
    groups(&text, is_json, ("__meta_filepath", &shown)).map_err(|e| e.context(&shown))
}

/// Reads `[{"targets": ["host:port"], "labels": {"name": "value"}}]`. `origin` is a label of all.
fn groups(text: &str, is_json: bool, origin: (&str, &str)) -> Result<Vec<Found>> {
    let groups: Vec<Group> = if is_json {
        serde_json::from_str(text).map_err(|e| Error::invalid(e.to_string()))?
    } else {
        serde_yaml_ng::from_str(text).map_err(|e| Error::invalid(e.to_string()))?
    };
    let mut all = vec![];
    for g in groups {
        let labels = g.labels.unwrap_or_default();
        for t in g.targets {
            let mut found: Found = labels.iter().map(|(n, v)| (n.clone(), v.0.clone())).collect();
            found.extend(target::named(&t.0));
            found.insert(origin.0.into(), origin.1.into());
            all.push(found);
        }
    }
    Ok(all)
}

/// The targets that a container is: one for each port over TCP that it says it listens on, in its first network by name.
fn of_container(c: &Listed) -> Vec<Found> {
    let mut meta = docker::labels::meta(c, Pipe::Stdout);
    meta.retain(|n, _| n != "__meta_docker_container_log_stream" && !n.starts_with("__meta_docker_port_"));
    let host = if c.network_mode() == "host" {
        "localhost".to_owned()
    } else {
        let Some((name, network)) = c.networks().find(|(_, n)| !n.ip.is_empty()) else { return vec![] };
        let labels = [("name", name), ("id", network.id.as_str()), ("ip", network.ip.as_str())];
        meta.extend(labels.map(|(n, v)| (format!("__meta_docker_network_{n}"), v.to_owned())));
        network.ip.clone()
    };
    let at = |port: u16, meta: Found| {
        let mut found = meta;
        found.insert("__address__".into(), format!("{host}:{port}"));
        found
    };
    let mut seen = BTreeSet::new();
    let mut all = vec![];
    // An Engine lists a published port once for IPv4 and once for IPv6.
    for p in c.ports().iter().filter(|p| p.protocol != "udp" && p.protocol != "sctp" && seen.insert(p.private_port)) {
        let mut meta = meta.clone();
        meta.insert("__meta_docker_port_private".into(), p.private_port.to_string());
        if let Some(public) = p.public_port {
            meta.insert("__meta_docker_port_public".into(), public.to_string());
            meta.insert("__meta_docker_port_public_ip".into(), p.ip.clone().unwrap_or_default());
        }
        all.push(at(p.private_port, meta));
    }
    if all.is_empty() {
        all.push(at(PORT, meta));
    }
    all
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // they play the programs that write the files we read
mod tests {
    use super::*;

    fn shown(found: &[Found], keep: &[&str]) -> Vec<String> {
        let one = |f: &Found| keep.iter().filter_map(|n| Some(format!("{n}={}", f.get(*n)?))).collect::<Vec<_>>().join(" ");
        found.iter().map(one).collect()
    }

    #[test]
    fn files_name_targets_and_a_broken_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let files = Place::Files(format!("{}/*.{{json,yml}}", dir.path().display()));
        let job = Job { lookups: vec![files.into()], targets: vec![vec!["s:1".to_owned()].into()], ..Job::default() };
        let mut now = Instant::now();
        let client = Client::new(&job).unwrap();
        let mut d = Discovery::new(&job).unwrap();
        assert!(d.is_live());
        let names = ["__address__", "__scheme__", "team", "port"];
        let mut look = |d: &mut Discovery| {
            now += limits::DISCOVER_EVERY;
            d.found(&client, now)
        };
        assert_eq!(shown(&look(&mut d), &names), ["__address__=s:1"]);
        std::fs::write(dir.path().join("a.json"), r#"[{"targets": ["j:1", "https://j:2"], "labels": {"team": "x"}}]"#).unwrap();
        std::fs::write(dir.path().join("b.yml"), "- targets: [y:1]\n  labels: { port: 1 }\n- targets: []\n").unwrap();
        let both = ["__address__=s:1", "__address__=j:1 team=x", "__address__=j:2 __scheme__=https team=x", "__address__=y:1 port=1"];
        let found = look(&mut d);
        assert_eq!(shown(&found, &names), both);
        assert!(found[1]["__meta_filepath"].ends_with("a.json"));
        std::fs::write(dir.path().join("b.yml"), "- targets: {").unwrap();
        assert_eq!(shown(&look(&mut d), &names), both);
        std::fs::write(dir.path().join("b.yml"), "[]").unwrap();
        assert_eq!(shown(&look(&mut d), &names), both[..3]);
    }

    #[test]
    fn what_is_no_source_is_refused() {
        for job in [
            Place::Files("relative/*.json".into()),
            Place::Docker(Box::new(docker::Settings { endpoint: "x".into(), ..docker::Settings::default() })),
        ] {
            let job = Job { lookups: vec![job.into()], ..Job::default() };
            assert!(Discovery::new(&job).is_err(), "{job:?}");
        }
        assert!(!Discovery::new(&Job::default()).unwrap().is_live());
    }

    /// A container as the Engine lists it, and its targets.
    const CONTAINERS: &[(&str, &[&str])] = &[
        (
            r#"{"Id":"a","Names":["/web"],"Labels":{"x.y":"z"},"Ports":[{"PrivatePort":80,"Type":"tcp","PublicPort":8080,"IP":"0.0.0.0"},
                {"PrivatePort":80,"Type":"tcp","PublicPort":8080,"IP":"::"},{"PrivatePort":53,"Type":"udp"},{"PrivatePort":9100,"Type":"tcp"}],
                "NetworkSettings":{"Networks":{"b":{"IPAddress":"10.0.0.2"},"a":{"IPAddress":""}}}}"#,
            &[
                "__address__=10.0.0.2:80 __meta_docker_container_name=/web __meta_docker_container_label_x_y=z __meta_docker_network_name=b __meta_docker_port_public=8080",
                "__address__=10.0.0.2:9100 __meta_docker_container_name=/web __meta_docker_container_label_x_y=z __meta_docker_network_name=b",
            ],
        ),
        (r#"{"Id":"a","Names":["/h"],"HostConfig":{"NetworkMode":"host"}}"#, &["__address__=localhost:80 __meta_docker_container_name=/h"]),
        (r#"{"Id":"a","Names":["/none"],"HostConfig":{"NetworkMode":"none"}}"#, &[]),
    ];

    #[test]
    fn containers_are_targets() {
        let names = [
            "__address__",
            "__meta_docker_container_name",
            "__meta_docker_container_label_x_y",
            "__meta_docker_network_name",
            "__meta_docker_port_public",
            "__meta_docker_container_log_stream",
        ];
        for (json, wanted) in CONTAINERS {
            let c: Listed = serde_json::from_str(json).unwrap();
            assert_eq!(shown(&of_container(&c), &names), *wanted, "{json}");
        }
    }
}
