//! What is scraped at the moment, for whoever wants to see it.
//!
//! Jobs write here, and pages of the server read: the target with the labels that were found and those that rules made of them,
//! how its last scrape went, and what its page says of its metrics. It is lost with the process; what came of the scrapes is in
//! the samples.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::Labels;
use parking_lot::Mutex;

use super::target::{Found, Target};
use crate::deliver::Metadata;
use crate::limits;

/// The jobs of one process. Copies are the same.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<BTreeMap<String, Jobs>>>);

#[derive(Debug, Default)]
struct Jobs {
    active: BTreeMap<Labels, Active>,
    dropped: Vec<Found>,
    /// All that were left out, also those that are not kept.
    dropped_count: usize,
    /// What pages say of metrics, once for all targets that say the same.
    said: BTreeMap<String, Vec<Arc<Metadata>>>,
}

/// A target that is scraped.
#[derive(Clone, Debug)]
pub struct Active {
    /// The job.
    pub job: String,
    /// What was found, before the rules.
    pub found: BTreeMap<String, String>,
    /// The labels of its series.
    pub labels: Labels,
    /// Where its page is.
    pub url: String,
    /// How often it is scraped.
    pub interval: Duration,
    /// How long it may take.
    pub timeout: Duration,
    /// How the last scrape went; none if there was none yet.
    pub last: Option<Scraped>,
    /// What its page says of its metrics.
    pub metadata: Vec<Arc<Metadata>>,
}

/// How a scrape went.
#[derive(Clone, Debug, PartialEq)]
pub struct Scraped {
    /// When it began, nanoseconds since 1970.
    pub time_ns: i64,
    /// How long it took, seconds.
    pub seconds: f64,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// What was found and is no target, by the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The job.
    pub job: String,
    /// What was found.
    pub found: BTreeMap<String, String>,
}

impl Watch {
    /// The names of the jobs.
    pub fn jobs(&self) -> Vec<String> {
        self.0.lock().keys().cloned().collect()
    }

    /// The targets of a job, or of all jobs, by job and labels.
    pub fn active(&self, job: Option<&str>) -> Vec<Active> {
        let jobs = self.0.lock();
        jobs.iter().filter(|(name, _)| job.is_none_or(|j| j == *name)).flat_map(|(_, j)| j.active.values().cloned()).collect()
    }

    /// What was left out of a job, or of all jobs; of many the first.
    pub fn dropped(&self, job: Option<&str>) -> Vec<Dropped> {
        let jobs = self.0.lock();
        let of = |(name, j): (&String, &Jobs)| {
            let one = |found: &Found| Dropped { job: name.clone(), found: found.clone() };
            j.dropped.iter().map(one).collect::<Vec<_>>()
        };
        jobs.iter().filter(|(name, _)| job.is_none_or(|j| j == *name)).flat_map(of).collect()
    }

    /// How many were left out, by job.
    pub fn dropped_counts(&self) -> Vec<(String, usize)> {
        self.0.lock().iter().map(|(name, j)| (name.clone(), j.dropped_count)).collect()
    }

    /// Notes what a job has found: what is no target any more is forgotten, and what was known keeps its last scrape.
    pub(super) fn found(&self, job: &str, targets: &BTreeMap<Labels, Target>, dropped: Vec<Found>) {
        let mut jobs = self.0.lock();
        let own = jobs.entry(job.to_owned()).or_default();
        own.active.retain(|labels, _| targets.contains_key(labels));
        for (labels, t) in targets {
            let known = own.active.remove(labels);
            let (last, metadata) = known.map_or((None, vec![]), |k| (k.last, k.metadata));
            let active = Active {
                job: job.to_owned(),
                found: t.found.clone(),
                labels: labels.clone(),
                url: t.url.clone(),
                interval: t.interval,
                timeout: t.timeout,
                last,
                metadata,
            };
            own.active.insert(labels.clone(), active);
        }
        own.dropped_count = dropped.len();
        own.dropped = dropped;
        own.dropped.truncate(limits::SCRAPE_DROPPED);
    }

    /// Notes how a scrape went.
    pub(super) fn scraped(&self, job: &str, labels: &Labels, scraped: Scraped) {
        let mut jobs = self.0.lock();
        if let Some(a) = jobs.get_mut(job).and_then(|j| j.active.get_mut(labels)) {
            a.last = Some(scraped);
        }
    }

    /// Notes what a page says of its metrics.
    pub(super) fn said(&self, job: &str, labels: &Labels, said: &[Metadata]) {
        let mut jobs = self.0.lock();
        let Some(own) = jobs.get_mut(job) else { return };
        let Some(a) = own.active.get_mut(labels) else { return };
        a.metadata = said.iter().map(|m| one_of(own.said.entry(m.name.clone()).or_default(), m)).collect();
        own.said.retain(|_, all| {
            all.retain(|m| Arc::strong_count(m) > 1);
            !all.is_empty()
        });
    }
}

/// The one that says the same, or a new one.
fn one_of(known: &mut Vec<Arc<Metadata>>, m: &Metadata) -> Arc<Metadata> {
    if let Some(same) = known.iter().find(|k| ***k == *m) {
        return same.clone();
    }
    let new = Arc::new(m.clone());
    known.push(new.clone());
    new
}

#[cfg(test)]
mod tests {
    use super::super::job::Job;
    use super::super::target;
    use super::*;

    #[test]
    fn targets_are_seen_as_they_come_and_go() {
        let job = Job { job: "app".into(), ..Job::default() };
        let targets = |names: &[&str]| -> BTreeMap<Labels, Target> {
            let one = |n: &&str| target::of(&job, &target::named(n)).target.unwrap().unwrap();
            names.iter().map(one).map(|t| (t.labels.clone(), t)).collect()
        };
        let watch = Watch::default();
        let both = targets(&["a:1", "b:1"]);
        let first = both.keys().next().unwrap().clone();
        watch.found("app", &both, vec![target::named("c:1")]);
        let away = Scraped { time_ns: 5, seconds: 0.5, error: Some("away".into()) };
        watch.scraped("app", &first, away.clone());
        let said = Metadata { name: "x".into(), kind: 1, help: "h".into(), unit: String::new() };
        for labels in both.keys() {
            watch.said("app", labels, std::slice::from_ref(&said));
        }
        watch.scraped("other", &first, Scraped { error: None, ..away.clone() });
        let seen = watch.active(None);
        assert_eq!(seen[0].last, Some(away));
        assert_eq!(
            (seen[0].found["__address__"].as_str(), seen[0].found["__scheme__"].as_str(), seen[1].last.clone()),
            ("a:1", "http", None)
        );
        assert!(Arc::ptr_eq(&seen[0].metadata[0], &seen[1].metadata[0]), "what is said alike is kept once");
        assert_eq!(watch.dropped(Some("app"))[0].found["__address__"], "c:1");
        assert_eq!((watch.dropped_counts(), watch.active(Some("none")).len()), (vec![("app".to_owned(), 1)], 0));
        watch.found("app", &targets(&["a:1"]), vec![]);
        let seen = watch.active(Some("app"));
        assert_eq!((seen.len(), seen[0].last.is_some(), watch.dropped(None).len()), (1, true, 0), "one is gone, the other keeps its state");
    }
}
