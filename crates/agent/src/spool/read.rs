//! Reading frames for a lane.

use base::{Kind, Result};
use wal::Found;

use super::frame::{self, Section, kind};
use super::index::Held;
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

impl Spool {
    /// Reads on from `cursor`, up to frame `until` or until `max_bytes` of bodies were read (one frame is read whole), and
    /// gives each section that `endpoint` takes to `visit`. The cursor moves behind what was read.
    ///
    /// # Errors
    /// Disk errors; the cursor is where it was.
    pub fn read(
        &self,
        endpoint: usize,
        cursor: &mut Cursor,
        until: u64,
        max_bytes: usize,
        visit: &mut dyn FnMut(Section<&[u8]>),
    ) -> Result<Taken> {
        let mut taken = Taken { from: cursor.seq, to: cursor.seq, held: vec![], damaged: false };
        let mut bytes = 0;
        while bytes < max_bytes && taken.held.len() < crate::limits::FRAMES_PER_REQUEST {
            let (segment, reader) = {
                let index = self.index.lock();
                if cursor.seq >= until.min(index.next_seq) {
                    break;
                }
                match index.segments.iter().find(|s| s.segment.end_seq > cursor.seq) {
                    Some(s) => (s.segment, index.endpoints[endpoint].reader.clone()),
                    // Burned numbers at the end: no frame has them.
                    None => {
                        cursor.seq = until.min(index.next_seq);
                        taken.to = cursor.seq;
                        break;
                    }
                }
            };
            let offset = if cursor.segment == segment.id { cursor.offset } else { 0 };
            let opened = wal::Reader::open(self.fs.as_ref(), &self.dir.join(WAL_FOLDER), segment, offset);
            let mut frames = match opened {
                Ok(r) => r,
                // It went while nobody looked: all of it is done with.
                Err(e) if e.kind() == Kind::NotFound => {
                    cursor.seq = segment.end_seq;
                    taken.to = cursor.seq;
                    continue;
                }
                Err(e) => return Err(e),
            };
            cursor.segment = segment.id;
            let mut ended = true;
            loop {
                let before = frames.position();
                let Some(found) = frames.next() else { break };
                let Found::Frame(f) = found else {
                    // What the start has found is accounted for; new damage is, at the next start.
                    if segment.id >= self.begun_at_seq {
                        taken.damaged = true;
                        self.damaged.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        tracing::error!(segment = segment.id, offset = before, "a stretch of the spool cannot be read; the rest is sent");
                    }
                    continue;
                };
                if f.seq < cursor.seq {
                    continue;
                }
                if f.seq >= until || bytes >= max_bytes {
                    (ended, cursor.offset) = (false, before);
                    break;
                }
                cursor.seq = f.seq + 1;
                if f.kind != kind::BATCH || self.index.lock().endpoints[endpoint].acked.contains(f.seq) {
                    continue;
                }
                let Some((head, sections)) = frame::decode(f.payload) else { continue };
                let held = Held::of(f.seq, &head, &sections, &reader);
                if held.taken_rows == 0 && !sections.iter().any(|s| reader.takes.contains(&s.head.format)) {
                    continue;
                }
                bytes += f.payload.len();
                taken.held.push(held);
                sections.into_iter().filter(|s| reader.takes.contains(&s.head.format)).for_each(&mut *visit);
            }
            if ended {
                cursor.offset = frames.position();
                cursor.seq = cursor.seq.max(segment.end_seq.min(until));
            }
            taken.to = cursor.seq;
        }
        Ok(taken)
    }
}

/// How far a lane is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Bytes of the log that it has not read, to the accuracy of a segment.
    pub bytes: u64,
    /// Nanoseconds since the segment that comes next was last written to; 0 if that is the last one.
    pub age_ns: i64,
}

impl Spool {
    /// How far a lane is behind whose next frame is `seq`.
    pub fn lag(&self, seq: u64) -> Lag {
        let index = self.index.lock();
        let mut ahead = index.segments.iter().filter(|s| s.segment.end_seq > seq).peekable();
        let next = ahead.peek().map_or(0, |s| s.written_ns);
        let (count, bytes) = ahead.fold((0, 0), |(n, b), s| (n + 1, b + s.segment.bytes));
        Lag { bytes, age_ns: if count > 1 { self.clock.elapsed_ns() - next } else { 0 } }
    }
}
