//! Between the listeners and the engine: limits, and the ledger of what was deferred or lost.
//!
//! This is the one-node half: membership, placement and replication take their place here, behind the same
//! [`Distributor::push`]. Like the engine it names no signal: limits are given per table by whoever composes it.

mod bucket;
mod distributor;
mod ledger;
mod limits;
pub mod transport;

pub use distributor::{Distributor, Limits, Rate};
pub use ledger::{Entry, Ledger, LedgerView};
