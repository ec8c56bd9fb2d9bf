//! What runs beside the data it collects: sources, receivers, relabelling and the stages that lines go through, the spool that keeps
//! what was collected until it has arrived, the lanes that send it, and the converter of Alloy's settings.
//!
//! Constraints: imports nothing of the store. What is collected goes to a [`Deliver`], which returns when the batch is
//! durable: the [`spool`], or inside `watchfire serve` the store itself. Everything is bounded, and under backpressure a
//! source waits with its bytes: nothing is skipped. What cannot be kept is reported as a [`Loss`], with its reason and count.
//!
//! Design: each source is a struct with one synchronous step (`poll`, `collect`, `scrape`) that takes the time from the
//! [`base::Clock`] seam, so that tests drive it; [`Runner`] wraps a step in a named thread that can be stopped. A source's
//! position travels in the batch with the lines it covers, so that neither is ever stored without the other, and a crash
//! neither loses nor repeats a line. Sources read the host's files with `std::fs`: what they read is not ours, and no
//! promise about durability rests on it. The lanes ([`ship`]) are threads too, one request each: blocking sockets cost less
//! than a runtime where there are as many requests under way as lanes.

pub mod convert;
pub mod deliver;
pub mod docker;
pub mod files;
pub mod host;
pub mod journal;
pub mod label_set;
pub mod limits;
mod outbox;
pub mod receive;
pub mod relabel;
pub mod runner;
mod scalar;
pub mod scrape;
mod settings;
pub mod ship;
pub mod spool;
pub mod stages;
pub mod stale;
pub mod stats;
pub mod syslog;

pub use deliver::{Batch, Body, Deliver, Format, Line, Lines, Loss, Metadata, Sample, Stream};
pub use label_set::LabelSet;
pub use runner::{Pause, Runner};
