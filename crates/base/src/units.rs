//! Durations and sizes with units, as settings, flags and the query languages write them.

use crate::{Error, Result};

/// Nanoseconds in a second.
pub const SECOND_NS: i64 = 1_000_000_000;

/// Parses `1h30m`, `5m`, `100ms`, `30d` into nanoseconds. Units: ns, us (µs), ms, s, m, h, d, w, y (365 d).
pub fn parse_duration_ns(text: &str) -> Result<i64> {
    let err = || Error::invalid(format!("{text:?} is not a duration: write a number with a unit, for example 30s, 5m, 1h30m or 30d"));
    let mut rest = text.trim();
    let mut total: i128 = 0;
    if rest.is_empty() {
        return Err(err());
    }
    while !rest.is_empty() {
        let n_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(err)?;
        let number: f64 = rest[..n_end].parse().map_err(|_| err())?;
        rest = &rest[n_end..];
        let u_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit: i64 = match &rest[..u_end] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND_NS,
            "m" => 60 * SECOND_NS,
            "h" => 3_600 * SECOND_NS,
            "d" => 86_400 * SECOND_NS,
            "w" => 7 * 86_400 * SECOND_NS,
            "y" => 365 * 86_400 * SECOND_NS,
            _ => return Err(err()),
        };
        total += if number.fract() == 0.0 { number as i128 * unit as i128 } else { (number * unit as f64) as i128 };
        rest = &rest[u_end..];
    }
    i64::try_from(total).map_err(|_| err())
}

/// Prints the shortest form that parses back: `90s` is `1m30s`.
pub fn format_duration_ns(ns: i64) -> String {
    if ns == 0 {
        return "0s".into();
    }
    let mut out = String::new();
    let mut rest = ns.unsigned_abs();
    if ns < 0 {
        out.push('-');
    }
    for (name, unit) in [
        ("d", 86_400_000_000_000u64),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ] {
        if rest >= unit {
            out.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    out
}

/// Prints nanoseconds since 1970 as UTC in RFC 3339, whole seconds: `2026-11-21T23:32:55Z`.
pub fn format_rfc3339(ns: i64) -> String {
    let seconds = ns.div_euclid(SECOND_NS);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days are counted from 0000-03-01, so that the leap day is the last of its year (Hinnant, "chrono-compatible
    // low-level date algorithms").
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

/// Parses `10MB`, `64MiB`, `512KB`, `1.5GiB`, `100B` into bytes. KB, MB, GB are powers of 1000; KiB, MiB, GiB of 1024.
pub fn parse_size(text: &str) -> Result<u64> {
    let t = text.trim();
    let err = || Error::invalid(format!("{text:?} is not a size: write a number with a unit, for example 100B, 64MiB or 10MB"));
    let n_end = t.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(err)?;
    let number: f64 = t[..n_end].parse().map_err(|_| err())?;
    let unit: f64 = match t[n_end..].trim().to_ascii_lowercase().as_str() {
        "b" => 1.0,
        "kb" | "k" => 1e3,
        "mb" | "m" => 1e6,
        "gb" | "g" => 1e9,
        "tb" | "t" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        "tib" => 1024.0f64.powi(4),
        _ => return Err(err()),
    };
    let bytes = number * unit;
    if !(0.0..=1e18).contains(&bytes) {
        return Err(err());
    }
    Ok(bytes as u64)
}

/// Prints a size with the largest binary unit that keeps it exact, or one decimal.
pub fn format_size(bytes: u64) -> String {
    for (name, unit) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= unit {
            return if bytes.is_multiple_of(unit) {
                format!("{}{name}", bytes / unit)
            } else {
                format!("{:.1}{name}", bytes as f64 / unit as f64)
            };
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip() {
        for (t, ns) in
            [("1h30m", 5_400 * SECOND_NS), ("100ms", 100_000_000), ("30d", 30 * 86_400 * SECOND_NS), ("0s", 0), ("1.5s", 1_500_000_000)]
        {
            assert_eq!(parse_duration_ns(t).unwrap(), ns);
            assert_eq!(parse_duration_ns(&format_duration_ns(ns)).unwrap(), ns);
        }
        for bad in ["", "5", "5x", "m", "-5m"] {
            assert!(parse_duration_ns(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn instants() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(format_rfc3339(seconds * SECOND_NS), text);
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("10MB").unwrap(), 10_000_000);
        assert_eq!(parse_size("64 MiB").unwrap(), 64 << 20);
        assert_eq!(parse_size("1.5KiB").unwrap(), 1536);
        for bad in ["", "5", "MB", "5XB", "1e9"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
