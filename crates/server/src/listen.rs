//! Listeners: HTTP/1.1 with keep-alive and HTTP/2 on one port, with a cap on connections and a limit on patience.
//!
//! Whoever begins with the preface of HTTP/2 speaks it (gRPC's clients do, without TLS); everybody else speaks HTTP/1.1. The bytes read to
//! find that out are given to whoever goes on reading, so HTTP/1.1 pays nothing for the other.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use base::{Error, Result};
use bytes::{Buf, Bytes, BytesMut};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Sleep, sleep, timeout};
use tower_service::Service;

use crate::app::App;
use crate::routes::Paths;
use crate::{limits, request_line, routes};

/// What a client of HTTP/2 begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The connections of all listeners of one process.
pub struct Connections {
    places: Arc<Semaphore>,
    open: AtomicUsize,
    stream_life: Duration,
}

impl Connections {
    /// At most `most` at once. A request over HTTP/2 is given up after `stream_life`.
    pub fn new(most: usize, stream_life: Duration) -> Arc<Self> {
        Arc::new(Connections { places: Arc::new(Semaphore::new(most.max(1))), open: AtomicUsize::new(0), stream_life })
    }
    /// How many there are.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// Opens the port.
pub async fn bind(address: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| Error::unavailable(format!("cannot listen on {address}: {e}")))
}

/// Serves until `stop` is done, then lets the requests in flight end (at most [`limits::DRAIN`]). Whether the ones
/// that were waiting still get in is [`App::stop_admitting`]'s business.
pub async fn serve(listener: TcpListener, app: Arc<App>, paths: Paths, stop: impl Future<Output = ()>) {
    let router = routes::router(app.clone(), paths);
    serve_router(listener, router, app.connections.clone(), stop).await;
}

/// The same for paths of somebody else's.
pub async fn serve_router(listener: TcpListener, router: Router, connections: Arc<Connections>, stop: impl Future<Output = ()>) {
    // Every connection holds the other end, so that it is told to end, and is waited for.
    let (ending, end) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            a = accept(&listener, &connections.places) => a,
        };
        let (stream, place) = match accepted {
            Ok(a) => a,
            Err(e) => {
                tracing::warn!(error = %e, "cannot accept a connection");
                sleep(limits::ACCEPT_PAUSE).await;
                continue;
            }
        };
        // A small answer must not wait for the acknowledgement of the one before it.
        let _ = stream.set_nodelay(true);
        let (router, connections, end) = (router.clone(), connections.clone(), end.clone());
        tokio::spawn(async move {
            connections.open.fetch_add(1, Ordering::Relaxed);
            if let Err(e) = converse(stream, router, connections.stream_life, end).await {
                tracing::debug!(error = %e, "connection ended");
            }
            connections.open.fetch_sub(1, Ordering::Relaxed);
            drop(place);
        });
    }
    drop(listener);
    drop(end);
    // There may be no connection to tell.
    let _ = ending.send(());
    if timeout(limits::DRAIN, ending.closed()).await.is_err() {
        tracing::warn!(seconds = limits::DRAIN.as_secs(), "requests in flight did not end in time");
    }
}

/// Waits for a free place first: beyond the cap, connections wait in the system's queue.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// Serves one connection to its end.
async fn converse(
    stream: TcpStream,
    router: Router,
    stream_life: Duration,
    mut end: watch::Receiver<()>,
) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // What has arrived is served, even if the end was called in the same moment.
    let stream = tokio::select! {
        biased;
        begun = timeout(limits::HEADER_TIMEOUT, Patient::begin(stream)) => begun??,
        _ = end.changed() => return Ok(()),
    };
    let is_http2 = stream.head.starts_with(PREFACE);
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut router = router.clone();
        async move { router.call(request.map(Body::new)).await }
    });
    let io = TokioIo::new(stream);
    if is_http2 {
        let connection = http2::Builder::new(Streams { life: stream_life })
            .timer(TokioTimer::new())
            .keep_alive_interval(limits::H2_PING)
            .keep_alive_timeout(limits::H2_PING_WAIT)
            .max_concurrent_streams(limits::H2_STREAMS)
            .initial_stream_window_size(limits::H2_STREAM_WINDOW)
            .initial_connection_window_size(limits::H2_CONNECTION_WINDOW)
            .max_frame_size(limits::H2_FRAME)
            .max_send_buf_size(limits::H2_SEND_BYTES)
            .max_header_list_size(limits::H2_HEADER_BYTES)
            .serve_connection(io, service);
        // On the heap, so that connections of HTTP/1.1 are no larger for it.
        return Ok(Box::pin(until(connection, http2::Connection::graceful_shutdown, end)).await?);
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER_TIMEOUT)
        .max_headers(limits::HEADERS)
        .max_buf_size(limits::HEADER_BYTES)
        .serve_connection(io, service)
        .with_upgrades();
    Ok(until(connection, http1::UpgradeableConnection::graceful_shutdown, end).await?)
}

/// Drives a connection to its end, and tells it when that shall come.
async fn until<C>(connection: C, tell: fn(Pin<&mut C>), mut end: watch::Receiver<()>) -> hyper::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        r = connection.as_mut() => r,
        _ = end.changed() => {
            tell(connection.as_mut());
            connection.await
        }
    }
}

/// Runs the requests of connections of HTTP/2, each as a task that ends when its time is over.
#[derive(Clone)]
struct Streams {
    life: Duration,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, request: F) {
        tokio::spawn(timeout(self.life, request));
    }
}

/// A stream whose writes fail when the other side takes nothing for [`limits::WRITE_STALL`].
struct Patient {
    stream: TcpStream,
    /// What has been read and not been given on.
    head: Bytes,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    /// Reads until it is clear whether the other side speaks HTTP/2, and if not, what its first request line is; or until it is at its end.
    async fn begin(mut stream: TcpStream) -> io::Result<Patient> {
        let mut head = BytesMut::with_capacity(limits::FIRST_BYTES);
        let is_enough = |head: &[u8]| match PREFACE.starts_with(head) {
            true => head.len() >= PREFACE.len(),
            false => head.starts_with(PREFACE) || request_line::is_whole(head) || head.len() >= limits::HEADER_BYTES,
        };
        while stream.read_buf(&mut head).await? > 0 && !is_enough(&head) {}
        Ok(Patient { stream, head: request_line::spelled_out(head).freeze(), waiting: None })
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.waiting = None;
            return result;
        }
        let timer = self.waiting.get_or_insert_with(|| Box::pin(sleep(limits::WRITE_STALL)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer")))
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.head.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let n = self.head.len().min(buf.remaining());
        buf.put_slice(&self.head[..n]);
        self.head.advance(n);
        if self.head.is_empty() {
            self.head = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, result)
    }
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, result)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, result)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
