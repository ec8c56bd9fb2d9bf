//! Reading a time, with the leniencies of Go's `time.Parse`.

use super::civil::{civil_from_days, days_in};
use super::{Civil, DAYS, Layout, MONTHS, Part, days_from_civil};

/// What has been read so far.
#[derive(Default)]
struct Found {
    year: Option<i64>,
    month: Option<u8>,
    day: Option<u8>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    pm: Option<bool>,
    offset_s: Option<i32>,
}

impl Layout {
    /// The time that a text shows; none if it does not have this layout or names no moment.
    pub fn read(&self, text: &str) -> Option<Civil> {
        let mut f = Found::default();
        let mut rest = text;
        for (i, part) in self.0.iter().enumerate() {
            match part {
                Part::Literal(l) => skip(l, &mut rest)?,
                _ => f.element(part, &mut rest)?,
            }
            let seconds = matches!(part, Part::Second | Part::ZeroSecond);
            let fraction_follows = matches!(self.0.get(i + 1), Some(Part::Fraction { .. }));
            if seconds && !fraction_follows && rest.starts_with(['.', ',']) && rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
                f.nanos = fraction(&mut rest)?;
            }
        }
        if !rest.is_empty() { None } else { f.civil() }
    }
}

/// Passes over literal text; a space stands for any number of spaces.
fn skip(literal: &str, rest: &mut &str) -> Option<()> {
    let mut want = literal;
    while let Some(c) = want.chars().next() {
        if c == ' ' {
            if !rest.is_empty() && !rest.starts_with(' ') {
                return None;
            }
            want = want.trim_start_matches(' ');
            *rest = rest.trim_start_matches(' ');
        } else {
            *rest = rest.strip_prefix(c)?;
            want = &want[c.len_utf8()..];
        }
    }
    Some(())
}

/// Takes `min` to `max` digits.
fn digits(rest: &mut &str, min: usize, max: usize) -> Option<i64> {
    let n = rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
    let (taken, after) = rest.split_at(n);
    *rest = after;
    if n < min { None } else { taken.parse().ok() }
}

/// Takes the name among `names` that comes next, in any case, whole or its first three letters.
fn name(rest: &mut &str, names: &[&str], whole: bool) -> Option<usize> {
    let is = |n: &str| rest.get(..n.len()).is_some_and(|t| t.eq_ignore_ascii_case(n));
    let i = names.iter().position(|n| is(if whole { n } else { &n[..3] }))?;
    *rest = &rest[if whole { names[i].len() } else { 3 }..];
    Some(i)
}

/// Separator and digits; beyond nine they say nothing.
fn fraction(rest: &mut &str) -> Option<i64> {
    let n = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
    let text = &rest[1..1 + n];
    *rest = &rest[1 + n..];
    let kept = &text[..n.min(9)];
    Some(kept.parse::<i64>().ok()? * 10i64.pow(9 - kept.len() as u32))
}

impl Found {
    fn element(&mut self, part: &Part, rest: &mut &str) -> Option<()> {
        match part {
            Part::Literal(_) => {}
            Part::LongMonth => self.month = Some(name(rest, &MONTHS, true)? as u8 + 1),
            Part::Month => self.month = Some(name(rest, &MONTHS, false)? as u8 + 1),
            Part::NumMonth => self.month = Some(digits(rest, 1, 2)? as u8),
            Part::ZeroMonth => self.month = Some(digits(rest, 2, 2)? as u8),
            Part::LongDay => drop(name(rest, &DAYS, true)?),
            Part::ShortDay => drop(name(rest, &DAYS, false)?),
            Part::Day => self.day = Some(digits(rest, 1, 2)? as u8),
            Part::UnderDay => {
                *rest = rest.strip_prefix(' ').unwrap_or(rest);
                self.day = Some(digits(rest, 1, 2)? as u8);
            }
            Part::ZeroDay => self.day = Some(digits(rest, 2, 2)? as u8),
            Part::UnderYearDay => {
                *rest = rest.trim_start_matches(' ');
                self.year_day = Some(digits(rest, 1, 3)?);
            }
            Part::ZeroYearDay => self.year_day = Some(digits(rest, 3, 3)?),
            Part::Hour => self.hour = digits(rest, 2, 2).filter(|h| *h < 24)?,
            Part::Hour12 => self.hour = digits(rest, 1, 2).filter(|h| *h <= 12)?,
            Part::ZeroHour12 => self.hour = digits(rest, 2, 2).filter(|h| *h <= 12)?,
            Part::Minute => self.minute = digits(rest, 1, 2).filter(|m| *m < 60)?,
            Part::ZeroMinute => self.minute = digits(rest, 2, 2).filter(|m| *m < 60)?,
            Part::Second => self.second = digits(rest, 1, 2).filter(|s| *s < 60)?,
            Part::ZeroSecond => self.second = digits(rest, 2, 2).filter(|s| *s < 60)?,
            Part::LongYear => self.year = Some(digits(rest, 4, 4)?),
            Part::Year => self.year = Some(digits(rest, 2, 2).map(|y| if y >= 69 { 1900 + y } else { 2000 + y })?),
            Part::UpperPm => self.pm = Some(half(rest, ["AM", "PM"])?),
            Part::LowerPm => self.pm = Some(half(rest, ["am", "pm"])?),
            Part::ZoneName => self.zone(rest)?,
            Part::Offset { z, colon, pairs } => self.offset(rest, *z, *colon, *pairs)?,
            Part::Fraction { separator, digits: n, trim } => {
                let there = rest.starts_with(['.', ',']) && rest[1..].starts_with(|c: char| c.is_ascii_digit());
                if *trim {
                    self.nanos = if there { fraction(rest)? } else { 0 };
                } else {
                    let exact =
                        there && rest.starts_with(*separator) && rest[1..].bytes().take(*n).filter(u8::is_ascii_digit).count() == *n;
                    if !exact {
                        return None;
                    }
                    let (mut taken, after) = rest.split_at(1 + n);
                    self.nanos = fraction(&mut taken)?;
                    *rest = after;
                }
            }
        }
        Some(())
    }

    /// A zone's abbreviation. Only UTC says by itself how far it is away; the others are left to the location.
    fn zone(&mut self, rest: &mut &str) -> Option<()> {
        let n = rest.bytes().take_while(u8::is_ascii_uppercase).count();
        if !(3..=5).contains(&n) {
            return None;
        }
        let (zone, after) = rest.split_at(n);
        *rest = after;
        if zone == "UTC" {
            self.offset_s = Some(0);
        }
        // `GMT+3`
        if zone == "GMT" && rest.starts_with(['+', '-']) {
            let sign = if rest.starts_with('-') { -1 } else { 1 };
            let mut number = &rest[1..];
            let hours = digits(&mut number, 1, 2).filter(|h| *h < 24)?;
            *rest = number;
            self.offset_s = Some(sign * hours as i32 * 3_600);
        }
        Some(())
    }

    fn offset(&mut self, rest: &mut &str, z: bool, colon: bool, pairs: u8) -> Option<()> {
        if z && let Some(after) = rest.strip_prefix('Z') {
            *rest = after;
            self.offset_s = Some(0);
            return Some(());
        }
        let sign = match rest.bytes().next()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        *rest = &rest[1..];
        let mut total = 0;
        for (i, scale) in [3_600, 60, 1].into_iter().enumerate().take(pairs as usize) {
            if i > 0 && colon {
                *rest = rest.strip_prefix(':')?;
            }
            let limit = if i == 0 { 24 } else { 59 };
            total += scale * digits(rest, 2, 2).filter(|n| *n <= limit)? as i32;
        }
        self.offset_s = Some(sign * total);
        Some(())
    }

    fn civil(self) -> Option<Civil> {
        let hour = match self.pm {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let year = self.year.unwrap_or(0);
        let (mut month, mut day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if let Some(n) = self.year_day {
            let length = days_from_civil(year + 1, 1, 1) - days_from_civil(year, 1, 1);
            if !(1..=length).contains(&n) {
                return None;
            }
            (_, month, day) = civil_from_days(days_from_civil(year, 1, 1) + n - 1);
        }
        if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
            return None;
        }
        let of_day_ns = ((hour * 60 + self.minute) * 60 + self.second) * 1_000_000_000 + self.nanos;
        Some(Civil { year, month, day, of_day_ns, offset_s: self.offset_s })
    }
}

/// Whether the second of two words comes next; none if neither does.
fn half(rest: &mut &str, words: [&str; 2]) -> Option<bool> {
    let i = words.iter().position(|w| rest.starts_with(w))?;
    *rest = &rest[2..];
    Some(i == 1)
}
