//! Follows a json-file log through its generations.
//!
//! The files are one text that Docker goes on with in a new file now and then. The newest file is `base`; when `base` is
//! another file than the newest that is known, those that came since are opened, so that they can be read even if Docker
//! removes them. Because files are looked for before the present one is read, its end is final when there is a next one.
//!
//! What was rotated away between two looks is a [`Gap`]: how much it was cannot be known, only between which lines.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use super::generation::{self, Generation};
use super::position::Place;
use crate::files::position::Print;
use crate::files::tail::{FileId, Look};
use crate::limits::{AHEAD, HEAD_BYTES, READ_BYTES, TAIL_BYTES};

/// A log that is followed.
pub struct Chain {
    base: PathBuf,
    /// Behind the last byte that was taken. It stays in the file before until something of the next one is taken: a place
    /// in a file of which nothing was seen could not be known again.
    place: Option<Place>,
    /// Where in the current file it goes on.
    here: Place,
    current: Option<Generation>,
    /// Younger files than `current`, in order.
    ahead: VecDeque<Generation>,
    /// How the current file looked when its bytes before the place were last compared.
    compared: Option<Look>,
    /// How `base` looked when it was closed because nothing more came.
    rested: Option<Look>,
    /// The newest file as somebody opened it, for when it is removed or rotated away before it is found.
    adopted: Option<File>,
    /// What was found missing when the files were opened.
    found_gap: Option<Gap>,
    /// Files that Docker keeps of the log, if that many say that there were more of them before.
    window: Option<usize>,
}

/// The next stretch of a log.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Nothing is there now.
    Nothing,
    /// Whole lines.
    Bytes(Vec<u8>),
    /// Something is missing here.
    Gap(Gap),
}

/// Lines that are lost between what was read before and what is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Why: `rotated_away`, `truncated`, `damaged`.
    pub reason: &'static str,
    /// Bytes, as far as they are known.
    pub bytes: u64,
}

impl Chain {
    /// The log whose newest file is `base`, from `place` on, or from its oldest line.
    pub fn new(base: PathBuf, place: Option<Place>) -> Chain {
        Chain {
            base,
            place,
            here: Place::default(),
            current: None,
            ahead: VecDeque::new(),
            compared: None,
            rested: None,
            adopted: None,
            found_gap: None,
            window: None,
        }
    }

    /// Docker keeps so many files of it, and nobody has read it before although somebody should have: if all of them are there when it
    /// is found, there may have been others, and what was in them is lost.
    pub fn expect_from_start(&mut self, window: usize) {
        self.window = Some(window);
    }

    /// Whether its files were found; until then nothing can be said about its end.
    pub fn is_found(&self) -> bool {
        self.current.is_some() || self.rested.is_some()
    }

    /// Where it has been read to.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// How many files that Docker went on from are still to be read.
    pub fn behind(&self) -> usize {
        self.ahead.len()
    }

    /// Takes the newest file, which somebody opened before it could be removed.
    pub fn adopt(&mut self, file: File) -> io::Result<()> {
        if self.current.is_none() {
            self.adopted = Some(file);
            return Ok(());
        }
        self.extend()?;
        let mut g = Generation::new(file, false)?;
        if !self.knows(g.id) {
            g.gap_before = true; // there may have been others in between
            self.ahead.push_back(g);
        }
        Ok(())
    }

    /// Opens the files that are there and have not been opened, so that they stay even while nothing is read.
    pub fn extend(&mut self) -> io::Result<()> {
        if self.current.is_none() {
            self.find_place()?;
        }
        let Some(youngest) = self.ahead.back().or(self.current.as_ref()).map(|g| g.id) else { return Ok(()) };
        let base = match fs::metadata(&self.base) {
            Ok(m) => FileId::of(&m),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        if base == youngest || self.ahead.len() >= AHEAD {
            return Ok(());
        }
        let Some(mut files) = generation::all(&self.base)? else { return Ok(()) };
        let next = match self.find_youngest(&mut files)? {
            Some(i) => i + 1,
            None => {
                files[0].gap_before = true;
                0
            }
        };
        self.ahead.extend(files.drain(next..));
        Ok(())
    }

    /// Which of `files` is the youngest that is known: itself, or what Docker has made of it by compressing.
    fn find_youngest(&mut self, files: &mut [Generation]) -> io::Result<Option<usize>> {
        match self.ahead.back_mut().or(self.current.as_mut()) {
            Some(youngest) => find_same(files, youngest),
            None => Ok(None),
        }
    }

    fn knows(&self, id: FileId) -> bool {
        self.current.iter().chain(&self.ahead).any(|g| g.id == id)
    }

    /// The next stretch. What is used of it is told by [`Chain::take`]; otherwise it comes again.
    pub fn stretch(&mut self) -> io::Result<Next> {
        self.extend()?;
        if let Some(gap) = self.found_gap.take() {
            return Ok(Next::Gap(gap));
        }
        if let Some(gap) = self.truncated()? {
            return Ok(Next::Gap(gap));
        }
        loop {
            let Some(file) = &mut self.current else { return Ok(Next::Nothing) };
            let mut data = match file.read(self.here.offset, READ_BYTES) {
                // A compressed file that is damaged ends where it is.
                Err(e) if is_damage(&e) && !self.ahead.is_empty() => vec![0],
                other => other?,
            };
            if let Some(i) = memchr::memrchr(b'\n', &data) {
                data.truncate(i + 1);
                return Ok(Next::Bytes(data));
            }
            let bytes = data.len() as u64;
            if data.len() >= READ_BYTES {
                self.take(&data)?;
                return Ok(Next::Gap(Gap { reason: "damaged", bytes }));
            }
            let Some(next) = self.ahead.pop_front() else { return Ok(Next::Nothing) };
            let gap = match next.gap_before {
                true => Some(Gap { reason: "rotated_away", bytes }),
                false => (bytes > 0).then_some(Gap { reason: "damaged", bytes }),
            };
            self.begin(next);
            if let Some(gap) = gap {
                return Ok(Next::Gap(gap));
            }
        }
    }

    /// The first bytes of what [`Chain::stretch`] returned are done with.
    pub fn take(&mut self, done: &[u8]) -> io::Result<()> {
        let (Some(file), place) = (&mut self.current, &mut self.here) else { return Ok(()) };
        let offset = place.offset + done.len() as u64;
        let head_len = offset.min(HEAD_BYTES as u64) as usize;
        if place.head.len < head_len {
            place.head = Print::of(&file.head(head_len)?);
        }
        place.offset = offset;
        place.tail = Print::of(&done[done.len().saturating_sub(TAIL_BYTES)..]);
        self.place = Some(place.clone());
        Ok(())
    }

    /// Gives the file descriptor back until there is more. Not for a container that is removed when it stops.
    pub fn rest(&mut self) {
        if self.ahead.is_empty()
            && let Ok(Some(look)) = self.current.as_ref().map_or(Ok(None), Generation::look)
        {
            self.rested = Some(look);
            self.current = None;
        }
    }

    fn begin(&mut self, file: Generation) {
        self.here = Place { dev: file.id.dev, ino: file.id.ino, ..Place::default() };
        self.compared = None;
        self.current = Some(file);
    }

    /// Opens the file that the place is in, and all younger ones, if there is one to open now. If that file is gone, there is a gap.
    fn find_place(&mut self) -> io::Result<()> {
        let look = match fs::metadata(&self.base) {
            Ok(m) => Some(Look::of(&m)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        if look.is_some() && self.rested == look {
            return Ok(());
        }
        let mut files = match look {
            Some(_) => match generation::all(&self.base)? {
                Some(files) => files,
                None => return Ok(()),
            },
            None => vec![],
        };
        let has_more = self.window.is_some_and(|w| files.len() >= w);
        self.add_adopted(&mut files)?;
        if files.is_empty() {
            return Ok(());
        }
        let rotated_away = Some(Gap { reason: "rotated_away", bytes: 0 });
        let (at, gap) = match &self.place {
            None => (0, rotated_away.filter(|_| has_more)),
            Some(p) => match find_in(&mut files, p)? {
                Some(i) => (i, None),
                None => (0, rotated_away),
            },
        };
        (self.rested, self.window) = (None, None);
        self.ahead = files.drain(at..).collect();
        let Some(first) = self.ahead.pop_front() else { return Ok(()) };
        // Compressed or copied since, it is another file with the same content.
        let (dev, ino) = (first.id.dev, first.id.ino);
        self.begin(first);
        if let (Some(p), None) = (&self.place, gap) {
            self.here = Place { dev, ino, ..p.clone() };
        }
        self.found_gap = gap;
        Ok(())
    }

    /// Puts the file that somebody opened before those that are left, if it is none of them: it was removed, or Docker went on from
    /// it so often that it is gone. Then nobody knows whether there were others in between.
    fn add_adopted(&mut self, files: &mut Vec<Generation>) -> io::Result<()> {
        let Some(file) = self.adopted.take() else { return Ok(()) };
        let mut adopted = Generation::new(file, false)?;
        if find_same(files, &mut adopted)?.is_some() {
            return Ok(());
        }
        if let Some(next) = files.first_mut() {
            next.gap_before = true;
        }
        files.insert(0, adopted);
        Ok(())
    }

    /// With a single file Docker does not rotate but truncates: the bytes before the place are other ones then.
    fn truncated(&mut self) -> io::Result<Option<Gap>> {
        let (Some(file), place) = (&mut self.current, &self.here) else { return Ok(None) };
        let Some(look) = file.look()? else { return Ok(None) };
        if place.offset == 0 || self.compared == Some(look) {
            self.compared = Some(look);
            return Ok(None);
        }
        if look.len >= place.offset && file.holds(place)? {
            self.compared = Some(look);
            return Ok(None);
        }
        let known = self.compared.map_or(0, |l| l.len.saturating_sub(place.offset));
        self.here = Place { dev: place.dev, ino: place.ino, ..Place::default() };
        self.compared = Some(look);
        Ok(Some(Gap { reason: "truncated", bytes: known }))
    }
}

/// Which of `files` is `known`: itself, or what Docker has made of it by compressing.
fn find_same(files: &mut [Generation], known: &mut Generation) -> io::Result<Option<usize>> {
    if let Some(i) = files.iter().position(|f| f.id == known.id) {
        return Ok(Some(i));
    }
    let Some(look) = known.look()? else { return Ok(None) };
    let tail_len = look.len.min(TAIL_BYTES as u64);
    let end = Place {
        offset: look.len,
        head: Print::of(&known.head(look.len.min(HEAD_BYTES as u64) as usize)?),
        tail: Print::of(&known.read(look.len - tail_len, tail_len as usize)?),
        ..Place::default()
    };
    find(files, |f| f.holds(&end))
}

/// The file that `p` is a place in: by its identity, or else by its content.
fn find_in(files: &mut [Generation], p: &Place) -> io::Result<Option<usize>> {
    let same = |f: &Generation| (f.id.dev, f.id.ino) == (p.dev, p.ino);
    if let Some(i) = files.iter().position(same)
        && files[i].holds(p)?
    {
        return Ok(Some(i));
    }
    find(files, |f| f.holds(p))
}

fn find(files: &mut [Generation], mut fits: impl FnMut(&mut Generation) -> io::Result<bool>) -> io::Result<Option<usize>> {
    for (i, f) in files.iter_mut().enumerate() {
        match fits(f) {
            Ok(true) => return Ok(Some(i)),
            Ok(false) => {}
            Err(e) if is_damage(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

fn is_damage(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof)
}
