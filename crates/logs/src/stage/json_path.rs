//! Paths into JSON: `a.b[0]["c d"]`.

use lang::json_text::{JsonCursor, Value, Wrong};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A member.
    Key(String),
    /// An element.
    Index(usize),
}

/// Reads a path.
pub fn parse(text: &str) -> Result<Vec<Step>, String> {
    let mut out = vec![];
    let mut rest = text;
    if rest.is_empty() {
        return Err("the path is empty".into());
    }
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            if inner.starts_with('"') {
                let n = lang::literal::scan(inner, "\"").map_err(|e| e.message)?;
                out.push(Step::Key(lang::literal::unquote(&inner[..n], "\"").map_err(|e| e.message)?));
                rest = &inner[n..];
            } else {
                let n = inner.find(']').ok_or("expected `]`")?;
                out.push(Step::Index(inner[..n].parse().map_err(|_| "expected an index or a key in quotes between `[` and `]`")?));
                rest = &inner[n..];
            }
            rest = rest.strip_prefix(']').ok_or("expected `]`")?;
            continue;
        }
        if !out.is_empty() {
            rest = rest.strip_prefix('.').ok_or("expected `.` or `[`")?;
        }
        let n = rest.find(['.', '[']).unwrap_or(rest.len());
        let key = &rest[..n];
        if key.is_empty()
            || key.contains(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
            || key.starts_with(|c: char| c.is_ascii_digit())
        {
            return Err(format!("{key:?} is not a field; write [\"{key}\"] for other names"));
        }
        out.push(Step::Key(key.to_string()));
        rest = &rest[n..];
    }
    Ok(out)
}

/// The value at a path.
pub fn find<'a>(line: &'a str, path: &[Step]) -> Option<Value<'a>> {
    let mut cursor = JsonCursor::new(line);
    for step in path {
        let found = match step {
            Step::Index(i) => cursor.element(*i),
            Step::Key(key) => member(&mut cursor, key),
        };
        if found != Ok(true) {
            return None;
        }
    }
    cursor.value().ok()
}

/// Goes to the value of `key`; true if there is one.
fn member(cursor: &mut JsonCursor<'_>, key: &str) -> Result<bool, Wrong> {
    if cursor.peek() != Some(b'{') {
        return Ok(false);
    }
    let all = cursor.object(|c, k| {
        if lang::json_text::unescape(k) == key {
            return Ok(false);
        }
        c.value().map(|_| true)
    })?;
    Ok(!all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let key = |k: &str| Step::Key(k.into());
        assert_eq!(parse("a.b[0]"), Ok(vec![key("a"), key("b"), Step::Index(0)]));
        assert_eq!(parse(r#"["a b"].c["d"]"#), Ok(vec![key("a b"), key("c"), key("d")]));
        for bad in ["", ".", "a.", "a[", "a[x]", "a b", "1a", "a]", "a[0", "a\"b"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values() {
        let line = r#"{"x":{"x":1,"a b":[true,{"c":"v"}]},"y":null}"#;
        let at = |p| find(line, &parse(p).unwrap());
        assert_eq!(at("x.x"), Some(Value::Word("1")));
        assert_eq!(at(r#"x["a b"][1].c"#), Some(Value::Text("v")));
        assert_eq!(at("y"), Some(Value::Null));
        assert_eq!((at("z"), at("x.x.x"), at(r#"x["a b"][2]"#), at("x[0]")), (None, None, None, None));
        assert_eq!(find("oops", &parse("a").unwrap()), None);
    }
}
