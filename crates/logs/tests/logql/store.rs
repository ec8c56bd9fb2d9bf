//! Rows in memory to ask questions of.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryViewArray, Int64Array, RecordBatch, StringViewArray, UInt32Array};
use base::attrs::{self, Value};
use base::{Labels, Result, Tenant};
use logs::erase::Left;
use logs::query::{Context, QueryResult, RangeQuery, Settings};
use table::tenants::Tenants;
use table::{Cancel, Direction, MemoryRows, Rows};

/// Time zero of scripts: a whole hour, so that slices begin at round times.
pub const BASE_NS: i64 = 472_222 * 3_600 * 1_000_000_000;

/// A line to be stored.
#[derive(Clone, Debug)]
pub struct Entry {
    pub labels: Vec<(String, String)>,
    pub time_ns: i64,
    pub line: String,
    pub metadata: Vec<(String, String)>,
}

/// Rows of a tenant, or of several.
pub struct Store {
    rows: MemoryRows,
    tenants: Vec<Tenant>,
}

impl Store {
    pub fn new(entries: &[Entry]) -> Self {
        let mut store = Store { rows: MemoryRows::default(), tenants: vec![] };
        store.add(Tenant::default(), entries);
        store
    }

    /// Rows of tenants that are asked about together.
    pub fn of_tenants<'t>(tenants: impl Iterator<Item = (&'t str, Vec<Entry>)>) -> Self {
        let mut store = Store { rows: MemoryRows::default(), tenants: vec![] };
        tenants.for_each(|(name, entries)| store.add(Tenant::new(name).expect("a tenant"), &entries));
        store
    }

    fn add(&mut self, tenant: Tenant, entries: &[Entry]) {
        let mut streams: BTreeMap<Labels, Vec<(u32, &Entry)>> = BTreeMap::new();
        for (i, e) in entries.iter().enumerate() {
            let labels = Labels::from_pairs(e.labels.iter().map(|(n, v)| (n, v))).expect("labels");
            streams.entry(labels).or_default().push((i as u32, e));
        }
        for (labels, entries) in streams {
            let metadata = entries.iter().map(|(_, e)| (!e.metadata.is_empty()).then(|| encode(&e.metadata)));
            let columns: Vec<ArrayRef> = vec![
                Arc::new(UInt32Array::from(vec![0; entries.len()])),
                Arc::new(Int64Array::from_iter_values(entries.iter().map(|(_, e)| e.time_ns))),
                Arc::new(UInt32Array::from_iter_values(entries.iter().map(|(i, _)| *i))),
                Arc::new(StringViewArray::from_iter_values(entries.iter().map(|(_, e)| &e.line))),
                Arc::new(metadata.collect::<BinaryViewArray>()),
                Arc::new(StringViewArray::from(vec![None::<&str>; entries.len()])),
            ];
            let batch = RecordBatch::try_new(logs::SPEC.schema(), columns).expect("the schema of the table");
            self.rows.append(&logs::SPEC, tenant.clone(), labels, batch);
        }
        self.tenants.push(tenant);
    }

    fn with<T>(&self, f: impl FnOnce(Context<'_>) -> T) -> T {
        self.within(&Settings::default(), &Cancel::default(), f)
    }

    /// Asks within bounds, or until it is cancelled.
    pub fn within<T>(&self, settings: &Settings, cancel: &Cancel, f: impl FnOnce(Context<'_>) -> T) -> T {
        let several =
            Tenants::new(self.tenants.iter().map(|t| (t.clone(), Box::new(Left::of(&self.rows, [].into())) as Box<dyn Rows>)).collect());
        let rows: &dyn Rows = if self.tenants.len() > 1 { &several } else { &self.rows };
        f(Context { rows, tenant: &self.tenants[0], cancel, settings, now_ns: BASE_NS, erased: &[] })
    }

    pub fn instant(&self, query: &str, time_ns: i64) -> Result<QueryResult> {
        self.with(|c| logs::query::instant(c, query, time_ns))
    }

    pub fn range(&self, query: &str, start_ns: i64, end_ns: i64, step_ns: i64) -> Result<QueryResult> {
        let q = RangeQuery { query, start_ns, end_ns, step_ns, interval_ns: 0, limit: 1000, direction: Direction::Forward };
        self.with(|c| logs::query::range(c, &q))
    }

    pub fn lines(&self, q: &RangeQuery<'_>) -> Result<QueryResult> {
        self.with(|c| logs::query::range(c, q))
    }
}

fn encode(pairs: &[(String, String)]) -> Vec<u8> {
    let mut out = vec![];
    pairs.iter().for_each(|(n, v)| attrs::push(&mut out, n, &Value::Str(v)));
    out
}
