//! Between the listeners and the engine: limits, and the ledger of what was deferred or lost.
//!
//! On one node it ends there. In a cluster, [`Distributor::push`] writes through [`Cluster`]: [`membership`] knows who is there,
//! `replicate` keeps copies on other nodes, [`transport`] carries the calls. Like the engine it names no signal: limits are
//! given per table by whoever composes it. `docs/decisions/0005-the-cluster.md` is the design.

mod bucket;
mod distributor;
mod identity;
mod ledger;
mod limits;
pub mod membership;
mod node;
mod rates;
pub mod read;
mod replicate;
mod settings;
mod stats;
pub mod transport;

pub use distributor::{Distributor, Limits, Rate};
pub use identity::Identity;
pub use ledger::{Entry, Ledger, LedgerView};
pub use node::{Cluster, ClusterStatus, NodeService};
pub use rates::{Rates, Taken};
pub use read::ClusterRows;
pub use settings::{Degraded, Settings, Timing};
pub use stats::STATS;
