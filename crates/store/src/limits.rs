//! Bounds of stores, each with its reason.

/// Bytes copied at once from a file to a directory.
pub const COPY_BYTES: u64 = 1 << 20;
/// Objects up to this size are written by one request; larger ones in parts of this size. Ten thousand parts, the most that
/// S3 takes, make 156 GiB.
pub const PART_BYTES: u64 = 16 << 20;
/// Bytes of a piece of an object in the cache: what a small read of a distant object costs, and the disk keeps.
pub const PIECE_BYTES: u64 = 512 << 10;
/// Pieces fetched by one request at most, once reads go on where the last ended.
pub const READ_AHEAD_PIECES: u64 = 16;
/// Pieces of all files that are kept in memory, too: the places where queries and merges read at the moment, 16 MiB. One piece for each
/// open file, as it once was, made 250 MiB of 500 blocks.
pub const RECENT_PIECES: usize = 32;
/// Room that the cache leaves on its disk: the log and what is to be uploaded need it more.
pub const CACHE_LEAVES_BYTES: u64 = 256 << 20;

/// Of calls over a network.
#[cfg(feature = "remote")]
pub mod network {
    use std::time::Duration;

    /// Parts in flight at once: they are in memory.
    pub const PARTS_AT_ONCE: usize = 2;
    /// Time to connect to a store.
    pub const CONNECT: Duration = Duration::from_secs(5);
    /// Time that one request may take, of the several that a call may need.
    pub const REQUEST: Duration = Duration::from_secs(60);
    /// Time after which no further attempt of a request is begun.
    pub const RETRIES_FOR: Duration = Duration::from_secs(20);
    /// Attempts after the first.
    pub const RETRIES: usize = 6;
    /// Time that a call of one request may take with all its attempts.
    pub const CALL: Duration = Duration::from_secs(90);
    /// Time that a listing may take: a thousand objects come with each request.
    pub const LISTING: Duration = Duration::from_secs(240);
    /// Objects that a listing may name: a hundred bytes each, and a block has three.
    pub const LISTED: usize = 4_000_000;
}
/// Times that a directory is made anew for an object because another process removed it as empty in between: each time, somebody
/// else got on.
pub const DIRECTORY_TRIES: usize = 1000;
