//! The files of a container's log: the one that Docker writes to, and those that it has rotated away from, `.1` the youngest.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::position::Place;
use crate::files::content::Content;
use crate::files::tail::{FileId, Look, open_same};
use crate::limits::GENERATIONS;

/// One file of a log, open: it can be read even when Docker has removed it.
pub struct Generation {
    /// Which file.
    pub id: FileId,
    /// Lines between the one before and this one are lost.
    pub gap_before: bool,
    content: Content,
}

impl Generation {
    /// The open file, which is compressed if `packed`.
    pub fn new(file: File, packed: bool) -> io::Result<Generation> {
        let id = FileId::of(&file.metadata()?);
        Ok(Generation { id, gap_before: false, content: Content::new(file, packed) })
    }

    /// Up to `len` bytes at `offset`; fewer only at the end.
    pub fn read(&mut self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.content.read(offset, len)
    }

    /// The first `len` bytes, at most [`crate::limits::HEAD_BYTES`].
    pub fn head(&mut self, len: usize) -> io::Result<Vec<u8>> {
        self.content.read(0, len)
    }

    /// How the file looks now; none for a compressed one, which does not change.
    pub fn look(&self) -> io::Result<Option<Look>> {
        if self.content.is_packed() { Ok(None) } else { Ok(Some(Look::of(&self.content.metadata()?))) }
    }

    /// Whether the file begins and goes on as the one that `p` is a place in.
    pub fn holds(&mut self, p: &Place) -> io::Result<bool> {
        if p.offset == 0 || p.head.len == 0 || !p.head.begins(&self.head(p.head.len)?) {
            return Ok(false);
        }
        let tail = self.read(p.offset - p.tail.len as u64, p.tail.len)?;
        Ok(tail.len() == p.tail.len && p.tail.begins(&tail))
    }
}

/// All generations of the log whose newest file is `base`, oldest first. None while Docker is rotating.
pub fn all(base: &Path) -> io::Result<Option<Vec<Generation>>> {
    const TRIES: usize = 4;
    for _ in 0..TRIES {
        let names = list(base)?;
        let Some(opened) = open_all(&names)? else { continue };
        // Twice the same list: no file had another name in between.
        if list(base)? == names && names.last().is_some_and(|n| n.path == base) {
            return Ok(Some(opened));
        }
    }
    Ok(None)
}

#[derive(PartialEq)]
struct Named {
    path: PathBuf,
    id: FileId,
    packed: bool,
    /// 0 is the newest.
    age: u32,
}

fn list(base: &Path) -> io::Result<Vec<Named>> {
    let (Some(dir), Some(name)) = (base.parent(), base.file_name().and_then(|n| n.to_str())) else { return Ok(vec![]) };
    let mut found: Vec<Named> = vec![];
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(rest) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix(name)) else { continue };
        let Some((age, packed)) = read_ending(rest) else { continue };
        match fs::metadata(&path) {
            Ok(m) => found.push(Named { id: FileId::of(&m), path, packed, age }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    // While Docker compresses a file both are there, and the compressed one is not complete.
    found.sort_by_key(|n| (std::cmp::Reverse(n.age), n.packed));
    found.dedup_by_key(|n| n.age);
    found.drain(..found.len().saturating_sub(GENERATIONS));
    Ok(found)
}

/// Age, and whether it is compressed, by what follows the name of the newest file.
fn read_ending(rest: &str) -> Option<(u32, bool)> {
    if rest.is_empty() {
        return Some((0, false));
    }
    let rest = rest.strip_prefix('.')?;
    let (digits, packed) = rest.strip_suffix(".gz").map_or((rest, false), |d| (d, true));
    let age = digits.parse().ok().filter(|&a: &u32| a > 0 && digits.bytes().all(|b| b.is_ascii_digit()))?;
    Some((age, packed))
}

fn open_all(names: &[Named]) -> io::Result<Option<Vec<Generation>>> {
    let mut opened = vec![];
    for n in names {
        match open_same(&n.path, n.id) {
            Ok(f) => opened.push(Generation::new(f, n.packed)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        }
    }
    Ok(Some(opened))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings() {
        for (rest, expected) in [
            ("", Some((0, false))),
            (".1", Some((1, false))),
            (".12.gz", Some((12, true))),
            (".0", None),
            (".gz", None),
            ("x", None),
            (".1.bak", None),
            (".+1", None),
        ] {
            assert_eq!(read_ending(rest), expected, "{rest:?}");
        }
    }
}
