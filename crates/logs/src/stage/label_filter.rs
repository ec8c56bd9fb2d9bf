//! `| status >= 500 and method="GET"`: lines by their labels.

use base::{Matcher, Result};
use table::Cancel;

use super::ip::IpMatcher;
use super::labels::{ERROR, ERROR_DETAILS, PRESERVE_ERROR};
use super::{Row, RowLabels, Stage};
use crate::logql::ast::{CompareOp, LabelFilter, Quantity};

/// The value of `__error__` when a label does not hold the quantity it is compared with.
pub const FILTER_ERROR: &str = "LabelFilterErr";

/// A label filter.
pub enum LabelFilterStage {
    /// Text.
    Match(Matcher),
    /// Quantity.
    Compare(String, CompareOp, Quantity),
    /// Address.
    Ip(String, bool, IpMatcher),
    /// Both.
    And(Box<LabelFilterStage>, Box<LabelFilterStage>),
    /// Either.
    Or(Box<LabelFilterStage>, Box<LabelFilterStage>),
}

impl LabelFilterStage {
    /// Of a checked tree.
    pub fn new(filter: &LabelFilter) -> Result<Self> {
        let inner = |f: &LabelFilter| Ok::<_, base::Error>(Box::new(Self::new(f)?));
        Ok(match filter {
            LabelFilter::Match(m) => Self::Match(m.clone()),
            LabelFilter::Compare { name, op, value } => Self::Compare(name.clone(), *op, *value),
            LabelFilter::Ip { name, negative, pattern } => {
                Self::Ip(name.clone(), *negative, IpMatcher::parse(&pattern.value).map_err(base::Error::internal)?)
            }
            LabelFilter::And(a, b) => Self::And(inner(a)?, inner(b)?),
            LabelFilter::Or(a, b) => Self::Or(inner(a)?, inner(b)?),
        })
    }

    /// Whether the row passes. An address is not looked for in a row with an error, which passes; of a label that holds no such quantity the
    /// row gets an error, unless it has one, and passes: matchers can filter it out.
    pub fn passes(&self, labels: &mut RowLabels, cancel: &Cancel) -> bool {
        // A filter may be hundreds of patterns, and a label may have megabytes.
        if cancel.is_cancelled() {
            return false;
        }
        match self {
            Self::Match(m) => m.matches_value(labels.get(&m.name).unwrap_or("")),
            Self::And(a, b) => a.passes(labels, cancel) && b.passes(labels, cancel),
            Self::Or(a, b) => a.passes(labels, cancel) || b.passes(labels, cancel),
            // An error is no quantity.
            Self::Compare(name, ..) if name == ERROR || name == ERROR_DETAILS => false,
            Self::Ip(..) if labels.error().is_some() => true,
            Self::Ip(name, negative, ip) => labels.get(name).is_some_and(|v| ip.is_in(v) != *negative),
            Self::Compare(name, op, quantity) => {
                let Some(value) = labels.get(name) else { return false };
                match compare(value, *op, *quantity) {
                    Ok(yes) => yes,
                    Err(details) => {
                        if labels.error().is_none() {
                            labels.fail(FILTER_ERROR, &details);
                        }
                        true
                    }
                }
            }
        }
    }
}

/// Whether the value holds; what is wrong with it if it is no such quantity.
pub(super) fn compare(value: &str, op: CompareOp, quantity: Quantity) -> std::result::Result<bool, String> {
    Ok(match quantity {
        Quantity::Number(want) => {
            let got = lang::number::parse(value)
                .ok_or_else(|| format!("strconv.ParseFloat: parsing {}: invalid syntax", lang::literal::quote(value)))?;
            op.holds(got, want)
        }
        Quantity::Duration(want) => {
            let got = lang::duration::parse_go(value).ok_or_else(|| format!("time: invalid duration {}", lang::literal::quote(value)))?;
            op.holds(got, want)
        }
        Quantity::Size(want) => {
            let got = lang::size::parse(value).ok_or_else(|| format!("unhandled size name or number: {value}"))?;
            op.holds(got, want)
        }
    })
}

impl Stage for LabelFilterStage {
    fn apply(&self, row: &mut Row<'_>) -> bool {
        self.passes(row.labels, row.cancel)
    }
}

/// Calls `name` with every label a filter looks at.
pub fn names(filter: &LabelFilter, name: &mut impl FnMut(&str)) {
    match filter {
        LabelFilter::Match(m) => name(&m.name),
        LabelFilter::Compare { name: n, .. } | LabelFilter::Ip { name: n, .. } => name(n),
        LabelFilter::And(a, b) | LabelFilter::Or(a, b) => {
            names(a, name);
            names(b, name);
        }
    }
}

/// Whether a filter looks at errors.
pub fn looks_at_errors(filter: &LabelFilter) -> bool {
    let mut yes = false;
    names(filter, &mut |n| yes |= matches!(n, ERROR | ERROR_DETAILS | PRESERVE_ERROR));
    yes
}

#[cfg(test)]
mod tests {
    use super::super::testing::run_on;
    use super::*;
    use crate::logql::ast::{Expr, StageExpr};

    fn stage(text: &str) -> LabelFilterStage {
        match crate::logql::parse(&format!("{{a=\"b\"}} | {text}")).unwrap() {
            Expr::Log(l) => match &l.stages[0].value {
                StageExpr::LabelFilter(f) => LabelFilterStage::new(f).unwrap(),
                other => panic!("{other}"),
            },
            other => panic!("{other}"),
        }
    }

    #[test]
    fn values_are_compared_as_what_they_are_compared_with() {
        let labels = [("n", "500"), ("d", "1.5s"), ("b", "2KB"), ("s", "GET"), ("ip", "10.1.2.3")];
        for (text, pass) in [
            ("n >= 500", true),
            ("n > 500", false),
            ("d > 1s", true),
            ("d = 1500ms", true),
            ("b < 2KiB", true),
            ("s = \"GET\"", true),
            ("s =~ \"G.*\"", true),
            ("s !~ \"G\"", true),
            ("none = \"\"", true),
            ("none > 1", false),
            ("none != 1", false),
            ("ip = ip(\"10.0.0.0/8\")", true),
            ("ip != ip(\"10.0.0.0/8\")", false),
            ("n = 1 or s = \"GET\" and b > 1KB", true),
            ("(n = 1 or s = \"GET\"), b > 1MB", false),
        ] {
            assert_eq!(run_on(&stage(text), &labels, "") != "dropped", pass, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_compared_is_an_error_that_only_matchers_filter() {
        assert!(run_on(&stage("s > 5"), &[("s", "GET")], "").contains("LabelFilterErr"));
        assert!(run_on(&stage("s > 5 and s > 6"), &[("s", "GET")], "").contains("LabelFilterErr"));
        assert_eq!(run_on(&stage("s > 5 and __error__=\"\""), &[("s", "GET")], ""), "dropped");
    }
}
