//! Prometheus' HTTP API: remote write 1.0, and the queries.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode};
use wire::Options;

use crate::app::{Call, json, no_content, refused};
use crate::routes::Answer;
use crate::status;

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

/// `GET /api/v1/status/buildinfo`. It names no features: that is how clients tell Mimir from Prometheus.
pub(crate) async fn buildinfo(_: Call) -> Answer {
    Ok(json(serde_json::json!({"status": "success", "data": crate::admin::build()}).to_string()))
}
