//! Facts about a log for people who look at one. Reads only.

use std::path::Path;

use base::Result;
use disk::Fs;

use crate::format::{HeaderRead, Mark};
use crate::recover::segments;
use crate::walk::{Item, Walk};

/// A segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// From the file's name.
    pub id: u64,
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// What the header says.
    pub header: HeaderFacts,
    /// What follows it, in order.
    pub records: Vec<RecordFacts>,
}

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFacts {
    /// Whole.
    Good {
        /// Number of the first frame.
        first_seq: u64,
        /// All numbers below were accounted for in earlier segments.
        synced_seq: u64,
    },
    /// Of a version that this program does not know.
    Version(u32),
    /// Damaged or cut.
    Bad,
}

/// A stretch of a segment. Offsets and lengths are in bytes, headers included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordFacts {
    /// The beginning of a group.
    Mark {
        /// Where.
        offset: u64,
        /// What it says.
        mark: Mark,
    },
    /// A valid frame.
    Frame {
        /// Where.
        offset: u64,
        /// Its number.
        seq: u64,
        /// The writer's kind.
        kind: u8,
        /// Bytes of its payload.
        payload_bytes: u64,
    },
    /// Not valid: damage or a torn tail.
    Broken {
        /// Where.
        offset: u64,
        /// How long.
        bytes: u64,
        /// The frame's number, if its header is whole.
        seq: Option<u64>,
        /// What is wrong.
        reason: &'static str,
    },
    /// Zeros up to the end, prepared for later groups.
    Unused {
        /// Where.
        offset: u64,
        /// How long.
        bytes: u64,
    },
}

/// What is in the log in `dir`, segment by segment.
pub fn inspect(fs: &dyn Fs, dir: &Path) -> Result<Vec<SegmentFacts>> {
    let mut out = vec![];
    for (id, path) in segments(fs, dir)? {
        let (header, mut walk) = Walk::open(fs.open(&path)?, id)?;
        let header = match header {
            HeaderRead::Good(h) => HeaderFacts::Good { first_seq: h.first_seq, synced_seq: h.synced_seq },
            HeaderRead::Version(v) => HeaderFacts::Version(v),
            HeaderRead::Bad => HeaderFacts::Bad,
        };
        let mut records = vec![];
        while let Some(item) = walk.next() {
            records.push(match item {
                Item::Mark { offset, mark } => RecordFacts::Mark { offset, mark },
                Item::Frame { offset, seq, kind, payload } => RecordFacts::Frame { offset, seq, kind, payload_bytes: payload.len() as u64 },
                Item::Broken { offset, bytes, seq, reason } => RecordFacts::Broken { offset, bytes, seq, reason },
                Item::Unused { offset, bytes } => RecordFacts::Unused { offset, bytes },
            });
        }
        out.push(SegmentFacts { id, file_bytes: walk.file_bytes(), header, records });
    }
    Ok(out)
}
