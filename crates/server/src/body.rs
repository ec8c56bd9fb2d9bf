//! Reading a request's body: capped while it arrives, within a time, and only when there is memory for it.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header;
use base::{Error, Kind, Result};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::limits;

/// The budget is counted in pieces of this size, because a semaphore counts in 32 bits.
const PIECE: usize = 4 << 10;
/// Memory is asked for in steps of this size when the sender does not say how long its body is.
const STEP: usize = 1 << 20;

/// Memory for bodies.
pub struct Budget(Arc<Semaphore>);

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        Budget(Arc::new(Semaphore::new(bytes.div_ceil(PIECE))))
    }
    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX);
        match timeout(limits::BODY_MEMORY_WAIT, self.0.clone().acquire_many_owned(pieces)).await {
            Ok(Ok(p)) => Ok(p),
            _ => Err(Error::unavailable("too many bytes are in flight; come again")),
        }
    }
}

/// A whole body, with the memory that is set aside for it until it is dropped.
pub struct Received {
    /// The bytes.
    pub bytes: Bytes,
    _memory: Vec<OwnedSemaphorePermit>,
}

/// Reads a body of at most `cap` bytes.
pub async fn read(budget: &Budget, cap: usize, headers: &HeaderMap, mut body: Body) -> Result<Received> {
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
    let started = Instant::now();
    loop {
        let left = limits::BODY_TOTAL.saturating_sub(started.elapsed()).min(limits::BODY_STALL);
        let frame = match timeout(left, body.frame()).await {
            Err(_) => return Err(Error::new(Kind::Timeout, "the body did not arrive in time")),
            Ok(None) => break,
            Ok(Some(Err(e))) => return Err(Error::new(Kind::Canceled, format!("the body broke off: {e}"))),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_cap_holds_whether_or_not_the_length_is_announced() {
        let budget = Budget::new(8 << 20);
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
    }

    #[tokio::test(start_paused = true)]
    async fn without_memory_it_waits_and_then_asks_to_come_again() {
        let budget = Budget::new(PIECE);
        let mut h = HeaderMap::new();
        h.insert(header::CONTENT_LENGTH, PIECE.into());
        let first = read(&budget, PIECE, &h, Body::from(vec![0; PIECE])).await.unwrap();
        assert_eq!(read(&budget, PIECE, &h, Body::from(vec![0; PIECE])).await.err().unwrap().kind(), Kind::Unavailable);
        drop(first);
        assert!(read(&budget, PIECE, &h, Body::from(vec![0; PIECE])).await.is_ok());
    }
}
