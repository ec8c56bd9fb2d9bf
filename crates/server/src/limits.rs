//! Bounds of the edge, each with its reason. What an operator may want to tune is in [`crate::Settings`].

use std::time::Duration;

/// A request's head must arrive within this, and an idle connection is kept for as long. Go's clients drop idle
/// connections after 90 s: closing ours first would meet pushes that are just being sent.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(120);
/// The next piece of a body must arrive within this: a stalled sender must not hold the memory of its body.
pub const BODY_STALL: Duration = Duration::from_secs(30);
/// All of a body must arrive within this, however steadily it drips.
pub const BODY_TOTAL: Duration = Duration::from_secs(120);
/// A client that takes no byte of its answer for so long is given up.
pub const WRITE_STALL: Duration = Duration::from_secs(60);
/// Bytes of a request's head: long LogQL queries are sent as GET.
pub const HEADER_BYTES: usize = 256 << 10;
/// Headers in one request.
pub const HEADERS: usize = 100;
/// Body of a query sent as a form.
pub const FORM_BYTES: usize = 1 << 20;
/// The same over HTTP/2, where a head unpacks to many times what was sent.
pub const H2_HEADER_BYTES: u32 = 32 << 10;
/// Requests under way on one connection of HTTP/2: what its standard calls the least that a server should allow.
pub const H2_STREAMS: u32 = 100;
/// Bytes of one request's body that may arrive before they are asked for. They are beside the memory for bodies; larger ones
/// make far senders faster.
pub const H2_STREAM_WINDOW: u32 = 512 << 10;
/// The same of all requests of a connection.
pub const H2_CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of one frame: a frame is held until it is whole.
pub const H2_FRAME: u32 = 64 << 10;
/// Bytes of answers that wait for one connection of HTTP/2, for each request.
pub const H2_SEND_BYTES: usize = 256 << 10;
/// How often a silent peer is asked whether it is there: clients of gRPC keep connections for days, and networks forget them.
pub const H2_PING: Duration = Duration::from_secs(60);
/// And how long its answer is waited for.
pub const H2_PING_WAIT: Duration = Duration::from_secs(20);
/// A request over HTTP/2 is given up after the time of the longest query and this: two minutes for its body, half a minute until there is
/// memory and a place for it, and the rest for a client that takes its answer slowly. A client that takes nothing of one answer and goes on
/// with others would otherwise hold it for ever.
pub const STREAM_REST: Duration = Duration::from_secs(5 * 60);
/// The first bytes of a connection, read to see which protocol it is: a usual head.
pub const FIRST_BYTES: usize = 2 << 10;
/// Parameters of one request.
pub const PARAMS: usize = 10_000;
/// How long a push waits for a free place among those being decoded before it is asked to come again.
pub const INGEST_WAIT: Duration = Duration::from_secs(10);
/// How long a query waits for a free place. Shorter than a person's patience.
pub const QUERY_WAIT: Duration = Duration::from_secs(20);
/// How long a push waits until there is memory for its body.
pub const BODY_MEMORY_WAIT: Duration = Duration::from_secs(10);
/// Answers from this on are compressed for clients that take it: a shorter one fits in a packet or three, and a compressor takes more memory
/// than it has bytes.
pub const GZIP_FROM: usize = 4 << 10;
/// Answers up to this take no memory that is counted: connections bound how many there are.
pub const SHORT_ANSWER: usize = 64 << 10;
/// Answers above this share memory of their own: dashboards' are shorter.
pub const LONG_ANSWER: usize = 1 << 20;
/// How long an answer waits, with the query's place, until earlier ones were taken by their clients.
pub const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// Length of the header that says what an answer lacks: proxies refuse heads of more than some kilobytes.
pub const INCOMPLETE_BYTES: usize = 2048;
/// A query that takes longer is named in the log, with the tags its client gave it.
pub const SLOW_QUERY: Duration = Duration::from_secs(5);
/// Clients that follow streams at once: each looks at the newest rows several times a second.
pub const TAILS: usize = 64;
/// How often a followed stream is looked at.
pub const TAIL_LOOK: Duration = Duration::from_millis(200);
/// Messages that a client may be behind before lines are dropped for it.
pub const TAIL_MESSAGES: usize = 8;
/// Dropped lines that are named in one message.
pub const TAIL_DROPPED: usize = 1_000;
/// Proxies close a connection on which nothing is said; the usual patience is a minute, the shortest known 15 s.
pub const TAIL_PING: Duration = Duration::from_secs(10);
/// The longest delay a client may ask for, so that late lines come in their order.
pub const TAIL_DELAY_NS: i64 = 5 * 1_000_000_000;
/// Delete requests that are kept: each is looked at by every query of its tenant.
pub const DELETIONS: usize = 1_000;
/// In a cluster the list of delete requests is read again when it is this old, nanoseconds: so long may others still show what one node
/// was asked to delete.
pub const DELETIONS_AGE_NS: i64 = 10 * 1_000_000_000;
/// A query waits at most this long for the list: an object store answers sooner, or is in trouble, of which reads must not know.
pub const DELETIONS_WAIT: Duration = Duration::from_millis(500);
/// Refusals spelled out in one answer; the others are counted in it.
pub const REFUSALS_SHOWN: usize = 10;
/// After the stop signal, requests in flight get so long to end.
pub const DRAIN: Duration = Duration::from_secs(20);
/// Pause after the system refused to accept a connection (too many open files), so as not to spin.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Agents whose last report is kept: with the largest reports they take a gigabyte, with usual ones some megabytes.
pub const AGENTS: usize = 2_000;
/// Bytes of one report: a thousand sources of three endpoints.
pub const AGENT_REPORT_BYTES: usize = 512 << 10;
/// Bytes of an agent's id.
pub const AGENT_ID_BYTES: usize = 128;
/// An agent reports every 10 s; after three that did not come it is called silent. Nanoseconds.
pub const AGENT_SILENT_NS: i64 = 35 * 1_000_000_000;
/// Tenants whose rows one query may be about: each is a scan of its own.
pub const TENANTS_AT_ONCE: usize = 64;
