//! Logs: the table, what turns received bodies into its rows, and LogQL.

pub mod erase;
mod eval;
pub mod explore;
pub mod ingest;
pub mod limits;
pub mod logql;
pub mod query;
pub mod response;
pub mod spec;
pub mod stage;
pub mod tail;

pub use spec::SPEC;
