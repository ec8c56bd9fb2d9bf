//! Names for readers who know none but words of ASCII: how the text format writes them, as the reader asks for it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What becomes of a name that is no plain word. The forms are Prometheus'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// It stays, in quotes.
    AllowUtf8,
    /// Each strange character becomes `_`.
    #[default]
    Underscores,
    /// A dot becomes `_dot_`, and an underscore or another strange character `__`.
    Dots,
    /// `U__`, an underscore twice, and strange characters as `_2e_`, their hexadecimal number.
    Values,
}

impl Escaping {
    /// What the header `Accept` asks for: of the parts that name a form, up to the first that asks for text, the last one.
    pub fn accepted(accept: &str) -> Self {
        let mut parts: Vec<(f64, &str)> = accept.split(',').map(|p| (quality(p), p)).collect();
        parts.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut chosen = Escaping::default();
        for (_, part) in parts {
            if let Some(known) = parameter(part, "escaping").and_then(Escaping::of) {
                chosen = known;
            }
            let is_text = part.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("text/plain"));
            if is_text && matches!(parameter(part, "version"), None | Some("0.0.4" | "1.0.0")) {
                break;
            }
        }
        chosen
    }

    fn of(name: &str) -> Option<Self> {
        [Escaping::AllowUtf8, Escaping::Underscores, Escaping::Dots, Escaping::Values].into_iter().find(|e| e.name() == name)
    }

    /// As headers name it.
    pub fn name(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        }
    }

    /// The name of a metric.
    pub fn metric(self, name: &str) -> Cow<'_, str> {
        self.escape(name, true)
    }

    /// The name of a label: a colon is strange in it.
    pub fn label(self, name: &str) -> Cow<'_, str> {
        self.escape(name, false)
    }

    fn escape(self, name: &str, takes_colon: bool) -> Cow<'_, str> {
        let plain = |i: usize, c: char| c.is_ascii_alphabetic() || c == '_' || c == ':' && takes_colon || c.is_ascii_digit() && i > 0;
        if self == Escaping::AllowUtf8 || name.char_indices().all(|(i, c)| plain(i, c)) {
            return name.into();
        }
        let mut out = String::from(if self == Escaping::Values { "U__" } else { "" });
        for (i, c) in name.char_indices() {
            match (self, c) {
                (Escaping::Dots, '.') => out.push_str("_dot_"),
                (Escaping::Dots | Escaping::Values, '_') => out.push_str("__"),
                _ if plain(i, c) => out.push(c),
                (Escaping::Dots, _) => out.push_str("__"),
                // Writing to a string does not fail.
                (Escaping::Values, _) => _ = write!(out, "_{:x}_", u32::from(c)),
                _ => out.push('_'),
            }
        }
        out.into()
    }
}

fn parameter<'a>(part: &'a str, name: &str) -> Option<&'a str> {
    let pairs = part.split(';').skip(1).filter_map(|p| p.split_once('='));
    pairs.map(|(n, v)| (n.trim(), v.trim().trim_matches('"'))).find(|(n, v)| n.eq_ignore_ascii_case(name) && !v.is_empty()).map(|p| p.1)
}

fn quality(part: &str) -> f64 {
    parameter(part, "q").and_then(|q| q.parse().ok()).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::Escaping::{self, AllowUtf8, Dots, Underscores, Values};

    #[test]
    fn names_as_prometheus_escapes_them() {
        for (name, underscores, dots, values) in [
            ("b_c:d", "b_c:d", "b_c:d", "b_c:d"),
            ("0abc", "_abc", "__abc", "U___30_abc"),
            ("a:b.c_d", "a:b_c_d", "a:b_dot_c__d", "U__a:b_2e_c__d"),
            ("é", "_", "__", "U___e9_"),
        ] {
            let all = [Underscores, Dots, Values, AllowUtf8].map(|e| e.metric(name).into_owned());
            assert_eq!(all, [underscores, dots, values, name], "{name}");
        }
        assert_eq!((Underscores.label("a:b"), Values.label("a:b")), ("a_b".into(), "U__a_3a_b".into()));
    }

    #[test]
    fn the_reader_says_what_it_understands() {
        for (accept, wanted) in [
            ("", Underscores),
            ("*/*", Underscores),
            ("text/plain;version=1.0.0", Underscores),
            ("text/plain;version=1.0.0;escaping=zzz", Underscores),
            ("text/plain; version=1.0.0; escaping=allow-utf-8", AllowUtf8),
            ("*/*;escaping=values", Values),
            ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5", AllowUtf8),
            ("application/openmetrics-text;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5;escaping=dots", Dots),
            ("application/openmetrics-text;escaping=allow-utf-8;q=0.2,text/plain;version=0.0.4;q=0.5", Underscores),
        ] {
            assert_eq!(Escaping::accepted(accept), wanted, "{accept}");
        }
    }
}
