//! LogQL as text: tokens, tree, printing, and the checks that need no data.

pub mod ast;
mod check;
mod lexer;
mod parser;
mod print;
pub mod reference;
mod token;

use base::{Matcher, RegexRoom, Result};
use lang::Parsed;

pub use ast::Expr;

/// Reads a query; what is wrong with it is said at its place.
pub fn parse_at(source: &str) -> Parsed<Expr> {
    let expr = parser::parse(source)?;
    check::check(&expr, source)?;
    Ok(expr)
}

/// Reads a query; errors are of kind `Invalid`.
pub fn parse(source: &str) -> Result<Expr> {
    parse_at(source).map_err(|d| d.to_error(source))
}

/// Reads the selector of a label query: a log query without stages. Empty text and `{}` select everything.
pub fn parse_selector(source: &str) -> Result<Vec<Matcher>> {
    selector_in(source, &mut RegexRoom::default())
}

/// Reads the selectors of one request.
pub fn parse_selectors(sources: &[&str]) -> Result<Vec<Vec<Matcher>>> {
    let room = &mut RegexRoom::default();
    sources.iter().map(|s| selector_in(s, room)).collect()
}

fn selector_in(source: &str, room: &mut RegexRoom) -> Result<Vec<Matcher>> {
    if source.trim().is_empty() {
        return Ok(vec![]);
    }
    parser::parse_selector(source, room).map_err(|d| d.to_error(source))
}

#[cfg(test)]
mod tests;
