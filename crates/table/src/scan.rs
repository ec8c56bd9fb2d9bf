//! The read half of the waist: what is asked, what comes back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow_array::RecordBatch;
use base::{Error, Kind, Labels, Matcher, Result, Tenant};

use crate::missing::Missing;
use crate::predicate::Predicate;
use crate::spec::TableSpec;

/// Times `start <= t < end`, in the table's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// First time.
    pub start: i64,
    /// First time after.
    pub end: i64,
}

impl TimeRange {
    /// Everything.
    pub const ALL: TimeRange = TimeRange { start: i64::MIN, end: i64::MAX };
    /// Whether `t` lies inside.
    pub fn contains(&self, t: i64) -> bool {
        t >= self.start && t < self.end
    }
    /// Whether any time of `first..=last` lies inside.
    pub fn touches(&self, first: i64, last: i64) -> bool {
        first < self.end && last >= self.start
    }
}

/// Order in which slices are answered. Rows within a slice always come in the table's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Direction {
    /// Oldest slice first.
    #[default]
    Forward,
    /// Newest slice first.
    Backward,
}

/// Tells a scan that nobody waits for it any more. Cheap to clone.
#[derive(Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Stops the scans that hold a clone, at their next batch.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    /// Whether it is cancelled. It costs as good as nothing.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
    /// An error of kind `Canceled` once cancelled.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::new(Kind::Canceled, "the client went away")) } else { Ok(()) }
    }
}

/// Counts the bytes of rows that the scans of one query decode, and ends them at a bound. Cheap to clone.
#[derive(Clone)]
pub struct Meter(Arc<(AtomicU64, u64)>);

impl Default for Meter {
    fn default() -> Self {
        Meter::up_to(u64::MAX)
    }
}

impl Meter {
    /// At most `bytes`, over all scans that hold a clone.
    pub fn up_to(bytes: u64) -> Self {
        Meter(Arc::new((AtomicU64::new(0), bytes)))
    }
    /// What was decoded so far, bytes.
    pub fn bytes(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }
    /// Whether the bound was reached.
    pub fn is_over(&self) -> bool {
        self.bytes() > self.0.1
    }
    /// Counts; an error of kind `Unprocessable` beyond the bound.
    pub fn add(&self, bytes: usize) -> Result<()> {
        self.0.0.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.is_over() {
            return Err(Error::new(Kind::Unprocessable, format!("the query reads more than {} bytes", self.0.1)));
        }
        Ok(())
    }
}

/// What to scan.
#[derive(Clone)]
pub struct ScanRequest {
    /// The table.
    pub table: &'static TableSpec,
    /// Whose rows.
    pub tenant: Tenant,
    /// All of them must match the row's series.
    pub matchers: Vec<Matcher>,
    /// When.
    pub range: TimeRange,
    /// Payload columns wanted beside `series` and time, in this order.
    pub columns: Vec<&'static str>,
    /// Condition on payload columns; they need not be among `columns`.
    pub predicate: Option<Predicate>,
    /// Order of slices.
    pub direction: Direction,
    /// Stops it early.
    pub cancel: Cancel,
    /// Takes notes of what the answer may lack, until its last batch.
    pub missing: Missing,
    /// Counts what is read.
    pub meter: Meter,
    /// Whether rows of tables ordered by series may come as stretches (see [`crate::stretches`]), where they are such and the first of
    /// `columns` is the only one that has values. Within a slice the rows of a series still come by time, but not the series in order.
    pub stretches: bool,
}

impl ScanRequest {
    /// All columns, no condition, oldest first.
    pub fn new(table: &'static TableSpec, tenant: Tenant, matchers: Vec<Matcher>, range: TimeRange) -> Self {
        ScanRequest {
            table,
            tenant,
            matchers,
            range,
            columns: table.columns.iter().map(|c| c.name).collect(),
            predicate: None,
            direction: Direction::Forward,
            cancel: Cancel::default(),
            missing: Missing::default(),
            meter: Meter::default(),
            stretches: false,
        }
    }
}

/// Rows as they come: each batch lies within one time slice and holds `series`, time and the wanted columns in the
/// table's order; slices come in the direction asked for. No row comes twice.
pub struct RowStream {
    /// The series that may occur, in label order; the `series` column of a batch is an index into it.
    pub series: Arc<[Labels]>,
    /// The batches. Stops after the first error.
    pub batches: Box<dyn Iterator<Item = Result<RecordBatch>> + Send>,
}

/// Whoever can be asked for rows.
pub trait Rows: Send + Sync {
    /// Rows that match.
    fn scan(&self, request: &ScanRequest) -> Result<RowStream>;
    /// Label sets of the series that match and may have a row in the range, in label order, each once.
    fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>>;
    /// The values of a label among those series.
    fn label_values(&self, request: &ScanRequest, name: &str) -> Result<BTreeSet<String>> {
        Ok(self.series(request)?.iter().filter_map(|l| l.get(name).map(str::to_owned)).collect())
    }
}
