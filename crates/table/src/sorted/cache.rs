//! Indexes of files (footers, directories, series) that were read lately, kept while there is room.
//!
//! Each file has a slot for each of its two indexes; the cache knows the files whose slots are full, and the bytes in
//! all of them. When these pass the limit, the slots of files that were used longest ago are emptied, down to seven
//! eighths of it, so that not every load has to look for room. What a scan holds at the moment is passed over: taking
//! it out of its slot would free nothing, and the next reader would load it a second time. So the bytes are bounded by
//! the limit and what running scans hold.
//!
//! Files of the same series, as those of one day mostly are, share one table of them, which is counted once.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use base::Result;
use parking_lot::Mutex;

use super::data::DataFile;
use super::names::SeriesTable;

/// Bounds what the indexes of all files of an engine take. Shared by the files.
pub struct IndexCache {
    limit: usize,
    bytes: Arc<AtomicUsize>,
    evictions: AtomicU64,
    /// Goes on by one at each use of a file.
    ticks: AtomicU64,
    ids: AtomicU64,
    files: Mutex<HashMap<u64, Arc<Slots>>>,
    tables: Mutex<HashMap<SeriesFileId, Weak<CountedTable>>>,
}

/// Length and checksum of a series file. Files of the same series have the same; whether they are the same is looked at.
type SeriesFileId = (u64, u32);

/// The series of one file.
pub(super) struct FileSeries(Arc<CountedTable>);

/// A table of series, counted among the bytes of a cache as long as anyone has it.
struct CountedTable {
    table: SeriesTable,
    bytes: usize,
    total: Arc<AtomicUsize>,
}

/// The indexes of one file, where they are in memory.
#[derive(Default)]
pub(super) struct Slots {
    pub data: Slot<DataFile>,
    pub series: Slot<FileSeries>,
    used: AtomicU64,
}

/// Room for one index.
pub(super) type Slot<T> = Mutex<Option<Arc<T>>>;

/// What takes memory.
pub(super) trait Index {
    /// Memory that it takes for its file alone, bytes.
    fn bytes(&self) -> usize;
}

impl IndexCache {
    /// Keeps at most `limit` bytes of indexes that no scan holds.
    pub fn new(limit: usize) -> Arc<IndexCache> {
        Arc::new(IndexCache {
            limit,
            bytes: Arc::default(),
            evictions: AtomicU64::new(0),
            ticks: AtomicU64::new(0),
            ids: AtomicU64::new(0),
            files: Mutex::default(),
            tables: Mutex::default(),
        })
    }

    /// Bytes of all indexes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Indexes that had to go for others.
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// A number for one more file.
    pub(super) fn id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// What is in a slot of the file `id`, loaded if nothing is. One reader loads, others wait for it.
    pub(super) fn get<T: Index>(&self, id: u64, slots: &Arc<Slots>, slot: &Slot<T>, load: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        slots.used.store(self.ticks.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut found = slot.lock();
        if let Some(index) = &*found {
            return Ok(index.clone());
        }
        let index = Arc::new(load()?);
        self.bytes.fetch_add(index.bytes(), Ordering::Relaxed);
        *found = Some(index.clone());
        drop(found);
        self.files.lock().insert(id, slots.clone());
        self.trim();
        Ok(index)
    }

    /// The series of a file that was read: the table that another file of the same series has in memory, if there is one.
    pub(super) fn share(&self, id: SeriesFileId, table: SeriesTable) -> FileSeries {
        let known = self.tables.lock().get(&id).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.table == table) {
            return FileSeries(known);
        }
        let bytes = table.bytes();
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let table = Arc::new(CountedTable { table, bytes, total: self.bytes.clone() });
        let mut tables = self.tables.lock();
        tables.retain(|_, t| t.strong_count() > 0);
        tables.insert(id, Arc::downgrade(&table));
        FileSeries(table)
    }

    /// Makes room if the limit is passed. Called after each load, and now and then for what scans have let go since.
    pub fn trim(&self) {
        if self.bytes() > self.limit {
            self.make_room(&mut self.files.lock());
        }
    }

    /// Empties the slots of a file.
    pub(super) fn forget(&self, id: u64, slots: &Slots) {
        self.files.lock().remove(&id);
        let freed = empty(&mut slots.data.lock()) + empty(&mut slots.series.lock());
        self.bytes.fetch_sub(freed, Ordering::Relaxed);
    }

    fn make_room(&self, files: &mut HashMap<u64, Arc<Slots>>) {
        let mut oldest: Vec<(u64, u64)> = files.iter().map(|(id, s)| (s.used.load(Ordering::Relaxed), *id)).collect();
        oldest.sort_unstable();
        for (_, id) in oldest {
            if self.bytes() <= self.limit / 8 * 7 {
                return;
            }
            let slots = &files[&id];
            let freed = [empty_unused(&slots.data), empty_unused(&slots.series)];
            for bytes in freed.into_iter().flatten() {
                self.bytes.fetch_sub(bytes, Ordering::Relaxed);
                self.evictions.fetch_add(1, Ordering::Relaxed);
            }
            if slots.are_empty() {
                files.remove(&id);
            }
        }
    }
}

impl Slots {
    /// Whether nothing is in memory and nobody is loading it.
    fn are_empty(&self) -> bool {
        self.data.try_lock().is_some_and(|d| d.is_none()) && self.series.try_lock().is_some_and(|s| s.is_none())
    }

    /// Whether both indexes are in memory.
    pub fn are_full(&self) -> bool {
        self.data.lock().is_some() && self.series.lock().is_some()
    }
}

/// The bytes that were freed.
fn empty<T: Index>(slot: &mut Option<Arc<T>>) -> usize {
    slot.take().map_or(0, |index| index.bytes())
}

/// The same; none if the slot is empty, its index is in use, or it is being loaded.
fn empty_unused<T: Index>(slot: &Slot<T>) -> Option<usize> {
    let mut found = slot.try_lock()?;
    match &*found {
        Some(index) if Arc::strong_count(index) == 1 => Some(empty(&mut found)),
        _ => None,
    }
}

impl Index for DataFile {
    fn bytes(&self) -> usize {
        DataFile::bytes(self)
    }
}

impl Index for FileSeries {
    /// The table is counted on its own, for it may be that of other files as well.
    fn bytes(&self) -> usize {
        0
    }
}

impl FileSeries {
    /// No series.
    pub fn none() -> FileSeries {
        FileSeries(Arc::new(CountedTable { table: SeriesTable::empty(), bytes: 0, total: Arc::default() }))
    }

    /// Whether the other file has the same series under the same numbers.
    pub fn are_those_of(&self, other: &FileSeries) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for FileSeries {
    type Target = SeriesTable;

    fn deref(&self) -> &SeriesTable {
        &self.0.table
    }
}

impl Drop for CountedTable {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
