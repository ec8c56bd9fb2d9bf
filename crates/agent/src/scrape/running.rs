//! Jobs at work: looks for targets, scrapes each at its time, ends what is gone.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use base::labels::METRIC_NAME;
use base::{Clock, Error, Labels, LabelsBuilder, Result};
use parking_lot::Mutex;

use super::discover::Discovery;
use super::fetch::Client;
use super::job::Job;
use super::page;
use super::pool::{Pool, first_wait, next_due};
use super::target::{self, Target};
use crate::deliver::{Deliver, Sample};
use crate::limits;
use crate::outbox::Outbox;
use crate::stale::MARKER;
use crate::stats::Stats;

/// What is asked for: as Prometheus has it before OpenMetrics, whose times are in another unit.
const ACCEPT: &str = "text/plain;version=0.0.4;q=1,*/*;q=0.1";

/// What is said about each scrape, in the order in which it is written.
const ABOUT: [&str; 5] =
    ["up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added"];

/// What jobs need beside their settings.
#[derive(Clone)]
pub struct Context {
    /// Where samples go.
    pub deliver: Arc<dyn Deliver>,
    /// The time of samples.
    pub clock: Clock,
    /// Where figures are counted.
    pub stats: Arc<Stats>,
}

/// A job, and what its targets share.
struct Running {
    job: Job,
    client: Client,
    clock: Clock,
    outbox: Outbox,
}

/// What is scraped now; none when the target is gone.
type Current = Arc<Mutex<Option<Target>>>;

/// Starts a job on a pool; it ends with the pool.
///
/// # Errors
/// A pattern, an address or certificates that are none.
pub fn start(job: Job, context: Context, pool: &Pool) -> Result<()> {
    let client = Client::new(&job)?;
    let mut discovery = Discovery::new(&job)?;
    if !discovery.is_live() && job.targets.is_empty() {
        return Err(Error::invalid(format!("job {:?} has no targets, and nothing that names some", job.job)));
    }
    let Context { deliver, clock, stats } = context;
    let outbox = Outbox::new(format!("scrape/{}", job.job), deliver, clock.clone(), stats);
    let running = Arc::new(Running { job, client, clock, outbox });
    let mut known = Known::default();
    let own = pool.clone();
    let look = move || {
        let found = discovery.found(&running.client);
        for new in known.update(&running.job, &found) {
            begin(&running, new, &own);
        }
        discovery.is_live().then(|| Instant::now() + limits::DISCOVER_EVERY)
    };
    pool.add(Instant::now(), Box::new(look));
    Ok(())
}

/// The targets of a job, by their labels.
#[derive(Default)]
struct Known {
    targets: BTreeMap<Labels, Current>,
    /// What was said to be no target.
    said: HashSet<String>,
}

impl Known {
    /// Notes what there is now, and gives the targets that are new. One whose labels are known is the same target, wherever its
    /// page has moved to: its series go on.
    fn update(&mut self, job: &Job, found: &[BTreeMap<String, String>]) -> Vec<Current> {
        let mut now = BTreeMap::new();
        for f in found {
            match target::of(job, f) {
                Ok(Some(t)) if now.len() < limits::SCRAPE_TARGETS => _ = now.entry(t.labels.clone()).or_insert(t),
                Ok(Some(_)) => self.say(job, format!("there are more than {} targets; not all are scraped", limits::SCRAPE_TARGETS)),
                Ok(None) => {}
                Err(e) => self.say(job, e.to_string()),
            }
        }
        self.targets.retain(|labels, current| {
            // Its step has ended it: found again, it begins anew. Until then it may still come back.
            let is_scraped = Arc::strong_count(current) > 1;
            if is_scraped {
                *current.lock() = now.remove(labels);
            }
            is_scraped
        });
        let new: Vec<(Labels, Current)> = now.into_iter().map(|(l, t)| (l, Arc::new(Mutex::new(Some(t))))).collect();
        self.targets.extend(new.iter().cloned());
        new.into_iter().map(|(_, c)| c).collect()
    }

    /// Says it once.
    fn say(&mut self, job: &Job, text: String) {
        if self.said.len() < limits::SCRAPE_TARGETS && self.said.insert(text.clone()) {
            tracing::warn!(job = job.job, error = text, "no target is made of something that was found");
        }
    }
}

/// Scrapes a target from its first time on.
fn begin(running: &Arc<Running>, current: Current, pool: &Pool) {
    let Some(target) = current.lock().clone() else { return };
    let hash = target.labels.hash() as u64;
    let mut due = Instant::now() + first_wait(hash, target.interval, running.clock.now_ns());
    let running = running.clone();
    let mut last = Last { labels: target.labels, ..Last::default() };
    let step = move || {
        let now = current.lock().clone();
        match now {
            Some(target) => {
                last.scrape(&running.job, &running.clock, &running.outbox, &|| {
                    running.client.get(&target.url, ACCEPT, target.timeout, running.job.limits.body_bytes)
                });
                due = next_due(due, target.interval, Instant::now());
                Some(due)
            }
            None => {
                last.end(&running.clock, &running.outbox);
                None
            }
        }
    };
    pool.add(due, Box::new(step));
}

/// What the last scrape of a target left.
#[derive(Default)]
struct Last {
    /// The target's labels.
    labels: Labels,
    /// Its series.
    series: HashSet<Labels>,
    /// Why it failed; empty if it did not.
    said: String,
    /// Whether there was any.
    has_begun: bool,
}

impl Last {
    /// One scrape: a page that cannot be had or taken is `up` 0, and ends all its series.
    fn scrape(&mut self, job: &Job, clock: &Clock, outbox: &Outbox, fetch: &dyn Fn() -> Result<String>) {
        let (begin_ns, began_ns) = (clock.now_ns(), clock.elapsed_ns());
        let time_ms = begin_ns.div_euclid(1_000_000);
        let mut read = match fetch() {
            Ok(text) => page::read(&text, job, &self.labels, time_ms),
            Err(e) => page::Read { error: Some(e), ..page::Read::default() },
        };
        let took_s = (clock.elapsed_ns() - began_ns) as f64 / 1e9;
        self.say(job, read.error.as_ref());
        let added = read.series.difference(&self.series).count();
        let mut samples = std::mem::take(&mut read.samples);
        let mut gone: Vec<Labels> = self.series.difference(&read.series).cloned().collect();
        gone.sort();
        samples.extend(gone.into_iter().map(|labels| Sample { labels, time_ms, value: MARKER }));
        let up = f64::from(u8::from(read.error.is_none()));
        self.about(&mut samples, time_ms, [up, took_s, read.scraped as f64, read.kept as f64, added as f64]);
        self.series = read.series;
        self.has_begun = true;
        outbox.give(samples);
    }

    /// The target is gone: so are all its series.
    fn end(&mut self, clock: &Clock, outbox: &Outbox) {
        if !self.has_begun {
            return;
        }
        let time_ms = clock.now_ms();
        let mut gone: Vec<Labels> = self.series.drain().collect();
        gone.sort();
        let mut samples: Vec<Sample> = gone.into_iter().map(|labels| Sample { labels, time_ms, value: MARKER }).collect();
        self.about(&mut samples, time_ms, [MARKER; 5]);
        outbox.give(samples);
    }

    fn about(&self, samples: &mut Vec<Sample>, time_ms: i64, values: [f64; 5]) {
        for (name, value) in ABOUT.into_iter().zip(values) {
            let mut b = LabelsBuilder::default();
            b.push(METRIC_NAME, name);
            // A target's labels come without a name: rules cannot leave one that begins with `__`.
            self.labels.iter().for_each(|(n, v)| b.push(n, v));
            if let Ok(labels) = b.finish() {
                samples.push(Sample { labels, time_ms, value });
            }
        }
    }

    /// Says what is wrong once, and that it is over.
    fn say(&mut self, job: &Job, error: Option<&Error>) {
        let text = error.map_or_else(String::new, Error::to_string);
        if text != self.said {
            match error {
                Some(e) => tracing::warn!(job = job.job, target_labels = %self.labels, error = %e, "scrape failed"),
                None => tracing::info!(job = job.job, target_labels = %self.labels, "scrape succeeds again"),
            }
            self.said = text;
        }
    }
}

#[cfg(test)]
mod tests;
