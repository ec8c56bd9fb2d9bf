//! The samples table.

use table::{Column, ColumnType, Order, Prefer, TableSpec, TimeUnit};

/// The value of a float sample; 0 where the row holds a histogram.
pub const VALUE: &str = "value";
/// The `Histogram` message of remote write 1.0 as it arrived; null for float samples.
pub const HISTOGRAM: &str = "histogram";
/// When the counting that a sample goes on with began, milliseconds since 1970; null where the sender does not say.
pub const START: &str = "start_ms";
/// The NaN that says "this series has ended" (Prometheus' stale marker). No other NaN means that.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// One row per sample; a series is a metric with its labels.
///
/// A series has one sample per millisecond. Where two copies differ, a histogram beats a float, a value beats a
/// staleness marker, and then the greater value: the same choice on every node.
pub static SPEC: TableSpec = TableSpec {
    name: "samples",
    rows: "samples",
    unit: TimeUnit::Ms,
    slice: 7_200_000,
    columns: &[
        Column::new(VALUE, ColumnType::F64),
        Column::new(HISTOGRAM, ColumnType::Bytes).nullable(),
        Column::new(START, ColumnType::I64).nullable(),
    ],
    order: Order::Series(&[]),
    identity: &[],
    prefer: &[Prefer::Present(HISTOGRAM), Prefer::NotBits(VALUE, STALE_NAN_BITS), Prefer::Greater(VALUE)],
};
