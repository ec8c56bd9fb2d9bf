//! Writing a time.

use std::fmt::Write;

use super::{Civil, DAYS, Layout, MONTHS, Part};

impl Layout {
    /// Shows the time at `ns` nanoseconds since 1970, `offset_s` seconds east of UTC.
    pub fn write(&self, ns: i64, offset_s: i32) -> String {
        let c = Civil::of(ns, offset_s);
        let mut out = String::new();
        for part in &self.0 {
            // Writing to a string cannot fail.
            let _ = one(part, &c, offset_s, &mut out);
        }
        out
    }
}

fn one(part: &Part, c: &Civil, offset_s: i32, out: &mut String) -> std::fmt::Result {
    let (hour, minute, second, nanos) = c.clock();
    let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
    match part {
        Part::Literal(t) => out.write_str(t),
        Part::LongMonth => out.write_str(MONTHS[c.month as usize - 1]),
        Part::Month => out.write_str(&MONTHS[c.month as usize - 1][..3]),
        Part::NumMonth => write!(out, "{}", c.month),
        Part::ZeroMonth => write!(out, "{:02}", c.month),
        Part::LongDay => out.write_str(DAYS[c.weekday()]),
        Part::ShortDay => out.write_str(&DAYS[c.weekday()][..3]),
        Part::Day => write!(out, "{}", c.day),
        Part::UnderDay => write!(out, "{:2}", c.day),
        Part::ZeroDay => write!(out, "{:02}", c.day),
        Part::UnderYearDay => write!(out, "{:3}", c.year_day()),
        Part::ZeroYearDay => write!(out, "{:03}", c.year_day()),
        Part::Hour => write!(out, "{hour:02}"),
        Part::Hour12 => write!(out, "{hour12}"),
        Part::ZeroHour12 => write!(out, "{hour12:02}"),
        Part::Minute => write!(out, "{minute}"),
        Part::ZeroMinute => write!(out, "{minute:02}"),
        Part::Second => write!(out, "{second}"),
        Part::ZeroSecond => write!(out, "{second:02}"),
        Part::LongYear => write!(out, "{:04}", c.year),
        Part::Year => write!(out, "{:02}", c.year.rem_euclid(100)),
        Part::UpperPm => out.write_str(if hour >= 12 { "PM" } else { "AM" }),
        Part::LowerPm => out.write_str(if hour >= 12 { "pm" } else { "am" }),
        Part::ZoneName if offset_s == 0 => out.write_str("UTC"),
        Part::ZoneName => offset(offset_s, false, if offset_s % 3_600 == 0 { 1 } else { 2 }, out),
        Part::Offset { z: true, .. } if offset_s == 0 => out.write_str("Z"),
        Part::Offset { colon, pairs, .. } => offset(offset_s, *colon, *pairs, out),
        Part::Fraction { separator, digits, trim } => {
            let text = format!("{nanos:09}");
            let kept = &text[..(*digits).min(9)];
            match if *trim { kept.trim_end_matches('0') } else { kept } {
                "" => Ok(()),
                kept => write!(out, "{separator}{kept}"),
            }
        }
    }
}

fn offset(s: i32, colon: bool, pairs: u8, out: &mut String) -> std::fmt::Result {
    out.push(if s < 0 { '-' } else { '+' });
    let s = s.abs();
    for (i, n) in [s / 3_600, s / 60 % 60, s % 60].into_iter().enumerate().take(pairs as usize) {
        write!(out, "{}{n:02}", if i > 0 && colon { ":" } else { "" })?;
    }
    Ok(())
}
