//! Tokens to tree, by recursive descent. Keywords are recognised where they can stand, so that `{sum="a"} | rate="b"`
//! is a query.

mod filters;
mod metric;
mod stages;

pub(crate) use stages::STAGES_ALONE;

use base::{Matcher, RegexRoom};
use lang::{Diagnostic, Parsed, Span, Spanned};

use super::ast::{Expr, LogExpr, MetricExpr};
use super::lexer::lex;
use super::token::Token;
use crate::limits;

/// Reads a whole query.
pub fn parse(source: &str) -> Parsed<Expr> {
    let room = &mut RegexRoom::default();
    let mut p = Parser::new(source, room)?;
    let e = p.expr(0)?;
    p.expect_end()?;
    Ok(e)
}

/// Reads `{...}` alone.
pub fn parse_selector(source: &str, room: &mut RegexRoom) -> Parsed<Vec<Matcher>> {
    let mut p = Parser::new(source, room)?;
    let m = p.selector()?;
    p.expect_end()?;
    Ok(m)
}

struct Parser<'r> {
    tokens: Vec<Spanned<Token>>,
    at: usize,
    depth: usize,
    operators: usize,
    /// For the patterns of the query.
    room: &'r mut RegexRoom,
}

impl<'r> Parser<'r> {
    fn new(source: &str, room: &'r mut RegexRoom) -> Parsed<Self> {
        Ok(Parser { tokens: lex(source)?, at: 0, depth: 0, operators: 0, room })
    }

    fn peek(&self) -> &Token {
        // The list ends with `End`, which is never passed over.
        &self.tokens[self.at].value
    }
    fn peek_second(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].value
    }
    fn span(&self) -> Span {
        self.tokens[self.at].span
    }
    fn bump(&mut self) -> Token {
        let t = self.tokens[self.at].value.clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        t
    }
    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(s) if *s == sign)
    }
    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if w == word)
    }
    fn eat_sign(&mut self, sign: &str) -> bool {
        let yes = self.is_sign(sign);
        if yes {
            self.bump();
        }
        yes
    }
    fn eat_word(&mut self, word: &str) -> bool {
        let yes = self.is_word(word);
        if yes {
            self.bump();
        }
        yes
    }
    fn expected(&self, what: &str) -> Diagnostic {
        Diagnostic::expected(self.span(), what, self.peek())
    }
    fn expect_sign(&mut self, sign: &str) -> Parsed<()> {
        if self.eat_sign(sign) { Ok(()) } else { Err(self.expected(&format!("`{sign}`"))) }
    }
    fn expect_end(&mut self) -> Parsed<()> {
        if *self.peek() == Token::End {
            Ok(())
        } else {
            Err(Diagnostic::new(self.span(), format!("syntax error: unexpected {}", self.peek())))
        }
    }
    fn expect_text(&mut self, what: &str) -> Parsed<Spanned<String>> {
        let span = self.span();
        match self.peek() {
            Token::Text(t) => {
                let t = t.clone();
                self.bump();
                Ok(Spanned::new(t, span))
            }
            _ => Err(self.expected(what)),
        }
    }
    fn expect_word(&mut self, what: &str) -> Parsed<String> {
        match self.peek() {
            Token::Word(w) => {
                let w = w.clone();
                self.bump();
                Ok(w)
            }
            _ => Err(self.expected(what)),
        }
    }
    /// One more operator, or an error when there are too many.
    fn count_operator(&mut self) -> Parsed<()> {
        self.operators += 1;
        if self.operators > limits::OPERATORS {
            return Err(Diagnostic::new(self.span(), format!("the query has more than {} operators", limits::OPERATORS)));
        }
        Ok(())
    }
    /// Runs `f` one level deeper, or fails when that is too deep.
    fn nested<T>(&mut self, f: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= base::limits::DEPTH {
            return Err(Diagnostic::new(self.span(), format!("the query is nested deeper than {} levels", base::limits::DEPTH)));
        }
        self.depth += 1;
        let out = f(self);
        self.depth -= 1;
        out
    }

    /// `{a="b", c=~"d"}`; a trailing comma is an error, nothing at all is not.
    fn selector(&mut self) -> Parsed<Vec<Matcher>> {
        self.expect_sign("{")?;
        let mut out = vec![];
        if self.eat_sign("}") {
            return Ok(out);
        }
        loop {
            out.push(self.matcher()?);
            if self.eat_sign("}") {
                return Ok(out);
            }
            if !self.eat_sign(",") {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn matcher(&mut self) -> Parsed<Matcher> {
        let name = self.expect_word("a label name")?;
        let op = match self.peek() {
            Token::Sign(s) => lang::matcher::op(s),
            _ => None,
        };
        let Some(op) = op else { return Err(self.expected("`=`, `!=`, `=~` or `!~`")) };
        self.bump();
        let value = self.expect_text("a label value in quotes")?;
        lang::matcher::build(&name, op, &value.value, value.span, self.room)
    }

    /// A log query: selector and stages, perhaps in parentheses.
    fn log(&mut self) -> Parsed<LogExpr> {
        let matchers = self.selector()?;
        let mut stages = vec![];
        while let Some(stage) = self.stage()? {
            stages.push(stage);
        }
        Ok(LogExpr { matchers, stages })
    }

    fn metric_only(&mut self, expr: Expr, span: Span) -> Parsed<MetricExpr> {
        match expr {
            Expr::Metric(m) => Ok(m),
            Expr::Log(_) => {
                Err(Diagnostic::new(span, "unexpected type for binary or aggregate expression: this is a log query, not a metric query")
                    .hint("count its lines with count_over_time({...}[5m]) or rate({...}[5m])"))
            }
        }
    }
}
