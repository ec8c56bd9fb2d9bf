//! Reads the `Histogram` message of remote write (version 1 and 2 have the same fields).

use std::sync::Arc;

use crate::histogram::{Buckets, CUSTOM, Histogram, ResetHint};
use crate::limits;
use crate::spec::STALE_NAN_BITS;

/// A message's field: its number and what it holds.
enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// Walks the fields of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut v = 0u64;
        for shift in (0..70).step_by(7) {
            let (&b, rest) = self.0.split_first()?;
            self.0 = rest;
            v |= u64::from(b & 0x7f).checked_shl(shift).unwrap_or(0);
            if b < 0x80 {
                return Some(v);
            }
        }
        None
    }
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (a, b) = self.0.split_at_checked(n)?;
        self.0 = b;
        Some(a)
    }
    fn fixed64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.varint()?;
        let f = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(self.fixed64()?),
            2 => {
                let n = usize::try_from(self.varint()?).ok()?;
                Field::Bytes(self.take(n)?)
            }
            5 => {
                self.take(4)?;
                Field::Fixed32
            }
            _ => return None,
        };
        Some((key >> 3, f))
    }
}

fn zigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

/// One side's buckets as they are written: spans, and either differences of whole counts or float counts.
#[derive(Default)]
struct Side {
    spans: Vec<(i32, u32)>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

impl Side {
    fn read(&mut self, part: u64, f: Field<'_>) -> Option<()> {
        match (part, f) {
            (0, Field::Bytes(b)) => {
                let mut r = Reader(b);
                let (mut offset, mut length) = (0, 0);
                while !r.0.is_empty() {
                    match r.field()? {
                        (1, Field::Varint(v)) => offset = i32::try_from(zigzag(v)).ok()?,
                        (2, Field::Varint(v)) => length = u32::try_from(v).ok()?,
                        _ => {}
                    }
                }
                self.spans.push((offset, length));
            }
            (1, Field::Varint(v)) => self.deltas.push(zigzag(v)),
            (1, Field::Bytes(b)) => {
                let mut r = Reader(b);
                while !r.0.is_empty() {
                    self.deltas.push(zigzag(r.varint()?));
                }
            }
            (2, Field::Fixed64(v)) => self.counts.push(f64::from_bits(v)),
            (2, Field::Bytes(b)) => self.counts.extend(doubles(b)?),
            _ => {}
        }
        Some(())
    }

    fn buckets(self) -> Option<Buckets> {
        let counts: Vec<f64> = if self.deltas.is_empty() {
            self.counts
        } else {
            let mut sum = 0i64;
            self.deltas
                .into_iter()
                .map(|d| {
                    sum = sum.wrapping_add(d);
                    sum as f64
                })
                .collect()
        };
        let total: u64 = self.spans.iter().map(|(_, n)| u64::from(*n)).sum();
        if total as usize != counts.len() || counts.len() > limits::HISTOGRAM_BUCKETS {
            return None;
        }
        let mut out = Vec::with_capacity(counts.len());
        let mut counts = counts.into_iter();
        let mut index = 0i32;
        for (offset, length) in self.spans {
            index = index.checked_add(offset)?;
            for _ in 0..length {
                out.push((index, counts.next()?));
                index = index.checked_add(1)?;
            }
        }
        // Gaps between spans are not negative in a valid message; the rest of this crate relies on the order.
        out.windows(2).all(|w| w[0].0 < w[1].0).then_some(out)
    }
}

fn doubles(b: &[u8]) -> Option<Vec<f64>> {
    let (chunks, rest) = b.as_chunks::<8>();
    rest.is_empty().then(|| chunks.iter().map(|c| f64::from_le_bytes(*c)).collect())
}

/// The highest resolution in which is calculated; more is brought down to it, as Prometheus does.
const FINEST: i32 = 8;
/// The highest resolution that there may be.
const FINEST_KNOWN: i32 = 52;

impl Histogram {
    /// Decodes a message; `None` if it is damaged. A width of the zero bucket that is none, as a stale marker may have it,
    /// is zero: wider buckets are looked for by comparing.
    pub fn decode(message: &[u8]) -> Option<Histogram> {
        let (mut h, _) = read(message)?;
        h.zero_threshold = h.zero_threshold.max(0.0);
        Some(h)
    }

    /// What is wrong with a received message, in words; one that marks the end of its series may be anything that can be read.
    pub fn check(message: &[u8]) -> Result<(), String> {
        let (h, floats) = read(message).ok_or("it cannot be read: its spans and buckets do not fit together, or its schema is unknown")?;
        if h.sum.to_bits() == STALE_NAN_BITS {
            return Ok(());
        }
        let buckets = h.positive.iter().chain(&h.negative).map(|(_, c)| *c);
        if [h.count, h.zero_count].into_iter().chain(buckets.clone()).any(|c| c < 0.0) {
            return Err("it has a negative number of observations".into());
        }
        if h.zero_threshold.is_nan() || h.zero_threshold < 0.0 {
            return Err(format!("the threshold of its zero bucket is {}, and no distance from zero", h.zero_threshold));
        }
        let found = h.zero_count + buckets.sum::<f64>();
        // Observations of NaN are in no bucket. Floats may have been calculated, and do not add up to the last digit.
        if !floats && (if h.sum.is_nan() { found > h.count } else { found != h.count }) {
            return Err(format!("its buckets have {found} observations, and its count is {}", h.count));
        }
        if !h.is_custom() {
            return if h.bounds.is_empty() { Ok(()) } else { Err("it has custom bounds, and its schema is not that of them".into()) };
        }
        if !h.negative.is_empty() || h.zero_count != 0.0 || h.zero_threshold != 0.0 {
            return Err("with custom bounds there is no zero bucket and none below it".into());
        }
        if h.bounds.len() > limits::HISTOGRAM_BUCKETS {
            return Err(format!("it has {} custom bounds, and {} are the most that are taken", h.bounds.len(), limits::HISTOGRAM_BUCKETS));
        }
        if h.bounds.iter().any(|b| !b.is_finite()) || h.bounds.windows(2).any(|w| w[0] >= w[1]) {
            return Err("its custom bounds do not rise".into());
        }
        let places = h.bounds.len() as i64;
        if h.positive.iter().any(|(i, _)| i64::from(*i) > places || *i < 0) {
            return Err("it has a bucket beyond its custom bounds".into());
        }
        Ok(())
    }
}

/// The histogram, and whether its counts are floats.
fn read(message: &[u8]) -> Option<(Histogram, bool)> {
    let mut h = Histogram::default();
    let (mut negative, mut positive) = (Side::default(), Side::default());
    let mut bounds = vec![];
    let mut floats = false;
    let mut r = Reader(message);
    while !r.0.is_empty() {
        match r.field()? {
            (1, Field::Varint(v)) => (h.count, floats) = (v as f64, false),
            (2, Field::Fixed64(v)) => (h.count, floats) = (f64::from_bits(v), true),
            (3, Field::Fixed64(v)) => h.sum = f64::from_bits(v),
            (4, Field::Varint(v)) => h.schema = i32::try_from(zigzag(v)).ok()?,
            (5, Field::Fixed64(v)) => h.zero_threshold = f64::from_bits(v),
            (6, Field::Varint(v)) => h.zero_count = v as f64,
            (7, Field::Fixed64(v)) => h.zero_count = f64::from_bits(v),
            (n @ 8..=10, f) => negative.read(n - 8, f)?,
            (n @ 11..=13, f) => positive.read(n - 11, f)?,
            (14, Field::Varint(v)) => {
                h.hint = [ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge]
                    .get(v as usize)
                    .copied()
                    .unwrap_or_default();
            }
            (16, Field::Bytes(b)) => bounds.extend(doubles(b)?),
            (16, Field::Fixed64(v)) => bounds.push(f64::from_bits(v)),
            _ => {}
        }
    }
    if h.schema != CUSTOM && !(-4..=FINEST_KNOWN).contains(&h.schema) {
        return None;
    }
    h.negative = negative.buckets()?;
    h.positive = positive.buckets()?;
    h.bounds = Arc::from(bounds);
    if h.schema > FINEST {
        h = h.at_schema(FINEST);
    }
    Some((h, floats))
}
