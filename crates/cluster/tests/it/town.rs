//! A few nodes in one process, with disks and links that can fail.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Result};
use cluster::membership::{Membership, State};
use cluster::transport::local::Net;
use cluster::transport::{NodeId, Transport};
use cluster::{Cluster, Degraded, NodeService, Settings, Timing};
use disk::SimFs;
use store::{Faulty, FsStore, Store};
use table::{Engine, EngineOptions, Ingested, Missing, RowStream, Rows, ScanRequest};

use crate::toy;

/// A node's disk and, while it runs, the node.
pub struct Node {
    pub id: NodeId,
    pub address: String,
    pub fs: SimFs,
    pub running: Option<Running>,
}

/// A node that runs.
pub struct Running {
    pub cluster: Arc<Cluster>,
    pub membership: Arc<Membership>,
}

/// Nodes, wires, an object store, and a clock.
pub struct Town {
    pub net: Net,
    pub clock: Clock,
    pub nodes: Vec<Node>,
    pub degraded: Degraded,
    /// The object store, and how it fails.
    pub weather: Arc<Faulty>,
    /// The same store without its faults, for those who look on.
    pub shelf: Arc<FsStore>,
    /// What becomes of a node's end of the wires.
    pub wires: Option<Wires>,
    /// Nodes of a release that does not take events.
    pub without_events: BTreeSet<usize>,
    next_id: u64,
}

/// Makes of a node's number and its end of the wires what it talks through.
pub type Wires = Box<dyn Fn(usize, Arc<dyn Transport>) -> Arc<dyn Transport>>;

/// How long superseded blocks stay in the store: longer than any scan of a town.
pub const DELETE_DELAY: Duration = Duration::from_secs(3);
pub const BEGAN_NS: i64 = 1_700_200_000_000_000_000;

impl Town {
    /// Nodes that have never run.
    pub fn new(seed: u64, nodes: usize) -> Self {
        let shelf = Arc::new(FsStore::new(Arc::new(SimFs::seeded(seed)), "/store", "town"));
        let mut town = Town {
            net: Net::default(),
            clock: Clock::manual(BEGAN_NS),
            nodes: vec![],
            degraded: Degraded::Accept,
            weather: Arc::new(Faulty::new(shelf.clone(), seed)),
            shelf,
            wires: None,
            without_events: BTreeSet::new(),
            next_id: 1,
        };
        for n in 0..nodes {
            town.add(seed * 10 + n as u64);
        }
        town
    }

    /// Nodes that run and know each other.
    pub fn running(seed: u64, nodes: usize) -> Self {
        let mut town = Town::new(seed, nodes);
        town.start_all();
        town
    }

    /// Starts all nodes and lets them meet.
    pub fn start_all(&mut self) {
        for n in 0..self.nodes.len() {
            self.start(n).unwrap();
        }
        self.rounds(3, &BTreeSet::new());
    }

    /// One more node with an empty disk.
    pub fn add(&mut self, seed: u64) -> usize {
        let n = self.nodes.len();
        self.nodes.push(Node { id: NodeId(self.next_id), address: format!("node-{n}"), fs: SimFs::seeded(seed), running: None });
        self.next_id += 1;
        n
    }

    /// A new disk in the place of a node's old one: another node at the same address.
    pub fn wipe(&mut self, n: usize, seed: u64) {
        self.stop(n);
        self.nodes[n].id = NodeId(self.next_id);
        self.nodes[n].fs = SimFs::seeded(seed);
        self.next_id += 1;
    }

    fn settings(&self, n: usize) -> Settings {
        Settings {
            name: "town".into(),
            address: self.nodes[n].address.clone(),
            zone: String::new(),
            replication: 2,
            degraded: self.degraded,
            seeds: self.nodes.iter().map(|n| n.address.clone()).collect(),
            timing: Timing::default(),
        }
    }

    /// Starts a node on its disk, as far as the disk lets it.
    pub fn start(&mut self, n: usize) -> Result<()> {
        // No two lives of a node begin in the same nanosecond: that is what tells them apart.
        self.clock.advance_ns(1);
        let node = &self.nodes[n];
        let mut transport: Arc<dyn Transport> = self.net.end(&node.address);
        if let Some(wires) = &self.wires {
            transport = wires(n, transport);
        }
        let fs = Arc::new(node.fs.clone());
        disk::Fs::create_dir_all(&*fs, Path::new("/data"))?;
        let membership = Membership::open(self.settings(n), node.id, fs, Path::new("/data"), self.clock.clone(), transport.clone())?;
        let service = NodeService::new(membership.clone());
        self.net.join(&node.address, service.clone());
        let engine = self.engine(n).inspect_err(|_| self.net.leave(&node.address))?;
        let cluster = Cluster::new(engine, membership.clone(), transport);
        service.open(cluster.clone());
        membership.round();
        cluster.activate();
        membership.round();
        self.nodes[n].running = Some(Running { cluster, membership });
        Ok(())
    }

    fn engine(&self, n: usize) -> Result<Arc<Engine>> {
        let node = &self.nodes[n];
        Engine::open(EngineOptions {
            fs: Arc::new(node.fs.clone()),
            dir: Path::new("/data").into(),
            store: Some(self.weather.clone()),
            node: node.id.to_string(),
            clock: self.clock.clone(),
            tables: vec![&toy::NOTES, &toy::EVENTS],
            codecs: vec![if self.without_events.contains(&n) { Arc::new(toy::NotesOnly) } else { Arc::new(toy::Lines) }],
            settings: table::Settings { shared_store: true, delete_delay: DELETE_DELAY, ..toy::settings() },
        })
    }

    /// A node's process ends at once.
    pub fn stop(&mut self, n: usize) {
        self.net.leave(&self.nodes[n].address);
        self.nodes[n].running = None;
    }

    /// The running node `n`.
    pub fn at(&self, n: usize) -> &Running {
        self.nodes[n].running.as_ref().expect("the node runs")
    }

    /// Rounds of hellos of all running nodes but those that hang.
    pub fn rounds(&self, rounds: usize, hung: &BTreeSet<usize>) {
        for _ in 0..rounds {
            self.clock.advance_ns(Timing::default().hello_every.as_nanos() as i64);
            self.awake(hung).for_each(|r| r.membership.round());
        }
    }

    /// Time passes, with all that nodes do by themselves.
    pub fn pass(&self, time: Duration, hung: &BTreeSet<usize>) {
        let rounds = time.as_nanos() / Timing::default().hello_every.as_nanos();
        for _ in 0..rounds {
            self.rounds(1, hung);
            for r in self.awake(hung) {
                // A node whose disk is dead, or a store that is down, keeps it from that; the tests see it elsewhere.
                let _ = r.cluster.keep();
            }
        }
    }

    fn awake<'a>(&'a self, hung: &'a BTreeSet<usize>) -> impl Iterator<Item = &'a Running> {
        self.nodes.iter().enumerate().filter(|(n, _)| !hung.contains(n)).filter_map(|(_, n)| n.running.as_ref())
    }

    /// Everything a tenant can read through node `n`, and what the answer says it may lack.
    pub fn ask(&self, n: usize, tenant: &str) -> Result<(toy::Set, Vec<String>)> {
        let missing = Missing::default();
        let set = toy::read(&Noting { rows: self.at(n).cluster.rows(), missing: missing.clone() }, tenant, vec![])?;
        Ok((set, missing.notes().iter().map(ToString::to_string).collect()))
    }

    /// A client's push to node `n`.
    pub fn push(&self, n: usize, tenant: &str, body: &str) -> Result<Ingested> {
        self.at(n).cluster.write(toy::header(tenant, &self.clock, None), body.to_owned().into(), None)
    }

    /// Keys of the metas of all blocks in the store.
    pub fn meta_keys(&self) -> Vec<String> {
        self.shelf.list("blocks/").unwrap().into_iter().map(|o| o.key).filter(|k| k.ends_with("meta.json")).collect()
    }

    /// What one node's own engine holds.
    pub fn held(&self, n: usize, tenant: &str) -> toy::Set {
        toy::read(&**self.at(n).cluster.engine(), tenant, vec![]).unwrap()
    }

    /// What node `n` says an answer without these nodes may miss.
    pub fn judge(&self, n: usize, silent: &[usize]) -> Option<String> {
        let ids: Vec<NodeId> = silent.iter().map(|s| self.nodes[*s].id).collect();
        self.at(n).membership.judge(&ids)
    }

    /// Whether node `n` is a member that takes rows.
    pub fn is_active(&self, n: usize) -> bool {
        self.nodes[n].running.as_ref().is_some_and(|r| r.membership.state() == State::Active)
    }
}

/// Asks with one list of what is missing.
struct Noting<'a> {
    rows: &'a dyn Rows,
    missing: Missing,
}

impl Rows for Noting<'_> {
    fn scan(&self, request: &ScanRequest) -> Result<RowStream> {
        self.rows.scan(&ScanRequest { missing: self.missing.clone(), ..request.clone() })
    }
    fn series(&self, request: &ScanRequest) -> Result<Vec<base::Labels>> {
        self.rows.series(&ScanRequest { missing: self.missing.clone(), ..request.clone() })
    }
}
