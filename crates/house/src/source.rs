//! Source text as the rules see it: code without comments, without tests.

/// A source file below a crate's `src`.
pub struct Source {
    /// Path from the workspace's root, with slashes.
    pub path: String,
    /// The text.
    pub text: String,
}

impl Source {
    /// Whether the whole file is tests.
    pub fn is_tests(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
    /// The code that ships: comments blanked, and everything from the first `#[cfg(test)]` followed by an inline module
    /// left out. Lines keep their numbers.
    pub fn shipped(&self) -> String {
        if self.is_tests() {
            return String::new();
        }
        let code = without_comments(&self.text);
        let cut = code.match_indices("#[cfg(test)]").find(|(at, mark)| {
            let after = code[at + mark.len()..].trim_start();
            after.starts_with("mod ") && after.find(['{', ';']).is_some_and(|at| after[at..].starts_with('{'))
        });
        cut.map_or(code.clone(), |(at, _)| code[..at].to_owned())
    }
}

/// Blanks comments, keeping line breaks and what is inside string literals.
pub fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let token = if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            rest = &rest[end..];
            continue;
        } else if rest.starts_with("/*") {
            let end = block_comment(rest);
            out.extend(rest[..end].chars().filter(|c| *c == '\n'));
            rest = &rest[end..];
            continue;
        } else if let Some(end) = raw_string(rest) {
            end
        } else if c == '"' {
            quoted(rest)
        } else if c == '\'' {
            character(rest)
        } else if c.is_alphanumeric() || c == '_' {
            // A whole word at once, so that the r of `for"` does not begin a raw string.
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            if matches!(&rest[..word], "b" | "c" | "br" | "cr" | "r") { word.min(1) } else { word }
        } else {
            c.len_utf8()
        };
        out.push_str(&rest[..token]);
        rest = &rest[token..];
    }
    out
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'))?;
    let hashes = after.bytes().take_while(|b| *b == b'#').count();
    let body = after[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close).map_or(body.len(), |e| e + close.len());
    Some(text.len() - body.len() + end)
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    let end = text[1..].find(|c: char| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |e| e + 2)
}

/// A character literal whole, or the quote alone when it is a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text[1..].char_indices();
    match chars.next() {
        Some((_, '\\')) => text[2..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 3),
        Some((_, c)) if text[1 + c.len_utf8()..].starts_with('\'') => c.len_utf8() + 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_strings_stay() {
        let cases = [
            ("a // b\nc", "a \nc"),
            ("a /* b /* c */ d */ e", "a  e"),
            ("a /* b\n */ c", "a \n c"),
            (r#"let s = "// not a comment"; // one"#, r#"let s = "// not a comment"; "#),
            (r##"let s = r#"a " // b"#; // one"##, r##"let s = r#"a " // b"#; "##),
            (r#"let q = '"'; // one"#, r#"let q = '"'; "#),
            (r#"let q = '\''; // one"#, r#"let q = '\''; "#),
            (r"let q = '\\'; // one", r"let q = '\\'; "),
            ("fn f<'a>(x: &'a str) {} // one", "fn f<'a>(x: &'a str) {} "),
            (r#""a \" // b" // c"#, r#""a \" // b" "#),
            (r#"br"\" // c"#, r#"br"\" "#),
        ];
        for (text, code) in cases {
            assert_eq!(without_comments(text), code, "{text}");
        }
    }

    #[test]
    fn inline_tests_are_left_out_and_nothing_else() {
        let shipped = |text: &str| Source { path: "crates/x/src/a.rs".into(), text: text.into() }.shipped();
        assert_eq!(shipped("fn a() {}\n#[cfg(test)]\nmod tests { fn b() {} }"), "fn a() {}\n");
        assert_eq!(shipped("#[cfg(test)]\nmod tests;\nfn a() {}"), "#[cfg(test)]\nmod tests;\nfn a() {}");
        assert_eq!(shipped("#[cfg(test)]\nfn b() {}\nfn a() {}"), "#[cfg(test)]\nfn b() {}\nfn a() {}");
        assert_eq!(Source { path: "crates/x/src/a/tests.rs".into(), text: "x".into() }.shipped(), "");
    }
}
