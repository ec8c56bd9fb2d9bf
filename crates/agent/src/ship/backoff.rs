//! How long to wait before something is sent again.

use std::time::Duration;

use base::hash::hash64;

/// The first pause.
const FIRST: Duration = Duration::from_millis(250);
/// The longest pause of our own: an endpoint that is back is noticed within so long.
const LONGEST: Duration = Duration::from_secs(15);
/// The longest pause that an endpoint may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// Pauses that double, with jitter, so that a thousand agents do not come back in the same moment.
#[derive(Debug)]
pub struct Backoff {
    seed: u64,
    failures: u32,
}

impl Backoff {
    /// `name` makes the jitter differ from that of others.
    pub fn new(name: &str) -> Backoff {
        Backoff { seed: hash64(name.as_bytes()), failures: 0 }
    }
    /// It worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
    /// How long to wait after one more failure.
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        let full = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures += 1;
        self.seed = hash64(&self.seed.to_le_bytes());
        // Between half and the whole of it.
        let own = full.mul_f64(0.5 + (self.seed >> 11) as f64 / (1u64 << 54) as f64);
        asked.map_or(own, |a| a.min(LONGEST_ASKED).max(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_never_the_same_for_all() {
        let mut b = Backoff::new("a");
        let pauses: Vec<Duration> = (0..12).map(|_| b.next(None)).collect();
        assert!(pauses[0] >= FIRST / 2 && pauses[0] <= FIRST, "{pauses:?}");
        assert!(pauses[11] >= LONGEST / 2 && pauses[11] <= LONGEST);
        assert_ne!(Backoff::new("b").next(None), pauses[0]);
        assert!(b.next(Some(Duration::from_secs(40))) == Duration::from_secs(40));
        assert!(b.next(Some(Duration::from_secs(9999))) == LONGEST_ASKED);
        b.reset();
        assert!(b.next(Some(Duration::ZERO)) <= FIRST);
    }
}
