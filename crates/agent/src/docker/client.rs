//! Asks the Engine over its socket.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use base::{Error, Kind, Result};

use super::http::Parser;
use crate::limits::{DOCKER_BODY_BYTES, SOCKET_BYTES};

/// Where the Engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket of this host.
    Unix(PathBuf),
    /// Host and port, without encryption.
    Tcp(String),
}

impl Address {
    /// Reads `unix:///var/run/docker.sock` or `tcp://127.0.0.1:2375`.
    pub fn parse(text: &str) -> Result<Address> {
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Address::Unix(path.into())),
            Some(("tcp", at)) if at.rsplit_once(':').is_some_and(|(h, p)| !h.is_empty() && p.parse::<u16>().is_ok()) => {
                Ok(Address::Tcp(at.into()))
            }
            _ => Err(Error::invalid(format!(
                "Docker endpoint {text:?} is neither unix:///path/of/docker.sock nor tcp://host:port (TLS is not supported)"
            ))),
        }
    }
}

/// Asks one Engine. Every question has a connection of its own: they are few, and none is in another's way.
#[derive(Clone, Debug)]
pub struct Client {
    address: Address,
    timeout: Duration,
}

/// An answer that is still coming.
pub struct Streaming {
    socket: Socket,
    parser: Parser,
    /// Body that came with the head.
    early: Vec<u8>,
}

/// What a read of a [`Streaming`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// There may be more at once.
    Bytes,
    /// Nothing is there now.
    Nothing,
    /// The answer is complete.
    End,
}

enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    fn set_timeout(&self, t: Option<Duration>) -> io::Result<()> {
        match self {
            Socket::Unix(s) => s.set_read_timeout(t).and_then(|()| s.set_write_timeout(t)),
            Socket::Tcp(s) => s.set_read_timeout(t).and_then(|()| s.set_write_timeout(t)),
        }
    }
    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Socket::Unix(s) => s.set_nonblocking(true),
            Socket::Tcp(s) => s.set_nonblocking(true),
        }
    }
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(s) => s.read(buf),
            Socket::Tcp(s) => s.read(buf),
        }
    }
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Socket::Unix(s) => s.write_all(bytes),
            Socket::Tcp(s) => s.write_all(bytes),
        }
    }
}

impl Client {
    /// Asks the Engine at `address`; no wait of a single read or write is longer than `timeout`.
    pub fn new(address: Address, timeout: Duration) -> Client {
        Client { address, timeout }
    }

    /// The body of a complete answer of at most [`DOCKER_BODY_BYTES`]. `NotFound` is a 404; `Unavailable` also says that
    /// nobody listens, or that the socket may not be opened.
    pub fn get(&self, path: &str) -> Result<Vec<u8>> {
        let mut s = self.open(path)?;
        let mut body = vec![];
        while s.read(&mut body)? != Came::End {
            if body.len() > DOCKER_BODY_BYTES {
                return Err(Error::new(Kind::TooLarge, format!("the Engine's answer to {path} is longer than {DOCKER_BODY_BYTES} bytes")));
            }
        }
        Ok(body)
    }

    /// Asks and reads the head; a status other than 200 is an error with the Engine's words.
    pub fn open(&self, path: &str) -> Result<Streaming> {
        let mut socket = self.connect().map_err(|e| self.cannot_connect(&e))?;
        let ask = format!("GET {path} HTTP/1.1\r\nHost: docker\r\nUser-Agent: watchfire\r\nConnection: close\r\n\r\n");
        socket.write_all(ask.as_bytes()).map_err(|e| broken(path, &e))?;
        let mut s = Streaming { socket, parser: Parser::default(), early: vec![] };
        let mut early = vec![];
        while s.parser.status().is_none() {
            if s.read(&mut early)? == Came::Nothing {
                return Err(Error::new(Kind::Timeout, format!("the Engine does not answer {path}")));
            }
        }
        s.early = early;
        match s.parser.status() {
            Some(200) => Ok(s),
            status => Err(s.refusal(status.unwrap_or(0), path)),
        }
    }

    fn connect(&self) -> io::Result<Socket> {
        let socket = match &self.address {
            Address::Unix(path) => Socket::Unix(UnixStream::connect(path)?),
            Address::Tcp(at) => {
                let to = at.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
                Socket::Tcp(TcpStream::connect_timeout(&to, self.timeout)?)
            }
        };
        socket.set_timeout(Some(self.timeout))?;
        Ok(socket)
    }

    fn cannot_connect(&self, e: &io::Error) -> Error {
        let at = match &self.address {
            Address::Unix(p) => p.display().to_string(),
            Address::Tcp(at) => at.clone(),
        };
        let advice = match e.kind() {
            io::ErrorKind::PermissionDenied => ": add the user that Watchfire runs as to the group docker",
            io::ErrorKind::NotFound => ": the Engine does not run, or listens elsewhere, or the socket is not mounted here",
            io::ErrorKind::ConnectionRefused => ": the Engine does not run",
            _ => "",
        };
        Error::unavailable(format!("Docker socket {at}: {e}{advice}"))
    }
}

impl Streaming {
    /// Waits no longer than `timeout` for each read; [`Came::Nothing`] then.
    pub fn wait_at_most(&self, timeout: Duration) -> Result<()> {
        self.socket.set_timeout(Some(timeout)).map_err(|e| broken("a stream", &e))
    }

    /// Does not wait at all from now on.
    pub fn do_not_wait(&self) -> Result<()> {
        self.socket.set_nonblocking().map_err(|e| broken("a stream", &e))
    }

    /// Appends what has arrived of the body, about [`SOCKET_BYTES`] at most.
    pub fn read(&mut self, body: &mut Vec<u8>) -> Result<Came> {
        if !self.early.is_empty() {
            body.append(&mut self.early);
            return Ok(Came::Bytes);
        }
        if self.parser.is_done() {
            return Ok(Came::End);
        }
        let mut buf = [0; SOCKET_BYTES];
        match self.socket.read(&mut buf) {
            Ok(0) => {
                self.parser.close()?;
                Ok(Came::End)
            }
            Ok(n) => {
                self.parser.push(&buf[..n], body)?;
                Ok(Came::Bytes)
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(Came::Nothing),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(Came::Bytes),
            Err(e) => Err(broken("a stream", &e)),
        }
    }

    /// The error that the Engine's answer is.
    fn refusal(mut self, status: u16, path: &str) -> Error {
        #[derive(serde::Deserialize)]
        struct Said {
            message: String,
        }
        let mut body = vec![];
        while body.len() < SOCKET_BYTES && matches!(self.read(&mut body), Ok(Came::Bytes)) {}
        let said = serde_json::from_slice::<Said>(&body).map_or_else(|_| String::from_utf8_lossy(&body).into_owned(), |s| s.message);
        let kind = match status {
            404 => Kind::NotFound,
            401 | 403 => Kind::Forbidden,
            400 | 501 => Kind::Unprocessable,
            _ => Kind::Unavailable,
        };
        Error::new(kind, format!("the Engine answers {path} with {status}: {}", said.trim()))
    }
}

fn broken(path: &str, e: &io::Error) -> Error {
    let kind = if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) { Kind::Timeout } else { Kind::Unavailable };
    Error::new(kind, format!("connection to the Engine for {path}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// Answers each connection with the next of `answers`.
    fn engine(answers: Vec<&'static [u8]>) -> (tempfile::TempDir, Client) {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("docker.sock");
        let listener = UnixListener::bind(&at).unwrap();
        let serve = move || {
            for a in answers {
                let mut s = listener.accept().unwrap().0;
                let mut ask = vec![0; 1000];
                let n = s.read(&mut ask).unwrap();
                assert!(ask[..n].starts_with(b"GET /x HTTP/1.1\r\n"));
                s.write_all(a).unwrap();
            }
        };
        std::thread::Builder::new().name("engine".into()).spawn(serve).unwrap();
        (dir, Client::new(Address::Unix(at), Duration::from_secs(5)))
    }

    #[test]
    fn bodies_and_the_words_of_a_refusal_arrive() {
        let (_dir, c) = engine(vec![
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 27\r\n\r\n{\"message\":\"no such thing\"}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        ]);
        assert_eq!((c.get("/x").unwrap(), c.get("/x").unwrap()), (b"ok".to_vec(), b"ok".to_vec()));
        let e = c.get("/x").unwrap_err();
        assert_eq!((e.kind(), e.message()), (Kind::NotFound, "the Engine answers /x with 404: no such thing"));
        assert_eq!(c.get("/x").unwrap_err().kind(), Kind::Unavailable);
    }

    #[test]
    fn what_is_wrong_with_the_socket_is_said() {
        let c = Client::new(Address::Unix("/nowhere/docker.sock".into()), Duration::from_secs(1));
        let e = c.get("/x").unwrap_err();
        assert!(e.message().contains("/nowhere/docker.sock") && e.message().contains("does not run"), "{e}");
        let denied = c.cannot_connect(&io::ErrorKind::PermissionDenied.into());
        assert!(denied.message().contains("group docker"), "{denied}");
    }

    #[test]
    fn addresses() {
        assert_eq!(Address::parse("unix:///a/b").unwrap(), Address::Unix("/a/b".into()));
        assert_eq!(Address::parse("tcp://h:2375").unwrap(), Address::Tcp("h:2375".into()));
        for bad in ["/a/b", "unix://a", "tcp://h", "tcp://:1", "https://h:1", ""] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
