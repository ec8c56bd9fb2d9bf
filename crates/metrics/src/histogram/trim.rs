//! The operators `</` and `>/`: what is left of a histogram below or above a value.

use crate::histogram::{Bucket, Buckets, Histogram};

impl Histogram {
    /// The observations below (`upper`) or above `at`. In the bucket that `at` falls into, observations are taken to be
    /// spread as for quantiles. If any goes, the sum is estimated anew from the middles of what is left of the buckets.
    pub fn trimmed(&self, at: f64, upper: bool) -> Histogram {
        let mut h = self.clone();
        let (mut count, mut sum, mut cut) = (0.0, 0.0, false);
        let mut take = |b: Bucket| {
            let b = self.clipped(b);
            let left = self.kept(&b, at, upper);
            count += left;
            cut |= left != b.count;
            if left != 0.0 {
                sum += left * self.middle(&b, at, upper);
            }
            left
        };
        let positive: Vec<Bucket> = self.positive_buckets().collect();
        let negative: Vec<Bucket> = self.negative_buckets().collect();
        h.positive.iter_mut().zip(positive).for_each(|(x, b)| x.1 = take(b));
        h.negative.iter_mut().zip(negative).for_each(|(x, b)| x.1 = take(b));
        if self.zero_count != 0.0 {
            h.zero_count = take(self.zero_bucket());
        }
        if cut {
            h.count = count;
            h.sum = sum;
        }
        h.compact()
    }

    /// A bucket around zero reaches to zero only, if the other side has no observations; the first custom bucket begins
    /// at zero unless it ends below.
    fn clipped(&self, mut b: Bucket) -> Bucket {
        if self.is_custom() {
            if b.lower == f64::NEG_INFINITY && b.upper > 0.0 && b.upper.is_finite() {
                b.lower = 0.0;
            }
        } else if b.lower <= 0.0 && b.upper >= 0.0 {
            let has = |side: &Buckets| side.iter().any(|(_, c)| *c != 0.0);
            match (has(&self.negative), has(&self.positive)) {
                (false, true) => b.lower = 0.0,
                (true, false) => b.upper = 0.0,
                _ => {}
            }
        }
        b
    }

    fn is_linear(&self, b: &Bucket) -> bool {
        self.is_custom() || (b.lower <= 0.0 && b.upper >= 0.0)
    }

    /// Observations of a bucket on the wanted side.
    fn kept(&self, b: &Bucket, at: f64, upper: bool) -> f64 {
        if at <= b.lower {
            return if upper { 0.0 } else { b.count };
        }
        if at >= b.upper {
            return if upper { b.count } else { 0.0 };
        }
        if b.lower == f64::NEG_INFINITY && b.upper == f64::INFINITY {
            // Nothing is known of where they are.
            return 0.0;
        }
        let below = b.count * self.share_below(b, at);
        if upper { below } else { b.count - below }
    }

    /// The share of a bucket's observations below a value inside it. In a bucket without an end all are on that side.
    fn share_below(&self, b: &Bucket, at: f64) -> f64 {
        if b.upper == f64::INFINITY || b.lower == f64::NEG_INFINITY {
            return if b.upper == f64::INFINITY { 0.0 } else { 1.0 };
        }
        if self.is_linear(b) {
            return (at - b.lower) / (b.upper - b.lower);
        }
        let (lower, upper, v) = (b.lower.abs().log2(), b.upper.abs().log2(), at.abs().log2());
        if at > 0.0 { (v - lower) / (upper - lower) } else { 1.0 - (v - upper) / (lower - upper) }
    }

    /// Where the observations that are left of a bucket are, on average.
    fn middle(&self, b: &Bucket, at: f64, upper: bool) -> f64 {
        let (mut from, mut to) = (b.lower, b.upper);
        if at > b.lower && at < b.upper {
            if upper {
                to = at;
            } else {
                from = at;
            }
        }
        match (from.is_finite(), to.is_finite()) {
            (true, true) => {}
            (true, false) => return from,
            (false, true) => return to,
            (false, false) => return 0.0,
        }
        if self.is_linear(b) { (from + to) / 2.0 } else { (from * to).sqrt().copysign(to) }
    }
}
