//! What a drill says to its nodes and asks of them, over HTTP.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Deserialize;

use crate::serve::drill::Faults;

/// What a node says of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Health {
    /// Why an answer may miss something now.
    pub incomplete: Option<String>,
    /// The members.
    pub members: Vec<Member>,
}

/// A member, as the node sees it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Member {
    /// Where.
    pub address: String,
    /// How it stands.
    pub condition: String,
    /// Since when it holds rows that nobody else has.
    pub alone_since_ns: Option<i64>,
}

impl Health {
    /// What keeps the fleet from being whole, as this node sees it, if `nodes` are up.
    pub fn lacks(&self, nodes: usize) -> Option<String> {
        if let Some(why) = &self.incomplete {
            return Some(why.clone());
        }
        if let Some(m) = self.members.iter().find(|m| m.condition != "active") {
            return Some(format!("{} is {}", m.address, m.condition));
        }
        if let Some(m) = self.members.iter().find(|m| m.alone_since_ns.is_some()) {
            return Some(format!("{} holds rows that nobody else has", m.address));
        }
        (self.members.len() != nodes).then(|| format!("it knows {} members, and {nodes} are up", self.members.len()))
    }
}

fn agent(timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(timeout)).build().into()
}

/// Whether a node says that it is ready.
pub fn is_ready(url: &str) -> bool {
    agent(Duration::from_secs(2)).get(format!("{url}/ready")).call().is_ok_and(|r| r.status() == 200)
}

/// Tells a node its faults.
pub fn set_faults(port: u16, faults: &Faults) -> Result<()> {
    let body = serde_json::to_string(faults)?;
    let mut answer = agent(Duration::from_secs(5)).post(format!("http://127.0.0.1:{port}/drill/faults")).send(body)?;
    let status = answer.status();
    ensure!(status.is_success(), "{status} {}", answer.body_mut().read_to_string().unwrap_or_default());
    Ok(())
}

/// What a node says of its cluster; none if it does not answer.
pub fn health(url: &str) -> Option<Health> {
    let mut answer = agent(Duration::from_secs(2)).get(format!("{url}/api/v1/cluster")).call().ok().filter(|r| r.status() == 200)?;
    serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()
}

/// Asks a node to leave its cluster for good.
pub fn leave(url: &str) -> Result<()> {
    let mut answer = agent(Duration::from_secs(300)).post(format!("{url}/api/v1/cluster/leave")).send_empty()?;
    let status = answer.status();
    ensure!(status.is_success(), "{status} {}", answer.body_mut().read_to_string().unwrap_or_default());
    Ok(())
}

/// Asks for everything in memory to be brought to its final form.
pub fn flush(url: &str) -> Result<()> {
    let mut answer = agent(Duration::from_secs(300)).post(format!("{url}/flush")).send_empty()?;
    let status = answer.status();
    ensure!(status.is_success(), "{status} {}", answer.body_mut().read_to_string().unwrap_or_default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_whole_when_nothing_is_missing_and_nothing_is_held_alone() {
        let member = |condition: &str, alone_since_ns| Member { address: "x:1".into(), condition: condition.into(), alone_since_ns };
        let health = |members: Vec<Member>| Health { incomplete: None, members };
        assert_eq!(health(vec![member("active", None), member("active", None)]).lacks(2), None);
        assert!(health(vec![member("active", None)]).lacks(2).is_some(), "one is not known");
        assert!(health(vec![member("active", None), member("silent", None)]).lacks(2).is_some());
        assert!(health(vec![member("active", Some(1)), member("active", None)]).lacks(2).is_some(), "one copy is too few");
        assert!(Health { incomplete: Some("x".into()), ..health(vec![member("active", None)]) }.lacks(1).is_some());
    }
}
