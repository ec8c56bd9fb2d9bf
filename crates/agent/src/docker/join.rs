//! Makes lines of the messages of one output: joins the frames of long lines, and gives each line its time.

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use crate::deliver::Line;
use crate::limits::{CLOCK_STEP_NS, FRAME_BYTES};

/// What is to be known of one output to go on with it. It is part of the position, so that lines that are read again are
/// the same rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pen {
    /// The time that the last line got, nanoseconds.
    pub time_ns: i64,
    /// Docker's time of the last message, nanoseconds; 0 before the first.
    pub raw_ns: i64,
    /// How many messages have exactly that time.
    pub at_raw: u64,
    /// The beginning of a line whose end has not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The line under way was cut; what is left of it is passed over.
    #[serde(default)]
    pub skipping: bool,
}

/// The beginning of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its text so far.
    pub text: String,
    /// Docker's time of its first frame.
    pub time_ns: i64,
    /// What the log driver added.
    #[serde(default)]
    pub attrs: Vec<(String, String)>,
}

/// What was cut off lines that are too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Lines.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Pen {
    /// Takes a message; returns the line that it completes. A line is cut at `max_line` bytes.
    pub fn push(&mut self, e: Entry<'_>, max_line: usize, cut: &mut Cut) -> Option<Line> {
        self.count(e.time_ns);
        // Docker cuts a line only where its buffer is full. A shorter message without a line end is what a process wrote
        // last.
        let ends = e.whole || e.text.len() < FRAME_BYTES;
        if self.skipping {
            self.skipping = !ends;
            cut.bytes += e.text.len() as u64;
            return None;
        }
        let part = match self.part.take() {
            None => Part { text: e.text.into_owned(), time_ns: e.time_ns, attrs: e.attrs },
            Some(mut p) => {
                p.text.push_str(&e.text);
                p
            }
        };
        if part.text.len() > max_line {
            self.skipping = !ends;
            return Some(self.cut(part, max_line, cut));
        }
        if ends {
            return Some(self.line(part));
        }
        self.part = Some(part);
        None
    }

    /// Nothing more comes of the line under way: what is there of it is a line.
    pub fn finish(&mut self) -> Option<Line> {
        self.skipping = false;
        self.part.take().map(|p| self.line(p))
    }

    fn count(&mut self, raw_ns: i64) {
        self.at_raw = if raw_ns == self.raw_ns { self.at_raw + 1 } else { 1 };
        self.raw_ns = raw_ns;
    }

    fn cut(&mut self, mut part: Part, max_line: usize, cut: &mut Cut) -> Line {
        let keep = (0..=max_line).rev().find(|&i| part.text.is_char_boundary(i)).unwrap_or(0);
        cut.lines += 1;
        cut.bytes += (part.text.len() - keep) as u64;
        part.text.truncate(keep);
        part.text.push_str(&format!(" [cut by watchfire after {keep} bytes]"));
        self.line(part)
    }

    fn line(&mut self, part: Part) -> Line {
        // Rising, so that equal lines stay different rows. A clock that was set back is believed: otherwise all lines
        // would gather in one moment until it has caught up.
        let behind = self.time_ns.saturating_sub(part.time_ns);
        self.time_ns = if (0..CLOCK_STEP_NS).contains(&behind) { self.time_ns + 1 } else { part.time_ns };
        Line { time_ns: self.time_ns, text: part.text, metadata: part.attrs }
    }
}

/// Tells messages that were taken before from those that follow, where a place is known by time alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip {
    raw_ns: i64,
    left: u64,
}

impl Skip {
    /// Everything that `pen` has seen; none if that is nothing.
    pub fn all_of(pen: &Pen) -> Option<Skip> {
        (pen.raw_ns != 0).then_some(Skip { raw_ns: pen.raw_ns, left: pen.at_raw })
    }

    /// Whether a message of this time was taken before.
    pub fn covers(&mut self, raw_ns: i64) -> bool {
        if raw_ns == self.raw_ns && self.left > 0 {
            self.left -= 1;
            return true;
        }
        raw_ns < self.raw_ns
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Pipe, ended};
    use super::*;

    fn entry(text: &str, time_ns: i64) -> Entry<'_> {
        Entry { time_ns, ..ended(text.into(), Pipe::Stdout) }
    }

    fn run(pen: &mut Pen, messages: &[(&str, i64)], max: usize) -> (Vec<(i64, String)>, Cut) {
        let mut cut = Cut::default();
        let lines = messages.iter().filter_map(|(t, ns)| pen.push(entry(t, *ns), max, &mut cut)).map(|l| (l.time_ns, l.text));
        (lines.collect(), cut)
    }

    #[test]
    fn times_rise_and_a_clock_that_was_set_back_is_believed() {
        let hour = 3_600_000_000_000;
        let (lines, _) = run(&mut Pen::default(), &[("a\n", hour), ("a\n", hour), ("b\n", hour - 5), ("c\n", 7), ("d\n", 7)], 100);
        let times: Vec<i64> = lines.iter().map(|l| l.0).collect();
        assert_eq!(times, [hour, hour + 1, hour + 2, 7, 8]);
    }

    #[test]
    fn frames_are_joined_and_a_short_one_is_the_last_of_a_process() {
        let frame = "x".repeat(FRAME_BYTES);
        let mut pen = Pen::default();
        let (lines, cut) = run(&mut pen, &[(&frame, 5), (&frame, 6), ("end\n", 7), ("prompt> ", 8), ("next\n", 9)], 1 << 20);
        let got: Vec<_> = lines.iter().map(|(t, l)| (*t, l.len())).collect();
        assert_eq!((got, cut), (vec![(5, 2 * FRAME_BYTES + 3), (8, 8), (9, 4)], Cut::default()));
        assert_eq!(run(&mut pen, &[(&frame, 10)], 1 << 20).0, []);
        let kept: Pen = serde_json::from_str(&serde_json::to_string(&pen).unwrap()).unwrap();
        assert_eq!(kept, pen, "the part is in the position");
        assert_eq!((pen.finish().unwrap().text, pen.finish()), (frame, None));
    }

    #[test]
    fn a_line_too_long_is_cut_and_counted() {
        let frame = "é".repeat(FRAME_BYTES / 2);
        let max = FRAME_BYTES + 3;
        let (lines, cut) = run(&mut Pen::default(), &[(&frame, 1), (&frame, 2), (&frame, 3), ("e\n", 4), ("next\n", 5)], max);
        assert_eq!((lines.len(), lines[1].1.as_str()), (2, "next"));
        assert!(lines[0].1.ends_with(&format!("é [cut by watchfire after {} bytes]", FRAME_BYTES + 2)));
        assert_eq!(cut, Cut { lines: 1, bytes: (3 * FRAME_BYTES + 1 - FRAME_BYTES - 2) as u64 });
    }

    #[test]
    fn what_was_taken_is_told_by_time_and_count() {
        let mut pen = Pen::default();
        assert_eq!(Skip::all_of(&pen), None);
        run(&mut pen, &[("a\n", 4), ("b\n", 5), ("c\n", 5)], 100);
        let mut s = Skip::all_of(&pen).unwrap();
        assert_eq!([4, 5, 5, 5, 6].map(|t| s.covers(t)), [true, true, true, false, false]);
    }
}
