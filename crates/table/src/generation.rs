//! A memtable generation: the rows of one stretch of the WAL, in memory.
//!
//! Rows arrive as record batches and are kept as they are (the head). When a table's head has grown, it is frozen into a
//! sorted, encoded part. A generation that is sealed takes no more rows; it is flushed as one run and then its
//! stretch of the WAL may go. At any instant each row is in exactly one of head, freezing and parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{Array, RecordBatch, UInt32Array};
use arrow_schema::DataType;
use arrow_select::concat::concat_batches;
use base::{Error, Result};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};

use crate::limits;
use crate::memory_budget::MemoryBudget;
use crate::registry::Registry;
use crate::sorted::{self, Part, SeriesNames, Source};
use crate::spec::TableSpec;

/// One table's rows of a generation.
pub struct TableMem {
    spec: &'static TableSpec,
    /// Its series.
    pub registry: Arc<Registry>,
    state: Mutex<State>,
    /// Held while freezing, so that whoever waits for it finds nothing half frozen.
    freezing: Mutex<()>,
}

#[derive(Default)]
struct State {
    head: Vec<RecordBatch>,
    head_bytes: usize,
    small: usize,
    freezing: Vec<Arc<Vec<RecordBatch>>>,
    parts: Vec<Arc<Part>>,
}

/// Rows of all tables since the last seal.
pub struct Generation {
    /// Ascending.
    pub id: u64,
    /// By table id.
    pub tables: Vec<TableMem>,
    /// Sequence number after the last frame whose rows are here.
    pub upto: AtomicU64,
    /// First sequence number it covers.
    pub from: u64,
    /// Bytes its frames take in the WAL.
    pub wal_bytes: AtomicU64,
    /// When the first row came, nanoseconds; 0 for none yet.
    pub since_ns: AtomicU64,
    held: AtomicUsize,
    budget: Arc<MemoryBudget>,
}

impl Generation {
    /// An empty generation that begins at WAL position `from`.
    pub fn new(id: u64, from: u64, tables: &[&'static TableSpec], budget: Arc<MemoryBudget>) -> Arc<Self> {
        let tables = tables
            .iter()
            .map(|&spec| TableMem { spec, registry: Arc::default(), state: Mutex::default(), freezing: Mutex::default() })
            .collect();
        Arc::new(Generation {
            id,
            tables,
            upto: AtomicU64::new(from),
            from,
            wal_bytes: AtomicU64::new(0),
            since_ns: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            budget,
        })
    }

    /// Adds rows whose memory has been reserved and whose series are of this generation's registry. Returns the bytes
    /// in the table's head.
    pub fn append(&self, table: usize, batch: RecordBatch, bytes: usize) -> usize {
        self.held.fetch_add(bytes, Ordering::AcqRel);
        let t = &self.tables[table];
        let mut s = t.state.lock();
        s.head_bytes += bytes;
        s.small = if batch.num_rows() < limits::SMALL_BATCH_ROWS { s.small + 1 } else { 0 };
        s.head.push(batch);
        if s.small >= limits::HEAD_SMALL_BATCHES {
            let tail = s.head.len() - s.small;
            if let Ok(joined) = concat_batches(&t.spec.schema(), &s.head[tail..]) {
                s.head.truncate(tail);
                s.head.push(joined);
            }
            s.small = 0;
        }
        s.head_bytes
    }

    /// Freezes a table's head if it holds at least `min_bytes`. True if there was something to freeze. One thread
    /// at a time: after `freeze(table, 0)` on a sealed generation all its rows are in parts.
    pub fn freeze(&self, table: usize, min_bytes: usize) -> Result<bool> {
        let t = &self.tables[table];
        let _one = t.freezing.lock();
        let (batches, bytes) = {
            let mut s = t.state.lock();
            if s.head.is_empty() || s.head_bytes < min_bytes {
                return Ok(false);
            }
            let batches = Arc::new(std::mem::take(&mut s.head));
            s.freezing.push(batches.clone());
            s.small = 0;
            (batches, std::mem::take(&mut s.head_bytes))
        };
        let part = sorted::freeze(t.spec, &batches, &*t.registry);
        let mut s = t.state.lock();
        s.freezing.retain(|b| !Arc::ptr_eq(b, &batches));
        match part {
            Ok(part) => {
                let new = part.bytes();
                s.parts.push(Arc::new(part));
                drop(s);
                drop(batches);
                self.held.fetch_add(new, Ordering::AcqRel);
                self.budget.force_rows(new);
                self.held.fetch_sub(bytes, Ordering::AcqRel);
                self.budget.free_rows(bytes);
                Ok(true)
            }
            Err(e) => {
                // Nothing is lost: the rows stay in the head, and in the WAL.
                s.head_bytes += bytes;
                s.head.splice(0..0, batches.iter().cloned());
                Err(e)
            }
        }
    }

    /// What a scan must read, as of one instant.
    pub fn sources(&self, table: usize, out: &mut Vec<Source>) {
        let t = &self.tables[table];
        let s = t.state.lock();
        let names = || t.registry.clone() as Arc<dyn SeriesNames>;
        let rows = |batches: Vec<RecordBatch>| Source::Rows { batches, names: names() };
        out.extend(s.parts.iter().map(|p| Source::Part { part: p.clone(), names: names() }));
        out.extend(s.freezing.iter().map(|b| rows(b.to_vec())));
        if !s.head.is_empty() {
            out.push(rows(s.head.clone()));
        }
    }

    /// A table's parts.
    pub fn parts(&self, table: usize) -> Vec<Arc<Part>> {
        self.tables[table].state.lock().parts.clone()
    }

    /// Bytes of memory its rows hold.
    pub fn rows_bytes(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// Bytes of its registries: what even a generation of one row for each series would cost.
    pub fn registries_bytes(&self) -> usize {
        self.tables.iter().map(|t| t.registry.bytes()).sum()
    }

    /// True when no frame has come.
    pub fn is_empty(&self) -> bool {
        self.upto.load(Ordering::Acquire) == self.from
    }

    /// Rewrites series numbers of `other`'s registry to this generation's, for rows that were decoded before a seal and
    /// committed after it.
    pub fn adopt(&self, other: &Generation, table: usize, batch: RecordBatch) -> Result<RecordBatch> {
        let (from, to) = (&other.tables[table].registry, &self.tables[table].registry);
        let mut map: HashMap<u32, u32> = HashMap::new();
        let old = batch.column(0).as_primitive::<UInt32Type>();
        let new: UInt32Array =
            old.values().iter().map(|&n| *map.entry(n).or_insert_with(|| to.intern(None, from.key(n)))).collect::<Vec<_>>().into();
        let mut columns = batch.columns().to_vec();
        columns[0] = Arc::new(new);
        RecordBatch::try_new(batch.schema(), columns).map_err(|e| Error::internal(e.to_string()))
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.budget.free_rows(self.held.load(Ordering::Acquire));
    }
}

/// Bytes of memory a batch keeps alive: each buffer once, however many columns look into it.
pub fn batch_bytes(batch: &RecordBatch) -> usize {
    let mut seen: HashSet<*const u8> = HashSet::new();
    let mut total = 64 * batch.num_columns();
    for c in batch.columns() {
        let views = |n: usize, buffers: &[arrow_buffer::Buffer], seen: &mut HashSet<*const u8>| {
            n * 16 + buffers.iter().filter(|b| seen.insert(b.data_ptr().as_ptr().cast_const())).map(|b| b.capacity()).sum::<usize>()
        };
        total += match c.data_type() {
            DataType::Utf8View => views(c.len(), c.as_string_view().data_buffers(), &mut seen),
            DataType::BinaryView => views(c.len(), c.as_binary_view().data_buffers(), &mut seen),
            _ => c.get_buffer_memory_size(),
        };
    }
    total
}
