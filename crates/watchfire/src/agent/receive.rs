//! Takes what is sent to the agent, and hands it to the receivers.
//!
//! A body is read as the server reads one, whole, within bounds of size and time, and only when there is memory for it: so many senders at once
//! make each other wait, or are told to come again, and the agent stays within its memory.

use std::sync::Arc;
use std::time::Duration;

use ::agent::limits;
use ::agent::receive::{Answer, Receivers, Refused, Request, Way};
use axum::Router;
use axum::body::Body;
use axum::extract::Request as Sent;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use axum::routing::post;
use base::{Error, Kind};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use server::body::{self, Budget, Received};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use wire::grpc;

/// Bodies in memory together, as they were sent: three of the largest, or many of the usual ones.
const MEMORY_BYTES: usize = 3 * limits::RECEIVED_BYTES;
/// Requests that are decoded and delivered at once: enough to share a sync, and each may hold a decompressed body.
const AT_ONCE: usize = 4;
/// How long a request waits for its turn before it is told to come again.
const WAIT: Duration = Duration::from_secs(10);

/// What all requests share.
struct Shared {
    receivers: Receivers,
    memory: Budget,
    turn: Arc<Semaphore>,
}

/// The receivers' paths.
pub fn router(receivers: Receivers) -> Router {
    let paths = receivers.paths();
    let shared = Arc::new(Shared { receivers, memory: body::budget(MEMORY_BYTES), turn: Arc::new(Semaphore::new(AT_ONCE)) });
    paths.into_iter().fold(Router::new(), |router, (path, way)| {
        let shared = shared.clone();
        router.route(path, post(move |sent: Sent| respond(shared.clone(), way, sent)))
    })
}

async fn respond(shared: Arc<Shared>, way: Way, sent: Sent) -> Response<Body> {
    let (head, body) = sent.into_parts();
    let mut request = Request::default();
    for (name, value) in &head.headers {
        if let Ok(text) = value.to_str() {
            request.headers.insert(name.as_str().to_owned(), text.to_owned());
        }
    }
    if !matches!(way, Way::OtlpGrpc(_)) {
        return written(take(&shared, way, &mut request, &head.headers, body).await);
    }
    if let Some((status, why)) = server::grpc::not_a_call(head.version, &head.headers) {
        return written(Answer::new(status.as_u16(), "text/plain; charset=utf-8", format!("{why}\n").into_bytes()));
    }
    let taken = match request.header(grpc::header::TIMEOUT).map(grpc::timeout).transpose() {
        Err(e) => Err(e),
        Ok(None) => Ok(take(&shared, way, &mut request, &head.headers, body).await),
        Ok(Some(time)) => {
            let late = |_| Error::new(Kind::Timeout, "the time that the client allows is over");
            timeout(time, take(&shared, way, &mut request, &head.headers, body)).await.map_err(late)
        }
    };
    written(taken.unwrap_or_else(|e| shared.receivers.refuse(way, &request, &e.into())))
}

async fn take(shared: &Arc<Shared>, way: Way, request: &mut Request, headers: &HeaderMap, body: Body) -> Answer {
    if let Err(answer) = shared.receivers.admit(way, request) {
        return answer;
    }
    let read = match way {
        Way::OtlpGrpc(_) => read_message(shared, request, headers, body).await,
        _ => body::read(&shared.memory, limits::RECEIVED_BYTES, headers, body).await.map_err(Refused::from),
    };
    let received = match read {
        Ok(received) => received,
        Err(refused) => return shared.receivers.refuse(way, request, &refused),
    };
    let Ok(Ok(turn)) = timeout(WAIT, shared.turn.clone().acquire_owned()).await else {
        let busy = Error::unavailable("too many requests are being written; come again");
        return shared.receivers.refuse(way, request, &busy.into());
    };
    let request = Request { headers: std::mem::take(&mut request.headers), body: received.bytes.clone() };
    let shared = shared.clone();
    let taking = tokio::task::spawn_blocking(move || {
        let answer = shared.receivers.take(way, &request);
        drop((turn, received));
        answer
    });
    taking.await.unwrap_or_else(|_| Answer::new(503, "text/plain; charset=utf-8", b"the receiver failed\n".to_vec()))
}

/// Reads the message of a gRPC call, and says in the request how it is compressed.
async fn read_message(shared: &Shared, request: &mut Request, headers: &HeaderMap, body: Body) -> Result<Received, Refused> {
    if let Err(unknown) = grpc::encoding(request.header(grpc::header::ENCODING)) {
        return Err(Refused::MediaType(unknown.message().to_owned()));
    }
    let (received, encoding) = body::read_message(&shared.memory, limits::RECEIVED_BYTES, headers, body).await?;
    request.headers.insert("content-encoding".into(), encoding.name().into());
    Ok(received)
}

fn written(answer: Answer) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    put(&mut trailers, answer.trailers);
    let body = Full::<Bytes>::from(answer.body);
    let body = if trailers.is_empty() { Body::new(body) } else { Body::new(body.with_trailers(std::future::ready(Some(Ok(trailers))))) };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    put(response.headers_mut(), answer.headers);
    response
}

fn put(into: &mut HeaderMap, headers: Vec<(&'static str, String)>) {
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            into.insert(HeaderName::from_static(name), value);
        }
    }
}
