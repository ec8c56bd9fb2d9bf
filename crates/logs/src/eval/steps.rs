//! The times at which a metric query is evaluated, and which of their windows a line lies in.

use base::{Error, Result};
use table::TimeRange;

use crate::limits;

/// `start, start + step, ... <= end`, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    start: i64,
    step: i64,
    count: u32,
}

impl Steps {
    /// One time.
    pub fn instant(time_ns: i64) -> Self {
        Steps { start: time_ns, step: 1, count: 1 }
    }

    /// A range of them; refuses more than [`limits::POINTS`].
    pub fn range(start_ns: i64, end_ns: i64, step_ns: i64) -> Result<Self> {
        if end_ns < start_ns {
            return Err(Error::invalid("the end of the query is before its start"));
        }
        if step_ns <= 0 {
            return Err(Error::invalid("zero or negative query resolution step widths are not accepted. Try a positive integer"));
        }
        let count = (i128::from(end_ns) - i128::from(start_ns)) / i128::from(step_ns) + 1;
        if count > i128::from(limits::POINTS) {
            return Err(Error::invalid(format!(
                "exceeded maximum resolution of {} points per time series. Try increasing the value of the step parameter",
                limits::POINTS
            )));
        }
        Ok(Steps { start: start_ns, step: step_ns, count: count as u32 })
    }

    /// How many.
    pub fn count(&self) -> u32 {
        self.count
    }
    /// The time of step `k`, nanoseconds.
    pub fn time(&self, k: u32) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(i64::from(k)))
    }
}

/// The windows of one range aggregation: at each step `(end - range, end]`, `end` lying `offset` before the step.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    steps: Steps,
    range: i64,
    /// End of the first window.
    first_end: i64,
}

impl Windows {
    /// All values in nanoseconds.
    pub fn new(steps: Steps, range: i64, offset: i64) -> Self {
        Windows { steps, range, first_end: steps.start.saturating_sub(offset) }
    }
    /// How many.
    pub fn count(&self) -> u32 {
        self.steps.count
    }
    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.range as f64 / 1e9
    }
    /// Last time inside of window `k`.
    pub fn end(&self, k: u32) -> i64 {
        self.first_end.saturating_add(self.steps.step.saturating_mul(i64::from(k)))
    }
    /// Last time before window `k`.
    pub fn before(&self, k: u32) -> i64 {
        self.end(k).saturating_sub(self.range)
    }
    /// All times that lie in any window, and those between.
    pub fn span(&self) -> TimeRange {
        let last = self.steps.count.saturating_sub(1);
        TimeRange { start: self.before(0).saturating_add(1), end: self.end(last).saturating_add(1) }
    }
    /// The first window whose end is not before `time`: which a row at `time` is in, unless it has left already. None if it
    /// is after all of them.
    pub fn enters(&self, time: i64) -> Option<u32> {
        self.first_at(time, self.first_end)
    }
    /// The first window that begins at or after `time`: which a row at `time` is not in any more.
    pub fn leaves(&self, time: i64) -> Option<u32> {
        self.first_at(time, self.first_end.saturating_sub(self.range))
    }
    /// The first `k` with `time <= first + k * step`.
    fn first_at(&self, time: i64, first: i64) -> Option<u32> {
        if time <= first {
            return Some(0);
        }
        // Not negative, so it fits, and no sum of it is made.
        let ahead = time.abs_diff(first);
        let step = self.steps.step.unsigned_abs();
        let k = ahead.div_ceil(step);
        u32::try_from(k).ok().filter(|k| *k < self.steps.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_exclude_their_start_and_include_their_end() {
        let steps = Steps::range(100, 160, 20).unwrap();
        assert_eq!((steps.count(), steps.time(3)), (4, 160));
        let w = Windows::new(steps, 30, 0);
        for t in 0..200 {
            let inside: Vec<u32> = (0..4).filter(|&k| t > w.before(k) && t <= w.end(k)).collect();
            let (enters, leaves) = (w.enters(t).unwrap_or(4), w.leaves(t).unwrap_or(4));
            assert_eq!((enters..leaves).collect::<Vec<_>>(), inside, "{t}");
        }
        assert_eq!(w.span(), TimeRange { start: 71, end: 161 });
        assert_eq!(Windows::new(steps, 30, 10).span(), TimeRange { start: 61, end: 151 });
        let apart = Windows::new(steps, 5, 0);
        assert_eq!((apart.enters(110), apart.leaves(110)), (Some(1), Some(1)), "in no window");
        assert_eq!((apart.enters(120), apart.leaves(120)), (Some(1), Some(2)));
    }

    #[test]
    fn bounds() {
        assert!(Steps::range(0, 11_000, 1).is_err());
        assert!(Steps::range(0, 10_999, 1).is_ok());
        assert!(Steps::range(1, 0, 1).is_err());
        assert!(Steps::range(0, 1, 0).is_err());
        assert!(Steps::range(i64::MIN, i64::MAX, i64::MAX).is_ok());
        let w = Windows::new(Steps::range(i64::MIN, i64::MAX, i64::MAX).unwrap(), i64::MAX, i64::MIN);
        for t in [i64::MIN, 0, i64::MAX] {
            assert!(w.enters(t).unwrap_or(u32::MAX) <= w.leaves(t).unwrap_or(u32::MAX), "{t}");
        }
    }
}
