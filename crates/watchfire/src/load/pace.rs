//! When the next request is due.

use std::time::{Duration, Instant};

/// How much a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Bytes of raw rows.
    Bytes(f64),
    /// Rows.
    Rows(f64),
}

impl Rate {
    /// Parses `10MB/s`, `5000/s`, `5000 rows/s`.
    pub fn parse(text: &str) -> Result<Rate, String> {
        let wrong = || format!("{text:?} is not a rate: write bytes (10MB/s) or rows (5000/s) a second");
        let t = text.trim();
        let t = t.strip_suffix("/s").ok_or_else(wrong)?.trim();
        let number = t.strip_suffix("rows").unwrap_or(t).trim();
        let rate = match number.parse::<f64>() {
            Ok(n) => Rate::Rows(n),
            Err(_) => Rate::Bytes(base::units::parse_size(t).map_err(|_| wrong())? as f64),
        };
        match rate {
            Rate::Bytes(n) | Rate::Rows(n) if n.is_finite() && n > 0.0 => Ok(rate),
            _ => Err(wrong()),
        }
    }
    fn seconds_for(self, rows: u64, bytes: u64) -> f64 {
        match self {
            Rate::Bytes(n) => bytes as f64 / n,
            Rate::Rows(n) => rows as f64 / n,
        }
    }
}

/// Hands out due times, open loop: a slow answer does not make later requests later, it makes them queue, and the
/// delay is measured.
pub struct Pace {
    rate: Option<Rate>,
    next: Instant,
}

impl Pace {
    /// Begins now.
    pub fn new(rate: Option<Rate>) -> Self {
        Pace { rate, next: Instant::now() }
    }
    /// When a request of this size is due. Without a rate, now.
    pub fn due(&mut self, rows: u64, bytes: u64) -> Instant {
        let Some(rate) = self.rate else { return Instant::now() };
        let due = self.next;
        self.next = due + Duration::from_secs_f64(rate.seconds_for(rows, bytes));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_as_people_write_them() {
        assert_eq!(Rate::parse("10MB/s"), Ok(Rate::Bytes(1e7)));
        assert_eq!(Rate::parse("5000/s"), Ok(Rate::Rows(5e3)));
        assert_eq!(Rate::parse("5000 rows/s"), Ok(Rate::Rows(5e3)));
        for bad in ["", "10MB", "fast/s", "0/s", "-1/s", "NaN/s", "10 rows"] {
            assert!(Rate::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn due_times_follow_the_rate_not_the_answers() {
        let mut p = Pace::new(Some(Rate::Rows(1000.0)));
        let first = p.due(500, 0);
        assert_eq!(p.due(1, 0) - first, Duration::from_millis(500));
    }
}
