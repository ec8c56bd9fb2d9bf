//! Numbers in tens, as Sprig calculates with them: 0.1 and 0.2 are 0.3.

/// Digits after the point of a quotient (Sprig's library rounds there).
const QUOTIENT_SCALE: i32 = 16;

/// `digits / 10^scale`. Made of floating point numbers, which have 17 digits at most; what outgrows 38 digits is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: i128,
    scale: i32,
}

impl Decimal {
    /// The shortest decimal that is read as `v`.
    pub fn of(v: f64) -> Option<Decimal> {
        let text = format!("{v:e}");
        let (number, exponent) = text.split_once('e')?;
        let fraction = number.split_once('.').map_or(0, |(_, f)| f.len());
        let digits = number.replace('.', "").parse().ok()?;
        Some(Decimal { digits, scale: i32::try_from(fraction).ok()? - exponent.parse::<i32>().ok()? })
    }

    /// The nearest floating point number.
    pub fn to_f64(self) -> f64 {
        format!("{}e{}", self.digits, -i64::from(self.scale)).parse().unwrap_or(f64::NAN)
    }

    pub fn add(self, o: Decimal) -> Option<Decimal> {
        let scale = self.scale.max(o.scale);
        Some(Decimal { digits: self.digits_at(scale)?.checked_add(o.digits_at(scale)?)?, scale })
    }

    pub fn sub(self, o: Decimal) -> Option<Decimal> {
        self.add(Decimal { digits: -o.digits, ..o })
    }

    pub fn mul(self, o: Decimal) -> Option<Decimal> {
        Some(Decimal { digits: self.digits.checked_mul(o.digits)?, scale: self.scale + o.scale })
    }

    /// Rounded half away from zero. `o` is not zero.
    pub fn div(self, o: Decimal) -> Option<Decimal> {
        let by = QUOTIENT_SCALE - self.scale + o.scale;
        let (above, below) = match by {
            0.. => (self.digits.checked_mul(power(by)?)?, o.digits),
            _ => (self.digits, o.digits.checked_mul(power(-by)?)?),
        };
        let (whole, rest) = (above.checked_div(below)?, above.checked_rem(below)?);
        let up = rest.unsigned_abs() >= below.unsigned_abs().div_ceil(2);
        let away = if (above < 0) == (below < 0) { 1 } else { -1 };
        Some(Decimal { digits: if up { whole + away } else { whole }, scale: QUOTIENT_SCALE })
    }

    fn digits_at(self, scale: i32) -> Option<i128> {
        self.digits.checked_mul(power(scale - self.scale)?)
    }
}

fn power(n: i32) -> Option<i128> {
    10i128.checked_pow(u32::try_from(n).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Op = fn(Decimal, Decimal) -> Option<Decimal>;

    #[test]
    fn results_are_those_of_people() {
        let of = |op: Op, a: f64, b: f64| op(Decimal::of(a).unwrap(), Decimal::of(b).unwrap()).map(Decimal::to_f64);
        assert_eq!(of(Decimal::add, 0.1, 0.2), Some(0.3));
        assert_eq!(of(Decimal::sub, 0.3, 0.1), Some(0.2));
        assert_eq!(of(Decimal::mul, 1.1, 1.1), Some(1.21));
        assert_eq!(of(Decimal::div, 20.2, 5.25), Some(3.847_619_047_619_047_7));
        assert_eq!(of(Decimal::div, -1.0, 3.0), Some(-0.333_333_333_333_333_3));
        assert_eq!(of(Decimal::div, 1.0, 2e16), Some(1e-16), "half is rounded away from zero");
        assert_eq!(of(Decimal::div, 1.0, 2.1e16), Some(0.0));
        assert_eq!(of(Decimal::div, 1e30, 1e-30), None);
        assert_eq!(of(Decimal::add, 1e300, 1.0), None);
        assert_eq!(Decimal::of(f64::NAN), None);
        assert_eq!(Decimal::of(f64::INFINITY), None);
    }

    proptest! {
        #[test]
        fn every_number_comes_back(v in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            prop_assert_eq!(Decimal::of(v).map(Decimal::to_f64), Some(v));
        }
        #[test]
        fn integers_are_exact(a in -1_000_000_000i64..1_000_000_000, b in -1_000_000_000i64..1_000_000_000) {
            let of = |v: i64| Decimal::of(v as f64).unwrap();
            prop_assert_eq!(of(a).mul(of(b)).unwrap().to_f64(), (a * b) as f64);
            prop_assert_eq!(of(a).sub(of(b)).unwrap().to_f64(), (a - b) as f64);
        }
    }
}
