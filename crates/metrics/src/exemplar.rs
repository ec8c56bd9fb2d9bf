//! Exemplars: a table of their own, and how they are found.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt32Type};
use base::{Error, Labels, LabelsBuilder, Result, Tenant};
use table::{Cancel, Column, ColumnType, Order, Prefer, Rows, ScanRequest, TableSpec, TimeRange, TimeUnit};
use wire::remote_write::label_pairs;

use crate::promql::ast::{Expr, ExprKind, Selector};
use crate::{limits, promql};

/// The value an exemplar stands for.
pub const VALUE: &str = "value";
/// Its labels: label fields of remote write 1.0.
pub const LABELS: &str = "labels";

/// One row per exemplar; a series is the metric that it is of.
pub static SPEC: TableSpec = TableSpec {
    name: "exemplars",
    rows: "exemplars",
    unit: TimeUnit::Ms,
    slice: 7_200_000,
    columns: &[Column::new(VALUE, ColumnType::F64), Column::new(LABELS, ColumnType::Bytes)],
    order: Order::Series(&[]),
    identity: &[LABELS],
    prefer: &[Prefer::Greater(VALUE)],
};

/// An exemplar.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Its labels: for the most part the id of a trace.
    pub labels: Labels,
    /// The value it stands for.
    pub value: f64,
    /// Milliseconds since 1970.
    pub time_ms: i64,
}

/// The exemplars of a series, by time.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplars {
    /// The series.
    pub series: Labels,
    /// Its exemplars.
    pub exemplars: Vec<Exemplar>,
}

/// The exemplars of `start_ms..=end_ms` of all series that the selectors of a query name.
pub fn find(rows: &dyn Rows, tenant: &Tenant, query: &str, start_ms: i64, end_ms: i64, cancel: &Cancel) -> Result<Vec<Exemplars>> {
    let mut selectors = vec![];
    selectors_of(&promql::checked(query)?, &mut selectors);
    let mut found: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
    let mut left = limits::EXEMPLARS;
    for s in selectors {
        let range = TimeRange { start: start_ms, end: end_ms.saturating_add(1) };
        let mut q = ScanRequest::new(&SPEC, tenant.clone(), s.matchers, range);
        q.cancel = cancel.clone();
        let stream = rows.scan(&q)?;
        for batch in stream.batches {
            let batch = batch?;
            left = left.checked_sub(batch.num_rows()).ok_or_else(|| {
                Error::invalid(format!("more than {} exemplars: ask for a shorter time or fewer series", limits::EXEMPLARS))
            })?;
            let series = batch.column(0).as_primitive::<UInt32Type>().values();
            let times = batch.column(1).as_primitive::<Int64Type>().values();
            let values = batch.column(2).as_primitive::<Float64Type>().values();
            let labels = batch.column(3).as_binary_view();
            for i in 0..batch.num_rows() {
                let of = stream.series.get(series[i] as usize).ok_or_else(|| Error::internal("a scan answered with an unknown series"))?;
                let e = Exemplar { labels: read_labels(labels.value(i))?, value: values[i], time_ms: times[i] };
                found.entry(of.clone()).or_default().push(e);
            }
        }
    }
    let finish = |(series, mut exemplars): (Labels, Vec<Exemplar>)| {
        exemplars.sort_by(|a, b| a.time_ms.cmp(&b.time_ms).then_with(|| a.labels.cmp(&b.labels)));
        // Two selectors may find the same.
        exemplars.dedup_by(|a, b| a.time_ms == b.time_ms && a.labels == b.labels);
        Exemplars { series, exemplars }
    };
    Ok(found.into_iter().map(finish).collect())
}

fn read_labels(fields: &[u8]) -> Result<Labels> {
    let damaged = || Error::corrupt("a stored exemplar cannot be read");
    let mut b = LabelsBuilder::default();
    for pair in label_pairs(fields) {
        let (name, value) = pair.map_err(|_| damaged())?;
        let text = |b| std::str::from_utf8(b).map_err(|_| damaged());
        b.push(text(name)?, text(value)?);
    }
    b.finish().map_err(|_| damaged())
}

/// The selectors of an expression.
fn selectors_of(e: &Expr, out: &mut Vec<Selector>) {
    match &e.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::Str(_) => {}
        ExprKind::Selector(s) => out.push(s.clone()),
        ExprKind::Subquery(q) => selectors_of(&q.expr, out),
        ExprKind::Paren(e) | ExprKind::Unary(_, e) => selectors_of(e, out),
        ExprKind::Binary(b) => [&b.left, &b.right].into_iter().for_each(|e| selectors_of(e, out)),
        ExprKind::Aggregate(a) => a.param.iter().chain([&a.expr]).for_each(|e| selectors_of(e, out)),
        ExprKind::Call(_, args) => args.iter().for_each(|e| selectors_of(e, out)),
    }
}
