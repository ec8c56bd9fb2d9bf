//! PromQL as a language: text to tokens to a tree with spans, and the tree checked against the types of its parts.
//!
//! Each stage is a type of its own: [`token`] gives tokens, [`parse`](fn@parse) an [`Expr`] that may still be
//! ill-typed and prints back as text, [`plan::plan`] a [`plan::Plan`] in which every name is resolved, every duration
//! is a number and every argument has the right type, so that evaluation can fail only for what the data are.

pub mod ast;
pub mod function;
pub mod parse;
mod parse_selector;
pub mod plan;
mod plan_call;
mod pretty;
mod print;
pub mod token;
mod tree;

pub use ast::Expr;
pub use parse::{check_selectors, matcher, parse, parse_selector, parse_selectors};
pub use plan::checked;
pub use pretty::pretty;
pub use tree::tree;

#[cfg(test)]
mod tests;
