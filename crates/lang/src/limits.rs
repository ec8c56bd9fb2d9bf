//! Bounds of this crate, each with its reason.

/// Bytes of a template's source. The longest alert templates people write have a few kilobytes.
pub const TEMPLATE_BYTES: usize = 64 << 10;
/// Blocks and parentheses inside each other in a template: parser and evaluator go down the stack with them.
pub const TEMPLATE_DEPTH: usize = 64;
/// Bytes that a template may write, and the longest text a function may make on the way.
pub const TEMPLATE_OUTPUT: usize = 1 << 20;
/// Elements evaluated in one execution: ranges inside ranges end here.
pub const TEMPLATE_STEPS: usize = 100_000;
/// Bytes that the variables, arguments and lists of one execution take together. Lists count as if they shared nothing.
pub const TEMPLATE_HELD: usize = 16 << 20;
