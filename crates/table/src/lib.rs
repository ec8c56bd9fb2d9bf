//! The engine on one node: a log-structured merge tree that keeps any number of tables.
//!
//! A table is data ([`TableSpec`]), a row belongs to a series (a label set), and the waist is two calls: append rows
//! ([`Engine::ingest`]), scan rows ([`Rows::scan`]). This crate names no signal and no protocol; a toy table in its tests
//! proves that another one needs no change here.
//!
//! Levels, each the same sorted, encoded thing ([`sorted`]): part in memory, run on disk, block per tenant and day.

mod catalog;
mod engine;
mod erase;
mod frame;
mod generation;
mod ingest;
mod keys;
mod limits;
mod loss;
mod memory;
mod memory_budget;
mod meta;
mod missing;
mod predicate;
mod registry;
mod scan;
pub mod sorted;
mod spec;
mod stretches;
pub mod tenants;

pub use engine::{
    Admission, BlockRef, Commits, Engine, EngineOptions, Erase, Ingested, MergeWhat, Owner, Prepared, RATE_LIMITED_ENTRY, Refresh,
    Retention, STATS, Settings, WAL_TAIL_DAMAGED,
};
pub use erase::{Erasing, ErasingAll};
pub use ingest::{Codec, FrameHeader, Origin, Refusal, Sink, TableId};
pub use keys::Keys;
pub use loss::{Loss, Losses};
pub use memory::MemoryRows;
pub use memory_budget::{MemoryBudget, Peak, QueryBudget};
pub use meta::{BlockMeta, Checkpoint, RunMeta};
pub use missing::{Lack, Missing};
pub use predicate::Predicate;
pub use scan::{Cancel, Direction, Meter, RowStream, Rows, ScanRequest, TimeRange};
pub use spec::{Column, ColumnType, Order, Prefer, SERIES, SkipFilter, TableSpec, TimeUnit};
pub use stretches::{Stretch, stretches};
