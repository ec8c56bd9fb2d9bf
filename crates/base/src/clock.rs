//! The clock seam: nothing else in the workspace asks the system for the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of time that tests can stop and move: the wall clock, which people and NTP set, and the time that passes,
/// which nobody sets.
#[derive(Clone)]
pub enum Clock {
    /// The system's clocks.
    System,
    /// The system's clocks with the wall clock off by so many nanoseconds: to rehearse what a wrong clock does.
    Shifted(i64),
    /// Clocks that stand still until they are moved.
    Manual(Arc<Hands>),
}

/// Where a manual clock stands.
pub struct Hands {
    wall_ns: AtomicI64,
    elapsed_ns: AtomicI64,
}

impl Clock {
    /// A clock that stands at `now_ns`.
    pub fn manual(now_ns: i64) -> Self {
        Clock::Manual(Arc::new(Hands { wall_ns: AtomicI64::new(now_ns), elapsed_ns: AtomicI64::new(0) }))
    }

    /// Nanoseconds since 1970 UTC. It may jump, in both directions.
    #[allow(clippy::disallowed_methods)] // the one place that may
    pub fn now_ns(&self) -> i64 {
        match self {
            Clock::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64),
            Clock::Shifted(by_ns) => Clock::System.now_ns().saturating_add(*by_ns),
            Clock::Manual(hands) => hands.wall_ns.load(Ordering::SeqCst),
        }
    }

    /// Milliseconds since 1970 UTC.
    pub fn now_ms(&self) -> i64 {
        self.now_ns() / 1_000_000
    }

    /// Nanoseconds since a moment that stays the same as long as the process lives. It never jumps and never goes back,
    /// and goes on while the machine is suspended.
    pub fn elapsed_ns(&self) -> i64 {
        match self {
            Clock::System | Clock::Shifted(_) => system_elapsed_ns(),
            Clock::Manual(hands) => hands.elapsed_ns.load(Ordering::SeqCst),
        }
    }

    /// Lets time pass on a manual clock; the system's clock stays as it is.
    pub fn advance_ns(&self, by_ns: i64) {
        if let Clock::Manual(hands) = self {
            hands.wall_ns.fetch_add(by_ns, Ordering::SeqCst);
            hands.elapsed_ns.fetch_add(by_ns, Ordering::SeqCst);
        }
    }

    /// Sets the wall clock of a manual clock forward or back, while no time passes.
    pub fn jump_ns(&self, by_ns: i64) {
        if let Clock::Manual(hands) = self {
            hands.wall_ns.fetch_add(by_ns, Ordering::SeqCst);
        }
    }
}

/// The one unsafe place of this crate: the standard library's `Instant` stands still while Linux is suspended.
#[cfg(target_os = "linux")]
fn system_elapsed_ns() -> i64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a timespec that lives through the call, which writes nothing else.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut t) } != 0;
    debug_assert!(!failed, "CLOCK_BOOTTIME is there since Linux 2.6.39");
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

#[cfg(not(target_os = "linux"))]
fn system_elapsed_ns() -> i64 {
    use std::sync::LazyLock;
    use std::time::Instant;
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGAN.elapsed().as_nanos() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_on_both_clocks_and_a_jump_is_only_seen_on_the_wall() {
        let c = Clock::manual(100);
        c.advance_ns(5);
        c.jump_ns(-50);
        assert_eq!((c.now_ns(), c.elapsed_ns()), (55, 5));
        let (a, b) = (Clock::System.elapsed_ns(), Clock::System.elapsed_ns());
        assert!(a > 0 && b >= a);
    }
}
