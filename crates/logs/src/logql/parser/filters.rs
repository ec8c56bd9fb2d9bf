//! Conditions on labels.

use base::MatchOp;
use lang::{Diagnostic, Parsed};

use super::{Parser, Token};
use crate::logql::ast::{CompareOp, LabelFilter, Quantity, value_of};

impl Parser<'_> {
    /// `or` binds loosest; `and`, a comma and mere adjacency mean "and". After a comma or adjacency everything that
    /// follows belongs to the right side, as the original's grammar has it.
    pub(super) fn label_filter(&mut self) -> Parsed<LabelFilter> {
        self.label_filter_above(0)
    }

    fn label_filter_above(&mut self, min: u8) -> Parsed<LabelFilter> {
        let mut left = self.label_filter_atom()?;
        loop {
            if min < 1 && self.is_word("or") {
                self.count_operator()?;
                self.bump();
                let right = self.nested(|p| p.label_filter_above(1))?;
                left = LabelFilter::Or(Box::new(left), Box::new(right));
            } else if min < 2 && self.is_word("and") {
                self.count_operator()?;
                self.bump();
                let right = self.nested(|p| p.label_filter_above(2))?;
                left = LabelFilter::And(Box::new(left), Box::new(right));
            } else if self.is_sign(",") || self.starts_label_filter() {
                self.count_operator()?;
                self.eat_sign(",");
                let right = self.nested(|p| p.label_filter_above(0))?;
                left = LabelFilter::And(Box::new(left), Box::new(right));
            } else {
                return Ok(left);
            }
        }
    }

    fn starts_label_filter(&self) -> bool {
        match self.peek() {
            Token::Word(w) => w != "or" && w != "and" && matches!(self.peek_second(), Token::Sign(s) if is_comparison(s)),
            Token::Sign("(") => true,
            _ => false,
        }
    }

    fn label_filter_atom(&mut self) -> Parsed<LabelFilter> {
        if self.eat_sign("(") {
            let inner = self.nested(Self::label_filter)?;
            self.expect_sign(")")?;
            return Ok(inner);
        }
        let name = self.expect_word("a label name")?;
        let op_span = self.span();
        let sign = match self.peek() {
            Token::Sign(s) if is_comparison(s) => *s,
            _ => return Err(self.expected("a comparison, one of `=` `!=` `=~` `!~` `==` `>` `>=` `<` `<=`")),
        };
        self.bump();
        match self.peek() {
            Token::Text(_) => {
                let value = self.expect_text("a string")?;
                let op = lang::matcher::op(sign)
                    .ok_or_else(|| Diagnostic::expected(op_span, "`=`, `!=`, `=~` or `!~` before a string", format!("`{sign}`")))?;
                lang::matcher::build(&name, op, &value.value, value.span, self.room).map(LabelFilter::Match)
            }
            Token::Word(w) if w == "ip" => {
                let negative = match lang::matcher::op(sign) {
                    Some(MatchOp::Eq) => false,
                    Some(MatchOp::Ne) => true,
                    _ => return Err(Diagnostic::expected(op_span, "`=` or `!=` before ip(..)", format!("`{sign}`"))),
                };
                let pattern = self.ip_call()?;
                Ok(LabelFilter::Ip { name, negative, pattern })
            }
            _ => {
                let op = value_of(&CompareOp::ALL, if sign == "=" { "==" } else { sign })
                    .ok_or_else(|| Diagnostic::expected(op_span, "a comparison of numbers", format!("`{sign}`")))?;
                let value = self.quantity()?;
                Ok(LabelFilter::Compare { name, op, value })
            }
        }
    }

    fn quantity(&mut self) -> Parsed<Quantity> {
        let negative = self.eat_sign("-");
        if !negative {
            self.eat_sign("+");
        }
        let out = match self.peek() {
            Token::Number(n) => Quantity::Number(if negative { -n } else { *n }),
            Token::Duration(d) => Quantity::Duration(if negative { -d } else { *d }),
            Token::Size(s) if !negative => Quantity::Size(*s),
            _ => return Err(self.expected("a string, a number, a duration or a size")),
        };
        self.bump();
        Ok(out)
    }

    /// `ip("..")`.
    pub(super) fn ip_call(&mut self) -> Parsed<lang::Spanned<String>> {
        self.bump();
        self.expect_sign("(")?;
        let pattern = self.expect_text("an address, a range or a prefix in quotes")?;
        self.expect_sign(")")?;
        Ok(pattern)
    }
}

pub(super) fn is_comparison(sign: &str) -> bool {
    matches!(sign, "=" | "!=" | "=~" | "!~" | "==" | ">" | ">=" | "<" | "<=")
}
