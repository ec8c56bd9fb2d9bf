//! What a drill found, in plain words and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::limits::PROBLEMS;
use super::script::{Drill, Length};

/// One drill, done.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Name of the drill.
    pub drill: String,
    /// Nodes at the start.
    pub nodes: usize,
    /// What happens in it.
    pub story: String,
    /// What must hold in it.
    pub must: String,
    /// Whether everything held.
    pub passed: bool,
    /// What did not hold.
    pub reasons: Vec<String>,
    /// Seconds it took, with the proof.
    pub seconds: f64,
    /// What clients wrote.
    pub writes: Writes,
    /// What readers met while it happened.
    pub reads: Reads,
    /// What was found afterwards, through every node.
    pub rows: Rows,
    /// Seconds from the end of the (slowest) fault until the fleet was whole; none if there was nothing to recover from.
    pub recovered_seconds: Option<f64>,
    /// What happened when, in seconds since the load began.
    pub timeline: Vec<(f64, String)>,
    /// Requests or answers that went wrong on the way, and how often; most were made good by the next attempt.
    pub problems: BTreeMap<String, u64>,
}

/// Writes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Writes {
    /// Requests acknowledged.
    pub requests: u64,
    /// Rows in them.
    pub rows: u64,
    /// Requests that were never acknowledged: given up, or refused.
    pub failed: u64,
    /// Attempts that had to be repeated.
    pub sent_again: u64,
    /// The longest time without any acknowledgement, seconds; of the signal that it was longest for.
    pub longest_gap_seconds: f64,
    /// 99 of 100 requests were acknowledged within it, attempts and waiting included, seconds; of the slowest signal.
    pub p99_seconds: f64,
}

/// Reads.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reads {
    /// Reads that were asked while somebody was there to ask.
    pub asked: u64,
    /// Reads that no node answered.
    pub failed: u64,
    /// Answers that said they were incomplete, where every answer must be whole.
    pub partial: u64,
    /// Answers that said they were incomplete, where they may.
    pub partial_allowed: u64,
    /// Answers that lacked rows without saying so.
    pub silently_incomplete: u64,
    /// Answers with a row twice or altered.
    pub wrong: u64,
    /// The longest time without any answer, seconds.
    pub longest_gap_seconds: f64,
}

/// Rows, asked for afterwards through every node; the worst answer counts.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rows {
    /// Acknowledged.
    pub acknowledged: u64,
    /// Acknowledged and not there.
    pub lost: u64,
    /// There more than once.
    pub doubled: u64,
    /// Not what was written.
    pub altered: u64,
    /// There without an acknowledgement: the answer was lost on the way.
    pub unacknowledged: u64,
    /// Nodes that were asked for all of them.
    pub nodes_asked: usize,
    /// Answers that said they were incomplete.
    pub partial: u64,
}

impl Report {
    /// Judges what was measured; `slack` times as long as the drill's bounds is allowed.
    pub fn judge(&mut self, drill: &Drill, slack: f64) {
        let (w, r, v) = (&self.writes, &self.reads, &self.rows);
        let mut why = Vec::new();
        let none = |why: &mut Vec<String>, n: u64, what: &str| {
            if n > 0 {
                why.push(format!("{n} {what}"));
            }
        };
        none(&mut why, v.lost, "acknowledged rows are lost");
        none(&mut why, v.doubled, "rows are there twice");
        none(&mut why, v.altered, "rows are not what was written");
        none(&mut why, w.failed, "writes failed for good");
        none(&mut why, r.failed, "reads failed");
        none(&mut why, r.silently_incomplete, "answers lacked rows and did not say so");
        none(&mut why, r.partial, "answers said that they were incomplete");
        none(&mut why, r.wrong, "answers had doubled or altered rows");
        none(&mut why, v.partial, "answers said that they were incomplete when all was over");
        if self.reasons.is_empty() && (w.rows == 0 || r.asked == 0 || v.nodes_asked == 0) {
            why.push("hardly anything was written or read: the drill has shown nothing".into());
        }
        let b = &drill.bounds;
        let longest = |why: &mut Vec<String>, seconds: f64, bound: f64, what: &str| {
            if seconds > bound * slack {
                why.push(format!("{what} {seconds:.1} s, and {:.1} s is the limit", bound * slack));
            }
        };
        longest(&mut why, w.longest_gap_seconds, b.write_gap, "no write was acknowledged for");
        longest(&mut why, r.longest_gap_seconds, b.read_gap, "no read was answered for");
        longest(&mut why, w.p99_seconds, b.write_p99, "one of a hundred writes took more than");
        self.reasons.extend(why);
        self.passed = self.reasons.is_empty();
    }

    /// Counts something that went wrong on the way.
    pub fn problem(&mut self, text: &str, n: u64) {
        if self.problems.len() < 2 * PROBLEMS || self.problems.contains_key(text) {
            *self.problems.entry(text.to_owned()).or_default() += n;
        }
    }
}

fn times(n: u64, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (w, r, v) = (&self.writes, &self.reads, &self.rows);
        let verdict = if self.passed { "PASSED" } else { "FAILED" };
        writeln!(f, "{} with {}: {verdict} ({:.0} s)", self.drill, times(self.nodes as u64, "node", "nodes"), self.seconds)?;
        writeln!(f, "  what happens   {}", self.story)?;
        writeln!(f, "  must hold      {}", self.must)?;
        for (at, what) in &self.timeline {
            writeln!(f, "  {at:>9.1} s    {what}")?;
        }
        writeln!(
            f,
            "  writes         {} rows acknowledged in {}; {} failed for good, {} had to be sent again.",
            w.rows,
            times(w.requests, "request", "requests"),
            w.failed,
            w.sent_again,
        )?;
        writeln!(
            f,
            "                 Longest time without an acknowledgement: {:.1} s. 99 of 100 writes took at most {:.2} s.",
            w.longest_gap_seconds, w.p99_seconds
        )?;
        writeln!(
            f,
            "  reads          {} asked meanwhile; {} failed, {} said that they lack something, {} lacked rows without saying so.",
            r.asked,
            r.failed,
            r.partial + r.partial_allowed,
            r.silently_incomplete,
        )?;
        writeln!(f, "                 Longest time without an answer: {:.1} s.", r.longest_gap_seconds)?;
        writeln!(
            f,
            "  afterwards     {} rows asked for, one by one, through each of {}: {} lost, {} doubled, {} altered.",
            v.acknowledged,
            times(v.nodes_asked as u64, "node", "nodes"),
            v.lost,
            v.doubled,
            v.altered
        )?;
        if let Some(s) = self.recovered_seconds {
            writeln!(f, "  recovered      {s:.1} s after the fault ended, every node saw every other and no row was on one node alone.")?;
        }
        if !self.passed {
            self.problems.iter().try_for_each(|(what, n)| writeln!(f, "  on the way     {n} × {what}"))?;
        }
        match &self.reasons[..] {
            [] => writeln!(f, "  verdict        passed: every write and every read came through, and nothing was lost or doubled."),
            why => writeln!(f, "  verdict        FAILED: {}.", why.join("; ")),
        }
    }
}

/// All drills of a run.
#[derive(Serialize)]
pub struct Summary {
    /// Whether every one passed.
    pub passed: bool,
    /// How long the drills were.
    pub length: Length,
    /// Bytes of logs a second; metrics and traces came on top.
    pub bytes_per_second: f64,
    /// One by one.
    pub drills: Vec<Report>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<18} {:>5}  {:<7} {:>12} {:>5} {:>7} {:>11} {:>11} {:>9} {:>9}",
            "drill", "nodes", "verdict", "acknowledged", "lost", "doubled", "failed w/r", "incomplete", "gap w/r", "recovered"
        )?;
        for r in &self.drills {
            writeln!(
                f,
                "{:<18} {:>5}  {:<7} {:>12} {:>5} {:>7} {:>11} {:>11} {:>9} {:>9}",
                r.drill,
                r.nodes,
                if r.passed { "passed" } else { "FAILED" },
                r.rows.acknowledged,
                r.rows.lost,
                r.rows.doubled,
                format!("{}/{}", r.writes.failed, r.reads.failed),
                r.reads.partial + r.reads.partial_allowed,
                format!("{:.1}/{:.1} s", r.writes.longest_gap_seconds, r.reads.longest_gap_seconds),
                r.recovered_seconds.map_or_else(String::new, |s| format!("{s:.1} s")),
            )?;
        }
        let failed = self.drills.iter().filter(|r| !r.passed).count();
        if failed == 0 { writeln!(f, "All drills passed.") } else { writeln!(f, "{failed} of {} drills FAILED.", self.drills.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::DRILLS;
    use super::*;

    fn good() -> Report {
        Report {
            writes: Writes { requests: 10, rows: 100, ..Writes::default() },
            reads: Reads { asked: 10, ..Reads::default() },
            rows: Rows { acknowledged: 100, nodes_asked: 2, ..Rows::default() },
            ..Report::default()
        }
    }

    fn judged(mut r: Report) -> Report {
        r.judge(&DRILLS[0], 1.0);
        r
    }

    #[test]
    fn each_thing_that_must_hold_fails_the_drill() {
        assert!(judged(good()).passed);
        let broken: [fn(&mut Report); 12] = [
            |r| r.rows.lost = 1,
            |r| r.rows.doubled = 1,
            |r| r.rows.altered = 1,
            |r| r.rows.partial = 1,
            |r| r.rows.nodes_asked = 0,
            |r| r.writes.failed = 1,
            |r| r.writes.longest_gap_seconds = 2.1,
            |r| r.writes.p99_seconds = 2.1,
            |r| r.reads.failed = 1,
            |r| r.reads.partial = 1,
            |r| r.reads.silently_incomplete = 1,
            |r| r.reads.longest_gap_seconds = 2.1,
        ];
        for (n, break_it) in broken.iter().enumerate() {
            let mut r = good();
            break_it(&mut r);
            let r = judged(r);
            assert!(!r.passed && r.reasons.len() == 1, "{n}: {:?}", r.reasons);
            assert!(r.to_string().contains(&r.reasons[0]), "the reason is told");
        }
    }

    #[test]
    fn slack_stretches_times_and_nothing_else() {
        let mut slow = good();
        slow.writes.longest_gap_seconds = 3.0;
        slow.judge(&DRILLS[0], 2.0);
        assert!(slow.passed, "{:?}", slow.reasons);
        let mut lossy = good();
        lossy.rows.lost = 1;
        lossy.judge(&DRILLS[0], 1000.0);
        assert!(!lossy.passed);
    }
}
