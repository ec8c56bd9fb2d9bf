//! What happens to log lines between source and spool: the stages of Alloy's `loki.process` and Promtail's
//! `pipeline_stages`, with their names, settings and semantics. One stage, one file.
//!
//! Settings are a list of maps with one key each, as in Promtail's files:
//!
//! ```yaml
//! - json: {expressions: {level: , msg: message}}
//! - labels: {level: }
//! - output: {source: msg}
//! ```
//!
//! A place of delivery is put behind stages with [`Through::new`]; [`Through::tick`] lets go of what waited for too long.
//!
//! **What is dropped here is dropped on purpose** and counted by its reason, never reported as a loss.
//!
//! **Nothing is lost or doubled by a crash**, though some stages (`multiline`, `cri`) hold lines back over several batches:
//! what they hold travels inside the position of the batch ([`Through`]), so it becomes durable together with the lines that
//! went on, and is there again after a restart. A batch that is refused for now is not processed again: the same result is
//! offered again when the source gives the same batch.
//!
//! **The same lines give the same rows**: `sampling` decides by line and time, a timestamp without a year takes it from the
//! time of the line, and streams keep the order in which they first came. Only `limit` and `drop` by age look at the clock.
//!
//! Design: a [`Pipeline`] is immutable and shared by all sources that go through it; what it remembers of one source is a
//! [`State`], which the caller keeps. A stage changes the entry in place and says what becomes of it ([`Step`]).

pub mod entry;
mod parse;
pub mod pipeline;
mod selector;
pub mod settings;
pub mod state;
#[cfg(test)]
mod testing;
pub mod through;

mod cri;
mod decolorize;
mod docker;
mod drop;
mod json;
mod label_drop;
mod label_keep;
mod labels;
mod limit;
mod logfmt;
mod matching;
mod multiline;
mod output;
mod pack;
mod pattern;
mod redact;
mod regex;
mod relabelling;
mod replace;
mod sampling;
mod split_json;
mod static_labels;
mod structured_metadata;
mod template;
mod tenant;
mod timestamp;
mod truncate;

pub use entry::{Entry, Extracted, Value};
pub use pipeline::{Dropped, Pipeline};
pub use settings::Stages;
pub use state::State;
pub use through::Through;

use state::Memory;

/// What becomes of an entry.
enum Step {
    /// It goes on to the next stage.
    On,
    /// It ends here, for this reason.
    Drop(String),
    /// The stage keeps it, and has taken it out.
    Held,
    /// These go on in its place.
    Many(Vec<Entry>),
    /// These have been through stages of their own, which dropped some, and go on in its place.
    Nested(Vec<Entry>, Vec<Dropped>),
}

/// What a stage knows beside the entry.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    /// The wall clock, nanoseconds since 1970.
    pub now_ns: i64,
    /// The clock that never jumps, see [`base::Clock::elapsed_ns`].
    pub elapsed_ns: i64,
}

/// One stage.
trait Stage: Send + Sync {
    /// Changes the entry and says what becomes of it.
    fn apply(&self, entry: &mut Entry, at: Moment, memory: &mut Memory<'_>) -> Step;

    /// Lets go of what has been held for long enough, or, if `all`, of everything.
    fn release(&self, _all: bool, _at: Moment, _memory: &mut Memory<'_>) -> Vec<Entry> {
        vec![]
    }

    /// How long the source is to wait so that a rate is kept.
    fn debt(&self, _at: Moment) -> Option<std::time::Duration> {
        None
    }

    /// The stages inside this one.
    fn inner(&self) -> Option<&Pipeline> {
        None
    }
}

/// Why a stage's settings are refused.
type Refused = String;
