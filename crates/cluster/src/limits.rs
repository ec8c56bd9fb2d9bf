//! Bounds of this crate, each with its reason.

use std::time::Duration;

/// Token buckets kept; the longest unused go first. A forgotten bucket is a full one, so forgetting refuses nothing.
pub const BUCKETS: usize = 200_000;
/// Lines of the ledger kept one by one; beyond, the oldest deferral goes first.
pub const LEDGER_ENTRIES: usize = 4096;
/// Nodes of a cluster: each says hello to each, so their number must stay small.
pub const MEMBERS: usize = 32;
/// Tenants and tables whose rate a node follows; more have their limit at each node.
pub const RATES: usize = 4096;
/// Of these, the largest are told in a hello, some hundred bytes each.
pub const RATES_TOLD: usize = 64;
/// A rate is an average over about so many seconds.
pub const RATE_SECONDS: f64 = 5.0;
/// What a member said longer ago does not count: it is silent.
pub const RATES_FRESH_NS: i64 = 2_000_000_000;
/// A hello names at most [`MEMBERS`] others and [`RATES_TOLD`] rates, each in some hundred bytes.
pub const HELLO_BYTES: usize = 64 << 10;

/// After so many hedges without anybody left to send to, a writer's node prepares to hold the row alone: later than a healthy disk
/// takes, and so early that a client with a second and a half of patience is still there when all have heard of it.
pub const ALONE_AFTER_HEDGES: u32 = 2;

// Between nodes (`transport::http`).

/// A TCP connection to another node is there within this, or not at all: nodes are near each other.
pub const CONNECT: Duration = Duration::from_millis(400);
/// TLS and the proof of belonging take at most this together: a few round trips.
pub const HANDSHAKE: Duration = Duration::from_millis(800);
/// A connection is asked for a sign of life this often, and is given up when none comes within [`PING_WAIT`].
pub const PING_EVERY: Duration = Duration::from_millis(400);
/// See [`PING_EVERY`]. Shorter ones would take a busy machine for a dead one.
pub const PING_WAIT: Duration = Duration::from_millis(500);
/// The side that listens asks less often: it only frees what a vanished caller holds.
pub const LISTENER_PING: Duration = Duration::from_secs(5);
/// Whoever connects has proved that it belongs within this, or is disconnected.
pub const STRANGER: Duration = Duration::from_secs(5);
/// After another node refused us (another cluster, another secret), it is asked again this much later: somebody has to change
/// a setting first.
pub const REFUSED_PAUSE: Duration = Duration::from_secs(2);
/// The same complaint about the same node is logged this often; it comes with every hello.
pub const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// Different complaints remembered, so that a stranger who comes from many addresses fills neither log nor memory.
pub const COMPLAINTS: usize = 256;
/// Connections that other nodes and strangers hold open at once: three of each of 32 nodes, their successors, and some.
pub const NODE_CONNECTIONS: usize = 256;
/// Calls in flight on one connection; as many answers that nobody reads fit into the connection's window.
pub const CALLS_PER_CONNECTION: u32 = 128;
/// Bytes of one call or answer under way before its reader must have taken some.
pub const CALL_WINDOW: u32 = 256 << 10;
/// Bytes of a piece of a call: large bodies should not be cut into thousands of pieces.
pub const PIECE: u32 = 64 << 10;
/// Bytes of one message of an answer: a batch of rows has a few megabytes, an answer about series some tens.
pub const MESSAGE_BYTES: usize = 64 << 20;
/// Bytes of a hello (32 nodes with their states), and of a question.
pub const QUESTION_BYTES: usize = 1 << 20;
/// Bytes of headers of one call.
pub const CALL_HEADERS: u32 = 8 << 10;
/// Bytes of an answer that refuses.
pub const REFUSAL_BYTES: usize = 4 << 10;
/// Messages of a stream that wait for a slow reader, on each side.
pub const MESSAGES_AHEAD: usize = 2;
/// Hellos answered at once. They have places of their own, so that nobody looks dead because it is busy.
pub const HELLOS: usize = 8;
/// Alone marks set for other nodes at once. They wait for the disk, which hellos must not.
pub const MARKS: usize = 4;
/// Copies taken at once; more wait. They share fsyncs, so many of them cost little more than one.
pub const APPENDS: usize = 64;
/// Scans and questions about series answered at once for other nodes; more wait. Most of them wait themselves, for a query that reads
/// a month of blocks before it comes to these rows; the few that compute take turns ([`READS_COMPUTING`]).
pub const READS: usize = 64;
/// Names looked up at once; a lookup that hangs holds a thread for as long as the system wants.
pub const LOOKUPS: usize = 4;
/// A name that is not looked up within this has no addresses for now.
pub const LOOKUP_WAIT: Duration = Duration::from_secs(2);
/// Large answers whose proof is computed at once, off the runtime.
pub const CHECKS: usize = 4;
/// Answers from this size on have their proof computed off the runtime: hashing a megabyte takes most of a millisecond.
pub const CHECK_BYTES: usize = 256 << 10;
/// Addresses that connections are kept for. More than a cluster has nodes: addresses change.
pub const PEERS: usize = 128;
/// Addresses of one name that are tried, one after the other.
pub const ADDRESSES_TRIED: usize = 3;
/// Addresses taken of one name.
pub const ADDRESSES_PER_NAME: usize = 64;
/// Calls whose answers may come out of order: numbers further back than this are not taken any more.
pub const CALL_NUMBERS_BACK: u64 = 1024;
/// Calls in flight when a node leaves get so long to end.
pub const NODE_DRAIN: Duration = Duration::from_secs(5);

// Reading from other nodes (`read`).

/// Bytes of a message of rows or series before it is compressed: large enough that messages cost nothing, small enough that the
/// first rows come soon.
pub const MESSAGE_TARGET_BYTES: usize = 1 << 20;
/// Bytes of a question: the longest regular expressions and lists of labels fit many times.
pub const READ_REQUEST_BYTES: usize = 1 << 20;
/// Nesting of a condition; deeper ones are not sent but evaluated by whoever asks.
pub const PREDICATE_DEPTH: usize = 32;
/// Messages from this size on are compressed: below, the header of the compressed form is a good part of it.
pub const PACK_BYTES: usize = 512;
/// Level of that compression: it must cost less than the network.
pub const PACK_LEVEL: i32 = 1;
/// Whoever works on an answer says so this often; several times within the deadline of a message.
pub const WORKING_EVERY: Duration = Duration::from_millis(300);
/// After the object store took longer than [`STORE_SLOW_NS`] not to name its blocks, queries do without for this long, and say so.
pub const STORE_PAUSE_NS: i64 = 5_000_000_000;
/// See [`STORE_PAUSE_NS`]: a failure that comes sooner costs a query nothing that people notice.
pub const STORE_SLOW_NS: i64 = 200_000_000;
/// So many times the store is asked while it fails without delay: with three of ten calls failing, one of fifteen thousand questions goes without.
pub const STORE_TRIES: usize = 8;
/// How long the series of another node may take to come.
pub const SERIES_DEADLINE: Duration = Duration::from_secs(10);
/// Batches that are read ahead to see whether an answer is a small one...
pub const LOOK_AHEAD_BATCHES: usize = 16;
/// ...of at most this many rows.
pub const LOOK_AHEAD_ROWS: usize = 4096;
/// Scans of other nodes that compute at once: our own queries want the processors, too.
pub const READS_COMPUTING: usize = 4;
/// Scans of other nodes that are open at once, waiting ones included.
pub const OPEN_SCANS: usize = 256;

const _: () = {
    assert!(MESSAGE_TARGET_BYTES * 16 <= MESSAGE_BYTES && READ_REQUEST_BYTES <= QUESTION_BYTES);
    // A dead peer is noticed within a second, and a connection that is not made by then is no connection.
    assert!(PING_EVERY.as_millis() + PING_WAIT.as_millis() <= 1_000);
    assert!(CONNECT.as_millis() < 500);
    assert!(CONNECT.as_millis() + HANDSHAKE.as_millis() <= 1_500);
    // A stalled reader must not stop the calls beside it.
    assert!(CALLS_PER_CONNECTION as u64 * CALL_WINDOW as u64 <= 32 << 20);
    assert!((CALLS_PER_CONNECTION as u64) < CALL_NUMBERS_BACK);
};
