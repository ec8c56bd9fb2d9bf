//! The reading half: everything that a run wrote, through the query APIs, against what was acknowledged.
//!
//! Rows that were sent but never acknowledged may or may not be there; none may be there twice. So each number read is
//! counted, acknowledged or not, and only those acknowledged must be found.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use serde::Serialize;

use super::Signal;
use super::client::Client;
use super::journal::Journal;
use super::limits::EXAMPLES;
use super::rows::Run;

mod lines;
mod samples;
mod spans;

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verified {
    /// Rows acknowledged.
    pub acknowledged: u64,
    /// Acknowledged rows that were found, once or more.
    pub found: u64,
    /// Acknowledged rows that are not there.
    pub missing: u64,
    /// Rows that are there more than once.
    pub doubled: u64,
    /// Rows whose content, time or series is not what was written.
    pub altered: u64,
    /// Rows that are there without having been acknowledged: the answer was lost, or is still to come.
    pub unacknowledged: u64,
    /// Answers that said they were incomplete.
    pub warnings: u64,
    /// Some of the missing, by sequence number.
    pub missing_examples: Vec<u64>,
    /// Some of the doubled.
    pub doubled_examples: Vec<u64>,
    /// Some of the altered, as read.
    pub altered_examples: Vec<String>,
    /// Questions asked.
    pub queries: u64,
    /// Seconds it took.
    pub seconds: f64,
}

impl Verified {
    /// Whether every acknowledged row is there once, as it was written, and no answer was incomplete.
    pub fn good(&self) -> bool {
        self.missing == 0 && self.doubled == 0 && self.altered == 0 && self.warnings == 0
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "verified      {} acknowledged rows in {} queries, {:.1} s", self.acknowledged, self.queries, self.seconds)?;
        writeln!(f, "found         {}, and {} not acknowledged", self.found, self.unacknowledged)?;
        writeln!(f, "missing       {} {:?}", self.missing, self.missing_examples)?;
        writeln!(f, "doubled       {} {:?}", self.doubled, self.doubled_examples)?;
        writeln!(f, "altered       {} {:?}", self.altered, self.altered_examples)?;
        if self.warnings > 0 {
            writeln!(f, "incomplete    {} answers", self.warnings)?;
        }
        Ok(())
    }
}

/// What has been read so far.
pub struct Tally<'a> {
    run: &'a Run,
    acknowledged: BTreeMap<u64, i64>,
    /// The least sequence number that is counted in `seen`.
    first: u64,
    seen: Vec<u8>,
    beyond: BTreeMap<u64, u64>,
    altered: u64,
    altered_examples: Vec<String>,
    warnings: u64,
    queries: u64,
}

impl<'a> Tally<'a> {
    fn new(run: &'a Run, acknowledged: BTreeMap<u64, i64>) -> Self {
        let first = acknowledged.first_key_value().map_or(0, |(b, _)| *b);
        let batches = acknowledged.last_key_value().map_or(0, |(b, _)| b + 1 - first);
        let seen = vec![0; (batches * run.batch_rows) as usize];
        Tally {
            run,
            acknowledged,
            first: first * run.batch_rows,
            seen,
            beyond: BTreeMap::new(),
            altered: 0,
            altered_examples: Vec::new(),
            warnings: 0,
            queries: 0,
        }
    }
    /// Counts a row by its number.
    fn saw(&mut self, sequence: u64) {
        match sequence.checked_sub(self.first).and_then(|at| self.seen.get_mut(at as usize)) {
            Some(n) => *n = n.saturating_add(1),
            None => *self.beyond.entry(sequence).or_default() += 1,
        }
    }
    /// Time of the batch that a row belongs to, if it was acknowledged.
    fn batch_ns(&self, sequence: u64) -> Option<i64> {
        self.acknowledged.get(&self.run.place(sequence).0).copied()
    }
    /// Counts a row that is not what was written.
    fn altered(&mut self, what: impl FnOnce() -> String) {
        self.altered += 1;
        if self.altered_examples.len() < EXAMPLES {
            self.altered_examples.push(what());
        }
    }
    fn finish(self, seconds: f64) -> Verified {
        let mut v = Verified {
            acknowledged: 0,
            found: 0,
            missing: 0,
            doubled: self.beyond.values().filter(|n| **n > 1).count() as u64,
            altered: self.altered,
            unacknowledged: self.beyond.len() as u64,
            warnings: self.warnings,
            missing_examples: Vec::new(),
            doubled_examples: self.beyond.iter().filter(|(_, n)| **n > 1).map(|(s, _)| *s).take(EXAMPLES).collect(),
            altered_examples: self.altered_examples,
            queries: self.queries,
            seconds,
        };
        for (sequence, n) in (self.first..).zip(&self.seen) {
            let (batch, place) = self.run.place(sequence);
            let acknowledged = self.acknowledged.contains_key(&batch) && place < self.run.rows_in(batch);
            v.acknowledged += u64::from(acknowledged);
            match (acknowledged, *n) {
                (true, 0) => note(&mut v.missing, &mut v.missing_examples, sequence),
                (true, _) => v.found += 1,
                (false, 0) => {}
                (false, _) => v.unacknowledged += 1,
            }
            if *n > 1 {
                note(&mut v.doubled, &mut v.doubled_examples, sequence);
            }
        }
        v
    }
}

fn note(count: &mut u64, examples: &mut Vec<u64>, sequence: u64) {
    *count += 1;
    if examples.len() < EXAMPLES {
        examples.push(sequence);
    }
}

/// Reads a run back.
pub fn verify(client: &Client, journal: &Journal) -> anyhow::Result<Verified> {
    let run = journal.run();
    read(client, Tally::new(run, journal.acknowledged()), |tally| match run.signal {
        Signal::Logs => lines::read(client, tally),
        Signal::Metrics => samples::read(client, tally),
        Signal::Traces => spans::read(client, tally),
    })
}

/// Reads one batch back, of a run without late rows.
pub fn verify_batch(client: &Client, run: &Run, batch: u64, time_ns: i64) -> anyhow::Result<Verified> {
    read(client, Tally::new(run, BTreeMap::from([(batch, time_ns)])), |tally| match run.signal {
        Signal::Logs => lines::read_batch(client, tally, batch, time_ns),
        Signal::Metrics => samples::read_batch(client, tally, batch, time_ns),
        Signal::Traces => spans::read(client, tally),
    })
}

fn read<'a>(client: &Client, mut tally: Tally<'a>, ask: impl FnOnce(&mut Tally<'a>) -> anyhow::Result<()>) -> anyhow::Result<Verified> {
    let (began, incomplete) = (Instant::now(), client.incomplete());
    ask(&mut tally)?;
    // An answer that says so in its header says so in its warnings as well, where its protocol has them.
    tally.warnings = tally.warnings.max(client.incomplete() - incomplete);
    Ok(tally.finish(began.elapsed().as_secs_f64()))
}

#[cfg(test)]
mod tests;
