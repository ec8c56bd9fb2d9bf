//! Rows that somebody asked to delete, as a merge sees them.

use std::sync::Arc;

use arrow_array::RecordBatch;
use base::{Labels, Result, Tenant};

use crate::scan::TimeRange;

/// Requests to delete rows of a table. Times are in the table's unit.
pub trait Erasing: Send + Sync {
    /// Names of those that concern rows of these times, each once.
    fn names(&self, table: &str, tenant: &Tenant, range: TimeRange) -> Vec<String>;
    /// Whether one of them concerns rows of a series.
    fn touches(&self, table: &str, tenant: &Tenant, range: TimeRange, labels: &Labels) -> bool;
    /// The rows of a batch that stay: `series` (an index into the label sets), time and all payload columns.
    fn rest(&self, table: &str, tenant: &Tenant, series: &Arc<[Labels]>, batch: RecordBatch) -> Result<RecordBatch>;
}

/// The requests of several, each of whom knows its own tables.
pub struct ErasingAll(pub Vec<Arc<dyn Erasing>>);

impl Erasing for ErasingAll {
    fn names(&self, table: &str, tenant: &Tenant, range: TimeRange) -> Vec<String> {
        self.0.iter().flat_map(|e| e.names(table, tenant, range)).collect()
    }
    fn touches(&self, table: &str, tenant: &Tenant, range: TimeRange, labels: &Labels) -> bool {
        self.0.iter().any(|e| e.touches(table, tenant, range, labels))
    }
    fn rest(&self, table: &str, tenant: &Tenant, series: &Arc<[Labels]>, batch: RecordBatch) -> Result<RecordBatch> {
        self.0.iter().try_fold(batch, |batch, e| e.rest(table, tenant, series, batch))
    }
}
