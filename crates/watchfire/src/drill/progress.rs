//! A line that tells what is going on, on standard error: rewritten in place on a terminal, one line a step elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// From one look of the line to the next.
const EVERY: Duration = Duration::from_millis(250);

/// The line.
pub struct Progress {
    terminal: bool,
    quiet: bool,
    what: String,
    shown: Option<Instant>,
}

impl Progress {
    /// Shows nothing if `quiet`.
    pub fn new(quiet: bool) -> Self {
        Progress { terminal: std::io::stderr().is_terminal(), quiet, what: String::new(), shown: None }
    }
    /// A step has begun.
    pub fn step(&mut self, drill: &str, what: &str) {
        self.what = format!("{drill}: {what}");
        self.shown = None;
        if !self.terminal && !self.quiet {
            eprintln!("{}", self.what);
        }
    }
    /// Time has passed.
    pub fn show(&mut self, elapsed: Duration, rows: u64, reads: u64) {
        if !self.terminal || self.quiet || self.shown.is_some_and(|s| s.elapsed() < EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        let text = format!("{:>4} s  {}  ({rows} rows acknowledged, {reads} reads)", elapsed.as_secs(), self.what);
        // Whoever watches may have gone; that is no reason to end the drill.
        let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        let _ = std::io::stderr().flush();
    }
    /// Makes room for other text.
    pub fn clear(&mut self) {
        if self.terminal && !self.quiet {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
