//! Follows a container's log through the Engine, where its files cannot be read.
//!
//! The place in the log is the time of the last message of each output, and how many messages have exactly that time. The
//! Engine is asked for what came since, a little before it, because the times of the two outputs do not rise together;
//! what was taken before is passed over.

use std::time::Duration;

use base::{Kind, Result};

use super::client::{Came, Client, Streaming};
use super::entry::since;
use super::frames::Decoder;
use super::join::{Pen, Skip};
use crate::limits::{API_MARGIN_NS, READ_BYTES};

/// The log of one container.
pub struct Follow {
    id: String,
    is_terminal: bool,
    stream: Option<Streaming>,
    /// Messages that have arrived.
    pub decoder: Decoder,
    /// What was taken before this connection began, by output.
    pub skip: [Option<Skip>; 2],
    /// When to ask again, on the clock that never jumps, nanoseconds.
    again_ns: i64,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// Bytes.
    Some,
    /// Nothing for now.
    Nothing,
    /// The log is complete up to where the container stopped.
    All,
}

impl Follow {
    /// Follows the container `id`, which has a terminal or has not.
    pub fn new(id: &str, is_terminal: bool) -> Follow {
        let decoder = Decoder::new(is_terminal);
        Follow { id: id.into(), is_terminal, stream: None, decoder, skip: [None; 2], again_ns: 0 }
    }

    /// Takes what has arrived, without waiting for more. A connection that broke is made anew, from the place that `pens`
    /// are at.
    pub fn step(&mut self, client: &Client, pens: &[Pen; 2], is_running: bool, elapsed_ns: i64) -> Result<Arrived> {
        if self.stream.is_none() {
            if elapsed_ns < self.again_ns {
                return Ok(Arrived::Nothing);
            }
            self.ask(client, pens, is_running, elapsed_ns)?;
        }
        let Some(stream) = &mut self.stream else { return Ok(Arrived::Nothing) };
        let input = self.decoder.input();
        let before = input.len();
        while input.len() - before < READ_BYTES {
            match stream.read(input) {
                Ok(Came::Bytes) => {}
                Ok(Came::Nothing) => break,
                Ok(Came::End) => {
                    let is_all = !is_running && input.len() == before;
                    if input.len() == before {
                        self.stream = None;
                    }
                    return Ok(if is_all { Arrived::All } else { Arrived::Some });
                }
                Err(e) => {
                    self.broke();
                    return Err(e);
                }
            }
        }
        Ok(if input.len() > before { Arrived::Some } else { Arrived::Nothing })
    }

    /// The connection is of no use any more. What has arrived of it and is not taken comes again.
    pub fn broke(&mut self) {
        self.stream = None;
    }

    /// Whether the Engine says that this log cannot be read by anybody.
    pub fn is_hopeless(e: &base::Error) -> bool {
        e.kind() == Kind::Unprocessable
    }

    fn ask(&mut self, client: &Client, pens: &[Pen; 2], is_running: bool, elapsed_ns: i64) -> Result<()> {
        const AGAIN: Duration = Duration::from_secs(1);
        self.again_ns = elapsed_ns + AGAIN.as_nanos() as i64;
        self.decoder = Decoder::new(self.is_terminal);
        self.skip = [Skip::all_of(&pens[0]), Skip::all_of(&pens[1])];
        let from_ns = pens.iter().map(|p| p.raw_ns).filter(|&t| t != 0).min().map_or(0, |t| (t - API_MARGIN_NS).max(0));
        let follow = u8::from(is_running);
        let (id, since) = (&self.id, since(from_ns));
        let path = format!("/containers/{id}/logs?stdout=1&stderr=1&timestamps=1&follow={follow}&since={since}");
        let stream = client.open(&path)?;
        stream.do_not_wait()?;
        self.stream = Some(stream);
        Ok(())
    }
}
