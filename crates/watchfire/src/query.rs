//! `watchfire logs`: asks a server for log lines and prints them, oldest first.

use std::io::{self, Write};
use std::process::ExitCode;

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
    let request = ureq::get(format!("{}/loki/api/v1/query_range", args.server.addr.trim_end_matches('/')))
        .query("query", &args.query)
        .query("start", (end_ns - since_ns).to_string())
        .query("end", (end_ns + 1).to_string())
        .query("limit", args.limit.to_string())
        .query("direction", "backward");
    let text = ask::answer(&args.server, request)?;
    let answer: Answer = serde_json::from_str(&text).context("the server's answer is not what Loki's API gives")?;
    for w in &answer.warnings {
        eprintln!("warning: {w}");
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = match answer.data {
        Data::Streams(streams) => print(&mut out, &streams, args.output),
        Data::Matrix(v) | Data::Vector(v) | Data::Scalar(v) => writeln!(out, "{v:#}"),
    };
    match written.and_then(|()| out.flush()) {
        // Whoever reads our lines has seen enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok.into()),
        other => other.map(|()| Exit::Ok.into()).context("writing the lines"),
    }
}

fn print(out: &mut impl Write, streams: &[Stream], form: Output) -> io::Result<()> {
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
                writeln!(out, "{} {{{}}} {line}", rfc3339(ns), labels.join(", "))?;
            }
        }
    }
    Ok(())
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
            print(&mut out, &streams, form).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(printed(Output::Raw), "first\nsecond\nthird\n");
        assert!(
            printed(Output::Default).starts_with("2000-02-29T12:00:00.000Z {a=\"2\"} first\n2023-11-14T22:13:20.000Z {a=\"1\"} second\n")
        );
        assert!(printed(Output::Jsonl).starts_with(r#"{"labels":{"a":"2"},"line":"first","time":"2000-02-29T12:00:00.000Z"}"#));
    }
}
