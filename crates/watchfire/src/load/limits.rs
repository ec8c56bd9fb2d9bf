//! Bounds of the load generator, each with its reason.

/// Bytes read of one answer. A page of 5,000 lines is about 2 MB; more than this is not an answer to what was asked.
pub const ANSWER_BYTES: u64 = 256 << 20;
/// Lines asked for at once: the default bound of Loki, which a tenant may not raise.
pub const PAGE_LINES: usize = 5_000;
/// Streams with so many lines each are read one by one.
pub const STREAM_LINES: u64 = 500;
/// Width of one log query, nanoseconds: below every server's bound on a query's length.
pub const LOG_WINDOW_NS: i64 = 3_600_000_000_000;
/// Raw samples asked for at once: about 4 MB of JSON.
pub const PAGE_SAMPLES: u64 = 100_000;
/// Shards of metric series asked for at once, so that a selector stays readable.
pub const SHARDS_AT_ONCE: u64 = 20;
/// Metric series that share a `shard` label, so that one query names a bounded number of them.
pub const SERIES_PER_SHARD: u64 = 1_000;
/// Spans of one trace at most: what servers answer with at once.
pub const TRACE_SPANS: u64 = 10_000;
/// Streams that one request of logs touches at most, as that of an agent on a host with many containers does.
pub const STREAMS_PER_REQUEST: u64 = 250;
/// Late lines and spans are late by up to this, nanoseconds.
pub const LATE_NS: u64 = 6 * 3_600_000_000_000;
/// Sequence numbers named in a report: enough to look at, short enough to read.
pub const EXAMPLES: usize = 10;
/// Sequence numbers travel as doubles in samples, which are exact up to here.
pub const SEQUENCE: u64 = 1 << 53;
/// A client that went to another server tries the one it began with again after this: as long as a health check of a load
/// balancer takes to trust a server again.
pub const HOME_AGAIN: std::time::Duration = std::time::Duration::from_secs(10);
