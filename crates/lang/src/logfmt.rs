//! Reads logfmt: `key=value key="quoted value"`.

use std::borrow::Cow;

/// Takes the pairs of a line one after another.
pub struct Scanner<'a> {
    line: &'a str,
    at: usize,
}

/// Key and value, or at which byte, counted from 1, what is wrong.
pub type Pair<'a> = Result<(&'a str, Cow<'a, str>), (usize, String)>;

impl<'a> Scanner<'a> {
    /// At the start of `line`.
    pub fn new(line: &'a str) -> Self {
        Scanner { line, at: 0 }
    }
    fn byte(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    /// The next pair, or what is wrong and at which byte, counted from 1; then what follows the next space is next.
    pub fn next_pair(&mut self) -> Option<Pair<'a>> {
        while self.byte().is_some_and(|b| b <= b' ') {
            self.at += 1;
        }
        self.byte()?;
        let pair = self.pair();
        if pair.is_err() {
            while self.byte().is_some_and(|b| b > b' ') {
                self.at += 1;
            }
        }
        Some(pair)
    }

    fn unexpected(&self) -> (usize, String) {
        let c = self.byte().map_or(' ', char::from);
        (self.at + 1, format!("unexpected {c:?}"))
    }

    fn pair(&mut self) -> Pair<'a> {
        let start = self.at;
        while self.byte().is_some_and(|b| b > b' ' && b != b'=' && b != b'"') {
            self.at += 1;
        }
        let key = &self.line[start..self.at];
        match self.byte() {
            Some(b'"') => return Err(self.unexpected()),
            Some(b'=') if key.is_empty() => return Err(self.unexpected()),
            _ if key.contains(char::REPLACEMENT_CHARACTER) => return Err((self.at + 1, "invalid key".into())),
            Some(b'=') => self.at += 1,
            _ => return Ok((key, Cow::Borrowed(""))),
        }
        if self.byte() == Some(b'"') {
            return self.quoted().map(|v| (key, v));
        }
        let start = self.at;
        while let Some(b) = self.byte().filter(|b| *b > b' ') {
            if b == b'=' || b == b'"' {
                return Err(self.unexpected());
            }
            self.at += 1;
        }
        Ok((key, Cow::Borrowed(&self.line[start..self.at])))
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, (usize, String)> {
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            match self.byte() {
                None => return Err((self.at + 1, "unterminated quoted value".into())),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(_) => self.at += 1,
            }
        }
        let inner = &self.line[start..self.at];
        self.at += 1;
        Ok(if escaped { crate::json_text::unescape(inner) } else { Cow::Borrowed(inner) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_what_is_none() {
        let mut s = Scanner::new(r#"a=1 b="x \"y\"" =c e f="#);
        let mut seen = vec![];
        while let Some(pair) = s.next_pair() {
            seen.push(pair.map_or_else(|(at, _)| format!("wrong at {at}"), |(k, v)| format!("{k}:{v}")));
        }
        assert_eq!(seen.join(" "), r#"a:1 b:x "y" wrong at 17 e: f:"#);
    }
}
