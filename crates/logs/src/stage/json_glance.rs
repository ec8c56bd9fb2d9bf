//! A look at a JSON line before it is parsed: whether the label filters behind `| json` must drop it.
//!
//! `| json | status >= 500` keeps one line in a hundred. What it wants of a line stands in it as `status":`, and where a number follows there
//! that the filter refuses, in all such places, the line need not be walked from member to member. Nothing is concluded from a line that
//! may say it in another way (escapes, spaces): it is parsed.

use memchr::memmem::Finder;

use super::label_filter::compare;
use super::labels::SUFFIX;
use super::{Row, RowLabels, Stage};
use crate::logql::ast::{CompareOp, LabelFilter, Quantity};
use base::MatchOp;

/// The glance of some label filters.
pub struct GlanceStage(Glance);

enum Glance {
    /// The label must hold a quantity. Keys of it end with `end`.
    Compare { name: String, end: Finder<'static>, op: CompareOp, quantity: Quantity },
    /// The label must be this text.
    Text { name: String, value: Finder<'static> },
    /// A line that any of them drops is dropped.
    Any(Vec<Glance>),
    /// A line that both of them drop is dropped.
    Both(Box<Glance>, Box<Glance>),
}

impl GlanceStage {
    /// Of the label filters that follow `| json`; `None` if their labels can come into a line in too many ways.
    pub fn new<'f>(filters: impl Iterator<Item = &'f LabelFilter>) -> Option<GlanceStage> {
        let all: Vec<Glance> = filters.filter_map(Glance::of).collect();
        (!all.is_empty()).then_some(GlanceStage(Glance::Any(all)))
    }
}

impl Stage for GlanceStage {
    fn apply(&self, row: &mut Row<'_>) -> bool {
        // An escape may stand for any letter.
        !(self.0.drops(&row.line, row.labels) && memchr::memchr(b'\\', row.line.as_bytes()).is_none())
    }
}

impl Glance {
    fn of(filter: &LabelFilter) -> Option<Glance> {
        match filter {
            LabelFilter::Compare { name, op, value } => {
                // Of names that are joined or sanitised, what is behind the last `_` stands in the line as it is: the end of the last key.
                let end = name.rsplit('_').next().filter(|end| !end.is_empty() && end.bytes().all(|b| b.is_ascii_alphanumeric()))?;
                let end = Finder::new(end.as_bytes()).into_owned();
                (!name.ends_with(SUFFIX)).then(|| Glance::Compare { name: name.clone(), end, op: *op, quantity: *value })
            }
            // What cannot be decoded becomes a space.
            LabelFilter::Match(m) if m.op == MatchOp::Eq && !m.value.is_empty() && !m.value.contains(' ') && !m.name.starts_with("__") => {
                Some(Glance::Text { name: m.name.clone(), value: Finder::new(m.value.as_bytes()).into_owned() })
            }
            LabelFilter::And(a, b) => {
                let both: Vec<Glance> = [a, b].into_iter().filter_map(|f| Glance::of(f)).collect();
                (!both.is_empty()).then_some(Glance::Any(both))
            }
            LabelFilter::Or(a, b) => Some(Glance::Both(Box::new(Glance::of(a)?), Box::new(Glance::of(b)?))),
            LabelFilter::Match(_) | LabelFilter::Ip { .. } => None,
        }
    }

    /// Whether the filter is certain to drop a line without escapes.
    fn drops(&self, line: &str, labels: &RowLabels) -> bool {
        match self {
            Glance::Compare { name, end, op, quantity } => {
                labels.get(name).is_none() && no_value_holds(line, end, |value| compare(value, *op, *quantity) != Ok(false))
            }
            Glance::Text { name, value } => labels.get(name).is_none() && value.find(line.as_bytes()).is_none(),
            Glance::Any(all) => all.iter().any(|g| g.drops(line, labels)),
            Glance::Both(a, b) => a.drops(line, labels) && b.drops(line, labels),
        }
    }
}

/// Whether none of the members whose keys end with `end` has a value that holds. False where that is not plain to see.
fn no_value_holds(line: &str, end: &Finder<'_>, holds: impl Fn(&str) -> bool) -> bool {
    let mut rest = line;
    while let Some(found) = end.find(rest.as_bytes()) {
        // The end is ASCII.
        rest = &rest[found + end.needle().len()..];
        match rest.as_bytes() {
            // The value of a key, or the end of a value.
            [b'"', b':', ..] => match plain_value(&rest[2..]) {
                Some(value) if !holds(value) => {}
                _ => return false,
            },
            [b'"', b',' | b'}' | b']', ..] => {}
            // A longer word, or a text that goes on. What is trimmed off a key is spaces, of which there are many beyond ASCII.
            [b, ..] if b.is_ascii_graphic() && *b != b'"' => {}
            _ => return false,
        }
    }
    true
}

/// The value that begins here, if it is a string without escapes or a word.
fn plain_value(text: &str) -> Option<&str> {
    if let Some(inner) = text.strip_prefix('"') {
        return inner.split_once('"').map(|(inner, _)| inner);
    }
    let len = text.bytes().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))).unwrap_or(text.len());
    (len > 0).then(|| &text[..len])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::label_filter::LabelFilterStage;
    use super::super::pipeline::Pipeline;
    use super::super::{SeriesLabels, Wanted};
    use super::*;
    use crate::logql::ast::{Expr, StageExpr};
    use base::Labels;

    const FILTERS: [&str; 12] = [
        "a >= 500",
        "a_b < 5",
        "a == 5 and b_a=\"x\"",
        "a=\"x\"",
        "a=\"500\" or b > 5",
        "a_b_a != 5 | b < 501",
        "a > 1s",
        "b < 5KB, a=\"x y\"",
        "app > 1",
        "app_extracted > 1",
        "a_ > 1",
        "__error__=\"JSONParserErr\" or a > 1",
    ];

    fn log(filter: &str) -> crate::logql::ast::LogExpr {
        let Expr::Log(log) = crate::logql::parse(&format!("{{app=\"web\"}} | json | {filter}")).unwrap() else { panic!("{filter}") };
        log
    }

    /// Whether the line goes through, and whether the glance alone drops it.
    fn through(filter: &str, line: &str) -> (bool, bool) {
        let log = log(filter);
        let filters: Vec<&LabelFilter> =
            log.stages.iter().filter_map(|s| if let StageExpr::LabelFilter(f) = &s.value { Some(f) } else { None }).collect();
        let mut labels = RowLabels::default();
        let series = SeriesLabels::new(&Labels::from_pairs([("app", "web")]).unwrap());
        let mut passes = |stage: &dyn Stage, start: bool| {
            if start {
                labels.start_series(&series);
            }
            stage.apply(&mut Row { time_ns: 0, line: line.into(), labels: &mut labels, cancel: &table::Cancel::default() })
        };
        let dropped = GlanceStage::new(filters.iter().copied()).is_some_and(|g| !passes(&g, true));
        let json = super::super::json::JsonStage::new(Wanted::All);
        let through = passes(&json, true) && filters.iter().all(|f| passes(&LabelFilterStage::new(f).unwrap(), false));
        (through, dropped)
    }

    #[test]
    fn lines_that_are_plainly_refused_are_dropped() {
        for (filter, line, dropped) in [
            ("a >= 500", r#"{"x":"status","a":200,"y":"a"}"#, true),
            ("a >= 500", r#"{"a":"200"}"#, true),
            ("a >= 500", "not json", true),
            ("a >= 500", "not a json line", false),
            ("a >= 500", r#"{"aa":200,"ab":"500"}"#, true),
            ("x_a >= 500", r#"{"x":{"a":200}}"#, true),
            ("a >= 500", r#"{"a":500}"#, false),
            ("a >= 500", r#"{"a":200,"a":500}"#, false),
            ("a >= 500", r#"{"a" :200}"#, false),
            ("a >= 500", r#"{"a ":200}"#, false),
            ("a >= 500", "{\"a\u{a0}\":500}", false),
            ("a >= 500", r#"{"a":oops}"#, false),
            ("a >= 500", r#"{"\u0061":500}"#, false),
            ("a >= 500", r#"{"b":"\n"}"#, false),
            ("a=\"xyz\"", r#"{"a":"xy","b":"z"}"#, true),
            ("a=\"xyz\"", r#"{"a":"\u0078yz"}"#, false),
            ("app=\"api\"", r#"{"app":"x"}"#, false),
            ("a > 5 and ip=ip(\"10.0.0.1\")", r#"{"a":1}"#, true),
            ("a > 5 or ip=ip(\"10.0.0.1\")", r#"{"a":1}"#, false),
        ] {
            let (through, glance) = through(filter, line);
            assert_eq!(glance, dropped, "{filter} {line}");
            assert!(!(through && glance), "{filter} {line}");
        }
    }

    #[test]
    fn it_stands_before_json() {
        let json = |filter: &str| Pipeline::new(&log(filter), Wanted::Only(vec![]), 0).unwrap();
        assert_eq!(json("a > 5").len(), 3);
        assert_eq!(json("a=~\"x\"").len(), 2, "a pattern is not looked for");
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            "[0-9]{1,3}(\\.5)?(s|KB|ms)?",
            "\"[0-9]{1,3}(\\.5)?(s|KB|ms)?\"",
            "\"[ab xy\u{fffd}]{0,3}\"",
            r#"(true|null|oops|"\\u0061"|"\\"5"| 5|5 |-5|5e2|"é")"#,
            r#"\{"[ab]":(5|"x"|600)\}"#,
        ]
    }

    proptest! {
        #[test]
        fn no_line_is_dropped_that_would_go_through(
            members in prop::collection::vec((r#"([ab]{1,2}|a[_.]b|[ab]\{? ?| a|\\u0061|app|a b a|)"#, value()), 0..4),
            filter in prop::sample::select(&FILTERS[..]),
            separator in prop::sample::select(&[":", " :", ": "][..]),
            cut in 0usize..120,
        ) {
            let members: Vec<String> = members.iter().map(|(k, v)| format!("\"{k}\"{separator}{v}")).collect();
            let line = format!("{{{}}}", members.join(","));
            let cut = (0..=cut.min(line.len())).rev().find(|n| line.is_char_boundary(*n)).unwrap_or(0);
            for line in [line.as_str(), &line[..cut]] {
                let (through, dropped) = through(filter, line);
                prop_assert!(!(through && dropped), "{} {}", filter, line);
            }
        }
    }
}
