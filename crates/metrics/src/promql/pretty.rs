//! Queries written out evenly: what fits a line stays on one, what does not is broken at its parts, as Prometheus does it.

use crate::limits::PRETTY_LINE;
use crate::promql::ast::{Expr, ExprKind, Matching};

/// The query, on as many lines as it needs.
pub fn pretty(e: &Expr) -> String {
    at(e, 0)
}

fn at(e: &Expr, level: usize) -> String {
    let indent = "  ".repeat(level);
    let whole = e.to_string();
    if whole.len() <= PRETTY_LINE {
        return indent + &whole;
    }
    match &e.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::Str(_) | ExprKind::Selector(_) => indent + &whole,
        ExprKind::Paren(inner) => format!("{indent}(\n{}\n{indent})", at(inner, level + 1)),
        ExprKind::Unary(minus, inner) => format!("{indent}{}{}", if *minus { "-" } else { "+" }, at(inner, level).trim_start()),
        ExprKind::Call(name, args) => {
            let args: Vec<String> = args.iter().map(|a| at(a, level + 1)).collect();
            format!("{indent}{name}(\n{}\n{indent})", args.join(",\n"))
        }
        ExprKind::Aggregate(a) => {
            // The head is what is printed before the parts: `sum by (x) `.
            let head = a.head();
            let parts: Vec<String> = a.param.iter().chain([&a.expr]).map(|p| at(p, level + 1)).collect();
            format!("{indent}{head}(\n{}\n{indent})", parts.join(",\n"))
        }
        ExprKind::Binary(b) => {
            let word = if b.returns_bool { " bool" } else { "" };
            let matching: &Matching = &b.matching;
            format!("{}\n{indent}{}{word}{matching}\n{}", at(&b.left, level + 1), b.op.text(), at(&b.right, level + 1))
        }
        ExprKind::Subquery(q) => {
            let inner = q.expr.to_string();
            format!("{}{}", at(&q.expr, level), whole.strip_prefix(&inner).unwrap_or(""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse;

    #[test]
    fn long_queries_are_broken_and_mean_the_same() {
        let long = "http_request_duration_seconds_bucket{job=\"a-rather-long-name\",namespace=\"production\",pod=~\"pod-.*\"}";
        for (query, want) in [
            ("sum(rate(a[5m]))by(x)", "sum by (x) (rate(a[5m]))".to_owned()),
            ("foo/bar", "foo / bar".to_owned()),
            (
                &format!("sum by (le) (rate({long}[5m])) / 2"),
                format!("  sum by (le) (\n    rate(\n      {}[5m]\n    )\n  )\n/\n  2", long.replace(",", ", "))
                    .replace("\n      http", "\n      http"),
            ),
        ] {
            let e = parse(query).unwrap();
            let got = pretty(&e);
            assert_eq!(parse(&got).unwrap(), e, "{got}");
            assert_eq!(got.replace(", ", ","), want.replace(", ", ","), "{got}");
        }
    }
}
