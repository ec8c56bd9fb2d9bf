//! What people look at before they know what to ask: how much there is, which labels and fields, which kinds of lines.
//!
//! Everything here is bounded by what is looked at, not by what there is: where a range holds more, the answer is an
//! estimate or is of the newest lines, and says so where the protocol has a place for it.

mod fields;
mod labels;
mod patterns;
mod volume;

pub use fields::{DetectedField, FieldQuery, FieldType, detected_field_values, detected_fields};
pub use labels::{DetectedLabel, detected_labels};
pub use patterns::{PatternSeries, Patterns, patterns};
pub use volume::{AggregateBy, IndexStats, VolumeQuery, stats, volume};

use base::{Error, Result};

use crate::logql::{self, Expr, ast::LogExpr};

/// A log query; nothing or `{}` selects all streams.
fn log_query(query: &str) -> Result<LogExpr> {
    if matches!(query.trim(), "" | "{}") {
        return Ok(LogExpr { matchers: vec![], stages: vec![] });
    }
    match logql::parse(query)? {
        Expr::Log(log) => Ok(log),
        Expr::Metric(_) => Err(Error::invalid("only log queries are supported here: a selector, perhaps with stages")),
    }
}
