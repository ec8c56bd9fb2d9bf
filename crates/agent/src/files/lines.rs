//! Finds the lines in a stretch of a file.

/// What [`split`] took.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Bytes of the stretch that are done with.
    pub bytes: usize,
    /// Lines that were cut.
    pub cut_lines: u64,
    /// Bytes that were dropped by cutting, line ends not counted.
    pub cut_bytes: u64,
    /// Lines with bytes that are no text in the file's encoding, which were replaced.
    pub repaired: u64,
}

/// How a file is written, as its first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, as nearly all logs are.
    Utf8,
    /// UTF-16, the low byte first.
    Utf16Le,
    /// UTF-16, the high byte first.
    Utf16Be,
}

impl Encoding {
    /// By the byte order mark; without one it is UTF-8.
    pub fn of(head: &[u8]) -> Encoding {
        match head {
            [0xFF, 0xFE, ..] => Encoding::Utf16Le,
            [0xFE, 0xFF, ..] => Encoding::Utf16Be,
            _ => Encoding::Utf8,
        }
    }
}

/// How lines are found.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// A longer line is cut here, bytes.
    pub max_line: usize,
    /// At most so many lines.
    pub max_lines: usize,
    /// The file ends here for good: what has no line end is a line too.
    pub ends: bool,
}

/// Appends the lines of `data`, without `\n` or `\r\n` and with U+FFFD where they are not UTF-8.
///
/// A last line without an end is left for later, unless the file ends. Of a line longer than allowed the beginning is
/// taken as soon as it is seen, then `skipping` is set and stays set until its end has passed by. NUL bytes at the start
/// of a line are dropped: a file truncated under a writer that does not append begins with a hole.
pub fn split(data: &[u8], rules: Rules, skipping: &mut bool, out: &mut Vec<String>) -> Taken {
    let mut taken = Taken::default();
    let limit = out.len().saturating_add(rules.max_lines);
    let mut at = 0;
    while at < data.len() && out.len() < limit {
        let rest = &data[at..];
        if *skipping {
            let end = memchr::memchr(b'\n', rest);
            taken.cut_bytes += end.unwrap_or(rest.len()) as u64;
            *skipping = end.is_none();
            at += end.map_or(rest.len(), |i| i + 1);
            continue;
        }
        if rest[0] == 0 {
            at += rest.iter().take_while(|&&b| b == 0).count();
            continue;
        }
        let (line, next, whole) = match memchr::memchr(b'\n', rest) {
            Some(i) => (rest[..i].strip_suffix(b"\r").unwrap_or(&rest[..i]), at + i + 1, true),
            None if rest.len() > rules.max_line => (rest, data.len(), false),
            None if rules.ends => (rest, data.len(), true),
            None => break,
        };
        if line.len() > rules.max_line {
            let keep = floor_char(line, rules.max_line);
            out.push(format!("{} [cut by watchfire after {keep} bytes]", String::from_utf8_lossy(&line[..keep])));
            taken.cut_lines += 1;
            taken.cut_bytes += (line.len() - keep) as u64;
            *skipping = !whole;
        } else {
            let text = String::from_utf8_lossy(line);
            taken.repaired += u64::from(matches!(text, std::borrow::Cow::Owned(_)));
            out.push(text.into_owned());
        }
        at = next;
    }
    taken.bytes = at;
    taken
}

/// The same for UTF-16; `data` begins with a whole unit. Holes of NUL bytes are left as they are.
pub fn split_wide(data: &[u8], is_big: bool, rules: Rules, skipping: &mut bool, out: &mut Vec<String>) -> Taken {
    let unit = |p: &[u8]| if is_big { u16::from_be_bytes([p[0], p[1]]) } else { u16::from_le_bytes([p[0], p[1]]) };
    let units: Vec<u16> = data.chunks_exact(2).map(unit).collect();
    let mut taken = Taken::default();
    let limit = out.len().saturating_add(rules.max_lines);
    let mut at = 0;
    while at < units.len() && out.len() < limit {
        let rest = &units[at..];
        let (length, used, whole) = match rest.iter().position(|u| *u == u16::from(b'\n')) {
            Some(i) => (i, i + 1, true),
            None if rest.len() * 2 > rules.max_line => (rest.len(), rest.len(), false),
            None if rules.ends => (rest.len(), rest.len(), true),
            None => break,
        };
        at += used;
        if *skipping {
            taken.cut_bytes += 2 * length as u64;
            *skipping = !whole;
            continue;
        }
        let line = rest[..length].strip_suffix(&[u16::from(b'\r')]).unwrap_or(&rest[..length]);
        let keep = line.len().min(rules.max_line / 2);
        let mut text = String::from_utf16(&line[..keep]).unwrap_or_else(|_| {
            taken.repaired += 1;
            String::from_utf16_lossy(&line[..keep])
        });
        if keep < line.len() {
            text.push_str(&format!(" [cut by watchfire after {} bytes]", 2 * keep));
            taken.cut_lines += 1;
            taken.cut_bytes += 2 * (line.len() - keep) as u64;
            *skipping = !whole;
        }
        out.push(text);
    }
    taken.bytes = 2 * at;
    taken
}

/// The greatest length up to `max` that does not end inside a UTF-8 character.
fn floor_char(line: &[u8], max: usize) -> usize {
    let back = (0..4.min(max)).find(|&i| line[max - i] & 0xC0 != 0x80);
    max - back.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { max_line: 8, max_lines: 100, ends: false };

    fn run(data: &[u8], rules: Rules, skipping: &mut bool) -> (Vec<String>, Taken) {
        let mut out = vec![];
        let t = split(data, rules, skipping, &mut out);
        (out, t)
    }

    #[test]
    fn lines_end_with_either_end_and_the_last_one_waits() {
        let (lines, t) = run(b"a\r\n\nb\rc\npart", RULES, &mut false);
        assert_eq!(lines, ["a", "", "b\rc"]);
        assert_eq!(t, Taken { bytes: 8, ..Default::default() });
        let (lines, t) = run(b"part", Rules { ends: true, ..RULES }, &mut false);
        assert_eq!((lines, t.bytes), (vec!["part".to_string()], 4));
    }

    #[test]
    fn what_is_not_utf8_is_kept_with_a_mark() {
        assert_eq!(run(b"a\xFFb\n", RULES, &mut false).0, ["a\u{FFFD}b"]);
        assert_eq!(run(b"\0\0\0ok\n", RULES, &mut false).0, ["ok"]);
    }

    #[test]
    fn a_long_line_is_cut_and_passed_over_across_reads() {
        let mut skipping = false;
        let (lines, t) = run(b"1234567890", RULES, &mut skipping);
        assert_eq!(lines, ["12345678 [cut by watchfire after 8 bytes]"]);
        assert_eq!((t.bytes, t.cut_lines, t.cut_bytes, skipping), (10, 1, 2, true));
        let (lines, t) = run(b"xyz", RULES, &mut skipping);
        assert_eq!((lines.len(), t.bytes, t.cut_bytes, skipping), (0, 3, 3, true));
        let (lines, t) = run(b"w\nnext\n", RULES, &mut skipping);
        assert_eq!((lines, t.cut_bytes, skipping), (vec!["next".to_string()], 1, false));
    }

    #[test]
    fn a_cut_does_not_split_a_character() {
        let (lines, t) = run("1234567é9\n".as_bytes(), RULES, &mut false);
        assert_eq!((lines[0].as_str(), t.cut_bytes), ("1234567 [cut by watchfire after 7 bytes]", 3));
    }

    fn wide(text: &str, is_big: bool) -> Vec<u8> {
        text.encode_utf16().flat_map(|u| if is_big { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
    }

    #[test]
    fn lines_of_two_bytes_a_character() {
        for is_big in [false, true] {
            let rules = Rules { max_line: 20, ..RULES };
            let (mut out, mut skipping) = (vec![], false);
            let data = wide("a\u{10A}\u{A0A}\r\n\npart", is_big);
            let t = split_wide(&data, is_big, rules, &mut skipping, &mut out);
            assert_eq!((out.as_slice(), t.bytes), (&["a\u{10A}\u{A0A}".to_string(), String::new()][..], 12));
            let t = split_wide(&data[12..], is_big, Rules { ends: true, ..rules }, &mut skipping, &mut out);
            assert_eq!((out[2].as_str(), t.bytes), ("part", 8));
            let t = split_wide(&wide("12345678901\nnext\n", is_big), is_big, rules, &mut skipping, &mut out);
            assert_eq!((out[3].as_str(), out[4].as_str()), ("1234567890 [cut by watchfire after 20 bytes]", "next"));
            assert_eq!((t.cut_lines, t.cut_bytes, skipping), (1, 2, false));
        }
        assert_eq!(split_wide(&[0x00, 0xD8, 0x0A, 0x00], false, RULES, &mut false, &mut vec![]).repaired, 1);
        assert_eq!(Encoding::of(b"\xFF\xFEa"), Encoding::Utf16Le);
        assert_eq!((Encoding::of(b"\xFE\xFF"), Encoding::of(b"\xFF")), (Encoding::Utf16Be, Encoding::Utf8));
    }

    #[test]
    fn at_most_so_many_lines() {
        let (lines, t) = run(b"a\nb\nc\n", Rules { max_lines: 2, ..RULES }, &mut false);
        assert_eq!((lines.len(), t.bytes), (2, 4));
    }
}
