//! Bounds of this crate, each with its reason.

/// Token buckets kept; the longest unused go first. A forgotten bucket is a full one, so forgetting refuses nothing.
pub const BUCKETS: usize = 200_000;
/// Lines of the ledger kept one by one; beyond, the oldest deferral goes first.
pub const LEDGER_ENTRIES: usize = 4096;
