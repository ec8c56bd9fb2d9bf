//! Stages between a source and the place of delivery.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use base::hash::hash64;
use base::{Clock, Error, Kind, Labels, Result, Tenant};
use parking_lot::Mutex;

use super::Moment;
use super::entry::Entry;
use super::pipeline::{Outcome, Pipeline};
use super::state::State;
use crate::deliver::{Batch, Deliver, Line, Lines, Loss, Stream, retryable};
use crate::label_set::LabelSet;
use crate::relabel;
use crate::stats::Stats;

/// Positions that hold lines begin so. No source's own position does; one that would is wrapped too.
const MAGIC: &[u8] = b"stages1\0";

/// Lets lines through stages before they are delivered.
///
/// A source that goes through this once must do so always, also with no stages left: its stored positions may hold lines,
/// which would otherwise be lost with a position that the source cannot read.
pub struct Through {
    pipeline: Pipeline,
    next: Arc<dyn Deliver>,
    clock: Clock,
    stats: Arc<Stats>,
    sources: Mutex<HashMap<String, Arc<Mutex<Source>>>>,
}

/// What is known of a source.
#[derive(Default)]
struct Source {
    state: State,
    /// Its own position, as it gave it last.
    position: Vec<u8>,
    /// A result that has not been taken yet.
    pending: Option<Pending>,
}

struct Pending {
    /// What it was made of: lines and position; none if time ran out for what was held.
    of: Option<u64>,
    lines: Lines,
}

impl Through {
    /// Stages before `next`.
    pub fn new(pipeline: Pipeline, next: Arc<dyn Deliver>, clock: Clock, stats: Arc<Stats>) -> Through {
        Through { pipeline, next, clock, stats, sources: Mutex::default() }
    }

    /// Delivers what stages have held for long enough. To be called about once a second; an error says that it is to be
    /// called again, nothing is lost.
    pub fn tick(&self) -> Result<()> {
        let sources: Vec<(String, Arc<Mutex<Source>>)> = self.sources.lock().iter().map(|(n, s)| (n.clone(), s.clone())).collect();
        let mut answer = Ok(());
        for (name, source) in sources {
            // One that is refused does not keep the others waiting.
            answer = answer.and(self.tick_one(&name, &mut source.lock()));
        }
        answer
    }

    fn tick_one(&self, name: &str, s: &mut Source) -> Result<()> {
        // A result of lines is offered again by whoever gave them.
        if s.pending.as_ref().is_some_and(|p| p.of.is_some()) {
            return Ok(());
        }
        self.offer(s)?;
        let mut out = Outcome::default();
        self.pipeline.release(false, self.moment(), &mut s.state, &mut out);
        if out.entries.is_empty() {
            return Ok(());
        }
        let position = s.position.clone();
        self.prepare(s, name, position, out, None);
        self.offer(s)
    }

    fn moment(&self) -> Moment {
        Moment { now_ns: self.clock.now_ns(), elapsed_ns: self.clock.elapsed_ns() }
    }

    fn source(&self, name: &str) -> Arc<Mutex<Source>> {
        self.sources.lock().entry(name.to_owned()).or_default().clone()
    }

    /// Makes a result pending.
    fn prepare(&self, s: &mut Source, name: &str, position: Vec<u8>, out: Outcome, of: Option<u64>) {
        for d in &out.dropped {
            self.stats.stage_dropped.add(&[&d.reason], 1);
            self.stats.stage_dropped_bytes.add(&[&d.reason], d.bytes);
        }
        let stored = if position.is_empty() { vec![] } else { wrap(&position, &s.state.encode()) };
        let lines = Lines { streams: grouped(out.entries), source: name.to_owned(), position: stored };
        s.position = position;
        s.pending = Some(Pending { of, lines });
    }

    /// Delivers what is pending and was not given by the source itself, or not in this form.
    fn offer(&self, s: &mut Source) -> Result<()> {
        let Some(p) = &s.pending else { return Ok(()) };
        match self.next.deliver(Batch::Lines(&p.lines)) {
            Err(e) if retryable(&e) => return Err(e),
            Err(e) => {
                // Nobody else knows of these lines.
                let bytes = p.lines.streams.iter().flat_map(|s| &s.lines).map(|l| l.text.len() as u64).sum();
                tracing::error!(source = p.lines.source, error = %e, lines = p.lines.count(), "lines refused for good");
                self.stats.lost_lines.add(&["refused"], p.lines.count());
                self.stats.lost_bytes.add(&["refused"], bytes);
                let (source, lines, time_ns) = (p.lines.source.clone(), p.lines.count(), self.clock.now_ns());
                let times = || p.lines.streams.iter().flat_map(|s| &s.lines).map(|l| l.time_ns);
                let (first_ns, last_ns) = (times().min(), times().max());
                self.next.lost(&Loss { source, reason: "refused", lines, bytes, time_ns, first_ns, last_ns });
            }
            Ok(()) => {}
        }
        s.pending = None;
        Ok(())
    }

    fn lines(&self, lines: &Lines) -> Result<()> {
        let source = self.source(&lines.source);
        let mut s = source.lock();
        // Nothing to do and nothing to remember: no copy either.
        if self.pipeline.is_empty() && s.pending.is_none() && !s.state.holds() && !lines.position.starts_with(MAGIC) {
            return self.next.deliver(Batch::Lines(lines));
        }
        let of = fingerprint(lines);
        if s.pending.as_ref().is_none_or(|p| p.of != Some(of)) {
            self.offer(&mut s)?;
            let at = self.moment();
            if let Some(wait) = self.pipeline.debt(at).filter(|_| lines.count() > 0) {
                return Err(Error::new(Kind::LimitExceeded, "the rate of a limit stage is used up").retry_after(wait));
            }
            let mut out = Outcome::default();
            for stream in &lines.streams {
                for line in &stream.lines {
                    self.pipeline.process(entry(stream, line), at, &mut s.state, &mut out);
                }
            }
            // The source is done with: nothing more comes that could be joined.
            self.pipeline.release(lines.position.is_empty(), at, &mut s.state, &mut out);
            self.prepare(&mut s, &lines.source, lines.position.clone(), out, Some(of));
        }
        let Some(p) = &s.pending else { return Ok(()) };
        let answer = self.next.deliver(Batch::Lines(&p.lines));
        if !answer.as_ref().is_err_and(retryable) {
            s.pending = None;
            if lines.position.is_empty() {
                self.sources.lock().remove(&lines.source);
            }
        }
        answer
    }
}

impl Deliver for Through {
    fn deliver(&self, batch: Batch<'_>) -> Result<()> {
        match batch {
            Batch::Lines(lines) => self.lines(lines),
            Batch::Samples(_) | Batch::Metadata(_) | Batch::Body(_) => self.next.deliver(batch),
        }
    }

    fn positions(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let mut found = self.next.positions(prefix);
        for (name, stored) in &mut found {
            let (position, held) = unwrap(stored);
            let state = State::decode(held, self.clock.elapsed_ns()).unwrap_or_else(|e| {
                tracing::error!(source = *name, error = %e, "lines that stages held are lost");
                State::default()
            });
            let position = position.to_vec();
            // Whoever asks begins anew from what is stored.
            let source = Source { state, position: position.clone(), pending: None };
            self.sources.lock().insert(name.clone(), Arc::new(Mutex::new(source)));
            *stored = position;
        }
        found
    }

    fn lost(&self, loss: &Loss) {
        self.next.lost(loss);
    }
}

fn entry(stream: &Stream, line: &Line) -> Entry {
    let mut e = Entry::new(stream.labels.clone(), line.time_ns, line.text.as_str());
    e.metadata.clone_from(&line.metadata);
    e.tenant.clone_from(&stream.tenant);
    e
}

/// What tells two batches apart.
fn fingerprint(lines: &Lines) -> u64 {
    let mut h = hash64(&lines.position);
    for s in &lines.streams {
        h = h.rotate_left(5) ^ hash64(s.labels.as_bytes());
        for l in &s.lines {
            h = h.rotate_left(5) ^ hash64(l.text.as_bytes()) ^ l.time_ns as u64;
        }
    }
    h
}

/// Streams in the order in which they first come. Labels that begin with `__` were for the stages alone. Lines that the
/// stages have made equal get times that differ, so that they stay different rows.
fn grouped(entries: Vec<Entry>) -> Vec<Stream> {
    let mut streams: Vec<(Stream, HashSet<(i64, u64)>)> = vec![];
    let mut index: HashMap<(Option<Tenant>, Labels), usize> = HashMap::new();
    // Lines of one stream mostly follow each other.
    let mut last: Option<(LabelSet, Option<Tenant>, usize)> = None;
    for e in entries {
        let i = match &last {
            Some((labels, tenant, i)) if *labels == e.labels && *tenant == e.tenant => *i,
            _ => {
                let mut visible = e.labels.clone();
                relabel::drop_internal(&mut visible);
                // Names in a set are distinct, which is all that could be wrong.
                let Ok(labels) = visible.to_labels() else { continue };
                let i = *index.entry((e.tenant.clone(), labels.clone())).or_insert_with(|| {
                    streams.push((Stream { tenant: e.tenant.clone(), labels, lines: vec![] }, HashSet::new()));
                    streams.len() - 1
                });
                last = Some((e.labels, e.tenant, i));
                i
            }
        };
        let (stream, seen) = &mut streams[i];
        let (hash, mut time_ns) = (hash64(e.line.as_bytes()), e.time_ns);
        while !seen.insert((time_ns, hash)) {
            time_ns += 1;
        }
        stream.lines.push(Line { time_ns, text: e.line, metadata: e.metadata });
    }
    streams.into_iter().map(|(s, _)| s).collect()
}

/// A source's position, and what stages hold: the length of the position, the position, the rest.
fn wrap(position: &[u8], held: &[u8]) -> Vec<u8> {
    if held.is_empty() && !position.starts_with(MAGIC) {
        return position.to_vec();
    }
    let length = (position.len() as u32).to_le_bytes();
    [MAGIC, &length, position, held].concat()
}

fn unwrap(stored: &[u8]) -> (&[u8], &[u8]) {
    let parts = stored.strip_prefix(MAGIC).and_then(|rest| {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        rest.split_at_checked(u32::from_le_bytes(*length) as usize)
    });
    parts.unwrap_or((stored, &[]))
}

#[cfg(test)]
mod tests;
