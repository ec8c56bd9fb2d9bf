//! Finding containers: which are new, which have stopped, which are gone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use base::Kind;

use super::chain::Chain;
use super::engine::{Inspected, Listed};
use super::entry::Pipe;
use super::follow::Follow;
use super::join::Skip;
use super::position::Position;
use super::watch::Note;
use super::{Container, Reader, Source, labels};
use crate::deliver::Loss;
use crate::limits;

impl Source {
    /// Takes what was heard, and looks at the list when it is time to, or when something was heard.
    pub(super) fn discover(&mut self, now_ns: i64) {
        let notes: Vec<Note> = self.notes.lock().drain(..).collect();
        let elapsed_ns = self.context.clock.elapsed_ns();
        let every_ns = self.settings.list_interval.as_nanos() as i64;
        let is_time = !notes.is_empty() || self.listed_ns.is_none_or(|t| elapsed_ns - t >= every_ns);
        for note in notes {
            self.take_note(note);
        }
        if !is_time {
            return;
        }
        self.listed_ns = Some(elapsed_ns);
        match self.client.containers() {
            Ok(list) => {
                self.is_deaf = false;
                self.reconcile(list, now_ns);
            }
            Err(e) => {
                if !std::mem::replace(&mut self.is_deaf, true) {
                    tracing::warn!(error = %e, "Docker cannot be asked for its containers, logs that are known are read on");
                }
            }
        }
    }

    /// A container that started or died: its file is kept open, whatever becomes of it.
    fn take_note(&mut self, note: Note) {
        let id = note.listed.id.clone();
        // What was heard of one that has been read to its end and is gone would make it begin again.
        if self.forgotten.contains(&id) || !labels::is_wanted(&note.listed, &self.settings) {
            return;
        }
        if !self.containers.contains_key(&id) && !self.adopt(note.listed, note.inspected) {
            return;
        }
        let Some(c) = self.containers.get_mut(&id) else { return };
        c.is_complete = false;
        let Some((path, file)) = note.file else { return };
        if !matches!(c.reader, Reader::Disk(_)) && c.position.last_ns().is_none() {
            // Nobody could be asked, or its directory was gone by then: it may be one that vanishes.
            c.read_from_disk(path, None);
            c.is_removed_at_end = true;
        }
        if let Reader::Disk(chain) = &mut c.reader
            && let Err(e) = chain.adopt(file)
        {
            tracing::warn!(container = c.listed.name(), error = %e, "log of a container cannot be opened");
        }
    }

    fn reconcile(&mut self, list: Vec<Listed>, now_ns: i64) {
        let mut listed: BTreeMap<String, Listed> = list.into_iter().map(|l| (l.id.clone(), l)).collect();
        for (id, c) in &mut self.containers {
            match listed.remove(id) {
                Some(l) => {
                    c.is_gone = false;
                    if l != c.listed {
                        c.is_complete = false;
                        c.streams = streams(&l, &self.settings, &self.context);
                        c.listed = l;
                    }
                }
                None => c.is_gone = true,
            }
        }
        let unknown: Vec<String> = self.containers.iter().filter(|(_, c)| c.needs_asking()).map(|(id, _)| id.clone()).collect();
        for id in unknown {
            let inspected = self.inspect(&id);
            self.set_reader(&id, inspected);
        }
        for l in listed.into_values() {
            if labels::is_wanted(&l, &self.settings) {
                self.adopt(l, None);
            } else {
                // Its position stays: filters may change back.
                self.recovered.remove(&l.id);
            }
        }
        let vanished: Vec<(String, Position)> = self.recovered.drain().collect();
        for (id, p) in vanished {
            self.vanished(&id, &p, now_ns);
        }
    }

    /// A container that was followed before this process, and was removed while nobody looked.
    fn vanished(&mut self, id: &str, p: &Position, now_ns: i64) {
        if !p.ended {
            self.state_loss(&Loss {
                source: format!("{} {}", p.container, id.get(..12).unwrap_or(id)),
                reason: "removed",
                lines: 0,
                bytes: 0,
                time_ns: now_ns,
                first_ns: p.last_ns(),
                last_ns: None,
            });
        }
        self.forget.push(format!("{}{id}", self.prefix));
    }

    /// Begins to follow a container; false if there are too many.
    fn adopt(&mut self, listed: Listed, inspected: Option<Inspected>) -> bool {
        if self.containers.len() >= limits::CONTAINERS {
            tracing::error!(container = listed.name(), bound = limits::CONTAINERS, "too many containers, one is not followed");
            return false;
        }
        let id = listed.id.clone();
        let known = self.recovered.remove(&id);
        let is_expected_whole = known.is_none() && listed.created_ns().is_none_or(|made_ns| made_ns >= self.since_ns);
        let position = known.unwrap_or_else(|| Position::start(listed.name()));
        let c = Container {
            streams: streams(&listed, &self.settings, &self.context),
            reader: Reader::Unknown,
            position,
            waiting: None,
            gap: None,
            skip: [None; 2],
            is_complete: false,
            is_expected_whole,
            is_gone: false,
            is_removed_at_end: false,
            active_ns: self.context.clock.elapsed_ns(),
            complained: false,
            is_unreadable: false,
            listed,
        };
        let needs_asking = c.needs_asking();
        self.containers.insert(id.clone(), c);
        if needs_asking {
            let inspected = inspected.or_else(|| self.inspect(&id));
            self.set_reader(&id, inspected);
        }
        true
    }

    fn inspect(&self, id: &str) -> Option<Inspected> {
        match self.client.inspect(id) {
            Ok(i) => Some(i),
            Err(e) if e.kind() == Kind::NotFound => None,
            Err(e) => {
                tracing::warn!(container = id, error = %e, "Docker cannot be asked about a container, it is asked again");
                None
            }
        }
    }

    /// Decides how a container is read.
    fn set_reader(&mut self, id: &str, inspected: Option<Inspected>) {
        let (Some(c), Some(i)) = (self.containers.get_mut(id), inspected) else { return };
        c.is_removed_at_end = i.is_removed_at_end();
        let path = log_path(&i.log_path, id, &self.settings.containers_dir);
        match path.map(|p| (File::open(&p), p)) {
            Some((Ok(_), p)) => return c.read_from_disk(p, i.window()),
            // Begun, and not written yet.
            Some((Err(e), p)) if e.kind() == io::ErrorKind::NotFound && is_seen(&p) => {
                return c.read_from_disk(p, i.window());
            }
            Some((Err(e), p)) => tracing::warn!(container = c.listed.name(), file = %p.display(), error = %e,
                "log file of a container cannot be read, it is read through the Engine"),
            None => tracing::info!(container = c.listed.name(), driver = i.driver(), "container is read through the Engine"),
        }
        c.reader = Reader::Api(Box::new(Follow::new(id, i.is_terminal())));
        c.position.place = None;
    }

    /// Sets the gauges.
    pub(super) fn count(&self) {
        let stats = &self.context.stats;
        stats.containers.store(self.containers.len() as u64, Ordering::Relaxed);
        let unreadable = self.containers.values().filter(|c| c.is_unreadable).count();
        stats.containers_unreadable.store(unreadable as u64, Ordering::Relaxed);
    }
}

impl Container {
    /// Reads the log files beside `path` from its place on. If it was read through the Engine before, its place in them is
    /// known by time alone. `window` is how many of them Docker keeps.
    fn read_from_disk(&mut self, path: PathBuf, window: Option<usize>) {
        if self.position.place.is_none() {
            self.skip = self.position.pens.each_ref().map(Skip::all_of);
        }
        let mut chain = Chain::new(path, self.position.place.clone());
        if let Some(window) = window.filter(|_| self.is_expected_whole) {
            chain.expect_from_start(window);
        }
        self.reader = Reader::Disk(Box::new(chain));
    }

    fn needs_asking(&self) -> bool {
        matches!(self.reader, Reader::Unknown) && self.listed.has_begun() && !self.is_gone
    }
}

/// Where the log file is seen from here; none for drivers that have none.
fn log_path(said: &str, id: &str, containers_dir: &str) -> Option<PathBuf> {
    match (said.is_empty(), containers_dir.is_empty()) {
        (true, _) => None,
        (false, true) => Some(said.into()),
        (false, false) => Some(Path::new(containers_dir).join(id).join(format!("{id}-json.log"))),
    }
}

/// Whether the container's directory is there.
fn is_seen(log: &Path) -> bool {
    log.parent().is_some_and(|d| fs::metadata(d).is_ok_and(|m| m.is_dir()))
}

/// The labels of both outputs.
fn streams(l: &Listed, settings: &super::Settings, context: &super::Context) -> [Option<base::Labels>; 2] {
    Pipe::ALL.map(|pipe| {
        let own = labels::default(l, pipe, settings, &context.host);
        let own = own.inspect_err(|e| tracing::error!(container = l.name(), error = %e, "labels of a container cannot be made")).ok()?;
        match &context.relabel {
            Some(f) => f(&labels::meta(l, pipe), &own),
            None => Some(own),
        }
    })
}
