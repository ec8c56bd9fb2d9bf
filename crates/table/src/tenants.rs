//! The rows of several tenants as those of one, as they are asked for with `X-Scope-OrgID: a|b`: every series has the label
//! `__tenant_id__`, and matchers of it choose among the tenants that were named.
//!
//! It stands between a language and the store, so that neither knows of it: to the language it is rows like any others.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use base::{Error, Labels, Matcher, Result, Tenant};

use crate::scan::{Direction, RowStream, Rows, ScanRequest};
use crate::spec::TableSpec;

/// The label that says whose a series is.
pub const TENANT: &str = "__tenant_id__";
/// What a label of a series becomes that has this name already.
pub const ORIGINAL: &str = "original___tenant_id__";

/// The rows of several tenants: whose rows are asked for, a request does not say.
pub struct Tenants<'a>(Vec<(Tenant, Box<dyn Rows + 'a>)>);

impl<'a> Tenants<'a> {
    /// Of these tenants, each with what is to be asked for its rows.
    pub fn new(all: Vec<(Tenant, Box<dyn Rows + 'a>)>) -> Self {
        Tenants(all)
    }

    /// What is to be asked of each tenant that `request` is about.
    fn requests(&self, request: &ScanRequest) -> impl Iterator<Item = (&Tenant, &dyn Rows, ScanRequest)> {
        let (of_tenant, mut matchers): (Vec<Matcher>, Vec<Matcher>) = request.matchers.iter().cloned().partition(|m| m.name == TENANT);
        // A series' own label of that name has another one here.
        matchers.iter_mut().filter(|m| m.name == ORIGINAL).for_each(|m| m.name = TENANT.into());
        let request = ScanRequest { matchers, ..request.clone() };
        let asked = self.0.iter().filter(move |(t, _)| of_tenant.iter().all(|m| m.matches_value(t.as_str())));
        asked.map(move |(tenant, rows)| (tenant, &**rows, ScanRequest { tenant: tenant.clone(), ..request.clone() }))
    }
}

/// The labels of a series, with whose it is.
fn with_tenant(labels: &Labels, tenant: &Tenant) -> Result<Labels> {
    let own = labels.iter().map(|(n, v)| (if n == TENANT { ORIGINAL } else { n }, v));
    Labels::from_pairs(own.chain([(TENANT, tenant.as_str())]))
}

impl Rows for Tenants<'_> {
    fn scan(&self, request: &ScanRequest) -> Result<RowStream> {
        let mut streams = vec![];
        let mut all = vec![];
        for (tenant, rows, request) in self.requests(request) {
            let stream = rows.scan(&request)?;
            for (number, labels) in stream.series.iter().enumerate() {
                all.push((with_tenant(labels, tenant)?, streams.len(), number));
            }
            streams.push(One { table: request.table, numbers: vec![0; stream.series.len()], batches: stream.batches, next: None });
        }
        all.sort_unstable();
        for (rank, (_, stream, number)) in all.iter().enumerate() {
            streams[*stream].numbers[*number] = rank as u32;
        }
        let series = all.into_iter().map(|s| s.0).collect();
        Ok(RowStream { series, batches: Box::new(Merged { streams, direction: request.direction, failed: false }) })
    }

    fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        let mut out = vec![];
        for (tenant, rows, request) in self.requests(request) {
            for labels in rows.series(&request)? {
                out.push(with_tenant(&labels, tenant)?);
            }
        }
        out.sort_unstable();
        Ok(out)
    }

    fn label_values(&self, request: &ScanRequest, name: &str) -> Result<BTreeSet<String>> {
        let mut out = BTreeSet::new();
        for (tenant, rows, request) in self.requests(request) {
            match name {
                TENANT if rows.series(&request)?.is_empty() => {}
                TENANT => _ = out.insert(tenant.as_str().to_owned()),
                ORIGINAL => out.append(&mut rows.label_values(&request, TENANT)?),
                _ => out.append(&mut rows.label_values(&request, name)?),
            }
        }
        Ok(out)
    }
}

/// The rows of one tenant.
struct One {
    table: &'static TableSpec,
    batches: Box<dyn Iterator<Item = Result<RecordBatch>> + Send>,
    /// The batch that is to come, with its slice.
    next: Option<(i64, RecordBatch)>,
    /// For each of its series, the number that it has among all.
    numbers: Vec<u32>,
}

impl One {
    /// The slice of the batch that is to come; none at the end.
    fn slice(&mut self) -> Result<Option<i64>> {
        while self.next.is_none() {
            let Some(batch) = self.batches.next().transpose()? else { return Ok(None) };
            let time = batch.columns().get(1).and_then(|c| c.as_primitive_opt::<Int64Type>()).ok_or_else(odd)?.values().first().copied();
            self.next = time.map(|t| (self.table.slice_of(t), batch));
        }
        Ok(self.next.as_ref().map(|n| n.0))
    }

    /// A batch with the numbers that its series have among all.
    fn numbered(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let own = batch.columns().first().and_then(|c| c.as_primitive_opt::<UInt32Type>()).ok_or_else(odd)?;
        let number = |n: &u32| self.numbers.get(*n as usize).copied().ok_or_else(odd);
        let numbers: UInt32Array = own.values().iter().map(number).collect::<Result<Vec<u32>>>()?.into();
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        columns[0] = Arc::new(numbers);
        RecordBatch::try_new(batch.schema(), columns).map_err(|e| Error::internal(format!("numbering series anew: {e}")))
    }
}

fn odd() -> Error {
    Error::internal("a batch of rows is not as it should be")
}

/// The rows of all, slice by slice; within a slice one tenant's after another's.
struct Merged {
    streams: Vec<One>,
    direction: Direction,
    failed: bool,
}

impl Merged {
    fn step(&mut self) -> Result<Option<RecordBatch>> {
        let mut first: Option<(i64, usize)> = None;
        for (i, one) in self.streams.iter_mut().enumerate() {
            let Some(slice) = one.slice()? else { continue };
            let sooner = |than: i64| if self.direction == Direction::Forward { slice < than } else { slice > than };
            if first.is_none_or(|f| sooner(f.0)) {
                first = Some((slice, i));
            }
        }
        let Some(one) = first.and_then(|(_, i)| self.streams.get_mut(i)) else { return Ok(None) };
        let Some((_, batch)) = one.next.take() else { return Ok(None) };
        one.numbered(&batch).map(Some)
    }
}

impl Iterator for Merged {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}
