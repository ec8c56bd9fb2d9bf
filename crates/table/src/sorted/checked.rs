//! Files whose every byte is checked when it is read.
//!
//! A data file is covered by a CRC32C for each [`limits::CHECK_BLOCK`] bytes, up to where these checksums themselves
//! are stored; the rest (checksums, directory, Parquet's indexes and footer: the *tail*) by one CRC32C that the meta
//! object keeps. So a flipped bit is found wherever it is, and costs only the pages that lie in its block.

use std::io::{self, Cursor, Write};
use std::ops::Range;
use std::sync::Arc;

use base::{Error, Result};
use bytes::{Buf, Bytes, BytesMut};
use disk::File;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::limits::{CHECK_BLOCK, WRITE_BUFFER};

/// What a data file is written to.
pub trait Sealed: Write + Send {
    /// Ends the part that block checksums cover and returns them; empty where none are needed.
    fn seal(&mut self) -> Vec<u8>;
}

impl Sealed for Vec<u8> {
    fn seal(&mut self) -> Vec<u8> {
        vec![]
    }
}

/// Writes a file from its start, in large pieces, and sums it.
#[derive(Default)]
pub struct SummingWriter {
    file: Option<Arc<dyn File>>,
    buffer: Vec<u8>,
    written: u64,
    sums: Vec<u8>,
    // Checksum of the unfinished block, and how much of it there is.
    block: (u32, usize),
    // Where the tail begins, and its checksum so far.
    tail: Option<(u64, u32)>,
}

impl SummingWriter {
    pub fn new(file: Arc<dyn File>) -> Self {
        SummingWriter { file: Some(file), buffer: Vec::with_capacity(WRITE_BUFFER), ..Self::default() }
    }

    fn sum(&mut self, mut data: &[u8]) {
        if let Some((_, crc)) = &mut self.tail {
            *crc = crc32c::crc32c_append(*crc, data);
            return;
        }
        while !data.is_empty() {
            let n = data.len().min(CHECK_BLOCK - self.block.1);
            self.block = (crc32c::crc32c_append(self.block.0, &data[..n]), self.block.1 + n);
            data = &data[n..];
            if self.block.1 == CHECK_BLOCK {
                self.close_block();
            }
        }
    }

    fn close_block(&mut self) {
        self.sums.extend_from_slice(&self.block.0.to_le_bytes());
        self.block = (0, 0);
    }

    fn drain(&mut self) -> io::Result<()> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        file.write_at(self.written, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what is left and makes the file durable. Returns its length, where the tail begins, and its CRC32C.
    pub fn finish(mut self) -> Result<(u64, u64, u32)> {
        self.drain()?;
        if let Some(f) = &self.file {
            f.sync()?;
        }
        let (at, crc) = self.tail.unwrap_or((0, 0));
        Ok((self.written, at, crc))
    }
}

impl Write for SummingWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.sum(data);
        self.buffer.extend_from_slice(data);
        if self.buffer.len() >= WRITE_BUFFER {
            self.drain()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sealed for SummingWriter {
    fn seal(&mut self) -> Vec<u8> {
        if self.block.1 > 0 {
            self.close_block();
        }
        self.tail = Some((self.written + self.buffer.len() as u64, 0));
        std::mem::take(&mut self.sums)
    }
}

/// The bytes of a data file: in memory (parts), or on disk and checked.
#[derive(Clone)]
pub enum Store {
    Memory(Bytes),
    Disk {
        file: Arc<dyn File>,
        len: u64,
        /// One CRC32C for each block of `[0, covered)`, little endian.
        sums: Bytes,
        covered: u64,
        /// Already checked bytes from `tail_at` on; dropped once the footer is parsed.
        tail: Bytes,
        tail_at: u64,
    },
}

impl Store {
    /// Reads a range; an error of kind `Corrupt` when a checksum does not hold.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let damaged = |what: &str| Error::corrupt(format!("bytes {}..{}: {what}", range.start, range.end));
        if range.end < range.start {
            return Err(damaged("not a range"));
        }
        match self {
            Store::Memory(b) => {
                let (from, to) = (range.start as usize, range.end as usize);
                if to > b.len() {
                    return Err(damaged("beyond the end"));
                }
                Ok(b.slice(from..to))
            }
            Store::Disk { tail, tail_at, .. } if range.start >= *tail_at => {
                let (from, to) = ((range.start - tail_at) as usize, (range.end - tail_at) as usize);
                if to > tail.len() {
                    return Err(damaged("beyond the end"));
                }
                Ok(tail.slice(from..to))
            }
            Store::Disk { .. } => self.read_again(range, &mut Bytes::new()),
        }
    }

    /// The same for reader after reader of large ranges: `last` is what was read last, whose memory serves again if nobody else holds it.
    pub fn read_again(&self, range: Range<u64>, last: &mut Bytes) -> Result<Bytes> {
        if !matches!(self, Store::Disk { tail_at, .. } if range.start < *tail_at) || range.end < range.start {
            return self.read(range);
        }
        let mut buf = std::mem::take(last).try_into_mut().unwrap_or_default();
        let start = self.read_blocks(&range, &mut buf)?;
        *last = buf.freeze();
        Ok(last.slice((range.start - start) as usize..(range.end - start) as usize))
    }

    /// Checks a range without keeping it; `room` is used for it. Errors as [`Store::read`].
    pub fn check(&self, range: Range<u64>, room: &mut BytesMut) -> Result<()> {
        let Store::Disk { tail_at, .. } = self else { return Ok(()) };
        if range.start >= *tail_at {
            return Ok(());
        }
        let step = (WRITE_BUFFER / CHECK_BLOCK * CHECK_BLOCK) as u64;
        let mut at = range.start;
        while at < range.end {
            // Each step but the first begins at a block.
            let end = (at / step * step + step).min(range.end);
            self.read_blocks(&(at..end), room)?;
            at = end;
        }
        Ok(())
    }

    /// Reads the whole blocks that a range of a file on disk touches, and checks them. Returns where they begin.
    fn read_blocks(&self, range: &Range<u64>, buf: &mut BytesMut) -> Result<u64> {
        let damaged = |what: &str| Error::corrupt(format!("bytes {}..{}: {what}", range.start, range.end));
        let Store::Disk { file, sums, covered, .. } = self else { return Err(Error::internal("not on disk")) };
        let block = CHECK_BLOCK as u64;
        let start = range.start / block * block;
        let end = range.end.div_ceil(block).saturating_mul(block).min(*covered);
        if range.end > *covered || start > end {
            return Err(damaged("beyond the end"));
        }
        buf.resize((end - start) as usize, 0);
        file.read_exact_at(start, buf)?;
        for (i, chunk) in buf.chunks(CHECK_BLOCK).enumerate() {
            let at = (start / block) as usize + i;
            let want = sums.get(at * 4..at * 4 + 4).map(|mut s| s.get_u32_le());
            if want != Some(crc32c::crc32c(chunk)) {
                return Err(damaged(&format!("the checksum of block {at} does not hold")));
            }
        }
        Ok(start)
    }
}

impl Length for Store {
    fn len(&self) -> u64 {
        match self {
            Store::Memory(b) => b.len() as u64,
            Store::Disk { len, .. } => *len,
        }
    }
}

impl ChunkReader for Store {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let bytes = self.read(start..self.len()).map_err(|e| ParquetError::External(Box::new(e)))?;
        Ok(Cursor::new(bytes))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.read(start..start.saturating_add(length as u64)).map_err(|e| ParquetError::External(Box::new(e)))
    }
}

#[cfg(test)]
mod tests {
    use disk::{Fs, RealFs};

    use super::*;

    fn store(data: &[u8], damaged: Option<u64>) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let file = RealFs.create(&dir.path().join("f")).unwrap();
        let mut writer = SummingWriter::new(file.clone());
        writer.write_all(data).unwrap();
        let sums = Bytes::from(writer.seal());
        writer.finish().unwrap();
        if let Some(at) = damaged {
            file.write_at(at, &[!data[at as usize]]).unwrap();
        }
        let (len, covered) = (data.len() as u64, data.len() as u64);
        (dir, Store::Disk { file, len, sums, covered, tail: Bytes::new(), tail_at: len })
    }

    #[test]
    fn memory_serves_again_when_nobody_holds_it() {
        let data: Vec<u8> = (0..100_000u32).map(|i| (i * 7 / 13) as u8).collect();
        let (_dir, store) = store(&data, Some(90_000));
        let mut last = Bytes::new();
        let first = store.read_again(5_000..40_000, &mut last).unwrap();
        let held = store.read_again(10..30_000, &mut last).unwrap();
        assert_eq!((&first[..], &held[..]), (&data[5_000..40_000], &data[10..30_000]), "what is held stays as it is");
        drop(first);
        let memory = held.as_ptr();
        drop(held);
        let again = store.read_again(4_106..20_000, &mut last).unwrap();
        assert_eq!(&again[..], &data[4_106..20_000]);
        assert_eq!(again.as_ptr(), memory);
        drop(again);
        assert!(store.read_again(80_000..95_000, &mut last).is_err(), "damage is found");
        assert!(store.read_again(99_999..100_001, &mut last).is_err());
        assert_eq!(&store.read_again(0..50_000, &mut last).unwrap()[..], &data[..50_000]);
        let (from, to) = (9, 2);
        assert!(store.read_again(from..to, &mut last).is_err());
    }
}
