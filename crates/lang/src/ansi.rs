//! The escape sequences that colour a terminal.

/// Without `ESC [ parameters letter`.
pub fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(i) = rest.find("\u{1b}[") {
        out.push_str(&rest[..i]);
        let tail = &rest[i + 2..];
        let end = tail.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(tail.len());
        rest = match tail[end..].chars().next() {
            Some(c) if c.is_ascii_alphabetic() => &tail[end + 1..],
            _ => {
                out.push_str("\u{1b}[");
                tail
            }
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_and_text_stays() {
        assert_eq!(plain("\u{1b}[0;31mred\u{1b}[0m plain \u{1b}[ é"), "red plain \u{1b}[ é");
    }
}
