//! Lines of a json-file log: `{"log":"…\n","stream":"stdout","attrs":{…},"time":"2026-11-27T02:28:48.937111272Z"}`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

/// Which of the two outputs of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pipe {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Pipe {
    /// Both, in the order of their state in a position.
    pub const ALL: [Pipe; 2] = [Pipe::Stdout, Pipe::Stderr];

    /// The value of the `stream` label.
    pub fn name(self) -> &'static str {
        match self {
            Pipe::Stdout => "stdout",
            Pipe::Stderr => "stderr",
        }
    }
}

/// One message of a container, as its log driver took it: a line, or a frame of a long one.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<'a> {
    /// Its text without the line end.
    pub text: Cow<'a, str>,
    /// Whether it ended a line.
    pub whole: bool,
    /// Where it was written.
    pub pipe: Pipe,
    /// Docker's time, nanoseconds since 1970.
    pub time_ns: i64,
    /// Labels and variables that the log driver was told to add.
    pub attrs: Vec<(String, String)>,
}

/// Reads one line of the file, without its end; none if it is not what Docker writes.
pub fn parse(line: &[u8]) -> Option<Entry<'_>> {
    // Nearly all lines have exactly the form that Docker writes today; JSON in any other form is read too.
    fast(line).or_else(|| slow(line))
}

fn fast(line: &[u8]) -> Option<Entry<'_>> {
    let (text, rest) = string(line.strip_prefix(b"{\"log\":\"")?)?;
    let rest = rest.strip_prefix(b",\"stream\":\"std")?;
    let (pipe, rest) = match rest.strip_prefix(b"out\"") {
        Some(rest) => (Pipe::Stdout, rest),
        None => (Pipe::Stderr, rest.strip_prefix(b"err\"")?),
    };
    let time = rest.strip_prefix(b",\"time\":\"")?.strip_suffix(b"\"}")?;
    Some(Entry { pipe, time_ns: parse_time(time)?, attrs: vec![], ..ended(text, pipe) })
}

fn slow(line: &[u8]) -> Option<Entry<'_>> {
    #[derive(Deserialize)]
    struct Form<'a> {
        #[serde(default)]
        log: String,
        stream: &'a str,
        time: &'a str,
        #[serde(default)]
        attrs: BTreeMap<String, String>,
    }
    let f: Form<'_> = serde_json::from_slice(line).ok()?;
    let pipe = Pipe::ALL.into_iter().find(|p| p.name() == f.stream)?;
    let time_ns = parse_time(f.time.as_bytes())?;
    Some(Entry { time_ns, attrs: f.attrs.into_iter().collect(), ..ended(Cow::Owned(f.log), pipe) })
}

/// An entry of this text, with the line end taken off.
pub fn ended(mut text: Cow<'_, str>, pipe: Pipe) -> Entry<'_> {
    let whole = text.ends_with('\n');
    if whole {
        let len = text.len() - if text.ends_with("\r\n") { 2 } else { 1 };
        match &mut text {
            Cow::Borrowed(t) => *t = &t[..len],
            Cow::Owned(t) => t.truncate(len),
        }
    }
    Entry { text, whole, pipe, time_ns: 0, attrs: vec![] }
}

/// The rest of a JSON string behind its opening quote, and what follows the closing one.
fn string(b: &[u8]) -> Option<(Cow<'_, str>, &[u8])> {
    let mut at = memchr::memchr2(b'"', b'\\', b)?;
    if b[at] == b'"' {
        return Some((Cow::Borrowed(std::str::from_utf8(&b[..at]).ok()?), &b[at + 1..]));
    }
    let mut out = Vec::with_capacity(at + 32);
    out.extend_from_slice(&b[..at]);
    loop {
        if b[at] == b'"' {
            return Some((Cow::Owned(String::from_utf8(out).ok()?), &b[at + 1..]));
        }
        let (c, used) = escape(&b[at + 1..])?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        let from = at + 1 + used;
        at = from + memchr::memchr2(b'"', b'\\', b.get(from..)?)?;
        out.extend_from_slice(&b[from..at]);
    }
}

/// The character that an escape behind its backslash stands for, and the bytes it takes there.
fn escape(b: &[u8]) -> Option<(char, usize)> {
    let simple = match b.first()? {
        b'n' => '\n',
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => return unicode(b),
        _ => return None,
    };
    Some((simple, 1))
}

fn unicode(b: &[u8]) -> Option<(char, usize)> {
    let hex = |from: usize| {
        let digits = b.get(from..from + 4).filter(|d| d.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let high = hex(1)?;
    if !(0xD800..0xDC00).contains(&high) {
        return Some((char::from_u32(high)?, 5));
    }
    let low = hex(7).filter(|l| b.get(5..7) == Some(b"\\u") && (0xDC00..0xE000).contains(l))?;
    Some((char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))?, 11))
}

/// Nanoseconds since 1970 of an RFC 3339 time with up to nine digits behind the second.
pub fn parse_time(t: &[u8]) -> Option<i64> {
    let (date, rest) = t.split_at_checked(19)?;
    let number = |r: std::ops::Range<usize>| -> Option<i64> {
        date[r].iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    };
    let marks = [date[4], date[7], date[10], date[13], date[16]];
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let ranges = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if marks != *b"--T::" || !ranges {
        return None;
    }
    let (fraction_ns, zone) = fraction(rest)?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - zone_seconds(zone)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction_ns)
}

fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let len = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if len == 0 || len > 9 {
        return None;
    }
    let value = digits[..len].iter().fold(0, |n, b| n * 10 + i64::from(b - b'0'));
    Some((value * 10_i64.pow(9 - len as u32), &digits[len..]))
}

fn zone_seconds(zone: &[u8]) -> Option<i64> {
    if zone == b"Z" {
        return Some(0);
    }
    let [sign, a, b, b':', c, d] = *zone else { return None };
    let digits = [a, b, c, d];
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let [a, b, c, d] = digits.map(|x| i64::from(x - b'0'));
    let seconds = (a * 10 + b) * 3600 + (c * 10 + d) * 60;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// Days since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let year_of_era = y.rem_euclid(400);
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Writes a time as the Engine's `since` takes it: seconds and nanoseconds.
pub fn since(time_ns: i64) -> String {
    format!("{}.{:09}", time_ns.div_euclid(1_000_000_000), time_ns.rem_euclid(1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIME: &str = "2026-11-27T02:28:48.937111272Z";
    const NS: i64 = 1_795_746_528_937_111_272;

    #[test]
    fn lines_as_docker_writes_them() {
        let e = parse(br#"{"log":"line 1\n","stream":"stdout","time":"2026-11-27T02:28:48.937111272Z"}"#).unwrap();
        assert_eq!((e.text.as_ref(), e.whole, e.pipe, e.time_ns), ("line 1", true, Pipe::Stdout, NS));
        let e = parse(br#"{"log":"a\u003c\u00e9\ud83d\ude00\"\\\t","stream":"stderr","attrs":{"x":"y"},"time":"2026-11-27T02:28:48Z"}"#)
            .unwrap();
        assert_eq!((e.text.as_ref(), e.whole, e.pipe), ("a<é😀\"\\\t", false, Pipe::Stderr));
        assert_eq!(e.attrs, [("x".to_owned(), "y".to_owned())]);
        let e = parse(br#"{"log":"tty\r\n","stream":"stdout","time":"2026-11-27T03:28:48.9+01:00"}"#).unwrap();
        assert_eq!((e.text.as_ref(), e.time_ns), ("tty", NS / 1_000_000_000 * 1_000_000_000 + 900_000_000));
    }

    #[test]
    fn what_is_not_a_line_is_none() {
        for bad in [
            "",
            "{",
            r#"{"log":"x"#,
            r#"{"log":"x\n","stream":"stdin","time":"2026-11-27T02:28:48Z"}"#,
            r#"{"log":"x\n","stream":"stdout","time":"yesterday"}"#,
            r#"{"log":"\ud83d\n","stream":"stdout","time":"2026-11-27T02:28:48Z"}"#,
            "\0\0\0",
        ] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(parse_time(b"1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_time(b"2024-02-29T00:00:00.5Z"), Some(1_709_164_800_500_000_000));
        assert_eq!(parse_time(b"1969-12-31T23:59:59.999999999Z"), Some(-1));
        for bad in [
            "2024-02-29T00:00:00",
            "2024-13-01T00:00:00Z",
            "2024-02-29T00:00:00.Z",
            "2024-02-29T00:00:00.1234567890Z",
            "9999-12-31T00:00:00Z",
        ] {
            assert_eq!(parse_time(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!((since(NS).as_str(), since(-1).as_str()), ("1795746528.937111272", "-1.999999999"));
    }

    proptest! {
        #[test]
        fn the_fast_form_reads_what_serde_writes(text in any::<String>(), ns in 0..4_000_000_000_000_000_000_i64, escaped: bool, out: bool) {
            let mut log = serde_json::to_string(&text).unwrap();
            if escaped {
                // As encoders do that keep to ASCII.
                log = log.chars().flat_map(|c| match c.is_ascii() {
                    true => vec![c],
                    false => c.encode_utf16(&mut [0; 2]).iter().flat_map(|u| format!("\\u{u:04x}").chars().collect::<Vec<_>>()).collect(),
                }).collect();
            }
            let second = base::units::format_rfc3339(ns);
            let time = format!("{}.{:09}Z", second.trim_end_matches('Z'), ns % 1_000_000_000);
            let stream = if out { "stdout" } else { "stderr" };
            let line = format!(r#"{{"log":{log},"stream":"{stream}","time":"{time}"}}"#);
            let fast = fast(line.as_bytes());
            prop_assert_eq!(&fast, &slow(line.as_bytes()));
            prop_assert_eq!(fast.unwrap().time_ns, ns);
        }

        #[test]
        fn no_bytes_make_it_panic(line in "(\\{\"log\":\"|\\\\u[0-9a-f]{0,4}|\\\\.|\",\"stream\":\"stdout\"|,\"time\":\"2026-11-27T0\\PC|\"\\})*") {
            parse(line.as_bytes());
            parse_time(line.as_bytes());
        }
    }

    #[test]
    fn the_time_of_the_tests_is_what_it_says() {
        assert_eq!(parse_time(TIME.as_bytes()), Some(NS));
    }
}
