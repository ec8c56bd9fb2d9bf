//! OTLP over HTTP: `/v1/logs`, `/v1/metrics` and `/v1/traces`, in protobuf and in JSON; logs and metrics also where Loki, Prometheus
//! and Mimir have them.
//!
//! The rules are those of the OTLP specification: 200 with `partial_success` when some entries can never be taken
//! (the client must not send them again), 429, 502, 503 and 504 mean "again", everything else is final, so a failure
//! of ours is 503 and never 500 (see [`crate::status`]).

use axum::body::Body;
use axum::http::{Response, StatusCode};
use base::{Kind, Result};
use bytes::Bytes;
use table::Ingested;
use wire::Options;
use wire::otlp::{Form, Signal, success};

use crate::app::{Call, describe, no_content, refused, reply};
use crate::routes::Answer;
use crate::status::{self, Dialect};

/// Codec, its options and the form of the answer.
type Selected = Result<(u16, Bytes, Form)>;

/// `POST /v1/logs`
pub(crate) async fn logs(mut call: Call) -> Answer {
    let selected = select_logs(&call);
    export(&mut call, selected, Signal::Logs).await.map(Exported::into_answer)
}

/// `POST /v1/traces`
pub(crate) async fn traces(mut call: Call) -> Answer {
    let selected = traces::ingest::select_otlp(call.header("content-type"), call.header("content-encoding"), Options::default());
    let selected = selected.map(|(s, form)| (s.codec, s.options, form));
    export(&mut call, selected, Signal::Traces).await.map(Exported::into_answer)
}

/// `POST /otlp/v1/logs`: as `/v1/logs`, but a whole success is 204 without a body, as Loki answers it.
pub(crate) async fn logs_of_loki(mut call: Call) -> Answer {
    let selected = select_logs(&call);
    Ok(match export(&mut call, selected, Signal::Logs).await? {
        Exported::Whole(_) => no_content(),
        other => other.into_answer(),
    })
}

/// `POST /v1/metrics`; also `/api/v1/otlp/v1/metrics`, where Prometheus has it, and `/otlp/v1/metrics`, where Mimir has it.
pub(crate) async fn metrics(mut call: Call) -> Answer {
    let translation = &call.app.settings.otlp;
    let selected =
        metrics::ingest::otlp::select(call.header("content-type"), call.header("content-encoding"), Options::default(), translation);
    let selected = selected.map(|(s, form)| (s.codec, s.options, form));
    export(&mut call, selected, Signal::Metrics).await.map(Exported::into_answer)
}

fn select_logs(call: &Call) -> Selected {
    logs::ingest::select_otlp(call.header("content-type"), call.header("content-encoding"), Options::default())
        .map(|(s, form)| (s.codec, s.options, form))
}

/// How an export ended, short of an error.
enum Exported {
    /// Everything was taken.
    Whole(Response<Body>),
    /// Some entries were not, or none could be looked at.
    Other(Response<Body>),
}

impl Exported {
    fn into_answer(self) -> Response<Body> {
        match self {
            Exported::Whole(r) | Exported::Other(r) => r,
        }
    }
}

async fn export(call: &mut Call, selected: Selected, signal: Signal) -> Result<Exported> {
    let (codec, options, form) = match selected {
        Ok(s) => s,
        Err(e) => {
            let dialect = Dialect::Otlp { form: Form::of(&status::media_type(&call.headers)).unwrap_or(Form::Protobuf) };
            return Ok(Exported::Other(status::refuse(dialect, StatusCode::UNSUPPORTED_MEDIA_TYPE, e.message())));
        }
    };
    let done: Ingested = call.ingest(codec, options).await?;
    match refused(&done.refusals) {
        Ok(()) => Ok(Exported::Whole(reply(form.media_type(), success(form, signal, 0, "")))),
        Err(e) if e.kind() == Kind::LimitExceeded => Err(e),
        Err(_) => {
            let body = success(form, signal, done.refusals.len() as u64, &describe(&done.refusals));
            Ok(Exported::Other(reply(form.media_type(), body)))
        }
    }
}
