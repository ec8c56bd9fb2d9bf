//! `| line_format "{{.x}}"`: a new line from labels.

use std::borrow::Cow;

use super::template::{TEMPLATE_ERROR, Template};
use super::{Row, Stage};

/// `| line_format`.
pub struct LineFormatStage(pub Template);

impl Stage for LineFormatStage {
    /// A template that cannot be filled in leaves the line as it is, and an error.
    fn apply(&self, row: &mut Row<'_>) -> bool {
        match self.0.fill(row) {
            Ok(line) => row.line = Cow::Owned(line),
            Err(e) => row.labels.fail(TEMPLATE_ERROR, &e),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::run;
    use super::*;

    #[test]
    fn the_line_is_replaced() {
        let stage = |t: &str| LineFormatStage(Template::parse(t, 0).unwrap());
        assert_eq!(run(&stage("{{.app | ToUpper}}: {{__line__}}"), "x"), r#"WEB: x {app="web"}"#);
        assert_eq!(
            run(&stage("{{ div 1 0 }}"), "x"),
            r#"{__error__="TemplateFormatErr", __error_details__="error calling div: integer divide by zero", app="web"}"#
        );
    }
}
