//! `label_replace(v, "dst", "$1", "src", "(.*)")`.

use std::collections::HashSet;

use base::{Error, Labels, Result};

use super::Series;
use crate::logql::ast::LabelReplace;
use crate::stage::labels::labels_of;

/// Sets the target label where the pattern matches the whole source label.
pub fn apply(l: &LabelReplace, series: Vec<Series>) -> Result<Vec<Series>> {
    let pattern = lang::re2::compile(&format!("^(?:{})$", l.pattern.value)).map_err(Error::internal)?;
    let mut seen: HashSet<Labels> = HashSet::new();
    let mut out = vec![];
    for mut s in series {
        if let Some(found) = pattern.captures(s.labels.get(&l.source).unwrap_or("")) {
            let mut value = String::new();
            found.expand(&braced(&l.replacement), &mut value);
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
    Ok(out)
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
        apply(&l, series.collect()).map(|s| s.iter().map(|s| s.labels.to_string()).collect())
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
}
