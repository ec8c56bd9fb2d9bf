//! `scrape_configs` as they stand in the files that people have.
//!
//! Nothing is taken over silently wrong: a key that cannot be honoured is an error that names it, and sections that are for others
//! (rules, alerting, remote write) are given back by name. What is meant by each key is Prometheus' documentation's word.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::{Error, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;
use wire::exposition::protobuf::Histograms;

use super::dns;
use super::job::{Group, Job, Limits, Lookup, Place};
use super::protocol::Protocol;
use crate::docker;
use crate::relabel::Rule;
use crate::scalar::Scalar;
use crate::ship::{Credentials, Tls};

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
    others: BTreeMap<String, IgnoredAny>,
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
    scrape_native_histograms: Option<bool>,
    /// Its name until Prometheus 2.
    scrape_classic_histograms: Option<bool>,
    always_scrape_classic_histograms: Option<bool>,
    convert_classic_histograms_to_nhcb: Option<bool>,
    native_histogram_bucket_limit: Option<u64>,
    native_histogram_min_bucket_factor: Option<f64>,
}

/// Limits, which a job has from `global` where it says nothing; and what is left over.
#[derive(Default, Deserialize)]
struct Bounds {
    body_size_limit: Option<Scalar>,
    sample_limit: Option<usize>,
    target_limit: Option<usize>,
    label_limit: Option<usize>,
    label_name_length_limit: Option<usize>,
    label_value_length_limit: Option<usize>,
    #[serde(flatten)]
    rest: BTreeMap<String, IgnoredAny>,
}

/// How others are asked over HTTP.
#[derive(Default, Deserialize)]
struct Http {
    basic_auth: Option<Basic>,
    authorization: Option<Authorization>,
    bearer_token: Option<Scalar>,
    bearer_token_file: Option<PathBuf>,
    tls_config: Option<TlsWritten>,
    proxy_url: Option<String>,
    follow_redirects: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Basic {
    #[serde(default)]
    username: Scalar,
    username_file: Option<PathBuf>,
    password: Option<Scalar>,
    password_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Authorization {
    r#type: Option<String>,
    credentials: Option<Scalar>,
    credentials_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsWritten {
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    #[serde(default)]
    insecure_skip_verify: bool,
    #[serde(rename = "min_version")]
    _min_version: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Written {
    job_name: Scalar,
    scrape_interval: Option<Scalar>,
    scrape_timeout: Option<Scalar>,
    metrics_path: Option<Scalar>,
    scheme: Option<Scalar>,
    #[serde(default)]
    params: BTreeMap<String, Vec<Scalar>>,
    honor_labels: Option<bool>,
    honor_timestamps: Option<bool>,
    #[serde(default)]
    static_configs: Vec<Static>,
    #[serde(default)]
    file_sd_configs: Vec<Files>,
    #[serde(default)]
    http_sd_configs: Vec<HttpTargets>,
    #[serde(default)]
    dns_sd_configs: Vec<Names>,
    #[serde(default)]
    docker_sd_configs: Vec<Containers>,
    #[serde(default)]
    relabel_configs: Vec<Rule>,
    #[serde(default)]
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
    #[serde(default)]
    targets: Vec<Scalar>,
    #[serde(default)]
    labels: BTreeMap<String, Scalar>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Files {
    files: Vec<String>,
    refresh_interval: Option<Scalar>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpTargets {
    url: String,
    refresh_interval: Option<Scalar>,
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
#[serde(deny_unknown_fields)]
struct Containers {
    host: String,
    refresh_interval: Option<Scalar>,
}

/// Keys of a job that change nothing here, and why: compression is always taken, HTTP/2 brings nothing for one page, what is left out is
/// always shown up to a bound, names are taken as they come.
const WITHOUT_EFFECT: [&str; 4] = ["enable_compression", "enable_http2", "keep_dropped_targets", "metric_name_validation_scheme"];

/// Reads the text of a file that lies in `directory`, to which its paths are relative.
///
/// # Errors
/// It is no such file, or has a key that is not honoured.
pub fn parse(text: &str, directory: &Path) -> Result<Configured> {
    let file: File = serde_yaml_ng::from_str(text).map_err(|e| Error::invalid(e.to_string()))?;
    if let Some(unknown) = file.others.keys().find(|k| !OTHERS.contains(&k.as_str())) {
        return Err(Error::invalid(format!("{unknown}: not a section of Prometheus' configuration that is known here")));
    }
    if file.others.contains_key("scrape_config_files") {
        return Err(Error::invalid("scrape_config_files: not followed; name those files beside this one"));
    }
    let global = file.global.unwrap_or_default();
    if let Some(unknown) = left_over(&global.bounds, &GLOBAL_OTHERS) {
        return Err(Error::invalid(format!("global.{unknown}: not honoured")));
    }
    let mut jobs: Vec<Job> = vec![];
    for w in file.scrape_configs.unwrap_or_default() {
        let name = w.job_name.0.clone();
        let job = w.job(&global, directory).map_err(|e| e.context(format!("job {name:?}")))?;
        if jobs.iter().any(|j| j.job == name) {
            return Err(Error::invalid(format!("job {name:?}: there are two of that name")));
        }
        jobs.push(job);
    }
    Ok(Configured { jobs, others: file.others.into_keys().collect() })
}

/// The first key that nobody has taken and that is not without effect.
fn left_over<'a>(bounds: &'a Bounds, fine: &[&str]) -> Option<&'a String> {
    bounds.rest.keys().find(|k| !fine.contains(&k.as_str()) && !WITHOUT_EFFECT.contains(&k.as_str()))
}

fn duration(written: &Option<Scalar>) -> Result<Option<Duration>> {
    let Some(Scalar(text)) = written else { return Ok(None) };
    match base::units::parse_duration_ns(text) {
        Ok(ns) if ns > 0 => Ok(Some(Duration::from_nanos(ns as u64))),
        _ => Err(Error::invalid(format!("{text:?} is not a duration"))),
    }
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
        _ => return Err(wrong()),
    };
    Ok((number * (1u64 << shift) as f64) as u64)
}

impl Written {
    fn job(self, global: &Global, directory: &Path) -> Result<Job> {
        if let Some(unknown) = left_over(&self.bounds, &[]) {
            return Err(Error::invalid(format!("{unknown}: not honoured")));
        }
        let interval = duration(&self.scrape_interval)?.or(duration(&global.scrape_interval)?).unwrap_or(INTERVAL);
        let timeout = match duration(&self.scrape_timeout)? {
            Some(own) if own > interval => return Err(Error::invalid("scrape_timeout: longer than the interval")),
            Some(own) => own,
            None => duration(&global.scrape_timeout)?.unwrap_or(TIMEOUT).min(interval),
        };
        let (protocols, fallback) = self.pages.protocols(&global.pages)?;
        let otherwise = Job::default();
        let text = |s: Option<Scalar>, default: String| s.map_or(default, |s| s.0);
        Ok(Job {
            job: self.job_name.0,
            targets: self.static_configs.into_iter().map(Static::group).collect(),
            lookups: lookups(self.file_sd_configs, self.http_sd_configs, self.dns_sd_configs, self.docker_sd_configs, directory)?,
            labels: BTreeMap::new(),
            interval,
            timeout,
            scheme: text(self.scheme, otherwise.scheme),
            path: text(self.metrics_path, otherwise.path),
            params: self.params.into_iter().map(|(n, v)| (n, v.into_iter().map(|s| s.0).collect())).collect(),
            honor_labels: self.honor_labels.unwrap_or(otherwise.honor_labels),
            honor_timestamps: self.honor_timestamps.unwrap_or(otherwise.honor_timestamps),
            protocols,
            fallback,
            histograms: self.pages.histograms(&global.pages)?,
            relabel: self.relabel_configs,
            metric_relabel: self.metric_relabel_configs,
            limits: self.bounds.limits(&global.bounds)?,
            credentials: self.http.credentials(directory)?,
            tls: self.http.tls(directory)?,
            proxy: self.http.proxy_url,
            follow_redirects: self.http.follow_redirects.unwrap_or(true),
        })
    }
}

impl Static {
    fn group(self) -> Group {
        Group { targets: self.targets.into_iter().map(|t| t.0).collect(), labels: self.labels.into_iter().map(|(n, v)| (n, v.0)).collect() }
    }
}

impl Pages {
    fn is_native(&self, global: &Pages) -> bool {
        self.scrape_native_histograms.or(global.scrape_native_histograms).unwrap_or(false)
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

    fn histograms(&self, global: &Pages) -> Result<Histograms> {
        let either = |of: fn(&Pages) -> Option<bool>| of(self).or(of(global)).unwrap_or(false);
        let is_set = [
            ("convert_classic_histograms_to_nhcb", either(|p| p.convert_classic_histograms_to_nhcb)),
            ("native_histogram_bucket_limit", either(|p| p.native_histogram_bucket_limit.map(|n| n > 0))),
            ("native_histogram_min_bucket_factor", either(|p| p.native_histogram_min_bucket_factor.map(|f| f > 0.0))),
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
        let samples = self.sample_limit.or(global.sample_limit).unwrap_or(0);
        Ok(Limits {
            body_bytes: if body == 0 { otherwise.body_bytes } else { body },
            samples: if samples == 0 { otherwise.samples } else { samples },
            targets: self.target_limit.or(global.target_limit).unwrap_or(0),
            labels: self.label_limit.or(global.label_limit).unwrap_or(0),
            name_bytes: self.label_name_length_limit.or(global.label_name_length_limit).unwrap_or(0),
            value_bytes: self.label_value_length_limit.or(global.label_value_length_limit).unwrap_or(0),
        })
    }
}

impl Http {
    fn credentials(&self, directory: &Path) -> Result<Credentials> {
        let at = |p: &PathBuf| directory.join(p);
        let ways = [self.basic_auth.is_some(), self.authorization.is_some(), self.bearer_token.is_some(), self.bearer_token_file.is_some()];
        if ways.iter().filter(|w| **w).count() > 1 {
            return Err(Error::invalid("at most one of basic_auth, authorization, bearer_token, bearer_token_file"));
        }
        if let Some(b) = &self.basic_auth {
            if b.username_file.is_some() {
                return Err(Error::invalid("basic_auth.username_file: not honoured"));
            }
            let user = b.username.0.clone();
            return Ok(match (&b.password, &b.password_file) {
                (Some(_), Some(_)) => return Err(Error::invalid("basic_auth: a password and a file that holds one")),
                (_, Some(file)) => Credentials::BasicFile(user, at(file)),
                (password, None) => Credentials::Basic(user, password.clone().unwrap_or_default().0),
            });
        }
        if let Some(a) = &self.authorization {
            let scheme = a.r#type.clone().unwrap_or_else(|| "Bearer".into());
            return Ok(match (&a.credentials, &a.credentials_file) {
                (Some(_), Some(_)) => return Err(Error::invalid("authorization: credentials and a file that holds them")),
                (_, Some(file)) => Credentials::SchemeFile(scheme, at(file)),
                (Some(c), None) => Credentials::Scheme(scheme, c.0.clone()),
                (None, None) => Credentials::None,
            });
        }
        Ok(match (&self.bearer_token, &self.bearer_token_file) {
            (Some(token), _) => Credentials::Bearer(token.0.clone()),
            (None, Some(file)) => Credentials::SchemeFile("Bearer".into(), at(file)),
            (None, None) => Credentials::None,
        })
    }

    fn tls(&self, directory: &Path) -> Result<Tls> {
        let Some(t) = &self.tls_config else { return Ok(Tls::default()) };
        let at = |p: &PathBuf| directory.join(p);
        let identity = match (&t.cert_file, &t.key_file) {
            (Some(cert), Some(key)) => Some((at(cert), at(key))),
            (None, None) => None,
            _ => return Err(Error::invalid("tls_config: cert_file and key_file go together")),
        };
        Ok(Tls { ca: t.ca_file.as_ref().map(at), identity, insecure: t.insecure_skip_verify })
    }
}

fn lookups(files: Vec<Files>, http: Vec<HttpTargets>, dns: Vec<Names>, docker: Vec<Containers>, directory: &Path) -> Result<Vec<Lookup>> {
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
        add(Place::Http(h.url), &h.refresh_interval)?;
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
        add(Place::Docker(Box::new(docker::Settings { endpoint: c.host, ..docker::Settings::default() })), &c.refresh_interval)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
global:
  scrape_interval: 15s
  evaluation_interval: 15s
  external_labels: { cluster: a }
  sample_limit: 500
alerting: { alertmanagers: [] }
rule_files: ["*.yml"]
remote_write: [{ url: "http://x" }]
scrape_configs:
  - job_name: node
    static_configs:
      - targets: ["a:9100", "b:9100"]
        labels: { rack: 7 }
      - targets: ["c:9100"]
    relabel_configs:
      - { source_labels: [__address__], regex: "(.*):9100", target_label: instance }
    metric_relabel_configs:
      - { source_labels: [__name__], regex: "go_.*", action: drop }
  - job_name: probe
    scrape_interval: 5s
    metrics_path: /probe
    scheme: https
    params: { module: [http_2xx] }
    honor_labels: true
    honor_timestamps: false
    sample_limit: 0
    body_size_limit: 1MB
    target_limit: 3
    label_limit: 30
    basic_auth: { username: u, password_file: secret }
    tls_config: { ca_file: ca.pem, cert_file: c.pem, key_file: /k.pem, insecure_skip_verify: true }
    proxy_url: http://proxy:3128
    follow_redirects: false
    enable_http2: true
    file_sd_configs: [{ files: ["targets/*.json"], refresh_interval: 5m }]
    http_sd_configs: [{ url: "http://sd/x", refresh_interval: 2m }]
    dns_sd_configs: [{ names: ["_m._tcp.example"] }, { names: [m.example], type: A, port: 9100 }]
    docker_sd_configs: [{ host: "unix:///var/run/docker.sock" }]
"#;

    #[test]
    fn a_file_as_people_have_it() {
        let c = parse(FILE, Path::new("/etc/prometheus")).unwrap();
        assert_eq!(c.others, ["alerting", "remote_write", "rule_files"]);
        let [node, probe] = &c.jobs[..] else { panic!("{:?}", c.jobs) };
        assert_eq!((node.interval, node.timeout, node.limits.samples), (Duration::from_secs(15), Duration::from_secs(10), 500));
        assert_eq!(node.targets[0].targets, ["a:9100", "b:9100"]);
        assert_eq!((node.targets[0].labels["rack"].as_str(), node.targets[1].labels.len()), ("7", 0));
        assert_eq!((node.relabel.len(), node.metric_relabel.len(), node.honor_timestamps), (1, 1, true));
        assert_eq!(
            (probe.interval, probe.timeout),
            (Duration::from_secs(5), Duration::from_secs(5)),
            "a timeout is no longer than the interval"
        );
        assert_eq!(
            (probe.path.as_str(), probe.scheme.as_str(), &probe.params["module"][..]),
            ("/probe", "https", &["http_2xx".to_owned()][..])
        );
        assert!(probe.honor_labels && !probe.honor_timestamps && !probe.follow_redirects);
        let Limits { body_bytes, samples, targets, labels, .. } = probe.limits;
        assert_eq!((body_bytes, samples, targets, labels), (1 << 20, Limits::default().samples, 3, 30));
        assert_eq!(probe.credentials, Credentials::BasicFile("u".into(), "/etc/prometheus/secret".into()));
        let identity = Some(("/etc/prometheus/c.pem".into(), "/k.pem".into()));
        assert_eq!(probe.tls, Tls { ca: Some("/etc/prometheus/ca.pem".into()), identity, insecure: true });
        assert_eq!(probe.proxy.as_deref(), Some("http://proxy:3128"));
        let places: Vec<String> = probe.lookups.iter().map(|l| format!("{:?} {:?}", l.place, l.every)).collect();
        assert!(places[0].starts_with(r#"Files("/etc/prometheus/targets/*.json")"#), "{places:?}");
        assert_eq!(places[1], r#"Http("http://sd/x") 120s"#);
        assert!(places[2].contains("kind: Srv, port: 0") && places[3].contains("kind: A, port: 9100") && places[4].contains("docker.sock"));
    }

    #[test]
    fn forms_of_pages() {
        let jobs = |global: &str, keys: &str| {
            let text = format!("{{global: {{{global}}}, scrape_configs: [{{job_name: a, {keys}}}]}}");
            parse(&text, Path::new("/")).unwrap_or_else(|e| panic!("{text}: {e}")).jobs.remove(0)
        };
        let (native, classic) = (|| Protocol::defaults(true), || Protocol::defaults(false));
        for (global, keys, protocols, is_native, is_classic) in [
            ("", "native_histogram_bucket_limit: 0", classic(), false, false),
            ("", "scrape_native_histograms: true", native(), true, false),
            ("scrape_native_histograms: true", "scrape_classic_histograms: true", native(), true, true),
            ("scrape_native_histograms: true", "scrape_native_histograms: false", classic(), false, false),
            ("always_scrape_classic_histograms: true", "always_scrape_classic_histograms: false", classic(), false, false),
            ("scrape_protocols: [PrometheusProto]", "", vec![Protocol::Protobuf], false, false),
            ("scrape_protocols: [PrometheusProto]", "scrape_protocols: [PrometheusText0.0.4]", vec![Protocol::Text0], false, false),
        ] {
            let job = jobs(global, keys);
            assert_eq!(
                (job.protocols, job.histograms),
                (protocols, Histograms { native: is_native, classic: is_classic }),
                "{global} {keys}"
            );
        }
        assert_eq!(jobs("", "fallback_scrape_protocol: PrometheusProto").fallback, Some(Protocol::Protobuf));
    }

    #[test]
    fn what_is_not_honoured_is_named() {
        let one = |keys: &str| format!("scrape_configs: [{{job_name: a, {keys}}}]");
        for (text, part) in [
            ("nonsense: 1".to_owned(), "nonsense"),
            ("global: {nonsense: 1}".to_owned(), "global.nonsense"),
            ("scrape_config_files: [x]".to_owned(), "scrape_config_files"),
            (one("kubernetes_sd_configs: []"), "job \"a\": kubernetes_sd_configs"),
            (one("oauth2: {}"), "oauth2"),
            (one("tls_config: {server_name: x}"), "server_name"),
            (one("tls_config: {cert_file: x}"), "go together"),
            (one("http_sd_configs: [{url: x, oauth2: {}}]"), "oauth2"),
            (one("docker_sd_configs: [{host: x, filters: []}]"), "filters"),
            (one("dns_sd_configs: [{names: [x], type: A}]"), "need a port"),
            (one("dns_sd_configs: [{names: [x], type: TXT}]"), "TXT"),
            (one("scrape_interval: soon"), "soon"),
            (one("scrape_protocols: [PrometheusProto, nonsense]"), "scrape_protocols: \"nonsense\""),
            (one("scrape_protocols: []"), "no form"),
            (one("fallback_scrape_protocol: x"), "fallback_scrape_protocol"),
            (one("native_histogram_bucket_limit: 100"), "native_histogram_bucket_limit"),
            (one("native_histogram_min_bucket_factor: 1.1"), "native_histogram_min_bucket_factor"),
            (one("convert_classic_histograms_to_nhcb: true"), "convert_classic_histograms_to_nhcb"),
            (one("scrape_interval: 5s, scrape_timeout: 10s"), "longer than the interval"),
            (one("body_size_limit: much"), "much"),
            (one("basic_auth: {username: a}, bearer_token: b"), "at most one"),
            (one("relabel_configs: [{action: nonsense}]"), "nonsense"),
            ("scrape_configs: [{job_name: a}, {job_name: a}]".to_owned(), "two of that name"),
            ("scrape_configs: [{}]".to_owned(), "job_name"),
        ] {
            let e = parse(&text, Path::new("/")).expect_err(&text).to_string();
            assert!(e.contains(part), "{text}: {e}");
        }
        assert!(["", "{}", "global: {}"].iter().all(|t| parse(t, Path::new("/")).unwrap().jobs.is_empty()));
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("10", Some(10)),
            ("10MB", Some(10 << 20)),
            ("1.5KiB", Some(1536)),
            ("2G", Some(2 << 30)),
            ("MB", None),
            ("1XB", None),
        ] {
            assert_eq!(size(text).ok(), bytes, "{text}");
        }
    }
}
