//! What the languages share: spans, diagnostics, literals, durations, sizes, numbers, patterns, templates, times.
//!
//! Constraints: no I/O, no dependency on the engine, nothing that only one language knows. Everything here is a pure
//! function of text, never panics on input, and reports where in the text something is wrong.
//!
//! Design: a language lexes with a [`Cursor`] into its own tokens, each with a [`Span`]. Whatever is wrong is a
//! [`Diagnostic`] at a span; only the façade of a language turns it into a [`base::Error`], with the source line and a
//! caret ([`Diagnostic::to_error`]).
//!
//! | need | call |
//! |---|---|
//! | byte range of the source | [`Span`] |
//! | "expected X, got Y", caret, hint | [`Diagnostic::expected`], [`Diagnostic::render`] |
//! | walk the text | [`Cursor`] |
//! | string literal after its opening quote, or whole | [`literal::scan`], [`literal::unquote`], [`literal::quote`] |
//! | `5m`, `1h30m` (no fractions, units in order) | [`duration::parse_prom`], [`duration::format_prom`] |
//! | `1.5h`, `-3m20s`, `2µs` | [`duration::parse_go`], [`duration::format_go`] |
//! | `10MB`, `64 KiB` | [`size::parse`] |
//! | numbers as Go reads them, sample values as JSON shows them | [`number::parse`], [`number::format`] |
//! | RE2 patterns | [`re2::translate`], [`re2::compile`], [`re2::compile_in`], [`re2::compile_bytes`] |
//! | label matchers | [`matcher::build`], [`matcher::op`] |
//! | Go's templates | [`template::Template`] |
//! | times in Go's layouts | [`go_time::Layout`] |
//! | JSON text, logfmt, `<ip> - <_>`, colours of terminals | [`json_text`], [`logfmt`], [`line_pattern`], [`ansi`] |
//! | "did you mean" | [`nearest::nearest`] |

pub mod ansi;
pub mod cursor;
pub mod diagnostic;
pub mod duration;
pub mod go_time;
pub mod json_text;
pub mod letters;
pub mod limits;
pub mod line_pattern;
pub mod literal;
pub mod logfmt;
pub mod matcher;
pub mod nearest;
pub mod number;
pub mod re2;
pub mod size;
pub mod span;
pub mod template;

pub use cursor::Cursor;
pub use diagnostic::{Diagnostic, Parsed};
pub use span::{Span, Spanned};
