//! `| decolorize`: removes the escape sequences that colour a terminal.

use std::borrow::Cow;

use super::{Row, Stage};

/// `| decolorize`.
pub struct DecolorizeStage;

impl Stage for DecolorizeStage {
    fn apply(&self, row: &mut Row<'_>) -> bool {
        if row.line.contains('\u{1b}') {
            row.line = Cow::Owned(lang::ansi::plain(&row.line));
        }
        true
    }
}
