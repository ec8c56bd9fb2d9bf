//! Scraping, as Prometheus does it: pages of metrics become samples.
//!
//! A [`Job`] has targets: named in the settings, in files, by an HTTP server or a name server ([`dns`]), or found at a Docker Engine
//! ([`discover`]). Jobs are made of the agent's own settings, or of Prometheus' configuration as people have it ([`prometheus`]). What
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
//! **Pages** come as text, as OpenMetrics, which is asked for first, as Prometheus does, or in protobuf, which alone has native histograms and
//! is asked for where they are wanted ([`protocol`]). What a page says of its metrics is delivered when it changes and once an hour. What is
//! scraped, and how it went, is in [`Watch`]. **Not read** are times of
//! creation. Exemplars are delivered once, as long as a page shows the same.
//!
//! [`own`] is the scrape of the process itself, which needs no network.

mod access;
mod containers;
mod discover;
mod dns;
mod fetch;
mod job;
mod own;
mod page;
mod pool;
pub mod prometheus;
mod protocol;
mod running;
mod target;
mod watch;

pub use access::{Access, Header, Held};
pub use containers::Containers;
pub use dns::{Kind as DnsKind, Settings as Dns};
pub use job::{Group, Job, Limits, Lookup, Place};
pub use own::{Page, Scraper, Settings};
pub use pool::Pool;
pub use protocol::{Escaping, Protocol};
pub use running::{Context, start};
pub use wire::exposition::protobuf::Histograms;

pub use watch::{Active, Dropped, Scraped, Watch};
