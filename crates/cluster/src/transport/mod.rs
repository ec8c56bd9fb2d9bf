//! How nodes talk: two kinds of call, always encoded bytes, so that one process and many share every line above it.
//!
//! An implementation carries bytes, keeps deadlines and proves that both sides belong to one cluster. It knows
//! nothing of what the bytes mean. [`local::Local`] connects nodes of one process and can cut, freeze and lose; the real one
//! speaks HTTP/2.

pub mod http;
pub mod local;

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use base::{Error, Kind, Result};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use table::Cancel;

/// A node's name: random, made with its data directory and kept in it. Identity is the disk, not the address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> String {
        id.to_string()
    }
}

impl TryFrom<String> for NodeId {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl std::str::FromStr for NodeId {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{text:?} is not a node's name: an n and 16 hexadecimal digits");
        let hex = text.strip_prefix('n').filter(|h| h.len() == 16).ok_or_else(wrong)?;
        u64::from_str_radix(hex, 16).map(NodeId).map_err(|_| wrong())
    }
}

/// What is asked of another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// Membership: who are you, this is me. Bytes for bytes.
    Hello,
    /// Keep a copy of this body. Bytes for bytes; the answer comes after it is fsynced.
    Append,
    /// You are the only one that keeps the rows of a copy: bear the alone mark. Bytes for bytes.
    Alone,
    /// Unmerged rows. Bytes for a stream.
    Scan,
    /// Label sets of unmerged rows. Bytes for bytes.
    Series,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 5] = [Method::Hello, Method::Append, Method::Alone, Method::Scan, Method::Series];

    /// Its name in paths and figures.
    pub fn name(self) -> &'static str {
        match self {
            Method::Hello => "hello",
            Method::Append => "append",
            Method::Alone => "alone",
            Method::Scan => "scan",
            Method::Series => "series",
        }
    }
}

/// Answers of calls that were begun together, as they come. A call whose deadline passes, whose connection breaks or
/// whose other side refuses is an answer too: each call gives exactly one.
pub struct Answers<T> {
    sender: Sender<(T, Result<Bytes>)>,
    receiver: Receiver<(T, Result<Bytes>)>,
}

impl<T> Default for Answers<T> {
    fn default() -> Self {
        let (sender, receiver) = channel();
        Answers { sender, receiver }
    }
}

impl<T: Send + 'static> Answers<T> {
    /// Where the answer of the call named `tag` goes.
    pub fn of(&self, tag: T) -> Answer {
        let sender = self.sender.clone();
        // Whoever asked may have gone on without this answer.
        Answer(Box::new(move |result| drop(sender.send((tag, result)))))
    }
    /// The next answer, or none within `wait`.
    pub fn next(&self, wait: Duration) -> Option<(T, Result<Bytes>)> {
        self.receiver.recv_timeout(wait).ok()
    }
}

/// Takes the answer of one call. Dropped without one, it says that the call was given up.
pub struct Answer(Box<dyn FnOnce(Result<Bytes>) + Send>);

impl Answer {
    /// Gives the answer.
    pub fn give(self, result: Result<Bytes>) {
        (self.0)(result);
    }
}

/// Messages of a stream, in order. It ends with `None`; after an error nothing follows. Dropping it tells the other side to stop.
pub type Messages = Box<dyn Iterator<Item = Result<Bytes>> + Send>;

/// Carries calls to other nodes. The other side's errors come with their kind, message and retry hint. The transport's own are
/// [`unreachable`] (nobody there, connection lost; no retry hint), of kind `Timeout` (too late), and of kind `Forbidden` (somebody is
/// there, and one of both does not belong to the other's cluster).
pub trait Transport: Send + Sync + 'static {
    /// Sends a request to the node at `address` and gives what came of it to `answer`, at the latest after `deadline`. Does not
    /// block.
    fn call(&self, address: &str, method: Method, body: Bytes, deadline: Duration, answer: Answer);
    /// Asks for a stream. Blocks until the first message is there or `deadline` has passed; after that each message may take
    /// `deadline`.
    fn stream(&self, address: &str, method: Method, body: Bytes, deadline: Duration) -> Result<Messages>;
}

/// The other side of it: what a node does when it is called. May block; is called off any async runtime.
pub trait Service: Send + Sync + 'static {
    /// Answers a call of a method that gives bytes for bytes.
    fn call(&self, method: Method, body: Bytes) -> Result<Bytes>;
    /// Answers a call of a method that gives a stream: `send` blocks while the other side is slow, and fails when it
    /// has gone. `cancel` fires then, too.
    fn stream(&self, method: Method, body: Bytes, cancel: &Cancel, send: &mut dyn FnMut(Bytes) -> Result<()>) -> Result<()>;
}

/// A service that may come later than the listener it is behind.
pub type LateService = Arc<std::sync::OnceLock<Arc<dyn Service>>>;

/// Whether an error is the transport's own: the node is not there, or too late.
pub fn is_unreachable(e: &Error) -> bool {
    e.kind() == Kind::Timeout || e.kind() == Kind::Unavailable && e.retry_hint().is_none()
}

/// The error for a node that is not there.
pub fn unreachable(address: &str, why: impl fmt::Display) -> Error {
    Error::new(Kind::Unavailable, format!("node at {address} cannot be reached: {why}"))
}
