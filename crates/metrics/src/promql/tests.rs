use proptest::prelude::*;

use super::*;
use crate::promql::plan::{QueryTimes, plan};

const TIMES: QueryTimes = QueryTimes { start: 0, end: 60_000, step: 10_000 };

fn check(q: &str) -> base::Result<()> {
    plan(&parse(q)?, q, TIMES).map(|_| ())
}

#[test]
fn good_queries_are_taken_and_print_back() {
    for q in [
        "up",
        "{__name__=\"up\", job=~\"a|b\", x!=\"\"}",
        "{\"a.b\", \"lbl.x\"=\"y\"}",
        "{x=\"y\", \"a\"}",
        "{__name__!~\".+_info\", \".+_info\"}",
        "{__name__!=\"a\", \"a\"}",
        "{__name__=\"a\", \"a\"}",
        "a{__name__!=\"a\"}",
        "sum by (job) (rate(http_requests_total{code=~\"5..\"}[5m] offset 1h))",
        "sum(rate(x[5m])) without (a, b,)",
        "1 + 2 * 3 ^ 2 ^ 2 - -4 % 5",
        "a and on (x) b or ignoring (y) c unless d",
        "a / on (x) group_left (y, z) b",
        "a * on (x) group_right b",
        "a == bool 5",
        "histogram_quantile(0.99, sum by (le) (rate(x_bucket[5m])))",
        "max_over_time(rate(x[5m])[1h:5m] @ end() offset -2m)",
        "avg_over_time(x[30m:] @ 1609746000)",
        "x @ start() offset 5m",
        "topk(5, x) + quantile(0.9, y) - count_values(\"v\", z)",
        "label_replace(up, \"a\", \"$1\", \"b\", \"(.*)\\\\.x\")",
        "vector(time()) + scalar(x)",
        "x[5m]",
        "-x",
        "sum",
        "on + offset offset 5m",
        "increase(x[1m] anchored) + rate(y[1m] smoothed @ 5)",
        "x[step() * 2 + 1m]",
        "x offset (2 ^ 2)",
        "a + fill(0) b - fill_left(-1) c",
        "hour() > bool 5m",
        "1e9 + 0x1f + Inf + NaN + .5",
    ] {
        let e = parse(q).unwrap_or_else(|e| panic!("{q}: {e}"));
        let printed = e.to_string();
        assert_eq!(parse(&printed).unwrap_or_else(|e| panic!("{printed}: {e}")), e, "{q} printed as {printed}");
        check(q).unwrap_or_else(|e| panic!("{q}: {e}"));
    }
}

#[test]
fn wrong_queries_say_where_and_why() {
    for (q, want) in [
        ("", "1:1: parse error: no expression found in input"),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("{a=~\".*\"}", "at least one non-empty matcher"),
        ("a{b=\"c\"", "unexpected end of input in label matching"),
        ("foo{__name__=\"bar\"}", "metric name must not be set twice"),
        ("1 + ", "1:5: parse error: unexpected end of input"),
        ("sum(1)", "expected type instant vector in aggregation expression, got scalar"),
        ("rate(x)", "expected type range vector in call to function \"rate\", got instant vector"),
        ("rate(x[5m], 1)", "expected 1 argument(s) in call to \"rate\", got 2"),
        ("nope(x)", "unknown function with name \"nope\""),
        ("1 == 2", "comparisons between scalars must use BOOL modifier"),
        ("a + bool b", "bool modifier can only be used on comparison operators"),
        ("1 and a", "set operator \"and\" not allowed in binary scalar expression"),
        ("a and on (x) group_left b", "no grouping allowed for \"and\" operation"),
        ("a * on (x) group_left (x) b", "must not occur in ON and GROUP clause at once"),
        ("1 + on (x) a", "vector matching only allowed between instant vectors"),
        ("(a + b)[5m]", "ranges only allowed for vector selectors"),
        ("a offset 5m[5m]", "no offset modifiers allowed before range"),
        ("a offset 5m offset 5m", "offset may not be set multiple times"),
        ("1 offset 5m", "offset modifier must be preceded by"),
        ("a[0s]", "duration must be greater than 0"),
        ("topk(a)", "wrong number of arguments for aggregate expression provided, expected 2, got 1"),
        ("-\"x\"", "unary expression only allowed on"),
        ("1[5m:1m]", "subquery is only allowed on instant vector, got scalar instead"),
        ("a{b=~\"(\"}", "regular expression"),
        ("a b", "unexpected identifier \"b\""),
        ("deriv(a[5m] anchored)", "anchored modifier can only be used with: changes, delta, increase, rate, resets - not with deriv"),
        ("a @ NaN", "timestamp out of bounds"),
    ] {
        let e = check(q).expect_err(q);
        assert!(e.message().contains(want), "{q}: {e}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    assert!(parse(&"(".repeat(100_000)).is_err());
    assert!(parse(&format!("{}x", "-".repeat(100_000))).is_err());
    assert!(parse(&vec!["a"; 100_000].join("+")).is_err());
    assert!(parse(&format!("x[{}5m]", "(".repeat(10_000))).is_err());
}

/// A bound for each expression alone lets a text of some kilobytes compile gigabytes.
#[test]
fn regular_expressions_have_a_common_bound() {
    let query = |n: usize| format!("x{{{}}}", vec![r#"a=~"\\w{1,30}b""#; n].join(","));
    assert!(parse(&query(16)).is_ok());
    let message = parse(&query(1000)).unwrap_err().to_string();
    assert!(message.contains("too many regular expressions: together they may take 64 MiB"), "{message}");
    let selectors = |n: usize| parse_selectors(vec![r#"x{a=~"b+"}"#; n]);
    assert_eq!(selectors(256).unwrap().len(), 256);
    assert!(selectors(257).is_err());
}

fn name() -> impl Strategy<Value = String> {
    "[a-z_][a-z0-9_:]{0,6}"
}

fn selector() -> impl Strategy<Value = String> {
    (name(), proptest::collection::vec(("[a-z.]{1,4}", "(=|!=|=~|!~)", "[a-z\"\\\\é]{0,4}"), 0..3)).prop_map(|(n, ms)| {
        let m: Vec<String> = ms
            .iter()
            .map(|(l, op, v)| {
                let v = if op.contains('~') { regex::escape(v) } else { v.clone() };
                format!("{}{op}{}", lang::literal::quote(l), lang::literal::quote(&v))
            })
            .collect();
        format!("{{{}{}}}", lang::literal::quote(&n), m.iter().map(|m| format!(",{m}")).collect::<String>())
    })
}

fn query() -> impl Strategy<Value = String> {
    let leaf =
        prop_oneof![selector(), any::<f64>().prop_map(|v| lang::number::format(v.abs())), (1u32..100_000).prop_map(|s| format!("{s}s"))];
    leaf.prop_recursive(4, 32, 3, |inner| {
        let op = "(\\+|-|\\*|/|%|\\^|==|!=|<|>|<=|>=| and | or | unless | atan2 |</|>/)";
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(a, o, b)| format!("{a} {o} {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} == bool on (a, \"b.c\") group_left (d) fill_left(-2) {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            inner.clone().prop_map(|a| format!("sum by (a) ({a})")),
            inner.clone().prop_map(|a| format!("topk(3, {a}) without (b)")),
            inner.clone().prop_map(|a| format!("rate({a}[5m:1m] @ 12.5 offset -3m)")),
            selector().prop_map(|s| format!("rate({s}[5m] anchored offset (1m + step()))")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("f({a}, {b})")),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_parses_back(q in query()) {
        if let Ok(e) = parse(&q) {
            let printed = e.to_string();
            prop_assert_eq!(parse(&printed).map_err(|e| e.to_string()), Ok(e), "{} printed as {}", q, printed);
        }
    }

    #[test]
    fn any_text_is_answered(q in "\\PC{0,40}") {
        let _ = check(&q);
        let _ = parse_selector(&q);
    }

    #[test]
    fn any_mix_of_words_is_answered(q in proptest::collection::vec("(sum|by|on|\\(|\\)|\\[|\\]|\\{|\\}|5m|x|,|:|@|offset|-|\\+|\"s\"|==|bool|start|group_left|rate|fill)", 0..14)) {
        let _ = check(&q.join(" "));
    }
}
