//! The agent's settings file, as it is written.

use std::collections::BTreeMap;

use crate::settings::{Count, Given, LogLayer, Secret, Several, Size, Span, Switch, Text, section};
use ::agent::relabel::Rule;
use ::agent::stages::Stages;

section!(
    /// A whole file.
    File {
        /// `data_dir`
        data_dir: Option<Given<Text>>,
        /// `agent`
        agent: Agent,
        /// `log`
        log: LogLayer,
    }
);
section!(
    /// The agent.
    Agent {
        /// `agent.listen`
        listen: Option<Given<Text>>,
        /// `agent.sources`
        sources: Sources,
        /// `agent.receive`
        receive: Receive,
        /// `agent.endpoints`
        endpoints: Vec<Endpoint>,
        /// `agent.spool`
        spool: Spool,
    }
);
section!(
    /// What is collected.
    Sources {
        /// Containers of a Docker Engine.
        docker: Vec<Docker>,
        /// Log files.
        files: Vec<Files>,
        /// What is sent as syslog.
        syslog: Vec<Syslog>,
        /// systemd's journal.
        journal: Vec<Journal>,
        /// Metrics of the host.
        host: Host,
        /// Targets with metrics.
        scrape: Vec<Scrape>,
        /// Its own metrics.
        itself: Option<Given<Switch>>,
    }
);
section!(
    /// Log files.
    Files {
        /// Positions are kept under it.
        name: Option<Given<Text>>,
        /// Patterns.
        include: Vec<Given<Text>>,
        /// Patterns.
        exclude: Vec<Given<Text>>,
        /// The `job` label.
        job: Option<Given<Text>>,
        /// Further labels.
        labels: BTreeMap<String, Given<Text>>,
        /// `end` or `start`.
        from: Option<Given<Text>>,
        /// How often files are looked at.
        poll_interval: Option<Given<Span>>,
        /// How long a renamed file is read on.
        rotated_wait: Option<Given<Span>>,
        /// A longer line is cut.
        max_line: Option<Given<Size>>,
        /// What becomes of each line.
        stages: Stages,
        /// Names of the endpoints that it goes to; all that take it if there is none.
        to: Vec<Given<Text>>,
    }
);
section!(
    /// Containers of a Docker Engine.
    Docker {
        /// Positions are kept under it.
        name: Option<Given<Text>>,
        /// Where the Engine listens.
        endpoint: Option<Given<Text>>,
        /// Names.
        include_names: Vec<Given<Text>>,
        /// Names.
        exclude_names: Vec<Given<Text>>,
        /// Labels.
        include_labels: Vec<Given<Text>>,
        /// Labels.
        exclude_labels: Vec<Given<Text>>,
        /// The `job` label.
        job: Option<Given<Text>>,
        /// Further labels.
        labels: BTreeMap<String, Given<Text>>,
        /// Where the Engine's directory `containers` is seen from here.
        containers_dir: Option<Given<Text>>,
        /// How often logs are looked at.
        poll_interval: Option<Given<Span>>,
        /// A longer line is cut.
        max_line: Option<Given<Size>>,
        /// Makes labels of `__meta_docker_*`.
        relabel: Vec<Rule>,
        /// What becomes of each line.
        stages: Stages,
        /// Names of the endpoints that it goes to; all that take it if there is none.
        to: Vec<Given<Text>>,
    }
);
section!(
    /// What is sent as syslog.
    Syslog {
        /// Its name in the ledger.
        name: Option<Given<Text>>,
        /// Address for TCP.
        tcp: Option<Given<Text>>,
        /// Address for UDP.
        udp: Option<Given<Text>>,
        /// The `job` label.
        job: Option<Given<Text>>,
        /// Further labels.
        labels: BTreeMap<String, Given<Text>>,
        /// Makes labels of `__syslog_*`.
        relabel: Vec<Rule>,
        /// What becomes of each line.
        stages: Stages,
        /// Names of the endpoints that it goes to; all that take it if there is none.
        to: Vec<Given<Text>>,
    }
);
section!(
    /// systemd's journal.
    Journal {
        /// The position is kept under it.
        name: Option<Given<Text>>,
        /// Its directory.
        directory: Option<Given<Text>>,
        /// `end` or `start`.
        from: Option<Given<Text>>,
        /// The `job` label.
        job: Option<Given<Text>>,
        /// Further labels.
        labels: BTreeMap<String, Given<Text>>,
        /// Makes labels of `__journal_*`.
        relabel: Vec<Rule>,
        /// What becomes of each line.
        stages: Stages,
        /// Names of the endpoints that it goes to; all that take it if there is none.
        to: Vec<Given<Text>>,
    }
);
section!(
    /// What is sent to the agent.
    Receive {
        /// Where; with the agent's page unless it says otherwise.
        listen: Several<Text>,
        /// The token that senders must know.
        token: Option<Given<Secret>>,
        /// Others may send without one.
        insecure: Option<Given<Switch>>,
        /// Loki push.
        loki: Option<LokiPush>,
        /// OTLP over HTTP and gRPC.
        otlp: Option<Given<Switch>>,
        /// Prometheus remote write.
        remote_write: Option<Given<Switch>>,
        /// Amazon Data Firehose.
        firehose: Option<Firehose>,
    }
);
section!(
    /// Loki push.
    LokiPush {
        /// What becomes of each line; pushes are passed on whole if there are none.
        stages: Stages,
    }
);
section!(
    /// Amazon Data Firehose.
    Firehose {
        /// The key that the delivery stream sends.
        access_key: Option<Given<Secret>>,
        /// The `job` label.
        job: Option<Given<Text>>,
        /// Further labels.
        labels: BTreeMap<String, Given<Text>>,
        /// Makes labels of `__aws_*`.
        relabel: Vec<Rule>,
        /// What becomes of each line.
        stages: Stages,
    }
);
section!(
    /// The host.
    Host {
        /// Whether it is measured.
        enabled: Option<Given<Switch>>,
        /// How often.
        interval: Option<Given<Span>>,
        /// The `job` label.
        job: Option<Given<Text>>,
        /// Further labels.
        labels: BTreeMap<String, Given<Text>>,
        /// Names of the endpoints that it goes to; all that take it if there is none.
        to: Vec<Given<Text>>,
    }
);
section!(
    /// Targets with metrics.
    Scrape {
        /// The `job` label.
        job: Option<Given<Text>>,
        /// Their addresses: `host:port`, or a whole URL.
        targets: Vec<Given<Text>>,
        /// How often.
        interval: Option<Given<Span>>,
        /// A page that takes longer does not come.
        timeout: Option<Given<Span>>,
        /// Labels of all targets.
        labels: BTreeMap<String, Given<Text>>,
        /// `http` or `https`.
        scheme: Option<Given<Text>>,
        /// The page.
        path: Option<Given<Text>>,
        /// Parameters of the page's address.
        params: BTreeMap<String, Vec<Given<Text>>>,
        /// Where page and target have the same label, the page's value is right.
        honor_labels: Option<Given<Switch>>,
        /// Times that a page gives are those of the samples.
        honor_timestamps: Option<Given<Switch>>,
        /// Forms of the page, in the order in which they are liked, by their names in Prometheus' settings.
        protocols: Vec<Given<Text>>,
        /// Native histograms, which come in protobuf alone.
        native_histograms: Option<Given<Switch>>,
        /// The classic form too of a histogram that comes as a native one.
        classic_histograms: Option<Given<Switch>>,
        /// Make a target of what was found, or leave it out.
        relabel: Vec<Rule>,
        /// Work on each series.
        metric_relabel: Vec<Rule>,
        /// Files that name targets.
        files: Vec<Given<Text>>,
        /// Addresses that answer with targets.
        http: Vec<Given<Text>>,
        /// Containers whose ports are targets.
        docker: Option<ScrapeDocker>,
        /// What a page may be.
        limits: ScrapeLimits,
        /// A bearer token.
        token: Option<Given<Secret>>,
        /// With a password.
        user: Option<Given<Text>>,
        /// With a user.
        password: Option<Given<Secret>>,
        /// Certificates that are believed.
        ca: Option<Given<Text>>,
        /// Names of the endpoints that it goes to; all that take it if there is none.
        to: Vec<Given<Text>>,
    }
);
section!(
    /// Containers whose ports are targets.
    ScrapeDocker {
        /// Where the Engine listens.
        endpoint: Option<Given<Text>>,
        /// Names.
        include_names: Vec<Given<Text>>,
        /// Names.
        exclude_names: Vec<Given<Text>>,
        /// Labels.
        include_labels: Vec<Given<Text>>,
        /// Labels.
        exclude_labels: Vec<Given<Text>>,
    }
);
section!(
    /// What a page may be.
    ScrapeLimits {
        /// Bytes of it.
        body: Option<Given<Size>>,
        /// Its samples after relabelling.
        samples: Option<Given<Count>>,
        /// Labels of a series.
        labels: Option<Given<Count>>,
        /// Bytes of a label's name.
        label_name: Option<Given<Size>>,
        /// Bytes of a label's value.
        label_value: Option<Given<Size>>,
    }
);
section!(
    /// Where it goes.
    Endpoint {
        /// Its name.
        name: Option<Given<Text>>,
        /// `watchfire`, `loki`, `remote_write`, `otlp`.
        r#type: Option<Given<Text>>,
        /// Its address.
        url: Option<Given<Text>>,
        /// Whose rows.
        tenant: Option<Given<Text>>,
        /// A bearer token.
        token: Option<Given<Secret>>,
        /// With a password.
        user: Option<Given<Text>>,
        /// With a user.
        password: Option<Given<Secret>>,
        /// Certificates that are believed.
        ca: Option<Given<Text>>,
        /// An answer that takes longer does not come.
        timeout: Option<Given<Span>>,
        /// Bytes of a request.
        batch_size: Option<Given<Size>>,
        /// How long rows wait for others.
        batch_wait: Option<Given<Span>>,
        /// Bytes a second of what has piled up.
        backlog_rate: Option<Given<Size>>,
    }
);
section!(
    /// The spool.
    Spool {
        /// Bytes that it may take.
        max_size: Option<Given<Size>>,
        /// How long rows wait.
        max_age: Option<Given<Span>>,
        /// `block`, `drop_oldest`, `drop_low_priority`.
        when_full: Option<Given<Text>>,
        /// In memory.
        memory: Option<Given<Switch>>,
    }
);
