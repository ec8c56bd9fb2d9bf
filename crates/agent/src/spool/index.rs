//! What of the log is where, who has it, and who has not.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::frame::{Head, Section, SectionHead};
use super::ledger::{Delivered, EndpointReport, Losses, Lost, SourceReport};
use super::level::Priority;
use super::ranges::Ranges;
use super::state::{Progress, State};
use crate::deliver::Format;

/// An endpoint, as far as the spool is concerned.
#[derive(Clone, Debug)]
pub struct Reader {
    /// Its name: acknowledgements are kept under it.
    pub name: String,
    /// Forms that it takes; frames of others are not kept for it.
    pub takes: Vec<Format>,
}

impl Reader {
    /// Whether it takes this section of a frame.
    pub fn wants(&self, head: &Head, section: &SectionHead) -> bool {
        self.takes.contains(&section.format) && head.is_for(&self.name)
    }
}

/// What one endpoint has.
#[derive(Debug)]
pub struct EndpointState {
    /// Who.
    pub reader: Reader,
    /// Frames that are done with.
    pub acked: Ranges,
    /// By source.
    pub sources: HashMap<String, SourceDone>,
    /// The figures of the report.
    pub report: EndpointReport,
}

/// How much of a source an endpoint has.
#[derive(Debug, Default)]
pub struct SourceDone {
    /// Numbers of rows that are done with.
    done: Ranges,
    until_ns: i64,
    pending_rows: u64,
    pending_bytes: u64,
}

/// A frame in the hands of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Its number.
    pub seq: u64,
    /// Its source.
    pub source: String,
    /// Rows before it.
    pub rows_before: u64,
    /// Rows of it.
    pub rows: u64,
    /// Rows of sections that the endpoint takes.
    pub taken_rows: u64,
    /// Their bytes.
    pub taken_bytes: u64,
    /// Time of the last row, nanoseconds.
    pub last_ns: i64,
    /// When it was spooled, nanoseconds.
    pub received_ns: i64,
}

impl Held {
    /// What `reader` has to take of a frame.
    pub fn of<B>(seq: u64, head: &Head, sections: &[Section<B>], reader: &Reader) -> Held {
        let taken = || sections.iter().filter(|s| reader.wants(head, &s.head));
        Held {
            seq,
            source: head.source.clone(),
            rows_before: head.rows_before,
            rows: head.rows,
            taken_rows: taken().map(|s| s.head.rows).sum(),
            taken_bytes: taken().map(|s| s.head.text_bytes).sum(),
            last_ns: sections.iter().map(|s| s.head.last_ns).max().unwrap_or_default(),
            received_ns: head.received_ns,
        }
    }
}

/// A segment of the log.
#[derive(Clone, Copy, Debug)]
pub struct SegmentState {
    /// As the log says.
    pub segment: wal::Segment,
    /// Bytes of bodies by priority.
    pub by_priority: [u64; 4],
    /// When its first frame was spooled, nanoseconds since 1970.
    pub first_ns: i64,
    /// When it was last written to, on the clock that never jumps, nanoseconds.
    pub written_ns: i64,
}

/// All of it. Its lock is held for moments only, never while a disk is waited for.
#[derive(Debug, Default)]
pub struct Index {
    /// In order.
    pub segments: Vec<SegmentState>,
    /// Frames below are synced.
    pub next_seq: u64,
    /// By source.
    pub sources: BTreeMap<String, Progress>,
    /// In the order of the settings.
    pub endpoints: Vec<EndpointState>,
    /// What was lost, as far as lines say so.
    pub losses: Losses,
    /// Losses that have not been written as log lines yet.
    pub unsaid: Vec<Lost>,
    /// Those of them that are being written.
    pub saying: Vec<Lost>,
    /// Acknowledgements that are not in the log yet: endpoint, from, to.
    pub dirty: Vec<(usize, u64, u64)>,
    /// See [`State::reported`].
    pub reported: BTreeSet<u64>,
    /// Batches that were asked to come again.
    pub deferred: u64,
    /// The last batch did not fit.
    pub full: bool,
}

impl Index {
    /// Takes over what the log says of its segments.
    pub fn refresh(&mut self, segments: &[wal::Segment], elapsed_ns: i64) {
        let old = std::mem::take(&mut self.segments);
        for s in segments {
            let known = old.iter().find(|o| o.segment.id == s.id);
            let mut state =
                known.copied().unwrap_or(SegmentState { segment: *s, by_priority: [0; 4], first_ns: 0, written_ns: elapsed_ns });
            if state.segment.bytes != s.bytes {
                state.written_ns = elapsed_ns;
            }
            state.segment = *s;
            self.segments.push(state);
        }
    }

    /// Counts a frame that is in the log now; of `endpoints` those for which `is_pending` says so have to take it.
    pub fn add<B: AsRef<[u8]>>(&mut self, seq: u64, head: &Head, sections: &[Section<B>], is_pending: &dyn Fn(&EndpointState) -> bool) {
        if let Some(s) = self.segments.iter_mut().rev().find(|s| s.segment.id <= seq) {
            for section in sections {
                s.by_priority[section.head.priority as usize] += section.body.as_ref().len() as u64;
            }
            if s.first_ns == 0 {
                s.first_ns = head.received_ns;
            }
        }
        for e in &mut self.endpoints {
            let held = Held::of(seq, head, sections, &e.reader);
            let pending = is_pending(e) && held.taken_rows > 0;
            let known = e.sources.contains_key(&held.source);
            let source = e.sources.entry(held.source.clone()).or_default();
            if !known {
                source.done = Ranges::below(held.rows_before);
            }
            if pending {
                source.pending_rows += held.taken_rows;
                source.pending_bytes += held.taken_bytes;
                e.report.pending_rows += held.taken_rows;
                e.report.pending_bytes += held.taken_bytes;
            } else {
                source.complete(&held);
            }
        }
    }

    /// An endpoint is done with the frames `from..to`, of which it held these. `sent` when it has acknowledged them.
    pub fn done(&mut self, endpoint: usize, (from, to): (u64, u64), held: &[Held], sent: Option<i64>) {
        let e = &mut self.endpoints[endpoint];
        for h in held.iter().filter(|h| !e.acked.contains(h.seq)) {
            let source = e.sources.entry(h.source.clone()).or_default();
            source.pending_rows = source.pending_rows.saturating_sub(h.taken_rows);
            source.pending_bytes = source.pending_bytes.saturating_sub(h.taken_bytes);
            source.complete(h);
            let r = &mut e.report;
            r.pending_rows = r.pending_rows.saturating_sub(h.taken_rows);
            r.pending_bytes = r.pending_bytes.saturating_sub(h.taken_bytes);
            if let Some(now_ns) = sent {
                r.acknowledged_rows += h.taken_rows;
                r.acknowledged_bytes += h.taken_bytes;
                r.last_ack_ns = now_ns;
            }
        }
        e.acked.add(from, to);
        // Only what tells something is worth a frame: else writing it down would be news to write down.
        if !held.is_empty() {
            self.dirty.push((endpoint, from, to));
        }
    }

    /// Frames below this are done with by all.
    pub fn floor(&self) -> u64 {
        self.endpoints.iter().map(|e| e.acked.floor()).min().unwrap_or(self.next_seq).min(self.next_seq)
    }

    /// Notes a loss. It is written as a log line soon, and counts from then on: so that after a crash a loss is neither
    /// forgotten nor counted twice.
    pub fn lose(&mut self, lost: Lost) {
        super::ledger::merge(&mut self.unsaid, lost);
    }

    /// All losses, those without a line included.
    pub fn all_losses(&self) -> Losses {
        let mut all = self.losses.clone();
        self.saying.iter().chain(&self.unsaid).for_each(|l| all.note(l));
        all
    }

    /// Everything besides the batches.
    pub fn state(&self, seq: u64) -> State {
        let oldest = self.segments.first().map_or(seq, |s| s.segment.id);
        State {
            seq,
            sources: self.sources.clone(),
            acked: self.endpoints.iter().map(|e| (e.reader.name.clone(), e.acked.clone())).collect(),
            losses: self.losses.clone(),
            reported: self.reported.range(oldest..).copied().collect(),
        }
    }

    /// The endpoints, for people.
    pub fn endpoint_reports(&self) -> Vec<EndpointReport> {
        let report = |e: &EndpointState| {
            let floor = e.acked.floor();
            let oldest = self.segments.iter().rev().find(|s| s.segment.id <= floor).or(self.segments.first());
            let pending = e.report.pending_rows > 0;
            EndpointReport { oldest_pending_ns: oldest.filter(|_| pending).map_or(0, |s| s.first_ns), ..e.report.clone() }
        };
        self.endpoints.iter().map(report).collect()
    }

    /// The sources, for people.
    pub fn source_reports(&self) -> Vec<SourceReport> {
        let delivered = |name: &str, e: &EndpointState| {
            let s = e.sources.get(name)?;
            Some(Delivered {
                endpoint: e.reader.name.clone(),
                until_ns: s.until_ns,
                pending_rows: s.pending_rows,
                pending_bytes: s.pending_bytes,
            })
        };
        let report = |(name, p): (&String, &Progress)| SourceReport {
            source: name.clone(),
            rows: p.rows,
            last_ns: p.last_ns,
            endpoints: self.endpoints.iter().filter_map(|e| delivered(name, e)).collect(),
        };
        self.sources.iter().filter(|(_, p)| p.rows > 0).map(report).collect()
    }
}

impl SourceDone {
    /// The rows of a frame are done with.
    fn complete(&mut self, h: &Held) {
        let before = self.done.floor();
        self.done.add(h.rows_before, h.rows_before + h.rows);
        if self.done.floor() > before {
            self.until_ns = self.until_ns.max(h.last_ns);
        }
    }
    /// The rows `from..to` are in no frame.
    pub fn skip(&mut self, from: u64, to: u64) {
        self.done.add(from, to);
    }
}

/// The least priority of which a segment before the one that is written to holds something.
pub fn least_priority(segments: &[SegmentState]) -> Option<(Priority, SegmentState)> {
    Priority::ALL.into_iter().find_map(|p| segments.iter().find(|s| s.by_priority[p as usize] > 0).map(|s| (p, *s)))
}
