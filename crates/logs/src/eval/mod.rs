//! Trees to answers over [`table::Rows`].
//!
//! Log queries keep the best `limit` lines of the slices in the direction asked for and stop as soon as no other slice
//! can have better ones. Metric queries go through their lines once, oldest slice first: counts become differences per
//! step, unwrapped samples are held only as long as a window still needs them. Then series are combined per step.

mod aggregate;
mod binary;
mod budget;
mod counts;
mod keys;
mod label_replace;
mod log;
mod metric;
mod range_fn;
mod samples;
pub(crate) mod scan;
mod steps;

use base::Tenant;
use table::{Cancel, Rows};

use crate::erase::Erasure;

pub use budget::{Budget, ENTRY_BYTES, POINT_BYTES};
pub use log::{LineLabels, Lines, LogRequest, select};
pub use metric::evaluate;
pub use steps::Steps;

/// Where an evaluation reads.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The rows.
    pub rows: &'a dyn Rows,
    /// Whose.
    pub tenant: &'a Tenant,
    /// Stops it.
    pub cancel: &'a Cancel,
    /// What it may hold.
    pub budget: &'a Budget,
    /// The time of the query, for templates.
    pub now_ns: i64,
    /// Rows that are as good as gone.
    pub erased: &'a [Erasure],
    /// Time that the windows of an aggregation may span, nanoseconds.
    pub max_window_ns: Option<i64>,
}

/// A series of a metric query: its points are `(step, value)`, ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Labels.
    pub labels: base::Labels,
    /// Points.
    pub points: Vec<(u32, f64)>,
}

/// What a metric expression evaluates to.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One number at every step.
    Scalar(f64),
    /// Series.
    Series(Vec<Series>),
}
