//! Checks of a whole tree that need no data.

use base::Matcher;
use lang::{Diagnostic, Parsed, Span};

use super::ast::*;
use crate::stage::ip::IpMatcher;
use crate::stage::template;

/// Refuses selectors that select everything, and addresses that are none.
pub fn check(expr: &Expr, source: &str) -> Parsed<()> {
    match expr {
        Expr::Log(log) => check_log(log, source),
        Expr::Metric(m) => check_metric(m, source),
    }
}

fn check_metric(expr: &MetricExpr, source: &str) -> Parsed<()> {
    match expr {
        MetricExpr::Literal(_) | MetricExpr::Vector(_) => Ok(()),
        MetricExpr::Range(r) => {
            check_log(&r.log, source)?;
            r.unwrap.iter().flat_map(|u| &u.filters).try_for_each(check_label_filter)
        }
        MetricExpr::Aggregate(a) => check_metric(&a.inner, source),
        MetricExpr::LabelReplace(l) => check_metric(&l.inner, source),
        MetricExpr::Binary(b) => {
            check_metric(&b.left, source)?;
            check_metric(&b.right, source)
        }
    }
}

fn check_log(log: &LogExpr, source: &str) -> Parsed<()> {
    if !log.matchers.iter().any(|m: &Matcher| !m.matches_empty()) {
        let at = source.find('{').unwrap_or(0);
        let span = Span::new(at, source[at..].find('}').map_or(source.len(), |n| at + n + 1));
        return Err(Diagnostic::new(
            span,
            "queries require at least one regexp or equality matcher that does not have an empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will",
        ));
    }
    for stage in &log.stages {
        match &stage.value {
            StageExpr::LineFilter(l) => {
                for o in &l.operands {
                    if let Operand::Ip(p) = &o.value {
                        check_ip(p, o.span)?;
                        if !matches!(l.op, LineOp::Contains | LineOp::NotContains | LineOp::Regex | LineOp::NotRegex) {
                            return Err(Diagnostic::expected(o.span, "a pattern", "ip(..)"));
                        }
                    }
                    if let (Operand::Text(t), LineOp::Pattern | LineOp::NotPattern) = (&o.value, l.op) {
                        crate::stage::pattern::Pattern::of_line(t).map_err(|m| Diagnostic::new(o.span, m))?;
                    }
                }
            }
            StageExpr::LabelFilter(l) => check_label_filter(l)?,
            StageExpr::Json(fields) => {
                for e in fields {
                    crate::stage::json_path::parse(&e.path.value)
                        .map_err(|m| Diagnostic::new(e.path.span, format!("cannot parse expression [{}]: {m}", e.path.value)))?;
                }
            }
            StageExpr::LineFormat(t) => template::check(t, source, stage.span)?,
            StageExpr::LabelFormat(formats) => {
                for f in formats {
                    if let FormatSource::Template(t) = &f.from {
                        template::check(&t.value, source, t.span)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_label_filter(filter: &LabelFilter) -> Parsed<()> {
    match filter {
        LabelFilter::Match(_) | LabelFilter::Compare { .. } => Ok(()),
        LabelFilter::Ip { pattern, .. } => check_ip(&pattern.value, pattern.span),
        LabelFilter::And(a, b) | LabelFilter::Or(a, b) => {
            check_label_filter(a)?;
            check_label_filter(b)
        }
    }
}

fn check_ip(pattern: &str, span: Span) -> Parsed<()> {
    IpMatcher::parse(pattern)
        .map(|_| ())
        .map_err(|m| Diagnostic::new(span, m).hint("write 192.168.0.1, 192.168.0.1-192.168.0.9 or 192.168.0.0/16"))
}
