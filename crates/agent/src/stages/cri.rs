//! `cri`: lines of containerd and CRI-O, `TIME STREAM FLAGS TEXT`. Parts of one line (flag `P`) are joined, as long as not
//! too many streams have one open. The label `stream` and the extracted `time`, `stream`, `flags` and `content`.

use lang::go_time::{Layout, RFC3339_NANO};
use serde::Deserialize;

use super::parse::floor_char;
use super::state::{Held, Memory};
use super::{Entry, Moment, Refused, Stage, Step};

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Settings {
    /// Streams that may have an open line.
    max_partial_lines: usize,
    /// Bytes of a joined line.
    #[serde(deserialize_with = "super::parse::size")]
    max_partial_line_size: Option<usize>,
    /// Whether a longer one is cut.
    max_partial_line_size_truncate: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { max_partial_lines: 100, max_partial_line_size: None, max_partial_line_size_truncate: false }
    }
}

struct Cri {
    settings: Settings,
    layout: Layout,
}

pub(super) fn build(settings: Settings) -> Result<Box<dyn Stage>, Refused> {
    if settings.max_partial_lines == 0 {
        return Err("max_partial_lines must be greater than 0".into());
    }
    Ok(Box::new(Cri { settings, layout: Layout::new(RFC3339_NANO) }))
}

/// Time, stream, flags and text.
fn fields(line: &str) -> Option<(&str, &str, &str, &str)> {
    let (time, rest) = line.split_once(' ')?;
    let (stream, rest) = rest.split_once(' ')?;
    let (flags, text) = rest.split_once(' ').unwrap_or((rest, ""));
    // Flags are separated by `:`; the first says whether the line is partial or full.
    let known = matches!(stream, "stdout" | "stderr") && matches!(flags.split(':').next(), Some("P" | "F"));
    (known && !time.is_empty()).then_some((time, stream, flags, text))
}

impl Cri {
    fn cut(&self, line: &mut String) {
        if let Some(max) = self.settings.max_partial_line_size.filter(|_| self.settings.max_partial_line_size_truncate) {
            line.truncate(floor_char(line, max));
        }
    }
}

impl Stage for Cri {
    fn apply(&self, entry: &mut Entry, at: Moment, memory: &mut Memory<'_>) -> Step {
        let Some((time, stream, flags, text)) = fields(&entry.line) else { return Step::On };
        let partial = flags.starts_with('P');
        if let Some(ns) = self.layout.read(time).and_then(|c| c.ns()) {
            entry.time_ns = ns;
        }
        entry.labels.set("stream", stream);
        for (name, value) in [("time", time), ("stream", stream), ("flags", &flags[..1]), ("content", text)] {
            entry.extracted.set_text(name, value);
        }
        entry.line = text.to_owned();
        // Labels of an entry are distinct, which is all that could be wrong.
        let Ok(key) = entry.labels.to_labels() else { return Step::On };
        let before = memory.take(&key);
        if before.is_none() && !partial {
            return Step::On;
        }
        let lines = 1 + before.as_ref().map_or(0, |h| h.lines);
        if let Some(held) = before {
            entry.line = held.entry.line + &entry.line;
        }
        self.cut(&mut entry.line);
        if !partial {
            return Step::On;
        }
        let crowded = memory.streams() >= self.settings.max_partial_lines || memory.is_full();
        let out = if crowded { memory.take_where(|_| true) } else { vec![] };
        memory.put(key, Held { entry: std::mem::take(entry), lines, seen_ns: at.elapsed_ns });
        if out.is_empty() { Step::Held } else { Step::Many(out.into_iter().map(|h| h.entry).collect()) }
    }

    fn release(&self, all: bool, _: Moment, memory: &mut Memory<'_>) -> Vec<Entry> {
        // A part waits for its end, however long that takes.
        if all { memory.take_where(|_| true).into_iter().map(|h| h.entry).collect() } else { vec![] }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, run, time};

    #[test]
    fn lines_are_taken_apart_and_joined() {
        assert_eq!(one("[cri: {}]", "", "2023-11-14T22:13:20.5Z stderr F a text"), "{stream=\"stderr\"} a text");
        assert_eq!(time("[cri: {}]", "2023-11-14T23:13:20.5+01:00 stderr F a"), 1_700_000_000_500_000_000);
        let parts = ["T stdout P one ", "T stderr P x", "T stdout P two ", "T stdout F three", "T stderr F y"];
        assert_eq!(run("[cri: {}]", "", &parts), ["{stream=\"stdout\"} one two three", "{stream=\"stderr\"} xy"]);
    }

    #[test]
    fn open_lines_are_bounded() {
        let parts = ["T stdout P a", "T stderr P b"];
        assert_eq!(run("[cri: {max_partial_lines: 1}]", "", &parts), ["{stream=\"stdout\"} a", "{stream=\"stderr\"} b"]);
        let cut = "[cri: {max_partial_line_size: 3, max_partial_line_size_truncate: true}]";
        assert_eq!(run(cut, "", &["T stdout P ab", "T stdout F cde"]), ["{stream=\"stdout\"} abc"]);
    }

    #[test]
    fn other_lines_pass() {
        for line in ["plain", "T stdin F x", "T stdout X x", "T stdout"] {
            assert_eq!(one("[cri: {}]", "", line), format!("{{}} {line}"));
        }
    }
}
