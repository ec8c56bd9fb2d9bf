//! Doubles of tables ordered by series, from the page straight to where they are used: split bytes are joined only as wide as the numbers
//! are, added up and made doubles in one go, with no column of integers in between.

use std::ops::Range;

use parquet::errors::Result;
use parquet::file::reader::ChunkReader;

use super::decimal;
use super::numbers::{Codes, Paged, SplitBytes, join_split};
use super::pages::damaged;

/// Rows that are looked at together: about as many as a series has in a slice, of which most need one byte or two.
const ROWS_TOGETHER: usize = 256;

/// A column of doubles: differences of mantissas, and scales.
pub struct Doubles<R: ChunkReader> {
    deltas: Paged<SplitBytes, R>,
    scales: Paged<Codes, R>,
    /// Numbers that need more than four bytes.
    wide: Vec<i64>,
}

impl<R: ChunkReader> Doubles<R> {
    pub fn new(deltas: Paged<SplitBytes, R>, scales: Paged<Codes, R>) -> Self {
        Doubles { deltas, scales, wide: vec![] }
    }

    /// Adds the values of a stretch's rows to `out`, but for the first `skipped`. The stretch lies behind those asked for before. True if
    /// all of them are decimals, so that none is a NaN.
    pub fn stretch(&mut self, rows: Range<u32>, skipped: u32, out: &mut Vec<f64>) -> Result<bool> {
        let (mut at, mut sum, mut are_decimals) = (rows.start, 0, true);
        let given = rows.start + skipped;
        while at < rows.end {
            let (codes, page) = self.scales.page(at)?;
            let (scale, behind) = codes.run((at - page.start) as usize)?;
            let mut end = rows.end.min(page.start + behind as u32);
            let (deltas, page) = self.deltas.page(at)?;
            end = end.min(page.end);
            if at < given {
                end = end.min(given);
            }
            if at == rows.start {
                // Its number is a mantissa, and much wider than those that follow.
                end = at + 1;
            }
            let here = (at - page.start) as usize..(end - page.start) as usize;
            if deltas.values < here.end {
                return Err(damaged("a page ends early"));
            }
            if at < given {
                each(deltas, here, &mut self.wide, &mut Total(&mut sum));
            } else {
                are_decimals &= decimal::divisor(scale).is_some();
                append(deltas, here, &mut self.wide, scale, &mut sum, out);
            }
            at = end;
        }
        Ok(are_decimals)
    }
}

fn unzigzag(d: u64) -> i64 {
    (d >> 1) as i64 ^ -((d & 1) as i64)
}

/// Takes differences as they are stored.
trait Take {
    fn take(&mut self, deltas: impl Iterator<Item = u64>);
    /// The same of up to [`ROWS_TOGETHER`] that are less than 65,536.
    fn take_narrow(&mut self, deltas: impl Iterator<Item = u32>) {
        self.take(deltas.map(u64::from));
    }
}

/// Adds them up.
struct Total<'a>(&'a mut i64);

impl Take for Total<'_> {
    fn take(&mut self, deltas: impl Iterator<Item = u64>) {
        *self.0 = deltas.fold(*self.0, |sum, d| sum.wrapping_add(unzigzag(d)));
    }
    fn take_narrow(&mut self, deltas: impl Iterator<Item = u32>) {
        // Many at a time, and far from overflow.
        let sum: i32 = deltas.map(|d| (d >> 1) as i32 ^ -((d & 1) as i32)).sum();
        *self.0 = self.0.wrapping_add(i64::from(sum));
    }
}

/// Adds what they add up to at each row, made a double.
struct Each<'a, F> {
    sum: &'a mut i64,
    out: &'a mut Vec<f64>,
    double: F,
}

impl<F: Fn(i64) -> f64> Take for Each<'_, F> {
    fn take(&mut self, deltas: impl Iterator<Item = u64>) {
        // A variable of its own, or it is written to memory at each row.
        let mut sum = *self.sum;
        self.out.extend(deltas.map(|d| {
            sum = sum.wrapping_add(unzigzag(d));
            (self.double)(sum)
        }));
        *self.sum = sum;
    }
}

fn append(page: &SplitBytes, rows: Range<usize>, wide: &mut Vec<i64>, scale: i8, sum: &mut i64, out: &mut Vec<f64>) {
    let from = out.len();
    if scale == decimal::RAW {
        return each(page, rows, wide, &mut Each { sum, out, double: |m| f64::from_bits(m as u64) });
    }
    each(page, rows, wide, &mut Each { sum, out, double: |m| m as f64 });
    match decimal::divisor(scale) {
        Some(_) if scale == 0 => {}
        Some(divisor) => out[from..].iter_mut().for_each(|v| *v /= divisor),
        None => out[from..].fill(f64::NAN),
    }
}

/// Hands on the differences of rows.
fn each(page: &SplitBytes, rows: Range<usize>, wide: &mut Vec<i64>, to: &mut impl Take) {
    let mut from = rows.start;
    while from < rows.end {
        let here = from..rows.end.min(from + ROWS_TOGETHER);
        from = here.end;
        let of_byte = |k: usize| &page.bytes[k * page.values + here.start..k * page.values + here.end];
        let [a, b, c, d] = [of_byte(0), of_byte(1), of_byte(2), of_byte(3)];
        let wider = |b: &u8, shift: u32| u64::from(*b) << shift;
        match width([b, c, d, of_byte(4), of_byte(5), of_byte(6), of_byte(7)]) {
            1 => to.take_narrow(a.iter().map(|a| u32::from(*a))),
            2 => to.take_narrow(a.iter().zip(b).map(|(a, b)| u32::from(*a) | u32::from(*b) << 8)),
            4 => to
                .take(a.iter().zip(b).zip(c.iter().zip(d)).map(|((a, b), (c, d))| wider(a, 0) | wider(b, 8) | wider(c, 16) | wider(d, 24))),
            _ => {
                wide.clear();
                join_split(&page.bytes, page.values, here, wide);
                to.take(wide.iter().map(|d| *d as u64));
            }
        }
    }
}

/// How many bytes numbers take whose higher bytes are these: 1, 2, 4 or 8.
fn width([b, c, d, e, f, g, h]: [&[u8]; 7]) -> usize {
    let highest = e.iter().zip(f).zip(g.iter().zip(h)).fold(0, |any, ((e, f), (g, h))| any | e | f | g | h);
    let high = c.iter().zip(d).fold(0, |any, (c, d)| any | c | d);
    let second = b.iter().fold(0, |any, b| any | b);
    match (second, high, highest) {
        (0, 0, 0) => 1,
        (_, 0, 0) => 2,
        (_, _, 0) => 4,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn doubles_are_what_their_differences_add_up_to(
            deltas in proptest::collection::vec((any::<i64>(), 0u32..64), 1..900),
            shift in 0u32..64,
            scale in prop_oneof![Just(0i8), Just(3), Just(18), Just(decimal::RAW), Just(19), Just(-1)],
            cut in any::<(proptest::sample::Index, proptest::sample::Index)>(),
        ) {
            let deltas: Vec<i64> = deltas.into_iter().map(|(v, s)| (v as u64 >> shift.max(s)) as i64).collect();
            let mut page = SplitBytes { bytes: vec![], values: deltas.len() };
            (0..8).for_each(|k| page.bytes.extend(deltas.iter().map(|v| v.to_le_bytes()[k])));
            let (a, b) = (cut.0.index(deltas.len()), cut.1.index(deltas.len()));
            let rows = a.min(b)..a.max(b);
            let (mut sum, mut wanted) = (77i64, vec![]);
            for d in &deltas[rows.clone()] {
                sum = sum.wrapping_add(unzigzag(*d as u64));
                wanted.push(decimal::decode(sum, scale).to_bits());
            }
            let (mut total, mut last, mut wide, mut out) = (77, 77, vec![], vec![0.5]);
            each(&page, rows.clone(), &mut wide, &mut Total(&mut total));
            append(&page, rows, &mut wide, scale, &mut last, &mut out);
            prop_assert_eq!((total, last), (sum, sum));
            prop_assert_eq!(out[1..].iter().map(|v| v.to_bits()).collect::<Vec<_>>(), wanted);
        }
    }
}
