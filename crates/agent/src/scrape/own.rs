//! The scrape of Watchfire itself: its own page of metrics becomes samples like any others.
//!
//! The page is read through a function, not over the network: no credentials, no listener, and it works while the process
//! starts. Semantics are those of a Prometheus scrape: `up`, `scrape_duration_seconds` and the counts of samples beside the
//! page's own, and a staleness marker for a series that the page no longer has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Result};
use serde::{Deserialize, Serialize};
use wire::exposition::{self, Line};

use crate::deliver::Deliver;
use crate::host::Gathered;
use crate::limits;
use crate::outbox::Outbox;
use crate::runner::Pause;
use crate::stale::Ended;
use crate::stats::Stats;

/// Whether and how Watchfire scrapes itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether it does.
    pub enabled: bool,
    /// How often.
    #[serde(with = "crate::settings")]
    pub interval: Duration,
    /// The `job` label.
    pub job: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { enabled: true, interval: Duration::from_secs(15), job: "watchfire".into() }
    }
}

/// Gives the page.
pub type Page = Box<dyn Fn() -> Result<String> + Send>;

/// Scrapes one page. One thread calls [`Scraper::scrape`] at every interval.
pub struct Scraper {
    settings: Settings,
    instance: String,
    page: Page,
    outbox: Outbox,
    clock: Clock,
    ended: Ended,
}

impl Scraper {
    /// A scraper whose series get `instance`.
    pub fn new(settings: Settings, instance: String, page: Page, deliver: Arc<dyn Deliver>, clock: Clock, stats: Arc<Stats>) -> Self {
        let outbox = Outbox::new("itself".into(), deliver, clock.clone(), stats);
        Scraper { settings, instance, page, outbox, clock, ended: Ended::default() }
    }

    /// One step: reads the page and delivers what it says. A page that cannot be read, not even in part, is `up` 0, and
    /// ends all its series.
    pub fn scrape(&mut self) {
        let begin_ns = self.clock.now_ns();
        let time_ms = begin_ns.div_euclid(1_000_000);
        let further = BTreeMap::new();
        let mut out = Gathered { job: &self.settings.job, instance: &self.instance, further: &further, time_ms, samples: vec![] };
        let read = (self.page)().and_then(|text| take(&text, &mut out));
        if let Err(e) = &read {
            tracing::warn!(job = self.settings.job, error = %e, "scrape failed");
            out.samples.clear();
        }
        let (count, mut samples) = (out.samples.len(), std::mem::take(&mut out.samples));
        // The page's own series end; those about the scrape do not.
        self.ended.mark(&mut samples, time_ms);
        out.samples = samples;
        out.add("up", &[], f64::from(u8::from(read.is_ok())));
        out.add("scrape_duration_seconds", &[], (self.clock.now_ns() - begin_ns) as f64 / 1e9);
        out.add("scrape_samples_scraped", &[], count as f64);
        self.outbox.give(out.samples);
    }

    /// What a thread does between two steps.
    pub fn pause(&self) -> Pause {
        Pause::Beat(self.settings.interval)
    }
}

/// The samples of a page. Labels of the page that are named like ours get `exported_` in front, as in Prometheus.
fn take(text: &str, out: &mut Gathered<'_>) -> Result<()> {
    for line in exposition::parse(text) {
        let Line::Sample(s) = line? else { continue };
        if out.samples.len() >= limits::SCRAPE_SERIES {
            return Err(base::Error::new(base::Kind::TooLarge, format!("the page has more than {} series", limits::SCRAPE_SERIES)));
        }
        let renamed: Vec<(String, &str)> = s
            .labels
            .iter()
            .map(|(n, v)| (if matches!(&**n, "job" | "instance") { format!("exported_{n}") } else { n.to_string() }, &**v))
            .collect();
        let labels: Vec<(&str, &str)> = renamed.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        out.add(&s.name, &labels, s.value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::host::tests::Kept;
    use crate::stale::MARKER;

    fn rig(page: &Arc<Mutex<Result<String>>>) -> (Arc<Kept>, Scraper) {
        let (kept, page) = (Arc::new(Kept::default()), page.clone());
        let clock = Clock::manual(7_000_000_000);
        let moved = clock.clone();
        let read = Box::new(move || {
            moved.advance_ns(250_000_000);
            page.lock().clone()
        });
        (kept.clone(), Scraper::new(Settings::default(), "h1".into(), read, kept, clock, Arc::default()))
    }

    #[test]
    fn a_page_becomes_samples() {
        let page = Arc::new(Mutex::new(Ok("# TYPE a_total counter\na_total{zone=\"x\",job=\"inner\"} 5\nb 1.5\n".to_owned())));
        let (kept, mut s) = rig(&page);
        s.scrape();
        let got = kept.values();
        assert_eq!((got["a_total{exported_job=inner,zone=x}"], got["b{}"]), (5.0, 1.5));
        assert_eq!((got["up{}"], got["scrape_duration_seconds{}"], got["scrape_samples_scraped{}"]), (1.0, 0.25, 2.0));
        assert!(kept.samples.lock().iter().all(|s| s.time_ms == 7000 && s.labels.get("job") == Some("watchfire")));
        *page.lock() = Ok("b 2\n".to_owned());
        s.scrape();
        let got = kept.values();
        assert_eq!(got["a_total{exported_job=inner,zone=x}"].to_bits(), MARKER.to_bits());
        assert_eq!((got["b{}"], got["up{}"]), (2.0, 1.0));
    }

    #[test]
    fn a_page_that_cannot_be_read_is_down_and_ends_its_series() {
        let page = Arc::new(Mutex::new(Ok("b 1\n".to_owned())));
        let (kept, mut s) = rig(&page);
        s.scrape();
        for broken in [Err(base::Error::unavailable("starting")), Ok("b 2\nnot a line {\n".to_owned())] {
            *page.lock() = broken;
            s.scrape();
            let got = kept.values();
            assert_eq!((got["up{}"], got["scrape_samples_scraped{}"]), (0.0, 0.0));
            assert!(got.get("b{}").is_none_or(|v| v.to_bits() == MARKER.to_bits()));
        }
    }
}
