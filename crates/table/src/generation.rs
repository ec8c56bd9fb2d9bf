//! A memtable generation: the rows of one stretch of the WAL, in memory.
//!
//! Rows arrive as record batches and are kept as they are (the head). When a table's head has grown, it is frozen into a
//! sorted, encoded part. A generation that is sealed takes no more rows; it is flushed as one run and then its
//! stretch of the WAL may go. At any instant each row is in exactly one of head, freezing and parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field};
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
    /// Each with the bytes it takes.
    head: Vec<(RecordBatch, usize)>,
    head_bytes: usize,
    small: usize,
    /// Batches that were in the head and are not yet in a part.
    freezing: Vec<RecordBatch>,
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
    /// Bytes of the rows that are frozen into one part, about.
    part_bytes: usize,
}

impl Generation {
    /// An empty generation that begins at WAL position `from` and goes on with the series of the one `before`.
    pub fn new(
        id: u64,
        from: u64,
        tables: &[&'static TableSpec],
        budget: Arc<MemoryBudget>,
        part_bytes: usize,
        before: Option<&Generation>,
    ) -> Arc<Self> {
        let registry = |t: usize| before.map_or_else(Registry::default, |g| Registry::after(&g.tables[t].registry));
        let table = |(t, &spec)| TableMem { spec, registry: Arc::new(registry(t)), state: Mutex::default(), freezing: Mutex::default() };
        let tables = tables.iter().enumerate().map(table).collect();
        Arc::new(Generation {
            id,
            tables,
            upto: AtomicU64::new(from),
            from,
            wal_bytes: AtomicU64::new(0),
            since_ns: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            budget,
            part_bytes,
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
        s.head.push((batch, bytes));
        if s.small >= limits::HEAD_SMALL_BATCHES {
            let tail = s.head.len() - s.small;
            let (small, bytes): (Vec<RecordBatch>, Vec<usize>) = s.head[tail..].iter().cloned().unzip();
            if let Ok(joined) = sorted::join(t.spec.schema(), &small) {
                s.head.truncate(tail);
                s.head.push((joined, bytes.iter().sum()));
            }
            s.small = 0;
        }
        s.head_bytes
    }

    /// Freezes a table's head, part by part, as long as it holds at least `min_bytes`. True if there was something to freeze.
    /// One thread at a time: after `freeze(table, 0)` on a sealed generation all its rows are in parts.
    pub fn freeze(&self, table: usize, min_bytes: usize) -> Result<bool> {
        let _one = self.tables[table].freezing.lock();
        let mut any = false;
        while self.freeze_part(table, min_bytes)? {
            any = true;
        }
        Ok(any)
    }

    /// Freezes the oldest rows of the head: not more than a part's, because freezing takes memory in proportion, and a head that
    /// had to wait may be large.
    fn freeze_part(&self, table: usize, min_bytes: usize) -> Result<bool> {
        let t = &self.tables[table];
        let (taken, batches, bytes) = {
            let mut s = t.state.lock();
            if s.head.is_empty() || s.head_bytes < min_bytes {
                return Ok(false);
            }
            let (n, bytes) = oldest(&s.head, self.part_bytes);
            let taken: Vec<(RecordBatch, usize)> = s.head.drain(..n).collect();
            let batches: Vec<RecordBatch> = taken.iter().map(|b| b.0.clone()).collect();
            s.freezing.clone_from(&batches);
            s.small = s.small.min(s.head.len());
            s.head_bytes -= bytes;
            (taken, batches, bytes)
        };
        let part = sorted::freeze(t.spec, &batches, &*t.registry);
        let mut s = t.state.lock();
        s.freezing.clear();
        match part {
            Ok(part) => {
                let new = part.bytes();
                s.parts.push(Arc::new(part));
                drop(s);
                drop((batches, taken));
                self.held.fetch_add(new, Ordering::AcqRel);
                self.budget.force_rows(new);
                self.held.fetch_sub(bytes, Ordering::AcqRel);
                self.budget.free_rows(bytes);
                Ok(true)
            }
            Err(e) => {
                // Nothing is lost: the rows stay in the head, and in the WAL.
                s.head_bytes += bytes;
                s.head.splice(0..0, taken);
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
        if !s.freezing.is_empty() {
            out.push(rows(s.freezing.clone()));
        }
        if !s.head.is_empty() {
            out.push(rows(s.head.iter().map(|b| b.0.clone()).collect()));
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

/// The oldest batches that together take `bytes`, or all if little more would be left: how many, and what they take.
fn oldest(head: &[(RecordBatch, usize)], bytes: usize) -> (usize, usize) {
    let all: usize = head.iter().map(|b| b.1).sum();
    let (mut n, mut sum) = (0, 0);
    while n < head.len() && (sum < bytes || all - sum < bytes / 2) {
        sum += head[n].1;
        n += 1;
    }
    (n, sum)
}

/// A batch as it is kept, and the bytes of memory it keeps alive: each buffer once, however many columns look into it.
/// Columns without any value are kept as one for all.
pub fn kept(batch: &RecordBatch) -> (RecordBatch, usize) {
    let blank = |(c, f): (&ArrayRef, &Arc<Field>)| {
        let is_blank = f.is_nullable() && sorted::is_blank(c) && c.len() <= sorted::BLANK_ROWS;
        if is_blank { sorted::blank(f.data_type(), c.len()) } else { c.clone() }
    };
    let columns = batch.columns().iter().zip(batch.schema_ref().fields()).map(blank).collect();
    let batch = RecordBatch::try_new(batch.schema(), columns).expect("columns of the same types and lengths, nulls where there were nulls");
    let bytes = batch_bytes(&batch);
    (batch, bytes)
}

fn batch_bytes(batch: &RecordBatch) -> usize {
    let mut seen: HashSet<*const u8> = HashSet::new();
    let mut total = 64 * batch.num_columns();
    for c in batch.columns().iter().filter(|c| c.len() > sorted::BLANK_ROWS || !sorted::is_blank(c)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sorted::SeriesKey;
    use crate::spec::{Column, ColumnType, Order, TimeUnit};
    use arrow_array::{BinaryViewArray, Int64Array};
    use base::{Labels, Tenant};

    static T: TableSpec = TableSpec {
        name: "t",
        rows: "rows",
        unit: TimeUnit::Ms,
        slice: 7_200_000,
        columns: &[Column::new("n", ColumnType::I64), Column::new("text", ColumnType::Bytes).nullable()],
        order: Order::Series(&[]),
        identity: &[],
        prefer: &[],
    };

    /// Rows of one series from time `from` on, as a codec makes them.
    fn rows(series: u32, from: i64, n: usize, text: Option<&[u8]>) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(vec![series; n])),
            Arc::new(Int64Array::from_iter_values(from..from + n as i64)),
            Arc::new(Int64Array::from_iter_values(from..from + n as i64)),
            Arc::new(BinaryViewArray::from_iter((0..n).map(|_| text))),
        ];
        RecordBatch::try_new(T.schema(), columns).unwrap()
    }

    #[test]
    fn a_column_without_values_takes_no_memory() {
        let (blank, bytes) = kept(&rows(0, 0, 1000, None));
        assert_eq!(blank, rows(0, 0, 1000, None));
        assert!((20_000..21_000).contains(&bytes), "{bytes}");
        let other = kept(&rows(0, 5, 10, None)).0;
        let views = |b: &RecordBatch| b.column(3).as_binary_view().views().as_ptr();
        assert_eq!(views(&blank), views(&other), "one array for all");
        let (_, with_text) = kept(&rows(0, 0, 1000, Some(b"abc")));
        assert!(with_text >= bytes + 16_000, "{with_text}");
        // What is too long to be shared is counted.
        let long = kept(&rows(0, 0, sorted::BLANK_ROWS + 1, None)).1;
        assert!(long > (sorted::BLANK_ROWS + 1) * 36, "{long}");
    }

    #[test]
    fn a_large_head_is_frozen_part_by_part() {
        let budget = MemoryBudget::new(1 << 30, 0, 0, 0);
        let g = Generation::new(1, 0, &[&T], budget.clone(), 100_000, None);
        let key = SeriesKey { tenant: Tenant::default(), labels: Labels::from_pairs([("a", "b")]).unwrap() };
        let series = g.tables[0].registry.intern(None, key);
        for i in 0..100 {
            let (batch, bytes) = kept(&rows(series, i * 500, 500, None));
            assert!(budget.try_rows(bytes));
            g.append(0, batch, bytes);
        }
        let head = g.rows_bytes();
        assert!(head > 1_000_000);
        assert!(g.freeze(0, 200_000).unwrap());
        let parts = g.parts(0);
        assert!((9..=12).contains(&parts.len()) && parts.iter().all(|p| p.rows() <= 5500), "{}", parts.len());
        assert!(!g.freeze(0, 200_000).unwrap(), "less is left");
        assert!(g.freeze(0, 0).unwrap());
        let all = g.parts(0);
        assert_eq!(all.iter().map(|p| p.rows()).sum::<u64>(), 50_000);
        assert!(all.iter().all(|p| p.rows() > 2000), "no small rest");
        let mut left = vec![];
        g.sources(0, &mut left);
        assert!(left.len() == all.len() && g.rows_bytes() == budget.rows() && g.rows_bytes() < head / 3);
        drop(g);
        assert_eq!(budget.rows(), 0);
    }

    #[test]
    fn joined_small_batches_stay_blank() {
        let g = Generation::new(1, 0, &[&T], MemoryBudget::new(1 << 30, 0, 0, 0), 1 << 20, None);
        for i in 0..limits::HEAD_SMALL_BATCHES as i64 + 1 {
            let (batch, bytes) = kept(&rows(0, i * 10, 10, None));
            g.append(0, batch, bytes);
        }
        let mut out = vec![];
        g.sources(0, &mut out);
        let Some(Source::Rows { batches, .. }) = out.pop() else { panic!() };
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2560, 10]);
        let views = |b: &RecordBatch| b.column(3).as_binary_view().views().as_ptr();
        assert_eq!(views(&batches[0]), views(&batches[1]));
    }
}
