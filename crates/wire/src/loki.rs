//! Loki push: `logproto.PushRequest` and its JSON form.

pub mod json;
pub mod labels;
mod push;
mod write;

pub use push::{Entry, Pairs, Stream, Streams};
pub use write::{PushEntry, PushStream, PushWriter, push_json, push_protobuf};
