//! The engine as a whole, on a simulated disk.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test, which also reads its settings and writes files of its own

mod bodies;
mod damage;
mod diskfull;
mod erase;
mod golden;
mod names;
mod retention;
mod shared;
mod sim;
mod snapshot;
mod stored;
mod toy;
