//! Logs: the table, what turns received bodies into its rows, and LogQL.

mod eval;
pub mod ingest;
pub mod limits;
pub mod logql;
pub mod query;
pub mod response;
pub mod spec;
pub mod stage;

pub use spec::SPEC;
