//! `label_replace(v, "dst", "$1", "src", "(.*)")`.

use std::collections::HashSet;

use base::{Error, Kind, Labels, Result};
use table::Cancel;

use super::Series;
use super::budget::{self, Budget, ENTRY_BYTES};
use crate::limits;
use crate::logql::ast::LabelReplace;
use crate::stage::labels::labels_of;

/// Sets the target label where the pattern matches the whole source label.
pub fn apply(l: &LabelReplace, series: Vec<Series>, budget: &Budget, cancel: &Cancel) -> Result<Vec<Series>> {
    let before = budget::weight(&series);
    let copies = series.len() * ENTRY_BYTES;
    budget.take(copies)?;
    let pattern = lang::re2::compile(&format!("^(?:{})$", l.pattern.value)).map_err(Error::internal)?;
    let mut seen: HashSet<Labels> = HashSet::new();
    let (mut out, mut bytes) = (vec![], 0);
    let replacement = braced(&l.replacement);
    let groups = replacement.matches('$').count();
    for mut s in series {
        cancel.check()?;
        let source = s.labels.get(&l.source).unwrap_or("");
        // No group is longer than the whole.
        if groups.saturating_mul(source.len()) > limits::LABEL_MADE_BYTES {
            return Err(too_long());
        }
        if let Some(found) = pattern.captures(source) {
            let mut value = String::new();
            found.expand(&replacement, &mut value);
            bytes += value.len();
            if value.len() > base::limits::LABEL_VALUE_BYTES || bytes > limits::LABEL_SETS_BYTES {
                return Err(too_long());
            }
            let mut pairs: Vec<(&str, &str)> = s.labels.iter().filter(|(n, _)| *n != l.target).collect();
            if !value.is_empty() {
                pairs.push((&l.target, &value));
            }
            s.labels = labels_of(pairs);
        }
        if !seen.insert(s.labels.clone()) {
            return Err(Error::invalid(format!("vector cannot contain metrics with the same labelset: {}", s.labels)));
        }
        out.push(s);
    }
    budget.swap(before + copies, budget::weight(&out))?;
    Ok(out)
}

fn too_long() -> Error {
    Error::new(
        Kind::Unprocessable,
        format!("label_replace() would make a label of more than {} KiB, or too many long ones", base::limits::LABEL_VALUE_BYTES >> 10),
    )
}

/// `$1x` names a group "1x" in both libraries, but a lone `$` at odd places is text in Go: it is doubled here.
fn braced(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '$' {
            match chars.peek() {
                Some('$') => {
                    out.push('$');
                    chars.next();
                }
                Some(n) if n.is_ascii_alphanumeric() || *n == '_' || *n == '{' => {}
                _ => out.push('$'),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logql::ast::MetricExpr;
    use lang::{Span, Spanned};

    fn run(replacement: &str, pattern: &str, sets: &[&[(&str, &str)]]) -> Result<Vec<String>> {
        let l = LabelReplace {
            inner: MetricExpr::Literal(0.0),
            target: "t".into(),
            replacement: replacement.into(),
            source: "s".into(),
            pattern: Spanned::new(pattern.into(), Span::default()),
        };
        let series = sets.iter().map(|p| Series { labels: Labels::from_pairs(p.iter().copied()).unwrap(), points: vec![(0, 1.0)] });
        let series: Vec<Series> = series.collect();
        let budget = Budget::new(1 << 20, Cancel::default());
        budget.take(budget::weight(&series)).unwrap();
        apply(&l, series, &budget, &Cancel::default()).map(|s| s.iter().map(|s| s.labels.to_string()).collect())
    }

    #[test]
    fn whole_values_are_replaced() {
        assert_eq!(
            run("$1-${2}", "(a)(.*)", &[&[("s", "abc")], &[("s", "x"), ("t", "y")]]).unwrap(),
            [r#"{s="abc", t="a-bc"}"#, r#"{s="x", t="y"}"#]
        );
        assert_eq!(run("", ".*", &[&[("s", "x"), ("t", "y")]]).unwrap(), [r#"{s="x"}"#], "an empty value removes the label");
        assert!(run("same", ".*", &[&[("t", "1")], &[("t", "2")]]).is_err());
    }

    #[test]
    fn a_label_does_not_grow_without_end() {
        let value = "x".repeat(1000);
        let set: &[&[(&str, &str)]] = &[&[("s", &value)]];
        assert!(run(&"$1".repeat(60), "(.*)", set).is_ok());
        for times in [100, 60_000] {
            assert!(run(&"$1".repeat(times), "(.*)", set).unwrap_err().message().contains("64 KiB"));
        }
    }
}
