//! The page of the language, written from its tables: what is in the tables and not on the page, or the other way round, fails
//! a test.

use std::fmt::Write;

use super::ast::{AggregateOp, BinaryOp, LineOp, RangeOp};
use crate::stage::template::{CONTEXT, FUNCTIONS};

/// Form, what it does, and a query with it.
type Row = (&'static str, &'static str, &'static str);

const SELECTORS: &[Row] = &[
    ("`name=\"value\"`", "streams whose label has this value", r#"{app="web"}"#),
    ("`name!=\"value\"`", "has not", r#"{app="web", env!="dev"}"#),
    ("`name=~\"pattern\"`", "matches all of it (RE2)", r#"{app=~"web|api"}"#),
    ("`name!~\"pattern\"`", "does not", r#"{app="web", pod!~"test-.*"}"#),
];

fn line_filter(op: LineOp) -> Row {
    match op {
        LineOp::Contains => {
            ("`|= \"text\"`", "lines that contain the text, or an address of `ip(\"10.0.0.0/8\")`", r#"{app="web"} |= "error" or "panic""#)
        }
        LineOp::NotContains => ("`!= \"text\"`", "that do not", r#"{app="web"} != "debug" |= ip("10.0.0.0/8")"#),
        LineOp::Regex => ("`|~ \"pattern\"`", "in which the pattern matches somewhere", r#"{app="web"} |~ `took \d{4,}ms`"#),
        LineOp::NotRegex => ("`!~ \"pattern\"`", "in which it does not", r#"{app="web"} !~ "health|ready""#),
        LineOp::Pattern => ("`|> \"a <_> b\"`", "that are made like this; `<_>` is anything", r#"{app="web"} |> "<_> error <_>""#),
        LineOp::NotPattern => ("`!> \"a <_> b\"`", "that are not", r#"{app="web"} !> "GET /health <_>""#),
    }
}

const STAGES: &[Row] = &[
    ("`json`", "extracts every scalar of a JSON object; nested names are joined by `_`", r#"{app="web"} | json"#),
    ("`json a=\"b.c[0]\", d`", "extracts only these, by path", r#"{app="web"} | json status="response.status", method"#),
    (
        "`logfmt`, `logfmt --strict --keep-empty`",
        "extracts `key=value`; strict stops at what is no logfmt; keep-empty keeps keys without a value",
        r#"{app="web"} | logfmt --strict"#,
    ),
    ("`logfmt a=\"b\", d`", "extracts only these", r#"{app="web"} | logfmt lvl="level""#),
    ("`regexp \"(?P<x>..)\"`", "extracts named groups", r#"{app="web"} | regexp `(?P<method>\w+) (?P<path>\S+)`"#),
    ("`pattern \"<a> <_> <b>\"`", "extracts what is at these places", r#"{app="web"} | pattern `<ip> - - <_> "<method> <path> <_>"`"#),
    ("`unpack`", "extracts the strings of a packed line, whose `_entry` becomes the line", r#"{app="web"} | unpack"#),
    ("`name=\"value\"`, `!=`, `=~`, `!~`", "lines whose label matches; an absent label is empty", r#"{app="web"} | json | method="GET""#),
    (
        "`name >= 5`, `== = != > < <=`",
        "lines whose label compares so as a number, a duration (`5ms`) or a size (`10MB`)",
        r#"{app="web"} | json | status >= 500 and took > 1s"#,
    ),
    (
        "`name=ip(\"..\")`, `!=`",
        "lines whose label is such an address, range or prefix",
        r#"{app="web"} | json | addr=ip("192.168.0.0/16")"#,
    ),
    ("`and`, `or`, `,`, `( )`", "combine label filters", r#"{app="web"} | json | (status=500 or status=503), method="GET""#),
    ("`line_format \"{{.x}}\"`", "makes the line anew", r#"{app="web"} | json | line_format "{{.method}} {{.path}}""#),
    (
        "`label_format a=b, c=\"{{.d}}\"`",
        "renames a label; makes one",
        r#"{app="web"} | json | label_format route=path, kind="{{.method | ToLower}}""#,
    ),
    ("`decolorize`", "removes colours of terminals", r#"{app="web"} | decolorize"#),
    ("`drop a, b=\"x\"`", "removes labels, the second if it has this value", r#"{app="web"} | json | drop path, method="GET""#),
    ("`keep a, b=\"x\"`", "removes all others", r#"{app="web"} | json | keep status"#),
];

const UNWRAP: &[Row] = &[
    ("`unwrap x`", "the label's number is the sample", r#"sum_over_time({app="web"} | json | unwrap size [5m])"#),
    (
        "`unwrap duration(x)`, `duration_seconds(x)`",
        "its duration, as seconds",
        r#"max_over_time({app="web"} | json | unwrap duration(took) [5m])"#,
    ),
    ("`unwrap bytes(x)`", "its size, as bytes", r#"sum_over_time({app="web"} | json | unwrap bytes(size) | __error__="" [5m])"#),
];

fn range(op: RangeOp) -> Row {
    match op {
        RangeOp::Count => ("`count_over_time(log[5m])`", "lines", r#"count_over_time({app="web"}[5m])"#),
        RangeOp::Rate => {
            ("`rate(log[5m])`", "lines per second; of unwrapped samples, their sum per second", r#"rate({app="web"} |= "error" [5m])"#)
        }
        RangeOp::RateCounter => (
            "`rate_counter(samples[5m])`",
            "growth of a counter per second, resets taken into account",
            r#"rate_counter({app="web"} | json | unwrap total [5m])"#,
        ),
        RangeOp::Bytes => ("`bytes_over_time(log[5m])`", "bytes of lines", r#"bytes_over_time({app="web"}[5m])"#),
        RangeOp::BytesRate => ("`bytes_rate(log[5m])`", "bytes of lines per second", r#"bytes_rate({app="web"}[5m])"#),
        RangeOp::Sum => ("`sum_over_time(samples[5m])`", "sum of samples", r#"sum_over_time({app="web"} | json | unwrap size [5m])"#),
        RangeOp::Avg => ("`avg_over_time(samples[5m])`", "mean", r#"avg_over_time({app="web"} | json | unwrap ms [5m]) by (path)"#),
        RangeOp::Min => ("`min_over_time(samples[5m])`", "least", r#"min_over_time({app="web"} | json | unwrap ms [5m])"#),
        RangeOp::Max => ("`max_over_time(samples[5m])`", "greatest", r#"max_over_time({app="web"} | json | unwrap ms [5m])"#),
        RangeOp::First => ("`first_over_time(samples[5m])`", "first", r#"first_over_time({app="web"} | json | unwrap ms [5m])"#),
        RangeOp::Last => ("`last_over_time(samples[5m])`", "last", r#"last_over_time({app="web"} | json | unwrap ms [5m])"#),
        RangeOp::Stddev => {
            ("`stddev_over_time(samples[5m])`", "standard deviation", r#"stddev_over_time({app="web"} | json | unwrap ms [5m])"#)
        }
        RangeOp::Stdvar => ("`stdvar_over_time(samples[5m])`", "variance", r#"stdvar_over_time({app="web"} | json | unwrap ms [5m])"#),
        RangeOp::Quantile => (
            "`quantile_over_time(0.99, samples[5m])`",
            "quantile, interpolated",
            r#"quantile_over_time(0.99, {app="web"} | json | unwrap ms [5m]) by (path)"#,
        ),
        RangeOp::Absent => ("`absent_over_time(log[5m])`", "1 where there is no line", r#"absent_over_time({app="web"}[5m])"#),
    }
}

fn aggregate(op: AggregateOp) -> Row {
    match op {
        AggregateOp::Sum => ("`sum`", "sum", r#"sum by (app) (rate({env="prod"}[5m]))"#),
        AggregateOp::Avg => ("`avg`", "mean", r#"avg without (pod) (rate({env="prod"}[5m]))"#),
        AggregateOp::Min => ("`min`", "least", r#"min(rate({env="prod"}[5m]))"#),
        AggregateOp::Max => ("`max`", "greatest", r#"max(rate({env="prod"}[5m])) by (app)"#),
        AggregateOp::Count => ("`count`", "number of series", r#"count(rate({env="prod"}[5m]))"#),
        AggregateOp::Stddev => ("`stddev`", "standard deviation", r#"stddev(rate({env="prod"}[5m]))"#),
        AggregateOp::Stdvar => ("`stdvar`", "variance", r#"stdvar(rate({env="prod"}[5m]))"#),
        AggregateOp::Topk => ("`topk(k, ..)`", "the `k` greatest series", r#"topk(3, sum by (app) (rate({env="prod"}[5m])))"#),
        AggregateOp::Bottomk => ("`bottomk(k, ..)`", "the `k` least", r#"bottomk(3, sum by (app) (rate({env="prod"}[5m])))"#),
        AggregateOp::ApproxTopk => (
            "`approx_topk(k, ..)`",
            "as `topk`, in instant queries; the answer is exact",
            r#"approx_topk(3, sum by (app) (rate({env="prod"}[5m])))"#,
        ),
        AggregateOp::Sort => ("`sort`", "in order of their values (instant queries)", r#"sort(sum by (app) (rate({env="prod"}[5m])))"#),
        AggregateOp::SortDesc => ("`sort_desc`", "the other way round", r#"sort_desc(sum by (app) (rate({env="prod"}[5m])))"#),
    }
}

fn binary(op: BinaryOp) -> (&'static str, &'static str) {
    match op {
        BinaryOp::Or => ("vector(1) or vector(2)", "series of the left side, and those of the right that it has not"),
        BinaryOp::And => ("vector(1) and vector(2)", "series of the left side that the right has, too"),
        BinaryOp::Unless => ("vector(1) unless vector(2)", "series of the left side that the right has not"),
        BinaryOp::Compare(_) => ("vector(1) > bool 2", "keeps what compares so; with `bool`, 0 or 1"),
        BinaryOp::Add => ("vector(1) + 2", "sum"),
        BinaryOp::Sub => ("vector(1) - 2", "difference"),
        BinaryOp::Mul => ("vector(1) * 2", "product"),
        BinaryOp::Div => ("vector(1) / 2", "quotient; by zero, it is not a number"),
        BinaryOp::Mod => ("vector(1) % 2", "remainder; by zero, it is not a number"),
        BinaryOp::Pow => ("2 ^ 3 ^ 2", "power; binds to the right"),
    }
}

const OTHERS: &[Row] = &[
    ("`offset 1h`", "the window lies so far back; negative: ahead", r#"rate({app="web"}[5m] offset 1h)"#),
    ("`by (..)`, `without (..)`", "before or after the operand", r#"sum(rate({app="web"}[5m])) by (pod)"#),
    ("`on (..)`, `ignoring (..)`", "labels by which the sides match", r#"rate({app="web"}[5m]) / on (pod) rate({app="api"}[5m])"#),
    (
        "`group_left (..)`, `group_right (..)`",
        "the side that has many; labels that come from the other",
        r#"rate({app="web"}[5m]) / on (app) group_left (team) sum by (app, team) (rate({app="web"}[5m]))"#,
    ),
    (
        "`label_replace(v, \"dst\", \"$1\", \"src\", \"(.*)\")`",
        "sets a label from another",
        r#"label_replace(rate({app="web"}[5m]), "name", "app-$1", "app", "(.*)")"#,
    ),
    ("`vector(1)`", "one series without labels", "vector(1) + vector(1)"),
    ("`# ..`", "a comment, to the end of the line", "vector(1) # one"),
];

/// The page.
pub fn page() -> String {
    let mut out = String::from(
        "# LogQL\n\n<!-- written by a test of the binary from crates/logs/src/logql/reference.rs -->\n\n\
         What is answered, one operator a line. What differs from Loki is in [compat/loki.md](../compat/loki.md).\n\
         A log query is a selector and stages: `{app=\"web\"} |= \"error\" | json | status >= 500`. A metric query counts or measures\n\
         its lines in windows that exclude their start and include their end; a log query includes its start and excludes its end.\n",
    );
    let mut table = |title: &str, rows: &[Row]| {
        let _ = write!(out, "\n## {title}\n\n| form | what it does | example |\n|---|---|---|\n");
        for (form, what, example) in rows {
            let cell = |t: &str| t.replace('|', "\\|");
            let ticks = if example.contains('`') { "``" } else { "`" };
            let _ = writeln!(out, "| {} | {} | {ticks} {} {ticks} |", cell(form), cell(what), cell(example));
        }
    };
    table("Selectors", SELECTORS);
    table("Line filters", &LineOp::ALL.map(|(_, op)| line_filter(op)));
    table("Stages", STAGES);
    table("Samples", UNWRAP);
    table("Over a window", &RangeOp::ALL.map(|(_, op)| range(op)));
    table("Over series", &AggregateOp::ALL.map(|(_, op)| aggregate(op)));
    table("The rest", OTHERS);
    out.push_str("\n## Binary operators\n\nWhat binds tighter has a higher number.\n\n| operator | binds | what it gives | example |\n|---|---|---|---|\n");
    for (name, op) in BinaryOp::ALL {
        let (example, what) = binary(op);
        let _ = writeln!(out, "| `{name}` | {} | {what} | `{example}` |", op.precedence());
    }
    out.push_str(
        "\n## Templates\n\n`line_format` and `label_format` take Go's `text/template`: pipes, variables, `if`, `with`, `range`, `and`, `or`. Fields are labels; an\n\
         absent one is empty. Beside them there are ",
    );
    let quoted = |names: &[&str]| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    let _ = writeln!(out, "{}. Functions:\n", quoted(&CONTEXT));
    for set in FUNCTIONS.sets {
        let names: Vec<&str> = set.iter().map(|f| f.name).collect();
        let _ = writeln!(out, "- {}", quoted(&names));
    }
    out.push_str(
        "\n## Errors of lines\n\nA line that a stage fails on gets `__error__` and `__error_details__`: `JSONParserErr`, `LogfmtParserErr`, `LabelFilterErr`,\n\
         `TemplateFormatErr`, `SampleExtractionErr`. Log queries show them; metric queries fail on them unless a filter looks at `__error__`.\n",
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_a_query_that_has_what_it_shows() {
        let rows = [SELECTORS, STAGES, UNWRAP, OTHERS].concat().into_iter();
        let rows = rows.chain(LineOp::ALL.map(|(_, op)| line_filter(op)));
        let rows = rows.chain(RangeOp::ALL.map(|(_, op)| range(op))).chain(AggregateOp::ALL.map(|(_, op)| aggregate(op)));
        for (form, _, example) in rows {
            crate::logql::parse(example).unwrap_or_else(|e| panic!("{form}: {e}"));
        }
        for (name, op) in BinaryOp::ALL {
            crate::logql::parse(binary(op).0).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        for (name, op) in RangeOp::ALL {
            assert!(range(op).2.contains(name) && range(op).0.contains(name), "{name}");
        }
        for (name, op) in AggregateOp::ALL {
            assert!(aggregate(op).2.contains(name) && aggregate(op).0.contains(name), "{name}");
        }
        for (name, op) in LineOp::ALL {
            assert!(line_filter(op).2.contains(name) && line_filter(op).0.contains(name), "{name}");
        }
    }

    /// The functions that people know from Loki's documentation.
    #[test]
    fn the_functions_of_the_original_are_there() {
        let known = "date duration duration_seconds now toDate toDateInZone unixEpoch unixEpochMillis unixEpochNanos unixToTime alignLeft \
            alignRight b64enc b64dec bytes default fromJson lower upper title indent nindent repeat printf replace substr trim trimAll \
            trimPrefix trimSuffix trunc urlencode urldecode contains eq hasPrefix hasSuffix add addf sub subf mul mulf div divf mod min \
            minf max maxf ceil floor round int float64 count regexReplaceAll regexReplaceAllLiteral __line__ __timestamp__ len index not \
            and or lt le gt ge";
        let names = FUNCTIONS.names();
        for name in known.split_whitespace() {
            assert!(names.contains(&name), "{name} is missing");
        }
    }
}
