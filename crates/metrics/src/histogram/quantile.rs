//! Quantiles, fractions and spread of a histogram.

use crate::histogram::{Bucket, Histogram};

impl Histogram {
    /// A bucket around zero reaches only as far as there are observations: to zero, if one side has none.
    fn clip_zero(&self, mut b: Bucket) -> Bucket {
        if self.is_custom() {
            // As with classic histograms, the first bucket begins at zero unless it ends below.
            if b.lower == f64::NEG_INFINITY && b.upper > 0.0 {
                b.lower = 0.0;
            }
        } else if b.lower <= 0.0 && b.upper >= 0.0 {
            if self.negative.is_empty() && !self.positive.is_empty() {
                b.lower = 0.0;
            } else if self.positive.is_empty() && !self.negative.is_empty() {
                b.upper = 0.0;
            }
        }
        b
    }

    /// The `q`-quantile: logarithmic interpolation in exponential buckets, linear in the zero bucket and custom ones.
    pub fn quantile(&self, q: f64) -> f64 {
        if q < 0.0 {
            return f64::NEG_INFINITY;
        }
        if q > 1.0 {
            return f64::INFINITY;
        }
        if self.count == 0.0 || q.is_nan() {
            return f64::NAN;
        }
        // From the nearer end, so that the error of summing stays small; observations of NaN are in `count` alone, so
        // that only ranks from below are right with them.
        let forward = self.sum.is_nan() || q < 0.5;
        let mut rank = if forward { q * self.count } else { (1.0 - q) * self.count };
        let mut buckets = self.all_buckets();
        if !forward {
            buckets.reverse();
        }
        let mut bucket = Bucket { lower: 0.0, upper: 0.0, lower_inclusive: true, upper_inclusive: true, count: 0.0 };
        let mut count = 0.0;
        for b in buckets.into_iter().filter(|b| b.count != 0.0) {
            bucket = b;
            count += b.count;
            if count >= rank {
                break;
            }
        }
        if self.is_custom() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return bucket.upper;
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return bucket.lower;
            }
        } else {
            bucket = self.clip_zero(bucket);
        }
        count = count.min(self.count);
        if count < rank {
            return if self.sum.is_nan() { f64::NAN } else { bucket.upper };
        }
        rank = if forward { rank - (count - bucket.count) } else { count - rank };
        let fraction = rank / bucket.count;
        if self.is_custom() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
            return bucket.lower + (bucket.upper - bucket.lower) * fraction;
        }
        let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
        if bucket.lower > 0.0 { (lower + (upper - lower) * fraction).exp2() } else { -(upper + (lower - upper) * (1.0 - fraction)).exp2() }
    }

    /// The fraction of observations between `lower` and `upper`.
    pub fn fraction(&self, lower: f64, upper: f64) -> f64 {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return f64::NAN;
        }
        if lower >= upper {
            return 0.0;
        }
        let (mut rank, mut low, mut high) = (0.0, None, None);
        for b in self.all_buckets() {
            let b = self.clip_zero(b);
            for (limit, found) in [(lower, &mut low), (upper, &mut high)] {
                if found.is_none() && b.lower >= limit {
                    *found = Some(rank);
                } else if found.is_none() && b.lower < limit && b.upper > limit {
                    *found = Some(self.rank_in(&b, rank, limit));
                }
            }
            if low.is_some() && high.is_some() {
                break;
            }
            rank += b.count;
        }
        // Observations of NaN are in no bucket, so that they are in no range either.
        let most = if self.sum.is_nan() { rank.min(self.count) } else { self.count };
        let bounded = |r: Option<f64>| r.map_or(most, |r: f64| r.min(self.count));
        (bounded(high) - bounded(low)) / self.count
    }

    /// The rank of `v` inside bucket `b`, below which there are `rank` observations.
    fn rank_in(&self, b: &Bucket, rank: f64, v: f64) -> f64 {
        if self.is_custom() || (b.lower <= 0.0 && b.upper >= 0.0) {
            if b.lower == f64::NEG_INFINITY {
                return b.count;
            }
            return rank + b.count * (v - b.lower) / (b.upper - b.lower);
        }
        let (lower, upper, at) = (b.lower.abs().log2(), b.upper.abs().log2(), v.abs().log2());
        if v > 0.0 { rank + b.count * (at - lower) / (upper - lower) } else { rank + b.count * (1.0 - (at - upper) / (lower - upper)) }
    }

    /// Estimated variance: each observation counts with its bucket's middle (the geometric one, if exponential).
    pub fn variance(&self) -> f64 {
        let mean = self.sum / self.count;
        let (mut sum, mut rest) = (0.0, 0.0);
        for b in self.all_buckets().into_iter().filter(|b| b.count != 0.0) {
            let middle = if self.is_custom() {
                (b.upper + b.lower) / 2.0
            } else if b.lower <= 0.0 && b.upper >= 0.0 {
                0.0
            } else {
                (b.upper * b.lower).sqrt().copysign(b.upper)
            };
            let delta = middle - mean;
            (sum, rest) = crate::eval::kahan(b.count * delta * delta, sum, rest);
        }
        (sum + rest) / self.count
    }
}
