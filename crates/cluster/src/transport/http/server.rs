//! The side that listens: who may come in, places and memory for each kind of call, and the service off the runtime.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use base::{Error, Kind, Result};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame as Piece, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use hyper::server::conn::http2;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use parking_lot::Mutex;
use table::Cancel;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::frame::{self, FrameKind, HEAD_BYTES};
use super::proof::{Handshake, Session};
use super::{PATH, Shared, VERSION, causes, header, proof};
use crate::limits;
use crate::transport::{LateService, Method, Service};

/// Memory is counted in pieces of this size, because a semaphore counts in 32 bits.
const MEMORY_PIECE: usize = 4 << 10;

/// An open port. Dropped, it takes no more connections and ends those there are.
pub struct Listener {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    stopped: std::sync::mpsc::Receiver<()>,
}

impl Listener {
    pub(super) fn start(shared: Arc<Shared>, address: &str, service: LateService) -> Result<Listener> {
        let cannot = |e: std::io::Error| Error::unavailable(format!("cannot listen on {address} for other nodes: {e}"));
        let listener = std::net::TcpListener::bind(address).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let (stop, stopping) = oneshot::channel();
        let (ended, stopped) = std::sync::mpsc::channel();
        let work = Arc::new(Work::new(&shared, service));
        let entered = shared.handle.enter();
        let listener = TcpListener::from_std(listener)?;
        drop(entered);
        shared.handle.clone().spawn(async move {
            accept(&shared, &work, listener, stopping).await;
            drop(ended);
        });
        Ok(Listener { address, stop: Some(stop), stopped })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more calls, and waits until those under way have ended, or for a few seconds.
    pub fn stop(mut self) {
        drop(self.stop.take());
        // Ends with an error, because nothing is ever sent: that the other end is gone is the message.
        let _ = self.stopped.recv_timeout(limits::NODE_DRAIN * 2);
    }
}

/// Places and memory for calls of one kind.
struct Places {
    places: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    most_bytes: usize,
}

impl Places {
    fn new(places: usize, most_bytes: usize, memory_bytes: usize) -> Self {
        let memory = memory_bytes.max(most_bytes).div_ceil(MEMORY_PIECE);
        Places { places: Arc::new(Semaphore::new(places)), memory: Arc::new(Semaphore::new(memory)), most_bytes }
    }
}

/// The service, and who may use how much of it.
struct Work {
    service: LateService,
    hellos: Places,
    marks: Places,
    appends: Places,
    reads: Places,
}

impl Work {
    fn new(shared: &Shared, service: LateService) -> Self {
        let s = &shared.settings;
        let small = |places| Places::new(places, limits::QUESTION_BYTES, places * limits::QUESTION_BYTES);
        Work {
            service,
            hellos: small(limits::HELLOS),
            marks: small(limits::MARKS),
            appends: Places::new(limits::APPENDS, s.body_bytes, s.body_memory_bytes),
            reads: small(limits::READS),
        }
    }
    fn places(&self, method: Method) -> &Places {
        match method {
            Method::Hello => &self.hellos,
            Method::Alone => &self.marks,
            Method::Append => &self.appends,
            Method::Scan | Method::Series => &self.reads,
        }
    }
    fn service(&self) -> Result<Arc<dyn Service>> {
        self.service.get().cloned().ok_or_else(|| Error::unavailable("this node is starting"))
    }
}

async fn accept(shared: &Arc<Shared>, work: &Arc<Work>, listener: TcpListener, mut stopping: oneshot::Receiver<()>) {
    let places = Arc::new(Semaphore::new(limits::NODE_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let taken = async {
            let place = places.clone().acquire_owned().await.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>((listener.accept().await?, place))
        };
        let accepted = tokio::select! {
            biased;
            _ = &mut stopping => break,
            a = taken => a,
        };
        match accepted {
            Ok(((stream, from), place)) => {
                let door = Arc::new(Door { shared: shared.clone(), work: work.clone(), from, state: Mutex::new(State::Stranger) });
                let watcher = graceful.watcher();
                tokio::spawn(async move {
                    door.shared.stats.connections.fetch_add(1, Ordering::Relaxed);
                    door.clone().welcome(stream, watcher).await;
                    door.shared.stats.connections.fetch_sub(1, Ordering::Relaxed);
                    drop(place);
                });
            }
            Err(e) => {
                if shared.complaints.due("accept".into()) {
                    tracing::warn!(error = %e, "cannot take a connection of another node");
                }
                tokio::time::sleep(limits::CONNECT).await;
            }
        }
    }
    drop(listener);
    if timeout(limits::NODE_DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!(seconds = limits::NODE_DRAIN.as_secs(), "calls of other nodes did not end in time");
    }
}

/// Who stands at one connection's other end.
enum State {
    Stranger,
    Named { caller: String, listener: String },
    Proved(Arc<Session>),
}

/// One connection of another node.
struct Door {
    shared: Arc<Shared>,
    work: Arc<Work>,
    from: SocketAddr,
    state: Mutex<State>,
}

impl Door {
    async fn welcome(self: Arc<Self>, stream: TcpStream, watcher: Watcher) {
        // A hello's answer must not wait for the acknowledgement of the one before it.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.shared.tls else { return self.clone().serve(stream, watcher).await };
        let welcomed = async {
            let mut stream = tls.acceptor.accept(stream).await?;
            // The caller waits for it, or it would not learn that its certificate is not accepted.
            stream.write_u8(0).await?;
            stream.flush().await?;
            Ok::<_, std::io::Error>(stream)
        };
        match timeout(limits::HANDSHAKE, welcomed).await {
            Ok(Ok(stream)) => self.clone().serve(stream, watcher).await,
            Ok(Err(e)) => self.complain(
                "tls",
                &format!("TLS failed ({e}): is its cluster.tls.cert signed by the authority in this node's cluster.tls.ca?"),
            ),
            Err(_) => self.complain("tls", "it does not speak TLS: have both nodes cluster.tls?"),
        }
    }

    async fn serve(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, watcher: Watcher) {
        let door = self.clone();
        let service = hyper::service::service_fn(move |request| {
            let door = door.clone();
            async move { Ok::<_, Infallible>(door.answer(request).await) }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(limits::LISTENER_PING)
            .keep_alive_timeout(limits::LISTENER_PING)
            .max_concurrent_streams(limits::CALLS_PER_CONNECTION)
            .initial_stream_window_size(limits::CALL_WINDOW)
            .initial_connection_window_size(limits::CALL_WINDOW * limits::CALLS_PER_CONNECTION)
            .max_frame_size(limits::PIECE)
            .max_send_buf_size(limits::CALL_WINDOW as usize)
            .max_header_list_size(limits::CALL_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(watcher.watch(connection));
        let ended = match timeout(limits::STRANGER, &mut connection).await {
            Ok(ended) => ended,
            Err(_) if matches!(*self.state.lock(), State::Proved(_)) => connection.await,
            Err(_) => return self.complain("strange", "it did not prove in time that it belongs here"),
        };
        if let Err(e) = ended {
            tracing::debug!(from = %self.from, error = %causes(&e), "a connection of another node ended");
        }
    }

    /// Counts, and says now and then, who is turned away.
    fn complain(&self, reason: &str, why: &str) {
        self.shared.stats.refused.add(&[reason], 1);
        if self.shared.complaints.due(format!("from {} {why}", self.from.ip())) {
            tracing::error!(from = %self.from, "turned away a node that wants to join: {why}");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Reply> {
        let what = request.uri().path().strip_prefix(PATH).unwrap_or("");
        match what {
            "open" => return self.open(request.headers()),
            "prove" => return self.prove(request.headers()),
            _ => {}
        }
        let Some(method) = Method::ALL.into_iter().find(|m| m.name() == what) else {
            return plain(StatusCode::NOT_FOUND, "there is no such call: this port is for the nodes of a cluster");
        };
        let session = match &*self.state.lock() {
            State::Proved(s) => s.clone(),
            _ => return self.refuse("strange", "it calls before it proved that it belongs here"),
        };
        let headers = request.headers();
        let number = text(headers, header::CALL).parse().unwrap_or(0);
        let hash = text(headers, header::BODY).to_owned();
        if !session.takes(number, what, &hash, text(headers, header::PROOF)) {
            return self.refuse("strange", "the proof of a call is wrong, or it was played again");
        }
        let frames = Frames { session, number, place: 0 };
        self.shared.stats.answered.add(&[method.name()], 1);
        match self.body(method, request).await {
            Ok(body) if method == Method::Scan => self.stream(method, body, hash, frames).await,
            Ok(body) => self.call(method, body, hash, frames).await,
            Err(e) => frames.whole(Err(e)),
        }
    }

    /// First step of the handshake: names.
    fn open(&self, headers: &HeaderMap) -> Response<Reply> {
        let s = &self.shared.settings;
        let (cluster, version) = (text(headers, header::CLUSTER), text(headers, header::VERSION));
        if version != VERSION {
            return self.refuse("version", &format!("it speaks version {version:?} of the cluster's protocol and this node {VERSION:?}"));
        }
        if cluster != s.cluster {
            return self.refuse("cluster", &format!("it belongs to cluster {cluster:?} and this node to {:?}", s.cluster));
        }
        match (text(headers, header::SECRET) == "yes", s.secret.is_some()) {
            (false, true) => return self.refuse("secret-missing", "it has no cluster.secret, and this node has one"),
            (true, false) => return self.refuse("secret-unwanted", "it has a cluster.secret, and this node has none"),
            _ => {}
        }
        let Ok(nonce) = proof::nonce() else { return plain(StatusCode::SERVICE_UNAVAILABLE, "the system gives no random numbers") };
        let listener = proof::hex(&nonce);
        let mut response = plain(StatusCode::OK, "");
        put(&mut response, header::NONCE, &listener);
        *self.state.lock() = State::Named { caller: text(headers, header::NONCE).to_owned(), listener };
        response
    }

    /// Second step: proofs.
    fn prove(&self, headers: &HeaderMap) -> Response<Reply> {
        let (caller, listener) = match std::mem::replace(&mut *self.state.lock(), State::Stranger) {
            State::Named { caller, listener } => (caller, listener),
            _ => return self.refuse("strange", "it proves something before it was asked"),
        };
        let both = Handshake {
            secret: &self.shared.key,
            cluster: &self.shared.settings.cluster,
            version: VERSION,
            caller: caller.as_bytes(),
            listener: listener.as_bytes(),
        };
        if caller.len() != 2 * proof::NONCE_BYTES || !proof::equal(&both.proof_of_caller(), text(headers, header::PROOF)) {
            return self.refuse("secret", "its cluster.secret is another one");
        }
        let mut response = plain(StatusCode::OK, "");
        put(&mut response, header::PROOF, &both.proof_of_listener());
        *self.state.lock() = State::Proved(Arc::new(both.session()));
        response
    }

    /// Turns away, in words for the other node and for our own log.
    fn refuse(&self, reason: &'static str, why: &str) -> Response<Reply> {
        self.complain(reason.split('-').next().unwrap_or(reason), why);
        let mut response = plain(StatusCode::FORBIDDEN, &format!("turned away: {why}"));
        put(&mut response, header::REFUSED, reason);
        put(&mut response, header::CLUSTER, &self.shared.settings.cluster);
        put(&mut response, header::VERSION, VERSION);
        response
    }

    /// Reads a body when there is memory for it. Waits as long as the caller does.
    async fn body(&self, method: Method, request: Request<Incoming>) -> Result<Held> {
        let places = self.work.places(method);
        let most = places.most_bytes;
        let announced = text(request.headers(), CONTENT_LENGTH.as_str()).parse::<usize>().unwrap_or(most);
        if announced > most {
            let e = format!("a call of {announced} bytes, and this node takes {most}: is server.body_size the same on all nodes?");
            return Err(Error::new(Kind::TooLarge, e));
        }
        let pieces = u32::try_from(announced.div_ceil(MEMORY_PIECE)).unwrap_or(u32::MAX);
        let memory = places.memory.clone().acquire_many_owned(pieces).await.map_err(|e| Error::internal(e.to_string()))?;
        let mut bytes = BytesMut::with_capacity(announced);
        let mut body = request.into_body();
        while let Some(piece) = body.frame().await {
            let piece = piece.map_err(|e| Error::new(Kind::Canceled, format!("the body broke off: {}", causes(&e))))?;
            let Ok(data) = piece.into_data() else { continue };
            if bytes.len() + data.len() > announced {
                return Err(Error::invalid("a body that is longer than announced"));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Held { bytes: bytes.freeze(), _memory: memory })
    }

    async fn place(&self, method: Method) -> Result<OwnedSemaphorePermit> {
        self.work.places(method).places.clone().acquire_owned().await.map_err(|e| Error::internal(e.to_string()))
    }

    async fn call(&self, method: Method, body: Held, hash: String, frames: Frames) -> Response<Reply> {
        let (service, place) = match (self.work.service(), self.place(method).await) {
            (Ok(s), Ok(p)) => (s, p),
            (Err(e), _) | (_, Err(e)) => return frames.whole(Err(e)),
        };
        let broken = Frames { session: frames.session.clone(), ..frames };
        let job = tokio::task::spawn_blocking(move || {
            let result = body.intact(&hash).and_then(|bytes| service.call(method, bytes));
            drop((place, body));
            frames.whole(result)
        });
        job.await.unwrap_or_else(|_| broken.whole(Err(Error::internal("a bug of ours ended this call; it is in that node's log"))))
    }

    async fn stream(&self, method: Method, body: Held, hash: String, mut frames: Frames) -> Response<Reply> {
        let (service, place) = match (self.work.service(), self.place(method).await) {
            (Ok(s), Ok(p)) => (s, p),
            (Err(e), _) | (_, Err(e)) => return frames.whole(Err(e)),
        };
        let (sender, pieces) = mpsc::channel(2 * limits::MESSAGES_AHEAD);
        let cancel = Cancel::default();
        let stop = CancelOnDrop(cancel.clone());
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let mut put = |kind, payload: Bytes| {
                let gone = |_| Error::new(Kind::Canceled, "the node that asked has gone");
                let [head, payload] = frames.next(kind, payload)?;
                sender.blocking_send(head).map_err(gone)?;
                if payload.is_empty() { Ok(()) } else { sender.blocking_send(payload).map_err(gone) }
            };
            let end = body.intact(&hash).and_then(|bytes| {
                drop(body);
                service.stream(method, bytes, &cancel, &mut |m| put(FrameKind::Message, m))
            });
            // An answer without its last frame is a broken one, and is meant to be when nobody takes it.
            let _ = match end {
                Ok(()) => put(FrameKind::End, Bytes::new()),
                Err(e) => put(FrameKind::Error, frame::error_payload(&e)),
            };
        });
        Response::new(Reply::Stream { pieces, _stop: stop })
    }
}

/// A body, and the memory set aside for it.
struct Held {
    bytes: Bytes,
    _memory: OwnedSemaphorePermit,
}

impl Held {
    fn intact(&self, hash: &str) -> Result<Bytes> {
        if proof::body_hash(&self.bytes) == hash {
            Ok(self.bytes.clone())
        } else {
            Err(Error::unavailable("the call was altered on the way"))
        }
    }
}

/// Makes the frames of one answer.
struct Frames {
    session: Arc<Session>,
    number: u64,
    place: u64,
}

impl Frames {
    /// Head and payload of the next frame.
    fn next(&mut self, kind: FrameKind, payload: Bytes) -> Result<[Bytes; 2]> {
        if payload.len() > limits::MESSAGE_BYTES {
            return Err(Error::new(Kind::TooLarge, format!("a message of {} bytes between nodes", payload.len())));
        }
        let tag = self.session.tag(self.number, self.place, kind, &payload);
        self.place += 1;
        let head: [u8; HEAD_BYTES] = frame::head(kind, payload.len() as u32, &tag);
        Ok([Bytes::copy_from_slice(&head), payload])
    }

    /// A whole answer at once.
    fn whole(mut self, result: Result<Bytes>) -> Response<Reply> {
        let mut pieces = VecDeque::new();
        let frames = match result {
            Ok(m) => self.next(FrameKind::Message, m).and_then(|m| Ok([m, self.next(FrameKind::End, Bytes::new())?].concat())),
            Err(e) => Err(e),
        };
        let frames = frames.or_else(|e| self.next(FrameKind::Error, frame::error_payload(&e)).map(Vec::from));
        pieces.extend(frames.into_iter().flatten().filter(|p| !p.is_empty()));
        Response::new(Reply::Whole(pieces))
    }
}

struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Body of an answer.
enum Reply {
    Whole(VecDeque<Bytes>),
    Stream { pieces: mpsc::Receiver<Bytes>, _stop: CancelOnDrop },
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<std::result::Result<Piece<Bytes>, Infallible>>> {
        match self.get_mut() {
            Reply::Whole(pieces) => Poll::Ready(pieces.pop_front().map(|p| Ok(Piece::data(p)))),
            Reply::Stream { pieces, .. } => pieces.poll_recv(cx).map(|p| p.map(|p| Ok(Piece::data(p)))),
        }
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(VecDeque::from([Bytes::from(format!("{text}\n"))])));
    *response.status_mut() = status;
    response
}

fn put(response: &mut Response<Reply>, name: &'static str, value: &str) {
    // Names of clusters, versions and hexadecimal: all can stand in a header.
    if let Ok(v) = value.parse() {
        response.headers_mut().insert(name, v);
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}
