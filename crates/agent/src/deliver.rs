//! Where collected rows go, and what a source says about those that do not get there.

use base::{Error, Kind, Labels, Result, Tenant};
use wire::Encoding;
use wire::remote_write::RequestWriter;

/// Takes what the sources collect. The binary implements it on the engine.
pub trait Deliver: Send + Sync {
    /// Stores a batch; returns when it is durable. An error means that the source must assume nothing: it gives the very
    /// same batch again if [`retryable`], so that rows that were stored after all are the same rows.
    ///
    /// Lines and position of a [`Lines`] become durable together or not at all. A batch without lines stores the position
    /// alone; an empty position means that the source is done with and can be forgotten.
    fn deliver(&self, batch: Batch<'_>) -> Result<()>;
    /// Positions of the sources whose name starts with `prefix`, as recovered when the store was opened.
    fn positions(&self, prefix: &str) -> Vec<(String, Vec<u8>)>;
    /// Notes what was dropped for good.
    fn lost(&self, loss: &Loss);
}

/// What is delivered at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Batch<'a> {
    /// Log lines of any streams.
    Lines(&'a Lines),
    /// Samples of any series.
    Samples(&'a [Sample]),
    /// What is known of metrics.
    Metadata(&'a [Metadata]),
    /// A body as a receiver got it: passed on as it is, and acknowledged to its sender when it is durable.
    Body(Body<'a>),
}

/// A body in one of the forms that travel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Body<'a> {
    /// Whose it is; `None` for the tenant that the place of delivery is set to.
    pub tenant: Option<&'a Tenant>,
    /// What it is.
    pub format: Format,
    /// How it is compressed.
    pub encoding: Encoding,
    /// The bytes as they were received. Whoever gives them has checked that they can be decoded.
    pub bytes: &'a [u8],
    /// Where it came from, for the ledger: the receiver's name.
    pub source: &'a str,
    /// Lines, samples or spans in it.
    pub rows: u64,
}

/// The form of a body, and with it the path and the content type that it is sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// `logproto.PushRequest`.
    LokiPush,
    /// The JSON form of it.
    LokiPushJson,
    /// `prometheus.WriteRequest`.
    RemoteWrite,
    /// `io.prometheus.write.v2.Request`.
    RemoteWrite2,
    /// OTLP logs as protobuf.
    OtlpLogs,
    /// OTLP logs as JSON.
    OtlpLogsJson,
    /// OTLP metrics as protobuf.
    OtlpMetrics,
    /// OTLP metrics as JSON.
    OtlpMetricsJson,
    /// OTLP spans as protobuf.
    OtlpTraces,
    /// OTLP spans as JSON.
    OtlpTracesJson,
}

impl Format {
    /// All of them; the place in this list is the number that stored frames carry, so it only grows.
    pub const ALL: [Format; 10] = [
        Format::LokiPush,
        Format::LokiPushJson,
        Format::RemoteWrite,
        Format::RemoteWrite2,
        Format::OtlpLogs,
        Format::OtlpLogsJson,
        Format::OtlpMetrics,
        Format::OtlpMetricsJson,
        Format::OtlpTraces,
        Format::OtlpTracesJson,
    ];
    /// The number that stored frames carry.
    pub fn code(self) -> u8 {
        Self::ALL.iter().position(|f| *f == self).map_or(0, |i| i as u8)
    }
    /// The format with that number.
    pub fn from_code(code: u8) -> Option<Format> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// What is known of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Its name, without the suffixes of a histogram or summary.
    pub name: String,
    /// As remote write numbers it: 0 unknown, 1 counter, 2 gauge, 3 histogram, 5 summary.
    pub kind: u8,
    /// For people.
    pub help: String,
    /// The unit, or nothing.
    pub unit: String,
}

/// Log lines, and the position of their source after them.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    /// The lines, by stream.
    pub streams: Vec<Stream>,
    /// Name of the source whose position this is.
    pub source: String,
    /// The position after these lines, opaque to the store.
    pub position: Vec<u8>,
}

impl Lines {
    /// How many lines there are.
    pub fn count(&self) -> u64 {
        self.streams.iter().map(|s| s.lines.len() as u64).sum()
    }
}

/// Log lines of one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Whose it is; `None` for the tenant that the place of delivery is set to.
    pub tenant: Option<Tenant>,
    /// The stream.
    pub labels: Labels,
    /// The lines, in order; equal lines have different times, so that they stay different rows.
    pub lines: Vec<Line>,
}

/// A log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was written, or else read, nanoseconds since 1970.
    pub time_ns: i64,
    /// Its text without the line end.
    pub text: String,
    /// Structured metadata: names and values, each name once.
    pub metadata: Vec<(String, String)>,
}

/// A sample of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The series, `__name__` included.
    pub labels: Labels,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// What it is.
    pub value: Value,
}

/// What a sample is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number; [`crate::stale::MARKER`] says that the series ended.
    Float(f64),
    /// A native histogram: a `Histogram` message of remote write, with its time.
    Histogram(Vec<u8>),
    /// An exemplar of the series: its labels and value.
    Exemplar(Labels, f64),
}

impl Sample {
    /// A number.
    pub fn float(labels: Labels, time_ms: i64, value: f64) -> Sample {
        Sample { labels, time_ms, value: Value::Float(value) }
    }
    /// Adds it to a request.
    pub fn write(&self, request: &mut RequestWriter) {
        match &self.value {
            Value::Float(v) => request.series(self.labels.iter(), &[(self.time_ms, *v)], &[]),
            Value::Histogram(h) => request.series(self.labels.iter(), &[], &[h]),
            Value::Exemplar(labels, v) => request.exemplar(self.labels.iter(), labels.iter(), self.time_ms, *v),
        }
    }
    /// The number.
    #[cfg(test)]
    pub(crate) fn number(&self) -> f64 {
        match &self.value {
            Value::Float(v) => *v,
            Value::Histogram(_) | Value::Exemplar(..) => panic!("this is no number: {self:?}"),
        }
    }
}

/// Something that was dropped for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Where it came from, for people: a path, or the name and short id of a container.
    pub source: String,
    /// Short name, also a metric label: `line_too_long`, `truncated`, `vanished`, `refused`; of containers also
    /// `rotated_away`, `damaged`, `removed`.
    pub reason: &'static str,
    /// Lines, as far as they are known.
    pub lines: u64,
    /// Bytes, as far as they are known.
    pub bytes: u64,
    /// When it was noticed, nanoseconds since 1970.
    pub time_ns: i64,
    /// Time of the last line before what is lost, nanoseconds since 1970; none if there is none or it is not known.
    pub first_ns: Option<i64>,
    /// Time of the first line after it.
    pub last_ns: Option<i64>,
}

/// Whether the same batch can be accepted later. Everything but what is wrong in itself: credentials are mended, bugs
/// too, and lines that are thrown away meanwhile would not come back.
pub fn retryable(e: &Error) -> bool {
    !matches!(e.kind(), Kind::Invalid | Kind::Unprocessable | Kind::TooLarge)
}
