use base::RegexRoom;
use lang::Span;
use proptest::prelude::*;

use super::ast::*;
use super::{parse, parse_at, parse_selectors};

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

/// A bound for each expression alone lets a text of some kilobytes compile gigabytes.
#[test]
fn regular_expressions_have_a_common_bound() {
    const PLACES: [&str; 5] = [
        r#"{a=~"b+"}"#,
        r#"{a="b"} |~ "c|d" or "e+""#,
        r#"{a="b"} | json | f=~"g+""#,
        r#"{a="b"} | regexp "(?P<h>.)""#,
        r#"label_replace(rate({a="b"}[5m]), "a", "$1", "b", "(c)")"#,
    ];
    for place in PLACES {
        let one = if place.starts_with('{') { format!("rate({place} [5m])") } else { place.to_string() };
        assert!(parse(&one).is_ok(), "{one}");
        let message = parse(&vec![one; 257].join(" or ")).unwrap_err().to_string();
        assert!(message.contains("together they may take 64 MiB"), "{message}");
    }
    let selectors = |n| parse_selectors(&vec![PLACES[0]; n]);
    assert_eq!(selectors(256).unwrap().len(), 256);
    assert!(selectors(257).is_err());
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
        lang::matcher::build(&n, op, &v, Span::default(), &mut RegexRoom::default()).expect("no pattern")
    })
}

fn label_filter() -> impl Strategy<Value = LabelFilter> {
    let quantity = prop_oneof![
        (-1e9..1e9f64).prop_map(Quantity::Number),
        (-1_000_000_000_000i64..1_000_000_000_000).prop_map(Quantity::Duration),
        (0u64..1 << 50).prop_map(Quantity::Size),
    ];
    let op = prop::sample::select(CompareOp::ALL.map(|(_, op)| op).to_vec());
    let address = prop::sample::select(vec!["10.0.0.1", "10.0.0.0/8", "10.0.0.1-10.0.0.9", "::1", "fe80::/10"]);
    let leaf = prop_oneof![
        matcher().prop_map(LabelFilter::Match),
        (name(), op, quantity).prop_map(|(name, op, value)| LabelFilter::Compare { name, op, value }),
        (name(), any::<bool>(), address).prop_map(|(name, negative, a)| LabelFilter::Ip { name, negative, pattern: spanned(a.into()) }),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        (inner.clone(), inner, any::<bool>()).prop_map(|(a, b, and)| {
            let (a, b) = (Box::new(a), Box::new(b));
            if and { LabelFilter::And(a, b) } else { LabelFilter::Or(a, b) }
        })
    })
}

fn spanned<T>(value: T) -> lang::Spanned<T> {
    lang::Spanned::new(value, Span::default())
}

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(texts).prop_map(str::to_string)
}

fn template() -> impl Strategy<Value = String> {
    one_of(&["", "{{.x}}", "a \"{{ .x | ToUpper }}\"\n", "{{ if eq .x `1` }}y{{ end }}"])
}

fn line_filter() -> impl Strategy<Value = LineFilter> {
    let filter = |ops: &'static [LineOp], operand: BoxedStrategy<Operand>| {
        (prop::sample::select(ops), prop::collection::vec(operand.prop_map(spanned), 1..3))
            .prop_map(|(op, operands)| LineFilter { op, operands })
    };
    let ip = || one_of(&["10.0.0.0/8", "::1"]).prop_map(Operand::Ip);
    prop_oneof![
        filter(&[LineOp::Contains, LineOp::NotContains], prop_oneof![3 => text().prop_map(Operand::Text), 1 => ip()].boxed()),
        filter(&[LineOp::Regex, LineOp::NotRegex], one_of(&["a+", "(?i)x|\\d", "", "`"]).prop_map(Operand::Text).boxed()),
        filter(&[LineOp::Pattern, LineOp::NotPattern], one_of(&["<_> a <_>", "a", "\"<_>\""]).prop_map(Operand::Text).boxed()),
    ]
}

fn stage() -> impl Strategy<Value = StageExpr> {
    let fields = |paths: &'static [&'static str]| {
        prop::collection::vec((name(), one_of(paths)), 0..3)
            .prop_map(|f| f.into_iter().map(|(name, path)| Extraction { name, path: spanned(path) }).collect::<Vec<_>>())
    };
    let picks = || prop::collection::vec(prop_oneof![name().prop_map(Pick::Name), matcher().prop_map(Pick::Match)], 1..3);
    let format = prop_oneof![name().prop_map(FormatSource::Label), template().prop_map(|t| FormatSource::Template(spanned(t)))];
    // A label is set once in a stage.
    let formats = prop::collection::btree_map(name(), format, 1..3)
        .prop_map(|f| StageExpr::LabelFormat(f.into_iter().map(|(name, from)| LabelFormat { name, from }).collect()));
    prop_oneof![
        4 => line_filter().prop_map(StageExpr::LineFilter),
        4 => label_filter().prop_map(StageExpr::LabelFilter),
        2 => fields(&["a", "a.b[0]", "[\"k k\"].c"]).prop_map(StageExpr::Json),
        2 => (any::<bool>(), any::<bool>(), fields(&["a", "b.c", "d-e"]))
            .prop_map(|(strict, keep_empty, fields)| StageExpr::Logfmt { strict, keep_empty, fields }),
        1 => one_of(&["(?P<x>.)", "`(?P<a>\\w+) (?P<b>\"x\")"]).prop_map(StageExpr::Regexp),
        1 => one_of(&["<a> <_> <b>", "[<a>] \"<b>\""]).prop_map(StageExpr::Pattern),
        1 => template().prop_map(StageExpr::LineFormat),
        1 => formats,
        2 => picks().prop_map(StageExpr::Drop),
        2 => picks().prop_map(StageExpr::Keep),
        1 => Just(StageExpr::Unpack),
        1 => Just(StageExpr::Decolorize),
    ]
}

fn log() -> impl Strategy<Value = LogExpr> {
    let selector = (name(), prop::collection::vec(matcher(), 0..2)).prop_map(|(n, more)| {
        let mut all = vec![base::Matcher::eq(n, "x")];
        all.extend(more);
        all
    });
    (selector, prop::collection::vec(stage().prop_map(spanned), 0..4)).prop_map(|(matchers, stages)| LogExpr { matchers, stages })
}

fn grouping() -> impl Strategy<Value = Option<Grouping>> {
    prop::option::of((any::<bool>(), prop::collection::vec(name(), 0..3)).prop_map(|(without, labels)| Grouping { without, labels }))
}

fn range() -> impl Strategy<Value = RangeExpr> {
    use RangeOp::*;
    let unwrap = (name(), prop::collection::vec(label_filter(), 0..2), 0..4usize).prop_map(|(name, filters, c)| {
        let conversion = [Conversion::Number, Conversion::Duration, Conversion::DurationSeconds, Conversion::Bytes][c];
        Unwrap { name, conversion, filters }
    });
    let times = (1..1_000_000_000_000_000i64, prop_oneof![Just(0), -1_000_000_000_000i64..1_000_000_000_000]);
    let ops = RangeOp::ALL.map(|(_, op)| op);
    (prop::sample::select(ops.to_vec()), log(), unwrap, any::<bool>(), times, grouping(), 0.0..1.0f64).prop_map(
        |(op, log, unwrap, may_unwrap, (range_ns, offset_ns), grouping, quantile)| {
            let takes_lines = matches!(op, Count | Rate | Bytes | BytesRate | Absent);
            let takes_samples = !matches!(op, Count | Bytes | BytesRate);
            let unwrap = (takes_samples && (!takes_lines || may_unwrap)).then_some(unwrap);
            let grouping = grouping.filter(|_| matches!(op, Avg | Min | Max | First | Last | Stddev | Stdvar | Quantile));
            RangeExpr { op, parameter: (op == Quantile).then_some(quantile), log, unwrap, range_ns, offset_ns, grouping }
        },
    )
}

fn matching() -> impl Strategy<Value = Matching> {
    let group = prop::option::of((any::<bool>(), prop::collection::vec(name(), 0..2)));
    let labels = prop::option::of((any::<bool>(), prop::collection::vec(name(), 0..3)));
    (labels, group).prop_map(|(labels, group)| match labels {
        None => Matching::default(),
        // `ignoring ()` is the same as nothing.
        Some((on, labels)) if on || !labels.is_empty() => Matching {
            on,
            labels,
            group: group.as_ref().map(|g| if g.0 { Side::Left } else { Side::Right }),
            include: group.map(|g| g.1).unwrap_or_default(),
        },
        Some(_) => Matching::default(),
    })
}

fn metric() -> impl Strategy<Value = MetricExpr> {
    let leaf = prop_oneof![1 => (-1e12..1e12f64).prop_map(MetricExpr::Vector), 5 => range().prop_map(MetricExpr::Range)];
    leaf.prop_recursive(3, 8, 2, |inner| {
        let op = prop::sample::select(BinaryOp::ALL.map(|(_, op)| op).to_vec());
        let over = prop::sample::select(AggregateOp::ALL.map(|(_, op)| op).to_vec());
        let joined =
            (inner.clone(), inner.clone(), op.clone(), any::<bool>(), matching()).prop_map(|(left, right, op, bool, mut matching)| {
                if op.is_set() {
                    (matching.group, matching.include) = (None, vec![]);
                }
                let returns_bool = bool && matches!(op, BinaryOp::Compare(_));
                MetricExpr::Binary(Box::new(Binary { op, returns_bool, matching, left, right }))
            });
        let with_number = (inner.clone(), -1e6..1e6f64, op, any::<bool>())
            .prop_filter("sets are joined of series", |(_, _, op, _)| !op.is_set())
            .prop_map(|(e, n, op, left)| {
                let (left, right) = if left { (MetricExpr::Literal(n), e) } else { (e, MetricExpr::Literal(n)) };
                MetricExpr::Binary(Box::new(Binary { op, returns_bool: false, matching: Matching::default(), left, right }))
            });
        prop_oneof![
            (inner.clone(), over, grouping(), 1..9usize).prop_map(|(e, op, grouping, k)| {
                use AggregateOp::*;
                let grouping = grouping.filter(|_| !matches!(op, Sort | SortDesc | ApproxTopk));
                MetricExpr::Aggregate(Aggregate { op, parameter: op.takes_k().then_some(k), inner: Box::new(e), grouping })
            }),
            joined,
            with_number,
            (inner, name(), text(), text(), one_of(&["(.*)", "a|`"])).prop_map(|(inner, target, replacement, source, pattern)| {
                MetricExpr::LabelReplace(Box::new(LabelReplace { inner, target, replacement, source, pattern: spanned(pattern) }))
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
