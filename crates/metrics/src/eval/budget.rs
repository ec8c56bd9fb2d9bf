//! The bounds on what a query holds in memory and on how long it goes on, and what is counted of it.

use std::cell::Cell;
use std::time::Instant;

use base::{Error, Kind, Labels, Result};
use table::{Cancel, Peak};

use crate::eval::Options;
use crate::eval::value::Series;
use crate::limits;

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
    memory: Peak,
    /// The least that was ever left.
    least: Cell<usize>,
    looked_at: Cell<u64>,
    /// Samples that may be looked at before the time is.
    unwatched: Cell<usize>,
    cancel: Cancel,
    deadline: Option<Instant>,
}

/// Samples that are looked at in some milliseconds, and in a tenth of a second where each takes long.
pub const SAMPLES_UNWATCHED: usize = 1 << 20;
/// Bytes that take the room of a sample: a time and a value.
const SAMPLE_BYTES: usize = 16;

impl Budget {
    /// The room that `options` give, until nobody waits any more or the time is up.
    pub fn new(options: &Options) -> Self {
        let samples = options.max_samples;
        Budget {
            samples,
            left: Cell::new(samples),
            memory: Peak::new(options.memory.clone(), samples.saturating_mul(limits::SAMPLE_BYTES)),
            least: Cell::new(samples),
            looked_at: Cell::new(0),
            unwatched: Cell::new(SAMPLES_UNWATCHED),
            cancel: options.cancel.clone(),
            deadline: options.timeout.and_then(|t| Instant::now().checked_add(t)),
        }
    }
    /// An error if nobody waits any more or the time is up. Called once per series or batch.
    pub fn check(&self) -> Result<()> {
        self.cancel.check()?;
        match self.deadline {
            Some(d) if Instant::now() > d => Err(Error::new(Kind::Timeout, "query timed out in expression evaluation")),
            _ => Ok(()),
        }
    }
    /// Takes room.
    pub fn take(&self, samples: usize) -> Result<()> {
        let left = self.left.get().checked_sub(samples).ok_or_else(|| {
            Error::new(Kind::Unprocessable, "query processing would load too many samples into memory in query execution")
        })?;
        self.left.set(left);
        self.least.set(self.least.get().min(left));
        self.memory.holds((self.samples - left) * limits::SAMPLE_BYTES)
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
    /// Takes room for the labels of a series that are made anew.
    pub fn labels(&self, labels: &Labels) -> Result<()> {
        self.take(labels.as_bytes().len() / SAMPLE_BYTES)
    }
    /// Counts samples that steps look at, now and then with a look at the time: a window may have millions of them, and a series thousands
    /// of windows.
    pub fn look_at(&self, samples: usize) -> Result<()> {
        self.looked_at.set(self.looked_at.get() + samples as u64);
        self.watch(samples)
    }
    /// The same for work that is not done on samples.
    pub fn watch(&self, steps: usize) -> Result<()> {
        match self.unwatched.get().checked_sub(steps) {
            Some(left) => self.unwatched.set(left),
            None => {
                self.unwatched.set(SAMPLES_UNWATCHED);
                self.check()?;
            }
        }
        Ok(())
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
