//! HTTP as both halves of the tool need it: one connection per thread, kept alive.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::limits::ANSWER_BYTES;
use super::rows::Batch;
use super::{Args, Signal};
use crate::ask;
use crate::cli::ServerArgs;

/// An answer to a push.
pub enum Answer {
    /// Durable.
    Acknowledged,
    /// Will never be taken, or not whole: status and what the server said.
    Refused(u16, String),
    /// To be sent again, after as long as the server asked for; what went wrong.
    Again(Option<Duration>, String),
}

/// A client of one server.
pub struct Client {
    agent: ureq::Agent,
    addr: String,
    authorization: Option<String>,
    signal: Signal,
    retry_for: Duration,
}

impl Client {
    /// A client with its own connections.
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(60)));
        let server = ServerArgs { addr: args.addr.clone(), tenant: None, token_file: args.token_file.clone() };
        Ok(Client {
            agent: config.build().into(),
            addr: args.addr.trim_end_matches('/').to_owned(),
            authorization: ask::token(&server)?.map(|t| format!("Bearer {t}")),
            signal: args.signal,
            retry_for: args.retry_for,
        })
    }
    /// Sends a batch once.
    pub fn push(&self, batch: &Batch) -> Answer {
        let mut request = self.agent.post(format!("{}{}", self.addr, batch.path)).content_type(batch.form.0);
        if let Some(encoding) = batch.form.1 {
            request = request.header("Content-Encoding", encoding).header("X-Prometheus-Remote-Write-Version", "0.1.0");
        }
        for (name, value) in self.headers(batch.tenant.as_deref()) {
            request = request.header(name, value);
        }
        let mut response = match request.send(&batch.body[..]) {
            Ok(response) => response,
            Err(e) => return Answer::Again(None, e.to_string()),
        };
        let status = response.status().as_u16();
        let after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        // Read to its end, or the connection could not be used again.
        let text = match response.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec() {
            Ok(bytes) => bytes,
            Err(e) => return Answer::Again(None, e.to_string()),
        };
        let text = || String::from_utf8_lossy(&text).chars().take(200).collect::<String>();
        match status {
            // An OTLP answer of 200 may refuse some of the spans; then its body is not empty.
            200 if self.signal == Signal::Traces && refuses_some(text().as_bytes()) => Answer::Refused(status, text()),
            200..=299 => Answer::Acknowledged,
            429 | 502..=504 => Answer::Again(after, format!("{status} {}", text())),
            // By its specification an OTLP sender must not repeat after any other status.
            500..=599 if self.signal != Signal::Traces => Answer::Again(after, format!("{status} {}", text())),
            _ => Answer::Refused(status, text()),
        }
    }
    /// Asks until there is an answer of status 200 (its body) or 404 (`None`).
    pub fn get(&self, path: &str, query: &[(&str, &str)], tenant: Option<&str>) -> anyhow::Result<Option<Vec<u8>>> {
        let began = Instant::now();
        loop {
            let mut request = self.agent.get(format!("{}{path}", self.addr)).query_pairs(query.iter().copied());
            for (name, value) in self.headers(tenant) {
                request = request.header(name, value);
            }
            let problem = match request.call() {
                Err(e) => e.to_string(),
                Ok(mut response) => {
                    let status = response.status().as_u16();
                    let body = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec();
                    match (status, body) {
                        (200, Ok(body)) => return Ok(Some(body)),
                        (404, Ok(_)) => return Ok(None),
                        (429 | 502..=504, Ok(body)) => format!("{status} {}", String::from_utf8_lossy(&body)),
                        (_, Ok(body)) => bail!("{path} {query:?}: {status} {}", String::from_utf8_lossy(&body)),
                        (_, Err(e)) => e.to_string(),
                    }
                }
            };
            if began.elapsed() > self.retry_for {
                bail!("{path} {query:?}: {problem}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    /// Like [`Client::get`], decoded from JSON; 404 is an error.
    pub fn json<T: serde::de::DeserializeOwned>(&self, path: &str, query: &[(&str, &str)], tenant: Option<&str>) -> anyhow::Result<T> {
        let body = self.get(path, query, tenant)?.with_context(|| format!("{path}: 404"))?;
        serde_json::from_slice(&body).with_context(|| {
            format!("{path} {query:?}: not the answer expected: {}", String::from_utf8_lossy(&body).chars().take(200).collect::<String>())
        })
    }
    fn headers<'a>(&'a self, tenant: Option<&'a str>) -> impl Iterator<Item = (&'static str, &'a str)> {
        let authorization = self.authorization.as_deref().map(|v| ("Authorization", v));
        authorization.into_iter().chain(tenant.map(|t| ("X-Scope-OrgID", t)))
    }
}

/// Whether an `ExportTraceServiceResponse` counts rejected spans: field 1 (partial success) with a field 1 above 0.
fn refuses_some(body: &[u8]) -> bool {
    matches!(body, [0x0A, _, 0x08, n, ..] if *n > 0)
}

/// Compresses as one snappy block.
pub fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("a batch is far below snappy's bound of 4 GiB")
}
