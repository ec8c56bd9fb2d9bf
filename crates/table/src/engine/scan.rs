//! The way out: a snapshot of memory and disk, scanned as one set.

use base::{Labels, Result};

use super::Engine;
use crate::scan::{RowStream, Rows, ScanRequest};
use crate::sorted::{self, Source};

impl Engine {
    fn sources(&self, q: &ScanRequest) -> Result<(Vec<Source>, ScanRequest)> {
        let table = self.table_id(q.table)?;
        let mut q = q.clone();
        q.range.start = q.range.start.max(self.kept_from(table, &q.tenant));
        let days = q.table.day_of(q.range.start)..=q.table.day_of(q.range.end.saturating_sub(1));
        let mut out = vec![];
        if q.range.start < q.range.end {
            let live = self.live.read();
            live.catalog.sources(table, &q.tenant, days, &mut out);
            live.generations.iter().for_each(|g| g.sources(table, &mut out));
        }
        Ok((out, q))
    }
}

impl Rows for Engine {
    fn scan(&self, request: &ScanRequest) -> Result<RowStream> {
        let (sources, request) = self.sources(request)?;
        self.stats.scans.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        sorted::scan(request.table, sources, &request, std::sync::Arc::new(self.budget.query()))
    }

    fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        let (sources, request) = self.sources(request)?;
        sorted::series(request.table, &sources, &request)
    }
}
