//! Metrics: the samples table and its small companions, what turns received bodies into its rows, and PromQL.
//!
//! | what | where |
//! |---|---|
//! | the table of samples | [`spec`] |
//! | the tables of exemplars and of what is said of metrics | [`exemplar`], [`about`] |
//! | remote write and OTLP bodies to rows | [`ingest`] |
//! | PromQL as a language: text, tree, checked plan | [`promql`] |
//! | evaluation over [`table::Rows`] | [`eval`] |
//! | native histograms | [`histogram`] |
//! | which series, names and values there are | [`metadata`] |
//! | samples as they are, for remote read and federation | [`raw`] |
//! | answers as JSON | [`response`] |
//! | bounds | [`limits`] |
//!
//! Constraints: no I/O of its own, no clock but the time limit of a query; whatever a query text or stored bytes are, the
//! answer is a value or an error.

pub mod about;
pub mod erase;
pub mod escaping;
pub mod eval;
pub mod exemplar;
pub mod histogram;
pub mod ingest;
pub mod limits;
pub mod metadata;
pub mod promql;
pub mod raw;
pub mod response;
pub mod spec;

pub use eval::{Options, QueryResult, QueryValue as Value, instant, range};
pub use promql::{check_selectors, matcher, parse, parse_selector, parse_selectors};
pub use spec::SPEC;

/// All tables of this crate. Rows of all of them are kept as long as samples.
pub static TABLES: [&table::TableSpec; 3] = [&spec::SPEC, &exemplar::SPEC, &about::SPEC];
