//! What the agent shows: a page for people, the same as JSON, whether it is there, and its figures.

use std::fmt::Write as _;
use std::sync::Arc;

use ::agent::ship::report::{AgentReport, Author};
use ::agent::stats;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use base::stats::Exposition;
use base::units::format_rfc3339;

/// What there is to show.
pub struct View {
    /// Writes reports.
    pub author: Arc<Author>,
    /// Figures of what leaves.
    pub shipping: Arc<stats::Shipping>,
    /// Figures of what comes.
    pub collecting: Arc<stats::Stats>,
}

impl View {
    /// All figures, as Prometheus' text.
    pub fn figures(&self) -> String {
        let mut out = Exposition::default();
        self.collecting.write(&mut out);
        self.shipping.write(&self.author.write(0).ledger, &mut out);
        out.finish()
    }
}

/// Its paths.
pub fn router(view: Arc<View>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/api/v1/status", get(status))
        .route("/ready", get(|| async { "ready\n" }))
        .route("/metrics", get(metrics))
        .with_state(view)
}

async fn page(State(view): State<Arc<View>>) -> Html<String> {
    Html(html(&view.author.write(0)))
}

async fn status(State(view): State<Arc<View>>) -> impl IntoResponse {
    let text = serde_json::to_string(&view.author.write(0)).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text)
}

async fn metrics(State(view): State<Arc<View>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], view.figures())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn time(ns: i64) -> String {
    if ns == 0 { "-".into() } else { format_rfc3339(ns) }
}

/// Rows of a table: the first is its head. Writing to a string cannot fail.
fn table(out: &mut String, title: &str, head: &[&str], rows: &[Vec<String>]) {
    let _ = write!(out, "<h2>{title}</h2><table><tr>");
    head.iter().for_each(|h| _ = write!(out, "<th>{h}</th>"));
    for row in rows {
        let _ = write!(out, "</tr><tr>");
        row.iter().for_each(|c| _ = write!(out, "<td>{}</td>", escaped(c)));
    }
    out.push_str("</tr></table>");
}

fn html(r: &AgentReport) -> String {
    let mut out = String::from(
        "<!doctype html><meta charset=utf-8><meta http-equiv=refresh content=5><title>watchfire agent</title>\
         <style>body{font:14px system-ui;margin:2em}td,th{text-align:left;padding:.2em 1em .2em 0}</style><h1>watchfire agent</h1>",
    );
    let s = &r.ledger.spool;
    let state = if s.full { "FULL: sources wait" } else { "takes what comes" };
    let memory = if s.memory { ", in memory: a restart loses what is pending" } else { "" };
    let _ =
        write!(out, "<p>{} · {} · spool {} of {} bytes, {state}{memory}</p>", escaped(&r.host), escaped(&r.agent), s.bytes, s.max_bytes);
    let endpoints: Vec<Vec<String>> = r
        .ledger
        .endpoints
        .iter()
        .map(|e| {
            let trouble = if e.alarm { format!("ALARM: {}", e.trouble) } else { e.trouble.clone() };
            vec![
                e.name.clone(),
                e.pending_rows.to_string(),
                e.pending_bytes.to_string(),
                time(e.oldest_pending_ns),
                e.acknowledged_rows.to_string(),
                time(e.last_ack_ns),
                trouble,
            ]
        })
        .collect();
    table(&mut out, "Endpoints", &["endpoint", "pending rows", "bytes", "oldest", "acknowledged", "last", "trouble"], &endpoints);
    let sources: Vec<Vec<String>> = r
        .ledger
        .sources
        .iter()
        .flat_map(|s| {
            s.endpoints.iter().map(|d| {
                vec![
                    s.source.clone(),
                    d.endpoint.clone(),
                    s.rows.to_string(),
                    time(d.until_ns),
                    d.pending_rows.to_string(),
                    d.pending_bytes.to_string(),
                ]
            })
        })
        .collect();
    table(&mut out, "Sources", &["source", "endpoint", "rows", "delivered until", "pending rows", "bytes"], &sources);
    let lost: Vec<Vec<String>> = r
        .ledger
        .lost
        .last
        .iter()
        .rev()
        .map(|l| {
            vec![
                l.reason.clone(),
                l.source.clone(),
                l.stream.clone(),
                l.endpoint.clone(),
                l.rows.to_string(),
                l.bytes.to_string(),
                time(l.from_ns),
                time(l.to_ns),
            ]
        })
        .collect();
    table(&mut out, "Lost", &["reason", "source", "stream", "endpoint", "rows", "bytes", "from", "to"], &lost);
    out
}
