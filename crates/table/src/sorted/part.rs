//! Parts: unsorted rows frozen into sorted, encoded ones that stay in memory.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use base::{Result, Tenant};
use bytes::Bytes;

use super::checked::Store;
use super::data::DataFile;
use super::layout::{Layout, internal};
use super::order::order;
use super::writer::{RowWriter, partitions};
use super::{Partition, SeriesNames};
use crate::spec::{Order, TableSpec};

/// Rows given to the encoder at once while freezing.
const CHUNK: usize = 16_384;

/// Immutable sorted rows in memory, encoded as they will lie in a run. Its series are the numbers of the registry
/// that its rows came with.
pub struct Part {
    pub(super) data: Arc<DataFile>,
    pub(super) series: Vec<(Tenant, Vec<u32>)>,
    rows: u64,
    doubles: u64,
    partitions: Vec<Partition>,
}

impl Part {
    /// Rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }
    /// Memory it takes, bytes.
    pub fn bytes(&self) -> usize {
        self.data.bytes() + self.series.iter().map(|s| s.1.len() * 4).sum::<usize>()
    }
    /// Earliest and latest time; `(i64::MAX, i64::MIN)` without rows.
    pub fn time_range(&self) -> (i64, i64) {
        let first = self.partitions.iter().map(|p| p.first_time).min();
        let last = self.partitions.iter().map(|p| p.last_time).max();
        (first.unwrap_or(i64::MAX), last.unwrap_or(i64::MIN))
    }
    /// What it holds by tenant and day.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }
    /// Doubles removed while freezing.
    pub fn doubles(&self) -> u64 {
        self.doubles
    }
}

/// Freezes rows in the table's schema into a part. Takes about twice the rows' memory while it works.
pub fn freeze(spec: &'static TableSpec, batches: &[RecordBatch], names: &dyn SeriesNames) -> Result<Part> {
    let layout = Layout::new(spec, matches!(spec.order, Order::Key(_)))?;
    let sorted = order(spec, batches, names)?;
    // Room for the rows as they are, because growing would copy; what encoding saves is given back below.
    let mut writer = RowWriter::new(layout.clone(), Vec::with_capacity(sorted.bytes()))?;
    for g in &sorted.groups {
        for start in g.range.clone().step_by(CHUNK) {
            writer.write(&g.tenant, g.slice, &sorted.batch(start..g.range.end.min(start + CHUNK))?)?;
        }
    }
    let mut done = writer.finish()?;
    // Memory that the allocator hands out again is resident, touched or not: a part would take what its rows took.
    done.sink.shrink_to_fit();
    let partitions = partitions(&layout, &done.directory);
    let store = Store::Memory(Bytes::from(done.sink));
    let data = DataFile::of_part(store, done.metadata, layout, done.directory, PathBuf::from("memory")).map_err(internal)?;
    Ok(Part { rows: sorted.rows.len() as u64, doubles: sorted.doubles, series: sorted.series, partitions, data: Arc::new(data) })
}
