//! Chunks as Prometheus' store has them, written for answers of remote read.
//!
//! A chunk of floats (encoding 1) is the number of samples in two bytes and then bits: of the first sample the time as a varint and the
//! value's 64 bits; of the second the difference of time as a varint; of each further one the difference of differences in one of five
//! widths, and of all but the first the value as what differs from the one before. One of native histograms (2 whole numbers, 3 floats)
//! begins with its layout. Each histogram gets a chunk of its own here: what chunks save on histograms comes from layouts that do
//! not change, and a reader takes any number of samples in one.

use base::{Error, Result};

use crate::proto::{Fields, Malformed, Value};

/// Samples in a chunk of floats, as in Prometheus.
pub const FLOATS: usize = 120;
/// How a chunk says that its histogram ends the series (Prometheus' `value.StaleNaN`).
const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;
/// The schema of custom bounds.
const CUSTOM: i64 = -53;

/// The encodings by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Floats.
    Xor = 1,
    /// Native histograms of whole numbers.
    Histogram = 2,
    /// Native histograms of floats.
    FloatHistogram = 3,
}

/// Bits, the highest of a byte first.
#[derive(Default)]
struct Bits {
    out: Vec<u8>,
    /// Bits of the last byte that are not written yet.
    free: u32,
}

impl Bits {
    /// The lowest `count` bits of `v`.
    fn put(&mut self, v: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.out.push(0);
                self.free = 8;
            }
            let n = left.min(self.free);
            let part = (v >> (left - n)) & ((1 << n) - 1);
            let last = self.out.len() - 1;
            self.out[last] |= (part << (self.free - n)) as u8;
            self.free -= n;
            left -= n;
        }
    }

    fn uvarint(&mut self, v: u64) {
        let mut bytes = vec![];
        base::attrs::write_varint(&mut bytes, v);
        bytes.into_iter().for_each(|b| self.put(b.into(), 8));
    }

    /// What differs between two values. `window` is the stretch of bits that the last difference used: zeros before and after it.
    fn xor(&mut self, before: f64, v: f64, window: &mut Option<(u32, u32)>) {
        let delta = before.to_bits() ^ v.to_bits();
        if delta == 0 {
            return self.put(0, 1);
        }
        self.put(1, 1);
        // Five bits tell how many zeros come first.
        let (leading, trailing) = (delta.leading_zeros().min(31), delta.trailing_zeros());
        if let Some((l, t)) = *window
            && leading >= l
            && trailing >= t
        {
            self.put(0, 1);
            return self.put(delta >> t, 64 - l - t);
        }
        *window = Some((leading, trailing));
        let significant = 64 - leading - trailing;
        self.put(1, 1);
        self.put(leading.into(), 5);
        // 64 is written as 0, which no difference has.
        self.put((significant & 63).into(), 6);
        self.put(delta >> trailing, significant);
    }

    /// A number with a prefix that tells its width.
    fn varbit(&mut self, v: u64, fits: impl Fn(u32) -> bool) {
        if v == 0 {
            return self.put(0, 1);
        }
        const WIDTHS: [u32; 7] = [3, 6, 9, 12, 18, 25, 56];
        match WIDTHS.iter().position(|w| fits(*w)) {
            Some(i) => {
                // As many ones as there are smaller widths and one more, then a zero.
                let ones = i as u32 + 1;
                self.put(((1 << ones) - 1) << 1, ones + 1);
                self.put(v, WIDTHS[i]);
            }
            None => {
                self.put(0xff, 8);
                self.put(v, 64);
            }
        }
    }

    fn varbit_int(&mut self, v: i64) {
        self.varbit(v as u64, |w| fits(v, w));
    }

    fn varbit_uint(&mut self, v: u64) {
        self.varbit(v, |w| v >> w == 0);
    }

    fn double(&mut self, v: f64) {
        self.put(v.to_bits(), 64);
    }
}

/// Whether `width` bits hold the number: one more above zero than below.
fn fits(v: i64, width: u32) -> bool {
    let half = 1i64 << (width - 1);
    -(half - 1) <= v && v <= half
}

/// A chunk of floats in the order of time, [`FLOATS`] at most.
pub fn floats(samples: &[(i64, f64)]) -> Vec<u8> {
    debug_assert!(samples.len() <= FLOATS);
    let mut b = Bits::default();
    b.put(samples.len() as u64, 16);
    let (mut window, mut last_delta) = (None, 0u64);
    for (i, &(time_ms, value)) in samples.iter().enumerate() {
        if i == 0 {
            b.uvarint(((time_ms << 1) ^ (time_ms >> 63)) as u64);
            b.double(value);
            continue;
        }
        let (time_before, before) = samples[i - 1];
        let delta = time_ms.wrapping_sub(time_before) as u64;
        if i == 1 {
            b.uvarint(delta);
        } else {
            let change = delta.wrapping_sub(last_delta) as i64;
            match change {
                0 => b.put(0, 1),
                c if fits(c, 14) => (b.put(0b10, 2), b.put(c as u64, 14)).1,
                c if fits(c, 17) => (b.put(0b110, 3), b.put(c as u64, 17)).1,
                c if fits(c, 20) => (b.put(0b1110, 4), b.put(c as u64, 20)).1,
                c => (b.put(0b1111, 4), b.put(c as u64, 64)).1,
            }
        }
        last_delta = delta;
        b.xor(before, value, &mut window);
    }
    b.out
}

/// A `Histogram` message of remote write, taken apart.
#[derive(Default)]
struct Native {
    is_float: bool,
    count: u64,
    zero_count: u64,
    sum: f64,
    schema: i64,
    zero_threshold: f64,
    negative: Side,
    positive: Side,
    hint: u64,
    bounds: Vec<f64>,
}

/// Spans (offset, length), and counts as their bits: differences of whole numbers, or floats.
#[derive(Default)]
struct Side {
    spans: Vec<(i64, u64)>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

fn zigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

impl Side {
    fn read(&mut self, part: u32, v: Value<'_>) -> Result<()> {
        match (part, v) {
            (0, v) => {
                let (mut offset, mut length) = (0, 0);
                let mut f = Fields::new(v.bytes()?);
                while let Some((n, v)) = f.next()? {
                    match n {
                        1 => offset = zigzag(v.varint()?),
                        2 => length = v.varint()?,
                        _ => {}
                    }
                }
                self.spans.push((offset, length));
            }
            (1, Value::Varint(v)) => self.deltas.push(zigzag(v)),
            (1, Value::Bytes(mut b)) => {
                while !b.is_empty() {
                    let (v, rest) = base::attrs::read_varint(b).ok_or(Malformed::Truncated)?;
                    self.deltas.push(zigzag(v));
                    b = rest;
                }
            }
            (2, v) => doubles(v, &mut self.counts)?,
            _ => return Err(Malformed::Mismatch.into()),
        }
        Ok(())
    }

    fn layout(&self, b: &mut Bits) {
        b.varbit_uint(self.spans.len() as u64);
        for (offset, length) in &self.spans {
            b.varbit_uint(*length);
            b.varbit_int(*offset);
        }
    }

    /// Its counts are as many as its spans say; a chunk with fewer would be read wrongly.
    fn write(&self, is_float: bool, b: &mut Bits) -> Result<()> {
        let wanted: u64 = self.spans.iter().map(|s| s.1).sum();
        let len = if is_float { self.counts.len() } else { self.deltas.len() };
        if wanted != len as u64 {
            return Err(Error::new(base::Kind::Corrupt, "a stored histogram's buckets are not as many as its spans say"));
        }
        if is_float {
            self.counts.iter().for_each(|c| b.double(*c));
        } else {
            self.deltas.iter().for_each(|d| b.varbit_int(*d));
        }
        Ok(())
    }
}

fn doubles(v: Value<'_>, out: &mut Vec<f64>) -> Result<()> {
    match v {
        Value::Fixed64(v) => out.push(f64::from_bits(v)),
        Value::Bytes(b) => {
            let (all, rest) = b.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(Malformed::Truncated.into());
            }
            out.extend(all.iter().map(|c| f64::from_le_bytes(*c)));
        }
        _ => return Err(Malformed::Mismatch.into()),
    }
    Ok(())
}

impl Native {
    fn read(message: &[u8]) -> Result<Native> {
        let mut h = Native::default();
        let mut f = Fields::new(message);
        while let Some((n, v)) = f.next()? {
            match n {
                1 => (h.count, h.is_float) = (v.varint()?, false),
                2 => (h.count, h.is_float) = (v.fixed64()?, true),
                3 => h.sum = f64::from_bits(v.fixed64()?),
                4 => h.schema = zigzag(v.varint()?),
                5 => h.zero_threshold = f64::from_bits(v.fixed64()?),
                6 => h.zero_count = v.varint()?,
                7 => h.zero_count = v.fixed64()?,
                8..=10 => h.negative.read(n - 8, v)?,
                11..=13 => h.positive.read(n - 11, v)?,
                14 => h.hint = v.varint()?,
                16 => doubles(v, &mut h.bounds)?,
                _ => {}
            }
        }
        if h.sum.to_bits() == STALE_NAN_BITS {
            h = Native { sum: h.sum, is_float: h.is_float, ..Native::default() };
        }
        Ok(h)
    }
}

/// A chunk of one native histogram, a message of remote write, at this time.
///
/// # Errors
/// A message that is none, or whose spans and counts do not fit: nothing that is taken is so.
pub fn histogram(time_ms: i64, message: &[u8]) -> Result<(Encoding, Vec<u8>)> {
    let h = Native::read(message)?;
    let mut b = Bits::default();
    b.put(1, 16);
    // Unknown, reset, not reset, gauge: the first two bits of the header.
    b.put([0, 0b10, 0b01, 0b11].get(h.hint as usize).copied().unwrap_or(0) << 6, 8);
    zero_threshold(h.zero_threshold, &mut b);
    b.varbit_int(h.schema);
    h.positive.layout(&mut b);
    h.negative.layout(&mut b);
    if h.schema == CUSTOM {
        b.varbit_uint(h.bounds.len() as u64);
        h.bounds.iter().for_each(|v| custom_bound(*v, &mut b));
    }
    b.varbit_int(time_ms);
    if h.is_float {
        b.put(h.count, 64);
        b.put(h.zero_count, 64);
    } else {
        b.varbit_uint(h.count);
        b.varbit_uint(h.zero_count);
    }
    b.double(h.sum);
    h.positive.write(h.is_float, &mut b)?;
    h.negative.write(h.is_float, &mut b)?;
    Ok((if h.is_float { Encoding::FloatHistogram } else { Encoding::Histogram }, b.out))
}

/// A power of two from 2^-243 to 2^10 in one byte, its exponent; others in nine.
fn zero_threshold(v: f64, b: &mut Bits) {
    if v == 0.0 {
        return b.put(0, 8);
    }
    let exponent = ((v.to_bits() >> 52) & 0x7ff) as i64 - 1023;
    if v > 0.0 && v.to_bits() << 12 == 0 && (-243..=10).contains(&exponent) {
        return b.put((exponent + 244) as u64, 8);
    }
    b.put(255, 8);
    b.double(v);
}

/// Thousandths up to 33554.43 as a whole number, one more so that it is not zero; others after a zero bit.
fn custom_bound(v: f64, b: &mut Bits) {
    let thousandths = v * 1000.0;
    if (0.0..=33_554_430.0).contains(&thousandths) && thousandths.round() / 1000.0 == v {
        return b.varbit_uint(thousandths.round() as u64 + 1);
    }
    b.put(0, 1);
    b.double(v);
}

#[cfg(test)]
pub(super) mod tests;
