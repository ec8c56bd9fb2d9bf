//! Bounds of the log language, each with its reason.

/// Bytes of a query's text; the original refuses longer ones too.
pub const QUERY_BYTES: usize = 128 << 10;
/// Operators in one query. Trees are walked by recursion, so this bounds the stack.
pub const OPERATORS: usize = 500;
/// Points of one series in an answer: more than a screen has pixels. The same bound as Prometheus and Loki have.
pub const POINTS: i64 = 11_000;
/// Series in the answer of a metric query by default (the original's `max_query_series`).
pub const SERIES: usize = 500;
/// Lines in one answer by default (the original's `max_entries_limit_per_query`).
pub const ENTRIES: usize = 5_000;
/// Series that may exist inside of a query before they are aggregated. Each costs its labels and its points.
pub const INNER_SERIES: usize = 200_000;
/// Bytes of lines, labels, samples and points that one query holds at one time, unless less memory is to be had: the answer is
/// written beside them.
pub const HELD_BYTES: usize = 256 << 20;
/// Fields that parsers may add to one line: a line of a megabyte could otherwise be a hundred thousand labels.
pub const FIELDS_PER_LINE: usize = 1_024;
/// Bytes of all that stages write for one line, what they write over again included: a template may double a label as often as the query
/// repeats it. Four times the longest line.
pub const ROW_TEXT_BYTES: usize = 4 * base::limits::LINE_BYTES;
/// Bytes of the label sets of an answer, or of the groups of a query.
pub const LABEL_SETS_BYTES: usize = 64 << 20;
/// What `label_replace` may write for one series before it is looked at.
pub const LABEL_MADE_BYTES: usize = 16 << 20;
/// Nesting of JSON that is followed; deeper values are left alone.
pub const JSON_DEPTH: usize = 64;
/// The first piece of a range that is looked at for the first or last lines is at least this long, nanoseconds: a busy
/// tenant's second has more lines than a page.
pub const PIECE_NS: i64 = 1_000_000_000;
/// Each piece is longer than the one before by this factor.
pub const PIECE_GROWTH: i64 = 8;
/// A range comes in about so many pieces at most; each costs the opening of a scan.
pub const PIECES: u32 = 5;
/// Entries of a range whose lines are measured for volumes: about a tenth of a second. Of more, lines in windows are.
pub const MEASURED_ENTRIES: u64 = 500_000;
/// Windows, spread over the range.
pub const MEASURED_WINDOWS: i64 = 16;
/// Different fields that are kept of the lines that are looked at.
pub const FIELDS: usize = 4_096;
/// Different values that are counted of one field.
pub const FIELD_VALUES: usize = 10_000;
/// Lines that are looked at for patterns: about a second.
pub const PATTERN_LINES: usize = 500_000;
/// Kinds of lines in all: more than people look at.
pub const PATTERNS: usize = 1_000;
/// Kinds of lines with the same separators: each new line is compared with all of them.
pub const PATTERNS_OF_A_SHAPE: usize = 64;
/// Words of a line that are looked at.
pub const PATTERN_WORDS: usize = 100;
/// How far back a line's time may lie when it arrives, to be shown to who follows its stream, nanoseconds.
pub const TAIL_STRETCH_NS: i64 = 15_000_000_000;
/// How far ahead of our clock the sender's may be, nanoseconds.
pub const TAIL_AHEAD_NS: i64 = 3_600_000_000_000;
/// Lines in one look.
pub const TAIL_LINES: usize = 10_000;
