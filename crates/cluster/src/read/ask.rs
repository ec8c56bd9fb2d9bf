//! The asking side: the rows of all members and of the object store as one set.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow_array::RecordBatch;
use base::{Error, Kind, Labels, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use table::sorted::wanted_whole;
use table::{Commits, Engine, Lack, RowStream, Rows, ScanRequest};

use super::incoming::Incoming;
use super::message::{decode_listing, open};
use super::request;
use super::stats::Counters;
use super::verdict::{Verdict, name};
use crate::limits;
use crate::membership::{Condition, Membership, Peer};
use crate::transport::{Answers, Method, NodeId, Transport, is_unreachable};

/// The rows of a cluster, asked through one of its nodes.
pub struct ClusterRows {
    engine: Arc<Engine>,
    membership: Arc<Membership>,
    transport: Arc<dyn Transport>,
    counters: Arc<Counters>,
    /// Up to which version this node knows the blocks that each member committed.
    known: Mutex<HashMap<NodeId, u64>>,
    /// Up to which departure of a member the list of blocks was read.
    listed: Mutex<u64>,
    /// When the object store did not answer, by the time that passes.
    failed_ns: Mutex<Option<i64>>,
}

impl ClusterRows {
    /// Of the cluster that `membership` knows.
    pub fn new(engine: Arc<Engine>, membership: Arc<Membership>, transport: Arc<dyn Transport>, counters: Arc<Counters>) -> Self {
        ClusterRows {
            engine,
            membership,
            transport,
            counters,
            known: Mutex::default(),
            listed: Mutex::default(),
            failed_ns: Mutex::default(),
        }
    }

    /// The members that are asked; the verdict takes down the others.
    fn present(&self, peers: Vec<Peer>, verdict: &Verdict) -> Vec<Peer> {
        let (present, absent): (Vec<Peer>, Vec<Peer>) = peers.into_iter().partition(is_asked);
        // One that is empty now may have taken rows when the answer ends; they were not there when the question came.
        for p in absent.iter().filter(|p| !p.empty) {
            verdict.absent(p, if p.condition == Condition::Joining { "it is joining and not whole yet" } else { "it does not answer" });
        }
        verdict.judge();
        present
    }

    /// A member that is gone names no more blocks: the list of them is read once after that.
    fn list_after_departures(&self, verdict: &Verdict) {
        let mut listed = self.listed.lock();
        let departures = self.membership.departures();
        if *listed == departures {
            return;
        }
        match self.paced(|| self.engine.refresh(table::Refresh::All)) {
            Ok(()) => *listed = departures,
            Err(e) => verdict.note(Lack {
                whose: "blocks of a node that is gone".into(),
                why: format!("they cannot be looked up: {}", e.message()),
                since_ns: None,
            }),
        }
    }

    /// A store that fails at once is asked again at once. One that lets us wait and then does not answer is not asked by every query: they
    /// would wait one after the other.
    fn paced(&self, ask: impl Fn() -> Result<()>) -> Result<()> {
        let now = || self.engine.clock().elapsed_ns();
        let began = now();
        if self.failed_ns.lock().is_some_and(|t| began.saturating_sub(t) < limits::STORE_PAUSE_NS) {
            return Err(Error::unavailable("the object store did not answer a moment ago"));
        }
        let late = || now().saturating_sub(began) > limits::STORE_SLOW_NS;
        let mut result = ask();
        for _ in 1..limits::STORE_TRIES {
            if !result.as_ref().is_err_and(|e| e.kind() == Kind::Unavailable) || late() {
                break;
            }
            result = ask();
        }
        *self.failed_ns.lock() = (result.is_err() && late()).then(now);
        result
    }

    fn known(&self, id: NodeId) -> u64 {
        self.known.lock().get(&id).copied().unwrap_or(0)
    }

    /// Learns what a member committed. If that fails, the answer may lack what has moved into these blocks.
    fn learn(&self, peer: &Peer, commits: &Commits, verdict: &Verdict) {
        let learnt = match commits.reset || !commits.blocks.is_empty() {
            true => self.paced(|| self.engine.learn_commits(commits)),
            false => Ok(()),
        };
        match learnt {
            Ok(()) => drop(self.known.lock().insert(peer.id, commits.version)),
            Err(e) => verdict.note(Lack {
                whose: format!("blocks of {}", name(peer)),
                why: format!("they cannot be looked up: {}", e.message()),
                since_ns: None,
            }),
        }
    }

    fn open(&self, peer: &Peer, whole: &ScanRequest) -> Result<Incoming> {
        self.counters.asked.fetch_add(1, Ordering::Relaxed);
        let body = Bytes::from(request::encode(whole, peer.id, self.known(peer.id)));
        let messages = self.transport.stream(&peer.address, Method::Scan, body, self.membership.settings().timing.scan_deadline)?;
        Incoming::begin(whole, messages, self.counters.received.clone())
    }

    /// Asks all of them at once; returns when each has announced its series or failed.
    fn open_all(&self, peers: &[Peer], whole: &ScanRequest) -> Vec<Result<Incoming>> {
        let Some((last, others)) = peers.split_last() else { return vec![] };
        std::thread::scope(|s| {
            let started: Vec<_> = others
                .iter()
                .map(|p| std::thread::Builder::new().name("cluster-ask".into()).spawn_scoped(s, move || self.open(p, whole)))
                .collect();
            let last = self.open(last, whole);
            let panicked = |_| Err(Error::internal("asking another node panicked"));
            let join = |handle: std::io::Result<std::thread::ScopedJoinHandle<'_, Result<Incoming>>>| match handle {
                Ok(h) => h.join().unwrap_or_else(panicked),
                Err(e) => Err(e.into()),
            };
            started.into_iter().map(join).chain([last]).collect()
        })
    }

    /// A connection that broke while nobody looked says nothing of the node behind it: who answers a hello is asked once more.
    fn open_twice(&self, peers: &[Peer], whole: &ScanRequest) -> Vec<Result<Incoming>> {
        let mut opened = self.open_all(peers, whole);
        let broken = |r: &Result<Incoming>| matches!(r, Err(e) if e.kind() == Kind::Unavailable && is_unreachable(e));
        if whole.cancel.check().is_err() || !opened.iter().any(broken) {
            return opened;
        }
        self.membership.look_again();
        let here = self.membership.others();
        for (peer, result) in peers.iter().zip(&mut opened).filter(|(_, r)| broken(r)) {
            if here.iter().any(|p| p.id == peer.id && is_asked(p)) {
                *result = self.open(peer, whole);
            }
        }
        opened
    }

    fn listing(&self, answer: Result<Bytes>) -> Result<(Commits, Vec<Labels>)> {
        let bytes = answer?;
        self.counters.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        decode_listing(&open(bytes)?)
    }
}

impl Rows for ClusterRows {
    fn scan(&self, q: &ScanRequest) -> Result<RowStream> {
        self.membership.look_around();
        let peers = self.membership.others();
        let verdict = Verdict::new(&self.membership, &self.counters, &q.missing);
        if peers.is_empty() {
            self.list_after_departures(&verdict);
            return self.engine.scan(q);
        }
        let peers = self.present(peers, &verdict);
        let whole = wanted_whole(q);
        let mut streams = vec![];
        for (peer, opened) in peers.iter().zip(self.open_twice(&peers, &whole)) {
            match opened {
                Ok(incoming) => {
                    self.learn(peer, &incoming.commits, &verdict);
                    let series = incoming.series.clone();
                    let rows = PeerRows { peer: peer.clone(), incoming: Some(incoming), verdict: verdict.clone() };
                    streams.push(RowStream { series, batches: Box::new(rows) });
                }
                // Whoever asked is gone, and nobody is to blame.
                Err(e) if q.cancel.check().is_err() => return Err(e),
                Err(e) => verdict.failed(peer, &e),
            }
        }
        // Only now the look at our own rows and at the blocks: what has left a member's memory since it answered is in a block
        // that is known here.
        self.list_after_departures(&verdict);
        let all = self.engine.scan_with(q, streams)?;
        Ok(RowStream { series: all.series, batches: Box::new(Judged { batches: all.batches, verdict }) })
    }

    fn series(&self, q: &ScanRequest) -> Result<Vec<Labels>> {
        self.membership.look_around();
        let peers = self.membership.others();
        let verdict = Verdict::new(&self.membership, &self.counters, &q.missing);
        if peers.is_empty() {
            self.list_after_departures(&verdict);
            return self.engine.series(q);
        }
        let asked = ScanRequest { predicate: None, ..q.clone() };
        let answers = Answers::default();
        let mut pending: HashMap<NodeId, Peer> = HashMap::new();
        for p in self.present(peers, &verdict) {
            self.counters.asked.fetch_add(1, Ordering::Relaxed);
            let body = request::encode(&asked, p.id, self.known(p.id)).into();
            self.transport.call(&p.address, Method::Series, body, limits::SERIES_DEADLINE, answers.of(p.id));
            pending.insert(p.id, p);
        }
        let mut all = vec![];
        while !pending.is_empty() {
            q.cancel.check()?;
            let Some((id, answer)) = answers.next(LOOK_EVERY) else {
                self.give_up_silent(&mut pending, &verdict);
                continue;
            };
            let Some(peer) = pending.remove(&id) else { continue };
            match self.listing(answer) {
                Ok((commits, series)) => {
                    self.learn(&peer, &commits, &verdict);
                    all.extend(series);
                }
                Err(e) => verdict.failed(&peer, &e),
            }
        }
        self.list_after_departures(&verdict);
        all.extend(self.engine.series(q)?);
        all.sort_unstable();
        all.dedup();
        verdict.judge();
        Ok(all)
    }
}

/// Whether a member gives rows.
fn is_asked(p: &Peer) -> bool {
    matches!(p.condition, Condition::Active | Condition::Leaving)
}

/// While answers are waited for, the membership is asked this often whether whoever owes them is still there.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl ClusterRows {
    /// Members that have fallen silent meanwhile are not waited for.
    fn give_up_silent(&self, pending: &mut HashMap<NodeId, Peer>, verdict: &Verdict) {
        let here: Vec<NodeId> = self.membership.others().iter().filter(|p| p.condition != Condition::Silent).map(|p| p.id).collect();
        pending.retain(|id, peer| {
            let still = here.contains(id);
            if !still {
                verdict.failed(peer, &Error::new(Kind::Timeout, "it has fallen silent"));
            }
            still
        });
    }
}

/// The rows of one member. If they stop before their end, the answer goes on without them.
struct PeerRows {
    peer: Peer,
    incoming: Option<Incoming>,
    verdict: Arc<Verdict>,
}

impl Iterator for PeerRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let incoming = self.incoming.as_mut()?;
        match incoming.next() {
            Ok(Some(batch)) => return Some(Ok(batch)),
            Ok(None) => self.verdict.lacks(&self.peer, std::mem::take(&mut incoming.lacks)),
            // Whoever asked is gone.
            Err(e) if incoming.is_canceled() => return Some(Err(e)),
            Err(e) => self.verdict.failed(&self.peer, &e),
        }
        self.incoming = None;
        None
    }
}

/// All rows; when no more of them are wanted, it is said what may be missing.
struct Judged {
    batches: Box<dyn Iterator<Item = Result<RecordBatch>> + Send>,
    verdict: Arc<Verdict>,
}

impl Iterator for Judged {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.next()
    }
}

impl Drop for Judged {
    fn drop(&mut self) {
        self.verdict.judge();
    }
}
