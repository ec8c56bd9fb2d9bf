//! What an answer may lack (promise P6): noted by a scan while it runs, read by whoever renders the answer.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::{keys, limits};

/// Something whose rows may be missing from an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lack {
    /// Whose rows: a member of the cluster, a file.
    pub whose: String,
    /// Why they may be missing.
    pub why: String,
    /// Rows received since this time may be missing, nanoseconds; none if that is not known.
    pub since_ns: Option<i64>,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.whose, self.why)?;
        match self.since_ns {
            Some(ns) => write!(f, ", since {}", keys::time_name(ns)),
            None => Ok(()),
        }
    }
}

#[derive(Default)]
struct Notes {
    kept: BTreeSet<Lack>,
    more: bool,
}

/// Takes notes of what one answer may lack. Cheap to clone; clones share the notes. The same note counts once.
#[derive(Clone, Default)]
pub struct Missing(Arc<Mutex<Notes>>);

impl Missing {
    /// Notes a lack.
    pub fn note(&self, lack: Lack) {
        let mut n = self.0.lock();
        if n.kept.len() < limits::NOTES || n.kept.contains(&lack) {
            n.kept.insert(lack);
        } else {
            n.more = true;
        }
    }

    /// What was noted, in order. None means that the answer is whole.
    pub fn notes(&self) -> Vec<Lack> {
        let n = self.0.lock();
        let mut all: Vec<Lack> = n.kept.iter().cloned().collect();
        if n.more {
            all.push(Lack { whose: "others".into(), why: "more than can be named here".into(), since_ns: None });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lack(whose: &str, since_ns: Option<i64>) -> Lack {
        Lack { whose: whose.into(), why: "does not answer".into(), since_ns }
    }

    #[test]
    fn clones_share_notes_and_the_same_note_counts_once() {
        let m = Missing::default();
        assert!(m.notes().is_empty());
        m.clone().note(lack("b", None));
        m.note(lack("a", Some(951_825_600_000_000_000)));
        m.note(lack("b", None));
        let told: Vec<String> = m.notes().iter().map(Lack::to_string).collect();
        assert_eq!(told, ["a: does not answer, since 2000-02-29T12:00:00Z", "b: does not answer"]);
    }

    #[test]
    fn notes_are_bounded_and_say_so() {
        let m = Missing::default();
        (0..limits::NOTES + 5).for_each(|i| m.note(lack(&format!("{i:05}"), None)));
        let notes = m.notes();
        assert_eq!((notes.len(), notes[limits::NOTES].whose.as_str()), (limits::NOTES + 1, "others"));
    }
}
