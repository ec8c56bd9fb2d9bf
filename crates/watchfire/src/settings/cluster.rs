//! What the section `cluster` comes to.

use std::net::SocketAddr;

use cluster::transport::http::{Secret, Tls};

use super::layer::{self, ClusterTls};
use super::resolve::{is_loopback, must, revealed};
use super::value::{Given, WhenDegraded};

/// A node's place in a cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The cluster's name.
    pub name: String,
    /// Addresses and names of nodes to meet first, with ports.
    pub join: Vec<String>,
    /// Where to listen for other nodes.
    pub listen: String,
    /// The address that others are told; where it listens when there is none.
    pub advertise: Option<String>,
    /// What all nodes share.
    pub secret: Option<Secret>,
    /// Where this node stands; empty for nowhere in particular.
    pub zone: String,
    /// Nodes that hold a row before it is acknowledged.
    pub replication: usize,
    /// Whether rows are refused while fewer nodes can take them.
    pub refuse_degraded: bool,
    /// Certificates.
    pub tls: Option<Tls>,
}

/// Checks the section. Without a name there is no cluster, and then nothing else that only a cluster needs.
pub fn resolve(l: &layer::Cluster) -> Result<Option<Cluster>, String> {
    let Some(Given(name)) = &l.name else {
        let alone = [
            ("join", l.join.as_ref().is_some_and(|j| !j.is_empty())),
            ("advertise", l.advertise.is_some()),
            ("secret", l.secret.is_some()),
            ("zone", l.zone.is_some()),
            ("tls", l.tls != ClusterTls::default()),
        ];
        return match alone.iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(format!("cluster.{key}: means nothing without cluster.name (flag --cluster), which all nodes share")),
            None => Ok(None),
        };
    };
    let listen = must(&l.listen, "cluster.listen")?.0.clone();
    let secret = match &l.secret {
        Some(Given(s)) => Some(Secret::new(&revealed(s, "cluster.secret")?).map_err(|e| format!("cluster.secret: {e}"))?),
        None => None,
    };
    if !is_loopback(&listen, "cluster.listen", 3101)? && secret.is_none() {
        return Err(format!(
            "cluster.listen: {listen} can be reached by others: set cluster.secret, to the same on all nodes, as `openssl rand -hex 32` makes it"
        ));
    }
    let advertise = l.advertise.as_ref().map(|g| g.0.0.clone());
    if advertise.is_none() && listen.parse::<SocketAddr>().is_ok_and(|a| a.ip().is_unspecified()) {
        return Err(format!(
            "cluster.advertise: has no value, and {listen} is no address that other nodes could reach: say under which host and port they find this one"
        ));
    }
    Ok(Some(Cluster {
        name: name.0.clone(),
        join: l.join.iter().flatten().map(|g| g.0.0.clone()).collect(),
        listen,
        advertise,
        secret,
        zone: l.zone.as_ref().map_or(String::new(), |g| g.0.0.clone()),
        replication: must(&l.replication, "cluster.replication")?.0,
        refuse_degraded: *must(&l.degraded, "cluster.degraded")? == WhenDegraded::Refuse,
        tls: tls(&l.tls)?,
    }))
}

/// All of the three files, or none.
fn tls(l: &ClusterTls) -> Result<Option<Tls>, String> {
    let path = |g: &Option<Given<super::Text>>| g.as_ref().map(|g| g.0.0.clone().into());
    match (path(&l.cert), path(&l.key), path(&l.ca)) {
        (Some(cert), Some(key), Some(ca)) => Ok(Some(Tls { cert, key, ca, name: l.name.as_ref().map(|g| g.0.0.clone()) })),
        (None, None, None) if l.name.is_none() => Ok(None),
        (cert, key, _) => {
            let missing = if cert.is_none() {
                "cert"
            } else if key.is_none() {
                "key"
            } else {
                "ca"
            };
            Err(format!("cluster.tls.{missing}: has no value; cert, key and ca go together"))
        }
    }
}
