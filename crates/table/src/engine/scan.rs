//! The way out: a snapshot of memory and disk, scanned as one set.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{Labels, Result};

use super::Engine;
use crate::scan::{RowStream, Rows, ScanRequest};
use crate::sorted::{self, Source};

/// Which rows of an engine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    /// Those in memory and runs: the ones that only this node can give.
    Unmerged,
}

impl Engine {
    fn sources(&self, q: &ScanRequest, which: Which) -> Result<(Vec<Source>, ScanRequest)> {
        let table = self.table_id(q.table)?;
        let mut q = q.clone();
        q.range.start = q.range.start.max(self.kept_from(table, &q.tenant));
        let days = q.table.day_of(q.range.start)..=q.table.day_of(q.range.end.saturating_sub(1));
        let mut out = vec![];
        if q.range.start < q.range.end {
            let live = self.live.read();
            match which {
                Which::All => live.catalog.sources(table, &q.tenant, days, &mut out),
                Which::Unmerged => live.catalog.unmerged_sources(table, &q.tenant, days, &mut out),
            }
            live.generations.iter().for_each(|g| g.sources(table, &mut out));
        }
        Ok((out, q))
    }

    /// All rows that match, of this engine and of `others`: streams of other nodes' unmerged rows, which they gave for
    /// [`sorted::wanted_whole`] of this request. This engine's snapshot is taken now, so after theirs.
    pub fn scan_with(&self, request: &ScanRequest, others: Vec<RowStream>) -> Result<RowStream> {
        let (sources, request) = self.sources(request, Which::All)?;
        self.stats.scans.fetch_add(1, Ordering::Relaxed);
        sorted::scan_with(request.table, sources, others, &request, Arc::new(self.budget.query()))
    }

    /// The rows that match and are in memory or in runs, for another node to merge: whole rows, and batches may be empty.
    /// `request` is what [`sorted::wanted_whole`] made there.
    pub fn scan_unmerged(&self, request: &ScanRequest) -> Result<RowStream> {
        let (sources, request) = self.sources(request, Which::Unmerged)?;
        self.stats.scans.fetch_add(1, Ordering::Relaxed);
        sorted::scan_for_merge(request.table, sources, &request, Arc::new(self.budget.query()))
    }

    /// Label sets of the series that match and may have a row in the range in memory or in runs, in label order.
    pub fn series_unmerged(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        let (sources, request) = self.sources(request, Which::Unmerged)?;
        sorted::series(request.table, &sources, &request)
    }
}

impl Rows for Engine {
    fn scan(&self, request: &ScanRequest) -> Result<RowStream> {
        self.scan_with(request, vec![])
    }

    fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        let (sources, request) = self.sources(request, Which::All)?;
        sorted::series(request.table, &sources, &request)
    }
}
