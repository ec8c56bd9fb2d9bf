//! The agent's settings as the converter writes them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_yaml_ng::Value as Yaml;

/// The file: one section.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct File {
    /// The agent.
    pub agent: Agent,
}

/// Where data comes from, where it goes.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Agent {
    /// What is collected.
    pub sources: Vec<Source>,
    /// Where it goes.
    pub endpoints: Vec<Endpoint>,
}

/// Something that is collected.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Source {
    /// Its name, which no other source has.
    pub name: String,
    /// `docker`, `files`, `host`, `scrape`, `otlp`, `loki_push`, `firehose`, `journal`, `syslog`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What only this type has.
    #[serde(flatten)]
    pub settings: BTreeMap<String, Yaml>,
    /// Labels of everything from it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Rules for its targets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relabel: Vec<Yaml>,
    /// Rules for its samples.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metric_relabel: Vec<Yaml>,
    /// What happens to its lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Yaml>,
    /// Names of endpoints.
    pub to: Vec<String>,
}

/// Where data goes.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// `loki`, `remote_write`, `otlp`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its address.
    pub url: String,
    /// Whose data it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// User and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Sent as `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer_token: Option<String>,
    /// Further headers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Labels of everything that goes there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// User and password.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// The password, `${NAME}` or `file:PATH`.
    pub password: String,
}
