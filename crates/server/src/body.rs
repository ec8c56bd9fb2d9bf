//! Reading a request's body: capped while it arrives, within a time, and only when there is memory for it.

use std::time::Instant;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header;
use base::{Error, Kind, Result};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use wire::Encoding;
use wire::grpc::{self, Unary};

use crate::limits;
pub use crate::memory::Budget;

/// Memory is asked for in steps of this size when the sender does not say how long its body is.
const STEP: usize = 1 << 20;

/// Memory for bodies.
pub fn budget(bytes: usize) -> Budget {
    Budget::new(bytes, limits::BODY_MEMORY_WAIT, "too many bytes are in flight; come again")
}

/// A whole body, with the memory that is set aside for it until it is dropped.
pub struct Received {
    /// The bytes.
    pub bytes: Bytes,
    _memory: Vec<OwnedSemaphorePermit>,
}

/// A body on its way.
struct Arriving {
    body: Body,
    started: Instant,
}

impl Arriving {
    fn new(body: Body) -> Self {
        Arriving { body, started: Instant::now() }
    }
    /// Its next piece, within the time that it may take.
    async fn piece(&mut self) -> Result<Option<Bytes>> {
        loop {
            let left = limits::BODY_TOTAL.saturating_sub(self.started.elapsed()).min(limits::BODY_STALL);
            let frame = match timeout(left, self.body.frame()).await {
                Err(_) => return Err(Error::new(Kind::Timeout, "the body did not arrive in time")),
                Ok(None) => return Ok(None),
                Ok(Some(Err(e))) => return Err(Error::new(Kind::Canceled, format!("the body broke off: {e}"))),
                Ok(Some(Ok(frame))) => frame,
            };
            // What is no data is trailers, in which nothing is said.
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }
}

/// Reads a body of at most `cap` bytes.
///
/// Errors: `TooLarge`; `Unavailable` when there is no memory for it; `Timeout`; `Canceled` when it breaks off.
pub async fn read(budget: &Budget, cap: usize, headers: &HeaderMap, body: Body) -> Result<Received> {
    let too_large =
        |n: u64| Error::new(Kind::TooLarge, format!("the body has {n} bytes or more, and {cap} are allowed: send smaller batches"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let mut memory = vec![];
    let mut granted = 0;
    if let Some(n) = announced {
        if n > cap as u64 {
            return Err(too_large(n));
        }
        granted = n as usize;
        memory.push(budget.take(granted).await?);
    }
    let mut out = BytesMut::with_capacity(granted);
    let mut arriving = Arriving::new(body);
    while let Some(data) = arriving.piece().await? {
        if out.len() + data.len() > cap {
            return Err(too_large((out.len() + data.len()) as u64));
        }
        if out.len() + data.len() > granted {
            let more = (out.len() + data.len() - granted).max(STEP);
            memory.push(budget.take(more).await?);
            granted += more;
        }
        out.extend_from_slice(&data);
    }
    Ok(Received { bytes: out.freeze(), _memory: memory })
}

/// Reads the message of a gRPC call, of at most `cap` bytes, out of its frame; also how it is compressed, which is left as it is.
///
/// Errors: those of [`read`], and `Invalid` when there is not one message in its frame.
pub async fn read_message(budget: &Budget, cap: usize, headers: &HeaderMap, body: Body) -> Result<(Received, Encoding)> {
    let mut arriving = Arriving::new(body);
    let mut unary = Unary::new(cap);
    let mut memory = vec![];
    while let Some(mut data) = arriving.piece().await? {
        while !data.is_empty() {
            unary.take(&mut data)?;
            if let (Some(length), true) = (unary.length(), memory.is_empty()) {
                memory.push(budget.take(length).await?);
            }
        }
    }
    let message = unary.finish()?;
    let encoding = message.encoding(headers.get(grpc::header::ENCODING).and_then(|v| v.to_str().ok()))?;
    Ok((Received { bytes: message.bytes, _memory: memory }, encoding))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::PIECE;
    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    #[tokio::test]
    async fn the_cap_holds_whether_or_not_the_length_is_announced() {
        let budget = budget(8 << 20);
        let read_of = |n: usize, announce: bool| {
            let mut h = HeaderMap::new();
            if announce {
                h.insert(header::CONTENT_LENGTH, n.into());
            }
            let budget = &budget;
            async move { read(budget, 1000, &h, Body::from(vec![7u8; n])).await }
        };
        for announce in [true, false] {
            assert_eq!(read_of(1000, announce).await.unwrap().bytes.len(), 1000);
            assert_eq!(read_of(1001, announce).await.err().unwrap().kind(), Kind::TooLarge);
        }
        assert_eq!(budget.used(), 0, "memory is given back");
    }

    #[tokio::test(start_paused = true)]
    async fn without_memory_it_waits_and_then_asks_to_come_again() {
        let budget = budget(PIECE);
        let mut h = HeaderMap::new();
        h.insert(header::CONTENT_LENGTH, PIECE.into());
        let first = read(&budget, PIECE, &h, Body::from(vec![0; PIECE])).await.unwrap();
        assert_eq!(read(&budget, PIECE, &h, Body::from(vec![0; PIECE])).await.err().unwrap().kind(), Kind::Unavailable);
        drop(first);
        assert!(read(&budget, PIECE, &h, Body::from(vec![0; PIECE])).await.is_ok());
    }

    /// A body that arrives in these pieces, and then not any more.
    fn stalling(pieces: Vec<Vec<u8>>) -> Body {
        let pieces = pieces.into_iter().map(|p| Ok::<_, std::io::Error>(Frame::data(Bytes::from(p))));
        Body::new(StreamBody::new(stream::StreamExt::chain(stream::iter(pieces), stream::pending())))
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_takes_memory_for_what_its_head_says_and_is_refused_before_it_arrives() {
        let budget = budget(2 * PIECE);
        let mut h = HeaderMap::new();
        h.insert(grpc::header::ENCODING, "gzip".parse().unwrap());
        let framed = grpc::framed(&vec![7; PIECE]);
        let (message, encoding) = read_message(&budget, PIECE, &h, Body::from(framed.clone())).await.unwrap();
        assert_eq!((message.bytes.len(), encoding), (PIECE, Encoding::Identity), "what is not compressed is not gzip");
        assert_eq!(budget.used(), PIECE);
        // Two pieces of memory are wanted before a byte of it has come, and one is there.
        let larger = grpc::framed(&vec![7; PIECE + 1]);
        let none = read_message(&budget, 2 * PIECE, &h, stalling(vec![larger[..5].to_vec()])).await;
        assert_eq!(none.err().unwrap().kind(), Kind::Unavailable);
        drop(message);
        let beyond = read_message(&budget, PIECE, &h, stalling(vec![larger[..5].to_vec()])).await;
        assert_eq!(beyond.err().unwrap().kind(), Kind::TooLarge);
        let late = read_message(&budget, PIECE, &h, stalling(vec![framed[..100].to_vec()])).await;
        assert_eq!(late.err().unwrap().kind(), Kind::Timeout);
        let two = read_message(&budget, PIECE, &h, Body::from([framed.clone(), framed].concat())).await;
        assert_eq!(two.err().unwrap().kind(), Kind::Invalid);
        assert_eq!(budget.used(), 0, "memory is given back");
    }
}
