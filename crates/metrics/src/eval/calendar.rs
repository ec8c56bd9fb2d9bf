//! `hour`, `month`, `day_of_week` and their kin: parts of a date, in UTC.

use base::{Labels, Result};

use crate::eval::Evaluator;
use crate::eval::math::map_floats;
use crate::eval::value::{Column, Grid, Series};
use crate::promql::function::Func;
use crate::promql::plan::CallPlan;

/// Year, month and day of a day counted from 1970-01-01 (the civil-from-days algorithm over eras of 400 years).
fn civil(day: i64) -> (i64, i64, i64) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The part that `f` names of the time `seconds` after 1970.
fn part(f: Func, seconds: f64) -> f64 {
    if !seconds.is_finite() || seconds.abs() > 1e15 {
        return f64::NAN;
    }
    let s = seconds as i64;
    let day = s.div_euclid(86_400);
    let (year, month, day_of_month) = civil(day);
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];
    let m = (month - 1) as usize;
    let v = match f {
        Func::Minute => s.rem_euclid(3600) / 60,
        Func::Hour => s.rem_euclid(86_400) / 3600,
        Func::DayOfWeek => (day + 4).rem_euclid(7),
        Func::DayOfMonth => day_of_month,
        Func::DayOfYear => before[m] + day_of_month + i64::from(month > 2 && is_leap(year)),
        Func::DaysInMonth => before[m + 1] - before[m] + i64::from(month == 2 && is_leap(year)),
        Func::Month => month,
        _ => year,
    };
    v as f64
}

impl Evaluator<'_> {
    /// A part of the date of each value, or of the time of evaluation.
    pub(super) fn calendar(&self, c: &CallPlan, grid: &Grid) -> Result<Vec<Series>> {
        match c.args.first() {
            Some(v) => Ok(map_floats(self.vector(v, grid)?, |_, x| part(c.func, x))),
            None => {
                let floats = (0..grid.n).map(|i| part(c.func, (grid.at(i) / 1000) as f64)).collect();
                Ok(vec![Series::new(Labels::empty(), Column::of(floats))])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_dates() {
        let all =
            [Func::Year, Func::Month, Func::DayOfMonth, Func::Hour, Func::Minute, Func::DayOfWeek, Func::DayOfYear, Func::DaysInMonth];
        for (seconds, want) in [
            (0.0, [1970, 1, 1, 0, 0, 4, 1, 31]),
            (951_782_400.0, [2000, 2, 29, 0, 0, 2, 60, 29]),
            (1_735_689_599.0, [2024, 12, 31, 23, 59, 2, 366, 31]),
            (-1.0, [1969, 12, 31, 23, 59, 3, 365, 31]),
        ] {
            assert_eq!(all.map(|f| part(f, seconds) as i64), want, "{seconds}");
        }
        assert!(part(Func::Year, f64::INFINITY).is_nan());
    }
}
