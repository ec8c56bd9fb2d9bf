//! Walks JSON text without building anything. Lenient where the original is: what follows the value that was asked for
//! is not looked at.

mod outline;

use std::borrow::Cow;

pub use outline::Outline;

/// Why text is not JSON.
pub type Wrong = &'static str;

/// A value as it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// The inside of a string, escapes and all.
    Text(&'a str),
    /// A number, `true` or `false`.
    Word(&'a str),
    /// `null`.
    Null,
    /// A whole object.
    Object(&'a str),
    /// A whole array.
    Array(&'a str),
}

/// What numbers and words are made of.
const IN_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = (b as u8).is_ascii_alphanumeric() || matches!(b as u8, b'+' | b'-' | b'.');
        b += 1;
    }
    table
};

/// A place in JSON text.
pub struct JsonCursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> JsonCursor<'a> {
    /// At the start.
    pub fn new(text: &'a str) -> Self {
        JsonCursor { text, at: 0 }
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
    /// The next byte that is not a space. Between members there mostly is none.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.byte()
    }
    /// Takes `b`, after spaces.
    #[inline]
    pub fn eat(&mut self, b: u8) -> bool {
        let yes = self.byte() == Some(b) || self.peek() == Some(b);
        self.at += usize::from(yes);
        yes
    }

    /// The inside of the string that opens here.
    #[inline]
    pub fn string(&mut self) -> Result<&'a str, Wrong> {
        if !self.eat(b'"') {
            return Err("expected a string");
        }
        let start = self.at;
        let bytes = self.text.as_bytes();
        loop {
            let n = memchr::memchr2(b'"', b'\\', &bytes[self.at..]).ok_or("a string is not closed")?;
            self.at += n;
            if bytes[self.at] == b'"' {
                self.at += 1;
                return Ok(&self.text[start..self.at - 1]);
            }
            // The escaped byte may be the first of a longer character, whose others are neither quote nor backslash.
            self.at = (self.at + 2).min(bytes.len());
        }
    }

    /// The next value; objects and arrays are passed over whole.
    #[inline]
    pub fn value(&mut self) -> Result<Value<'a>, Wrong> {
        match self.peek().ok_or("a value is missing")? {
            b'"' => self.string().map(Value::Text),
            b'{' => self.balanced().map(Value::Object),
            b'[' => self.balanced().map(Value::Array),
            _ => match self.word()? {
                "null" => Ok(Value::Null),
                w => Ok(Value::Word(w)),
            },
        }
    }

    /// A number, `true`, `false` or `null`.
    #[inline]
    fn word(&mut self) -> Result<&'a str, Wrong> {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        self.at += rest.iter().position(|b| !IN_WORD[usize::from(*b)]).unwrap_or(rest.len());
        match &self.text[start..self.at] {
            w if w.as_bytes().first().is_some_and(|b| *b == b'-' || b.is_ascii_digit()) => Ok(w),
            w @ ("null" | "true" | "false") => Ok(w),
            _ => Err("unknown value type"),
        }
    }

    /// Passes over the next value.
    #[inline]
    pub fn skip(&mut self) -> Result<(), Wrong> {
        match self.peek().ok_or("a value is missing")? {
            b'"' => self.string().map(drop),
            b'{' | b'[' => self.balanced().map(drop),
            _ => self.word().map(drop),
        }
    }

    /// Passes over an object or array by counting brackets outside of strings.
    fn balanced(&mut self) -> Result<&'a str, Wrong> {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match self.byte().ok_or("an object or array is not closed")? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(&self.text[start..self.at]);
            }
        }
    }

    /// Calls `member` with each key, the cursor standing before its value, which `member` must take. Stops when it says
    /// false; true at the end if it never did.
    #[inline]
    pub fn object(&mut self, member: impl FnMut(&mut Self, &'a str) -> Result<bool, Wrong>) -> Result<bool, Wrong> {
        self.object_of(|_| {}, member)
    }

    /// The same; before each member, `pass` may pass over some (see [`JsonCursor::pass_members`]).
    #[inline]
    pub fn object_of(
        &mut self,
        mut pass: impl FnMut(&mut Self),
        mut member: impl FnMut(&mut Self, &'a str) -> Result<bool, Wrong>,
    ) -> Result<bool, Wrong> {
        if !self.eat(b'{') {
            return Err("expected an object");
        }
        if self.eat(b'}') {
            return Ok(true);
        }
        loop {
            pass(self);
            let key = self.string()?;
            if !self.eat(b':') {
                return Err("expected `:` after a key");
            }
            if !member(self, key)? {
                return Ok(false);
            }
            let next = self.peek();
            self.at += usize::from(next.is_some());
            match next {
                Some(b',') => {}
                Some(b'}') => return Ok(true),
                _ => return Err("expected `,` or `}` after a value"),
            }
        }
    }

    /// The element `index` of the array here, if it has that many.
    pub fn element(&mut self, index: usize) -> Result<bool, Wrong> {
        if !self.eat(b'[') {
            return Ok(false);
        }
        if self.eat(b']') {
            return Ok(false);
        }
        for _ in 0..index {
            self.value()?;
            if !self.eat(b',') {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The text a string stands for; escapes that mean nothing become U+FFFD.
pub fn unescape(inner: &str) -> Cow<'_, str> {
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(i) = rest.find('\\') {
        out.push_str(&rest[..i]);
        rest = &rest[i + 1..];
        let mut chars = rest.chars();
        let c = chars.next();
        rest = chars.as_str();
        out.push(match c {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('u') => unicode(&mut rest),
            _ => char::REPLACEMENT_CHARACTER,
        });
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// After `\u`: four digits, and a second escape when they are the first half of a pair.
fn unicode(rest: &mut &str) -> char {
    let unit = |t: &str| t.get(..4).and_then(|h| u32::from_str_radix(h, 16).ok());
    let Some(high) = unit(rest) else { return char::REPLACEMENT_CHARACTER };
    *rest = &rest[4..];
    if let Some(c) = char::from_u32(high) {
        return c;
    }
    let low = rest.strip_prefix("\\u").and_then(unit).filter(|l| (0xDC00..0xE000).contains(l) && high < 0xDC00);
    match low {
        Some(low) => {
            *rest = &rest[6..];
            char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        None => char::REPLACEMENT_CHARACTER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_are_walked_in_order() {
        let mut seen = vec![];
        let text = r#" { "a" : 1, "b":"x\"y", "c":{"d":[1,"]"]}, "e":null, "f":true } trailing"#;
        let all = JsonCursor::new(text).object(|c, k| {
            seen.push((k.to_string(), c.value()?));
            Ok(true)
        });
        assert_eq!(all, Ok(true));
        let want = [Value::Word("1"), Value::Text(r#"x\"y"#), Value::Object(r#"{"d":[1,"]"]}"#), Value::Null, Value::Word("true")];
        assert_eq!(seen.iter().map(|(_, v)| *v).collect::<Vec<_>>(), want);
    }

    #[test]
    fn strings_end_at_their_quotes() {
        for len in 0..100 {
            for other in ["", r#"\""#, r"\\", "é"] {
                let inner = format!("{}{other}{}", "x".repeat(len), "\u{7f}!#[]".repeat(len % 3));
                let text = format!(r#""{inner}","{inner}""#);
                let mut cursor = JsonCursor::new(&text);
                assert_eq!(cursor.string(), Ok(inner.as_str()));
                assert!(cursor.eat(b','));
                assert_eq!(cursor.skip(), Ok(()));
                assert_eq!(cursor.peek(), None);
                assert!(JsonCursor::new(&text[..=inner.len()]).string().is_err());
            }
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(r#"a\n\"\u00e9\ud83d\ude00\/\\"#), "a\n\"é😀/\\");
        assert_eq!(unescape(r"\ud83d\q\u12"), "\u{FFFD}\u{FFFD}\u{FFFD}12");
    }

    proptest! {
        #[test]
        fn what_serde_writes_is_read(s in any::<String>(), n in any::<i64>()) {
            let text = serde_json::json!({ "s": s, "n": n, "o": { "s": s } }).to_string();
            let mut got = String::new();
            JsonCursor::new(&text).object(|c, k| {
                if let (Value::Text(t), "s") = (c.value()?, k) { got = unescape(t).into_owned(); }
                Ok(true)
            }).map_err(TestCaseError::fail)?;
            prop_assert_eq!(got, s);
        }
        #[test]
        fn no_text_makes_it_panic(s in r#"[{}\[\]":,\\aé0-9 -]{0,24}"#) {
            let _ = JsonCursor::new(&s).object(|c, _| c.value().map(|_| true));
            let (mut read, mut skipped) = (JsonCursor::new(&s), JsonCursor::new(&s));
            prop_assert_eq!(read.value().map(drop), skipped.skip());
            prop_assert_eq!(read.at, skipped.at);
            let _ = unescape(&s);
        }
    }
}
