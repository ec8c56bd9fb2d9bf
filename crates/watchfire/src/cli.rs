//! The command line: what can be asked for, with help that teaches.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const AFTER_HELP: &str = "\
Examples:
  watchfire                                    serve on 127.0.0.1:3100, keep data in ./data
  watchfire serve --profile prod --data-dir /var/lib/watchfire
  watchfire logs '{service_name=\"nginx\"} |= \"error\"' --since 1h
  watchfire metrics 'rate(node_cpu_seconds_total[5m])' --range 6h
  watchfire check /etc/watchfire/watchfire.yaml

Push to it:
  Loki agents          http://127.0.0.1:3100/loki/api/v1/push
  Prometheus           http://127.0.0.1:3100/api/v1/write
  OpenTelemetry (HTTP) http://127.0.0.1:3100   (/v1/logs, /v1/metrics and /v1/traces)

Exit codes:
  0 done   1 failed   2 wrong command line   3 wrong settings   4 no server   5 server answered with an error
  6 checked and found wrong (damage, missing or doubled rows, a drill that failed)";

/// A durable store for logs, metrics and traces in one binary. Without a command it serves.
#[derive(Parser, Debug)]
#[command(name = "watchfire", version, about, after_help = AFTER_HELP, args_conflicts_with_subcommands = true, max_term_width = 110)]
pub struct Cli {
    /// What to do; `serve` when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Arguments of `serve`, which may be left out.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Serve: take rows in, keep them, answer queries
    Serve(ServeArgs),
    /// Collect on this host, and send until it has arrived
    Agent(AgentArgs),
    /// Say what was deferred and lost, at a server and at its agents, also those that fell silent
    Ledger(LedgerArgs),
    /// Ask for log lines with a LogQL query
    Logs(LogsArgs),
    /// Ask for metrics with a PromQL query; print a table or a plot
    Metrics(MetricsArgs),
    /// Check a settings file and print what it comes to
    Check(CheckArgs),
    /// Look into files of a data directory without changing them
    #[command(subcommand)]
    Inspect(InspectCommand),
    /// Look at a cluster, and tell it what it cannot know
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// See where blocks are, and move them to an object store
    #[command(subcommand)]
    Storage(StorageCommand),
    /// Put load on a server and verify that it kept every acknowledged row
    Load(crate::load::Args),
    /// Rehearse failures on nodes of this binary, and prove that nothing was lost
    Drill(crate::drill::Args),
}

/// A set of limits and retention for a kind of installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Loki's default limits (4 MB/s), 30 days
    Dev,
    /// 10 MB/s, 30 days
    Staging,
    /// 10 MB/s, 90 days
    Prod,
}

impl From<Profile> for crate::settings::ProfileName {
    fn from(p: Profile) -> Self {
        match p {
            Profile::Dev => Self::Dev,
            Profile::Staging => Self::Staging,
            Profile::Prod => Self::Prod,
        }
    }
}

/// `watchfire serve`
#[derive(Args, Debug, Default, Clone)]
pub struct ServeArgs {
    /// Settings file (YAML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where rows are kept [default: ./data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:3100]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Limits and retention for a kind of installation; without one there is no rate limit and rows are kept for good
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<Profile>,
    /// Allow listening on an address that others reach without asking them for a token
    #[arg(long)]
    pub insecure: bool,
    /// Be a node of the cluster of this name
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Nodes of the cluster to meet first (host:port, or a name that has many addresses); may be given more than once
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    pub join: Vec<String>,
    /// Address to listen on for other nodes [default: 127.0.0.1:3101]
    #[arg(long, value_name = "ADDR")]
    pub cluster_listen: Option<String>,
    /// Be a node of a drill, which is told its faults at this address of this machine
    #[arg(long, value_name = "ADDR", hide = true)]
    pub drill: Option<std::net::SocketAddr>,
    /// In a drill: the clock is off by so many seconds
    #[arg(long, value_name = "SECONDS", hide = true, requires = "drill", allow_negative_numbers = true, default_value_t = 0)]
    pub drill_clock_offset: i64,
}

const AGENT_HELP: &str = "\
A file that is enough:
  data_dir: /var/lib/watchfire-agent
  agent:
    sources:
      files:
        - { job: nginx, include: [\"/var/log/nginx/*.log\"], labels: { env: prod } }
      scrape:
        - { job: app, targets: [\"127.0.0.1:9100\"] }
    endpoints:
      - { url: \"http://watchfire:3100\", token: \"${WATCHFIRE_TOKEN}\" }

What it has collected is on the disk of data_dir until every endpoint has acknowledged it. While an endpoint is away it
goes on collecting, up to agent.spool.max_size; then agent.spool.when_full says what happens: block (sources wait),
drop_oldest, drop_low_priority (debug before error). What is dropped is stated in the stream
{job=\"watchfire-agent\", kind=\"loss\"} and by `watchfire ledger`.

It shows itself on http://127.0.0.1:3101 (agent.listen): /, /api/v1/status, /metrics, /ready.";

/// `watchfire agent`
#[derive(Args, Debug)]
#[command(after_help = AGENT_HELP, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct AgentArgs {
    /// What to do instead of collecting
    #[command(subcommand)]
    pub command: Option<AgentCommand>,
    /// Settings file (YAML)
    #[arg(long, value_name = "FILE", required = true)]
    pub config: Option<PathBuf>,
    /// Where what is on its way is kept; must outlive the process [default: ./watchfire-agent]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `watchfire agent ...`
#[derive(Subcommand, Debug)]
pub enum AgentCommand {
    /// Make settings of an Alloy file, and say what they cannot carry over
    Convert(ConvertArgs),
}

/// `watchfire agent convert`
#[derive(Args, Debug)]
pub struct ConvertArgs {
    /// Alloy file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where the settings are written [default: printed]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `watchfire ledger`
#[derive(Args, Debug)]
pub struct LedgerArgs {
    /// text: for people; json: as the server gives it
    #[arg(long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
    #[command(flatten)]
    pub server: ServerArgs,
}

const LOGS_HELP: &str = "\
Examples:
  watchfire logs '{service_name=\"nginx\"}'
  watchfire logs '{service_name=\"nginx\"} |= \" 500 \"' --since 30m --limit 20
  watchfire logs '{job=\"api\"} | json | level=\"error\"' --output jsonl | jq .line
  watchfire logs --follow '{job=\"api\"}'
  watchfire logs 'sum by (app) (rate({env=\"prod\"}[1m]))' --since 6h";

/// `watchfire logs`
#[derive(Args, Debug)]
#[command(after_help = LOGS_HELP)]
pub struct LogsArgs {
    /// LogQL query
    pub query: String,
    /// How far back to look
    #[arg(long, default_value = "1h", value_name = "DURATION")]
    pub since: String,
    /// Most lines to print, the newest ones
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// Go on printing lines as they arrive
    #[arg(long, short)]
    pub follow: bool,
    /// default: time, labels and line; raw: the line alone; jsonl: one JSON object a line
    #[arg(long, value_enum, default_value_t = Output::Default)]
    pub output: Output,
    #[command(flatten)]
    pub server: ServerArgs,
}

const METRICS_HELP: &str = "\
Examples:
  watchfire metrics up
  watchfire metrics 'sum by (job) (rate(http_requests_total[5m]))' --range 6h
  watchfire metrics 'node_load1' --range 1h --step 1m --output json | jq .data.result";

/// `watchfire metrics`
#[derive(Args, Debug)]
#[command(after_help = METRICS_HELP)]
pub struct MetricsArgs {
    /// PromQL query
    pub query: String,
    /// Evaluate it over this time up to now, and plot it
    #[arg(long, value_name = "DURATION")]
    pub range: Option<String>,
    /// Distance of the points of a range; one for each column of the plot when left out
    #[arg(long, value_name = "DURATION", requires = "range")]
    pub step: Option<String>,
    /// text: a table or a plot; json: as the server gives it
    #[arg(long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Which server a command talks to.
#[derive(Args, Debug, Clone)]
pub struct ServerArgs {
    /// Address of the server
    #[arg(long, default_value = "http://127.0.0.1:3100", value_name = "URL")]
    pub addr: String,
    /// Whose rows (the X-Scope-OrgID header)
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// File that holds the bearer token; without it WATCHFIRE_TOKEN of the environment is used, if set
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// How lines are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Time, labels and line
    Default,
    /// The line alone
    Raw,
    /// One JSON object a line: time, labels, line
    Jsonl,
}

/// `watchfire check`
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Settings file (YAML); defaults without one
    pub file: Option<PathBuf>,
    /// Also try everything that is needed of the storage, and name what is missing
    #[arg(long)]
    pub storage: bool,
    /// Compose with this profile
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<Profile>,
}

/// `watchfire inspect`
#[derive(Subcommand, Debug)]
pub enum InspectCommand {
    /// Frames of a log segment, or of all segments of a directory
    Wal(PathArgs),
    /// A run: tables, row groups, time spans
    Run(PathArgs),
    /// A block: meta, row groups, time spans
    Block(PathArgs),
    /// What the catalog of a data directory holds
    Catalog(PathArgs),
}

/// A path.
#[derive(Args, Debug)]
pub struct PathArgs {
    /// File or directory
    pub path: PathBuf,
}

/// `watchfire storage`
#[derive(Subcommand, Debug)]
pub enum StorageCommand {
    /// Where the blocks of a server are, and how many still have to be moved there
    Status(StorageArgs),
    /// Move the blocks of a server that stands alone from its disk to an object store, while it serves
    ///
    /// First set `storage.url` in the settings file that the server was started with, and try it with `watchfire check --storage FILE`. The server
    /// reads the file again, tries every call itself, writes new blocks there from then on, and copies the old ones: each is read back
    /// and checked before it goes from the disk. It may be stopped, killed or restarted meanwhile, and goes on. There is no way back.
    Move(StorageArgs),
}

/// `watchfire storage status` and `move`
#[derive(Args, Debug)]
pub struct StorageArgs {
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `watchfire cluster`
#[derive(Subcommand, Debug)]
pub enum ClusterCommand {
    /// Who is there, and whether anything is missing, as one node sees it
    Status(ClusterStatusArgs),
    /// Tell the cluster that a node will never come back
    ///
    /// Only for a silent node that may hold rows which nobody else has: the others are forgotten by themselves. Rows that it alone
    /// held are lost then, unless it comes back after all.
    Forget(ClusterForgetArgs),
    /// Make a node give everything to the object store, say goodbye, and end
    Leave(ClusterLeaveArgs),
}

/// `watchfire cluster status`
#[derive(Args, Debug)]
pub struct ClusterStatusArgs {
    /// text: for people; json: as the node gives it
    #[arg(long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `watchfire cluster forget`
#[derive(Args, Debug)]
pub struct ClusterForgetArgs {
    /// The node's name, as `watchfire cluster status` shows it
    pub node: String,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `watchfire cluster leave`
#[derive(Args, Debug)]
pub struct ClusterLeaveArgs {
    #[command(flatten)]
    pub server: ServerArgs,
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people
    Text,
    /// For programs
    Json,
}
