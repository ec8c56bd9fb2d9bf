//! Reads Alloy's configuration syntax (Grafana Alloy, "Alloy configuration syntax").

use lang::{Cursor, Diagnostic, Parsed, Span};

use super::syntax::{Attribute, Block, Body, Expr, Kind};
use crate::limits;

/// Operators, those that bind least first.
const OPERATORS: &[&[&str]] = &[&["||"], &["&&"], &["==", "!=", "<=", ">=", "<", ">"], &["+", "-"], &["*", "/", "%"], &["^"]];
const QUOTES: &str = "\"`";

/// Reads a file.
pub fn parse(text: &str) -> Parsed<Body> {
    if text.len() > limits::ALLOY_BYTES {
        return Err(Diagnostic::new(Span::new(0, 0), format!("the file is longer than {} bytes", limits::ALLOY_BYTES)));
    }
    let mut p = Parser { at: Cursor::new(text), depth: 0 };
    let body = p.body()?;
    if p.at.is_done() { Ok(body) } else { Err(p.at.unexpected()) }
}

struct Parser<'a> {
    at: Cursor<'a>,
    depth: usize,
}

impl Parser<'_> {
    fn blank(&mut self) -> Parsed<()> {
        loop {
            self.at.take_while(char::is_whitespace);
            let start = self.at.at();
            if self.at.eat("//") {
                self.at.take_while(|c| c != '\n');
            } else if self.at.eat("/*") {
                let Some(n) = self.at.rest().find("*/") else {
                    return Err(Diagnostic::new(Span::new(start, start + 2), "this comment is not closed"));
                };
                let comment = &self.at.rest()[..n + 2];
                self.at.eat(comment);
            } else {
                return Ok(());
            }
        }
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > limits::ALLOY_DEPTH {
            return Err(Diagnostic::new(self.at.span_from(self.at.at()), "the file is nested too deeply"));
        }
        Ok(())
    }

    /// Takes `text`, after blanks.
    fn eat(&mut self, text: &str) -> Parsed<bool> {
        self.blank()?;
        Ok(self.at.eat(text))
    }

    fn expect(&mut self, text: &str) -> Parsed<()> {
        if self.eat(text)? {
            return Ok(());
        }
        let got = self.at.peek().map_or("the end of the file".to_owned(), |c| format!("{c:?}"));
        Err(Diagnostic::expected(self.at.span_from(self.at.at()), format!("{text:?}"), got))
    }

    /// Up to `}` or the end.
    fn body(&mut self) -> Parsed<Body> {
        self.deeper()?;
        let mut body = Body::default();
        loop {
            self.blank()?;
            if self.at.is_done() || self.at.rest().starts_with('}') {
                self.depth -= 1;
                return Ok(body);
            }
            let start = self.at.at();
            let mut name = self.at.take_ident(|_| false).to_owned();
            while !name.is_empty() && self.at.eat(".") {
                name = format!("{name}.{}", self.at.take_ident(|_| false));
            }
            if name.is_empty() || name.ends_with('.') {
                return Err(self.at.unexpected());
            }
            let span = self.at.span_from(start);
            if self.eat("=")? {
                body.attributes.push(Attribute { name, value: self.expr()?, span });
                continue;
            }
            let label = if self.at.rest().starts_with('"') { self.at.take_string("\"")? } else { String::new() };
            self.expect("{")?;
            let inner = self.body()?;
            self.expect("}")?;
            body.blocks.push(Block { name, label, body: inner, span });
        }
    }

    fn expr(&mut self) -> Parsed<Expr> {
        self.deeper()?;
        let e = self.binary(0)?;
        self.depth -= 1;
        Ok(e)
    }

    fn binary(&mut self, level: usize) -> Parsed<Expr> {
        let Some(operators) = OPERATORS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        loop {
            self.blank()?;
            // A comment is no division.
            let Some(op) = operators.iter().find(|op| self.at.eat(op)) else { return Ok(left) };
            let right = self.binary(level + 1)?;
            let span = left.span.to(right.span);
            left = Expr { kind: Kind::Binary(op, Box::new(left), Box::new(right)), span };
        }
    }

    fn unary(&mut self) -> Parsed<Expr> {
        self.blank()?;
        let start = self.at.at();
        for op in ['-', '!'] {
            if self.at.peek() == Some(op) {
                self.at.bump();
                self.deeper()?;
                let inner = self.unary()?;
                self.depth -= 1;
                return Ok(Expr { kind: Kind::Unary(op, Box::new(inner)), span: self.at.span_from(start) });
            }
        }
        let mut e = self.primary()?;
        loop {
            // What is taken of a value stands right behind it: the next line begins something new.
            let kind = if self.at.eat(".") {
                let field = self.at.take_ident(|_| false).to_owned();
                if field.is_empty() {
                    return Err(self.at.unexpected());
                }
                Kind::Field(Box::new(e), field)
            } else if self.at.eat("[") {
                let index = self.expr()?;
                self.expect("]")?;
                Kind::Index(Box::new(e), Box::new(index))
            } else if self.at.eat("(") {
                Kind::Call(Box::new(e), self.items(")")?)
            } else {
                return Ok(e);
            };
            e = Expr { kind, span: self.at.span_from(start) };
        }
    }

    /// Expressions with commas between them, up to `close`.
    fn items(&mut self, close: &str) -> Parsed<Vec<Expr>> {
        let mut items = vec![];
        loop {
            if self.eat(close)? {
                return Ok(items);
            }
            items.push(self.expr()?);
            if !self.eat(",")? {
                self.expect(close)?;
                return Ok(items);
            }
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let start = self.at.at();
        let kind = match self.at.peek() {
            Some('"' | '`') => Kind::Text(self.at.take_string(QUOTES)?),
            Some('[') => {
                self.at.bump();
                Kind::List(self.items("]")?)
            }
            Some('{') => {
                self.at.bump();
                Kind::Object(self.object()?)
            }
            Some('(') => {
                self.at.bump();
                let inner = self.expr()?;
                self.expect(")")?;
                inner.kind
            }
            Some(c) if c.is_ascii_digit() || c == '.' => {
                let text = self.at.take_while(|c| c.is_ascii_alphanumeric() || c == '.');
                if lang::number::parse(text).is_none() {
                    return Err(Diagnostic::new(self.at.span_from(start), format!("{text:?} is not a number")));
                }
                Kind::Number(text.to_owned())
            }
            _ => match self.at.take_ident(|_| false) {
                "" => return Err(self.at.unexpected()),
                "null" => Kind::Null,
                "true" => Kind::Bool(true),
                "false" => Kind::Bool(false),
                name => Kind::Name(name.to_owned()),
            },
        };
        Ok(Expr { kind, span: self.at.span_from(start) })
    }

    fn object(&mut self) -> Parsed<Vec<(String, Expr)>> {
        let mut pairs = vec![];
        loop {
            if self.eat("}")? {
                return Ok(pairs);
            }
            let key = match self.at.peek() {
                Some('"') => self.at.take_string("\"")?,
                _ => self.at.take_ident(|_| false).to_owned(),
            };
            if key.is_empty() {
                return Err(self.at.unexpected());
            }
            self.expect("=")?;
            pairs.push((key, self.expr()?));
            if !self.eat(",")? {
                self.expect("}")?;
                return Ok(pairs);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_attributes_and_expressions() {
        let body = parse(
            "// a comment\nlogging { level = \"info\" /* here */ }\na.b.c \"x\" {\n  v = [1, 2.5, -3,]\n  o = { k = `raw`, \"q r\" = null, }\n  r = concat(a.b.x.targets, [{\"p\" = sys.env(\"E\") + \"y\"}])[0].z\n  s = 1 + 2 * 3 == 7 && !false\n}\n",
        )
        .unwrap();
        assert_eq!(body.blocks.len(), 2);
        let b = &body.blocks[1];
        assert_eq!((b.name.as_str(), b.label.as_str(), b.body.attributes.len()), ("a.b.c", "x", 4));
        let Kind::Binary("&&", left, _) = &b.body.attributes[3].value.kind else { panic!("{:?}", b.body.attributes[3]) };
        assert!(matches!(&left.kind, Kind::Binary("==", sum, _) if matches!(&sum.kind, Kind::Binary("+", ..))));
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        for (text, place, wanted) in [
            ("a {", (1, 4), "expected \"}\""),
            ("a {\n b = \n}", (3, 1), "unexpected character '}'"),
            ("a = [1 2]", (1, 8), "expected \"]\""),
            ("a = \"x", (1, 5), "not closed"),
            ("a b", (1, 3), "expected \"{\""),
            ("/* x", (1, 1), "not closed"),
            ("a = 1x", (1, 5), "not a number"),
            ("}", (1, 1), "unexpected character"),
        ] {
            let e = parse(text).unwrap_err();
            assert!(e.message.contains(wanted), "{text:?}: {}", e.message);
            assert_eq!(e.span.line_column(text), place, "{text:?}: {}", e.message);
        }
        assert!(parse(&"a {".repeat(10_000)).is_err());
        assert!(parse(&format!("a = {}", "[".repeat(10_000))).is_err());
        assert!(parse(&format!("a = {}", "-".repeat(10_000))).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_makes_it_panic(pieces in prop::collection::vec(prop::sample::select(vec![
            "a", ".b", " \"l\" ", "{", "}", "[", "]", "(", ")", "=", ",", "\n", "1", "\"t\"", "`r`", "//c\n", "/*", "*/", "+", "-", "!", "==", "é", "null",
        ]), 0..30)) {
            let _ = parse(&pieces.concat());
        }
    }
}
