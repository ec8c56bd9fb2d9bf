//! gRPC: OTLP's three services and Loki's `Pusher`, each one method without streams.
//!
//! A message takes the way of a body that came over plain HTTP, still compressed: the same codecs, limits, tenants and figures. So this is a
//! frame to take off, a status to put in the trailers, and a time that the client may set. `docs/decisions/0020-grpc-without-a-framework.md`
//! says why no library does it.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use base::{Error, Kind};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use wire::otlp::{Form, Signal, success};
use wire::{Encoding, Options, grpc};

use crate::app::{Call, describe, refused};
use crate::routes::Answer;
use crate::status::{self, Dialect};

pub(crate) async fn logs(call: Call) -> Answer {
    answer(call, Method::Export(Signal::Logs)).await
}

pub(crate) async fn metrics(call: Call) -> Answer {
    answer(call, Method::Export(Signal::Metrics)).await
}

pub(crate) async fn traces(call: Call) -> Answer {
    answer(call, Method::Export(Signal::Traces)).await
}

pub(crate) async fn loki(call: Call) -> Answer {
    answer(call, Method::Push).await
}

/// What is called.
#[derive(Clone, Copy)]
enum Method {
    /// Takes `Export…ServiceRequest`, answers `Export…ServiceResponse`.
    Export(Signal),
    /// Takes `logproto.PushRequest`, answers `PushResponse`, which is empty.
    Push,
}

impl Method {
    /// The codec of its messages, and what the codec has to know.
    fn codec(self, call: &Call, encoding: Encoding) -> (u16, Bytes) {
        let options = Options::encoded(encoding);
        match self {
            Method::Export(Signal::Logs) => (logs::ingest::OTLP_PROTOBUF, options.to_bytes()),
            Method::Export(Signal::Traces) => (traces::ingest::OTLP_PROTOBUF, options.to_bytes()),
            Method::Export(Signal::Metrics) => (metrics::ingest::OTLP_PROTOBUF, call.app.settings.otlp.to_bytes(&options)),
            Method::Push => (logs::ingest::LOKI_PROTOBUF, options.to_bytes()),
        }
    }
}

/// Why a request to a method's path is no call of gRPC, whose clients read an answer of plain HTTP then.
pub fn not_a_call(version: Version, headers: &HeaderMap) -> Option<(StatusCode, String)> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    if !grpc::is_protobuf(content_type) {
        let said = format!("content type {:?} is not supported: use {}", wire::encoding::shorten(content_type), grpc::MEDIA_TYPE);
        return Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, said));
    }
    // Over HTTP/1.1 there would be no trailers, and a client that is not told of success sends again for ever.
    if version != Version::HTTP_2 {
        let said = "gRPC needs HTTP/2 from its client to this server: a proxy in between must speak it, too (nginx: grpc_pass)";
        return Some((StatusCode::HTTP_VERSION_NOT_SUPPORTED, said.to_owned()));
    }
    None
}

async fn answer(mut call: Call, method: Method) -> Answer {
    if let Some((status, why)) = not_a_call(call.version, &call.headers) {
        return Ok(status::refuse(Dialect::Text, status, &why));
    }
    let Some(time) = call.header(grpc::header::TIMEOUT).map(grpc::timeout).transpose()? else { return push(&mut call, method).await };
    // Who has stopped waiting takes no place from others. What is already on its way to the disk gets there.
    let late = |_| Err(Error::new(Kind::Timeout, "the time that the client allows is over"));
    tokio::time::timeout(time, push(&mut call, method)).await.unwrap_or_else(late)
}

async fn push(call: &mut Call, method: Method) -> Answer {
    if let Err(unknown) = grpc::encoding(call.header(grpc::header::ENCODING)) {
        return Ok(status::refuse(Dialect::Grpc, StatusCode::UNSUPPORTED_MEDIA_TYPE, unknown.message()));
    }
    let (received, encoding) = call.read_message().await?;
    let (codec, options) = method.codec(call, encoding);
    let done = call.store(received, codec, options).await?;
    let message = match (method, refused(&done.refusals)) {
        (Method::Push, result) => result.map(|()| vec![])?,
        (Method::Export(signal), Ok(())) => success(Form::Protobuf, signal, 0, ""),
        (Method::Export(_), Err(e)) if e.kind() == Kind::LimitExceeded => return Err(e),
        (Method::Export(signal), Err(_)) => success(Form::Protobuf, signal, done.refusals.len() as u64, &describe(&done.refusals)),
    };
    Ok(reply(&message))
}

/// Success: a message, and after it the status.
fn reply(message: &[u8]) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert(grpc::header::STATUS, HeaderValue::from(grpc::OK));
    let body = Full::<Bytes>::from(grpc::framed(message)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut r = Response::new(Body::new(body));
    r.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(grpc::MEDIA_TYPE));
    r
}
