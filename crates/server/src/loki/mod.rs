//! Loki's HTTP API: push, and the queries. Errors are plain text.

pub(crate) mod delete;
pub(crate) mod explore;
pub(crate) mod tail;

use std::future::Future;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use base::units::SECOND_NS;
use base::{Error, Pieces, Result, Tenant};
use logs::erase::Left;
use logs::query::{Context, RangeQuery, Settings};
use logs::response;
use table::tenants::Tenants;
use table::{Cancel, Direction, Missing, Rows};
use wire::Options;

use crate::app::{Asking, Call, JSON, json, taken, warnings};
use crate::limits;
use crate::params::Params;
use crate::routes::Answer;
use crate::status::{self, Dialect};
use crate::time;

/// Lines of an answer when the client asks for no number.
const DEFAULT_LIMIT: u64 = 100;
/// Points of a metric query when the client names no step.
const DEFAULT_POINTS: i64 = 250;
/// Points of a series at most.
const MAX_POINTS: u64 = 11_000;
/// Times that are asked for when the client names none.
const DEFAULT_SINCE_NS: i64 = 3_600 * SECOND_NS;
/// The same for labels and series.
const DEFAULT_NAMES_SINCE_NS: i64 = 6 * 3_600 * SECOND_NS;

/// `POST /loki/api/v1/push`: 204 when durable; 400 names entries that can never be taken, the others are stored.
pub(crate) async fn push(mut call: Call) -> Answer {
    let selected = logs::ingest::select_loki(call.header("content-type"), call.header("content-encoding"), Options::default());
    let selected = match selected {
        Ok(s) => s,
        Err(e) => return Ok(status::refuse(Dialect::Text, StatusCode::UNSUPPORTED_MEDIA_TYPE, e.message())),
    };
    let done = call.ingest(selected.codec, selected.options).await?;
    Ok(taken(Dialect::Text, &done.refusals))
}

/// `GET|POST /loki/api/v1/query`
pub(crate) async fn query(mut call: Call) -> Answer {
    let params = call.params().await?;
    let query = params.require("query")?.to_owned();
    let time_ns = time_of(&params, "time")?.unwrap_or_else(|| now_ns(&call));
    let options = response_options(&call);
    ask(&call, move |c, missing| {
        let result = logs::query::instant(c, &query, time_ns)?;
        Ok(response::query(&result, &options.warn(warnings(missing))))
    })
    .await
}

/// `GET|POST /loki/api/v1/query_range`
pub(crate) async fn query_range(mut call: Call) -> Answer {
    let params = call.params().await?;
    let query = params.require("query")?.to_owned();
    let (start_ns, end_ns) = span(&call, &params, DEFAULT_SINCE_NS)?;
    if end_ns < start_ns {
        return Err(Error::invalid("end timestamp must not be before or equal to start time"));
    }
    let step_ns = match params.get("step") {
        Some(t) => time::duration_ns("step", t)?,
        // Whole seconds, as many as make a chart of the usual width.
        None => ((end_ns - start_ns) / SECOND_NS / DEFAULT_POINTS).max(1) * SECOND_NS,
    };
    call.asking().check_range(start_ns, end_ns)?;
    if step_ns <= 0 {
        return Err(Error::invalid("zero or negative query resolution step widths are not accepted. Try a positive integer"));
    }
    // The same for lines, which have no steps: clients are used to it.
    if end_ns.abs_diff(start_ns) / step_ns.unsigned_abs() > MAX_POINTS {
        return Err(too_many_points());
    }
    let interval_ns = params.get("interval").map(|t| time::duration_ns("interval", t)).transpose()?.unwrap_or(0);
    let limit = params.number("limit")?.unwrap_or(DEFAULT_LIMIT);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let direction = direction(&params)?;
    let options = response_options(&call);
    ask(&call, move |c, missing| {
        let q = RangeQuery { query: &query, start_ns, end_ns, step_ns, interval_ns, limit, direction };
        let result = logs::query::range(c, &q)?;
        Ok(response::query(&result, &options.warn(warnings(missing))))
    })
    .await
}

/// `GET|POST /loki/api/v1/labels` (and `/label`)
pub(crate) async fn labels(mut call: Call) -> Answer {
    let params = call.params().await?;
    let (start, end) = names_span(&call, &params)?;
    let selector = params.get("query").unwrap_or("").to_owned();
    ask(&call, move |c, missing| {
        let found = logs::query::labels(c, &selector, start, end)?;
        Ok(response::strings(&found, &warnings(missing)))
    })
    .await
}

/// `GET|POST /loki/api/v1/label/{name}/values`
pub(crate) async fn label_values(mut call: Call) -> Answer {
    let params = call.params().await?;
    let (start, end) = names_span(&call, &params)?;
    let selector = params.get("query").unwrap_or("").to_owned();
    let name = call.path_parameter(4)?;
    ask(&call, move |c, missing| {
        let found = logs::query::label_values(c, &name, &selector, start, end)?;
        Ok(response::strings(&found, &warnings(missing)))
    })
    .await
}

/// `GET|POST /loki/api/v1/series`
pub(crate) async fn series(mut call: Call) -> Answer {
    let params = call.params().await?;
    let (start, end) = names_span(&call, &params)?;
    let selectors: Vec<String> = params.all("match[]").chain(params.all("match")).map(str::to_owned).collect();
    ask(&call, move |c, missing| {
        let selectors: Vec<&str> = selectors.iter().map(String::as_str).collect();
        let found = logs::query::series(c, &selectors, start, end)?;
        Ok(response::series(&found, &warnings(missing)))
    })
    .await
}

/// `GET /loki/api/v1/status/buildinfo`
pub(crate) async fn buildinfo(_: Call) -> Answer {
    Ok(json(crate::admin::build().to_string()))
}

/// Whether a request may be about the rows of several tenants at once: queries, and what is asked to write them, but no tail, as it is
/// with Loki.
pub(crate) fn reads_several(route: &str) -> bool {
    let Some(path) = route.strip_prefix("/loki/api/v1/") else { return false };
    let named = ["query", "query_range", "labels", "label", "series", "patterns", "format_query"].contains(&path);
    named || ["label/", "index/", "detected_"].iter().any(|p| path.starts_with(p))
}

fn too_many_points() -> Error {
    Error::invalid("exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter")
}

/// Runs a query of the language and answers with its body.
fn ask<T, F>(call: &Call, f: F) -> impl Future<Output = Answer> + Send + use<T, F>
where
    T: Into<Pieces>,
    F: FnOnce(Context<'_>, &Missing) -> Result<T> + Send + 'static,
{
    let (app, gzip) = (call.app.clone(), call.takes_gzip());
    let body = computed(&call.asking(), move |c, missing| app.keep(f(c, missing)?, gzip));
    let noted = Noted::of(call);
    async move {
        let started = Instant::now();
        let body = body.await;
        noted.tell(started.elapsed());
        Ok(body?.reply(JSON))
    }
}

/// Runs a query of the language.
fn computed<T, F>(asking: &Asking, f: F) -> impl Future<Output = Result<T>> + Send + use<T, F>
where
    T: Send + 'static,
    F: FnOnce(Context<'_>, &Missing) -> Result<T> + Send + 'static,
{
    let Asking { app, tenant, others, missing } = asking.clone();
    let now_ns = app.backend.clock().now_ns();
    let limits = asking.limits();
    let settings = Settings {
        max_series: limits.series.unwrap_or(logs::limits::SERIES),
        max_window_ns: limits.range_ns,
        max_held_bytes: app.settings.query_held_bytes,
        memory: app.backend.query_memory(),
        ..Settings::default()
    };
    asking.query(move |rows: &dyn Rows, cancel: &Cancel| {
        if !others.is_empty() {
            let mut all: Vec<(Tenant, Box<dyn Rows>)> = vec![];
            for t in std::iter::once(&tenant).chain(&others) {
                all.push((t.clone(), Box::new(Left::of(rows, delete::Deletions::of(&app, t)?))));
            }
            let rows = Tenants::new(all);
            return f(Context { rows: &rows, tenant: &tenant, cancel, settings: &settings, now_ns, erased: &[] }, &missing);
        }
        let erased = delete::Deletions::of(&app, &tenant)?;
        f(Context { rows, tenant: &tenant, cancel, settings: &settings, now_ns, erased: &erased }, &missing)
    })
}

/// What is said of a query that took long.
struct Noted {
    route: String,
    tenant: String,
    query: String,
    tags: String,
}

impl Noted {
    fn of(call: &Call) -> Noted {
        Noted {
            route: call.route.clone(),
            tenant: call.tenant.as_str().to_owned(),
            query: call.uri.query().unwrap_or("").to_owned(),
            tags: call.header("x-query-tags").unwrap_or("").to_owned(),
        }
    }
    fn tell(&self, took: Duration) {
        if took >= limits::SLOW_QUERY {
            tracing::info!(
                route = self.route,
                tenant = self.tenant,
                seconds = took.as_secs_f64(),
                query = self.query,
                tags = self.tags,
                "slow query"
            );
        }
    }
}

fn now_ns(call: &Call) -> i64 {
    call.app.backend.clock().now_ns()
}

fn time_of(params: &Params, name: &str) -> Result<Option<i64>> {
    params.get(name).map(|t| time::loki_ns(name, t)).transpose()
}

/// `start` and `end`, or `since` before the end, or what is usual.
fn span(call: &Call, params: &Params, default_since_ns: i64) -> Result<(i64, i64)> {
    let end = time_of(params, "end")?.unwrap_or_else(|| now_ns(call));
    let since = params.get("since").map(|t| time::duration_ns("since", t)).transpose()?.unwrap_or(default_since_ns);
    Ok((time_of(params, "start")?.unwrap_or_else(|| end.saturating_sub(since)), end))
}

/// As [`span`], for labels and series: what is from this very moment belongs to it.
fn names_span(call: &Call, params: &Params) -> Result<(i64, i64)> {
    span(call, params, DEFAULT_NAMES_SINCE_NS).map(|(start, end)| (start, end.saturating_add(1)))
}

fn direction(params: &Params) -> Result<Direction> {
    match params.get("direction").unwrap_or("backward").to_ascii_lowercase().as_str() {
        "backward" => Ok(Direction::Backward),
        "forward" => Ok(Direction::Forward),
        other => Err(Error::invalid(format!("parameter \"direction\": {other:?} is neither forward nor backward"))),
    }
}

fn response_options(call: &Call) -> response::Options {
    let flags = call.header("x-loki-response-encoding-flags").unwrap_or("");
    response::Options { categorize_labels: flags.split(',').any(|f| f.trim() == "categorize-labels"), warnings: vec![] }
}
