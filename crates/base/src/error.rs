//! The few kinds of error that cross a crate's border, chosen by what the caller can do about them.

use std::fmt;
use std::time::Duration;

/// Shorthand for results whose error crosses a crate's border.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller can do about an error. Each adapter maps a kind to its protocol's status once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request can never succeed as it is: do not send it again.
    Invalid,
    /// The request is understood but cannot be carried out (a query whose execution fails).
    Unprocessable,
    /// What was asked for does not exist.
    NotFound,
    /// The request is larger than the server's bound.
    TooLarge,
    /// A rate or quota is used up: send it again later.
    LimitExceeded,
    /// No valid credentials.
    Unauthenticated,
    /// Valid credentials that do not allow this.
    Forbidden,
    /// Not possible now (starting, disk full, overload): send it again later.
    Unavailable,
    /// The time allowed ran out.
    Timeout,
    /// The client went away.
    Canceled,
    /// Stored bytes are damaged.
    Corrupt,
    /// A bug of ours.
    Internal,
}

/// An error with a [`Kind`], a message for people (not an API), and when to try again.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    retry_after: Option<Duration>,
}

impl Error {
    /// An error of `kind` with `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), retry_after: None }
    }
    /// See [`Kind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }
    /// See [`Kind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }
    /// See [`Kind::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, message)
    }
    /// See [`Kind::Unavailable`]; carries a hint of one second.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message).retry_after(Duration::from_secs(1))
    }
    /// Adds when to try again.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        self.kind
    }
    /// For people.
    pub fn message(&self) -> &str {
        &self.message
    }
    /// When to try again, if trying again makes sense.
    pub fn retry_hint(&self) -> Option<Duration> {
        self.retry_after
    }
    /// The same error with `context: ` before its message.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Disk errors: a full or failing disk is a matter of time, anything else is ours. An error of ours that travelled as one of the
/// disk comes out as it was.
impl From<Error> for std::io::Error {
    fn from(e: Error) -> Self {
        let kind = match e.kind {
            Kind::NotFound => std::io::ErrorKind::NotFound,
            Kind::Corrupt => std::io::ErrorKind::InvalidData,
            _ => std::io::ErrorKind::Other,
        };
        std::io::Error::new(kind, e)
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        if let Some(inner) = e.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            return inner.clone();
        }
        match e.kind() {
            K::StorageFull | K::QuotaExceeded | K::ReadOnlyFilesystem | K::Interrupted => Error::unavailable(e.to_string()),
            K::NotFound => Error::new(Kind::NotFound, e.to_string()),
            K::InvalidData | K::UnexpectedEof => Error::corrupt(e.to_string()),
            _ => Error::unavailable(e.to_string()),
        }
    }
}
