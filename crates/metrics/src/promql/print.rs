//! Prints a tree as text that parses back to it.

use std::fmt::{self, Display, Formatter, Write};

use base::labels::METRIC_NAME;
use base::{MatchOp, Matcher};

use crate::promql::ast::{Aggregate, At, Binary, Cardinality, DurationExpr, Edge, Expr, ExprKind, Matching, Selector, Shift};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(v) => number(*v, f),
            ExprKind::Duration(ms) => f.write_str(&lang::duration::format_prom(ms.saturating_mul(1_000_000))),
            ExprKind::Str(s) => f.write_str(&lang::literal::quote(s)),
            ExprKind::Selector(s) => s.fmt(f),
            ExprKind::Subquery(q) => {
                write!(f, "{}[{}:", q.expr, q.range)?;
                if let Some(s) = &q.step {
                    write!(f, "{s}")?;
                }
                write!(f, "]{}", q.shift)
            }
            ExprKind::Paren(e) => write!(f, "({e})"),
            ExprKind::Unary(minus, e) => write!(f, "{}{e}", if *minus { "-" } else { "+" }),
            ExprKind::Binary(b) => b.fmt(f),
            ExprKind::Aggregate(a) => a.fmt(f),
            ExprKind::Call(name, args) => {
                write!(f, "{name}(")?;
                list(args, f)?;
                f.write_char(')')
            }
        }
    }
}

fn number(v: f64, f: &mut Formatter<'_>) -> fmt::Result {
    if v.is_nan() {
        return f.write_str("NaN");
    }
    if v.is_infinite() {
        return f.write_str(if v > 0.0 { "Inf" } else { "-Inf" });
    }
    if v != 0.0 && (v.abs() < 1e-4 || v.abs() >= 1e21) { write!(f, "{v:e}") } else { write!(f, "{v}") }
}

fn list<T: Display>(items: &[T], f: &mut Formatter<'_>) -> fmt::Result {
    for (i, x) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        x.fmt(f)?;
    }
    Ok(())
}

fn is_plain_label(name: &str) -> bool {
    let mut c = name.chars();
    c.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_') && c.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_plain_metric(name: &str) -> bool {
    const RESERVED: [&str; 6] = ["inf", "nan", "and", "or", "unless", "atan2"];
    is_plain_label(&name.replace(':', "_")) && !RESERVED.iter().any(|r| name.eq_ignore_ascii_case(r))
}

fn label_list(labels: &[String], f: &mut Formatter<'_>) -> fmt::Result {
    let names: Vec<String> = labels.iter().map(|l| if is_plain_label(l) { l.clone() } else { lang::literal::quote(l) }).collect();
    f.write_char('(')?;
    list(&names, f)?;
    f.write_char(')')
}

impl Display for Selector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // The name that was written as a name: after it there is no further matcher that says what the name is. It is printed as a name
        // again, before the braces if it comes first.
        let is_name = |m: &Matcher| m.op == MatchOp::Eq && m.name == METRIC_NAME && Some(m.value.as_str()) == self.name.as_deref();
        let at = self.matchers.iter().rposition(is_name);
        let plain = self.name.as_deref().filter(|n| at == Some(0) && is_plain_metric(n));
        f.write_str(plain.unwrap_or(""))?;
        let mut inner: Vec<String> = vec![];
        for (i, m) in self.matchers.iter().enumerate() {
            if Some(i) == at {
                if plain.is_none() {
                    inner.push(lang::literal::quote(&m.value));
                }
                continue;
            }
            let name = if is_plain_label(&m.name) { m.name.clone() } else { lang::literal::quote(&m.name) };
            let op = match m.op {
                MatchOp::Eq => "=",
                MatchOp::Ne => "!=",
                MatchOp::Re => "=~",
                MatchOp::NotRe => "!~",
            };
            inner.push(format!("{name}{op}{}", lang::literal::quote(&m.value)));
        }
        if !inner.is_empty() || plain.is_none() {
            f.write_char('{')?;
            list(&inner, f)?;
            f.write_char('}')?;
        }
        if let Some(r) = &self.range {
            write!(f, "[{r}]")?;
        }
        f.write_str(match self.edge {
            Edge::Inside => "",
            Edge::Anchored => " anchored",
            Edge::Smoothed => " smoothed",
        })?;
        self.shift.fmt(f)
    }
}

impl Display for Shift {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.at {
            None => {}
            Some(At::Time(t)) => {
                f.write_str(" @ ")?;
                write!(f, "{t}")?;
            }
            Some(At::Start) => f.write_str(" @ start()")?,
            Some(At::End) => f.write_str(" @ end()")?,
        }
        match &self.offset {
            None => Ok(()),
            Some(DurationExpr::Minus(d)) => {
                f.write_str(" offset -")?;
                primary(d, f)
            }
            Some(d) => {
                f.write_str(" offset ")?;
                primary(d, f)
            }
        }
    }
}

/// A duration that stands as one operand.
fn primary(d: &DurationExpr, f: &mut Formatter<'_>) -> fmt::Result {
    match d {
        DurationExpr::Binary(..) | DurationExpr::Minus(_) => write!(f, "({d})"),
        _ => d.fmt(f),
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            DurationExpr::Number(v) => number(*v, f),
            DurationExpr::Literal(ms) => f.write_str(&lang::duration::format_prom(ms.saturating_mul(1_000_000))),
            DurationExpr::Step => f.write_str("step()"),
            DurationExpr::Range => f.write_str("range()"),
            DurationExpr::Minus(d) => {
                f.write_char('-')?;
                primary(d, f)
            }
            DurationExpr::Binary(op, a, b) => {
                primary(a, f)?;
                write!(f, " {op} ")?;
                primary(b, f)
            }
            DurationExpr::Min(a, b) => write!(f, "min_of({a}, {b})"),
            DurationExpr::Max(a, b) => write!(f, "max_of({a}, {b})"),
        }
    }
}

impl Display for Matching {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(on) = self.on {
            f.write_str(if on { " on " } else { " ignoring " })?;
            label_list(&self.labels, f)?;
        }
        match self.cardinality {
            Cardinality::OneToOne => {}
            Cardinality::ManyToOne => f.write_str(" group_left ")?,
            Cardinality::OneToMany => f.write_str(" group_right ")?,
        }
        if self.cardinality != Cardinality::OneToOne {
            label_list(&self.include, f)?;
        }
        for (word, value) in [("fill_left", self.fill_left), ("fill_right", self.fill_right)] {
            if let Some(v) = value {
                write!(f, " {word}(")?;
                number(v, f)?;
                f.write_char(')')?;
            }
        }
        Ok(())
    }
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = if self.returns_bool { " bool" } else { "" };
        write!(f, "{} {}{word}{} {}", self.left, self.op.text(), self.matching, self.right)
    }
}

/// What is before the parenthesis: `sum by (x) `.
struct Head<'a>(&'a Aggregate);

impl Display for Head<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let a = self.0;
        f.write_str(a.op.text())?;
        if a.without || !a.labels.is_empty() {
            f.write_str(if a.without { " without " } else { " by " })?;
            label_list(&a.labels, f)?;
            f.write_char(' ')?;
        }
        Ok(())
    }
}

impl Aggregate {
    /// What is printed before its parts.
    pub(super) fn head(&self) -> String {
        Head(self).to_string()
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", Head(self))?;
        if let Some(p) = &self.param {
            write!(f, "{p}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}
