//! Column chunks of text, read page by page without Parquet's record reader.
//!
//! Parquet's reader makes an array of all texts of a page. Here the memory of a page serves the next one as soon as nobody holds its
//! texts; and where a condition says what a text must contain (a [`Sieve`]), a page is searched as one piece and only the texts that contain it come out: the
//! others are given as empty ones, which the condition then leaves out as well.
//!
//! Every page of another shape is left to Parquet's reader.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringArray, StringViewArray, UInt32Array};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::DataType;
use base::attrs::read_varint;
use parking_lot::Mutex;
use parquet::basic::{Encoding, Type};
use parquet::errors::Result;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::ChunkReader;

use crate::predicate::Sieve;
use crate::sorted::pages::{Memory, Stored, damaged};

/// Pages whose memory is remembered while somebody holds their texts: a batch is of a few, and each source of a merge is at one.
const PAGES_IN_USE: usize = 12;

/// What the readers of one scan share.
#[derive(Default)]
pub struct Reads {
    sieve: Option<Sieve>,
    pub memory: Memory,
    /// Memory of pages that somebody may still hold.
    in_use: Mutex<Vec<Buffer>>,
}

impl Reads {
    pub fn new(sieve: Option<Sieve>) -> Arc<Reads> {
        Arc::new(Reads { sieve, ..Reads::default() })
    }

    /// The table's column that is sifted.
    pub fn sifted(&self) -> Option<usize> {
        self.sieve.as_ref().map(|s| s.column)
    }

    /// Memory that nobody holds any more, if there is any, of pages such as `last`.
    fn room(&self, last: Buffer) -> Vec<u8> {
        let mut in_use = self.in_use.lock();
        // Without memory of its own it would only take the place of one that has some.
        if last.capacity() > 0 {
            in_use.push(last);
        }
        // The last page of a chunk may be small.
        let free = in_use.iter().enumerate().filter(|b| b.1.strong_count() == 1).max_by_key(|b| b.1.capacity()).map(|b| b.0);
        let free = free.map(|i| in_use.remove(i));
        if in_use.len() > PAGES_IN_USE {
            in_use.remove(0);
        }
        free.and_then(|b| b.into_vec().ok()).unwrap_or_default()
    }
}

impl<R: ChunkReader> Drop for Texts<R> {
    fn drop(&mut self) {
        if self.stored.is_packed {
            let mut in_use = self.reads.in_use.lock();
            if in_use.len() < PAGES_IN_USE && self.page.capacity() > 0 {
                in_use.push(std::mem::take(&mut self.page));
            }
        }
    }
}

/// The texts of a column chunk.
pub struct Texts<R: ChunkReader> {
    stored: Stored<R>,
    /// Rows of the page that is at hand.
    rows: Range<u32>,
    page: Buffer,
    /// Where each of its texts begins in it, then where the last one ends.
    places: Vec<u32>,
    /// Its texts, once some of them were given out.
    texts: Option<StringViewArray>,
    reads: Arc<Reads>,
    /// Whether the sieve is for this column.
    is_sifted: bool,
    found: Vec<bool>,
    left_out_bytes: usize,
}

impl<R: ChunkReader + 'static> Texts<R> {
    /// The reader of a column chunk of `rows` rows; `None` if it is not of a shape that is read here. Where it is sifted, texts that
    /// do not pass are given as empty ones.
    pub fn open(
        reader: &Arc<R>,
        column: &ColumnChunkMetaData,
        pages: &[PageLocation],
        rows: u32,
        ty: &DataType,
        reads: &Arc<Reads>,
        is_sifted: bool,
    ) -> Result<Option<Self>> {
        let descr = column.column_descr();
        let is_text = column.column_type() == Type::BYTE_ARRAY && *ty == DataType::Utf8View;
        let is_ours = column.encodings().all(|e| matches!(e, Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::RLE));
        let levels = descr.max_rep_level() > 0 || descr.max_def_level() > 0;
        if !is_text || !is_ours || levels {
            return Ok(None);
        }
        let Some(stored) = Stored::open(reader, column, pages, rows)? else { return Ok(None) };
        Ok(Some(Texts {
            stored,
            rows: 0..0,
            page: Buffer::default(),
            places: vec![],
            texts: None,
            reads: reads.clone(),
            is_sifted,
            found: vec![],
            left_out_bytes: 0,
        }))
    }

    /// The row behind the page that holds `row`, if batches should end there: whoever holds texts of one page alone leaves the memory to
    /// the next page soon. Sifted texts are copied.
    pub fn page_end(&self, row: u32) -> Option<u32> {
        if self.is_sifted {
            return None;
        }
        let starts = self.stored.starts();
        starts.get(starts.partition_point(|s| *s <= row)).copied()
    }

    /// Bytes of texts that were looked at and left out, since this was asked last.
    pub fn left_out_bytes(&mut self) -> usize {
        std::mem::take(&mut self.left_out_bytes)
    }

    /// The texts of rows in these ranges, which are ascending and after those asked for before.
    pub fn take(&mut self, ranges: &[Range<u32>]) -> Result<ArrayRef> {
        if self.is_sifted {
            let mut out = StringViewBuilder::with_capacity(ranges.iter().map(|r| r.len()).sum());
            self.each_page(ranges, |texts, rows| rows.iter().try_for_each(|r| texts.sift(r.clone(), &mut out)))?;
            return Ok(Arc::new(out.finish()));
        }
        let mut parts = vec![];
        self.each_page(ranges, |texts, rows| texts.part(rows).map(|part| parts.push(part)))?;
        if parts.len() == 1 {
            return Ok(Arc::new(parts.swap_remove(0)));
        }
        let mut out = StringViewBuilder::with_capacity(parts.iter().map(Array::len).sum());
        parts.iter().for_each(|p| out.append_array(p));
        Ok(Arc::new(out.finish()))
    }

    /// Calls `each` at each page with the ranges of its rows, counted from its first.
    fn each_page(&mut self, ranges: &[Range<u32>], mut each: impl FnMut(&mut Self, &[Range<usize>]) -> Result<()>) -> Result<()> {
        let mut here: Vec<Range<usize>> = vec![];
        for r in ranges {
            let mut at = r.start;
            while at < r.end {
                if !self.rows.contains(&at) {
                    if !here.is_empty() {
                        each(self, &std::mem::take(&mut here))?;
                    }
                    self.load(at)?;
                }
                let end = r.end.min(self.rows.end);
                here.push((at - self.rows.start) as usize..(end - self.rows.start) as usize);
                at = end;
            }
        }
        if here.is_empty() { Ok(()) } else { each(self, &here) }
    }

    /// Texts of the page at hand.
    fn part(&mut self, rows: &[Range<usize>]) -> Result<StringViewArray> {
        let all = match self.texts.take() {
            Some(texts) => texts,
            None => texts_of(&self.page, &self.places)?,
        };
        let part = match rows {
            [one] => all.slice(one.start, one.len()),
            several => {
                let rows: UInt32Array = several.iter().flat_map(|r| r.start as u32..r.end as u32).collect();
                arrow_select::take::take(&all, &rows, None)?.as_string_view().clone()
            }
        };
        self.texts = Some(all);
        Ok(part)
    }

    /// Gives out those of `rows` of the page at hand that pass, and empty texts for the others.
    fn sift(&mut self, rows: Range<usize>, out: &mut StringViewBuilder) -> Result<()> {
        let places = &self.places[rows.start..=rows.end];
        self.found.clear();
        self.found.resize(rows.len(), false);
        if let Some(sieve) = &self.reads.sieve {
            sieve.search(&self.page, places, &mut self.found);
        }
        let mut given = 0;
        let mut from = 0;
        while let Some(skipped) = self.found[from..].iter().position(|f| *f) {
            out.try_append_value_n("", skipped)?;
            let at = from + skipped;
            let text = &self.page[places[at] as usize..places[at + 1] as usize];
            out.try_append_value(std::str::from_utf8(text)?)?;
            given += text.len();
            from = at + 1;
        }
        out.try_append_value_n("", rows.len() - from)?;
        self.left_out_bytes += (places[rows.len()] - places[0]) as usize - given;
        Ok(())
    }

    /// Reads the page with a row, which lies behind the page before.
    fn load(&mut self, row: u32) -> Result<()> {
        let page = self.stored.page(row)?;
        if page.encoding != Encoding::DELTA_LENGTH_BYTE_ARRAY {
            return Err(damaged("a page is not of texts behind their lengths"));
        }
        self.places.clear();
        self.texts = None;
        let last = std::mem::take(&mut self.page);
        self.page = match self.stored.is_packed {
            true => Buffer::from_vec(self.reads.memory.unpack_to(&page.bytes, self.reads.room(last))?),
            false => page.bytes.into(),
        };
        places(&self.page, page.rows.len(), &mut self.places)?;
        self.rows = page.rows;
        Ok(())
    }
}

/// The texts of a page. That they are UTF-8 is seen for all of them together, which takes a third of the time of one by one.
fn texts_of(page: &Buffer, places: &[u32]) -> Result<StringViewArray> {
    let (first, end) = (places.first().copied().unwrap_or(0), places.last().copied().unwrap_or(0));
    let offsets: Vec<i32> = places.iter().map(|p| (p - first) as i32).collect();
    let values = page.slice_with_length(first as usize, (end - first) as usize);
    Ok(StringViewArray::from(&StringArray::try_new(OffsetBuffer::new(offsets.into()), values, None)?))
}

/// Where each of a page's `n` texts begins in it, then where the last one ends. Before them stand their lengths, in
/// `DELTA_BINARY_PACKED`: the first one, then blocks of differences, each in parts with a bit width of their own.
fn places(page: &[u8], n: usize, out: &mut Vec<u32>) -> Result<()> {
    let early = || damaged("lengths end early");
    let mut rest = page;
    let number = |rest: &mut &[u8]| -> Result<u64> {
        let (v, r) = read_varint(rest).ok_or_else(early)?;
        *rest = r;
        Ok(v)
    };
    let zigzag = |v: u64| (v >> 1) as i64 ^ -((v & 1) as i64);
    let (block, parts, count) = (number(&mut rest)? as usize, number(&mut rest)? as usize, number(&mut rest)?);
    if count != n as u64 || parts == 0 || block == 0 || block % parts != 0 || !(block / parts).is_multiple_of(8) || block > 1 << 16 {
        return Err(damaged("a page's lengths are not those of its texts"));
    }
    let part = block / parts;
    out.clear();
    out.reserve(n + 1);
    let mut length = zigzag(number(&mut rest)?);
    // As if the texts began at 0; where they do begin is known when all lengths are read.
    let mut end = 0i64;
    let mut fits = true;
    let mut push = |length: i64| {
        out.push(end as u32);
        end = end.saturating_add(length);
        fits &= (0..=i64::from(u32::MAX)).contains(&length);
    };
    let mut left = n;
    if left > 0 {
        push(length);
        left -= 1;
    }
    while left > 0 {
        let least = zigzag(number(&mut rest)?);
        let (widths, r) = rest.split_at_checked(parts).ok_or_else(early)?;
        rest = r;
        for width in widths.iter().map(|w| usize::from(*w)) {
            if left == 0 {
                break;
            }
            if width > 32 {
                return Err(damaged("a length is too wide"));
            }
            let (packed, r) = rest.split_at_checked(part / 8 * width).ok_or_else(early)?;
            rest = r;
            let mask = (1u64 << width) - 1;
            for i in 0..part.min(left) {
                let (byte, bit) = (i * width / 8, i * width % 8);
                // At most 39 bits are looked at, and behind the lengths mostly lies text.
                let word = match packed.get(byte..byte + 8) {
                    Some(w) => w.try_into().map_or(0, u64::from_le_bytes),
                    None => packed[byte.min(packed.len())..].iter().rev().fold(0, |w, b| w << 8 | u64::from(*b)),
                };
                length = length.wrapping_add(least).wrapping_add((word >> bit & mask) as i64);
                push(length);
            }
            left -= part.min(left);
        }
    }
    out.push(end as u32);
    if !fits || end != rest.len() as i64 || page.len() > u32::MAX as usize {
        return Err(damaged("a page's texts are not as long as their lengths say"));
    }
    let first = (page.len() - rest.len()) as u32;
    out.iter_mut().for_each(|at| *at += first);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encode_lengths;
    use super::*;

    #[test]
    fn memory_of_pages_serves_again() {
        let reads = Reads::default();
        let page = |n: usize| Buffer::from_vec(Vec::<u8>::with_capacity(n));
        assert_eq!(reads.room(Buffer::default()).capacity(), 0);
        let held = page(2_000);
        assert_eq!(reads.room(held.clone()).capacity(), 0, "somebody holds it");
        assert_eq!(reads.room(page(10)).capacity(), 10);
        // A chunk that begins has no page.
        assert_eq!(reads.room(Buffer::default()).capacity(), 0);
        reads.in_use.lock().push(page(10));
        drop(held);
        assert_eq!(reads.room(page(1_000)).capacity(), 2_000, "the largest serves first");
        assert_eq!(reads.in_use.lock().len(), 2);
    }

    proptest! {
        #[test]
        fn texts_are_found_behind_their_lengths(lengths in prop::collection::vec(prop_oneof![0u32..300, 0u32..5], 0..400), cut in any::<prop::sample::Index>()) {
            let mut page = vec![];
            encode_lengths(&lengths, &mut page);
            let first = page.len();
            page.resize(first + lengths.iter().sum::<u32>() as usize, b'x');
            let mut got = vec![];
            places(&page, lengths.len(), &mut got).unwrap();
            prop_assert_eq!(got[0] as usize, first);
            prop_assert_eq!(got.windows(2).map(|w| w[1] - w[0]).collect::<Vec<_>>(), lengths.clone());
            prop_assert!(places(&page, lengths.len() + 1, &mut got).is_err());
            prop_assert!(places(&page[..cut.index(page.len())], lengths.len(), &mut got).is_err());
        }
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), n in 0usize..300) {
            let _ = places(&bytes, n, &mut vec![]);
            let mut page = vec![0x80, 1, 4];
            base::attrs::write_varint(&mut page, n as u64);
            page.extend(bytes);
            let _ = places(&page, n, &mut vec![]);
        }
    }
}
