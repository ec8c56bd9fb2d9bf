//! `deriv`, `predict_linear` and `double_exponential_smoothing`: a line through the samples of a window.

use base::{Error, Kind, Result};

use crate::eval::kahan;
use crate::eval::rate::Place;
use crate::eval::value::Sample;
use crate::eval::window::{Floats, Window};

/// Slope per second and the value at `origin` of the line that fits best.
fn line(times: &[i64], values: &[f64], origin: i64) -> (f64, f64) {
    let first = values[0];
    let constant = values.iter().all(|v| *v == first);
    if constant {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let (mut x, mut y, mut xy, mut xx) = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0));
    for (&t, &v) in times.iter().zip(values) {
        let s = (t - origin) as f64 / 1000.0;
        x = kahan(s, x.0, x.1);
        y = kahan(v, y.0, y.1);
        xy = kahan(s * v, xy.0, xy.1);
        xx = kahan(s * s, xx.0, xx.1);
    }
    let n = values.len() as f64;
    let (x, y, xy, xx) = (x.0 + x.1, y.0 + y.1, xy.0 + xy.1, xx.0 + xx.1);
    let slope = (xy - x * y / n) / (xx - x * x / n);
    (slope, y / n - slope * x / n)
}

/// Times and values of the floats, if there are two of them.
fn enough<'w>(w: &Window<'w>, place: &Place<'_>) -> Option<Floats<'w>> {
    let (t, v) = w.floats();
    if !v.is_empty() && v.len() < w.len() {
        place.notes.ignored_in_range(place.name(), place.span);
    }
    (v.len() >= 2).then_some((t, v))
}

/// `deriv`.
pub fn deriv(w: &Window<'_>, place: &Place<'_>) -> Option<Sample> {
    let (t, v) = enough(w, place)?;
    // From the first sample rather than from 1970: smaller numbers, smaller errors.
    Some(Sample::Float(line(&t, &v, t[0]).0))
}

/// `predict_linear`, `ahead` seconds after the time of evaluation.
pub fn predict_linear(w: &Window<'_>, ahead: f64, place: &Place<'_>) -> Option<Sample> {
    let (t, v) = enough(w, place)?;
    let (slope, now) = line(&t, &v, w.time);
    Some(Sample::Float(slope * ahead + now))
}

/// Checks a smoothing factor.
pub fn check_factor(v: f64, which: &str) -> Result<()> {
    if v > 0.0 && v < 1.0 || v.is_nan() {
        return Ok(());
    }
    Err(Error::new(Kind::Unprocessable, format!("invalid {which} factor. Expected: 0 < {which} factor < 1, got: {v}")))
}

/// `double_exponential_smoothing` with a factor for the values and one for the trend.
pub fn smooth(w: &Window<'_>, values: f64, trend: f64, place: &Place<'_>) -> Option<Sample> {
    let (_, v) = enough(w, place)?;
    let (mut s1, mut b) = (v[0], v[1] - v[0]);
    let mut s0 = 0.0;
    for i in 1..v.len() {
        let x = values * v[i];
        // The trend of the first step is that of the first two samples.
        if i > 1 {
            b = trend * (s1 - s0) + (1.0 - trend) * b;
        }
        let y = (1.0 - values) * (s1 + b);
        (s0, s1) = (s1, x + y);
    }
    Some(Sample::Float(s1))
}
