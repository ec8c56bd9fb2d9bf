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
/// Commits that a node remembers for others: days of them at the usual pace, and a hundred bytes each.
pub const COMMITS: usize = 8192;
/// Days before today whose partitions are listed often: rows come late, but rarely later.
pub const RECENT_DAYS: i64 = 2;
/// Metas read from a store at once: a start with ten thousand blocks shall take seconds, and each read waits for the store.
pub const METAS_AT_ONCE: usize = 16;
/// Age at which a file without a meta is nobody's work in progress: no upload takes this long.
pub const ORPHAN_NS: i64 = 86_400_000_000_000;
/// The same for files of other nodes, which may be away for long and whose clocks may differ.
pub const FOREIGN_ORPHAN_NS: i64 = 7 * ORPHAN_NS;
/// Only blocks younger than this are fetched before anybody asks for them.
pub const PREFETCH_AGE_NS: i64 = 3_600_000_000_000;
/// Blocks waiting to be fetched; the oldest are dropped.
pub const PREFETCH_QUEUE: usize = 256;
/// A larger block is not fetched whole before anybody asks for it.
pub const PREFETCH_BYTES: u64 = 16 << 20;
/// Runs that one merge takes: each needs some megabytes of memory while it is read.
pub const MERGED_RUNS: usize = 48;
/// Memory that a series of a file takes in its indexes while it is merged, bytes: an estimate for series of about six labels, of which one
/// is its own (a code for each label, and that value).
pub const SERIES_INDEX_BYTES: u64 = 64;
/// Bytes of blocks that are merged into one at most: a merge needs that much room on the disk before it is uploaded, and
/// begins anew if it fails.
pub const WHOLE_BYTES: u64 = 16 << 30;
/// A day is closed when it ended this long ago...
pub const CLOSED_NS: i64 = 2 * 3_600_000_000_000;
/// ...and nothing new came for this long.
pub const QUIET_NS: i64 = 3_600_000_000_000;
/// Of a closed day, blocks that together are smaller than this part of the largest are left alone: a trickle of late rows
/// shall not rewrite a day again and again.
pub const WORTH_WHOLE: u64 = 16;
/// How often the owner of partitions looks for blocks to compact.
pub const COMPACTION_EVERY_NS: i64 = 10_000_000_000;
/// How often the list of all blocks is read. Other nodes tell of new blocks themselves; this finds what they could not tell.
pub const LIST_ALL_NS: i64 = 600_000_000_000;
/// How often the list of recent blocks is read.
pub const LIST_RECENT_NS: i64 = 30_000_000_000;
/// The longest pause after a failure of the store.
pub const RETRY_AT_MOST: std::time::Duration = std::time::Duration::from_secs(60);
/// Tenths of a second that stopping waits for threads that may be waiting for a store.
pub const STOP_WAITS: u32 = 50;
/// Partitions that a scan looks up one by one when a block has vanished; beyond, the whole list is read.
pub const LOOKED_UP: usize = 16;
/// How often it is looked for blocks with rows that somebody asked to delete: a look reads labels of blocks, and they go a day after
/// the request. Nanoseconds.
pub const ERASE_EVERY_NS: i64 = 60 * 1_000_000_000;
/// Blocks of which it is remembered that they hold no such row, with the requests.
pub const UNTOUCHED_BLOCKS: usize = 20_000;
/// Memory for what queries hold is taken in steps of this size, bytes.
pub const QUERY_MEMORY_STEP: usize = 128 << 10;
