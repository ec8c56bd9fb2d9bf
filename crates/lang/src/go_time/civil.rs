//! Dates and times of day, without a zone.

/// A date and a time of day, and what was said about the zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Civil {
    /// The year; 0 when the layout has none.
    pub year: i64,
    /// The month, from 1.
    pub month: u8,
    /// The day of the month, from 1.
    pub day: u8,
    /// Nanoseconds since midnight.
    pub of_day_ns: i64,
    /// Seconds east of UTC; none when the text did not say.
    pub offset_s: Option<i32>,
}

/// Nanoseconds of a day.
const DAY_NS: i64 = 86_400_000_000_000;

impl Civil {
    /// As it is in UTC at so many nanoseconds since 1970, moved east by so many seconds.
    pub fn of(ns: i64, offset_s: i32) -> Civil {
        let local = i128::from(ns) + i128::from(offset_s) * 1_000_000_000;
        let (days, of_day) = (local.div_euclid(i128::from(DAY_NS)) as i64, local.rem_euclid(i128::from(DAY_NS)) as i64);
        let (year, month, day) = civil_from_days(days);
        Civil { year, month, day, of_day_ns: of_day, offset_s: Some(offset_s) }
    }
    /// Nanoseconds since 1970 if this were UTC; none if it is beyond what 64 bits hold (1677 to 2262).
    pub fn as_utc_ns(&self) -> Option<i64> {
        let days = i128::from(days_from_civil(self.year, self.month, self.day));
        i64::try_from(days * i128::from(DAY_NS) + i128::from(self.of_day_ns)).ok()
    }
    /// Nanoseconds since 1970; without an offset it is taken as UTC.
    pub fn ns(&self) -> Option<i64> {
        self.as_utc_ns()?.checked_sub(i64::from(self.offset_s.unwrap_or(0)) * 1_000_000_000)
    }
    /// Hour, minute, second, nanosecond.
    pub fn clock(&self) -> (i64, i64, i64, i64) {
        let s = self.of_day_ns / 1_000_000_000;
        (s / 3_600, s / 60 % 60, s % 60, self.of_day_ns % 1_000_000_000)
    }
    /// The day of the year, from 1.
    pub(super) fn year_day(&self) -> i64 {
        days_from_civil(self.year, self.month, self.day) - days_from_civil(self.year, 1, 1) + 1
    }
    /// The day of the week; Sunday is 0.
    pub(super) fn weekday(&self) -> usize {
        (days_from_civil(self.year, self.month, self.day) + 4).rem_euclid(7) as usize
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years begin in March here, so that the leap day is the last
/// of its year (Hinnant, "chrono-compatible low-level date algorithms").
pub fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let shifted = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

pub(super) fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (year_of_era + era * 400 + i64::from(month <= 2), month as u8, day as u8)
}

pub(super) fn days_in(year: i64, month: u8) -> u8 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
