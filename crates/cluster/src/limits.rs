//! Bounds of this crate, each with its reason.

/// Token buckets kept; the longest unused go first. A forgotten bucket is a full one, so forgetting refuses nothing.
pub const BUCKETS: usize = 200_000;
/// Lines of the ledger kept one by one; beyond, the oldest deferral goes first.
pub const LEDGER_ENTRIES: usize = 4096;
/// Nodes of a cluster: each says hello to each, so their number must stay small.
pub const MEMBERS: usize = 32;
/// A hello names at most [`MEMBERS`] others, each in some hundred bytes.
pub const HELLO_BYTES: usize = 64 << 10;
