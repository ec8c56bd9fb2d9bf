//! Every key once: what it is for, in which form, and how it is shown.

use super::layer::Layer;
use super::value::{FromText, Given};

/// A key of the settings file.
pub struct Key {
    /// Its path.
    pub path: &'static str,
    /// The form of its value.
    #[cfg_attr(not(test), allow(dead_code))] // read by the reference page, which a test writes
    pub form: &'static str,
    /// What it is for.
    #[cfg_attr(not(test), allow(dead_code))]
    pub help: &'static str,
    get: fn(&Layer) -> Option<String>,
}

fn one<T: FromText>(v: &Option<Given<T>>) -> Option<String> {
    v.as_ref().map(|g| g.0.show())
}

fn list<T: FromText>(v: &Option<Vec<Given<T>>>) -> Option<String> {
    v.as_ref().map(|l| format!("[{}]", l.iter().map(|g| g.0.show()).collect::<Vec<_>>().join(", ")))
}

macro_rules! key {
    ($path:literal, $form:literal, $help:literal, $get:expr) => {
        Key { path: $path, form: $form, help: $help, get: $get }
    };
}

/// All keys, in the order of the file.
pub const KEYS: &[Key] = &[
    key!(
        "profile",
        "`dev`, `staging`, `prod`",
        "Limits and retention for a kind of installation; lies between the defaults and this file.",
        |l| one(&l.profile)
    ),
    key!("data_dir", "path", "Where rows are kept. One process at a time uses it.", |l| one(&l.data_dir)),
    key!("listen", "address:port", "Address to listen on. One that others reach needs `auth.token`, or `insecure`.", |l| one(&l.listen)),
    key!("insecure", "`true`, `false`", "Allows listening on an address that others reach without asking them for a token.", |l| one(
        &l.insecure
    )),
    key!(
        "otlp.listen",
        "list of address:port",
        "More addresses for senders of OTLP, each over gRPC and over HTTP, where their SDKs look for a collector. `[]` opens none. An address that \
         this file names must be free; without it, a usual one that is taken is left out with a warning. Those that others reach need \
         `auth.token`, or `insecure`.",
        |l| list(&l.otlp.listen)
    ),
    key!(
        "memory_limit",
        "size or share",
        "Memory for rows and queries, as a size or as a share of what the control group or the machine has.",
        |l| one(&l.memory_limit)
    ),
    key!("auth.token", "secret", "Asked of every request but `/ready`, as `Authorization: Bearer`. Write `${NAME}` or `file:PATH`.", |l| {
        one(&l.auth.token)
    }),
    key!(
        "storage.url",
        "address",
        "Where blocks are kept: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or `file:///DIR`. Without it, in `data_dir`; blocks that are there move.",
        |l| one(&l.storage.url)
    ),
    key!("storage.endpoint", "URL", "A server that speaks the protocol, as in `http://minio:9000`. Without it, the provider's own.", |l| {
        one(&l.storage.endpoint)
    }),
    key!("storage.region", "text", "Region of an S3 bucket; for Azure, the account's name.", |l| one(&l.storage.region)),
    key!(
        "storage.access_key",
        "secret",
        "Id of an access key. Without it, what the environment or the machine's role gives. Write `${NAME}` or `file:PATH`.",
        |l| one(&l.storage.access_key)
    ),
    key!(
        "storage.secret_key",
        "secret",
        "Secret of the access key; for Azure the account's key, for Google a service account's key as JSON.",
        |l| one(&l.storage.secret_key)
    ),
    key!("storage.cache_size", "size", "Disk in `data_dir` for pieces of blocks that are in a bucket.", |l| one(&l.storage.cache_size)),
    key!(
        "storage.max_size",
        "size or `none`",
        "Disk for blocks; beyond it the oldest days go before their time, each with an entry in the ledger. Not in a cluster.",
        |l| one(&l.storage.max_size)
    ),
    key!(
        "storage.erase_after",
        "duration",
        "How long after a delete request its lines are removed from disk and bucket. No answer has them from the request on; until they go, it can be cancelled.",
        |l| one(&l.storage.erase_after)
    ),
    key!(
        "limits.rate",
        "size or `none`",
        "Bytes a second that one tenant may push; beyond it pushes are asked to come again (429).",
        |l| one(&l.limits.rate)
    ),
    key!("limits.burst", "size or `none`", "Bytes that one tenant may push at once. `none` is the rate.", |l| one(&l.limits.burst)),
    key!("limits.stream_rate", "size or `none`", "Bytes a second that one log stream may push.", |l| one(&l.limits.stream_rate)),
    key!("limits.stream_burst", "size or `none`", "Bytes that one log stream may push at once. `none` is the rate.", |l| one(&l
        .limits
        .stream_burst)),
    key!(
        "queries.range",
        "duration or `none`",
        "Time that one query may span; longer ones are refused (400). Log and metric queries, with their windows.",
        |l| one(&l.queries.range)
    ),
    key!("queries.bytes", "size or `none`", "Bytes of rows that one query may decode; it ends when it needs more (422).", |l| one(&l
        .queries
        .bytes)),
    key!("queries.series", "number", "Series in the answer of a metric query of logs (400).", |l| one(&l.queries.series)),
    key!("queries.time", "duration or `none`", "How long one query may run, if less than `server.query_timeout` (504).", |l| one(&l
        .queries
        .time)),
    key!(
        "queries.at_once",
        "number or `none`",
        "Queries of one tenant that run at once; more wait in its queue, then are asked to come again (429). Tenants take turns.",
        |l| one(&l.queries.at_once)
    ),
    key!("retention.logs", "duration or `none`", "Age at which log lines are removed.", |l| one(&l.retention.logs)),
    key!("retention.metrics", "duration or `none`", "Age at which samples are removed.", |l| one(&l.retention.metrics)),
    key!("retention.traces", "duration or `none`", "Age at which spans are removed.", |l| one(&l.retention.traces)),
    key!(
        "retention.streams",
        "list of `AGE SELECTOR`",
        "Log streams that are kept for less time than `retention.logs`, as in `3d {level=\"debug\"}`. Their lines go by whole days.",
        |l| list(&l.retention.streams)
    ),
    key!(
        "tenants",
        "sections by tenant",
        "`retention` and `queries` of single tenants, as in `team-a: { retention: { logs: 90d }, queries: { bytes: 100GiB } }`; what is left out there is as for all.",
        |l| { (!l.tenants.is_empty()).then(|| l.tenants.keys().cloned().collect::<Vec<_>>().join(", ")) }
    ),
    key!("server.body_size", "size", "Largest body of a request as received; larger ones are refused (413).", |l| one(&l.server.body_size)),
    key!("server.connections", "number", "Open connections; more wait in the system's queue.", |l| one(&l.server.connections)),
    key!(
        "server.pushes",
        "number",
        "Pushes decoded or waiting for the disk at once; more wait, then are asked to come again (503).",
        |l| one(&l.server.pushes)
    ),
    key!("server.queries", "number", "Queries running at once; more wait, then are asked to come again (503).", |l| one(&l.server.queries)),
    key!("server.query_timeout", "duration", "A query that runs longer is stopped.", |l| one(&l.server.query_timeout)),
    key!(
        "metrics.start_timestamps",
        "`true`, `false`",
        "Lets `rate`, `irate`, `increase` and `resets` heed when a sample's counting began (Prometheus' feature `use-start-timestamps`).",
        |l| one(&l.metrics.start_timestamps)
    ),
    key!(
        "metrics.otlp.translation_strategy",
        "`UnderscoreEscapingWithSuffixes`, `UnderscoreEscapingWithoutSuffixes`, `NoUTF8EscapingWithSuffixes`, `NoTranslation`",
        "What becomes of the names of OTLP metrics. These keys are those of Prometheus' section `otlp`.",
        |l| one(&l.metrics.otlp.translation_strategy)
    ),
    key!("metrics.otlp.promote_resource_attributes", "list of attributes", "Resource attributes that every series has as labels.", |l| {
        list(&l.metrics.otlp.promote_resource_attributes)
    }),
    key!(
        "metrics.otlp.promote_all_resource_attributes",
        "`true`, `false`",
        "All resource attributes become labels of every series.",
        |l| { one(&l.metrics.otlp.promote_all_resource_attributes) }
    ),
    key!(
        "metrics.otlp.keep_identifying_resource_attributes",
        "`true`, `false`",
        "`target_info` keeps the attributes that `job` and `instance` are made of.",
        |l| one(&l.metrics.otlp.keep_identifying_resource_attributes)
    ),
    key!(
        "metrics.otlp.convert_histograms_to_nhcb",
        "`true`, `false`",
        "Histograms with explicit bounds become native ones with custom bounds.",
        |l| one(&l.metrics.otlp.convert_histograms_to_nhcb)
    ),
    key!(
        "metrics.otlp.promote_scope_metadata",
        "`true`, `false`",
        "The scope's name, version and attributes become labels `otel_scope_...`.",
        |l| one(&l.metrics.otlp.promote_scope_metadata)
    ),
    key!(
        "cluster.name",
        "name",
        "Makes this a node of a cluster (flag `--cluster`). Nodes of another name are refused. All nodes share one object store.",
        |l| one(&l.cluster.name)
    ),
    key!(
        "cluster.join",
        "list of host:port",
        "Nodes to meet first (flag `--join`): addresses, or names that may have many. One that answers is enough; this node itself may be among them.",
        |l| list(&l.cluster.join)
    ),
    key!(
        "cluster.listen",
        "address:port",
        "Where other nodes reach this one. An address that other machines reach needs `cluster.secret`.",
        |l| one(&l.cluster.listen)
    ),
    key!(
        "cluster.advertise",
        "host:port",
        "The address that others are told; `cluster.listen` when left out, which is none if that is `0.0.0.0` or `[::]`.",
        |l| one(&l.cluster.advertise)
    ),
    key!(
        "cluster.secret",
        "secret",
        "The same on all nodes, 16 or more characters. It is proved, never sent. Write `${NAME}` or `file:PATH`.",
        |l| one(&l.cluster.secret)
    ),
    key!("cluster.zone", "name", "Where this node stands; copies go to another zone first.", |l| one(&l.cluster.zone)),
    key!("cluster.replication", "number", "Nodes on whose disks a row is before it is acknowledged.", |l| one(&l.cluster.replication)),
    key!(
        "cluster.degraded",
        "`accept`, `refuse`",
        "What to do with rows while fewer nodes than `cluster.replication` can take them: keep them on those that can and upload them \
         within seconds, or ask their senders to come again (503).",
        |l| one(&l.cluster.degraded)
    ),
    key!(
        "cluster.tls.cert",
        "path",
        "Certificate of this node (PEM). With it nodes talk over TLS and ask each other for certificates.",
        |l| { one(&l.cluster.tls.cert) }
    ),
    key!("cluster.tls.key", "path", "Its key (PEM).", |l| one(&l.cluster.tls.key)),
    key!("cluster.tls.ca", "path", "The authority that signed the certificates of all nodes (PEM).", |l| one(&l.cluster.tls.ca)),
    key!(
        "cluster.tls.name",
        "name",
        "The name that the certificates of all nodes bear; the host of a node's address when left out.",
        |l| one(&l.cluster.tls.name)
    ),
    key!("collect.files", "list of patterns", "Log files of this host to follow. `[]` follows none.", |l| list(&l.collect.files)),
    key!("collect.host", "`true`, `false`", "Collects metrics of this host.", |l| one(&l.collect.host)),
    key!("collect.itself", "`true`, `false`", "Scrapes its own `/metrics`.", |l| one(&l.collect.itself)),
    key!("collect.interval", "duration", "Time between two collections of metrics.", |l| one(&l.collect.interval)),
    key!(
        "collect.scrape",
        "list of paths",
        "Prometheus' configuration files, as they are: their `scrape_configs` are scraped. A key of them that is not honoured is refused.",
        |l| list(&l.collect.scrape)
    ),
    key!("log.level", "`error`, `warn`, `info`, `debug`", "How much its own log tells, on standard error.", |l| one(&l.log.level)),
    key!("log.format", "`text`, `json`", "Form of its own log.", |l| one(&l.log.format)),
];

/// Every key that has a value in `layer`, with the value; secrets are hidden.
pub fn show(layer: &Layer) -> Vec<(&'static str, String)> {
    KEYS.iter().filter_map(|k| (k.get)(layer).map(|v| (k.path, v))).collect()
}
