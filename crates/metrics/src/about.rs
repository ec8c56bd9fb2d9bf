//! What senders say of metrics: type, help and unit. A table of its own, whose rows are nothing but series: one for each
//! thing said of a metric, with a row for every day on which it was said.

use std::collections::BTreeMap;

use base::labels::METRIC_NAME;
use base::{Matcher, Result, Tenant};
use table::{Cancel, Order, Rows, ScanRequest, TableSpec, TimeRange, TimeUnit};

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// A series has the labels `__name__`, `type`, `help` and `unit`; a row's time is the start of the day of its arrival, so that
/// what is said every minute is one row.
pub static SPEC: TableSpec = TableSpec {
    name: "metric_metadata",
    rows: "metadata",
    unit: TimeUnit::Ms,
    slice: DAY_MS,
    columns: &[],
    order: Order::Series(&[]),
    identity: &[],
    prefer: &[],
};

/// The label with the metric's type.
pub const TYPE: &str = "type";
/// The label with its help.
pub const HELP: &str = "help";
/// The label with its unit.
pub const UNIT: &str = "unit";

/// What was said of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct About {
    /// One of [`wire::remote_write::METRIC_TYPES`].
    pub kind: String,
    /// What it is.
    pub help: String,
    /// Its unit, as the sender writes it; often empty.
    pub unit: String,
}

/// What was said since `since_ms`, of one metric or of all, by name.
pub fn find(
    rows: &dyn Rows,
    tenant: &Tenant,
    metric: Option<&str>,
    since_ms: i64,
    cancel: &Cancel,
) -> Result<BTreeMap<String, Vec<About>>> {
    let matchers = metric.map(|m| Matcher::eq(METRIC_NAME, m)).into_iter().collect();
    let start = since_ms.div_euclid(DAY_MS) * DAY_MS;
    let mut q = ScanRequest::new(&SPEC, tenant.clone(), matchers, TimeRange { start, end: i64::MAX });
    q.cancel = cancel.clone();
    let mut out: BTreeMap<String, Vec<About>> = BTreeMap::new();
    for labels in rows.series(&q)? {
        let text = |name| labels.get(name).unwrap_or("").to_owned();
        let about = About { kind: text(TYPE), help: text(HELP), unit: text(UNIT) };
        let all = out.entry(text(METRIC_NAME)).or_default();
        if !all.contains(&about) {
            all.push(about);
        }
    }
    Ok(out)
}
