//! The part of LogQL that selects lines: `{app="a", level!~"d.*"} |= "text" != "other" |~ "re" !~ "re"`.

use base::{Matcher, RegexRoom};
use lang::{Cursor, Parsed};
use memchr::memmem::Finder;
use regex::Regex;

use super::Refused;
use crate::label_set::LabelSet;

enum Test {
    Contains(Box<Finder<'static>>),
    Matches(Regex),
}

/// Matchers of labels and tests of the line.
pub(super) struct Selector {
    matchers: Vec<Matcher>,
    /// Whether it must fail, and the test.
    tests: Vec<(bool, Test)>,
}

const QUOTES: &str = "\"`";

impl Selector {
    /// Reads a selector.
    pub fn parse(text: &str) -> Result<Selector, Refused> {
        parse(&mut Cursor::new(text)).map_err(|e| format!("selector: {}", e.to_error(text).message()))
    }

    /// Whether it matches.
    pub fn matches(&self, labels: &LabelSet, line: &str) -> bool {
        let labelled = self.matchers.iter().all(|m| m.matches_value(labels.get(&m.name).unwrap_or("")));
        labelled
            && self.tests.iter().all(|(negative, t)| {
                let yes = match t {
                    Test::Contains(f) => f.find(line.as_bytes()).is_some(),
                    Test::Matches(r) => r.is_match(line),
                };
                yes != *negative
            })
    }
}

fn parse(c: &mut Cursor<'_>) -> Parsed<Selector> {
    c.skip_blank();
    if !c.eat("{") {
        return Err(c.unexpected().hint("a selector begins with {, for example {app=\"api\"}"));
    }
    let (mut matchers, mut room) = (vec![], RegexRoom::default());
    loop {
        c.skip_blank();
        if c.eat("}") {
            break;
        }
        let name = c.take_ident(|_| false);
        if name.is_empty() {
            return Err(c.unexpected());
        }
        c.skip_blank();
        let op = ["=~", "!~", "!=", "="].into_iter().find(|op| c.eat(op)).and_then(lang::matcher::op).ok_or_else(|| c.unexpected())?;
        c.skip_blank();
        let start = c.at();
        let value = c.take_string(QUOTES)?;
        matchers.push(lang::matcher::build(name, op, &value, c.span_from(start), &mut room)?);
        c.skip_blank();
        if !c.eat(",") && !c.rest().starts_with('}') {
            return Err(c.unexpected());
        }
    }
    let mut tests = vec![];
    loop {
        c.skip_blank();
        if c.is_done() {
            return Ok(Selector { matchers, tests });
        }
        let Some(op) = ["|=", "!=", "|~", "!~"].into_iter().find(|op| c.eat(op)) else {
            return Err(c.unexpected().hint("after the selector only |=, !=, |~ and !~ are understood here"));
        };
        c.skip_blank();
        let start = c.at();
        let text = c.take_string(QUOTES)?;
        let test = if op.ends_with('~') {
            let refused = |e: String| lang::Diagnostic::new(c.span_from(start), format!("invalid regular expression: {e}"));
            Test::Matches(lang::re2::compile_in(&text, &mut room).map_err(refused)?)
        } else {
            Test::Contains(Box::new(Finder::new(text.as_bytes()).into_owned()))
        };
        tests.push((op.starts_with('!'), test));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::labels;
    use super::*;

    #[test]
    fn selectors_select() {
        for (selector, line, want) in [
            ("{a=\"1\"}", "x", true),
            ("{a=\"1\", b=~`2|3`,}", "x", true),
            ("{a!=\"1\"}", "x", false),
            ("{none=\"\"}", "x", true),
            ("{}", "x", true),
            ("{b!~\"3|4\"} |= \"x\" != \"y\" |~ \"^x$\" !~ `\\d`", "x", true),
            ("{a=\"1\"} != \"x\"", "x", false),
        ] {
            assert_eq!(Selector::parse(selector).unwrap().matches(&labels("a=1 b=2").into(), line), want, "{selector}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (selector, wanted) in [
            ("a", "begins with {"),
            ("{a}", "unexpected character '}'"),
            ("{a=1}", "expected a string"),
            ("{a=~\"(\"}", "regular expression"),
            ("{a=\"1\"} | json", "only |="),
            ("{a=\"1\"", "end of input"),
        ] {
            let e = Selector::parse(selector).err().unwrap();
            assert!(e.contains(wanted), "{selector}: {e}");
        }
    }
}
