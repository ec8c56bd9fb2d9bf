//! Pages of a column chunk as they are stored, for the readers of ours, and the memory that they are decompressed to.
//!
//! Parquet's reader takes new memory for every page, which the kernel fills with zeros first, and a state of zstd for every column.
//! Here all readers of a scan share one of these, and the memory of a page serves the next one, so that it stays in the core's cache.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;

/// Memory of pages is taken in steps of this, bytes: they are nearly of one size.
const ROOM_STEP: usize = 128 << 10;
/// Pages that are smaller than this get memory of their own size, which costs little.
const SMALL_PAGE: usize = 16 << 10;
/// Pages whose memory waits for the next: a scan reads a few columns at a time.
const ROOMS: usize = 4;
/// A page's size is a 32-bit number in its header.
const PAGE_BYTES: u64 = i32::MAX as u64;

pub fn damaged(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

/// What pages are read to, decompressed with and to, by one reader at a time.
#[derive(Default)]
pub struct Memory {
    zstd: Mutex<Option<zstd::bulk::Decompressor<'static>>>,
    rooms: Mutex<Vec<Vec<u8>>>,
    /// The large page that was read last, still compressed.
    pub last_read: Mutex<Bytes>,
}

impl Memory {
    /// A page's bytes, in memory that another has left if it is not small.
    pub fn unpack(&self, page: &[u8]) -> Result<Vec<u8>> {
        self.unpack_sized(page, unpacked_size(page)?)
    }

    /// The same of what may not say its size, which is at most `size`.
    pub fn unpack_sized(&self, page: &[u8], size: usize) -> Result<Vec<u8>> {
        let room = if size < SMALL_PAGE { vec![] } else { self.rooms.lock().pop().unwrap_or_default() };
        self.fill(room, page, size)
    }

    /// A page's bytes, in `room` if it is large enough.
    pub fn unpack_to(&self, page: &[u8], room: Vec<u8>) -> Result<Vec<u8>> {
        self.fill(room, page, unpacked_size(page)?)
    }

    fn fill(&self, mut room: Vec<u8>, page: &[u8], size: usize) -> Result<Vec<u8>> {
        room.clear();
        if room.capacity() < size {
            // A little more than is needed now, so that it does for the next page as well.
            let most = if size < SMALL_PAGE { size } else { size.next_multiple_of(ROOM_STEP) };
            room = vec![];
            room.try_reserve_exact(most).map_err(|_| damaged("a page is too large"))?;
        }
        let mut zstd = self.zstd.lock();
        if zstd.is_none() {
            *zstd = Some(zstd::bulk::Decompressor::new()?);
        }
        if let Some(zstd) = &mut *zstd {
            zstd.decompress_to_buffer(page, &mut room)?;
        }
        Ok(room)
    }

    /// Leaves memory to the next.
    pub fn leave(&self, room: Vec<u8>) {
        let mut rooms = self.rooms.lock();
        if room.capacity() >= SMALL_PAGE && rooms.len() < ROOMS {
            rooms.push(room);
        }
    }
}

fn unpacked_size(page: &[u8]) -> Result<usize> {
    let size = zstd::zstd_safe::get_frame_content_size(page).ok().flatten().filter(|n| *n <= PAGE_BYTES);
    size.map(|n| n as usize).ok_or_else(|| damaged("a page does not say its size"))
}

/// A data page, still compressed if its column is.
pub struct StoredPage {
    /// Its rows of the row group.
    pub rows: Range<u32>,
    pub encoding: Encoding,
    pub bytes: Bytes,
}

/// The pages of a column chunk, in order.
pub struct Stored<R: ChunkReader> {
    pages: SerializedPageReader<R>,
    /// First row of each page, then the number of rows.
    starts: Vec<u32>,
    next: usize,
    /// Whether pages are compressed.
    pub is_packed: bool,
}

impl<R: ChunkReader + 'static> Stored<R> {
    /// The pages of a column chunk of `rows` rows; `None` if it is not of a shape that is read here.
    pub fn open(reader: &Arc<R>, column: &ColumnChunkMetaData, pages: &[PageLocation], rows: u32) -> Result<Option<Self>> {
        let starts = pages.iter().map(|p| p.first_row_index as u32).chain([rows]).collect::<Vec<_>>();
        if starts.len() < 2 || starts[0] != 0 || !starts.is_sorted() {
            return Ok(None);
        }
        let is_packed = match column.compression() {
            Compression::UNCOMPRESSED => false,
            Compression::ZSTD(_) => true,
            _ => return Ok(None),
        };
        // Pages come as they lie there, because they are told to be plain.
        let plain = column.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
        let pages = SerializedPageReader::new(reader.clone(), &plain, rows as usize, Some(pages.to_vec()))?;
        Ok(Some(Stored { pages, starts, next: 0, is_packed }))
    }
}

impl<R: ChunkReader> Stored<R> {
    /// First row of each page, then the number of rows.
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// The dictionary and how many values it has, which comes before all pages.
    pub fn dictionary(&mut self) -> Result<(Bytes, usize)> {
        match self.pages.get_next_page()? {
            Some(Page::DictionaryPage { buf, num_values, encoding: Encoding::PLAIN | Encoding::PLAIN_DICTIONARY, .. }) => {
                Ok((buf, num_values as usize))
            }
            _ => Err(damaged("a column has no dictionary where it should")),
        }
    }

    /// The page with a row, which lies behind the page before.
    pub fn page(&mut self, row: u32) -> Result<StoredPage> {
        while self.starts.get(self.next + 1).is_some_and(|end| *end <= row) {
            self.pages.skip_next_page()?;
            self.next += 1;
        }
        let (Some(&start), Some(&end)) = (self.starts.get(self.next), self.starts.get(self.next + 1)) else {
            return Err(damaged("a column has fewer rows than its row group"));
        };
        let Some(Page::DataPage { buf, num_values, encoding, .. }) = self.pages.get_next_page()? else {
            return Err(damaged("a page is not where the index says"));
        };
        if num_values != end - start {
            return Err(damaged("a page has another number of rows than the index says"));
        }
        self.next += 1;
        Ok(StoredPage { rows: start..end, encoding, bytes: buf })
    }
}
