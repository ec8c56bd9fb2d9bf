//! What the Engine sends of a container's log: frames with a head of 8 bytes, or text as it is for a terminal.

use base::{Error, Result};

use super::entry::{Entry, Pipe, ended, parse_time};
use crate::limits::DOCKER_FRAME_BYTES;

/// Cuts a log into messages, each with Docker's time before it.
#[derive(Debug)]
pub struct Decoder {
    is_terminal: bool,
    held: Vec<u8>,
    /// Bytes of `held` that are done with.
    at: usize,
}

impl Decoder {
    /// For the log of a container that has a terminal, or has not.
    pub fn new(is_terminal: bool) -> Decoder {
        Decoder { is_terminal, held: vec![], at: 0 }
    }

    /// Where the next bytes are put.
    pub fn input(&mut self) -> &mut Vec<u8> {
        self.held.drain(..self.at);
        self.at = 0;
        &mut self.held
    }

    /// Takes the next message, if it is all there. An error says that this is no log; the connection is of no use then.
    pub fn message(&mut self) -> Result<Option<Entry<'_>>> {
        let rest = &self.held[self.at..];
        let (pipe, from, to) = if self.is_terminal {
            match memchr::memchr(b'\n', rest) {
                Some(i) => (Pipe::Stdout, 0, i + 1),
                // A terminal's log has no frames: a line that does not end is taken in pieces.
                None if rest.len() >= DOCKER_FRAME_BYTES => (Pipe::Stdout, 0, rest.len()),
                None => return Ok(None),
            }
        } else {
            let Some((head, _)) = rest.split_first_chunk::<8>() else { return Ok(None) };
            let [pipe, 0, 0, 0, len @ ..] = *head else { return Err(not_frames()) };
            let len = u32::from_be_bytes(len) as usize;
            let pipe = match pipe {
                1 => Pipe::Stdout,
                2 => Pipe::Stderr,
                // 3 is an error of the Engine's own, in the middle of the log.
                3 if len <= DOCKER_FRAME_BYTES => return self.complaint(len),
                _ => return Err(not_frames()),
            };
            if len > DOCKER_FRAME_BYTES {
                return Err(Error::invalid(format!("a message of {len} bytes in a container's log")));
            }
            if rest.len() < 8 + len {
                return Ok(None);
            }
            (pipe, 8, 8 + len)
        };
        let message = self.at + from..self.at + to;
        self.at = message.end;
        read_message(&self.held[message], pipe).map(Some)
    }

    fn complaint(&self, len: usize) -> Result<Option<Entry<'_>>> {
        match self.held[self.at..].get(8..8 + len) {
            Some(words) => Err(Error::unavailable(format!("the Engine, within a log: {}", String::from_utf8_lossy(words)))),
            None => Ok(None),
        }
    }
}

fn read_message(message: &[u8], pipe: Pipe) -> Result<Entry<'_>> {
    let no_time = || Error::invalid("a message without a time in a container's log");
    let space = memchr::memchr(b' ', message).ok_or_else(no_time)?;
    let time_ns = parse_time(&message[..space]).ok_or_else(no_time)?;
    Ok(Entry { time_ns, ..ended(String::from_utf8_lossy(&message[space + 1..]), pipe) })
}

fn not_frames() -> Error {
    Error::invalid("a container's log does not come in frames")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Message = (bool, i64, String);

    fn frame(pipe: u8, text: &str) -> Vec<u8> {
        let mut out = vec![pipe, 0, 0, 0];
        out.extend((text.len() as u32).to_be_bytes());
        out.extend(text.bytes());
        out
    }

    fn drain(d: &mut Decoder) -> Result<Vec<Message>> {
        let mut got = vec![];
        while let Some(e) = d.message()? {
            got.push((e.pipe == Pipe::Stderr, e.time_ns, format!("{}{}", e.text, if e.whole { "$" } else { "" })));
        }
        Ok(got)
    }

    #[test]
    fn a_terminal_has_no_frames() {
        let mut d = Decoder::new(true);
        d.input().extend(b"1970-01-01T00:00:00.000000001Z a b\r\n1970-01-01T00:00:00.000000002Z c");
        assert_eq!(drain(&mut d).unwrap(), [(false, 1, "a b$".to_owned())]);
        d.input().extend(b"d\n");
        assert_eq!(drain(&mut d).unwrap(), [(false, 2, "cd$".to_owned())]);
    }

    #[test]
    fn what_is_no_log_is_refused() {
        for bad in [frame(9, "x"), frame(1, "no time"), frame(3, "broken"), vec![1, 0, 0, 0, 255, 255, 255, 255], b"plain text".to_vec()] {
            let mut d = Decoder::new(false);
            d.input().extend(&bad);
            assert!(drain(&mut d).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_bytes_are_cut(
            messages in prop::collection::vec((any::<bool>(), 0..1_000_000_000i64, "[a-z é]{0,9}", any::<bool>()), 0..12),
            cuts in prop::collection::vec(1..20usize, 1..40),
        ) {
            let (mut bytes, mut expected) = (vec![], vec![]);
            for (err, ns, text, whole) in messages {
                bytes.extend(frame(1 + u8::from(err), &format!("1970-01-01T00:00:00.{ns:09}Z {text}{}", if whole { "\n" } else { "" })));
                expected.push((err, ns, format!("{text}{}", if whole { "$" } else { "" })));
            }
            let (mut d, mut got, mut at) = (Decoder::new(false), vec![], 0);
            for cut in cuts.iter().cycle() {
                if at == bytes.len() {
                    break;
                }
                let end = (at + cut).min(bytes.len());
                d.input().extend(&bytes[at..end]);
                got.extend(drain(&mut d).unwrap());
                at = end;
            }
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(0..4u8, 0..100), is_terminal: bool) {
            let mut d = Decoder::new(is_terminal);
            d.input().extend(bytes);
            drain(&mut d).ok();
        }
    }
}
