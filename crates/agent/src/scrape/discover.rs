//! Finding targets. What is found is a set of labels, `__address__` among them; rules make a target of it.
//!
//! While a source of targets cannot be asked, those that it named last stay: a server that is away must not end all series.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use base::{Error, Result};
use serde::Deserialize;

use super::containers;
use super::dns;
use super::fetch::Client;
use super::job::{Job, Lookup, Place};
use super::target::{self, Found};
use crate::files::glob::{Glob, Walk};
use crate::limits;
use crate::scalar::Scalar;

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
    /// With a client of its own, or else that of the job.
    Http(String, Option<Box<Client>>),
    Docker(Box<containers::Source>),
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
                Place::Http(url, access) => From::Http(url.clone(), access.as_deref().map(Client::new).transpose()?.map(Box::new)),
                Place::Docker(d) => From::Docker(Box::new(containers::Source::new(d)?)),
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
            From::Http(url, own) => {
                let answer =
                    own.as_deref().unwrap_or(client).get(url, "application/json", limits::DISCOVER_TIMEOUT, limits::DISCOVER_BYTES)?;
                answer.text().and_then(|t| groups(t, true, ("__meta_url", url))).map_err(|e| e.context(url))
            }
            From::Docker(source) => source.found(),
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

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // they play the programs that write the files we read
mod tests {
    use super::*;
    use crate::docker;

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
        let client = Client::new(&job.access).unwrap();
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
            Place::Docker(Box::new(docker::Settings { endpoint: "x".into(), ..docker::Settings::default() }.into())),
        ] {
            let job = Job { lookups: vec![job.into()], ..Job::default() };
            assert!(Discovery::new(&job).is_err(), "{job:?}");
        }
        assert!(!Discovery::new(&Job::default()).unwrap().is_live());
    }
}
