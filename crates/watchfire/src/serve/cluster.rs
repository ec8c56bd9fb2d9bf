//! The node's place in a cluster, from before its log is replayed until after its goodbye.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::{Pause, Runner};
use base::{Kind, Result};
use cluster::membership::Membership;
use cluster::transport::http::{self, Http, Listener};
use cluster::transport::{LateService, Transport};
use cluster::{Cluster, Degraded, Identity, NodeService, Timing};
use server::Node;
use table::Engine;

use super::ground::Ground;
use crate::settings::{self, Settings};

/// How often names of `cluster.join` are looked up again.
const NAMES_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether rows are on too few nodes.
const KEEP_EVERY: Duration = Duration::from_millis(500);
/// Header, tenant and options that travel with a body.
const HEADER_BYTES: usize = 1 << 20;
/// On SIGTERM everything is given to the object store within this, or the node ends without a goodbye: its rows are on its disk and
/// on other nodes, and the service manager does not wait for ever.
const LEAVE_WAIT: Duration = Duration::from_secs(60);
/// Pause before the object store is tried again by a node that was asked to leave.
const LEAVE_AGAIN: Duration = Duration::from_secs(2);

/// A node that others can talk to, and that says hello to them.
pub struct Joined {
    http: Arc<Http>,
    transport: Arc<dyn Transport>,
    listener: Listener,
    service: Arc<NodeService>,
    membership: Arc<Membership>,
    address: String,
    runners: Vec<Runner>,
}

/// Joins the cluster that the settings name, as a node that is not whole yet. None when they name none. An error of kind `Invalid` is a
/// wrong setting, or a data directory of another cluster.
pub fn join(settings: &Settings, node: &Node, ground: &Ground) -> Result<Option<Joined>> {
    let dir = std::path::absolute(&settings.data_dir)?;
    let Some(c) = &settings.cluster else { return Identity::none(&*ground.fs, &dir).map(|()| None) };
    let identity = Identity::open(&*ground.fs, &dir, &c.name)?;
    let body_bytes = settings.server.body_bytes + HEADER_BYTES;
    let http = Arc::new(Http::start(http::Settings {
        cluster: c.name.clone(),
        secret: c.secret.clone(),
        tls: c.tls.clone(),
        body_bytes,
        body_memory_bytes: settings.server.body_memory_bytes.max(body_bytes),
    })?);
    let late = LateService::default();
    let listener = http.listen(&c.listen, late.clone())?;
    let address = c.advertise.clone().unwrap_or_else(|| listener.address().to_string());
    let transport = ground.transport(http.clone());
    let membership = open_membership(c, &address, &identity, &dir, ground, transport.clone())?;
    let service = NodeService::new(membership.clone());
    // Set once, here.
    let _ = late.set(service.clone());
    node.join(membership.clone());
    node.add_figures(Box::new({
        let http = http.clone();
        move |out| http.write_stats(out)
    }));
    tracing::info!(cluster = c.name, node = %identity.node, address, listening = %listener.address(), "joining");
    let mut joined = Joined { http, transport, listener, service, membership, address, runners: vec![] };
    joined.start(c.join.clone())?;
    Ok(Some(joined))
}

fn open_membership(
    c: &settings::Cluster,
    address: &str,
    identity: &Identity,
    dir: &Path,
    ground: &Ground,
    transport: Arc<dyn Transport>,
) -> Result<Arc<Membership>> {
    let settings = cluster::Settings {
        name: c.name.clone(),
        address: address.to_owned(),
        zone: c.zone.clone(),
        replication: c.replication,
        degraded: if c.refuse_degraded { Degraded::Refuse } else { Degraded::Accept },
        seeds: c.join.clone(),
        timing: Timing::default(),
    };
    Membership::open(settings, identity.node, ground.fs.clone(), dir, ground.clock.clone(), transport)
}

impl Joined {
    fn start(&mut self, join: Vec<String>) -> Result<()> {
        let membership = self.membership.clone();
        self.runners.push(Runner::start("hello", move || {
            membership.round();
            Pause::Beat(membership.settings().timing.hello_every)
        })?);
        // An address is what it is; a name may have others tomorrow.
        if join.iter().any(|a| a.parse::<std::net::SocketAddr>().is_err()) {
            let (http, membership) = (self.http.clone(), self.membership.clone());
            self.runners.push(Runner::start("names", move || {
                let known: Vec<String> = membership.others().into_iter().map(|p| p.address).collect();
                // Those that a member calls itself by are said hello to already.
                let unknown: Vec<String> = join.iter().filter(|n| !known.contains(n)).cloned().collect();
                membership.set_seeds(http.resolve(&unknown));
                Pause::Rest(NAMES_EVERY)
            })?);
        }
        Ok(())
    }

    /// Its name, in the cluster and in the store.
    pub fn name(&self) -> String {
        self.membership.id().to_string()
    }

    /// Where others reach it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The log is replayed: the node is whole once [`Joined::activate`] is called.
    pub fn open(&mut self, engine: Arc<Engine>, node: &Node) -> Result<Arc<Cluster>> {
        let cluster = Cluster::new(engine, self.membership.clone(), self.transport.clone());
        self.service.open(cluster.clone());
        node.add_figures(Box::new({
            let cluster = cluster.clone();
            move |out| cluster.write_stats(out)
        }));
        let kept = cluster.clone();
        self.runners.push(Runner::start("keep", move || match kept.keep() {
            Ok(true) => Pause::Rest(kept.membership().settings().timing.upload_every),
            Ok(false) => Pause::Rest(KEEP_EVERY),
            Err(e) => {
                tracing::warn!(error = %e, "rows that too few nodes hold cannot be given to the object store, trying again");
                Pause::Rest(kept.membership().settings().timing.upload_every)
            }
        })?);
        Ok(cluster)
    }

    /// Says goodbye for good, or stops to talk.
    pub fn close(self) -> Result<()> {
        for r in self.runners {
            r.stop()?;
        }
        self.listener.stop();
        Ok(())
    }
}

/// Gives everything to the object store and says goodbye. A node that was `asked` to leave tries for as long as it takes; one that
/// was told to stop tries for a while.
pub async fn leave(cluster: Arc<Cluster>, asked: bool) {
    let leaving = tokio::task::spawn_blocking(move || {
        loop {
            match cluster.leave(asked) {
                Ok(()) => return tracing::info!("left the cluster: everything is in the object store"),
                Err(e) if asked || e.kind() == Kind::Unavailable => {
                    tracing::warn!(error = %e, "cannot give everything to the object store, trying again");
                    std::thread::sleep(LEAVE_AGAIN);
                }
                Err(e) => return tracing::error!(error = %e, "cannot leave the cluster"),
            }
        }
    });
    if asked {
        // Ends when it is done; a panic in it is in the log.
        let _ = leaving.await;
    } else if tokio::time::timeout(LEAVE_WAIT, leaving).await.is_err() {
        tracing::error!(
            seconds = LEAVE_WAIT.as_secs(),
            "stopping without a goodbye: rows of this node that are not in the object store are on its disk and on other nodes"
        );
    }
}
