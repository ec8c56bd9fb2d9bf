//! Logs: the table, what turns received bodies into its rows, and LogQL.

pub mod ingest;
pub mod spec;

pub use spec::SPEC;
