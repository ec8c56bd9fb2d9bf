//! Numbers as Go reads them, sample values as the protocols' JSON shows them.

/// Reads a floating point number with the rules of Go's `strconv.ParseFloat`: decimal with exponent, `Inf`,
/// `Infinity` and `NaN` in any case, a sign, hexadecimal floats (`0x1.8p3`). Overflow is not a number.
pub fn parse(text: &str) -> Option<f64> {
    if let Some(whole) = short_whole(text) {
        return Some(whole);
    }
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let sign = if negative { -1.0 } else { 1.0 };
    if body.eq_ignore_ascii_case("inf") || body.eq_ignore_ascii_case("infinity") {
        return Some(sign * f64::INFINITY);
    }
    if body.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    if let Some(hex) = body.strip_prefix("0x").or_else(|| body.strip_prefix("0X")) {
        return parse_hex(hex).map(|v| sign * v);
    }
    if !body.bytes().next().is_some_and(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    body.parse::<f64>().ok().filter(|v| v.is_finite()).map(|v| sign * v)
}

/// A number of a few digits alone, as statuses and counts are.
#[inline]
fn short_whole(text: &str) -> Option<f64> {
    // So many fit into 32 bits.
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    let digit = |n: u32, b: u8| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0'));
    text.bytes().try_fold(0, digit).map(f64::from)
}

/// The part after `0x`; the exponent is required, as in Go, unless there is neither point nor exponent.
fn parse_hex(hex: &str) -> Option<f64> {
    let (mantissa, exponent) = match hex.split_once(['p', 'P']) {
        Some((m, e)) => (m, e.parse::<i32>().ok()?),
        None if !hex.contains('.') => (hex, 0),
        None => return None,
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut v = 0f64;
    for c in whole.chars().chain(fraction.chars()) {
        v = v * 16.0 + f64::from(c.to_digit(16)?);
    }
    let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    Some(v * 2f64.powi(exponent)).filter(|v| v.is_finite())
}

/// Prints a sample value as Prometheus and Loki put it into JSON: Go's `strconv.FormatFloat(v, 'f', -1, 64)`, the
/// shortest digits that read back, never an exponent; `NaN`, `+Inf`, `-Inf`.
pub fn format(v: f64) -> String {
    let mut out = String::new();
    format_into(v, &mut out);
    out
}

/// The same, appended to `out`.
pub fn format_into(v: f64, out: &mut String) {
    use std::fmt::Write;
    if v.is_nan() {
        out.push_str("NaN");
    } else if v.is_infinite() {
        out.push_str(if v > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        // Writing to a string cannot fail.
        let _ = write!(out, "{v}");
    }
}

/// Prints a float as Go's `%g` and `%v` do: the shortest digits, with an exponent below 1e-4 and from 1e6 on.
pub fn general(v: f64) -> String {
    let is_plain = !v.is_finite() || v == 0.0 || (1e-4..1e6).contains(&v.abs());
    if is_plain { format(v) } else { exponent(&format!("{v:e}")) }
}

/// Rust's `1.5e21` in Go's form, `1.5e+21`.
pub fn exponent(text: &str) -> String {
    let Some((digits, e)) = text.split_once(['e', 'E']) else { return text.to_owned() };
    let mark = if text.contains('E') { 'E' } else { 'e' };
    let (sign, e) = e.strip_prefix('-').map_or(('+', e), |e| ('-', e));
    format!("{digits}{mark}{sign}{e:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_shown_with_an_exponent_where_go_does() {
        for (v, want) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (999_999.5, "999999.5"),
            (1e6, "1e+06"),
            (-2.5e300, "-2.5e+300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(general(v), want);
        }
    }

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (t, want) in [
            ("1", 1.0),
            ("-0.5", -0.5),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("+Inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("0x10", 16.0),
            ("0x1.8p1", 3.0),
        ] {
            assert_eq!(parse(t), Some(want), "{t}");
        }
        assert!(parse("nan").is_some_and(f64::is_nan));
        for bad in ["", "-", "x", "1e", "1e999", "0x", "0x1.8", "1 ", "infi", ".", "--1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn sample_values_have_no_exponent() {
        for (v, want) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
            (-0.0, "-0"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (2.5, "2.5"),
            (123456789.125, "123456789.125"),
        ] {
            assert_eq!(format(v), want);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(v in any::<f64>(), text in any::<String>()) {
            let _ = parse(&text);
            if v.is_finite() {
                prop_assert_eq!(parse(&format(v)).map(f64::to_bits), Some(v.to_bits()));
            }
        }
    }
}
