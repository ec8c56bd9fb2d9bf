//! The label string of a stream: `{a="b", c="d"}`, a selector with nothing but equality, values quoted as in Go.

use std::borrow::Cow;

use base::{Error, Result};

use crate::encoding::shorten;

/// Calls `f` with each name and value, in order. Names are `[A-Za-z_][A-Za-z0-9_]*`.
///
/// Errors: `Invalid` with the place. `f` may stop it with an error of its own.
pub fn parse(text: &str, mut f: impl FnMut(&str, &str) -> Result<()>) -> Result<()> {
    let mut p = Parser { text, pos: 0 };
    p.skip_space();
    p.expect('{')?;
    loop {
        p.skip_space();
        if p.eat('}') {
            break;
        }
        let name = p.name()?;
        p.skip_space();
        p.expect('=')?;
        p.skip_space();
        let value = p.quoted()?;
        f(name, &value)?;
        p.skip_space();
        if !p.eat(',') {
            p.expect('}')?;
            break;
        }
    }
    p.skip_space();
    if p.pos < text.len() {
        return Err(p.error("the end"));
    }
    Ok(())
}

/// Appends `value` quoted so that [`parse`] reads it back.
pub fn quote(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Writes a label string.
pub fn print<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from("{");
    for (i, (name, value)) in pairs.into_iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        out.push_str(name);
        out.push('=');
        quote(&mut out, value);
    }
    out.push('}');
    out
}

struct Parser<'a> {
    text: &'a str,
    pos: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.pos..]
    }
    fn error(&self, wanted: &str) -> Error {
        let found = self.rest().chars().next().map_or("the end".into(), |c| format!("{c:?}"));
        Error::invalid(format!("error parsing labels {}: expected {wanted} at byte {}, found {found}", shorten(self.text), self.pos))
    }
    fn skip_space(&mut self) {
        self.pos += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r']).len();
    }
    fn eat(&mut self, c: char) -> bool {
        let found = self.rest().starts_with(c);
        self.pos += if found { c.len_utf8() } else { 0 };
        found
    }
    fn expect(&mut self, c: char) -> Result<()> {
        if self.eat(c) { Ok(()) } else { Err(self.error(&format!("{c:?}"))) }
    }

    fn name(&mut self) -> Result<&'a str> {
        let rest = self.rest();
        let end = rest.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b'_')).unwrap_or(rest.len());
        if end == 0 || rest.as_bytes()[0].is_ascii_digit() {
            return Err(self.error("a label name"));
        }
        self.pos += end;
        Ok(&rest[..end])
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>> {
        if self.eat('`') {
            let rest = self.rest();
            let end = rest.find('`').ok_or_else(|| self.error("a closing back quote"))?;
            self.pos += end + 1;
            return Ok(Cow::Borrowed(&rest[..end]));
        }
        self.expect('"')?;
        let rest = self.rest();
        let plain = rest.bytes().position(|b| matches!(b, b'"' | b'\\' | b'\n')).unwrap_or(rest.len());
        if rest[plain..].starts_with('"') {
            self.pos += plain + 1;
            return Ok(Cow::Borrowed(&rest[..plain]));
        }
        self.escaped().map(Cow::Owned)
    }

    /// The rest of a double-quoted string that has an escape in it, decoded.
    fn escaped(&mut self) -> Result<String> {
        let mut out = Vec::new();
        loop {
            let Some(c) = self.rest().chars().next() else { return Err(self.error("a closing quote")) };
            match c {
                '\n' => return Err(self.error("a closing quote")),
                '"' => {
                    self.pos += 1;
                    return String::from_utf8(out).map_err(|_| self.error("text in UTF-8"));
                }
                '\\' => self.escape(&mut out)?,
                _ => {
                    let mut utf8 = [0; 4];
                    out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
                    self.pos += c.len_utf8();
                }
            }
        }
    }

    /// One escape, as Go defines them; the cursor is at the backslash.
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let bad = |p: &Self| p.error("an escape of a Go string");
        let b = self.text.as_bytes();
        let kind = *b.get(self.pos + 1).ok_or_else(|| bad(self))?;
        let (digits, radix, from) = match kind {
            b'x' => (2, 16, 2),
            b'u' => (4, 16, 2),
            b'U' => (8, 16, 2),
            b'0'..=b'7' => (3, 8, 1),
            _ => {
                out.push(match kind {
                    b'a' => 7,
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 11,
                    b'\\' | b'"' => kind,
                    _ => return Err(bad(self)),
                });
                self.pos += 2;
                return Ok(());
            }
        };
        let text = self.text.get(self.pos + from..self.pos + from + digits).ok_or_else(|| bad(self))?;
        if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad(self));
        }
        let code = u32::from_str_radix(text, radix).map_err(|_| bad(self))?;
        if matches!(kind, b'u' | b'U') {
            let c = char::from_u32(code).ok_or_else(|| bad(self))?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            out.push(u8::try_from(code).map_err(|_| bad(self))?);
        }
        self.pos += from + digits;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Result<Vec<(String, String)>> {
        let mut out = vec![];
        parse(text, |n, v| {
            out.push((n.into(), v.into()));
            Ok(())
        })?;
        Ok(out)
    }

    #[test]
    fn label_strings() {
        let one = |text: &str| pairs(text).unwrap().into_iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("|");
        assert_eq!(one(r#"{a="b", c="d"}"#), "a=b|c=d");
        assert_eq!(one(r#" { a = "b" , } "#), "a=b");
        assert_eq!(one("{}"), "");
        assert_eq!(one("{a=`x\\y\"`}"), "a=x\\y\"");
        assert_eq!(one(r#"{a="\"\\\n\x41\u00e9\U0001F600\101\t한"}"#), "a=\"\\\nAé😀A\t한");
        for bad in [
            "",
            "a=\"b\"",
            "{a}",
            "{a=b}",
            "{a=\"b}",
            "{a=\"b\"",
            "{1a=\"b\"}",
            "{a=\"b\" c=\"d\"}",
            "{a=\"b\"}x",
            "{,}",
            r#"{a="\q"}"#,
            r#"{a="\xff"}"#,
            r#"{a="\u12"}"#,
            r#"{a="\ud800"}"#,
            r#"{a!="b"}"#,
            "{a=\"x\ny\"}",
            r#"{a="\777"}"#,
        ] {
            assert_eq!(pairs(bad).unwrap_err().kind(), base::Kind::Invalid, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_parsed(want in proptest::collection::vec(("[a-zA-Z_][a-zA-Z0-9_]{0,5}", any::<String>()), 0..5)) {
            let text = print(want.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            prop_assert_eq!(pairs(&text).unwrap(), want);
        }
        #[test]
        fn any_text_is_answered(text in r#"[{}a=",\\x0u`\n 한]{0,30}"#) {
            let _ = pairs(&text);
        }
    }
}
