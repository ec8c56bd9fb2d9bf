//! Tokens to tree: precedence climbing for operators, one function per construct.

use base::{Error, MatchOp, Matcher, RegexRoom, Result};
use lang::{Diagnostic, Parsed, Span};

use crate::limits;
use crate::promql::ast::{Aggregate, AggregateOp, Binary, BinaryOp, Cardinality, Expr, ExprKind, Matching};
use crate::promql::parse_selector::check_selective;
use crate::promql::token::{Kind, Token, tokens};

/// Parses a query.
pub fn parse(source: &str) -> Result<Expr> {
    check_size(source)?;
    let read = || -> Parsed<Expr> {
        let room = &mut RegexRoom::default();
        let mut p = Parser::new(source, room)?;
        if p.at_end() {
            return Err(Diagnostic::new(p.peek().span, "no expression found in input"));
        }
        let e = p.expr(0)?;
        p.expect_end()?;
        Ok(e)
    };
    read().map_err(|d| to_error(&d, source))
}

/// Parses one selector, as `match[]` parameters hold them: `up`, `{job="x"}`, `up{job="x"}`.
pub fn parse_selector(source: &str) -> Result<Vec<Matcher>> {
    selector_in(source, &mut RegexRoom::default())
}

/// Parses the selectors of one request: at most [`limits::SELECTORS`].
pub fn parse_selectors<'a>(sources: impl IntoIterator<Item = &'a str>) -> Result<Vec<Vec<Matcher>>> {
    let room = &mut RegexRoom::default();
    sources
        .into_iter()
        .enumerate()
        .map(|(n, s)| {
            check_selectors(n + 1)?;
            selector_in(s, room)
        })
        .collect()
}

/// Whether a request may have so many selectors.
pub fn check_selectors(n: usize) -> Result<()> {
    if n <= limits::SELECTORS {
        return Ok(());
    }
    Err(Error::invalid(format!("the request has more than {} selectors: ask several times, or for less with each", limits::SELECTORS)))
}

fn selector_in(source: &str, room: &mut RegexRoom) -> Result<Vec<Matcher>> {
    check_size(source)?;
    let mut read = || -> Parsed<Vec<Matcher>> {
        let mut p = Parser::new(source, room)?;
        let (s, span) = p.bare_selector()?;
        p.expect_end()?;
        check_selective(&s, span)?;
        Ok(s.matchers)
    };
    read().map_err(|d| to_error(&d, source))
}

/// A matcher that does not come from a text of the language; its pattern is RE2 all the same.
pub fn matcher(name: &str, op: MatchOp, value: &str, room: &mut RegexRoom) -> Result<Matcher> {
    lang::matcher::build(name, op, value, Span::default(), room).map_err(|d| Error::invalid(d.message))
}

/// An error in the form Prometheus gives it: `1:5: parse error: message`.
pub(crate) fn to_error(d: &Diagnostic, source: &str) -> Error {
    let (line, column) = d.span.line_column(source);
    let hint = d.hint.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
    Error::invalid(format!("{line}:{column}: parse error: {}{hint}", d.message))
}

fn check_size(source: &str) -> Result<()> {
    if source.len() > limits::QUERY_BYTES {
        return Err(Error::invalid(format!("the query has {} bytes; at most {} are taken", source.len(), limits::QUERY_BYTES)));
    }
    Ok(())
}

/// Walks the tokens.
pub(super) struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    at: usize,
    /// Levels of recursion now open.
    open: usize,
    /// Operators of calculated durations so far: their trees are dropped recursively, too.
    duration_operators: usize,
    /// For the patterns of matchers.
    pub(super) room: &'a mut RegexRoom,
}

impl<'a> Parser<'a> {
    fn new(source: &'a str, room: &'a mut RegexRoom) -> Parsed<Self> {
        Ok(Parser { source, tokens: tokens(source)?, at: 0, open: 0, duration_operators: 0, room })
    }
    pub(super) fn peek(&self) -> &Token {
        &self.tokens[self.at]
    }
    pub(super) fn ahead(&self, n: usize) -> &Token {
        &self.tokens[(self.at + n).min(self.tokens.len() - 1)]
    }
    pub(super) fn bump(&mut self) -> Token {
        let t = self.tokens[self.at].clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        t
    }
    /// Gives back the token taken last.
    pub(super) fn step_back(&mut self) {
        self.at = self.at.saturating_sub(1);
    }
    fn at_end(&self) -> bool {
        self.peek().kind == Kind::End
    }
    /// Text of a token as written.
    pub(super) fn text(&self, t: &Token) -> &'a str {
        t.span.of(self.source)
    }
    pub(super) fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek().kind, Kind::Sign(s) if s == sign)
    }
    pub(super) fn eat(&mut self, sign: &str) -> bool {
        let yes = self.is_sign(sign);
        if yes {
            self.bump();
        }
        yes
    }
    pub(super) fn expect(&mut self, sign: &str, within: &str) -> Parsed<Span> {
        if self.is_sign(sign) { Ok(self.bump().span) } else { Err(self.unexpected(within, &format!("{sign:?}"))) }
    }
    /// Whether the next token is this word, in any case.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.peek().kind == Kind::Ident && self.text(self.peek()).eq_ignore_ascii_case(word)
    }
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let yes = self.is_word(word);
        if yes {
            self.bump();
        }
        yes
    }
    /// Whether a word with an opening parenthesis is next.
    pub(super) fn is_call(&self, word: &str) -> bool {
        self.is_word(word) && self.ahead(1).kind == Kind::Sign("(")
    }
    /// "unexpected X in PLACE, expected WHAT".
    pub(super) fn unexpected(&self, within: &str, expected: &str) -> Diagnostic {
        let t = self.peek();
        let got = match &t.kind {
            Kind::End => "end of input".to_string(),
            Kind::Ident => format!("identifier {:?}", self.text(t)),
            Kind::Number(_) => format!("number {:?}", self.text(t)),
            Kind::Duration(_) => format!("duration {:?}", self.text(t)),
            Kind::Str(_) => format!("string {}", self.text(t)),
            Kind::Sign(s) => format!("{s:?}"),
        };
        let place = if within.is_empty() { String::new() } else { format!(" in {within}") };
        let want = if expected.is_empty() { String::new() } else { format!(", expected {expected}") };
        Diagnostic::new(t.span, format!("unexpected {got}{place}{want}"))
    }
    fn expect_end(&self) -> Parsed<()> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected("", "")) }
    }
    /// Opens a level of recursion; the text alone decides how deep it goes, so it is bounded.
    pub(super) fn deeper<T>(&mut self, f: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.open += 1;
        if self.open > limits::EXPRESSION_DEPTH {
            return Err(Diagnostic::new(self.peek().span, format!("expression is nested deeper than {} levels", limits::EXPRESSION_DEPTH)));
        }
        let r = f(self);
        self.open -= 1;
        r
    }
    pub(super) fn count_duration_operator(&mut self) -> Parsed<()> {
        self.duration_operators += 1;
        if self.duration_operators > limits::EXPRESSION_DEPTH {
            return Err(Diagnostic::new(self.peek().span, "too many operators in durations"));
        }
        Ok(())
    }
    pub(super) fn node(&self, kind: ExprKind, span: Span) -> Parsed<Expr> {
        let e = Expr::new(kind, span);
        if e.depth > limits::EXPRESSION_DEPTH {
            return Err(Diagnostic::new(span, format!("expression is nested deeper than {} levels", limits::EXPRESSION_DEPTH)));
        }
        Ok(e)
    }

    /// An expression of operators that bind at least as strongly as `least`.
    pub(super) fn expr(&mut self, least: u8) -> Parsed<Expr> {
        self.deeper(|p| p.operators(least))
    }

    fn operators(&mut self, least: u8) -> Parsed<Expr> {
        let mut left = self.unary()?;
        while let Some(op) = self.operator().filter(|op| op.precedence() >= least) {
            self.bump();
            let returns_bool = self.eat_word("bool");
            let matching = self.matching()?;
            // `^` alone associates to the right.
            let right = self.expr(op.precedence() + u8::from(op != BinaryOp::Pow))?;
            let span = left.span.to(right.span);
            left = self.node(ExprKind::Binary(Box::new(Binary { op, returns_bool, matching, left, right })), span)?;
        }
        Ok(left)
    }

    fn operator(&self) -> Option<BinaryOp> {
        match self.peek().kind {
            Kind::Sign(s) => BinaryOp::from_text(s),
            Kind::Ident => BinaryOp::from_text(self.text(self.peek())),
            _ => None,
        }
    }

    /// A sign binds as strongly as `*`: `-a^b` is `-(a^b)`, `-a*b` is `(-a)*b`.
    fn unary(&mut self) -> Parsed<Expr> {
        let start = self.peek().span;
        let minus = self.is_sign("-");
        if minus || self.is_sign("+") {
            self.bump();
            let e = self.expr(BinaryOp::Pow.precedence())?;
            let span = start.to(e.span);
            return self.node(ExprKind::Unary(minus, Box::new(e)), span);
        }
        let e = self.primary()?;
        self.postfix(e)
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let t = self.peek().clone();
        match t.kind {
            Kind::Number(v) => {
                self.bump();
                self.node(ExprKind::Number(v), t.span)
            }
            Kind::Duration(ms) => {
                self.bump();
                self.node(ExprKind::Duration(ms), t.span)
            }
            Kind::Str(s) => {
                self.bump();
                self.node(ExprKind::Str(s), t.span)
            }
            Kind::Sign("(") => {
                self.bump();
                let e = self.expr(0)?;
                let end = self.expect(")", "parenthesised expression")?;
                self.node(ExprKind::Paren(Box::new(e)), t.span.to(end))
            }
            Kind::Sign("{") => self.selector(),
            Kind::Ident => self.named(),
            _ => Err(self.unexpected("", "an expression")),
        }
    }

    /// What starts with a name: a number, an aggregation, a call or a selector.
    fn named(&mut self) -> Parsed<Expr> {
        let t = self.peek().clone();
        let name = self.text(&t);
        if name.eq_ignore_ascii_case("inf") || name.eq_ignore_ascii_case("nan") {
            self.bump();
            let v = if name.eq_ignore_ascii_case("inf") { f64::INFINITY } else { f64::NAN };
            return self.node(ExprKind::Number(v), t.span);
        }
        let next = self.ahead(1);
        let next_word = if next.kind == Kind::Ident { self.text(next) } else { "" };
        let opens = next.kind == Kind::Sign("(");
        if let Some(op) = AggregateOp::from_text(name)
            && (opens || next_word.eq_ignore_ascii_case("by") || next_word.eq_ignore_ascii_case("without"))
        {
            return self.aggregate(op);
        }
        if opens { self.call() } else { self.selector() }
    }

    fn call(&mut self) -> Parsed<Expr> {
        let t = self.bump();
        let name = self.text(&t);
        // Function names are written in lower case; the preprocessing words may be in any.
        let lower = name.to_ascii_lowercase();
        let name = if matches!(lower.as_str(), "start" | "end" | "step" | "range") { lower } else { name.to_string() };
        let (args, end) = self.args("function call")?;
        self.node(ExprKind::Call(name, args), t.span.to(end))
    }

    fn args(&mut self, within: &str) -> Parsed<(Vec<Expr>, Span)> {
        self.expect("(", within)?;
        let mut args = Vec::new();
        if self.is_sign(")") {
            return Ok((args, self.bump().span));
        }
        loop {
            args.push(self.expr(0)?);
            if !self.eat(",") {
                return Ok((args, self.expect(")", within)?));
            }
            if self.is_sign(")") {
                return Err(Diagnostic::new(self.peek().span, "trailing commas not allowed in function call args"));
            }
        }
    }

    fn aggregate(&mut self, op: AggregateOp) -> Parsed<Expr> {
        let t = self.bump();
        let mut grouping = self.grouping()?;
        let (mut args, mut end) = self.args("aggregation")?;
        if grouping.is_none() {
            grouping = self.grouping()?;
            if grouping.is_some() {
                end = self.last_span();
            }
        }
        let (without, labels) = grouping.unwrap_or_default();
        let span = t.span.to(end);
        let want = 1 + usize::from(op.has_param());
        if args.is_empty() {
            return Err(Diagnostic::new(span, "no arguments for aggregate expression provided"));
        }
        if args.len() != want {
            return Err(Diagnostic::new(
                span,
                format!("wrong number of arguments for aggregate expression provided, expected {want}, got {}", args.len()),
            ));
        }
        let param = if op.has_param() { Some(args.remove(0)) } else { None };
        let expr = args.remove(0);
        self.node(ExprKind::Aggregate(Box::new(Aggregate { op, param, expr, labels, without })), span)
    }

    /// Span of the token taken last.
    pub(super) fn last_span(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].span
    }

    fn grouping(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        let without = self.is_word("without");
        if !without && !self.is_word("by") {
            return Ok(None);
        }
        self.bump();
        Ok(Some((without, self.label_names("grouping opts")?)))
    }

    /// `(a, "b.c", d)`, a comma at the end allowed.
    fn label_names(&mut self, within: &str) -> Parsed<Vec<String>> {
        self.expect("(", within)?;
        let mut out = Vec::new();
        while !self.eat(")") {
            let t = self.peek().clone();
            match t.kind {
                Kind::Ident if !self.text(&t).contains(':') => out.push(self.text(&t).to_string()),
                Kind::Str(s) if !s.is_empty() => out.push(s),
                _ => return Err(self.unexpected(within, "label")),
            }
            self.bump();
            if !self.eat(",") && !self.is_sign(")") {
                return Err(self.unexpected(within, "\",\" or \")\""));
            }
        }
        Ok(out)
    }

    /// `on(...) group_left(...) fill(...)`.
    fn matching(&mut self) -> Parsed<Matching> {
        let mut m = Matching::default();
        let on = self.is_call("on");
        if on || self.is_call("ignoring") {
            self.bump();
            m.on = Some(on);
            m.labels = self.label_names("grouping opts")?;
            let left = self.is_word("group_left");
            if left || self.is_word("group_right") {
                self.bump();
                m.cardinality = if left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                if self.is_sign("(") {
                    m.include = self.label_names("grouping opts")?;
                }
            }
        }
        while let Some(side) = ["fill", "fill_left", "fill_right"].into_iter().find(|w| self.is_call(w) && self.holds_number()) {
            self.bump();
            let v = self.fill_value()?;
            if side != "fill_right" {
                m.fill_left = Some(v);
            }
            if side != "fill_left" {
                m.fill_right = Some(v);
            }
        }
        Ok(m)
    }

    /// Whether `word(` is followed by a number, perhaps signed.
    fn holds_number(&self) -> bool {
        let signed = matches!(self.ahead(2).kind, Kind::Sign("-" | "+"));
        let t = self.ahead(2 + usize::from(signed));
        matches!(t.kind, Kind::Number(_) | Kind::Duration(_)) || matches!(self.text(t).to_ascii_lowercase().as_str(), "inf" | "nan")
    }

    fn fill_value(&mut self) -> Parsed<f64> {
        self.expect("(", "fill modifier")?;
        let v = self.signed_number("fill modifier")?;
        self.expect(")", "fill modifier")?;
        Ok(v)
    }

    /// A number with an optional sign; a duration is worth its seconds.
    pub(super) fn signed_number(&mut self, within: &str) -> Parsed<f64> {
        let minus = self.is_sign("-");
        if minus || self.is_sign("+") {
            self.bump();
        }
        let t = self.peek().clone();
        let v = match t.kind {
            Kind::Number(v) => v,
            Kind::Duration(ms) => ms as f64 / 1000.0,
            Kind::Ident if self.text(&t).eq_ignore_ascii_case("inf") => f64::INFINITY,
            Kind::Ident if self.text(&t).eq_ignore_ascii_case("nan") => f64::NAN,
            _ => return Err(self.unexpected(within, "a number")),
        };
        self.bump();
        Ok(if minus { -v } else { v })
    }
}
