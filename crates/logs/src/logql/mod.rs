//! LogQL as text: tokens, tree, printing, and the checks that need no data.

pub mod ast;
mod check;
mod lexer;
mod parser;
mod print;
pub mod reference;
mod token;

use base::Result;
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
pub fn parse_selector(source: &str) -> Result<Vec<base::Matcher>> {
    if source.trim().is_empty() {
        return Ok(vec![]);
    }
    parser::parse_selector(source).map_err(|d| d.to_error(source))
}

#[cfg(test)]
mod tests;
