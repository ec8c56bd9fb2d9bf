//! The plainest [`Rows`] there is: a list that is filtered and sorted for each scan. It is the oracle of the engine's
//! tests and the store of the languages' tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt32Type};
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_select::{concat::concat_batches, take::take_record_batch};
use base::{Error, Labels, Result, Tenant};
use parking_lot::Mutex;

use crate::scan::{Direction, RowStream, Rows, ScanRequest};
use crate::spec::{Order, TableSpec};
use crate::stretches::Collected;

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

/// Rows as stretches, each as long as it can be. `None` if they have more than a column of doubles.
fn as_stretches(b: &RecordBatch) -> Result<Option<RecordBatch>> {
    let Some(values) = b.columns().get(2).and_then(|c| c.as_primitive_opt::<Float64Type>()) else { return Ok(None) };
    if values.null_count() > 0 || b.columns()[3..].iter().any(|c| c.null_count() < c.len()) {
        return Ok(None);
    }
    let series = b.column(0).as_primitive::<UInt32Type>().values();
    let times = b.column(1).as_primitive::<Int64Type>().values();
    let mut all = Collected::default();
    let mut at = 0;
    while at < times.len() {
        let goes_on = |i: usize, step: i64| i < times.len() && series[i] == series[at] && times[i] - times[i - 1] == step;
        let step = times.get(at + 1).filter(|_| series[at + 1] == series[at]).map_or(0, |next| next - times[at]);
        let end = if step > 0 { (at + 1..).find(|i| !goes_on(*i, step)).unwrap_or(at + 1) } else { at + 1 };
        let values = &values.values()[at..end];
        all.values.extend_from_slice(values);
        all.push(series[at], times[at], if end - at > 1 { step } else { 0 }, values.iter().all(|v| v.is_finite()));
        at = end;
    }
    all.finish()
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
        let keep = q.predicate.as_ref().map(|p| p.eval(&all, &q.cancel)).transpose()?;
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
            let b = b.project(&want).map_err(|e| Error::internal(e.to_string()))?;
            let stretches = if q.stretches && key.is_none() { as_stretches(&b)? } else { None };
            out.push(Ok(stretches.unwrap_or(b)));
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
