//! Bounds of the readers, each with its reason. Those that other crates need too are in [`base::limits`].

/// Rows of one body. A row of two bytes on the wire takes about 70 in memory, so bytes alone do not bound it;
/// collecting agents send some thousands.
pub const ROWS_PER_BODY: usize = 1 << 20;
/// One label string of a Loki stream. The largest valid set ([`base::limits::LABELS_PER_SERIES`]) is far below it.
pub const LABEL_STRING_BYTES: usize = 1 << 20;
/// A resource or a scope of OTLP, encoded. It is repeated for each of its records in one way or another, so its size
/// multiplies; those of Kubernetes with all that detectors find have some kilobytes.
pub const OWNER_BYTES: usize = 128 << 10;
/// Labels of one exemplar, encoded. OpenMetrics allows 128 characters; clients in use send more.
pub const EXEMPLAR_BYTES: usize = 2 << 10;
/// A snappy block cannot grow by more than this: its densest element is three bytes that copy 64. A length that claims
/// more is a lie, found out before memory is taken for it.
pub const SNAPPY_GROWTH: usize = 22;
/// A body may become this large without anybody being asked; usual ones stay far below it ([`SPARE_MAX`]). What is beyond it
/// takes its turn ([`crate::encoding::decode_in_turn`]), because a hundred kilobytes can become the largest body that is taken.
pub const UNASKED_BYTES: usize = 4 << 20;
/// Largest window a zstd frame may ask for, as a power of two (8 MiB, what RFC 8878 wants every decoder to support).
pub const ZSTD_WINDOW_LOG: u32 = 23;
/// Words of a gRPC status. They are sent twice, spelled out and in base64, and there are clients whose bound for all headers is 8 KiB.
pub const STATUS_BYTES: usize = 1000;
/// Nesting of OTLP values (an array of arrays, a map of maps), in JSON and in protobuf: what reads them is recursive.
/// A test holds the JSON reader, whose library has this bound built in, to it.
pub const VALUE_DEPTH: usize = base::limits::DEPTH;
/// Buffers for decompressed bodies are kept for the next ones from this length on; below it an allocation costs little.
pub const SPARE_MIN: usize = 64 << 10;
/// And up to this one: bodies of remote write are half a megabyte, those of agents one.
pub const SPARE_MAX: usize = 4 << 20;
/// All that are kept together: as much as a memtable's unfrozen rows give back at once.
pub const SPARE_BYTES: usize = 12 << 20;
