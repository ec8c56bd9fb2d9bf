//! Column chunks of text, written page by page.
//!
//! Parquet's own column writer serves every type, and copies a line five times into memory that is new each time; page
//! faults were a quarter of the CPU of a push of logs. Here a line is copied once: into the page that is compressed, which
//! is the same memory for every page, or, where text is not compressed (parts), from where it came into the file.
//! Pages end where we say, so that a skip filter is about exactly one page.
//!
//! The bytes are what any reader of Parquet expects: data pages v1, `DELTA_LENGTH_BYTE_ARRAY`, no levels (the column has
//! no nulls), no dictionary.

use std::collections::VecDeque;
use std::io::{self, Read};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringViewArray};
use base::Result;
use base::attrs::write_varint;
use bytes::{Buf, Bytes};
use parquet::basic::{Compression, Encoding, EncodingMask, PageType, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnDescPtr;

use super::grams::PageGrams;
use super::layout::internal;
use super::limits::{TEXT_PAGE_BYTES, TEXT_PAGE_ROWS};

pub mod read;

const ENCODING: Encoding = Encoding::DELTA_LENGTH_BYTE_ARRAY;
/// The level that Parquet's own writer is told for the other columns.
const ZSTD_LEVEL: i32 = 1;
/// Room before a page's text for the encoded lengths, which are known when its text is complete. A page of lines of a
/// hundred bytes needs a tenth of it; where it does not do, the text is moved.
const LENGTHS_ROOM: usize = 64 << 10;

/// Writes one column chunk of text without nulls.
pub struct TextColumn {
    descr: ColumnDescPtr,
    how: How,
    /// Lengths of the texts of the page under way, and their sum.
    lengths: Vec<u32>,
    text_bytes: usize,
    pages: Vec<Page>,
}

enum How {
    Plain {
        /// The texts of the page under way.
        held: Vec<StringViewArray>,
    },
    Compressed(Box<Press>),
}

/// What compressing a page needs, kept from page to page.
pub struct Press {
    zstd: zstd::bulk::Compressor<'static>,
    /// [`LENGTHS_ROOM`], then the texts.
    page: Vec<u8>,
    out: Vec<u8>,
    grams: Option<PageGrams>,
}

struct Page {
    rows: usize,
    /// Header and body but for the texts that follow it in `held`.
    bytes: Bytes,
    held: Vec<StringViewArray>,
    /// Of everything: as it lies in the file, and as it would without compression.
    len: usize,
    raw_len: usize,
}

impl Press {
    /// For pages with skip filters or without.
    pub fn new(with_filters: bool) -> Result<Box<Press>> {
        let zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(internal)?;
        let room = LENGTHS_ROOM + TEXT_PAGE_BYTES + TEXT_PAGE_BYTES / 8;
        let mut page = Vec::with_capacity(room);
        page.resize(LENGTHS_ROOM, 0);
        Ok(Box::new(Press { zstd, page, out: vec![], grams: with_filters.then(PageGrams::default) }))
    }
}

impl TextColumn {
    /// A chunk whose text is not compressed.
    pub fn plain(descr: ColumnDescPtr) -> TextColumn {
        Self::new(descr, How::Plain { held: vec![] })
    }

    /// A chunk of compressed pages.
    pub fn compressed(descr: ColumnDescPtr, press: Box<Press>) -> TextColumn {
        Self::new(descr, How::Compressed(press))
    }

    fn new(descr: ColumnDescPtr, how: How) -> TextColumn {
        TextColumn { descr, how, lengths: vec![], text_bytes: 0, pages: vec![] }
    }

    /// Adds the texts of an array of views without nulls.
    pub fn write(&mut self, texts: &ArrayRef) -> Result<()> {
        let texts = texts.as_string_view_opt().filter(|t| t.null_count() == 0).ok_or_else(|| internal("not text, or text with nulls"))?;
        let mut start = 0;
        for (i, view) in texts.views().iter().enumerate() {
            // The lower half of a view's first eight bytes is its length.
            let len = *view as u32;
            self.lengths.push(len);
            self.text_bytes += len as usize;
            if let How::Compressed(p) = &mut self.how {
                p.page.extend_from_slice(texts.value(i).as_bytes());
            }
            if self.text_bytes >= TEXT_PAGE_BYTES || self.lengths.len() >= TEXT_PAGE_ROWS {
                self.hold(texts, start..i + 1);
                start = i + 1;
                self.end_page()?;
            }
        }
        self.hold(texts, start..texts.len());
        Ok(())
    }

    fn hold(&mut self, texts: &StringViewArray, rows: std::ops::Range<usize>) {
        if let How::Plain { held } = &mut self.how
            && !rows.is_empty()
        {
            held.push(texts.slice(rows.start, rows.len()));
        }
    }

    fn end_page(&mut self) -> Result<()> {
        let rows = self.lengths.len();
        if rows == 0 {
            return Ok(());
        }
        let mut lengths = vec![];
        encode_lengths(&self.lengths, &mut lengths);
        let raw = lengths.len() + self.text_bytes;
        let page = match &mut self.how {
            How::Plain { held } => {
                let mut bytes = page_header(rows, raw, raw);
                let header = bytes.len();
                bytes.extend_from_slice(&lengths);
                Page { rows, bytes: bytes.into(), held: std::mem::take(held), len: header + raw, raw_len: header + raw }
            }
            How::Compressed(press) => {
                if let Some(g) = &mut press.grams {
                    g.page(&self.lengths, &press.page[LENGTHS_ROOM..]);
                }
                let body = press.compress(&lengths)?;
                let header = page_header(rows, raw, body.len());
                let bytes = [&header[..], body].concat();
                let (len, raw_len) = (bytes.len(), header.len() + raw);
                press.page.truncate(LENGTHS_ROOM);
                Page { rows, bytes: bytes.into(), held: vec![], len, raw_len }
            }
        };
        self.pages.push(page);
        self.lengths.clear();
        self.text_bytes = 0;
        Ok(())
    }

    /// Ends the chunk and appends it to a row group. Returns the skip filters of its pages, and what the next chunk can be
    /// written with.
    pub fn finish<W: io::Write + Send>(mut self, group: &mut SerializedRowGroupWriter<'_, W>) -> Result<(Vec<u8>, Option<Box<Press>>)> {
        self.end_page()?;
        let (mut at, mut rows, mut raw) = (0, 0, 0);
        let mut index = OffsetIndexBuilder::new();
        for p in &self.pages {
            index.append_row_count(p.rows as i64);
            index.append_offset_and_size(at as i64, i32::try_from(p.len).map_err(internal)?);
            (at, rows, raw) = (at + p.len, rows + p.rows, raw + p.raw_len);
        }
        let compressed = matches!(self.how, How::Compressed(_));
        let codec =
            if compressed { Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).map_err(internal)?) } else { Compression::UNCOMPRESSED };
        let count = i32::try_from(self.pages.len()).map_err(internal)?;
        let metadata = ColumnChunkMetaData::builder(self.descr.clone())
            .set_compression(codec)
            .set_encodings_mask(EncodingMask::new_from_encodings([ENCODING, Encoding::RLE].iter()))
            .set_page_encoding_stats(vec![PageEncodingStats { page_type: PageType::DATA_PAGE, encoding: ENCODING, count }])
            .set_total_compressed_size(at as i64)
            .set_total_uncompressed_size(raw as i64)
            .set_num_values(rows as i64)
            .set_data_page_offset(0)
            .build()
            .map_err(internal)?;
        let close = ColumnCloseResult {
            bytes_written: at as u64,
            rows_written: rows as u64,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(index.build()),
        };
        group.append_column(&Chunk { pages: self.pages, len: at as u64 }, close).map_err(internal)?;
        Ok(match self.how {
            How::Plain { .. } => (vec![], None),
            How::Compressed(mut press) => (press.grams.as_mut().map(PageGrams::finish).unwrap_or_default(), Some(press)),
        })
    }
}

impl Press {
    fn compress(&mut self, lengths: &[u8]) -> Result<&[u8]> {
        let start = match LENGTHS_ROOM.checked_sub(lengths.len()) {
            Some(start) => start,
            None => {
                self.page.splice(..LENGTHS_ROOM, lengths.iter().copied());
                0
            }
        };
        if start > 0 || lengths.len() == LENGTHS_ROOM {
            self.page[start..LENGTHS_ROOM].copy_from_slice(lengths);
        }
        self.out.clear();
        self.out.reserve(zstd::zstd_safe::compress_bound(self.page.len() - start));
        let n = self.zstd.compress_to_buffer(&self.page[start..], &mut self.out).map_err(internal)?;
        if self.page.len() > 2 * TEXT_PAGE_BYTES {
            // A single enormous line is no reason to keep its room.
            self.page.truncate(LENGTHS_ROOM);
            self.page.shrink_to(LENGTHS_ROOM + TEXT_PAGE_BYTES);
        }
        Ok(&self.out[..n])
    }
}

/// A finished chunk, read once from its start.
struct Chunk {
    pages: Vec<Page>,
    len: u64,
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Chunk {
    type T = ChunkRead;

    fn get_read(&self, start: u64) -> parquet::errors::Result<ChunkRead> {
        if start > 0 {
            return Err(parquet::errors::ParquetError::General("a chunk under way is read from its start".into()));
        }
        let mut rest = VecDeque::new();
        for p in &self.pages {
            rest.push_back(Part::Bytes(p.bytes.clone()));
            rest.extend(p.held.iter().map(|h| Part::Texts(h.clone(), 0, 0)));
        }
        Ok(ChunkRead(rest))
    }

    fn get_bytes(&self, _start: u64, _length: usize) -> parquet::errors::Result<Bytes> {
        Err(parquet::errors::ParquetError::General("a chunk under way is read from its start".into()))
    }
}

enum Part {
    Bytes(Bytes),
    /// Texts, which of them comes next, and how much of it has been read.
    Texts(StringViewArray, usize, usize),
}

struct ChunkRead(VecDeque<Part>);

impl Read for ChunkRead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut n = 0;
        while n < out.len() {
            let Some(part) = self.0.front_mut() else { break };
            let ended = match part {
                Part::Bytes(b) => {
                    let take = b.len().min(out.len() - n);
                    b.copy_to_slice(&mut out[n..n + take]);
                    n += take;
                    b.is_empty()
                }
                Part::Texts(texts, next, from) => {
                    while *next < texts.len() && n < out.len() {
                        let rest = &texts.value(*next).as_bytes()[*from..];
                        let take = rest.len().min(out.len() - n);
                        out[n..n + take].copy_from_slice(&rest[..take]);
                        n += take;
                        (*next, *from) = if take == rest.len() { (*next + 1, 0) } else { (*next, *from + take) };
                    }
                    *next == texts.len()
                }
            };
            if ended {
                self.0.pop_front();
            }
        }
        Ok(n)
    }
}

/// `PageHeader { 1: DATA_PAGE, 2: uncompressed, 3: compressed, 5: DataPageHeader { 1: values, 2: encoding, 3, 4: encoding of
/// the levels that there are not } }` in Thrift's compact form: each field is a byte (step of the number, type), then its
/// value, zigzag.
fn page_header(rows: usize, raw: usize, compressed: usize) -> Vec<u8> {
    const I32: u8 = 0x15;
    const STRUCT_AFTER_NEXT: u8 = 0x2c;
    const STOP: u8 = 0;
    const DATA_PAGE: usize = 0;
    const DELTA_LENGTH_BYTE_ARRAY: usize = 6;
    const RLE: usize = 3;
    let mut out = Vec::with_capacity(32);
    let number = |out: &mut Vec<u8>, v: usize| {
        out.push(I32);
        write_varint(out, (v as u64) << 1);
    };
    [DATA_PAGE, raw, compressed].iter().for_each(|v| number(&mut out, *v));
    out.push(STRUCT_AFTER_NEXT);
    [rows, DELTA_LENGTH_BYTE_ARRAY, RLE, RLE].iter().for_each(|v| number(&mut out, *v));
    out.extend([STOP, STOP]);
    out
}

/// `DELTA_BINARY_PACKED` of 32-bit numbers: blocks of 128 differences, each in four parts of 32 with a bit width of their
/// own.
fn encode_lengths(lengths: &[u32], out: &mut Vec<u8>) {
    const BLOCK: usize = 128;
    const PART: usize = 32;
    let zigzag = |v: i32| u64::from(((v << 1) ^ (v >> 31)) as u32);
    for v in [BLOCK, BLOCK / PART, lengths.len()] {
        write_varint(out, v as u64);
    }
    write_varint(out, zigzag(lengths.first().map_or(0, |l| *l as i32)));
    let deltas: Vec<i32> = lengths.windows(2).map(|w| (w[1] as i32).wrapping_sub(w[0] as i32)).collect();
    for block in deltas.chunks(BLOCK) {
        let least = block.iter().copied().min().unwrap_or(0);
        write_varint(out, zigzag(least));
        let over = |d: &i32| d.wrapping_sub(least) as u32;
        let widths = out.len();
        out.resize(widths + BLOCK / PART, 0);
        for (i, part) in block.chunks(PART).enumerate() {
            let width = part.iter().map(|d| 32 - over(d).leading_zeros()).max().unwrap_or(0);
            out[widths + i] = width as u8;
            let (mut bits, mut held) = (0u64, 0);
            // The last part is filled up with zeros.
            for d in part.iter().map(over).chain(std::iter::repeat_n(0, PART - part.len())) {
                bits |= u64::from(d) << held;
                held += width;
                while held >= 8 {
                    out.push(bits as u8);
                    bits >>= 8;
                    held -= 8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
