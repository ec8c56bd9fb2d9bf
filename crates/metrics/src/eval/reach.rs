//! How much time a query spans: its steps, together with its windows.

use base::{Error, Result};

use crate::promql::plan::{Plan, RangeSource};

/// Refuses a query whose steps and windows together span more than `most_ns`. How far back a selector of single samples looks is not
/// counted: that is no window of the query's.
pub fn check(plan: &Plan, steps_ms: i64, most_ns: Option<i64>) -> Result<()> {
    let Some(most) = most_ns else { return Ok(()) };
    let span = span_ms(plan, steps_ms).saturating_mul(1_000_000);
    if span <= most {
        return Ok(());
    }
    let shown = base::units::format_duration_ns;
    let what = format!("the windows of the query span {}", shown(span));
    Err(Error::invalid(base::limits::beyond(&what, "queries.range", shown(most), "Ask for a shorter time or shorter windows")))
}

/// The longest time that one selector is asked for, when the expression is evaluated over `steps` milliseconds.
fn span_ms(plan: &Plan, steps: i64) -> i64 {
    // From a fixed time there is one window for all steps. Offsets move a window and make it no wider.
    let moving = |at: Option<i64>| if at.is_some() { 0 } else { steps };
    match plan {
        Plan::Number(_) | Plan::Text(_) => 0,
        Plan::Select(s) => moving(s.at),
        Plan::Range(r) => match &r.source {
            RangeSource::Select(s) => moving(s.at).saturating_add(r.width),
            RangeSource::Subquery { plan, at, .. } => span_ms(plan, moving(*at).saturating_add(r.width)),
        },
        Plan::Negate(p) | Plan::Invariant(p) => span_ms(p, steps),
        Plan::Binary(b) => span_ms(&b.left, steps).max(span_ms(&b.right, steps)),
        Plan::Aggregate(a) => a.param.iter().chain([&a.input]).map(|p| span_ms(p, steps)).max().unwrap_or(0),
        Plan::Call(c) => c.args.iter().map(|p| span_ms(p, steps)).max().unwrap_or(0),
    }
}
