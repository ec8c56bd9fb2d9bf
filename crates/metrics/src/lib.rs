//! Metrics: the samples table, what turns received bodies into its rows, and PromQL.
//!
//! | what | where |
//! |---|---|
//! | the table | [`spec`] |
//! | remote write bodies to rows | [`ingest`] |
//! | PromQL as a language: text, tree, checked plan | [`promql`] |
//! | evaluation over [`table::Rows`] | [`eval`] |
//! | native histograms | [`histogram`] |
//! | which series, names and values there are | [`metadata`] |
//! | answers as JSON | [`response`] |
//! | bounds | [`limits`] |
//!
//! Constraints: no I/O of its own, no clock but the time limit of a query; whatever a query text or stored bytes are, the
//! answer is a value or an error.

pub mod eval;
pub mod histogram;
pub mod ingest;
pub mod limits;
pub mod metadata;
pub mod promql;
pub mod response;
pub mod spec;

pub use eval::{Options, QueryResult, QueryValue as Value, instant, range};
pub use promql::{parse, parse_selector};
pub use spec::SPEC;
