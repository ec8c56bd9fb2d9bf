//! How many entries and bytes there are, by stream and time.
//!
//! Entries are counted, which opens no line. Their bytes are summed as long as they are few; beyond that the mean length of a
//! stream's lines is taken from windows spread over the range.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use base::{Labels, Matcher, Result};
use table::{Direction, TimeRange};

use crate::eval::scan::{self, Batch, Reads};
use crate::eval::{Budget, ENTRY_BYTES, POINT_BYTES};
use crate::limits;
use crate::logql;
use crate::query::{Context, Points, QueryResult};
use crate::stage::labels::labels_of;

/// How much of everything there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexStats {
    /// Streams.
    pub streams: u64,
    /// Stretches of one stream within one slice of time, the closest to what the original calls a chunk.
    pub chunks: u64,
    /// Bytes of lines.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

/// What volumes are summed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateBy {
    /// The values of the labels that are asked for.
    Series,
    /// The names of labels.
    Labels,
}

/// A question for volumes; times in nanoseconds.
#[derive(Clone, Debug)]
pub struct VolumeQuery<'q> {
    /// Selector.
    pub query: &'q str,
    /// First time.
    pub start_ns: i64,
    /// First time after.
    pub end_ns: i64,
    /// Length of the stretches that are summed; one value for all of the range without it.
    pub step_ns: Option<i64>,
    /// The greatest so many.
    pub limit: usize,
    /// Labels to sum by; those that the selector names without any.
    pub target_labels: Vec<String>,
    /// By what.
    pub by: AggregateBy,
}

/// Bytes of a step's entries in a tree of them.
const STEP_BYTES: usize = 2 * POINT_BYTES;

/// Counts by stream and step, and the mean length of a stream's lines.
struct Counted {
    series: Vec<Labels>,
    /// Entries by series and step.
    entries: Vec<BTreeMap<u32, u64>>,
    stretches: u64,
    bytes_per_entry: Vec<f64>,
}

fn count(context: Context<'_>, budget: &Budget, matchers: &[Matcher], range: TimeRange, step_ns: i64) -> Result<Counted> {
    let source = context.source(budget);
    let open = |range, line| scan::open(source, matchers, range, None, Reads { line, metadata: false, level: false }, Direction::Forward);
    let stream = open(range, false)?;
    let series = stream.series.to_vec();
    budget.take(series.len() * ENTRY_BYTES)?;
    let mut entries = vec![BTreeMap::new(); series.len()];
    let (mut total, mut stretches, mut last) = (0u64, 0u64, None);
    for batch in stream.batches {
        source.cancel.check()?;
        let batch = Batch::new(&batch?)?;
        for (&s, &t) in batch.series().iter().zip(batch.times()) {
            let stretch = (s, crate::SPEC.slice_of(t));
            stretches += u64::from(last.replace(stretch) != Some(stretch));
            let step = (t.abs_diff(range.start) / step_ns.unsigned_abs().max(1)) as u32;
            if let Some(of_series) = entries.get_mut(s as usize) {
                match of_series.entry(step) {
                    Entry::Occupied(mut n) => *n.get_mut() += 1,
                    Entry::Vacant(none) => {
                        budget.take(STEP_BYTES)?;
                        none.insert(1);
                    }
                }
            }
        }
        total += batch.len() as u64;
    }
    let mut sampled: BTreeMap<Labels, (u64, u64)> = BTreeMap::new();
    for window in windows(range, total) {
        let stream = open(window, true)?;
        for batch in stream.batches {
            source.cancel.check()?;
            let batch = Batch::new(&batch?)?;
            for (i, &s) in batch.series().iter().enumerate() {
                let of_series = sampled.entry(scan::series_labels(&stream.series, s)?.clone()).or_default();
                of_series.0 += 1;
                of_series.1 += batch.line(i).len() as u64;
            }
        }
    }
    let mean = |(n, bytes): (u64, u64)| if n == 0 { 0.0 } else { bytes as f64 / n as f64 };
    let all = sampled.values().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    let bytes_per_entry = series.iter().map(|l| sampled.get(l).map_or(mean(all), |s| mean(*s))).collect();
    Ok(Counted { series, entries, stretches, bytes_per_entry })
}

/// The windows of `range` whose lines are measured: all of it if it holds few entries.
fn windows(range: TimeRange, entries: u64) -> Vec<TimeRange> {
    if entries <= limits::MEASURED_ENTRIES {
        return vec![range];
    }
    let part = range.end.saturating_sub(range.start) / limits::MEASURED_WINDOWS;
    let width = ((part as f64 * limits::MEASURED_ENTRIES as f64 / entries as f64) as i64).max(1);
    let starts = (0..limits::MEASURED_WINDOWS).map(|i| range.start + i * part);
    starts.map(|start| TimeRange { start, end: start.saturating_add(width) }).collect()
}

/// How much a selector finds.
pub fn stats(context: Context<'_>, query: &str, start_ns: i64, end_ns: i64) -> Result<IndexStats> {
    let log = super::log_query(query)?;
    let counted = count(context, &context.budget(), &log.matchers, TimeRange { start: start_ns, end: end_ns }, i64::MAX)?;
    let mut out = IndexStats { chunks: counted.stretches, ..IndexStats::default() };
    for (entries, bytes) in counted.entries.iter().zip(&counted.bytes_per_entry) {
        let n: u64 = entries.values().sum();
        out.streams += u64::from(n > 0);
        out.entries += n;
        out.bytes += (n as f64 * bytes).round() as u64;
    }
    Ok(out)
}

/// Bytes of lines, by labels: a vector, or a matrix with one value for each step.
pub fn volume(context: Context<'_>, q: &VolumeQuery<'_>) -> Result<QueryResult> {
    let matchers = if matches!(q.query.trim(), "" | "{}") { vec![] } else { logql::parse_selector(q.query)? };
    let range = TimeRange { start: q.start_ns, end: q.end_ns };
    let step_ns = q.step_ns.unwrap_or(i64::MAX);
    let budget = context.budget();
    let counted = count(context, &budget, &matchers, range, step_ns)?;
    let mut names: BTreeSet<&str> = q.target_labels.iter().map(String::as_str).collect();
    if names.is_empty() {
        names = matchers.iter().map(|m| m.name.as_str()).collect();
    }
    let mut sums: BTreeMap<Labels, BTreeMap<u32, f64>> = BTreeMap::new();
    for ((labels, entries), bytes) in counted.series.iter().zip(&counted.entries).zip(&counted.bytes_per_entry) {
        let shown: Vec<(&str, &str)> = labels.iter().filter(|(n, _)| names.is_empty() || names.contains(n)).collect();
        // A stream that has none of the labels that are asked for is none of theirs.
        if shown.is_empty() || !q.target_labels.is_empty() && shown.len() < names.len() && q.by == AggregateBy::Series {
            continue;
        }
        let keys: Vec<Labels> = match q.by {
            AggregateBy::Series => vec![labels_of(shown)],
            AggregateBy::Labels => shown.iter().map(|(n, _)| labels_of(vec![(n, "")])).collect(),
        };
        for key in keys {
            let steps = sums.entry(key).or_default();
            let before = steps.len();
            for (step, n) in entries {
                *steps.entry(*step).or_default() += *n as f64 * bytes;
            }
            budget.take((steps.len() - before) * STEP_BYTES)?;
        }
    }
    let mut all: Vec<(Labels, BTreeMap<u32, f64>, f64)> =
        sums.into_iter().map(|(l, s)| (l, s.values().sum(), s)).map(|(l, total, s): (_, f64, _)| (l, s, total)).collect();
    all.retain(|a| a.2 > 0.0);
    all.sort_by(|a, b| b.2.total_cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
    all.truncate(q.limit);
    Ok(match q.step_ns {
        None => QueryResult::Vector(all.into_iter().map(|(l, _, total)| (l, q.end_ns, total.round())).collect()),
        Some(step_ns) => {
            let time = |k: u32| q.start_ns.saturating_add(step_ns.saturating_mul(i64::from(k) + 1)).min(q.end_ns);
            let points = |s: BTreeMap<u32, f64>| s.into_iter().map(|(k, v)| (time(k), v.round())).collect();
            QueryResult::Matrix(all.into_iter().map(|(labels, s, _)| Points { labels, points: points(s) }).collect())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_entries_are_measured_whole_and_many_in_windows() {
        let range = TimeRange { start: 1_000_000, end: 17_000_000 };
        assert_eq!(windows(range, limits::MEASURED_ENTRIES), [range]);
        let many = windows(range, limits::MEASURED_ENTRIES * 10);
        assert_eq!(many.len(), limits::MEASURED_WINDOWS as usize);
        assert_eq!((many[0].start, many[1].start, many[1].end), (1_000_000, 2_000_000, 2_100_000));
    }
}
