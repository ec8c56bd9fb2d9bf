//! Where a container has been read to.

use serde::{Deserialize, Serialize};

use super::join::Pen;
use crate::files::position::Print;
use crate::limits::{HEAD_BYTES, TAIL_BYTES};

/// A container's position: durable in the same frame as the lines before it. Stored as JSON, version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Version of this form.
    pub v: u8,
    /// The container's name, for people.
    pub container: String,
    /// The place in its log files; none if it is read through the Engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// State of standard output and standard error.
    pub pens: [Pen; 2],
    /// It had stopped and was read to its end: if it is gone now, nothing is lost.
    pub ended: bool,
}

/// A place in one generation of a container's log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Device of the file.
    pub dev: u64,
    /// Inode of the file.
    pub ino: u64,
    /// Bytes that are done with, of the file as it was before it was compressed.
    pub offset: u64,
    /// The first bytes of the file, at most [`HEAD_BYTES`] and none at or after `offset`.
    pub head: Print,
    /// The last bytes before `offset`, at most [`TAIL_BYTES`].
    pub tail: Print,
}

impl Position {
    /// Nothing is read of the container of this name.
    pub fn start(container: &str) -> Position {
        Position { v: 1, container: container.into(), ..Position::default() }
    }

    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers, strings and booleans always have a JSON form")
    }

    /// As it was stored; none for bytes of another version.
    pub fn decode(bytes: &[u8]) -> Option<Position> {
        let p: Position = serde_json::from_slice(bytes).ok()?;
        let sane = |p: &Place| p.head.len <= HEAD_BYTES && p.tail.len <= TAIL_BYTES && p.tail.len as u64 <= p.offset;
        (p.v == 1 && p.place.as_ref().is_none_or(sane)).then_some(p)
    }

    /// Docker's time of the last message, nanoseconds; none before the first.
    pub fn last_ns(&self) -> Option<i64> {
        self.pens.iter().map(|p| p.raw_ns).filter(|&t| t != 0).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_and_a_strange_one_is_none() {
        let place = Place { dev: 1, ino: 2, offset: 9, head: Print::of(b"abc"), tail: Print::of(b"c") };
        let mut p = Position { place: Some(place), ..Position::start("web") };
        p.pens[1].raw_ns = 5;
        assert_eq!((Position::decode(&p.encode()), p.last_ns()), (Some(p.clone()), Some(5)));
        assert_eq!(Position::decode(b"{}"), None);
        assert_eq!(Position::decode(&Position { v: 2, ..p.clone() }.encode()), None);
        p.place.as_mut().unwrap().tail.len = 10;
        assert_eq!(Position::decode(&p.encode()), None);
    }

    #[test]
    fn the_stored_form_stays() {
        let stored = br#"{"v":1,"container":"web","place":{"dev":1,"ino":2,"offset":3,"head":{"len":3,"hash":7},"tail":{"len":0,"hash":0}},"pens":[{"time_ns":1,"raw_ns":2,"at_raw":3,"skipping":false},{"time_ns":0,"raw_ns":0,"at_raw":0,"part":{"text":"x","time_ns":4,"attrs":[["a","b"]]},"skipping":false}],"ended":true}"#;
        assert_eq!(Position::decode(stored).unwrap().encode(), stored);
    }
}
