//! The directory of a data file: which rows of which tenant and slice lie where, and whose stretches they are.

use std::ops::Range;
use std::sync::Arc;

use base::attrs::{read_varint, write_varint};
use base::{Error, Result, Tenant};

use super::limits;
use super::pages::Memory;

/// Rows of one series that lie one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Number or rank of the series.
    pub series: u32,
    /// Rows.
    pub rows: u32,
    /// Earliest time.
    pub first: i64,
    /// Latest time.
    pub last: i64,
    /// From the time of one row to that of the next, where it is the same for all; else 0.
    pub step: i64,
}

impl Stretch {
    /// Takes what is stored for a step, which must lead from the first time to the last.
    fn set_step(&mut self, v: u64) -> Result<()> {
        self.step = i64::try_from(v).map_err(|_| damaged())?;
        let whole = self.step.checked_mul(i64::from(self.rows) - 1).and_then(|d| self.first.checked_add(d));
        if self.step != 0 && whole != Some(self.last) { Err(damaged()) } else { Ok(()) }
    }
}

/// A piece of the file before the tail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blob {
    pub offset: u64,
    pub len: u32,
}

/// Sorted rows of one tenant and slice within one row group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Index into [`Directory::tenants`].
    pub tenant: u32,
    /// Start of the slice.
    pub slice: i64,
    pub row_group: u32,
    /// First row within the row group.
    pub first_row: u32,
    pub rows: u32,
    pub first: i64,
    pub last: i64,
    /// Encoded stretches; empty for tables ordered by a key.
    pub stretches: Blob,
    /// The least and the greatest number among its series, where they are known.
    pub numbers: Option<(u32, u32)>,
    /// Skip filters: table column and where the filter lies.
    pub filters: Vec<(u32, Blob)>,
}

impl Segment {
    /// Whether one of its series may have one of these numbers.
    pub fn may_have(&self, numbers: &Range<u32>) -> bool {
        self.numbers.is_none_or(|(least, greatest)| least < numbers.end && numbers.start <= greatest)
    }
}

/// The least and the greatest number among the series of stretches.
pub fn numbers_of(stretches: &[Stretch]) -> Option<(u32, u32)> {
    let numbers = || stretches.iter().map(|s| s.series);
    numbers().min().zip(numbers().max())
}

/// All segments, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    pub tenants: Vec<Tenant>,
    pub segments: Vec<Segment>,
}

fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}
fn unzigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    fn u64(&mut self) -> Result<u64> {
        // Nearly all are short, and a scan reads a hundred thousand of them for each slice.
        let low = |b: u8, at: u32| u64::from(b & 0x7f) << (7 * at);
        match *self.0 {
            [a, ref rest @ ..] if a < 0x80 => {
                self.0 = rest;
                return Ok(u64::from(a));
            }
            [a, b, ref rest @ ..] if b < 0x80 => {
                self.0 = rest;
                return Ok(low(a, 0) | low(b, 1));
            }
            [a, b, c, ref rest @ ..] if c < 0x80 => {
                self.0 = rest;
                return Ok(low(a, 0) | low(b, 1) | low(c, 2));
            }
            [a, b, c, d, ref rest @ ..] if d < 0x80 => {
                self.0 = rest;
                return Ok(low(a, 0) | low(b, 1) | low(c, 2) | low(d, 3));
            }
            _ => {}
        }
        let (v, rest) = read_varint(self.0).ok_or_else(|| Error::corrupt("directory ends early"))?;
        self.0 = rest;
        Ok(v)
    }
    fn u32(&mut self) -> Result<u32> {
        u32::try_from(self.u64()?).map_err(|_| Error::corrupt("directory holds a number that is too large"))
    }
    fn i64(&mut self) -> Result<i64> {
        Ok(unzigzag(self.u64()?))
    }
    /// Reads `n` numbers and hands them on with their positions.
    #[inline]
    fn each(&mut self, n: usize, mut take: impl FnMut(usize, u64) -> Result<()>) -> Result<()> {
        self.runs(n, |mut run, v| run.try_for_each(|i| take(i, v)))
    }
    /// Reads `n` numbers and hands on equal ones that follow one another with the positions they have. Columns of stretches say the same
    /// again and again: bytes that are those of the number before are not decoded anew.
    #[inline]
    fn runs(&mut self, n: usize, mut take: impl FnMut(Range<usize>, u64) -> Result<()>) -> Result<()> {
        let word = |b: &[u8]| b.first_chunk::<8>().map(|w| u64::from_le_bytes(*w));
        let mut i = 0;
        while i < n {
            let (from, before) = (i, self.0);
            let v = self.u64()?;
            i += 1;
            let len = before.len() - self.0.len();
            if let Some(this) = word(before).filter(|_| len < 8) {
                if len == 1 {
                    // Eight at a time.
                    let eight = (this & 0xff) * 0x0101_0101_0101_0101;
                    while i + 8 <= n && word(self.0) == Some(eight) {
                        i += 8;
                        self.0 = &self.0[8..];
                    }
                }
                let differs = |w: u64| (w ^ this) << (64 - 8 * len) != 0;
                while i < n && word(self.0).is_some_and(|w| !differs(w)) {
                    i += 1;
                    self.0 = &self.0[len..];
                }
            }
            take(from..i, v)?;
        }
        Ok(())
    }
    /// Of `n` numbers, hands on those at `places`, which are ascending, with their positions among these.
    fn picked(&mut self, n: usize, places: &[usize], mut take: impl FnMut(usize, u64) -> Result<()>) -> Result<()> {
        let mut at = 0;
        for (i, place) in places.iter().enumerate() {
            self.skip(place - at)?;
            take(i, self.u64()?)?;
            at = place + 1;
        }
        self.skip(n - at)
    }
    /// Steps over numbers: each ends with a byte that is less than 128.
    fn skip(&mut self, mut n: usize) -> Result<()> {
        self.skip_blocks::<128>(&mut n);
        self.skip_blocks::<8>(&mut n);
        while n > 0 {
            self.u64()?;
            n -= 1;
        }
        Ok(())
    }
    /// Steps over blocks of bytes as long as there is more to skip than what ends in them.
    fn skip_blocks<const N: usize>(&mut self, n: &mut usize) {
        const { assert!(N < 256) };
        while let Some(block) = self.0.first_chunk::<N>() {
            let ends = usize::from(block.iter().map(|b| u8::from(*b < 0x80)).sum::<u8>());
            // With the last one asked for, another may begin.
            if ends >= *n {
                break;
            }
            *n -= ends;
            self.0 = &self.0[N..];
        }
    }
    /// A count of things of at least one byte each, so a damaged count cannot ask for memory.
    fn count(&mut self) -> Result<usize> {
        let n = self.u64()?;
        if n > self.0.len() as u64 { Err(Error::corrupt("directory holds a count that is too large")) } else { Ok(n as usize) }
    }
    fn bytes(&mut self) -> Result<&'a [u8]> {
        let n = self.count()?;
        let (b, rest) = self.0.split_at(n);
        self.0 = rest;
        Ok(b)
    }
    fn blob(&mut self) -> Result<Blob> {
        Ok(Blob { offset: self.u64()?, len: self.u32()? })
    }
}

impl Directory {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![];
        write_varint(&mut out, self.tenants.len() as u64);
        for t in &self.tenants {
            write_varint(&mut out, t.as_str().len() as u64);
            out.extend_from_slice(t.as_str().as_bytes());
        }
        write_varint(&mut out, self.segments.len() as u64);
        for s in &self.segments {
            for v in [u64::from(s.tenant), zigzag(s.slice), u64::from(s.row_group), u64::from(s.first_row), u64::from(s.rows)] {
                write_varint(&mut out, v);
            }
            write_varint(&mut out, zigzag(s.first.wrapping_sub(s.slice)));
            write_varint(&mut out, zigzag(s.last.wrapping_sub(s.first)));
            write_varint(&mut out, s.stretches.offset);
            write_varint(&mut out, u64::from(s.stretches.len));
            write_varint(&mut out, s.filters.len() as u64);
            for (column, b) in &s.filters {
                write_varint(&mut out, u64::from(*column));
                write_varint(&mut out, b.offset);
                write_varint(&mut out, u64::from(b.len));
            }
        }
        for s in &self.segments {
            // One more than the least, so that nothing known is 0.
            let (least, more) = s.numbers.map_or((0, 0), |(least, greatest)| (u64::from(least) + 1, greatest - least));
            write_varint(&mut out, least);
            write_varint(&mut out, u64::from(more));
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Directory> {
        let mut r = Reader(bytes);
        let mut d = Directory::default();
        for _ in 0..r.count()? {
            let name = std::str::from_utf8(r.bytes()?).map_err(|_| Error::corrupt("directory holds a tenant that is not UTF-8"))?;
            d.tenants.push(Tenant::new(name)?);
        }
        for _ in 0..r.count()? {
            let (tenant, slice) = (r.u32()?, r.i64()?);
            let (row_group, first_row, rows) = (r.u32()?, r.u32()?, r.u32()?);
            let first = r.i64()?.wrapping_add(slice);
            let last = r.i64()?.wrapping_add(first);
            let stretches = r.blob()?;
            let mut filters = vec![];
            for _ in 0..r.count()? {
                filters.push((r.u32()?, r.blob()?));
            }
            if tenant as usize >= d.tenants.len() {
                return Err(Error::corrupt("directory names a tenant it does not have"));
            }
            d.segments.push(Segment { tenant, slice, row_group, first_row, rows, first, last, stretches, numbers: None, filters });
        }
        // Files from before numbers were said end here.
        if !r.0.is_empty() {
            for s in &mut d.segments {
                let (least, more) = (r.u64()?, r.u32()?);
                let least = least.checked_sub(1).map(short).transpose()?;
                s.numbers = least.map(|n| n.checked_add(more).map(|m| (n, m)).ok_or_else(damaged)).transpose()?;
            }
        }
        Ok(d)
    }
}

/// Encodes the stretches of a segment: five columns of varints, then zstd; a regular slice is a few bytes a series.
pub fn encode_stretches(slice: i64, stretches: &[Stretch]) -> Result<Vec<u8>> {
    let mut raw = Vec::with_capacity(stretches.len() * 6 + 8);
    write_varint(&mut raw, stretches.len() as u64);
    let mut before = 0i64;
    for s in stretches {
        write_varint(&mut raw, zigzag(i64::from(s.series) - before));
        before = i64::from(s.series);
    }
    stretches.iter().for_each(|s| write_varint(&mut raw, u64::from(s.rows)));
    stretches.iter().for_each(|s| write_varint(&mut raw, zigzag(s.first.wrapping_sub(slice))));
    stretches.iter().for_each(|s| write_varint(&mut raw, zigzag(s.last.wrapping_sub(s.first))));
    stretches.iter().for_each(|s| write_varint(&mut raw, u64::try_from(s.step).unwrap_or(0)));
    zstd::bulk::compress(&raw, 1).map(|z| [&(raw.len() as u64).to_le_bytes()[..], &z].concat()).map_err(super::layout::internal)
}

fn damaged() -> Error {
    Error::corrupt("the stretches of a slice are damaged")
}

fn short(v: u64) -> Result<u32> {
    u32::try_from(v).map_err(|_| damaged())
}

/// What they were compressed from, and how long that is said to be.
fn packed(bytes: &[u8]) -> Result<(&[u8], usize)> {
    let (len, z) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
    let len = usize::try_from(u64::from_le_bytes(*len)).ok().filter(|l| *l <= limits::STRETCHES * 30).ok_or_else(damaged)?;
    Ok((z, len))
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>> {
    let (z, len) = packed(bytes)?;
    zstd::bulk::decompress(z, len).map_err(|_| damaged())
}

/// Reads the series of `n` stretches.
fn series_of(r: &mut Reader<'_>, n: usize, mut take: impl FnMut(usize, u32)) -> Result<()> {
    let mut before = 0i64;
    r.each(n, |i, v| {
        before = before.wrapping_add(unzigzag(v));
        take(i, u32::try_from(before).map_err(|_| damaged())?);
        Ok(())
    })
}

/// Only the series of what [`encode_stretches`] made, each of which has one stretch; `None` if they are as many as `all`.
pub fn decode_series(bytes: &[u8], all: Option<usize>) -> Result<Option<Vec<u32>>> {
    let raw = decompress(bytes)?;
    let mut r = Reader(&raw);
    let n = r.count()?;
    if Some(n) == all {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(n);
    series_of(&mut r, n, |_, s| out.push(s))?;
    Ok(Some(out))
}

/// Decodes what [`encode_stretches`] made; `rows` is what the stretches must add up to.
pub fn decode_stretches(slice: i64, rows: u32, bytes: &[u8]) -> Result<Vec<Stretch>> {
    unpack_stretches(slice, rows, &decompress(bytes)?)
}

fn unpack_stretches(slice: i64, rows: u32, raw: &[u8]) -> Result<Vec<Stretch>> {
    let mut r = Reader(raw);
    let n = r.count()?;
    let mut out = Vec::with_capacity(n);
    series_of(&mut r, n, |_, series| out.push(Stretch { series, rows: 0, first: 0, last: 0, step: 0 }))?;
    let mut sum = 0u64;
    r.each(n, |i, v| {
        out[i].rows = short(v)?;
        sum += v;
        Ok(())
    })?;
    r.each(n, |i, v| {
        out[i].first = unzigzag(v).wrapping_add(slice);
        Ok(())
    })?;
    r.each(n, |i, v| {
        out[i].last = unzigzag(v).wrapping_add(out[i].first);
        Ok(())
    })?;
    // Files from before there were steps end here.
    if !r.0.is_empty() {
        r.each(n, |i, v| out[i].set_step(v))?;
    }
    if sum == u64::from(rows) { Ok(out) } else { Err(damaged()) }
}

/// Stretches that were asked for, and where their rows are: those of a segment whose first row is `first_row`. `wanted` says which series
/// are, all of them `within` a range; of the others nothing is decoded but what it takes to find these.
pub fn pick_stretches(
    s: &Segment,
    bytes: &[u8],
    memory: &Memory,
    within: Range<u32>,
    wanted: impl Fn(u32) -> Option<u32>,
) -> Result<(Vec<Range<u32>>, Vec<Stretch>)> {
    let (z, len) = packed(bytes)?;
    let raw = memory.unpack_sized(z, len).map_err(|_| damaged())?;
    let picked = pick(s, &raw, &within, wanted);
    memory.leave(raw);
    picked
}

fn pick(s: &Segment, raw: &[u8], within: &Range<u32>, wanted: impl Fn(u32) -> Option<u32>) -> Result<(Vec<Range<u32>>, Vec<Stretch>)> {
    let mut r = Reader(raw);
    let n = r.count()?;
    let (mut places, mut out): (Vec<usize>, Vec<Stretch>) = (vec![], vec![]);
    let mut before = 0i64;
    r.runs(n, |run, v| {
        let (step, len) = (unzigzag(v), run.len() as i64);
        let first = before.checked_add(step).ok_or_else(damaged)?;
        before = step.checked_mul(len - 1).and_then(|d| first.checked_add(d)).ok_or_else(damaged)?;
        if [first, before].iter().any(|n| u32::try_from(*n).is_err()) {
            return Err(damaged());
        }
        // Series mostly follow one another, and those that nobody asks for are passed over together.
        let place = |n: u32| if step > 0 { ((i64::from(n) - first).max(0) + step - 1) / step } else { 0 };
        let end = if step > 0 { place(within.end).min(len) } else { len };
        for k in place(within.start)..end {
            if let Some(series) = wanted((first + step * k) as u32) {
                places.push(run.start + k as usize);
                out.push(Stretch { series, rows: 0, first: 0, last: 0, step: 0 });
            }
        }
        Ok(())
    })?;
    let mut ranges = Vec::with_capacity(out.len());
    let (mut sum, mut next) = (0u64, 0);
    r.runs(n, |run, v| {
        let rows = short(v)?;
        while let Some(at) = places.get(next).filter(|at| run.contains(*at)) {
            let before = sum + (at - run.start) as u64 * v;
            let start = s.first_row.checked_add(short(before)?).ok_or_else(damaged)?;
            ranges.push(start..start.checked_add(rows).ok_or_else(damaged)?);
            out[next].rows = rows;
            next += 1;
        }
        sum += run.len() as u64 * v;
        Ok(())
    })?;
    if sum != u64::from(s.rows) {
        return Err(damaged());
    }
    r.picked(n, &places, |i, v| {
        out[i].first = unzigzag(v).wrapping_add(s.slice);
        Ok(())
    })?;
    r.picked(n, &places, |i, v| {
        out[i].last = unzigzag(v).wrapping_add(out[i].first);
        Ok(())
    })?;
    // Files from before there were steps end here.
    if !r.0.is_empty() {
        r.picked(n, &places, |i, v| out[i].set_step(v))?;
    }
    Ok((ranges, out))
}

/// Stretches of a segment one after the other, from the bytes that they were decompressed to: those of a million series
/// take 6 bytes each, not 32. Copies read on their own, each where it is.
#[derive(Clone, Default)]
pub struct StretchReader {
    raw: Arc<[u8]>,
    /// Where the next number of each column is.
    at: [usize; 5],
    left: usize,
    slice: i64,
    series: i64,
}

impl StretchReader {
    /// Reads what [`encode_stretches`] made, and checks all of it; `each` sees every stretch once.
    pub fn new(slice: i64, rows: u32, bytes: &[u8], mut each: impl FnMut(&Stretch)) -> Result<StretchReader> {
        let raw = decompress(bytes)?;
        let all = unpack_stretches(slice, rows, &raw)?;
        all.iter().for_each(&mut each);
        let mut r = Reader(&raw);
        r.count()?;
        let mut at = [0; 5];
        for (i, start) in at.iter_mut().enumerate() {
            *start = raw.len() - r.0.len();
            // Files from before there were steps end here.
            for _ in 0..if i == 4 || r.0.is_empty() { 0 } else { all.len() } {
                r.u64()?;
            }
        }
        Ok(StretchReader { raw: raw.into(), at, left: all.len(), slice, series: 0 })
    }

    fn number(&mut self, column: usize) -> u64 {
        let mut r = Reader(&self.raw[self.at[column]..]);
        let n = r.u64().unwrap_or(0);
        self.at[column] = self.raw.len() - r.0.len();
        n
    }
}

impl Iterator for StretchReader {
    type Item = Stretch;

    fn next(&mut self) -> Option<Stretch> {
        self.left = self.left.checked_sub(1)?;
        self.series = self.series.wrapping_add(unzigzag(self.number(0)));
        let rows = self.number(1) as u32;
        let first = unzigzag(self.number(2)).wrapping_add(self.slice);
        let last = unzigzag(self.number(3)).wrapping_add(first);
        Some(Stretch { series: self.series as u32, rows, first, last, step: self.number(4) as i64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_said_again_are_read_again() {
        let numbers = [480, 480, 480, 479, 479, 5, 5, 5, 5, 0, u64::MAX, u64::MAX, u64::MAX, 1 << 20, 1 << 20, 1 << 20];
        let mut bytes = vec![];
        numbers.iter().for_each(|v| write_varint(&mut bytes, *v));
        let mut out = vec![];
        let mut r = Reader(&bytes);
        let mut take = |i, v| {
            out.push((i, v));
            Ok(())
        };
        r.each(numbers.len(), &mut take).unwrap();
        assert_eq!(out, numbers.into_iter().enumerate().collect::<Vec<_>>());
        assert!(r.0.is_empty() && Reader(&bytes).each(numbers.len() + 1, |_, _| Ok(())).is_err());
    }

    #[test]
    fn picked_stretches_are_those_of_all() {
        let mut at = 0;
        let mut stretch = |i: u32| {
            at += if (i / 20).is_multiple_of(2) { 1 } else { 1 + i % 3 * (i % 7) };
            let (rows, first, step) = (1 + i % 5 / 4 * 300, i64::from(i * i % 1000) * 37 - 500, i64::from(i % 2 * 15_000));
            Stretch { series: at, rows, first, last: first + step * i64::from(rows - 1), step: if rows > 1 { step } else { 0 } }
        };
        let all: Vec<Stretch> = (0..200).map(&mut stretch).collect();
        let rows = all.iter().map(|s| s.rows).sum();
        let s = Segment {
            tenant: 0,
            slice: -100,
            row_group: 0,
            first_row: 77,
            rows,
            first: 0,
            last: 0,
            stretches: Blob::default(),
            numbers: None,
            filters: vec![],
        };
        let bytes = encode_stretches(-100, &all).unwrap();
        let memory = Memory::default();
        for keep in [|_: u32| true, |n: u32| n.is_multiple_of(4), |n| n > 120, |n| (50..60).contains(&n), |n| n == 1, |_| false] {
            let mut row = 77;
            let mut wanted = (vec![], vec![]);
            let kept = all.iter().map(|x| x.series).filter(|n| keep(*n)).collect::<Vec<_>>();
            let within = kept.first().copied().unwrap_or(9)..kept.last().map_or(9, |n| n + 1);
            for x in &all {
                let range = row..row + x.rows;
                row = range.end;
                if keep(x.series) {
                    wanted.0.push(range);
                    wanted.1.push(Stretch { series: x.series + 1000, ..*x });
                }
            }
            assert_eq!(pick_stretches(&s, &bytes, &memory, within.clone(), |n| keep(n).then_some(n + 1000)).unwrap(), wanted);
        }
        let other = Segment { rows: rows + 1, ..s.clone() };
        assert!(pick_stretches(&other, &bytes, &memory, 0..u32::MAX, Some).is_err());
        for i in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 0x41;
            let _ = pick_stretches(&s, &bad, &memory, 0..u32::MAX, Some);
        }
    }

    #[test]
    fn what_is_written_is_read_and_damage_is_an_error() {
        let stretches =
            [Stretch { series: 7, rows: 3, first: -5, last: 895, step: 450 }, Stretch { series: 2, rows: 1, first: 10, last: 10, step: 0 }];
        let b = encode_stretches(-100, &stretches).unwrap();
        assert_eq!(decode_stretches(-100, 4, &b).unwrap(), stretches);
        assert!(decode_stretches(-100, 5, &b).is_err());
        let mut seen = vec![];
        let one_by_one = StretchReader::new(-100, 4, &b, |s| seen.push(*s)).unwrap();
        let mut second = one_by_one.clone();
        second.next();
        assert_eq!((one_by_one.collect::<Vec<_>>(), &seen[..], second.next()), (stretches.to_vec(), &stretches[..], Some(stretches[1])));
        assert!(StretchReader::new(-100, 5, &b, |_| ()).is_err());
        assert_eq!(decode_series(&b, Some(3)).unwrap(), Some(vec![7, 2]));
        assert_eq!(decode_series(&b, Some(2)).unwrap(), None);
        let wrong = [Stretch { last: 900, ..stretches[0] }];
        assert!(decode_stretches(-100, 3, &encode_stretches(-100, &wrong).unwrap()).is_err());
        let d = Directory {
            tenants: vec![Tenant::default()],
            segments: vec![Segment {
                tenant: 0,
                slice: -7_200_000,
                row_group: 3,
                first_row: 9,
                rows: 4,
                first: -5,
                last: 900,
                stretches: Blob { offset: 1 << 40, len: 77 },
                numbers: Some((0, u32::MAX)),
                filters: vec![(2, Blob { offset: 5, len: 6 })],
            }],
        };
        let e = d.encode();
        assert_eq!(Directory::decode(&e).unwrap(), d);
        // Without the last of its columns it is one of a file from before there were numbers.
        let before = e.len() - 6;
        for cut in 0..e.len() {
            assert_eq!(Directory::decode(&e[..cut]).is_ok(), cut == before, "{cut}");
        }
        let old = Directory::decode(&e[..before]).unwrap();
        assert_eq!(old.segments, [Segment { numbers: None, ..d.segments[0].clone() }]);
        for (numbers, there) in [(None, [true; 4]), (Some((5, 7)), [false, true, true, false]), (Some((9, 9)), [false, false, false, true])]
        {
            let d = Directory { segments: vec![Segment { numbers, ..d.segments[0].clone() }], ..d.clone() };
            let segment = &Directory::decode(&d.encode()).unwrap().segments[0];
            assert_eq!([0..5, 0..6, 7..9, 9..10].map(|r| segment.may_have(&r)), there);
        }
        for i in 0..b.len() {
            let mut bad = b.clone();
            bad[i] ^= 0x41;
            let _ = decode_stretches(-100, 4, &bad);
        }
    }
}
