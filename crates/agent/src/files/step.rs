//! Reading files and delivering what is read.

use std::io;
use std::path::Path;
use std::time::Duration;

use base::{Error, Kind};

use super::content::Content;
use super::lines::{Rules, Taken};
use super::position::{Position, Scope};
use super::tail::{self, FileId, Look, Next, State, Tail};
use super::{Polled, Source, discover};
use crate::deliver::{Batch, Line, Lines, Loss, Stream, retryable};
use crate::{limits, stats};

/// What reading one file came to.
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

impl Source {
    /// One round over all files.
    pub(super) fn read_all(&mut self, now_ns: i64) -> Polled {
        let mut polled = Polled::default();
        let ids: Vec<FileId> = self.tails.keys().copied().collect();
        let mut waiting = 0;
        for id in ids {
            // Taken out, so that the file and the source can be changed side by side.
            let Some(mut t) = self.tails.remove(&id) else { continue };
            let step = self.step(&mut t, now_ns, &mut polled.lines);
            waiting += t.waiting.as_ref().map_or(0, weight);
            let gone = t.state == State::Done
                && t.file.as_ref().is_some_and(|f| f.metadata().is_ok_and(|m| std::os::unix::fs::MetadataExt::nlink(&m) == 0));
            if t.state == State::Done {
                t.file = None;
            }
            self.tails.insert(id, t);
            if gone {
                self.drop_tail(id);
            }
            match step {
                Step::Idle => {}
                Step::More => polled.more = true,
                Step::Refused(e) => {
                    let wait = e.retry_hint().unwrap_or(REFUSED_WAIT);
                    polled.wait = Some(polled.wait.map_or(wait, |w| w.max(wait)));
                    // A limit may be one stream's; anything else is the matter of all.
                    if e.kind() != Kind::LimitExceeded || waiting >= limits::WAITING_BYTES {
                        return polled;
                    }
                }
            }
        }
        if polled.wait.is_none()
            && let Err(e) = self.keep_books()
        {
            polled.wait = Some(e.retry_hint().unwrap_or(REFUSED_WAIT));
        }
        polled
    }

    /// Tells the store which sources are done with and, once every file has a position, which patterns were looked for.
    fn keep_books(&mut self) -> base::Result<()> {
        while let Some(source) = self.forget.last().cloned() {
            self.deliver_position(source, vec![])?;
            self.forget.pop();
        }
        let scope = Scope { v: 1, include: self.settings.include.clone(), exclude: self.settings.exclude.clone() };
        if self.scope_stored.as_ref() != Some(&scope) && self.tails.values().all(|t| t.waiting.is_none()) {
            self.deliver_position(self.scope_name(), scope.encode())?;
            self.scope_stored = Some(scope);
        }
        Ok(())
    }

    fn deliver_position(&mut self, source: String, position: Vec<u8>) -> base::Result<()> {
        self.deliver(&Lines { streams: vec![], source, position })
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

    /// Reads one file as far as it goes, within bounds.
    fn step(&mut self, t: &mut Tail, now_ns: i64, lines: &mut u64) -> Step {
        if let Err(e) = self.offer(t, now_ns, lines) {
            return Step::Refused(e);
        }
        if matches!(t.state, State::Done | State::Skipped)
            || (t.state == State::Live && t.file.is_none() && t.latest == t.seen && !t.is_moved())
        {
            return Step::Idle;
        }
        match self.read_on(t, now_ns, lines) {
            Ok(step) => {
                t.unreadable = false;
                step
            }
            Err(e) => {
                self.cannot_read(t, &e, now_ns);
                Step::Idle
            }
        }
    }

    fn read_on(&mut self, t: &mut Tail, now_ns: i64, lines: &mut u64) -> io::Result<Step> {
        let look = Look::of(&t.open()?.metadata()?);
        let quiet_ns = now_ns - t.active_ns;
        let ends = t.is_moved() && quiet_ns >= self.settings.rotated_wait.as_nanos() as i64;
        if look == t.seen && !ends && !t.suspect {
            if quiet_ns >= limits::IDLE_CLOSE_NS && t.state == State::Live {
                t.file = None;
            }
            return Ok(Step::Idle);
        }
        if look.len != t.seen.len {
            t.active_ns = now_ns;
        }
        if t.position.offset == 0 && look.len > 0 && !self.is_text(t, now_ns)? {
            t.seen = look;
            return Ok(Step::Idle);
        }
        if !t.is_same()?
            && let Err(e) = self.replaced(t, now_ns)
        {
            return Ok(Step::Refused(e));
        }
        let until = t.position.offset.saturating_add(limits::BYTES_PER_STEP);
        while t.position.offset < until {
            let rules = Rules { max_line: self.settings.max_line_bytes, max_lines: limits::LINES_PER_BATCH, ends };
            match t.next(rules)? {
                Next::Nothing => return Ok(self.at_end(t, look, ends)),
                Next::Replaced => return Ok(self.replaced(t, now_ns).map_or_else(Step::Refused, |()| Step::More)),
                Next::Lines(texts, taken) => {
                    self.keep(t, texts, taken, now_ns);
                    if let Err(e) = self.offer(t, now_ns, lines) {
                        return Ok(Step::Refused(e));
                    }
                }
            }
        }
        Ok(Step::More)
    }

    fn at_end(&mut self, t: &mut Tail, look: Look, ends: bool) -> Step {
        t.seen = look;
        if ends && t.state == State::Rotated {
            t.state = State::Done;
        }
        Step::Idle
    }

    /// Makes the batch of lines that were read.
    fn keep(&mut self, t: &mut Tail, texts: Vec<String>, taken: Taken, now_ns: i64) {
        t.active_ns = now_ns;
        stats::add(&self.context.stats.bytes, taken.bytes as u64);
        if taken.repaired > 0 {
            self.context.stats.repaired.add(&["files"], taken.repaired);
        }
        if taken.cut_lines > 0 || taken.cut_bytes > 0 {
            self.lose(t, "line_too_long", taken.cut_lines, taken.cut_bytes, now_ns);
        }
        let clock_ns = self.context.clock.now_ns();
        // A clock that was set back is believed: otherwise all lines would gather in one moment until it has caught up, and
        // one that had been wrong by hours would have its lines refused for hours more.
        let is_near = |last_ns: &i64| last_ns.saturating_sub(clock_ns) < limits::CLOCK_STEP_NS;
        let mut time_ns = [self.last_ns, t.position.time_ns].into_iter().filter(is_near).max().unwrap_or(clock_ns - 1);
        let stamp = |text| {
            // Strictly increasing: two equal lines must not become one row.
            time_ns = clock_ns.max(time_ns + 1);
            Line { time_ns, text, metadata: vec![] }
        };
        let lines = texts.into_iter().map(stamp).collect();
        (self.last_ns, t.position.time_ns) = (time_ns, time_ns);
        self.wait_with(t, lines);
    }

    /// Makes a batch that stores the position alone.
    pub(super) fn wait_with_position(&mut self, t: &mut Tail) {
        self.wait_with(t, vec![]);
    }

    fn wait_with(&mut self, t: &mut Tail, lines: Vec<Line>) {
        match self.labels_of(&t.position.path) {
            Ok(labels) => {
                let streams = if lines.is_empty() { vec![] } else { vec![Stream { tenant: None, labels, lines }] };
                t.waiting = Some(Lines { streams, source: t.source.clone(), position: t.position.encode() });
            }
            Err(e) => tracing::error!(file = t.position.path, error = %e, "labels of a file cannot be made"),
        }
    }

    /// Gives the waiting batch, if there is one.
    fn offer(&mut self, t: &mut Tail, now_ns: i64, delivered: &mut u64) -> base::Result<()> {
        let Some(batch) = t.waiting.take() else { return Ok(()) };
        match self.deliver(&batch) {
            Ok(()) => {
                t.stored = true;
                *delivered += batch.count();
                stats::add(&self.context.stats.lines, batch.count());
            }
            Err(e) if retryable(&e) => {
                t.waiting = Some(batch);
                return Err(e);
            }
            Err(e) => {
                tracing::error!(file = t.position.path, error = %e, lines = batch.count(), "lines refused for good");
                self.lose(t, "refused", batch.count(), weight(&batch) as u64, now_ns);
            }
        }
        Ok(())
    }

    fn lose(&self, t: &Tail, reason: &'static str, lines: u64, bytes: u64, now_ns: i64) {
        let stats = &self.context.stats;
        stats.lost_lines.add(&[reason], lines);
        stats.lost_bytes.add(&[reason], bytes);
        let source = t.position.path.clone();
        self.context.deliver.lost(&Loss { source, reason, lines, bytes, time_ns: now_ns, first_ns: None, last_ns: None });
    }

    /// The content of the file is not the one that the position is in. What had not been read of the old content may be
    /// in a copy that was made before the truncation. The copy's position is stored before the file starts over, so that
    /// a crash in between does not lose it.
    fn replaced(&mut self, t: &mut Tail, now_ns: i64) -> base::Result<()> {
        let old = &t.position;
        let is_elsewhere = old.path.as_str() != t.at.as_os_str();
        match self.find_copy(t) {
            Some((id, at)) => {
                let source = self.tails.get(&id).map_or_else(|| self.new_source(id), |c| c.source.clone());
                let state = self.tails.get(&id).map_or(State::Rotated, |c| c.state);
                let mut copy = Tail::new(id, source, old.clone(), at, state, now_ns);
                self.wait_with_position(&mut copy);
                self.offer(&mut copy, now_ns, &mut 0)?;
                self.tails.insert(id, copy);
            }
            // Another path: the inode of a file that was removed, not a truncation.
            None if !is_elsewhere && t.seen.len > old.offset => {
                self.lose(t, "truncated", 0, t.seen.len - old.offset, now_ns);
            }
            None => {}
        }
        stats::add(&self.context.stats.truncations, 1);
        t.start_over();
        if t.stored {
            self.wait_with_position(t);
            self.offer(t, now_ns, &mut 0)?;
        }
        Ok(())
    }

    /// A file beside `t` that holds what `t` held, and goes on from its position.
    fn find_copy(&self, t: &Tail) -> Option<(FileId, std::path::PathBuf)> {
        let known = |id: &FileId| self.tails.get(id).is_some_and(|c| c.stored || c.position.offset > 0);
        let path = Path::new(&t.position.path);
        let fits = |at: &Path, id: FileId| {
            id != t.id
                && !known(&id)
                && is_kin(path, at)
                && Content::open(at, id).is_ok_and(|f| tail::is_continued_by(&t.position, &f).unwrap_or(false) && f.is_whole())
        };
        discover::siblings(path.parent()?).into_iter().map(|(at, m)| (FileId::of(&m), at)).find(|(id, at)| fits(at, *id))
    }

    /// Looks at a file before its first byte is taken: packed files are left alone, and copies of followed files are not
    /// read again.
    fn is_text(&mut self, t: &mut Tail, now_ns: i64) -> io::Result<bool> {
        const PACKED: [&[u8]; 4] = [b"\x1f\x8b", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"BZh"];
        let head = t.open()?.read(0, limits::HEAD_BYTES)?;
        if PACKED.iter().any(|p| head.starts_with(p)) {
            t.state = State::Skipped;
            t.file = None;
            return Ok(false);
        }
        t.suspect = !t.stored && self.is_copy(t, &head);
        if !t.suspect {
            return Ok(true);
        }
        // Whether it is a whole copy shows when it is not written to any more, or when the original is truncated.
        if now_ns - t.active_ns < self.settings.rotated_wait.as_nanos() as i64 {
            return Ok(false);
        }
        t.suspect = false;
        if head.len() < limits::HEAD_BYTES {
            return Ok(true); // short files begin alike by chance
        }
        stats::add(&self.context.stats.copies_skipped, 1);
        t.skip_to_end(self.settings.max_line_bytes);
        self.wait_with_position(t);
        Ok(false)
    }

    /// Whether a followed file beside `t` begins with the same bytes, or began with them when it was read.
    fn is_copy(&self, t: &Tail, head: &[u8]) -> bool {
        let alike = |o: &Tail| {
            let p: &Position = &o.position;
            let began = p.head.len > 0 && p.head.begins(head);
            began || Content::open(&o.at, o.id).and_then(|f| f.read(0, head.len())).is_ok_and(|b| b == head)
        };
        self.tails.values().any(|o| o.state == State::Live && !o.is_moved() && is_kin(&o.at, &t.at) && alike(o))
    }

    fn cannot_read(&mut self, t: &mut Tail, e: &io::Error, now_ns: i64) {
        t.file = None;
        if e.kind() == io::ErrorKind::NotFound {
            // Renamed since files were looked for, or gone for good.
            if t.state == State::Rotated {
                match discover::find_in_dir(&t.at, t.id) {
                    Some(p) => t.at = p,
                    None => {
                        if t.latest.len > t.position.offset {
                            self.lose(t, "vanished", 0, t.latest.len - t.position.offset, now_ns);
                        }
                        t.state = State::Done;
                    }
                }
            }
            return;
        }
        t.unreadable = true;
        if !std::mem::replace(&mut t.complained, true) {
            tracing::warn!(file = %t.at.display(), error = %e, "file cannot be read, it is tried again");
        }
    }
}

/// Bytes that a waiting batch holds.
fn weight(batch: &Lines) -> usize {
    batch.streams.iter().flat_map(|s| &s.lines).map(|l| l.text.len() + size_of::<Line>()).sum()
}

/// Whether `copy` has a name as it is given to copies of `path`: beside it, beginning with its name up to the last dot.
fn is_kin(path: &Path, copy: &Path) -> bool {
    let stem = path.file_stem().map(|s| s.as_encoded_bytes().to_vec());
    let named = || copy.file_name().zip(stem).is_some_and(|(n, s)| n.as_encoded_bytes().starts_with(&s));
    path.parent() == copy.parent() && path != copy && named()
}
