//! What runs beside the data it collects: the file source, the host collector, the scrape of Watchfire itself, relabelling,
//! the stages that lines go through, and the converter of Alloy's settings.
//!
//! Constraints: imports nothing of the store. What is collected goes to a [`Deliver`] that the binary provides; it returns
//! when the batch is durable. Everything is bounded, and under backpressure a source waits with its bytes: nothing is
//! skipped. What cannot be kept is reported as a [`Loss`], with its reason and its count.
//!
//! Design: each source is a struct with one synchronous step (`poll`, `collect`, `scrape`) that takes the time from the
//! [`base::Clock`] seam, so that tests drive it; [`Runner`] wraps a step in a named thread that can be stopped. A source's
//! position travels in the batch with the lines it covers, so that neither is ever stored without the other, and a crash
//! neither loses nor repeats a line. Sources read the host's files with `std::fs`: what they read is not ours, and no
//! promise about durability rests on it.

pub mod convert;
pub mod deliver;
pub mod files;
pub mod host;
pub mod label_set;
pub mod limits;
pub mod relabel;
pub mod runner;
mod scalar;
pub mod scrape;
mod settings;
pub mod stages;
pub mod stale;
pub mod stats;

pub use deliver::{Batch, Deliver, Line, Lines, Loss, Sample, Stream};
pub use runner::{Pause, Runner};
