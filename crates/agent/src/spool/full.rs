//! What happens when there is no room, or when rows have waited for too long.

use base::{Error, Kind, Result};
use wal::Found;

use super::commit::{Appended, no_room};
use super::frame::{self, Prepared, Section, kind};
use super::index::{Held, Reader, SegmentState, least_priority};
use super::ledger::{Lost, by_stream, merge};
use super::level::Priority;
use super::{Core, LOSSES, Policy, Spool, WAL_FOLDER};
use crate::deliver::Format;
use crate::limits;

/// What is taken out of a segment.
struct Cut {
    losses: Vec<Lost>,
    /// Frames that somebody has not acknowledged.
    frames: Vec<Left>,
}

/// A frame of a segment that goes.
struct Left {
    seq: u64,
    head: frame::Head,
    sections: Vec<Section<Vec<u8>>>,
}

impl Spool {
    /// Makes room for a group as the policy says. Batches without rows are always let in: they free space.
    pub(super) fn make_room(&self, core: &mut Core, batch: &mut [Prepared]) -> Result<()> {
        loop {
            let incoming: u64 = batch.iter().map(|p| p.bytes() + limits::FRAME_OVERHEAD_BYTES).sum();
            if batch.iter().all(|p| p.rows() == 0) || core.wal.bytes() + incoming <= self.settings.max_bytes {
                return Ok(());
            }
            if incoming > self.settings.max_bytes / 2 {
                let text = format!("a batch of {incoming} bytes does not fit into the spool");
                return Err(Error::new(if batch.len() > 1 { Kind::Unavailable } else { Kind::TooLarge }, text));
            }
            self.trim(core)?;
            if core.wal.bytes() + incoming <= self.settings.max_bytes {
                return Ok(());
            }
            // Only whole segments go, and never the one that is written to.
            if self.index.lock().floor() >= core.wal.next_seq() || core.wal.segments().len() < 2 {
                self.new_segment(core)?;
                self.trim(core)?;
                if core.wal.segments().len() < 2 {
                    return Ok(());
                }
                continue;
            }
            match self.settings.full {
                Policy::Block => return Err(no_room(self.settings.max_bytes)),
                Policy::DropOldest => self.drop_oldest(core, "spool_full")?,
                Policy::DropLowPriority => self.drop_least(core, batch)?,
            }
        }
    }

    fn new_segment(&self, core: &mut Core) -> Result<()> {
        self.say_losses(core)?;
        let state = self.begin_segment(core, u64::MAX);
        self.sync(core, state, vec![])
    }

    /// The oldest segment goes.
    fn drop_oldest(&self, core: &mut Core, reason: &str) -> Result<()> {
        let oldest = self.index.lock().segments.first().copied();
        match oldest {
            Some(s) => self.cut(core, s, None, reason),
            None => Ok(()),
        }
    }

    /// What matters least goes: of what is spooled, or of what comes.
    fn drop_least(&self, core: &mut Core, batch: &mut [Prepared]) -> Result<()> {
        let segments = self.index.lock().segments.clone();
        let spooled = least_priority(&segments);
        let coming = batch.iter().flat_map(|p| &p.sections).map(|s| s.head.priority).min();
        match (spooled, coming) {
            (spooled, Some(p)) if spooled.as_ref().is_none_or(|(least, _)| p < *least) => {
                self.drop_coming(batch, p);
                Ok(())
            }
            (Some((_, s)), _) if segments.last().is_some_and(|l| l.segment.id == s.segment.id) => self.new_segment(core),
            (Some((p, s)), _) => self.cut(core, s, Some(p), "spool_full_low_priority"),
            (None, _) => self.drop_oldest(core, "spool_full"),
        }
    }

    /// Takes sections of this priority out of batches that are not spooled yet.
    fn drop_coming(&self, batch: &mut [Prepared], priority: Priority) {
        let mut losses = vec![];
        for p in batch {
            let (gone, kept) = std::mem::take(&mut p.sections).into_iter().partition(|s| s.head.priority == priority);
            p.sections = kept;
            let gone: Vec<Section<Vec<u8>>> = gone;
            for s in &gone {
                self.state_loss(&mut losses, &p.source, s, "spool_full_low_priority", "");
            }
        }
        let mut index = self.index.lock();
        losses.into_iter().for_each(|l| index.lose(l));
    }

    /// Drops what has waited for too long. Time is that which passes; a wall clock that is set wrong drops nothing.
    pub(super) fn drop_aged(&self, core: &mut Core) -> Result<()> {
        let max_age_ns = i64::try_from(self.settings.max_age.as_nanos()).unwrap_or(i64::MAX);
        loop {
            let too_old = {
                let index = self.index.lock();
                let last = index.segments.len().saturating_sub(1);
                let elapsed_ns = self.clock.elapsed_ns();
                index.segments[..last].iter().find(|s| elapsed_ns - s.written_ns > max_age_ns && s.segment.end_seq > index.floor()).copied()
            };
            match too_old {
                Some(s) => self.cut(core, s, None, "spool_too_old")?,
                None => return Ok(()),
            }
        }
    }

    /// Takes everything up to this priority (all of it without one) out of a segment, states the losses, and writes what
    /// is left anew; then nobody needs the segment any more. Losses and moved frames are durable before anything goes.
    fn cut(&self, core: &mut Core, segment: SegmentState, up_to: Option<Priority>, reason: &str) -> Result<()> {
        let Cut { losses, frames } = self.read_cut(segment, up_to, reason)?;
        let state = self.begin_segment(core, 0);
        let mut appended: Vec<Appended> = vec![];
        if !losses.is_empty() {
            self.append_loss_lines(core, &mut appended, &losses)?;
        }
        for Left { seq, head, sections } in &frames {
            let kept: Vec<Section<Vec<u8>>> =
                sections.iter().filter(|s| head.source == LOSSES || up_to.is_some_and(|p| s.head.priority > p)).cloned().collect();
            if !kept.is_empty() {
                let done_by =
                    self.index.lock().endpoints.iter().filter(|e| e.acked.contains(*seq)).map(|e| e.reader.name.clone()).collect();
                let head = frame::Head { moved: true, place: frame::Place::Same, ..head.clone() };
                self.append_frame(core, &mut appended, head, kept, done_by)?;
            }
        }
        self.sync(core, state, appended)?;
        let mut index = self.index.lock();
        for l in &losses {
            tracing::warn!(source = l.source, stream = l.stream, reason = l.reason, rows = l.rows, "rows are dropped from the spool");
            index.losses.note(l);
        }
        for e in 0..index.endpoints.len() {
            let reader = index.endpoints[e].reader.clone();
            let held: Vec<Held> = frames.iter().map(|f| Held::of(f.seq, &f.head, &f.sections, &reader)).collect();
            index.done(e, (segment.segment.id, segment.segment.end_seq), &held, None);
        }
        drop(index);
        self.trim(core)
    }

    fn read_cut(&self, s: SegmentState, up_to: Option<Priority>, reason: &str) -> Result<Cut> {
        let mut cut = Cut { losses: vec![], frames: vec![] };
        let mut r = wal::Reader::open(self.fs.as_ref(), &self.dir.join(WAL_FOLDER), s.segment, 0)?;
        while let Some(found) = r.next() {
            let Found::Frame(f) = found else { continue };
            if f.kind != kind::BATCH {
                continue;
            }
            let Some((head, sections)) = frame::decode(f.payload) else { continue };
            // Whoever the frame is not for has nothing to lose by it.
            let (lacking, meant): (Vec<String>, usize) = {
                let index = self.index.lock();
                let wants = |r: &Reader| sections.iter().any(|s| r.wants(&head, &s.head));
                let meant: Vec<_> = index.endpoints.iter().filter(|e| wants(&e.reader)).collect();
                let lacking = meant.iter().filter(|e| !e.acked.contains(f.seq)).map(|e| e.reader.name.clone()).collect();
                (lacking, meant.len())
            };
            if lacking.is_empty() {
                continue;
            }
            let of_all = lacking.len() == meant;
            let endpoint = if of_all { String::new() } else { lacking.join(",") };
            // Lines about losses are few, and whoever looks for what is gone must find them: they stay.
            let states = head.source == LOSSES;
            for section in sections.iter().filter(|s| !states && up_to.is_none_or(|p| s.head.priority <= p)) {
                self.state_loss(&mut cut.losses, &head.source, section, reason, &endpoint);
            }
            // What is not written anew needs no body.
            let own = |s: &Section<&[u8]>| {
                let moves = states || up_to.is_some_and(|p| s.head.priority > p);
                Section { head: s.head.clone(), body: if moves { s.body.to_vec() } else { vec![] } }
            };
            let sections = sections.iter().map(own).collect();
            cut.frames.push(Left { seq: f.seq, head, sections });
        }
        Ok(cut)
    }

    /// States the loss of a section: stream by stream where it can be told apart.
    fn state_loss<B: AsRef<[u8]>>(&self, losses: &mut Vec<Lost>, source: &str, section: &Section<B>, reason: &str, endpoint: &str) {
        let h = &section.head;
        let lost = |stream: String, rows, bytes, from_ns, to_ns| Lost {
            source: source.into(),
            stream,
            reason: reason.into(),
            endpoint: endpoint.into(),
            rows,
            bytes,
            from_ns,
            to_ns,
            noticed_ns: self.clock.now_ns(),
        };
        let is_plain = h.format == Format::LokiPush && h.encoding == wire::Encoding::Identity;
        let streams = if is_plain { by_stream(section.body.as_ref()) } else { None };
        match streams {
            Some(streams) if losses.len() < limits::LOSSES => {
                for s in streams {
                    merge(losses, lost(s.stream, s.rows, s.bytes, s.from_ns, s.to_ns));
                }
            }
            _ => merge(losses, lost(format!("{:?}", h.format), h.rows, h.text_bytes, h.first_ns, h.last_ns)),
        }
    }
}
