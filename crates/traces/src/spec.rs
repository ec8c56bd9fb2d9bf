//! The spans table.

use table::{Column, ColumnType, Order, Prefer, SkipFilter, TableSpec, TimeUnit};

/// 16 bytes, never all zero.
pub const TRACE_ID: &str = "trace_id";
/// 8 bytes, never all zero.
pub const SPAN_ID: &str = "span_id";
/// 8 bytes; null for a root.
pub const PARENT_ID: &str = "parent_id";
/// Name of the operation.
pub const NAME: &str = "name";
/// OTLP `SpanKind`: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
pub const KIND: &str = "kind";
/// OTLP `StatusCode`: 0 unset, 1 ok, 2 error.
pub const STATUS: &str = "status";
/// Text beside the status; null when empty.
pub const STATUS_MESSAGE: &str = "status_message";
/// End minus start, nanoseconds; 0 when the end lies before the start.
pub const DURATION_NS: &str = "duration_ns";
/// W3C trace state; null when empty.
pub const TRACE_STATE: &str = "trace_state";
/// OTLP span flags (low 8 bits: W3C trace flags).
pub const FLAGS: &str = "flags";
/// Attributes: the span's `attributes` fields (number 9) as they arrived, tags included; see `base::attrs`.
pub const ATTRIBUTES: &str = "attributes";
/// The span's `events` fields (number 11) as they arrived, tags included.
pub const EVENTS: &str = "events";
/// The span's `links` fields (number 13) as they arrived, tags included.
pub const LINKS: &str = "links";
/// The span's `dropped_*_count` fields (numbers 10, 12, 14), tags included; null when all are 0.
pub const DROPPED: &str = "dropped";

/// One row per span; a series is a resource and scope; the time is the span's start.
///
/// A series' labels are `resource.<key>` (string values), the same with a suffix for other types
/// (`:int`, `:bool`, `:double`, `:any` for base64 of an encoded `AnyValue`), `scope.name`, `scope.version` and
/// `scope.attributes.<key>`; [`crate::ingest::resource`] tells all of them and reads them back.
///
/// Rows lie by trace within a slice. A span that is sent twice is one row: the one that tells more is kept.
pub static SPEC: TableSpec = TableSpec {
    name: "spans",
    rows: "spans",
    unit: TimeUnit::Ns,
    slice: 900_000_000_000,
    columns: &[
        Column::new(TRACE_ID, ColumnType::Fixed(16)).filter(SkipFilter::Value),
        Column::new(SPAN_ID, ColumnType::Fixed(8)),
        Column::new(PARENT_ID, ColumnType::Fixed(8)).nullable(),
        Column::new(NAME, ColumnType::Word),
        Column::new(KIND, ColumnType::U8),
        Column::new(STATUS, ColumnType::U8),
        Column::new(STATUS_MESSAGE, ColumnType::Word).nullable(),
        Column::new(DURATION_NS, ColumnType::I64),
        Column::new(TRACE_STATE, ColumnType::Word).nullable(),
        Column::new(FLAGS, ColumnType::U32),
        Column::new(ATTRIBUTES, ColumnType::Attrs).nullable(),
        Column::new(EVENTS, ColumnType::Bytes).nullable(),
        Column::new(LINKS, ColumnType::Bytes).nullable(),
        Column::new(DROPPED, ColumnType::Bytes).nullable(),
    ],
    order: Order::Key(TRACE_ID),
    identity: &[TRACE_ID, SPAN_ID, KIND],
    prefer: &[
        Prefer::Longer(EVENTS),
        Prefer::Longer(ATTRIBUTES),
        Prefer::Longer(LINKS),
        Prefer::Longer(STATUS_MESSAGE),
        Prefer::Greater(STATUS),
        Prefer::Greater(DURATION_NS),
    ],
};
