//! The bound on what a query holds in memory, and what is counted of it.

use std::cell::Cell;

use base::{Error, Kind, Result};

use crate::eval::value::Series;

/// How much a query looked at, as Prometheus counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples that the steps looked at, each as often as a step did; a histogram counts as many as it takes the memory of.
    pub samples: u64,
    /// Samples that were held at one time.
    pub peak: usize,
}

/// Counts samples. What has been counted stays counted until the query ends, except for what a selector gives back
/// after its windows have been evaluated; so the bound is on the safe side.
pub struct Budget {
    samples: usize,
    left: Cell<usize>,
    /// The least that was ever left.
    least: Cell<usize>,
    looked_at: Cell<u64>,
}

impl Budget {
    /// Room for `samples`.
    pub fn new(samples: usize) -> Self {
        Budget { samples, left: Cell::new(samples), least: Cell::new(samples), looked_at: Cell::new(0) }
    }
    /// Takes room.
    pub fn take(&self, samples: usize) -> Result<()> {
        let left = self.left.get().checked_sub(samples).ok_or_else(|| {
            Error::new(Kind::Unprocessable, "query processing would load too many samples into memory in query execution")
        })?;
        self.left.set(left);
        self.least.set(self.least.get().min(left));
        Ok(())
    }
    /// Gives room back.
    pub fn give(&self, samples: usize) {
        self.left.set(self.left.get() + samples);
    }
    /// Takes room for a column of `n` steps, whether they will have values or not: without a time of its own a step
    /// takes half the bytes of a sample.
    pub fn column(&self, n: usize) -> Result<()> {
        self.take(n / 2 + 1)
    }
    /// Counts samples that steps look at.
    pub fn look_at(&self, samples: usize) {
        self.looked_at.set(self.looked_at.get() + samples as u64);
    }
    /// Counts what `f` looks at as if it had looked at it so many times.
    pub fn times<T>(&self, times: usize, f: impl FnOnce() -> T) -> T {
        let before = self.looked_at.replace(0);
        let made = f();
        self.looked_at.set(before + self.looked_at.get() * times as u64);
        made
    }
    /// What was counted.
    pub fn stats(&self) -> Stats {
        Stats { samples: self.looked_at.get(), peak: self.samples - self.least.get() }
    }
    /// Takes room for the columns of series that have just been made.
    pub fn columns(&self, series: &[Series]) -> Result<()> {
        self.take(series.iter().map(|s| s.column.len() / 2 + 1 + s.column.histogram_weight()).sum())
    }
}
