//! The `*_over_time` family: what can be said of the samples of a window.

use std::sync::Arc;

use crate::eval::alike::Alike;
use crate::eval::kahan;
use crate::eval::rate::{Place, begins};
use crate::eval::value::Sample;
use crate::eval::window::Window;
use crate::histogram::{Histogram, Remarks, ResetHint, Sum};
use crate::promql::function::Func;

/// The sum of floats, rounding errors made up for.
fn sum(v: &[f64]) -> f64 {
    let (s, c) = v.iter().fold((0.0, 0.0), |(s, c), &x| kahan(x, s, c));
    if s.is_infinite() { s } else { s + c }
}

/// The mean of floats. Where the sum would overflow the mean is kept incrementally.
pub fn mean(v: &[f64]) -> f64 {
    let (mut s, mut c) = (v[0], 0.0);
    for (i, &x) in v.iter().enumerate().skip(1) {
        let (ns, nc) = kahan(x, s, c);
        if ns.is_infinite() && !s.is_infinite() && x.is_finite() {
            return incremental_mean(v, i, s / i as f64, c / i as f64);
        }
        (s, c) = (ns, nc);
    }
    let n = v.len() as f64;
    if s.is_infinite() { s } else { s / n + c / n }
}

fn incremental_mean(v: &[f64], from: usize, mut mean: f64, mut rest: f64) -> f64 {
    for (i, &x) in v.iter().enumerate().skip(from) {
        let n = (i + 1) as f64;
        if mean.is_infinite() && (x.is_infinite() && (mean > 0.0) == (x > 0.0) || !x.is_infinite() && !x.is_nan()) {
            continue;
        }
        let q = (n - 1.0) / n;
        (mean, rest) = kahan(x / n, q * mean, q * rest);
    }
    mean + rest
}

/// Variance of floats by Welford's method.
pub fn variance(v: &[f64]) -> f64 {
    let (mut n, mut mean, mut mean_rest, mut aux, mut aux_rest) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for &x in v {
        n += 1.0;
        let delta = x - (mean + mean_rest);
        (mean, mean_rest) = kahan(delta / n, mean, mean_rest);
        (aux, aux_rest) = kahan(delta * (x - (mean + mean_rest)), aux, aux_rest);
    }
    (aux + aux_rest) / n
}

/// The `q`-quantile of floats with linear interpolation; sorts them, NaN first.
pub fn quantile(q: f64, v: &mut [f64]) -> f64 {
    if v.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    v.sort_by(|a, b| nan_first(*a, *b));
    let rank = q * (v.len() - 1) as f64;
    let lower = rank.floor().max(0.0) as usize;
    let upper = (lower + 1).min(v.len() - 1);
    let weight = rank - rank.floor();
    v[lower] * (1.0 - weight) + v[upper] * weight
}

/// Order of floats with NaN before everything.
pub fn nan_first(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// The function `f` of a window; `param` is the scalar parameter at this step, if it has one.
pub fn over_time(f: Func, w: &Window<'_>, param: f64, place: &Place<'_>) -> Option<Sample> {
    use Func as F;
    let n = w.len();
    if n == 0 {
        return None;
    }
    let float = |v: f64| Some(Sample::Float(v));
    let seconds = |t: i64| float(t as f64 / 1000.0);
    match f {
        F::CountOverTime => return float(n as f64),
        F::PresentOverTime => return float(1.0),
        F::LastOverTime => return Some(w.sample(n - 1)),
        F::FirstOverTime => return Some(w.sample(0)),
        F::TsOfFirstOverTime => return seconds(w.times()[0]),
        F::TsOfLastOverTime => return seconds(w.times()[n - 1]),
        F::Changes => return float(changes(w)),
        F::Resets => return float(resets(w)),
        _ => {}
    }
    let (times, values) = w.floats();
    if matches!(f, F::SumOverTime | F::AvgOverTime) && values.len() < n {
        return if values.is_empty() { histograms(f, w, place) } else { mixed(place) };
    }
    if values.is_empty() {
        return None;
    }
    if values.len() < n {
        place.notes.ignored_in_range(place.name(), place.span);
    }
    match f {
        F::SumOverTime => float(sum(&values)),
        F::AvgOverTime => float(mean(&values)),
        F::MinOverTime => float(extreme(&values, |x, best| x < best).1),
        F::MaxOverTime => float(extreme(&values, |x, best| x > best).1),
        F::TsOfMinOverTime => seconds(times[extreme(&values, |x, best| x <= best).0]),
        F::TsOfMaxOverTime => seconds(times[extreme(&values, |x, best| x >= best).0]),
        F::StddevOverTime => float(variance(&values).sqrt()),
        F::StdvarOverTime => float(variance(&values)),
        F::QuantileOverTime => float(quantile(param, &mut values.into_owned())),
        F::MadOverTime => {
            let mut v = values.into_owned();
            let median = quantile(0.5, &mut v);
            v.iter_mut().for_each(|x| *x = (*x - median).abs());
            float(quantile(0.5, &mut v))
        }
        _ => None,
    }
}

/// The most common of them, of windows that lie alike; false for the others.
pub fn over_time_alike(f: Func, w: &Alike<'_>, out: &mut [f64]) -> bool {
    use Func as F;
    let mut each = |f: fn(&[f64]) -> f64| out.iter_mut().zip(w.windows()).for_each(|(out, v)| *out = f(v));
    match f {
        F::CountOverTime => out.fill(w.samples() as f64),
        F::PresentOverTime => out.fill(1.0),
        F::LastOverTime => each(|v| v[v.len() - 1]),
        F::SumOverTime => each(sum),
        F::AvgOverTime => each(mean),
        F::MinOverTime => each(|v| extreme(v, |x, best| x < best).1),
        F::MaxOverTime => each(|v| extreme(v, |x, best| x > best).1),
        _ => return false,
    }
    true
}

/// Position and value of the extreme: the last value that `better` prefers; anything is preferred to NaN.
fn extreme(v: &[f64], better: impl Fn(f64, f64) -> bool) -> (usize, f64) {
    let mut best = (0, v[0]);
    for (i, &x) in v.iter().enumerate().skip(1) {
        if better(x, best.1) || best.1.is_nan() {
            best = (i, x);
        }
    }
    best
}

fn mixed(place: &Place<'_>) -> Option<Sample> {
    place.notes.mixed(place.name(), place.span);
    None
}

/// Sum and mean of histograms.
fn histograms(f: Func, w: &Window<'_>, place: &Place<'_>) -> Option<Sample> {
    let all: Vec<&Histogram> = w.histograms().into_iter().map(|(_, h)| &**h).collect();
    let h = if f == Func::AvgOverTime { mean_histogram(&all, place)? } else { sum_histograms(&all, place)? };
    Some(Sample::Histogram(Arc::new(h)))
}

/// The sum of histograms, rounding errors of every count made up for.
pub fn sum_histograms(all: &[&Histogram], place: &Place<'_>) -> Option<Histogram> {
    let has = |hint: ResetHint| all.iter().any(|h| h.hint == hint);
    let mut remarks = Remarks { reset_collision: has(ResetHint::Reset) && has(ResetHint::NotReset), bounds_reconciled: false };
    let mut sum = Sum::default();
    for h in all {
        match sum.add(h) {
            Ok(r) => remarks.bounds_reconciled |= r.bounds_reconciled,
            Err(_) => {
                place.notes.mixed_schemas(place.name(), place.span);
                return None;
            }
        }
    }
    place.remark(remarks, "aggregation");
    sum.finish()
}

/// The mean of histograms. Where the sum overflows, each is divided first.
pub fn mean_histogram(all: &[&Histogram], place: &Place<'_>) -> Option<Histogram> {
    let n = all.len() as f64;
    let sum = sum_histograms(all, place)?;
    if !sum.has_infinity() || all.iter().any(|h| h.has_infinity()) {
        return Some(sum.divided(n));
    }
    let parts: Vec<Histogram> = all.iter().map(|h| h.divided(n)).collect();
    sum_histograms(&parts.iter().collect::<Vec<_>>(), place)
}

/// How often the value changed; a change between float and histogram is one.
fn changes(w: &Window<'_>) -> f64 {
    if w.has_histograms() {
        return (1..w.len()).filter(|&i| differs(&w.sample(i - 1), &w.sample(i))).count() as f64;
    }
    let v = w.values();
    v.windows(2).filter(|p| p[0] != p[1] && !(p[0].is_nan() && p[1].is_nan())).count() as f64
}

/// Whether two samples differ.
pub fn differs(a: &Sample, b: &Sample) -> bool {
    match (a, b) {
        (Sample::Float(a), Sample::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Sample::Histogram(a), Sample::Histogram(b)) => a != b,
        _ => true,
    }
}

/// How often a counter was reset; a change between float and histogram counts.
fn resets(w: &Window<'_>) -> f64 {
    if w.has_histograms() {
        return (1..w.len()).filter(|&i| is_reset(&w.sample(i - 1), &w.sample(i)) || begins(w, i)).count() as f64;
    }
    let v = w.values();
    (1..v.len()).filter(|&i| v[i] < v[i - 1] || begins(w, i)).count() as f64
}

/// Whether a counter was reset between two samples.
pub fn is_reset(a: &Sample, b: &Sample) -> bool {
    match (a, b) {
        (Sample::Float(a), Sample::Float(b)) => b < a,
        (Sample::Histogram(a), Sample::Histogram(b)) => b.resets(a),
        _ => true,
    }
}
