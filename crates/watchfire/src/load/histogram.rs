//! Latencies in buckets about 3 % wide: 32 to each power of two, so percentiles of a long run fit in a few kilobytes.

use std::time::Duration;

const SUB_BITS: u32 = 5;
const SUB: u64 = 1 << SUB_BITS;

/// A histogram of durations, in microseconds.
#[derive(Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: vec![0; bucket(u64::MAX) + 1], count: 0, max_us: 0 }
    }
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, d: Duration) {
        let us = u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(us)] += 1;
        self.count += 1;
        self.max_us = self.max_us.max(us);
    }
    /// Milliseconds that the share `q` of all does not exceed (to 3 %); 0 when empty.
    pub fn quantile_ms(&self, q: f64) -> f64 {
        let rank = ((self.count as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        for (i, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return upper(i).min(self.max_us) as f64 / 1e3;
            }
        }
        0.0
    }
    /// The longest, milliseconds.
    pub fn max_ms(&self) -> f64 {
        self.max_us as f64 / 1e3
    }
}

/// Below 32 µs a bucket per microsecond; above, 32 buckets per power of two.
fn bucket(us: u64) -> usize {
    if us < SUB {
        return us as usize;
    }
    let shift = 63 - us.leading_zeros() - SUB_BITS;
    ((shift as u64 + 1) * SUB + ((us >> shift) - SUB)) as usize
}

/// The last microsecond of a bucket.
fn upper(bucket: usize) -> u64 {
    let b = bucket as u64;
    if b < SUB {
        return b;
    }
    let shift = b / SUB - 1;
    let first = (SUB + b % SUB) as u128;
    u64::try_from(((first + 1) << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_narrow() {
        for us in (0..5000).chain([1 << 20, (1 << 20) + 1, 1 << 40, u64::MAX - 1, u64::MAX]) {
            let b = bucket(us);
            assert!(us <= upper(b), "{us} beyond its bucket {b}");
            assert!(b == 0 || us > upper(b - 1), "{us} belongs below bucket {b}");
            assert!((upper(b) - us) as f64 <= us as f64 / 31.0, "bucket {b} is too wide for {us}");
        }
    }

    #[test]
    fn quantiles_of_a_known_set() {
        let mut h = Histogram::default();
        (1..=1000).for_each(|ms| h.add(Duration::from_millis(ms)));
        assert!((h.quantile_ms(0.5) - 500.0).abs() < 17.0, "{}", h.quantile_ms(0.5));
        assert!((h.quantile_ms(0.99) - 990.0).abs() < 32.0, "{}", h.quantile_ms(0.99));
        assert_eq!(h.quantile_ms(1.0), 1000.0);
        assert_eq!(h.max_ms(), 1000.0);
        assert_eq!(Histogram::default().quantile_ms(0.99), 0.0);
    }
}
