//! Tokens of PromQL.

use lang::{Cursor, Diagnostic, Parsed, Span};

/// What a token is. Keywords are identifiers: most of them are also good metric names, so the parser decides.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A name, which may hold colons outside brackets and braces.
    Ident,
    /// A number.
    Number(f64),
    /// A duration, milliseconds.
    Duration(i64),
    /// A string, unquoted.
    Str(String),
    /// Punctuation or an operator, as written.
    Sign(&'static str),
    /// The end.
    End,
}

/// A token and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// What.
    pub kind: Kind,
    /// Where.
    pub span: Span,
}

/// Signs, longer ones before their prefixes.
const SIGNS: [&str; 29] = [
    "=~", "!~", "!=", "==", "<=", ">=", "</", ">/", "<", ">", "=", "+", "-", "*", "/", "%", "^", "(", ")", "{", "}", "[", "]", ",", ":",
    "@", ".", "!", ";",
];

/// Cuts `source` into tokens; the last one is [`Kind::End`].
pub fn tokens(source: &str) -> Parsed<Vec<Token>> {
    let mut c = Cursor::new(source);
    let mut out = Vec::new();
    // Colons belong to names outside of brackets and braces alone: `a:b` is a name, `[5m:step()]` is not.
    let mut enclosed = 0usize;
    loop {
        c.skip_blank();
        let start = c.at();
        let Some(next) = c.peek() else {
            out.push(Token { kind: Kind::End, span: c.span_from(start) });
            return Ok(out);
        };
        let digit_follows = next == '.' && c.peek_second().is_some_and(|d| d.is_ascii_digit());
        let kind = if next.is_ascii_digit() || digit_follows {
            number(&mut c)?
        } else if matches!(next, '"' | '\'' | '`') {
            Kind::Str(c.take_string_lossy("\"'`")?)
        } else if !c.take_ident(|ch| ch == ':' && enclosed == 0).is_empty() {
            Kind::Ident
        } else {
            let sign = SIGNS.iter().find(|s| c.eat(s)).ok_or_else(|| c.unexpected())?;
            match *sign {
                "[" | "{" => enclosed += 1,
                "]" | "}" => enclosed = enclosed.saturating_sub(1),
                _ => {}
            }
            Kind::Sign(sign)
        };
        out.push(Token { kind, span: c.span_from(start) });
    }
}

/// A number or a duration: `5`, `1_000`, `.5`, `1e-3`, `0x1F`, `5m`, `1h30m`.
fn number(c: &mut Cursor<'_>) -> Parsed<Kind> {
    let start = c.at();
    c.take_while(|ch| ch.is_ascii_alphanumeric() || ch == '_' || ch == '.');
    let so_far = &c.source()[start..c.at()];
    let hex = so_far.starts_with("0x") || so_far.starts_with("0X");
    let exponent_open = !hex && so_far.ends_with(['e', 'E']) && matches!(c.peek(), Some('+' | '-'));
    if exponent_open && c.peek_second().is_some_and(|d| d.is_ascii_digit()) {
        c.bump();
        c.take_while(|ch| ch.is_ascii_digit() || ch == '_');
    }
    let text = &c.source()[start..c.at()];
    if let Some(v) = plain_number(text) {
        return Ok(Kind::Number(v));
    }
    match lang::duration::parse_prom(text) {
        Some(ns) => Ok(Kind::Duration(ns / 1_000_000)),
        None => Err(Diagnostic::new(c.span_from(start), format!("bad number or duration syntax: {text:?}"))),
    }
}

/// Reads a number as Go does: integers with a base prefix (a leading 0 is octal), else a float; `_` between digits.
fn plain_number(text: &str) -> Option<f64> {
    let t = if text.contains('_') {
        let b = text.as_bytes();
        let between = |i: usize| i > 0 && i + 1 < b.len() && b[i - 1].is_ascii_hexdigit() && b[i + 1].is_ascii_hexdigit();
        if !(0..b.len()).all(|i| b[i] != b'_' || between(i)) {
            return None;
        }
        text.replace('_', "")
    } else {
        text.to_string()
    };
    if let Some(h) = t.strip_prefix("0x").or_else(|| t.strip_prefix("0X")) {
        return i64::from_str_radix(h, 16).ok().map(|v| v as f64).or_else(|| lang::number::parse(&t));
    }
    if t.len() > 1 && t.starts_with('0') && t.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
        return i64::from_str_radix(&t, 8).ok().map(|v| v as f64);
    }
    if !t.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    lang::number::parse(&t)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(s: &str) -> Vec<Kind> {
        tokens(s).unwrap().into_iter().map(|t| t.kind).collect()
    }

    #[test]
    fn numbers_and_durations() {
        for (text, want) in [
            ("5", 5.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1e-3", 0.001),
            ("0x1F", 31.0),
            ("1_000", 1000.0),
            ("010", 8.0),
            ("08", 8.0),
        ] {
            assert_eq!(kinds(text), [Kind::Number(want), Kind::End], "{text}");
        }
        assert_eq!(kinds("1h30m"), [Kind::Duration(5_400_000), Kind::End]);
        assert_eq!(kinds("5ms"), [Kind::Duration(5), Kind::End]);
        for bad in ["1a", "5m1h", "1e", "0xg", "1__0", "2x"] {
            assert!(tokens(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn colons_are_part_of_names_outside_brackets() {
        assert_eq!(kinds("a:b").len(), 2);
        assert_eq!(kinds("a[5m:step()]").len(), 9);
        assert_eq!(kinds("a # note\n + 'x'"), [Kind::Ident, Kind::Sign("+"), Kind::Str("x".into()), Kind::End]);
        assert!(tokens("\"open").is_err());
        assert!(tokens("a ~ b").is_err());
    }
}
