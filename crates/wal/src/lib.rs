//! The write-ahead log: segment files of opaque frames.
//!
//! What it is for: a frame handed to [`Wal::append`] is on the disk once [`Wal::sync`] returned (promise P1), is given
//! back once, in order and byte for byte by [`Wal::open`] after any crash, and goes only when the caller says that it is
//! no longer needed (P4). Damage costs exactly the frames it hits, and is set aside, counted and named (P9).
//!
//! Constraints: one writer, synchronous, all disk access through the [`disk::Fs`] seam, no knowledge of what a frame
//! means. Memory is bounded by the group being built and, in recovery, by the largest frame.
//!
//! Design, in short (the bytes are in `docs/formats/wal.md`):
//! - A *group* is what one sync acknowledges: a mark and its frames, written by one write and made durable by one
//!   `fdatasync`. The mark says how far this segment, and up to which sequence number the whole log, had been synced when
//!   it was written. So recovery can tell a torn tail (a group that was never acknowledged) from corruption.
//! - A record's header has a checksum of its own. So a damaged payload costs one frame with a known sequence number, and
//!   a length is never believed before it was checked.
//! - A failed sync is never repeated (P9): the segment is closed, the group's sequence numbers are burned, the next group
//!   goes to a new segment, and that segment's header says which numbers are burned.
//! - Small groups overwrite zeros that an earlier group wrote ahead of itself, which halves the time of a sync, because
//!   the file system has no metadata to write. Groups above [`limits::ZERO_AHEAD_MAX_GROUP_BYTES`] are appended: writing
//!   zeros first would double their bytes.
//!
//! Rejected: recycled segments (a small install would keep 64 MiB for them; checksums are salted with the segment's id,
//! so they can come later without a new format), `fallocate` (unwritten extents cost the metadata write that
//! preallocation is to save), fixed-size pages (a frame would be cut in pieces and could not be written verbatim).

mod damage;
mod format;
mod inspect;
pub mod limits;
mod reader;
mod recover;
mod walk;
mod writer;

pub use damage::Damage;
pub use format::Mark;
pub use inspect::{HeaderFacts, RecordFacts, SegmentFacts, inspect};
pub use reader::{Found, Reader, Segment};
pub use recover::Recovered;
pub use writer::{Settings, Wal};

/// One frame, as it is given back by [`Wal::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its place in the order of all frames; from 1, never used twice.
    pub seq: u64,
    /// The caller's, not looked at.
    pub kind: u8,
    /// The concatenated parts that were appended.
    pub payload: &'a [u8],
}

#[cfg(test)]
mod tests;
