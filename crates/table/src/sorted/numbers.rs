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
use parquet::basic::{Encoding, Type};
use parquet::errors::Result;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::ChunkReader;

use super::index::StretchReader;
use super::limits::STRETCHES_AT_ONCE;
use super::pages::{Stored, damaged};
use super::text::read::Reads;

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
        reads: &Arc<Reads>,
    ) -> Result<Option<Self>> {
        let only = |allowed: &[Encoding]| column.encodings().all(|e| allowed.contains(&e));
        let descr = column.column_descr();
        if descr.max_rep_level() > 0 || descr.max_def_level() > 1 {
            return Ok(None);
        }
        let kind = (descr.max_def_level(), column.column_type(), ty);
        let is_wide = matches!(kind, (0, Type::INT64, DataType::Int64)) && only(&[Encoding::BYTE_STREAM_SPLIT, Encoding::RLE]);
        let are_codes = matches!(kind, (0, Type::INT32, DataType::Int8))
            && column.dictionary_page_offset().is_some()
            && only(&[Encoding::RLE_DICTIONARY, Encoding::PLAIN_DICTIONARY, Encoding::PLAIN, Encoding::RLE]);
        if kind.0 == 0 && !is_wide && !are_codes {
            return Ok(None);
        }
        let Some(stored) = Stored::open(reader, column, pages, rows)? else { return Ok(None) };
        Ok(Some(match (kind.0, is_wide) {
            (0, true) => Numbers::Wide(Paged::new(stored, reads)),
            (0, false) => {
                let mut paged = Paged::new(stored, reads);
                paged.read_dictionary()?;
                Numbers::Codes(paged)
            }
            _ if all_null(stored, pages, wanted, reads) => Numbers::Nulls(new_null_array(ty, 0)),
            _ => return Ok(None),
        }))
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

/// Whether the pages of an optional column that the wanted rows are in have no value.
fn all_null<R: ChunkReader + 'static>(stored: Stored<R>, pages: &[PageLocation], wanted: &[Range<u32>], reads: &Arc<Reads>) -> bool {
    let starts = stored.starts().to_vec();
    let touched = |i: &usize| {
        let at = wanted.partition_point(|r| r.end <= starts[*i]);
        wanted.get(at).is_some_and(|r| r.start < starts[i + 1])
    };
    let mut touched = (0..pages.len()).filter(touched);
    let mut paged = Paged::<Nulls, R>::new(stored, reads);
    touched.all(|i| pages[i].compressed_page_size <= NULL_PAGE_BYTES && paged.load(starts[i]).is_ok())
}

/// A data page whose values can be had.
pub trait Values: Sized {
    /// What it is a page of.
    type Value: Copy;
    /// Reads what must be read before any value can be; the dictionary, if there is one, comes before the pages.
    fn read(page: Data, dictionary: &[i8]) -> Result<Self>;
    /// Adds the values of these rows of the page to `out`.
    fn rows(&self, rows: Range<usize>, out: &mut Vec<Self::Value>) -> Result<()>;
    /// The memory of the page, for the next one.
    fn room(self) -> Vec<u8> {
        vec![]
    }
}

/// A data page as it is stored, decompressed.
pub struct Data {
    bytes: Vec<u8>,
    encoding: Encoding,
    values: usize,
}

/// The pages of a column chunk, one at hand at a time.
pub struct Paged<V: Values, R: ChunkReader> {
    stored: Stored<R>,
    reads: Arc<Reads>,
    /// The page at hand and its rows.
    page: Option<V>,
    rows: Range<u32>,
    dictionary: Vec<i8>,
}

impl<V: Values, R: ChunkReader> Drop for Paged<V, R> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<V: Values, R: ChunkReader> Paged<V, R> {
    fn new(stored: Stored<R>, reads: &Arc<Reads>) -> Self {
        Paged { stored, reads: reads.clone(), page: None, rows: 0..0, dictionary: vec![] }
    }

    /// Leaves the memory of the page at hand to the next.
    fn leave(&mut self) {
        if let Some(page) = self.page.take() {
            self.reads.memory.leave(page.room());
        }
    }

    fn unpack(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        if self.stored.is_packed { self.reads.memory.unpack(bytes) } else { Ok(bytes.to_vec()) }
    }

    fn read_dictionary(&mut self) -> Result<()> {
        let (bytes, n) = self.stored.dictionary()?;
        self.dictionary = plain_codes(&self.unpack(&bytes)?, n)?;
        Ok(())
    }

    /// Reads the page with a row, which lies behind the page before.
    fn load(&mut self, row: u32) -> Result<()> {
        let stored = self.stored.page(row)?;
        self.leave();
        let bytes = self.unpack(&stored.bytes)?;
        self.page = Some(V::read(Data { bytes, encoding: stored.encoding, values: stored.rows.len() }, &self.dictionary)?);
        self.rows = stored.rows;
        Ok(())
    }

    /// The page with a row, which is on the page at hand or behind it, and the page's rows.
    pub fn page(&mut self, row: u32) -> Result<(&V, Range<u32>)> {
        if !self.rows.contains(&row) {
            self.load(row)?;
        }
        let page = self.page.as_ref().ok_or_else(|| damaged("a page is not where the index says"))?;
        Ok((page, self.rows.clone()))
    }

    fn take(&mut self, ranges: &[Range<u32>], n: usize) -> Result<Vec<V::Value>> {
        let mut out = Vec::with_capacity(n);
        for r in ranges {
            let mut at = r.start;
            while at < r.end {
                let (values, page) = self.page(at)?;
                let end = r.end.min(page.end);
                values.rows((at - page.start) as usize..(end - page.start) as usize, &mut out)?;
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
    pub bytes: Vec<u8>,
    pub values: usize,
}

impl Values for SplitBytes {
    type Value = i64;

    fn read(page: Data, _: &[i8]) -> Result<Self> {
        if page.encoding != Encoding::BYTE_STREAM_SPLIT || page.bytes.len() != page.values * 8 {
            return Err(damaged("a page of split bytes has another size than its rows"));
        }
        Ok(SplitBytes { bytes: page.bytes, values: page.values })
    }

    fn room(self) -> Vec<u8> {
        self.bytes
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
pub fn join_split(bytes: &[u8], n: usize, rows: Range<usize>, out: &mut Vec<i64>) {
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
fn plain_codes(bytes: &[u8], n: usize) -> Result<Vec<i8>> {
    let numbers = bytes.chunks_exact(4).take(n).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let out = numbers.map(|v| i8::try_from(v).map_err(|_| damaged("a number of 8 bits is larger"))).collect::<Result<Vec<_>>>()?;
    if out.len() == n { Ok(out) } else { Err(damaged("a dictionary ends early")) }
}

/// Places in the dictionary: the width in bits, then runs. Here, the row behind each run of one value, and the value.
pub struct Codes(Vec<(usize, i8)>);

impl Codes {
    /// The value of a row, and the row behind the last that has it without another in between.
    pub fn run(&self, row: usize) -> Result<(i8, usize)> {
        let at = self.0.partition_point(|run| run.0 <= row);
        self.0.get(at).map(|(end, value)| (*value, *end)).ok_or_else(|| damaged("a page ends early"))
    }
}

impl Values for Codes {
    type Value = i8;

    fn read(page: Data, dictionary: &[i8]) -> Result<Self> {
        let mut out: Vec<(usize, i8)> = vec![];
        match (page.encoding, page.bytes.split_first()) {
            (Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY, Some((width, runs_of))) => {
                let (mut known, mut row) = (true, 0);
                runs(runs_of, u32::from(*width), page.values, &mut |code, n| {
                    let value = dictionary.get(code as usize);
                    known &= value.is_some();
                    row += n;
                    let value = value.copied().unwrap_or_default();
                    match out.last_mut() {
                        Some(run) if run.1 == value => run.0 = row,
                        _ => out.push((row, value)),
                    }
                })?;
                if known { Ok(Codes(out)) } else { Err(damaged("a page names what its dictionary does not have")) }
            }
            _ => Err(damaged("a page of codes has another encoding")),
        }
    }

    fn rows(&self, rows: Range<usize>, out: &mut Vec<i8>) -> Result<()> {
        let mut at = rows.start;
        while at < rows.end {
            let (value, end) = self.run(at)?;
            let end = end.min(rows.end);
            out.resize(out.len() + end - at, value);
            at = end;
        }
        Ok(())
    }
}

/// Parquet's hybrid of runs and packed bits: hands out `n` numbers of `width` bits, equal ones together.
fn runs(mut bytes: &[u8], width: u32, mut n: usize, out: &mut dyn FnMut(u32, usize)) -> Result<()> {
    let early = || damaged("runs end early");
    if width > 16 {
        return Err(damaged("numbers are too wide"));
    }
    let eight = Eight::of(width);
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
        let number = |i: usize| {
            let (byte, bit) = (i * width as usize / 8, i * width as usize % 8);
            let word = match packed.get(byte..byte + 4) {
                Some(w) => w.try_into().map_or(0, u32::from_le_bytes),
                None => packed[byte.min(packed.len())..].iter().rev().fold(0, |w, b| w << 8 | u32::from(*b)),
            };
            word >> bit & ((1 << width) - 1)
        };
        // Equal ones come together here as well: mostly a few numbers change now and then.
        let (mut i, mut from, mut value) = (1, 0, number(0));
        while i < many {
            if i % 8 == 0 && i + 8 <= many && eight.as_ref().is_some_and(|eight| eight.are(value, &packed[i / 8 * width as usize..])) {
                i += 8;
                continue;
            }
            let next = number(i);
            if next != value {
                out(value, i - from);
                (from, value) = (i, next);
            }
            i += 1;
        }
        out(value, many - from);
        n -= many;
    }
    Ok(())
}

/// Eight packed numbers that have room in one word.
struct Eight {
    /// All their bits.
    bits: u64,
    /// The lowest bit of each.
    ones: u64,
}

impl Eight {
    fn of(width: u32) -> Option<Eight> {
        let fit = (1..=8).contains(&width);
        fit.then(|| Eight { bits: u64::MAX >> (64 - 8 * width), ones: (0..8).fold(0, |all, k| all | 1 << (k * width)) })
    }

    /// Whether `packed` begins with eight times this value. No, if a word of it is not there.
    fn are(&self, value: u32, packed: &[u8]) -> bool {
        packed.first_chunk::<8>().is_some_and(|word| u64::from_le_bytes(*word) & self.bits == u64::from(value) * self.ones)
    }
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
        fn packed_bits_come_apart(
            width in 0u32..17,
            changes in proptest::collection::vec((1usize..40, any::<u16>()), 1..30),
            cut in 0usize..8,
        ) {
            let mut numbers: Vec<u32> = changes.iter().flat_map(|(n, v)| vec![u32::from(*v) & ((1 << width) - 1); *n]).collect();
            let asked = numbers.len() - cut.min(numbers.len() - 1);
            numbers.resize(numbers.len().next_multiple_of(8), 0);
            let mut packed = vec![0; numbers.len() / 8 * width as usize];
            for bit in (0..numbers.len() * width as usize).filter(|bit| numbers[bit / width as usize] >> (bit % width as usize) & 1 == 1) {
                packed[bit / 8] |= 1 << (bit % 8);
            }
            let mut bytes = vec![];
            base::attrs::write_varint(&mut bytes, (numbers.len() / 8) as u64 * 2 + 1);
            bytes.extend(packed);
            let mut got = vec![];
            runs(&bytes, width, asked, &mut |v, n| got.resize(got.len() + n, v)).unwrap();
            prop_assert_eq!(&got, &numbers[..asked]);
        }

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
            let page = |bytes: Vec<u8>| SplitBytes::read(Data { bytes, encoding: Encoding::BYTE_STREAM_SPLIT, values: n }, &[]);
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
