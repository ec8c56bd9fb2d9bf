//! Walks over one segment's records, past whatever is damaged, without writing and in bounded memory.

use std::io;
use std::sync::Arc;

use disk::File;

use crate::format::{HeaderRead, Mark, RECORD_HEADER_BYTES, RECORD_MAGIC, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::limits::{READ_BYTES, READ_PIECE_BYTES};

/// A file read through a moving window.
struct Window {
    file: Arc<dyn File>,
    file_bytes: u64,
    start: u64,
    bytes: Vec<u8>,
    /// Stretches that could not be read (they read as zeros): offset and length.
    unreadable: Vec<(u64, u64)>,
}

impl Window {
    fn new(file: Arc<dyn File>) -> io::Result<Self> {
        let file_bytes = file.len()?;
        Ok(Window { file, file_bytes, start: 0, bytes: vec![], unreadable: vec![] })
    }

    /// The bytes from `at`, `len` of them or fewer at the end of the file.
    fn get(&mut self, at: u64, len: usize) -> &[u8] {
        let len = (len as u64).min(self.file_bytes.saturating_sub(at)) as usize;
        let end = self.start + self.bytes.len() as u64;
        if at < self.start || at + len as u64 > end {
            self.load(at, len.max(READ_BYTES));
        }
        let from = (at - self.start) as usize;
        &self.bytes[from..from + len]
    }

    fn load(&mut self, at: u64, len: usize) {
        let len = (len as u64).min(self.file_bytes.saturating_sub(at)) as usize;
        self.start = at;
        self.bytes.clear();
        self.bytes.resize(len, 0);
        if self.file.read_exact_at(at, &mut self.bytes).is_ok() {
            return;
        }
        self.bytes.fill(0);
        // Pieces begin at multiples of their size, so that a bad sector spoils one piece however the window lies.
        let mut from = 0;
        while from < len {
            let to = len.min(from + READ_PIECE_BYTES - (at as usize + from) % READ_PIECE_BYTES);
            let piece = &mut self.bytes[from..to];
            if self.file.read_exact_at(at + from as u64, piece).is_err() {
                piece.fill(0);
                let stretch = (at + from as u64, (to - from) as u64);
                if !self.unreadable.contains(&stretch) {
                    self.unreadable.push(stretch);
                }
            }
            from = to;
        }
    }

    fn is_unreadable(&self, from: u64, to: u64) -> bool {
        self.unreadable.iter().any(|&(at, len)| at < to && at + len > from)
    }
}

/// What is found at a place of a segment. Offsets count from the beginning of the file.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A whole mark.
    Mark { offset: u64, mark: Mark },
    /// A whole frame.
    Frame { offset: u64, seq: u64, kind: u8, payload: &'a [u8] },
    /// Bytes that are no valid record, up to the next one or to the end of the file.
    Broken { offset: u64, bytes: u64, seq: Option<u64>, reason: &'static str },
    /// Zeros up to the end of the file: space prepared for later groups.
    Unused { offset: u64, bytes: u64 },
}

/// The walk itself.
pub struct Walk {
    window: Window,
    segment: u64,
    at: u64,
    /// The next record's sequence number is not below this.
    min_seq: u64,
    /// A record found by scanning past damage has a sequence number below this.
    max_seq: u64,
}

impl Walk {
    /// Opens a segment for a walk; the walk begins behind the header.
    pub fn open(file: Arc<dyn File>, segment: u64) -> io::Result<(HeaderRead, Walk)> {
        let mut window = Window::new(file)?;
        let header = SegmentHeader::decode(window.get(0, SEGMENT_HEADER_BYTES), segment);
        let at = (SEGMENT_HEADER_BYTES as u64).min(window.file_bytes);
        Ok((header, Walk { window, segment, at, min_seq: 0, max_seq: u64::MAX }))
    }

    /// Opens a segment that is being written, for a walk over the records from `at` to `end`, which were synced.
    pub fn between(file: Arc<dyn File>, segment: u64, at: u64, end: u64) -> io::Result<Walk> {
        let mut window = Window::new(file)?;
        window.file_bytes = window.file_bytes.min(end);
        let at = at.max(SEGMENT_HEADER_BYTES as u64).min(window.file_bytes);
        Ok(Walk { window, segment, at, min_seq: 0, max_seq: u64::MAX })
    }

    /// Where the next record begins.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Says which sequence numbers are plausible: those from `min`, and below `max` where a scan finds them.
    pub fn expect(&mut self, min: u64, max: u64) {
        (self.min_seq, self.max_seq) = (min, max);
    }

    /// Length of the file.
    pub fn file_bytes(&self) -> u64 {
        self.window.file_bytes
    }

    /// The next record or damage; `None` at the end of the file.
    pub fn next(&mut self) -> Option<Item<'_>> {
        if self.at >= self.window.file_bytes {
            return None;
        }
        let offset = self.at;
        let Some(h) = self.header_at(offset) else {
            return Some(self.scan(offset));
        };
        let whole = RECORD_HEADER_BYTES + h.len as usize;
        if offset + whole as u64 > self.window.file_bytes {
            // The length is true (its checksum is right), so nothing can follow: the file was cut.
            self.at = self.window.file_bytes;
            let bytes = self.at - offset;
            return Some(Item::Broken { offset, bytes, seq: frame_seq(&h), reason: "the file ends within the record" });
        }
        self.at += whole as u64;
        if !h.is_mark {
            self.min_seq = h.seq.saturating_add(1);
        }
        let record = self.window.get(offset, whole);
        if !h.holds(record, &record[RECORD_HEADER_BYTES..]) {
            let unreadable = self.window.is_unreadable(offset, offset + whole as u64);
            let reason = if unreadable { "the disk cannot read it" } else { "the record's checksum is wrong" };
            return Some(Item::Broken { offset, bytes: whole as u64, seq: frame_seq(&h), reason });
        }
        // Asked again, because the borrow of a returned slice must not outlive the other way out.
        let payload = &self.window.get(offset, whole)[RECORD_HEADER_BYTES..];
        Some(match h.is_mark {
            true => Item::Mark { offset, mark: Mark::decode(h.seq, payload) },
            false => Item::Frame { offset, seq: h.seq, kind: h.kind, payload },
        })
    }

    /// Whether a whole mark comes next; `None` if no valid header does.
    pub fn peek_is_mark(&mut self) -> Option<bool> {
        if self.at >= self.window.file_bytes {
            return None;
        }
        let at = self.at;
        let h = self.header_at(at)?;
        if !h.is_mark {
            return Some(false);
        }
        let whole = RECORD_HEADER_BYTES + h.len as usize;
        let record = self.window.get(at, whole);
        Some(record.len() == whole && h.holds(record, &record[RECORD_HEADER_BYTES..]))
    }

    /// A plausible record header at `at`.
    fn header_at(&mut self, at: u64) -> Option<RecordHeader> {
        let h = RecordHeader::decode(self.window.get(at, RECORD_HEADER_BYTES), self.segment)?;
        (h.seq >= self.min_seq && h.seq < self.max_seq).then_some(h)
    }

    /// Looks for the next plausible header after damage that begins at `from`.
    fn scan(&mut self, from: u64) -> Item<'static> {
        let mut at = from + 1;
        let mut zeros = true;
        let end = self.window.file_bytes;
        zeros &= self.window.get(from, 1) == [0];
        while at < end {
            let chunk = self.window.get(at, READ_BYTES);
            let len = chunk.len();
            // The last bytes of a chunk are looked at again with the next, so that no header lies across the border.
            let keep = if at + len as u64 == end { 0 } else { RECORD_HEADER_BYTES };
            let found = candidates(chunk).find(|&i| {
                i + keep < len.max(1)
                    && RecordHeader::decode(&chunk[i..], self.segment).is_some_and(|h| h.seq >= self.min_seq && h.seq < self.max_seq)
            });
            let looked_at = found.unwrap_or(len - keep);
            zeros &= chunk[..looked_at].iter().all(|&b| b == 0);
            at += looked_at as u64;
            if found.is_some() {
                break;
            }
        }
        self.at = at;
        let unreadable = self.window.is_unreadable(from, at);
        if zeros && at >= end && !unreadable {
            return Item::Unused { offset: from, bytes: end - from };
        }
        let reason = if unreadable { "the disk cannot read it" } else { "no valid record" };
        Item::Broken { offset: from, bytes: at - from, seq: None, reason }
    }
}

/// The sequence number that is lost with a record; a mark has none of its own.
fn frame_seq(h: &RecordHeader) -> Option<u64> {
    (!h.is_mark).then_some(h.seq)
}

/// Places in `bytes` where a record could begin.
fn candidates(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let first = RECORD_MAGIC[0];
    bytes.iter().enumerate().filter(move |(i, b)| **b == first && bytes[*i..].starts_with(&RECORD_MAGIC)).map(|(i, _)| i)
}
