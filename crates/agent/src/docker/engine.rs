//! What the Engine says about containers.

use std::collections::BTreeMap;

use base::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::Client;

/// A container as the list has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    /// 64 hexadecimal digits.
    pub id: String,
    /// `/name`, and `/other/name` for old links.
    #[serde(default)]
    names: Option<Vec<String>>,
    /// What it was made of.
    #[serde(default)]
    pub image: String,
    /// `created`, `running`, `exited` and others.
    #[serde(default)]
    pub state: String,
    /// When it was made, seconds since 1970; none for one that only an event has told of.
    #[serde(default, rename = "Created")]
    pub created_s: Option<i64>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    ports: Option<Vec<Port>>,
    #[serde(default)]
    host_config: HostConfig,
    #[serde(default)]
    network_settings: NetworkSettings,
}

/// A port that a container says it listens on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Port {
    /// Address of the host that leads to it.
    #[serde(default, rename = "IP")]
    pub ip: Option<String>,
    /// Within the container.
    #[serde(default)]
    pub private_port: u16,
    /// `tcp`, `udp` or `sctp`.
    #[serde(default, rename = "Type")]
    pub protocol: String,
    /// On the host.
    #[serde(default)]
    pub public_port: Option<u16>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    networks: Option<BTreeMap<String, Network>>,
}

/// A network that a container is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Network {
    /// Its id.
    #[serde(default, rename = "NetworkID")]
    pub id: String,
    /// The container's address there.
    #[serde(default, rename = "IPAddress")]
    pub ip: String,
}

impl Listed {
    /// As an event describes a container that is gone before it could be asked for.
    pub fn of_event(id: &str, mut attributes: BTreeMap<String, String>) -> Listed {
        attributes.remove("exitCode");
        let names = attributes.remove("name").map(|n| vec![format!("/{n}")]);
        let image = attributes.remove("image").unwrap_or_default();
        Listed { id: id.into(), names, image, state: "running".into(), labels: Some(attributes), ..Listed::default() }
    }

    /// Its name, without the slash.
    pub fn name(&self) -> &str {
        let names = self.names.as_deref().unwrap_or_default();
        let own = names.iter().map(|n| n.trim_start_matches('/')).find(|n| !n.contains('/'));
        own.unwrap_or_else(|| self.id.get(..12).unwrap_or(&self.id))
    }

    /// When it was made, nanoseconds since 1970: the end of the second that is known.
    pub fn created_ns(&self) -> Option<i64> {
        self.created_s.map(|s| s.saturating_add(1).saturating_mul(base::units::SECOND_NS))
    }

    /// A label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// All labels.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().flatten().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The networks that it is in, by name.
    pub fn networks(&self) -> impl Iterator<Item = (&str, &Network)> {
        self.network_settings.networks.iter().flatten().map(|(n, v)| (n.as_str(), v))
    }

    /// The ports that it says it listens on.
    pub fn ports(&self) -> &[Port] {
        self.ports.as_deref().unwrap_or_default()
    }

    /// `bridge`, `host`, `none`, or the name of a network.
    pub fn network_mode(&self) -> &str {
        &self.host_config.network_mode
    }

    /// Whether it may write.
    pub fn is_running(&self) -> bool {
        !matches!(self.state.as_str(), "created" | "exited" | "dead")
    }

    /// Whether it has ever been started.
    pub fn has_begun(&self) -> bool {
        self.state != "created"
    }
}

/// What is asked for about one container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Inspected {
    /// Where the json-file log lies; empty for other drivers, and before the first start.
    pub log_path: String,
    host_config: InspectedHost,
    config: InspectedConfig,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedHost {
    log_config: LogConfig,
    auto_remove: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct LogConfig {
    #[serde(rename = "Type")]
    driver: String,
    config: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedConfig {
    tty: bool,
}

impl Inspected {
    /// `json-file`, `local` and others.
    pub fn driver(&self) -> &str {
        &self.host_config.log_config.driver
    }
    /// How many files of its log Docker keeps; none if it keeps one, which it truncates or lets grow.
    pub fn window(&self) -> Option<usize> {
        let files = self.host_config.log_config.config.as_ref()?.get("max-file")?;
        files.parse().ok().filter(|n| *n > 1)
    }
    /// Whether it has a terminal: then its log through the Engine has no frames.
    pub fn is_terminal(&self) -> bool {
        self.config.tty
    }
    /// Whether it is removed when it stops.
    pub fn is_removed_at_end(&self) -> bool {
        self.host_config.auto_remove
    }
}

/// Something that happened to a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Event {
    /// `start`, `die` and others.
    #[serde(default, rename = "Action")]
    pub action: String,
    /// Which.
    #[serde(default, rename = "Actor")]
    pub actor: Actor,
}

/// Which container, and its labels among other things.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Actor {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// `name`, `image`, and all labels.
    pub attributes: BTreeMap<String, String>,
}

impl Client {
    /// All containers, those that have stopped too.
    pub fn containers(&self) -> Result<Vec<Listed>> {
        self.ask("/containers/json?all=1")
    }

    /// More about one.
    pub fn inspect(&self, id: &str) -> Result<Inspected> {
        self.ask(&format!("/containers/{id}/json"))
    }

    /// The directory below which the Engine keeps what it has.
    pub fn root(&self) -> Result<String> {
        #[derive(Deserialize)]
        struct Info {
            #[serde(rename = "DockerRootDir")]
            root: String,
        }
        self.ask::<Info>("/info").map(|i| i.root)
    }

    fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let body = self.get(path)?;
        serde_json::from_slice(&body).map_err(|e| Error::invalid(format!("the Engine's answer to {path}: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_of_the_list() {
        let l: Listed = serde_json::from_str(
            r#"{"Id":"b165d66801bad4ef8dee","Names":["/web/db","/t1"],"Image":"bb:1","Command":"x","Created":1795746528,"Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"}],
            "Labels":null,"State":"exited","HostConfig":{"NetworkMode":"none"},"NetworkSettings":{"Networks":{"none":{"NetworkID":"5f5","IPAddress":"10.0.0.2"}}},"Mounts":[]}"#,
        )
        .unwrap();
        assert_eq!((l.name(), l.image.as_str(), l.network_mode(), l.is_running(), l.has_begun()), ("t1", "bb:1", "none", false, true));
        assert_eq!(l.networks().next().unwrap(), ("none", &Network { id: "5f5".into(), ip: "10.0.0.2".into() }));
        assert_eq!((l.ports()[0].private_port, l.ports()[0].public_port), (80, Some(8080)));
        assert_eq!(Listed { names: None, ..l }.name(), "b165d66801ba");
    }

    #[test]
    fn a_container_of_an_event_has_its_labels() {
        let e: Event = serde_json::from_str(
            r#"{"status":"start","Type":"container","Action":"start","Actor":{"ID":"bc28","Attributes":{"a":"b","image":"bb:1","name":"web"}},"time":1}"#,
        )
        .unwrap();
        let l = Listed::of_event(&e.actor.id, e.actor.attributes);
        assert_eq!(
            (e.action.as_str(), l.name(), l.image.as_str(), l.label("a"), l.labels().count()),
            ("start", "web", "bb:1", Some("b"), 1)
        );
    }

    #[test]
    fn what_is_asked_about_one() {
        let i: Inspected = serde_json::from_str(
            r#"{"LogPath":"/x","HostConfig":{"AutoRemove":true,"LogConfig":{"Type":"json-file","Config":{}}},"Config":{"Tty":true},"State":{}}"#,
        )
        .unwrap();
        assert_eq!((i.log_path.as_str(), i.driver(), i.is_terminal(), i.is_removed_at_end()), ("/x", "json-file", true, true));
    }
}
