//! Label matchers, as the selectors of the languages write them.

use base::{MatchOp, Matcher, RegexRoom};

use crate::{Diagnostic, Parsed, Span, re2};

/// The operator written `=`, `!=`, `=~` or `!~`.
pub fn op(text: &str) -> Option<MatchOp> {
    Some(match text {
        "=" => MatchOp::Eq,
        "!=" => MatchOp::Ne,
        "=~" => MatchOp::Re,
        "!~" => MatchOp::NotRe,
        _ => return None,
    })
}

/// A matcher; `span` is that of its value and is named when the pattern is not valid, or too much in the room of its request.
pub fn build(name: &str, op: MatchOp, value: &str, span: Span, room: &mut RegexRoom) -> Parsed<Matcher> {
    match op {
        MatchOp::Eq | MatchOp::Ne => Matcher::new(name, op, value),
        MatchOp::Re | MatchOp::NotRe => {
            let pattern = re2::translate(value).map_err(|m| Diagnostic::new(span, format!("invalid regular expression: {m}")))?;
            Matcher::with_pattern(name, op, value, &pattern, room)
        }
    }
    .map_err(|e| Diagnostic::new(span, e.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_pattern_is_shown_where_it_stands() {
        let room = &mut RegexRoom::default();
        assert_eq!(build("a", MatchOp::Re, "(", Span::new(3, 4), room).map_err(|d| d.span), Err(Span::new(3, 4)));
        let m = build("a", op("=~").expect("an operator"), r"\d+", Span::default(), room).expect("valid");
        assert!(m.matches_value("12") && !m.matches_value("٣"), "RE2's \\d is ASCII");
        assert_eq!(m.value, r"\d+");
        assert_eq!(op("=="), None);
    }
}
