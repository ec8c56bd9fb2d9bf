//! A node of a cluster: what it does when it is called, and what it does by itself.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use base::stats::Exposition;
use base::{Clock, Error, Result};
use bytes::Bytes;
use serde::Serialize;
use table::{Admission, Cancel, Engine, FrameHeader, Ingested};

use crate::limits;
use crate::membership::{MemberStatus, Membership, State};
use crate::read::{self, Answering, ClusterRows};
use crate::replicate::{self, Counters, Replicator};
use crate::stats;
use crate::transport::{Method, NodeId, Service, Transport};

/// One node, once its engine is open.
pub struct Cluster {
    engine: Arc<Engine>,
    membership: Arc<Membership>,
    transport: Arc<dyn Transport>,
    clock: Clock,
    counters: Counters,
    rows: ClusterRows,
    answering: Answering,
    reads: Arc<read::stats::Counters>,
}

/// The cluster, for people.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterStatus {
    /// Its name.
    pub cluster: String,
    /// Nodes that hold a row before it is acknowledged.
    pub replication: usize,
    /// Members; the node that was asked comes first.
    pub members: Vec<MemberStatus>,
    /// Why an answer may miss something now, or nothing if it is whole.
    pub incomplete: Option<String>,
    /// The last node that was turned away, or turned this one away, and why.
    pub refusal: Option<String>,
    /// Requests acknowledged since the start while fewer nodes than promised held them.
    pub degraded_requests: u64,
    /// Bytes of them, as received.
    pub degraded_bytes: u64,
}

impl ClusterStatus {
    /// As a node sees it that has not taken anything yet.
    pub fn of(membership: &Membership) -> Self {
        let settings = membership.settings();
        ClusterStatus {
            cluster: settings.name.clone(),
            replication: settings.replication,
            incomplete: membership.judge(&membership.silent()),
            members: membership.status(),
            refusal: membership.refusal(),
            degraded_requests: 0,
            degraded_bytes: 0,
        }
    }
}

impl Cluster {
    /// A node whose engine has replayed its log. It stays `joining` until [`Cluster::activate`].
    pub fn new(engine: Arc<Engine>, membership: Arc<Membership>, transport: Arc<dyn Transport>) -> Arc<Self> {
        let clock = engine.clock().clone();
        let owner = membership.clone();
        engine.set_owner(Arc::new(move |table, tenant, day| owner.owns(base::hash::hash64(format!("{table}/{tenant}/{day}").as_bytes()))));
        let reads = Arc::new(read::stats::Counters::default());
        let rows = ClusterRows::new(engine.clone(), membership.clone(), transport.clone(), reads.clone());
        let answering = Answering::new(membership.id(), engine.clone(), reads.clone(), limits::READS_COMPUTING);
        Arc::new(Cluster { engine, membership, transport, clock, counters: Counters::default(), rows, answering, reads })
    }

    /// The rows of all members and of the object store, as one set.
    pub fn rows(&self) -> &ClusterRows {
        &self.rows
    }

    /// From now on it takes rows and counts as whole.
    pub fn activate(&self) {
        self.membership.set_state(State::Active);
    }

    /// The members.
    pub fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// How it reaches the others.
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    fn replicator(&self) -> Replicator<'_> {
        Replicator {
            engine: &self.engine,
            membership: &self.membership,
            transport: &*self.transport,
            clock: &self.clock,
            counters: &self.counters,
        }
    }

    /// Stores a received body on as many nodes as promised; see [`Engine::ingest`].
    pub fn write(&self, header: FrameHeader, body: Bytes, admission: Option<&dyn Admission>) -> Result<Ingested> {
        self.replicator().write(header, body, admission)
    }

    /// One step of looking after rows that may be on too few nodes: gives them to the object store when this node holds some alone, or when
    /// a member has fallen silent, and forgets members of which nothing can be missing any more. Returns whether there is more
    /// to do soon.
    pub fn keep(&self) -> Result<bool> {
        let alone = self.membership.alone_since_ns().is_some();
        let lost = self.membership.to_cover();
        if alone || !lost.is_empty() {
            let writes = *self.counters.alone_writes.lock();
            self.engine.flush()?;
            self.membership.covered(&lost);
            // The next row would be alone again, and each new mark waits for those that do not answer.
            if self.membership.can_replicate() {
                self.replicator().clear_alone(writes)?;
            }
        }
        for gone in self.membership.forget_covered() {
            tracing::info!(node = %gone.life.id, address = %gone.address, "forgotten: everything it had is elsewhere");
        }
        Ok(self.membership.alone_since_ns().is_some())
    }

    /// Takes no more rows, gives everything to the object store, and says goodbye, `for_good` if it will not come back. After it the node is
    /// no member.
    pub fn leave(&self, for_good: bool) -> Result<()> {
        self.membership.set_state(State::Leaving);
        self.membership.round();
        self.engine.flush()?;
        self.membership.clear_alone()?;
        self.membership.set_state(if for_good { State::Ended } else { State::Left });
        self.membership.round();
        Ok(())
    }

    /// For people.
    pub fn status(&self) -> ClusterStatus {
        ClusterStatus {
            degraded_requests: self.counters.degraded.load(Ordering::Relaxed),
            degraded_bytes: self.counters.degraded_bytes.load(Ordering::Relaxed),
            ..ClusterStatus::of(&self.membership)
        }
    }

    /// An operator's word that a node will never come back. An error of kind `NotFound` if it is no member.
    pub fn forget(&self, id: NodeId) -> Result<()> {
        let none = || Error::new(base::Kind::NotFound, format!("{id} is not a member of this cluster"));
        self.membership.forget(id).map(|_| ()).ok_or_else(none)
    }

    /// Figures.
    pub fn write_stats(&self, out: &mut Exposition) {
        stats::write(&self.membership, &self.counters, out);
        self.reads.write(out);
    }
}

/// What a node answers when it is called: hellos from the first moment, the rest once its engine is open.
pub struct NodeService {
    membership: Arc<Membership>,
    cluster: OnceLock<Arc<Cluster>>,
}

impl NodeService {
    /// A node that is still joining.
    pub fn new(membership: Arc<Membership>) -> Arc<Self> {
        Arc::new(NodeService { membership, cluster: OnceLock::new() })
    }

    /// The engine is open.
    pub fn open(&self, cluster: Arc<Cluster>) {
        // Once, by the one who starts the node; a second cluster would be a bug and is ignored.
        let _ = self.cluster.set(cluster);
    }

    fn whole(&self) -> Result<&Arc<Cluster>> {
        let joining = || Error::unavailable("this node is joining the cluster and is not whole yet");
        self.cluster.get().filter(|_| self.membership.state() != State::Joining).ok_or_else(joining)
    }
}

impl Service for NodeService {
    fn call(&self, method: Method, body: Bytes) -> Result<Bytes> {
        match method {
            Method::Hello => self.membership.answer(&body),
            Method::Append => {
                let cluster = self.whole()?;
                if self.membership.state() != State::Active {
                    return Err(Error::unavailable("this node is leaving the cluster"));
                }
                self.membership.introduce()?;
                cluster.engine.ingest_copy(&body).map(replicate::kept)
            }
            Method::Alone => self.whole()?.replicator().mark_alone().map(|()| Bytes::new()),
            Method::Series => self.whole()?.answering.series(&body),
            Method::Scan => Err(Error::invalid("a scan is answered by a stream")),
        }
    }

    fn stream(&self, method: Method, body: Bytes, cancel: &Cancel, send: &mut dyn FnMut(Bytes) -> Result<()>) -> Result<()> {
        match method {
            Method::Scan => self.whole()?.answering.scan(&body, cancel, send),
            _ => Err(Error::invalid(format!("{} is not answered by a stream", method.name()))),
        }
    }
}
