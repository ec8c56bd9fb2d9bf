//! Reading frames for a lane.

use std::sync::atomic::Ordering;

use base::{Kind, Result};
use wal::Found;

use super::frame::{self, Section, kind};
use super::index::{Held, Reader, SegmentState};
use super::{Spool, WAL_FOLDER};

/// Where a lane is: the next frame, and where it lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Number of the next frame.
    pub seq: u64,
    segment: u64,
    offset: u64,
}

impl Cursor {
    /// At the frame with this number.
    pub fn at(seq: u64) -> Cursor {
        Cursor { seq, segment: 0, offset: 0 }
    }
}

/// What a lane has read.
#[derive(Debug, Default)]
pub struct Taken {
    /// The first frame that was passed.
    pub from: u64,
    /// The first frame that was not.
    pub to: u64,
    /// The frames among them that the endpoint takes and has not acknowledged.
    pub held: Vec<Held>,
    /// Frames may be missing among them that have not been accounted for: only those that are held may be acknowledged.
    pub damaged: bool,
}

/// What a reading is about.
struct Reading<'v> {
    endpoint: usize,
    reader: Reader,
    until: u64,
    max_bytes: usize,
    /// Bytes read so far.
    bytes: usize,
    taken: Taken,
    visit: &'v mut dyn FnMut(Section<&[u8]>),
}

impl Reading<'_> {
    fn is_full(&self) -> bool {
        self.bytes >= self.max_bytes || self.taken.held.len() >= crate::limits::FRAMES_PER_REQUEST
    }

    /// Takes what the endpoint takes of a frame that it has not acknowledged.
    fn take(&mut self, seq: u64, payload: &[u8]) {
        let Some((head, sections)) = frame::decode(payload) else { return };
        let takes = |s: &Section<&[u8]>| self.reader.wants(&head, &s.head);
        if !sections.iter().any(takes) {
            return;
        }
        self.bytes += payload.len();
        self.taken.held.push(Held::of(seq, &head, &sections, &self.reader));
        sections.into_iter().filter(takes).for_each(&mut *self.visit);
    }
}

impl Spool {
    /// Reads on from `cursor`, up to frame `until` or until `max_bytes` of bodies were read (one frame is read whole), and
    /// gives each section that `endpoint` takes to `visit`. The cursor moves behind what was read.
    ///
    /// # Errors
    /// Disk errors; what was visited is not to be used then, and the cursor to be set back.
    pub fn read(
        &self,
        endpoint: usize,
        cursor: &mut Cursor,
        until: u64,
        max_bytes: usize,
        visit: &mut dyn FnMut(Section<&[u8]>),
    ) -> Result<Taken> {
        let reader = self.index.lock().endpoints[endpoint].reader.clone();
        let taken = Taken { from: cursor.seq, ..Taken::default() };
        let mut reading = Reading { endpoint, reader, until, max_bytes, bytes: 0, taken, visit };
        while !reading.is_full() {
            let segment = {
                let index = self.index.lock();
                let end = until.min(index.next_seq);
                if cursor.seq >= end {
                    break;
                }
                let segment = index.segments.iter().find(|s| s.segment.end_seq > cursor.seq).map(|s| s.segment);
                // Burned numbers at the end: no frame has them.
                let Some(segment) = segment else {
                    cursor.seq = end;
                    break;
                };
                segment
            };
            self.read_segment(segment, cursor, &mut reading)?;
        }
        reading.taken.to = cursor.seq;
        Ok(reading.taken)
    }

    /// Reads on in one segment.
    fn read_segment(&self, segment: wal::Segment, cursor: &mut Cursor, reading: &mut Reading<'_>) -> Result<()> {
        let offset = if cursor.segment == segment.id { cursor.offset } else { 0 };
        let mut frames = match wal::Reader::open(self.fs.as_ref(), &self.dir.join(WAL_FOLDER), segment, offset) {
            Ok(r) => r,
            // It went while nobody looked: all of it is done with.
            Err(e) if e.kind() == Kind::NotFound => {
                cursor.seq = segment.end_seq;
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        cursor.segment = segment.id;
        loop {
            let before = frames.position();
            cursor.offset = before;
            let f = match frames.next() {
                Some(Found::Frame(f)) => f,
                Some(Found::Damaged(..)) => {
                    self.unreadable(segment.id, before, reading);
                    continue;
                }
                None => break,
            };
            if f.seq < cursor.seq {
                continue;
            }
            if f.seq >= reading.until || reading.is_full() {
                return Ok(());
            }
            cursor.seq = f.seq + 1;
            if f.kind == kind::BATCH && !self.index.lock().endpoints[reading.endpoint].acked.contains(f.seq) {
                reading.take(f.seq, f.payload);
            }
        }
        cursor.seq = cursor.seq.max(segment.end_seq.min(reading.until));
        Ok(())
    }

    /// What the start has found is accounted for; new damage is, at the next start.
    fn unreadable(&self, segment: u64, offset: u64, reading: &mut Reading<'_>) {
        if segment >= self.begun_at_seq {
            reading.taken.damaged = true;
            self.damaged.fetch_add(1, Ordering::Relaxed);
            tracing::error!(segment, offset, "a stretch of the spool cannot be read; the rest is sent");
        }
    }
}

/// How far a lane is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Bytes of the log that it has not read; when it has just been put somewhere, to the accuracy of a segment.
    pub bytes: u64,
    /// Nanoseconds since the segment that comes next was last written to; 0 if that is the last one.
    pub age_ns: i64,
}

impl Spool {
    /// How far a lane is behind.
    pub fn lag(&self, cursor: &Cursor) -> Lag {
        let index = self.index.lock();
        let mut ahead = index.segments.iter().filter(|s| s.segment.end_seq > cursor.seq).peekable();
        let next = ahead.peek().map_or(0, |s| s.written_ns);
        let read = |s: &SegmentState| if s.segment.id == cursor.segment { cursor.offset } else { 0 };
        let (count, bytes) = ahead.fold((0, 0), |(n, b), s| (n + 1, b + s.segment.bytes.saturating_sub(read(s))));
        Lag { bytes, age_ns: if count > 1 { self.clock.elapsed_ns() - next } else { 0 } }
    }
}
