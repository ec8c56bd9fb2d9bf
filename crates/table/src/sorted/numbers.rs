//! Columns of numbers, decoded page by page without Parquet's record reader.
//!
//! What a query over samples reads are mantissas with split bytes, scales that stay the same for thousands of rows, and columns
//! that are empty. The general way to them (levels, records, builders, arrays of 32 bits made narrower) was a sixth of the time of a range
//! query. Everything else, and every page of another shape, is left to Parquet's reader.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int8Array, Int64Array, new_null_array};
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;

use super::index::StretchReader;
use super::limits::STRETCHES_AT_ONCE;

/// A page of nulls alone has this many bytes at most, encoded: its levels are one run.
const NULL_PAGE_BYTES: i32 = 128;

/// A column that is decoded here.
pub enum Numbers<R: ChunkReader> {
    /// 64-bit integers.
    Wide(Paged<SplitBytes, R>),
    /// 8-bit integers behind a dictionary.
    Codes(Paged<Codes, R>),
    /// Times of stretches that have a step.
    Steady(Steadies),
    /// Nothing but nulls; the longest column of them so far.
    Nulls(ArrayRef),
}

/// Rows whose times are known without reading them.
#[derive(Clone, Debug)]
pub struct Steady {
    /// Rows of the row group.
    pub rows: Range<u32>,
    /// Time of the first.
    pub first: i64,
    /// From one to the next.
    pub step: i64,
}

/// Stretches that have a step, in order.
#[derive(Default)]
pub struct Steadies {
    at_hand: VecDeque<Steady>,
    /// Those that follow.
    more: StretchReader,
    /// The first row of the next of these.
    row: u32,
}

impl From<Vec<Steady>> for Steadies {
    fn from(all: Vec<Steady>) -> Steadies {
        Steadies { at_hand: all.into(), ..Steadies::default() }
    }
}

impl Steadies {
    /// Of all stretches of a segment, whose first row is `row`.
    pub fn of(all: StretchReader, row: u32) -> Steadies {
        Steadies { more: all, row, ..Steadies::default() }
    }

    fn front(&mut self) -> Option<&Steady> {
        if self.at_hand.is_empty() {
            for s in self.more.by_ref().take(STRETCHES_AT_ONCE) {
                let rows = self.row..self.row.saturating_add(s.rows);
                self.row = rows.end;
                self.at_hand.push_back(Steady { rows, first: s.first, step: s.step });
            }
        }
        self.at_hand.front()
    }

    fn pop_front(&mut self) {
        self.at_hand.pop_front();
    }
}

fn damaged(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

impl<R: ChunkReader + 'static> Numbers<R> {
    /// The decoder of a column chunk of `rows` rows, of which `wanted` will be asked for; `None` if it is not of a shape that is decoded
    /// here.
    pub fn open(
        reader: &Arc<R>,
        column: &ColumnChunkMetaData,
        pages: &[PageLocation],
        rows: u32,
        ty: &DataType,
        wanted: &[Range<u32>],
    ) -> Result<Option<Self>> {
        let only = |allowed: &[Encoding]| column.encodings().all(|e| allowed.contains(&e));
        let open = || SerializedPageReader::new(reader.clone(), column, rows as usize, Some(pages.to_vec()));
        let starts = pages.iter().map(|p| p.first_row_index as u32).chain([rows]).collect::<Vec<_>>();
        if !starts.is_sorted() || starts.len() < 2 || starts[0] != 0 {
            return Ok(None);
        }
        let descr = column.column_descr();
        if descr.max_rep_level() > 0 || descr.max_def_level() > 1 {
            return Ok(None);
        }
        if descr.max_def_level() == 1 {
            let touched = |i: &usize| {
                let at = wanted.partition_point(|r| r.end <= starts[*i]);
                wanted.get(at).is_some_and(|r| r.start < starts[i + 1])
            };
            if !(0..pages.len()).filter(touched).all(|i| pages[i].compressed_page_size <= NULL_PAGE_BYTES) {
                return Ok(None);
            }
            let mut paged = Paged::<Nulls, R>::new(open()?, starts.clone());
            for i in (0..pages.len()).filter(touched) {
                if paged.load(starts[i]).is_err() {
                    return Ok(None);
                }
            }
            return Ok(Some(Numbers::Nulls(new_null_array(ty, 0))));
        }
        Ok(match (column.column_type(), ty) {
            (Type::INT64, DataType::Int64) if only(&[Encoding::BYTE_STREAM_SPLIT, Encoding::RLE]) => {
                Some(Numbers::Wide(Paged::new(open()?, starts)))
            }
            (Type::INT32, DataType::Int8)
                if column.dictionary_page_offset().is_some()
                    && only(&[Encoding::RLE_DICTIONARY, Encoding::PLAIN_DICTIONARY, Encoding::PLAIN, Encoding::RLE]) =>
            {
                let mut paged = Paged::new(open()?, starts);
                paged.read_dictionary()?;
                Some(Numbers::Codes(paged))
            }
            _ => None,
        })
    }

    /// The rows of these ranges, which are ascending and after those asked for before.
    pub fn take(&mut self, ranges: &[Range<u32>]) -> Result<ArrayRef> {
        let n = ranges.iter().map(|r| r.len()).sum::<usize>();
        Ok(match self {
            Numbers::Wide(p) => Arc::new(Int64Array::new(p.take(ranges, n)?.into(), None)),
            Numbers::Codes(p) => Arc::new(Int8Array::new(p.take(ranges, n)?.into(), None)),
            Numbers::Steady(all) => Arc::new(Int64Array::new(steady_times(all, ranges, n)?.into(), None)),
            Numbers::Nulls(nulls) => {
                if nulls.len() < n {
                    *nulls = new_null_array(nulls.data_type(), n);
                }
                nulls.slice(0, n)
            }
        })
    }
}

/// A data page whose values can be had.
pub trait Values: Sized {
    /// What it is a page of.
    type Value: Copy;
    /// Reads what must be read before any value can be; the dictionary, if there is one, comes before the pages.
    fn read(page: Data, dictionary: &[i8]) -> Result<Self>;
    /// Adds the values of these rows of the page to `out`.
    fn rows(&self, rows: Range<usize>, out: &mut Vec<Self::Value>) -> Result<()>;
}

/// A data page as it is stored, decompressed.
pub struct Data {
    bytes: Bytes,
    encoding: Encoding,
    values: usize,
}

/// The pages of a column chunk, one at hand at a time.
pub struct Paged<V, R: ChunkReader> {
    pages: SerializedPageReader<R>,
    /// First row of each page, then the number of rows.
    starts: Vec<u32>,
    next: usize,
    /// The page at hand and its rows.
    page: Option<V>,
    rows: Range<u32>,
    dictionary: Vec<i8>,
}

impl<V: Values, R: ChunkReader> Paged<V, R> {
    fn new(pages: SerializedPageReader<R>, starts: Vec<u32>) -> Self {
        Paged { pages, starts, next: 0, page: None, rows: 0..0, dictionary: vec![] }
    }

    fn read_dictionary(&mut self) -> Result<()> {
        match self.pages.get_next_page()? {
            Some(Page::DictionaryPage { buf, num_values, encoding: Encoding::PLAIN | Encoding::PLAIN_DICTIONARY, .. }) => {
                self.dictionary = plain_codes(&buf, num_values as usize)?;
                Ok(())
            }
            _ => Err(damaged("a column has no dictionary where it should")),
        }
    }

    /// Reads the page with a row, which lies behind the page before.
    fn load(&mut self, row: u32) -> Result<()> {
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
        let values = (end - start) as usize;
        if num_values as usize != values {
            return Err(damaged("a page has another number of rows than the index says"));
        }
        // Before the next one is made, so that it may lie where this one does.
        self.page = None;
        self.page = Some(V::read(Data { bytes: buf, encoding, values }, &self.dictionary)?);
        self.next += 1;
        self.rows = start..end;
        Ok(())
    }

    fn take(&mut self, ranges: &[Range<u32>], n: usize) -> Result<Vec<V::Value>> {
        let mut out = Vec::with_capacity(n);
        for r in ranges {
            let mut at = r.start;
            while at < r.end {
                if !self.rows.contains(&at) {
                    self.load(at)?;
                }
                let end = r.end.min(self.rows.end);
                let (from, to) = ((at - self.rows.start) as usize, (end - self.rows.start) as usize);
                self.page.as_ref().ok_or_else(|| damaged("a page is not where the index says"))?.rows(from..to, &mut out)?;
                at = end;
            }
        }
        Ok(out)
    }
}

/// The times of rows, stretch by stretch.
fn steady_times(all: &mut Steadies, ranges: &[Range<u32>], n: usize) -> Result<Vec<i64>> {
    let mut out = Vec::with_capacity(n);
    for r in ranges {
        let mut at = r.start;
        while at < r.end {
            let s = all.front().ok_or_else(|| damaged("rows behind the last stretch"))?;
            let end = r.end.min(s.rows.end);
            if at < s.rows.start || at >= end {
                all.pop_front();
                continue;
            }
            // Added up: a product for each takes three times as long.
            let mut t = s.first + s.step * i64::from(at - s.rows.start);
            out.extend((at..end).map(|_| {
                let this = t;
                t = t.wrapping_add(s.step);
                this
            }));
            at = end;
        }
    }
    Ok(out)
}

/// A page of an optional column without any value; others are an error.
struct Nulls;

impl Values for Nulls {
    type Value = i64;

    fn read(page: Data, _: &[i8]) -> Result<Self> {
        // Before the values: the length of the definition levels, then these, one bit each.
        let (len, rest) = page.bytes.split_first_chunk::<4>().ok_or_else(|| damaged("a page without levels"))?;
        let levels = rest.get(..u32::from_le_bytes(*len) as usize).ok_or_else(|| damaged("levels end early"))?;
        let mut all_null = true;
        runs(levels, 1, page.values, &mut |code, _| all_null &= code == 0)?;
        if all_null { Ok(Nulls) } else { Err(damaged("a page has values")) }
    }

    fn rows(&self, rows: Range<usize>, out: &mut Vec<i64>) -> Result<()> {
        out.resize(out.len() + rows.len(), 0);
        Ok(())
    }
}

/// Rows of a page of split bytes that are looked at together: about as many as a series has in a slice, of which most need one byte or two.
const ROWS_TOGETHER: usize = 256;

/// `BYTE_STREAM_SPLIT` of 8 bytes: first the lowest byte of all values, then the next one of all. Any rows can be had without the others.
pub struct SplitBytes {
    bytes: Bytes,
    values: usize,
}

impl Values for SplitBytes {
    type Value = i64;

    fn read(page: Data, _: &[i8]) -> Result<Self> {
        if page.encoding != Encoding::BYTE_STREAM_SPLIT || page.bytes.len() != page.values * 8 {
            return Err(damaged("a page of split bytes has another size than its rows"));
        }
        Ok(SplitBytes { bytes: page.bytes, values: page.values })
    }

    fn rows(&self, rows: Range<usize>, out: &mut Vec<i64>) -> Result<()> {
        if rows.end > self.values {
            return Err(damaged("a page ends early"));
        }
        out.reserve(rows.len());
        let mut from = rows.start;
        while from < rows.end {
            let to = rows.end.min(from + ROWS_TOGETHER);
            let of_byte = |k: usize| &self.bytes[k * self.values + from..k * self.values + to];
            let is_used = |k: &usize| of_byte(*k).iter().fold(0, |any, b| any | b) != 0;
            let wide = |b: &u8, shift: u32| i64::from(*b) << shift;
            match (1..8).rev().find(is_used).unwrap_or(0) {
                0 => out.extend(of_byte(0).iter().map(|b| wide(b, 0))),
                1 => out.extend(of_byte(0).iter().zip(of_byte(1)).map(|(a, b)| wide(a, 0) | wide(b, 8))),
                2 | 3 => {
                    let (low, high) = (of_byte(0).iter().zip(of_byte(1)), of_byte(2).iter().zip(of_byte(3)));
                    out.extend(low.zip(high).map(|((a, b), (c, d))| wide(a, 0) | wide(b, 8) | wide(c, 16) | wide(d, 24)));
                }
                _ => join_split(&self.bytes, self.values, from..to, out),
            }
            from = to;
        }
        Ok(())
    }
}

/// All eight bytes of rows.
fn join_split(bytes: &[u8], n: usize, rows: Range<usize>, out: &mut Vec<i64>) {
    let whole = rows.start + rows.len() / 8 * 8;
    for at in (rows.start..whole).step_by(8) {
        let mut w = [0; 8];
        // Loops by hand: arrays of closures were not inlined, and took more time than all the rest.
        for (k, w) in w.iter_mut().enumerate() {
            let from = k * n + at;
            *w = bytes[from..from + 8].try_into().map_or(0, u64::from_le_bytes);
        }
        transpose(&mut w);
        for w in w {
            out.push(w as i64);
        }
    }
    for at in whole..rows.end {
        out.push((0..8).rev().fold(0, |v, k| v << 8 | i64::from(bytes[k * n + at])));
    }
}

/// An 8 by 8 matrix of bytes, a row in each word, on its side: blocks of four are exchanged, then of two, then single bytes.
#[inline(always)]
fn transpose(w: &mut [u64; 8]) {
    let mut exchange = |i: usize, k: usize, shift: u32, mask: u64| {
        let x = ((w[i] >> shift) ^ w[k]) & mask;
        w[k] ^= x;
        w[i] ^= x << shift;
    };
    for i in 0..4 {
        exchange(i, i + 4, 32, 0x0000_0000_ffff_ffff);
    }
    for i in [0, 1, 4, 5] {
        exchange(i, i + 2, 16, 0x0000_ffff_0000_ffff);
    }
    for i in [0, 2, 4, 6] {
        exchange(i, i + 1, 8, 0x00ff_00ff_00ff_00ff);
    }
}

/// Small numbers as Parquet stores them plainly: 32 bits each.
fn plain_codes(bytes: &Bytes, n: usize) -> Result<Vec<i8>> {
    let numbers = bytes.chunks_exact(4).take(n).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let out = numbers.map(|v| i8::try_from(v).map_err(|_| damaged("a number of 8 bits is larger"))).collect::<Result<Vec<_>>>()?;
    if out.len() == n { Ok(out) } else { Err(damaged("a dictionary ends early")) }
}

/// Places in the dictionary: the width in bits, then runs.
pub struct Codes(Vec<i8>);

impl Values for Codes {
    type Value = i8;

    fn read(page: Data, dictionary: &[i8]) -> Result<Self> {
        let mut out = Vec::with_capacity(page.values);
        match (page.encoding, page.bytes.split_first()) {
            (Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY, Some((width, runs_of))) => {
                let mut known = true;
                runs(runs_of, u32::from(*width), page.values, &mut |code, n| {
                    let value = dictionary.get(code as usize);
                    known &= value.is_some();
                    out.resize(out.len() + n, value.copied().unwrap_or_default());
                })?;
                if known { Ok(Codes(out)) } else { Err(damaged("a page names what its dictionary does not have")) }
            }
            _ => Err(damaged("a page of codes has another encoding")),
        }
    }

    fn rows(&self, rows: Range<usize>, out: &mut Vec<i8>) -> Result<()> {
        out.extend_from_slice(self.0.get(rows).ok_or_else(|| damaged("a page ends early"))?);
        Ok(())
    }
}

/// Parquet's hybrid of runs and packed bits: hands out `n` numbers of `width` bits, equal ones of a run together.
fn runs(mut bytes: &[u8], width: u32, mut n: usize, out: &mut dyn FnMut(u32, usize)) -> Result<()> {
    let early = || damaged("runs end early");
    if width > 16 {
        return Err(damaged("numbers are too wide"));
    }
    while n > 0 {
        let (head, rest) = base::attrs::read_varint(bytes).ok_or_else(early)?;
        bytes = rest;
        let count = usize::try_from(head >> 1).map_err(|_| early())?;
        if head & 1 == 0 {
            let size = width.div_ceil(8) as usize;
            let value = bytes.get(..size).ok_or_else(early)?;
            let value = value.iter().rev().fold(0u32, |v, b| v << 8 | u32::from(*b));
            bytes = &bytes[size..];
            let many = count.min(n);
            if many == 0 {
                return Err(early());
            }
            out(value, many);
            n -= many;
            continue;
        }
        // Eight numbers take as many bytes as one takes bits.
        let size = count.checked_mul(width as usize).ok_or_else(early)?;
        let packed = bytes.get(..size).ok_or_else(early)?;
        bytes = &bytes[size..];
        let many = count.saturating_mul(8).min(n);
        if many == 0 {
            return Err(early());
        }
        let bit = |at: usize| u32::from(packed[at / 8] >> (at % 8) & 1);
        for i in 0..many {
            out((0..width as usize).rev().fold(0, |v, b| v << 1 | bit(i * width as usize + b)), 1);
        }
        n -= many;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_of_steady_stretches() {
        let steady = |rows, first, step| Steady { rows, first, step };
        let mut all = Steadies::from(vec![steady(0..4, 100, 15), steady(4..5, 7, 0), steady(9..12, -3, 2)]);
        // Part of a stretch, and a stretch in two parts.
        assert_eq!(steady_times(&mut all, &[2..5, 9..10], 4).unwrap(), [130, 145, 7, -3]);
        assert_eq!(steady_times(&mut all, &[10..11, 11..12], 2).unwrap(), [-1, 1]);
        assert!(steady_times(&mut all, &[12..13, 13..14], 2).is_err());
    }

    #[test]
    fn runs_and_packed_bits() {
        let mut got = vec![];
        // Five times the number 3, then eight numbers of two bits of which three are asked for.
        runs(&[5 << 1, 3, 1 << 1 | 1, 0b1110_0100, 0], 2, 8, &mut |v, n| got.resize(got.len() + n, v)).unwrap();
        assert_eq!(got, [3, 3, 3, 3, 3, 0, 1, 2]);
        for bad in [&[][..], &[5 << 1], &[1 << 1 | 1, 0], &[0, 0]] {
            assert!(runs(bad, 2, 9, &mut |_, _| {}).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn split_bytes_come_together(
            values in proptest::collection::vec((any::<i64>(), 0u32..64), 1..1500),
            shift in 0u32..64,
            cut in any::<(proptest::sample::Index, proptest::sample::Index)>(),
        ) {
            // Numbers of all widths, and where `shift` is large none but narrow ones.
            let values: Vec<i64> = values.into_iter().map(|(v, s)| (v as u64 >> shift.max(s)) as i64).collect();
            let mut bytes = vec![];
            (0..8).for_each(|k| bytes.extend(values.iter().map(|v| v.to_le_bytes()[k])));
            let n = values.len();
            let page = |bytes: Vec<u8>| SplitBytes::read(Data { bytes: bytes.into(), encoding: Encoding::BYTE_STREAM_SPLIT, values: n }, &[]);
            let read = page(bytes.clone()).unwrap();
            let (a, b) = (cut.0.index(n), cut.1.index(n));
            for rows in [0..n, a.min(b)..a.max(b)] {
                let mut out = vec![];
                read.rows(rows.clone(), &mut out).unwrap();
                prop_assert_eq!(&out, &values[rows]);
            }
            prop_assert!(read.rows(0..n + 1, &mut vec![]).is_err());
            bytes.push(0);
            prop_assert!(page(bytes).is_err());
        }
    }
}
