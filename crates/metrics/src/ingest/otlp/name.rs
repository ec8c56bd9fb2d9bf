//! Names of metrics and labels, as Prometheus makes them of OTLP's: invalid characters replaced, the unit and `_total` appended
//! where they are not there already.

use std::borrow::Cow;

use super::options::Strategy;

/// What the suffixes of a name depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A sum that never falls: `_total`.
    Counter,
    /// `_ratio` for the unit `1`.
    Gauge,
    /// Anything else.
    Other,
}

/// Units of UCUM by the words that Prometheus' names have.
const UNITS: [(&str, &str); 26] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];
/// And after a slash.
const PER_UNITS: [(&str, &str); 7] =
    [("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

fn word<'a>(table: &[(&str, &'static str)], unit: &'a str) -> &'a str {
    table.iter().find(|(u, _)| *u == unit).map_or(unit, |(_, w)| w)
}

/// The two parts of a unit as words: `By/s` is bytes, second. A part in braces is a remark and no unit.
fn unit_words(unit: &str) -> (&str, &str) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let part = |p: &str| !p.is_empty() && !p.contains(['{', '}']);
    let (main, per) = (main.trim(), per.trim());
    (if part(main) { word(&UNITS, main) } else { "" }, if part(per) { word(&PER_UNITS, per) } else { "" })
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// The words between characters that a name cannot have; `_` is between words, too.
fn words(text: &str) -> Vec<&str> {
    text.split(|c| !is_plain(c)).filter(|w| !w.is_empty()).collect()
}

/// The name of a metric.
pub fn metric(name: &str, unit: &str, shape: Shape, strategy: Strategy) -> String {
    match (strategy.escapes(), strategy.suffixes()) {
        (false, false) => name.to_owned(),
        (false, true) => with_suffixes(name, unit, shape),
        (true, suffixes) => {
            let mut tokens = words(name);
            let (main, per) = unit_words(unit);
            let (main, per) = (words(main).join("_"), words(per).join("_"));
            if suffixes {
                let has = |tokens: &[&str], w: &str| w.is_empty() || tokens.contains(&w);
                let (has_main, has_per) = (has(&tokens, &main), has(&tokens, &per));
                if !has_main {
                    tokens.push(&main);
                }
                if !has_per {
                    tokens.extend(["per", &per]);
                }
                if let Some(last) = closing(unit, shape) {
                    tokens.retain(|t| *t != last);
                    tokens.push(last);
                }
            }
            let joined = tokens.join("_");
            if joined.starts_with(|c: char| c.is_ascii_digit()) { format!("_{joined}") } else { joined }
        }
    }
}

/// The last word of a name.
fn closing(unit: &str, shape: Shape) -> Option<&'static str> {
    match shape {
        Shape::Counter => Some("total"),
        Shape::Gauge if unit == "1" => Some("ratio"),
        _ => None,
    }
}

fn with_suffixes(name: &str, unit: &str, shape: Shape) -> String {
    let (main, per) = unit_words(unit);
    let per = if per.is_empty() { String::new() } else { format!("per_{per}") };
    let mut out = name.to_owned();
    for suffix in [main, &per, closing(unit, shape).unwrap_or("")] {
        if suffix.is_empty() {
            continue;
        }
        // What is there already is moved to the end.
        if let Some(stem) = out.strip_suffix(suffix) {
            out.truncate(stem.trim_end_matches('_').len());
        }
        out = if out.is_empty() { suffix.to_owned() } else { format!("{out}_{suffix}") };
    }
    out
}

/// The name of a label.
pub fn label(name: &str, strategy: Strategy) -> Cow<'_, str> {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic()) || name.starts_with("__");
    if !strategy.escapes() || (starts_well && name.chars().all(ok)) {
        return Cow::Borrowed(name);
    }
    let clean: String = name.chars().map(|c| if ok(c) { c } else { '_' }).collect();
    Cow::Owned(if clean.starts_with(|c: char| c.is_ascii_digit()) {
        format!("key_{clean}")
    } else if clean.starts_with('_') && !clean.starts_with("__") {
        format!("key{clean}")
    } else {
        clean
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics() {
        use Shape::{Counter, Gauge, Other};
        use Strategy as S;
        let with = S::UnderscoreEscapingWithSuffixes;
        for (name, unit, shape, strategy, want) in [
            ("http.server.duration", "s", Other, with, "http_server_duration_seconds"),
            ("requests", "1", Counter, with, "requests_total"),
            ("requests_total", "{request}", Counter, with, "requests_total"),
            ("total.requests", "", Counter, with, "requests_total"),
            ("usage", "1", Gauge, with, "usage_ratio"),
            ("io", "By/s", Gauge, with, "io_bytes_per_second"),
            ("time_seconds", "s", Gauge, with, "time_seconds"),
            ("x", "a@b/c#d", Gauge, with, "x_a_b_per_c_d"),
            ("1st", "", Gauge, with, "_1st"),
            ("a..b--c", "ms", Other, S::UnderscoreEscapingWithoutSuffixes, "a_b_c"),
            ("a.b", "ms", Counter, S::NoTranslation, "a.b"),
            ("a.b", "ms", Counter, S::NoUtf8EscapingWithSuffixes, "a.b_milliseconds_total"),
            ("a.b_total", "ms", Counter, S::NoUtf8EscapingWithSuffixes, "a.b_total_milliseconds_total"),
            ("é", "1/s", Gauge, S::NoUtf8EscapingWithSuffixes, "é_per_second"),
        ] {
            assert_eq!(metric(name, unit, shape, strategy), want, "{name} {unit}");
        }
    }

    #[test]
    fn labels() {
        let s = Strategy::UnderscoreEscapingWithSuffixes;
        for (name, want) in [("a.b", "a_b"), ("1a", "key_1a"), ("_a", "key_a"), (".a", "key_a"), ("__a", "__a"), ("ok_1", "ok_1")] {
            assert_eq!(label(name, s), want);
        }
        assert_eq!(label("a.b", Strategy::NoTranslation), "a.b");
    }
}
