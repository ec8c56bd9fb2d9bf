//! The functions over the unwrapped samples of one window. Samples are in time order, and there is at least one.

use super::samples::Sample;
use crate::logql::ast::RangeOp;

/// The value of the window between two times (nanoseconds).
pub fn apply(op: RangeOp, parameter: f64, window: (i64, i64), scratch: &mut Vec<f64>, samples: &[Sample]) -> f64 {
    let seconds = window.1.saturating_sub(window.0) as f64 / 1e9;
    let values = || samples.iter().map(|s| s.1);
    let sum = || values().sum::<f64>();
    match op {
        RangeOp::Count | RangeOp::Absent => samples.len() as f64,
        RangeOp::Sum | RangeOp::Bytes => sum(),
        RangeOp::Rate | RangeOp::BytesRate => sum() / seconds,
        RangeOp::RateCounter => rate_counter(samples, window) / seconds,
        RangeOp::Avg => sum() / samples.len() as f64,
        RangeOp::Min => values().reduce(|a, b| if b < a || a.is_nan() { b } else { a }).unwrap_or(f64::NAN),
        RangeOp::Max => values().reduce(|a, b| if b > a || a.is_nan() { b } else { a }).unwrap_or(f64::NAN),
        RangeOp::First => samples[0].1,
        RangeOp::Last => samples[samples.len() - 1].1,
        RangeOp::Stdvar => variance(values()),
        RangeOp::Stddev => variance(values()).sqrt(),
        RangeOp::Quantile => {
            scratch.clear();
            scratch.extend(values());
            quantile(parameter, scratch)
        }
    }
}

/// Population variance (Welford).
pub fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut n, mut mean, mut m2) = (0.0, 0.0, 0.0);
    for v in values {
        n += 1.0;
        let delta = v - mean;
        mean += delta / n;
        m2 += delta * (v - mean);
    }
    m2 / n
}

/// The `q` quantile with linear interpolation; NaN sorts first. Reorders `values`.
pub fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let order = |a: &f64, b: &f64| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b));
    let rank = q * (values.len() - 1) as f64;
    let (low, weight) = (rank.floor() as usize, rank.fract());
    let (_, &mut at_low, above) = values.select_nth_unstable_by(low, order);
    // The next one up is the least of those above; at the very end there is none, and its weight is 0.
    let at_high = above.iter().copied().min_by(order).unwrap_or(at_low);
    at_low * (1.0 - weight) + at_high * weight
}

/// Growth of a counter over a window. A fall is a reset. The growth between the first and the last sample is stretched to
/// the window's edges as Prometheus' `rate` does: to an edge that is about one interval of samples away, else by half an
/// interval, and never to before the counter was zero.
fn rate_counter(samples: &[Sample], window: (i64, i64)) -> f64 {
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let sampled = (last.0 - first.0) as f64;
    if samples.len() < 2 || sampled <= 0.0 {
        return 0.0;
    }
    let resets: f64 = samples.windows(2).filter(|w| w[1].1 < w[0].1).map(|w| w[0].1).sum();
    let growth = last.1 - first.1 + resets;
    let interval = sampled / (samples.len() - 1) as f64;
    let mut before = (first.0 - window.0) as f64;
    if growth > 0.0 && first.1 >= 0.0 {
        before = before.min(sampled * first.1 / growth);
    }
    let after = (window.1 - last.0) as f64;
    let stretch = |gap: f64| if gap < interval * 1.1 { gap } else { interval / 2.0 };
    growth * (sampled + stretch(before) + stretch(after)) / sampled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(op: RangeOp, values: &[f64]) -> f64 {
        let samples: Vec<Sample> = values.iter().enumerate().map(|(i, v)| (i as i64 * 1_000_000_000, *v)).collect();
        apply(op, 0.5, (-1_000_000_000, 9_000_000_000), &mut vec![], &samples)
    }

    #[test]
    fn functions() {
        let v = [4.0, 2.0, 9.0, 1.0];
        for (op, want) in [
            (RangeOp::Sum, 16.0),
            (RangeOp::Rate, 1.6),
            (RangeOp::Avg, 4.0),
            (RangeOp::Min, 1.0),
            (RangeOp::Max, 9.0),
            (RangeOp::First, 4.0),
            (RangeOp::Last, 1.0),
            (RangeOp::Stdvar, 9.5),
            (RangeOp::Quantile, 3.0),
        ] {
            assert_eq!(of(op, &v), want, "{op:?}");
        }
        assert_eq!(of(RangeOp::RateCounter, &[5.0]), 0.0);
        assert_eq!(
            of(RangeOp::RateCounter, &[10.0, 20.0, 5.0, 15.0]),
            (25.0 / 3.0) * (3.0 + 1.0 + 0.5) / 10.0,
            "a reset, one edge near, one far"
        );
        assert_eq!(of(RangeOp::Min, &[f64::NAN, 7.0]), 7.0);
        assert!(of(RangeOp::Max, &[f64::NAN]).is_nan());
    }

    #[test]
    fn quantiles() {
        let q = |q: f64, v: &[f64]| quantile(q, &mut v.to_vec());
        assert_eq!((q(0.0, &[3.0, 1.0]), q(1.0, &[3.0, 1.0]), q(0.25, &[3.0, 1.0])), (1.0, 3.0, 1.5));
        assert_eq!((q(-1.0, &[1.0]), q(2.0, &[1.0])), (f64::NEG_INFINITY, f64::INFINITY));
        assert!(q(0.0, &[1.0, f64::NAN]).is_nan());
        assert_eq!(q(1.0, &[f64::NAN, 1.0]), 1.0);
    }
}
