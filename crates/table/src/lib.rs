//! The engine on one node: a log-structured merge tree that keeps any number of tables.
//!
//! A table is data ([`TableSpec`]), a row belongs to a series (a label set), and the waist is two calls: append rows,
//! scan rows ([`Rows::scan`]). This crate names no signal and no protocol.

pub mod memory;
pub mod predicate;
pub mod scan;
pub mod spec;
pub mod sorted;
pub mod ingest;

pub use ingest::{Codec, FrameHeader, Origin, Refusal, Sink, TableId};
pub use memory::MemoryRows;
pub use predicate::Predicate;
pub use scan::{Cancel, Direction, RowStream, Rows, ScanRequest, TimeRange};
pub use spec::{Column, ColumnType, Order, Prefer, SkipFilter, TableSpec, TimeUnit};
