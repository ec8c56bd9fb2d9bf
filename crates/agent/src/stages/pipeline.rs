//! Stages in their order.

use super::entry::Entry;
use super::state::{StageName, State};
use super::{Moment, Stage, Step};

/// An entry that was dropped on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Why, as counted.
    pub reason: String,
    /// Bytes of its line.
    pub bytes: u64,
}

/// Stages that every line goes through in their order. Made from [`super::Stages`].
#[derive(Default)]
pub struct Pipeline {
    pub(super) stages: Vec<(StageName, Box<dyn Stage>)>,
}

/// What came of entries.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What goes on, in order.
    pub entries: Vec<Entry>,
    /// What was dropped.
    pub dropped: Vec<Dropped>,
}

impl Pipeline {
    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Lets one entry through.
    pub(crate) fn process(&self, entry: Entry, at: Moment, state: &mut State, out: &mut Outcome) {
        self.from(0, entry, at, state, out);
    }

    /// Lets go of what stages have held for long enough, or, if `all`, of everything.
    pub(crate) fn release(&self, all: bool, at: Moment, state: &mut State, out: &mut Outcome) {
        // They have been through stages that are not known any more; they go on as they are.
        out.entries.extend(state.orphans(&self.names()));
        self.release_inner(all, at, state, out);
    }

    pub(super) fn release_inner(&self, all: bool, at: Moment, state: &mut State, out: &mut Outcome) {
        for (i, (name, stage)) in self.stages.iter().enumerate() {
            let mut released = vec![];
            if let Some(inner) = stage.inner() {
                let mut from_inner = Outcome::default();
                inner.release_inner(all, at, state, &mut from_inner);
                out.dropped.append(&mut from_inner.dropped);
                released = from_inner.entries;
            }
            released.extend(stage.release(all, at, &mut state.of(name)));
            for e in released {
                self.from(i + 1, e, at, state, out);
            }
        }
    }

    /// How long the sources are to wait so that the rates of `limit` stages are kept.
    pub(crate) fn debt(&self, at: Moment) -> Option<std::time::Duration> {
        let inner = |s: &dyn Stage| s.inner().and_then(|p| p.debt(at));
        self.stages.iter().filter_map(|(_, s)| s.debt(at).max(inner(s.as_ref()))).max()
    }

    /// The names of all stages, those inside others too.
    fn names(&self) -> Vec<StageName> {
        let mut names = vec![];
        for (name, stage) in &self.stages {
            names.push(name.clone());
            names.extend(stage.inner().into_iter().flat_map(Pipeline::names));
        }
        names
    }

    /// Lets an entry through the stages from number `first` on.
    fn from(&self, first: usize, mut entry: Entry, at: Moment, state: &mut State, out: &mut Outcome) {
        for (i, (name, stage)) in self.stages.iter().enumerate().skip(first) {
            let many = match stage.apply(&mut entry, at, &mut state.of(name)) {
                Step::On => continue,
                Step::Held => return,
                Step::Drop(reason) => {
                    out.dropped.push(Dropped { reason, bytes: entry.line.len() as u64 });
                    return;
                }
                Step::Many(entries) => entries,
                Step::Nested(entries, dropped) => {
                    out.dropped.extend(dropped);
                    entries
                }
            };
            for e in many {
                self.from(i + 1, e, at, state, out);
            }
            return;
        }
        out.entries.push(entry);
    }
}
