//! The nodes of a drill: processes of this same binary, on ports of 127.0.0.1, each with its own data directory.
#![allow(clippy::disallowed_methods)] // a fleet's directory is the drill's own: no store is open on it when it is made or removed

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::control;
use super::limits::LAST_WORDS;
use super::script::{Place, name};
use crate::serve::drill::{Faults, StoreFaults};

/// How a node stands, as the drill made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Running, or started.
    Up,
    /// Stopped by SIGSTOP.
    Frozen,
    /// Its process has ended.
    Down,
    /// Said goodbye; it does not come back.
    Gone,
}

/// One node.
pub struct Node {
    dir: PathBuf,
    port: u16,
    /// For other nodes.
    cluster_port: u16,
    drill_port: u16,
    clock_off_seconds: i64,
    child: Option<Child>,
    life: Life,
    /// Faults that it has been told of, told again after a start: but for the object store's, which a restart heals.
    faults: Faults,
}

/// Some nodes of one cluster.
pub struct Fleet {
    nodes: Vec<Node>,
    dir: PathBuf,
    store: String,
    cluster: String,
    keep: bool,
}

/// What a fleet is made of.
pub struct Plan<'a> {
    /// Nodes at the start.
    pub nodes: usize,
    /// Nodes that may join later.
    pub reserve: usize,
    /// Where everything lies.
    pub dir: PathBuf,
    /// The object store's URL; none: a directory below `dir`.
    pub store: Option<&'a str>,
    /// See [`super::script::Drill::clock_off`].
    pub clock_off: Option<(Place, i64)>,
    /// Keep the directory.
    pub keep: bool,
}

impl Fleet {
    /// Prepares directories and ports; starts nothing.
    pub fn new(plan: &Plan<'_>) -> Result<Fleet> {
        let dir = std::path::absolute(&plan.dir)?;
        ensure!(!dir.exists(), "{} exists: remove it, or name another one with --dir", dir.display());
        fs::create_dir_all(dir.join("store")).with_context(|| dir.display().to_string())?;
        let store = plan.store.map_or_else(|| format!("file://{}", dir.join("store").display()), str::to_owned);
        let ports = free_ports(3 * (plan.nodes + plan.reserve))?;
        let mut nodes = Vec::new();
        for (place, ports) in ports.chunks_exact(3).enumerate() {
            let node_dir = dir.join(name(place).to_string());
            fs::create_dir_all(&node_dir)?;
            nodes.push(Node {
                dir: node_dir,
                port: ports[0],
                cluster_port: ports[1],
                drill_port: ports[2],
                clock_off_seconds: plan.clock_off.map_or(0, |(p, s)| if p == place { s } else { 0 }),
                child: None,
                life: if place < plan.nodes { Life::Down } else { Life::Gone },
                faults: Faults::default(),
            });
        }
        let cluster = format!("drill-{}", std::process::id());
        let fleet = Fleet { nodes, dir, store, cluster, keep: plan.keep };
        (0..fleet.nodes.len()).try_for_each(|p| fleet.write_settings(p))?;
        Ok(fleet)
    }

    /// How many nodes it has, those in reserve included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Nodes that are up, by place.
    pub fn up(&self) -> Vec<Place> {
        (0..self.nodes.len()).filter(|p| self.nodes[*p].life == Life::Up).collect()
    }

    /// Nodes that are down and come back, by place.
    pub fn down(&self) -> Vec<Place> {
        (0..self.nodes.len()).filter(|p| self.nodes[*p].life == Life::Down).collect()
    }

    /// Where clients reach a node.
    pub fn url(&self, place: Place) -> String {
        format!("http://127.0.0.1:{}", self.nodes[place].port)
    }

    /// Where other nodes reach it.
    pub fn address(&self, place: Place) -> String {
        format!("127.0.0.1:{}", self.nodes[place].cluster_port)
    }

    /// Where everything lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Settings of a node: it collects nothing by itself, so that every row is one that the drill wrote.
    fn write_settings(&self, place: Place) -> Result<()> {
        let n = &self.nodes[place];
        let mut text = String::from("memory_limit: 384MiB\ncollect: { files: [], host: false, itself: false }\n");
        text += &format!("storage: {{ url: '{}' }}\n", self.store);
        // The usual ports are for who is not a drill.
        text += "otlp: { listen: [] }\n";
        if self.nodes.len() > 1 {
            let all: Vec<String> = (0..self.nodes.len()).map(|p| self.address(p)).collect();
            let (own, secret) = (self.address(place), "the-secret-of-a-drill-is-none");
            text += &format!("cluster: {{ name: {}, secret: {secret}, listen: '{own}', join: [{}] }}\n", self.cluster, quoted(&all));
        }
        fs::write(n.dir.join("watchfire.yaml"), text).with_context(|| n.dir.display().to_string())
    }

    /// Starts a node, without waiting for it.
    pub fn start(&mut self, place: Place) -> Result<()> {
        let n = &self.nodes[place];
        let log = File::options().create(true).append(true).open(n.dir.join("log"))?;
        let mut command = Command::new(std::env::current_exe().context("finding this binary")?);
        command.arg("serve").arg("--config").arg(n.dir.join("watchfire.yaml")).arg("--data-dir").arg(n.dir.join("data"));
        command.args(["--listen", &format!("127.0.0.1:{}", n.port), "--drill", &format!("127.0.0.1:{}", n.drill_port)]);
        if n.clock_off_seconds != 0 {
            command.args(["--drill-clock-offset", &n.clock_off_seconds.to_string()]);
        }
        // Its own group: a Ctrl-C is for the drill, which then ends its nodes itself.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        die_with_us(&mut command);
        let child = command.spawn().context("starting a node")?;
        let n = &mut self.nodes[place];
        (n.child, n.life) = (Some(child), Life::Up);
        n.faults.store = StoreFaults::default();
        Ok(())
    }

    /// Whether a node says that it is ready. An error if its process has ended.
    pub fn is_ready(&mut self, place: Place) -> Result<bool> {
        let url = self.url(place);
        let n = &mut self.nodes[place];
        if let Some(status) = n.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
            bail!("node {} ended by itself ({status})", name(place));
        }
        Ok(control::is_ready(&url))
    }

    /// Ends nodes at once, as nearly at the same moment as one process can.
    pub fn kill(&mut self, places: &[Place]) -> Result<()> {
        places.iter().try_for_each(|p| self.signal(*p, libc::SIGKILL))?;
        for p in places {
            let n = &mut self.nodes[*p];
            if let Some(mut child) = n.child.take() {
                child.wait().context("waiting for a killed node")?;
            }
            n.life = Life::Down;
        }
        Ok(())
    }

    /// SIGSTOP or SIGCONT.
    pub fn freeze(&mut self, place: Place, frozen: bool) -> Result<()> {
        self.signal(place, if frozen { libc::SIGSTOP } else { libc::SIGCONT })?;
        self.nodes[place].life = if frozen { Life::Frozen } else { Life::Up };
        Ok(())
    }

    fn signal(&self, place: Place, signal: libc::c_int) -> Result<()> {
        let child = self.nodes[place].child.as_ref().with_context(|| format!("node {} is not running", name(place)))?;
        // SAFETY: a child that has not been waited for: its id is ours and names no other process.
        let failed = unsafe { libc::kill(child.id() as libc::pid_t, signal) } != 0;
        ensure!(!failed, "signalling node {}: {}", name(place), std::io::Error::last_os_error());
        Ok(())
    }

    /// Asks a node to stop (SIGTERM).
    pub fn terminate(&mut self, place: Place) -> Result<()> {
        self.signal(place, libc::SIGTERM)
    }

    /// Whether a node that was asked to has stopped. An error if it did not stop well.
    pub fn has_ended(&mut self, place: Place) -> Result<bool> {
        let n = &mut self.nodes[place];
        let Some(status) = n.child.as_mut().map(Child::try_wait).transpose()?.flatten() else { return Ok(n.child.is_none()) };
        n.child = None;
        if n.life != Life::Gone {
            n.life = Life::Down;
        }
        ensure!(status.success(), "node {} did not stop well ({status})", name(place));
        Ok(true)
    }

    /// Asks a node to leave the cluster for good: it gives everything to the object store and ends.
    pub fn leave(&mut self, place: Place) -> Result<()> {
        control::leave(&self.url(place))?;
        self.nodes[place].life = Life::Gone;
        Ok(())
    }

    /// Removes the data directory of a node that is down.
    pub fn wipe(&mut self, place: Place) -> Result<()> {
        let n = &self.nodes[place];
        ensure!(n.life == Life::Down, "node {} is running", name(place));
        fs::remove_dir_all(n.dir.join("data")).with_context(|| n.dir.display().to_string())
    }

    /// From now on a node has these faults, as far as it is up.
    pub fn set_faults(&mut self, place: Place, change: impl FnOnce(&mut Faults)) -> Result<()> {
        change(&mut self.nodes[place].faults);
        if self.nodes[place].life == Life::Up { self.tell(place) } else { Ok(()) }
    }

    /// Tells a node, which is up, its faults.
    pub fn tell(&self, place: Place) -> Result<()> {
        let n = &self.nodes[place];
        control::set_faults(n.drill_port, &n.faults).with_context(|| format!("telling node {} its faults", name(place)))
    }

    /// Cuts or heals every link of a node to every other, on both sides.
    pub fn cut(&mut self, place: Place, cut: bool) -> Result<()> {
        let others: Vec<Place> = (0..self.nodes.len()).filter(|p| *p != place).collect();
        let addresses: Vec<String> = others.iter().map(|p| self.address(*p)).collect();
        let own = self.address(place);
        self.set_faults(place, |f| f.cut = if cut { addresses } else { vec![] })?;
        for other in others {
            self.set_faults(other, |f| {
                f.cut.retain(|a| *a != own);
                if cut {
                    f.cut.push(own.clone());
                }
            })?;
        }
        Ok(())
    }

    /// What keeps the fleet from being whole, as its nodes see it.
    pub fn lacks(&self) -> Option<String> {
        let up = self.up();
        if self.nodes.len() == 1 {
            return (!control::is_ready(&self.url(0))).then(|| "the node is not ready".into());
        }
        up.iter().find_map(|p| match control::health(&self.url(*p)) {
            None => Some(format!("node {} does not say how its cluster is", name(*p))),
            Some(health) => health.lacks(up.len()).map(|lack| format!("node {}: {lack}", name(*p))),
        })
    }

    /// The end of a node's own log.
    pub fn last_words(&self, place: Place) -> String {
        last_words(&self.nodes[place].dir)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for n in &mut self.nodes {
            if let Some(mut child) = n.child.take() {
                // A frozen process is killed as well; one that has ended is not there to be killed.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        if !self.keep {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// The kernel ends the node when the drill ends, however that ends: no drill leaves processes behind.
#[cfg(target_os = "linux")]
fn die_with_us(command: &mut Command) {
    // SAFETY: prctl with this option takes no pointer and is safe between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_us(_: &mut Command) {}

/// A list of YAML.
fn quoted(items: &[String]) -> String {
    items.iter().map(|i| format!("'{i}'")).collect::<Vec<_>>().join(", ")
}

/// Ports that nobody listens on now. All are held until all are known, so that none is given twice.
fn free_ports(n: usize) -> Result<Vec<u16>> {
    let held = (0..n).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<Vec<_>>>().context("looking for free ports")?;
    held.iter().map(|l| Ok(l.local_addr()?.port())).collect()
}

fn last_words(dir: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut log = File::open(dir.join("log"))?;
        let len = log.seek(SeekFrom::End(0))?;
        log.seek(SeekFrom::Start(len.saturating_sub(LAST_WORDS)))?;
        let mut text = Vec::new();
        log.take(LAST_WORDS).read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    read().unwrap_or_else(|e| format!("(its log cannot be read: {e})"))
}
