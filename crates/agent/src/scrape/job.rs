//! What a job is, as the settings say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::docker;
use crate::relabel::Rule;
use crate::ship::Credentials;

/// Targets that are scraped alike.
#[derive(Clone, Debug)]
pub struct Job {
    /// The `job` label.
    pub job: String,
    /// Targets that are named: `host:port`, or a whole URL.
    pub targets: Vec<String>,
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
    /// Make a target of what was found, or leave it out.
    pub relabel: Vec<Rule>,
    /// Work on each series.
    pub metric_relabel: Vec<Rule>,
    /// Files that name targets, as patterns.
    pub files: Vec<String>,
    /// Addresses that answer with targets.
    pub http: Vec<String>,
    /// Containers whose ports are targets.
    pub docker: Option<docker::Settings>,
    /// What a page may be.
    pub limits: Limits,
    /// Who asks.
    pub credentials: Credentials,
    /// A file with certificates (PEM) of authorities that are believed, instead of the system's.
    pub ca: Option<PathBuf>,
}

impl Default for Job {
    fn default() -> Self {
        Job {
            job: String::new(),
            targets: vec![],
            labels: BTreeMap::new(),
            interval: Duration::from_secs(15),
            timeout: Duration::from_secs(10),
            scheme: "http".into(),
            path: "/metrics".into(),
            params: BTreeMap::new(),
            honor_labels: false,
            honor_timestamps: true,
            relabel: vec![],
            metric_relabel: vec![],
            files: vec![],
            http: vec![],
            docker: None,
            limits: Limits::default(),
            credentials: Credentials::None,
            ca: None,
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
    /// Labels of a series; 0 for any number.
    pub labels: usize,
    /// Bytes of a label's name; 0 for any number.
    pub name_bytes: usize,
    /// Bytes of a label's value; 0 for any number.
    pub value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let (body_bytes, samples) = (crate::limits::SCRAPE_BODY_BYTES, crate::limits::SCRAPE_SAMPLES);
        Limits { body_bytes, samples, labels: 0, name_bytes: 0, value_bytes: 0 }
    }
}
