//! The operators `</` and `>/`: what is left of a histogram below or above a value.

use crate::histogram::{Bucket, Histogram};

impl Histogram {
    /// The observations below (`upper`) or above `at`. In the bucket that `at` falls into, observations are taken to be
    /// spread as for quantiles; the sum is estimated from the middles of what is left of each bucket.
    pub fn trimmed(&self, at: f64, upper: bool) -> Histogram {
        let mut h = self.clone();
        let zero_clipped = self.clipped(self.zero_bucket());
        let keep = |b: Bucket| self.kept(&b, at, upper);
        let positive: Vec<Bucket> = self.positive_buckets().collect();
        let negative: Vec<Bucket> = self.negative_buckets().collect();
        let (mut count, mut removed) = (0.0, 0.0);
        let mut take = |b: Bucket| {
            let left = keep(b);
            count += left;
            if left != b.count {
                removed += self.removed_sum(&b, at, upper, b.count - left);
            }
            left
        };
        h.positive.iter_mut().zip(positive).for_each(|(x, b)| x.1 = take(b));
        h.negative.iter_mut().zip(negative).for_each(|(x, b)| x.1 = take(b));
        if self.zero_count != 0.0 {
            h.zero_count = take(zero_clipped);
        }
        h.count = count;
        h.sum = if count == 0.0 { 0.0 } else { self.sum - removed };
        h.compact()
    }

    fn clipped(&self, mut b: Bucket) -> Bucket {
        if self.negative.is_empty() && !self.positive.is_empty() {
            b.lower = 0.0;
        } else if self.positive.is_empty() && !self.negative.is_empty() {
            b.upper = 0.0;
        }
        b
    }

    /// Observations of a bucket on the wanted side.
    fn kept(&self, b: &Bucket, at: f64, upper: bool) -> f64 {
        if at <= b.lower {
            return if upper { 0.0 } else { b.count };
        }
        if at >= b.upper {
            return if upper { b.count } else { 0.0 };
        }
        let below = b.count * self.share_below(b, at);
        if upper { below } else { b.count - below }
    }

    /// The share of a bucket's observations below a value inside it.
    fn share_below(&self, b: &Bucket, at: f64) -> f64 {
        if b.lower == f64::NEG_INFINITY || b.upper == f64::INFINITY {
            return if b.lower == f64::NEG_INFINITY { 1.0 } else { 0.0 };
        }
        if self.is_custom() || (b.lower <= 0.0 && b.upper >= 0.0) {
            return (at - b.lower) / (b.upper - b.lower);
        }
        let (lower, upper, v) = (b.lower.abs().log2(), b.upper.abs().log2(), at.abs().log2());
        if at > 0.0 { (v - lower) / (upper - lower) } else { 1.0 - (v - upper) / (lower - upper) }
    }

    /// Estimated sum of `count` removed observations.
    fn removed_sum(&self, b: &Bucket, at: f64, upper: bool, count: f64) -> f64 {
        let inside = at > b.lower && at < b.upper;
        let (mut from, mut to) = match (inside, upper) {
            (false, _) => (b.lower, b.upper),
            (true, true) => (at, b.upper),
            (true, false) => (b.lower, at),
        };
        if from == f64::NEG_INFINITY {
            from = to;
        }
        if to == f64::INFINITY {
            to = from;
        }
        let middle = if self.is_custom() || (b.lower <= 0.0 && b.upper >= 0.0) {
            (from + to) / 2.0
        } else {
            (from * to).sqrt().copysign(to)
        };
        middle * count
    }
}
