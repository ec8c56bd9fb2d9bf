//! The bound on what one query holds in memory, and the looks at whether somebody still waits for it.
//!
//! All parts of a query share one budget. What a part gives back others may take: counts become points, series become fewer series.

use std::cell::Cell;
use std::sync::Arc;

use base::{Error, Kind, Result};
use table::sorted::Budget as Memory;
use table::{Cancel, Peak};

use super::Series;
use crate::limits;

/// Bytes of a point or a sample: a step or a time, and a value.
pub const POINT_BYTES: usize = 16;
/// Bytes of a series, or of an entry of a map, beside its text and points.
pub const ENTRY_BYTES: usize = 96;
/// What is held, and the answer that is written beside it.
const WITH_ANSWER: usize = 2;
/// Steps of work that are done in some milliseconds.
const STEPS_UNWATCHED: usize = 1 << 20;

/// Counts bytes and steps of work.
pub struct Budget {
    bytes: usize,
    left: Cell<usize>,
    memory: Peak,
    unwatched: Cell<usize>,
    cancel: Cancel,
}

impl Budget {
    /// Room for `bytes`, until nobody waits any more.
    pub fn new(bytes: usize, cancel: Cancel) -> Self {
        Budget { bytes, left: Cell::new(bytes), memory: Peak::new(None, 0), unwatched: Cell::new(STEPS_UNWATCHED), cancel }
    }

    /// What is held, and as much for the answer, is taken from `memory`.
    pub fn of(self, memory: Option<Arc<dyn Memory>>) -> Self {
        Budget { memory: Peak::new(memory, self.bytes.saturating_mul(WITH_ANSWER)), ..self }
    }

    /// Takes room.
    pub fn take(&self, bytes: usize) -> Result<()> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => self.left.set(left),
            None => return Err(self.too_much()),
        }
        self.memory.holds(self.bytes.saturating_sub(self.left.get()) * WITH_ANSWER)
    }

    /// Gives room back.
    pub fn give(&self, bytes: usize) {
        self.left.set(self.left.get() + bytes);
    }

    /// What took so much has become something else.
    pub fn swap(&self, before: usize, after: usize) -> Result<()> {
        self.give(before);
        self.take(after)
    }

    /// Counts steps of work, now and then with a look at whether somebody waits.
    pub fn watch(&self, steps: usize) -> Result<()> {
        match self.unwatched.get().checked_sub(steps) {
            Some(left) => self.unwatched.set(left),
            None => {
                self.unwatched.set(STEPS_UNWATCHED);
                self.cancel.check()?;
            }
        }
        Ok(())
    }

    fn too_much(&self) -> Error {
        let raise = if self.bytes < limits::HELD_BYTES { ", or raise memory_limit in the server's settings" } else { "" };
        Error::new(
            Kind::Unprocessable,
            format!(
                "the query would hold more than {} of lines, labels and points at one time: ask for a shorter time, a longer step, shorter windows, \
                 or fewer lines, or group by fewer labels{raise}",
                base::units::format_size(self.bytes as u64)
            ),
        )
    }
}

/// Bytes that series take.
pub fn weight(series: &[Series]) -> usize {
    series.iter().map(|s| ENTRY_BYTES + s.labels.as_bytes().len() + POINT_BYTES * s.points.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_may_be_taken_again() {
        let b = Budget::new(100, Cancel::default());
        b.take(60).unwrap();
        assert!(b.take(41).unwrap_err().message().contains("more than 100B of lines, labels and points at one time"));
        b.swap(60, 100).unwrap();
        assert!(b.take(1).unwrap_err().message().contains("or raise memory_limit"));
        assert!(!Budget::new(limits::HELD_BYTES, Cancel::default()).take(usize::MAX).unwrap_err().message().contains("raise"));
    }

    #[test]
    fn work_is_watched() {
        let cancel = Cancel::default();
        let b = Budget::new(0, cancel.clone());
        cancel.cancel();
        let ended = (0..10).find_map(|_| b.watch(STEPS_UNWATCHED / 2).err());
        assert_eq!(ended.unwrap().kind(), Kind::Canceled);
    }
}
