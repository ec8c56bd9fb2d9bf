//! Remote write, versions 1.0 and 2.0.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use metrics::ingest::{REMOTE_WRITE_2, kind, select_remote_write};
use table::Ingested;
use wire::Options;

use crate::app::{Call, taken};
use crate::routes::Answer;
use crate::status;

/// `POST /api/v1/write`: 204 when durable; 400 names what can never be taken, the rest is stored. Version 2 is told how much was
/// written in either case, because its senders take silence for nothing.
pub(super) async fn write(mut call: Call) -> Answer {
    let dialect = status::dialect(call.uri.path(), &call.headers);
    let selected = match select_remote_write(call.header("content-type"), call.header("content-encoding"), Options::default()) {
        Ok(s) => s,
        Err(e) => {
            let mut r = status::refuse(dialect, StatusCode::UNSUPPORTED_MEDIA_TYPE, e.message());
            written(&mut r, &Ingested::default());
            return Ok(r);
        }
    };
    let version2 = selected.codec == REMOTE_WRITE_2;
    let done = match call.ingest(selected.codec, selected.options).await {
        Ok(done) => done,
        Err(e) => {
            let mut r = status::error(dialect, &e);
            if version2 {
                written(&mut r, &Ingested::default());
            }
            return Ok(r);
        }
    };
    let mut r = taken(dialect, &done.refusals);
    if version2 {
        written(&mut r, &done);
    }
    Ok(r)
}

fn written(r: &mut Response<Body>, done: &Ingested) {
    for (name, kind) in [
        ("x-prometheus-remote-write-samples-written", kind::SAMPLES),
        ("x-prometheus-remote-write-histograms-written", kind::HISTOGRAMS),
        ("x-prometheus-remote-write-exemplars-written", kind::EXEMPLARS),
    ] {
        r.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(done.count(kind)));
    }
}
