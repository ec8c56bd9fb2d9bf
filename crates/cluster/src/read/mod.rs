//! Reading: any node answers any query, as one set, and says when it may miss something (P2, P3, P6).
//!
//! The asking node sends what it needs of each member's unmerged rows (`request`), reads their answers as streams of messages
//! (`message`, `rows`), learns the blocks that they name, and only then takes its own look at memory, runs and blocks
//! (`ask`). The other side is `serve`. Doubles collapse in the engine's merge like those of any two sources.
//!
//! **Rows travel whole.** Where copies of a row differ, the bytes of all columns decide last, so a copy without some of them
//! could lose to one that should not win. The condition travels only as far as it reads a row's identity, on which all
//! copies agree; the rest is asked of what won.
//!
//! **Rejected: Arrow's IPC format.** Its reader asserts where it meets a buffer that is not there, so damaged bytes end
//! in a panic; a batch of views drags along every byte of the pages it was cut from; and it describes a schema that both
//! sides know. What is here is a page of code, bounded, and no byte of it is trusted.

mod ask;
mod bytes;
mod incoming;
mod message;
mod request;
mod rows;
mod serve;
pub(crate) mod stats;
mod verdict;

#[cfg(test)]
mod tests;

pub use ask::ClusterRows;
pub use serve::Answering;

/// Feeds arbitrary bytes to every decoder of this module: what a fuzzer calls. Nothing of it may panic or take memory
/// without bound.
pub fn decode_anything(tables: &[&'static table::TableSpec], input: &[u8]) {
    let bytes = ::bytes::Bytes::copy_from_slice(input);
    drop(request::decode(input, tables));
    drop(message::open(bytes.clone()));
    // As if behind a checksum that holds.
    let message = message::Message { kind: message::Kind::Rows, payload: bytes };
    tables.iter().for_each(|spec| drop(rows::decode(spec, &message)));
    drop(message::Head::decode(&message));
    drop(message::decode_series(&message));
    drop(message::decode_listing(&message));
    drop(message::End::decode(&message));
}
