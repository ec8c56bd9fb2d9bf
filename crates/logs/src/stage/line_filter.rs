//! `|= != |~ !~ |> !>`: lines by their text.

use base::Result;
use memchr::memmem::Finder;
use table::{Cancel, Predicate};

use super::ip::IpMatcher;
use super::pattern::Pattern;
use super::{Row, Stage};
use crate::logql::ast::{LineFilter, LineOp, Operand};
use crate::spec;

/// A text of a pattern that is looked for by itself has at least this many bytes: skip filters know no shorter ones.
const PRUNING_BYTES: usize = 8;

enum Test {
    Contains(Box<Finder<'static>>),
    Regex(regex::Regex),
    Pattern(Pattern),
    Ip(IpMatcher),
}

/// A line filter.
pub struct LineFilterStage {
    negative: bool,
    tests: Vec<Test>,
}

impl LineFilterStage {
    /// Compiles it. The tree was checked, so an error is ours.
    pub fn new(filter: &LineFilter) -> Result<Self> {
        let tests = filter.operands.iter().map(|o| test(filter.op, &o.value)).collect::<Result<_>>()?;
        Ok(LineFilterStage { negative: filter.op.is_negative(), tests })
    }

    /// Whether a line passes. There may be hundreds of patterns, and the line may have megabytes.
    pub fn passes(&self, line: &str, cancel: &Cancel) -> bool {
        let any = self.tests.iter().take_while(|_| !cancel.is_cancelled()).any(|t| match t {
            Test::Contains(f) => f.find(line.as_bytes()).is_some(),
            Test::Regex(r) => r.is_match(line),
            Test::Pattern(p) => p.matches(line),
            Test::Ip(ip) => ip.is_in(line),
        });
        any != self.negative
    }
}

impl Stage for LineFilterStage {
    fn apply(&self, row: &mut Row<'_>) -> bool {
        self.passes(&row.line, row.cancel)
    }
}

fn test(op: LineOp, operand: &Operand) -> Result<Test> {
    let refused = base::Error::internal;
    Ok(match (operand, op) {
        (Operand::Ip(p), _) => Test::Ip(IpMatcher::parse(p).map_err(refused)?),
        (Operand::Text(t), LineOp::Contains | LineOp::NotContains) => Test::Contains(Box::new(Finder::new(t.as_bytes()).into_owned())),
        (Operand::Text(t), LineOp::Regex | LineOp::NotRegex) => Test::Regex(lang::re2::compile(t).map_err(refused)?),
        (Operand::Text(t), LineOp::Pattern | LineOp::NotPattern) => Test::Pattern(Pattern::of_line(t).map_err(refused)?),
    })
}

/// The same condition for the scan, where it prunes pages. None if the scan cannot express it.
pub fn predicate(filter: &LineFilter) -> Option<Predicate> {
    let column = || spec::LINE.to_string();
    let mut any = vec![];
    for o in &filter.operands {
        any.push(match (&o.value, filter.op) {
            (Operand::Text(t), LineOp::Contains | LineOp::NotContains) => Predicate::Contains(column(), t.clone().into_bytes()),
            (Operand::Text(t), LineOp::Regex | LineOp::NotRegex) => match literal_of(t) {
                Some(needle) => Predicate::Contains(column(), needle.into_bytes()),
                None => with_texts(t, Predicate::Regex(column(), lang::re2::compile_bytes(t).ok()?)),
            },
            _ => return None,
        });
    }
    let one = if any.len() == 1 { any.pop()? } else { Predicate::Or(any) };
    Some(if filter.op.is_negative() { Predicate::Not(Box::new(one)) } else { one })
}

/// A pattern with the texts that its matches contain, by which the scan can leave pages out. Shorter ones would only cost.
fn with_texts(pattern: &str, regex: Predicate) -> Predicate {
    let mut texts: Vec<String> = lang::re2::required_texts(pattern).into_iter().filter(|t| t.len() >= PRUNING_BYTES).collect();
    // Conditions are looked at in turn, and the longer text is likely the rarer one.
    texts.sort_by_key(|t| std::cmp::Reverse(t.len()));
    let mut all: Vec<Predicate> = texts.into_iter().map(|t| Predicate::Contains(spec::LINE.to_string(), t.into_bytes())).collect();
    if all.is_empty() {
        return regex;
    }
    all.push(regex);
    Predicate::And(all)
}

/// The text a pattern stands for, when it has no operators: those are looked up in the skip filters.
fn literal_of(pattern: &str) -> Option<String> {
    let plain = |c: char| !matches!(c, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$');
    (pattern.chars().all(plain)).then(|| pattern.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logql::ast::{Expr, StageExpr};

    fn filter(text: &str) -> LineFilter {
        match crate::logql::parse(&format!("{{a=\"b\"}} {text}")).unwrap() {
            Expr::Log(l) => match l.stages.into_iter().next().unwrap().value {
                StageExpr::LineFilter(f) => f,
                other => panic!("{other}"),
            },
            other => panic!("{other}"),
        }
    }

    #[test]
    fn operands_are_alternatives_and_negation_means_none_of_them() {
        for (text, pass, drop) in [
            (r#"|= "a" or "b""#, "xbx", "x"),
            (r#"!= "a" or "b""#, "x", "xbx"),
            (r#"|~ "a+$" or "^b""#, "caa", "cb"),
            (r#"!~ "a+""#, "b", "a"),
            (r#"|= ip("10.0.0.0/8") or "foo""#, "from 10.1.2.3!", "11.1.1.1"),
            (r#"|> "<_> foo <_>""#, "a foo b", "afoob"),
            (r#"|= "" "#, "", "\u{0}never"),
        ] {
            let s = LineFilterStage::new(&filter(text)).unwrap();
            assert!(s.passes(pass, &Cancel::default()), "{text} passes {pass}");
            assert!(!s.passes(drop, &Cancel::default()) || text.contains("\"\""), "{text} drops {drop}");
        }
    }

    #[test]
    fn what_a_scan_can_do_is_left_to_it() {
        assert!(matches!(predicate(&filter(r#"|= "a""#)), Some(Predicate::Contains(..))));
        assert!(matches!(predicate(&filter(r#"|~ "a b""#)), Some(Predicate::Contains(..))));
        assert!(matches!(predicate(&filter(r#"|~ "deadlock.*[0-9]""#)), Some(Predicate::And(p)) if p.len() == 2));
        assert!(matches!(predicate(&filter(r#"|~ "dead.*[0-9]""#)), Some(Predicate::Regex(..))));
        assert!(matches!(predicate(&filter(r#"!~ "a|b""#)), Some(Predicate::Not(_))));
        assert!(matches!(predicate(&filter(r#"|= "a" or "b""#)), Some(Predicate::Or(_))));
        assert!(predicate(&filter(r#"|= "a" or ip("::1")"#)).is_none());
    }
}
