//! The forms in which telemetry travels: Loki push, Prometheus remote write, OTLP, text exposition, and the
//! compressions around them. Server and agent share it.
//!
//! Constraints: no I/O, and no trust. Every byte here was sent by somebody else, so a reader is bounded by what it was
//! given ([`limits`]), answers garbage with an error and never panics.
//!
//! Design: a reader is a *walker* that lends slices of the received bytes ([`proto`]); nothing is copied and no
//! message is built. JSON bodies are turned into the protobuf bytes of the same message once ([`loki::json`],
//! [`otlp::json`]) and then take the same way, so each protocol is interpreted in one place. Generated message types
//! exist in the tests alone, as the oracle.
//!
//! Rejected: decoding into message structs (measured at several times the CPU of walking, most of it allocation).

pub mod encoding;
pub mod exposition;
pub mod grpc;
pub mod limits;
pub mod lines;
pub mod loki;
pub mod options;
pub mod otlp;
pub mod proto;
pub mod refused;
pub mod remote_read;
pub mod remote_write;
mod spare;

pub use encoding::Encoding;
pub use options::Options;

#[cfg(test)]
mod oracle;
