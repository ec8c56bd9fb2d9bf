//! What every other crate speaks in: labels and matchers, times and sizes, error kinds, limits, attributes.
//!
//! Constraints: no I/O, no async, few dependencies. A thing belongs here only if at least two rings of the
//! house need it and it has a name a user would know.

pub mod attrs;
pub mod clock;
pub mod error;
pub mod hash;
pub mod label_order;
pub mod labels;
pub mod limits;
pub mod matcher;
pub mod pieces;
pub mod regex_room;
pub mod stats;
pub mod tenant;
pub mod units;

pub use clock::Clock;
pub use error::{Error, Kind, Result};
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use pieces::Pieces;
pub use regex_room::RegexRoom;
pub use tenant::Tenant;
