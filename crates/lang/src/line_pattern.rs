//! Patterns of lines as Loki has them: text with captures in it, `<ip> - <_> "<method> <path>"`.

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// The empty name is `<_>`.
    Capture(String),
}

/// Literals with captures between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = vec![];
        let literal = |parts: &mut Vec<Part>, t: &str| match parts.last_mut() {
            _ if t.is_empty() => {}
            Some(Part::Literal(l)) => l.push_str(t),
            _ => parts.push(Part::Literal(t.to_string())),
        };
        let mut rest = text;
        while let Some(open) = rest.find('<') {
            let name = rest[open + 1..].find('>').map(|n| &rest[open + 1..open + 1 + n]);
            match name.filter(|n| is_name(n)) {
                Some(name) => {
                    literal(&mut parts, &rest[..open]);
                    if matches!(parts.last(), Some(Part::Capture(_))) {
                        return Err(format!("found consecutive capture '<{name}>': there must be text between two captures"));
                    }
                    parts.push(Part::Capture(if name == "_" { String::new() } else { name.to_string() }));
                    rest = &rest[open + 2 + name.len()..];
                }
                None => {
                    literal(&mut parts, &rest[..=open]);
                    rest = &rest[open + 1..];
                }
            }
        }
        literal(&mut parts, rest);
        Ok(Pattern(parts))
    }

    /// The names of its captures.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|p| match p {
            Part::Capture(n) if !n.is_empty() => Some(n.as_str()),
            _ => None,
        })
    }

    /// A pattern that extracts: at least one named capture, none twice.
    pub fn with_captures(text: &str) -> Result<Self, String> {
        let p = Self::parse(text)?;
        let names: Vec<&str> = p.names().collect();
        if names.is_empty() {
            return Err("at least one capture is required, for example <name>".into());
        }
        match names.iter().enumerate().find(|(i, n)| names[..*i].contains(n)) {
            Some((_, twice)) => Err(format!("duplicate capture name ({twice})")),
            None => Ok(p),
        }
    }

    /// A pattern that only tests: no named captures.
    pub fn of_line(text: &str) -> Result<Self, String> {
        let p = Self::parse(text)?;
        let named = p.names().next().map(|n| format!("named capture <{n}> is not allowed in a line filter, use <_>"));
        named.map_or(Ok(p), Err)
    }

    /// Whether the whole line has this form; a capture stands for at least one character.
    pub fn matches(&self, line: &str) -> bool {
        if line.is_empty() || self.0.is_empty() {
            return line.is_empty() && self.0.is_empty();
        }
        let mut rest = line;
        for (i, part) in self.0.iter().enumerate() {
            let Part::Literal(l) = part else { continue };
            let Some(at) = rest.find(l.as_str()) else { return false };
            if (i == 0) != (at == 0) {
                return false;
            }
            rest = &rest[at + l.len()..];
        }
        let ends_in_capture = matches!(self.0.last(), Some(Part::Capture(_)));
        ends_in_capture != rest.is_empty()
    }

    /// Calls `found` with the captures of a line, as far as it has this form.
    pub fn capture<'a>(&'a self, line: &'a str, mut found: impl FnMut(&'a str, &'a str)) {
        let mut rest = line;
        let mut parts = self.0.as_slice();
        if let Some((Part::Literal(l), more)) = parts.split_first() {
            let Some(after) = rest.strip_prefix(l.as_str()) else { return };
            rest = after;
            parts = more;
        }
        while let Some((Part::Capture(name), more)) = parts.split_first() {
            let (value, after) = match more.first() {
                Some(Part::Literal(l)) => match rest.find(l.as_str()) {
                    Some(at) => (&rest[..at], Some(&rest[at + l.len()..])),
                    None => (rest, None),
                },
                _ => (rest, None),
            };
            if !name.is_empty() && !rest.is_empty() {
                found(name, value);
            }
            let Some(after) = after else { return };
            rest = after;
            parts = &more[1..];
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().enumerate().all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || i > 0 && b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures(pattern: &str, line: &str) -> String {
        let mut out = vec![];
        Pattern::with_captures(pattern).unwrap().capture(line, |n, v| out.push(format!("{n}={v}")));
        out.join(",")
    }

    #[test]
    fn captures_lie_between_literals() {
        assert_eq!(captures("<ip> - <_> \"<m> <p>\"", "1.2.3.4 - bob \"GET /x\""), "ip=1.2.3.4,m=GET,p=/x");
        assert_eq!(captures("[<a>]", "x [1]"), "", "a literal in front is at the start");
        assert_eq!(captures("<a>:<b>;", "1:2"), "a=1,b=2", "the rest, when a literal is missing");
    }

    #[test]
    fn wrong_patterns_are_refused() {
        for bad in ["", "<_>", "abc", "<a><b>", "<a> <a>"] {
            assert!(Pattern::with_captures(bad).is_err(), "{bad}");
        }
        assert!(Pattern::of_line("<a> x").is_err());
    }

    #[test]
    fn line_patterns_match_whole_lines() {
        for (p, line, want) in [
            ("foo <_>", "foo bar", true),
            ("foo <_>", "foo", false),
            ("<_>foo<_>", "test foo test", true),
            ("foo", "foo", true),
            ("foo", "foos", false),
            ("<_> bar", "foo bar", true),
            ("<_> bar", "foo bar!", false),
            ("", "", true),
            ("<_>", "", false),
        ] {
            assert_eq!(Pattern::of_line(p).unwrap().matches(line), want, "{p} on {line}");
        }
    }
}
