//! What the agent's settings file comes to.

mod receive;
mod system;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::agent::relabel::Rule;
use ::agent::scrape::Place;
use ::agent::ship::{Credentials, Endpoint, Kind, Pem, Tls};
use ::agent::spool::{self, Policy};
use ::agent::stages::Stages;
use ::agent::{Format, docker, files, host, scrape};
use anyhow::Result;
use base::{Labels, Tenant};

use super::layer;
pub use receive::Receive;
pub use system::{Journal, Syslog};

use crate::cli::AgentArgs;
use crate::exit::{Exit, Failure};
use crate::settings::{FromText, Given, LogFormat, Secret, Span, Switch, Text, load, log_of, revealed};

/// Where the agent shows itself unless told otherwise: on this machine.
const LISTEN: &str = "127.0.0.1:3101";
/// Files are looked at so often: a line is on its way within half a second.
const POLL: Duration = Duration::from_millis(250);
/// Memory that a spool in memory may take unless told otherwise, bytes.
const MEMORY_BYTES: u64 = 64 << 20;

/// A set of log files.
#[derive(Clone, Debug)]
pub struct Files {
    /// Positions are kept under it.
    pub name: String,
    /// Which, and how.
    pub settings: files::Settings,
    /// What becomes of each line.
    pub stages: Stages,
    /// Names of the endpoints that it goes to; empty for all.
    pub to: Vec<String>,
}

/// Containers of one Docker Engine.
#[derive(Clone, Debug)]
pub struct Docker {
    /// Positions are kept under it.
    pub name: String,
    /// Which, and how.
    pub settings: docker::Settings,
    /// Makes labels of `__meta_docker_*` and those that a stream would have.
    pub relabel: Vec<Rule>,
    /// What becomes of each line.
    pub stages: Stages,
    /// Names of the endpoints that it goes to; empty for all.
    pub to: Vec<String>,
}

/// Targets of one job.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// Which, and how.
    pub job: scrape::Job,
    /// Names of the endpoints that it goes to; empty for all.
    pub to: Vec<String>,
}

/// The host.
#[derive(Clone, Debug)]
pub struct Host {
    /// How it is measured.
    pub settings: host::Settings,
    /// Names of the endpoints that it goes to; empty for all.
    pub to: Vec<String>,
}

/// All settings of the agent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the spool is.
    pub data_dir: PathBuf,
    /// Where it shows itself.
    pub listen: String,
    /// Containers.
    pub docker: Vec<Docker>,
    /// Log files.
    pub files: Vec<Files>,
    /// What is sent as syslog.
    pub syslog: Vec<Syslog>,
    /// systemd's journal.
    pub journal: Vec<Journal>,
    /// What is sent to the agent.
    pub receive: Receive,
    /// Metrics of the host, if they are wanted.
    pub host: Option<Host>,
    /// Targets.
    pub scrape: Vec<Scrape>,
    /// Its own metrics.
    pub itself: bool,
    /// Where it goes.
    pub endpoints: Vec<Endpoint>,
    /// The spool.
    pub spool: spool::Settings,
    /// How much its own log tells.
    pub log_level: &'static str,
    /// Form of its own log.
    pub log_format: LogFormat,
}

/// Reads the file and puts the flags on top.
pub fn read(args: &AgentArgs) -> Result<Settings> {
    let wrong = |e: String| Failure::error(Exit::Settings, e);
    let config = args.config.as_deref().ok_or_else(|| wrong("no settings file is named; name one with --config".into()))?;
    let file: layer::File = load::read_as(config).map_err(|e| wrong(e.to_string()))?;
    resolve(file, args.data_dir.as_deref()).map_err(|e| wrong(format!("{}: {e}", config.display())))
}

/// Checks every value.
pub fn resolve(file: layer::File, data_dir: Option<&Path>) -> Result<Settings, String> {
    let a = file.agent;
    if a.endpoints.is_empty() {
        return Err("agent.endpoints: there is none; say where to send, as in `endpoints: [{ url: \"http://watchfire:3100\" }]`".into());
    }
    let (log_level, log_format) = log_of(&file.log);
    let endpoints = a.endpoints.iter().enumerate().map(|(i, e)| endpoint(i, e)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<&str> = endpoints.iter().map(|e| e.name.as_str()).collect();
    unique("agent.endpoints", &names)?;
    let routes = Routes(&endpoints);
    let files = a.sources.files.iter().enumerate().map(|(i, f)| files_of(i, f, &routes)).collect::<Result<Vec<_>, _>>()?;
    unique("agent.sources.files", &files.iter().map(|f| f.name.as_str()).collect::<Vec<_>>())?;
    let docker = a.sources.docker.iter().enumerate().map(|(i, d)| docker_of(i, d, &routes)).collect::<Result<Vec<_>, _>>()?;
    unique("agent.sources.docker", &docker.iter().map(|d| d.name.as_str()).collect::<Vec<_>>())?;
    let host = host_of(&a.sources.host, &routes)?;
    let scrape = a.sources.scrape.iter().enumerate().map(|(i, s)| scrape_of(i, s, &routes)).collect::<Result<Vec<_>, _>>()?;
    let syslog = a.sources.syslog.iter().enumerate().map(|(i, s)| system::syslog_of(i, s, &routes)).collect::<Result<Vec<_>, _>>()?;
    unique("agent.sources.syslog", &syslog.iter().map(|s| s.name.as_str()).collect::<Vec<_>>())?;
    let journal = a.sources.journal.iter().enumerate().map(|(i, j)| system::journal_of(i, j, &routes)).collect::<Result<Vec<_>, _>>()?;
    unique("agent.sources.journal", &journal.iter().map(|j| j.name.as_str()).collect::<Vec<_>>())?;
    let listen = a.listen.map_or_else(|| LISTEN.into(), |g| g.0.0);
    let given_dir = file.data_dir.map(|g| PathBuf::from(g.0.0));
    Ok(Settings {
        data_dir: data_dir.map(Path::to_owned).or(given_dir).unwrap_or_else(|| "watchfire-agent".into()),
        receive: receive::resolve(&a.receive, &listen)?,
        listen,
        docker,
        files,
        host,
        scrape,
        syslog,
        journal,
        itself: a.sources.itself.is_none_or(|g| g.0.0),
        endpoints,
        spool: spool_of(&a.spool)?,
        log_level,
        log_format,
    })
}

fn unique(what: &str, names: &[&str]) -> Result<(), String> {
    let twice = names.iter().enumerate().find(|(i, n)| names[..*i].contains(n));
    match twice {
        Some((_, name)) => Err(format!("{what}: {name:?} is there twice; give each a `name` of its own, under which its progress is kept")),
        None => Ok(()),
    }
}

fn span(g: &Option<Given<Span>>, otherwise: Duration) -> Duration {
    g.as_ref().map_or(otherwise, |g| Duration::from_nanos(g.0.0.max(0) as u64))
}

fn text<T: FromText>(g: &Option<Given<T>>) -> Option<String> {
    g.as_ref().map(|g| g.0.show())
}

fn texts(given: &[Given<Text>]) -> Vec<String> {
    given.iter().map(|g| g.0.0.clone()).collect()
}

fn endpoint(i: usize, e: &layer::Endpoint) -> Result<Endpoint, String> {
    let at = |key: &str| format!("agent.endpoints[{i}].{key}");
    let url = text(&e.url).ok_or_else(|| format!("{}: has no value", at("url")))?;
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(format!("{}: {url:?} must begin with http:// or https://", at("url")));
    }
    let kind = match text(&e.r#type).as_deref() {
        None | Some("watchfire") => Kind::Watchfire,
        Some("loki") => Kind::Loki,
        Some("remote_write") => Kind::RemoteWrite,
        Some("otlp") => Kind::Otlp,
        Some(t) => return Err(format!("{}: {t:?} is none of watchfire, loki, remote_write, otlp", at("type"))),
    };
    let credentials = credentials_of(&e.token, &e.user, &e.password, &format!("agent.endpoints[{i}]"))?;
    let tenant = text(&e.tenant).map(|t| Tenant::new(&t).map_err(|e| format!("{}: {e}", at("tenant")))).transpose()?;
    let bytes = |g: &Option<Given<crate::settings::Size>>, otherwise| g.as_ref().map_or(otherwise, |g| g.0.0);
    Ok(Endpoint {
        name: text(&e.name).unwrap_or_else(|| host_of_url(&url)),
        kind,
        tenant,
        credentials,
        ca: text(&e.ca).map(PathBuf::from),
        timeout: span(&e.timeout, Duration::from_secs(10)),
        batch_bytes: bytes(&e.batch_size, 1 << 20) as usize,
        batch_wait: span(&e.batch_wait, Duration::from_millis(100)),
        backlog_rate: bytes(&e.backlog_rate, 16 << 20),
        url,
    })
}

fn credentials_of(
    token: &Option<Given<Secret>>,
    user: &Option<Given<Text>>,
    password: &Option<Given<Secret>>,
    at: &str,
) -> Result<Credentials, String> {
    let secret = |g: &Option<Given<Secret>>, key: &str| g.as_ref().map(|g| revealed(&g.0, &format!("{at}.{key}"))).transpose();
    match (secret(token, "token")?, text(user), secret(password, "password")?) {
        (None, None, None) => Ok(Credentials::None),
        (Some(t), None, None) => Ok(Credentials::Bearer(t)),
        (None, Some(u), Some(p)) => Ok(Credentials::Basic(u, p)),
        _ => Err(format!("{at}.token: either token, or user and password")),
    }
}

/// The endpoints, for sources that go to some of them.
struct Routes<'a>(&'a [Endpoint]);

impl Routes<'_> {
    /// The names of `to`. One that is no endpoint's is a mistake, and so is a source that no endpoint of them takes.
    fn of(&self, to: &[Given<Text>], format: Format, at: &str) -> Result<Vec<String>, String> {
        let names: Vec<String> = to.iter().map(|g| g.0.0.clone()).collect();
        let mut is_taken = names.is_empty();
        for name in &names {
            let Some(e) = self.0.iter().find(|e| e.name == *name) else {
                let known: Vec<&str> = self.0.iter().map(|e| e.name.as_str()).collect();
                return Err(format!("{at}.to: there is no endpoint {name:?}; there are {}", known.join(", ")));
            };
            is_taken |= e.kind.takes().contains(&format);
        }
        if is_taken { Ok(names) } else { Err(format!("{at}.to: none of {} takes what comes from here", names.join(", "))) }
    }
}

/// `watchfire:3100` of `http://watchfire:3100/x`: without whatever else an address may carry.
fn host_of_url(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, r)| r);
    let host = rest.split(['/', '?']).next().unwrap_or(rest);
    host.rsplit('@').next().unwrap_or(host).to_owned()
}

fn files_of(i: usize, f: &layer::Files, routes: &Routes<'_>) -> Result<Files, String> {
    let at = |key: &str| format!("agent.sources.files[{i}].{key}");
    if f.include.is_empty() {
        return Err(format!("{}: has no value; name files, as in [\"/var/log/*.log\"]", at("include")));
    }
    let otherwise = files::Settings::default();
    let from = match text(&f.from).as_deref() {
        None | Some("end") => files::From::End,
        Some("start") => files::From::Start,
        Some(t) => return Err(format!("{}: {t:?} is neither end nor start", at("from"))),
    };
    let labels = labels_of(&f.labels, &at("labels"))?;
    let job = text(&f.job).unwrap_or(otherwise.job);
    Ok(Files {
        name: text(&f.name).unwrap_or_else(|| job.clone()),
        settings: files::Settings {
            include: f.include.iter().map(|g| g.0.0.clone()).collect(),
            exclude: f.exclude.iter().map(|g| g.0.0.clone()).collect(),
            job,
            labels,
            from,
            poll_interval: span(&f.poll_interval, POLL),
            rotated_wait: span(&f.rotated_wait, otherwise.rotated_wait),
            max_line_bytes: f.max_line.as_ref().map_or(otherwise.max_line_bytes, |g| g.0.0 as usize),
        },
        stages: f.stages.clone(),
        to: routes.of(&f.to, Format::LokiPush, &format!("agent.sources.files[{i}]"))?,
    })
}

fn docker_of(i: usize, d: &layer::Docker, routes: &Routes<'_>) -> Result<Docker, String> {
    let at = |key: &str| format!("agent.sources.docker[{i}].{key}");
    let otherwise = docker::Settings::default();
    Ok(Docker {
        name: text(&d.name).unwrap_or_else(|| "docker".into()),
        settings: docker::Settings {
            endpoint: text(&d.endpoint).unwrap_or(otherwise.endpoint),
            include_names: texts(&d.include_names),
            exclude_names: texts(&d.exclude_names),
            include_labels: texts(&d.include_labels),
            exclude_labels: texts(&d.exclude_labels),
            job: text(&d.job).unwrap_or(otherwise.job),
            labels: labels_of(&d.labels, &at("labels"))?,
            containers_dir: text(&d.containers_dir).unwrap_or(otherwise.containers_dir),
            poll_interval: span(&d.poll_interval, POLL),
            list_interval: otherwise.list_interval,
            timeout: otherwise.timeout,
            max_line_bytes: d.max_line.as_ref().map_or(otherwise.max_line_bytes, |g| g.0.0 as usize),
        },
        relabel: d.relabel.clone(),
        stages: d.stages.clone(),
        to: routes.of(&d.to, Format::LokiPush, &format!("agent.sources.docker[{i}]"))?,
    })
}

fn labels_of(given: &BTreeMap<String, Given<Text>>, at: &str) -> Result<BTreeMap<String, String>, String> {
    let labels = given.iter().map(|(n, g)| (n.clone(), g.0.0.clone())).collect();
    Labels::from_pairs(&labels).map_err(|e| format!("{at}: {e}"))?;
    Ok(labels)
}

fn host_of(h: &layer::Host, routes: &Routes<'_>) -> Result<Option<Host>, String> {
    let otherwise = host::Settings::default();
    if h.enabled.as_ref().is_some_and(|g| !g.0.0) {
        return Ok(None);
    }
    let settings = host::Settings {
        enabled: true,
        interval: span(&h.interval, otherwise.interval),
        job: text(&h.job).unwrap_or(otherwise.job),
        labels: labels_of(&h.labels, "agent.sources.host.labels")?,
    };
    Ok(Some(Host { settings, to: routes.of(&h.to, Format::RemoteWrite, "agent.sources.host")? }))
}

fn scrape_of(i: usize, s: &layer::Scrape, routes: &Routes<'_>) -> Result<Scrape, String> {
    let at = format!("agent.sources.scrape[{i}]");
    let otherwise = scrape::Job::default();
    if s.targets.is_empty() && s.files.is_empty() && s.http.is_empty() && s.docker.is_none() {
        return Err(format!("{at}.targets: has no value; name targets, as in [\"127.0.0.1:9100\"], or files, http, docker that name some"));
    }
    let interval = span(&s.interval, otherwise.interval);
    let timeout = span(&s.timeout, otherwise.timeout.min(interval));
    if timeout > interval {
        return Err(format!("{at}.timeout: is longer than the interval"));
    }
    let is_set = |g: &Option<Given<Switch>>| g.as_ref().is_some_and(|g| g.0.0);
    let histograms = scrape::Histograms { native: is_set(&s.native_histograms), classic: is_set(&s.classic_histograms) };
    let protocols = match &texts(&s.protocols)[..] {
        [] => scrape::Protocol::defaults(histograms.native),
        names => scrape::Protocol::list(names.iter().map(String::as_str)).map_err(|e| format!("{at}.protocols: {}", e.message()))?,
    };
    let job = scrape::Job {
        job: text(&s.job).ok_or_else(|| format!("{at}.job: has no value"))?,
        targets: vec![texts(&s.targets).into()],
        lookups: lookups_of(s),
        labels: labels_of(&s.labels, &format!("{at}.labels"))?,
        interval,
        timeout,
        scheme: text(&s.scheme).unwrap_or(otherwise.scheme),
        path: text(&s.path).unwrap_or(otherwise.path),
        params: s.params.iter().map(|(n, v)| (n.clone(), texts(v))).collect(),
        honor_labels: s.honor_labels.as_ref().map_or(otherwise.honor_labels, |g| g.0.0),
        honor_timestamps: s.honor_timestamps.as_ref().map_or(otherwise.honor_timestamps, |g| g.0.0),
        protocols,
        histograms,
        relabel: s.relabel.clone(),
        metric_relabel: s.metric_relabel.clone(),
        limits: limits_of(&s.limits),
        access: scrape::Access {
            credentials: credentials_of(&s.token, &s.user, &s.password, &at)?,
            tls: Tls { ca: text(&s.ca).map(|f| Pem::File(f.into())), ..Tls::default() },
            ..otherwise.access
        },
        ..otherwise
    };
    Ok(Scrape { job, to: routes.of(&s.to, Format::RemoteWrite, &at)? })
}

fn lookups_of(s: &layer::Scrape) -> Vec<scrape::Lookup> {
    let places = texts(&s.files).into_iter().map(Place::Files);
    let places = places.chain(texts(&s.http).into_iter().map(|url| Place::Http(url, None)));
    places
        .chain(s.docker.as_ref().map(containers_of).map(scrape::Containers::from).map(Box::new).map(Place::Docker))
        .map(Into::into)
        .collect()
}

fn containers_of(d: &layer::ScrapeDocker) -> docker::Settings {
    let otherwise = docker::Settings::default();
    docker::Settings {
        endpoint: text(&d.endpoint).unwrap_or(otherwise.endpoint),
        include_names: texts(&d.include_names),
        exclude_names: texts(&d.exclude_names),
        include_labels: texts(&d.include_labels),
        exclude_labels: texts(&d.exclude_labels),
        ..docker::Settings::default()
    }
}

fn limits_of(l: &layer::ScrapeLimits) -> scrape::Limits {
    let otherwise = scrape::Limits::default();
    scrape::Limits {
        body_bytes: l.body.as_ref().map_or(otherwise.body_bytes, |g| g.0.0),
        samples: l.samples.as_ref().map_or(otherwise.samples, |g| g.0.0 as usize),
        targets: otherwise.targets,
        labels: l.labels.as_ref().map_or(otherwise.labels, |g| g.0.0 as usize),
        name_bytes: l.label_name.as_ref().map_or(otherwise.name_bytes, |g| g.0.0 as usize),
        value_bytes: l.label_value.as_ref().map_or(otherwise.value_bytes, |g| g.0.0 as usize),
    }
}

fn spool_of(s: &layer::Spool) -> Result<spool::Settings, String> {
    let otherwise = spool::Settings::default();
    let full = match text(&s.when_full).as_deref() {
        None | Some("block") => Policy::Block,
        Some("drop_oldest") => Policy::DropOldest,
        Some("drop_low_priority") => Policy::DropLowPriority,
        Some(t) => return Err(format!("agent.spool.when_full: {t:?} is none of block, drop_oldest, drop_low_priority")),
    };
    let memory = s.memory.as_ref().is_some_and(|g| g.0.0);
    let max_bytes = s.max_size.as_ref().map_or(if memory { MEMORY_BYTES } else { otherwise.max_bytes }, |g| g.0.0);
    if max_bytes < 1 << 20 {
        return Err("agent.spool.max_size: less than 1MiB holds nothing worth keeping".into());
    }
    Ok(spool::Settings { max_bytes, max_age: span(&s.max_age, otherwise.max_age), full, memory })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Settings, String> {
        load::parse_as::<layer::File>("agent.yaml", text).map_err(|e| e.to_string()).and_then(|f| resolve(f, None))
    }

    #[test]
    fn a_short_file_is_enough() {
        let s = of("agent:\n  endpoints: [{ url: \"http://u:p@watchfire:3100/\" }]\n").unwrap();
        assert_eq!((s.endpoints[0].name.as_str(), s.endpoints[0].kind), ("watchfire:3100", Kind::Watchfire));
        assert!(s.host.is_some() && s.itself && s.files.is_empty());
        assert_eq!((s.spool.full, s.spool.max_bytes, s.listen.as_str()), (Policy::Block, 1 << 30, LISTEN));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, said) in [
            ("agent: {}", "agent.endpoints: there is none"),
            ("agent:\n  endpionts: []\n", "unknown key \"endpionts\" in agent; did you mean \"endpoints\"?"),
            ("agent: { endpoints: [{ url: \"watchfire:3100\" }] }", "agent.endpoints[0].url: \"watchfire:3100\" must begin with"),
            ("agent: { endpoints: [{ url: \"http://a\" }, { url: \"http://a\" }] }", "\"a\" is there twice"),
            ("agent: { endpoints: [{ url: \"http://a\", token: x, user: y }] }", "either token, or user and password"),
            ("agent: { endpoints: [{ url: \"http://a\" }], spool: { when_full: drop } }", "none of block, drop_oldest"),
            ("agent: { endpoints: [{ url: \"http://a\" }], sources: { files: [{ job: x }] } }", "agent.sources.files[0].include"),
            ("agent: { endpoints: [{ url: \"http://a\", timeout: 5 }] }", "timeout"),
            (
                "agent: { endpoints: [{ url: \"http://a\" }], sources: { files: [{ include: [/a], stages: [{ jsno: {} }] }] } }",
                "did you mean \"json\"",
            ),
            ("agent: { endpoints: [{ url: \"http://a\" }], sources: { docker: [{ relabel: [{ action: kep, regex: x }] }] } }", "kep"),
            ("agent: { endpoints: [{ url: \"http://a\" }], sources: { docker: [{ job: a }, { job: b }] } }", "\"docker\" is there twice"),
            (
                "agent: { endpoints: [{ url: \"http://a\" }], sources: { docker: [{ to: [b] }] } }",
                "docker[0].to: there is no endpoint \"b\"; there are a",
            ),
            (
                "agent: { endpoints: [{ url: \"http://a\", type: loki }], sources: { host: { to: [a] } } }",
                "agent.sources.host.to: none of a takes what comes from here",
            ),
            ("agent: { endpoints: [{ url: \"http://a\" }], sources: { scrape: [{ job: x }] } }", "agent.sources.scrape[0].targets"),
            ("agent: { endpoints: [{ url: \"http://a\" }], sources: { scrape: [{ targets: [a] }] } }", "agent.sources.scrape[0].job"),
            (
                "agent: { endpoints: [{ url: \"http://a\" }], sources: { scrape: [{ job: x, targets: [a], interval: 5s, timeout: 6s }] } }",
                "agent.sources.scrape[0].timeout",
            ),
        ] {
            let e = of(text).unwrap_err();
            assert!(e.contains(said), "{text}: {e}");
        }
        let e = of("agent: { endpoints: [{ url: \"http://a\", token: \"${NO_SUCH_VARIABLE}\" }] }").unwrap_err();
        assert!(e.contains("NO_SUCH_VARIABLE is not set"), "{e}");
    }

    #[test]
    fn what_the_converter_writes_is_read() {
        const ALLOY: &str = include_str!("../../../agent/src/convert/fixtures/host.alloy");
        let mut yaml = ::agent::convert::convert(ALLOY).unwrap().yaml;
        // What stands elsewhere, the environment and a file, is not of this test.
        for (there, here) in [("${ENVIRONMENT}", "prod"), ("${HOSTNAME}", "h1"), ("${TOKEN}", "t"), ("file:/run/secrets/loki", "p")] {
            assert!(yaml.contains(there), "{there}");
            yaml = yaml.replace(there, here);
        }
        let s = of(&yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}"));
        let containers = &s.docker[0];
        assert_eq!((containers.relabel.len(), containers.to.as_slice()), (4, &["monitoring_loki".to_owned()][..]));
        assert_eq!(
            containers.settings.labels,
            BTreeMap::from([("cluster", "prod"), ("env", "prod"), ("host", "h1")].map(|(n, v)| (n.to_owned(), v.to_owned())))
        );
        assert_eq!(s.files.iter().map(|f| f.settings.job.as_str()).collect::<Vec<_>>(), ["nginx", "nginx"]);
        let measured = &s.host.as_ref().unwrap().settings;
        assert_eq!((measured.job.as_str(), measured.labels["cluster"].as_str()), ("integrations/unix", "prod"));
        let addresses: Vec<&str> = s.scrape.iter().flat_map(|s| &s.job.targets).flat_map(|g| &g.targets).map(String::as_str).collect();
        assert_eq!((addresses, s.scrape[1].job.labels["team"].as_str()), (vec!["web:9100", "api:9100"], "a"));
        let kinds: Vec<Kind> = s.endpoints.iter().map(|e| e.kind).collect();
        assert_eq!(kinds, [Kind::Otlp, Kind::Loki, Kind::RemoteWrite]);
        assert!(s.endpoints[1].credentials == Credentials::Basic("agent".into(), "p".into()));
    }

    #[test]
    fn a_scrape_with_everything() {
        let s = of("agent:
  endpoints: [{ name: a, url: \"http://a\" }, { name: b, url: \"http://b\" }]
  sources:
    scrape:
      - job: app
        targets: [\"h:1\"]
        interval: 5s
        labels: { env: prod }
        scheme: https
        path: /m
        params: { module: [x, y] }
        honor_labels: true
        honor_timestamps: false
        native_histograms: true
        relabel: [{ target_label: a, replacement: b }]
        metric_relabel: [{ action: labeldrop, regex: x }]
        files: [/etc/targets/*.json]
        http: [\"http://h/targets\"]
        docker: { include_labels: [scrape] }
        limits: { body: 1MiB, samples: 10, labels: 20, label_name: 64B, label_value: 1KiB }
        user: u
        password: p
        to: [b]
")
        .unwrap();
        let Scrape { job, to } = &s.scrape[0];
        assert_eq!((to.as_slice(), job.timeout, job.path.as_str()), (&["b".to_owned()][..], Duration::from_secs(5), "/m"));
        assert_eq!(
            job.limits,
            scrape::Limits { body_bytes: 1 << 20, samples: 10, targets: 0, labels: 20, name_bytes: 64, value_bytes: 1024 }
        );
        assert_eq!(job.protocols, scrape::Protocol::defaults(true));
        assert_eq!(job.histograms, scrape::Histograms { native: true, classic: false });
        assert!(job.honor_labels && !job.honor_timestamps && job.access.credentials == Credentials::Basic("u".into(), "p".into()));
        assert_eq!((job.relabel.len(), job.metric_relabel.len(), job.params["module"].len()), (1, 1, 2));
        let [_, _, scrape::Lookup { place: Place::Docker(docker), .. }] = &job.lookups[..] else { panic!("{:?}", job.lookups) };
        assert_eq!(docker.settings.include_labels, ["scrape"]);
    }

    #[test]
    fn secrets_are_not_printed() {
        let s = of("agent: { endpoints: [{ url: \"http://a\", token: very-secret }] }").unwrap();
        assert!(!format!("{s:?}").contains("very-secret"));
    }
}
