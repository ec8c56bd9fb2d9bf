//! Token buckets by key, bounded in number.

use std::collections::HashMap;
use std::hash::Hash;

use parking_lot::Mutex;

use crate::distributor::Rate;

struct Bucket {
    tokens: f64,
    at_ns: i64,
}

/// One bucket for each key.
pub struct Buckets<K> {
    map: Mutex<HashMap<K, Bucket>>,
    most: usize,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// At most `most` buckets.
    pub fn new(most: usize) -> Self {
        Buckets { map: Mutex::default(), most }
    }

    /// Takes `bytes` from the key's bucket. A request larger than the burst is let through when the bucket is full, and
    /// leaves a debt: refusing it would refuse it for ever. A clock that steps back gives nothing and takes nothing.
    pub fn take(&self, key: &K, rate: Rate, bytes: u64, now_ns: i64) -> bool {
        let mut map = self.map.lock();
        if map.len() >= self.most && !map.contains_key(key) {
            forget_full(&mut map, rate, now_ns);
        }
        let burst = rate.burst_bytes as f64;
        let b = map.entry(key.clone()).or_insert(Bucket { tokens: burst, at_ns: now_ns });
        let passed = now_ns.saturating_sub(b.at_ns).max(0) as f64 / 1e9;
        b.tokens = (b.tokens + passed * rate.bytes_per_second as f64).min(burst);
        b.at_ns = now_ns;
        let ok = b.tokens >= (bytes as f64).min(burst);
        if ok {
            b.tokens -= bytes as f64;
        }
        ok
    }
}

fn forget_full<K: Hash + Eq + Clone>(map: &mut HashMap<K, Bucket>, rate: Rate, now_ns: i64) {
    let full_after_ns = (rate.burst_bytes as f64 / rate.bytes_per_second.max(1) as f64 * 1e9) as i64;
    map.retain(|_, b| now_ns.saturating_sub(b.at_ns) < full_after_ns);
    if !map.is_empty() {
        let mut ages: Vec<i64> = map.values().map(|b| b.at_ns).collect();
        let middle = ages.len() / 2;
        let cut = *ages.select_nth_unstable(middle).1;
        map.retain(|_, b| b.at_ns > cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { bytes_per_second: 100, burst_bytes: 200 };

    #[test]
    fn a_burst_then_the_rate() {
        let b = Buckets::new(10);
        assert!(b.take(&1, RATE, 200, 0));
        assert!(!b.take(&1, RATE, 1, 0));
        assert!(b.take(&1, RATE, 100, 1_000_000_000));
        assert!(!b.take(&1, RATE, 1, 1_000_000_000));
        assert!(b.take(&2, RATE, 200, 1_000_000_000), "another key has its own bucket");
    }

    #[test]
    fn a_body_larger_than_the_burst_passes_once_and_leaves_a_debt() {
        let b = Buckets::new(10);
        assert!(b.take(&1, RATE, 500, 0));
        assert!(!b.take(&1, RATE, 1, 2_000_000_000));
        assert!(b.take(&1, RATE, 100, 4_000_000_000));
    }

    #[test]
    fn the_number_of_buckets_is_bounded_and_a_clock_that_steps_back_is_harmless() {
        let b = Buckets::new(100);
        for i in 0..10_000 {
            b.take(&i, RATE, 1, i);
        }
        assert!(b.map.lock().len() <= 100);
        assert!(b.take(&9_999, RATE, 1, -5_000_000_000));
        assert!(b.map.lock()[&9_999].tokens <= 200.0);
    }
}
