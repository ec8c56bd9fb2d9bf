//! `| line_format "{{.x}}"`: a new line from labels.

use std::borrow::Cow;

use super::template::Template;
use super::{Row, Stage};

/// `| line_format`.
pub struct LineFormatStage(pub Template);

impl Stage for LineFormatStage {
    fn apply(&self, row: &mut Row<'_>) -> bool {
        row.line = Cow::Owned(self.0.fill(row));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::run;
    use super::*;

    #[test]
    fn the_line_is_replaced() {
        let s = LineFormatStage(Template::parse("{{.app}}: {{__line__}}").unwrap());
        assert_eq!(run(&s, "x"), r#"web: x {app="web"}"#);
    }
}
