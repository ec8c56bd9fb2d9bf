//! `watchfire cluster`: who is there, whether anything is missing, and what only an operator can say.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use base::Clock;
use base::units::{format_duration_ns, format_rfc3339, format_size};
use serde::Deserialize;

use crate::ask;
use crate::cli::{ClusterCommand, ClusterForgetArgs, ClusterLeaveArgs, ClusterStatusArgs, Form, ServerArgs};
use crate::exit::{self, Exit};

/// How often a node that leaves is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a node says of its cluster.
#[derive(Deserialize)]
struct Status {
    cluster: String,
    replication: usize,
    members: Vec<Member>,
    incomplete: Option<String>,
    refusal: Option<String>,
    degraded_requests: u64,
    degraded_bytes: u64,
}

#[derive(Deserialize)]
struct Member {
    id: String,
    address: String,
    zone: String,
    condition: String,
    this_node: bool,
    silent_seconds: f64,
    alone_since_ns: Option<i64>,
    known: bool,
    covers: Vec<String>,
}

/// Runs it. A cluster whose answers may lack something ends `status` in [`Exit::Mismatch`].
pub fn run(command: &ClusterCommand) -> Result<ExitCode> {
    match command {
        ClusterCommand::Status(args) => status(args),
        ClusterCommand::Forget(args) => forget(args),
        ClusterCommand::Leave(args) => leave(args),
    }
}

fn read(server: &ServerArgs) -> Result<(String, Status)> {
    let text = ask::answer(server, ureq::get(ask::url(server, "/api/v1/cluster")))?;
    let status = serde_json::from_str(&text).context("the server's answer is not the status of a cluster")?;
    Ok((text, status))
}

fn status(args: &ClusterStatusArgs) -> Result<ExitCode> {
    let (text, status) = read(&args.server)?;
    match args.output {
        Form::Json => println!("{text}"),
        Form::Text => print!("{}", words(&status, Clock::System.now_ns())),
    }
    Ok(if status.incomplete.is_none() { Exit::Ok } else { Exit::Mismatch }.into())
}

fn forget(args: &ClusterForgetArgs) -> Result<ExitCode> {
    let url = ask::url(&args.server, "/api/v1/cluster/forget");
    ask::order(&args.server, ureq::post(url).query("node", &args.node))?;
    println!("{} is forgotten. Should it come back, it is a member again, and its rows with it.", args.node);
    Ok(Exit::Ok.into())
}

/// Returns when the node has ended, which it does when it has nothing left that is not in the object store.
fn leave(args: &ClusterLeaveArgs) -> Result<ExitCode> {
    ask::order(&args.server, ureq::post(ask::url(&args.server, "/api/v1/cluster/leave")))?;
    println!("{} is leaving: it takes no more rows and gives what it holds to the object store", args.server.addr);
    loop {
        match read(&args.server) {
            Ok(_) => std::thread::sleep(LOOK_EVERY),
            // It answers that it is shutting down, and then not at all.
            Err(e) if matches!(exit::of(&e), Exit::Unreachable | Exit::Refused) => break,
            Err(e) => return Err(e),
        }
    }
    println!("it has left");
    Ok(Exit::Ok.into())
}

fn words(s: &Status, now_ns: i64) -> String {
    let mut out = String::new();
    let copies = if s.replication == 1 { "one node".to_owned() } else { format!("{} nodes", s.replication) };
    let _ = writeln!(out, "cluster {}: rows are on {copies} before they are acknowledged", s.cluster);
    let _ = match &s.incomplete {
        None => writeln!(out, "answers are whole"),
        Some(why) => writeln!(out, "ANSWERS MAY LACK ROWS: {why}"),
    };
    if let Some(why) = &s.refusal {
        let _ = writeln!(out, "turned away: {why}");
    }
    if s.degraded_requests > 0 {
        let (n, size) = (s.degraded_requests, format_size(s.degraded_bytes));
        let _ = writeln!(out, "since this node started, {n} requests ({size}) were acknowledged with fewer copies");
    }
    let width = |of: fn(&Member) -> &str, least: usize| s.members.iter().map(|m| of(m).len()).max().unwrap_or(0).max(least);
    let (addresses, zones) = (width(|m| &m.address, 7), width(|m| &m.zone, 4));
    let _ = writeln!(out, "\n  {:17}  {:addresses$}  {:zones$}  state", "node", "address", "zone");
    for m in &s.members {
        let line = format!("  {:17}  {:addresses$}  {:zones$}  {}", m.id, m.address, m.zone, state(m, now_ns));
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn state(m: &Member, now_ns: i64) -> String {
    let long = |ns: i64| format_duration_ns(ns.max(0) / 1_000_000_000 * 1_000_000_000);
    let mut out = match m.condition.as_str() {
        "silent" => format!("silent for {}", long((m.silent_seconds * 1e9) as i64)),
        "joining" => "joining: not whole yet".to_owned(),
        "leaving" => "leaving: giving everything to the object store".to_owned(),
        other => other.to_owned(),
    };
    if m.this_node {
        out.push_str(" (the node that was asked)");
    }
    if let Some(since) = m.alone_since_ns {
        let _ = write!(out, "; since {} it holds rows that nobody else has ({} ago)", format_rfc3339(since), long(now_ns - since));
    }
    if m.condition == "silent" && !m.known {
        out.push_str("; what it may have taken alone is not known");
    }
    if !m.covers.is_empty() {
        let _ = write!(out, "; covers {}", m.covers.join(", "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_well() {
        let text = r#"{"cluster":"prod","replication":2,"incomplete":"n02 is silent and may hold rows alone","refusal":null,
            "degraded_requests":3,"degraded_bytes":2048,"members":[
            {"id":"n0000000000000001","address":"10.0.0.1:3101","zone":"a","condition":"active","this_node":true,"silent_seconds":0.0,
             "alone_since_ns":null,"known":true,"covers":["n0000000000000002"]},
            {"id":"n0000000000000002","address":"10.0.0.12:3101","zone":"","condition":"silent","this_node":false,"silent_seconds":75.4,
             "alone_since_ns":1000000000000000000,"known":false,"covers":[]}]}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        let want = "\
cluster prod: rows are on 2 nodes before they are acknowledged
ANSWERS MAY LACK ROWS: n02 is silent and may hold rows alone
since this node started, 3 requests (2KiB) were acknowledged with fewer copies

  node               address         zone  state
  n0000000000000001  10.0.0.1:3101   a     active (the node that was asked); covers n0000000000000002
  n0000000000000002  10.0.0.12:3101        silent for 1m15s; since 2001-09-09T01:46:40Z it holds rows that nobody else has (5s ago); what it may have taken alone is not known
";
        assert_eq!(words(&status, 1_000_000_005_500_000_000), want);
    }
}
