//! The logs table.

use table::{Column, ColumnType, Order, SkipFilter, TableSpec, TimeUnit};

/// Position of the entry in the batch it came in: keeps lines of one timestamp in the order they were sent.
pub const ORDINAL: &str = "ordinal";
/// The line.
pub const LINE: &str = "line";
/// Structured metadata as `base::attrs`, string values; null when there is none.
pub const METADATA: &str = "metadata";
/// `trace`, `debug`, `info`, `warn`, `error`, `critical`, `fatal` or `unknown`, derived on arrival.
pub const DETECTED_LEVEL: &str = "detected_level";

/// One row per entry; a series is a stream.
///
/// Two entries of one stream with the same time, line and metadata are one entry: a batch that is sent again changes
/// nothing. The ordinal is left out of the identity, because a client that retries may cut its batches differently.
pub static SPEC: TableSpec = TableSpec {
    name: "logs",
    rows: "lines",
    unit: TimeUnit::Ns,
    slice: 3_600_000_000_000,
    columns: &[
        Column::new(ORDINAL, ColumnType::U32),
        Column::new(LINE, ColumnType::Text).filter(SkipFilter::Substring),
        Column::new(METADATA, ColumnType::Attrs).nullable(),
        Column::new(DETECTED_LEVEL, ColumnType::Word).nullable(),
    ],
    order: Order::Series(&[ORDINAL]),
    identity: &[LINE, METADATA],
    prefer: &[],
};
