//! `scrape_configs` as they stand in the files that people have.
//!
//! Nothing is taken over silently wrong: a key that cannot be honoured is an error that names it, and sections that are for others
//! (rules, alerting, remote write) are given back by name. What is meant by each key is Prometheus' documentation's word.

mod http;
mod yaml;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base::{Error, Result};
use serde::Deserialize;
use wire::exposition::protobuf::Histograms;

use super::access::Access;
use super::containers::Containers;
use super::dns;
use super::job::{Group, Job, Limits, Lookup, Place};
use super::protocol::{Escaping, Protocol};
use crate::docker;
use crate::relabel::Rule;
use crate::scalar::Scalar;
use http::Http;
use yaml::{Flag, Number, Rest, list};

/// What a file holds.
#[derive(Debug)]
pub struct Configured {
    /// The jobs, in the order of the file.
    pub jobs: Vec<Job>,
    /// Sections that have nothing to do with scraping.
    pub others: Vec<String>,
}

/// Sections of Prometheus' file that are for others than the scraper.
const OTHERS: [&str; 9] =
    ["alerting", "rule_files", "remote_write", "remote_read", "storage", "tracing", "otlp", "runtime", "scrape_config_files"];
/// Keys of `global` that are not about scraping.
const GLOBAL_OTHERS: [&str; 4] = ["evaluation_interval", "rule_query_offset", "query_log_file", "external_labels"];
/// What a job has that says nothing of its own where `global` says nothing either.
const INTERVAL: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    global: Option<Global>,
    #[serde(default)]
    scrape_configs: Option<Vec<Written>>,
    #[serde(flatten)]
    others: Rest,
}

#[derive(Default, Deserialize)]
struct Global {
    scrape_interval: Option<Scalar>,
    scrape_timeout: Option<Scalar>,
    #[serde(flatten)]
    pages: Pages,
    #[serde(flatten)]
    bounds: Bounds,
}

/// In which forms pages are taken, which a job has from `global` where it says nothing.
#[derive(Default, Deserialize)]
struct Pages {
    scrape_protocols: Option<Vec<Scalar>>,
    fallback_scrape_protocol: Option<Scalar>,
    scrape_native_histograms: Option<Flag>,
    /// Its name until Prometheus 2.
    scrape_classic_histograms: Option<Flag>,
    always_scrape_classic_histograms: Option<Flag>,
    convert_classic_histograms_to_nhcb: Option<Flag>,
    native_histogram_bucket_limit: Option<Number>,
    native_histogram_min_bucket_factor: Option<f64>,
    metric_name_validation_scheme: Option<Scalar>,
    metric_name_escaping_scheme: Option<Scalar>,
}

/// Limits, which a job has from `global` where it says nothing; and what is left over.
#[derive(Default, Deserialize)]
struct Bounds {
    body_size_limit: Option<Scalar>,
    sample_limit: Option<Number>,
    target_limit: Option<Number>,
    label_limit: Option<Number>,
    label_name_length_limit: Option<Number>,
    label_value_length_limit: Option<Number>,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Deserialize)]
struct Written {
    job_name: Scalar,
    scrape_interval: Option<Scalar>,
    scrape_timeout: Option<Scalar>,
    metrics_path: Option<Scalar>,
    scheme: Option<Scalar>,
    params: Option<BTreeMap<String, Vec<Scalar>>>,
    honor_labels: Option<Flag>,
    honor_timestamps: Option<Flag>,
    track_timestamps_staleness: Option<Flag>,
    #[serde(default, deserialize_with = "list")]
    static_configs: Vec<Static>,
    #[serde(default, deserialize_with = "list")]
    file_sd_configs: Vec<Files>,
    #[serde(default, deserialize_with = "list")]
    http_sd_configs: Vec<HttpTargets>,
    #[serde(default, deserialize_with = "list")]
    dns_sd_configs: Vec<Names>,
    #[serde(default, deserialize_with = "list")]
    docker_sd_configs: Vec<ContainersWritten>,
    #[serde(default, deserialize_with = "list")]
    relabel_configs: Vec<Rule>,
    #[serde(default, deserialize_with = "list")]
    metric_relabel_configs: Vec<Rule>,
    #[serde(flatten)]
    http: Http,
    #[serde(flatten)]
    pages: Pages,
    #[serde(flatten)]
    bounds: Bounds,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Static {
    #[serde(default, deserialize_with = "list")]
    targets: Vec<Scalar>,
    labels: Option<BTreeMap<String, Scalar>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Files {
    files: Vec<String>,
    refresh_interval: Option<Scalar>,
}

#[derive(Deserialize)]
struct HttpTargets {
    url: String,
    refresh_interval: Option<Scalar>,
    #[serde(flatten)]
    http: Http,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    names: Vec<String>,
    r#type: Option<String>,
    port: Option<u16>,
    refresh_interval: Option<Scalar>,
}

#[derive(Deserialize)]
struct ContainersWritten {
    host: String,
    port: Option<u16>,
    host_networking_host: Option<Scalar>,
    match_first_network: Option<Flag>,
    #[serde(default, deserialize_with = "list")]
    filters: Vec<Filter>,
    refresh_interval: Option<Scalar>,
    #[serde(flatten)]
    http: Http,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    name: String,
    #[serde(default, deserialize_with = "list")]
    values: Vec<Scalar>,
}

/// Keys of a job that change nothing here, and why: compression is always taken, what is left out is always shown up to a bound.
const WITHOUT_EFFECT: [&str; 2] = ["enable_compression", "keep_dropped_targets"];
/// Discoveries that are not here: an empty list of them says nothing.
const OTHER_DISCOVERIES: [&str; 25] = [
    "azure",
    "consul",
    "digitalocean",
    "dockerswarm",
    "ec2",
    "eureka",
    "gce",
    "hetzner",
    "ionos",
    "kubernetes",
    "kuma",
    "lightsail",
    "linode",
    "marathon",
    "nerve",
    "nomad",
    "openstack",
    "ovhcloud",
    "puppetdb",
    "scaleway",
    "serverset",
    "stackit",
    "triton",
    "uyuni",
    "vultr",
];

/// Reads the text of a file that lies in `directory`, to which its paths are relative.
///
/// # Errors
/// It is no such file, or has a key that is not honoured.
pub fn parse(text: &str, directory: &Path) -> Result<Configured> {
    let file: File = yaml::read(text)?;
    if let Some(unknown) = file.others.keys().find(|k| !OTHERS.contains(&k.as_str())) {
        return Err(Error::invalid(format!("{unknown}: not a section of Prometheus' configuration that is known here")));
    }
    if file.others.get("scrape_config_files").is_some_and(|v| !is_empty(v)) {
        return Err(Error::invalid("scrape_config_files: not followed; name those files beside this one"));
    }
    let global = file.global.unwrap_or_default();
    left_over(&global.bounds.rest, &GLOBAL_OTHERS).map_err(|e| e.context("global"))?;
    let (interval, timeout) = (duration(&global.scrape_interval)?.unwrap_or(INTERVAL), duration(&global.scrape_timeout)?);
    if timeout.is_some_and(|t| t > interval) {
        return Err(Error::invalid("global.scrape_timeout: longer than the interval"));
    }
    let mut jobs: Vec<Job> = vec![];
    for w in file.scrape_configs.unwrap_or_default() {
        let name = w.job_name.0.clone();
        if name.is_empty() {
            return Err(Error::invalid("job_name: is empty"));
        }
        let job = w.job(&global, directory).map_err(|e| e.context(format!("job {name:?}")))?;
        if jobs.iter().any(|j| j.job == name) {
            return Err(Error::invalid(format!("job {name:?}: there are two of that name")));
        }
        jobs.push(job);
    }
    Ok(Configured { jobs, others: file.others.into_keys().collect() })
}

fn is_empty(value: &serde_yaml_ng::Value) -> bool {
    value.is_null() || value.as_sequence().is_some_and(Vec::is_empty)
}

/// Refuses the first key that nobody has taken and that is not without effect.
fn left_over(rest: &Rest, fine: &[&str]) -> Result<()> {
    for (key, value) in rest {
        let discovery = key.strip_suffix("_sd_configs").filter(|d| OTHER_DISCOVERIES.contains(d));
        match discovery {
            Some(_) if is_empty(value) => {}
            Some(_) => {
                return Err(Error::invalid(format!("{key}: not honoured; name its targets by file_sd_configs or http_sd_configs")));
            }
            None if fine.contains(&key.as_str()) || WITHOUT_EFFECT.contains(&key.as_str()) => {}
            None => return Err(Error::invalid(format!("{key}: not honoured"))),
        }
    }
    Ok(())
}

/// Nothing and 0 are the same: the value of whoever comes next.
fn duration(written: &Option<Scalar>) -> Result<Option<Duration>> {
    let Some(Scalar(text)) = written else { return Ok(None) };
    let wrong = || Error::invalid(format!("{text:?} is not a duration as Prometheus writes them, such as 30s or 1m30s"));
    if text == "0" {
        return Ok(None);
    }
    // Whole numbers, the greater units first, each once.
    const UNITS: [&str; 7] = ["y", "w", "d", "h", "m", "s", "ms"];
    let (mut rest, mut left) = (text.as_str(), &UNITS[..]);
    while !rest.is_empty() {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let unit = &after[..after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len())];
        let at = left.iter().position(|u| *u == unit).filter(|_| after.len() < rest.len()).ok_or_else(wrong)?;
        (rest, left) = (&after[unit.len()..], &left[at + 1..]);
    }
    let ns = base::units::parse_duration_ns(text).map_err(|_| wrong())?;
    Ok((ns > 0).then(|| Duration::from_nanos(ns as u64)))
}

/// Sizes as Prometheus writes them: powers of 1024, with or without an i.
fn size(text: &str) -> Result<u64> {
    let wrong = || Error::invalid(format!("body_size_limit: {text:?} is not a size"));
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..at].parse().map_err(|_| wrong())?;
    let shift = match text[at..].trim_end_matches("iB").trim_end_matches('B') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        "P" => 50,
        "E" => 60,
        _ => return Err(wrong()),
    };
    Ok((number * (1u64 << shift) as f64) as u64)
}

impl Written {
    fn job(self, global: &Global, directory: &Path) -> Result<Job> {
        left_over(&self.bounds.rest, &[])?;
        let interval = duration(&self.scrape_interval)?.or(duration(&global.scrape_interval)?).unwrap_or(INTERVAL);
        let timeout = match duration(&self.scrape_timeout)? {
            Some(own) if own > interval => return Err(Error::invalid("scrape_timeout: longer than the interval")),
            Some(own) => own,
            None => duration(&global.scrape_timeout)?.unwrap_or(TIMEOUT).min(interval),
        };
        let (protocols, fallback) = self.pages.protocols(&global.pages)?;
        let (escaping, has_legacy_names) = self.pages.names(&global.pages)?;
        let otherwise = Job::default();
        let text = |s: Option<Scalar>, default: String| s.map_or(default, |s| s.0);
        Ok(Job {
            job: self.job_name.0,
            targets: self.static_configs.into_iter().map(Static::group).collect::<Result<_>>()?,
            lookups: lookups(self.file_sd_configs, self.http_sd_configs, self.dns_sd_configs, self.docker_sd_configs, directory)?,
            labels: BTreeMap::new(),
            interval,
            timeout,
            scheme: text(self.scheme, otherwise.scheme),
            path: text(self.metrics_path, otherwise.path),
            params: self.params.unwrap_or_default().into_iter().map(|(n, v)| (n, v.into_iter().map(|s| s.0).collect())).collect(),
            honor_labels: self.honor_labels.map_or(otherwise.honor_labels, |f| f.0),
            honor_timestamps: self.honor_timestamps.map_or(otherwise.honor_timestamps, |f| f.0),
            ends_timestamped: self.track_timestamps_staleness.is_some_and(|f| f.0),
            escaping,
            has_legacy_names,
            protocols,
            fallback,
            histograms: self.pages.histograms(&global.pages)?,
            relabel: self.relabel_configs,
            metric_relabel: self.metric_relabel_configs,
            limits: self.bounds.limits(&global.bounds)?,
            access: self.http.access(directory)?,
        })
    }
}

impl Static {
    fn group(self) -> Result<Group> {
        if let Some(t) = self.targets.iter().find(|t| t.0.contains('/')) {
            return Err(Error::invalid(format!("static_configs: {:?} is not host:port; see scheme and metrics_path for the rest", t.0)));
        }
        let labels = self.labels.unwrap_or_default();
        Ok(Group { targets: self.targets.into_iter().map(|t| t.0).collect(), labels: labels.into_iter().map(|(n, v)| (n, v.0)).collect() })
    }
}

impl Pages {
    fn is_native(&self, global: &Pages) -> bool {
        self.scrape_native_histograms.or(global.scrape_native_histograms).is_some_and(|f| f.0)
    }

    fn protocols(&self, global: &Pages) -> Result<(Vec<Protocol>, Option<Protocol>)> {
        let named = self.scrape_protocols.as_ref().or(global.scrape_protocols.as_ref());
        let all = match named {
            Some(names) => Protocol::list(names.iter().map(|n| n.0.as_str())).map_err(|e| e.context("scrape_protocols"))?,
            None => Protocol::defaults(self.is_native(global)),
        };
        let fallback = self.fallback_scrape_protocol.as_ref().or(global.fallback_scrape_protocol.as_ref());
        let fallback = fallback.map(|n| Protocol::from_name(&n.0).map_err(|e| e.context("fallback_scrape_protocol"))).transpose()?;
        Ok((all, fallback))
    }

    /// How names are asked for that are not of the old form, and whether no others are taken.
    fn names(&self, global: &Pages) -> Result<(Escaping, bool)> {
        let legacy = |p: &Pages| match p.metric_name_validation_scheme.as_ref().map(|s| s.0.as_str()).filter(|s| !s.is_empty()) {
            None => Ok(None),
            Some("utf8") => Ok(Some(false)),
            Some("legacy") => Ok(Some(true)),
            Some(other) => Err(Error::invalid(format!("metric_name_validation_scheme: {other:?} is neither utf8 nor legacy"))),
        };
        let escaping = |p: &Pages| {
            let name = p.metric_name_escaping_scheme.as_ref().map(|s| s.0.as_str()).filter(|s| !s.is_empty());
            name.map(|n| Escaping::from_name(n).map_err(|e| e.context("metric_name_escaping_scheme"))).transpose()
        };
        let for_all = legacy(global)?.unwrap_or(false);
        let is_legacy = legacy(self)?.unwrap_or(for_all);
        let otherwise = if for_all { Escaping::Underscores } else { Escaping::AllowUtf8 };
        let escaping = escaping(self)?.or(escaping(global)?).unwrap_or(otherwise);
        if is_legacy && escaping == Escaping::AllowUtf8 {
            return Err(Error::invalid("metric_name_validation_scheme: legacy needs a metric_name_escaping_scheme, such as underscores"));
        }
        Ok((escaping, is_legacy))
    }

    fn histograms(&self, global: &Pages) -> Result<Histograms> {
        let either = |of: fn(&Pages) -> Option<Flag>| of(self).or(of(global)).is_some_and(|f| f.0);
        let is_set = [
            ("convert_classic_histograms_to_nhcb", either(|p| p.convert_classic_histograms_to_nhcb)),
            ("native_histogram_bucket_limit", either(|p| p.native_histogram_bucket_limit.map(|n| Flag(n.0 > 0)))),
            ("native_histogram_min_bucket_factor", either(|p| p.native_histogram_min_bucket_factor.map(|f| Flag(f > 0.0)))),
        ];
        if let Some((name, _)) = is_set.into_iter().find(|(_, is_set)| *is_set) {
            return Err(Error::invalid(format!("{name}: not honoured")));
        }
        let classic = either(|p| p.always_scrape_classic_histograms.or(p.scrape_classic_histograms));
        Ok(Histograms { native: self.is_native(global), classic })
    }
}

impl Bounds {
    /// 0 is no limit, as everywhere in Prometheus; samples and bytes have one all the same.
    fn limits(&self, global: &Bounds) -> Result<Limits> {
        let otherwise = Limits::default();
        let body = self.body_size_limit.as_ref().or(global.body_size_limit.as_ref()).map_or(Ok(0), |s| size(&s.0))?;
        let most = |own: Option<Number>, of_all: Option<Number>| own.or(of_all).map_or(0, |n| usize::try_from(n.0).unwrap_or(usize::MAX));
        let samples = most(self.sample_limit, global.sample_limit);
        Ok(Limits {
            body_bytes: if body == 0 { otherwise.body_bytes } else { body },
            samples: if samples == 0 { otherwise.samples } else { samples },
            targets: most(self.target_limit, global.target_limit),
            labels: most(self.label_limit, global.label_limit),
            name_bytes: most(self.label_name_length_limit, global.label_name_length_limit),
            value_bytes: most(self.label_value_length_limit, global.label_value_length_limit),
        })
    }
}

impl ContainersWritten {
    fn containers(self, directory: &Path) -> Result<Containers> {
        left_over(&self.rest, &[])?;
        let access: Access = self.http.access(directory)?;
        let otherwise = Containers::from(docker::Settings { endpoint: self.host, ..docker::Settings::default() });
        Ok(Containers {
            access,
            port: self.port.unwrap_or(otherwise.port),
            host: self.host_networking_host.map_or(otherwise.host, |h| h.0),
            first_network: self.match_first_network.is_none_or(|f| f.0),
            filters: self.filters.into_iter().map(|f| (f.name, f.values.into_iter().map(|v| v.0).collect())).collect(),
            settings: otherwise.settings,
        })
    }
}

fn lookups(
    files: Vec<Files>,
    http: Vec<HttpTargets>,
    dns: Vec<Names>,
    docker: Vec<ContainersWritten>,
    directory: &Path,
) -> Result<Vec<Lookup>> {
    let mut out = vec![];
    let mut add = |place: Place, written: &Option<Scalar>| -> Result<()> {
        let lookup = Lookup::from(place);
        // Looking at files costs nothing, and Prometheus, too, sees their changes at once.
        let every = if matches!(lookup.place, Place::Files(_)) { None } else { duration(written)? };
        out.push(Lookup { every: every.unwrap_or(lookup.every), ..lookup });
        Ok(())
    };
    for f in &files {
        for pattern in &f.files {
            add(Place::Files(directory.join(pattern).to_string_lossy().into_owned()), &f.refresh_interval)?;
        }
    }
    for h in http {
        let place = h.http.access(directory).and_then(|a| left_over(&h.rest, &[]).map(|()| Place::Http(h.url, Some(Box::new(a)))));
        add(place.map_err(|e| e.context("http_sd_configs"))?, &h.refresh_interval)?;
    }
    for n in dns {
        let name = n.r#type.as_deref().unwrap_or("SRV");
        let kind = dns::Kind::from_name(name).ok_or_else(|| Error::invalid(format!("dns_sd_configs: unknown type {name:?}")))?;
        let port = match (kind, n.port) {
            (_, Some(port)) => port,
            (dns::Kind::Srv, None) => 0,
            _ => return Err(Error::invalid(format!("dns_sd_configs: records of type {name} need a port"))),
        };
        add(Place::Dns(dns::Settings { names: n.names, kind, port }), &n.refresh_interval)?;
    }
    for c in docker {
        let refresh = c.refresh_interval.clone();
        add(Place::Docker(Box::new(c.containers(directory).map_err(|e| e.context("docker_sd_configs"))?)), &refresh)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
