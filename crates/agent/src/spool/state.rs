//! What is known besides the batches themselves: positions, counts, acknowledgements, losses.
//!
//! It stands at the beginning of each segment of the log, so that older segments may go, and once more in a file beside
//! the log, so that damage to one place does not take it away.

use std::collections::{BTreeMap, BTreeSet};

use base::attrs::{read_varint, write_varint};

use super::frame::{counted, put, unzigzag, zigzag};
use super::ledger::Losses;
use super::ranges::Ranges;

const VERSION: u8 = 1;

/// How far a source has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Its position; none for sources that have none.
    pub position: Option<Vec<u8>>,
    /// Rows that it has delivered.
    pub rows: u64,
    /// Time of the last one, nanoseconds.
    pub last_ns: i64,
}

/// All of it, as it was before frame `seq`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The number of the frame that it is, or was made with.
    pub seq: u64,
    /// By source.
    pub sources: BTreeMap<String, Progress>,
    /// By endpoint: frames that are done with.
    pub acked: BTreeMap<String, Ranges>,
    /// What was lost.
    pub losses: Losses,
    /// Frames before which a gap was found and reported.
    pub reported: BTreeSet<u64>,
}

impl State {
    /// As it is stored; a checksum comes last.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        write_varint(&mut out, self.seq);
        write_varint(&mut out, self.sources.len() as u64);
        for (name, p) in &self.sources {
            put(&mut out, name.as_bytes());
            out.push(u8::from(p.position.is_some()));
            put(&mut out, p.position.as_deref().unwrap_or_default());
            write_varint(&mut out, p.rows);
            write_varint(&mut out, zigzag(p.last_ns));
        }
        write_varint(&mut out, self.acked.len() as u64);
        for (name, ranges) in &self.acked {
            put(&mut out, name.as_bytes());
            ranges.encode(&mut out);
        }
        write_varint(&mut out, self.reported.len() as u64);
        self.reported.iter().for_each(|seq| write_varint(&mut out, *seq));
        put(&mut out, &serde_json::to_vec(&self.losses).expect("names and numbers always have a JSON form"));
        let sum = crc32c::crc32c(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// As it was stored; `None` if it is damaged or of another version.
    pub fn decode(bytes: &[u8]) -> Option<State> {
        let (b, sum) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(b) != u32::from_le_bytes(*sum) {
            return None;
        }
        let (&VERSION, b) = b.split_first()? else { return None };
        let (seq, b) = read_varint(b)?;
        let mut state = State { seq, ..State::default() };
        let (count, mut b) = read_varint(b)?;
        for _ in 0..count {
            let (name, rest) = text(b)?;
            let (&has_position, rest) = rest.split_first()?;
            let (position, rest) = counted(rest)?;
            let (rows, rest) = read_varint(rest)?;
            let (last, rest) = read_varint(rest)?;
            let position = (has_position == 1).then(|| position.to_vec());
            state.sources.insert(name, Progress { position, rows, last_ns: unzigzag(last) });
            b = rest;
        }
        let (count, mut b) = read_varint(b)?;
        for _ in 0..count {
            let (name, rest) = text(b)?;
            let (ranges, rest) = Ranges::decode(rest)?;
            state.acked.insert(name, ranges);
            b = rest;
        }
        let (count, mut b) = read_varint(b)?;
        for _ in 0..count {
            let (seq, rest) = read_varint(b)?;
            state.reported.insert(seq);
            b = rest;
        }
        let (losses, _) = counted(b)?;
        state.losses = serde_json::from_slice(losses).ok()?;
        Some(state)
    }
}

fn text(b: &[u8]) -> Option<(String, &[u8])> {
    let (bytes, rest) = counted(b)?;
    Some((String::from_utf8(bytes.to_vec()).ok()?, rest))
}

/// What endpoints have acknowledged since the last time: endpoint, from, to (exclusive).
pub fn encode_acks<'a>(acks: impl Iterator<Item = (&'a str, u64, u64)>) -> Vec<u8> {
    let mut out = vec![VERSION];
    for (name, from, to) in acks {
        put(&mut out, name.as_bytes());
        write_varint(&mut out, from);
        write_varint(&mut out, to);
    }
    out
}

/// The other way; what cannot be read is left out: then something is sent once more.
pub fn decode_acks(payload: &[u8]) -> Vec<(String, u64, u64)> {
    let mut out = vec![];
    let Some((&VERSION, mut b)) = payload.split_first() else { return out };
    let ack = |b| {
        let (name, b) = text(b)?;
        let (from, b) = read_varint(b)?;
        let (to, b) = read_varint(b)?;
        Some(((name, from, to), b))
    };
    while let Some((a, rest)) = ack(b) {
        out.push(a);
        b = rest;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_whole_or_not_at_all() {
        let mut state = State { seq: 9, ..State::default() };
        state.sources.insert("file/a".into(), Progress { position: Some(b"p".to_vec()), rows: 300, last_ns: -1 });
        state.sources.insert("samples".into(), Progress::default());
        let mut ranges = Ranges::below(4);
        ranges.add(6, 8);
        state.acked.insert("home".into(), ranges);
        state.reported.insert(5);
        state.losses.note(&super::super::ledger::Lost { reason: "x".into(), rows: 1, ..Default::default() });
        let bytes = state.encode();
        assert_eq!(State::decode(&bytes), Some(state));
        for i in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[i] ^= 1;
            assert_eq!(State::decode(&damaged), None, "byte {i}");
        }
        let acks = encode_acks([("home", 1, 300), ("away", 2, 3)].into_iter());
        assert_eq!(decode_acks(&acks), [("home".to_string(), 1, 300), ("away".to_string(), 2, 3)]);
        assert_eq!(decode_acks(&acks[..acks.len() - 1]).len(), 1);
    }
}
