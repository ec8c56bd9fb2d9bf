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
/// Bytes of the page of a target, unless the settings say otherwise: a hundred thousand series.
pub const SCRAPE_BODY_BYTES: u64 = 32 << 20;
/// Samples of the page of a target, unless the settings say otherwise: more is a mistake in its labels.
pub const SCRAPE_SAMPLES: usize = 200_000;
/// Targets of one job; each costs a kilobyte and what its series take.
pub const SCRAPE_TARGETS: usize = 10_000;
/// Samples that wait for room, of all collectors together: some 20 MiB, and what a host has to say in half an hour.
pub const SAMPLES_WAITING: u64 = 50_000;
/// How often it is stated that samples were dropped, nanoseconds.
pub const SAMPLES_STATED_EVERY_NS: i64 = 60 * 1_000_000_000;
/// Threads that fetch pages: as many targets may be slow at once before others wait.
pub const SCRAPE_THREADS: usize = 64;
/// Threads that wait for what is due next; a page takes milliseconds, so few have much to do.
pub const SCRAPE_WAITING: usize = 3;
/// Of what rules leave out of a job, so much is kept to be shown.
pub const SCRAPE_DROPPED: usize = 1_000;
/// How often it is said anew what a page says of its metrics: answers go back a day or two.
pub const SCRAPE_SAID_EVERY_NS: i64 = 3_600 * 1_000_000_000;
/// A scrape that begins so little away from its time has its time, nanoseconds: equal steps are small on disk. As in Prometheus.
pub const SCRAPE_ALIGN_NS: i64 = 2_000_000;
/// How often targets are looked for.
pub const DISCOVER_EVERY: std::time::Duration = std::time::Duration::from_secs(15);
/// How long a server of targets may take to name them.
pub const DISCOVER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// Bytes of a list of targets: ten thousand of them with a kilobyte of labels each.
pub const DISCOVER_BYTES: u64 = 16 << 20;
/// Pages that are on their way at the end are waited for so long.
pub const SCRAPE_STOP: std::time::Duration = std::time::Duration::from_secs(2);
/// Bytes of one file below `/proc`.
pub const PROC_BYTES: u64 = 4 << 20;
/// Least bytes of a segment of the spool: below it most of a sync is about directories.
pub const SEGMENT_MIN_BYTES: u64 = 64 << 10;
/// Most bytes of a segment of the spool: space comes back, and the oldest goes, in such steps.
pub const SEGMENT_MAX_BYTES: u64 = 16 << 20;
/// What a frame of the spool takes beside its bodies, about.
pub const FRAME_OVERHEAD_BYTES: u64 = 512;
/// A source whose batch does not fit comes again after so long.
pub const FULL_WAIT: std::time::Duration = std::time::Duration::from_millis(250);
/// Losses kept in detail; all are counted.
pub const LOSSES: usize = 256;
/// Lines about losses written at once.
pub const LOSS_LINES_AT_ONCE: usize = 1000;
/// Frames put into one request: as many sources that each write a line a second.
pub const FRAMES_PER_REQUEST: usize = 1000;
/// What an endpoint refused for good is kept in a file of about this size, and the one before it.
pub const DEAD_LETTER_BYTES: u64 = 16 << 20;
/// An endpoint that is there takes a connection within this time.
pub const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
/// Bytes of an answer that are read: an error page, not a download.
pub const ANSWER_BYTES: u64 = 1 << 20;
/// Characters of an answer that are logged.
pub const ANSWER_CHARS: usize = 200;
/// A lane with so much before it, and for so long, is behind: less than that is sent within the second anyway.
pub const LIVE_LAG_BYTES: u64 = 24 << 20;
/// See [`LIVE_LAG_BYTES`], nanoseconds.
pub const LIVE_LAG_NS: i64 = 10 * 1_000_000_000;
/// A lane without anything to send looks again after so long: it is woken when something comes.
pub const IDLE_WAIT: std::time::Duration = std::time::Duration::from_secs(1);
/// A lane whose spool cannot be read tries again after so long.
pub const READ_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);
/// Times that a refused request is cut in halves: finds three single rows among ten thousand.
pub const CUTS: u32 = 64;
/// How often it is looked whether lanes have ended.
pub const STOP_LOOK: std::time::Duration = std::time::Duration::from_millis(10);
/// How often an agent reports.
pub const REPORT_EVERY: std::time::Duration = std::time::Duration::from_secs(10);
/// A report that takes longer does not arrive.
pub const REPORT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
/// Bytes of the head of an answer of the Docker Engine; its own are below one kilobyte.
pub const HTTP_HEAD_BYTES: usize = 64 << 10;
/// Bytes of one whole answer of the Engine. The list has about two kilobytes for each container.
pub const DOCKER_BODY_BYTES: usize = 32 << 20;
/// Bytes taken from a socket at once.
pub const SOCKET_BYTES: usize = 32 << 10;
/// Bytes of one message of a container's log as the Engine sends it. Docker cuts lines at 16 KiB; other drivers' messages
/// are longer.
pub const DOCKER_FRAME_BYTES: usize = 1 << 20;
/// Bytes of one event; it has all labels of a container.
pub const DOCKER_EVENT_BYTES: usize = 1 << 20;
/// Containers that started or died between two steps; each note may hold a file descriptor.
pub const DOCKER_NOTES: usize = 512;
/// Containers followed at once, the stopped ones too. Each costs a few kilobytes and, while it writes, a descriptor.
pub const CONTAINERS: usize = 5_000;
/// Bytes at which Docker cuts a line into frames. A shorter message without a line end is the last of a process.
pub const FRAME_BYTES: usize = 16 << 10;
/// A time that is behind by so much is that of a clock that was set back, not of two outputs that overtook each other, and not
/// of equal lines that were moved apart.
pub const CLOCK_STEP_NS: i64 = 1_000_000_000;
/// How far the times of a container's two outputs may be out of order in its log.
pub const API_MARGIN_NS: i64 = 1_000_000_000;
/// Files of one container's log. Docker's `max-file` is rarely above ten.
pub const GENERATIONS: usize = 128;
/// Files of one container that are kept open while they cannot be delivered: their space on disk is not free until then.
pub const AHEAD: usize = 16;
/// Containers that are gone and remembered for what may still be heard of them.
pub const FORGOTTEN: usize = 1024;
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
/// Bytes of a received body, as it is sent and as it is when it is decompressed. Collectors of OpenTelemetry allow 20 MiB;
/// what is kept plain must fit into a frame of the spool.
pub const RECEIVED_BYTES: usize = 20 << 20;
/// Rows of a received body. A row of two bytes takes some seventy in memory.
pub const RECEIVED_ROWS: u64 = 1 << 18;
/// Bytes of the label set of a received stream. The largest valid ones are far below it.
pub const LABEL_SET_BYTES: usize = 64 << 10;
/// Refused streams that are named in an answer; the others are counted in it.
pub const REFUSALS_NAMED: usize = 10;
/// Characters of the id of a Firehose request that an answer repeats; Amazon's are UUIDs.
pub const REQUEST_ID_CHARS: usize = 128;
/// Bytes of one syslog message. RFC 5424 asks for 2 KiB, senders of traces send some tens.
pub const SYSLOG_BYTES: usize = 64 << 10;
/// Syslog connections at once; each may hold one message that is not whole yet.
pub const SYSLOG_CONNECTIONS: usize = 512;
/// Messages of syslog put into one batch, so that a sync is shared and a refused batch stays small.
pub const SYSLOG_MESSAGES: usize = 4096;
/// Bytes that are read from one syslog connection before the others have their turn.
pub const SYSLOG_READ_BYTES: usize = 64 << 10;
/// Bytes of one entry of the journal; a core dump may be in one, which nobody reads as a line.
pub const JOURNAL_ENTRY_BYTES: usize = 1 << 20;
/// Bytes of a name in the export of the journal; systemd allows 64.
pub const JOURNAL_NAME_BYTES: usize = 256;
/// Pieces of the journal's export, of at most [`SOCKET_BYTES`] each, that wait to be read.
pub const JOURNAL_PIECES: usize = 16;
