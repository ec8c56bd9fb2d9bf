//! What the agent's settings file comes to.

mod receive;
mod system;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::agent::relabel::Rule;
use ::agent::ship::{Credentials, Endpoint, Kind};
use ::agent::spool::{self, Policy};
use ::agent::stages::Stages;
use ::agent::{docker, files, host};
use anyhow::Result;
use base::{Labels, Tenant};

use super::layer;
pub use receive::Receive;
pub use system::{Journal, Syslog};

use crate::cli::AgentArgs;
use crate::exit::{Exit, Failure};
use crate::settings::{FromText, Given, LogFormat, Span, Text, load, log_of, revealed};

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
}

/// Targets of one job.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// The `job` label.
    pub job: String,
    /// Addresses of pages.
    pub urls: Vec<String>,
    /// How often.
    pub interval: Duration,
    /// A page that takes longer does not come.
    pub timeout: Duration,
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
    pub host: Option<host::Settings>,
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
    let file: layer::File = load::read_as(&args.config).map_err(|e| wrong(e.to_string()))?;
    resolve(file, args.data_dir.as_deref()).map_err(|e| wrong(format!("{}: {e}", args.config.display())))
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
    let files = a.sources.files.iter().enumerate().map(|(i, f)| files_of(i, f)).collect::<Result<Vec<_>, _>>()?;
    unique("agent.sources.files", &files.iter().map(|f| f.name.as_str()).collect::<Vec<_>>())?;
    let docker = a.sources.docker.iter().enumerate().map(|(i, d)| docker_of(i, d)).collect::<Result<Vec<_>, _>>()?;
    unique("agent.sources.docker", &docker.iter().map(|d| d.name.as_str()).collect::<Vec<_>>())?;
    let syslog = a.sources.syslog.iter().enumerate().map(|(i, s)| system::syslog_of(i, s)).collect::<Result<Vec<_>, _>>()?;
    unique("agent.sources.syslog", &syslog.iter().map(|s| s.name.as_str()).collect::<Vec<_>>())?;
    let journal = a.sources.journal.iter().enumerate().map(|(i, j)| system::journal_of(i, j)).collect::<Result<Vec<_>, _>>()?;
    unique("agent.sources.journal", &journal.iter().map(|j| j.name.as_str()).collect::<Vec<_>>())?;
    let listen = a.listen.map_or_else(|| LISTEN.into(), |g| g.0.0);
    let given_dir = file.data_dir.map(|g| PathBuf::from(g.0.0));
    Ok(Settings {
        data_dir: data_dir.map(Path::to_owned).or(given_dir).unwrap_or_else(|| "watchfire-agent".into()),
        receive: receive::resolve(&a.receive, &listen)?,
        listen,
        docker,
        files,
        syslog,
        journal,
        host: host_of(&a.sources.host),
        scrape: a.sources.scrape.iter().enumerate().map(|(i, s)| scrape_of(i, s)).collect::<Result<_, _>>()?,
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
    let secret = |g: &Option<Given<crate::settings::Secret>>, key: &str| g.as_ref().map(|g| revealed(&g.0, &at(key))).transpose();
    let credentials = match (secret(&e.token, "token")?, text(&e.user), secret(&e.password, "password")?) {
        (None, None, None) => Credentials::None,
        (Some(t), None, None) => Credentials::Bearer(t),
        (None, Some(u), Some(p)) => Credentials::Basic(u, p),
        _ => return Err(format!("{}: either token, or user and password", at("token"))),
    };
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

/// `watchfire:3100` of `http://watchfire:3100/x`: without whatever else an address may carry.
fn host_of_url(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, r)| r);
    let host = rest.split(['/', '?']).next().unwrap_or(rest);
    host.rsplit('@').next().unwrap_or(host).to_owned()
}

fn files_of(i: usize, f: &layer::Files) -> Result<Files, String> {
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
    })
}

fn docker_of(i: usize, d: &layer::Docker) -> Result<Docker, String> {
    let at = |key: &str| format!("agent.sources.docker[{i}].{key}");
    let otherwise = docker::Settings::default();
    let all = |given: &[Given<Text>]| given.iter().map(|g| g.0.0.clone()).collect();
    Ok(Docker {
        name: text(&d.name).unwrap_or_else(|| "docker".into()),
        settings: docker::Settings {
            endpoint: text(&d.endpoint).unwrap_or(otherwise.endpoint),
            include_names: all(&d.include_names),
            exclude_names: all(&d.exclude_names),
            include_labels: all(&d.include_labels),
            exclude_labels: all(&d.exclude_labels),
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
    })
}

fn labels_of(given: &BTreeMap<String, Given<Text>>, at: &str) -> Result<BTreeMap<String, String>, String> {
    let labels = given.iter().map(|(n, g)| (n.clone(), g.0.0.clone())).collect();
    Labels::from_pairs(&labels).map_err(|e| format!("{at}: {e}"))?;
    Ok(labels)
}

fn host_of(h: &layer::Host) -> Option<host::Settings> {
    let otherwise = host::Settings::default();
    let wanted = h.enabled.as_ref().is_none_or(|g| g.0.0);
    wanted.then(|| host::Settings {
        enabled: true,
        interval: span(&h.interval, otherwise.interval),
        job: text(&h.job).unwrap_or(otherwise.job),
    })
}

fn scrape_of(i: usize, s: &layer::Scrape) -> Result<Scrape, String> {
    let job = text(&s.job).ok_or_else(|| format!("agent.sources.scrape[{i}].job: has no value"))?;
    let url = |t: String| if t.contains("://") { t } else { format!("http://{t}/metrics") };
    let urls: Vec<String> = s.targets.iter().map(|g| url(g.0.0.clone())).collect();
    if urls.is_empty() {
        return Err(format!("agent.sources.scrape[{i}].targets: has no value; name targets, as in [\"127.0.0.1:9100\"]"));
    }
    Ok(Scrape { job, urls, interval: span(&s.interval, Duration::from_secs(15)), timeout: span(&s.timeout, Duration::from_secs(10)) })
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
        ] {
            let e = of(text).unwrap_err();
            assert!(e.contains(said), "{text}: {e}");
        }
        let e = of("agent: { endpoints: [{ url: \"http://a\", token: \"${NO_SUCH_VARIABLE}\" }] }").unwrap_err();
        assert!(e.contains("NO_SUCH_VARIABLE is not set"), "{e}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let s = of("agent: { endpoints: [{ url: \"http://a\", token: very-secret }] }").unwrap();
        assert!(!format!("{s:?}").contains("very-secret"));
    }
}
