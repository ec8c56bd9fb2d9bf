//! What is wrong with a source text, where, and what would be right.

use std::fmt;

use base::{Error, Kind};

use crate::Span;

/// Result of reading text.
pub type Parsed<T> = Result<T, Diagnostic>;

/// Something wrong at a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
    /// What would help, if that is known.
    pub hint: Option<String>,
}

/// Source lines longer than this are cut around the caret when they are shown.
const SHOWN_CHARS: usize = 120;

impl Diagnostic {
    /// `message` about `span`.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Diagnostic { span, message: message.into(), hint: None }
    }
    /// `expected WHAT, got GOT`.
    pub fn expected(span: Span, what: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self::new(span, format!("expected {what}, got {got}"))
    }
    /// Adds what would help.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The source line with a caret under the span, and the hint; each line ends with a newline.
    pub fn render(&self, source: &str) -> String {
        let (line, column) = self.span.line_column(source);
        let text: Vec<char> = source.lines().nth(line - 1).unwrap_or("").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let at = (column - 1).min(text.len());
        let from = if text.len() <= SHOWN_CHARS { 0 } else { at.saturating_sub(SHOWN_CHARS / 2) };
        let to = (from + SHOWN_CHARS).min(text.len());
        let marked = self.span.of(source).lines().next().unwrap_or("").chars().count();
        let width = marked.min(to.saturating_sub(at)).max(1);
        let mut out = format!("  {}\n  {}{}\n", text[from..to].iter().collect::<String>(), " ".repeat(at - from), "^".repeat(width));
        if let Some(h) = &self.hint {
            out.push_str(&format!("hint: {h}\n"));
        }
        out
    }

    /// An error of `kind`: position and message in the first line, then [`Diagnostic::render`].
    pub fn to_error_of(&self, kind: Kind, source: &str) -> Error {
        let (line, column) = self.span.line_column(source);
        Error::new(kind, format!("parse error at line {line}, col {column}: {}\n{}", self.message, self.render(source).trim_end()))
    }
    /// The same, of kind `Invalid`.
    pub fn to_error(&self, source: &str) -> Error {
        self.to_error_of(Kind::Invalid, source)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_the_place_and_a_hint() {
        let d = Diagnostic::expected(Span::new(5, 7), "a duration", "`xx`").hint("write 5m");
        assert_eq!(
            d.to_error("rate[xx]").message(),
            "parse error at line 1, col 6: expected a duration, got `xx`\n  rate[xx]\n       ^^\nhint: write 5m"
        );
    }

    #[test]
    fn the_end_of_a_long_source_is_shown_around_the_caret() {
        let source = "x".repeat(1000);
        let shown = Diagnostic::new(Span::new(1000, 1000), "unexpected end").render(&source);
        let mut lines = shown.lines();
        assert!(lines.next().is_some_and(|l| l.len() <= SHOWN_CHARS + 2));
        assert!(lines.next().is_some_and(|l| l.ends_with('^')));
        let _ = Diagnostic::new(Span::new(7000, 9000), "beyond").render("é");
    }
}
