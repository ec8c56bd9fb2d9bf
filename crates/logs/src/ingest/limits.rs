//! Bounds of the logs codecs, each with its reason.

/// Pairs of structured metadata of one entry (Loki's default is 128; OTLP resources of Kubernetes bring 40).
pub const METADATA_PAIRS: usize = 512;
/// Bytes of structured metadata of one entry, encoded (Loki's default is 64 KB).
pub const METADATA_BYTES: usize = 256 << 10;
/// Bytes of structured metadata of one body, encoded. Resource attributes are repeated for each of its records, so the
/// size of the body does not bound it.
pub const METADATA_BYTES_PER_BODY: usize = 64 << 20;
/// Nested objects in which a JSON line's level is looked for, as in Loki by default.
pub const LEVEL_JSON_DEPTH: u32 = 2;
/// A refusal beyond this many of a body carries its reason without a text: nobody reads the thousandth, and a million
/// of them would cost more memory than the body.
pub const REFUSALS_WITH_TEXT: usize = 16;
/// Characters of a stream's labels that a message quotes.
pub const QUOTED_LABELS: usize = 1024;
