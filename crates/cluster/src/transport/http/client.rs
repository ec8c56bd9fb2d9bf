//! The side that calls: peers with their connections, calls with deadlines, answers frame by frame.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Error, Kind, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::dial::{self, Failed, Link};
use super::frame::{self, Decoder, Frame, FrameKind};
use super::{PATH, Shared, header, late, proof};
use crate::limits;
use crate::transport::{Answer, Messages, Method, unreachable};

/// Connections that do not stand in each other's way.
const LANES: usize = 3;

fn lane(method: Method) -> usize {
    match method {
        Method::Hello | Method::Alone => 0,
        Method::Append => 1,
        Method::Scan | Method::Series => 2,
    }
}

/// A body with its hash, which is computed by whoever calls.
pub struct Sealed {
    body: Bytes,
    hash: String,
}

impl Sealed {
    pub fn new(body: Bytes) -> Self {
        Sealed { hash: proof::body_hash(&body), body }
    }
}

/// All nodes that were called lately.
#[derive(Default)]
pub struct Peers(Mutex<HashMap<String, Arc<Peer>>>);

impl Peers {
    /// The one at `address`.
    pub fn of(&self, address: &str) -> Arc<Peer> {
        let mut peers = self.0.lock();
        if let Some(p) = peers.get(address) {
            return p.clone();
        }
        if peers.len() >= limits::PEERS {
            // Addresses where nothing goes on; forgetting one costs a new connection at most.
            peers.retain(|_, p| Arc::strong_count(p) > 1);
        }
        let peer = Arc::new(Peer { address: address.to_owned(), lanes: Default::default() });
        peers.insert(address.to_owned(), peer.clone());
        peer
    }
}

/// Another node.
pub struct Peer {
    address: String,
    lanes: [Arc<tokio::sync::Mutex<Lane>>; LANES],
}

#[derive(Default)]
struct Lane {
    link: Option<Arc<Link>>,
    /// The last attempt, if it failed.
    failed: Option<(Instant, Failed)>,
}

impl Peer {
    /// The connection for a method; made if there is none. Who waits while somebody else's attempt fails shares that failure.
    async fn link(&self, shared: &Arc<Shared>, method: Method) -> Result<Arc<Link>> {
        let came = Instant::now();
        let mut lane = self.lanes[lane(method)].clone().lock_owned().await;
        if let Some(l) = lane.link.as_ref().filter(|l| !l.sender.is_closed()) {
            return Ok(l.clone());
        }
        if let Some((when, f)) = &lane.failed
            && (*when > came || (f.refused && when.elapsed() < limits::REFUSED_PAUSE))
        {
            return Err(f.error.clone());
        }
        let (shared, address) = (shared.clone(), self.address.clone());
        // Goes on when the call that began it is given up: the next one finds the connection.
        let dialing = tokio::spawn(async move {
            lane.link = None;
            match dial::dial(&shared, &address).await {
                Ok(link) => {
                    let link = Arc::new(link);
                    lane.link = Some(link.clone());
                    lane.failed = None;
                    Ok(link)
                }
                Err(f) => {
                    let e = f.error.clone();
                    lane.failed = Some((Instant::now(), f));
                    Err(e)
                }
            }
        });
        dialing.await.unwrap_or_else(|e| Err(Error::internal(e.to_string())))
    }

    /// Sends a call. What was certainly not sent, because the connection had just ended, goes over a new one.
    async fn send(&self, shared: &Arc<Shared>, method: Method, sealed: &Sealed) -> Result<Receiving> {
        let mut sent_before = false;
        loop {
            let link = self.link(shared, method).await?;
            let number = link.number();
            let hash = &sealed.hash;
            let mut request = Request::post(format!("http://{}{PATH}{}", self.address, method.name()))
                .body(Full::new(sealed.body.clone()))
                .map_err(|e| unreachable(&self.address, format!("it is no address: {e}")))?;
            dial::put(&mut request, header::CALL, &number.to_string())?;
            dial::put(&mut request, header::BODY, hash)?;
            dial::put(&mut request, header::PROOF, &link.session.call(number, method.name(), hash))?;
            match link.sender.clone().try_send_request(request).await {
                Ok(response) => {
                    shared.stats.call_bytes.add(&[method.name()], sealed.body.len() as u64);
                    return self.receiving(shared, link, number, response).await;
                }
                Err(mut e) => {
                    if sent_before || e.take_message().is_none() {
                        return Err(unreachable(&self.address, super::causes(e.error())));
                    }
                    sent_before = true;
                }
            }
        }
    }

    async fn receiving(&self, shared: &Arc<Shared>, link: Arc<Link>, number: u64, response: Response<Incoming>) -> Result<Receiving> {
        if response.status() != StatusCode::OK {
            return Err(dial::refused(shared, &self.address, response).await.error);
        }
        let address = self.address.clone();
        Ok(Receiving { address, body: response.into_body(), decoder: Decoder::default(), proof: Expected { link, number, place: 0 } })
    }
}

/// What the frames of an answer must prove.
struct Expected {
    link: Arc<Link>,
    number: u64,
    place: u64,
}

impl Expected {
    /// A message, or none at the end. Checks that the frame is the next one of this answer.
    fn check(&mut self, address: &str, frame: Frame) -> Result<Option<Bytes>> {
        if self.link.session.tag(self.number, self.place, frame.kind, &frame.payload) != frame.tag {
            return Err(unreachable(address, "its answer was altered on the way"));
        }
        self.place += 1;
        match frame.kind {
            FrameKind::Message => Ok(Some(frame.payload)),
            FrameKind::End => Ok(None),
            FrameKind::Error => Err(frame::error_of(&frame.payload)),
        }
    }
}

/// An answer as it arrives.
struct Receiving {
    address: String,
    body: Incoming,
    decoder: Decoder,
    proof: Expected,
}

impl Receiving {
    async fn frame(&mut self) -> Result<Frame> {
        loop {
            if let Some(f) = self.decoder.next(limits::MESSAGE_BYTES).map_err(|e| unreachable(&self.address, e))? {
                return Ok(f);
            }
            match self.body.frame().await {
                Some(Ok(piece)) => piece.into_data().into_iter().for_each(|d| self.decoder.push(&d)),
                Some(Err(e)) => return Err(unreachable(&self.address, format!("its answer broke off: {}", super::causes(&e)))),
                None => return Err(unreachable(&self.address, "its answer broke off")),
            }
        }
    }
}

/// Makes a call and gives what comes of it to `answer`.
pub async fn call(shared: Arc<Shared>, peer: Arc<Peer>, method: Method, sealed: Sealed, deadline: Duration, answer: Answer) {
    let result = timeout(deadline, exchange(&shared, &peer, method, &sealed)).await;
    let result = result.unwrap_or_else(|_| Err(late(&peer.address, deadline)));
    count(&shared, method, result.as_ref().err());
    answer.give(result);
}

async fn exchange(shared: &Arc<Shared>, peer: &Peer, method: Method, sealed: &Sealed) -> Result<Bytes> {
    let mut receiving = peer.send(shared, method, sealed).await?;
    let frame = receiving.frame().await?;
    let (mut proof, address) = (receiving.proof, &peer.address);
    let message = if frame.payload.len() < limits::CHECK_BYTES {
        proof.check(address, frame)?
    } else {
        let of = address.clone();
        let checked = tokio::task::spawn_blocking(move || proof.check(&of, frame).map(|m| (m, proof)));
        let (message, back) = checked.await.map_err(|e| Error::internal(e.to_string()))??;
        proof = back;
        message
    };
    let message = message.ok_or_else(|| unreachable(address, "its answer is empty"))?;
    receiving = Receiving { proof, ..receiving };
    let end = receiving.frame().await?;
    match receiving.proof.check(address, end)? {
        None => Ok(message),
        Some(_) => Err(unreachable(address, "it gave two answers to one call")),
    }
}

fn count(shared: &Shared, method: Method, e: Option<&Error>) {
    let outcome = match e.map(Error::kind) {
        None => "ok",
        Some(Kind::Unavailable) => "unavailable",
        Some(Kind::Timeout) => "timeout",
        Some(_) => "error",
    };
    shared.stats.calls.add(&[method.name(), outcome], 1);
}

/// What the task that receives hands to the one who reads.
enum Step {
    Begun(Expected),
    Frame(Frame),
    Failed(Error),
}

/// Asks for a stream; blocks until its first message, its end or its failure.
pub fn stream(shared: &Arc<Shared>, peer: Arc<Peer>, method: Method, sealed: Sealed, deadline: Duration) -> Result<Messages> {
    let (sender, steps) = mpsc::channel(limits::MESSAGES_AHEAD);
    let address = peer.address.clone();
    shared.handle.spawn({
        let shared = shared.clone();
        async move {
            let gone = sender.clone();
            let received = async {
                let result = receive(&shared, &peer, method, &sealed, deadline, &sender).await;
                count(&shared, method, result.as_ref().err());
                if let Err(e) = result {
                    // Nobody may be there to hear it.
                    let _ = sender.send(Step::Failed(e)).await;
                }
            };
            // The reader has gone: dropping what is received tells the other side to stop.
            tokio::select! {
                () = gone.closed() => {}
                () = received => {}
            }
        }
    });
    let mut reader = Reader { address, steps, proof: None, over: false };
    let first = reader.next().transpose()?;
    Ok(Box::new(first.map(Ok).into_iter().chain(reader)))
}

async fn receive(
    shared: &Arc<Shared>,
    peer: &Peer,
    method: Method,
    sealed: &Sealed,
    deadline: Duration,
    out: &mpsc::Sender<Step>,
) -> Result<()> {
    let too_late = || late(&peer.address, deadline);
    let began = async {
        let mut receiving = peer.send(shared, method, sealed).await?;
        let first = receiving.frame().await?;
        Ok((receiving, first))
    };
    let (receiving, mut frame) = timeout(deadline, began).await.unwrap_or_else(|_| Err(too_late()))?;
    let Receiving { address, body, decoder, proof } = receiving;
    let nobody = |_| Error::new(Kind::Canceled, "nobody reads the answer any more");
    out.send(Step::Begun(Expected { link: proof.link.clone(), ..proof })).await.map_err(nobody)?;
    let mut receiving = Receiving { address, body, decoder, proof };
    loop {
        let last = frame.kind != FrameKind::Message;
        // Here a slow reader is waited for, and the other side with it, as long as it takes.
        out.send(Step::Frame(frame)).await.map_err(nobody)?;
        if last {
            return Ok(());
        }
        frame = timeout(deadline, receiving.frame()).await.unwrap_or_else(|_| Err(too_late()))?;
    }
}

/// The end of a stream that is read. Proofs are computed here, by whoever reads, not on the runtime.
struct Reader {
    address: String,
    steps: mpsc::Receiver<Step>,
    proof: Option<Expected>,
    over: bool,
}

impl Iterator for Reader {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.over {
            let item = match (self.steps.blocking_recv(), &mut self.proof) {
                (Some(Step::Begun(proof)), _) => {
                    self.proof = Some(proof);
                    continue;
                }
                (Some(Step::Frame(frame)), Some(proof)) => proof.check(&self.address, frame).transpose(),
                (Some(Step::Failed(e)), _) => Some(Err(e)),
                (Some(Step::Frame(_)), None) | (None, _) => Some(Err(unreachable(&self.address, "this node is stopping"))),
            };
            self.over = !matches!(item, Some(Ok(_)));
            return item;
        }
        None
    }
}
