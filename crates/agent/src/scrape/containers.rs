//! Containers of a Docker Engine as targets.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::access::Access;
use super::fetch::Client;
use super::target::{self, Found};
use crate::docker::client::{self, Address};
use crate::docker::engine::{Listed, Network};
use crate::docker::entry::Pipe;
use crate::docker::{self, labels};
use crate::limits;

/// Which containers are targets, and how.
#[derive(Clone, Debug)]
pub struct Containers {
    /// Which Engine is asked, and which of its containers are wanted. It may also be `http://host:port` or `https://host:port`.
    pub settings: docker::Settings,
    /// How an Engine is asked that has no socket here.
    pub access: Access,
    /// The port of a container that says of none that it listens there.
    pub port: u16,
    /// The address of containers in the network of the host.
    pub host: String,
    /// Of several networks only the first by name counts, else all.
    pub first_network: bool,
    /// What the Engine is to leave out: names and values of its own filters.
    pub filters: BTreeMap<String, Vec<String>>,
}

impl From<docker::Settings> for Containers {
    fn from(settings: docker::Settings) -> Containers {
        let (access, filters) = (Access::default(), BTreeMap::new());
        Containers { settings, access, port: 80, host: "localhost".into(), first_network: true, filters }
    }
}

/// A network as the Engine lists it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Listing {
    name: String,
    id: String,
    scope: String,
    internal: bool,
    ingress: bool,
    labels: Option<BTreeMap<String, String>>,
}

enum Engine {
    Socket(client::Client),
    Http(Box<Client>, String),
}

/// Asks an Engine for its containers.
pub(super) struct Source {
    settings: Containers,
    engine: Engine,
}

impl Source {
    /// # Errors
    /// An address that is none, certificates that cannot be read.
    pub fn new(settings: &Containers) -> Result<Source> {
        let at = &settings.settings.endpoint;
        let engine = match at.split_once("://") {
            Some((scheme @ ("http" | "https"), host)) if !host.is_empty() => http(settings, scheme, host)?,
            // What speaks TLS over it is told by certificates, as with Docker's own clients.
            Some(("tcp", host)) if settings.access != Access::default() => {
                http(settings, if settings.access.tls == Default::default() { "http" } else { "https" }, host)?
            }
            _ => Engine::Socket(client::Client::new(Address::parse(at)?, settings.settings.timeout)),
        };
        Ok(Source { settings: settings.clone(), engine })
    }

    /// What the containers are that run.
    pub fn found(&self) -> Result<Vec<Found>> {
        let all: Vec<Listed> = self.ask("/containers/json")?;
        let networks: Vec<Listing> = self.ask("/networks")?;
        let wanted: Vec<Listed> = match self.settings.filters.is_empty() {
            true => all.clone(),
            false => self.ask(&format!("/containers/json?filters={}", filters(&self.settings.filters)))?,
        };
        Ok(targets(&wanted, &all, &networks, &self.settings))
    }

    fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let body = match &self.engine {
            Engine::Socket(s) => s.get(path)?,
            Engine::Http(c, base) => {
                c.get(&format!("{base}{path}"), "application/json", limits::DISCOVER_TIMEOUT, limits::DISCOVER_BYTES)?.bytes
            }
        };
        serde_json::from_slice(&body).map_err(|e| Error::invalid(format!("the Engine's answer to {path}: {e}")))
    }
}

fn http(settings: &Containers, scheme: &str, host: &str) -> Result<Engine> {
    Ok(Engine::Http(Box::new(Client::new(&settings.access)?), format!("{scheme}://{}", host.trim_end_matches('/'))))
}

/// `{"name":{"value":true}}`, as a query has it.
fn filters(all: &BTreeMap<String, Vec<String>>) -> String {
    let of = |values: &Vec<String>| values.iter().map(|v| (v.clone(), true)).collect::<BTreeMap<_, _>>();
    let json = serde_json::json!(all.iter().map(|(n, v)| (n.clone(), of(v))).collect::<BTreeMap<_, _>>());
    let mut out = String::new();
    target::escape(&json.to_string(), &mut out);
    out
}

fn targets(wanted: &[Listed], all: &[Listed], networks: &[Listing], settings: &Containers) -> Vec<Found> {
    let by_id: HashMap<&str, &Listed> = all.iter().map(|c| (c.id.as_str(), c)).collect();
    let about: HashMap<&str, Found> = networks.iter().map(|n| (n.id.as_str(), n.meta())).collect();
    let wanted = wanted.iter().filter(|c| c.is_running() && labels::is_wanted(c, &settings.settings));
    wanted.flat_map(|c| of_container(c, &by_id, &about, settings)).collect()
}

impl Listing {
    fn meta(&self) -> Found {
        let own = [
            ("id", self.id.clone()),
            ("name", self.name.clone()),
            ("scope", self.scope.clone()),
            ("internal", self.internal.to_string()),
            ("ingress", self.ingress.to_string()),
        ];
        let labels = self.labels.iter().flatten().map(|(n, v)| (format!("label_{}", labels::sanitize(n)), v.clone()));
        own.map(|(n, v)| (n.to_owned(), v)).into_iter().chain(labels).map(|(n, v)| (format!("__meta_docker_network_{n}"), v)).collect()
    }
}

/// The container whose networks this one has: itself, or another that it names.
fn in_networks<'a>(c: &'a Listed, all: &HashMap<&str, &'a Listed>) -> &'a Listed {
    let mut at = c;
    // A chain of them ends; one that goes round has no networks.
    for _ in 0..all.len() {
        if at.networks().next().is_some() {
            break;
        }
        let Some(next) = at.network_mode().strip_prefix("container:").and_then(|id| all.get(id)) else { break };
        at = next;
    }
    at
}

/// The targets that a container is: one for each port over TCP that it says it listens on, in its first network by name or in each.
fn of_container(c: &Listed, all: &HashMap<&str, &Listed>, about: &HashMap<&str, Found>, settings: &Containers) -> Vec<Found> {
    let mut meta = labels::meta(c, Pipe::Stdout);
    let of_others = ["__meta_docker_port_", "__meta_docker_network_", "__meta_docker_container_log_stream"];
    meta.retain(|n, _| !of_others.iter().any(|p| n.starts_with(p)));
    let is_host = c.network_mode() == "host";
    let networks = in_networks(c, all).networks().filter(|(_, n)| is_host || !n.ip.is_empty());
    let mut networks: Vec<(&str, Network)> = networks.map(|(name, n)| (name, n.clone())).collect();
    if is_host && networks.is_empty() {
        networks.push(("host", Network::default()));
    }
    networks.truncate(if settings.first_network { 1 } else { usize::MAX });
    let mut out = vec![];
    for (name, network) in networks {
        let mut meta = meta.clone();
        meta.insert("__meta_docker_network_name".into(), name.to_owned());
        meta.insert("__meta_docker_network_id".into(), network.id.clone());
        meta.extend(about.get(network.id.as_str()).cloned().unwrap_or_default());
        meta.insert("__meta_docker_network_ip".into(), network.ip.clone());
        in_network(c, &network, &meta, settings, &mut out);
    }
    out
}

fn in_network(c: &Listed, network: &Network, meta: &Found, settings: &Containers, out: &mut Vec<Found>) {
    let host = if network.ip.contains(':') { format!("[{}]", network.ip) } else { network.ip.clone() };
    let mut seen = BTreeSet::new();
    let mut at = |address: String, mut meta: Found| {
        meta.insert("__address__".into(), address);
        out.push(meta);
    };
    // An Engine lists a published port once for IPv4 and once for IPv6.
    for p in c.ports().iter().filter(|p| p.protocol != "udp" && p.protocol != "sctp") {
        if !seen.insert(p.private_port) {
            continue;
        }
        let mut meta = meta.clone();
        meta.insert("__meta_docker_port_private".into(), p.private_port.to_string());
        if let Some(public) = p.public_port {
            meta.insert("__meta_docker_port_public".into(), public.to_string());
            meta.insert("__meta_docker_port_public_ip".into(), p.ip.clone().unwrap_or_default());
        }
        at(format!("{host}:{}", p.private_port), meta);
    }
    if seen.is_empty() {
        // A container in the network of the host has no ports of its own: rules say which.
        let address = if c.network_mode() == "host" { settings.host.clone() } else { format!("{host}:{}", settings.port) };
        at(address, meta.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(found: &[Found], keep: &[&str]) -> Vec<String> {
        let one = |f: &Found| keep.iter().filter_map(|n| Some(format!("{n}={}", f.get(&format!("__{n}"))?))).collect::<Vec<_>>().join(" ");
        found.iter().map(one).collect()
    }

    /// Containers as the Engine lists them.
    const CONTAINERS: &str = r#"[
        {"Id":"web","Names":["/web"],"State":"running","Labels":{"x.y":"z"},"Ports":[
            {"PrivatePort":80,"Type":"tcp","PublicPort":8080,"IP":"0.0.0.0"},{"PrivatePort":80,"Type":"tcp","PublicPort":8080,"IP":"::"},
            {"PrivatePort":53,"Type":"udp"},{"PrivatePort":9100,"Type":"tcp"}],
            "NetworkSettings":{"Networks":{"b":{"NetworkID":"nb","IPAddress":"10.0.0.2"},"a":{"IPAddress":""},"c":{"IPAddress":"10.0.1.2"}}}},
        {"Id":"side","Names":["/side"],"State":"running","HostConfig":{"NetworkMode":"container:web"},"NetworkSettings":{"Networks":{}}},
        {"Id":"loop","Names":["/loop"],"State":"running","HostConfig":{"NetworkMode":"container:loop"}},
        {"Id":"host","Names":["/host"],"State":"running","HostConfig":{"NetworkMode":"host"},
            "NetworkSettings":{"Networks":{"host":{"NetworkID":"nh","IPAddress":""}}}},
        {"Id":"none","Names":["/none"],"State":"running","HostConfig":{"NetworkMode":"none"}},
        {"Id":"old","Names":["/old"],"State":"exited","HostConfig":{"NetworkMode":"host"}}]"#;
    const NETWORKS: &str = r#"[{"Name":"b","Id":"nb","Scope":"local","Internal":true,"Labels":{"a.b":"c"}},
        {"Name":"host","Id":"nh","Scope":"local","Labels":null}]"#;

    fn of(change: fn(&mut Containers)) -> Vec<Found> {
        let mut settings: Containers = docker::Settings::default().into();
        change(&mut settings);
        let all: Vec<Listed> = serde_json::from_str(CONTAINERS).unwrap();
        targets(&all, &all, &serde_json::from_str::<Vec<Listing>>(NETWORKS).unwrap(), &settings)
    }

    #[test]
    fn containers_are_targets() {
        let names = ["address__", "meta_docker_container_name", "meta_docker_network_name", "meta_docker_port_public"];
        let wanted = [
            "address__=10.0.0.2:80 meta_docker_container_name=/web meta_docker_network_name=b meta_docker_port_public=8080",
            "address__=10.0.0.2:9100 meta_docker_container_name=/web meta_docker_network_name=b",
            "address__=10.0.0.2:80 meta_docker_container_name=/side meta_docker_network_name=b",
            "address__=localhost meta_docker_container_name=/host meta_docker_network_name=host",
        ];
        assert_eq!(shown(&of(|_| {}), &names), wanted);
        let settings = of(|c| (c.port, c.host) = (9999, "node".into()));
        assert_eq!(shown(&settings[2..], &["address__"]), ["address__=10.0.0.2:9999", "address__=node"]);
        let all = shown(&of(|c| c.first_network = false), &["address__"]);
        assert_eq!((all.len(), all[2].as_str()), (7, "address__=10.0.1.2:80"));
    }

    #[test]
    fn what_is_known_of_networks() {
        let found = of(|_| {});
        let names = [
            "meta_docker_network_id",
            "meta_docker_network_ip",
            "meta_docker_network_scope",
            "meta_docker_network_internal",
            "meta_docker_network_ingress",
            "meta_docker_network_label_a_b",
            "meta_docker_container_label_x_y",
            "meta_docker_container_log_stream",
        ];
        let of = |scope: &str| format!("meta_docker_network_scope=local meta_docker_network_internal={scope}");
        assert_eq!(
            shown(&[found[0].clone(), found[3].clone()], &names),
            [
                format!(
                    "meta_docker_network_id=nb meta_docker_network_ip=10.0.0.2 {} meta_docker_network_ingress=false \
                     meta_docker_network_label_a_b=c meta_docker_container_label_x_y=z",
                    of("true")
                ),
                format!("meta_docker_network_id=nh meta_docker_network_ip= {} meta_docker_network_ingress=false", of("false")),
            ]
        );
    }

    #[test]
    fn an_engine_has_an_address() {
        let of = |at: &str| Source::new(&docker::Settings { endpoint: at.into(), ..docker::Settings::default() }.into());
        assert!(of("x").is_err() && of("unix:///s").is_ok());
        let at = |s: Source| if let Engine::Http(_, base) = s.engine { base } else { "socket".into() };
        assert_eq!((at(of("tcp://h:1").unwrap()), at(of("https://h:1/").unwrap())), ("socket".into(), "https://h:1".into()));
        let mut secret: Containers = docker::Settings { endpoint: "tcp://h:1".into(), ..docker::Settings::default() }.into();
        secret.access.tls.insecure = true;
        assert_eq!(at(Source::new(&secret).unwrap()), "https://h:1");
        assert_eq!(filters(&[("a".to_owned(), vec!["b".to_owned()])].into()), "%7B%22a%22%3A%7B%22b%22%3Atrue%7D%7D");
    }
}
