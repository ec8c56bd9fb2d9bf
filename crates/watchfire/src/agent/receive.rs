//! Listens for what is sent to the agent, and hands it to the receivers.
//!
//! A body is read whole, within bounds of size and time, and only when there is memory for it: so many senders at once make
//! each other wait, or are told to come again, and the agent stays within its memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::agent::limits;
use ::agent::receive::{Answer, Receivers, Request, Way};
use axum::Router;
use axum::body::Body;
use axum::extract::Request as Sent;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use axum::routing::post;
use base::{Error, Kind, Result};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// Bodies in memory together, as they were sent: three of the largest, or many of the usual ones.
const MEMORY_BYTES: usize = 3 * limits::RECEIVED_BYTES;
/// The memory is counted in pieces of this size, because a semaphore counts in 32 bits.
const PIECE: usize = 4 << 10;
/// Requests that are decoded and delivered at once: enough to share a sync, and each may hold a decompressed body.
const AT_ONCE: usize = 4;
/// How long a request waits for memory or its turn before it is told to come again.
const WAIT: Duration = Duration::from_secs(10);
/// The next piece of a body must arrive within this.
const STALL: Duration = Duration::from_secs(30);
/// All of a body must arrive within this, however steadily it drips.
const TOTAL: Duration = Duration::from_secs(120);

/// What all requests share.
struct Shared {
    receivers: Receivers,
    memory: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

/// The receivers' paths.
pub fn router(receivers: Receivers) -> Router {
    let paths = receivers.paths();
    let memory = Arc::new(Semaphore::new(MEMORY_BYTES / PIECE));
    let shared = Arc::new(Shared { receivers, memory, turn: Arc::new(Semaphore::new(AT_ONCE)) });
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
    if let Err(answer) = shared.receivers.admit(way, &request) {
        return written(answer);
    }
    let (bytes, memory) = match read(&shared.memory, &request.headers, body).await {
        Ok(read) => read,
        Err(e) => return written(shared.receivers.refuse(way, &request, &e)),
    };
    request.body = bytes;
    let Ok(Ok(turn)) = timeout(WAIT, shared.turn.clone().acquire_owned()).await else {
        return written(shared.receivers.refuse(way, &request, &Error::unavailable("too many requests are being written; come again")));
    };
    let taking = tokio::task::spawn_blocking(move || {
        let answer = shared.receivers.take(way, &request);
        drop((turn, memory));
        answer
    });
    written(taking.await.unwrap_or_else(|_| Answer::new(503, "text/plain; charset=utf-8", b"the receiver failed\n".to_vec())))
}

/// Reads a body, with the memory that is set aside for it.
async fn read(memory: &Arc<Semaphore>, headers: &BTreeMap<String, String>, mut body: Body) -> Result<(Bytes, OwnedSemaphorePermit)> {
    let cap = limits::RECEIVED_BYTES;
    let too_large = || Error::new(Kind::TooLarge, format!("the body has more than {cap} bytes: send smaller batches"));
    let announced = headers.get("content-length").and_then(|v| v.parse::<usize>().ok());
    let expected = announced.unwrap_or(cap);
    if expected > cap {
        return Err(too_large());
    }
    let pieces = u32::try_from(expected.div_ceil(PIECE)).unwrap_or(u32::MAX);
    let Ok(Ok(permit)) = timeout(WAIT, memory.clone().acquire_many_owned(pieces)).await else {
        return Err(Error::unavailable("too many bytes are in flight; come again"));
    };
    let mut out = BytesMut::with_capacity(announced.unwrap_or(0));
    let end = Instant::now() + TOTAL;
    loop {
        let until = end.min(Instant::now() + STALL);
        let frame = match timeout_at(until, body.frame()).await {
            Err(_) => return Err(Error::new(Kind::Timeout, "the body did not arrive in time")),
            Ok(None) => return Ok((out.freeze(), permit)),
            Ok(Some(Err(e))) => return Err(Error::new(Kind::Canceled, format!("the body broke off: {e}"))),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        if out.len() + data.len() > expected {
            return Err(too_large());
        }
        out.extend_from_slice(&data);
    }
}

fn written(answer: Answer) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_cap_holds_whether_or_not_the_length_is_announced() {
        let memory = Arc::new(Semaphore::new(MEMORY_BYTES / PIECE));
        let announced = |n: usize| BTreeMap::from([("content-length".to_owned(), n.to_string())]);
        assert_eq!(read(&memory, &announced(3), Body::from("abc")).await.unwrap().0, "abc");
        assert_eq!(read(&memory, &BTreeMap::new(), Body::from("abc")).await.unwrap().0, "abc");
        let large = || Body::from(vec![0u8; limits::RECEIVED_BYTES + 1]);
        assert_eq!(read(&memory, &BTreeMap::new(), large()).await.unwrap_err().kind(), Kind::TooLarge);
        assert_eq!(read(&memory, &announced(limits::RECEIVED_BYTES + 1), large()).await.unwrap_err().kind(), Kind::TooLarge);
        assert_eq!(memory.available_permits(), MEMORY_BYTES / PIECE, "memory is given back");
    }
}
