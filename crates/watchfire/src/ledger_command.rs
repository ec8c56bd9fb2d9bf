//! `watchfire ledger`: what was refused, deferred and lost, at the server and at each of its agents.

use std::fmt::Write as _;
use std::process::ExitCode;

use ::agent::ship::report::AgentReport;
use anyhow::{Context, Result};
use base::units::{format_duration_ns, format_rfc3339, format_size};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ask;
use crate::cli::{Form, LedgerArgs};
use crate::exit::Exit;

/// What a server says of its agents.
#[derive(Deserialize)]
struct Agents {
    agents: Vec<Known>,
}

#[derive(Deserialize)]
struct Known {
    received_ns: i64,
    silent_seconds: f64,
    silent: bool,
    report: AgentReport,
}

/// Runs it.
pub fn run(args: &LedgerArgs) -> Result<ExitCode> {
    let get = |path: &str| ask::answer(&args.server, ureq::get(ask::url(&args.server, path)));
    let ledger: Value = serde_json::from_str(&get("/api/v1/ledger")?).context("the server's answer is not a ledger")?;
    let text = get("/api/v1/agents")?;
    match args.output {
        Form::Json => {
            let agents: Value = serde_json::from_str(&text).context("the server's answer is not a list of agents")?;
            println!("{}", json!({ "server": ledger, "agents": agents["agents"] }));
        }
        Form::Text => {
            let agents: Agents = serde_json::from_str(&text).context("the server's answer is not a list of agents")?;
            print!("{}{}", of_server(&ledger), agents.agents.iter().map(of_agent).collect::<String>());
        }
    }
    Ok(Exit::Ok.into())
}

fn of_server(ledger: &Value) -> String {
    let mut out = String::from("server\n");
    for kind in ["deferred", "lost"] {
        let entries = ledger[kind].as_array().map_or(&[][..], Vec::as_slice);
        if entries.is_empty() {
            let _ = writeln!(out, "  {kind}: nothing");
        }
        for e in entries {
            let text = |key: &str| e[key].as_str().map_or_else(|| e[key].to_string(), str::to_owned);
            let _ = writeln!(out, "  {kind}: {} rows of tenant {}: {}", text("rows"), text("tenant"), text("reason"));
        }
    }
    out
}

/// Writing to a string cannot fail.
fn of_agent(k: &Known) -> String {
    let r = &k.report;
    let mut out = String::new();
    let state = if k.silent {
        let ns = (k.silent_seconds * 1e9) as i64;
        format!("SILENT since {} ({})", format_rfc3339(k.received_ns), format_duration_ns(ns / 1_000_000_000 * 1_000_000_000))
    } else {
        "reports".to_owned()
    };
    let _ = writeln!(out, "agent {} on {}: {state}", r.agent, r.host);
    let s = &r.ledger.spool;
    let full = if s.full { ", FULL: sources wait" } else { "" };
    let _ = writeln!(out, "  spool: {} of {}{full}; {} batches deferred", format_size(s.bytes), format_size(s.max_bytes), s.deferred);
    for e in &r.ledger.endpoints {
        let oldest = if e.oldest_pending_ns == 0 { String::new() } else { format!(", oldest of {}", format_rfc3339(e.oldest_pending_ns)) };
        let trouble = if e.trouble.is_empty() { String::new() } else { format!("; {}{}", if e.alarm { "ALARM: " } else { "" }, e.trouble) };
        let _ = writeln!(out, "  to {}: {} rows pending ({} bytes{oldest}){trouble}", e.name, e.pending_rows, e.pending_bytes);
    }
    for s in &r.ledger.sources {
        for d in &s.endpoints {
            let until = if d.until_ns == 0 { "nothing yet".to_owned() } else { format!("until {}", format_rfc3339(d.until_ns)) };
            let _ = writeln!(out, "  {} at {}: {until}, {} rows pending ({} bytes)", s.source, d.endpoint, d.pending_rows, d.pending_bytes);
        }
    }
    for l in &r.ledger.lost.last {
        let whom = if l.endpoint.is_empty() { String::new() } else { format!(" for {}", l.endpoint) };
        let (from, to) = (format_rfc3339(l.from_ns), format_rfc3339(l.to_ns));
        let _ =
            writeln!(out, "  LOST{whom}: {} rows, {} bytes of {} {}, {from} to {to}: {}", l.rows, l.bytes, l.source, l.stream, l.reason);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::agent::spool::ledger::Lost;

    #[test]
    fn a_silent_agent_and_what_it_lost_are_told() {
        let mut report = AgentReport { agent: "a-1".into(), host: "web".into(), ..AgentReport::default() };
        report.ledger.lost.note(&Lost { source: "file/x".into(), reason: "spool_full".into(), rows: 3412, ..Lost::default() });
        let text = of_agent(&Known { received_ns: 0, silent_seconds: 90.5, silent: true, report });
        assert!(text.contains("SILENT since 1970-01-01T00:00:00") && text.contains("(1m30s)"), "{text}");
        assert!(text.contains("LOST: 3412 rows") && text.contains("spool_full"), "{text}");
        assert_eq!(
            of_server(&json!({"deferred": [], "lost": [{"rows": 3, "tenant": "t", "reason": "x"}]})),
            "server\n  deferred: nothing\n  lost: 3 rows of tenant t: x\n"
        );
    }
}
