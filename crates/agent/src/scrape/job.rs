//! What a job is, as the settings say.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::exposition::protobuf::Histograms;

use super::access::Access;
use super::containers::Containers;
use super::dns;
use super::protocol::{Escaping, Protocol};
use crate::limits;
use crate::relabel::Rule;

/// Targets that are named, and labels that they have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// `host:port`, or a whole URL.
    pub targets: Vec<String>,
    /// Their labels.
    pub labels: BTreeMap<String, String>,
}

impl From<Vec<String>> for Group {
    fn from(targets: Vec<String>) -> Group {
        Group { targets, labels: BTreeMap::new() }
    }
}

/// A place that names targets, and how often it is asked.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The place.
    pub place: Place,
    /// How often.
    pub every: Duration,
}

/// What names targets.
#[derive(Clone, Debug)]
pub enum Place {
    /// Files, as a pattern.
    Files(String),
    /// An address that answers with them, and how it is asked; as the targets are where nothing is said.
    Http(String, Option<Box<Access>>),
    /// Containers whose ports are targets.
    Docker(Box<Containers>),
    /// Records of a name.
    Dns(dns::Settings),
}

impl From<Place> for Lookup {
    fn from(place: Place) -> Lookup {
        Lookup { place, every: limits::DISCOVER_EVERY }
    }
}

/// Targets that are scraped alike.
#[derive(Clone, Debug)]
pub struct Job {
    /// The `job` label.
    pub job: String,
    /// Targets that are named.
    pub targets: Vec<Group>,
    /// What names further ones.
    pub lookups: Vec<Lookup>,
    /// Labels of all targets.
    pub labels: BTreeMap<String, String>,
    /// How often a page is fetched.
    pub interval: Duration,
    /// A page that takes longer does not come.
    pub timeout: Duration,
    /// `http` or `https`.
    pub scheme: String,
    /// The page.
    pub path: String,
    /// Parameters of the page's address.
    pub params: BTreeMap<String, Vec<String>>,
    /// Where page and target have the same label, the page's value is right; else it becomes `exported_NAME`.
    pub honor_labels: bool,
    /// Times that a page gives are those of the samples.
    pub honor_timestamps: bool,
    /// Series with times of the page's end with a staleness marker like others.
    pub ends_timestamped: bool,
    /// How names that are not of the old form are asked for.
    pub escaping: Escaping,
    /// Names of metrics and labels are of the old form (`[a-zA-Z_][a-zA-Z0-9_]*`); a page with another is not taken.
    pub has_legacy_names: bool,
    /// Forms of the page, in the order in which they are liked.
    pub protocols: Vec<Protocol>,
    /// The form of a page whose header says none that is known; text if there is none here either.
    pub fallback: Option<Protocol>,
    /// Which forms of a histogram are taken of a page in protobuf.
    pub histograms: Histograms,
    /// Make a target of what was found, or leave it out.
    pub relabel: Vec<Rule>,
    /// Work on each series.
    pub metric_relabel: Vec<Rule>,
    /// What a page may be.
    pub limits: Limits,
    /// How pages are asked for.
    pub access: Access,
}

impl Default for Job {
    fn default() -> Self {
        Job {
            job: String::new(),
            targets: vec![],
            lookups: vec![],
            labels: BTreeMap::new(),
            interval: Duration::from_secs(15),
            timeout: Duration::from_secs(10),
            scheme: "http".into(),
            path: "/metrics".into(),
            params: BTreeMap::new(),
            honor_labels: false,
            honor_timestamps: true,
            ends_timestamped: false,
            escaping: Escaping::default(),
            has_legacy_names: false,
            protocols: Protocol::defaults(false),
            fallback: None,
            histograms: Histograms::default(),
            relabel: vec![],
            metric_relabel: vec![],
            limits: Limits::default(),
            access: Access::default(),
        }
    }
}

/// What a page may be. A page beyond it is not taken at all, and its target is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the page.
    pub body_bytes: u64,
    /// Samples after relabelling.
    pub samples: usize,
    /// Targets of the job; 0 for any number that the agent takes at all. With more, none of them is scraped.
    pub targets: usize,
    /// Labels of a series; 0 for any number.
    pub labels: usize,
    /// Bytes of a label's name; 0 for any number.
    pub name_bytes: usize,
    /// Bytes of a label's value; 0 for any number.
    pub value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let (body_bytes, samples) = (limits::SCRAPE_BODY_BYTES, limits::SCRAPE_SAMPLES);
        Limits { body_bytes, samples, targets: 0, labels: 0, name_bytes: 0, value_bytes: 0 }
    }
}
