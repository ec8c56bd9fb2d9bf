//! Writes push requests: for the agent, the load generator and tests.

use base::attrs::write_varint;
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

/// Writes a `PushRequest` stream by stream and entry by entry, without an allocation of its own for an entry: what agents
/// send. The concatenation of two requests is the request of both.
#[derive(Debug, Default)]
pub struct PushWriter {
    w: Writer,
    /// Where the message of the stream under way begins.
    stream: Option<usize>,
}

impl PushWriter {
    /// Begins a stream; the entries that follow are its.
    pub fn stream<'l>(&mut self, labels: impl IntoIterator<Item = (&'l str, &'l str)>) {
        self.stream_of(labels::print(labels).as_bytes());
    }
    /// Begins a stream whose label set is written already, as a request has it.
    pub fn stream_of(&mut self, labels: &[u8]) {
        self.end_stream();
        self.stream = Some(self.w.begin(1));
        self.w.bytes(1, labels);
    }
    /// Adds an entry to the stream under way. The lengths are reckoned beforehand, so that no byte is moved.
    pub fn entry<'m>(&mut self, time_ns: i64, line: &[u8], metadata: impl Iterator<Item = (&'m str, &'m str)> + Clone) {
        let seconds = time_ns.div_euclid(1_000_000_000) as u64;
        let nanos = time_ns.rem_euclid(1_000_000_000) as u64;
        let time_bytes = 2 + varint_bytes(seconds) + varint_bytes(nanos);
        let pair_bytes = |(name, value): (&str, &str)| counted_bytes(name.len()) + counted_bytes(value.len());
        let metadata_bytes: usize = metadata.clone().map(|pair| counted_bytes(pair_bytes(pair))).sum();
        let w = &mut self.w;
        w.out.reserve(line.len() + metadata_bytes + 32);
        w.out.push(0x12);
        write_varint(&mut w.out, (2 + time_bytes + counted_bytes(line.len()) + metadata_bytes) as u64);
        w.out.extend_from_slice(&[0x0a, time_bytes as u8]);
        w.varint(1, seconds);
        w.varint(2, nanos);
        w.bytes(2, line);
        for (name, value) in metadata {
            w.out.push(0x1a);
            write_varint(&mut w.out, pair_bytes((name, value)) as u64);
            w.bytes(1, name.as_bytes());
            w.bytes(2, value.as_bytes());
        }
    }
    /// Bytes written so far.
    pub fn size(&self) -> usize {
        self.w.out.len()
    }
    /// The uncompressed body.
    pub fn finish(mut self) -> Vec<u8> {
        self.end_stream();
        self.w.out
    }
    fn end_stream(&mut self) {
        if let Some(mark) = self.stream.take() {
            self.w.end(mark);
        }
    }
}

/// Bytes of a number as a varint.
fn varint_bytes(v: u64) -> usize {
    (64 - (v | 1).leading_zeros() as usize).div_ceil(7)
}

/// Bytes of a length-delimited field with a number below 16.
fn counted_bytes(len: usize) -> usize {
    1 + varint_bytes(len as u64) + len
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_writer_of_agents_writes_the_same_bytes(
            streams in proptest::collection::vec(
                (".{0,10}", proptest::collection::vec((any::<i64>(), ".{0,300}", proptest::collection::vec(("[a-z]{1,9}", ".{0,200}"), 0..3)), 0..5)), 0..4)
        ) {
            let mut w = PushWriter::default();
            let mut plain = vec![];
            for (value, entries) in &streams {
                w.stream([("a", value.as_str())]);
                let metadata: Vec<Vec<(&str, &str)>> =
                    entries.iter().map(|(_, _, m)| m.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()).collect();
                for ((time_ns, line, _), m) in entries.iter().zip(&metadata) {
                    w.entry(*time_ns, line.as_bytes(), m.iter().copied());
                }
                let entries: Vec<PushEntry<'_>> =
                    entries.iter().zip(&metadata).map(|((time_ns, line, _), m)| PushEntry { time_ns: *time_ns, line, metadata: m }).collect();
                plain.extend(push_protobuf(&[PushStream { labels: &[("a", value)], entries: &entries }]));
            }
            prop_assert_eq!(w.finish(), plain);
        }
    }
}
