//! The answering side: this node's unmerged rows for another node.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{RecordBatch, UInt32Array};
use base::{Error, Labels, Result};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use table::{Cancel, Engine, ScanRequest};

use super::message::{End, Head, Kind, close, encode_listing, encode_series};
use super::request::Asked;
use super::stats::Counters;
use super::{request, rows};
use crate::limits;
use crate::transport::NodeId;

/// Answers scans of other nodes.
pub struct Answering {
    me: NodeId,
    engine: Arc<Engine>,
    counters: Arc<Counters>,
    slots: Slots,
    open: AtomicUsize,
}

/// Where messages go.
type Send<'a> = &'a mut dyn FnMut(Bytes) -> Result<()>;

impl Answering {
    /// Computes for at most `slots` other nodes' scans at a time; those that wait for their asker take no slot.
    pub fn new(me: NodeId, engine: Arc<Engine>, counters: Arc<Counters>, slots: usize) -> Self {
        Answering {
            me,
            engine,
            counters,
            slots: Slots { free: Mutex::new(slots.max(1)), freed: Condvar::new() },
            open: AtomicUsize::new(0),
        }
    }

    fn asked(&self, body: &[u8]) -> Result<Asked> {
        let asked = request::decode(body, self.engine.tables())?;
        if asked.whom != self.me {
            return Err(Error::unavailable(format!("{} does not answer here any more, this is {}", asked.whom, self.me)));
        }
        self.counters.answered.fetch_add(1, Ordering::Relaxed);
        Ok(asked)
    }

    /// Answers `Method::Scan`.
    pub fn scan(&self, body: &[u8], cancel: &Cancel, send: Send<'_>) -> Result<()> {
        let asked = self.asked(body)?;
        let _open = Open::new(&self.open)?;
        let mut out = Out { send, counters: &self.counters, told: Instant::now() };
        // At once: a node that is there is told from one that is not, however long the work takes.
        out.send(close(Kind::Working, &[]))?;
        let scan = ScanRequest { cancel: cancel.clone(), ..asked.scan };
        let slot = self.slots.take(cancel, &mut out)?;
        let stream = self.engine.scan_unmerged(&scan)?;
        // After the snapshot: rows that are not in it because they moved are in blocks that are named here.
        let commits = self.engine.commits_since(asked.known);
        let mut batches = stream.batches;
        let mut first = vec![];
        let ended = look_ahead(&mut batches, &mut first, &mut out)?;
        drop(slot);
        let series = if ended { only_used(&mut first, &stream.series)? } else { stream.series.to_vec() };
        out.send(Head { series: series.len() as u32, commits }.encode())?;
        encode_series(&series, &mut |m| out.send(m))?;
        let mut sent = 0;
        for b in first {
            sent += b.num_rows() as u64;
            rows::encode(&b, &mut |m| out.send(m))?;
        }
        if !ended {
            sent += self.rest(&mut *batches, cancel, &mut out)?;
        }
        out.send(End { rows: sent, lacks: scan.missing.notes() }.encode())
    }

    /// Sends what is left, and takes a slot for the work but not for the waiting. Returns the rows.
    fn rest(&self, batches: &mut dyn Iterator<Item = Result<RecordBatch>>, cancel: &Cancel, out: &mut Out<'_>) -> Result<u64> {
        let mut sent = 0;
        loop {
            let slot = self.slots.take(cancel, out)?;
            let Some(b) = batches.next().transpose()? else { return Ok(sent) };
            let mut messages = vec![];
            if b.num_rows() > 0 {
                rows::encode(&b, &mut |m| {
                    messages.push(m);
                    Ok(())
                })?;
            }
            drop(slot);
            sent += b.num_rows() as u64;
            messages.into_iter().try_for_each(|m| out.send(m))?;
            out.tick()?;
        }
    }

    /// Answers `Method::Series`.
    pub fn series(&self, body: &[u8]) -> Result<Bytes> {
        let asked = self.asked(body)?;
        let series = self.engine.series_unmerged(&asked.scan)?;
        let listing = encode_listing(&self.engine.commits_since(asked.known), &series)?;
        self.counters.sent.fetch_add(listing.len() as u64, Ordering::Relaxed);
        Ok(listing)
    }
}

/// The asker's end of an answer.
struct Out<'a> {
    send: Send<'a>,
    counters: &'a Counters,
    told: Instant,
}

impl Out<'_> {
    fn send(&mut self, m: Bytes) -> Result<()> {
        self.counters.sent.fetch_add(m.len() as u64, Ordering::Relaxed);
        (self.send)(m)?;
        self.told = Instant::now();
        Ok(())
    }
    /// Says that the work goes on, if nothing has been said for a while.
    fn tick(&mut self) -> Result<()> {
        if self.told.elapsed() >= limits::WORKING_EVERY { self.send(close(Kind::Working, &[])) } else { Ok(()) }
    }
}

/// Reads rows as long as they are few. True if these are all: then only the series that they are of need be announced, which is
/// what makes the answer to a question for one row a small one.
fn look_ahead(batches: &mut dyn Iterator<Item = Result<RecordBatch>>, first: &mut Vec<RecordBatch>, out: &mut Out<'_>) -> Result<bool> {
    let mut found = 0;
    for _ in 0..limits::LOOK_AHEAD_BATCHES {
        let Some(b) = batches.next().transpose()? else { return Ok(true) };
        found += b.num_rows();
        if b.num_rows() > 0 {
            first.push(b);
        }
        if found > limits::LOOK_AHEAD_ROWS {
            break;
        }
        out.tick()?;
    }
    Ok(false)
}

/// Renumbers the series of `batches` to those that occur.
fn only_used(batches: &mut [RecordBatch], series: &[Labels]) -> Result<Vec<Labels>> {
    let numbers = |b: &RecordBatch| b.column(0).as_primitive::<UInt32Type>().values().clone();
    let mut new = vec![u32::MAX; series.len()];
    batches.iter().for_each(|b| numbers(b).iter().for_each(|n| new[*n as usize] = 0));
    let mut used = vec![];
    for (n, labels) in new.iter_mut().zip(series).filter(|(n, _)| **n == 0) {
        *n = used.len() as u32;
        used.push(labels.clone());
    }
    for b in batches {
        let mut columns = b.columns().to_vec();
        columns[0] = Arc::new(numbers(b).iter().map(|n| new[*n as usize]).collect::<UInt32Array>());
        *b = RecordBatch::try_new(b.schema(), columns).map_err(|e| Error::internal(e.to_string()))?;
    }
    Ok(used)
}

/// Counts open scans.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn new(open: &'a AtomicUsize) -> Result<Self> {
        let guard = Open(open);
        if open.fetch_add(1, Ordering::Relaxed) >= limits::OPEN_SCANS {
            return Err(Error::unavailable("this node answers too many scans of other nodes"));
        }
        Ok(guard)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// So many may compute at a time.
struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

struct Slot<'a>(&'a Slots);

impl Slots {
    fn take(&self, cancel: &Cancel, out: &mut Out<'_>) -> Result<Slot<'_>> {
        loop {
            cancel.check()?;
            if let Some(slot) = self.within(limits::WORKING_EVERY) {
                return Ok(slot);
            }
            out.tick()?;
        }
    }

    fn within(&self, wait: Duration) -> Option<Slot<'_>> {
        let mut free = self.free.lock();
        if *free == 0 {
            self.freed.wait_for(&mut free, wait);
        }
        *free = free.checked_sub(1)?;
        Some(Slot(self))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}
