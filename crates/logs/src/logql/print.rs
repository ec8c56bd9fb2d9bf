//! Prints a tree as text that parses back to the same tree.

use std::fmt::{self, Display, Formatter};

use base::Matcher;
use lang::duration::{format_go, format_prom, parse_go};
use lang::literal::quote;

use super::ast::*;

fn joined<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    separator: &str,
    mut one: impl FnMut(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        one(f, item)?;
    }
    Ok(())
}

fn matcher(f: &mut Formatter<'_>, m: &Matcher) -> fmt::Result {
    write!(f, "{}{}{}", m.name, match_op(m.op), quote(&m.value))
}

/// A number the lexer reads back, sign included.
struct Num(f64);

/// `5m` rather than `5m0s`, where that says the same.
fn duration(ns: i64) -> String {
    let short = format_prom(ns);
    if parse_go(&short) == Some(ns) { short } else { format_go(ns) }
}

impl Display for Num {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Log(e) => e.fmt(f),
            Expr::Metric(e) => e.fmt(f),
        }
    }
}

impl Display for LogExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // `| drop a != "x"` would drop by a matcher, so what comes before such a line filter goes into parentheses.
        let closes = |i: usize| match (&self.stages[i].value, self.stages.get(i + 1).map(|s| &s.value)) {
            (StageExpr::Drop(p) | StageExpr::Keep(p), Some(StageExpr::LineFilter(l))) => {
                matches!(p.last(), Some(Pick::Name(_))) && matches!(l.op, LineOp::NotContains | LineOp::NotRegex)
            }
            _ => false,
        };
        let parentheses = (0..self.stages.len()).filter(|&i| closes(i)).count();
        f.write_str(&"(".repeat(parentheses))?;
        f.write_str("{")?;
        joined(f, &self.matchers, ", ", matcher)?;
        f.write_str("}")?;
        self.stages.iter().enumerate().try_for_each(|(i, s)| write!(f, " {}{}", s.value, if closes(i) { ")" } else { "" }))
    }
}

impl Display for StageExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            StageExpr::LineFilter(l) => l.fmt(f),
            StageExpr::Json(fields) => {
                f.write_str("| json")?;
                extractions(f, fields)
            }
            StageExpr::Logfmt { strict, keep_empty, fields } => {
                write!(f, "| logfmt{}{}", if *strict { " --strict" } else { "" }, if *keep_empty { " --keep-empty" } else { "" })?;
                extractions(f, fields)
            }
            StageExpr::Regexp(p) => write!(f, "| regexp {}", quote(p)),
            StageExpr::Pattern(p) => write!(f, "| pattern {}", quote(p)),
            StageExpr::Unpack => f.write_str("| unpack"),
            StageExpr::LabelFilter(l) if starts_like_a_stage(l) => write!(f, "| ({l})"),
            StageExpr::LabelFilter(l) => write!(f, "| {l}"),
            StageExpr::LineFormat(t) => write!(f, "| line_format {}", quote(t)),
            StageExpr::LabelFormat(l) => {
                f.write_str("| label_format ")?;
                joined(f, l, ", ", |f, l| match &l.from {
                    FormatSource::Label(s) => write!(f, "{}={s}", l.name),
                    FormatSource::Template(t) => write!(f, "{}={}", l.name, quote(&t.value)),
                })
            }
            StageExpr::Decolorize => f.write_str("| decolorize"),
            StageExpr::Drop(p) => {
                f.write_str("| drop ")?;
                joined(f, p, ", ", pick)
            }
            StageExpr::Keep(p) => {
                f.write_str("| keep ")?;
                joined(f, p, ", ", pick)
            }
        }
    }
}

/// `| json!="x"` would be the stage `json`.
fn starts_like_a_stage(filter: &LabelFilter) -> bool {
    match filter {
        LabelFilter::Match(m) => super::parser::STAGES_ALONE.contains(&m.name.as_str()),
        LabelFilter::Compare { name, .. } | LabelFilter::Ip { name, .. } => super::parser::STAGES_ALONE.contains(&name.as_str()),
        LabelFilter::And(..) | LabelFilter::Or(..) => false,
    }
}

fn pick(f: &mut Formatter<'_>, p: &Pick) -> fmt::Result {
    match p {
        Pick::Name(n) => f.write_str(n),
        Pick::Match(m) => matcher(f, m),
    }
}

fn extractions(f: &mut Formatter<'_>, fields: &[Extraction]) -> fmt::Result {
    joined(f, fields, ",", |f, e| write!(f, " {}={}", e.name, quote(&e.path.value)))
}

impl Display for LineFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", name_of(&LineOp::ALL, self.op))?;
        joined(f, &self.operands, " or ", |f, o| match &o.value {
            Operand::Text(t) => f.write_str(&quote(t)),
            Operand::Ip(p) => write!(f, "ip({})", quote(p)),
        })
    }
}

impl Display for LabelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            LabelFilter::Match(m) => matcher(f, m),
            LabelFilter::Compare { name, op, value } => {
                write!(f, "{name}{}", name_of(&CompareOp::ALL, *op))?;
                match value {
                    Quantity::Number(n) => Num(*n).fmt(f),
                    Quantity::Duration(d) => f.write_str(&format_go(*d)),
                    Quantity::Size(s) => write!(f, "{s}B"),
                }
            }
            LabelFilter::Ip { name, negative, pattern } => {
                write!(f, "{name}{}ip({})", if *negative { "!=" } else { "=" }, quote(&pattern.value))
            }
            LabelFilter::And(a, b) => write!(f, "({a} and {b})"),
            LabelFilter::Or(a, b) => write!(f, "({a} or {b})"),
        }
    }
}

impl Display for MetricExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            MetricExpr::Literal(n) => Num(*n).fmt(f),
            MetricExpr::Vector(n) => write!(f, "vector({})", Num(*n)),
            MetricExpr::Range(r) => r.fmt(f),
            MetricExpr::Aggregate(a) => a.fmt(f),
            MetricExpr::Binary(b) => b.fmt(f),
            MetricExpr::LabelReplace(l) => write!(
                f,
                "label_replace({}, {}, {}, {}, {})",
                l.inner,
                quote(&l.target),
                quote(&l.replacement),
                quote(&l.source),
                quote(&l.pattern.value)
            ),
        }
    }
}

impl Display for RangeExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op.name())?;
        if let Some(p) = self.parameter {
            write!(f, "{}, ", Num(p))?;
        }
        self.log.fmt(f)?;
        if let Some(u) = &self.unwrap {
            u.fmt(f)?;
        }
        write!(f, " [{}]", duration(self.range_ns))?;
        if self.offset_ns != 0 {
            write!(f, " offset {}", duration(self.offset_ns))?;
        }
        f.write_str(")")?;
        self.grouping.iter().try_for_each(|g| write!(f, " {g}"))
    }
}

impl Display for Unwrap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.conversion {
            Conversion::Number => write!(f, " | unwrap {}", self.name)?,
            Conversion::Duration => write!(f, " | unwrap duration({})", self.name)?,
            Conversion::DurationSeconds => write!(f, " | unwrap duration_seconds({})", self.name)?,
            Conversion::Bytes => write!(f, " | unwrap bytes({})", self.name)?,
        }
        self.filters.iter().try_for_each(|l| write!(f, " | {l}"))
    }
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", if self.without { "without" } else { "by" }, self.labels.join(", "))
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.name())?;
        self.grouping.iter().try_for_each(|g| write!(f, " {g} "))?;
        f.write_str("(")?;
        if let Some(k) = self.parameter {
            write!(f, "{k}, ")?;
        }
        write!(f, "{})", self.inner)
    }
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "({} {}", self.left, self.op.name())?;
        if self.returns_bool {
            f.write_str(" bool")?;
        }
        let m = &self.matching;
        if m.on || !m.labels.is_empty() || m.group.is_some() {
            write!(f, " {} ({})", if m.on { "on" } else { "ignoring" }, m.labels.join(", "))?;
        }
        if let Some(side) = m.group {
            write!(f, " group_{} ({})", if side == Side::Left { "left" } else { "right" }, m.include.join(", "))?;
        }
        write!(f, " {})", self.right)
    }
}
