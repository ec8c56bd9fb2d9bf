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
use super::rows::{Run, lines as log_lines};

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
    /// Of lines, only those of the stream with this `host` are asked for.
    host: Option<String>,
    /// Which share of the questions this reader asks, of how many.
    share: (usize, usize),
    /// Questions that have come up so far, whoever asks them.
    questions: usize,
}

impl<'a> Tally<'a> {
    fn new(run: &'a Run, acknowledged: BTreeMap<u64, i64>, share: (usize, usize)) -> Self {
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
            host: None,
            share,
            questions: 0,
        }
    }
    /// Whether the question that comes up now is this reader's. All readers go through the same questions.
    fn is_mine(&mut self) -> bool {
        self.questions += 1;
        self.questions % self.share.1 == self.share.0
    }
    /// Whether a row is among those that are asked for.
    fn is_asked(&self, batch: u64, place: u64) -> bool {
        self.host.as_ref().is_none_or(|h| *h == log_lines::host(self.run, batch, place))
    }
    /// Adds what another reader of the same run found.
    fn add(&mut self, other: Tally<'_>) {
        for (n, more) in self.seen.iter_mut().zip(other.seen) {
            *n = n.saturating_add(more);
        }
        other.beyond.into_iter().for_each(|(sequence, n)| *self.beyond.entry(sequence).or_default() += n);
        self.altered += other.altered;
        self.altered_examples.extend(other.altered_examples);
        self.altered_examples.truncate(EXAMPLES);
        self.warnings += other.warnings;
        self.queries += other.queries;
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
    fn finish(mut self, seconds: f64) -> Verified {
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
            altered_examples: std::mem::take(&mut self.altered_examples),
            queries: self.queries,
            seconds,
        };
        for (sequence, n) in (self.first..).zip(&self.seen) {
            let (batch, place) = self.run.place(sequence);
            let acknowledged = self.acknowledged.contains_key(&batch) && place < self.run.rows_in(batch) && self.is_asked(batch, place);
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

/// Reads a run back; each client asks a share of the questions, all at once.
pub fn verify(clients: Vec<Client>, journal: &Journal) -> anyhow::Result<Verified> {
    let (run, acknowledged, began, of) = (journal.run(), journal.acknowledged(), Instant::now(), clients.len());
    let ask = |client: Client, n: usize| {
        let mut tally = Tally::new(run, acknowledged.clone(), (n, of));
        read(&client, &mut tally, |tally| match run.signal {
            Signal::Logs => lines::read(&client, tally),
            Signal::Metrics => samples::read(&client, tally),
            Signal::Traces => spans::read(&client, tally),
        })?;
        Ok(tally)
    };
    let tallies = std::thread::scope(|scope| {
        let threads: Vec<_> = clients.into_iter().enumerate().map(|(n, c)| scope.spawn(move || ask(c, n))).collect();
        threads
            .into_iter()
            .map(|t| t.join().map_err(|_| anyhow::anyhow!("a reader ended by a bug of ours"))?)
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    let mut all = tallies.into_iter();
    let mut first = all.next().ok_or_else(|| anyhow::anyhow!("nobody asks"))?;
    all.for_each(|t| first.add(t));
    Ok(first.finish(began.elapsed().as_secs_f64()))
}

/// Reads one batch back, of a run without late rows; of lines those of one stream, that of the line at `place` (counted round):
/// people look at few streams at a time, and all of them would be a load of its own.
pub fn verify_batch(client: &Client, run: &Run, batch: u64, place: u64, time_ns: i64) -> anyhow::Result<Verified> {
    let (began, mut tally) = (Instant::now(), Tally::new(run, BTreeMap::from([(batch, time_ns)]), (0, 1)));
    if run.signal == Signal::Logs {
        tally.host = Some(log_lines::host(run, batch, place % run.rows_in(batch)));
    }
    read(client, &mut tally, |tally| match run.signal {
        Signal::Logs => lines::read_batch(client, tally, batch, time_ns),
        Signal::Metrics => samples::read_batch(client, tally, batch, time_ns),
        Signal::Traces => spans::read(client, tally),
    })?;
    Ok(tally.finish(began.elapsed().as_secs_f64()))
}

fn read<'a>(client: &Client, tally: &mut Tally<'a>, ask: impl FnOnce(&mut Tally<'a>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let incomplete = client.incomplete();
    ask(tally)?;
    // An answer that says so in its header says so in its warnings as well, where its protocol has them.
    tally.warnings = tally.warnings.max(client.incomplete() - incomplete);
    Ok(())
}

#[cfg(test)]
mod tests;
