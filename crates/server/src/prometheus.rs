//! Prometheus' HTTP API: remote write 1.0, and the queries.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode};
use base::{Error, Result};
use wire::Encoding;

use crate::app::{Call, describe, json};
use crate::params::Params;
use crate::routes::Answer;
use crate::status::{self, Dialect};
use crate::time;

/// `GET /api/v1/status/buildinfo`. It names no features: that is how clients tell Mimir from Prometheus.
pub(crate) async fn buildinfo(_: Call) -> Answer {
    Ok(json(
        serde_json::json!({"status": "success", "data": {
            "version": env!("CARGO_PKG_VERSION"), "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
        }})
        .to_string(),
    ))
}
