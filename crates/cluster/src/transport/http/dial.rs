//! Making a connection: the caller's side of the handshake, and words for each way it can fail.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Error, Kind, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::header::HeaderValue;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::proof::{Handshake, Session};
use super::{PATH, Shared, VERSION, causes, header, proof};
use crate::limits;
use crate::transport::unreachable;

/// A connection whose both sides have proved that they belong together.
pub struct Link {
    pub sender: SendRequest<Full<Bytes>>,
    pub session: Session,
    next: AtomicU64,
}

impl Link {
    /// A number for a call that no other call of this connection has.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// Why there is no connection.
pub struct Failed {
    pub error: Error,
    /// The other side is there and does not want us, or we not it: trying again at once does not help.
    pub refused: bool,
}

impl Failed {
    /// One of us does not want the other, until somebody changes a setting.
    fn refused(address: &str, why: impl std::fmt::Display) -> Self {
        let e = Error::new(Kind::Forbidden, format!("node at {address} and this one do not belong together: {why}"));
        Failed { error: e, refused: true }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed { error, refused: false }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to the node at `address`.
pub async fn dial(shared: &Shared, address: &str) -> std::result::Result<Link, Failed> {
    let result = match connect(shared, address).await {
        Ok(stream) => timeout(limits::HANDSHAKE, shake(shared, address, stream)).await.unwrap_or_else(|_| {
            Err(unreachable(address, "it takes connections and does not speak: it hangs, or it is no node of a cluster").into())
        }),
        Err(e) => Err(e.into()),
    };
    let outcome = match &result {
        Ok(_) => "ok",
        Err(f) if f.refused => "refused",
        Err(_) => "unreachable",
    };
    shared.stats.dials.add(&[outcome], 1);
    if let Err(f) = &result
        && f.refused
        && shared.complaints.due(format!("to {address} {}", f.error))
    {
        tracing::error!(address, error = %f.error, "another node and this one do not belong together");
    }
    result
}

async fn connect(shared: &Shared, address: &str) -> Result<TcpStream> {
    let found = shared.lookups.find(address).await.map_err(|e| unreachable(address, e))?;
    let mut last = unreachable(address, "its name has no address");
    for a in found.into_iter().take(limits::ADDRESSES_TRIED) {
        match timeout(limits::CONNECT, TcpStream::connect(a)).await {
            Ok(Ok(stream)) => {
                // A hello must not wait for the acknowledgement of the one before it.
                stream.set_nodelay(true).map_err(|e| unreachable(address, e))?;
                return Ok(stream);
            }
            Ok(Err(e)) => last = unreachable(address, e),
            Err(_) => last = unreachable(address, format!("no connection within {} ms", limits::CONNECT.as_millis())),
        }
    }
    Err(last)
}

async fn shake(shared: &Shared, address: &str, stream: TcpStream) -> std::result::Result<Link, Failed> {
    let stream: Box<dyn Stream> = match &shared.tls {
        None => Box::new(stream),
        Some(tls) => {
            let name = tls.name_of(address)?;
            let welcomed = async {
                let mut stream = tls.connector.connect(name, stream).await?;
                // With TLS 1.3 the other side looks at our certificate after our part of the handshake is over.
                stream.read_u8().await?;
                Ok(stream)
            };
            Box::new(welcomed.await.map_err(|e| tls_failed(address, &e))?)
        }
    };
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(limits::PING_EVERY)
        .keep_alive_timeout(limits::PING_WAIT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(limits::CALL_WINDOW)
        .initial_connection_window_size(limits::CALL_WINDOW * limits::CALLS_PER_CONNECTION)
        .max_frame_size(limits::PIECE)
        .max_header_list_size(limits::CALL_HEADERS)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|e| no_node(address, &e))?;
    tokio::spawn(async move {
        if let Err(e) = connection.await {
            tracing::debug!(error = %causes(&e), "a connection to another node ended");
        }
    });
    prove(shared, address, sender).await
}

/// Names and proofs, to and fro.
async fn prove(shared: &Shared, address: &str, mut sender: SendRequest<Full<Bytes>>) -> std::result::Result<Link, Failed> {
    let caller = proof::nonce()?;
    let has_secret = if shared.settings.secret.is_some() { "yes" } else { "no" };
    let nonce = proof::hex(&caller);
    let opened = ask(shared, &mut sender, address, "open", &[(header::SECRET, has_secret), (header::NONCE, &nonce)]).await?;
    let listener = text(&opened, header::NONCE).to_owned();
    let both = Handshake {
        secret: &shared.key,
        cluster: &shared.settings.cluster,
        version: VERSION,
        caller: nonce.as_bytes(),
        listener: listener.as_bytes(),
    };
    let proved = ask(shared, &mut sender, address, "prove", &[(header::PROOF, &both.proof_of_caller())]).await?;
    if !proof::equal(&both.proof_of_listener(), text(&proved, header::PROOF)) {
        let why = "it takes our proof and cannot show that it knows cluster.secret itself: something else answers there";
        return Err(Failed::refused(address, why));
    }
    Ok(Link { sender, session: both.session(), next: AtomicU64::new(1) })
}

/// One step of the handshake. Gives a success, or the reason of a refusal in words.
async fn ask(
    shared: &Shared,
    sender: &mut SendRequest<Full<Bytes>>,
    address: &str,
    step: &str,
    headers: &[(&'static str, &str)],
) -> std::result::Result<Response<Incoming>, Failed> {
    let mut request = Request::post(format!("http://{address}{PATH}{step}"))
        .header(header::CLUSTER, &shared.settings.cluster)
        .header(header::VERSION, VERSION)
        .body(Full::default())
        .map_err(|e| unreachable(address, format!("it is no address: {e}")))?;
    for (name, value) in headers {
        put(&mut request, name, value)?;
    }
    let response = sender.send_request(request).await.map_err(|e| no_node(address, &e))?;
    if response.status() == StatusCode::OK {
        return Ok(response);
    }
    Err(refused(shared, address, response).await)
}

/// Adds a header that is not kept for later calls to refer to: no two calls have the same.
pub fn put(request: &mut Request<Full<Bytes>>, name: &'static str, value: &str) -> Result<()> {
    let mut value = HeaderValue::from_str(value).map_err(|e| Error::internal(format!("{name}: {e}")))?;
    value.set_sensitive(true);
    request.headers_mut().insert(name, value);
    Ok(())
}

/// A header of an answer; empty when it is not there.
pub fn text<'a>(response: &'a Response<Incoming>, name: &str) -> &'a str {
    response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}

/// Why the other side does not want us, and what to set.
pub async fn refused(shared: &Shared, address: &str, response: Response<Incoming>) -> Failed {
    let ours = &shared.settings.cluster;
    let why = match text(&response, header::REFUSED) {
        "cluster" => {
            let theirs = text(&response, header::CLUSTER);
            format!(
                "it belongs to cluster {theirs:?} and this node to {ours:?}: give both the same cluster.name (flag --cluster), or take \
                 the address out of cluster.join"
            )
        }
        "version" => {
            let theirs = text(&response, header::VERSION);
            format!("it speaks version {theirs:?} of the cluster's protocol and this node {VERSION:?}: run releases that go together")
        }
        "secret-missing" => "it asks for a secret and this node has none: set cluster.secret to what it has".to_owned(),
        "secret-unwanted" => "it has no secret and this node has one: set cluster.secret on all nodes, to the same".to_owned(),
        "secret" => "it has another secret: cluster.secret must be the same on all nodes".to_owned(),
        _ => {
            let status = response.status();
            let body = Limited::new(response.into_body(), limits::REFUSAL_BYTES).collect().await;
            let said = body.map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned()).unwrap_or_default();
            return unreachable(address, format!("it answered {status}: {}", said.trim_end())).into();
        }
    };
    Failed::refused(address, why)
}

/// Something is there, and it does not speak as a node does.
fn no_node(address: &str, e: &hyper::Error) -> Failed {
    unreachable(address, format!("{}: is this the port of cluster.listen, and have both nodes cluster.tls or none?", causes(e))).into()
}

fn tls_failed(address: &str, e: &io::Error) -> Failed {
    let said = causes(e);
    if said.contains("received fatal alert") {
        let what = "cluster.tls.cert must be signed by the authority in its cluster.tls.ca";
        return Failed::refused(address, format!("it refuses this node's certificate ({said}): {what}"));
    }
    if said.contains("certificate") {
        let what = "it must be signed by the authority in cluster.tls.ca, and bear the host of the address or cluster.tls.name";
        return Failed::refused(address, format!("its certificate is not accepted ({said}): {what}"));
    }
    unreachable(address, format!("TLS failed ({said}): have both nodes cluster.tls?")).into()
}
