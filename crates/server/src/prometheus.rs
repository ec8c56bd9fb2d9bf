//! Prometheus' HTTP API. Everything under `/api/v1` is under `/prometheus/api/v1` too, where Mimir has it.
//!
//! | what | where |
//! |---|---|
//! | queries, names and values of labels, series | here |
//! | remote write | [`write`] |
//! | queries as text and as a tree | [`language`] |
//! | exemplars, and what is said of metrics | [`about`] |
//! | remote read, federation | [`read`] |
//! | state of the server | [`state`] |
//! | what it scrapes | [`targets`] |
//! | deletion of series, snapshots | [`admin`] |

mod about;
mod admin;
mod language;
mod read;
mod state;
mod targets;
mod write;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::MethodFilter;
use base::{Error, Matcher, Pieces, Result, Tenant};
use metrics::erase::Left;
use metrics::metadata::{self, Scope};
use metrics::{Options as QueryOptions, response};
use table::tenants::Tenants;
use table::{Cancel, Missing, Rows};

use crate::app::{App, Call, JSON, json, warnings};
use crate::params::Params;
use crate::routes::{Answer, h};
use crate::status::{self, Dialect};
use crate::time;

pub(crate) use admin::Deletions;

const READ: MethodFilter = MethodFilter::GET.or(MethodFilter::POST);
const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;

/// The paths of the API.
pub(crate) fn routes() -> Router<Arc<App>> {
    let own = Router::new()
        .route("/api/v1/push", h(POST, write::write))
        .route("/api/v1/otlp/v1/metrics", h(POST, crate::otlp::metrics))
        .route("/otlp/v1/metrics", h(POST, crate::otlp::metrics))
        .route("/-/healthy", h(GET, state::healthy))
        .route("/-/ready", h(GET, crate::admin::ready))
        .route("/federate", h(GET, read::federate));
    own.merge(api()).nest("/prometheus", api())
}

fn api() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/write", h(POST, write::write))
        .route("/api/v1/read", h(POST, read::read))
        .route("/api/v1/query", h(READ, query))
        .route("/api/v1/query_range", h(READ, query_range))
        .route("/api/v1/query_exemplars", h(READ, about::exemplars))
        .route("/api/v1/labels", h(READ, labels))
        .route("/api/v1/label/{name}/values", h(GET, label_values))
        .route("/api/v1/series", h(READ, series).merge(h(MethodFilter::DELETE, no_delete)))
        .route("/api/v1/metadata", h(GET, about::metadata))
        .route("/api/v1/format_query", h(READ, language::format_query))
        .route("/api/v1/parse_query", h(READ, language::parse_query))
        .route("/api/v1/targets", h(GET, targets::targets))
        .route("/api/v1/targets/metadata", h(GET, targets::metadata))
        .route("/api/v1/scrape_pools", h(GET, targets::scrape_pools))
        .route("/api/v1/admin/tsdb/delete_series", h(POST.or(MethodFilter::PUT), admin::delete_series))
        .route("/api/v1/admin/tsdb/snapshot", h(POST.or(MethodFilter::PUT), admin::snapshot))
        .route("/api/v1/admin/tsdb/clean_tombstones", h(POST.or(MethodFilter::PUT), admin::clean_tombstones))
        .route("/api/v1/rules", h(GET, state::rules))
        .route("/api/v1/alerts", h(GET, state::alerts))
        .route("/api/v1/alertmanagers", h(GET, state::alertmanagers))
        .route("/api/v1/status/buildinfo", h(GET, buildinfo))
        .route("/api/v1/status/runtimeinfo", h(GET, state::runtimeinfo))
        .route("/api/v1/status/tsdb", h(GET, state::tsdb))
        .route("/api/v1/status/walreplay", h(GET, state::walreplay))
        .route("/api/v1/cardinality/label_names", h(READ, state::cardinality_names))
        .route("/api/v1/cardinality/label_values", h(READ, state::cardinality_values))
}

/// Whether a request may be about the rows of several tenants at once: queries and what helps to write them, and what a client looks for
/// before it asks.
pub(crate) fn reads_several(route: &str) -> bool {
    let route = route.strip_prefix("/prometheus").unwrap_or(route);
    let Some(path) = route.strip_prefix("/api/v1/") else { return false };
    let queries = ["query", "query_range", "query_exemplars", "labels", "series", "metadata", "read", "format_query", "parse_query"];
    queries.contains(&path) || ["rules", "alerts", "status/buildinfo"].contains(&path) || path.starts_with("label/")
}

/// `DELETE /api/v1/series`: an error of the server's in Prometheus too, since its version 2. It is none for our log.
async fn no_delete(_: Call) -> Answer {
    let e = Error::internal("series are not deleted this way: use /api/v1/admin/tsdb/delete_series");
    Ok(status::error(Dialect::Prometheus, &e))
}

/// `GET|POST /api/v1/query`
pub(crate) async fn query(mut call: Call) -> Answer {
    let params = call.params().await?;
    let query = params.require("query")?.to_owned();
    let time_ms = time_of(&params, "time")?.unwrap_or_else(|| call.app.backend.clock().now_ms());
    let (options, limit, wants_stats) = (asked_options(&call, &params)?, limit(&params)?, wants_stats(&params));
    ask(&call, move |rows, tenant, cancel, missing| {
        let options = QueryOptions { cancel: cancel.clone(), ..options };
        let began = Instant::now();
        let mut result = metrics::instant(rows, tenant, &query, time_ms, &options)?;
        let took = wants_stats.then(|| began.elapsed());
        result.warnings.extend(warnings(missing));
        Ok(response::query(result, limit, took))
    })
    .await
}

/// `GET|POST /api/v1/query_range`
pub(crate) async fn query_range(mut call: Call) -> Answer {
    let params = call.params().await?;
    let query = params.require("query")?.to_owned();
    let start_ms = time::prometheus_ms("start", params.require("start")?)?;
    let end_ms = time::prometheus_ms("end", params.require("end")?)?;
    let step_ms = time::duration_ns("step", params.require("step")?)? / 1_000_000;
    call.asking().check_range(start_ms.saturating_mul(1_000_000), end_ms.saturating_mul(1_000_000))?;
    let (options, limit, wants_stats) = (asked_options(&call, &params)?, limit(&params)?, wants_stats(&params));
    ask(&call, move |rows, tenant, cancel, missing| {
        let options = QueryOptions { cancel: cancel.clone(), ..options };
        let began = Instant::now();
        let mut result = metrics::range(rows, tenant, &query, start_ms, end_ms, step_ms, &options)?;
        let took = wants_stats.then(|| began.elapsed());
        result.warnings.extend(warnings(missing));
        Ok(response::query(result, limit, took))
    })
    .await
}

/// `GET|POST /api/v1/labels`
pub(crate) async fn labels(mut call: Call) -> Answer {
    let wanted = Wanted::of(&call.params().await?)?;
    ask(&call, move |rows, tenant, cancel, missing| {
        let found = metadata::label_names(rows, tenant, &wanted.scope(cancel))?;
        Ok(response::texts(&found.items, &[found.warnings(), warnings(missing)].concat()))
    })
    .await
}

/// `GET /api/v1/label/{name}/values`
pub(crate) async fn label_values(mut call: Call) -> Answer {
    let wanted = Wanted::of(&call.params().await?)?;
    // `/api/v1/label/{name}/values`, or one further under `/prometheus`.
    let name = unescape(&call.path_parameter(3 + usize::from(call.uri.path().starts_with("/prometheus/")))?);
    if name.is_empty() {
        return Err(Error::invalid("a label needs a name"));
    }
    ask(&call, move |rows, tenant, cancel, missing| {
        let found = metadata::label_values(rows, tenant, &name, &wanted.scope(cancel))?;
        Ok(response::texts(&found.items, &[found.warnings(), warnings(missing)].concat()))
    })
    .await
}

/// `GET|POST /api/v1/series`
pub(crate) async fn series(mut call: Call) -> Answer {
    let wanted = Wanted::of(&call.params().await?)?;
    if wanted.selectors.is_empty() {
        return Err(Error::invalid("no match[] parameter provided"));
    }
    ask(&call, move |rows, tenant, cancel, missing| {
        let found = metadata::series(rows, tenant, &wanted.scope(cancel))?;
        Ok(response::series(&found.items, &[found.warnings(), warnings(missing)].concat()))
    })
    .await
}

/// `GET /api/v1/status/buildinfo`. It names no features: that is how clients tell Mimir from Prometheus.
pub(crate) async fn buildinfo(_: Call) -> Answer {
    success(&crate::admin::build())
}

/// An answer that is ready.
fn success(data: &serde_json::Value) -> Answer {
    Ok(json(serde_json::json!({"status": "success", "data": data}).to_string()))
}

/// Runs a query of the language and answers with its body.
fn ask<F>(call: &Call, f: F) -> impl Future<Output = Answer> + Send + use<F>
where
    F: FnOnce(&dyn Rows, &Tenant, &Cancel, &Missing) -> Result<Pieces> + Send + 'static,
{
    let (missing, app, gzip) = (call.missing.clone(), call.app.clone(), call.takes_gzip());
    let body = left(call, move |rows, tenant, cancel| app.keep(f(rows, tenant, cancel, &missing)?, gzip));
    async { Ok(body.await?.reply(JSON)) }
}

/// Runs a query over what is left of the rows after deletions of series.
fn left<T, F>(call: &Call, f: F) -> impl Future<Output = Result<T>> + Send + use<T, F>
where
    T: Send + 'static,
    F: FnOnce(&dyn Rows, &Tenant, &Cancel) -> Result<T> + Send + 'static,
{
    let (tenant, others, app) = (call.tenant.clone(), call.others.clone(), call.app.clone());
    call.query(move |rows: &dyn Rows, cancel: &Cancel| {
        if !others.is_empty() {
            let mut all: Vec<(Tenant, Box<dyn Rows>)> = vec![];
            for t in std::iter::once(&tenant).chain(&others) {
                all.push((t.clone(), Box::new(Left::of(rows, app.series_deletions.of(&*app.backend, t)?))));
            }
            return f(&Tenants::new(all), &tenant, cancel);
        }
        f(&Left::of(rows, app.series_deletions.of(&*app.backend, &tenant)?), &tenant, cancel)
    })
}

/// What is asked about in listings.
struct Wanted {
    selectors: Vec<Vec<Matcher>>,
    start_ms: i64,
    end_ms: i64,
    limit: usize,
}

impl Wanted {
    fn of(params: &Params) -> Result<Self> {
        Ok(Wanted {
            selectors: metrics::parse_selectors(params.all("match[]"))?,
            start_ms: time_of(params, "start")?.unwrap_or(i64::MIN),
            end_ms: time_of(params, "end")?.unwrap_or(i64::MAX),
            limit: limit(params)?,
        })
    }
    /// The selector of Mimir's cardinality paths, if there is one.
    fn cardinality(params: &Params) -> Result<Vec<Vec<Matcher>>> {
        metrics::parse_selectors(params.get("selector"))
    }
    fn scope(&self, cancel: &Cancel) -> Scope<'_> {
        Scope { selectors: &self.selectors, start_ms: self.start_ms, end_ms: self.end_ms, limit: self.limit, cancel: cancel.clone() }
    }
}

/// The text of a query.
fn query_text(params: &Params) -> Result<String> {
    params.require("query").map(str::to_owned)
}

fn time_of(params: &Params, name: &str) -> Result<Option<i64>> {
    params.get(name).map(|t| time::prometheus_ms(name, t)).transpose()
}

/// How many series at most; 0 for all.
fn limit(params: &Params) -> Result<usize> {
    Ok(params.number("limit")?.map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX)))
}

/// Whether the answer shall say what it took.
fn wants_stats(params: &Params) -> bool {
    params.get("stats").is_some_and(|s| !s.is_empty())
}

fn query_options(call: &Call) -> QueryOptions {
    let settings = &call.app.settings;
    QueryOptions {
        start_timestamps: settings.start_timestamps,
        max_samples: settings.query_samples,
        max_span_ns: call.asking().limits().range_ns,
        memory: call.app.backend.query_memory(),
        ..QueryOptions::default()
    }
}

/// The same, and what a query itself asks for.
fn asked_options(call: &Call, params: &Params) -> Result<QueryOptions> {
    let mut options = query_options(call);
    if let Some(t) = params.get("timeout") {
        options.timeout = Some(Duration::from_nanos(time::duration_ns("timeout", t)?.max(0) as u64));
    }
    if let Some(t) = params.get("lookback_delta") {
        options.lookback_ms = time::duration_ns("lookback_delta", t)? / 1_000_000;
        if options.lookback_ms < 0 {
            return Err(Error::invalid(format!("parameter \"lookback_delta\": {t:?} is negative")));
        }
    }
    Ok(options)
}

/// Label names that are no plain words travel escaped in a path: `U__`, then `__` for an underscore and `_2e_` for the
/// character of that hexadecimal number. What is not of this form is the name itself.
fn unescape(name: &str) -> String {
    let plain = || name.to_owned();
    let Some(mut rest) = name.strip_prefix("U__") else { return plain() };
    let mut out = String::new();
    while let Some(i) = rest.find('_') {
        out.push_str(&rest[..i]);
        let Some((hex, after)) = rest[i + 1..].split_once('_') else { return plain() };
        if hex.is_empty() {
            out.push('_');
        } else {
            let Some(c) = u32::from_str_radix(hex, 16).ok().filter(|_| hex.len() <= 6).and_then(char::from_u32) else { return plain() };
            out.push(c);
        }
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn escaped_names() {
        for (escaped, name) in [
            ("job", "job"),
            ("U__host_2e_name", "host.name"),
            ("U__a__b", "a_b"),
            ("U__junk_0a__7b__7d__2c__3d_:_20__20_chars", "junk\n{},=:  chars"),
            ("U__broken_zz_", "U__broken_zz_"),
            ("U__broken_2e", "U__broken_2e"),
        ] {
            assert_eq!(unescape(escaped), name);
        }
    }
}
