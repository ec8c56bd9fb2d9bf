//! Recovery: reads the segments in order, hands out every valid frame, and decides about everything else whether it is a
//! torn tail or damage.
//!
//! A stretch between two valid records (a *hole*) was certainly synced if a later mark of the segment says so
//! ([`Mark::synced_bytes`]) or if a later segment says that the numbers it held were ([`Mark::synced_seq`], also in the
//! segment's header). If a later segment says the opposite, the hole belongs to a group whose sync failed. Where neither
//! is there, the hole lies in the last group before a crash.
//!
//! [`Mark::synced_bytes`]: crate::Mark::synced_bytes
//! [`Mark::synced_seq`]: crate::Mark::synced_seq

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Error, Kind, Result};
use disk::{File, Fs};

use crate::Frame;
use crate::damage::{Aside, Damage};
use crate::format::{HeaderRead, MARK_BYTES, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, VERSION, parse_segment_name};
use crate::limits::SEQ_PLAUSIBLE_AHEAD;
use crate::walk::{Item, Walk};

/// What [`crate::Wal::open`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Frames handed to `visit`.
    pub frames: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Bytes cut off behind the last valid record of a group that was never acknowledged.
    pub torn_tail_bytes: u64,
    /// What could not be used, in order.
    pub damage: Vec<Damage>,
    /// The number that the next appended frame gets.
    pub next_seq: u64,
}

/// A segment that takes no more groups.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    pub id: u64,
    /// All its frames have numbers below this.
    pub end_seq: u64,
    /// Bytes of its file.
    pub bytes: u64,
}

/// What the log is after recovery.
pub struct Outcome {
    pub recovered: Recovered,
    pub closed: Vec<Closed>,
    /// Every number below is in the log, set aside, or removed.
    pub synced_seq: u64,
}

/// The segments of a folder in order: id and path.
pub fn segments(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut out: Vec<_> =
        fs.list(dir)?.into_iter().filter(|e| !e.is_dir).filter_map(|e| Some((parse_segment_name(&e.name)?, dir.join(&e.name)))).collect();
    out.sort();
    Ok(out)
}

/// What is known of a segment before it is read through.
struct Segment {
    id: u64,
    path: PathBuf,
    /// `None` if nothing in it is readable.
    first: Option<First>,
}

/// How a segment begins: from its header, or else from its name (a segment's id is its first number) and first mark.
#[derive(Clone, Copy)]
struct First {
    /// No number in earlier segments is as large as this.
    first_seq: u64,
    /// What had been synced before it was begun; unknown if header and first mark are both damaged.
    synced_seq: Option<u64>,
}

fn look_at(fs: &dyn Fs, id: u64, path: PathBuf) -> Result<Segment> {
    let (header, mut walk) = Walk::open(fs.open(&path)?, id)?;
    let first = match header {
        HeaderRead::Good(h) => Some(First { first_seq: h.first_seq, synced_seq: Some(h.synced_seq) }),
        HeaderRead::Version(v) => {
            let text =
                format!("{}: the log has format version {v}, this program knows up to {VERSION}; start the newer program", path.display());
            return Err(Error::new(Kind::Invalid, text));
        }
        HeaderRead::Bad => first_record(&mut walk, id),
    };
    Ok(Segment { id, path, first })
}

/// For a segment whose header is damaged. `None` if nothing in it is valid: the file may be what a crash left of the very
/// first group, and says nothing about what was before it.
fn first_record(walk: &mut Walk, id: u64) -> Option<First> {
    while let Some(item) = walk.next() {
        let synced_seq = match item {
            // Later groups' marks speak of this segment's earlier groups too.
            Item::Mark { mark, .. } => (mark.synced_bytes == 0).then_some(mark.synced_seq),
            Item::Frame { .. } => None,
            Item::Broken { .. } | Item::Unused { .. } => continue,
        };
        return Some(First { first_seq: id, synced_seq });
    }
    None
}

/// A stretch that is no valid record.
struct Hole {
    offset: u64,
    bytes: u64,
    reason: &'static str,
    /// The number that should have come here; 0 if unknown.
    at_seq: u64,
    /// Numbers missing, the last one exclusive.
    missing: (u64, u64),
}

impl Hole {
    fn end(&self) -> u64 {
        self.offset + self.bytes
    }
}

/// Reads one segment, and remembers what is not valid in it.
struct Reading {
    holes: Vec<Hole>,
    /// The stretch since the last valid record.
    open: Option<Hole>,
    /// Where the last valid record ends.
    valid_end: u64,
    /// Bytes that a mark said to be synced.
    proven: u64,
    has_records: bool,
    /// Where the last hole that is no torn tail ends.
    holes_end: u64,
    file_bytes: u64,
}

pub struct Recovery<'a> {
    fs: &'a dyn Fs,
    from_seq: u64,
    visit: &'a mut dyn FnMut(Frame<'_>) -> Result<()>,
    aside: Aside<'a>,
    out: Recovered,
    /// The next number that should come; 0 while unknown.
    expect: u64,
    /// No number from here on has been seen.
    unseen_seq: u64,
}

/// Recovers the log in `dir`. See [`crate::Wal::open`].
pub fn recover(fs: &dyn Fs, dir: &Path, from_seq: u64, visit: &mut dyn FnMut(Frame<'_>) -> Result<()>) -> Result<Outcome> {
    fs.create_dir_all(dir)?;
    let found = segments(fs, dir)?;
    let last_id = found.last().map_or(0, |s| s.0);
    let all = found.into_iter().map(|(id, path)| look_at(fs, id, path)).collect::<Result<Vec<_>>>()?;
    let aside = Aside::new(fs, dir)?;
    let mut r = Recovery { fs, from_seq, visit, aside, out: Recovered::default(), expect: 0, unseen_seq: from_seq.max(1) };
    let mut closed = vec![];
    for (i, s) in all.iter().enumerate() {
        let next = all[i + 1..].iter().find_map(|s| s.first);
        if let Some(n) = next
            && n.first_seq <= from_seq
        {
            // All its frames are below: not needed, so not read.
            closed.push(Closed { id: s.id, end_seq: n.first_seq, bytes: fs.open(&s.path)?.len()? });
            continue;
        }
        match r.segment(s, next)? {
            Some(c) => closed.push(c),
            None => fs.remove(&s.path)?,
        }
    }
    // What was just seen, or seen to be gone, may have been so in the page cache alone. From here on it is so.
    fs.sync_dir(dir)?;
    // A segment's id is its first number, and ids are not used twice.
    let next_seq = r.unseen_seq.max(last_id + 1);
    r.out.next_seq = next_seq;
    let synced_seq = if r.expect == 0 { next_seq } else { r.expect };
    Ok(Outcome { recovered: r.out, closed, synced_seq })
}

impl Recovery<'_> {
    /// Reads a segment through. `next` is what the next readable segment says. `None` if there is nothing to keep.
    fn segment(&mut self, s: &Segment, next: Option<First>) -> Result<Option<Closed>> {
        let file = self.fs.open(&s.path)?;
        let (header, mut walk) = Walk::open(file.clone(), s.id)?;
        let mut reading = self.begin(header, s, next, walk.file_bytes());
        let max_seq = next.map_or(self.unseen_seq.saturating_add(SEQ_PLAUSIBLE_AHEAD), |n| n.first_seq);
        walk.expect(self.expect, max_seq);
        let mut unused = 0;
        while let Some(item) = walk.next() {
            match item {
                Item::Unused { bytes, .. } => unused = bytes,
                Item::Broken { offset, bytes, seq, reason } => self.broken(&mut reading, offset, bytes, seq, reason),
                Item::Mark { offset, mark } => {
                    self.valid(&mut reading, offset, MARK_BYTES as u64, mark.synced_seq);
                    self.expect = self.expect.max(mark.seq);
                    self.seen(mark.seq.saturating_add(mark.frames));
                    reading.proven = reading.proven.max(mark.synced_bytes.min(offset));
                }
                Item::Frame { offset, seq, kind, payload } => {
                    self.valid(&mut reading, offset, (RECORD_HEADER_BYTES + payload.len()) as u64, seq);
                    self.expect = seq.saturating_add(1);
                    self.seen(self.expect);
                    if seq >= self.from_seq {
                        self.out.frames += 1;
                        self.out.bytes += payload.len() as u64;
                        (self.visit)(Frame { seq, kind, payload })?;
                    }
                }
            }
        }
        self.finish(s, file, reading, unused, next)
    }

    fn begin(&mut self, header: HeaderRead, s: &Segment, next: Option<First>, file_bytes: u64) -> Reading {
        let header_bytes = (SEGMENT_HEADER_BYTES as u64).min(file_bytes);
        let mut r = Reading { holes: vec![], open: None, valid_end: header_bytes, proven: 0, has_records: false, holes_end: 0, file_bytes };
        match header {
            HeaderRead::Good(h) => {
                self.expect = self.expect.max(h.first_seq);
                self.seen(h.first_seq);
            }
            _ => {
                // The name says which number is first, also of a file that was cut to nothing. Not so the last file without a valid record:
                // its group may never have been acknowledged, so its numbers are not expected.
                let id = if s.first.is_some() || next.is_some() { s.id } else { 0 };
                self.expect = self.expect.max(id);
                let at_seq = self.expect;
                if header_bytes > 0 {
                    r.open =
                        Some(Hole { offset: 0, bytes: header_bytes, reason: "the segment's header is damaged", at_seq, missing: (0, 0) });
                }
            }
        }
        r
    }

    fn seen(&mut self, next: u64) {
        self.unseen_seq = self.unseen_seq.max(next);
    }

    fn broken(&mut self, r: &mut Reading, offset: u64, bytes: u64, seq: Option<u64>, reason: &'static str) {
        let expect = self.expect;
        let hole = r.open.get_or_insert(Hole { offset, bytes: 0, reason, at_seq: expect, missing: (0, 0) });
        hole.bytes = offset + bytes - hole.offset;
        if let Some(seq) = seq {
            self.seen(seq.saturating_add(1));
            let hole_first = if hole.missing.1 == 0 { seq } else { hole.missing.0 };
            hole.missing = (hole_first, seq.saturating_add(1));
        }
    }

    /// A valid record at `offset`, before which all numbers below `seq` should have been.
    fn valid(&mut self, r: &mut Reading, offset: u64, bytes: u64, seq: u64) {
        let missing = if self.expect > 0 && self.expect < seq { Some((self.expect, seq)) } else { None };
        let mut hole = r.open.take();
        if hole.is_none() && missing.is_some() {
            hole =
                Some(Hole { offset, bytes: 0, reason: "numbers are missing between valid records", at_seq: self.expect, missing: (0, 0) });
        }
        if let Some(mut h) = hole {
            // Without an expectation (nothing valid before), what intact headers said is all that is known.
            h.missing = missing.unwrap_or(if self.expect == 0 { h.missing } else { (0, 0) });
            r.holes.push(h);
        }
        r.has_records = true;
        r.valid_end = offset + bytes;
    }

    fn finish(&mut self, s: &Segment, file: Arc<dyn File>, mut r: Reading, unused: u64, next: Option<First>) -> Result<Option<Closed>> {
        let synced = next.and_then(|n| n.synced_seq);
        let lost_tail = synced.filter(|&s| self.expect > 0 && self.expect < s);
        if let Some(synced) = lost_tail {
            let reason = "the segment ends before frames that were synced";
            let mut tail =
                r.open.take().unwrap_or(Hole { offset: r.valid_end, bytes: unused, reason, at_seq: self.expect, missing: (0, 0) });
            tail.missing = (self.expect, synced);
            self.expect = synced;
            r.holes.push(tail);
        } else if let Some(n) = next.filter(|n| n.synced_seq.is_none()) {
            self.doubt_tail(&mut r, n.first_seq);
        }
        let mut kept_holes = false;
        for hole in std::mem::take(&mut r.holes) {
            r.holes_end = r.holes_end.max(hole.end());
            kept_holes |= self.judge(s.id, file.as_ref(), hole, r.proven, next);
        }
        self.out.torn_tail_bytes += r.open.as_ref().map_or(0, |h| h.bytes);
        if !r.has_records && !kept_holes {
            return Ok(None);
        }
        let end = r.holes_end.max(r.valid_end);
        let cut = end < r.file_bytes;
        // Neither is needed for what was acknowledged, so a failure does not stop the start. The cut gives back space. The
        // sync is for what a killed process left in the page cache: frames that from now on the log says it has, and cuts.
        let tidied = if cut { file.set_len(end) } else { Ok(()) }.and_then(|()| file.sync());
        if let Err(e) = tidied {
            tracing::warn!(segment = s.id, error = %e, "could not tidy the end of a segment");
        }
        Ok(Some(Closed { id: s.id, end_seq: next.map_or(self.unseen_seq, |n| n.first_seq), bytes: end.min(r.file_bytes) }))
    }

    /// The next segment begins with `first_seq`, but nobody says what was synced here: what is not valid stays as it is and
    /// is reported, and so are the numbers that nothing is known of.
    fn doubt_tail(&mut self, r: &mut Reading, first_seq: u64) {
        let missing = self.expect > 0 && self.expect < first_seq;
        let reason = "numbers are missing before the next segment";
        let nothing = missing.then_some(Hole { offset: r.valid_end, bytes: 0, reason, at_seq: self.expect, missing: (0, 0) });
        let Some(mut tail) = r.open.take().or(nothing) else { return };
        if missing {
            tail.missing = (self.expect, first_seq);
            self.expect = first_seq;
        }
        r.holes.push(tail);
    }

    /// Reports a hole as damage, or counts it as torn. True if it was reported.
    fn judge(&mut self, segment: u64, file: &dyn File, hole: Hole, proven: u64, next: Option<First>) -> bool {
        let synced = next.and_then(|n| n.synced_seq);
        let was_synced = hole.end() <= proven || synced.is_some_and(|s| hole.at_seq < s);
        if !was_synced && synced.is_some() {
            // A group whose sync failed: a later segment says that it was never acknowledged.
            self.out.torn_tail_bytes += hole.bytes;
            return false;
        }
        let first = hole.missing.0.max(self.from_seq);
        let seq_range = (first < hole.missing.1).then(|| (first, hole.missing.1 - 1));
        let mut d =
            Damage { segment, offset: hole.offset, bytes: hole.bytes, reason: hole.reason.into(), seq_range, was_synced, known: false };
        self.aside.take(file, &mut d);
        if !d.known {
            tracing::warn!(segment, offset = d.offset, bytes = d.bytes, reason = d.reason, was_synced, "damaged stretch of the log");
        }
        self.out.damage.push(d);
        true
    }
}
