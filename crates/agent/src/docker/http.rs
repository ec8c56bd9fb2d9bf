//! The part of HTTP/1.1 that the Engine speaks: one GET at a time, answered with a length, in chunks, or until the end.
//!
//! [`Parser`] takes bytes as they arrive and never asks for more, so that one thread can follow many answers. It holds no
//! more than a head of [`HTTP_HEAD_BYTES`]; the body goes straight to the caller.

use base::{Error, Result};

use crate::limits::HTTP_HEAD_BYTES;

/// Reads one answer.
#[derive(Debug)]
pub struct Parser {
    state: State,
    /// The head, or a line of the chunked form, as far as it has arrived.
    held: Vec<u8>,
    status: u16,
}

#[derive(Debug, PartialEq)]
enum State {
    Head,
    Length(u64),
    UntilClose,
    ChunkSize,
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    Trailer,
    Done,
}

impl Default for Parser {
    fn default() -> Self {
        Parser { state: State::Head, held: vec![], status: 0 }
    }
}

impl Parser {
    /// The status, once the head has arrived.
    pub fn status(&self) -> Option<u16> {
        (self.state != State::Head).then_some(self.status)
    }

    /// Whether the answer is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the next bytes and appends what belongs to the body to `body`. An error says that this is not HTTP as it is
    /// agreed on; the connection is of no use then.
    pub fn push(&mut self, mut bytes: &[u8], body: &mut Vec<u8>) -> Result<()> {
        while !bytes.is_empty() && self.state != State::Done {
            bytes = match self.state {
                State::Head => self.head(bytes)?,
                State::Length(left) => {
                    let (rest, left) = copy(bytes, left, body);
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                    rest
                }
                State::Chunk(left) => {
                    let (rest, left) = copy(bytes, left, body);
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                    rest
                }
                State::UntilClose => {
                    body.extend_from_slice(bytes);
                    &[]
                }
                State::ChunkSize | State::ChunkEnd | State::Trailer => self.line(bytes)?,
                State::Done => &[],
            };
        }
        Ok(())
    }

    /// The connection was closed. An error says that the answer is cut short.
    pub fn close(&mut self) -> Result<()> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(Error::unavailable("the Engine closed the connection within an answer")),
        }
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        const END: &[u8] = b"\r\n\r\n";
        // The end may lie across what was held and what came.
        let from = self.held.len().saturating_sub(END.len() - 1);
        let before = self.held.len();
        let room = (HTTP_HEAD_BYTES + END.len()).saturating_sub(before);
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let Some(i) = memchr::memmem::find(&self.held[from..], END) else {
            if self.held.len() > HTTP_HEAD_BYTES {
                return Err(Error::invalid(format!("the head of the Engine's answer is longer than {HTTP_HEAD_BYTES} bytes")));
            }
            return Ok(&[]);
        };
        let end = from + i;
        let held = std::mem::take(&mut self.held);
        let text = std::str::from_utf8(&held[..end]).map_err(|_| not_http("a head that is not UTF-8"))?;
        (self.status, self.state) = read_head(text)?;
        Ok(&bytes[end + END.len() - before..])
    }

    fn line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        const MAX: usize = 1024;
        let end = memchr::memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if self.held.len() + part.len() > MAX {
            return Err(not_http("a chunk line that does not end"));
        }
        self.held.extend_from_slice(part);
        let Some(end) = end else { return Ok(&[]) };
        let held = std::mem::take(&mut self.held);
        let line = held.strip_suffix(b"\r").unwrap_or(&held);
        self.state = match self.state {
            State::ChunkSize => match chunk_size(line)? {
                0 => State::Trailer,
                n => State::Chunk(n),
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::ChunkEnd => return Err(not_http("a chunk that is longer than its size")),
            _ if line.is_empty() => State::Done,
            _ => State::Trailer,
        };
        Ok(&bytes[end + 1..])
    }
}

/// Copies up to `left` bytes; returns what is not part of it, and how many are still to come.
fn copy<'a>(bytes: &'a [u8], left: u64, body: &mut Vec<u8>) -> (&'a [u8], u64) {
    let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    body.extend_from_slice(&bytes[..n]);
    (&bytes[n..], left - n as u64)
}

/// Status, and how the body comes.
fn read_head(text: &str) -> Result<(u16, State)> {
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or("");
    let status = first.strip_prefix("HTTP/1.").and_then(|r| r.get(2..5)).and_then(|s| s.parse().ok());
    let status = status.filter(|s| (100..600).contains(s)).ok_or_else(|| not_http(&format!("the first line {first:?}")))?;
    let mut state = State::UntilClose;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| not_http(&format!("the header {line:?}")))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            state = State::ChunkSize;
        } else if name.eq_ignore_ascii_case("content-length") && state != State::ChunkSize {
            state = match value.parse().map_err(|_| not_http(&format!("the length {value:?}")))? {
                0 => State::Done,
                n => State::Length(n),
            };
        }
    }
    if status < 200 || status == 204 || status == 304 {
        state = State::Done;
    }
    Ok((status, state))
}

fn chunk_size(line: &[u8]) -> Result<u64> {
    let digits = line.split(|&b| b == b';').next().unwrap_or(line);
    let text = std::str::from_utf8(digits).unwrap_or("").trim();
    // `from_str_radix` takes a sign, HTTP does not.
    let n = if text.starts_with(['+', '-']) { None } else { u64::from_str_radix(text, 16).ok() };
    n.ok_or_else(|| not_http(&format!("the chunk size {text:?}")))
}

fn not_http(what: &str) -> Error {
    Error::invalid(format!("the Engine's answer is not HTTP/1.1: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(pieces: &[&[u8]]) -> Result<(Option<u16>, Vec<u8>, bool)> {
        let (mut p, mut body) = (Parser::default(), vec![]);
        for piece in pieces {
            p.push(piece, &mut body)?;
        }
        Ok((p.status(), body, p.is_done()))
    }

    #[test]
    fn the_three_forms_of_a_body() {
        let length = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcd";
        assert_eq!(parse(&[length]).unwrap(), (Some(200), b"abc".to_vec(), true));
        let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nT: x\r\n\r\n";
        assert_eq!(parse(&[chunks]).unwrap(), (Some(200), b"abc0123456789".to_vec(), true));
        let mut p = Parser::default();
        let mut body = vec![];
        p.push(b"HTTP/1.1 200 OK\r\n\r\nab", &mut body).unwrap();
        assert!(!p.is_done());
        p.close().unwrap();
        assert_eq!((body, p.is_done()), (b"ab".to_vec(), true));
        assert_eq!(parse(&[b"HTTP/1.1 204 No Content\r\n\r\n"]).unwrap(), (Some(204), vec![], true));
        assert_eq!(parse(&[b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]).unwrap(), (Some(404), vec![], true));
    }

    #[test]
    fn what_is_not_http_is_refused_and_an_end_too_early_is_an_error() {
        for bad in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 20\r\n\r\n",
            "HTTP/1.1 200 OK\r\nnot a header\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        ] {
            assert!(parse(&[bad.as_bytes()]).is_err(), "{bad:?}");
        }
        let mut p = Parser::default();
        p.push(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na", &mut vec![]).unwrap();
        assert!(p.close().is_err());
    }

    #[test]
    fn heads_and_chunk_lines_are_bounded() {
        let long = vec![b'a'; HTTP_HEAD_BYTES + 10];
        assert!(parse(&[b"HTTP/1.1 200 OK\r\nX: ", &long]).is_err());
        let ok = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(parse(&[ok, &[b'1'; 2000]]).is_err());
    }

    fn wire(chunks: &[Vec<u8>], chunked: bool) -> Vec<u8> {
        let mut out = b"HTTP/1.1 200 OK\r\nServer: x\r\n".to_vec();
        if !chunked {
            let all = chunks.concat();
            out.extend(format!("Content-Length: {}\r\n\r\n", all.len()).bytes());
            return [out, all].concat();
        }
        out.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        for c in chunks.iter().filter(|c| !c.is_empty()) {
            out.extend([format!("{:x}\r\n", c.len()).as_bytes(), c, b"\r\n"].concat());
        }
        [out, b"0\r\n\r\n".to_vec()].concat()
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_bytes_are_cut(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            chunked: bool,
            cuts in prop::collection::vec(1..30usize, 1..60),
        ) {
            let bytes = wire(&chunks, chunked);
            let (mut p, mut body, mut at) = (Parser::default(), vec![], 0);
            for cut in cuts.iter().cycle() {
                if at == bytes.len() {
                    break;
                }
                let end = (at + cut).min(bytes.len());
                p.push(&bytes[at..end], &mut body).unwrap();
                at = end;
            }
            prop_assert_eq!((body, p.is_done()), (chunks.concat(), true));
        }

        #[test]
        fn no_bytes_make_it_panic(pieces in prop::collection::vec("(HTTP/1\\.1 200 OK|\r\n|Transfer-Encoding: chunked|Content-Length: |[0-9a-f]{1,17}|\\PC)*", 0..6)) {
            let (mut p, mut body) = (Parser::default(), vec![]);
            for piece in pieces {
                if p.push(piece.as_bytes(), &mut body).is_err() {
                    break;
                }
            }
            p.close().ok();
        }
    }
}
