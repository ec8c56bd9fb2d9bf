//! What the stages remember of one source.

use std::collections::{BTreeMap, HashMap};

use base::{Labels, Result};
use serde::{Deserialize, Serialize};

use super::entry::{Entry, Stored};
use crate::limits;

/// Lines that are being joined.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// The first line's entry, with the text joined so far.
    pub entry: Entry,
    /// How many lines that is.
    pub lines: u64,
    /// When the last one came, by the clock that never jumps.
    pub seen_ns: i64,
}

/// The times that a `timestamp` stage gave last: as read, as given.
pub(super) type LastTime = (i64, i64);

/// The name of a stage: its number in the pipeline and its kind. What is held under a name that the pipeline does not have
/// any more is let go.
pub(super) type StageName = String;

/// What the stages of one pipeline remember of one source. It belongs to that source's position.
#[derive(Debug, Default)]
pub struct State {
    held: BTreeMap<StageName, BTreeMap<Labels, Held>>,
    times: HashMap<(StageName, Labels), LastTime>,
    held_bytes: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredHeld {
    stage: StageName,
    lines: u64,
    entry: Stored,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTime {
    stage: StageName,
    labels: Vec<(String, String)>,
    times: LastTime,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredState {
    held: Vec<StoredHeld>,
    times: Vec<StoredTime>,
}

impl State {
    /// Whether a line is held back.
    pub fn holds(&self) -> bool {
        self.held.values().any(|h| !h.is_empty())
    }

    /// What is remembered, in a form that can be stored; empty if nothing is.
    pub fn encode(&self) -> Vec<u8> {
        let few_times = self.times.len() <= limits::STORED_TIMES;
        if !self.holds() && (self.times.is_empty() || !few_times) {
            return vec![];
        }
        let all = self.held.iter().flat_map(|(s, held)| held.values().map(move |h| (s, h)));
        let held = all.map(|(s, h)| StoredHeld { stage: s.clone(), lines: h.lines, entry: (&h.entry).into() }).collect();
        let pairs = |l: &Labels| l.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let mut times: Vec<StoredTime> = if few_times {
            self.times.iter().map(|((s, l), t)| StoredTime { stage: s.clone(), labels: pairs(l), times: *t }).collect()
        } else {
            vec![]
        };
        // A retried batch is to be the same bytes.
        times.sort_by(|a, b| (&a.stage, &a.labels).cmp(&(&b.stage, &b.labels)));
        serde_json::to_vec(&StoredState { held, times }).expect("numbers and strings always have a JSON form")
    }

    /// What was held, as [`State::encode`] gave it; `elapsed_ns` is when it is taken to have come.
    pub fn decode(bytes: &[u8], elapsed_ns: i64) -> Result<State> {
        let mut state = State::default();
        if bytes.is_empty() {
            return Ok(state);
        }
        let stored: StoredState =
            serde_json::from_slice(bytes).map_err(|e| base::Error::corrupt(format!("held lines cannot be read: {e}")))?;
        for t in stored.times {
            state.times.insert((t.stage, Labels::from_pairs(t.labels)?), t.times);
        }
        for s in stored.held {
            let entry = Entry::try_from(s.entry)?;
            let labels = entry.labels.to_labels()?;
            state.held_bytes += entry.line.len();
            state.held.entry(s.stage).or_default().insert(labels, Held { entry, lines: s.lines, seen_ns: elapsed_ns });
        }
        Ok(state)
    }

    /// The part of the stage with this name.
    pub(super) fn of<'a>(&'a mut self, name: &'a str) -> Memory<'a> {
        Memory { state: self, name }
    }

    /// Takes what is held by stages other than `names`.
    pub(super) fn orphans(&mut self, names: &[StageName]) -> Vec<Entry> {
        let (kept, gone) = std::mem::take(&mut self.held).into_iter().partition(|(s, _)| names.contains(s));
        self.held = kept;
        let gone: Vec<Entry> = BTreeMap::into_values(gone).flat_map(BTreeMap::into_values).map(|h| h.entry).collect();
        self.held_bytes -= gone.iter().map(|e| e.line.len()).sum::<usize>();
        gone
    }
}

/// What one stage remembers of one source.
pub(super) struct Memory<'a> {
    state: &'a mut State,
    name: &'a str,
}

impl Memory<'_> {
    /// The whole state, for stages inside the stage.
    pub fn state(&mut self) -> &mut State {
        self.state
    }
    /// How many streams are held.
    pub fn streams(&self) -> usize {
        self.state.held.get(self.name).map_or(0, BTreeMap::len)
    }
    /// Whether more is held than may be.
    pub fn is_full(&self) -> bool {
        self.state.held_bytes > limits::HELD_BYTES || self.streams() > limits::HELD_STREAMS
    }
    /// Takes what is held for a stream.
    pub fn take(&mut self, key: &Labels) -> Option<Held> {
        let held = self.state.held.get_mut(self.name)?.remove(key)?;
        self.state.held_bytes -= held.entry.line.len();
        Some(held)
    }
    /// Holds lines of a stream.
    pub fn put(&mut self, key: Labels, held: Held) {
        self.take(&key);
        self.state.held_bytes += held.entry.line.len();
        let name = self.name;
        if !self.state.held.contains_key(name) {
            self.state.held.insert(name.to_owned(), BTreeMap::new());
        }
        if let Some(of) = self.state.held.get_mut(name) {
            of.insert(key, held);
        }
    }
    /// Takes all that `wanted` names, in the order of their streams.
    pub fn take_where(&mut self, wanted: impl Fn(&Held) -> bool) -> Vec<Held> {
        let Some(of) = self.state.held.get(self.name) else { return vec![] };
        let keys: Vec<Labels> = of.iter().filter(|(_, h)| wanted(h)).map(|(k, _)| k.clone()).collect();
        keys.iter().filter_map(|k| self.take(k)).collect()
    }
    /// The times that were given last in a stream.
    pub fn last_time(&self, key: &Labels) -> Option<LastTime> {
        self.state.times.get(&(self.name.to_owned(), key.clone())).copied()
    }
    /// Remembers them.
    pub fn set_last_time(&mut self, key: Labels, times: LastTime) {
        // Which streams are forgotten does not matter: only equal times in a row are told apart by it.
        if self.state.times.len() >= limits::KNOWN_TIMES {
            self.state.times.clear();
        }
        self.state.times.insert((self.name.to_owned(), key), times);
    }
}
