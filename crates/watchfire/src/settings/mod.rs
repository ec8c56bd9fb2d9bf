//! Settings: one YAML file, plain data, composed here and nowhere else.
//!
//! Constraints: a wrong file never starts a server; what is wrong is said with line and column, what was meant, and
//! what is allowed. Durations and sizes carry units. Secrets come from the environment or from a file, and are never
//! printed.
//!
//! Design: a [`Layer`] is a file in which every key may be left out. Layers lie on top of each other (the defaults, a
//! profile, the file, the flags) and the topmost value of a key counts. The defaults and the profiles are files
//! too, so there is one reader. [`Settings`] is what the stack comes to, with every value checked. The table [`keys::KEYS`]
//! describes each key once, for `watchfire check` and for the reference page; a test holds it against the reader.

mod cluster;
mod keys;
mod layer;
pub mod load;
mod memory;
#[cfg(test)]
mod reference;
mod resolve;
#[cfg(test)]
mod tests;
mod value;

pub use cluster::Cluster;
pub use keys::show;
pub(crate) use layer::section;
pub use layer::{Cluster as ClusterLayer, Layer, Log as LogLayer};
pub use load::read;
#[cfg(test)]
pub use load::{defaults, profile};
pub use resolve::{Caps, Keep, LogFormat, Settings, Storage, is_loopback, log_of, revealed};
pub use value::{Count, FromText, Given, ProfileName, Secret, Several, Size, Span, Switch, Text};

/// A value as a flag gives it.
pub fn given<T>(value: T) -> Given<T> {
    Given(value)
}
