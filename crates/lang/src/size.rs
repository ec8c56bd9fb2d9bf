//! Byte sizes as the log language writes them: `10MB`, `64KiB`, `1.5 GB`, `42` (the rules of Go's `go-humanize`).

/// Reads a size in bytes. Units in any case: `B`, `k`/`kB` = 1000, `Ki`/`KiB` = 1024, and so on to `E`; none is bytes.
/// Thousands may be separated by commas.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let n = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(text.len());
    let number: f64 = text[..n].replace(',', "").parse().ok()?;
    let unit = text[n..].trim().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (letter, base) = match unit.strip_suffix('i') {
        Some("") => return None,
        Some(letter) => (letter, 1024f64),
        None => (unit, 1000f64),
    };
    let power = if letter.is_empty() { 0 } else { ["k", "m", "g", "t", "p", "e"].iter().position(|l| *l == letter)? as i32 + 1 };
    let bytes = number * base.powi(power);
    // 2^64 itself does not fit.
    (bytes < 18_446_744_073_709_551_616.0).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (t, want) in [
            ("42", 42),
            ("10MB", 10_000_000),
            ("64KiB", 65_536),
            ("1.5 kb", 1_500),
            ("1,000B", 1_000),
            ("1Gi", 1 << 30),
            ("2k", 2_000),
            ("0B", 0),
            ("15EiB", 15 << 60),
        ] {
            assert_eq!(parse(t), Some(want), "{t}");
        }
        for bad in ["", "B", "10 apples", "1ib", "16EiB", "-1B", "1..2B", "é", "1é"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
