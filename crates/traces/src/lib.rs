//! Traces: the spans table, what turns received bodies into its rows, and reading traces back.

pub mod ingest;
pub mod limits;
pub mod read;
pub mod spec;

pub use read::{Trace, by_id};
pub use spec::SPEC;
