//! Traces: the spans table, what turns received bodies into its rows, and reading traces back.

pub mod ingest;
pub mod spec;

pub use spec::SPEC;
