//! Samples that somebody asked to delete. From then on no answer shows them, wherever they still lie; blocks that are merged are made
//! without them ([`Due`]).
//!
//! A request names series and a time. What is written into that time later is left out as well: rows do not say when they came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use base::hash::hash128;
use base::{Error, Kind, Labels, Matcher, Result, Tenant};
use serde::{Deserialize, Serialize};
use table::{Erasing, RowStream, Rows, ScanRequest, TimeRange};

use crate::exemplar;
use crate::spec::SPEC;

/// The document that holds all requests.
pub const DOCUMENT: &str = "series-deletions.json";

/// A request, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deletion {
    /// Whose series.
    pub tenant: String,
    /// Which.
    pub selector: String,
    /// First time, milliseconds.
    pub start_ms: i64,
    /// Last time, milliseconds.
    pub end_ms: i64,
    /// When it was made, milliseconds.
    pub created_ms: i64,
}

impl Deletion {
    /// Reads the document.
    ///
    /// # Errors
    /// `Corrupt`, with its name.
    pub fn read(document: &[u8]) -> Result<Vec<Deletion>> {
        serde_json::from_slice(document)
            .map_err(|e| Error::new(Kind::Corrupt, format!("documents/{DOCUMENT} in the data directory cannot be read: {e}")))
    }
    /// What it is about.
    ///
    /// # Errors
    /// The selector is none, or the end is before the start.
    pub fn erasure(&self) -> Result<Erasure> {
        Erasure::new(&self.selector, self.start_ms, self.end_ms)
    }
    /// The name that blocks give it that hold none of its rows.
    fn name(&self) -> String {
        let all = [&self.tenant, &self.selector, &self.start_ms.to_string(), &self.end_ms.to_string(), &self.created_ms.to_string()];
        format!("series-{:016x}", hash128(all.map(String::as_str).join("\u{0}").as_bytes()) as u64)
    }
}

/// The requests as merges ask for them.
pub struct Due(BTreeMap<String, Vec<(String, Erasure)>>);

impl Due {
    /// All of them are due at once; nothing if there are none.
    ///
    /// # Errors
    /// One of them is none.
    pub fn of(all: &[Deletion]) -> Result<Option<Arc<dyn Erasing>>> {
        let mut by_tenant: BTreeMap<String, Vec<(String, Erasure)>> = BTreeMap::new();
        for d in all {
            by_tenant.entry(d.tenant.clone()).or_default().push((d.name(), d.erasure()?));
        }
        Ok((!by_tenant.is_empty()).then(|| Arc::new(Due(by_tenant)) as Arc<dyn Erasing>))
    }

    fn met(&self, table: &str, tenant: &Tenant, range: TimeRange) -> impl Iterator<Item = &(String, Erasure)> {
        let of = if has_series(table) { self.0.get(tenant.as_str()) } else { None };
        of.into_iter().flatten().filter(move |(_, e)| e.touches(range))
    }
}

impl Erasing for Due {
    fn names(&self, table: &str, tenant: &Tenant, range: TimeRange) -> Vec<String> {
        self.met(table, tenant, range).map(|(name, _)| name.clone()).collect()
    }
    fn touches(&self, table: &str, tenant: &Tenant, range: TimeRange, labels: &Labels) -> bool {
        self.met(table, tenant, range).any(|(_, e)| e.has(labels))
    }
    fn rest(&self, table: &str, tenant: &Tenant, series: &Arc<[Labels]>, batch: RecordBatch) -> Result<RecordBatch> {
        let met: Vec<&Erasure> = self.met(table, tenant, TimeRange::ALL).map(|(_, e)| e).collect();
        if met.is_empty() {
            return Ok(batch);
        }
        // Few of the series of a block are in one batch.
        let mut erased = vec![vec![]; series.len()];
        let mut last = None;
        for s in batch.column(0).as_primitive::<UInt32Type>().values() {
            if last.replace(*s) != Some(*s)
                && let (Some(ranges), Some(labels)) = (erased.get_mut(*s as usize), series.get(*s as usize))
            {
                *ranges = met.iter().filter(|e| e.has(labels)).map(|e| e.range).collect();
            }
        }
        strip(&batch, &erased)
    }
}

/// Whether rows of a table belong to series that are asked for.
fn has_series(table: &str) -> bool {
    table == SPEC.name || table == exemplar::SPEC.name
}

/// What is to be deleted.
#[derive(Clone, Debug)]
pub struct Erasure {
    matchers: Vec<Matcher>,
    range: TimeRange,
}

impl Erasure {
    /// Series that `selector` matches, from the first to the last time, milliseconds.
    ///
    /// # Errors
    /// The selector is none, or the end is before the start.
    pub fn new(selector: &str, start_ms: i64, end_ms: i64) -> Result<Self> {
        if end_ms < start_ms {
            return Err(Error::invalid("end timestamp must not be before start time"));
        }
        let range = TimeRange { start: start_ms, end: end_ms.saturating_add(1) };
        Ok(Erasure { matchers: crate::parse_selector(selector)?, range })
    }

    fn touches(&self, range: TimeRange) -> bool {
        range.start < self.range.end && self.range.start < range.end
    }

    fn covers(&self, range: TimeRange) -> bool {
        self.range.start <= range.start && range.end <= self.range.end
    }

    fn has(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|m| m.matches(labels))
    }
}

/// The same rows without those that are deleted.
pub struct Left<'a> {
    rows: &'a dyn Rows,
    erasures: Erasures,
}

impl<'a> Left<'a> {
    /// What is left of `rows`.
    pub fn of(rows: &'a dyn Rows, erasures: Erasures) -> Self {
        Left { rows, erasures }
    }

    /// The erasures that a request meets.
    fn met(&self, q: &ScanRequest) -> Vec<&Erasure> {
        self.erasures.iter().filter(|e| has_series(q.table.name) && e.touches(q.range)).collect()
    }
}

impl Rows for Left<'_> {
    fn scan(&self, q: &ScanRequest) -> Result<RowStream> {
        let met = self.met(q);
        // Rows are left out one by one.
        let q = &ScanRequest { stretches: q.stretches && met.is_empty(), ..q.clone() };
        let stream = self.rows.scan(q)?;
        let of = |l: &Labels| met.iter().filter(|e| e.has(l)).map(|e| e.range).collect::<Vec<_>>();
        let erased: Vec<Vec<TimeRange>> = if met.is_empty() { vec![] } else { stream.series.iter().map(of).collect() };
        if erased.iter().all(Vec::is_empty) {
            return Ok(stream);
        }
        let left = stream.batches.map(move |batch| strip(&batch?, &erased));
        Ok(RowStream { series: stream.series, batches: Box::new(left) })
    }

    fn series(&self, q: &ScanRequest) -> Result<Vec<Labels>> {
        let mut all = self.rows.series(q)?;
        // Of a series that is deleted in part something may be left.
        let whole: Vec<&Erasure> = self.met(q).into_iter().filter(|e| e.covers(q.range)).collect();
        all.retain(|l| !whole.iter().any(|e| e.has(l)));
        Ok(all)
    }

    fn label_values(&self, q: &ScanRequest, name: &str) -> Result<BTreeSet<String>> {
        if self.met(q).is_empty() {
            return self.rows.label_values(q, name);
        }
        Ok(self.series(q)?.iter().filter_map(|l| l.get(name).map(str::to_owned)).collect())
    }
}

fn strip(batch: &RecordBatch, erased: &[Vec<TimeRange>]) -> Result<RecordBatch> {
    let series = batch.column(0).as_primitive::<UInt32Type>().values();
    let times = batch.column(1).as_primitive::<Int64Type>().values();
    let is_left = |(s, t): (&u32, &i64)| !erased.get(*s as usize).is_some_and(|all| all.iter().any(|r| r.contains(*t)));
    let keep: Vec<bool> = series.iter().zip(times).map(is_left).collect();
    filter_record_batch(batch, &BooleanArray::from(keep)).map_err(|e| Error::internal(format!("leaving deleted samples out: {e}")))
}

/// What is deleted, shared.
pub type Erasures = Arc<[Erasure]>;

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, Int64Array, UInt32Array};

    use super::*;

    #[test]
    fn a_merge_leaves_out_what_is_deleted() {
        let deletion = |tenant: &str, selector: &str, start_ms, end_ms| Deletion {
            tenant: tenant.into(),
            selector: selector.into(),
            start_ms,
            end_ms,
            created_ms: 9,
        };
        assert!(Due::of(&[]).unwrap().is_none());
        assert!(Due::of(&[deletion("a", "{", 0, 1)]).is_err());
        let due =
            Due::of(&[deletion("a", "up{job='x'}", 10, 20), deletion("a", "up", 40, 50), deletion("b", "up", 0, 99)]).unwrap().unwrap();
        let tenant = |name: &str| Tenant::new(name).unwrap();
        let (a, range) = (tenant("a"), |start, end| TimeRange { start, end });
        let names = due.names(SPEC.name, &a, range(0, 100));
        assert!(names.len() == 2 && names[0] != names[1] && names == due.names(exemplar::SPEC.name, &a, range(0, 100)));
        assert_eq!(due.names(SPEC.name, &a, range(20, 21)), names[..1]);
        assert!(due.names(SPEC.name, &a, range(21, 40)).is_empty() && due.names("others", &a, range(0, 100)).is_empty());
        assert!(due.names(SPEC.name, &tenant("c"), range(0, 100)).is_empty());
        let labels = |job: &str| Labels::from_pairs([("__name__", "up"), ("job", job)]).unwrap();
        assert!(due.touches(SPEC.name, &a, range(0, 30), &labels("x")) && !due.touches(SPEC.name, &a, range(0, 30), &labels("y")));
        let series: Arc<[Labels]> = [labels("x"), labels("y")].into();
        let columns: [(&str, ArrayRef); 2] = [
            ("series", Arc::new(UInt32Array::from(vec![0, 0, 0, 0, 1, 1]))),
            ("time_ms", Arc::new(Int64Array::from(vec![9, 10, 20, 21, 10, 45]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let left = |tenant: &Tenant, table| {
            let rest = due.rest(table, tenant, &series, batch.clone()).unwrap();
            rest.column(1).as_primitive::<Int64Type>().values().to_vec()
        };
        assert_eq!(left(&a, SPEC.name), [9, 21, 10]);
        assert_eq!(left(&a, "others").len(), 6);
        assert_eq!(left(&tenant("b"), SPEC.name), [0i64; 0]);
    }
}
