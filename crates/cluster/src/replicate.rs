//! Writing to as many nodes as a row is promised to be on (promise P1).
//!
//! The node that received a body keeps a copy itself and sends it on, as received; where no limit may refuse any of it, before it
//! looks into it, so that both nodes decode at the same time. Whoever fails or is slow is replaced by
//! the next member before the writer is answered. What ends with fewer copies than promised is acknowledged only after
//! a holder bears the alone mark, so that no answer is called whole while that holder is silent (P6).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::{Clock, Error, Kind, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use table::{Admission, Engine, FrameHeader, Ingested};

use crate::limits;
use crate::membership::{Membership, Peer, State};
use crate::settings::{Degraded, Timing};
use crate::transport::{Answers, Method, NodeId, Transport, is_unreachable};

/// What replication tells about itself.
#[derive(Default)]
pub(crate) struct Counters {
    pub acknowledged: AtomicU64,
    pub degraded: AtomicU64,
    pub degraded_bytes: AtomicU64,
    pub refused: AtomicU64,
    pub copies_sent: AtomicU64,
    pub copies_failed: AtomicU64,
    pub replaced: AtomicU64,
    pub own_failed: AtomicU64,
    /// Requests whose rows this node came to hold alone so far. Locked while the mark is set or taken away.
    pub alone_writes: Mutex<u64>,
}

/// The answer to a copy: how many rows of it were taken.
pub(crate) fn kept(rows: u64) -> Bytes {
    Bytes::copy_from_slice(&rows.to_le_bytes())
}

/// The parts of a node that a write needs.
pub(crate) struct Replicator<'a> {
    pub engine: &'a Engine,
    pub membership: &'a Membership,
    pub transport: &'a dyn Transport,
    pub clock: &'a Clock,
    pub counters: &'a Counters,
}

/// Copies of one body under way.
struct Sending<'a> {
    r: &'a Replicator<'a>,
    copy: Bytes,
    /// Rows that this node took from the body, and that a holder must have taken.
    rows: u64,
    next: std::vec::IntoIter<Peer>,
    answers: Answers<NodeId>,
    began_ns: i64,
    outstanding: Vec<NodeId>,
    holders: Vec<NodeId>,
    problems: Vec<String>,
    /// This node has tried to take the alone mark already.
    marked: bool,
}

impl Replicator<'_> {
    /// Stores a received body on `replication` nodes, or on as many as there are; see [`Engine::ingest`]. An error promises
    /// nothing.
    pub fn write(&self, header: FrameHeader, body: Bytes, admission: Option<&dyn Admission>) -> Result<Ingested> {
        let settings = self.membership.settings();
        if self.membership.state() != State::Active {
            return Err(Error::unavailable("this node is joining or leaving the cluster: send to another one"));
        }
        if settings.replication < 2 {
            return self.engine.ingest(header, body, admission);
        }
        self.membership.introduce()?;
        let as_received = admission.is_none_or(|a| !a.may_refuse());
        let mut sending = Sending::new(self, header.placement());
        if as_received {
            sending.begin(header.copy(&body));
        }
        let prepared = self.engine.prepare(header, body, admission)?;
        if prepared.is_empty() {
            return Ok(prepared.done().clone());
        }
        if !as_received {
            sending.begin(prepared.copy());
        }
        let done = prepared.done().clone();
        let own = self.engine.store(prepared).map(|_| ());
        if let Err(e) = &own {
            self.counters.own_failed.fetch_add(1, Ordering::Relaxed);
            sending.problems.push(format!("this node: {e}"));
            sending.send_one();
        }
        sending.rows = done.rows;
        sending.gather(settings.replication - usize::from(own.is_ok()), own.is_ok() && settings.degraded == Degraded::Accept);
        self.conclude(own, sending).map(|()| done)
    }

    fn conclude(&self, own: Result<()>, sending: Sending<'_>) -> Result<()> {
        let settings = self.membership.settings();
        let copies = sending.holders.len() + usize::from(own.is_ok());
        if copies >= settings.replication {
            self.counters.acknowledged.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let why = sending.problems.join("; ");
        if copies == 0 || settings.degraded == Degraded::Refuse {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return Err(match own {
                Err(e) if copies == 0 => e,
                _ => Error::unavailable(format!("{copies} of {} nodes could take it: {why}", settings.replication)),
            });
        }
        match (own, sending.holders.first()) {
            (Ok(()), _) => self.mark_alone()?,
            (Err(e), Some(holder)) => self.mark_other(*holder, &settings.timing).map_err(|m| m.context(e.message()))?,
            (Err(e), None) => return Err(e),
        }
        self.counters.degraded.fetch_add(1, Ordering::Relaxed);
        self.counters.degraded_bytes.fetch_add(sending.copy.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// This node holds a stored row alone: when it returns, it bears the mark.
    pub fn mark_alone(&self) -> Result<()> {
        let mut writes = self.counters.alone_writes.lock();
        *writes += 1;
        if self.membership.mark_alone()? {
            tracing::warn!("rows are kept on this node alone until another node or the object store has them");
        }
        Ok(())
    }

    /// Takes the mark away if nothing came to be held alone since `writes` were counted; to be called when all rows stored then
    /// are in the object store.
    pub fn clear_alone(&self, writes: u64) -> Result<()> {
        let now = self.counters.alone_writes.lock();
        if *now == writes { self.membership.clear_alone() } else { Ok(()) }
    }

    /// Another node is the only one that could keep a row: it must bear the mark, and say so, before the row is acknowledged.
    fn mark_other(&self, holder: NodeId, timing: &Timing) -> Result<()> {
        let gone = || Error::unavailable("the only node that kept a copy is gone");
        let peer = self.membership.others().into_iter().find(|p| p.id == holder).ok_or_else(gone)?;
        let answers = Answers::default();
        // The holder tells the others first, for each of whom it has patience.
        self.transport.call(&peer.address, Method::Alone, Bytes::new(), timing.patience * 2, answers.of(()));
        answers.next(timing.patience * 3).map_or_else(|| Err(gone()), |((), result)| result.map(|_| ()))
    }
}

impl<'a> Sending<'a> {
    fn new(r: &'a Replicator<'a>, placement: u64) -> Self {
        Sending {
            r,
            copy: Bytes::new(),
            rows: 0,
            next: r.membership.takers(placement).into_iter(),
            answers: Answers::default(),
            began_ns: 0,
            outstanding: vec![],
            holders: vec![],
            problems: vec![],
            marked: false,
        }
    }

    /// Sends to as many as shall hold a copy beside this node.
    fn begin(&mut self, copy: Bytes) {
        self.copy = copy;
        self.began_ns = self.r.clock.elapsed_ns();
        (1..self.r.membership.settings().replication).for_each(|_| self.send_one());
    }

    /// Sends the copy to the next member that could take it, if there is one.
    fn send_one(&mut self) {
        let Some(peer) = self.next.next() else { return };
        self.outstanding.push(peer.id);
        self.r.counters.copies_sent.fetch_add(1, Ordering::Relaxed);
        let patience = self.r.membership.settings().timing.patience;
        self.r.transport.call(&peer.address, Method::Append, self.copy.clone(), patience, self.answers.of(peer.id));
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos((self.r.clock.elapsed_ns() - self.began_ns).max(0) as u64)
    }

    /// Waits until `need` others hold the copy, nobody is left to ask, or patience ends. With `may_be_alone` this node takes the alone mark
    /// before that, when nobody is left to send to: whoever hangs has to be waited for with the mark as well, and a client shall not wait
    /// for both one after the other.
    fn gather(&mut self, need: usize, may_be_alone: bool) {
        let timing = self.r.membership.settings().timing;
        let mut hedges = 1;
        while self.holders.len() < need && !self.outstanding.is_empty() {
            let elapsed = self.elapsed();
            let left = timing.patience.saturating_sub(elapsed);
            match self.answers.next((timing.hedge * hedges).saturating_sub(elapsed).min(left)) {
                Some((id, answer)) => {
                    self.outstanding.retain(|o| *o != id);
                    match answer.and_then(|kept| self.check(&kept)) {
                        Ok(()) => {
                            self.holders.push(id);
                            self.r.membership.praise(id);
                        }
                        Err(e) => self.failed(id, &e),
                    }
                }
                None if self.elapsed() < timing.patience => {
                    hedges += 1;
                    if !self.replace() && may_be_alone && hedges > limits::ALONE_AFTER_HEDGES && !std::mem::replace(&mut self.marked, true)
                    {
                        // If it fails now, it is tried once more before the row is acknowledged.
                        let _ = self.r.mark_alone();
                    }
                }
                None => break,
            }
        }
        if self.holders.len() < need {
            // The next writer shall not wait for them, too.
            let late = Error::new(Kind::Timeout, "no answer in time");
            std::mem::take(&mut self.outstanding).into_iter().for_each(|id| self.note(id, &late));
        }
    }

    /// Whether the holder of a copy has all rows of it: one of another release may read a body otherwise.
    fn check(&self, kept: &[u8]) -> Result<()> {
        let kept = kept.try_into().map(u64::from_le_bytes).map_err(|_| Error::internal("its answer to a copy is not understood here"))?;
        if kept < self.rows {
            return Err(Error::internal(format!("it took {kept} of {} rows: run the same release on all nodes", self.rows)));
        }
        Ok(())
    }

    /// Sends to the next member instead of one that is late or failed; false if there is none.
    fn replace(&mut self) -> bool {
        let before = self.outstanding.len();
        self.send_one();
        let sent = self.outstanding.len() > before;
        self.r.counters.replaced.fetch_add(u64::from(sent), Ordering::Relaxed);
        sent
    }

    fn failed(&mut self, id: NodeId, e: &Error) {
        self.note(id, e);
        self.replace();
    }

    fn note(&mut self, id: NodeId, e: &Error) {
        self.r.counters.copies_failed.fetch_add(1, Ordering::Relaxed);
        self.problems.push(format!("{id}: {e}"));
        if is_unreachable(e) {
            self.r.membership.suspect(id);
        }
        // One that is not there any more comes back with its next hello; one that was slow or full is given a rest.
        if e.kind() != Kind::Unavailable || e.retry_hint().is_some() {
            self.r.membership.avoid(id);
        }
    }
}
