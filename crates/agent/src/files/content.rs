//! What is in a file: as it is, or what was compressed into it.

use std::cell::RefCell;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::tail::{FileId, open_same, read_some};
use crate::limits::{HEAD_BYTES, READ_BYTES};

/// An open file, read at any place.
pub struct Content {
    file: File,
    packed: Option<Box<RefCell<Packed>>>,
}

/// A compressed file, decoded as it is read: forwards, or from its start again.
#[derive(Default)]
struct Packed {
    decoder: Option<MultiGzDecoder<BufReader<File>>>,
    /// The first bytes.
    start: Vec<u8>,
    window: Vec<u8>,
    /// Where the window begins.
    at: u64,
}

/// Whether a name says that a file is compressed in a way that is read.
pub fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "gz")
}

impl Content {
    /// Of an open file, which is compressed if `packed`.
    pub fn new(file: File, packed: bool) -> Content {
        Content { file, packed: packed.then(Box::default) }
    }

    /// Of what lies at `path` if it is the file `id`; whether it is compressed is said by its name.
    pub fn open(path: &Path, id: FileId) -> io::Result<Content> {
        Ok(Content::new(open_same(path, id)?, is_packed(path)))
    }

    /// Whether it is compressed.
    pub fn is_packed(&self) -> bool {
        self.packed.is_some()
    }

    /// What the file system says of the file.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Whether there may be so many bytes: of a compressed file it is not known before they are read.
    pub fn may_have(&self, bytes: u64) -> io::Result<bool> {
        Ok(self.is_packed() || self.metadata()?.len() >= bytes)
    }

    /// Up to `len` bytes at `offset`; fewer only at the end.
    pub fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        match &self.packed {
            None => read_some(&self.file, offset, len),
            Some(p) => p.borrow_mut().read(&self.file, offset, len),
        }
    }

    /// Whether all of it can be read: a compressed file that is still being written has no end yet.
    pub fn is_whole(&self) -> bool {
        let unpacked = || -> io::Result<u64> {
            let mut file = self.file.try_clone()?;
            file.rewind()?;
            io::copy(&mut MultiGzDecoder::new(BufReader::new(file)), &mut io::sink())
        };
        let is_whole = !self.is_packed() || unpacked().is_ok();
        // Both read from one place in the file.
        self.packed.iter().for_each(|p| p.borrow_mut().decoder = None);
        is_whole
    }
}

impl Packed {
    fn read(&mut self, file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        if offset == 0 && len <= self.start.len() {
            return Ok(self.start[..len].to_vec());
        }
        if self.decoder.is_none() || offset < self.at {
            let mut file = file.try_clone()?;
            file.rewind()?;
            self.decoder = Some(MultiGzDecoder::new(BufReader::new(file)));
            (self.at, self.window) = (0, vec![]);
        }
        loop {
            let passed = usize::try_from(offset - self.at).unwrap_or(usize::MAX).min(self.window.len());
            self.window.drain(..passed);
            self.at += passed as u64;
            if self.at == offset && self.window.len() >= len {
                break;
            }
            if self.decode_some()? == 0 {
                break;
            }
        }
        let there = if self.at == offset { self.window.len().min(len) } else { 0 };
        Ok(self.window[..there].to_vec())
    }

    fn decode_some(&mut self) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else { return Ok(0) };
        let from = self.window.len();
        self.window.resize(from + READ_BYTES / 8, 0);
        let n = decoder.read(&mut self.window[from..]);
        self.window.truncate(from + *n.as_ref().unwrap_or(&0));
        if self.start.len() < HEAD_BYTES && self.at == 0 {
            self.start = self.window[..self.window.len().min(HEAD_BYTES)].to_vec();
        }
        n
    }
}
