//! LogQL against rows in memory: our own scripts, and the conformance cases where they are at hand.

mod bounds;
mod conformance;
mod mutations;
mod scripts;
mod store;
