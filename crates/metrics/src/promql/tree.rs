//! A query's tree as JSON, in the form of Prometheus' `parse_query`.

use serde_json::{Value, json};

use crate::promql::ast::{At, Cardinality, DurationExpr, Expr, ExprKind, Matching, Selector, Shift};
use crate::promql::function::{self, More};

/// The tree.
pub fn tree(e: &Expr) -> Value {
    match &e.kind {
        ExprKind::Number(v) => json!({"type": "numberLiteral", "val": lang::number::format(*v)}),
        ExprKind::Duration(ms) => json!({"type": "numberLiteral", "val": lang::number::format(*ms as f64 / 1000.0)}),
        ExprKind::Str(s) => json!({"type": "stringLiteral", "val": s}),
        ExprKind::Selector(s) => selector(s),
        ExprKind::Subquery(q) => {
            let mut out = json!({
                "type": "subquery",
                "expr": tree(&q.expr),
                "range": duration(Some(&q.range)),
                "step": duration(q.step.as_ref()),
            });
            shift(&q.shift, &mut out);
            out
        }
        ExprKind::Paren(e) => json!({"type": "parenExpr", "expr": tree(e)}),
        ExprKind::Unary(minus, e) => json!({"type": "unaryExpr", "op": if *minus { "-" } else { "+" }, "expr": tree(e)}),
        ExprKind::Binary(b) => json!({
            "type": "binaryExpr",
            "op": b.op.text(),
            "lhs": tree(&b.left),
            "rhs": tree(&b.right),
            "matching": matching(&b.matching, b.op.is_set()),
            "bool": b.returns_bool,
        }),
        ExprKind::Aggregate(a) => json!({
            "type": "aggregation",
            "op": a.op.text(),
            "expr": tree(&a.expr),
            "param": a.param.as_ref().map(tree),
            "grouping": a.labels,
            "without": a.without,
        }),
        ExprKind::Call(name, args) => json!({
            "type": "call",
            "func": func(name),
            "args": args.iter().map(tree).collect::<Vec<_>>(),
        }),
    }
}

fn func(name: &str) -> Value {
    let Some(f) = function::find(name) else { return json!({"name": name, "argTypes": [], "variadic": 0, "returnType": "none"}) };
    let word = |t: function::Type| match t {
        function::Type::Scalar => "scalar",
        function::Type::Vector => "vector",
        function::Type::Matrix => "matrix",
        function::Type::Text => "string",
    };
    let variadic = match f.more {
        More::No => 0,
        More::Optional => 1,
        More::Any => -1,
        More::UpTo(n) => n as i64,
    };
    json!({
        "name": f.name,
        "argTypes": f.args.iter().map(|t| word(*t)).collect::<Vec<_>>(),
        "variadic": variadic,
        "returnType": word(f.returns),
    })
}

fn selector(s: &Selector) -> Value {
    let matchers: Vec<Value> = s
        .matchers
        .iter()
        .map(|m| {
            let op = match m.op {
                base::MatchOp::Eq => "=",
                base::MatchOp::Ne => "!=",
                base::MatchOp::Re => "=~",
                base::MatchOp::NotRe => "!~",
            };
            json!({"name": m.name, "value": m.value, "type": op})
        })
        .collect();
    let mut out = json!({"name": s.name.as_deref().unwrap_or(""), "matchers": matchers});
    match &s.range {
        Some(r) => {
            out["type"] = json!("matrixSelector");
            out["range"] = duration(Some(r));
        }
        None => out["type"] = json!("vectorSelector"),
    }
    shift(&s.shift, &mut out);
    out
}

/// Milliseconds of a duration that is written as one; a calculated one is its text, for its value depends on the query's times.
fn duration(d: Option<&DurationExpr>) -> Value {
    match d {
        None => json!(0),
        Some(DurationExpr::Number(s)) => json!((s * 1000.0) as i64),
        Some(DurationExpr::Literal(ms)) => json!(ms),
        Some(DurationExpr::Minus(inner)) => match duration(Some(inner)).as_i64() {
            Some(ms) => json!(-ms),
            None => json!(format!("-{inner}")),
        },
        Some(other) => json!(other.to_string()),
    }
}

fn shift(s: &Shift, out: &mut Value) {
    out["offset"] = duration(s.offset.as_ref());
    out["timestamp"] = match s.at {
        Some(At::Time(t)) => json!((t * 1000.0).round() as i64),
        _ => Value::Null,
    };
    out["startOrEnd"] = match s.at {
        Some(At::Start) => json!("start"),
        Some(At::End) => json!("end"),
        _ => Value::Null,
    };
}

/// Null where nothing is said of matching, as between scalars.
fn matching(m: &Matching, is_set: bool) -> Value {
    if m.on.is_none() && m.cardinality == Cardinality::OneToOne && m.fill_left.is_none() && m.fill_right.is_none() && !is_set {
        return Value::Null;
    }
    let card = match m.cardinality {
        _ if is_set => "many-to-many",
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
    };
    json!({
        "card": card,
        "labels": m.labels,
        "on": m.on == Some(true),
        "include": m.include,
        "fillValues": {"lhs": m.fill_left, "rhs": m.fill_right},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse;

    #[test]
    fn a_tree_has_the_fields_that_the_query_builder_reads() {
        let t = tree(&parse("sum by (a) (rate(x{b=~\"c\"}[5m] offset 1m)) > bool on (d) group_left (e) -topk(2, y @ end()) + 1m").unwrap());
        assert_eq!(t["type"], "binaryExpr");
        assert_eq!((&t["op"], &t["bool"]), (&json!(">"), &json!(true)));
        assert_eq!(
            t["matching"],
            json!({"card": "many-to-one", "labels": ["d"], "on": true, "include": ["e"], "fillValues": {"lhs": null, "rhs": null}})
        );
        assert_eq!((&t["lhs"]["op"], &t["lhs"]["grouping"], &t["lhs"]["without"]), (&json!("sum"), &json!(["a"]), &json!(false)));
        let rate = &t["lhs"]["expr"];
        assert_eq!(rate["func"], json!({"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"}));
        assert_eq!(
            rate["args"][0],
            json!({
                "type": "matrixSelector", "name": "x", "range": 300_000, "offset": 60_000, "timestamp": null, "startOrEnd": null,
                "matchers": [{"name": "__name__", "value": "x", "type": "="}, {"name": "b", "value": "c", "type": "=~"}],
            })
        );
        let right = &t["rhs"];
        assert_eq!(right["rhs"], json!({"type": "numberLiteral", "val": "60"}));
        assert_eq!(right["lhs"]["op"], "-");
        assert_eq!(right["lhs"]["expr"]["param"], json!({"type": "numberLiteral", "val": "2"}));
        assert_eq!(right["lhs"]["expr"]["expr"]["startOrEnd"], "end");
    }
}
