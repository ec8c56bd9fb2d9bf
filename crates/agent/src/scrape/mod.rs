//! Scraping, as Prometheus does it: pages of metrics become samples.
//!
//! A [`Job`] has targets: named in the settings, in files, by an HTTP server, or found at a Docker Engine ([`discover`]). What
//! is found are labels; rules make a target of them or leave it out ([`target`]). Its page is fetched ([`fetch`]) and read
//! ([`page`]): labels of page and target come together, rules work on each series, limits are kept. Beside the page's own
//! samples stand `up`, `scrape_duration_seconds`, `scrape_samples_scraped`, `scrape_samples_post_metric_relabeling` and
//! `scrape_series_added`. A series that the page no longer has ends with a staleness marker, and so does everything of a
//! target that is gone.
//!
//! **Threads.** A few threads take what is due ([`pool`]), and more come only while pages are slow: so a target that hangs holds
//! up no other. When a target is due within its interval is a matter of its labels, so that targets do not all come at once,
//! and a restart changes nothing.
//!
//! **What is not read:** native histograms, exemplars, and the types and help texts of a page.
//!
//! [`own`] is the scrape of the process itself, which needs no network.

mod discover;
mod fetch;
mod job;
mod own;
mod page;
mod pool;
mod running;
mod target;

pub use job::{Job, Limits};
pub use own::{Page, Scraper, Settings};
pub use pool::Pool;
pub use running::{Context, start};
