//! The host collector: metrics of the host with the names that node_exporter gave them, because every public dashboard asks for
//! those. They are read from `/proc`; sizes of file systems from `statvfs`.
//!
//! A part that cannot be read is left out and the rest is delivered: a container hides some of `/proc`.

mod disk;
mod kernel;
mod net;
mod proc;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Labels, LabelsBuilder, Result};
use serde::{Deserialize, Serialize};

use crate::deliver::{Deliver, Sample};
use crate::outbox::Outbox;
use crate::runner::Pause;
use crate::stale::Ended;
use crate::stats::Stats;

/// Whether and how the host is measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether it is measured at all.
    pub enabled: bool,
    /// How often.
    #[serde(with = "crate::settings")]
    pub interval: Duration,
    /// The `job` label.
    pub job: String,
    /// Further labels of every sample.
    pub labels: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { enabled: true, interval: Duration::from_secs(15), job: "node".into(), labels: BTreeMap::new() }
    }
}

/// The name of this host, as the kernel has it; `localhost` when it has none.
pub fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".into() } else { name.into() }
}

/// Measures the host. One thread calls [`Collector::collect`] at every interval.
pub struct Collector {
    settings: Settings,
    instance: String,
    proc: PathBuf,
    outbox: Outbox,
    clock: Clock,
    ended: Ended,
}

impl Collector {
    /// A collector whose series get `instance`.
    pub fn new(settings: Settings, instance: String, deliver: Arc<dyn Deliver>, clock: Clock, stats: Arc<Stats>) -> Self {
        let outbox = Outbox::new("host".into(), deliver, clock.clone(), stats);
        Collector { settings, instance, proc: "/proc".into(), outbox, clock, ended: Ended::default() }
    }

    /// Reads another directory than `/proc`: what a container mounts the host's under.
    pub fn proc_at(mut self, dir: PathBuf) -> Self {
        self.proc = dir;
        self
    }

    /// One step: measures and delivers.
    pub fn collect(&mut self) {
        let now_ns = self.clock.now_ns();
        let time_ms = now_ns.div_euclid(1_000_000);
        let Settings { job, labels, .. } = &self.settings;
        let mut out = Gathered { job, instance: &self.instance, further: labels, time_ms, samples: vec![] };
        out.add("up", &[], 1.0);
        out.add("node_time_seconds", &[], now_ns as f64 / 1e9);
        proc::gather(&self.proc, &mut out);
        disk::gather(&self.proc, &mut out);
        net::gather(&self.proc, &mut out);
        kernel::gather(&self.proc, &mut out);
        let mut samples = out.samples;
        self.ended.mark(&mut samples, time_ms);
        self.outbox.give(samples);
    }

    /// What a thread does between two steps.
    pub fn pause(&self) -> Pause {
        Pause::Beat(self.settings.interval)
    }
}

/// Samples as they are gathered.
pub(crate) struct Gathered<'a> {
    pub(crate) job: &'a str,
    pub(crate) instance: &'a str,
    /// Labels that go along where a sample has none of the name.
    pub(crate) further: &'a BTreeMap<String, String>,
    pub(crate) time_ms: i64,
    pub(crate) samples: Vec<Sample>,
}

impl Gathered<'_> {
    /// Adds a sample; one whose labels are not valid (a device named twice) is left out.
    pub(crate) fn add(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        if let Ok(labels) = self.labels(name, labels) {
            self.samples.push(Sample::float(labels, self.time_ms, value));
        }
    }

    fn labels(&self, name: &str, labels: &[(&str, &str)]) -> Result<Labels> {
        let mut b = LabelsBuilder::default();
        let own = [(base::labels::METRIC_NAME, name), ("job", self.job), ("instance", self.instance)];
        for (n, v) in own.iter().chain(labels) {
            b.push(n, v);
        }
        for (n, v) in self.further {
            if !b.contains(n) {
                b.push(n, v);
            }
        }
        b.finish()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // they play the programs that write the files we read
pub(crate) mod tests;
