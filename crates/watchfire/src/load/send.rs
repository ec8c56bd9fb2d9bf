//! The writing half: connections that take batch numbers from one counter, and what they measured.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::Args;
use super::client::{Answer, Client};
use super::histogram::Histogram;
use super::journal::Journal;
use super::pace::Pace;
use super::rows::{Batch, Run};

/// A request is tried again after this, doubling up to [`BACKOFF_MAX`]: short, so that the time to serve again after a
/// crash is seen.
const BACKOFF: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// However long a server asks to wait, it is asked again after this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// What was sent and how long it took.
#[derive(Serialize)]
pub struct Report {
    /// Seconds from the first request to the last answer.
    pub seconds: f64,
    /// Requests, rows and raw bytes that were acknowledged.
    pub acknowledged_requests: u64,
    /// Rows in them.
    pub acknowledged_rows: u64,
    /// Raw bytes in them.
    pub acknowledged_bytes: u64,
    /// Bytes on the wire in them.
    pub body_bytes: u64,
    /// Requests that the server will never take.
    pub refused_requests: u64,
    /// Requests given up after trying again for long.
    pub abandoned_requests: u64,
    /// Times a request was sent again.
    pub retries: u64,
    /// What answers said that were no acknowledgement, and how often.
    pub problems: BTreeMap<String, u64>,
    /// From sending to acknowledgement, milliseconds, of requests that needed one attempt.
    pub latency: Percentiles,
    /// From when a request was due to its acknowledgement, milliseconds, attempts and queueing included.
    pub delay: Percentiles,
    /// The longest time without any acknowledgement, milliseconds.
    pub longest_silence_ms: f64,
}

/// Milliseconds.
#[derive(Serialize)]
pub struct Percentiles {
    /// Half are below.
    pub p50: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl From<&Histogram> for Percentiles {
    fn from(h: &Histogram) -> Self {
        Percentiles { p50: h.quantile_ms(0.5), p99: h.quantile_ms(0.99), max: h.max_ms() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, mb) = (self.acknowledged_rows as f64, self.acknowledged_bytes as f64 / 1e6);
        writeln!(
            f,
            "acknowledged  {} rows in {} requests, {mb:.1} MB raw, {:.1} s",
            self.acknowledged_rows, self.acknowledged_requests, self.seconds
        )?;
        writeln!(f, "rate          {:.0} rows/s, {:.2} MB/s", rows / self.seconds, mb / self.seconds)?;
        writeln!(f, "latency       p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms", self.latency.p50, self.latency.p99, self.latency.max)?;
        writeln!(f, "since due     p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms", self.delay.p50, self.delay.p99, self.delay.max)?;
        writeln!(f, "sent again    {} times; longest silence {:.0} ms", self.retries, self.longest_silence_ms)?;
        writeln!(f, "failed        {} requests refused, {} given up", self.refused_requests, self.abandoned_requests)?;
        self.problems.iter().try_for_each(|(problem, n)| writeln!(f, "  {n} × {problem}"))
    }
}

/// What connections share.
struct Shared {
    next_batch: u64,
    rows: u64,
    last_ms: i64,
    pace: Pace,
    last_answer: Instant,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    requests: u64,
    rows: u64,
    raw_bytes: u64,
    body_bytes: u64,
    refused: u64,
    abandoned: u64,
    retries: u64,
    problems: BTreeMap<String, u64>,
    latency: Histogram,
    delay: Histogram,
    silence: Duration,
}

/// Writes until the duration or the rows are used up; returns once every request taken is answered or given up.
pub fn send(args: &Args, journal: &Journal) -> anyhow::Result<Report> {
    let began = Instant::now();
    let shared = Mutex::new(Shared {
        next_batch: 0,
        rows: 0,
        last_ms: i64::MIN,
        pace: Pace::new(args.rate),
        last_answer: began,
        tally: Tally::default(),
    });
    std::thread::scope(|scope| {
        let start = |n| {
            let worker = || Connection { args, journal, shared: &shared, client: Client::new(args)?, began }.run();
            std::thread::Builder::new().name(format!("load-{n}")).spawn_scoped(scope, worker)
        };
        let threads = (0..args.connections).map(start).collect::<Result<Vec<_>, _>>()?;
        threads.into_iter().try_for_each(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    let s = shared.into_inner();
    Ok(s.tally.report((s.last_answer - began).as_secs_f64().max(1e-9)))
}

impl Tally {
    fn report(self, seconds: f64) -> Report {
        Report {
            seconds,
            acknowledged_requests: self.requests,
            acknowledged_rows: self.rows,
            acknowledged_bytes: self.raw_bytes,
            body_bytes: self.body_bytes,
            refused_requests: self.refused,
            abandoned_requests: self.abandoned,
            retries: self.retries,
            latency: (&self.latency).into(),
            delay: (&self.delay).into(),
            problems: self.problems,
            longest_silence_ms: self.silence.as_secs_f64() * 1e3,
        }
    }
    fn problem(&mut self, text: String) {
        // A bounded number of short texts: some carry ids, and each would be a problem of its own.
        let key: String = text.chars().take_while(|c| *c != '\n').take(160).collect();
        if self.problems.len() < super::limits::EXAMPLES || self.problems.contains_key(&key) {
            *self.problems.entry(key).or_default() += 1;
        }
    }
}

/// One connection with one request in flight.
struct Connection<'a> {
    args: &'a Args,
    journal: &'a Journal,
    shared: &'a Mutex<Shared>,
    client: Client,
    began: Instant,
}

impl Connection<'_> {
    fn run(&self) -> anyhow::Result<()> {
        while let Some((number, time_ns)) = self.take() {
            let batch = self.journal.run().batch(number, time_ns);
            let due = self.shared.lock().pace.due(batch.rows, batch.raw_bytes);
            if due.duration_since(self.began) > self.args.duration {
                break;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.deliver(number, time_ns, &batch, due)?;
        }
        Ok(())
    }
    /// The next batch and its time; none when the run is over.
    fn take(&self) -> Option<(u64, i64)> {
        let run = self.journal.run();
        let mut s = self.shared.lock();
        if self.began.elapsed() >= self.args.duration || self.args.rows.is_some_and(|n| s.rows >= n) {
            return None;
        }
        let batch = s.next_batch;
        let time_ms = next_time_ms(run, batch, s.last_ms, &base::Clock::System);
        s.next_batch += 1;
        s.rows += run.rows_in(batch);
        s.last_ms = time_ms;
        Some((batch, time_ms * 1_000_000))
    }
    /// Sends until acknowledged, refused, or given up.
    fn deliver(&self, number: u64, time_ns: i64, batch: &Batch, due: Instant) -> anyhow::Result<()> {
        let (first, mut backoff, mut attempts) = (Instant::now(), BACKOFF, 0u64);
        loop {
            let sent = Instant::now();
            attempts += 1;
            match self.client.push(batch) {
                Answer::Acknowledged => {
                    self.journal.acknowledge(number, time_ns)?;
                    let mut s = self.shared.lock();
                    let now = Instant::now();
                    let silence = now.duration_since(s.last_answer);
                    s.last_answer = now;
                    let t = &mut s.tally;
                    t.silence = t.silence.max(silence);
                    (t.requests, t.rows) = (t.requests + 1, t.rows + batch.rows);
                    (t.raw_bytes, t.body_bytes) = (t.raw_bytes + batch.raw_bytes, t.body_bytes + batch.body.len() as u64);
                    t.delay.add(now.duration_since(due));
                    if attempts == 1 {
                        t.latency.add(now.duration_since(sent));
                    }
                    return Ok(());
                }
                Answer::Refused(status, text) => {
                    let mut s = self.shared.lock();
                    s.tally.refused += 1;
                    s.tally.problem(format!("refused: {status} {text}"));
                    return Ok(());
                }
                Answer::Again(after, problem) => {
                    let give_up = first.elapsed() > self.args.retry_for;
                    let mut s = self.shared.lock();
                    s.tally.problem(problem);
                    if give_up {
                        s.tally.abandoned += 1;
                        return Ok(());
                    }
                    s.tally.retries += 1;
                    drop(s);
                    std::thread::sleep(after.map_or(backoff, |a| a.min(RETRY_AFTER_MAX)));
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }
}

/// Even milliseconds that grow from batch to batch: by the clock, or by the run's own step.
fn next_time_ms(run: &Run, batch: u64, last_ms: i64, clock: &base::Clock) -> i64 {
    match run.step_ns {
        Some(step) => run.start_ns / 1_000_000 + batch as i64 * (step / 1_000_000),
        None => (clock.now_ms() / 2 * 2).max(last_ms.saturating_add(2)).max(run.start_ns / 1_000_000),
    }
}
