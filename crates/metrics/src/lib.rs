//! Metrics: the samples table, what turns received bodies into its rows, and PromQL.

pub mod ingest;
pub mod limits;
pub mod promql;
pub mod spec;

pub use spec::SPEC;
