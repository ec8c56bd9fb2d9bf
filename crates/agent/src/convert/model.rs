//! What an Alloy file comes to, before it is written as our settings.

use std::collections::BTreeMap;

use lang::Span;
use serde_yaml_ng::Value as Yaml;

/// Where data comes from, where it goes.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// What is collected.
    pub sources: Vec<Source>,
    /// Where it goes.
    pub endpoints: Vec<Endpoint>,
}

/// Something that is collected.
#[derive(Debug, Default, PartialEq)]
pub struct Source {
    /// Its name, which no other source has.
    pub name: String,
    /// `docker`, `files`, `host`, `scrape`, `otlp`, `loki_push`, `firehose`, `journal`, `syslog`.
    pub kind: String,
    /// Where its component stands.
    pub span: Option<Span>,
    /// What only this kind has, under the names that Alloy has.
    pub settings: BTreeMap<String, Yaml>,
    /// Labels of everything from it.
    pub labels: BTreeMap<String, String>,
    /// Rules for its targets.
    pub relabel: Vec<Yaml>,
    /// Rules for its samples.
    pub metric_relabel: Vec<Yaml>,
    /// What happens to its lines.
    pub stages: Vec<Yaml>,
    /// Names of endpoints.
    pub to: Vec<String>,
}

/// Where data goes.
#[derive(Debug, Default, PartialEq)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// `loki`, `remote_write`, `otlp`.
    pub kind: String,
    /// Where its component stands.
    pub span: Option<Span>,
    /// Its address.
    pub url: String,
    /// Whose data it is.
    pub tenant: Option<String>,
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// Sent as `Authorization: Bearer`.
    pub bearer_token: Option<String>,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
    /// Labels of everything that goes there.
    pub labels: BTreeMap<String, String>,
}

/// User and password.
#[derive(Debug, Default, PartialEq)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// The password, `${NAME}` or `file:PATH`.
    pub password: String,
}
