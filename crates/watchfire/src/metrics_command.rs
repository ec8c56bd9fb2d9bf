//! `watchfire metrics`: asks a server with a PromQL query and prints a table, or with `--range` a plot.

mod plot;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use base::{Clock, units};
use serde::Deserialize;

use crate::ask;
use crate::cli::{Form, MetricsArgs};
use crate::exit::{Exit, Failure};

#[derive(Deserialize)]
struct Answer {
    data: Data,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Scalar((f64, String)),
    String((f64, String)),
    Vector(Vec<Series>),
    Matrix(Vec<Series>),
}

/// Whatever a series has: one value or many, floats or histograms.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Series {
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
    histogram: Option<(f64, Histogram)>,
    values: Vec<(f64, String)>,
    histograms: Vec<(f64, Histogram)>,
}

#[derive(Deserialize)]
struct Histogram {
    count: String,
    sum: String,
}

impl Histogram {
    fn show(&self) -> String {
        format!("count {} sum {}", self.count, self.sum)
    }
}

/// Points of a plot, unless a step is given: one for each column.
const POINTS: i64 = plot::WIDTH as i64;

/// Runs it.
pub fn run(args: &MetricsArgs) -> Result<ExitCode> {
    let duration = |name: &str, text: &str| {
        let usage = |e| Failure::error(Exit::Usage, format!("--{name}: {e}"));
        units::parse_duration_ns(text)
            .map_err(|e| usage(e.to_string()))
            .and_then(|ns| if ns > 0 { Ok(ns) } else { Err(usage("must be more than nothing".to_owned())) })
    };
    let now_ns = Clock::System.now_ns();
    let seconds = |ns: i64| format!("{:.3}", ns as f64 / 1e9);
    let request = match &args.range {
        None => ureq::get(ask::url(&args.server, "/api/v1/query")).query("query", &args.query).query("time", seconds(now_ns)),
        Some(range) => {
            let range_ns = duration("range", range)?;
            let step_ns = args.step.as_deref().map(|s| duration("step", s)).transpose()?.unwrap_or((range_ns / POINTS).max(1_000_000_000));
            ureq::get(ask::url(&args.server, "/api/v1/query_range"))
                .query("query", &args.query)
                .query("start", seconds(now_ns - range_ns))
                .query("end", seconds(now_ns))
                .query("step", seconds(step_ns))
        }
    };
    let text = ask::answer(&args.server, request)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = if args.output == Form::Json {
        writeln!(out, "{}", text.trim_end())
    } else {
        let answer: Answer = serde_json::from_str(&text).context("the server's answer is not what Prometheus' API gives")?;
        for w in answer.warnings.iter().chain(&answer.infos) {
            eprintln!("warning: {w}");
        }
        print(&mut out, &answer.data, args.range.is_some())
    };
    match written.and_then(|()| out.flush()) {
        // Whoever reads our lines has seen enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok.into()),
        other => other.map(|()| Exit::Ok.into()).context("writing the answer"),
    }
}

fn print(out: &mut impl Write, data: &Data, plotted: bool) -> io::Result<()> {
    match data {
        Data::Scalar((_, v)) | Data::String((_, v)) => writeln!(out, "{v}"),
        Data::Vector(all) if all.is_empty() => writeln!(out, "no series"),
        Data::Matrix(all) if all.is_empty() => writeln!(out, "no series"),
        Data::Vector(all) => {
            let value = |s: &Series| match (&s.value, &s.histogram) {
                (Some((_, v)), _) => v.clone(),
                (None, Some((_, h))) => h.show(),
                (None, None) => String::new(),
            };
            table(out, all, &value)
        }
        Data::Matrix(all) if plotted && all.iter().any(|s| !s.values.is_empty()) => {
            let series: Vec<plot::Series> = all.iter().map(|s| plot::Series { name: name(&s.metric), points: points(s) }).collect();
            out.write_all(plot::draw(&series).as_bytes())
        }
        Data::Matrix(all) => {
            for s in all {
                writeln!(out, "{}", name(&s.metric))?;
                for (t, v) in &s.values {
                    writeln!(out, "  {}  {v}", time(*t))?;
                }
                for (t, h) in &s.histograms {
                    writeln!(out, "  {}  {}", time(*t), h.show())?;
                }
            }
            Ok(())
        }
    }
}

fn points(s: &Series) -> Vec<(f64, f64)> {
    s.values.iter().filter_map(|(t, v)| Some((*t, v.replace("Inf", "inf").parse().ok()?))).collect()
}

fn time(seconds: f64) -> String {
    units::format_rfc3339((seconds * 1e3).round() as i64 * 1_000_000)
}

/// A column for the metric's name, one for each label, and the value.
fn table(out: &mut impl Write, all: &[Series], value: &dyn Fn(&Series) -> String) -> io::Result<()> {
    let mut names: Vec<&str> = all.iter().flat_map(|s| s.metric.keys().map(String::as_str)).collect();
    names.sort_by_key(|n| (*n != "__name__", *n));
    names.dedup();
    let title = |n: &&str| if *n == "__name__" { "metric".to_owned() } else { (*n).to_owned() };
    let mut rows: Vec<Vec<String>> = vec![names.iter().map(title).chain(["value".to_owned()]).collect()];
    for s in all {
        let cells = names.iter().map(|n| s.metric.get(*n).cloned().unwrap_or_default());
        rows.push(cells.chain([value(s)]).collect());
    }
    let widths: Vec<usize> = (0..=names.len()).map(|i| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0)).collect();
    for r in &rows {
        let last = r.len() - 1;
        for (i, cell) in r.iter().enumerate() {
            let pad = " ".repeat(widths[i] - cell.chars().count());
            // Numbers stand under each other at their ends.
            if i == last { writeln!(out, "{pad}{cell}")? } else { write!(out, "{cell}{pad}  ")? }
        }
    }
    Ok(())
}

/// `name{a="b"}`
fn name(metric: &BTreeMap<String, String>) -> String {
    let labels: Vec<String> = metric.iter().filter(|(n, _)| *n != "__name__").map(|(n, v)| format!("{n}={v:?}")).collect();
    let name = metric.get("__name__").map_or("", String::as_str);
    if labels.is_empty() && !name.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str, plotted: bool) -> String {
        let a: Answer = serde_json::from_str(json).unwrap();
        let mut out = vec![];
        print(&mut out, &a.data, plotted).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_vector_is_a_table() {
        let json = r#"{"data":{"resultType":"vector","result":[
            {"metric":{"__name__":"up","job":"a"},"value":[1,"1"]},
            {"metric":{"__name__":"up","instance":"x"},"value":[1,"0.5"]},
            {"metric":{"__name__":"h"},"histogram":[1,{"count":"3","sum":"2.5"}]}]}}"#;
        let want = "metric  instance  job                value\n\
                    up                a                      1\n\
                    up      x                              0.5\n\
                    h                        count 3 sum 2.5\n";
        let squeeze = |t: &str| t.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
        let got = shown(json, false);
        assert_eq!(squeeze(&got), squeeze(want));
        let ends: std::collections::BTreeSet<usize> = got.lines().map(|l| l.chars().count()).collect();
        assert_eq!(ends.len(), 1, "all lines end in one column");
        assert_eq!(shown(r#"{"data":{"resultType":"scalar","result":[1,"2"]}}"#, false), "2\n");
        assert_eq!(shown(r#"{"data":{"resultType":"vector","result":[]}}"#, false), "no series\n");
    }

    #[test]
    fn a_range_is_a_plot_or_a_list() {
        let json = r#"{"data":{"resultType":"matrix","result":[{"metric":{"job":"a"},"values":[[0,"1"],[60,"3"],[120,"+Inf"]]}]}}"#;
        assert_eq!(shown(json, false), "{job=\"a\"}\n  1970-01-01T00:00:00Z  1\n  1970-01-01T00:01:00Z  3\n  1970-01-01T00:02:00Z  +Inf\n");
        let plot = shown(json, true);
        assert!(plot.contains("{job=\"a\"}") && plot.contains('3') && plot.contains('1'), "{plot}");
    }
}
