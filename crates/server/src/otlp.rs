//! OTLP over HTTP: `/v1/logs` and `/v1/traces`, in protobuf and in JSON; and `/otlp/v1/logs`, where Loki has it.
//!
//! The rules are those of the OTLP specification: 200 with `partial_success` when some entries can never be taken
//! (the client must not send them again), 429, 502, 503 and 504 mean "again", everything else is final, so a failure
//! of ours is 503 and never 500 (see [`crate::status`]).

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode};
use base::attrs::write_varint;
use base::{Error, Kind, Result};
use wire::Encoding;

use crate::app::{Call, describe, json, reply};
use crate::backend::Ingested;
use crate::routes::Answer;
use crate::status::{self, Dialect};

/// Codec of each form of a signal.
struct Forms {
    protobuf: u16,
    json: u16,
    /// The JSON name of the count of refused entries.
    rejected: &'static str,
}

const LOGS: Forms = Forms { protobuf: 1, json: 2, rejected: "rejectedLogRecords" };
const TRACES: Forms = Forms { protobuf: 3, json: 4, rejected: "rejectedSpans" };

/// `POST /v1/logs`
pub(crate) async fn logs(mut call: Call) -> Answer {
    export(&mut call, &LOGS).await
}

/// `POST /v1/traces`
pub(crate) async fn traces(mut call: Call) -> Answer {
    export(&mut call, &TRACES).await
}

/// `POST /otlp/v1/logs`: as `/v1/logs`, but a whole success is 204 without a body, as Loki answers it.
pub(crate) async fn logs_of_loki(mut call: Call) -> Answer {
    let answer = export(&mut call, &LOGS).await?;
    if answer.headers().contains_key(PARTIAL) || answer.status() != StatusCode::OK {
        return Ok(answer);
    }
    let mut r = Response::new(Body::empty());
    *r.status_mut() = StatusCode::NO_CONTENT;
    Ok(r)
}

/// `POST /v1/metrics`: says what to do instead.
pub(crate) async fn metrics(_: Call) -> Answer {
    Err(Error::new(Kind::NotFound, "metrics are not taken over OTLP: send them with Prometheus remote write to /api/v1/write"))
}

/// Marks an answer that names refused entries.
const PARTIAL: &str = "x-watchfire-refused";

async fn export(call: &mut Call, forms: &Forms) -> Answer {
    let as_json = match status::media_type(&call.headers).as_str() {
        "application/json" => true,
        "application/x-protobuf" => false,
        other => {
            let message = format!("media type {:?} is not supported: send application/x-protobuf or application/json", wire::encoding::shorten(other));
            return Ok(status::refuse(Dialect::Otlp { json: false }, StatusCode::UNSUPPORTED_MEDIA_TYPE, &message));
        }
    };
    let encoding = match Encoding::from_header(Some(call.header("content-encoding")), Encoding::SnappyFramed) {
        Ok(e) => e,
        Err(e) => return Ok(status::refuse(Dialect::Otlp { json: as_json }, StatusCode::UNSUPPORTED_MEDIA_TYPE, e.message())),
    };
    let done = call.ingest(if as_json { forms.json } else { forms.protobuf }, encoding).await?;
    success(&done, as_json, forms.rejected)
}

/// `Export*ServiceResponse { 1: partial_success { 1: rejected int64, 2: error_message } }`, in the request's own form.
fn success(done: &Ingested, as_json: bool, rejected: &str) -> Result<Response<Body>> {
    let refused = done.refusals.len();
    let message = describe(&done.refusals);
    let mut r = match (as_json, refused) {
        (true, 0) => json("{}"),
        (true, _) => json(serde_json::json!({"partialSuccess": {rejected: refused.to_string(), "errorMessage": message}}).to_string()),
        (false, 0) => reply("application/x-protobuf", ""),
        (false, _) => reply("application/x-protobuf", partial_protobuf(refused as u64, &message)),
    };
    if refused > 0 {
        r.headers_mut().insert(PARTIAL, HeaderValue::from(refused));
    }
    Ok(r)
}

fn partial_protobuf(refused: u64, message: &str) -> Vec<u8> {
    let mut inner = vec![1 << 3];
    write_varint(&mut inner, refused);
    inner.push(2 << 3 | 2);
    write_varint(&mut inner, message.len() as u64);
    inner.extend_from_slice(message.as_bytes());
    let mut out = vec![1 << 3 | 2];
    write_varint(&mut out, inner.len() as u64);
    out.extend_from_slice(&inner);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_success_is_encoded() {
        assert_eq!(partial_protobuf(3, "no"), [0x0a, 6, 0x08, 3, 0x12, 2, b'n', b'o']);
    }
}
