//! Lines, by `query_range`: window by window, page by page.

use std::collections::HashMap;

use serde::Deserialize;

use super::super::client::Client;
use super::super::limits::{LATE_NS, LOG_WINDOW_NS, PAGE_LINES, STREAM_LINES};
use super::super::rows::{Run, lines};
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
    let run = tally.run;
    // A server that keeps the lines of a stream together, as all do, reads long stretches of few streams with less work than
    // short ones of all; a query for each of very many streams would be more.
    let rows = tally.acknowledged.keys().map(|b| run.rows_in(*b)).sum::<u64>();
    let one_by_one = rows / (run.tenants * run.series) >= STREAM_LINES;
    for tenant in 0..run.tenants {
        let name = run.tenant_name(tenant);
        let hosts: Vec<Option<String>> = if one_by_one { lines::hosts(run).map(Some).collect() } else { vec![None] };
        let edges = edges(tally, tenant, hosts.len() as u64);
        for host in hosts {
            let selector = selector(run, host.as_deref());
            let mut from = start - late;
            for edge in edges.iter().copied().chain([end]) {
                while from < edge {
                    let until = edge.min(from + LOG_WINDOW_NS);
                    if tally.is_mine() {
                        read_window(client, tally, name.as_deref(), &selector, from, until)?;
                    }
                    from = until;
                }
            }
        }
    }
    Ok(())
}

fn selector(run: &Run, host: Option<&str>) -> String {
    match host {
        Some(host) => format!("{{run=\"{}\", host=\"{host}\"}}", run.name),
        None => format!("{{run=\"{}\"}}", run.name),
    }
}

/// Times that cut a run into windows of about a page of each of `parts` equal parts, so that no server has to find the
/// first lines of many.
fn edges(tally: &Tally, tenant: u64, parts: u64) -> Vec<i64> {
    let run = tally.run;
    let of_tenant = tally.acknowledged.iter().filter(|(b, _)| **b % run.tenants == tenant);
    let mut times: Vec<(i64, u64)> = of_tenant.map(|(b, t)| (*t, run.rows_in(*b))).collect();
    times.sort_unstable();
    // Streams are not quite equal at any moment.
    let page = if parts > 1 { PAGE_LINES as u64 * parts / 10 * 9 } else { PAGE_LINES as u64 };
    let mut rows = 0;
    times.retain(|(_, n)| {
        rows += n;
        let full = rows >= page;
        if full {
            rows = *n;
        }
        full
    });
    times.into_iter().map(|(t, _)| t).collect()
}

/// Reads the lines of one batch, of one stream if one is named: no other batch has lines in its time.
pub fn read_batch(client: &Client, tally: &mut Tally, batch: u64, time_ns: i64) -> anyhow::Result<()> {
    let tenant = tally.run.tenant_of(batch);
    let selector = selector(tally.run, tally.host.as_deref());
    read_window(client, tally, tenant.as_deref(), &selector, time_ns, time_ns + lines::SPREAD_NS)
}

/// Reads `[from, until)`. A full page may have been cut in the middle of lines of one time, so the last time of a full
/// page is read again by the next one, and not counted by this one.
fn read_window(client: &Client, tally: &mut Tally, tenant: Option<&str>, selector: &str, mut from: i64, until: i64) -> anyhow::Result<()> {
    loop {
        let (start, end, limit) = (from.to_string(), until.to_string(), PAGE_LINES.to_string());
        let query = [("query", selector), ("start", &start), ("end", &end), ("limit", &limit), ("direction", "forward")];
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
