//! Reads the `Histogram` message of remote write (version 1 and 2 have the same fields).

use std::sync::Arc;

use crate::histogram::{Buckets, CUSTOM, Histogram, ResetHint};
use crate::limits;

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

impl Histogram {
    /// Decodes a message; `None` if it is damaged.
    pub fn decode(message: &[u8]) -> Option<Histogram> {
        let mut h = Histogram::default();
        let (mut negative, mut positive) = (Side::default(), Side::default());
        let mut bounds = vec![];
        let mut r = Reader(message);
        while !r.0.is_empty() {
            match r.field()? {
                (1, Field::Varint(v)) => h.count = v as f64,
                (2, Field::Fixed64(v)) => h.count = f64::from_bits(v),
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
        if h.schema != CUSTOM && !(-4..=8).contains(&h.schema) {
            return None;
        }
        h.negative = negative.buckets()?;
        h.positive = positive.buckets()?;
        h.bounds = Arc::from(bounds);
        Some(h)
    }
}
