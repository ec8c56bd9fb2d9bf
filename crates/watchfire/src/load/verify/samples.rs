//! Raw samples, by instant queries of a range selector: the only answer of the Prometheus API in which each sample is
//! seen as it is. As many shards of series and rounds at a time as fit in a page.

use std::collections::{BTreeMap, HashMap};
use std::ops::{Range, RangeInclusive};

use serde::Deserialize;

use super::super::client::Client;
use super::super::limits::{PAGE_SAMPLES, SERIES_PER_SHARD, SHARDS_AT_ONCE};
use super::super::rows::samples;
use super::Tally;

#[derive(Deserialize)]
struct Answer {
    data: Data,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: HashMap<String, String>,
    values: Vec<(f64, String)>,
}

/// Reads every sample of the run.
pub fn read(client: &Client, tally: &mut Tally) -> anyhow::Result<()> {
    let run = tally.run;
    let rows: u64 = tally.acknowledged.keys().map(|b| run.rows_in(*b)).sum();
    let shards = run.series.div_ceil(SERIES_PER_SHARD);
    // Of many series with few samples each, several shards are a page.
    let at_once = (PAGE_SAMPLES * shards * run.tenants / rows.max(1)).clamp(1, SHARDS_AT_ONCE);
    for tenant in 0..run.tenants {
        for first in (0..shards).step_by(at_once as usize) {
            let shards = first..shards.min(first + at_once);
            for window in windows(tally, tenant, &shards) {
                if tally.is_mine() {
                    read_window(client, tally, tenant, shards.clone(), window)?;
                }
            }
        }
    }
    Ok(())
}

/// Times (ms, first to last) that together hold every acknowledged sample of some shards, each about a page. They do not
/// overlap: times grow from batch to batch, and late samples lie before them all.
fn windows(tally: &Tally, tenant: u64, shards: &Range<u64>) -> Vec<RangeInclusive<i64>> {
    let run = tally.run;
    let series = shards.start * SERIES_PER_SHARD..shards.end * SERIES_PER_SHARD;
    let mut times: Vec<(i64, u64)> = Vec::new();
    let mut late: Vec<(i64, u64)> = Vec::new();
    for (batch, batch_ns) in tally.acknowledged.iter().filter(|(b, _)| **b % run.tenants == tenant) {
        let of_batch = samples::series_of(run, *batch);
        let shared = of_batch.end.min(series.end).saturating_sub(of_batch.start.max(series.start));
        if shared > 0 {
            times.push((batch_ns / 1_000_000, shared));
            late.push((samples::late_ms(run, *batch), shared));
        }
    }
    let mut out = pages(times);
    if run.late > 0.0 {
        out.extend(pages(late));
    }
    out
}

/// One time may stand for several batches (late ones of a round); it must not be cut in two.
fn pages(times: Vec<(i64, u64)>) -> Vec<RangeInclusive<i64>> {
    let mut rows_at: BTreeMap<i64, u64> = BTreeMap::new();
    times.into_iter().for_each(|(time, n)| *rows_at.entry(time).or_default() += n);
    let mut out: Vec<RangeInclusive<i64>> = Vec::new();
    let mut rows = 0;
    for (time, n) in rows_at {
        rows += n;
        match out.last_mut() {
            Some(window) if rows <= PAGE_SAMPLES => *window = *window.start()..=time,
            _ => {
                rows = n;
                out.push(time..=time);
            }
        }
    }
    out
}

/// Reads the samples of one batch: no other batch has its time.
pub fn read_batch(client: &Client, tally: &mut Tally, batch: u64, time_ns: i64) -> anyhow::Result<()> {
    let (series, time_ms) = (samples::series_of(tally.run, batch), time_ns / 1_000_000);
    let shards = samples::shard_of(series.start)..samples::shard_of(series.end - 1) + 1;
    read_window(client, tally, batch % tally.run.tenants, shards, time_ms..=time_ms)
}

fn read_window(client: &Client, tally: &mut Tally, tenant: u64, shards: Range<u64>, window: RangeInclusive<i64>) -> anyhow::Result<()> {
    // A range selector leaves out its left edge, so it begins a millisecond before the first sample.
    let shards = shards.map(|s| s.to_string()).collect::<Vec<_>>().join("|");
    let query = format!("{{run=\"{}\",shard=~\"{shards}\"}}[{}ms]", tally.run.name, window.end() - window.start() + 1);
    let time = format!("{}.{:03}", window.end() / 1000, window.end() % 1000);
    let tenant = tally.run.tenant_name(tenant);
    let answer: Answer = client.json("/api/v1/query", &[("query", &query), ("time", &time)], tenant.as_deref())?;
    tally.queries += 1;
    tally.warnings += u64::from(!answer.warnings.is_empty());
    for series in &answer.data.result {
        let number = series.metric.get("series").and_then(|s| s.parse::<u64>().ok());
        for (seconds, value) in &series.values {
            count(tally, number, (seconds * 1000.0).round() as i64, value);
        }
    }
    Ok(())
}

fn count(tally: &mut Tally, series: Option<u64>, time_ms: i64, value: &str) {
    let Some(sequence) = value.parse::<f64>().ok().filter(|v| *v >= 0.0 && v.fract() == 0.0).map(|v| v as u64) else {
        return tally.altered(|| format!("series {series:?} at {time_ms}: {value} is no number of a row"));
    };
    tally.saw(sequence);
    let (batch, i) = tally.run.place(sequence);
    let of_batch = samples::series_of(tally.run, batch);
    let expected_ms = tally.batch_ns(sequence).map(|b| samples::time_ms(tally.run, batch, i, b));
    if series != Some(of_batch.start + i) || i >= tally.run.rows_in(batch) || expected_ms.is_some_and(|t| t != time_ms) {
        tally.altered(|| format!("series {series:?} at {time_ms}: {value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_every_time_once() {
        let times: Vec<(i64, u64)> = (0..100).map(|i| (i % 50 * 7, PAGE_SAMPLES / 10)).collect();
        let pages = pages(times);
        assert_eq!(pages.len(), 10, "{pages:?}");
        for t in (0..50).map(|i| i * 7) {
            assert_eq!(pages.iter().filter(|w| w.contains(&t)).count(), 1, "{t} in {pages:?}");
        }
    }
}
