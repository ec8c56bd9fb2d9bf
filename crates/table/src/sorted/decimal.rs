//! Doubles as decimals: a mantissa and a scale where these restore the same bits, the double's bits where not.
//!
//! Most measured values were written in decimal by someone (`0.25`, `1731.5`), and their mantissas compress far better
//! than their bits. A value is `mantissa / 10^scale`; both operands are exact doubles, so the quotient is the double
//! nearest to the decimal, which is what a parser of the text would have made.

/// The scale of a row whose mantissa column holds the double's bits.
pub const RAW: i8 = i8::MAX;
/// Largest scale; beyond it doubles have no decimal digits left to find.
const MAX_SCALE: i8 = 18;
/// After this many values without a decimal form only every eighth is searched again.
const GIVE_UP: u8 = 4;

const POWERS: [f64; 19] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// Encodes the values of one series after another; remembers the last scale, because a series keeps its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Encoder {
    last: i8,
    misses: u8,
}

impl Encoder {
    /// Mantissa and scale of `v`. The scale tried first is the last that worked, so it stays the same within a series
    /// where it can.
    pub fn encode(&mut self, v: f64) -> (i64, i8) {
        if let Some(m) = at_scale(v, self.last) {
            self.misses = 0;
            return (m, self.last);
        }
        self.misses = self.misses.wrapping_add(1);
        if self.misses > GIVE_UP && !self.misses.is_multiple_of(8) {
            return (v.to_bits() as i64, RAW);
        }
        for s in (self.last + 1..=MAX_SCALE).chain(0..self.last) {
            if let Some(m) = at_scale(v, s) {
                *self = Encoder { last: s, misses: 0 };
                return (m, s);
            }
        }
        (v.to_bits() as i64, RAW)
    }
}

#[inline]
fn at_scale(v: f64, s: i8) -> Option<i64> {
    let p = POWERS[s as usize];
    let x = v * p;
    // Beyond 2^53 not every integer is a double. The comparison is false for NaN and infinities.
    if x.abs() < 9_007_199_254_740_992.0 {
        let m = (x + 0.5f64.copysign(x)) as i64;
        if (m as f64 / p).to_bits() == v.to_bits() {
            return Some(m);
        }
    }
    None
}

/// What the mantissas of a scale are divided by; `None` where they are bits.
pub fn divisor(scale: i8) -> Option<f64> {
    usize::try_from(scale).ok().and_then(|s| POWERS.get(s)).copied()
}

/// The double of a mantissa and scale; NaN for a scale that no encoder writes.
#[inline]
pub fn decode(mantissa: i64, scale: i8) -> f64 {
    match scale {
        0 => mantissa as f64,
        RAW => f64::from_bits(mantissa as u64),
        s => divisor(s).map_or(f64::NAN, |p| mantissa as f64 / p),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_keep_their_scale() {
        let mut e = Encoder::default();
        assert_eq!(e.encode(5.0), (5, 0));
        assert_eq!(e.encode(0.25), (25, 2));
        assert_eq!(e.encode(3.0), (300, 2));
        assert_eq!(e.encode(1e15), (1_000_000_000_000_000, 0));
        for v in [0.0, -0.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, f64::MAX, 1.0 / 3.0, 9_007_199_254_740_993.0, -12.345] {
            let (m, s) = e.encode(v);
            assert_eq!(decode(m, s).to_bits(), v.to_bits(), "{v}");
        }
    }

    proptest! {
        #[test]
        fn every_double_comes_back(bits in proptest::collection::vec(any::<u64>(), 1..50), cents in proptest::collection::vec(-1_000_000i64..1_000_000, 1..50)) {
            let mut e = Encoder::default();
            for v in bits.iter().map(|b| f64::from_bits(*b)).chain(cents.iter().map(|c| *c as f64 / 100.0)) {
                let (m, s) = e.encode(v);
                prop_assert_eq!(decode(m, s).to_bits(), v.to_bits());
            }
        }
    }
}
