//! The write half of the waist: a received body, the header it is logged with, and the pure function that turns the
//! two into rows.

use arrow_array::RecordBatch;
use base::{Labels, Result, Tenant};
use bytes::Bytes;

use crate::frame;
use crate::spec::TableSpec;

/// Where a batch came from, for sources that must be able to go on after a crash: the position is durable in the
/// same frame as the rows, so neither is ever without the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The source, for example a file's identity.
    pub source: String,
    /// Its position after this batch, opaque to the engine. An empty one makes the engine forget the source.
    pub position: Vec<u8>,
}

/// Everything that decoding a body depends on, beside the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whose rows.
    pub tenant: Tenant,
    /// When the body was received, nanoseconds since 1970. Decoding takes its "now" from here.
    pub received_ns: i64,
    /// Which [`Codec`] (its id names protocol, form and version).
    pub codec: u16,
    /// Options in force when it was received, in the codec's own form.
    pub options: Bytes,
    /// Source and position, if it must be resumable.
    pub origin: Option<Origin>,
    /// Ordinals of entries refused on arrival for reasons that are not in header and body (rate limits), sorted.
    pub refused: Vec<u32>,
    /// Rows that this node took from the body; none before it was decoded. Replay that finds fewer has lost some.
    pub rows: Option<u64>,
}

impl FrameHeader {
    /// A number that is the same for all bodies of one tenant and kind: whoever places copies keeps them together by it.
    pub fn placement(&self) -> u64 {
        base::hash::hash64(format!("{}/{}", self.tenant, self.codec).as_bytes())
    }
    /// The body and its header as another node takes them ([`crate::Engine::ingest_copy`]): it arrives at the same rows.
    /// Where the body came from stays here: a source's position is of use only on its own node.
    pub fn copy(&self, body: &[u8]) -> Bytes {
        let header = frame::encode(&FrameHeader { origin: None, rows: None, ..self.clone() });
        [&header[..], body].concat().into()
    }
}

/// Why some of a body's entries were not taken. They can never be, as they are: the rest of the body is stored.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Position of the entry in the body, counted over all its entries.
    pub ordinal: u32,
    /// Short name, also a metric label: `too_far_in_future`, `line_too_long`.
    pub reason: &'static str,
    /// For people: what is wrong and what to do.
    pub message: String,
    /// Bytes refused.
    pub bytes: u64,
    /// The entry's time, nanoseconds, if it has one.
    pub time_ns: Option<i64>,
}

/// Which table of the engine, as [`Sink::table`] gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u8);

/// Turns bodies of one form into rows. `decode` must be a pure function of header and body: replay after a crash and
/// every replica must arrive at the same rows.
pub trait Codec: Send + Sync {
    /// The id that frames carry. Never reused for another meaning.
    fn id(&self) -> u16;
    /// Decodes. An error means that the whole body is refused; entries that alone are wrong go to [`Sink::refuse`].
    fn decode(&self, header: &FrameHeader, body: &Bytes, sink: &mut dyn Sink) -> Result<()>;
}

/// Where a codec puts what it finds.
pub trait Sink {
    /// Asked before a codec makes more of a body than was received: it is going to take `bytes` at most. Waits until there is room, which is
    /// kept until the body's rows are counted; `Unavailable` when there is none in time.
    fn unpack(&mut self, _bytes: usize) -> Result<()> {
        Ok(())
    }
    /// The id of a table.
    fn table(&self, spec: &TableSpec) -> Result<TableId>;
    /// The number of the series whose label bytes, as received, hash to `raw` (any 128-bit hash over bytes that
    /// determine the labels; seed it with the codec's id). `labels` is called only when the hash is new to this node.
    fn series(&mut self, table: TableId, raw: u128, labels: &mut dyn FnMut() -> Result<Labels>) -> Result<u32>;
    /// Whether this entry is admitted (not among the header's refused ones, and within its stream's rate). A codec
    /// asks once for each entry, in order, and passes over those that are not. `time_ns` is the entry's time.
    fn admit(&mut self, ordinal: u32, table: TableId, series: u32, bytes: u64, time_ns: i64) -> bool;
    /// An entry that is not taken.
    fn refuse(&mut self, refusal: Refusal);
    /// Rows of a table, in its schema, `series` being numbers from [`Sink::series`].
    fn rows(&mut self, table: TableId, batch: RecordBatch);
    /// How many entries of a kind were taken, for the answer to a sender who wants them told apart.
    fn count(&mut self, _kind: &'static str, _entries: u64) {}
}
