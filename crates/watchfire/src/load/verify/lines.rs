//! Lines, by `query_range`: window by window, page by page.

use std::collections::HashMap;

use serde::Deserialize;

use super::super::client::Client;
use super::super::limits::{LATE_NS, LOG_WINDOW_NS, PAGE_LINES};
use super::super::rows::lines;
use super::Tally;

#[derive(Deserialize)]
struct Answer {
    data: Data,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    stream: HashMap<String, String>,
    values: Vec<(String, String)>,
}

/// Reads every line of the run.
pub fn read(client: &Client, tally: &mut Tally) -> anyhow::Result<()> {
    let (Some(last), start) = (tally.acknowledged.values().max().copied(), tally.run.start_ns) else { return Ok(()) };
    let late = if tally.run.late > 0.0 { LATE_NS as i64 } else { 0 };
    // A minute more than was acknowledged: a request whose answer was lost must not be there twice either.
    let end = last + 60_000_000_000;
    for tenant in 0..tally.run.tenants {
        let mut from = start - late;
        for edge in edges(tally, tenant).into_iter().chain([end]) {
            while from < edge {
                let until = edge.min(from + LOG_WINDOW_NS);
                read_window(client, tally, tally.run.tenant_name(tenant).as_deref(), from, until)?;
                from = until;
            }
        }
    }
    Ok(())
}

/// Times that cut a run into windows of about a page each, so that no server has to find the first lines of many.
fn edges(tally: &Tally, tenant: u64) -> Vec<i64> {
    let run = tally.run;
    let of_tenant = tally.acknowledged.iter().filter(|(b, _)| **b % run.tenants == tenant);
    let mut times: Vec<(i64, u64)> = of_tenant.map(|(b, t)| (*t, run.rows_in(*b))).collect();
    times.sort_unstable();
    let mut rows = 0;
    times.retain(|(_, n)| {
        rows += n;
        let full = rows >= PAGE_LINES as u64;
        if full {
            rows = *n;
        }
        full
    });
    times.into_iter().map(|(t, _)| t).collect()
}

/// Reads the lines of one batch: no other batch has lines in its time.
pub fn read_batch(client: &Client, tally: &mut Tally, batch: u64, time_ns: i64) -> anyhow::Result<()> {
    let tenant = tally.run.tenant_of(batch);
    read_window(client, tally, tenant.as_deref(), time_ns, time_ns + lines::SPREAD_NS)
}

/// Reads `[from, until)`. A full page may have been cut in the middle of lines of one time, so the last time of a full
/// page is read again by the next one, and not counted by this one.
fn read_window(client: &Client, tally: &mut Tally, tenant: Option<&str>, mut from: i64, until: i64) -> anyhow::Result<()> {
    let selector = format!("{{run=\"{}\"}}", tally.run.name);
    loop {
        let (start, end, limit) = (from.to_string(), until.to_string(), PAGE_LINES.to_string());
        let query = [("query", selector.as_str()), ("start", &start), ("end", &end), ("limit", &limit), ("direction", "forward")];
        let answer: Answer = client.json("/loki/api/v1/query_range", &query, tenant)?;
        tally.queries += 1;
        tally.warnings += u64::from(!answer.warnings.is_empty());
        let rows = answer.data.result.iter().map(|s| s.values.len()).sum::<usize>();
        let full = rows >= PAGE_LINES;
        let times = answer.data.result.iter().flat_map(|s| &s.values).filter_map(|(t, _)| t.parse::<i64>().ok());
        let last = times.max().unwrap_or(i64::MIN);
        anyhow::ensure!(!full || last > from, "more than {PAGE_LINES} lines have the time {last}: they cannot be paged through");
        for stream in &answer.data.result {
            for (time, line) in &stream.values {
                let time_ns = time.parse::<i64>().unwrap_or(i64::MIN);
                if !full || time_ns < last {
                    count(tally, &stream.stream, time_ns, line);
                }
            }
        }
        if !full {
            return Ok(());
        }
        from = last;
    }
}

fn count(tally: &mut Tally, labels: &HashMap<String, String>, time_ns: i64, line: &str) {
    let Some(sequence) = lines::sequence_of(line) else {
        return tally.altered(|| format!("a line without a number: {line}"));
    };
    tally.saw(sequence);
    let (batch, i) = tally.run.place(sequence);
    let expected_ns = tally.batch_ns(sequence).map(|b| lines::time_ns(tally.run, batch, i, b));
    let same_stream = lines::host(tally.run, batch, i) == labels.get("host").map_or("", |h| h.as_str());
    if line != lines::line(tally.run, sequence) || expected_ns.is_some_and(|t| t != time_ns) || !same_stream {
        tally.altered(|| format!("{time_ns} {labels:?} {line}"));
    }
}
