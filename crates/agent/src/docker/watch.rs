//! Hears what happens to containers, so that one that lives for a moment and is removed is seen at all.
//!
//! A container that is removed when it stops takes its log with it some milliseconds after its last line. So its log file
//! is opened the moment it starts, and once more when it dies, before the Engine is asked anything: an open file can be
//! read after it was removed. The list of containers, which is looked at regularly, finds everything else; events that are
//! missed while the connection is made anew cost nothing but that.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::Result;
use parking_lot::Mutex;

use super::client::{Came, Client, Streaming};
use super::engine::{Event, Inspected, Listed};
use crate::limits::{DOCKER_EVENT_BYTES, DOCKER_NOTES};
use crate::runner::Pause;

/// A container that has just started or died.
pub struct Note {
    /// As the event describes it.
    pub listed: Listed,
    /// More about it, if it could still be asked for.
    pub inspected: Option<Inspected>,
    /// Its log file, open.
    pub file: Option<(PathBuf, File)>,
}

/// Notes that wait for the step.
pub type Notes = Arc<Mutex<VecDeque<Note>>>;

/// Listens to the Engine; one thread calls [`Watch::step`] again and again.
pub struct Watch {
    client: Client,
    /// Where containers' directories are, if not where the Engine says.
    containers_dir: Option<PathBuf>,
    notes: Notes,
    stream: Option<(Streaming, Vec<u8>)>,
}

/// How long a step waits for an event: the thread ends within it.
const WAIT: Duration = Duration::from_millis(500);
/// After a connection broke.
const AGAIN: Duration = Duration::from_secs(2);

impl Watch {
    /// Listens through `client` and writes down what is heard in `notes`.
    pub fn new(client: Client, containers_dir: Option<PathBuf>, notes: Notes) -> Watch {
        Watch { client, containers_dir, notes, stream: None }
    }

    /// Waits for events for a moment and notes them.
    pub fn step(&mut self) -> Pause {
        match self.listen() {
            Ok(()) => Pause::None,
            Err(e) => {
                tracing::debug!(error = %e, "Docker events are not heard, the list of containers is looked at all the same");
                self.stream = None;
                Pause::Rest(AGAIN)
            }
        }
    }

    fn listen(&mut self) -> Result<()> {
        if self.stream.is_none() {
            // {"type":["container"],"event":["start","die"]}
            const FILTERS: &str = "%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22start%22%2C%22die%22%5D%7D";
            let stream = self.client.open(&format!("/events?filters={FILTERS}"))?;
            stream.wait_at_most(WAIT)?;
            if self.containers_dir.is_none() {
                // A proxy may refuse this question; then logs are opened only once they are found in the list.
                self.containers_dir = self.client.root().ok().map(|root| Path::new(&root).join("containers"));
            }
            self.stream = Some((stream, vec![]));
        }
        let Some((stream, held)) = &mut self.stream else { return Ok(()) };
        let came = stream.read(held)?;
        let end = memchr::memrchr(b'\n', held).map_or(0, |i| i + 1);
        let events: Vec<u8> = held.drain(..end).collect();
        if held.len() > DOCKER_EVENT_BYTES {
            return Err(base::Error::invalid(format!("an event of more than {DOCKER_EVENT_BYTES} bytes")));
        }
        for line in events.split(|&b| b == b'\n').filter(|l| !l.is_empty()) {
            match serde_json::from_slice::<Event>(line) {
                Ok(e) => self.note(e),
                Err(e) => tracing::debug!(error = %e, "an event of Docker cannot be read"),
            }
        }
        match came {
            Came::End => Err(base::Error::unavailable("the Engine ended its events")),
            _ => Ok(()),
        }
    }

    fn note(&self, e: Event) {
        let id = e.actor.id;
        // First of all: the file may be gone in a moment.
        let file = self.open(&id);
        let inspected = if e.action == "start" { self.client.inspect(&id).ok() } else { None };
        let listed = Listed::of_event(&id, e.actor.attributes);
        let mut notes = self.notes.lock();
        if notes.len() >= DOCKER_NOTES {
            tracing::warn!(container = listed.name(), "too many containers start and stop at once, one is left to the list of containers");
            return;
        }
        notes.push_back(Note { listed, inspected, file });
    }

    fn open(&self, id: &str) -> Option<(PathBuf, File)> {
        let is_id = !id.is_empty() && id.bytes().all(|b| b.is_ascii_hexdigit());
        let path = self.containers_dir.as_ref().filter(|_| is_id)?.join(id).join(format!("{id}-json.log"));
        File::open(&path).ok().map(|f| (path, f))
    }
}
