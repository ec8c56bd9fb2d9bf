//! Reading containers and delivering what is read.

use std::io;
use std::time::Duration;

use base::{Error, Kind};

use super::chain::{Gap, Next};
use super::entry::{self, Entry};
use super::follow::{Arrived, Follow};
use super::join::Cut;
use super::{Container, Polled, Reader, Source};
use crate::deliver::{Batch, Line, Lines, Loss, Stream, retryable};
use crate::{limits, stats};

/// What reading one container came to.
enum Step {
    /// It has been read to its end, or cannot be read now.
    Idle,
    /// There is more, but others come first.
    More,
    /// The store does not take its lines now.
    Refused(Error),
}

/// Waited when the store says for how long neither itself nor by its error.
const REFUSED_WAIT: Duration = Duration::from_secs(1);

/// Lines that are made of messages, and what is lost among them.
#[derive(Default)]
struct Taken {
    lines: [Vec<Line>; 2],
    losses: Vec<Loss>,
    cut: Cut,
    /// Lines of the file that are not what Docker writes, and their bytes.
    damaged: (u64, u64),
}

impl Source {
    /// One round over all containers.
    pub(super) fn read_all(&mut self, now_ns: i64) -> Polled {
        let mut polled = Polled::default();
        let elapsed_ns = self.context.clock.elapsed_ns();
        if let Some(left_ns) = self.refused_until_ns.checked_sub(elapsed_ns).filter(|&left| left > 0) {
            self.hold_on();
            return Polled { wait: Some(Duration::from_nanos(left_ns as u64)), ..polled };
        }
        let ids: Vec<String> = self.containers.keys().cloned().collect();
        let mut waiting = 0;
        for id in ids {
            // Taken out, so that the container and the source can be changed side by side.
            let Some(mut c) = self.containers.remove(&id) else { continue };
            let step = self.step(&mut c, now_ns, &mut polled.lines);
            let is_idle = matches!(step, Step::Idle);
            waiting += c.waiting.as_ref().map_or(0, weight);
            if is_idle && c.is_gone && c.waiting.is_none() {
                if c.is_cut_short() {
                    self.state_loss(&Loss { first_ns: c.position.last_ns(), ..c.loss("removed", now_ns) });
                }
                self.forget.push(format!("{}{id}", self.prefix));
                self.forgotten.truncate(limits::FORGOTTEN - 1);
                self.forgotten.push_front(id);
            } else {
                self.containers.insert(id, c);
            }
            match step {
                Step::Idle => {}
                Step::More => polled.more = true,
                Step::Refused(e) => {
                    let wait = e.retry_hint().unwrap_or(REFUSED_WAIT);
                    polled.wait = Some(polled.wait.map_or(wait, |w| w.max(wait)));
                    // A limit may be one stream's; anything else is the matter of all.
                    if e.kind() != Kind::LimitExceeded || waiting >= limits::WAITING_BYTES {
                        break;
                    }
                }
            }
        }
        if polled.wait.is_none()
            && let Err(e) = self.forget_gone()
        {
            polled.wait = Some(e.retry_hint().unwrap_or(REFUSED_WAIT));
        }
        if let Some(wait) = polled.wait {
            self.refused_until_ns = elapsed_ns.saturating_add(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX));
            self.hold_on();
        }
        polled
    }

    /// Nothing can be delivered now: what Docker rotates meanwhile is kept open.
    fn hold_on(&mut self) {
        for c in self.containers.values_mut() {
            if let Reader::Disk(chain) = &mut c.reader
                && let Err(e) = chain.extend()
            {
                tracing::debug!(container = c.listed.name(), error = %e, "files of a container cannot be looked at");
            }
        }
    }

    /// Tells the store which containers are done with.
    fn forget_gone(&mut self) -> base::Result<()> {
        while let Some(source) = self.forget.last().cloned() {
            self.deliver(&Lines { streams: vec![], source, position: vec![] })?;
            self.forget.pop();
        }
        Ok(())
    }

    fn deliver(&self, lines: &Lines) -> base::Result<()> {
        let answer = self.context.deliver.deliver(Batch::Lines(lines));
        if let Err(e) = &answer
            && retryable(e)
        {
            self.context.stats.deferred.add(&[&format!("{:?}", e.kind()).to_lowercase()], 1);
        }
        answer
    }

    /// Reads one container as far as it goes, within bounds.
    fn step(&mut self, c: &mut Container, now_ns: i64, lines: &mut u64) -> Step {
        if let Err(e) = self.offer(c, now_ns, lines) {
            return Step::Refused(e);
        }
        let mut reader = std::mem::replace(&mut c.reader, Reader::Unknown);
        let step = match &mut reader {
            Reader::Unknown | Reader::Hopeless => Step::Idle,
            Reader::Disk(chain) => self.read_disk(c, chain, now_ns, lines).unwrap_or_else(|e| {
                complain(c, &e);
                Step::Idle
            }),
            Reader::Api(follow) => match self.read_api(c, follow, now_ns, lines) {
                Ok(step) => step,
                Err(e) => {
                    follow.broke();
                    if Follow::is_hopeless(&e) {
                        reader = Reader::Hopeless;
                    }
                    // One that is removed cannot be asked for, which is known from the list.
                    if e.kind() != Kind::NotFound {
                        complain(c, &e);
                    }
                    Step::Idle
                }
            },
        };
        c.reader = reader;
        step
    }

    fn read_disk(&mut self, c: &mut Container, chain: &mut super::Chain, now_ns: i64, lines: &mut u64) -> io::Result<Step> {
        let mut left = limits::BYTES_PER_STEP;
        let rotated = chain.behind();
        while left > 0 {
            let (taken, used) = match chain.stretch()? {
                Next::Nothing => {
                    self.note_rotations(rotated.saturating_sub(chain.behind()));
                    c.recovered();
                    let quiet_ns = self.context.clock.elapsed_ns() - c.active_ns;
                    if (quiet_ns >= limits::IDLE_CLOSE_NS || c.position.ended) && !c.is_removed_at_end && !c.is_gone {
                        chain.rest();
                    }
                    return Ok(if chain.is_found() { self.at_end(c, now_ns, lines) } else { Step::Idle });
                }
                Next::Gap(gap) => (self.gap(c, gap), 0),
                Next::Bytes(bytes) => {
                    let (taken, used) = self.take_lines(c, &bytes, now_ns);
                    chain.take(&bytes[..used])?;
                    (taken, used)
                }
            };
            left = left.saturating_sub(used as u64);
            stats::add(&self.context.stats.bytes, used as u64);
            c.position.place = chain.place().cloned();
            self.keep(c, taken, now_ns);
            if let Err(e) = self.offer(c, now_ns, lines) {
                return Ok(Step::Refused(e));
            }
        }
        Ok(Step::More)
    }

    fn note_rotations(&self, n: usize) {
        stats::add(&self.context.stats.rotations, n as u64);
    }

    /// Makes lines of a stretch of a file; returns how many bytes of it are used.
    fn take_lines(&self, c: &mut Container, bytes: &[u8], now_ns: i64) -> (Taken, usize) {
        let (mut taken, mut used) = (Taken::default(), 0);
        for (n, end) in memchr::memchr_iter(b'\n', bytes).enumerate() {
            if n == limits::LINES_PER_BATCH {
                break;
            }
            let line = &bytes[used..end];
            used = end + 1;
            match entry::parse(line) {
                Some(e) if c.skip[e.pipe as usize].as_mut().is_some_and(|s| s.covers(e.time_ns)) => {}
                Some(e) => c.push(e, self.settings.max_line_bytes, now_ns, &mut taken),
                None => taken.damaged = (taken.damaged.0 + 1, taken.damaged.1 + line.len() as u64),
            }
        }
        (taken, used)
    }

    fn read_api(&mut self, c: &mut Container, follow: &mut Follow, now_ns: i64, lines: &mut u64) -> base::Result<Step> {
        let elapsed_ns = self.context.clock.elapsed_ns();
        let is_running = c.listed.is_running() && !c.is_gone;
        if c.is_complete && !is_running {
            return Ok(Step::Idle);
        }
        let mut left = limits::BYTES_PER_STEP as usize;
        while left > 0 {
            let arrived = follow.step(&self.client, &c.position.pens, is_running, elapsed_ns)?;
            let mut taken = Taken::default();
            let mut messages = 0;
            let mut broken = Ok(());
            while messages < limits::LINES_PER_BATCH {
                match follow.decoder.message() {
                    Ok(Some(e)) => {
                        messages += 1;
                        left = left.saturating_sub(e.text.len() + 1);
                        if !follow.skip[e.pipe as usize].as_mut().is_some_and(|s| s.covers(e.time_ns)) {
                            c.push(e, self.settings.max_line_bytes, now_ns, &mut taken);
                        }
                    }
                    Ok(None) => break,
                    Err(e) => {
                        broken = Err(e);
                        break;
                    }
                }
            }
            self.keep(c, taken, now_ns);
            if let Err(e) = self.offer(c, now_ns, lines) {
                return Ok(Step::Refused(e));
            }
            broken?;
            c.recovered();
            match arrived {
                Arrived::All if messages == 0 => return Ok(self.at_end(c, now_ns, lines)),
                Arrived::Nothing if messages == 0 => return Ok(Step::Idle),
                _ => {}
            }
        }
        Ok(Step::More)
    }

    /// All is read. Of a container that has stopped, the last line counts as whole, and the position says that nothing
    /// is missing.
    fn at_end(&mut self, c: &mut Container, now_ns: i64, lines: &mut u64) -> Step {
        if c.listed.is_running() && !c.is_gone {
            return Step::Idle;
        }
        c.is_complete = true;
        if c.position.ended {
            return Step::Idle;
        }
        let mut taken = Taken::default();
        c.finish_lines(&mut taken);
        c.state_gap(None, now_ns, &mut taken);
        c.position.ended = true;
        self.wait_with(c, taken);
        self.offer(c, now_ns, lines).map_or_else(Step::Refused, |()| Step::Idle)
    }

    /// Something is missing: a line under way will not be completed.
    fn gap(&self, c: &mut Container, gap: Gap) -> Taken {
        let mut taken = Taken::default();
        c.finish_lines(&mut taken);
        // Of two without a line in between the first says why.
        c.gap = Some(c.gap.map_or(gap, |g| Gap { bytes: g.bytes + gap.bytes, ..g }));
        if gap.reason == "truncated" {
            stats::add(&self.context.stats.truncations, 1);
        }
        taken
    }

    /// Makes the batch of what was read, if it is anything.
    fn keep(&mut self, c: &mut Container, mut taken: Taken, now_ns: i64) {
        let damaged = taken.damaged;
        if damaged.0 > 0 {
            taken.losses.push(Loss { lines: damaged.0, bytes: damaged.1, ..c.loss("damaged", now_ns) });
        }
        if taken.cut != Cut::default() {
            taken.losses.push(Loss { lines: taken.cut.lines, bytes: taken.cut.bytes, ..c.loss("line_too_long", now_ns) });
        }
        if taken.losses.is_empty() && taken.lines.iter().all(Vec::is_empty) {
            return;
        }
        c.active_ns = self.context.clock.elapsed_ns();
        c.position.ended = false;
        self.wait_with(c, taken);
    }

    /// Lets a batch wait. Losses are stated now, not when the batch is taken: if it is stored and this process dies before
    /// it knows, they would not be stated at all. In the other case they are stated again, between the same times.
    fn wait_with(&self, c: &mut Container, taken: Taken) {
        taken.losses.iter().for_each(|l| self.state_loss(l));
        let streams = taken.lines.into_iter().zip(&c.streams).filter(|(lines, _)| !lines.is_empty());
        let streams = streams.filter_map(|(lines, labels)| Some(Stream { tenant: None, labels: labels.clone()?, lines })).collect();
        let source = format!("{}{}", self.prefix, c.listed.id);
        c.waiting = Some(Lines { streams, source, position: c.position.encode() });
    }

    /// Gives the waiting batch, if there is one.
    fn offer(&self, c: &mut Container, now_ns: i64, delivered: &mut u64) -> base::Result<()> {
        let Some(batch) = c.waiting.take() else { return Ok(()) };
        match self.deliver(&batch) {
            Ok(()) => {
                *delivered += batch.count();
                stats::add(&self.context.stats.lines, batch.count());
            }
            Err(e) if retryable(&e) => {
                c.waiting = Some(batch);
                return Err(e);
            }
            Err(e) => {
                let (lines, bytes) = (batch.count(), weight(&batch) as u64);
                tracing::error!(container = c.listed.name(), error = %e, lines, "lines refused for good");
                self.state_loss(&Loss { lines, bytes, ..c.loss("refused", now_ns) });
            }
        }
        Ok(())
    }

    /// Counts a loss and hands it on.
    pub(super) fn state_loss(&self, loss: &Loss) {
        let stats = &self.context.stats;
        stats.lost_lines.add(&[loss.reason], loss.lines);
        stats.lost_bytes.add(&[loss.reason], loss.bytes);
        self.context.deliver.lost(loss);
    }
}

impl Container {
    fn push(&mut self, e: Entry<'_>, max_line: usize, now_ns: i64, taken: &mut Taken) {
        if self.gap.is_some() {
            self.state_gap(Some(e.time_ns), now_ns, taken);
        }
        let pipe = e.pipe as usize;
        taken.lines[pipe].extend(self.position.pens[pipe].push(e, max_line, &mut taken.cut));
    }

    fn finish_lines(&mut self, taken: &mut Taken) {
        for (pen, lines) in self.position.pens.iter_mut().zip(&mut taken.lines) {
            lines.extend(pen.finish());
        }
    }

    /// Turns the gap into a loss, between the last line before it and the one after it.
    fn state_gap(&mut self, until_ns: Option<i64>, now_ns: i64, taken: &mut Taken) {
        if let Some(gap) = self.gap.take() {
            // Before its first line: since it was made.
            let made_ns = || self.listed.created_s.map(|s| s.saturating_mul(base::units::SECOND_NS));
            let first_ns = self.position.last_ns().or_else(made_ns);
            let loss = Loss { bytes: gap.bytes, first_ns, last_ns: until_ns, ..self.loss(gap.reason, now_ns) };
            taken.losses.push(loss);
        }
    }

    fn loss(&self, reason: &'static str, now_ns: i64) -> Loss {
        let source = format!("{} {}", self.listed.name(), self.listed.id.get(..12).unwrap_or(&self.listed.id));
        Loss { source, reason, lines: 0, bytes: 0, time_ns: now_ns, first_ns: None, last_ns: None }
    }

    /// Whether it may have lines that were not read, and never will be.
    fn is_cut_short(&self) -> bool {
        !self.position.ended && self.listed.has_begun() && !matches!(self.reader, Reader::Hopeless)
    }

    fn recovered(&mut self) {
        (self.is_unreadable, self.complained) = (false, false);
    }
}

fn complain(c: &mut Container, e: &dyn std::fmt::Display) {
    c.is_unreadable = true;
    if !std::mem::replace(&mut c.complained, true) {
        tracing::warn!(container = c.listed.name(), error = %e, "log of a container cannot be read");
    }
}

/// Bytes that a waiting batch holds.
fn weight(batch: &Lines) -> usize {
    batch.streams.iter().flat_map(|s| &s.lines).map(|l| l.text.len() + size_of::<Line>()).sum()
}
