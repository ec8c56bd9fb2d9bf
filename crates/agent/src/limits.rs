//! Bounds of this crate, each with its reason.

/// Bytes read from a file at once, beside what is needed to see one whole line. Also about the size of a batch: large
/// enough that an fsync is shared by many lines, small enough to be given again without pain.
pub const READ_BYTES: usize = 512 << 10;
/// Lines of one batch: 512 KiB of empty lines must not become half a million rows at once.
pub const LINES_PER_BATCH: usize = 32 << 10;
/// Bytes of one file in one step, so that one busy file does not keep the others waiting.
pub const BYTES_PER_STEP: u64 = 8 << 20;
/// Bytes that refused batches may hold in memory while they wait; beyond it no further file is read.
pub const WAITING_BYTES: usize = 16 << 20;
/// Files followed at once. Each costs about a kilobyte and, while it is written to, a file descriptor.
pub const FILES: usize = 10_000;
/// Directory entries looked at in one discovery: a mistaken `/**` must not walk a whole disk every second.
pub const DIR_ENTRIES: usize = 200_000;
/// Directories below each other that `**` descends into.
pub const GLOB_DEPTH: usize = 16;
/// Bytes at the start of a file that identify it.
pub const HEAD_BYTES: usize = 1024;
/// Bytes before the position that must still be there: two files may begin alike, they rarely also meet here.
pub const TAIL_BYTES: usize = 256;
/// A followed file that was not written to for this long gives its file descriptor back.
pub const IDLE_CLOSE_NS: i64 = 15 * 60 * 1_000_000_000;
/// How often it is checked that a file that has been read to its end still exists.
pub const FORGET_EVERY_NS: i64 = 60 * 1_000_000_000;
/// Series of one scrape; Watchfire's own page has a few hundred.
pub const SCRAPE_SERIES: usize = 50_000;
/// Bytes of one file below `/proc`.
pub const PROC_BYTES: u64 = 4 << 20;
/// Stages inside each other through `match`.
pub const STAGE_DEPTH: usize = 8;
/// Stages of one pipeline, those inside `match` included.
pub const STAGES: usize = 256;
/// Bytes of lines that the stages hold back for one source. They travel in every position until they go on; more than
/// this is let go, as if the time had run out.
pub const HELD_BYTES: usize = 1 << 20;
/// Streams of one source that a stage keeps apart while it joins their lines.
pub const HELD_STREAMS: usize = 1_000;
/// Values of one label that a `limit` stage tells apart.
pub const LIMITED_VALUES: usize = 10_000;
/// Streams whose last time a `timestamp` stage remembers, per source.
pub const KNOWN_TIMES: usize = 10_000;
/// Of those, as many are stored with a position. A container has two streams; where there are many, a restart forgets
/// them, and equal lines of one second around it may become one.
pub const STORED_TIMES: usize = 64;
/// Bytes of one Alloy file.
pub const ALLOY_BYTES: usize = 4 << 20;
/// Blocks and brackets inside each other in an Alloy file.
pub const ALLOY_DEPTH: usize = 64;
