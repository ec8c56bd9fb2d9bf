//! Nodes of one process: membership, replication, and hundreds of seeded lives of a cluster.
#![allow(clippy::unwrap_used)] // a test

mod membership;
mod reading;
mod replication;
mod sim;
mod town;
#[path = "../../../table/tests/it/toy.rs"]
#[allow(dead_code)] // the engine's tests use all of it
mod toy;
