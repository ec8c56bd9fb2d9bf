//! The writing half: connections that take batch numbers from one counter, and what they measured.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::Args;
use super::client::{Answer, Client, Targets};
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

/// The writing half of a run.
pub struct Sender {
    args: Args,
    journal: Arc<Journal>,
    targets: Arc<Targets>,
    began: Instant,
    shared: Mutex<Shared>,
    stop: AtomicU8,
}

/// No new requests; those that were taken are sent until they are answered.
const DRAIN: u8 = 1;
/// No more attempts.
const ABORT: u8 = 2;

impl Sender {
    /// Of the run that `journal` was begun for.
    pub fn new(args: Args, journal: Arc<Journal>, targets: Arc<Targets>) -> Self {
        let began = Instant::now();
        let shared = Mutex::new(Shared {
            next_batch: 0,
            rows: 0,
            last_ms: i64::MIN,
            pace: Pace::new(args.rate),
            last_answer: began,
            tally: Tally::default(),
        });
        Sender { args, journal, targets, began, shared, stop: AtomicU8::new(0) }
    }
    /// Writes until the duration or the rows are used up, or until it is told to stop; returns once every request taken is
    /// answered or given up.
    pub fn run(&self) -> anyhow::Result<Report> {
        std::thread::scope(|scope| {
            let start = |n: usize| {
                let worker = move || Connection { sender: self, client: Client::new(&self.args, self.targets.clone(), n)? }.run();
                std::thread::Builder::new().name(format!("load-{n}")).spawn_scoped(scope, worker)
            };
            let threads = (0..self.args.connections).map(start).collect::<Result<Vec<_>, _>>()?;
            threads.into_iter().try_for_each(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        let s = self.shared.lock();
        Ok(s.tally.report((s.last_answer - self.began).as_secs_f64().max(1e-9)))
    }
    /// Takes no new request.
    pub fn stop(&self) {
        self.stop.fetch_max(DRAIN, Ordering::SeqCst);
    }
    /// Gives up what is not answered yet, too.
    pub fn abort(&self) {
        self.stop.fetch_max(ABORT, Ordering::SeqCst);
    }
    /// Rows acknowledged so far.
    pub fn acknowledged_rows(&self) -> u64 {
        self.shared.lock().tally.rows
    }
    /// The run and what was acknowledged of it.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }
}

impl Tally {
    fn report(&self, seconds: f64) -> Report {
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
            problems: self.problems.clone(),
            longest_silence_ms: self.silence.as_secs_f64() * 1e3,
        }
    }
    /// Counts an attempt that came to nothing.
    fn failed(&mut self, problem: String, given_up: bool) {
        self.problem(problem);
        if given_up {
            self.abandoned += 1;
        } else {
            self.retries += 1;
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
    sender: &'a Sender,
    client: Client,
}

impl Connection<'_> {
    fn run(&self) -> anyhow::Result<()> {
        let s = self.sender;
        while let Some((number, time_ns)) = self.take() {
            let batch = s.journal.run().batch(number, time_ns);
            let due = s.shared.lock().pace.due(batch.rows, batch.raw_bytes);
            if due.duration_since(s.began) > s.args.duration {
                break;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.deliver(number, time_ns, &batch, due)?;
        }
        Ok(())
    }
    /// The next batch and its time; none when the run is over.
    fn take(&self) -> Option<(u64, i64)> {
        let (args, run) = (&self.sender.args, self.sender.journal.run());
        let mut s = self.sender.shared.lock();
        let stopped = self.sender.stop.load(Ordering::SeqCst) >= DRAIN;
        if stopped || self.sender.began.elapsed() >= args.duration || args.rows.is_some_and(|n| s.rows >= n) {
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
            let (after, problem, wait) = match self.client.push(batch) {
                Answer::Acknowledged => {
                    self.sender.journal.acknowledge(number, time_ns)?;
                    self.sender.shared.lock().acknowledged(batch, due, (attempts == 1).then_some(sent));
                    return Ok(());
                }
                Answer::Refused(status, text) => {
                    let tally = &mut self.sender.shared.lock().tally;
                    tally.refused += 1;
                    tally.problem(format!("refused: {status} {text}"));
                    return Ok(());
                }
                Answer::Again(after, problem) => (after, problem, self.client.turn()),
                Answer::Slower(after, problem) => (after, problem, true),
            };
            let give_up = first.elapsed() > self.sender.args.retry_for || self.sender.stop.load(Ordering::SeqCst) >= ABORT;
            self.sender.shared.lock().tally.failed(problem, give_up);
            if give_up {
                return Ok(());
            }
            if wait {
                std::thread::sleep(after.map_or(backoff, |a| a.min(RETRY_AFTER_MAX)));
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
    }
}

impl Shared {
    /// Counts an acknowledgement; `sent` is when, if the first attempt was the one.
    fn acknowledged(&mut self, batch: &Batch, due: Instant, sent: Option<Instant>) {
        let now = Instant::now();
        let silence = now.duration_since(self.last_answer);
        self.last_answer = now;
        let t = &mut self.tally;
        t.silence = t.silence.max(silence);
        (t.requests, t.rows) = (t.requests + 1, t.rows + batch.rows);
        (t.raw_bytes, t.body_bytes) = (t.raw_bytes + batch.raw_bytes, t.body_bytes + batch.body.len() as u64);
        t.delay.add(now.duration_since(due));
        if let Some(sent) = sent {
            t.latency.add(now.duration_since(sent));
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
