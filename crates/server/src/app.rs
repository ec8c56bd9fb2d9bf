//! What every adapter shares: the store, the pools, and the few steps each request takes.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, Version};
use base::limits::beyond;
use base::stats::Exposition;
use base::{Error, Kind, Labels, Pieces, Result, Tenant};
use bytes::Bytes;
use futures_util::FutureExt;
use table::{Cancel, FrameHeader, Ingested, Meter, Missing, RowStream, Rows, ScanRequest};
use wire::Encoding;

use crate::answer::{Answers, Kept};
use crate::backend::Backend;
use crate::body::{self, Received};
use crate::cpu::{Pool, Turn};
use crate::listen::Connections;
use crate::memory::Budget;
use crate::params::Params;
use crate::settings::QueryLimits;
use crate::stats::Stats;
use crate::status::{self, Dialect};
use crate::{Settings, limits};

/// The state of the edge.
pub struct App {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) settings: Settings,
    pub(crate) stats: Stats,
    pub(crate) pushes: Pool,
    pub(crate) queries: Pool,
    pub(crate) agents: crate::agents::Agents,
    pub(crate) deletions: crate::loki::delete::Deletions,
    pub(crate) series_deletions: crate::prometheus::Deletions,
    pub(crate) tails: Arc<tokio::sync::Semaphore>,
    pub(crate) connections: Arc<Connections>,
    /// When it was made.
    pub(crate) started_ns: i64,
    bodies: Budget,
    answers: Answers,
    no_pushes: AtomicBool,
    stopping: AtomicBool,
}

/// A request taken apart: what adapters read.
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) tenant: Tenant,
    /// Further ones, of a query over several.
    pub(crate) others: Vec<Tenant>,
    pub(crate) route: String,
    /// What the answer may lack; the queries of this call take the notes.
    pub(crate) missing: Missing,
    body: Body,
    /// What the request was: what it takes to speak another protocol on its connection.
    pub(crate) upgrade: Option<WebSocketUpgrade>,
}

impl App {
    /// An edge over `backend`.
    pub fn new(backend: Arc<dyn Backend>, settings: Settings) -> Arc<Self> {
        Arc::new(App {
            started_ns: backend.clock().now_ns(),
            backend,
            stats: Stats::new(),
            pushes: Pool::new("pushes", settings.ingest_concurrency, limits::INGEST_WAIT),
            queries: Pool::new("queries", settings.query_concurrency, limits::QUERY_WAIT),
            agents: crate::agents::Agents::default(),
            deletions: crate::loki::delete::Deletions::default(),
            series_deletions: crate::prometheus::Deletions::default(),
            tails: Arc::new(tokio::sync::Semaphore::new(limits::TAILS)),
            connections: Connections::new(settings.connections, settings.query_timeout + limits::STREAM_REST),
            bodies: body::budget(settings.body_memory_bytes.max(settings.body_bytes)),
            answers: Answers::new(settings.answer_memory_bytes, settings.query_concurrency),
            no_pushes: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            settings,
        })
    }

    /// Pushes are asked to come again from now on, to another node; returns when those under way have ended (at most
    /// [`limits::DRAIN`]). Queries are still answered.
    pub async fn stop_pushes(&self) {
        self.no_pushes.store(true, Ordering::SeqCst);
        if !self.pushes.drained(limits::DRAIN).await {
            tracing::warn!(seconds = limits::DRAIN.as_secs(), "pushes under way did not end in time");
        }
    }

    /// First phase of shutdown: what comes from now on is asked to come again, and `/ready` says no.
    pub fn stop_admitting(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// All figures, of the edge and of the store, as Prometheus' text: what `/metrics` answers.
    pub fn figures(&self) -> String {
        let mut out = Exposition::default();
        self.stats.write(self.connections.open(), self.answers.used(), &[&self.pushes, &self.queries], &mut out);
        self.backend.metrics(&mut out);
        out.finish()
    }

    /// Keeps the text of an answer; to be called by the query that made it. See [`Answers::keep`].
    pub(crate) fn keep(&self, text: impl Into<Pieces>, gzip: bool) -> Result<Kept> {
        self.answers.keep(text, gzip)
    }

    /// Whether requests are still admitted.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

impl Call {
    /// Takes a request apart; a tenant that is not valid is refused.
    pub(crate) fn new(app: Arc<App>, route: String, request: Request) -> Result<Call> {
        let (mut parts, body) = request.into_parts();
        let (tenant, others) = tenants(&parts.headers)?;
        if !others.is_empty() && !crate::loki::reads_several(&route) && !crate::prometheus::reads_several(&route) {
            let text = "the header X-Scope-OrgID names several tenants: only queries of logs and metrics can be about more than one";
            return Err(Error::invalid(text));
        }
        // It looks at the head alone, so there is nothing to wait for.
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).now_or_never().and_then(std::result::Result::ok);
        let missing = Missing::default();
        let axum::http::request::Parts { method, uri, version, headers, .. } = parts;
        Ok(Call { app, method, uri, version, headers, tenant, others, route, missing, body, upgrade })
    }

    /// Whether its client takes an answer that is compressed.
    pub(crate) fn takes_gzip(&self) -> bool {
        crate::answer::takes_gzip(&self.headers)
    }

    /// A header as text, if it is there and is ASCII.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// The segment of the path at `position`, counted from 0, with its percent-encoding undone.
    pub(crate) fn path_parameter(&self, position: usize) -> Result<String> {
        let segment = self.uri.path().trim_start_matches('/').split('/').nth(position).unwrap_or("");
        // A plus sign is itself in a path.
        crate::params::decode(&segment.replace('+', "%2B"))
    }

    /// The body, at most `cap` bytes of it.
    pub(crate) async fn read_body(&mut self, cap: usize) -> Result<Received> {
        let body = std::mem::take(&mut self.body);
        let received = body::read(&self.app.bodies, cap, &self.headers, body).await?;
        self.app.stats.body_bytes.add(&[&self.route], received.bytes.len() as u64);
        Ok(received)
    }

    /// The parameters of the address and of a form in the body.
    pub(crate) async fn params(&mut self) -> Result<Params> {
        let mut params = Params::default();
        let may_have_form = [Method::POST, Method::PUT, Method::PATCH].contains(&self.method);
        if may_have_form && crate::status::media_type(&self.headers) == "application/x-www-form-urlencoded" {
            let form = self.read_body(limits::FORM_BYTES).await?;
            params.add(std::str::from_utf8(&form.bytes).map_err(|_| Error::invalid("the form is not UTF-8"))?)?;
        }
        params.add(self.uri.query().unwrap_or(""))?;
        Ok(params)
    }

    /// The message of a gRPC call, and how it is compressed.
    pub(crate) async fn read_message(&mut self) -> Result<(Received, Encoding)> {
        self.app.backend.ready().map_err(Error::unavailable)?;
        let body = std::mem::take(&mut self.body);
        let (received, encoding) = body::read_message(&self.app.bodies, self.app.settings.body_bytes, &self.headers, body).await?;
        self.app.stats.body_bytes.add(&[&self.route], received.bytes.len() as u64);
        Ok((received, encoding))
    }

    /// Reads the body and gives it to the store with the codec that understands it.
    pub(crate) async fn ingest(&mut self, codec: u16, options: Bytes) -> Result<Ingested> {
        self.app.backend.ready().map_err(Error::unavailable)?;
        let received = self.read_body(self.app.settings.body_bytes).await?;
        self.store(received, codec, options).await
    }

    /// Gives a body to the store with the codec that understands it.
    pub(crate) async fn store(&mut self, received: Received, codec: u16, options: Bytes) -> Result<Ingested> {
        let header = FrameHeader {
            tenant: self.tenant.clone(),
            received_ns: self.app.backend.clock().now_ns(),
            codec,
            options,
            origin: None,
            refused: vec![],
            rows: None,
        };
        let (app, backend) = (self.app.clone(), self.app.backend.clone());
        let done = self.app.pushes.run(move || {
            // Asked with a place in hand: whoever waits for all places to be free has seen the last push.
            if app.no_pushes.load(Ordering::SeqCst) {
                return Err(Error::unavailable("this node is leaving its cluster: push to another one"));
            }
            let result = backend.ingest(header, received.bytes.clone());
            drop(received);
            result
        });
        let ingested = done.await?;
        self.app.stats.rows.add(&[&self.route], ingested.rows);
        for r in &ingested.refusals {
            self.app.stats.refused.add(&[&self.route, r.reason], 1);
        }
        Ok(ingested)
    }

    /// What it takes to run queries for this call.
    pub(crate) fn asking(&self) -> Asking {
        Asking { app: self.app.clone(), tenant: self.tenant.clone(), others: self.others.clone(), missing: self.missing.clone() }
    }

    /// See [`Asking::query`].
    pub(crate) fn query<T, F>(&self, ask: F) -> impl Future<Output = Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Rows, &Cancel) -> Result<T> + Send + 'static,
    {
        self.asking().query(ask)
    }
}

/// Who asks.
#[derive(Clone)]
pub(crate) struct Asking {
    pub(crate) app: Arc<App>,
    pub(crate) tenant: Tenant,
    /// Further ones whose rows are asked for at once.
    pub(crate) others: Vec<Tenant>,
    pub(crate) missing: Missing,
}

impl Asking {
    /// What the query may take: of several tenants, nothing that one of them may not.
    pub(crate) fn limits(&self) -> QueryLimits {
        let all = self.others.iter().map(|t| self.app.settings.query_limits_of(t));
        all.fold(self.app.settings.query_limits_of(&self.tenant).clone(), |least, l| least.and(l))
    }

    /// Runs a query. It is cancelled when the client goes away and when its time is over. What its answer may lack is in the
    /// call's notes when it is done.
    pub(crate) fn query<T, F>(&self, ask: F) -> impl Future<Output = Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Rows, &Cancel) -> Result<T> + Send + 'static,
    {
        let (app, missing) = (self.app.clone(), self.missing.clone());
        let limits = self.limits();
        let turn = Turn { of: self.tenant.as_str().to_owned(), at_once: limits.at_once };
        async move {
            let cancel = Cancel::default();
            let _guard = CancelOnDrop(cancel.clone());
            let meter = limits.bytes.map_or_else(Meter::default, Meter::up_to);
            let backend = app.backend.clone();
            let metered = meter.clone();
            let job =
                app.queries.run_in_turn(turn, move || ask(&Noting { rows: backend.rows()?, missing: &missing, meter: &metered }, &cancel));
            let (time, setting) = match limits.time {
                Some(t) if t < app.settings.query_timeout => (t, "queries.time"),
                _ => (app.settings.query_timeout, "server.query_timeout"),
            };
            let done = tokio::time::timeout(time, job).await.unwrap_or_else(|_| {
                let seconds = format!("{} s", time.as_secs_f64());
                let text = match setting {
                    "queries.time" => beyond("the query ran too long", setting, seconds, NARROWER),
                    _ => format!("the query ran too long: the limit is {setting} = {seconds}. {NARROWER}; or raise {setting} in the server's settings"),
                };
                Err(Error::new(Kind::Timeout, text))
            });
            match limits.bytes {
                Some(most) if done.is_err() && meter.is_over() => {
                    let most = base::units::format_size(most);
                    Err(Error::new(Kind::Unprocessable, beyond("the query reads too much", "queries.bytes", most, NARROWER)))
                }
                _ => done,
            }
        }
    }

    /// Refuses a query over more time than the tenant may ask for at once. Times are nanoseconds.
    pub(crate) fn check_range(&self, start_ns: i64, end_ns: i64) -> Result<()> {
        match self.limits().range_ns {
            Some(most) if end_ns.saturating_sub(start_ns) > most => {
                let shown = base::units::format_duration_ns;
                let what = format!("the query spans {}", shown(end_ns.saturating_sub(start_ns)));
                Err(Error::invalid(beyond(&what, "queries.range", shown(most), "Ask for a shorter time")))
            }
            _ => Ok(()),
        }
    }
}

/// What helps a query that takes too much.
const NARROWER: &str = "Ask for a shorter time, or with a narrower selector";

/// The store as one call sees it: every scan takes its notes for the call's answer, and counts what it reads.
struct Noting<'a> {
    rows: &'a dyn Rows,
    missing: &'a Missing,
    meter: &'a Meter,
}

impl Noting<'_> {
    fn with_notes(&self, q: &ScanRequest) -> ScanRequest {
        ScanRequest { missing: self.missing.clone(), meter: self.meter.clone(), ..q.clone() }
    }
}

impl Rows for Noting<'_> {
    fn scan(&self, request: &ScanRequest) -> Result<RowStream> {
        self.rows.scan(&self.with_notes(request))
    }
    fn series(&self, request: &ScanRequest) -> Result<Vec<Labels>> {
        self.rows.series(&self.with_notes(request))
    }
    fn label_values(&self, request: &ScanRequest, name: &str) -> Result<BTreeSet<String>> {
        self.rows.label_values(&self.with_notes(request), name)
    }
}

/// The header of an answer that may lack something (P6): what, and why.
pub(crate) const INCOMPLETE: &str = "x-watchfire-incomplete";

/// What an answer may lack, as the protocols' warnings.
pub(crate) fn warnings(missing: &Missing) -> Vec<String> {
    missing.notes().iter().map(|lack| format!("this answer may be incomplete: {lack}")).collect()
}

/// Says in a header what an answer may lack.
pub(crate) fn mark(r: &mut Response<Body>, missing: &Missing) {
    let notes: Vec<String> = missing.notes().iter().map(ToString::to_string).collect();
    if notes.is_empty() {
        return;
    }
    // A header takes visible ASCII, and proxies take headers of a few kilobytes.
    let text = notes.join("; ");
    let text: String = text.chars().take(limits::INCOMPLETE_BYTES).map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect();
    if let Ok(value) = HeaderValue::try_from(text) {
        r.headers_mut().insert(INCOMPLETE, value);
    }
}

/// Fires when the handler is dropped, which is what the listener does when the client goes away.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Whose rows: the header `X-Scope-OrgID`, or the default tenant; and the others if it names several (`a|b`), each once.
fn tenants(headers: &HeaderMap) -> Result<(Tenant, Vec<Tenant>)> {
    let Some(v) = headers.get("x-scope-orgid") else { return Ok((Tenant::default(), vec![])) };
    let text = v.to_str().map_err(|_| Error::invalid("the header X-Scope-OrgID is not ASCII"))?;
    let mut names = text.split('|').map(str::trim).collect::<Vec<_>>();
    names.sort_unstable();
    names.dedup();
    if names.len() > limits::TENANTS_AT_ONCE {
        return Err(Error::invalid(format!("the header X-Scope-OrgID names more than {} tenants", limits::TENANTS_AT_ONCE)));
    }
    let mut tenants = names.into_iter().map(Tenant::new);
    let first = tenants.next().unwrap_or_else(|| Ok(Tenant::default()))?;
    Ok((first, tenants.collect::<Result<_>>()?))
}

/// What refusals look like to people: the first few, and how many there are.
pub(crate) fn describe(refusals: &[table::Refusal]) -> String {
    // Only the first refusals of a body carry words; the others have their reason.
    let words = |r: &'_ table::Refusal| if r.message.is_empty() { r.reason.to_owned() } else { r.message.clone() };
    let mut lines: Vec<String> = refusals.iter().take(limits::REFUSALS_SHOWN).map(words).collect();
    if refusals.len() > limits::REFUSALS_SHOWN {
        lines.push(format!("and {} more of {} refused entries", refusals.len() - limits::REFUSALS_SHOWN, refusals.len()));
    }
    lines.join("\n")
}

/// An answer without a body.
pub(crate) fn no_content() -> Response<Body> {
    let mut r = Response::new(Body::empty());
    *r.status_mut() = StatusCode::NO_CONTENT;
    r
}

/// Refusals as an error: of kind `LimitExceeded` when all that is wrong is the rate, else `Invalid`. What was taken
/// stays taken; if the whole body comes again, the rows that are there already are the same rows.
pub(crate) fn refused(refusals: &[table::Refusal]) -> Result<()> {
    match refusals {
        [] => Ok(()),
        r if r.iter().all(|r| r.reason == table::RATE_LIMITED_ENTRY) => {
            Err(Error::new(Kind::LimitExceeded, describe(r)).retry_after(Duration::from_secs(1)))
        }
        r => Err(Error::invalid(describe(r))),
    }
}

/// The answer to a push: 204, or the refusals in the words of `dialect`. Where all of them are final, a header numbers them, so that
/// the sender need not look for them.
pub(crate) fn taken(dialect: Dialect, refusals: &[table::Refusal]) -> Response<Body> {
    let Err(e) = refused(refusals) else { return no_content() };
    let mut r = status::error(dialect, &e);
    if refusals.iter().all(|r| r.reason != table::RATE_LIMITED_ENTRY)
        && let Some(value) = wire::refused::write(refusals.iter().map(|r| r.ordinal))
        && let Ok(value) = HeaderValue::try_from(value)
    {
        r.headers_mut().insert(wire::refused::HEADER, value);
    }
    r
}

/// An answer with a body and its media type.
pub(crate) fn reply(media_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut r = Response::new(body.into());
    r.headers_mut().insert(axum::http::header::CONTENT_TYPE, axum::http::HeaderValue::from_static(media_type));
    r
}

/// The media type of most answers.
pub(crate) const JSON: &str = "application/json";

/// An answer in JSON.
pub(crate) fn json(body: impl Into<Body>) -> Response<Body> {
    reply(JSON, body)
}
