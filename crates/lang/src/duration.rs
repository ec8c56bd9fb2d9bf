//! Durations in the two forms the languages know, in nanoseconds.
//!
//! The Prometheus form (`common/model`, `ParseDuration`): whole numbers, units `y w d h m s ms`, each at most once, in
//! that order; a year is 365 days. The Go form (`time.ParseDuration`): decimal numbers, units `h m s ms us µs ns`, any
//! order, a sign.

const MS: i128 = 1_000_000;
const S: i128 = 1_000 * MS;
const PROM: [(&str, i128); 7] =
    [("y", 365 * 86_400 * S), ("w", 7 * 86_400 * S), ("d", 86_400 * S), ("h", 3_600 * S), ("m", 60 * S), ("s", S), ("ms", MS)];
const GO: [(&str, i128); 8] =
    [("ns", 1), ("us", 1_000), ("µs", 1_000), ("μs", 1_000), ("ms", MS), ("s", S), ("m", 60 * S), ("h", 3_600 * S)];

fn number_and_unit(text: &str) -> Option<(&str, &str, &str)> {
    let n = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(n);
    let u = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    (n > 0 && u > 0).then(|| (number, &rest[..u], &rest[u..]))
}

/// Reads the Prometheus form; `0` needs no unit. Nanoseconds.
pub fn parse_prom(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut total, mut units) = (text, 0i128, PROM.iter());
    while !rest.is_empty() || total == 0 && std::ptr::eq(rest, text) {
        let (number, unit, more) = number_and_unit(rest)?;
        let scale = units.find(|(name, _)| *name == unit)?.1;
        total = total.checked_add(i128::from(number.parse::<u64>().ok()?).checked_mul(scale)?)?;
        rest = more;
    }
    i64::try_from(total).ok()
}

/// Prints the Prometheus form as Prometheus does: largest units first, years and weeks only when they are exact.
pub fn format_prom(ns: i64) -> String {
    let mut rest = i128::from(ns.unsigned_abs()) / MS * MS;
    if rest == 0 {
        return "0s".into();
    }
    let mut out = String::from(if ns < 0 { "-" } else { "" });
    for (name, unit) in PROM {
        let exact_only = matches!(name, "y" | "w");
        if rest >= unit && (!exact_only || rest % unit == 0) {
            out.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    out
}

/// Reads the Go form; `0` needs no unit. Nanoseconds; what is finer is cut off.
pub fn parse_go(text: &str) -> Option<i64> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if body == "0" {
        return Some(0);
    }
    let (mut rest, mut total) = (body, 0i128);
    loop {
        let (number, unit, more) = number_and_unit(rest)?;
        let scale = GO.iter().find(|(name, _)| *name == unit)?.1;
        total = total.checked_add(decimal(number, scale)?)?;
        rest = more;
        if rest.is_empty() {
            return i64::try_from(if negative { -total } else { total }).ok();
        }
    }
}

/// `number * scale`, cut off, without rounding through a double.
fn decimal(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Digits beyond the 18th of a fraction are below a nanosecond for every unit.
    let digits = &fraction[..fraction.len().min(18)];
    let part: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    whole.checked_mul(scale)?.checked_add(part * scale / 10i128.pow(digits.len() as u32))
}

/// Prints as Go's `Duration.String`: `1h0m0s`, `1.5s`, `100ms`, `0s`.
pub fn format_go(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let n = ns.unsigned_abs();
    let fraction = |n: u64, unit: u64| {
        let (whole, part) = (n / unit, n % unit);
        let digits = unit.ilog10() as usize;
        if part == 0 { whole.to_string() } else { format!("{whole}.{}", format!("{part:0digits$}").trim_end_matches('0')) }
    };
    match n {
        0 => "0s".into(),
        n if n < 1_000 => format!("{sign}{n}ns"),
        n if n < 1_000_000 => format!("{sign}{}µs", fraction(n, 1_000)),
        n if n < 1_000_000_000 => format!("{sign}{}ms", fraction(n, 1_000_000)),
        n => {
            let minutes = n / 60_000_000_000;
            let seconds = fraction(n % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, m) => format!("{sign}{m}m{seconds}s"),
                (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEC: i64 = 1_000_000_000;

    #[test]
    fn the_prometheus_form() {
        for (t, want) in [
            ("5m", 300 * SEC),
            ("1h30m", 5400 * SEC),
            ("1y", 365 * 86_400 * SEC),
            ("1w2d", 9 * 86_400 * SEC),
            ("150ms", 150_000_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(parse_prom(t), Some(want), "{t}");
        }
        for bad in ["", "5", "m", "1.5h", "1m1h", "1m1m", "5us", "-5m", "300000000y", "5m ", "99999999999999999999s"] {
            assert_eq!(parse_prom(bad), None, "{bad}");
        }
        assert_eq!(format_prom(90 * 60 * SEC), "1h30m");
        assert_eq!(format_prom(14 * 86_400 * SEC), "2w");
        assert_eq!(format_prom(8 * 86_400 * SEC), "8d");
        assert_eq!(format_prom(0), "0s");
    }

    #[test]
    fn the_go_form() {
        for (t, want) in [
            ("1.5h", 5400 * SEC),
            ("-3m20s", -200 * SEC),
            ("2µs", 2_000),
            ("1s1h", 3601 * SEC),
            (".5s", SEC / 2),
            ("5.s", 5 * SEC),
            ("1ns", 1),
            ("0", 0),
            ("+1s", SEC),
        ] {
            assert_eq!(parse_go(t), Some(want), "{t}");
        }
        for bad in ["", "5", "-", "1d", "1.2.3s", ".s", "5 s", "9999999h9999999h"] {
            assert_eq!(parse_go(bad), None, "{bad}");
        }
        for (ns, want) in [
            (3600 * SEC, "1h0m0s"),
            (1_500_000_000, "1.5s"),
            (100_000_000, "100ms"),
            (61 * SEC, "1m1s"),
            (1_500, "1.5µs"),
            (-SEC, "-1s"),
            (7, "7ns"),
        ] {
            assert_eq!(format_go(ns), want);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(ns in any::<i64>(), text in "[0-9.a-zµ+-]{0,12}") {
            prop_assume!(ns != i64::MIN);
            prop_assert_eq!(parse_go(&format_go(ns)), Some(ns));
            let ms = ns.unsigned_abs() as i64 / 1_000_000 * 1_000_000;
            prop_assert_eq!(parse_prom(&format_prom(ms)), Some(ms));
            let _ = (parse_go(&text), parse_prom(&text));
        }
    }
}
