//! What is written: every batch and every row as a pure function of a [`Run`], a batch number and the batch's time.

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use super::limits::{LATE_NS, SEQUENCE, TRACE_SPANS};
use super::rng::Rng;
use super::{Args, Signal};

pub mod lines;
pub mod samples;
pub mod spans;

/// Everything that decides the rows of a run, beside the times of its batches. The first line of a journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The table.
    pub signal: Signal,
    /// Value of the label (or attribute) `run` that every row of it carries.
    pub name: String,
    /// Decides every row.
    pub seed: u64,
    /// When it began, nanoseconds since 1970; a whole even number of milliseconds.
    pub start_ns: i64,
    /// Nanoseconds from batch to batch; none: each batch has the time at which it was made.
    pub step_ns: Option<i64>,
    /// Streams, series or services of one tenant.
    pub series: u64,
    /// Tenants.
    pub tenants: u64,
    /// Share of late rows.
    pub late: f64,
    /// Rows of a full batch.
    pub batch_rows: u64,
    /// Spans of one trace.
    pub trace_spans: u64,
}

/// A request to be sent until it is acknowledged.
pub struct Batch {
    /// Where to.
    pub path: &'static str,
    /// Content type and content encoding.
    pub form: (&'static str, Option<&'static str>),
    /// Tenant to name.
    pub tenant: Option<String>,
    /// The bytes.
    pub body: Vec<u8>,
    /// Rows inside.
    pub rows: u64,
    /// Bytes of the rows as a user counts them: lines, or the message before compression.
    pub raw_bytes: u64,
}

impl Run {
    /// The run that the arguments describe, beginning now unless they say when.
    pub fn new(args: &Args, clock: &base::Clock) -> anyhow::Result<Self> {
        let (series, rows) = match args.signal {
            Signal::Logs => (50, 4000),
            Signal::Metrics => (10_000, 2000),
            Signal::Traces => (12, 1000),
        };
        let (series, batch_rows) = (args.series.unwrap_or(series), args.batch_rows.unwrap_or(rows));
        ensure!(
            series > 0 && args.tenants > 0 && batch_rows > 0 && args.connections > 0,
            "series, tenants, rows and connections begin at 1"
        );
        ensure!((1..=TRACE_SPANS).contains(&args.trace_spans), "a trace has 1 to {TRACE_SPANS} spans");
        ensure!(batch_rows < 1 << 20, "a request of {batch_rows} rows is larger than any server takes");
        let step_even = args.step.as_nanos().is_multiple_of(2_000_000) && !args.step.is_zero();
        ensure!(
            args.start.is_none() || step_even,
            "a step is an even number of milliseconds, so that no two samples of a series share a time"
        );
        let start_ns = args.start.map_or_else(|| clock.now_ns(), |s| s.saturating_mul(base::units::SECOND_NS));
        let start_ns = start_ns.div_euclid(2_000_000) * 2_000_000;
        let step_ns = args.start.map(|_| i64::try_from(args.step.as_nanos()).unwrap_or(i64::MAX));
        Ok(Run {
            signal: args.signal,
            name: format!("s{}-{}", args.seed, start_ns / 1_000_000),
            seed: args.seed,
            start_ns,
            step_ns,
            series: series.div_ceil(args.tenants),
            tenants: args.tenants,
            late: args.late,
            batch_rows: if args.signal == Signal::Traces { batch_rows.next_multiple_of(args.trace_spans) } else { batch_rows },
            trace_spans: args.trace_spans,
        })
    }
    /// Makes a batch.
    pub fn batch(&self, batch: u64, time_ns: i64) -> Batch {
        match self.signal {
            Signal::Logs => lines::batch(self, batch, time_ns),
            Signal::Metrics => samples::batch(self, batch, time_ns),
            Signal::Traces => spans::batch(self, batch, time_ns),
        }
    }
    /// Rows in a batch: full, but for the last samples of a round.
    pub fn rows_in(&self, batch: u64) -> u64 {
        match self.signal {
            Signal::Metrics => samples::series_of(self, batch).count() as u64,
            _ => self.batch_rows,
        }
    }
    /// Sequence number of the `i`-th row of a batch.
    pub fn sequence(&self, batch: u64, i: u64) -> u64 {
        debug_assert!(batch < SEQUENCE / self.batch_rows, "sequence numbers are exact as doubles");
        batch * self.batch_rows + i
    }
    /// Batch and place of a sequence number.
    pub fn place(&self, sequence: u64) -> (u64, u64) {
        (sequence / self.batch_rows, sequence % self.batch_rows)
    }
    /// The tenant that a batch belongs to, as a header names it: none if there is but one.
    pub fn tenant_of(&self, batch: u64) -> Option<String> {
        self.tenant_name(batch % self.tenants)
    }
    /// Name of a tenant by its number.
    pub fn tenant_name(&self, tenant: u64) -> Option<String> {
        (self.tenants > 1).then(|| format!("load-{tenant}"))
    }
    /// How late a row is, nanoseconds; 0 for most. Rows of one unit (a line, a trace) share it.
    fn lateness_ns(&self, unit: u64) -> i64 {
        let mut r = Rng::of(self.seed ^ 0x1A7E, unit);
        if self.late > 0.0 && r.chance(self.late) { r.below(LATE_NS) as i64 } else { 0 }
    }
}
