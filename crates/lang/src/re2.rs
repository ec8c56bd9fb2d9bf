//! RE2 patterns (Go's `regexp/syntax`, which the original languages use), for the `regex` crate.
//!
//! The two syntaxes share most of their text, but not its meaning: RE2's `\d \w \s \b` are ASCII, `[a&&b]` is a plain
//! class, `a{,2}` is literal text, `\Q..\E` quotes, `a**` is an error. [`translate`] reads a pattern as RE2 does,
//! refuses what RE2 refuses, and writes the same pattern for the `regex` crate.

use base::RegexRoom;

/// RE2 refuses repetitions above this.
const MAX_REPEAT: u32 = 1000;

/// Compiles an RE2 pattern; the error is for people.
pub fn compile(pattern: &str) -> Result<regex::Regex, String> {
    compile_in(pattern, &mut RegexRoom::default())
}

/// Compiles an RE2 pattern that is one of those of a request.
pub fn compile_in(pattern: &str, room: &mut RegexRoom) -> Result<regex::Regex, String> {
    let pattern = translate(pattern)?;
    room.compile(|most| regex::RegexBuilder::new(&pattern).size_limit(most).build())
}

/// Compiles an RE2 pattern for bytes that need not be UTF-8.
pub fn compile_bytes(pattern: &str) -> Result<regex::bytes::Regex, String> {
    let pattern = translate(pattern)?;
    RegexRoom::default().compile(|most| regex::bytes::RegexBuilder::new(&pattern).size_limit(most).build())
}

/// The pattern in the syntax of the `regex` crate. Errors are those of RE2 where the `regex` crate would be silent;
/// what both refuse is left to the compiler.
pub fn translate(pattern: &str) -> Result<String, String> {
    let mut t = Translator { rest: pattern, out: String::with_capacity(pattern.len() + 8) };
    t.run()?;
    Ok(t.out)
}

/// Texts that every match of the pattern contains, in their order; none for a pattern that cannot be read. What comes in
/// alternatives or may be left out is not among them, nor is text in any case.
pub fn required_texts(pattern: &str) -> Vec<String> {
    let mut out = vec![];
    if let Some(hir) = translate(pattern).ok().and_then(|p| regex_syntax::parse(&p).ok()) {
        collect_texts(&hir, &mut out);
    }
    out
}

/// The parser bounds how deeply expressions nest.
fn collect_texts(hir: &regex_syntax::hir::Hir, out: &mut Vec<String>) {
    use regex_syntax::hir::HirKind;
    match hir.kind() {
        HirKind::Literal(text) => out.extend(std::str::from_utf8(&text.0).ok().map(str::to_owned)),
        HirKind::Capture(group) => collect_texts(&group.sub, out),
        HirKind::Concat(parts) => parts.iter().for_each(|p| collect_texts(p, out)),
        HirKind::Repetition(r) if r.min > 0 => collect_texts(&r.sub, out),
        _ => {}
    }
}

struct Translator<'a> {
    rest: &'a str,
    out: String,
}

/// One element of a class.
enum Item {
    Char(char),
    Set(&'static str),
    Property(String),
}

fn invalid_escape(c: char) -> String {
    format!("invalid escape sequence: `\\{c}`")
}

impl Translator<'_> {
    fn bump(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn run(&mut self) -> Result<(), String> {
        // Whether the last thing written was a repetition: another one right after it is an error in RE2.
        let mut repeated = false;
        while let Some(c) = self.bump() {
            let repetition = matches!(c, '*' | '+' | '?') || c == '{' && repeat_len(self.rest)?.is_some();
            if repetition {
                if repeated {
                    return Err(format!("invalid nested repetition operator: `{c}`"));
                }
                self.repetition(c)?;
            } else {
                self.element(c)?;
            }
            repeated = repetition;
        }
        Ok(())
    }

    fn repetition(&mut self, c: char) -> Result<(), String> {
        self.out.push(c);
        if c == '{' {
            let n = repeat_len(self.rest)?.unwrap_or(0);
            self.out.push_str(&self.rest[..n]);
            self.rest = &self.rest[n..];
        }
        if let Some(rest) = self.rest.strip_prefix('?') {
            self.out.push('?');
            self.rest = rest;
        }
        Ok(())
    }

    fn element(&mut self, c: char) -> Result<(), String> {
        match c {
            '\\' => self.escape(),
            '[' => self.class(),
            '(' if self.rest.starts_with('?') => self.group_flags(),
            '{' | '}' => {
                self.out.push('\\');
                self.out.push(c);
                Ok(())
            }
            c => {
                self.out.push(c);
                Ok(())
            }
        }
    }

    /// After `(`, before `?`.
    fn group_flags(&mut self) -> Result<(), String> {
        self.out.push('(');
        if self.rest.starts_with("?P<") || self.rest.starts_with("?<") && !self.rest.starts_with("?<=") && !self.rest.starts_with("?<!") {
            let end = self.rest.find('>').ok_or("invalid named capture")?;
            self.out.push_str(&self.rest[..=end]);
            self.rest = &self.rest[end + 1..];
            return Ok(());
        }
        let end = self.rest.find([':', ')']).ok_or("missing closing )")?;
        if let Some(wrong) = self.rest[1..end].chars().find(|c| !"imsU-".contains(*c)) {
            return Err(format!("invalid or unsupported Perl syntax: `(?{wrong}`"));
        }
        self.out.push_str(&self.rest[..=end]);
        self.rest = &self.rest[end + 1..];
        Ok(())
    }

    /// After `\`, outside of a class.
    fn escape(&mut self) -> Result<(), String> {
        let next = self.rest.chars().next().ok_or("trailing backslash at end of expression")?;
        match next {
            'A' | 'z' => {
                self.bump();
                self.out.push('\\');
                self.out.push(next);
            }
            'b' | 'B' => {
                self.bump();
                self.out.push_str(if next == 'b' { r"(?-u:\b)" } else { r"(?-u:\B)" });
            }
            'Q' => {
                self.bump();
                let (text, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                self.rest = rest;
                let quoted = regex_syntax::escape(text);
                self.out.push_str(&quoted);
            }
            _ => match self.escaped_item()? {
                Item::Char(c) => self.out.push_str(&regex_syntax::escape(c.encode_utf8(&mut [0; 4]))),
                Item::Set(set) => {
                    self.out.push('[');
                    self.out.push_str(set);
                    self.out.push(']');
                }
                Item::Property(p) => self.out.push_str(&p),
            },
        }
        Ok(())
    }

    /// After `\`, what means the same inside and outside of a class.
    fn escaped_item(&mut self) -> Result<Item, String> {
        let c = self.bump().ok_or("trailing backslash at end of expression")?;
        let set = |s| Ok(Item::Set(s));
        match c {
            'd' => set("0-9"),
            'D' => set("^0-9"),
            'w' => set("0-9A-Za-z_"),
            'W' => set("^0-9A-Za-z_"),
            's' => set(r"\t\n\f\r "),
            'S' => set(r"^\t\n\f\r "),
            'p' | 'P' => self.property(c == 'P'),
            _ => self.escaped_char(c).map(Item::Char),
        }
    }

    fn property(&mut self, mut negated: bool) -> Result<Item, String> {
        let first = self.bump().ok_or("invalid character class range: `\\p`")?;
        let mut name = first.to_string();
        if first == '{' {
            let (inner, rest) = self.rest.split_once('}').ok_or("invalid character class range: `\\p{`")?;
            name = inner.to_string();
            self.rest = rest;
        }
        if let Some(positive) = name.strip_prefix('^') {
            negated = !negated;
            name = positive.to_string();
        }
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("invalid character class range: `\\p{{{name}}}`"));
        }
        Ok(Item::Property(format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' })))
    }

    fn escaped_char(&mut self, c: char) -> Result<char, String> {
        Ok(match c {
            'a' => '\x07',
            'f' => '\x0c',
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'v' => '\x0b',
            'x' => return self.hex(),
            '0'..='7' => {
                let more: String = self.rest.chars().take(2).take_while(|d| ('0'..='7').contains(d)).collect();
                if c != '0' && more.is_empty() {
                    return Err(invalid_escape(c));
                }
                self.rest = &self.rest[more.len()..];
                let v = u32::from_str_radix(&format!("{c}{more}"), 8).map_err(|_| invalid_escape(c))?;
                char::from_u32(v).ok_or_else(|| invalid_escape(c))?
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            c => return Err(invalid_escape(c)),
        })
    }

    fn hex(&mut self) -> Result<char, String> {
        let digits = if let Some(body) = self.rest.strip_prefix('{') {
            let (digits, rest) = body.split_once('}').ok_or_else(|| invalid_escape('x'))?;
            self.rest = rest;
            digits
        } else {
            let digits = self.rest.get(..2).ok_or_else(|| invalid_escape('x'))?;
            self.rest = &self.rest[2..];
            digits
        };
        let v = u32::from_str_radix(digits, 16).map_err(|_| invalid_escape('x'))?;
        char::from_u32(v).ok_or_else(|| invalid_escape('x'))
    }

    /// After `[`.
    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if let Some(rest) = self.rest.strip_prefix('^') {
            self.out.push('^');
            self.rest = rest;
        }
        let mut first = true;
        loop {
            if !first && self.rest.starts_with(']') {
                self.bump();
                self.out.push(']');
                return Ok(());
            }
            first = false;
            if self.rest.starts_with("[:")
                && let Some(end) = self.rest.find(":]")
            {
                self.out.push_str(&self.rest[..end + 2]);
                self.rest = &self.rest[end + 2..];
                continue;
            }
            self.class_item()?;
        }
    }

    fn class_item(&mut self) -> Result<(), String> {
        let lo = match self.class_char()? {
            Item::Char(c) => c,
            Item::Set(set) => {
                self.out.push('[');
                self.out.push_str(set);
                self.out.push(']');
                return Ok(());
            }
            Item::Property(p) => {
                self.out.push_str(&p);
                return Ok(());
            }
        };
        push_class_char(&mut self.out, lo);
        let range = self.rest.strip_prefix('-').filter(|r| !r.is_empty() && !r.starts_with(']'));
        if let Some(rest) = range {
            self.rest = rest;
            let Item::Char(hi) = self.class_char()? else {
                return Err("invalid character class range".into());
            };
            if hi < lo {
                return Err(format!("invalid character class range: `{lo}-{hi}`"));
            }
            self.out.push('-');
            push_class_char(&mut self.out, hi);
        }
        Ok(())
    }

    fn class_char(&mut self) -> Result<Item, String> {
        match self.bump().ok_or("missing closing ]")? {
            '\\' => self.escaped_item(),
            c => Ok(Item::Char(c)),
        }
    }
}

fn push_class_char(out: &mut String, c: char) {
    if matches!(c, '[' | ']' | '&' | '~' | '-' | '^' | '\\') {
        out.push('\\');
    }
    out.push(c);
}

/// Length of `n}`, `n,}` or `n,m}` at the start of `rest` (which follows a `{`); none if it is literal text.
fn repeat_len(rest: &str) -> Result<Option<usize>, String> {
    let Some(end) = rest.find('}') else { return Ok(None) };
    let (lo, hi) = match rest[..end].split_once(',') {
        Some((lo, hi)) => (lo, Some(hi)),
        None => (&rest[..end], None),
    };
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(lo) || hi.is_some_and(|h| !h.is_empty() && !digits(h)) {
        return Ok(None);
    }
    for n in [Some(lo), hi.filter(|h| !h.is_empty())].into_iter().flatten() {
        if n.parse::<u32>().map_or(true, |n| n > MAX_REPEAT) {
            return Err(format!("invalid repeat count: `{{{}`", &rest[..=end]));
        }
    }
    Ok(Some(end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_mean_what_they_mean_in_re2() {
        for (pattern, yes, no) in [
            (r"^\d+$", "12", "٣"),
            (r"^\w+$", "a_1", "é"),
            (r"^[\w.-]+$", "a.b-c", "a b"),
            (r"^[^\d]$", "x", "1"),
            (r"^[a&&b]+$", "&ab", "c"),
            (r"^[]a]+$", "]a", "b"),
            (r"^[[:alpha:]x-]+$", "ab-", "1"),
            (r"^a{,2}$", "a{,2}", "aa"),
            (r"^{x}$", "{x}", "x"),
            (r"^\Qa.b\E.$", "a.bc", "axbc"),
            (r"^\x41\x{42}\101$", "ABA", "AB"),
            (r"^(?i)abc$", "ABC", "abd"),
            (r"^\pL+$", "éa", "1"),
            (r"^\p{^L}$", "1", "a"),
            (r"\bfoo\b", "a foo b", "afoob"),
            (r"^<\<$", "<<", "<"),
            (r#""(GET|POST) /v[12]/x" 50[0-9] "#, "\"GET /v1/x\" 503 ", "\"GET /v3/x\" 503 "),
            (r"^(?P<year>\d{4})-(?<m>\d\d)$", "2024-01", "24-01"),
            (r"^[a-]$", "-", "b"),
            (r"^\.\/\-\_$", "./-_", "x"),
            (r"^\s\S$", " x", "xx"),
        ] {
            let re = compile(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            assert!(re.is_match(yes), "{pattern} matches {yes}");
            assert!(!re.is_match(no), "{pattern} does not match {no}");
            assert!(compile_bytes(pattern).is_ok());
        }
    }

    #[test]
    fn texts_that_every_match_contains() {
        for (pattern, want) in [
            ("foo.*bar", vec!["foo", "bar"]),
            ("^a(bc)+(?:d|e)f?$", vec!["a", "bc"]),
            ("(?i)foo", vec![]),
            ("a(?i:b)c", vec!["a", "c"]),
            (r"\Qa.b\E[0-9]{2}x{0,3}", vec!["a.b"]),
            ("foo|bar", vec![]),
            ("(", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(required_texts(pattern), want, "{pattern}");
        }
    }

    #[test]
    fn what_re2_refuses_is_refused() {
        for bad in [
            "a**",
            "a*+",
            "(?x)a",
            "(?=a)",
            "(?<!a)",
            "a{1001}",
            "[b-a]",
            "[a",
            "(",
            ")",
            "*a",
            r"\8",
            r"\1",
            r"\C",
            r"\y",
            "\\",
            r"\p{No Such}",
            r"[\d-",
            "(?u)x",
            r"\Z",
            "a{2}{3}",
        ] {
            assert!(compile(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_makes_it_panic(p in r"[\[\]\\(){}?*+a-c,0-9:^&~|.-]{0,16}") {
            let _ = compile(&p);
        }
        #[test]
        fn a_match_contains_what_it_must(p in "[ab.*+?|()^$]{0,10}", text in "[ab]{0,12}") {
            if let Ok(re) = compile(&p) && re.is_match(&text) {
                for t in required_texts(&p) {
                    prop_assert!(text.contains(&t), "{:?} in {:?} of {:?}", t, text, p);
                }
            }
        }

        #[test]
        fn quoted_text_matches_itself(s in "\\PC{0,12}") {
            prop_assume!(!s.contains("\\E"));
            let re = compile(&format!("^\\Q{s}\\E$")).map_err(TestCaseError::fail)?;
            prop_assert!(re.is_match(&s));
        }
    }
}
