//! Bounds of this crate, each with its reason.

/// Bytes of a query text. Dashboards' longest are a few kilobytes; a parse tree is about 50 times its text.
pub const QUERY_BYTES: usize = 256 << 10;
/// Selectors of one request (`match[]`, queries of remote read): each is a look through all series. Whoever federates names some dozens.
pub const SELECTORS: usize = 1_000;
/// Depth of an expression tree: evaluation recurses once per level, and a thread's stack is 2 MiB.
pub const EXPRESSION_DEPTH: usize = 250;
/// Samples a query, or a remote read, may hold at one time, as in Prometheus (`--query.max-samples`): 16 bytes each. Fewer with little memory.
pub const QUERY_SAMPLES: usize = 50_000_000;
/// What a sample takes of the process' memory for queries, bytes: 16 while it is calculated with, and as much in the answer.
pub const SAMPLE_BYTES: usize = 32;
/// Steps of a range query, as in Prometheus: enough for a week at a minute, and no panel has more pixels.
pub const RANGE_STEPS: i64 = 11_000;
/// Steps of one subquery. Prometheus leaves this to the sample limit alone; a grid without samples costs memory too.
pub const SUBQUERY_STEPS: i64 = 11_000_000;
/// How far back an instant selector looks for the latest sample, milliseconds, unless asked otherwise.
pub const LOOKBACK_MS: i64 = 300_000;
/// Warnings and infos of one answer, each kind. More would repeat themselves for thousands of series.
pub const ANNOTATIONS: usize = 10;
/// Buckets of one native histogram on each side, and bounds of one that names its own. Senders cut exponential ones at 160 to 1,000
/// buckets; OpenTelemetry's SDKs have 15 bounds unless told otherwise (its specification's default aggregation), people write some dozens. A
/// histogram with bounds in a form that has a series for each bucket is as many series at once, which nothing smaller bounds.
pub const HISTOGRAM_BUCKETS: usize = 65_536;
/// Exemplars of one answer. A panel shows some hundreds.
pub const EXEMPLARS: usize = 100_000;
/// Names and values of one series. Remote write 2.0 names each of them by a number of a byte or two, and a histogram of OTLP repeats them
/// for each of its buckets, so their size multiplies. Labels in use have some hundred bytes together.
pub const SERIES_BYTES: usize = 128 << 10;
/// What `label_replace` may write for one series before it is looked at: groups of a pattern, each as long as the whole text at most.
pub const LABEL_MADE_BYTES: usize = 16 << 20;
/// A metric's help, in what is said of it; longer ones are cut. They are stored once a day, and in memory until flushed.
pub const METADATA_HELP_BYTES: usize = 1 << 10;
/// A metric's name or unit, in what is said of it.
pub const METADATA_NAME_BYTES: usize = 1 << 10;
/// Characters of a line of a query that is written out evenly, as in Prometheus.
pub const PRETTY_LINE: usize = 100;
