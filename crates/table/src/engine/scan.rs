//! The way out: a snapshot of memory, disk and store, scanned as one set.
//!
//! A block of a shared store may vanish under a scan that knew only its predecessors for too long. Then the partition is
//! looked up and the scan begun again, once, and only as long as it has given nothing out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::RecordBatch;
use base::{Error, Kind, Labels, Result};

use super::{Engine, Refresh};
use crate::catalog::PartitionKey;
use crate::limits;
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

    fn scan_once(&self, request: &ScanRequest) -> Result<RowStream> {
        let (sources, request) = self.sources(request, Which::All)?;
        sorted::scan(request.table, sources, &request, Arc::new(self.budget.query()))
    }

    fn series_once(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        let (sources, request) = self.sources(request, Which::All)?;
        sorted::series(request.table, &sources, &request)
    }

    fn label_values_once(&self, request: &ScanRequest, name: &str) -> Result<BTreeSet<String>> {
        let (sources, request) = self.sources(request, Which::All)?;
        sorted::label_values(request.table, &sources, &request, name)
    }

    /// Looks up the blocks that a scan reads.
    fn look_again(&self, q: &ScanRequest) -> Result<()> {
        let table = self.table_id(q.table)?;
        let days = q.table.day_of(q.range.start)..=q.table.day_of(q.range.end.saturating_sub(1));
        let touched = |k: &&PartitionKey| k.table == table && k.tenant == q.tenant && days.contains(&k.day);
        let partitions: Vec<PartitionKey> = self.live.read().catalog.partitions().map(|(k, _)| k).filter(touched).cloned().collect();
        if partitions.len() > limits::LOOKED_UP {
            return self.refresh(Refresh::All);
        }
        partitions.iter().try_for_each(|k| self.refresh_partition(k))
    }

    /// What the store says to us is not what we say to whoever asks.
    fn unreadable_now(&self, e: Error) -> Error {
        match e.kind() {
            Kind::NotFound | Kind::Forbidden | Kind::Unauthenticated | Kind::Unavailable | Kind::Timeout
                if self.blocks.remote().is_some() =>
            {
                self.stats.store_read_failures.fetch_add(1, Ordering::Relaxed);
                Error::unavailable(format!("blocks cannot be read now: {}", e.message()))
            }
            _ => e,
        }
    }

    fn twice<T>(&self, request: &ScanRequest, once: impl Fn(&ScanRequest) -> Result<T>) -> Result<T> {
        self.blocks_known()?;
        let result = match once(request) {
            Err(e) if e.kind() == Kind::NotFound && self.blocks.remote().is_some() => {
                self.stats.looked_again.fetch_add(1, Ordering::Relaxed);
                self.look_again(request).and_then(|()| once(request))
            }
            other => other,
        };
        result.map_err(|e| self.unreadable_now(e))
    }

    /// All rows that match, of this engine and of `others`: streams of other nodes' unmerged rows, which they gave for
    /// [`sorted::wanted_whole`] of this request. This engine's snapshot is taken now, so after theirs. If a block vanishes under
    /// it, an error of kind `Unavailable` says so, and what replaces the block is known: the streams are used up, so asking
    /// again is the caller's.
    pub fn scan_with(&self, request: &ScanRequest, others: Vec<RowStream>) -> Result<RowStream> {
        self.stats.scans.fetch_add(1, Ordering::Relaxed);
        if others.is_empty() {
            return self.scan_alone(request);
        }
        self.blocks_known()?;
        let (sources, wanted) = self.sources(request, Which::All)?;
        let stream = sorted::scan_with(wanted.table, sources, others, &wanted, Arc::new(self.budget.query()));
        let RowStream { series, batches } = stream.map_err(|e| self.replaced(request, e))?;
        let (Some(engine), request) = (self.me.upgrade(), request.clone()) else { return Ok(RowStream { series, batches }) };
        Ok(RowStream { series, batches: Box::new(batches.map(move |b| b.map_err(|e| engine.replaced(&request, e)))) })
    }

    fn scan_alone(&self, request: &ScanRequest) -> Result<RowStream> {
        let stream = self.twice(request, |q| self.scan_once(q))?;
        match (self.blocks.remote().is_some(), self.me.upgrade()) {
            (true, Some(engine)) => {
                let series = stream.series.clone();
                let batches = Watched { engine, request: request.clone(), series, inner: stream.batches, begun: false };
                Ok(RowStream { series: stream.series, batches: Box::new(batches) })
            }
            _ => Ok(stream),
        }
    }

    /// An error of a scan that cannot be begun again. If a block has vanished, the next scan knows its successor.
    fn replaced(&self, request: &ScanRequest, e: Error) -> Error {
        if e.kind() == Kind::NotFound && self.blocks.remote().is_some() {
            self.stats.looked_again.fetch_add(1, Ordering::Relaxed);
            if let Err(e) = self.look_again(request) {
                tracing::warn!(error = %e, "blocks that replace a vanished one cannot be looked up");
            }
        }
        self.unreadable_now(e)
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
        self.twice(request, |q| self.series_once(q))
    }

    fn label_values(&self, request: &ScanRequest, name: &str) -> Result<BTreeSet<String>> {
        self.twice(request, |q| self.label_values_once(q, name))
    }
}

/// Batches that may come from a store.
struct Watched {
    engine: Arc<Engine>,
    request: ScanRequest,
    series: Arc<[Labels]>,
    inner: Box<dyn Iterator<Item = Result<RecordBatch>> + Send>,
    begun: bool,
}

impl Iterator for Watched {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = !std::mem::replace(&mut self.begun, true);
        let e = match self.inner.next()? {
            Ok(b) => return Some(Ok(b)),
            Err(e) => e,
        };
        if first && e.kind() == Kind::NotFound {
            self.engine.stats.looked_again.fetch_add(1, Ordering::Relaxed);
            match self.engine.look_again(&self.request).and_then(|()| self.engine.scan_once(&self.request)) {
                // The numbers of series are given out already: the new ones must mean the same.
                Ok(again) if again.series == self.series => {
                    self.inner = again.batches;
                    return self.inner.next().map(|b| b.map_err(|e| self.engine.unreadable_now(e)));
                }
                Ok(_) => {}
                Err(e) => return Some(Err(self.engine.unreadable_now(e))),
            }
        }
        Some(Err(self.engine.unreadable_now(e)))
    }
}
