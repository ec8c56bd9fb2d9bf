//! Loki's HTTP API: push, and the queries. Errors are plain text.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use base::units::SECOND_NS;
use base::{Error, Result};
use wire::Encoding;

use crate::app::{Call, describe, json};
use crate::params::Params;
use crate::routes::Answer;
use crate::status::{self, Dialect};
use crate::time;

/// `POST /loki/api/v1/push`: 204 when durable; 400 names entries that can never be taken, the others are stored.
pub(crate) async fn push(mut call: Call) -> Answer {
    let unsupported = |message: &str| Ok(status::refuse(Dialect::Text, StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    let header = call.header("content-encoding").to_owned();
    let (codec, encoding) = match status::media_type(&call.headers).as_str() {
        // Protobuf is always in snappy's block format, whatever the header says.
        "application/x-protobuf" | "" => (5, Ok(Encoding::SnappyBlock)),
        "application/json" => (6, Encoding::from_header(Some(&header), Encoding::SnappyFramed)),
        other => {
            let other = wire::encoding::shorten(other);
            return unsupported(&format!("media type {other:?} is not supported: send application/x-protobuf or application/json"));
        }
    };
    let encoding = match encoding {
        Ok(e) => e,
        Err(e) => return unsupported(e.message()),
    };
    let done = call.ingest(codec, encoding).await?;
    if !done.refusals.is_empty() {
        return Err(Error::invalid(describe(&done.refusals)));
    }
    let mut r = Response::new(Body::empty());
    *r.status_mut() = StatusCode::NO_CONTENT;
    Ok(r)
}

/// `GET /loki/api/v1/status/buildinfo`
pub(crate) async fn buildinfo(_: Call) -> Answer {
    Ok(json(serde_json::json!({"version": env!("CARGO_PKG_VERSION"), "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""}).to_string()))
}
