//! One memory budget for the process: what the memtable, bodies on their way into it, and queries may take (promise P10).

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::{Error, Kind, Result, units::format_size};
use parking_lot::{Condvar, Mutex};

use crate::limits;
use crate::sorted::Budget;

/// Bytes in use against their bounds.
pub struct MemoryBudget {
    memtable_limit: usize,
    memtable: AtomicUsize,
    bodies_limit: usize,
    bodies: AtomicUsize,
    queries_limit: usize,
    query_limit: usize,
    queries: AtomicUsize,
    lock: Mutex<()>,
    freed: Condvar,
}

impl MemoryBudget {
    /// Bounds in bytes: rows in memory, bodies that are being unpacked, all queries together, one query.
    pub fn new(memtable_limit: usize, bodies_limit: usize, queries_limit: usize, query_limit: usize) -> Arc<Self> {
        Arc::new(MemoryBudget {
            memtable_limit,
            memtable: AtomicUsize::new(0),
            bodies_limit,
            bodies: AtomicUsize::new(0),
            queries_limit,
            query_limit,
            queries: AtomicUsize::new(0),
            lock: Mutex::new(()),
            freed: Condvar::new(),
        })
    }

    /// Takes room for rows, if there is any. One batch is always let in when nothing else is there.
    pub fn try_rows(&self, bytes: usize) -> bool {
        try_take(&self.memtable, bytes, self.memtable_limit)
    }
    /// Takes room for a body that is going to be unpacked, if there is any. One is always let in when no other is there.
    pub fn try_body(self: &Arc<Self>, bytes: usize) -> Option<BodyRoom> {
        try_take(&self.bodies, bytes, self.bodies_limit).then(|| BodyRoom { all: self.clone(), bytes })
    }
    /// Takes room for rows that are already accepted.
    pub fn force_rows(&self, bytes: usize) {
        self.memtable.fetch_add(bytes, Ordering::AcqRel);
    }
    /// Gives room for rows back.
    pub fn free_rows(&self, bytes: usize) {
        self.memtable.fetch_sub(bytes, Ordering::AcqRel);
        self.notify();
    }
    fn notify(&self) {
        let _order = self.lock.lock();
        self.freed.notify_all();
    }
    /// Waits until something is given back, or `at_most`.
    pub fn wait_freed(&self, at_most: Duration) {
        self.freed.wait_for(&mut self.lock.lock(), at_most);
    }
    /// Bytes of rows in memory.
    pub fn rows(&self) -> usize {
        self.memtable.load(Ordering::Relaxed)
    }
    /// Bytes that bodies may become which are being unpacked.
    pub fn bodies(&self) -> usize {
        self.bodies.load(Ordering::Relaxed)
    }
    /// Bytes that queries hold.
    pub fn queries(&self) -> usize {
        self.queries.load(Ordering::Relaxed)
    }
    /// A new query's share.
    pub fn query(self: &Arc<Self>) -> QueryBudget {
        QueryBudget { all: self.clone(), mine: AtomicUsize::new(0) }
    }
}

fn try_take(used: &AtomicUsize, bytes: usize, limit: usize) -> bool {
    let more = |used: usize| (used == 0 || used.saturating_add(bytes) <= limit).then(|| used.saturating_add(bytes));
    used.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
}

/// Room for a body that is unpacked; given back when it is dropped.
pub struct BodyRoom {
    all: Arc<MemoryBudget>,
    bytes: usize,
}

impl Drop for BodyRoom {
    fn drop(&mut self) {
        self.all.bodies.fetch_sub(self.bytes, Ordering::AcqRel);
        self.all.notify();
    }
}

/// The most that a query held at one time, as memory taken from a budget: what it gives back may still be there in another form, so
/// that nothing goes back before the budget is dropped.
pub struct Peak {
    memory: Option<Arc<dyn Budget>>,
    most: usize,
    taken: Cell<usize>,
}

impl Peak {
    /// At most `most` bytes of `memory`.
    pub fn new(memory: Option<Arc<dyn Budget>>, most: usize) -> Self {
        Peak { memory, most, taken: Cell::new(0) }
    }
    /// The query holds `bytes`. An error as [`Budget::reserve`] has it.
    pub fn holds(&self, bytes: usize) -> Result<()> {
        let taken = self.taken.get();
        if bytes > taken
            && let Some(memory) = &self.memory
        {
            let more = bytes.next_multiple_of(limits::QUERY_MEMORY_STEP).min(self.most).max(bytes) - taken;
            memory.reserve(more)?;
            self.taken.set(taken + more);
        }
        Ok(())
    }
}

/// What one query holds; given back when it is dropped.
pub struct QueryBudget {
    all: Arc<MemoryBudget>,
    mine: AtomicUsize,
}

impl Budget for QueryBudget {
    fn reserve(&self, bytes: usize) -> Result<()> {
        let mine = self.mine.fetch_add(bytes, Ordering::AcqRel) + bytes;
        let all = self.all.queries.fetch_add(bytes, Ordering::AcqRel) + bytes;
        if mine <= self.all.query_limit && all <= self.all.queries_limit {
            return Ok(());
        }
        self.release(bytes);
        let size = |bytes: usize| format_size(bytes as u64);
        if mine > self.all.query_limit {
            let most = size(self.all.query_limit);
            let text = format!(
                "the query needs more memory than one query may use ({most}): narrow the selector or the time range, or raise memory_limit"
            );
            return Err(Error::new(Kind::Unprocessable, text));
        }
        let most = size(self.all.queries_limit);
        Err(Error::unavailable(format!(
            "queries that run take all the memory there is for them ({most}): come again, or raise memory_limit"
        )))
    }
    fn release(&self, bytes: usize) {
        self.mine.fetch_sub(bytes, Ordering::AcqRel);
        self.all.queries.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl Drop for QueryBudget {
    fn drop(&mut self) {
        let left = self.mine.load(Ordering::Acquire);
        self.all.queries.fetch_sub(left, Ordering::AcqRel);
    }
}
