//! String literals as Go writes them (The Go Programming Language Specification, "String literals"), which all three
//! languages inherit: `"..."` with escapes, `` `...` `` raw, and for PromQL `'...'` with escapes.

use crate::{Diagnostic, Span};

/// What is wrong with a literal, at an offset in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiteralError {
    /// First wrong byte, from the opening quote.
    pub start: usize,
    /// First byte after.
    pub end: usize,
    /// What.
    pub message: &'static str,
}

impl LiteralError {
    fn new(start: usize, end: usize, message: &'static str) -> Self {
        LiteralError { start, end, message }
    }
    /// The diagnostic, when the literal starts at byte `offset` of the source.
    pub fn at(&self, offset: usize) -> Diagnostic {
        Diagnostic::new(Span::new(offset + self.start, offset + self.end), self.message)
    }
}

/// Length in bytes of the literal, quotes included, that opens at the start of `text`. `quotes` are the kinds allowed
/// (of `"`, `` ` `` and `'`). Only a raw literal may span lines.
pub fn scan(text: &str, quotes: &str) -> Result<usize, LiteralError> {
    let quote = match text.chars().next() {
        Some(q) if quotes.contains(q) => q,
        other => return Err(LiteralError::new(0, other.map_or(0, char::len_utf8), "expected a string in quotes")),
    };
    let mut chars = text.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            _ if c == quote => return Ok(i + 1),
            '\n' if quote != '`' => return Err(LiteralError::new(0, i, "a string in quotes ends in its line; write \\n for a line break")),
            '\\' if quote != '`' => {
                chars.next();
            }
            _ => {}
        }
    }
    Err(LiteralError::new(0, text.len(), "this string is not closed"))
}

/// The value of a whole literal. Escapes: `\a \b \f \n \r \t \v \\`, the literal's own quote, `\ooo`, `\xhh`,
/// `\uhhhh`, `\Uhhhhhhhh`. The value must be UTF-8.
pub fn unquote(literal: &str, quotes: &str) -> Result<String, LiteralError> {
    let value = unquote_bytes(literal, quotes)?;
    String::from_utf8(value).map_err(|_| LiteralError::new(0, literal.len(), "this string is not UTF-8"))
}

/// The value of a whole literal, whatever bytes it is.
pub fn unquote_bytes(literal: &str, quotes: &str) -> Result<Vec<u8>, LiteralError> {
    let n = scan(literal, quotes)?;
    if n != literal.len() {
        return Err(LiteralError::new(n, literal.len(), "there is text after the end of the string"));
    }
    let inner = &literal[1..n - 1];
    if literal.starts_with('`') {
        return Ok(inner.replace('\r', "").into_bytes());
    }
    let quote = literal.as_bytes()[0];
    let mut out = Vec::with_capacity(inner.len());
    let bytes = literal.as_bytes();
    let mut i = 1;
    while i < n - 1 {
        if bytes[i] != b'\\' {
            out.push(bytes[i]);
            i += 1;
            continue;
        }
        i += escape(literal, i, n - 1, quote, &mut out)?;
    }
    Ok(out)
}

/// Reads the escape at byte `i`; appends its value; returns its length.
fn escape(literal: &str, i: usize, end: usize, quote: u8, out: &mut Vec<u8>) -> Result<usize, LiteralError> {
    let bytes = literal.as_bytes();
    let kind = bytes[i + 1];
    let number = |from: usize, digits: usize, radix: u32| {
        let text = literal.get(from..from + digits).filter(|_| from + digits <= end);
        text.filter(|t| t.bytes().all(|b| b.is_ascii_alphanumeric()))
            .and_then(|t| u32::from_str_radix(t, radix).ok())
            .ok_or(LiteralError::new(i, (from + digits).min(end), "this escape is not complete"))
    };
    let simple = match kind {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'\\' => b'\\',
        q if q == quote => q,
        b'0'..=b'7' => {
            let v = number(i + 1, 3, 8)?;
            out.push(u8::try_from(v).map_err(|_| LiteralError::new(i, i + 4, "an octal escape is at most \\377"))?);
            return Ok(4);
        }
        b'x' => {
            // Two hexadecimal digits fit in a byte.
            out.push(number(i + 2, 2, 16)? as u8);
            return Ok(4);
        }
        b'u' | b'U' => {
            let digits = if kind == b'u' { 4 } else { 8 };
            let c = char::from_u32(number(i + 2, digits, 16)?);
            let c = c.ok_or(LiteralError::new(i, i + 2 + digits, "this escape names no character"))?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(2 + digits);
        }
        _ => {
            let width = literal[i + 1..].chars().next().map_or(1, char::len_utf8);
            return Err(LiteralError::new(i, i + 1 + width, "there is no such escape; write \\\\ for a backslash, or use `...`"));
        }
    };
    out.push(simple);
    Ok(2)
}

/// Writes `text` as a literal in double quotes that [`unquote`] reads back, as Go's `strconv.Quote` does for the
/// characters people use: control characters are escaped, printable ones stay.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GO: &str = "\"`";
    const ALL: &str = "\"`'";

    #[test]
    fn escapes_have_the_meaning_go_gives_them() {
        for (text, want) in [
            (r#""a\tb\n\\\"""#, "a\tb\n\\\""),
            (r#""\x41\101\u00e9\U0001F600""#, "AAé😀"),
            (r"`a\n`", "a\\n"),
            ("`a\nb`", "a\nb"),
            (r"'it\'s'", "it's"),
            (r#""\xc3\xa9""#, "é"),
        ] {
            assert_eq!(unquote(text, ALL).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn wrong_literals_are_refused_where_they_are_wrong() {
        for (text, quotes, at) in [
            (r#""a"#, GO, 0),
            (r#""\q""#, GO, 1),
            ("'a'", GO, 0),
            ("\"a\nb\"", GO, 0),
            (r#""\x4""#, GO, 1),
            (r#""\400""#, GO, 1),
            (r#""\'""#, GO, 1),
            ("\"a\"b", GO, 3),
            ("", GO, 0),
            (r#""\ud800""#, GO, 1),
            (r#""\xff""#, GO, 0),
        ] {
            assert_eq!(unquote(text, quotes).map_err(|e| e.start), Err(at), "{text}");
        }
        assert!(unquote("\"\\é\"", GO).is_err());
        assert!(unquote("\"\\xé\"", GO).is_err());
    }

    proptest! {
        #[test]
        fn what_is_quoted_reads_back(s in any::<String>()) {
            prop_assert_eq!(unquote(&quote(&s), GO), Ok(s));
        }
        #[test]
        fn no_text_makes_it_panic(s in any::<String>()) {
            let _ = unquote(&s, ALL);
            let _ = unquote(&format!("\"{s}\""), ALL);
        }
    }
}
