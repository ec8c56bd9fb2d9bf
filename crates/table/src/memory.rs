//! The plainest [`Rows`] there is: a list that is filtered and sorted for each scan. It is the oracle of the engine's
//! tests and the store of the languages' tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_select::{concat::concat_batches, take::take_record_batch};
use base::{Error, Labels, Result, Tenant};
use parking_lot::Mutex;

use crate::scan::{Direction, RowStream, Rows, ScanRequest};
use crate::spec::{Order, TableSpec};

/// Rows in memory, kept as they were given. Doubles are not removed.
#[derive(Default)]
pub struct MemoryRows {
    rows: Mutex<Vec<(&'static str, Tenant, Labels, RecordBatch)>>,
}

impl MemoryRows {
    /// Adds rows of one series; the batch has the table's schema and its `series` column is ignored.
    pub fn append(&self, table: &'static TableSpec, tenant: Tenant, labels: Labels, batch: RecordBatch) {
        self.rows.lock().push((table.name, tenant, labels, batch));
    }
}

impl Rows for MemoryRows {
    fn scan(&self, q: &ScanRequest) -> Result<RowStream> {
        let rows = self.rows.lock();
        let mine = || rows.iter().filter(|(t, n, l, _)| *t == q.table.name && *n == q.tenant && q.matchers.iter().all(|m| m.matches(l)));
        let mut names: Vec<Labels> = mine().map(|r| r.2.clone()).collect();
        names.sort();
        names.dedup();
        let schema = q.table.schema();
        let mut batches = vec![];
        for (_, _, labels, b) in mine() {
            let number = names.binary_search(labels).map_err(|_| Error::internal("series vanished"))? as u32;
            let mut columns = b.columns().to_vec();
            columns[0] = Arc::new(UInt32Array::from(vec![number; b.num_rows()])) as ArrayRef;
            batches.push(RecordBatch::try_new(schema.clone(), columns).map_err(|e| Error::internal(e.to_string()))?);
        }
        let all = concat_batches(&schema, &batches).map_err(|e| Error::internal(e.to_string()))?;
        let keep = q.predicate.as_ref().map(|p| p.eval(&all)).transpose()?;
        let series = all.column(0).as_primitive::<UInt32Type>();
        let time = all.column(1).as_primitive::<Int64Type>();
        let key = match q.table.order {
            Order::Key(k) => all.column_by_name(k).map(|c| c.as_fixed_size_binary()),
            Order::Series(_) => None,
        };
        let mut slices: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for i in 0..all.num_rows() {
            if q.range.contains(time.value(i)) && keep.as_ref().is_none_or(|k| k.value(i)) {
                slices.entry(q.table.slice_of(time.value(i))).or_default().push(i as u32);
            }
        }
        let mut out = vec![];
        for ix in slices.values_mut() {
            ix.sort_by_key(|&i| {
                let i = i as usize;
                (key.map(|k| k.value(i)), if key.is_some() { 0 } else { series.value(i) }, time.value(i), i)
            });
            let b = take_record_batch(&all, &UInt32Array::from(std::mem::take(ix))).map_err(|e| Error::internal(e.to_string()))?;
            let mut want = vec![0, 1];
            for c in &q.columns {
                want.push(b.schema().index_of(c).map_err(|e| Error::internal(e.to_string()))?);
            }
            out.push(b.project(&want).map_err(|e| Error::internal(e.to_string())));
        }
        if q.direction == Direction::Backward {
            out.reverse();
        }
        Ok(RowStream { series: names.into(), batches: Box::new(out.into_iter()) })
    }

    fn series(&self, q: &ScanRequest) -> Result<Vec<Labels>> {
        let s = self.scan(q)?;
        let mut seen = vec![false; s.series.len()];
        for b in s.batches {
            b?.column(0).as_primitive::<UInt32Type>().values().iter().for_each(|&n| seen[n as usize] = true);
        }
        Ok(s.series.iter().zip(seen).filter(|(_, s)| *s).map(|(l, _)| l.clone()).collect())
    }
}
