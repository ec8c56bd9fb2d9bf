//! Jobs at work: looks for targets, scrapes each at its time, ends what is gone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::labels::METRIC_NAME;
use base::{Clock, Error, Kind, Labels, LabelsBuilder, Result};
use parking_lot::Mutex;

use super::discover::Discovery;
use super::fetch::{Client, Fetched};
use super::job::Job;
use super::page::{self, Exemplified};
use super::pool::{Pool, first_wait, next_due};
use super::protocol;
use super::target::{self, Found, Target};
use super::watch::{Scraped, Watch};
use crate::deliver::{Batch, Deliver, Metadata, Sample, Value};
use crate::limits;
use crate::outbox::Outbox;
use crate::stale::MARKER;
use crate::stats::Stats;

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
    /// Where it is seen what is scraped.
    pub watch: Watch,
}

/// A job, and what its targets share.
struct Running {
    job: Job,
    /// What is asked for, in the order in which it is liked.
    accept: String,
    client: Client,
    clock: Clock,
    outbox: Outbox,
    deliver: Arc<dyn Deliver>,
    watch: Watch,
}

/// What is scraped now; none when the target is gone.
type Current = Arc<Mutex<Option<Target>>>;

/// Starts a job on a pool; it ends with the pool.
///
/// # Errors
/// A pattern, an address or certificates that are none.
pub fn start(job: Job, context: Context, pool: &Pool) -> Result<()> {
    let client = Client::new(&job.access)?;
    let mut discovery = Discovery::new(&job)?;
    if !discovery.is_live() && job.targets.iter().all(|g| g.targets.is_empty()) {
        return Err(Error::invalid(format!("job {:?} has no targets, and nothing that names some", job.job)));
    }
    let Context { deliver, clock, stats, watch } = context;
    let outbox = Outbox::new(format!("scrape/{}", job.job), deliver.clone(), clock.clone(), stats);
    let accept = protocol::accept(&job.protocols, job.escaping);
    let running = Arc::new(Running { job, accept, client, clock, outbox, deliver, watch });
    let mut known = Known::default();
    let own = pool.clone();
    let look = move || {
        let found = discovery.found(&running.client, Instant::now());
        for new in known.update(&running.job, &found, &running.watch) {
            begin(&running, new, &own);
        }
        discovery.is_live().then(|| Instant::now() + discovery.every())
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
    fn update(&mut self, job: &Job, found: &[Found], watch: &Watch) -> Vec<Current> {
        let (mut now, mut dropped) = (BTreeMap::new(), vec![]);
        for f in found {
            let made = target::of(job, f);
            match made.target {
                Ok(Some(t)) if now.len() < limits::SCRAPE_TARGETS => _ = now.entry(t.labels.clone()).or_insert(t),
                Ok(Some(_)) => self.say(job, format!("there are more than {} targets; not all are scraped", limits::SCRAPE_TARGETS)),
                Ok(None) => dropped.push(made.found),
                Err(e) => self.say(job, e.to_string()),
            }
        }
        watch.found(&job.job, &now, dropped);
        let most = job.limits.targets;
        let is_over = most > 0 && now.len() > most;
        now.values_mut().for_each(|t| t.refused = is_over.then_some(most));
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
    let mut due = Due::first(hash, target.interval, &running.clock);
    let at = due.at;
    let running = running.clone();
    let mut last = Last { labels: target.labels, ..Last::default() };
    let step = move || {
        let now = current.lock().clone();
        let Some(target) = now else {
            last.end(&running.clock, &running.outbox);
            return None;
        };
        last.scrape(&running, due.time_ns(&running.clock, target.interval), &|| match target.refused {
            Some(most) => Err(Error::new(Kind::LimitExceeded, format!("the job has more than {most} targets, its limit"))),
            None => running.client.get(&target.url, &running.accept, target.timeout, running.job.limits.body_bytes),
        });
        due.step(target.interval);
        Some(due.at)
    };
    pool.add(at, Box::new(step));
}

/// When a target is scraped, by the clock of the threads and by that of the samples.
struct Due {
    at: Instant,
    wall_ns: i64,
}

impl Due {
    fn first(hash: u64, interval: Duration, clock: &Clock) -> Due {
        let now_ns = clock.now_ns();
        let wait = first_wait(hash, interval, now_ns);
        Due { at: Instant::now() + wait, wall_ns: now_ns + wait.as_nanos() as i64 }
    }

    /// The time of a scrape that begins now: that at which it should, if it is hardly later.
    fn time_ns(&mut self, clock: &Clock, interval: Duration) -> i64 {
        let now_ns = clock.now_ns();
        let near = limits::SCRAPE_ALIGN_NS.min(interval.as_nanos() as i64 / 100);
        if (now_ns - self.wall_ns).abs() <= near {
            return self.wall_ns;
        }
        // A clock that was set: its steps count from here on.
        if (now_ns - self.wall_ns).unsigned_abs() > interval.as_nanos() as u64 {
            self.wall_ns = now_ns;
        }
        now_ns
    }

    fn step(&mut self, interval: Duration) {
        let next = next_due(self.at, interval, Instant::now());
        self.wall_ns += (next - self.at).as_nanos() as i64;
        self.at = next;
    }
}

/// What the last scrape of a target left.
#[derive(Default)]
struct Last {
    /// The target's labels.
    labels: Labels,
    /// Its series.
    series: HashSet<Labels>,
    /// The exemplars that its series had last.
    exemplars: HashMap<Labels, Vec<Exemplified>>,
    /// Why it failed; empty if it did not.
    said: String,
    /// Whether there was any.
    has_begun: bool,
    /// What its page said of its metrics, and when that was delivered, by the time that passes.
    told: (Vec<Metadata>, i64),
}

impl Last {
    /// One scrape: a page that cannot be had or taken is `up` 0, and ends all its series.
    fn scrape(&mut self, running: &Running, time_ns: i64, fetch: &dyn Fn() -> Result<Fetched>) {
        let Running { job, clock, outbox, watch, .. } = running;
        let began_ns = clock.elapsed_ns();
        let time_ms = time_ns.div_euclid(1_000_000);
        let mut read = match fetch() {
            Ok(page) => page::read(&page, job, &self.labels, time_ms),
            Err(e) => page::Read { error: Some(e), ..page::Read::default() },
        };
        let took_s = (clock.elapsed_ns() - began_ns) as f64 / 1e9;
        let error = read.error.as_ref().map(|e| e.message().to_owned());
        watch.scraped(&job.job, &self.labels, Scraped { time_ns, seconds: took_s, error });
        self.say(job, read.error.as_ref());
        let added = read.series.difference(&self.series).count();
        let mut samples = std::mem::take(&mut read.samples);
        let mut gone: Vec<Labels> = self.series.difference(&read.series).cloned().collect();
        gone.sort();
        samples.extend(gone.into_iter().map(|labels| Sample::float(labels, time_ms, MARKER)));
        let up = f64::from(u8::from(read.error.is_none()));
        self.exemplify(&mut read, &mut samples);
        self.about(&mut samples, time_ms, [up, took_s, read.scraped as f64, read.kept as f64, added as f64]);
        self.series = read.series;
        self.has_begun = true;
        if read.error.is_none() {
            self.tell(running, read.said);
        }
        outbox.give(samples);
    }

    /// Adds the exemplars that the page did not have last time: clients show the same one until there is another.
    fn exemplify(&mut self, read: &mut page::Read, samples: &mut Vec<Sample>) {
        if read.error.is_some() || (read.exemplars.is_empty() && self.exemplars.is_empty()) {
            return;
        }
        let mut now: HashMap<Labels, Vec<Exemplified>> = HashMap::new();
        for e in std::mem::take(&mut read.exemplars) {
            if !self.exemplars.get(&e.series).is_some_and(|last| last.iter().any(|l| l.is_same(&e))) {
                let value = Value::Exemplar(e.labels.clone(), e.value);
                samples.push(Sample { labels: e.series.clone(), time_ms: e.time_ms, value });
            }
            now.entry(e.series.clone()).or_default().push(e);
        }
        // A series that shows none for once may show the same again.
        for (series, last) in self.exemplars.drain() {
            if read.series.contains(&series) {
                now.entry(series).or_insert(last);
            }
        }
        self.exemplars = now;
    }

    /// Passes on what the page says of its metrics, if it is new or was not said for long. What is refused now is said again.
    fn tell(&mut self, running: &Running, said: Vec<Metadata>) {
        let now_ns = running.clock.elapsed_ns();
        let (told, at_ns) = &self.told;
        if said.is_empty() || (*told == said && now_ns - at_ns < limits::SCRAPE_SAID_EVERY_NS) {
            return;
        }
        running.watch.said(&running.job.job, &self.labels, &said);
        match running.deliver.deliver(Batch::Metadata(&said)) {
            Ok(()) => self.told = (said, now_ns),
            Err(e) => tracing::debug!(job = running.job.job, error = %e, "what a page says of its metrics is not taken now"),
        }
    }

    /// The target is gone: so are all its series.
    fn end(&mut self, clock: &Clock, outbox: &Outbox) {
        if !self.has_begun {
            return;
        }
        let time_ms = clock.now_ms();
        let mut gone: Vec<Labels> = self.series.drain().collect();
        gone.sort();
        let mut samples: Vec<Sample> = gone.into_iter().map(|labels| Sample::float(labels, time_ms, MARKER)).collect();
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
                samples.push(Sample::float(labels, time_ms, value));
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
