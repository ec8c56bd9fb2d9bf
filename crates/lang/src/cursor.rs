//! Walks a source text, for lexers.

use crate::{Diagnostic, Parsed, Span};

/// A place in a text. Cheap to copy, so that a lexer can look ahead with a copy and throw it away.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `source`.
    pub fn new(source: &'a str) -> Self {
        Cursor { source, at: 0 }
    }
    /// The whole text.
    pub fn source(&self) -> &'a str {
        self.source
    }
    /// Byte offset of the next character.
    pub fn at(&self) -> usize {
        self.at
    }
    /// What is left.
    pub fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }
    /// True at the end.
    pub fn is_done(&self) -> bool {
        self.at == self.source.len()
    }
    /// The next character, not taken.
    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }
    /// The character after the next, not taken.
    pub fn peek_second(&self) -> Option<char> {
        self.rest().chars().nth(1)
    }
    /// Takes the next character.
    pub fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }
    /// Takes `text` if it comes next.
    pub fn eat(&mut self, text: &str) -> bool {
        let yes = self.rest().starts_with(text);
        if yes {
            self.at += text.len();
        }
        yes
    }
    /// Takes characters as long as `want` says so.
    pub fn take_while(&mut self, mut want: impl FnMut(char) -> bool) -> &'a str {
        let rest = self.rest();
        let n = rest.find(|c| !want(c)).unwrap_or(rest.len());
        self.at += n;
        &rest[..n]
    }
    /// Takes an identifier: a letter or `_` (or what `more` allows), then also digits. Empty if none is next.
    pub fn take_ident(&mut self, more: impl Fn(char) -> bool) -> &'a str {
        match self.peek() {
            Some(c) if c.is_ascii_alphabetic() || c == '_' || more(c) => {
                self.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || more(c))
            }
            _ => "",
        }
    }
    /// Passes over white space and over comments from `#` to the end of the line.
    pub fn skip_blank(&mut self) {
        loop {
            self.take_while(|c| c.is_ascii_whitespace());
            if self.peek() != Some('#') {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }
    /// The span from `start` to here.
    pub fn span_from(&self, start: usize) -> Span {
        Span::new(start, self.at)
    }
    /// Takes a string literal (see [`crate::literal::scan`]) that opens here; its value without quotes.
    pub fn take_string(&mut self, quotes: &str) -> Parsed<String> {
        let start = self.at;
        let n = crate::literal::scan(self.rest(), quotes).map_err(|e| e.at(start))?;
        self.at += n;
        crate::literal::unquote(&self.source[start..self.at], quotes).map_err(|e| e.at(start))
    }
    /// Takes a literal in one of these quotes, for a language whose strings may hold any bytes: what is not UTF-8 in its value
    /// becomes U+FFFD.
    pub fn take_string_lossy(&mut self, quotes: &str) -> Parsed<String> {
        let start = self.at;
        let n = crate::literal::scan(self.rest(), quotes).map_err(|e| e.at(start))?;
        self.at += n;
        let value = crate::literal::unquote_bytes(&self.source[start..self.at], quotes).map_err(|e| e.at(start))?;
        Ok(String::from_utf8_lossy(&value).into_owned())
    }
    /// A diagnostic about the next character.
    pub fn unexpected(&self) -> Diagnostic {
        match self.peek() {
            Some(c) => Diagnostic::new(Span::new(self.at, self.at + c.len_utf8()), format!("unexpected character {c:?}")),
            None => Diagnostic::new(Span::new(self.at, self.at), "unexpected end of input"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_takes_what_it_is_asked_for() {
        let mut c = Cursor::new("  # note\n foo_1:x \"a\\n\" é");
        c.skip_blank();
        assert_eq!(c.take_ident(|_| false), "foo_1");
        assert!(c.eat(":") && !c.eat(":"));
        assert_eq!(c.take_ident(|_| false), "x");
        c.skip_blank();
        assert_eq!(c.take_string("\"").as_deref(), Ok("a\n"));
        c.skip_blank();
        assert_eq!((c.bump(), c.bump(), c.is_done()), (Some('é'), None, true));
        assert_eq!(c.unexpected().message, "unexpected end of input");
    }
}
