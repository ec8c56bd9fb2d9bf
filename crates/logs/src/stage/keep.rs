//! `| drop a, b="x"` and `| keep a, b="x"`: which labels the answer shows.

use super::labels::{ERROR, ERROR_DETAILS, PRESERVE_ERROR};
use super::{Row, RowLabels, Stage};
use crate::logql::ast::Pick;

/// `| drop`.
pub struct DropStage(pub Vec<Pick>);

impl Stage for DropStage {
    fn apply(&self, row: &mut Row<'_>) -> bool {
        for p in &self.0 {
            match p {
                Pick::Name(n) => row.labels.remove(n),
                Pick::Match(m) => {
                    if row.labels.get(&m.name).is_some_and(|v| m.matches_value(v)) {
                        row.labels.remove(&m.name);
                    }
                }
            }
        }
        true
    }
}

/// `| keep`. Errors are always kept.
pub struct KeepStage(pub Vec<Pick>);

impl KeepStage {
    fn keeps(&self, labels: &RowLabels, name: &str) -> bool {
        matches!(name, ERROR | ERROR_DETAILS | PRESERVE_ERROR)
            || self.0.iter().any(|p| match p {
                Pick::Name(n) => n == name,
                Pick::Match(m) => m.name == name && labels.get(name).is_some_and(|v| m.matches_value(v)),
            })
    }
}

impl Stage for KeepStage {
    fn apply(&self, row: &mut Row<'_>) -> bool {
        let gone: Vec<String> = row.labels.iter().map(|(_, n, _)| n).filter(|n| !self.keeps(row.labels, n)).map(str::to_string).collect();
        gone.iter().for_each(|n| row.labels.remove(n));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::run_on;
    use super::*;
    use base::Matcher;

    #[test]
    fn picks_by_name_and_by_value() {
        let labels = [("a", "1"), ("b", "2"), ("c", "3")];
        let picks = || vec![Pick::Name("a".into()), Pick::Match(Matcher::eq("b", "2")), Pick::Match(Matcher::eq("c", "x"))];
        assert_eq!(run_on(&DropStage(picks()), &labels, ""), r#"{c="3"}"#);
        assert_eq!(run_on(&KeepStage(picks()), &labels, ""), r#"{a="1", b="2"}"#);
    }
}
