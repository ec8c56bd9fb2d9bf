//! Targets with metrics that are reached over HTTP.

use std::sync::Arc;
use std::time::Duration;

use ::agent::scrape::{self, Page, Scraper};
use ::agent::stats::Stats;
use ::agent::{Deliver, Pause};
use base::{Clock, Error};

use super::settings::Scrape;

/// Bytes of one page: a hundred thousand series.
const PAGE_BYTES: u64 = 32 << 20;

/// A step that scrapes all targets of a job, one after the other.
pub fn step(job: &Scrape, deliver: &Arc<dyn Deliver>, stats: &Arc<Stats>) -> impl FnMut() -> Pause + Send + 'static {
    let own = scrape::Settings { enabled: true, interval: job.interval, job: job.job.clone() };
    let scraper = |url: &String| {
        Scraper::new(own.clone(), instance(url), page(url.clone(), job.timeout), deliver.clone(), Clock::System, stats.clone())
    };
    let mut scrapers: Vec<Scraper> = job.urls.iter().map(scraper).collect();
    let interval = job.interval;
    move || {
        scrapers.iter_mut().for_each(Scraper::scrape);
        Pause::Beat(interval)
    }
}

fn instance(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, r)| r);
    rest.split('/').next().unwrap_or(rest).to_owned()
}

fn page(url: String, timeout: Duration) -> Page {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(timeout)).build().into();
    Box::new(move || {
        let failed = |e: ureq::Error| Error::unavailable(format!("{url}: {e}"));
        let mut response = agent.get(&url).header("Accept", "text/plain; version=0.0.4").call().map_err(failed)?;
        response.body_mut().with_config().limit(PAGE_BYTES).read_to_string().map_err(failed)
    })
}
