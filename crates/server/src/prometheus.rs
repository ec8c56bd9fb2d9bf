//! Prometheus' HTTP API: remote write 1.0, and the queries.

use std::future::Future;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode};
use base::{Error, Matcher, Result, Tenant};
use metrics::metadata::{self, Scope};
use metrics::{Options as QueryOptions, response};
use table::{Cancel, Missing, Rows};
use wire::Options;

use crate::app::{Call, json, no_content, refused, warnings};
use crate::params::Params;
use crate::routes::Answer;
use crate::status;
use crate::time;

/// `POST /api/v1/write`: 204 when durable; 400 names what can never be taken, the rest is stored. Both say how much was
/// written, because senders of version 2 take silence for nothing.
pub(crate) async fn write(mut call: Call) -> Answer {
    let dialect = status::dialect(call.uri.path(), &call.headers);
    let selected = metrics::ingest::select_remote_write(call.header("content-type"), call.header("content-encoding"), Options::default());
    let selected = match selected {
        Ok(s) => s,
        Err(e) => return Ok(status::refuse(dialect, StatusCode::UNSUPPORTED_MEDIA_TYPE, e.message())),
    };
    let done = call.ingest(selected.codec, selected.options).await?;
    let mut r = match refused(&done.refusals) {
        Ok(()) => no_content(),
        Err(e) => status::error(dialect, &e),
    };
    written(&mut r, done.rows);
    Ok(r)
}

/// Says how many samples were written. Version 1 does not tell floats from histograms in its answer; exemplars are not kept.
fn written(r: &mut Response<Body>, samples: u64) {
    for (name, n) in [("samples", samples), ("histograms", 0), ("exemplars", 0)] {
        let name = format!("x-prometheus-remote-write-{name}-written");
        if let Ok(name) = axum::http::HeaderName::try_from(name) {
            r.headers_mut().insert(name, HeaderValue::from(n));
        }
    }
}

/// `GET|POST /api/v1/query`
pub(crate) async fn query(mut call: Call) -> Answer {
    let params = call.params().await?;
    let query = params.require("query")?.to_owned();
    let time_ms = time_of(&params, "time")?.unwrap_or_else(|| call.app.backend.clock().now_ms());
    let (options, limit) = (query_options(&params)?, limit(&params)?);
    ask(&call, move |rows, tenant, cancel, missing| {
        let options = QueryOptions { cancel: cancel.clone(), ..options };
        let mut result = metrics::instant(rows, tenant, &query, time_ms, &options)?;
        result.warnings.extend(warnings(missing));
        Ok(response::query(&result, limit))
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
    let (options, limit) = (query_options(&params)?, limit(&params)?);
    ask(&call, move |rows, tenant, cancel, missing| {
        let options = QueryOptions { cancel: cancel.clone(), ..options };
        let mut result = metrics::range(rows, tenant, &query, start_ms, end_ms, step_ms, &options)?;
        result.warnings.extend(warnings(missing));
        Ok(response::query(&result, limit))
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
    let name = unescape(&call.path_parameter(3)?);
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
    Ok(json(serde_json::json!({"status": "success", "data": crate::admin::build()}).to_string()))
}

/// Runs a query of the language and answers with its body.
fn ask<F>(call: &Call, f: F) -> impl Future<Output = Answer> + Send + use<F>
where
    F: FnOnce(&dyn Rows, &Tenant, &Cancel, &Missing) -> Result<Vec<u8>> + Send + 'static,
{
    let (tenant, missing) = (call.tenant.clone(), call.missing.clone());
    let body = call.query(move |rows: &dyn Rows, cancel: &Cancel| f(rows, &tenant, cancel, &missing));
    async { Ok(json(body.await?)) }
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
            selectors: params.all("match[]").map(metrics::parse_selector).collect::<Result<_>>()?,
            start_ms: time_of(params, "start")?.unwrap_or(i64::MIN),
            end_ms: time_of(params, "end")?.unwrap_or(i64::MAX),
            limit: limit(params)?,
        })
    }
    fn scope(&self, cancel: &Cancel) -> Scope<'_> {
        Scope { selectors: &self.selectors, start_ms: self.start_ms, end_ms: self.end_ms, limit: self.limit, cancel: cancel.clone() }
    }
}

fn time_of(params: &Params, name: &str) -> Result<Option<i64>> {
    params.get(name).map(|t| time::prometheus_ms(name, t)).transpose()
}

/// How many series at most; 0 for all.
fn limit(params: &Params) -> Result<usize> {
    Ok(params.number("limit")?.map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX)))
}

fn query_options(params: &Params) -> Result<QueryOptions> {
    let mut options = QueryOptions::default();
    if let Some(t) = params.get("timeout") {
        options.timeout = Some(Duration::from_nanos(time::duration_ns("timeout", t)?.max(0) as u64));
    }
    if let Some(t) = params.get("lookback_delta") {
        options.lookback_ms = time::duration_ns("lookback_delta", t)? / 1_000_000;
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
