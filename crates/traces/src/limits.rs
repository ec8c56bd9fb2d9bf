//! Bounds of this crate, each with its reason.

/// Bytes of one trace in an answer. A trace is put together in memory, and a browser that gets more than this dies of it;
/// runaway traces of a loop that never ends are not rare.
pub const TRACE_BYTES: usize = 64 << 20;
/// Messages inside each other in a JSON answer: what a sender may nest ([`wire::limits::VALUE_DEPTH`]), each value being
/// up to three messages deep, and the span around it. What lies deeper is left out.
pub const JSON_DEPTH: usize = 3 * wire::limits::VALUE_DEPTH + 16;
