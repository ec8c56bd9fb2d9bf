//! The bound on what a query holds in memory.

use std::cell::Cell;

use base::{Error, Kind, Result};

use crate::eval::value::Series;

/// Counts samples. What has been counted stays counted until the query ends, except for what a selector gives back
/// after its windows have been evaluated; so the bound is on the safe side.
pub struct Budget {
    left: Cell<usize>,
}

impl Budget {
    /// Room for `samples`.
    pub fn new(samples: usize) -> Self {
        Budget { left: Cell::new(samples) }
    }
    /// Takes room.
    pub fn take(&self, samples: usize) -> Result<()> {
        let left = self.left.get().checked_sub(samples).ok_or_else(|| {
            Error::new(Kind::Unprocessable, "query processing would load too many samples into memory in query execution")
        })?;
        self.left.set(left);
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
    /// Takes room for the columns of series that have just been made.
    pub fn columns(&self, series: &[Series]) -> Result<()> {
        self.take(series.iter().map(|s| s.column.len() / 2 + 1 + s.column.histogram_weight()).sum())
    }
}
