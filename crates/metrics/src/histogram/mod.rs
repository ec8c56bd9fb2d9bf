//! Native histograms: sparse buckets with exponential or custom bounds.
//!
//! The store keeps the message as it was received; here it is decoded into one form (counts as floats, buckets by
//! index) in which all calculation is done. Exponential schema `s` (-4 to 8): bucket `i` holds observations in
//! `(2^((i-1)/2^s), 2^(i/2^s)]`, and likewise on the negative side; what is at most `zero_threshold` from zero is in the
//! zero bucket. Schema -53 has custom upper bounds, and bucket `i` ends at bound `i`, the last at +Inf.

mod arithmetic;
mod decode;
mod print;
mod quantile;
mod trim;

use std::sync::Arc;

pub use arithmetic::{Incompatible, Remarks, Sum};

/// The schema number of custom bounds.
pub const CUSTOM: i32 = -53;

/// What a histogram says of its predecessor in the series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ResetHint {
    /// Nothing.
    #[default]
    Unknown,
    /// It starts anew.
    Reset,
    /// It goes on.
    NotReset,
    /// It is a gauge, which has no resets.
    Gauge,
}

/// A bucket's index and its count.
pub type Buckets = Vec<(i32, f64)>;

/// A native histogram.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// About its predecessor.
    pub hint: ResetHint,
    /// Resolution, or [`CUSTOM`].
    pub schema: i32,
    /// Width of the zero bucket to either side: zero or more, and a number.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of the observations' values.
    pub sum: f64,
    /// Buckets above zero (or with custom bounds), by rising index.
    pub positive: Buckets,
    /// Buckets below zero, by rising index of their mirror image.
    pub negative: Buckets,
    /// Upper bounds, if the schema is [`CUSTOM`]; the last bucket's +Inf is not among them.
    pub bounds: Arc<[f64]>,
}

/// A bucket with its borders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Lower border.
    pub lower: f64,
    /// Upper border.
    pub upper: f64,
    /// Whether observations equal to the lower border belong to it.
    pub lower_inclusive: bool,
    /// Whether observations equal to the upper border belong to it.
    pub upper_inclusive: bool,
    /// Observations.
    pub count: f64,
}

impl PartialEq for Histogram {
    /// The same observations in the same buckets, whatever empty buckets are spelled out.
    fn eq(&self, o: &Self) -> bool {
        let filled = |b: &Buckets| b.iter().filter(|(_, c)| *c != 0.0).map(|(i, c)| (*i, c.to_bits())).collect::<Vec<_>>();
        self.schema == o.schema
            && self.count.to_bits() == o.count.to_bits()
            && self.sum.to_bits() == o.sum.to_bits()
            && self.zero_threshold == o.zero_threshold
            && self.zero_count == o.zero_count
            && filled(&self.positive) == filled(&o.positive)
            && filled(&self.negative) == filled(&o.negative)
            && self.bounds == o.bounds
    }
}

/// 2^(1/2), 2^(1/4) and so on to 2^(1/256): each is the square root of the one before. The first is the float below the nearest one, so that
/// their products are to the last bit the bounds by which Prometheus and its client libraries count.
const ROOTS: [f64; 8] = [
    f64::from_bits(std::f64::consts::SQRT_2.to_bits() - 1),
    1.189207115002721,
    1.0905077326652577,
    1.0442737824274138,
    1.0218971486541166,
    1.0108892860517005,
    1.0054299011128027,
    1.0027112750502025,
];

/// Upper border of exponential bucket `index`, of a resolution of 8 at most.
pub fn exponential_bound(index: i32, schema: i32) -> f64 {
    if schema < 0 {
        return scaled_bound(1.0, i64::from(index) << -schema);
    }
    let (octave, part) = (index >> schema, index & ((1 << schema) - 1));
    let within = ROOTS.iter().take(schema as usize).enumerate().filter(|(i, _)| part >> (schema - 1 - *i as i32) & 1 == 1);
    scaled_bound(within.fold(1.0, |product, (_, root)| product * root), i64::from(octave))
}

/// `part * 2^exponent`, where the part is from one to below two. Beyond the largest exponent the border is the largest number, then infinity.
fn scaled_bound(part: f64, exponent: i64) -> f64 {
    let power = |e: i64| f64::from_bits(((e + 1023) as u64) << 52);
    match exponent {
        -1022..=1023 => part * power(exponent),
        // What is too small for a number with all its digits: by way of one that is not, so that it is rounded once.
        -2044..-1022 => part * power(-1022) * power(exponent + 1022),
        1024 if part == 1.0 => f64::MAX,
        1024.. => f64::INFINITY,
        _ => 0.0,
    }
}

impl Histogram {
    /// Whether its bounds are custom.
    pub fn is_custom(&self) -> bool {
        self.schema == CUSTOM
    }
    /// How many float samples it counts for.
    pub fn weight(&self) -> usize {
        4 + self.positive.len() + self.negative.len()
    }
    /// Borders of the bucket with this index above zero.
    pub fn borders(&self, index: i32) -> (f64, f64) {
        if self.is_custom() {
            let at = |i: i32| usize::try_from(i).ok().and_then(|i| self.bounds.get(i)).copied();
            let lower = if index <= 0 { f64::NEG_INFINITY } else { at(index - 1).unwrap_or(f64::INFINITY) };
            return (lower, at(index).unwrap_or(f64::INFINITY));
        }
        (exponential_bound(index.saturating_sub(1), self.schema), exponential_bound(index, self.schema))
    }
    /// Buckets above zero, upwards.
    pub fn positive_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.positive.iter().map(|&(i, count)| {
            let (lower, upper) = self.borders(i);
            Bucket { lower, upper, lower_inclusive: self.is_custom() && i == 0, upper_inclusive: true, count }
        })
    }
    /// Buckets below zero, from zero downwards.
    pub fn negative_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.negative.iter().map(|&(i, count)| {
            let (lower, upper) = self.borders(i);
            Bucket { lower: -upper, upper: -lower, lower_inclusive: true, upper_inclusive: false, count }
        })
    }
    /// The zero bucket.
    pub fn zero_bucket(&self) -> Bucket {
        let t = self.zero_threshold;
        Bucket { lower: -t, upper: t, lower_inclusive: true, upper_inclusive: true, count: self.zero_count }
    }
    /// All buckets from the lowest up; the zero bucket only if it has observations. Buckets that reach into it end where it ends.
    pub fn all_buckets(&self) -> Vec<Bucket> {
        let zero = self.zero_threshold;
        let below = |b: Bucket| if b.upper < 0.0 && b.upper > -zero { Bucket { upper: -zero, ..b } } else { b };
        let above = |b: Bucket| if b.lower > 0.0 && b.lower < zero { Bucket { lower: zero, ..b } } else { b };
        let mut out: Vec<Bucket> = self.negative_buckets().rev().map(below).collect();
        if self.zero_count > 0.0 {
            out.push(self.zero_bucket());
        }
        out.extend(self.positive_buckets().map(above));
        out
    }
    /// How many observations are in its buckets; those of NaN are in none.
    pub fn in_buckets(&self) -> f64 {
        self.all_buckets().iter().map(|b| b.count).sum()
    }
    /// Whether any of its numbers is infinite.
    pub fn has_infinity(&self) -> bool {
        let buckets = self.positive.iter().chain(&self.negative).map(|b| b.1);
        buckets.chain([self.count, self.sum, self.zero_count]).any(f64::is_infinite)
    }
    /// Leaves out empty buckets.
    pub fn compact(mut self) -> Self {
        self.positive.retain(|(_, c)| *c != 0.0);
        self.negative.retain(|(_, c)| *c != 0.0);
        self
    }
}

#[cfg(test)]
mod tests;
