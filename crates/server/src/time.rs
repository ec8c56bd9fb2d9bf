//! Times and durations as the query APIs write them.

use base::units::SECOND_NS;
use base::{Error, Result};

/// Loki's times: a whole number of nanoseconds (of seconds, when it has ten digits or fewer), seconds with a
/// fraction, or RFC 3339.
pub fn loki_ns(name: &str, text: &str) -> Result<i64> {
    if text.contains('.')
        && let Some(s) = lang::number::parse(text)
    {
        return seconds_ns(s).ok_or_else(|| bad(name, text));
    }
    if let Ok(n) = text.parse::<i64>() {
        return if text.len() <= 10 { n.checked_mul(SECOND_NS).ok_or_else(|| bad(name, text)) } else { Ok(n) };
    }
    rfc3339_ns(text).ok_or_else(|| bad(name, text))
}

/// Prometheus' times: seconds, with a fraction or not, or RFC 3339; in milliseconds.
pub fn prometheus_ms(name: &str, text: &str) -> Result<i64> {
    match text {
        NO_START => return Ok(-MOST_MS),
        NO_END => return Ok(MOST_MS),
        _ => {}
    }
    let s = if let Some(s) = decimal(text) { s } else { rfc3339_ns(text).ok_or_else(|| bad(name, text))? as f64 / 1e9 };
    let ms = (s * 1e3).round();
    if ms.is_finite() && ms.abs() < 9.2e18 { Ok(ms as i64) } else { Err(bad(name, text)) }
}

/// A step or duration: seconds, with a fraction or not, or `5m`; in nanoseconds.
pub fn duration_ns(name: &str, text: &str) -> Result<i64> {
    let err = || {
        Error::invalid(format!("parameter {name:?}: {text:?} is not a duration: write seconds, or a number with a unit as in 30s or 5m"))
    };
    match decimal(text) {
        Some(s) => seconds_ns(s).ok_or_else(err),
        None => lang::duration::parse_prom(text).or_else(|| lang::duration::parse_go(text)).ok_or_else(err),
    }
}

fn bad(name: &str, text: &str) -> Error {
    Error::invalid(format!("parameter {name:?}: {text:?} is not a time: write seconds since 1970 or RFC 3339 as in 2026-01-02T15:04:05Z"))
}

fn decimal(text: &str) -> Option<f64> {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E')).then(|| text.parse().ok())?
}

fn seconds_ns(s: f64) -> Option<i64> {
    let ns = (s * 1e9).round();
    (ns.is_finite() && ns.abs() < 9.2e18).then(|| {
        // Whole seconds and the rest apart, so that a time of today keeps its microseconds.
        let whole = s.trunc();
        whole as i64 * SECOND_NS + ((s - whole) * 1e9).round() as i64
    })
}

/// How clients in Go write that there is no first time: the smallest that Prometheus knows.
const NO_START: &str = "-292273086-05-16T16:47:06Z";
/// And no last one, which is the largest.
const NO_END: &str = "292277025-08-18T07:12:54.999999999Z";

/// Milliseconds that stand for no bound: further than any sample, and queries still calculate with it.
const MOST_MS: i64 = 1 << 60;

/// RFC 3339 in nanoseconds since 1970. The two times for "no bound" are the first and the last that there are here.
pub fn rfc3339_ns(text: &str) -> Option<i64> {
    match text {
        NO_START => return Some(i64::MIN),
        NO_END => return Some(i64::MAX),
        _ => {}
    }
    let b = text.as_bytes();
    let digits = |from: usize, to: usize| -> Option<i64> {
        let d = b.get(from..to)?;
        d.iter().try_fold(0i64, |n, c| c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0')))
    };
    let at = |i: usize, want: &[u8]| b.get(i).is_some_and(|c| want.contains(c));
    if !(at(4, b"-") && at(7, b"-") && at(10, b"Tt ") && at(13, b":") && at(16, b":")) {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut i = 19;
    let mut fraction = 0i64;
    if at(i, b".") {
        let end = (i + 1..b.len()).find(|&j| !b[j].is_ascii_digit()).unwrap_or(b.len());
        for j in 0..9 {
            fraction = fraction * 10 + if i + 1 + j < end { i64::from(b[i + 1 + j] - b'0') } else { 0 };
        }
        i = end;
    }
    let offset = match b.get(i)? {
        b'Z' | b'z' if b.len() == i + 1 => 0,
        sign @ (b'+' | b'-') if b.len() == i + 6 && at(i + 3, b":") => {
            let s = digits(i + 1, i + 3)? * 3600 + digits(i + 4, i + 6)? * 60;
            if *sign == b'-' { -s } else { s }
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    seconds.checked_mul(SECOND_NS)?.checked_add(fraction)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; years begin in March, so the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_query_apis() {
        assert_eq!(loki_ns("t", "4000000000").unwrap(), 4_000_000_000 * SECOND_NS);
        assert_eq!(loki_ns("t", "1700000000000000001").unwrap(), 1_700_000_000_000_000_001);
        assert_eq!(loki_ns("t", "1700000000.5").unwrap(), 1_700_000_000_500_000_000);
        assert_eq!(loki_ns("t", "2023-11-14T22:13:20Z").unwrap(), 1_700_000_000 * SECOND_NS);
        assert_eq!(prometheus_ms("t", "1700000000.123").unwrap(), 1_700_000_000_123);
        assert_eq!(prometheus_ms("t", "2023-11-14T23:13:20.25+01:00").unwrap(), 1_700_000_000_250);
        assert_eq!(duration_ns("step", "15").unwrap(), 15 * SECOND_NS);
        assert_eq!(duration_ns("step", "0.5").unwrap(), SECOND_NS / 2);
        assert_eq!(duration_ns("step", "1h30m").unwrap(), 5_400 * SECOND_NS);
        for bad in ["", "x", "2023-11-14", "2023-13-14T22:13:20Z", "2023-11-14T22:13:20", "1e400", "NaN"] {
            assert!(loki_ns("t", bad).is_err() || bad == "1e400", "{bad}");
            assert!(prometheus_ms("t", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_bound_as_go_writes_it() {
        for (text, ns) in [("-292273086-05-16T16:47:06Z", i64::MIN), ("292277025-08-18T07:12:54.999999999Z", i64::MAX)] {
            assert_eq!(loki_ns("t", text).unwrap(), ns);
            assert_eq!(prometheus_ms("t", text).unwrap(), if ns < 0 { -MOST_MS } else { MOST_MS });
        }
        assert!(prometheus_ms("t", "-292273086-05-16T16:47:07Z").is_err());
    }

    #[test]
    fn dates() {
        assert_eq!(rfc3339_ns("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(rfc3339_ns("2000-02-29T12:00:00.000000001Z"), Some(951_825_600 * SECOND_NS + 1));
        assert_eq!(rfc3339_ns("1969-12-31T23:59:59-00:00"), Some(-SECOND_NS));
    }
}
