//! Writing groups: frames, acknowledgements, and the state at the beginning of each segment.

use std::sync::Arc;

use base::{Error, Kind, Result};
use parking_lot::Mutex;

use super::frame::{self, Head, Place, Prepared, Section, kind};
use super::index::{EndpointState, Index};
use super::ledger::Lost;
use super::state::encode_acks;
use super::{Core, STATE_FILE, Spool};
use crate::limits;

/// A batch that waits for its sync.
pub struct Ticket {
    prepared: Mutex<Option<Prepared>>,
    answer: Mutex<Option<Result<()>>>,
}

/// A frame of a group that has been appended and not synced yet.
pub struct Appended {
    pub seq: u64,
    pub head: Head,
    pub sections: Vec<Section<Vec<u8>>>,
    /// Endpoints that are done with it already: it was moved.
    pub done_by: Vec<String>,
}

impl Spool {
    /// Queues a batch, and returns when it is durable: by this thread or by one that came before it.
    pub(super) fn submit(&self, prepared: Prepared) -> Result<()> {
        let ticket = Arc::new(Ticket { prepared: Mutex::new(Some(prepared)), answer: Mutex::new(None) });
        self.queue.lock().push(ticket.clone());
        let mut core = self.core.lock();
        if let Some(answer) = ticket.answer.lock().take() {
            return answer;
        }
        let tickets = std::mem::take(&mut *self.queue.lock());
        let batch: Vec<Prepared> = tickets.iter().filter_map(|t| t.prepared.lock().take()).collect();
        let answers = self.commit(&mut core, batch);
        for (t, answer) in tickets.iter().zip(answers) {
            *t.answer.lock() = Some(answer);
        }
        drop(core);
        ticket.answer.lock().take().unwrap_or_else(|| Err(Error::internal("a batch was queued and not written")))
    }

    /// Makes room for a group, writes it and syncs it. One answer for each batch.
    fn commit(&self, core: &mut Core, mut batch: Vec<Prepared>) -> Vec<Result<()>> {
        let count = batch.len();
        // A source states its losses before it moves on, and making room may drop rows that come: both are written no later than the
        // batch with the new position.
        let room = self.make_room(core, &mut batch).and_then(|()| self.say_losses(core));
        self.index.lock().full = room.is_err();
        if let Err(e) = room {
            return (0..count).map(|_| Err(e.clone())).collect();
        }
        let bytes = batch.iter().map(Prepared::bytes).sum();
        let state = self.begin_segment(core, bytes);
        let mut appended = vec![];
        let mut answers: Vec<Result<()>> = vec![];
        for prepared in batch {
            answers.push(self.append(core, &mut appended, prepared));
        }
        if let Err(e) = self.sync(core, state, appended) {
            answers.iter_mut().filter(|a| a.is_ok()).for_each(|a| *a = Err(e.clone()));
        }
        answers
    }

    /// Adds a batch to the group.
    pub(super) fn append(&self, core: &mut Core, appended: &mut Vec<Appended>, p: Prepared) -> Result<()> {
        let known = self.index.lock().sources.get(&p.source).map_or(0, |s| s.rows);
        let in_group = appended.iter().filter(|a| a.head.source == p.source && !a.head.moved).map(|a| a.head.rows).sum::<u64>();
        let head = Head {
            received_ns: self.clock.now_ns(),
            rows_before: known + in_group,
            rows: p.rows(),
            moved: false,
            source: p.source,
            place: p.place,
            to: p.to,
        };
        self.append_frame(core, appended, head, p.sections, vec![])
    }

    /// Adds a frame to the group.
    pub(super) fn append_frame(
        &self,
        core: &mut Core,
        appended: &mut Vec<Appended>,
        head: Head,
        sections: Vec<Section<Vec<u8>>>,
        done_by: Vec<String>,
    ) -> Result<()> {
        let before = frame::encode(&head, &sections);
        let parts: Vec<&[u8]> = std::iter::once(&before[..]).chain(sections.iter().map(|s| &s.body[..])).collect();
        let seq = core.wal.append(kind::BATCH, &parts)?;
        appended.push(Appended { seq, head, sections, done_by });
        Ok(())
    }

    /// Begins a new segment if the present one has no room for `bytes`; the first frame of a segment is the state. Gives
    /// its number and bytes.
    pub(super) fn begin_segment(&self, core: &mut Core, bytes: u64) -> Option<(u64, Vec<u8>)> {
        let is_open = match core.wal.open_bytes() {
            Some(open) if open.saturating_add(bytes) <= self.settings.segment_bytes() => return None,
            open => open.is_some(),
        };
        let mut state = {
            let index = self.index.lock();
            // The state tells what is acknowledged, so it must not be ahead of the losses that go with that: the segment
            // grows a little beyond its size instead.
            if is_open && !index.unsaid.is_empty() {
                return None;
            }
            index.state(core.wal.next_seq())
        };
        if is_open {
            if let Err(e) = core.wal.rotate() {
                tracing::error!(error = %e, "the spool cannot begin a new segment");
            }
            state.seq = core.wal.next_seq();
        }
        let state = state.encode();
        match core.wal.append(kind::STATE, &[&state]) {
            Ok(seq) => Some((seq, state)),
            // Larger than a frame may be: then older segments stay, which is safe.
            Err(e) => {
                tracing::error!(error = %e, "the state of the spool cannot be written");
                None
            }
        }
    }

    /// Makes the group durable, with the acknowledgements that came meanwhile, and counts it.
    pub(super) fn sync(&self, core: &mut Core, state: Option<(u64, Vec<u8>)>, appended: Vec<Appended>) -> Result<()> {
        let acks = {
            let mut index = self.index.lock();
            // Rows that an endpoint refused for good are lost and acknowledged at once; written down are the losses first.
            if index.unsaid.is_empty() { std::mem::take(&mut index.dirty) } else { vec![] }
        };
        let written = self.append_acks(core, &acks).and_then(|()| core.wal.sync());
        let mut index = self.index.lock();
        if let Err(e) = written {
            // Those that came meanwhile come behind.
            index.dirty.splice(0..0, acks);
            return Err(e);
        }
        index.refresh(&core.wal.segments(), self.clock.elapsed_ns());
        for a in &appended {
            index.count(a);
        }
        index.next_seq = core.wal.next_seq();
        drop(index);
        self.news.notify_all();
        if let Some((seq, bytes)) = state {
            core.state_seq = seq;
            if let Err(e) = disk::write_durably(self.fs.as_ref(), &self.dir.join(STATE_FILE), &bytes) {
                tracing::warn!(error = %e, "the copy of the spool's state cannot be written now; the state itself is in the log");
            }
        }
        Ok(())
    }

    fn append_acks(&self, core: &mut Core, acks: &[(usize, u64, u64)]) -> Result<()> {
        if acks.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.index.lock().endpoints.iter().map(|e| e.reader.name.clone()).collect();
        let bytes = encode_acks(acks.iter().map(|(e, from, to)| (names[*e].as_str(), *from, *to)));
        core.wal.append(kind::ACKS, &[&bytes]).map(|_| ())
    }

    /// Makes acknowledgements durable that no batch has taken along.
    pub(super) fn commit_acks(&self, core: &mut Core) -> Result<()> {
        if self.index.lock().dirty.is_empty() {
            return Ok(());
        }
        let state = self.begin_segment(core, 0);
        self.sync(core, state, vec![])
    }

    /// Turns losses into log lines, whether the spool is full or not: they are few, and whoever looks for what is gone must
    /// find them.
    pub(super) fn say_losses(&self, core: &mut Core) -> Result<()> {
        let saying: Vec<Lost> = {
            let mut index = self.index.lock();
            let n = index.unsaid.len().min(limits::LOSS_LINES_AT_ONCE);
            index.saying = index.unsaid.drain(..n).collect();
            index.saying.clone()
        };
        if saying.is_empty() {
            return Ok(());
        }
        let done = self.append_losses(core, &saying);
        let mut index = self.index.lock();
        index.saying.clear();
        match &done {
            Ok(()) => saying.iter().for_each(|l| index.losses.note(l)),
            Err(_) => _ = index.unsaid.splice(0..0, saying),
        }
        done
    }

    fn append_losses(&self, core: &mut Core, losses: &[Lost]) -> Result<()> {
        let state = self.begin_segment(core, 0);
        let mut appended = vec![];
        self.append_loss_lines(core, &mut appended, losses)?;
        self.sync(core, state, appended)
    }

    /// Adds lines about losses to the group.
    pub(super) fn append_loss_lines(&self, core: &mut Core, appended: &mut Vec<Appended>, losses: &[Lost]) -> Result<()> {
        let lines = self.lines_about(losses, &mut core.said_ns)?;
        let mut prepared = frame::prepare(crate::Batch::Lines(&lines), self.clock.now_ns(), false)?;
        prepared.place = Place::Same;
        prepared.sections.iter_mut().for_each(|s| s.head.priority = super::Priority::Error);
        self.append(core, appended, prepared)
    }

    /// Removes segments that nobody needs any more.
    pub(super) fn trim(&self, core: &mut Core) -> Result<()> {
        let floor = self.index.lock().floor().min(core.state_seq);
        if core.wal.segments().first().is_none_or(|s| s.end_seq > floor) {
            return Ok(());
        }
        let removed = core.wal.remove_before(floor);
        self.index.lock().refresh(&core.wal.segments(), self.clock.elapsed_ns());
        removed
    }
}

impl Index {
    /// A frame is durable.
    fn count(&mut self, a: &Appended) {
        for name in &a.done_by {
            if let Some(e) = self.endpoints.iter_mut().find(|e| e.reader.name == *name) {
                e.acked.add(a.seq, a.seq + 1);
            }
        }
        let is_pending = |e: &EndpointState| !a.done_by.contains(&e.reader.name);
        self.add(a.seq, &a.head, &a.sections, &is_pending);
        if a.head.moved {
            return;
        }
        let last_ns = a.sections.iter().map(|s| s.head.last_ns).max();
        if a.head.place == Place::Forgotten {
            self.sources.remove(&a.head.source);
            return;
        }
        let progress = self.sources.entry(a.head.source.clone()).or_default();
        if let Place::At(position) = &a.head.place {
            progress.position = Some(position.clone());
        }
        progress.rows = a.head.rows_before + a.head.rows;
        progress.last_ns = progress.last_ns.max(last_ns.unwrap_or(progress.last_ns));
    }
}

/// What a source is told when there is no room.
pub(super) fn no_room(max_bytes: u64) -> Error {
    let size = base::units::format_size(max_bytes);
    Error::new(Kind::Unavailable, format!("the spool is full ({size}): sources wait until an endpoint takes something"))
        .retry_after(limits::FULL_WAIT)
}
