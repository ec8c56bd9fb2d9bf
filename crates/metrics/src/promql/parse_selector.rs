//! Selectors and what may follow an expression: ranges, subqueries, `offset`, `@`, `anchored`, `smoothed`.

use base::MatchOp;
use base::labels::METRIC_NAME;
use lang::{Diagnostic, Parsed, Span};

use crate::promql::ast::{At, DurationExpr, Edge, Expr, ExprKind, Selector, Shift, Subquery};
use crate::promql::parse::Parser;
use crate::promql::token::Kind;

impl Parser<'_> {
    pub(super) fn selector(&mut self) -> Parsed<Expr> {
        let (s, span) = self.bare_selector()?;
        self.node(ExprKind::Selector(s), span)
    }

    /// `name{matchers}` alone.
    pub(super) fn bare_selector(&mut self) -> Parsed<(Selector, Span)> {
        let start = self.peek().span;
        let mut s = Selector::default();
        if self.peek().kind == Kind::Ident {
            let t = self.bump();
            self.set_name(&mut s, self.text(&t).to_string(), t.span)?;
        }
        if self.eat("{") {
            self.matchers(&mut s)?;
        } else if s.name.is_none() {
            return Err(self.unexpected("", "a selector"));
        }
        Ok((s, start.to(self.last_span())))
    }

    fn set_name(&mut self, s: &mut Selector, name: String, span: Span) -> Parsed<()> {
        if let Some(m) = s.matchers.iter().find(|m| m.name == METRIC_NAME && s.name.is_some()) {
            return Err(Diagnostic::new(span, format!("metric name must not be set twice: {:?} or {name:?}", m.value)));
        }
        s.matchers.push(lang::matcher::build(METRIC_NAME, MatchOp::Eq, &name, span, self.room)?);
        s.name = Some(name);
        Ok(())
    }

    /// What stands in the braces: `a="x"`, `"b.c"=~"y"`, `"a metric's name"`; a comma at the end allowed.
    fn matchers(&mut self, s: &mut Selector) -> Parsed<()> {
        const PLACE: &str = "label matching";
        while !self.eat("}") {
            let t = self.bump();
            let (label, quoted) = match t.kind {
                Kind::Ident => (self.text(&t).to_string(), false),
                Kind::Str(text) => (text, true),
                _ => {
                    self.step_back();
                    return Err(self.unexpected(PLACE, "identifier or \"}\""));
                }
            };
            let op = match self.peek().kind {
                Kind::Sign(sign) => lang::matcher::op(sign),
                _ => None,
            };
            match op {
                None if quoted => self.set_name(s, label, t.span)?,
                None => return Err(self.unexpected(PLACE, "label matching operator")),
                Some(op) => {
                    self.bump();
                    let v = self.bump();
                    let Kind::Str(value) = v.kind else {
                        self.step_back();
                        return Err(self.unexpected(PLACE, "string"));
                    };
                    if label == METRIC_NAME && op == MatchOp::Eq && s.name.is_some() {
                        return Err(Diagnostic::new(
                            t.span,
                            format!("metric name must not be set twice: {:?} or {value:?}", s.name.as_deref().unwrap_or("")),
                        ));
                    }
                    s.matchers.push(lang::matcher::build(&label, op, &value, v.span, self.room)?);
                }
            }
            if !self.eat(",") && !self.is_sign("}") {
                return Err(self.unexpected(PLACE, "\",\" or \"}\""));
            }
        }
        Ok(())
    }

    /// Whatever may follow a primary expression.
    pub(super) fn postfix(&mut self, mut e: Expr) -> Parsed<Expr> {
        loop {
            let start = e.span;
            if self.is_sign("[") {
                e = self.bracket(e)?;
            } else if self.is_word("offset") {
                self.bump();
                let d = self.offset_duration()?;
                let shift = shift_of(&mut e).ok_or_else(|| no_shift("offset", start))?;
                if shift.offset.replace(d).is_some() {
                    return Err(Diagnostic::new(start, "offset may not be set multiple times"));
                }
            } else if self.is_sign("@") {
                self.bump();
                let at = self.at_time()?;
                let shift = shift_of(&mut e).ok_or_else(|| no_shift("@", start))?;
                if shift.at.replace(at).is_some() {
                    return Err(Diagnostic::new(start, "@ <timestamp> may not be set multiple times"));
                }
            } else if self.is_word("anchored") || self.is_word("smoothed") {
                let edge = if self.is_word("anchored") { Edge::Anchored } else { Edge::Smoothed };
                self.bump();
                set_edge(&mut e, edge)?;
            } else {
                return Ok(e);
            }
            e.span = start.to(self.last_span());
        }
    }

    /// `[range]` or `[range:step]`.
    fn bracket(&mut self, mut e: Expr) -> Parsed<Expr> {
        let open = self.bump().span;
        let range = self.duration(0)?;
        if self.eat(":") {
            let step = if self.is_sign("]") { None } else { Some(self.duration(0)?) };
            let end = self.expect("]", "subquery selector")?;
            let span = e.span.to(end);
            let q = Subquery { expr: e, range, step, shift: Shift::default() };
            return self.node(ExprKind::Subquery(Box::new(q)), span);
        }
        self.expect("]", "subquery or range")?;
        match &mut e.kind {
            ExprKind::Selector(s) if s.range.is_some() || s.edge != Edge::Inside => {
                Err(Diagnostic::new(open, "ranges only allowed for vector selectors"))
            }
            ExprKind::Selector(s) if s.shift.offset.is_some() => Err(Diagnostic::new(open, "no offset modifiers allowed before range")),
            ExprKind::Selector(s) if s.shift.at.is_some() => Err(Diagnostic::new(open, "no @ modifiers allowed before range")),
            ExprKind::Selector(s) => {
                s.range = Some(range);
                Ok(e)
            }
            _ => Err(Diagnostic::new(open, "ranges only allowed for vector selectors")),
        }
    }

    fn at_time(&mut self) -> Parsed<At> {
        for (word, at) in [("start", At::Start), ("end", At::End)] {
            if self.is_call(word) {
                self.bump();
                self.bump();
                self.expect(")", "@")?;
                return Ok(at);
            }
        }
        let span = self.peek().span;
        let v = self.signed_number("@")?;
        if !v.is_finite() || v.abs() > (i64::MAX / 1000) as f64 {
            return Err(Diagnostic::new(span, format!("timestamp out of bounds for @ modifier: {v}")));
        }
        Ok(At::Time(v))
    }

    /// After `offset` an operator ends the duration unless it is in parentheses: `a offset 5m + 2` adds 2 to `a`.
    fn offset_duration(&mut self) -> Parsed<DurationExpr> {
        if self.eat("-") {
            return Ok(DurationExpr::Minus(Box::new(self.duration_primary()?)));
        }
        self.eat("+");
        self.duration_primary()
    }

    /// A calculated duration of operators that bind at least as strongly as `least`.
    fn duration(&mut self, least: u8) -> Parsed<DurationExpr> {
        self.deeper(|p| {
            let mut left = if p.is_sign("-") || p.is_sign("+") {
                let minus = p.bump().kind == Kind::Sign("-");
                let d = p.duration(6)?;
                if minus { DurationExpr::Minus(Box::new(d)) } else { d }
            } else {
                p.duration_primary()?
            };
            loop {
                let (op, strength) = match p.peek().kind {
                    Kind::Sign("+") => ('+', 4),
                    Kind::Sign("-") => ('-', 4),
                    Kind::Sign("*") => ('*', 5),
                    Kind::Sign("/") => ('/', 5),
                    Kind::Sign("%") => ('%', 5),
                    Kind::Sign("^") => ('^', 6),
                    _ => return Ok(left),
                };
                if strength < least {
                    return Ok(left);
                }
                p.bump();
                p.count_duration_operator()?;
                let right = p.duration(strength + u8::from(op != '^'))?;
                left = DurationExpr::Binary(op, Box::new(left), Box::new(right));
            }
        })
    }

    fn duration_primary(&mut self) -> Parsed<DurationExpr> {
        let t = self.peek().clone();
        match t.kind {
            Kind::Number(v) => {
                self.bump();
                Ok(DurationExpr::Number(v))
            }
            Kind::Duration(ms) => {
                self.bump();
                Ok(DurationExpr::Literal(ms))
            }
            Kind::Sign("(") => {
                self.bump();
                let d = self.duration(0)?;
                self.expect(")", "duration expression")?;
                Ok(d)
            }
            Kind::Ident => self.duration_call(),
            _ => Err(self.unexpected("", "a duration")),
        }
    }

    fn duration_call(&mut self) -> Parsed<DurationExpr> {
        let word = ["step", "range", "min_of", "max_of"].into_iter().find(|w| self.is_call(w));
        let Some(word) = word else {
            return Err(self.unexpected("", "a duration"));
        };
        self.bump();
        self.bump();
        let d = if word == "step" {
            DurationExpr::Step
        } else if word == "range" {
            DurationExpr::Range
        } else {
            let a = Box::new(self.duration(0)?);
            self.expect(",", "duration expression")?;
            let b = Box::new(self.duration(0)?);
            if word == "min_of" { DurationExpr::Min(a, b) } else { DurationExpr::Max(a, b) }
        };
        self.expect(")", "duration expression")?;
        Ok(d)
    }
}

/// Refuses a selector that every series would match.
pub(super) fn check_selective(s: &Selector, span: Span) -> Parsed<()> {
    if s.matchers.iter().all(|m| m.matches_empty()) {
        return Err(Diagnostic::new(span, "vector selector must contain at least one non-empty matcher"));
    }
    Ok(())
}

fn shift_of(e: &mut Expr) -> Option<&mut Shift> {
    match &mut e.kind {
        ExprKind::Selector(s) => Some(&mut s.shift),
        ExprKind::Subquery(q) => Some(&mut q.shift),
        _ => None,
    }
}

fn no_shift(what: &str, span: Span) -> Diagnostic {
    Diagnostic::new(span, format!("{what} modifier must be preceded by an instant vector selector or range vector selector or a subquery"))
}

fn set_edge(e: &mut Expr, edge: Edge) -> Parsed<()> {
    let span = e.span;
    let word = if edge == Edge::Anchored { "anchored" } else { "smoothed" };
    match &mut e.kind {
        ExprKind::Selector(s) if s.edge != Edge::Inside => {
            Err(Diagnostic::new(span, "anchored and smoothed modifiers may not be set twice"))
        }
        ExprKind::Selector(s) if edge == Edge::Anchored && s.range.is_none() => {
            Err(Diagnostic::new(span, "anchored modifier must be preceded by a range vector selector"))
        }
        ExprKind::Selector(s) => {
            s.edge = edge;
            Ok(())
        }
        _ => Err(Diagnostic::new(span, format!("{word} modifier must be preceded by a selector"))),
    }
}
