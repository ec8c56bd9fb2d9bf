//! `multiline`: joins a line that `firstline` matches with those after it that it does not match. Lines before the first
//! match pass. A block ends when the next begins, when it has `max_lines`, or when nothing came for `max_wait_time`.

use std::time::Duration;

use regex::Regex;
use serde::Deserialize;

use super::parse::{pattern, required};
use super::state::{Held, Memory};
use super::{Entry, Moment, Refused, Stage, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    firstline: String,
    #[serde(default, deserialize_with = "super::parse::duration")]
    max_wait_time: Option<Duration>,
    max_lines: Option<u64>,
    trim_newlines: Option<bool>,
}

const MAX_WAIT: Duration = Duration::from_secs(3);
const MAX_LINES: u64 = 128;

struct Multiline {
    first: Regex,
    max_wait_ns: i64,
    max_lines: u64,
    trim: bool,
}

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    required(&s.firstline, "firstline")?;
    let max_wait_ns = s.max_wait_time.unwrap_or(MAX_WAIT).as_nanos() as i64;
    if max_wait_ns == 0 {
        return Err("max_wait_time must be greater than 0".into());
    }
    let max_lines = s.max_lines.unwrap_or(MAX_LINES);
    Ok(Box::new(Multiline { first: pattern(&s.firstline)?, max_wait_ns, max_lines, trim: s.trim_newlines.unwrap_or(true) }))
}

impl Multiline {
    /// Adds a line to what is held, or lets it begin a block.
    fn hold(&self, before: Option<Held>, entry: &mut Entry, at: Moment) -> Held {
        let kept = if self.trim { entry.line.trim_end_matches(['\r', '\n']).len() } else { entry.line.len() };
        match before {
            None => {
                entry.line.truncate(kept);
                Held { entry: std::mem::take(entry), lines: 1, seen_ns: at.elapsed_ns }
            }
            Some(mut held) => {
                if !held.entry.line.is_empty() {
                    held.entry.line.push('\n');
                }
                held.entry.line.push_str(&entry.line[..kept]);
                Held { lines: held.lines + 1, seen_ns: at.elapsed_ns, ..held }
            }
        }
    }
}

impl Stage for Multiline {
    fn apply(&self, entry: &mut Entry, at: Moment, memory: &mut Memory<'_>) -> Step {
        // Labels of an entry are distinct, which is all that could be wrong.
        let Ok(key) = entry.labels.to_labels() else { return Step::On };
        let mut out = vec![];
        let mut before = memory.take(&key);
        let is_first = self.first.is_match(&entry.line);
        let waited = before.as_ref().is_some_and(|h| at.elapsed_ns.saturating_sub(h.seen_ns) >= self.max_wait_ns);
        if is_first || waited {
            out.extend(before.take().map(|h| h.entry));
        }
        if before.is_none() && !is_first {
            out.push(std::mem::take(entry));
            return Step::Many(out);
        }
        let held = self.hold(before, entry, at);
        if held.lines == self.max_lines {
            out.push(held.entry);
        } else {
            memory.put(key, held);
            if memory.is_full() {
                out.extend(memory.take_where(|_| true).into_iter().map(|h| h.entry));
            }
        }
        if out.is_empty() { Step::Held } else { Step::Many(out) }
    }

    fn release(&self, all: bool, at: Moment, memory: &mut Memory<'_>) -> Vec<Entry> {
        let over = |h: &Held| all || at.elapsed_ns.saturating_sub(h.seen_ns) >= self.max_wait_ns;
        memory.take_where(over).into_iter().map(|h| h.entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::pipeline::Outcome;
    use super::super::testing::{at, labels, pipeline, refused, run};
    use super::super::{Entry, State};

    #[test]
    fn blocks_are_joined() {
        let lines = ["tail", "[1] a", " b", "", " c", "[2] d"];
        assert_eq!(run("[multiline: {firstline: '^\\['}]", "", &lines), ["{} tail", "{} [1] a\n b\n\n c", "{} [2] d"]);
        assert_eq!(run("[multiline: {firstline: '^\\[', max_lines: 2}]", "", &["[1]", "a", "b", "[2]"]), ["{} [1]\na", "{} b", "{} [2]"]);
    }

    #[test]
    fn streams_are_kept_apart_and_time_ends_a_block() {
        let p = pipeline("[multiline: {firstline: '^1', max_wait_time: 3s}]");
        let (mut state, mut out) = (State::default(), Outcome::default());
        for (second, from, line) in [(0, "a=1", "1 x"), (0, "a=2", "1 y"), (1, "a=1", "x2"), (2, "a=2", "y2")] {
            p.process(Entry::new(labels(from), 7, line), at(second), &mut state, &mut out);
        }
        p.release(false, at(3), &mut state, &mut out);
        assert!(out.entries.is_empty());
        p.release(false, at(4), &mut state, &mut out);
        assert_eq!((out.entries[0].line.as_str(), out.entries[0].time_ns), ("1 x\nx2", 7));
        // Too late for its block: it is a line of its own.
        p.process(Entry::new(labels("a=2"), 8, "y3"), at(5), &mut state, &mut out);
        assert_eq!(out.entries.iter().map(|e| e.line.as_str()).collect::<Vec<_>>(), ["1 x\nx2", "1 y\ny2", "y3"]);
        assert!(!state.holds());
    }

    #[test]
    fn what_is_held_is_bounded() {
        let long = "x".repeat(600 << 10);
        let out = run("[multiline: {firstline: '^1'}]", "", &["1", &long, &long, "y"]);
        assert_eq!(out.len(), 2, "let go at the bound; what follows has no block any more");
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(refused("[multiline: {firstline: ''}]").contains("firstline is required"));
        assert!(refused("[multiline: {firstline: x, max_wait_time: 0s}]").contains("greater than 0"));
        assert!(refused("[multiline: {firstline: '('}]").contains("invalid expression"));
    }
}
