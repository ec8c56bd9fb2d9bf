//! Reading a log while it is written.

use std::path::Path;

use base::Result;
use disk::Fs;

use crate::Frame;
use crate::format::segment_name;
use crate::walk::{Item, Walk};

/// A segment of a log that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its id, which is the number of its first frame.
    pub id: u64,
    /// All its frames have numbers below this.
    pub end_seq: u64,
    /// Bytes of its file that may be read.
    pub bytes: u64,
}

/// Walks over the frames of a segment, beside the writer: it sees what was synced when it was opened.
pub struct Reader(Walk);

/// What is found at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A frame.
    Frame(Frame<'a>),
    /// So many bytes that are no frame, and why.
    Damaged(u64, &'static str),
}

impl Reader {
    /// Reads `segment` from byte `offset` on: 0 for all of it, or a [`Reader::position`] of before.
    ///
    /// # Errors
    /// Disk errors; [`base::Kind::NotFound`] when the segment is gone.
    pub fn open(fs: &dyn Fs, dir: &Path, segment: Segment, offset: u64) -> Result<Reader> {
        let file = fs.open(&dir.join(segment_name(segment.id)))?;
        Ok(Reader(Walk::between(file, segment.id, offset, segment.bytes)?))
    }

    /// Where the next record begins, in bytes.
    pub fn position(&self) -> u64 {
        self.0.position()
    }

    /// What comes next; `None` at the end of what was synced.
    #[allow(clippy::should_implement_trait)] // what it gives borrows from it
    pub fn next(&mut self) -> Option<Found<'_>> {
        loop {
            // Asked twice, because the borrow of a returned frame must not outlive the other way round.
            let is_mark = matches!(self.0.peek_is_mark(), Some(true));
            if is_mark {
                self.0.next();
                continue;
            }
            return match self.0.next()? {
                Item::Frame { seq, kind, payload, .. } => Some(Found::Frame(Frame { seq, kind, payload })),
                Item::Broken { bytes, reason, .. } => Some(Found::Damaged(bytes, reason)),
                Item::Mark { .. } | Item::Unused { .. } => None,
            };
        }
    }
}
