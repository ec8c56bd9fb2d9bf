//! The rules of the house that a machine can hold: which crate may import which, what may not be named where, how long a
//! file may be, what may not be left lying about. `tests/house.rs` applies them to the workspace.
//!
//! Constraints: no dependency (it judges them), and every rule is a function of text, so that its own tests can plant a
//! violation and see it caught. A rule that has never been seen red is not a rule.
//!
//! Rejected: lints of a compiler plugin (they need a nightly compiler), and prose in a contribution guide alone.

pub mod imports;
pub mod leftovers;
pub mod sizes;
pub mod source;
pub mod words;
