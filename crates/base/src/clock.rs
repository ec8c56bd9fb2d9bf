//! The clock seam: nothing else in the workspace asks the system for the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of wall-clock time that tests can stop and move.
#[derive(Clone)]
pub enum Clock {
    /// The system's clock.
    System,
    /// A clock that stands still until it is moved.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `now_ns`.
    pub fn manual(now_ns: i64) -> Self {
        Clock::Manual(Arc::new(AtomicI64::new(now_ns)))
    }
    /// Nanoseconds since 1970 UTC.
    #[allow(clippy::disallowed_methods)] // the one place that may
    pub fn now_ns(&self) -> i64 {
        match self {
            Clock::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64),
            Clock::Manual(t) => t.load(Ordering::SeqCst),
        }
    }
    /// Milliseconds since 1970 UTC.
    pub fn now_ms(&self) -> i64 {
        self.now_ns() / 1_000_000
    }
    /// Moves a manual clock; the system's clock stays as it is.
    pub fn advance_ns(&self, by_ns: i64) {
        if let Clock::Manual(t) = self {
            t.fetch_add(by_ns, Ordering::SeqCst);
        }
    }
}
