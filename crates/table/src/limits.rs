//! Bounds of the engine, each with its reason.

/// Tables of one engine: a table's id is one byte, and each costs a little in every generation.
pub const TABLES: usize = 32;
/// Bytes of a frame's header (tenant, options, origin, refused ordinals): four million refused entries fit.
pub const FRAME_HEADER_BYTES: usize = 16 << 20;
/// Bytes that one group commit gathers at most, so that the first writer of a group does not wait for many others.
pub const GROUP_BYTES: usize = 8 << 20;
/// Writers that one group commit gathers at most.
pub const GROUP_FRAMES: usize = 512;
/// Small batches in the head before they are joined: each has a fixed cost of about a kilobyte.
pub const HEAD_SMALL_BATCHES: usize = 256;
/// A batch with fewer rows is small.
pub const SMALL_BATCH_ROWS: usize = 256;
/// Losses kept one by one; more are only counted.
pub const LOSSES: usize = 4096;
/// Notes of what one answer may lack, kept one by one: they become headers and warnings that people read.
pub const NOTES: usize = 64;
/// Raw label hashes for each series: clients may write one label set in several ways, but not without end.
pub const RAW_FORMS_PER_SERIES: usize = 8;
/// Blocks smaller than this join every merge of their partition, so that a quiet tenant has one file a day, not one a
/// flush.
pub const SMALL_BLOCK_BYTES: u64 = 4 << 20;
/// Blocks of one size class are merged when there are this many: a row is rewritten log8(rows of the day / rows of a
/// small block) times, and a day keeps at most seven blocks of each class.
pub const BLOCKS_OF_A_CLASS: usize = 8;
/// Retention believes at once a wall clock that is ahead of the time that has passed by this much, nanoseconds: NTP
/// corrects by less, and rows go whole days at a time.
pub const CLOCK_STEP_NS: i64 = 5 * 60 * 1_000_000_000;
/// How long a wall clock must be ahead by more before retention believes it, nanoseconds: a day, in which somebody
/// notices a wrong clock; and rows that were due during a long stop are kept only a day more.
pub const CLOCK_WAIT_NS: i64 = 86_400 * 1_000_000_000;
