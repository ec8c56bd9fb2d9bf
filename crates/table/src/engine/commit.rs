//! Group commit: whoever comes while a group is being synced joins the next one.
//!
//! There is no committer thread. A writer queues its frame and takes the committer's lock; the one that gets it writes
//! everything queued, syncs once, makes the rows visible, and tells the others, who find their result when the lock
//! comes to them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::RecordBatch;
use base::{Error, Result};
use bytes::Bytes;
use parking_lot::Mutex;

use super::Engine;
use crate::generation::Generation;
use crate::ingest::Origin;
use crate::{frame, limits};

/// Decoded rows of one table, their memory reserved.
#[derive(Clone)]
pub(crate) struct Rows {
    pub table: usize,
    pub batch: RecordBatch,
    pub bytes: usize,
}

/// One writer's frame and rows on their way in.
pub(crate) struct Submission {
    header: Vec<u8>,
    body: Bytes,
    rows: Vec<Rows>,
    generation: Arc<Generation>,
    origin: Option<Origin>,
    result: Mutex<Option<Result<()>>>,
}

impl Submission {
    pub fn new(header: Vec<u8>, body: Bytes, rows: Vec<Rows>, generation: Arc<Generation>, origin: Option<Origin>) -> Self {
        Submission { header, body, rows, generation, origin, result: Mutex::new(None) }
    }
    fn len(&self) -> usize {
        self.header.len() + self.body.len()
    }
}

/// Owns the WAL's write end.
pub(crate) struct Committer {
    pub wal: Option<wal::Wal>,
}

impl Committer {
    pub fn wal(&mut self) -> Result<&mut wal::Wal> {
        self.wal.as_mut().ok_or_else(|| Error::unavailable("the log is closed: the server is stopping"))
    }
    pub fn close(&mut self) -> Result<()> {
        self.wal.take().map_or(Ok(()), wal::Wal::close)
    }
}

impl Engine {
    /// Returns when the submission is durable and visible, or was not written.
    pub(super) fn commit(&self, submission: &Arc<Submission>) -> Result<()> {
        self.queue.lock().push_back(submission.clone());
        loop {
            let mut committer = self.committer.lock();
            if let Some(result) = submission.result.lock().take() {
                return result;
            }
            let group = self.next_group();
            let result = self.write_group(&mut committer, &group);
            for s in &group {
                *s.result.lock() = Some(result.clone());
            }
            if result.is_ok() {
                self.seal_if_full(&mut committer);
            }
        }
    }

    fn next_group(&self) -> Vec<Arc<Submission>> {
        let mut queue = self.queue.lock();
        let mut bytes = 0;
        let mut group = vec![];
        while let Some(s) = queue.front() {
            if !group.is_empty() && (bytes + s.len() > limits::GROUP_BYTES || group.len() >= limits::GROUP_FRAMES) {
                break;
            }
            bytes += s.len();
            group.extend(queue.pop_front());
        }
        group
    }

    fn write_group(&self, committer: &mut Committer, group: &[Arc<Submission>]) -> Result<()> {
        let generation = self.current();
        // Rows decoded before a seal are renumbered before anything is written: after it nothing may fail.
        let mut adopted = Vec::with_capacity(group.len());
        for s in group {
            let mut rows = s.rows.clone();
            if s.generation.id != generation.id {
                for r in &mut rows {
                    r.batch = generation.adopt(&s.generation, r.table, r.batch.clone())?;
                }
            }
            adopted.push(rows);
        }
        let wal = committer.wal()?;
        let mut written = 0;
        for s in group {
            if let Err(e) = wal.append(frame::PUSH, &[&s.header, &s.body]) {
                wal.abandon();
                return Err(e);
            }
            written += s.len() as u64;
        }
        if let Err(e) = wal.sync() {
            self.stats.sync_failures.fetch_add(1, Ordering::Relaxed);
            return Err(e);
        }
        generation.upto.store(wal.next_seq(), Ordering::Release);
        generation.wal_bytes.fetch_add(written, Ordering::AcqRel);
        self.stats.wal_syncs.fetch_add(1, Ordering::Relaxed);
        self.stats.wal_frames.fetch_add(group.len() as u64, Ordering::Relaxed);
        self.stats.wal_bytes.fetch_add(written, Ordering::Relaxed);
        for (s, rows) in group.iter().zip(adopted) {
            self.show(&generation, rows);
            self.note_position(s.origin.as_ref());
        }
        Ok(())
    }

    /// Makes durable rows visible.
    pub(super) fn show(&self, generation: &Generation, rows: Vec<Rows>) {
        let _ = generation.since_ns.compare_exchange(0, self.clock.now_ns().max(1) as u64, Ordering::AcqRel, Ordering::Relaxed);
        for r in rows {
            self.stats.rows[r.table].fetch_add(r.batch.num_rows() as u64, Ordering::Relaxed);
            if generation.append(r.table, r.batch, r.bytes) >= self.settings.freeze_bytes {
                self.bell.freeze();
            }
        }
    }

    /// Remembers where a source stands. An empty position means that the source is gone for good.
    pub(super) fn note_position(&self, origin: Option<&Origin>) {
        let Some(o) = origin else { return };
        let mut positions = self.positions.lock();
        if o.position.is_empty() {
            positions.remove(&o.source);
        } else {
            positions.insert(o.source.clone(), o.position.clone());
        }
    }

    fn seal_if_full(&self, committer: &mut Committer) {
        let g = self.current();
        // Every run repeats its series: with very many of them, runs had better be larger.
        let full = self.settings.generation_bytes.max((g.registries_bytes() / 2).min(self.settings.memtable_limit / 2));
        if g.wal_bytes.load(Ordering::Acquire) >= self.settings.generation_wal_bytes || g.rows_bytes() >= full {
            // A failure here is the disk's; the rows are safe where they are and the next group tries again.
            if let Err(e) = self.seal_locked(committer) {
                tracing::warn!(error = %e, "could not seal the memtable, trying again with the next write");
            }
        }
    }

    /// Seals the generation that takes rows, so that it can be flushed. One without rows only forgets the series that bodies have named
    /// which were then refused: they would be in the way of others for ever.
    pub fn seal(&self) -> Result<()> {
        self.seal_locked(&mut self.committer.lock())
    }

    fn seal_locked(&self, committer: &mut Committer) -> Result<()> {
        let old = self.current();
        let follow = |from| Generation::new(old.id + 1, from, &self.tables, self.budget.clone(), self.settings.freeze_bytes, Some(&old));
        if old.is_empty() {
            if old.registries_bytes() > 0 {
                let mut live = self.live.write();
                live.generations.retain(|g| g.id != old.id);
                live.generations.push(follow(old.from));
            }
            return Ok(());
        }
        let next = match committer.wal.as_mut() {
            Some(wal) => wal.rotate()?,
            None => old.upto.load(Ordering::Acquire),
        };
        self.sealed_positions.lock().insert(old.id, self.positions.lock().clone());
        self.live.write().generations.push(follow(next));
        self.bell.flush();
        Ok(())
    }
}
