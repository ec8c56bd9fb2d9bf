//! One file that is followed: opening it, knowing it again, reading the next stretch.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::content::Content;
use super::lines::{self, Rules, Taken};
use super::position::{Position, Print};
use crate::deliver::Lines;
use crate::limits::{HEAD_BYTES, READ_BYTES, TAIL_BYTES};

/// Device and inode: which file, as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
}

impl FileId {
    /// Of the file that `m` describes.
    pub fn of(m: &Metadata) -> FileId {
        FileId { dev: m.dev(), ino: m.ino() }
    }
}

/// What tells that a file was written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Bytes.
    pub len: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl Look {
    /// From what the file system says.
    pub fn of(m: &Metadata) -> Look {
        Look { len: m.len(), mtime: (m.mtime(), m.mtime_nsec()), ctime: (m.ctime(), m.ctime_nsec()) }
    }
}

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A pattern matches its path.
    Live,
    /// It was matched once; it is read to its end, and for a while after.
    Rotated,
    /// Read to its end. Remembered, so that it is not taken for a new file, until it is gone.
    Done,
    /// Not a text file: left alone.
    Skipped,
}

/// A followed file.
pub struct Tail {
    /// Which file.
    pub id: FileId,
    /// Name of its position in the store.
    pub source: String,
    /// Where it has been read to, the waiting batch included.
    pub position: Position,
    /// Where it lies now.
    pub at: PathBuf,
    /// What is done with it.
    pub state: State,
    /// Whether the store knows a position of it.
    pub stored: bool,
    /// A batch that the store has not taken yet. Nothing is read while there is one.
    pub waiting: Option<Lines>,
    /// How the file looked when it was last read to its end.
    pub seen: Look,
    /// How it looked when files were last looked for.
    pub latest: Look,
    /// When it last changed, nanoseconds.
    pub active_ns: i64,
    /// It may be a copy of another file: nothing is read before that is known.
    pub suspect: bool,
    /// That it cannot be read was said.
    pub complained: bool,
    /// It cannot be read now.
    pub unreadable: bool,
    /// Its descriptor while it is open.
    pub file: Option<Content>,
}

/// The next stretch of a file.
pub enum Next {
    /// No whole line is there.
    Nothing,
    /// The bytes before the position are not those that were read: the content was replaced.
    Replaced,
    /// Lines, and where they end.
    Lines(Vec<String>, Taken),
}

impl Tail {
    /// A file that was just found at `at`.
    pub fn new(id: FileId, source: String, position: Position, at: PathBuf, state: State, now_ns: i64) -> Tail {
        Tail {
            id,
            source,
            position,
            at,
            state,
            stored: false,
            waiting: None,
            seen: Look::default(),
            latest: Look::default(),
            active_ns: now_ns,
            suspect: false,
            complained: false,
            unreadable: false,
            file: None,
        }
    }

    /// True when the file is not (or no longer) where its writer writes: its last line may end without a line end.
    pub fn is_moved(&self) -> bool {
        self.state == State::Rotated || self.at.as_os_str() != self.position.path.as_str()
    }

    /// Opens the file where it lies. `NotFound` when another file lies there now.
    pub fn open(&mut self) -> io::Result<&Content> {
        if self.file.is_none() {
            let f = Content::open(&self.at, self.id)?;
            self.file = Some(f);
        }
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whether the file still begins with the bytes that were read first and is long enough.
    pub fn is_same(&mut self) -> io::Result<bool> {
        let (offset, head) = (self.position.offset, self.position.head);
        let f = self.open()?;
        Ok(f.may_have(offset)? && head.begins(&f.read(0, head.len)?))
    }

    /// Reads on from the position, which moves behind the lines.
    pub fn next(&mut self, rules: Rules) -> io::Result<Next> {
        let (offset, tail) = (self.position.offset, self.position.tail);
        let f = self.open()?;
        // One read for the old bytes and the new: no truncation fits in between.
        let from = offset - tail.len as u64;
        let wanted = tail.len + READ_BYTES.max(rules.max_line + 2);
        let buf = f.read(from, wanted)?;
        if buf.len() < tail.len || !tail.begins(&buf) {
            return Ok(Next::Replaced);
        }
        let encoding = lines::Encoding::of(&f.read(0, 2)?);
        let mut skipping = self.position.skipping;
        let rules = Rules { ends: rules.ends && buf.len() < wanted, ..rules };
        let (mut out, taken) = split(encoding, &buf[tail.len..], offset, rules, &mut skipping);
        if taken.bytes == 0 {
            return Ok(Next::Nothing);
        }
        // The mark that says the encoding is no text.
        if let Some(first) = out.first_mut().filter(|l| offset == 0 && l.starts_with('\u{feff}')) {
            first.drain(..'\u{feff}'.len_utf8());
        }
        let done = &buf[..tail.len + taken.bytes];
        let after = offset + taken.bytes as u64;
        let Some(head) = self.longer_head(after)? else { return Ok(Next::Replaced) };
        let p = &mut self.position;
        (p.offset, p.head, p.skipping) = (after, head, skipping);
        p.tail = Print::of(&done[done.len().saturating_sub(TAIL_BYTES)..]);
        Ok(Next::Lines(out, taken))
    }

    /// The head as it is once `offset` bytes are done with; none if the present one is not there any more.
    fn longer_head(&mut self, offset: u64) -> io::Result<Option<Print>> {
        let old = self.position.head;
        let len = offset.min(HEAD_BYTES as u64) as usize;
        if old.len >= len {
            return Ok(Some(old));
        }
        let bytes = self.open()?.read(0, len)?;
        Ok((bytes.len() == len && old.begins(&bytes)).then(|| Print::of(&bytes)))
    }

    /// Moves the position behind the last whole line that is there now. A file that cannot be read is positioned by its
    /// length alone.
    pub fn skip_to_end(&mut self, max_line: usize) {
        let len = self.latest.len;
        self.position.offset = len;
        let Ok(f) = self.open() else { return };
        let Ok((offset, head, tail)) = last_line_end(f, len, max_line) else { return };
        (self.position.offset, self.position.head, self.position.tail) = (offset, head, tail);
    }

    /// Starts over: other content in the same file.
    pub fn start_over(&mut self) {
        let time_ns = self.position.time_ns;
        self.position = Position { time_ns, ..Position::start(&self.at.to_string_lossy()) };
        self.seen = Look::default();
    }
}

/// The lines of what follows `offset`.
fn split(encoding: lines::Encoding, data: &[u8], offset: u64, rules: Rules, skipping: &mut bool) -> (Vec<String>, lines::Taken) {
    let mut out = vec![];
    let is_big = match encoding {
        lines::Encoding::Utf8 => {
            let taken = lines::split(data, rules, skipping, &mut out);
            return (out, taken);
        }
        lines::Encoding::Utf16Le => false,
        lines::Encoding::Utf16Be => true,
    };
    // Where the end was looked for byte by byte, the second byte of a line end is still ahead.
    let ahead = (offset % 2) as usize;
    let mut taken = lines::split_wide(data.get(ahead..).unwrap_or_default(), is_big, rules, skipping, &mut out);
    if taken.bytes > 0 {
        taken.bytes += ahead;
    }
    (out, taken)
}

/// Where the last whole line ends, with the prints of the bytes before.
fn last_line_end(f: &Content, len: u64, max_line: usize) -> io::Result<(u64, Print, Print)> {
    let from = len.saturating_sub(max_line as u64);
    let last = f.read(from, (len - from) as usize)?;
    // Without a line end in reach the beginning of the line is older than what is kept of a line anyway.
    let offset = memchr::memrchr(b'\n', &last).map_or(if from == 0 { 0 } else { len }, |i| from + i as u64 + 1);
    let head = f.read(0, offset.min(HEAD_BYTES as u64) as usize)?;
    let tail_len = offset.min(TAIL_BYTES as u64);
    let tail = f.read(offset - tail_len, tail_len as usize)?;
    Ok((offset, Print::of(&head), Print::of(&tail)))
}

/// Opens what lies at `path` if it is the file `id`.
pub fn open_same(path: &Path, id: FileId) -> io::Result<File> {
    // Without waiting: a pipe that took the file's name meanwhile would hold us up.
    let f = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if FileId::of(&f.metadata()?) == id { Ok(f) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Reads up to `len` bytes at `offset`; fewer only at the end of the file.
pub fn read_some(f: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    // What is there, not what is allowed, decides how much memory is taken.
    let there = f.metadata()?.len().saturating_sub(offset).min(len as u64) as usize;
    let mut buf = vec![0; there];
    let mut done = 0;
    while done < buf.len() {
        match f.read_at(&mut buf[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    buf.truncate(done);
    Ok(buf)
}

/// Whether the file begins and goes on as the one that `p` is a position in.
pub fn is_continued_by(p: &Position, f: &Content) -> io::Result<bool> {
    if p.offset == 0 || p.head.len == 0 || !f.may_have(p.offset)? {
        return Ok(false);
    }
    let tail_at = p.offset - p.tail.len as u64;
    Ok(p.head.begins(&f.read(0, p.head.len)?) && p.tail.begins(&f.read(tail_at, p.tail.len)?))
}
