//! Writes push requests: for the agent, the load generator and tests.

use serde_json::json;

use super::labels;
use crate::proto::Writer;

/// An entry to send.
#[derive(Clone, Debug)]
pub struct PushEntry<'a> {
    /// When, nanoseconds since 1970.
    pub time_ns: i64,
    /// The line.
    pub line: &'a str,
    /// Structured metadata.
    pub metadata: &'a [(&'a str, &'a str)],
}

/// A stream to send.
#[derive(Clone, Debug)]
pub struct PushStream<'a> {
    /// Labels.
    pub labels: &'a [(&'a str, &'a str)],
    /// Entries.
    pub entries: &'a [PushEntry<'a>],
}

/// An uncompressed `PushRequest`; send it with `Content-Type: application/x-protobuf` as a snappy block.
pub fn push_protobuf(streams: &[PushStream<'_>]) -> Vec<u8> {
    let mut w = Writer::default();
    for s in streams {
        w.message(1, |w| {
            w.bytes(1, labels::print(s.labels.iter().copied()).as_bytes());
            for e in s.entries {
                entry(w, e);
            }
        });
    }
    w.out
}

fn entry(w: &mut Writer, e: &PushEntry<'_>) {
    w.message(2, |w| {
        w.message(1, |w| {
            w.varint(1, e.time_ns.div_euclid(1_000_000_000) as u64);
            w.varint(2, e.time_ns.rem_euclid(1_000_000_000) as u64);
        });
        w.bytes(2, e.line.as_bytes());
        for (name, value) in e.metadata {
            w.message(3, |w| {
                w.bytes(1, name.as_bytes());
                w.bytes(2, value.as_bytes());
            });
        }
    });
}

/// The JSON form; send it with `Content-Type: application/json`.
pub fn push_json(streams: &[PushStream<'_>]) -> Vec<u8> {
    let object = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), json!(v))).collect::<serde_json::Map<_, _>>();
    let value = |e: &PushEntry<'_>| {
        let time = e.time_ns.to_string();
        if e.metadata.is_empty() { json!([time, e.line]) } else { json!([time, e.line, object(e.metadata)]) }
    };
    let stream = |s: &PushStream<'_>| json!({"stream": object(s.labels), "values": s.entries.iter().map(value).collect::<Vec<_>>()});
    json!({"streams": streams.iter().map(stream).collect::<Vec<_>>()}).to_string().into_bytes()
}
