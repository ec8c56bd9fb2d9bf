//! Frames: what an answer is made of. A cut answer is never taken for a whole one, because only the last frame ends it.
//!
//! ```text
//! u32 LE  bytes of the payload
//! u8      kind: 1 message, 2 end, 3 error
//! 16 B    tag: proof over number of the call, place in the answer, kind and payload (see `proof`)
//! ...     payload
//! ```
//!
//! The payload of an error is its kind (u8), when to try again (u32 LE, milliseconds, all ones for never), and its message in
//! UTF-8. An end has no payload.

use base::{Error, Kind, Result};
use bytes::{Buf, Bytes, BytesMut};
use std::time::Duration;

/// Bytes before the payload.
pub const HEAD_BYTES: usize = 21;
/// Bytes of a tag.
pub const TAG_BYTES: usize = 16;
const NEVER: u32 = u32::MAX;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// A message of the answer.
    Message = 1,
    /// The answer is whole.
    End = 2,
    /// The answer broke off for a reason.
    Error = 3,
}

/// A frame whose tag has not been looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// Proof that it is from whom it should be.
    pub tag: [u8; TAG_BYTES],
    /// What it carries.
    pub payload: Bytes,
}

/// The head of a frame.
pub fn head(kind: FrameKind, payload_bytes: u32, tag: &[u8; TAG_BYTES]) -> [u8; HEAD_BYTES] {
    let mut out = [0; HEAD_BYTES];
    out[..4].copy_from_slice(&payload_bytes.to_le_bytes());
    out[4] = kind as u8;
    out[5..].copy_from_slice(tag);
    out
}

/// Takes frames out of bytes as they arrive.
#[derive(Default)]
pub struct Decoder {
    waiting: BytesMut,
}

impl Decoder {
    /// More bytes have arrived.
    pub fn push(&mut self, piece: &[u8]) {
        self.waiting.extend_from_slice(piece);
    }

    /// The next whole frame, if it is there. An error of kind `Corrupt` when this is no frame, or its payload has more than
    /// `most` bytes.
    pub fn next(&mut self, most: usize) -> Result<Option<Frame>> {
        let Some(head) = self.waiting.get(..HEAD_BYTES) else { return Ok(None) };
        let bytes = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let kind = match head[4] {
            1 => FrameKind::Message,
            2 => FrameKind::End,
            3 => FrameKind::Error,
            other => return Err(Error::corrupt(format!("an answer with a frame of kind {other}"))),
        };
        if bytes > most || (kind == FrameKind::End && bytes > 0) {
            return Err(Error::corrupt(format!("an answer with a frame of {bytes} bytes where {most} are allowed")));
        }
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&head[5..]);
        if self.waiting.len() < HEAD_BYTES + bytes {
            return Ok(None);
        }
        self.waiting.advance(HEAD_BYTES);
        Ok(Some(Frame { kind, tag, payload: self.waiting.split_to(bytes).freeze() }))
    }

    /// Whether nothing is left over.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Kinds by their number, which is part of the protocol: new ones go to the end.
const KINDS: [Kind; 12] = [
    Kind::Invalid,
    Kind::Unprocessable,
    Kind::NotFound,
    Kind::TooLarge,
    Kind::LimitExceeded,
    Kind::Unauthenticated,
    Kind::Forbidden,
    Kind::Unavailable,
    Kind::Timeout,
    Kind::Canceled,
    Kind::Corrupt,
    Kind::Internal,
];

/// The payload of an error frame.
pub fn error_payload(e: &Error) -> Bytes {
    let kind = KINDS.iter().position(|k| *k == e.kind()).unwrap_or(KINDS.len() - 1) as u8;
    let retry = e.retry_hint().map_or(NEVER, |d| u32::try_from(d.as_millis()).map_or(NEVER - 1, |ms| ms.min(NEVER - 1)));
    [&[kind][..], &retry.to_le_bytes(), e.message().as_bytes()].concat().into()
}

/// The error in a payload.
pub fn error_of(payload: &[u8]) -> Error {
    let [kind, a, b, c, d, message @ ..] = payload else { return Error::corrupt("an answer with a cut error") };
    let Some(kind) = KINDS.get(*kind as usize) else { return Error::internal(String::from_utf8_lossy(message)) };
    let e = Error::new(*kind, String::from_utf8_lossy(message));
    match u32::from_le_bytes([*a, *b, *c, *d]) {
        NEVER => e,
        ms => e.retry_after(Duration::from_millis(ms.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut bytes = vec![];
        let payloads: [&[u8]; 4] = [b"", b"one", &[7; 300], b""];
        for (i, p) in payloads.iter().enumerate() {
            let kind = if i == 3 { FrameKind::End } else { FrameKind::Message };
            bytes.extend_from_slice(&head(kind, p.len() as u32, &[i as u8; TAG_BYTES]));
            bytes.extend_from_slice(p);
        }
        for piece in [1, 2, 5, 20, 21, 22, 1000] {
            let (mut decoder, mut found) = (Decoder::default(), vec![]);
            for p in bytes.chunks(piece) {
                decoder.push(p);
                while let Some(f) = decoder.next(300).unwrap() {
                    found.push(f);
                }
            }
            assert!(decoder.is_empty());
            assert_eq!(found.iter().map(|f| &f.payload[..]).collect::<Vec<_>>(), payloads, "in pieces of {piece}");
            assert_eq!((found[3].kind, found[2].tag), (FrameKind::End, [2; TAG_BYTES]));
        }
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        assert!((0..4).any(|_| decoder.next(299).is_err()), "a frame larger than allowed is refused");
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for (kind, bytes) in [(0u8, 0u32), (4, 0), (255, 9), (2, 1), (1, u32::MAX)] {
            let mut decoder = Decoder::default();
            decoder.push(&bytes.to_le_bytes());
            decoder.push(&[kind]);
            decoder.push(&[0; TAG_BYTES]);
            assert_eq!(decoder.next(1 << 20).unwrap_err().kind(), Kind::Corrupt, "kind {kind}, {bytes} bytes");
        }
    }

    #[test]
    fn errors_keep_kind_message_and_hint() {
        for kind in KINDS {
            for after in [None, Some(Duration::from_millis(1500)), Some(Duration::ZERO)] {
                let e = Error::new(kind, "why: ünknown");
                let e = match after {
                    Some(a) => e.retry_after(a),
                    None => e,
                };
                let back = error_of(&error_payload(&e));
                assert_eq!((back.kind(), back.message(), back.retry_hint()), (kind, e.message(), after));
            }
        }
        assert_eq!(error_of(&[1, 2]).kind(), Kind::Corrupt);
        assert_eq!(error_of(&[99, 255, 255, 255, 255, b'x']).kind(), Kind::Internal);
    }
}
