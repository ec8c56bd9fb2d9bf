//! Bounds that more than one crate needs, each with its reason.

/// A compiled regular expression may take this much memory; a larger one is a denial of service, not a query.
pub const REGEX_COMPILED_BYTES: usize = 4 << 20;
/// All those of one request together. The smallest is counted as 256 KiB: it takes about that once it has met many texts.
pub const REGEX_REQUEST_BYTES: usize = 64 << 20;
/// A request body as received. Collecting agents send 1 MB batches; OTLP receivers commonly allow 20 MiB.
pub const BODY_BYTES: usize = 32 << 20;
/// A request body after decompression: a bomb of a few kilobytes must not become gigabytes.
pub const BODY_DECOMPRESSED_BYTES: usize = 128 << 20;
/// Labels in one set.
pub const LABELS_PER_SERIES: usize = 256;
/// Bytes of one label name.
pub const LABEL_NAME_BYTES: usize = 1024;
/// Bytes of one label value.
pub const LABEL_VALUE_BYTES: usize = 64 << 10;
/// Bytes of one log line or one attribute value.
pub const LINE_BYTES: usize = 8 << 20;
/// Nesting of JSON, attributes and expressions.
pub const DEPTH: usize = 128;
/// Rows this much in the future are refused: a clock is wrong, and such a row would never age out in time.
pub const FUTURE_NS: i64 = 10 * 60 * 1_000_000_000;
/// Rows before this are refused, too: the first whole day that 64 bits of nanoseconds reach, in the year 1677. Before it lie times whose
/// day or slice begins before all times, or, in milliseconds, far beyond what any query can ask for.
pub const PAST_NS: i64 = i64::MIN / DAY_NS * DAY_NS;
const DAY_NS: i64 = 86_400_000_000_000;

/// What is said of a request that an operator's bound ends: what it would have taken, the setting with its value, and how to go on.
/// `setting` is a key of the section `queries`.
pub fn beyond(what: &str, setting: &str, most: impl std::fmt::Display, advice: &str) -> String {
    format!(
        "{what}: the limit is {setting} = {most}. {advice}; or raise {setting} in the server's settings, for one tenant alone under tenants.<tenant>.{setting}"
    )
}
