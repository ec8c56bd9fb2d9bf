//! Logs: the table, what turns received bodies into its rows, and LogQL.

pub mod spec;

pub use spec::SPEC;
