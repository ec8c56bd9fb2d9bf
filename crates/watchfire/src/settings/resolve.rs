//! What a stack of layers comes to, every value checked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::agent::scrape;

use super::cluster::{self, Cluster};
use super::layer::{Layer, Limits, Log, MetricsOtlp, OfTenant, Over, Queries, Retention};
use super::load;
use super::memory;
use super::value::{AtMost, Format, FromText, Given, Level, Memory, Secret, Span, StreamAge, Switch, Text};

/// Bytes a second and at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Bytes a second of a tenant.
    pub rate: Option<u64>,
    /// Bytes at once of a tenant.
    pub burst: Option<u64>,
    /// Bytes a second of a stream.
    pub stream_rate: Option<u64>,
    /// Bytes at once of a stream.
    pub stream_burst: Option<u64>,
}

/// How long rows are kept, nanoseconds; for good when there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Log lines.
    pub logs: Option<i64>,
    /// Samples.
    pub metrics: Option<i64>,
    /// Spans.
    pub traces: Option<i64>,
}

/// What the server collects itself.
#[derive(Clone, Debug)]
pub struct Collect {
    /// Patterns of files.
    pub files: Vec<String>,
    /// Metrics of the host.
    pub host: bool,
    /// Its own metrics.
    pub itself: bool,
    /// Time between collections.
    pub interval: Duration,
    /// What it scrapes.
    pub scrape: Vec<scrape::Job>,
}

/// Form of the server's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// JSON.
    Json,
}

/// Where blocks are kept.
#[derive(Clone, Default)]
pub struct Storage {
    /// A bucket, or a directory as `file:///DIR`; the data directory when there is none.
    pub bucket: Option<store::RemoteOptions>,
    /// Disk for pieces of blocks, bytes.
    pub cache_bytes: u64,
    /// Disk for blocks, bytes.
    pub max_bytes: Option<u64>,
}

/// Without secrets.
impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("url", &self.bucket.as_ref().map(|b| &b.url)).field("cache_bytes", &self.cache_bytes).finish()
    }
}

/// Ports for senders of OTLP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// Their addresses.
    pub listen: Vec<String>,
    /// Whether somebody asked for them. The usual ones may be somebody else's.
    pub is_wanted: bool,
}

/// All settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where rows are kept.
    pub data_dir: PathBuf,
    /// Address to listen on.
    pub listen: String,
    /// Ports for senders of OTLP.
    pub otlp: Otlp,
    /// Memory for rows and queries, bytes.
    pub memory_bytes: u64,
    /// Limits of each tenant.
    pub limits: Caps,
    /// Retention of tenants that have none of their own.
    pub retention: Keep,
    /// Tenants with a retention of their own.
    pub tenants: BTreeMap<base::Tenant, Keep>,
    /// Log streams that are kept for less time than others.
    pub stream_retention: Vec<logs::erase::Rule>,
    /// Where blocks are kept.
    pub storage: Storage,
    /// The listener.
    pub server: server::Settings,
    /// Its place in a cluster, if it has one.
    pub cluster: Option<Cluster>,
    /// What it collects.
    pub collect: Collect,
    /// `error`, `warn`, `info` or `debug`.
    pub log_level: &'static str,
    /// Form of the log.
    pub log_format: LogFormat,
}

impl Settings {
    /// Stacks defaults, profile, `file` and `flags`, and checks the result. Also gives the stack back, for showing.
    pub fn compose(file: Layer, flags: Layer) -> Result<(Settings, Layer), String> {
        let top = flags.over(file);
        let below = match &top.profile {
            Some(Given(name)) => load::profile(*name).over(load::defaults()),
            None => load::defaults(),
        };
        let otlp_is_wanted = top.otlp.listen.is_some();
        let stack = top.over(below);
        Ok((resolve(&stack, otlp_is_wanted)?, stack))
    }
}

fn resolve(l: &Layer, otlp_is_wanted: bool) -> Result<Settings, String> {
    let listen = must(&l.listen, "listen")?.0.clone();
    let token = token(l)?;
    let otlp = Otlp { listen: l.otlp.listen.iter().flatten().map(|g| g.0.0.clone()).collect(), is_wanted: otlp_is_wanted };
    let addresses = std::iter::once(("listen", &listen, 3100)).chain(otlp.listen.iter().map(|a| ("otlp.listen", a, 4317)));
    for (path, address, usual_port) in addresses {
        if !is_loopback(address, path, usual_port)? && token.is_none() && !is_on(&l.insecure) {
            return Err(format!(
                "{path}: {address} can be reached by others: set auth.token, or allow it without one by `insecure: true` (flag --insecure)"
            ));
        }
    }
    let (cluster, storage) = (cluster::resolve(&l.cluster)?, storage(l)?);
    if cluster.is_some() && storage.bucket.is_none() {
        return Err("storage.url: has no value, and the nodes of a cluster need an object store that all of them share".into());
    }
    let memory_bytes = match must(&l.memory_limit, "memory_limit")? {
        Memory::Bytes(n) => *n,
        Memory::Percent(p) => (memory::available(Path::new("/")) / 100 * p).max(64 << 20),
    };
    let tenants = tenants(l)?.into_iter().map(|(t, own)| (t, keep(&own.retention.clone().over(l.retention.clone())))).collect();
    Ok(Settings {
        data_dir: must(&l.data_dir, "data_dir")?.0.clone().into(),
        listen,
        otlp,
        memory_bytes,
        limits: caps(&l.limits)?,
        retention: keep(&l.retention),
        tenants,
        stream_retention: stream_retention(l)?,
        storage,
        server: server_settings(l, token, memory_bytes)?,
        cluster,
        collect: Collect {
            files: l.collect.files.iter().flatten().map(|g| g.0.0.clone()).collect(),
            host: must(&l.collect.host, "collect.host")?.0,
            itself: must(&l.collect.itself, "collect.itself")?.0,
            interval: duration(must(&l.collect.interval, "collect.interval")?.0),
            scrape: jobs(l)?,
        },
        log_level: word_of(must(&l.log.level, "log.level")?),
        log_format: form_of(must(&l.log.format, "log.format")?),
    })
}

/// The jobs of Prometheus' configuration files.
fn jobs(l: &Layer) -> Result<Vec<scrape::Job>, String> {
    let mut all: Vec<scrape::Job> = vec![];
    for Given(Text(file)) in l.collect.scrape.iter().flatten() {
        let wrong = |e: &dyn std::fmt::Display| format!("collect.scrape: {file}: {e}");
        let path = std::path::absolute(file).map_err(|e| wrong(&e))?;
        let text = std::fs::read_to_string(&path).map_err(|e| wrong(&e))?;
        let found = scrape::prometheus::parse(&text, path.parent().unwrap_or(Path::new("/"))).map_err(|e| wrong(&e))?;
        for job in found.jobs {
            if all.iter().any(|j| j.job == job.job) {
                return Err(wrong(&format!("job {:?}: another file has one of that name", job.job)));
            }
            all.push(job);
        }
    }
    Ok(all)
}

fn word_of(level: &Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    }
}

fn form_of(format: &Format) -> LogFormat {
    match format {
        Format::Text => LogFormat::Text,
        Format::Json => LogFormat::Json,
    }
}

/// What the section `log` comes to where nothing lies below it.
pub fn log_of(l: &Log) -> (&'static str, LogFormat) {
    (l.level.as_ref().map_or("info", |g| word_of(&g.0)), l.format.as_ref().map_or(LogFormat::Text, |g| form_of(&g.0)))
}

/// What queries may take, of a section that lies on top of what holds for all.
fn query_limits(l: &Queries) -> server::QueryLimits {
    let span = |g: &Option<Given<AtMost<Span>>>| g.as_ref().and_then(|g| g.0.0.as_ref()).map(|s| s.0);
    server::QueryLimits {
        range_ns: span(&l.range),
        bytes: l.bytes.as_ref().and_then(|g| g.0.0),
        series: l.series.as_ref().map(|g| g.0.0 as usize),
        time: span(&l.time).map(duration),
        at_once: l.at_once.as_ref().and_then(|g| g.0.0.as_ref()).map(|n| n.0 as usize),
    }
}

fn server_settings(l: &Layer, token: Option<server::Token>, memory_bytes: u64) -> Result<server::Settings, String> {
    let s = &l.server;
    let body_bytes = must(&s.body_size, "server.body_size")?.0 as usize;
    Ok(server::Settings {
        token,
        body_bytes,
        // Bodies wait here while earlier ones are decoded; an eighth is enough to keep the decoders busy.
        body_memory_bytes: (memory_bytes / 8).min(128 << 20) as usize,
        connections: must(&s.connections, "server.connections")?.0 as usize,
        ingest_concurrency: must(&s.pushes, "server.pushes")?.0 as usize,
        query_concurrency: must(&s.queries, "server.queries")?.0 as usize,
        answer_memory_bytes: (memory_bytes / 8) as usize,
        // A quarter, as one query may take for what it reads.
        query_samples: (memory_bytes as usize / 4 / metrics::limits::SAMPLE_BYTES).min(metrics::limits::QUERY_SAMPLES),
        // As much, and half of it for the answer.
        query_held_bytes: (memory_bytes as usize / 4 / 2).min(logs::limits::HELD_BYTES),
        query_timeout: duration(must(&s.query_timeout, "server.query_timeout")?.0),
        erase_after: duration(must(&l.storage.erase_after, "storage.erase_after")?.0),
        query_limits: query_limits(&l.queries),
        tenant_query_limits: tenants(l)?
            .into_iter()
            .map(|(t, own)| (t, query_limits(&own.queries.clone().over(l.queries.clone()))))
            .collect(),
        start_timestamps: is_on(&l.metrics.start_timestamps),
        retention: keep(&l.retention).metrics.map_or_else(String::new, base::units::format_duration_ns),
        otlp: translation(&l.metrics.otlp),
    })
}

/// The rules of all tenants; a tenant that has some of its own has no others.
fn stream_retention(l: &Layer) -> Result<Vec<logs::erase::Rule>, String> {
    let own: BTreeMap<base::Tenant, &Vec<Given<StreamAge>>> =
        tenants(l)?.into_iter().filter_map(|(t, own)| Some((t, own.retention.streams.as_ref()?))).collect();
    let but: BTreeSet<base::Tenant> = own.keys().cloned().collect();
    let rule = |tenant: Option<&base::Tenant>, g: &Given<StreamAge>| logs::erase::Rule {
        tenant: tenant.cloned(),
        but: but.clone(),
        keep_ns: g.0.keep_ns,
        selector: g.0.selector.clone(),
    };
    let of_all = l.retention.streams.iter().flatten().map(|g| rule(None, g));
    Ok(of_all.chain(own.iter().flat_map(|(t, list)| list.iter().map(|g| rule(Some(t), g)))).collect())
}

/// Tenants with settings of their own.
fn tenants(l: &Layer) -> Result<BTreeMap<base::Tenant, &OfTenant>, String> {
    l.tenants.iter().map(|(name, own)| Ok((base::Tenant::new(name).map_err(|e| format!("tenants: {e}"))?, own))).collect()
}

fn is_on(g: &Option<Given<Switch>>) -> bool {
    g.as_ref().is_some_and(|g| g.0.0)
}

fn translation(l: &MetricsOtlp) -> metrics::ingest::otlp::Translation {
    use metrics::ingest::otlp::{Strategy, Translation};
    let strategy = l.translation_strategy.as_ref().and_then(|g| Strategy::from_name(&g.0.show())).unwrap_or_default();
    Translation {
        strategy,
        promote: l.promote_resource_attributes.iter().flatten().map(|g| g.0.0.clone()).collect(),
        promote_all: is_on(&l.promote_all_resource_attributes),
        keep_identifying: is_on(&l.keep_identifying_resource_attributes),
        custom_buckets: is_on(&l.convert_histograms_to_nhcb),
        promote_scope: is_on(&l.promote_scope_metadata),
    }
}

pub(super) fn must<'a, T>(v: &'a Option<Given<T>>, path: &str) -> Result<&'a T, String> {
    v.as_ref().map(|g| &g.0).ok_or_else(|| format!("{path}: has no value"))
}

fn duration(ns: i64) -> Duration {
    Duration::from_nanos(ns.max(0) as u64)
}

fn caps(l: &Limits) -> Result<Caps, String> {
    let cap = |g: &Option<Given<super::value::Cap>>| g.as_ref().and_then(|g| g.0.0);
    let c = Caps { rate: cap(&l.rate), burst: cap(&l.burst), stream_rate: cap(&l.stream_rate), stream_burst: cap(&l.stream_burst) };
    for (burst, rate, name) in [(c.burst, c.rate, ""), (c.stream_burst, c.stream_rate, "stream_")] {
        if burst.is_some() && rate.is_none() {
            return Err(format!("limits.{name}burst: means nothing without limits.{name}rate"));
        }
    }
    Ok(c)
}

fn keep(l: &Retention) -> Keep {
    let age = |g: &Option<Given<super::value::Age>>| g.as_ref().and_then(|g| g.0.0);
    Keep { logs: age(&l.logs), metrics: age(&l.metrics), traces: age(&l.traces) }
}

fn token(l: &Layer) -> Result<Option<server::Token>, String> {
    let Some(Given(secret)) = &l.auth.token else { return Ok(None) };
    server::Token::new(&revealed(secret, "auth.token")?).map(Some).map_err(|e| format!("auth.token: {e}"))
}

fn storage(l: &Layer) -> Result<Storage, String> {
    let s = &l.storage;
    let text = |g: &Option<Given<Text>>| g.as_ref().map(|g| g.0.0.clone()).unwrap_or_default();
    let secret = |g: &Option<Given<Secret>>, path| g.as_ref().map_or(Ok(String::new()), |g| revealed(&g.0, path));
    let bucket = store::RemoteOptions {
        url: text(&s.url),
        endpoint: text(&s.endpoint),
        region: text(&s.region),
        access_key: secret(&s.access_key, "storage.access_key")?,
        secret_key: secret(&s.secret_key, "storage.secret_key")?,
    };
    let known = ["s3://", "gs://", "az://", "file:///"];
    if bucket.url.is_empty() {
        if s.endpoint.is_some() || s.access_key.is_some() {
            return Err("storage: means nothing without storage.url".into());
        }
    } else if !known.iter().any(|k| bucket.url.starts_with(k)) {
        return Err(format!("storage.url: {:?} begins with none of {}", bucket.url, known.join(", ")));
    }
    Ok(Storage {
        bucket: (!bucket.url.is_empty()).then_some(bucket),
        cache_bytes: must(&s.cache_size, "storage.cache_size")?.0,
        max_bytes: s.max_size.as_ref().and_then(|g| g.0.0),
    })
}

/// A secret's text, from the file that holds it if the setting names one. It is in no message.
pub fn revealed(secret: &Secret, path: &str) -> Result<String, String> {
    match secret.0.strip_prefix("file:") {
        Some(file) => std::fs::read_to_string(file).map(|s| s.trim_end().to_owned()).map_err(|e| format!("{path}: {file}: {e}")),
        None => Ok(secret.0.clone()),
    }
}

/// Whether only this machine reaches the address of a setting. A name other than `localhost` may resolve to anything.
pub fn is_loopback(listen: &str, path: &str, port: u16) -> Result<bool, String> {
    let wrong = || format!("{path}: {listen:?} is not an address with a port, as in 127.0.0.1:{port} or [::1]:{port}");
    if let Ok(a) = listen.parse::<SocketAddr>() {
        return Ok(match a.ip() {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(ip) => ip.is_loopback(),
        });
    }
    let (host, port) = listen.rsplit_once(':').ok_or_else(wrong)?;
    if host.is_empty() || host.contains(':') || port.parse::<u16>().is_err() {
        return Err(wrong());
    }
    Ok(host == "localhost")
}
