//! The writing side: groups, segments, and what happens when the disk says no.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Error, Kind, Result};
use disk::{File, Fs};

use crate::format::{MARK_BYTES, Mark, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, frame_header, segment_name};
use crate::limits::{PAYLOAD_BYTES, SEGMENT_BYTES, SEGMENT_MIN_BYTES, ZERO_AHEAD_BYTES, ZERO_AHEAD_MAX_GROUP_BYTES};
use crate::recover::{self, Closed, Recovered};
use crate::{Frame, Segment};

/// Settings of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A segment takes no further group once it would become larger than this, in bytes; one group alone may be larger.
    pub segment_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { segment_bytes: SEGMENT_BYTES }
    }
}

impl Settings {
    /// Checks the values.
    pub fn validate(&self) -> Result<()> {
        if self.segment_bytes < SEGMENT_MIN_BYTES {
            return Err(Error::invalid(format!("segment_bytes is {}, it must be at least {SEGMENT_MIN_BYTES}", self.segment_bytes)));
        }
        Ok(())
    }
}

/// The group being built: room for a segment's header and the mark, then frames whose headers are filled in when the
/// segment is known.
struct Group {
    bytes: Vec<u8>,
    /// Where each frame begins in `bytes`, and its kind.
    frames: Vec<(usize, u8)>,
    first_seq: u64,
}

/// What is written ahead. It is never touched in memory, so it takes none.
static ZEROS: [u8; ZERO_AHEAD_BYTES as usize] = [0; ZERO_AHEAD_BYTES as usize];

/// Where the frames begin in a group's buffer.
const FRAMES_AT: usize = SEGMENT_HEADER_BYTES + MARK_BYTES;

impl Group {
    fn new(first_seq: u64) -> Self {
        Group { bytes: vec![0; FRAMES_AT], frames: vec![], first_seq }
    }

    /// Empties it for the next group. A buffer that an unusually large group has left goes back to the system.
    fn restart(&mut self, first_seq: u64) {
        self.bytes.clear();
        self.bytes.shrink_to(2 * ZERO_AHEAD_BYTES as usize);
        self.bytes.resize(FRAMES_AT, 0);
        self.frames.clear();
        self.first_seq = first_seq;
    }

    fn frame_bytes(&self) -> u64 {
        (self.bytes.len() - FRAMES_AT) as u64
    }

    /// Fills in the headers for `segment`; `synced_bytes` is 0 for its first group. Returns where the bytes to write begin.
    fn seal(&mut self, segment: u64, synced_seq: u64, synced_bytes: u64) -> usize {
        let bytes = self.frame_bytes();
        let ends = self.frames.iter().skip(1).map(|f| f.0).chain([self.bytes.len()]).collect::<Vec<_>>();
        for (i, (&(at, kind), end)) in self.frames.iter().zip(ends).enumerate() {
            let (head, payload) = self.bytes[at..end].split_at_mut(RECORD_HEADER_BYTES);
            head.copy_from_slice(&frame_header(segment, kind, self.first_seq + i as u64, payload));
        }
        let mark = Mark { seq: self.first_seq, synced_seq, synced_bytes, frames: self.frames.len() as u64, bytes };
        self.bytes[SEGMENT_HEADER_BYTES..FRAMES_AT].copy_from_slice(&mark.encode(segment));
        if synced_bytes > 0 {
            return SEGMENT_HEADER_BYTES;
        }
        let header = SegmentHeader { id: segment, first_seq: self.first_seq, synced_seq };
        self.bytes[..SEGMENT_HEADER_BYTES].copy_from_slice(&header.encode());
        0
    }
}

/// The segment that takes groups.
struct Open {
    id: u64,
    file: Arc<dyn File>,
    /// Bytes that are synced: the next group goes here. 0 in a new segment.
    synced_bytes: u64,
    /// Length of the file, the zeros ahead included.
    file_bytes: u64,
}

/// The write-ahead log. One thread owns it.
pub struct Wal {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    settings: Settings,
    closed: VecDeque<Closed>,
    open: Option<Open>,
    /// Every number below is accounted for on the disk.
    synced_seq: u64,
    next_seq: u64,
    group: Group,
}

impl Wal {
    /// Opens the log in `dir` (made if missing) and recovers: calls `visit` for every valid frame with `seq >= from_seq`
    /// in order, sets damaged stretches aside byte for byte in `dir/damaged/`, and is then ready to append to a new
    /// segment. Segments that hold nothing from `from_seq` on are not read.
    ///
    /// # Errors
    /// What `visit` returns; [`Kind::Invalid`] if a newer program wrote the log; disk errors. Damage is no error.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        settings: Settings,
        from_seq: u64,
        visit: &mut dyn FnMut(Frame<'_>) -> Result<()>,
    ) -> Result<(Wal, Recovered)> {
        settings.validate()?;
        let o = recover::recover(fs.as_ref(), dir, from_seq, visit).map_err(|e| e.context(format!("write-ahead log {}", dir.display())))?;
        let next_seq = o.recovered.next_seq;
        let wal = Wal {
            fs,
            dir: dir.to_path_buf(),
            settings,
            closed: o.closed.into(),
            open: None,
            synced_seq: o.synced_seq,
            next_seq,
            group: Group::new(next_seq),
        };
        Ok((wal, o.recovered))
    }

    /// Adds a frame to the group being built; its payload is the concatenation of `parts`. Returns its sequence number.
    ///
    /// # Errors
    /// [`Kind::TooLarge`] if the payload is above [`crate::limits::PAYLOAD_BYTES`]; the group is as it was.
    pub fn append(&mut self, kind: u8, parts: &[&[u8]]) -> Result<u64> {
        let len: usize = parts.iter().map(|p| p.len()).sum();
        if len > PAYLOAD_BYTES {
            return Err(Error::new(Kind::TooLarge, format!("a frame of {len} bytes is above the log's bound of {PAYLOAD_BYTES}")));
        }
        self.group.frames.push((self.group.bytes.len(), kind));
        self.group.bytes.reserve(RECORD_HEADER_BYTES + len);
        self.group.bytes.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
        for p in parts {
            self.group.bytes.extend_from_slice(p);
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        Ok(seq)
    }

    /// Writes the group and makes it durable; its frames may be acknowledged once this returns `Ok`. Does nothing if the
    /// group is empty.
    ///
    /// # Errors
    /// Disk errors, a full disk as [`Kind::Unavailable`]. Nothing of the group is acknowledged then (it may come back
    /// after a crash or not), its sequence numbers are burned, and its segment is done with: never synced again (P9).
    /// What the attempt took of the disk is given back, so that repeating it on a full disk eats no space.
    pub fn sync(&mut self) -> Result<()> {
        if self.group.frames.is_empty() {
            return Ok(());
        }
        let written = self.write_group();
        if written.is_ok() {
            self.synced_seq = self.next_seq;
        } else {
            self.give_up_segment();
        }
        self.group.restart(self.next_seq);
        written.map_err(|e| Error::from(e).context("write-ahead log"))
    }

    /// Drops the group being built. Its sequence numbers are used again: nothing of it has been written.
    pub fn abandon(&mut self) {
        self.next_seq = self.group.first_seq;
        self.group.restart(self.next_seq);
    }

    /// Starts a new segment: the group being built, or the next one, goes there. Returns the first sequence number that
    /// will be in it.
    ///
    /// # Errors
    /// None at present; the signature leaves room for a disk that is asked.
    pub fn rotate(&mut self) -> Result<u64> {
        self.close_segment();
        Ok(self.group.first_seq)
    }

    /// Removes whole segments all of whose frames have `seq` below this one, oldest first, and syncs the directory.
    ///
    /// # Errors
    /// Disk errors. Calling it again goes on where it stopped.
    pub fn remove_before(&mut self, seq: u64) -> Result<()> {
        if self.group.first_seq <= seq && self.open.is_some() {
            self.close_segment();
        }
        let mut removed = false;
        while let Some(c) = self.closed.front().filter(|c| c.end_seq <= seq) {
            match self.fs.remove(&self.dir.join(segment_name(c.id))) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::from(e).context("write-ahead log")),
                _ => {}
            }
            self.closed.pop_front();
            removed = true;
        }
        if removed {
            self.fs.sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// The sequence number that the next appended frame gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Bytes of the segment that takes groups; `None` if the next group begins a new one.
    pub fn open_bytes(&self) -> Option<u64> {
        self.open.as_ref().map(|o| o.synced_bytes)
    }

    /// The segments in order, as far as they were synced: what a [`crate::Reader`] may read.
    pub fn segments(&self) -> Vec<Segment> {
        let closed = self.closed.iter().map(|c| Segment { id: c.id, end_seq: c.end_seq, bytes: c.bytes });
        let open =
            self.open.iter().filter(|o| o.synced_bytes > 0).map(|o| Segment { id: o.id, end_seq: self.synced_seq, bytes: o.synced_bytes });
        closed.chain(open).collect()
    }

    /// Bytes of the segments, without what is prepared for later groups.
    pub fn bytes(&self) -> u64 {
        self.closed.iter().map(|c| c.bytes).sum::<u64>() + self.open.as_ref().map_or(0, |o| o.synced_bytes)
    }

    /// Clean stop: drops the group being built, cuts the space that was prepared for later groups, and seals the last
    /// segment with a mark that says that all of it was synced.
    ///
    /// # Errors
    /// Disk errors. Nothing that was acknowledged is in danger then: the next start finds an unclean stop.
    pub fn close(mut self) -> Result<()> {
        self.abandon();
        if let Some(o) = self.open.take() {
            let mark = Mark { seq: self.next_seq, synced_seq: self.synced_seq, synced_bytes: o.synced_bytes, frames: 0, bytes: 0 };
            o.file.write_at(o.synced_bytes, &mark.encode(o.id))?;
            o.file.set_len(o.synced_bytes + MARK_BYTES as u64)?;
            o.file.sync()?;
        }
        Ok(())
    }

    fn write_group(&mut self) -> io::Result<()> {
        let len = self.group.frame_bytes() + MARK_BYTES as u64;
        if self.open.as_ref().is_some_and(|o| o.synced_bytes + len > self.settings.segment_bytes) {
            self.close_segment();
        }
        let mut open = match self.open.take() {
            Some(o) => o,
            None => self.create_segment()?,
        };
        let done = self.write_into(&mut open);
        // Kept also when it failed: giving up needs to know how far it was synced.
        self.open = Some(open);
        done
    }

    fn create_segment(&mut self) -> io::Result<Open> {
        // Numbers are never used twice, so neither is an id, also when the folder was emptied.
        let id = self.group.first_seq;
        let file = self.fs.create(&self.dir.join(segment_name(id)))?;
        Ok(Open { id, file, synced_bytes: 0, file_bytes: 0 })
    }

    /// One write, now and then one more for the zeros ahead, and one sync; in a new segment also the directory's.
    fn write_into(&mut self, o: &mut Open) -> io::Result<()> {
        let from = self.group.seal(o.id, self.synced_seq, o.synced_bytes);
        let group = &self.group.bytes[from..];
        let end = o.synced_bytes + group.len() as u64;
        o.file.write_at(o.synced_bytes, group)?;
        let mut file_bytes = o.file_bytes.max(end);
        let ahead = self.zeros_ahead(o, end, group.len() as u64);
        if ahead > 0 {
            match o.file.write_at(end, &ZEROS[..ahead as usize]) {
                Ok(()) => file_bytes = end + ahead,
                // The group may fit where the zeros do not.
                Err(e) if e.kind() == io::ErrorKind::StorageFull => o.file.set_len(file_bytes)?,
                Err(e) => return Err(e),
            }
        }
        o.file.sync()?;
        if o.synced_bytes == 0 {
            self.fs.sync_dir(&self.dir)?;
        }
        (o.synced_bytes, o.file_bytes) = (end, file_bytes);
        Ok(())
    }

    /// How many zeros to write behind a group that ends at `end`.
    fn zeros_ahead(&self, o: &Open, end: u64, group_bytes: u64) -> u64 {
        if end <= o.file_bytes || group_bytes > ZERO_AHEAD_MAX_GROUP_BYTES {
            return 0;
        }
        ZERO_AHEAD_BYTES.min(self.settings.segment_bytes.saturating_sub(end))
    }

    /// Ends the open segment in good order. The cut is for the disk's space alone, so it needs no sync and may fail.
    fn close_segment(&mut self) {
        let Some(o) = self.open.take() else { return };
        if o.file_bytes > o.synced_bytes
            && let Err(e) = o.file.set_len(o.synced_bytes)
        {
            tracing::warn!(segment = o.id, error = %e, "could not cut the unused end of a segment");
        }
        self.closed.push_back(Closed { id: o.id, end_seq: self.group.first_seq, bytes: o.synced_bytes });
    }

    /// Ends a segment whose last group failed, and gives back the space that the group took.
    fn give_up_segment(&mut self) {
        let Some(o) = self.open.take() else { return };
        let freed = if o.synced_bytes == 0 {
            drop(o.file);
            self.fs.remove(&self.dir.join(segment_name(o.id)))
        } else {
            o.file.set_len(o.synced_bytes)
        };
        if let Err(e) = &freed {
            tracing::warn!(segment = o.id, error = %e, "could not give back the space of a group that failed");
        }
        if o.synced_bytes > 0 || freed.is_err() {
            self.closed.push_back(Closed { id: o.id, end_seq: self.next_seq, bytes: o.synced_bytes });
        }
    }
}
