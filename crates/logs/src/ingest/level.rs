//! The level of an entry, as Loki derives `detected_level`: from a label, from structured metadata, from an OTLP
//! severity number, from a field of a JSON or logfmt line, from a word of the line.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use aho_corasick::{Span, packed};
use memchr::{memchr, memchr2};

use super::limits::LEVEL_JSON_DEPTH;

/// The level when nothing says one.
pub const UNKNOWN: &str = "unknown";
/// The name under which a client may give the level itself.
pub const DETECTED_LEVEL: &str = "detected_level";
/// Structured metadata of OTLP records that ranks below the names and above the line.
pub const SEVERITY_NUMBER: &str = "severity_number";

/// Labels, metadata and fields that hold a level; earlier ones win.
const NAMES: [&str; 14] = [
    "level",
    "LEVEL",
    "Level",
    "log.level",
    "severity",
    "SEVERITY",
    "Severity",
    "SeverityText",
    "lvl",
    "LVL",
    "Lvl",
    "severity_text",
    "Severity_Text",
    "SEVERITY_TEXT",
];

/// How good a source of the level `name` is: less is better; `None` if it is none.
fn rank(name: &str) -> Option<usize> {
    match name.as_bytes() {
        [b'l' | b'L' | b's' | b'S', ..] if (3..=13).contains(&name.len()) => NAMES.iter().position(|n| *n == name),
        _ => None,
    }
}

/// The usual spelling of a level, if it is one.
fn known(level: &[u8]) -> Option<&'static str> {
    let is = |names: &[&str]| names.iter().any(|n| level.eq_ignore_ascii_case(n.as_bytes()));
    Some(match level.first()?.to_ascii_lowercase() {
        b't' if is(&["trace", "trc"]) => "trace",
        b'd' if is(&["debug", "dbg"]) => "debug",
        b'i' if is(&["info", "inf", "information"]) => "info",
        b'w' if is(&["warn", "wrn", "warning"]) => "warn",
        b'e' if is(&["error", "err"]) => "error",
        b'c' if is(&["critical"]) => "critical",
        b'f' if is(&["fatal"]) => "fatal",
        _ => return None,
    })
}

/// A level that is said outright, in the usual spelling if there is one.
fn normal(level: &str) -> String {
    known(level.as_bytes()).map_or_else(|| level.to_owned(), str::to_owned)
}

/// What labels and metadata say about the level. Give it each pair; the best counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hint {
    given: Option<String>,
    best: Option<(usize, String)>,
    severity_number: Option<String>,
}

impl Hint {
    /// Looks at a pair. True if it gives `detected_level` itself: that is a column, and not kept as metadata.
    pub fn see(&mut self, name: &str, value: &str) -> bool {
        if name == DETECTED_LEVEL {
            self.given = Some(normal(value));
            return true;
        }
        if name == SEVERITY_NUMBER {
            self.severity_number = Some(value.to_owned());
        } else if let Some(rank) = rank(name)
            && self.best.as_ref().is_none_or(|(b, _)| rank < *b)
        {
            self.best = Some((rank, normal(value)));
        }
        false
    }
    /// Takes over what `other` knows better. (A record before its resource and scope.)
    pub fn merge(&mut self, other: &Hint) {
        if self.given.is_none() {
            self.given.clone_from(&other.given);
        }
        if let Some((rank, _)) = &other.best
            && self.best.as_ref().is_none_or(|(b, _)| rank < b)
        {
            self.best.clone_from(&other.best);
        }
        if self.severity_number.is_none() {
            self.severity_number.clone_from(&other.severity_number);
        }
    }
    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Hint::default();
    }
}

/// The level of an entry.
pub fn of_entry<'a>(stream: &'a Hint, entry: &'a Hint, line: &[u8]) -> Cow<'a, str> {
    let said = entry.given.as_ref().or(stream.best.as_ref().map(|b| &b.1)).or(entry.best.as_ref().map(|b| &b.1));
    if let Some(level) = said.filter(|l| !l.is_empty()) {
        return Cow::Borrowed(level);
    }
    if let Some(n) = &entry.severity_number {
        return Cow::Borrowed(severity(n));
    }
    Cow::Borrowed(detect(line))
}

/// OpenTelemetry's severity numbers: four to a level.
fn severity(number: &str) -> &'static str {
    match number.parse::<i64>() {
        Err(_) => "info",
        Ok(1..=4) => "trace",
        Ok(5..=8) => "debug",
        Ok(9..=12) => "info",
        Ok(13..=16) => "warn",
        Ok(17..=20) => "error",
        Ok(21..=24) => "fatal",
        Ok(_) => UNKNOWN,
    }
}

/// The level that a line tells by itself; `unknown` if it tells none.
pub fn detect(line: &[u8]) -> &'static str {
    let trimmed = line.trim_ascii();
    let field = if trimmed.starts_with(b"{") && trimmed.ends_with(b"}") {
        json_field(trimmed)
    } else {
        memchr(b'=', line).and_then(|_| logfmt_field(line))
    };
    field.and_then(known).or_else(|| word(line)).unwrap_or(UNKNOWN)
}

/// The first text, in the order of the line, that a level's name holds in a JSON object or an object in it. Lists are
/// passed over. The text is not unescaped: no level has an escape.
fn json_field(line: &[u8]) -> Option<&[u8]> {
    let (mut i, mut depth, mut skipping) = (0, 0u32, 0u32);
    while i < line.len() {
        match line[i] {
            b'{' if skipping == 0 && depth < LEVEL_JSON_DEPTH => depth += 1,
            b'{' | b'[' => skipping += 1,
            b'}' | b']' if skipping > 0 => skipping -= 1,
            b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                let (key, after) = json_text(line, i)?;
                i = after;
                let colon = skip_space(line, after);
                if line.get(colon) != Some(&b':') {
                    continue;
                }
                let value = skip_space(line, colon + 1);
                i = value;
                if line.get(value) == Some(&b'"') {
                    let (text, after) = json_text(line, value)?;
                    i = after;
                    if skipping == 0 && std::str::from_utf8(key).is_ok_and(|k| rank(k).is_some()) {
                        return Some(text);
                    }
                }
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    None
}

/// The inside of the text whose quote is at `start`, and the place after it.
fn json_text(line: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let mut i = start + 1;
    loop {
        i += memchr2(b'"', b'\\', line.get(i..)?)?;
        if line[i] == b'"' {
            return Some((&line[start + 1..i], i + 1));
        }
        i += 2;
    }
}

fn skip_space(line: &[u8], mut i: usize) -> usize {
    while line.get(i).is_some_and(u8::is_ascii_whitespace) {
        i += 1;
    }
    i
}

/// The value of the best name of a level among `name=value` pairs; names in any case. Quoted values are stepped over.
fn logfmt_field(line: &[u8]) -> Option<&[u8]> {
    let mut best: Option<(usize, &[u8])> = None;
    // Where a name may begin, and where the next sign is looked for.
    let (mut from, mut i) = (0, 0);
    while let Some(eq) = memchr(b'=', &line[i..]).map(|e| e + i) {
        i = eq + 1;
        let quoted = line.get(i) == Some(&b'"');
        let rank = may_end_a_level_name(&line[from..eq]).then(|| {
            // A sign in an unquoted value is no name's: the name of that value is in front of it.
            let start = line[from..eq].iter().rposition(|b| *b <= b' ').map_or(from, |p| from + p + 1);
            logfmt_rank(&line[start..eq])
        });
        let value = if quoted {
            let (value, after) = json_text(line, i).unwrap_or((&line[i + 1..], line.len()));
            (from, i) = (after, after);
            value
        } else {
            &line[i..]
        };
        if let Some(rank) = rank.flatten()
            && best.is_none_or(|(b, _)| rank < b)
        {
            let end = if quoted { None } else { value.iter().position(|b| *b <= b' ') };
            best = Some((rank, &value[..end.unwrap_or(value.len())]));
            if rank == 0 {
                break;
            }
        }
    }
    best.map(|(_, v)| v)
}

/// Whether the last byte is that of a name in [`NAMES`]: few names have to be looked at closer.
fn may_end_a_level_name(text: &[u8]) -> bool {
    text.last().is_some_and(|b| matches!(b | 0x20, b'l' | b'y' | b't'))
}

fn logfmt_rank(name: &[u8]) -> Option<usize> {
    match name.first()? {
        b'l' | b'L' | b's' | b'S' if (3..=13).contains(&name.len()) => NAMES.iter().position(|n| name.eq_ignore_ascii_case(n.as_bytes())),
        _ => None,
    }
}

/// Words that tell a level; the rarer level is in front of the more common one.
const WORDS: [(&[u8], &str); 9] = [
    (b"trace", "trace"),
    (b"debug", "debug"),
    (b"fatal", "fatal"),
    (b"critical", "critical"),
    (b"error", "error"),
    (b"err", "error"),
    (b"warning", "warn"),
    (b"warn", "warn"),
    (b"info", "info"),
];

/// Finds the first three letters of each of [`WORDS`] in any case, 16 bytes of a line at a time. `None` on processors that
/// cannot.
static BEGINNINGS: LazyLock<Option<packed::Searcher>> = LazyLock::new(|| {
    let variants = |word: &'static [u8]| {
        let first = word.first_chunk::<3>().copied().unwrap_or_default();
        (0..8).map(move |upper| [0, 1, 2].map(|i| if upper >> i & 1 == 1 { first[i].to_ascii_uppercase() } else { first[i] }))
    };
    let all: BTreeSet<[u8; 3]> = WORDS.iter().flat_map(|(word, _)| variants(word)).collect();
    packed::Searcher::new(all)
});

/// The level whose word stands by itself in the line, in any case; the rarer level wins over the more common one.
fn word(line: &[u8]) -> Option<&'static str> {
    let Some(beginnings) = &*BEGINNINGS else { return word_by_word(line) };
    let mut best = WORDS.len();
    let mut at = 0;
    while let Some(found) = beginnings.find_in(line, Span { start: at, end: line.len() }) {
        let start = found.start();
        at = start + 3;
        if start == 0 || !is_word(line[start - 1]) {
            let end = line[at..].iter().position(|b| !is_word(*b)).map_or(line.len(), |n| at + n);
            best = better(best, &line[start..end]);
            at = end;
        }
    }
    WORDS.get(best).map(|(_, level)| *level)
}

/// The same, looking at each byte.
fn word_by_word(line: &[u8]) -> Option<&'static str> {
    let best = line.split(|b| !is_word(*b)).fold(WORDS.len(), better);
    WORDS.get(best).map(|(_, level)| *level)
}

/// The place in [`WORDS`] of `word`, if that is before `best`.
fn better(best: usize, word: &[u8]) -> usize {
    WORDS[..best].iter().position(|(w, _)| word.eq_ignore_ascii_case(w)).unwrap_or(best)
}

/// Whether words are made of this byte.
fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_their_level() {
        for (line, want) in [
            ("", "unknown"),
            ("nothing to see", "unknown"),
            ("2026 INFO started", "info"),
            ("information overload", "unknown"),
            ("[Error] failed, info follows", "error"),
            ("terror", "unknown"),
            ("an error_code", "unknown"),
            ("err: x", "error"),
            ("WARNING! disk", "warn"),
            ("에러 error 발생", "error"),
            ("trace of info", "trace"),
            ("ts=1 level=warn msg=\"level=error\"", "warn"),
            ("msg=\"level=error\" lvl=dbg", "debug"),
            ("severity=info LEVEL=Fatal", "fatal"),
            ("msg=\"a \\\" level=info\" x=1 error", "error"),
            ("level=", "unknown"),
            ("a=b critical", "critical"),
            (r#"{"level":"WRN","msg":"x"}"#, "warn"),
            (r#" {"msg":"level: info","log":{"severity" : "crit"},"level":"debug"} "#, "debug"),
            (r#"{"a":{"b":{"level":"error"}},"lvl":"inf"}"#, "info"),
            (r#"{"a":[{"level":"error"}],"msg":"debug \"level\":\"fatal\""}"#, "debug"),
            (r#"{"level":30,"msg":"hello"}"#, "unknown"),
            (r#"{"level":"#, "unknown"),
            (r#"{"level":"error}"#, "error"),
            (r#"{"level"}"#, "unknown"),
            ("=", "unknown"),
            ("level=\"", "unknown"),
            ("url=/?level=wrn x", "unknown"),
            ("a=level=wrn x", "unknown"),
            ("q=\"x\"level=warn", "warn"),
            ("level=dbg=2 info", "info"),
            ("LOG.LEVEL=wrn", "warn"),
            ("a line that is longer than a vector of bytes, with eRRor in it", "error"),
        ] {
            assert_eq!(detect(line.as_bytes()), want, "{line}");
        }
    }

    #[test]
    fn labels_beat_metadata_and_metadata_beats_the_line() {
        let hint = |pairs: &[(&str, &str)]| {
            let mut h = Hint::default();
            pairs.iter().for_each(|(n, v)| _ = h.see(n, v));
            h
        };
        let none = Hint::default();
        let level = |s: &Hint, e: &Hint| of_entry(s, e, b"level=error").into_owned();
        assert_eq!(level(&none, &none), "error");
        assert_eq!(level(&none, &hint(&[("severity_number", "9")])), "info");
        assert_eq!(level(&none, &hint(&[("severity_number", "99")])), "unknown");
        assert_eq!(level(&none, &hint(&[("severity_number", "9"), ("severity_text", "Warning")])), "warn");
        assert_eq!(level(&hint(&[("lvl", "dbg")]), &hint(&[("level", "info")])), "debug");
        assert_eq!(level(&hint(&[("lvl", "dbg")]), &hint(&[("detected_level", "TRC")])), "trace");
        assert_eq!(level(&none, &hint(&[("lvl", "x"), ("level", "Notice")])), "Notice");
        let mut e = hint(&[("severity_text", "a")]);
        e.merge(&hint(&[("level", "b"), ("severity_number", "1")]));
        assert_eq!(level(&none, &e), "b");
    }

    proptest::proptest! {
        #[test]
        fn words_are_found_wherever_they_stand(line in r"([ :_=a-z한]{0,40}(trace|DEBUG|Fatal|critical|eRRor|err|WARNING|warn|info|inf|transit)){0,4}[ :_s]{0,3}") {
            proptest::prop_assert_eq!(word(line.as_bytes()), word_by_word(line.as_bytes()), "{}", line);
        }

        #[test]
        fn any_line_is_answered(line in r#"[{}\[\]":,=\\ a한]{0,20}(level|lvl|"level"|"severity":|=")?[{}\[\]":,=\\ aerror]{0,30}"#) {
            detect(line.as_bytes());
        }
    }
}
