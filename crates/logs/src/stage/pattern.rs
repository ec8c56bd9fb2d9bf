//! `| pattern "<ip> - <_>"` and `|> "<_> error <_>"`.

pub use lang::line_pattern::Pattern;

use super::{Row, Stage, Wanted};

/// `| pattern`.
pub struct PatternStage {
    pattern: Pattern,
    wanted: Wanted,
}

impl PatternStage {
    /// Of a checked pattern.
    pub fn new(text: &str, wanted: Wanted) -> base::Result<Self> {
        Ok(PatternStage { pattern: Pattern::with_captures(text).map_err(base::Error::internal)?, wanted })
    }
}

impl Stage for PatternStage {
    fn apply(&self, row: &mut Row<'_>) -> bool {
        if self.wanted.is_nothing() {
            return true;
        }
        let labels = &mut *row.labels;
        self.pattern.capture(&row.line, |name, value| {
            labels.extract(name, value, &self.wanted);
        });
        true
    }
}
