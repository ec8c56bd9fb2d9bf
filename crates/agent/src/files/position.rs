//! Where a file has been read to, and how to know the file again.

use base::hash::hash64;
use serde::{Deserialize, Serialize};

use crate::limits::{HEAD_BYTES, TAIL_BYTES};

/// Length and hash of a stretch of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print {
    /// Bytes.
    pub len: usize,
    /// [`hash64`] of them.
    pub hash: u64,
}

impl Print {
    /// Of all of `bytes`.
    pub fn of(bytes: &[u8]) -> Print {
        Print { len: bytes.len(), hash: hash64(bytes) }
    }
    /// Whether `bytes` begin with the stretch.
    pub fn begins(&self, bytes: &[u8]) -> bool {
        self.len == 0 || bytes.get(..self.len).is_some_and(|b| hash64(b) == self.hash)
    }
}

/// A file's position: durable in the same frame as the lines before it. Stored as JSON, version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Version of this form.
    pub v: u8,
    /// The path at which the file was first seen: the `filename` label, whatever the file is called later.
    pub path: String,
    /// Bytes that are done with.
    pub offset: u64,
    /// The first bytes of the file, at most [`HEAD_BYTES`] and none at or after `offset`.
    pub head: Print,
    /// The last bytes before `offset`, at most [`TAIL_BYTES`].
    pub tail: Print,
    /// The position lies inside a line that was cut; what is left of the line is passed over.
    pub skipping: bool,
    /// Time of the last line, nanoseconds.
    pub time_ns: i64,
}

impl Position {
    /// At the start of the file at `path`.
    pub fn start(path: &str) -> Position {
        Position { v: 1, path: path.into(), ..Position::default() }
    }
    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers, strings and booleans always have a JSON form")
    }
    /// As it was stored; none for bytes of another version.
    pub fn decode(bytes: &[u8]) -> Option<Position> {
        let p: Position = serde_json::from_slice(bytes).ok()?;
        let sane = p.v == 1 && p.head.len <= HEAD_BYTES && p.tail.len <= TAIL_BYTES && p.tail.len as u64 <= p.offset;
        sane.then_some(p)
    }
}

/// The patterns in force when files were last looked for. A file that they match and that has no position appeared since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Version of this form.
    pub v: u8,
    /// Patterns of files that are followed.
    pub include: Vec<String>,
    /// Patterns of files that are not.
    pub exclude: Vec<String>,
}

impl Scope {
    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings always have a JSON form")
    }
    /// As it was stored.
    pub fn decode(bytes: &[u8]) -> Option<Scope> {
        serde_json::from_slice::<Scope>(bytes).ok().filter(|s| s.v == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_and_a_strange_one_is_none() {
        let p = Position { offset: 9, head: Print::of(b"abc"), skipping: true, time_ns: 5, ..Position::start("/a") };
        assert_eq!(Position::decode(&p.encode()), Some(p.clone()));
        assert_eq!(Position::decode(b""), None);
        assert_eq!(Position::decode(&Position { v: 2, ..p.clone() }.encode()), None);
        assert_eq!(Position::decode(&Position { tail: Print { len: 200, hash: 0 }, ..p }.encode()), None);
    }

    #[test]
    fn the_stored_form_stays() {
        let stored = br#"{"v":1,"path":"/a","offset":3,"head":{"len":3,"hash":18446744073709551615},"tail":{"len":0,"hash":0},"skipping":false,"time_ns":7}"#;
        let p = Position::decode(stored).unwrap();
        assert_eq!((p.offset, p.head.hash, p.encode().as_slice()), (3, u64::MAX, stored.as_slice()));
    }

    #[test]
    fn a_print_needs_all_its_bytes() {
        let p = Print::of(b"abc");
        assert!(p.begins(b"abcd") && !p.begins(b"ab") && !p.begins(b"abd"));
        assert!(Print::of(b"").begins(b"") && Print::default().begins(b"x"));
    }
}
