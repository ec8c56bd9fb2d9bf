//! gRPC, as far as a receiver of single messages speaks it: the frame around a message, and the headers and the status around that.
//!
//! The rules are those of gRPC's `PROTOCOL-HTTP2.md`; `google.rpc.Status` and `RetryInfo` are those of OTLP's specification. A message
//! is taken out of its frame and nothing else is done to it: it stays compressed as it came, for the codecs that read the bodies of
//! plain HTTP. Which HTTP/2 is spoken, and by what, is not this module's business.

use std::time::Duration;

use base::{Error, Kind, Result};
use bytes::{Bytes, BytesMut};

use crate::encoding::{Encoding, media_type};
use crate::limits;
use crate::otlp::json::to_base64;
use crate::proto::Writer;

/// The media type of requests and answers. Requests may add a suffix for the form of their messages.
pub const MEDIA_TYPE: &str = "application/grpc";
/// Compressions that are understood, for the header [`header::ACCEPT_ENCODING`].
pub const ACCEPTED: &str = "identity,gzip,deflate,snappy,zstd";
/// Bytes before a message: whether it is compressed, and its length in 4 bytes, the highest first.
pub const HEAD_BYTES: usize = 5;
/// The code of success.
pub const OK: u64 = 0;
/// The code for a method, or a compression, that is not there.
pub const UNIMPLEMENTED: u64 = 12;

/// The paths of methods.
pub mod method {
    /// Takes `ExportLogsServiceRequest`.
    pub const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    /// Takes `ExportMetricsServiceRequest`.
    pub const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    /// Takes `ExportTraceServiceRequest`.
    pub const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    /// Loki's push: takes `logproto.PushRequest`.
    pub const LOKI: &str = "/logproto.Pusher/Push";
}

/// Names of headers and trailers.
pub mod header {
    /// How a compressed message is compressed.
    pub const ENCODING: &str = "grpc-encoding";
    /// Which compressions the other side may use.
    pub const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
    /// How long the client waits.
    pub const TIMEOUT: &str = "grpc-timeout";
    /// The code of an answer.
    pub const STATUS: &str = "grpc-status";
    /// Its words, with percent signs.
    pub const MESSAGE: &str = "grpc-message";
    /// A `google.rpc.Status` in base64.
    pub const DETAILS: &str = "grpc-status-details-bin";
}

/// The code of a kind of error. Our own failures are `UNAVAILABLE`: a client of OTLP gives up at `INTERNAL`, and the data would be lost
/// for a bug that a restart may cure. What is too large is `INVALID_ARGUMENT`: there are clients that send again at `RESOURCE_EXHAUSTED`.
pub fn code(kind: Kind) -> u64 {
    match kind {
        Kind::Canceled => 1,
        Kind::Invalid | Kind::Unprocessable | Kind::TooLarge => 3,
        Kind::Timeout => 4,
        Kind::NotFound => 5,
        Kind::Forbidden => 7,
        Kind::LimitExceeded => RESOURCE_EXHAUSTED,
        Kind::Unavailable | Kind::Corrupt | Kind::Internal => UNAVAILABLE,
        Kind::Unauthenticated => 16,
    }
}

const RESOURCE_EXHAUSTED: u64 = 8;
const UNAVAILABLE: u64 = 14;

/// Whether a content type is gRPC's, whatever the form of the messages. gRPC for browsers is another protocol.
pub fn is_grpc(content_type: &str) -> bool {
    let media = media_type(content_type);
    media.strip_prefix(MEDIA_TYPE).is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
}

/// Whether its messages are protobuf, which they are when it names no form.
pub fn is_protobuf(content_type: &str) -> bool {
    matches!(media_type(content_type).strip_prefix(MEDIA_TYPE), Some("" | "+proto"))
}

/// How long the client waits, of the header [`header::TIMEOUT`]: at most 8 digits and a unit. `Invalid` for anything else.
pub fn timeout(value: &str) -> Result<Duration> {
    let wrong = || Error::invalid(format!("{}: {:?} is not a time, as in 10S or 500m", header::TIMEOUT, crate::encoding::shorten(value)));
    let (digits, unit) = value.split_at_checked(value.len().saturating_sub(1)).ok_or_else(wrong)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let n: u64 = digits.parse().map_err(|_| wrong())?;
    match unit {
        "H" => Ok(Duration::from_secs(n * 3600)),
        "M" => Ok(Duration::from_secs(n * 60)),
        "S" => Ok(Duration::from_secs(n)),
        "m" => Ok(Duration::from_millis(n)),
        "u" => Ok(Duration::from_micros(n)),
        "n" => Ok(Duration::from_nanos(n)),
        _ => Err(wrong()),
    }
}

/// The compression of a call's messages, of the header [`header::ENCODING`]. Snappy is the framing format. `Invalid` for one that is not known.
pub fn encoding(named: Option<&str>) -> Result<Encoding> {
    Encoding::from_header(named, Encoding::SnappyFramed)
}

/// The one message of a call without streams, put together from the pieces in which it arrives.
#[derive(Debug)]
pub struct Unary {
    cap: usize,
    head: [u8; HEAD_BYTES],
    /// Bytes of the head that are there.
    have: usize,
    message: BytesMut,
}

impl Unary {
    /// A message of at most `cap` bytes, as they are sent.
    pub fn new(cap: usize) -> Self {
        Unary { cap, head: [0; HEAD_BYTES], have: 0, message: BytesMut::new() }
    }

    /// The message's length in bytes, once its head has been taken: time to see whether there is memory for it.
    pub fn length(&self) -> Option<usize> {
        (self.have == HEAD_BYTES).then(|| u32::from_be_bytes([self.head[1], self.head[2], self.head[3], self.head[4]]) as usize)
    }

    /// Takes bytes off `piece`: those of the head, and then, from the next call on, those of the message. Memory for the message is
    /// allocated when the first of its bytes is taken.
    ///
    /// Errors: `TooLarge` as soon as the head says so, `Invalid` for a wrong head and for more than one message.
    pub fn take(&mut self, piece: &mut Bytes) -> Result<()> {
        let Some(length) = self.length() else {
            let n = piece.len().min(HEAD_BYTES - self.have);
            self.head[self.have..self.have + n].copy_from_slice(&piece.split_to(n));
            self.have += n;
            return self.check_head();
        };
        if piece.len() > length - self.message.len() {
            return Err(Error::invalid("the call has more than one message: this method takes one"));
        }
        if self.message.is_empty() && !piece.is_empty() {
            self.message.reserve(length);
        }
        self.message.extend_from_slice(piece);
        piece.clear();
        Ok(())
    }

    fn check_head(&self) -> Result<()> {
        let Some(length) = self.length() else { return Ok(()) };
        if self.head[0] > 1 {
            return Err(Error::invalid("the message's first byte is neither 0 nor 1: this is no gRPC"));
        }
        if length > self.cap {
            let cap = self.cap;
            return Err(Error::new(Kind::TooLarge, format!("the message has {length} bytes, and {cap} are allowed: send smaller batches")));
        }
        Ok(())
    }

    /// The message. `Invalid` when it is not whole.
    pub fn finish(self) -> Result<Message> {
        match self.length() {
            None => Err(Error::invalid("the call has no message")),
            Some(n) if self.message.len() < n => Err(Error::invalid("the message is cut short")),
            Some(_) => Ok(Message { compressed: self.head[0] == 1, bytes: self.message.freeze() }),
        }
    }
}

/// A message, as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whether it is compressed as the call's header says.
    pub compressed: bool,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Message {
    /// How it is compressed, given the call's [`header::ENCODING`]. `Invalid` for a compression that is not known, or that is not named.
    pub fn encoding(&self, named: Option<&str>) -> Result<Encoding> {
        match encoding(named)? {
            _ if !self.compressed => Ok(Encoding::Identity),
            Encoding::Identity => Err(Error::invalid(format!("a message is compressed, and {} names no compression", header::ENCODING))),
            encoding => Ok(encoding),
        }
    }
}

/// A message in its frame, not compressed.
pub fn framed(message: &[u8]) -> Vec<u8> {
    // Answers of receivers have some kilobytes; one of 4 GiB does not fit into memory either.
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes(), message].concat()
}

/// The headers of an answer that is nothing but a status: `code`, words, and what the code calls for: when to come again, or which
/// compressions there are.
pub fn status(code: u64, message: &str, retry_after: Option<Duration>) -> Vec<(&'static str, String)> {
    let message = within(message, limits::STATUS_BYTES);
    let mut out =
        vec![("content-type", MEDIA_TYPE.to_owned()), (header::STATUS, code.to_string()), (header::MESSAGE, percent_encoded(message))];
    // With it a client of OTLP sends again at RESOURCE_EXHAUSTED, and without it never.
    if matches!(code, RESOURCE_EXHAUSTED | UNAVAILABLE) {
        let details = retry_info(code, message, retry_after.unwrap_or(Duration::from_secs(1)));
        out.push((header::DETAILS, to_base64(&details).trim_end_matches('=').to_owned()));
    }
    if code == UNIMPLEMENTED {
        out.push((header::ACCEPT_ENCODING, ACCEPTED.to_owned()));
    }
    out
}

/// `google.rpc.Status { 1: code, 2: message, 3: Any { 1: type_url, 2: value }* }` with `RetryInfo { 1: Duration { 1: seconds, 2: nanos } }`.
fn retry_info(code: u64, message: &str, after: Duration) -> Vec<u8> {
    let mut info = Writer::default();
    info.message(1, |w| {
        w.varint(1, after.as_secs());
        w.varint(2, u64::from(after.subsec_nanos()));
    });
    let mut w = Writer::default();
    w.varint(1, code);
    w.bytes(2, message.as_bytes());
    w.message(3, |w| {
        w.bytes(1, b"type.googleapis.com/google.rpc.RetryInfo");
        w.bytes(2, &info.out);
    });
    w.out
}

/// As many whole characters as fit into `bytes`.
fn within(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Visible ASCII and blanks as they are, but for the percent sign itself.
fn percent_encoded(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if matches!(b, b' '..=b'~') && b != b'%' {
            out.push(b as char);
        } else {
            out.extend(['%', DIGITS[(b >> 4) as usize] as char, DIGITS[(b & 15) as usize] as char]);
        }
    }
    out
}

#[cfg(test)]
mod tests;
