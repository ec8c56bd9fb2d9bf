//! Stages of a pipeline.

use lang::{Diagnostic, Parsed, Spanned};

use super::filters::is_comparison;
use super::{Parser, Token};
use crate::logql::ast::*;

/// Stages that can stand without anything after their name.
pub(crate) const STAGES_ALONE: [&str; 4] = ["json", "logfmt", "unpack", "decolorize"];

impl Parser<'_> {
    /// The next stage, if one comes next.
    pub(super) fn stage(&mut self) -> Parsed<Option<Spanned<StageExpr>>> {
        let start = self.span();
        let stage = match self.peek() {
            Token::Sign("|") if self.is_unwrap_next() => return Ok(None),
            Token::Sign("|") => {
                self.bump();
                self.named_stage()?
            }
            Token::Sign(s) => match value_of(&LineOp::ALL, s) {
                // `!=` after a metric's window is a comparison, but there a stage is never asked for.
                Some(op) => {
                    self.bump();
                    StageExpr::LineFilter(self.line_filter(op)?)
                }
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(Spanned::new(stage, start.to(self.tokens[self.at.saturating_sub(1)].span))))
    }

    fn is_unwrap_next(&self) -> bool {
        matches!(self.peek_second(), Token::Word(w) if w == "unwrap") && !self.word_is_label(2)
    }

    /// Whether the word before token `at + ahead` is compared with something, so that it is a label.
    fn word_is_label(&self, ahead: usize) -> bool {
        matches!(self.tokens.get(self.at + ahead).map(|t| &t.value), Some(Token::Sign(s)) if is_comparison(s))
    }

    /// `| json != "x"`: the stage `json` and a line filter, as the original reads it, not the label `json`.
    fn is_stage_before_line_filter(&self, word: &str) -> bool {
        STAGES_ALONE.contains(&word) && matches!(self.peek_second(), Token::Sign("!=" | "!~"))
    }

    fn line_filter(&mut self, op: LineOp) -> Parsed<LineFilter> {
        let mut operands = vec![self.line_operand(op)?];
        while self.is_word("or") {
            self.bump();
            operands.push(self.line_operand(op)?);
        }
        Ok(LineFilter { op, operands })
    }

    fn line_operand(&mut self, op: LineOp) -> Parsed<Spanned<Operand>> {
        let span = self.span();
        match self.peek() {
            Token::Text(_) => {
                let t = self.expect_text("a string")?;
                if matches!(op, LineOp::Regex | LineOp::NotRegex) {
                    lang::re2::compile_in(&t.value, self.room)
                        .map_err(|e| Diagnostic::new(t.span, format!("invalid regular expression: {e}")))?;
                }
                Ok(Spanned::new(Operand::Text(t.value), t.span))
            }
            Token::Word(w) if w == "ip" => {
                let p = self.ip_call()?;
                Ok(Spanned::new(Operand::Ip(p.value), span.to(p.span)))
            }
            _ => Err(self.expected("a string in quotes")),
        }
    }

    fn named_stage(&mut self) -> Parsed<StageExpr> {
        let word = match self.peek() {
            Token::Word(w) if !self.word_is_label(1) || self.is_stage_before_line_filter(w) => w.clone(),
            _ => return self.label_filter().map(StageExpr::LabelFilter),
        };
        let keyword_span = self.span();
        self.bump();
        Ok(match word.as_str() {
            "json" => StageExpr::Json(self.extractions()?),
            "logfmt" => {
                let (mut strict, mut keep_empty) = (false, false);
                while let Token::Flag(flag) = self.peek() {
                    match flag.as_str() {
                        "strict" => strict = true,
                        "keep-empty" => keep_empty = true,
                        _ => return Err(self.expected("`--strict` or `--keep-empty`")),
                    }
                    self.bump();
                }
                StageExpr::Logfmt { strict, keep_empty, fields: self.extractions()? }
            }
            "regexp" => StageExpr::Regexp(self.regexp()?),
            "pattern" => StageExpr::Pattern(self.pattern()?),
            "unpack" => StageExpr::Unpack,
            "decolorize" => StageExpr::Decolorize,
            "line_format" => StageExpr::LineFormat(self.expect_text("a template in quotes")?.value),
            "label_format" => StageExpr::LabelFormat(self.label_formats()?),
            "drop" => StageExpr::Drop(self.picks()?),
            "keep" => StageExpr::Keep(self.picks()?),
            _ => {
                let message = format!("syntax error: unexpected `{word}`: no stage has that name, and no comparison follows");
                return Err(Diagnostic::new(keyword_span, message).hint(
                    "stages are json, logfmt, regexp, pattern, unpack, line_format, label_format, decolorize, drop, keep and unwrap; a label filter is name=\"value\"",
                ));
            }
        })
    }

    /// Any number of `name="path"` or `name`, separated by commas.
    fn extractions(&mut self) -> Parsed<Vec<Extraction>> {
        let mut out = vec![];
        while matches!(self.peek(), Token::Word(_)) {
            let span = self.span();
            let name = self.expect_word("a label name")?;
            let path = if self.eat_sign("=") { self.expect_text("a path in quotes")? } else { Spanned::new(name.clone(), span) };
            out.push(Extraction { name, path });
            if !self.eat_sign(",") {
                return Ok(out);
            }
            if !matches!(self.peek(), Token::Word(_)) {
                return Err(self.expected("a label name"));
            }
        }
        Ok(out)
    }

    fn regexp(&mut self) -> Parsed<String> {
        let t = self.expect_text("a pattern in quotes")?;
        let re =
            lang::re2::compile_in(&t.value, self.room).map_err(|e| Diagnostic::new(t.span, format!("invalid regular expression: {e}")))?;
        let names: Vec<&str> = re.capture_names().flatten().collect();
        if names.is_empty() {
            return Err(Diagnostic::new(t.span, "at least one named capture must be supplied").hint("write (?P<name>..)"));
        }
        match names.iter().find(|n| !is_label_name(n)) {
            Some(bad) => Err(Diagnostic::new(t.span, format!("invalid extracted label name '{bad}'"))),
            None => Ok(t.value),
        }
    }

    fn pattern(&mut self) -> Parsed<String> {
        let t = self.expect_text("a pattern in quotes")?;
        crate::stage::pattern::Pattern::with_captures(&t.value).map_err(|m| Diagnostic::new(t.span, m))?;
        Ok(t.value)
    }

    fn label_formats(&mut self) -> Parsed<Vec<LabelFormat>> {
        let mut out: Vec<LabelFormat> = vec![];
        loop {
            let span = self.span();
            let name = self.expect_word("a label name")?;
            if out.iter().any(|l| l.name == name) {
                return Err(Diagnostic::new(span, format!("multiple label name '{name}' not allowed in a single format operation")));
            }
            self.expect_sign("=")?;
            let from = match self.peek() {
                Token::Text(_) => FormatSource::Template(self.expect_text("a template")?),
                _ => FormatSource::Label(self.expect_word("a label name or a template in quotes")?),
            };
            out.push(LabelFormat { name, from });
            if !self.eat_sign(",") {
                return Ok(out);
            }
        }
    }

    fn picks(&mut self) -> Parsed<Vec<Pick>> {
        let mut out = vec![];
        loop {
            if self.word_is_label(1) {
                out.push(Pick::Match(self.matcher()?));
            } else {
                out.push(Pick::Name(self.expect_word("a label name")?));
            }
            if !self.eat_sign(",") {
                return Ok(out);
            }
        }
    }

    /// `| unwrap x | a="b"`, if it comes next.
    pub(super) fn unwrap_stage(&mut self) -> Parsed<Option<Unwrap>> {
        if !(self.is_sign("|") && self.is_unwrap_next()) {
            return Ok(None);
        }
        self.bump();
        self.bump();
        let word = self.expect_word("a label name or a conversion")?;
        let (name, conversion) = if self.eat_sign("(") {
            let conversion = match word.as_str() {
                "duration" => Conversion::Duration,
                "duration_seconds" => Conversion::DurationSeconds,
                "bytes" => Conversion::Bytes,
                _ => return Err(self.expected("one of duration(..), duration_seconds(..), bytes(..)")),
            };
            let name = self.expect_word("a label name")?;
            self.expect_sign(")")?;
            (name, conversion)
        } else {
            (word, Conversion::Number)
        };
        let mut filters = vec![];
        while self.eat_sign("|") {
            filters.push(self.label_filter()?);
        }
        Ok(Some(Unwrap { name, conversion, filters }))
    }
}

/// Whether `name` can be a label's name.
pub(crate) fn is_label_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().enumerate().all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || i > 0 && b.is_ascii_digit())
}
