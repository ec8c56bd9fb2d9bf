//! Damaged stretches: what is told about them, and setting them aside.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use disk::{File, Fs};

use crate::limits::{READ_BYTES, SECTOR_BYTES, SET_ASIDE_BYTES, SET_ASIDE_FILES};

/// A stretch of a segment that recovery could not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment's id.
    pub segment: u64,
    /// Where the stretch begins in the segment's file, in bytes.
    pub offset: u64,
    /// Its length in bytes; 0 if the file is shorter than it was.
    pub bytes: u64,
    /// For people.
    pub reason: String,
    /// First and last sequence number known to be missing, both inclusive, from `from_seq` on. `None` if no frame that
    /// is needed is missing (a segment's header or a mark was hit).
    pub seq_range: Option<(u64, u64)>,
    /// True if the frames had been synced, so they may have been acknowledged: a loss. False if the stretch lies in the
    /// last group before a crash, before frames of it that did reach the disk: nobody can know whether that group had
    /// been acknowledged, but after a power cut this is what a group looks like that was not.
    pub was_synced: bool,
    /// True if an earlier start has found, set aside and reported the same stretch.
    pub known: bool,
}

/// Folder of the stretches set aside, inside the log's.
pub const FOLDER: &str = "damaged";
/// Ends the name of a copy that is being made.
const UNFINISHED: &str = ".tmp";

/// Copies damaged stretches into [`FOLDER`], each once.
pub struct Aside<'a> {
    fs: &'a dyn Fs,
    dir: PathBuf,
    /// Names of the files there.
    present: BTreeSet<String>,
    files: usize,
    bytes: u64,
}

fn name(segment: u64, offset: u64, bytes: u64, was_synced: bool) -> String {
    format!("{segment:020}-{offset}-{bytes}.{}", if was_synced { "lost" } else { "torn" })
}

impl<'a> Aside<'a> {
    pub fn new(fs: &'a dyn Fs, wal_dir: &Path) -> io::Result<Self> {
        let dir = wal_dir.join(FOLDER);
        let present = match fs.list(&dir) {
            Ok(entries) => entries.into_iter().map(|e| e.name).collect(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(e) => return Err(e),
        };
        let (unfinished, present): (BTreeSet<String>, _) = present.into_iter().partition(|n: &String| n.ends_with(UNFINISHED));
        for name in unfinished {
            fs.remove(&dir.join(name))?;
        }
        Ok(Aside { fs, dir, present, files: 0, bytes: 0 })
    }

    /// Completes what is known about `d` from earlier starts, or sets it aside. A disk that cannot take the copy does
    /// not stop the start; the reason then says so.
    pub fn take(&mut self, file: &dyn File, d: &mut Damage) {
        for was_synced in [false, true] {
            if self.present.contains(&name(d.segment, d.offset, d.bytes, was_synced)) {
                (d.known, d.was_synced) = (true, was_synced);
                return;
            }
        }
        if self.files >= SET_ASIDE_FILES || self.bytes + d.bytes > SET_ASIDE_BYTES {
            d.reason.push_str("; not set aside, there is too much of it");
            return;
        }
        self.files += 1;
        self.bytes += d.bytes;
        if let Err(e) = self.copy(file, d) {
            d.reason.push_str(&format!("; not set aside: {e}"));
        }
    }

    fn copy(&mut self, file: &dyn File, d: &Damage) -> io::Result<()> {
        self.fs.create_dir_all(&self.dir)?;
        let name = name(d.segment, d.offset, d.bytes, d.was_synced);
        let unfinished = self.dir.join(format!("{name}{UNFINISHED}"));
        let copy = self.fs.create(&unfinished)?;
        let written = copy_bytes(file, d.offset, d.bytes, copy.as_ref()).and_then(|()| copy.sync());
        if let Err(e) = written {
            drop(copy);
            // The disk may be full: what is half copied must not take its last bytes.
            let _ = self.fs.remove(&unfinished);
            return Err(e);
        }
        self.fs.rename(&unfinished, &self.dir.join(&name))?;
        self.fs.sync_dir(&self.dir)?;
        self.present.insert(name);
        Ok(())
    }
}

/// Copies through a bounded buffer. What the disk cannot read is zero in the copy.
fn copy_bytes(from: &dyn File, offset: u64, bytes: u64, to: &dyn File) -> io::Result<()> {
    let mut buf = vec![0; READ_BYTES.min(bytes as usize)];
    let mut done = 0;
    while done < bytes {
        let n = (bytes - done).min(READ_BYTES as u64) as usize;
        let piece = &mut buf[..n];
        if from.read_exact_at(offset + done, piece).is_err() {
            for (i, small) in piece.chunks_mut(SECTOR_BYTES).enumerate() {
                if from.read_exact_at(offset + done + (i * SECTOR_BYTES) as u64, small).is_err() {
                    small.fill(0);
                }
            }
        }
        to.write_at(done, piece)?;
        done += n as u64;
    }
    Ok(())
}
