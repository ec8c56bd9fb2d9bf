//! One layer of settings: any key may be left out.

use std::collections::BTreeMap;

use super::value::{
    Age, AtMost, Cap, ClusterName, Copies, Count, Format, Given, Level, Memory, NodeAddress, ProfileName, Secret, Size, Span, StreamAge,
    Switch, Text, TranslationStrategy, WhenDegraded,
};

/// Puts one layer on top of another.
pub trait Over {
    /// `self` where it says something, else `below`.
    fn over(self, below: Self) -> Self;
}

impl<T> Over for Option<T> {
    fn over(self, below: Self) -> Self {
        self.or(below)
    }
}

impl<T: Over> Over for BTreeMap<String, T> {
    fn over(self, mut below: Self) -> Self {
        for (k, v) in self {
            let v = match below.remove(&k) {
                Some(b) => v.over(b),
                None => v,
            };
            below.insert(k, v);
        }
        below
    }
}

/// A section: its keys are read by serde, and unknown ones refused.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $ty:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields, default, expecting = "a section with keys")]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty,)+ }
    };
}
pub(crate) use section;

/// A section that can lie on top of another.
macro_rules! stacked {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $ty:ty,)+ }) => {
        section!($(#[$doc])* #[derive(PartialEq, Eq)] $name { $($(#[$fdoc])* $field: $ty,)+ });
        impl Over for $name {
            fn over(self, below: Self) -> Self {
                $name { $($field: self.$field.over(below.$field),)+ }
            }
        }
    };
}

stacked!(
    /// A whole file.
    Layer {
        /// `profile`
        profile: Option<Given<ProfileName>>,
        /// `data_dir`
        data_dir: Option<Given<Text>>,
        /// `listen`
        listen: Option<Given<Text>>,
        /// `insecure`
        insecure: Option<Given<Switch>>,
        /// `otlp`
        otlp: Otlp,
        /// `memory_limit`
        memory_limit: Option<Given<Memory>>,
        /// `auth`
        auth: Auth,
        /// `storage`
        storage: Storage,
        /// `limits`
        limits: Limits,
        /// `queries`
        queries: Queries,
        /// `retention`
        retention: Retention,
        /// `tenants`
        tenants: BTreeMap<String, OfTenant>,
        /// `server`
        server: Server,
        /// `metrics`
        metrics: Metrics,
        /// `cluster`
        cluster: Cluster,
        /// `collect`
        collect: Collect,
        /// `log`
        log: Log,
    }
);
stacked!(
    /// Ports for senders of OTLP.
    Otlp {
        /// `otlp.listen`
        listen: Option<Vec<Given<Text>>>,
    }
);
stacked!(
    /// Who may talk to it.
    Auth {
        /// `auth.token`
        token: Option<Given<Secret>>,
    }
);
stacked!(
    /// Where blocks are kept.
    Storage {
        /// `storage.url`
        url: Option<Given<Text>>,
        /// `storage.endpoint`
        endpoint: Option<Given<Text>>,
        /// `storage.region`
        region: Option<Given<Text>>,
        /// `storage.access_key`
        access_key: Option<Given<Secret>>,
        /// `storage.secret_key`
        secret_key: Option<Given<Secret>>,
        /// `storage.cache_size`
        cache_size: Option<Given<Size>>,
        /// `storage.max_size`
        max_size: Option<Given<Cap>>,
        /// `storage.erase_after`
        erase_after: Option<Given<Span>>,
    }
);
stacked!(
    /// Bytes a second that a tenant may push.
    Limits {
        /// `limits.rate`
        rate: Option<Given<Cap>>,
        /// `limits.burst`
        burst: Option<Given<Cap>>,
        /// `limits.stream_rate`
        stream_rate: Option<Given<Cap>>,
        /// `limits.stream_burst`
        stream_burst: Option<Given<Cap>>,
    }
);
stacked!(
    /// What one query may take.
    Queries {
        /// `queries.range`
        range: Option<Given<AtMost<Span>>>,
        /// `queries.bytes`
        bytes: Option<Given<Cap>>,
        /// `queries.series`
        series: Option<Given<Count>>,
        /// `queries.time`
        time: Option<Given<AtMost<Span>>>,
        /// `queries.at_once`
        at_once: Option<Given<AtMost<Count>>>,
    }
);
stacked!(
    /// How long rows are kept.
    Retention {
        /// `retention.logs`
        logs: Option<Given<Age>>,
        /// `retention.metrics`
        metrics: Option<Given<Age>>,
        /// `retention.traces`
        traces: Option<Given<Age>>,
        /// `retention.streams`
        streams: Option<Vec<Given<StreamAge>>>,
    }
);
stacked!(
    /// What differs for one tenant.
    OfTenant {
        /// Its retention.
        retention: Retention,
        /// What its queries may take.
        queries: Queries,
    }
);
stacked!(
    /// The listener.
    Server {
        /// `server.body_size`
        body_size: Option<Given<Size>>,
        /// `server.connections`
        connections: Option<Given<Count>>,
        /// `server.pushes`
        pushes: Option<Given<Count>>,
        /// `server.queries`
        queries: Option<Given<Count>>,
        /// `server.query_timeout`
        query_timeout: Option<Given<Span>>,
    }
);
stacked!(
    /// How metrics are taken in and asked for.
    Metrics {
        /// `metrics.start_timestamps`
        start_timestamps: Option<Given<Switch>>,
        /// `metrics.otlp`
        otlp: MetricsOtlp,
    }
);
stacked!(
    /// How metrics of OTLP are translated.
    MetricsOtlp {
        /// `metrics.otlp.translation_strategy`
        translation_strategy: Option<Given<TranslationStrategy>>,
        /// `metrics.otlp.promote_resource_attributes`
        promote_resource_attributes: Option<Vec<Given<Text>>>,
        /// `metrics.otlp.promote_all_resource_attributes`
        promote_all_resource_attributes: Option<Given<Switch>>,
        /// `metrics.otlp.keep_identifying_resource_attributes`
        keep_identifying_resource_attributes: Option<Given<Switch>>,
        /// `metrics.otlp.convert_histograms_to_nhcb`
        convert_histograms_to_nhcb: Option<Given<Switch>>,
        /// `metrics.otlp.promote_scope_metadata`
        promote_scope_metadata: Option<Given<Switch>>,
    }
);
stacked!(
    /// The other nodes.
    Cluster {
        /// `cluster.name`
        name: Option<Given<ClusterName>>,
        /// `cluster.join`
        join: Option<Vec<Given<NodeAddress>>>,
        /// `cluster.listen`
        listen: Option<Given<Text>>,
        /// `cluster.advertise`
        advertise: Option<Given<NodeAddress>>,
        /// `cluster.secret`
        secret: Option<Given<Secret>>,
        /// `cluster.zone`
        zone: Option<Given<Text>>,
        /// `cluster.replication`
        replication: Option<Given<Copies>>,
        /// `cluster.degraded`
        degraded: Option<Given<WhenDegraded>>,
        /// `cluster.tls`
        tls: ClusterTls,
    }
);
stacked!(
    /// Certificates between nodes.
    ClusterTls {
        /// `cluster.tls.cert`
        cert: Option<Given<Text>>,
        /// `cluster.tls.key`
        key: Option<Given<Text>>,
        /// `cluster.tls.ca`
        ca: Option<Given<Text>>,
        /// `cluster.tls.name`
        name: Option<Given<Text>>,
    }
);
stacked!(
    /// What it collects itself.
    Collect {
        /// `collect.files`
        files: Option<Vec<Given<Text>>>,
        /// `collect.host`
        host: Option<Given<Switch>>,
        /// `collect.itself`
        itself: Option<Given<Switch>>,
        /// `collect.interval`
        interval: Option<Given<Span>>,
        /// `collect.scrape`
        scrape: Option<Vec<Given<Text>>>,
    }
);
stacked!(
    /// The server's own log.
    Log {
        /// `log.level`
        level: Option<Given<Level>>,
        /// `log.format`
        format: Option<Given<Format>>,
    }
);
