//! Bounds of sorted rows, each with its reason.

/// Rows decoded at once by a reader, and the most rows in a batch of a scan: some hundred kilobytes, so that a merge
/// of many sources stays within tens of megabytes and a batch fits a core's cache.
pub const BATCH_ROWS: usize = 8192;
/// Rows after which a batch of stretches ends: to make one costs as much as to decode a thousand rows, and their values fit a core's cache.
pub const STRETCH_ROWS: usize = 16_384;
/// Bytes of rows after which a batch of a scan ends: about a page of text, so that nobody holds more of them than the one that is
/// being read, and its memory can serve the next.
pub const BATCH_BYTES: usize = 1 << 20;
/// Rows of the arrays of nothing that columns without any value share: bodies are much smaller, and what is joined of small
/// ones fits.
pub const BLANK_ROWS: usize = 1 << 16;
/// Rows of a row group. Larger groups save nothing (pages are the unit of reading) and cost memory while writing.
pub const ROW_GROUP_ROWS: usize = 1 << 20;
/// Bytes of a row group before encoding; its encoded pages (5 to 20 times less) wait in memory until it is full.
pub const ROW_GROUP_BYTES: usize = 96 << 20;
/// A row group is closed at the end of a slice only if it has this many rows or [`ROW_GROUP_CUT_BYTES`]: a group for
/// each of a hundred small tenants would be all footer.
pub const ROW_GROUP_CUT_ROWS: usize = 1 << 16;
/// See [`ROW_GROUP_CUT_ROWS`].
pub const ROW_GROUP_CUT_BYTES: usize = 8 << 20;
/// Rows of a page of numbers: what a read of one series or trace must decode at least.
pub const PAGE_ROWS: usize = 16_384;
/// Rows of a page of differences of doubles, which are most of what samples take: in twice as many zstd finds 3 % more, and whoever reads a few
/// series decompresses twice as much.
pub const DIFFERENCE_PAGE_ROWS: usize = 1 << 15;
/// Rows of a page of what is beside differences and their scales: it says the same again and again, and is read only where stretches have
/// no step.
pub const SAMPLE_PAGE_ROWS: usize = 1 << 16;
/// Bytes of a page of text, before compression: zstd finds little more in a larger window at level 1.
pub const TEXT_PAGE_BYTES: usize = 1 << 20;
/// Rows of a page of text: lines of a few bytes shall not make pages of a million rows.
pub const TEXT_PAGE_ROWS: usize = 1 << 17;
/// Distinct values of a `Word` column may take this much before the column falls back to plain text.
pub const DICTIONARY_BYTES: usize = 1 << 20;
/// Label names that get a column of their own in a series file; the rest share one.
pub const LABEL_COLUMNS: usize = 64;
/// Bytes covered by one checksum: the unit in which disks lose data.
pub const CHECK_BLOCK: usize = 4096;
/// Bytes buffered before a write to disk.
pub const WRITE_BUFFER: usize = 256 << 10;
/// The checksums and footer of a data file are read in one piece; a larger tail is refused as damage.
pub const TAIL_BYTES: u64 = 512 << 20;
/// A series file is read in one piece; a larger one is refused as damage.
pub const SERIES_FILE_BYTES: u64 = 2 << 30;
/// Stretches of one slice, as decoded; more is refused as damage.
pub const STRETCHES: usize = 1 << 26;
/// Stretches of a segment that a merge holds at once: they are decoded as it goes on. Tests have few series.
pub const STRETCHES_AT_ONCE: usize = if cfg!(test) { 3 } else { 256 };
/// Encoded pages that a reader keeps after checking them, so that a small read touches the disk once.
pub const PAGE_CACHE_BYTES: usize = 256 << 10;
/// Encoded pages from this size on are read into the memory of the one before: new memory costs a fault for every 4 KiB.
pub const LARGE_PAGE_BYTES: usize = 32 << 10;
/// Grams of one page of text that a skip filter notes: a page of random text would have a quarter of a million, and nobody
/// looks for those. Twice what a page of ids, hashes and nothing else was seen to have.
pub const GRAMS_OF_A_PAGE: usize = 1 << 16;
/// Series whose labels are put into columns at once when a series file is written: the columns are encoded as they come.
pub const SERIES_AT_ONCE: usize = 1 << 16;
/// Series read at once: less than a page has of them, since Parquet's reader moves a batch's codes for each page.
pub const SERIES_READ_AT_ONCE: usize = 1 << 14;
