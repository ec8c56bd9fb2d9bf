//! What the agent says of itself: on its own page, and to Watchfire, which shows it also when the agent has fallen silent.

use std::sync::Arc;

use base::{Clock, Result};
use serde::{Deserialize, Serialize};

use super::http::{Answer, Client};
use super::{Endpoint, Identity, Kind};
use crate::limits;
use crate::runner::Pause;
use crate::spool::Spool;
use crate::spool::ledger::Report;

/// The path that reports are posted to.
pub const PATH: &str = "/api/v1/agents";

/// An agent's report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentReport {
    /// The agent's id.
    pub agent: String,
    /// This start of it.
    pub boot: String,
    /// The machine's name.
    pub host: String,
    /// The program's version.
    pub version: String,
    /// When it started, nanoseconds.
    pub started_ns: i64,
    /// When the report was made, nanoseconds.
    pub reported_ns: i64,
    /// Number of the report since the start: a receiver sees whether some are missing.
    pub number: u64,
    /// Its deliveries.
    #[serde(flatten)]
    pub ledger: Report,
}

/// Makes reports.
pub struct Author {
    spool: Arc<Spool>,
    identity: Identity,
    host: String,
    clock: Clock,
    started_ns: i64,
}

impl Author {
    /// Of what `spool` knows.
    pub fn new(spool: Arc<Spool>, identity: Identity, host: String, clock: Clock) -> Author {
        let started_ns = clock.now_ns();
        Author { spool, identity, host, clock, started_ns }
    }
    /// A report.
    pub fn write(&self, number: u64) -> AgentReport {
        AgentReport {
            agent: self.identity.agent.clone(),
            boot: self.identity.boot.clone(),
            host: self.host.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            started_ns: self.started_ns,
            reported_ns: self.clock.now_ns(),
            number,
            ledger: self.spool.report(),
        }
    }
}

/// Sends reports to those endpoints that are Watchfire.
pub struct Reporter {
    author: Arc<Author>,
    clients: Vec<(String, Client)>,
    number: u64,
}

impl Reporter {
    /// To these.
    ///
    /// # Errors
    /// A certificate that cannot be read.
    pub fn new(author: Arc<Author>, endpoints: &[Endpoint]) -> Result<Reporter> {
        let client = |e: &Endpoint| {
            // A report that takes long is not worth waiting for: the next one says more.
            let short = Endpoint { timeout: e.timeout.min(limits::REPORT_TIMEOUT), ..e.clone() };
            Ok((e.name.clone(), Client::new(&short, author.identity.clone())?))
        };
        let clients = endpoints.iter().filter(|e| e.kind == Kind::Watchfire).map(client).collect::<Result<_>>()?;
        Ok(Reporter { author, clients, number: 0 })
    }

    /// Sends one report to each.
    pub fn step(&mut self) -> Pause {
        self.number += 1;
        let body = serde_json::to_vec(&self.author.write(self.number)).expect("names and numbers always have a JSON form");
        for (name, client) in &self.clients {
            let answer = client.post_json(PATH, &body);
            if answer != Answer::Accepted {
                tracing::debug!(endpoint = name, ?answer, "a report was not taken");
            }
        }
        Pause::Beat(limits::REPORT_EVERY)
    }
}
