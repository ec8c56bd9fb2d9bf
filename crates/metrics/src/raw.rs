//! Samples as they are stored, without a query around them: for remote read and federation.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt32Type};
use base::labels::METRIC_NAME;
use base::{Error, Labels, Matcher, Result, Tenant};
use table::{Cancel, Rows, ScanRequest, TimeRange};

use crate::escaping::Escaping;
use crate::eval::budget::Budget;
use crate::eval::value::Sample;
use crate::spec::{HISTOGRAM, SPEC, VALUE};
use crate::{Options, eval};

/// The samples of a series, by time.
#[derive(Clone, Debug, PartialEq)]
pub struct RawSeries {
    /// The series.
    pub labels: Labels,
    /// Milliseconds and values; a staleness marker is one of them.
    pub floats: Vec<(i64, f64)>,
    /// Milliseconds and `Histogram` messages.
    pub histograms: Vec<(i64, Vec<u8>)>,
}

/// Reads samples, as many in all as the options let a query hold.
pub struct Reader<'a> {
    rows: &'a dyn Rows,
    tenant: &'a Tenant,
    cancel: Cancel,
    budget: Budget,
}

impl<'a> Reader<'a> {
    /// Of the tenant's `rows`.
    pub fn new(rows: &'a dyn Rows, tenant: &'a Tenant, options: &Options) -> Self {
        Reader { rows, tenant, cancel: options.cancel.clone(), budget: Budget::new(options) }
    }

    /// The samples of `start_ms..=end_ms`.
    pub fn samples(&self, matchers: &[Matcher], start_ms: i64, end_ms: i64) -> Result<Vec<RawSeries>> {
        let range = TimeRange { start: start_ms, end: end_ms.saturating_add(1) };
        let mut q = ScanRequest::new(&SPEC, self.tenant.clone(), matchers.to_vec(), range);
        q.columns = vec![VALUE, HISTOGRAM];
        q.cancel = self.cancel.clone();
        let stream = self.rows.scan(&q)?;
        let mut out: Vec<RawSeries> =
            stream.series.iter().map(|l| RawSeries { labels: l.clone(), floats: vec![], histograms: vec![] }).collect();
        for batch in stream.batches {
            let batch = batch?;
            self.budget.take(batch.num_rows())?;
            let series = batch.column(0).as_primitive::<UInt32Type>().values();
            let times = batch.column(1).as_primitive::<Int64Type>().values();
            let values = batch.column(2).as_primitive::<Float64Type>().values();
            let histograms = batch.column(3).as_binary_view();
            for i in 0..batch.num_rows() {
                let of = out.get_mut(series[i] as usize).ok_or_else(|| Error::internal("a scan answered with an unknown series"))?;
                if histograms.is_valid(i) {
                    // A histogram counts as many as have room in its bytes.
                    self.budget.take(histograms.value(i).len() / size_of::<(i64, f64)>())?;
                    of.histograms.push((times[i], histograms.value(i).to_vec()));
                } else {
                    of.floats.push((times[i], values[i]));
                }
            }
        }
        out.retain(|s| !s.floats.is_empty() || !s.histograms.is_empty());
        Ok(out)
    }
}

/// The latest float of each series that any of the selectors matches, as Prometheus' text (0.0.4) with times and with such names as
/// the reader understands.
pub fn federate(
    rows: &dyn Rows,
    tenant: &Tenant,
    selectors: &[Vec<Matcher>],
    now_ms: i64,
    escaping: Escaping,
    options: &Options,
) -> Result<String> {
    let mut found: std::collections::BTreeMap<Labels, (i64, f64)> = std::collections::BTreeMap::new();
    for matchers in selectors {
        let range = eval::latest(rows, tenant, matchers, now_ms, options)?;
        for (labels, time_ms, sample) in range {
            if let Sample::Float(v) = sample {
                found.insert(labels, (time_ms, v));
            }
        }
    }
    let mut out = String::new();
    let mut last = None;
    for (labels, (time_ms, value)) in &found {
        let name = labels.get(METRIC_NAME).unwrap_or("");
        let shown = escaping.metric(name);
        if last != Some(name) {
            out += &format!("# TYPE {} untyped\n", quoted(&shown));
            last = Some(name);
        }
        out += &line(&shown, labels, *time_ms, *value, escaping);
    }
    Ok(out)
}

fn is_plain(name: &str) -> bool {
    let mut c = name.chars();
    c.next().is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '_' | ':'))
        && c.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
}

fn quoted(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { format!("\"{}\"", escape(name)) }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn line(name: &str, labels: &Labels, time_ms: i64, value: f64, escaping: Escaping) -> String {
    let mut inner: Vec<String> = vec![];
    if !is_plain(name) {
        inner.push(quoted(name));
    }
    for (n, v) in labels.iter().filter(|(n, _)| *n != METRIC_NAME) {
        let n = escaping.label(n);
        // The name of a label has no colon without quotes.
        let n = if n.contains(':') { format!("\"{}\"", escape(&n)) } else { quoted(&n) };
        inner.push(format!("{n}=\"{}\"", escape(v)));
    }
    // A series without the label says so, so that whoever scrapes this does not put in its own.
    if labels.get("instance").is_none() {
        inner.push("instance=\"\"".to_owned());
    }
    let before = if is_plain(name) { name } else { "" };
    format!("{before}{{{}}} {} {time_ms}\n", inner.join(","), lang::number::format(value))
}
