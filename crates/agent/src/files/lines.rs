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
            out.push(String::from_utf8_lossy(line).into_owned());
        }
        at = next;
    }
    taken.bytes = at;
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

    #[test]
    fn at_most_so_many_lines() {
        let (lines, t) = run(b"a\nb\nc\n", Rules { max_lines: 2, ..RULES }, &mut false);
        assert_eq!((lines.len(), t.bytes), (2, 4));
    }
}
