use lang::Span;
use proptest::prelude::*;

use super::ast::*;
use super::{parse, parse_at};

#[test]
fn printed_queries_read_back() {
    for q in [
        r#"{a="b", c!="d", e=~"f.*", g!~"h"}"#,
        r#"{a="b"} |= "x" or ip("10.0.0.0/8") != "y" |~ `\d+` !~ "z" |> "<_> foo <_>" !> "a""#,
        r#"{a="b"} | json | json x="y.z[0]", w | logfmt --strict --keep-empty a="b" | regexp "(?P<x>.)" | pattern "<a> <_>" | unpack"#,
        r#"{a="b"} | x="1" and (y>5 or z<=-5ms), w!=10MB | ip!=ip("::1") | line_format "{{.x}}\n" | label_format a=b,c="{{.d}}""#,
        r#"{a="b"} | decolorize | drop x, y="z" | keep w, v=~"u""#,
        r#"sum by (a, b) (rate({a="b"} |= "x" [5m] offset -1h30m))"#,
        r#"quantile_over_time(0.95, {a="b"} | json | unwrap duration(l) | __error__="" [5m]) by (app)"#,
        r#"topk(3, max without () (count_over_time({a="b"}[1w]))) > bool on (x) group_left (y) vector(-2) ^ 2 ^ 3"#,
        r#"label_replace(bytes_rate({a="b"}[1s]), "x", "$1", "y", "(.*)") unless ignoring (z) absent_over_time({a="b"}[1d])"#,
        r#"{a="b"} | json != "x" | (json!="x") | logfmt = "y" | unpack !~ "z""#,
        r#"(({a="b"} | drop x) != "y" | keep z) !~ "w""#,
        "1 + 2 - -3 * 4 / (5 % 6)",
        r#"count_over_time(({a="b"} |= "x")[5m]) - count_over_time({a="b"}[5m] | json | x>1)"#,
    ] {
        let tree = parse(q).unwrap_or_else(|e| panic!("{q}: {e}"));
        let printed = tree.to_string();
        assert_eq!(parse(&printed).unwrap_or_else(|e| panic!("{printed}: {e}")), tree, "{printed}");
    }
}

#[test]
fn errors_point_at_their_place() {
    for (q, at, text) in [
        (r#"{a="b"} | jsno"#, 10, "unexpected `jsno`"),
        (r#"rate({a="b"}[5])"#, 13, "expected a duration such as 5m, got the number 5"),
        (r#"{a="b"#, 3, "not closed"),
        (r#"{a="b"} |~ "(""#, 11, "invalid regular expression"),
        (r#"{a=~".*"}"#, 0, "at least one regexp or equality matcher"),
        (r#"rate({a="b"})"#, 5, "expected a window"),
        (r#"sum_over_time({a="b"}[1m])"#, 0, "invalid aggregation sum_over_time without unwrap"),
        (r#"{a="b"} / 2"#, 0, "this is a log query"),
        (r#"vector(1) or 2"#, 10, "unexpected literal for right leg"),
        (r#"{a="b"} | x >= "5""#, 12, "before a string"),
        (r#"{a="b"} | addr = ip("1.2.3.4.5")"#, 20, "invalid"),
        ("", 0, "expected a log selector"),
    ] {
        let d = parse_at(q).expect_err(q);
        assert!(d.message.contains(text), "{q}: {d}");
        assert_eq!(d.span.start, at, "{q}: {d}");
    }
}

#[test]
fn operators_bind_as_in_the_original() {
    for (q, same) in [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("2 ^ 3 ^ 2", "2 ^ (3 ^ 2)"),
        ("1 - 2 - 3", "(1 - 2) - 3"),
        ("1 > 2 + 3 == 4", "(1 > (2 + 3)) == 4"),
        ("vector(1) or vector(2) and vector(3)", "vector(1) or (vector(2) and vector(3))"),
        (r#"{a="b"} | x=1 or y=2 and z=3"#, r#"{a="b"} | x=1 or (y=2 and z=3)"#),
        (r#"{a="b"} | x=1, y=2 or z=3"#, r#"{a="b"} | x=1 and (y=2 or z=3)"#),
        (r#"{a="b"} | x=1 y=2"#, r#"{a="b"} | x=1 and y=2"#),
    ] {
        assert_eq!(parse(q).expect(q), parse(same).expect(same), "{q}");
    }
}

#[test]
fn deep_and_long_queries_are_refused_and_do_not_overflow() {
    let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(parse(&deep).is_err());
    let long = vec!["1"; 5000].join("+");
    assert!(parse(&long).is_err());
    let powers = vec!["1"; 5000].join("^");
    assert!(parse(&powers).is_err());
    let filters = format!("{{a=\"b\"}} | {}", vec!["x=1"; 5000].join(" or "));
    assert!(parse(&filters).is_err());
    assert!(parse(&" ".repeat(1 << 20)).is_err());
}

fn name() -> impl Strategy<Value = String> {
    "[a-z_][a-z0-9_]{0,6}".prop_filter("reserved between filters", |n| n != "or" && n != "and")
}

fn text() -> impl Strategy<Value = String> {
    "[ -~\n\té]{0,8}"
}

fn matcher() -> impl Strategy<Value = base::Matcher> {
    (name(), text(), any::<bool>()).prop_map(|(n, v, eq)| {
        let op = if eq { base::MatchOp::Eq } else { base::MatchOp::Ne };
        lang::matcher::build(&n, op, &v, Span::default()).expect("no pattern")
    })
}

fn label_filter() -> impl Strategy<Value = LabelFilter> {
    let quantity = prop_oneof![
        (-1e9..1e9f64).prop_map(Quantity::Number),
        (-1_000_000_000_000i64..1_000_000_000_000).prop_map(Quantity::Duration),
        (0u64..1 << 50).prop_map(Quantity::Size),
    ];
    let op = prop::sample::select(CompareOp::ALL.map(|(_, op)| op).to_vec());
    let leaf = prop_oneof![
        matcher().prop_map(LabelFilter::Match),
        (name(), op, quantity).prop_map(|(name, op, value)| LabelFilter::Compare { name, op, value }),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        (inner.clone(), inner, any::<bool>()).prop_map(|(a, b, and)| {
            let (a, b) = (Box::new(a), Box::new(b));
            if and { LabelFilter::And(a, b) } else { LabelFilter::Or(a, b) }
        })
    })
}

fn log() -> impl Strategy<Value = LogExpr> {
    let operand = text().prop_map(|t| lang::Spanned::new(Operand::Text(t), Span::default()));
    let stage = prop_oneof![
        (prop::sample::select(vec![LineOp::Contains, LineOp::NotContains]), prop::collection::vec(operand, 1..3))
            .prop_map(|(op, operands)| StageExpr::LineFilter(LineFilter { op, operands })),
        label_filter().prop_map(StageExpr::LabelFilter),
        Just(StageExpr::Json(vec![])),
        (any::<bool>(), any::<bool>()).prop_map(|(strict, keep_empty)| StageExpr::Logfmt { strict, keep_empty, fields: vec![] }),
        prop::collection::vec(prop_oneof![name().prop_map(Pick::Name), matcher().prop_map(Pick::Match)], 1..3).prop_map(StageExpr::Drop),
        Just(StageExpr::Unpack),
    ];
    let selector = name().prop_map(|n| vec![base::Matcher::eq(n, "x")]);
    (selector, prop::collection::vec(stage.prop_map(|s| lang::Spanned::new(s, Span::default())), 0..4))
        .prop_map(|(matchers, stages)| LogExpr { matchers, stages })
}

fn grouping() -> impl Strategy<Value = Option<Grouping>> {
    prop::option::of((any::<bool>(), prop::collection::vec(name(), 0..3)).prop_map(|(without, labels)| Grouping { without, labels }))
}

fn metric() -> impl Strategy<Value = MetricExpr> {
    let range = (log(), 1..1_000_000_000_000_000i64, -1_000_000_000_000i64..1_000_000_000_000, any::<bool>()).prop_map(
        |(log, range_ns, offset_ns, rate)| {
            let op = if rate { RangeOp::Rate } else { RangeOp::Count };
            MetricExpr::Range(RangeExpr { op, parameter: None, log, unwrap: None, range_ns, offset_ns, grouping: None })
        },
    );
    let unwrapped = (log(), name(), prop::collection::vec(label_filter(), 0..2), grouping()).prop_map(|(log, name, filters, grouping)| {
        let unwrap = Some(Unwrap { name, conversion: Conversion::Duration, filters });
        MetricExpr::Range(RangeExpr {
            op: RangeOp::Quantile,
            parameter: Some(0.5),
            log,
            unwrap,
            range_ns: 60_000_000_000,
            offset_ns: 0,
            grouping,
        })
    });
    let leaf = prop_oneof![(-1e12..1e12f64).prop_map(MetricExpr::Vector), range, unwrapped];
    leaf.prop_recursive(3, 8, 2, |inner| {
        let op = prop::sample::select(BinaryOp::ALL.map(|(_, op)| op).to_vec());
        prop_oneof![
            (inner.clone(), grouping()).prop_map(|(e, grouping)| {
                MetricExpr::Aggregate(Aggregate { op: AggregateOp::Sum, parameter: None, inner: Box::new(e), grouping })
            }),
            (inner.clone(), inner, op, any::<bool>(), prop::collection::vec(name(), 1..3)).prop_map(|(left, right, op, on, labels)| {
                let matching = Matching { on, labels, ..Matching::default() };
                MetricExpr::Binary(Box::new(Binary { op, returns_bool: false, matching, left, right }))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_tree_prints_to_text_that_reads_back(tree in prop_oneof![log().prop_map(Expr::Log), metric().prop_map(Expr::Metric)]) {
        let printed = tree.to_string();
        match parse(&printed) {
            Ok(back) => prop_assert_eq!(back, tree),
            Err(e) => prop_assert!(false, "{}: {}", printed, e),
        }
    }

    #[test]
    fn no_text_makes_it_panic(s in r#"[a-z{}()\[\]|=!~"<>0-9 ,.+*/^%-]{0,40}"#) {
        let _ = parse(&s);
        let _ = parse(&format!("{{a=\"b\"}} {s}"));
        let _ = parse(&format!("rate({{a=\"b\"}} {s}[5m])"));
    }
}
