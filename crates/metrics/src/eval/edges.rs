//! `anchored` and `smoothed` ranges: the differences of a window taken between its very borders. Anchored, the last
//! sample at or before a border stands for it; smoothed, the value there is interpolated between the samples around it.

use std::sync::Arc;

use base::Labels;
use lang::Span;

use crate::eval::notes::Notes;
use crate::eval::over_time::{differs, is_reset};
use crate::eval::rate::{Kind, Place};
use crate::eval::value::Sample;
use crate::eval::window::Window;
use crate::histogram::{Histogram, Incompatible, ResetHint};
use crate::promql::function::Func;

/// Why there is no result.
enum Trouble {
    Mixed,
    Schemas,
}

impl From<Incompatible> for Trouble {
    fn from(_: Incompatible) -> Self {
        Trouble::Schemas
    }
}

type Tried<T> = Result<T, Trouble>;

fn combine(a: &Sample, b: &Sample, sign: f64) -> Tried<Sample> {
    Ok(match (a, b) {
        (Sample::Float(a), Sample::Float(b)) => Sample::Float(a + sign * b),
        (Sample::Histogram(a), Sample::Histogram(b)) => {
            let r = if sign > 0.0 { a.add(b)? } else { a.sub(b)? };
            Sample::Histogram(Arc::new(r.0))
        }
        _ => return Err(Trouble::Mixed),
    })
}

fn scale(a: &Sample, f: f64) -> Sample {
    match a {
        Sample::Float(v) => Sample::Float(v * f),
        Sample::Histogram(h) => Sample::Histogram(Arc::new(h.scaled(f))),
    }
}

/// The value at `t` between two samples. Across a reset of a counter, the left border of a window sees what was counted
/// since the reset, the right border goes on counting from before it.
fn between(a: &(i64, Sample), b: &(i64, Sample), t: i64, counter: bool, left: bool) -> Tried<Sample> {
    let fraction = (t - a.0) as f64 / (b.0 - a.0) as f64;
    if std::mem::discriminant(&a.1) != std::mem::discriminant(&b.1) {
        return Err(Trouble::Mixed);
    }
    if counter && is_reset(&a.1, &b.1) {
        let part = scale(&b.1, fraction);
        return if left { Ok(part) } else { combine(&a.1, &part, 1.0).map(continued) };
    }
    let rise = scale(&combine(&b.1, &a.1, -1.0)?, fraction);
    combine(&a.1, &rise, 1.0)
}

/// A sample that goes on from the one before, whatever it said of the one it followed in the store.
fn continued(s: Sample) -> Sample {
    match s {
        Sample::Histogram(h) if h.hint == ResetHint::Reset => {
            Sample::Histogram(Arc::new(Histogram { hint: ResetHint::NotReset, ..(*h).clone() }))
        }
        s => s,
    }
}

/// The samples of a window with its borders. `None` if there is no sample in it to speak of.
fn extended(w: &Window<'_>, smoothed: bool, counter: bool) -> Tried<Option<Vec<Sample>>> {
    let mut points: Vec<(i64, Sample)> = w.before(1).into_iter().collect();
    points.extend((0..w.len()).map(|i| (w.times()[i], w.sample(i))));
    let after = w.after().filter(|_| smoothed && w.times().last() != Some(&w.end));
    if points.is_empty() || w.len() == 0 && after.is_none() {
        return Ok(None);
    }
    let right = match (&after, points.last()) {
        (Some(next), Some(last)) => Some(between(last, next, w.end, counter, false)?),
        _ => None,
    };
    if smoothed
        && points[0].0 < w.start
        && let Some(second) = points.get(1).or(after.as_ref())
    {
        let left = between(&points[0], second, w.start, counter, true)?;
        points[0] = (w.start, left);
        // A reset between the two is made up for.
        if let Some(p) = points.get_mut(1) {
            p.1 = continued(p.1.clone());
        }
    }
    let mut out: Vec<Sample> = points.into_iter().map(|p| p.1).collect();
    out.extend(right);
    Ok(Some(out))
}

fn say(r: Tried<Option<Sample>>, place: &Place<'_>) -> Option<Sample> {
    match r {
        Ok(v) => v,
        Err(Trouble::Mixed) => {
            place.notes.mixed(place.name(), place.span);
            None
        }
        Err(Trouble::Schemas) => {
            place.notes.mixed_schemas(place.name(), place.span);
            None
        }
    }
}

/// `rate`, `increase`, `delta` between the borders.
pub fn gain(kind: Kind, smoothed: bool, w: &Window<'_>, place: &Place<'_>) -> Option<Sample> {
    let calculate = || -> Tried<Option<Sample>> {
        let Some(points) = extended(w, smoothed, kind.counter)? else { return Ok(None) };
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(None) };
        if points.iter().any(|p| std::mem::discriminant(p) != std::mem::discriminant(first)) {
            return Err(Trouble::Mixed);
        }
        let custom = |s: &Sample| matches!(s, Sample::Histogram(h) if h.is_custom());
        if points.iter().any(|p| custom(p) != custom(first)) {
            return Err(Trouble::Schemas);
        }
        let gauge = |s: &Sample| matches!(s, Sample::Float(_)) || matches!(s, Sample::Histogram(h) if h.hint == ResetHint::Gauge);
        if !kind.counter && !points.iter().all(gauge) {
            place.notes.warn(&format!("this native histogram metric is not a gauge: {:?}", place.name()), place.span);
        }
        let mut gain = combine(last, first, -1.0)?;
        if kind.counter {
            for p in points.windows(2).filter(|p| is_reset(&p[0], &p[1])) {
                gain = combine(&gain, &p[0], 1.0)?;
            }
        }
        let seconds = (w.end - w.start) as f64 / 1000.0;
        Ok(Some(finish(if kind.per_second { scale(&gain, 1.0 / seconds) } else { gain })))
    };
    say(calculate(), place)
}

fn finish(s: Sample) -> Sample {
    match s {
        Sample::Histogram(h) => Sample::Histogram(Arc::new(Histogram { hint: ResetHint::Gauge, ..(*h).clone().compact() })),
        f => f,
    }
}

/// `changes` and `resets` with the sample that the window begins with.
pub fn count(f: Func, w: &Window<'_>, place: &Place<'_>) -> Option<Sample> {
    let calculate = || -> Tried<Option<Sample>> {
        let Some(points) = extended(w, false, false)? else { return Ok(None) };
        let test = if f == Func::Changes { differs } else { is_reset };
        Ok(Some(Sample::Float(points.windows(2).filter(|p| test(&p[0], &p[1])).count() as f64)))
    };
    say(calculate(), place)
}

/// The value at `t` from the samples around it that lie within `lookback`.
pub fn smooth_at(w: &Window<'_>, t: i64, lookback: i64, labels: &Labels, span: Span, notes: &Notes<'_>) -> Option<Sample> {
    let times = w.times();
    let n = times.partition_point(|x| *x <= t);
    let i = n.checked_sub(1).filter(|&i| times[i] > t - lookback)?;
    let a = (times[i], w.sample(i));
    if a.0 == t || n == w.len() {
        return Some(a.1);
    }
    let b = (times[n], w.sample(n));
    say(between(&a, &b, t, false, false).map(Some), &Place { labels, span, notes })
}
