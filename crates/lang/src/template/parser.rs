//! Reads templates (Go, package `text/template`, "Actions", "Arguments" and "Pipelines").

use super::Template;
use super::ast::{Expr, Node};
use super::functions::{self, Functions, Run};
use crate::{Cursor, Diagnostic, Parsed, Span, limits, number};

const OPEN: &str = "{{";
const CLOSE: &str = "}}";
/// Escapes of Go's literals.
const QUOTES: &str = "\"`";

pub(super) fn parse(text: &str, functions: &Functions) -> Parsed<Template> {
    if text.len() > limits::TEMPLATE_BYTES {
        return Err(Diagnostic::new(Span::new(0, 0), format!("the template is longer than {} bytes", limits::TEMPLATE_BYTES)));
    }
    let mut p = Parser { at: Cursor::new(text), functions, variables: vec![], slots: 0, depth: 0, ranges: 0, trim: false };
    let (nodes, end) = p.block()?;
    if let Some((word, span)) = end {
        return Err(Diagnostic::new(span, format!("unexpected {{{{{word}}}}}")));
    }
    Ok(Template { nodes, slots: p.slots })
}

struct Parser<'t> {
    at: Cursor<'t>,
    functions: &'t Functions,
    /// Names in sight, the innermost last; the slot is the place in the list.
    variables: Vec<String>,
    slots: usize,
    depth: usize,
    ranges: usize,
    /// The action before ended with ` -}}`.
    trim: bool,
}

/// The word that ended a block, and where.
type End = Option<(&'static str, Span)>;

impl<'t> Parser<'t> {
    /// Reads up to `end`, `else` or the end of the text; the action that ended it is open after its word.
    fn block(&mut self) -> Parsed<(Vec<Node>, End)> {
        self.deeper()?;
        let mut nodes = vec![];
        loop {
            let rest = self.at.rest();
            let open = rest.find(OPEN);
            let mut plain = &rest[..open.unwrap_or(rest.len())];
            if self.trim {
                plain = plain.trim_start_matches([' ', '\t', '\r', '\n']);
            }
            let trims = open.is_some_and(|n| is_trim(&rest[n + 2..]));
            if trims {
                plain = plain.trim_end_matches([' ', '\t', '\r', '\n']);
            }
            if !plain.is_empty() {
                nodes.push(Node::Text(plain.into()));
            }
            self.at.eat(&rest[..open.unwrap_or(rest.len())]);
            if open.is_none() {
                self.depth -= 1;
                return Ok((nodes, None));
            }
            self.at.eat(OPEN);
            if trims {
                self.at.eat("-");
            }
            if let Some(end) = self.action(&mut nodes)? {
                self.depth -= 1;
                return Ok((nodes, Some(end)));
            }
        }
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > limits::TEMPLATE_DEPTH {
            return Err(Diagnostic::new(self.at.span_from(self.at.at()), "the template is nested too deeply"));
        }
        Ok(())
    }

    fn blank(&mut self) {
        self.at.take_while(|c| c.is_ascii_whitespace());
    }

    /// Takes `}}`, which may be ` -}}`.
    fn close(&mut self) -> Parsed<()> {
        let before = self.at.at();
        self.blank();
        let spaced = self.at.at() > before;
        self.trim = spaced && self.at.rest().starts_with("-}}");
        if self.trim {
            self.at.eat("-");
        }
        if self.at.eat(CLOSE) {
            return Ok(());
        }
        let what = self.at.peek().map_or("the end of the template".to_owned(), |c| format!("{c:?}"));
        Err(Diagnostic::expected(self.at.span_from(self.at.at()), "}}", what))
    }

    /// Whether the action ends here.
    fn closes(&mut self) -> bool {
        let mut ahead = self.at;
        ahead.take_while(|c| c.is_ascii_whitespace());
        ahead.is_done() || ahead.rest().starts_with(CLOSE) || ahead.at() > self.at.at() && ahead.rest().starts_with("-}}")
    }

    fn action(&mut self, nodes: &mut Vec<Node>) -> Parsed<End> {
        self.blank();
        if self.at.rest().starts_with("/*") {
            let n = self.at.rest().find("*/").ok_or_else(|| self.at.unexpected().hint("this comment is not closed"))?;
            let comment = &self.at.rest()[..n + 2];
            self.at.eat(comment);
            self.close()?;
            return Ok(None);
        }
        let start = self.at.at();
        let mut ahead = self.at;
        let word = ahead.take_ident(|_| false);
        let span = Span::new(start, ahead.at());
        for end in ["end", "else"] {
            if word == end {
                self.at = ahead;
                return Ok(Some((end, span)));
            }
        }
        match word {
            "if" | "with" | "range" => {
                self.at = ahead;
                let node = self.control(word)?;
                nodes.push(node);
            }
            "break" | "continue" => {
                self.at = ahead;
                if self.ranges == 0 {
                    return Err(Diagnostic::new(span, format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                self.close()?;
                nodes.push(if word == "break" { Node::Break } else { Node::Continue });
            }
            "define" | "template" | "block" => {
                return Err(Diagnostic::new(span, format!("{{{{{word}}}}} is not supported")));
            }
            _ => {
                let (targets, value) = self.pipeline(false)?;
                self.close()?;
                nodes.push(match targets[..] {
                    [] => Node::Print(value),
                    [slot, ..] => Node::Set(slot, value),
                });
            }
        }
        Ok(None)
    }

    /// `if`, `with` or `range`, from after the word to its `end`.
    fn control(&mut self, word: &str) -> Parsed<Node> {
        let scope = self.variables.len();
        let is_range = word == "range";
        let (targets, value) = self.pipeline(is_range)?;
        self.close()?;
        self.ranges += usize::from(is_range);
        let (then, end) = self.block()?;
        self.ranges -= usize::from(is_range);
        self.variables.truncate(if is_range { scope } else { scope + targets.len() });
        let otherwise = match self.ends(end)? {
            "else" => self.otherwise(word)?,
            _ => {
                self.close()?;
                vec![]
            }
        };
        self.variables.truncate(scope);
        let variable = targets.first().copied();
        Ok(match word {
            "if" => Node::If { variable, condition: value, then, otherwise },
            "with" => Node::With { variable, value, then, otherwise },
            _ => {
                let (key, element) = if targets.len() == 2 { (variable, targets.last().copied()) } else { (None, variable) };
                Node::Range { key, element, over: value, body: then, otherwise }
            }
        })
    }

    /// After `else`: the rest up to `end`, or `if` and `with` in one action.
    fn otherwise(&mut self, word: &str) -> Parsed<Vec<Node>> {
        let mut ahead = self.at;
        ahead.take_while(|c| c.is_ascii_whitespace());
        let next = ahead.take_ident(|_| false);
        if next == word && next != "range" {
            self.at = ahead;
            self.deeper()?;
            let nested = self.control(next)?;
            self.depth -= 1;
            return Ok(vec![nested]);
        }
        self.close()?;
        let (nodes, end) = self.block()?;
        match self.ends(end)? {
            "end" => self.close()?,
            _ => return Err(Diagnostic::new(end.map(|e| e.1).unwrap_or_default(), "expected {{end}}, got another {{else}}")),
        }
        Ok(nodes)
    }

    fn ends(&self, end: End) -> Parsed<&'static str> {
        end.map(|e| e.0)
            .ok_or_else(|| Diagnostic::new(self.at.span_from(self.at.at()), "unexpected end of the template: {{end}} is missing"))
    }

    /// A pipeline with the variables it sets, as slots.
    fn pipeline(&mut self, may_have_two: bool) -> Parsed<(Vec<usize>, Expr)> {
        self.blank();
        let mut names = vec![];
        let mut ahead = self.at;
        let mut declares = None;
        while ahead.peek() == Some('$') {
            let start = ahead.at();
            ahead.bump();
            let name = ahead.take_ident(|_| false);
            names.push((name, ahead.span_from(start)));
            ahead.take_while(|c| c.is_ascii_whitespace());
            if may_have_two && names.len() == 1 && ahead.eat(",") {
                ahead.take_while(|c| c.is_ascii_whitespace());
                continue;
            }
            declares = if ahead.eat(":=") {
                Some(true)
            } else if ahead.rest().starts_with('=') && !names.is_empty() {
                ahead.eat("=");
                Some(false)
            } else {
                None
            };
            break;
        }
        let Some(declares) = declares else { return Ok((vec![], self.pipe()?)) };
        self.at = ahead;
        let value = self.pipe()?;
        let mut slots = vec![];
        for (name, span) in names {
            slots.push(if declares { self.declare(name) } else { self.find(name, span)? });
        }
        Ok((slots, value))
    }

    fn declare(&mut self, name: &str) -> usize {
        self.variables.push(name.into());
        self.slots = self.slots.max(self.variables.len());
        self.variables.len() - 1
    }

    fn find(&self, name: &str, span: Span) -> Parsed<usize> {
        self.variables.iter().rposition(|v| v == name).ok_or_else(|| Diagnostic::new(span, format!("undefined variable \"${name}\"")))
    }

    /// Commands with `|` between them.
    fn pipe(&mut self) -> Parsed<Expr> {
        self.deeper()?;
        let mut value = self.command(None)?;
        loop {
            // The space before ` -}}` is part of it.
            if !self.peeks(&['|']) {
                self.depth -= 1;
                return Ok(value);
            }
            self.blank();
            self.at.eat("|");
            value = self.command(Some(value))?;
        }
    }

    /// A function with its arguments, or one operand; `last` is what came through the pipe.
    fn command(&mut self, last: Option<Expr>) -> Parsed<Expr> {
        self.blank();
        let start = self.at.at();
        let mut ahead = self.at;
        let word = ahead.take_ident(|_| false);
        let span = Span::new(start, ahead.at());
        if !matches!(word, "" | "true" | "false" | "nil") {
            self.at = ahead;
            let mut args = vec![];
            while !self.closes() && !self.peeks(&['|', ')']) {
                args.push(self.operand()?);
            }
            args.extend(last);
            return self.call(word, args, span);
        }
        if self.closes() || self.peeks(&['|', ')']) {
            return Err(Diagnostic::new(Span::new(start, start), "missing value for command"));
        }
        let value = self.operand()?;
        if last.is_some() || !self.closes() && !self.peeks(&['|', ')']) {
            return Err(Diagnostic::new(self.at.span_from(start), "only a function takes arguments"));
        }
        Ok(value)
    }

    fn peeks(&mut self, any: &[char]) -> bool {
        self.blank_ahead().is_some_and(|c| any.contains(&c))
    }

    fn blank_ahead(&self) -> Option<char> {
        self.at.rest().trim_start_matches(|c: char| c.is_ascii_whitespace()).chars().next()
    }

    fn call(&self, word: &str, args: Vec<Expr>, span: Span) -> Parsed<Expr> {
        if self.functions.context.contains(&word) {
            return if args.is_empty() {
                Ok(Expr::Context(word.into()))
            } else {
                Err(Diagnostic::new(span, format!("{word} takes no arguments")))
            };
        }
        if matches!(word, "and" | "or") {
            let enough = !args.is_empty();
            let first = Expr::First { stop_at: word == "or", args };
            return if enough { Ok(first) } else { Err(Diagnostic::new(span, format!("{word} needs an argument"))) };
        }
        let Some(f) = self.functions.find(word) else {
            let e = Diagnostic::new(span, format!("function {word:?} not defined"));
            return Err(match crate::nearest::nearest(word, &self.functions.names()) {
                Some(n) => e.hint(format!("did you mean {n}?")),
                None => e,
            });
        };
        if args.len() < f.min || args.len() > f.max {
            let wanted = if f.max == usize::MAX {
                format!("at least {}", f.min)
            } else if f.min == f.max {
                f.min.to_string()
            } else {
                format!("{} to {}", f.min, f.max)
            };
            return Err(Diagnostic::new(span, format!("wrong number of args for {word}: want {wanted} got {}", args.len())));
        }
        let pattern = match (f.run, args.first()) {
            (Run::Pattern(_), Some(Expr::Text(t))) => {
                Some(functions::compile(t).map_err(|e| Diagnostic::new(span, format!("invalid regular expression: {e}")))?)
            }
            _ => None,
        };
        Ok(Expr::Call { name: f.name, run: f.run, pattern, args })
    }

    /// One argument, with the fields taken of it.
    fn operand(&mut self) -> Parsed<Expr> {
        self.blank();
        let start = self.at.at();
        let value = match self.at.peek() {
            Some('.') if !self.at.peek_second().is_some_and(|c| c.is_ascii_digit()) => {
                if self.at.peek_second().is_some_and(is_name_start) {
                    return self.fields(Expr::Dot);
                }
                self.at.bump();
                Expr::Dot
            }
            Some('$') => {
                self.at.bump();
                match self.at.take_ident(|_| false) {
                    "" => Expr::Root,
                    name => Expr::Variable(self.find(name, self.at.span_from(start))?),
                }
            }
            Some('(') => {
                self.at.bump();
                let inner = self.pipe()?;
                self.blank();
                if !self.at.eat(")") {
                    return Err(Diagnostic::new(self.at.span_from(start), "unclosed left parenthesis"));
                }
                inner
            }
            Some('"' | '`') => Expr::Text(self.at.take_string(QUOTES)?),
            Some('\'') => {
                let text = self.at.take_string("'")?;
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(c), None) => Expr::Int(i64::from(u32::from(c))),
                    _ => {
                        return Err(Diagnostic::new(
                            self.at.span_from(start),
                            "a character in '...' is one character; write text in \"...\"",
                        ));
                    }
                }
            }
            Some(c) if c.is_ascii_digit() || matches!(c, '+' | '-' | '.') => self.number()?,
            Some(c) if is_name_start(c) => self.word()?,
            _ => return Err(self.at.unexpected()),
        };
        self.fields(value)
    }

    fn fields(&mut self, base: Expr) -> Parsed<Expr> {
        let mut path = vec![];
        while self.at.peek() == Some('.') && self.at.peek_second().is_some_and(is_name_start) {
            self.at.bump();
            path.push(self.at.take_while(|c| is_name_start(c) || c.is_numeric()).to_owned());
        }
        Ok(if path.is_empty() { base } else { Expr::Field(Box::new(base), path) })
    }

    fn number(&mut self) -> Parsed<Expr> {
        let start = self.at.at();
        let text = self.at.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_'));
        let whole = match text.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        };
        let float = || number::parse(text).map(Expr::Float);
        whole.map(Expr::Int).or_else(float).ok_or_else(|| Diagnostic::new(self.at.span_from(start), format!("bad number syntax: {text:?}")))
    }

    /// A word among arguments: a constant, or a function without arguments.
    fn word(&mut self) -> Parsed<Expr> {
        let start = self.at.at();
        let word = self.at.take_ident(|_| false);
        if word.is_empty() {
            return Err(self.at.unexpected());
        }
        match word {
            "true" => Ok(Expr::Bool(true)),
            "false" => Ok(Expr::Bool(false)),
            "nil" => Ok(Expr::Nil),
            _ => self.call(word, vec![], self.at.span_from(start)),
        }
    }
}

fn is_trim(after_open: &str) -> bool {
    after_open.starts_with('-') && after_open[1..].starts_with([' ', '\t', '\r', '\n'])
}

fn is_name_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}
