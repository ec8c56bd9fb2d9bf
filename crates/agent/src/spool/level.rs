//! How much a line matters when not all can be kept.

use crate::deliver::Line;

/// What goes first when the spool is full, by level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// `trace`, `debug`.
    Debug,
    /// `info`, and lines that tell no level.
    #[default]
    Info,
    /// `warn`; metrics and spans.
    Warn,
    /// `error` and above.
    Error,
}

impl Priority {
    /// All, the least first.
    pub const ALL: [Priority; 4] = [Priority::Debug, Priority::Info, Priority::Warn, Priority::Error];

    /// The priority with this place in [`Priority::ALL`].
    pub fn from_code(code: u8) -> Option<Priority> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// Names of fields that hold a level.
const NAMES: [&str; 6] = ["detected_level", "level", "severity", "lvl", "severity_text", "log.level"];
/// A level is said at the beginning of a line: what comes later is text about something.
const LOOK_AT_BYTES: usize = 256;

/// The priority of a line: by its metadata, else by the first word of its beginning that is a level.
pub fn of_line(line: &Line) -> Priority {
    let said = line.metadata.iter().find(|(n, _)| NAMES.iter().any(|name| n.eq_ignore_ascii_case(name)));
    if let Some(p) = said.and_then(|(_, v)| of_word(v.as_bytes())) {
        return p;
    }
    let bytes = line.text.as_bytes();
    let begins = &bytes[..bytes.len().min(LOOK_AT_BYTES)];
    begins.split(|b| !b.is_ascii_alphabetic()).find_map(of_word).unwrap_or_default()
}

fn of_word(word: &[u8]) -> Option<Priority> {
    if !(3..=11).contains(&word.len()) {
        return None;
    }
    let is = |names: &[&str]| names.iter().any(|n| word.eq_ignore_ascii_case(n.as_bytes()));
    Some(match word[0].to_ascii_lowercase() {
        b't' if is(&["trace", "trc"]) => Priority::Debug,
        b'd' if is(&["debug", "dbg"]) => Priority::Debug,
        b'i' if is(&["info", "inf", "information"]) => Priority::Info,
        b'n' if is(&["notice"]) => Priority::Info,
        b'w' if is(&["warn", "wrn", "warning"]) => Priority::Warn,
        b'e' if is(&["error", "err", "emerg", "emergency"]) => Priority::Error,
        b'a' if is(&["alert"]) => Priority::Error,
        b'c' if is(&["critical", "crit"]) => Priority::Error,
        b'f' if is(&["fatal"]) => Priority::Error,
        b'p' if is(&["panic"]) => Priority::Error,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_found_where_people_write_it() {
        let of = |text: &str, metadata: &[(&str, &str)]| {
            let metadata = metadata.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
            of_line(&Line { time_ns: 0, text: text.into(), metadata })
        };
        assert_eq!(of("2026-01-01 DEBUG x", &[]), Priority::Debug);
        assert_eq!(of(r#"{"level":"error","msg":"info"}"#, &[]), Priority::Error);
        assert_eq!(of("ts=1 level=warn msg=x", &[]), Priority::Warn);
        assert_eq!(of("GET /debugging 200", &[]), Priority::Info);
        assert_eq!(of("debug", &[("Level", "ERROR")]), Priority::Error);
        assert_eq!(of(&format!("{} error", "x ".repeat(200)), &[]), Priority::Info);
    }
}
