//! `watchfire logs`: asks a server for log lines and prints them, oldest first.

mod draw;
mod follow;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base::{Clock, units};
use serde::Deserialize;

use crate::ask;
use crate::cli::{LogsArgs, Output};
use crate::exit::{Exit, Failure};

#[derive(Deserialize)]
struct Answer {
    data: Data,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Streams(Vec<Stream>),
    Matrix(serde_json::Value),
    Vector(serde_json::Value),
    Scalar(serde_json::Value),
}

#[derive(Deserialize)]
struct Stream {
    stream: std::collections::BTreeMap<String, String>,
    values: Vec<(String, String)>,
}

/// Runs it.
pub fn run(args: &LogsArgs) -> Result<ExitCode> {
    let since_ns = units::parse_duration_ns(&args.since).map_err(|e| Failure::error(Exit::Usage, format!("--since: {e}")))?;
    let end_ns = Clock::System.now_ns();
    let done = if args.follow {
        follow::run(args, end_ns - since_ns, |out, streams| print(out, streams, args.output, colours(args)))
    } else {
        search(args, end_ns - since_ns, end_ns + 1)
    };
    match done {
        // Whoever reads our lines has seen enough.
        Err(e) if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => Ok(Exit::Ok.into()),
        other => other.map(|()| Exit::Ok.into()),
    }
}

fn colours(args: &LogsArgs) -> bool {
    args.output == Output::Default && io::stdout().is_terminal()
}

/// Looks for lines piece by piece, the newest first, so that a long search shows how far it is and ends when there are enough.
fn search(args: &LogsArgs, start_ns: i64, end_ns: i64) -> Result<()> {
    let mut found: Vec<Stream> = vec![];
    let (mut to_ns, mut width_ns, mut left) = (end_ns, FIRST_PIECE_NS, args.limit);
    let started = Instant::now();
    let mut progress = Progress { shown: false, is_terminal: io::stderr().is_terminal() };
    while to_ns > start_ns {
        let from_ns = to_ns.saturating_sub(width_ns).max(start_ns);
        let answer = match ask_range(args, from_ns, to_ns, left)? {
            Answer { data: Data::Streams(streams), warnings } => Answer { data: Data::Streams(streams), warnings },
            // Series are of the whole range, whatever it is.
            Answer { data: _, .. } => {
                let whole = ask_range(args, start_ns, end_ns, left)?;
                return shown(args, whole);
            }
        };
        answer.warnings.iter().for_each(|w| eprintln!("warning: {w}"));
        if let Data::Streams(mut streams) = answer.data {
            let lines: usize = streams.iter().map(|s| s.values.len()).sum();
            left = left.saturating_sub(u32::try_from(lines).unwrap_or(u32::MAX));
            found.append(&mut streams);
        }
        if left == 0 {
            break;
        }
        to_ns = from_ns;
        width_ns = width_ns.saturating_mul(PIECE_GROWTH);
        progress.tell(started.elapsed(), end_ns - to_ns, end_ns - start_ns, args.limit - left);
    }
    progress.clear();
    let mut out = io::BufWriter::new(io::stdout().lock());
    print(&mut out, &found, args.output, colours(args))?;
    Ok(out.flush()?)
}

/// The first piece of time that is searched, nanoseconds.
const FIRST_PIECE_NS: i64 = 3_600 * 1_000_000_000;
/// Each piece is so much longer than the one before: few requests, and soon a first word.
const PIECE_GROWTH: i64 = 4;
/// A search that takes longer shows how far it is.
const PATIENCE: Duration = Duration::from_secs(1);

struct Progress {
    shown: bool,
    is_terminal: bool,
}

impl Progress {
    fn tell(&mut self, took: Duration, done_ns: i64, all_ns: i64, lines: u32) {
        if !self.is_terminal || took < PATIENCE {
            return;
        }
        let hours = |ns: i64| ns as f64 / 3.6e12;
        let rate = hours(done_ns) / took.as_secs_f64();
        eprint!("\r\u{1b}[Ksearched {:.0} of {:.0} hours ({rate:.0} h/s), {lines} lines", hours(done_ns), hours(all_ns));
        self.shown = true;
    }
    fn clear(&self) {
        if self.shown {
            eprint!("\r\u{1b}[K");
        }
    }
}

fn ask_range(args: &LogsArgs, start_ns: i64, end_ns: i64, limit: u32) -> Result<Answer> {
    // As many points as a line of bars has.
    let step_s = ((end_ns - start_ns) / 1_000_000_000 / 60).max(1);
    let request = ureq::get(ask::url(&args.server, "/loki/api/v1/query_range"))
        .query("query", &args.query)
        .query("start", start_ns.to_string())
        .query("end", end_ns.to_string())
        .query("step", step_s.to_string())
        .query("limit", limit.to_string())
        .query("direction", "backward");
    let text = ask::answer(&args.server, request)?;
    serde_json::from_str(&text).context("the server's answer is not what Loki's API gives")
}

/// Prints the answer of a metric query.
fn shown(args: &LogsArgs, answer: Answer) -> Result<()> {
    answer.warnings.iter().for_each(|w| eprintln!("warning: {w}"));
    let mut out = io::BufWriter::new(io::stdout().lock());
    match answer.data {
        Data::Streams(streams) => print(&mut out, &streams, args.output, colours(args))?,
        Data::Scalar(v) => writeln!(out, "{v}")?,
        Data::Matrix(v) | Data::Vector(v) if args.output == Output::Jsonl => {
            for series in v.as_array().into_iter().flatten() {
                writeln!(out, "{series}")?;
            }
        }
        Data::Matrix(v) | Data::Vector(v) => draw::draw(&mut out, &Vec::deserialize(v)?)?,
    }
    Ok(out.flush()?)
}

fn print(out: &mut dyn Write, streams: &[Stream], form: Output, colours: bool) -> io::Result<()> {
    let mut lines: Vec<(i64, &Stream, &str)> = vec![];
    for s in streams {
        // Newest first, as asked for; of equal times the later line comes first, so turning all round keeps their order.
        lines.extend(s.values.iter().rev().map(|(ns, line)| (ns.parse().unwrap_or(0), s, line.as_str())));
    }
    lines.sort_by_key(|l| l.0);
    for (ns, stream, line) in lines {
        match form {
            Output::Raw => writeln!(out, "{line}")?,
            Output::Jsonl => writeln!(out, "{}", serde_json::json!({"time": rfc3339(ns), "labels": stream.stream, "line": line}))?,
            Output::Default => {
                let labels: Vec<String> = stream.stream.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
                let level = stream.stream.get("detected_level").map_or("", String::as_str);
                let (dim, colour, plain) = if colours { ("\u{1b}[2m", colour(level), "\u{1b}[0m") } else { ("", "", "") };
                writeln!(out, "{dim}{} {{{}}}{plain} {colour}{line}{plain}", rfc3339(ns), labels.join(", "))?;
            }
        }
    }
    Ok(())
}

/// The colour of a level's lines.
fn colour(level: &str) -> &'static str {
    match level {
        "fatal" | "critical" | "error" => "\u{1b}[31m",
        "warn" => "\u{1b}[33m",
        "debug" | "trace" => "\u{1b}[2m",
        _ => "",
    }
}

/// UTC with milliseconds.
fn rfc3339(ns: i64) -> String {
    let ms = ns.div_euclid(1_000_000);
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Days to a date of the Gregorian calendar; years begin in March, so the leap day comes last.
    let z = days + 719_468;
    let (era, of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let of_era_years = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_era_years + of_era_years / 4 - of_era_years / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = of_era_years + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", of_day % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_streams_come_in_the_order_of_time() {
        let text = r#"[{"stream":{"a":"1"},"values":[["1700000000000000002","third"],["1700000000000000002","second"]]},
                       {"stream":{"a":"2"},"values":[["951825600000000000","first"]]}]"#;
        let streams: Vec<Stream> = serde_json::from_str(text).unwrap();
        let printed = |form| {
            let mut out = vec![];
            print(&mut out, &streams, form, false).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(printed(Output::Raw), "first\nsecond\nthird\n");
        assert!(
            printed(Output::Default).starts_with("2000-02-29T12:00:00.000Z {a=\"2\"} first\n2023-11-14T22:13:20.000Z {a=\"1\"} second\n")
        );
        assert!(printed(Output::Jsonl).starts_with(r#"{"labels":{"a":"2"},"line":"first","time":"2000-02-29T12:00:00.000Z"}"#));
    }
}
