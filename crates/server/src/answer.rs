//! Answers that wait for their clients.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use base::{Error, Pieces, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::app::reply;
use crate::limits;
use crate::memory::{Budget, PIECE};

/// Memory for answers that wait for their clients. Long ones have half of it to themselves, and at most half of the queries wait with one,
/// so that a client that reads a long answer slowly holds up others with long ones alone.
pub(crate) struct Answers {
    usual: Budget,
    long: Budget,
    may_wait: Semaphore,
}

const REFUSAL: &str = "answers that wait for their clients take all the memory there is for them: come again, or raise memory_limit";

impl Answers {
    /// `bytes` of memory, for the answers of so many queries at once.
    pub fn new(bytes: usize, queries: usize) -> Self {
        let half = || Budget::new(bytes / 2, limits::ANSWER_WAIT, REFUSAL);
        Answers { usual: half(), long: half(), may_wait: Semaphore::new((queries / 2).max(1)) }
    }

    /// Waits until there is memory for `text` to wait for its client. Called by the job that made it, so that it keeps its place until then:
    /// what clients do not read holds up queries, and does not fill the memory. With `gzip` a text is compressed unless it is short.
    pub fn keep(&self, text: impl Into<Pieces>, gzip: bool) -> Result<Kept> {
        let mut text = text.into();
        let gzip = gzip && text.len() >= limits::GZIP_FROM;
        if gzip {
            text = compressed(text)?;
        }
        let bytes = text.len();
        Ok(Kept { memory: self.memory(bytes)?, pieces: text.into_pieces().into(), bytes, gzip })
    }

    fn memory(&self, bytes: usize) -> Result<Option<OwnedSemaphorePermit>> {
        if bytes <= limits::SHORT_ANSWER {
            return Ok(None);
        }
        let wait = |budget: &Budget| Handle::current().block_on(budget.take(bytes)).map(Some);
        if bytes <= limits::LONG_ANSWER {
            return wait(&self.usual);
        }
        if let Some(memory) = self.long.try_take(bytes) {
            return Ok(Some(memory));
        }
        let _waits = self.may_wait.try_acquire().map_err(|_| Error::unavailable(REFUSAL))?;
        wait(&self.long)
    }

    /// Bytes taken.
    pub fn used(&self) -> usize {
        self.usual.used() + self.long.used()
    }
}

/// The text of an answer, and the memory that is set aside for it: given back piece by piece, as the client takes them.
pub(crate) struct Kept {
    pieces: VecDeque<Vec<u8>>,
    bytes: usize,
    gzip: bool,
    memory: Option<OwnedSemaphorePermit>,
}

impl Kept {
    /// The answer.
    pub fn reply(self, media_type: &'static str) -> Response<Body> {
        let gzip = self.gzip;
        let mut r = reply(media_type, Body::new(self));
        r.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if gzip {
            r.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        r
    }
}

/// Whether a client takes gzip: `gzip` or `*` among what it accepts (RFC 9110, 12.5.3), without a weight of zero.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING);
    let codings = accepted.iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    let weight = |coding: &str, name: &str| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|n| n.eq_ignore_ascii_case(name));
        named.then(|| {
            parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q="))).is_none_or(|q| !q.trim_matches(['0', '.']).is_empty())
        })
    };
    let all: Vec<&str> = codings.collect();
    ["gzip", "*"].iter().find_map(|name| all.iter().find_map(|c| weight(c, name))).unwrap_or(false)
}

/// Pieces go from memory as they are read.
fn compressed(text: Pieces) -> Result<Pieces> {
    let mut out = GzEncoder::new(Pieces::default(), Compression::fast());
    for piece in text.into_pieces() {
        out.write_all(&piece)?;
    }
    Ok(out.finish()?)
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        let Some(piece) = self.pieces.pop_front() else { return Poll::Ready(None) };
        self.bytes -= piece.len();
        let left = self.bytes.div_ceil(PIECE);
        if let Some(memory) = &mut self.memory {
            drop(memory.split(memory.num_permits().saturating_sub(left)));
        }
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::Kind;
    use http_body_util::BodyExt;

    use super::*;

    fn long(bytes: usize) -> Pieces {
        let mut text = Pieces::default();
        (0..bytes / 8).for_each(|_| text.open().extend_from_slice(b"1234567,"));
        text
    }

    /// 2 MiB, half of them for long answers.
    fn answers() -> Arc<Answers> {
        Arc::new(Answers::new(2 << 20, 2))
    }

    fn keep(answers: &Arc<Answers>, bytes: usize) -> tokio::task::JoinHandle<Result<Kept>> {
        let answers = answers.clone();
        tokio::task::spawn_blocking(move || answers.keep(long(bytes), false))
    }

    #[tokio::test]
    async fn an_answer_gives_its_memory_back_as_it_is_taken() {
        let all = answers();
        let short = keep(&all, limits::SHORT_ANSWER).await.unwrap().unwrap();
        assert_eq!((short.size_hint().exact(), all.used()), (Some(64 << 10), 0));
        // One that is larger than all the memory there is for long ones takes all of that, and the next one waits for its turn.
        let mut first = keep(&all, 4 << 20).await.unwrap().unwrap();
        let second = keep(&all, 1025 << 10);
        while all.may_wait.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let e = keep(&all, 1025 << 10).await.unwrap().err().unwrap();
        assert!(e.kind() == Kind::Unavailable && e.retry_hint().is_some(), "half of the queries do not wait with a long answer: {e}");
        drop(keep(&all, 1 << 20).await.unwrap().unwrap());
        let mut taken = 0;
        while taken < 3 << 20 {
            taken += first.frame().await.unwrap().unwrap().into_data().unwrap().len();
        }
        assert!(all.used() <= 1 << 20 && first.size_hint().exact() == Some((4 << 20) - taken as u64));
        while let Some(frame) = first.frame().await {
            taken += frame.unwrap().into_data().unwrap().len();
        }
        let second = second.await.unwrap().unwrap();
        assert_eq!((taken, all.used(), second.bytes), (4 << 20, 1 << 20, 1025 << 10));
        drop(second);
        assert_eq!(all.used(), 0, "a client that goes away gives it back, too");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_asked_to_come_again() {
        let budget = Budget::new(1 << 20, limits::ANSWER_WAIT, REFUSAL);
        let _first = budget.take(1 << 20).await.unwrap();
        let e = budget.take(1).await.unwrap_err();
        assert_eq!((e.kind(), e.message(), e.retry_hint().is_some()), (Kind::Unavailable, REFUSAL, true));
    }

    #[tokio::test]
    async fn long_texts_are_compressed_for_those_who_take_it() {
        let all = answers();
        let short = all.keep(long(limits::GZIP_FROM - 8), true).unwrap();
        assert!(!short.gzip);
        let kept = all.keep(long(200_000), true).unwrap();
        assert!(kept.gzip && kept.bytes < 20_000, "{}", kept.bytes);
        let r = kept.reply("text/plain");
        assert_eq!(
            (&r.headers()["content-encoding"], &r.headers()["vary"]),
            (&"gzip".parse().unwrap(), &"accept-encoding".parse().unwrap())
        );
        let body = r.into_body().collect().await.unwrap().to_bytes();
        let mut text = vec![];
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&body[..]), &mut text).unwrap();
        assert_eq!(text, long(200_000).into_bytes());
    }

    #[test]
    fn what_clients_take() {
        for (accepts, gzip) in [
            (&["gzip"][..], true),
            (&["gzip, deflate, br"], true),
            (&["zstd", "GZIP;q=0.5"], true),
            (&["*"], true),
            (&["gzip;q=0, *"], false),
            (&["gzip; q=0.000"], false),
            (&["identity"], false),
            (&["xgzip"], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for a in accepts {
                headers.append(header::ACCEPT_ENCODING, a.parse().unwrap());
            }
            assert_eq!(takes_gzip(&headers), gzip, "{accepts:?}");
        }
    }
}
