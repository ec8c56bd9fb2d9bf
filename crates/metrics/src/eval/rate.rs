//! `rate`, `increase`, `delta`: what a counter or gauge gained over a window, extrapolated to the window's borders; and
//! `irate`, `idelta`: between the last two samples.

use std::sync::Arc;

use base::Labels;
use base::labels::METRIC_NAME;
use lang::Span;

use crate::eval::alike::Alike;
use crate::eval::notes::Notes;
use crate::eval::value::Sample;
use crate::eval::window::{Shape, Window};
use crate::histogram::{Histogram, Remarks, ResetHint};

/// Which of the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Resets are made up for.
    pub counter: bool,
    /// Per second.
    pub per_second: bool,
}

/// What a calculation on a window may need to say something about it.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Labels of the series.
    pub labels: &'a Labels,
    /// Where the window is written.
    pub span: Span,
    /// Where it is said.
    pub notes: &'a Notes<'a>,
}

impl Place<'_> {
    /// The metric's name.
    pub fn name(&self) -> &str {
        self.labels.get(METRIC_NAME).unwrap_or("")
    }
    /// Says what an addition of histograms remarked.
    pub fn remark(&self, r: Remarks, what: &str) {
        if r.reset_collision {
            self.notes.warn(&format!("conflicting counter resets during histogram {what}"), self.span);
        }
        if r.bounds_reconciled {
            self.notes.info(&format!("mismatched custom buckets were reconciled during {what}"), self.span);
        }
    }
}

/// Whether a name looks like a counter's.
pub fn looks_like_counter(name: &str) -> bool {
    name.is_empty() || ["_total", "_sum", "_count", "_bucket"].iter().any(|s| name.ends_with(s))
}

/// Whether a counter began anew with the sample at position `i`, by what it says of its start. A start that is not before the sample
/// itself is none. One at the very time of the sample before is what deltas have, and a cumulative series of unknown start too, but
/// that one has no start before it.
pub fn begins(w: &Window<'_>, i: usize) -> bool {
    let (starts, times) = (w.starts(), w.times());
    if i == 0 || i >= starts.len() || starts[i] == 0 || starts[i] >= times[i] || starts[i] < times[i - 1] {
        return false;
    }
    let before = starts[i - 1];
    starts[i] > times[i - 1] || (before <= times[i - 1] && before != 0 && before != times[i - 1])
}

/// The start of the first sample, if a counter began with zero inside the window.
fn began_inside(kind: Kind, w: &Window<'_>) -> Option<i64> {
    let start = *w.starts().first()?;
    (kind.counter && start != 0 && start > w.start && start < w.times()[0]).then_some(start)
}

/// Says when a sample's counting begins before the sample before it, and not where that one's did.
fn check_overlap(kind: Kind, w: &Window<'_>, place: &Place<'_>) {
    let (starts, times) = (w.starts(), w.times());
    let overlaps = |i: usize| starts[i] != 0 && starts[i] < times[i - 1] && starts[i] != starts[i - 1];
    if kind.counter && (1..starts.len()).any(overlaps) {
        place.notes.start_overlap(place.name(), place.span);
    }
}

/// `rate`, `increase`, `delta`.
#[inline]
pub fn extrapolated(kind: Kind, w: &Window<'_>, place: &Place<'_>) -> Option<Sample> {
    let began = if w.len() > 0 { began_inside(kind, w) } else { None };
    let times = w.times();
    if !w.has_histograms() {
        let v = w.values();
        if v.len() < 2 && began.is_none() {
            return None;
        }
        check_overlap(kind, w, place);
        let mut gain = gain(w, kind.counter);
        if began.is_some() {
            gain += v[0];
        }
        return Some(Sample::Float(gain * factor(kind, w, began, v[0], gain)));
    }
    let all = w.histograms();
    if all.len() < w.len() {
        place.notes.mixed(place.name(), place.span);
        return None;
    }
    if all.len() < 2 && began.is_none() {
        return None;
    }
    check_overlap(kind, w, place);
    let hs: Vec<&Histogram> = all.iter().map(|(_, h)| &***h).collect();
    let anew: Vec<bool> = (0..hs.len()).map(|i| begins(w, i)).collect();
    let mut gain = if hs.len() < 2 { None } else { Some(histogram_gain(&hs, &anew, kind.counter, place)?) };
    if began.is_some() {
        gain = Some(match gain {
            None => Histogram { hint: ResetHint::Gauge, ..hs[0].clone() },
            Some(g) => match g.add(hs[0]) {
                Ok((sum, remarks)) => {
                    place.remark(Remarks { reset_collision: false, ..remarks }, "addition");
                    Histogram { hint: ResetHint::Gauge, ..sum }
                }
                Err(_) => {
                    place.notes.mixed_schemas(place.name(), place.span);
                    return None;
                }
            },
        });
    }
    let gain = gain?;
    debug_assert_eq!(times.len(), hs.len());
    let factor = factor(kind, w, began, hs[0].count, gain.count);
    Some(Sample::Histogram(Arc::new(gain.scaled(factor))))
}

/// [`extrapolated`] of windows that lie alike, of two samples or more.
pub fn extrapolated_alike(kind: Kind, w: &Alike<'_>, out: &mut [f64]) {
    if !kind.counter || w.rises() {
        for (out, (first, last)) in out.iter_mut().zip(w.ends()) {
            let gain = last - first;
            *out = gain * factor_of(kind, &w.shape, first, gain);
        }
        return;
    }
    for (out, v) in out.iter_mut().zip(w.windows()) {
        let mut gain = v[v.len() - 1] - v[0];
        // One after the other, as in a single window: so the sum is the same to the last bit.
        v.windows(2).filter(|p| p[1] < p[0]).for_each(|p| gain += p[0]);
        *out = gain * factor_of(kind, &w.shape, v[0], gain);
    }
}

/// Last minus first, and for a counter what was lost at each reset.
fn gain(w: &Window<'_>, counter: bool) -> f64 {
    let v = w.values();
    let mut gain = v[v.len() - 1] - v[0];
    if counter && !(w.starts().is_empty() && w.rises()) {
        let mut previous = v[0];
        for (i, &x) in v.iter().enumerate().skip(1) {
            if x < previous || begins(w, i) {
                gain += previous;
            }
            previous = x;
        }
    }
    gain
}

/// By how much the gain between the first and the last sample is extended (see [`Shape`]). A counter that `began` inside the window was
/// zero then.
#[inline]
fn factor(kind: Kind, w: &Window<'_>, began: Option<i64>, first: f64, gain: f64) -> f64 {
    let shape = w.shape();
    let Some(began) = began else { return factor_of(kind, &shape, first, gain) };
    let sampled = (w.times()[w.len() - 1] - began) as f64 / 1000.0;
    let factor = (sampled + shape.to_end) / sampled;
    if kind.per_second { factor / shape.width } else { factor }
}

/// The same for samples that nothing more is known of. A counter is not extended to before it was zero.
#[inline]
fn factor_of(kind: Kind, shape: &Shape, first: f64, gain: f64) -> f64 {
    // One that is twice its gain was zero further away than a sample and a tenth, which is the furthest that counts. All is compared in any
    // case: hardly any is less than twice its gain, but whether there is a gain at all cannot be guessed.
    if !(kind.counter && (gain > 0.0) & (first >= 0.0) & (first < 2.0 * gain)) {
        return if kind.per_second { shape.factor_per_second } else { shape.factor };
    }
    let sampled = shape.sampled;
    let to_start = shape.to_start.min(sampled * (first / gain));
    let factor = (sampled + to_start + shape.to_end) / sampled;
    if kind.per_second { factor / shape.width } else { factor }
}

/// The gain of histograms; `anew` says of each whether it begins anew by its start.
pub fn histogram_gain(hs: &[&Histogram], anew: &[bool], counter: bool, place: &Place<'_>) -> Option<Histogram> {
    // A reset right after the first sample hides it: what is counted since is all there is.
    let empty = Histogram { schema: hs[1].schema, bounds: hs[1].bounds.clone(), ..Histogram::default() };
    let (first, last) = (if counter && (anew[1] || hs[1].resets(hs[0])) { &empty } else { hs[0] }, hs[hs.len() - 1]);
    if hs[1..].iter().any(|h| h.is_custom() != first.is_custom()) && (counter || last.is_custom() != first.is_custom()) {
        place.notes.mixed_schemas(place.name(), place.span);
        return None;
    }
    let gauges = hs.iter().filter(|h| h.hint == ResetHint::Gauge).count();
    if counter && gauges > 0 {
        place.notes.warn(&format!("this native histogram metric is not a counter: {:?}", place.name()), place.span);
    }
    if !counter && (hs[0].hint != ResetHint::Gauge || last.hint != ResetHint::Gauge) {
        place.notes.warn(&format!("this native histogram metric is not a gauge: {:?}", place.name()), place.span);
    }
    let mut previous = first;
    let combined = |r: Result<(Histogram, Remarks), crate::histogram::Incompatible>, what: &str| match r {
        Ok((h, remarks)) => {
            place.remark(Remarks { reset_collision: false, ..remarks }, what);
            Some(h)
        }
        Err(_) => {
            place.notes.mixed_schemas(place.name(), place.span);
            None
        }
    };
    // Of a gauge, what lies between the first and the last is not looked at.
    let between = if counter { &hs[1..] } else { &[] };
    let lowest = between.iter().chain([&first, &last]).map(|h| h.schema).min().unwrap_or(last.schema);
    let mut gain = combined(last.at_schema(lowest).sub(previous), "subtraction")?;
    if counter {
        for (h, anew) in hs.iter().zip(anew).skip(1) {
            // The hint says what came before; with the first sample hidden that no longer counts.
            let hidden = std::ptr::eq(previous, &empty);
            if !hidden && (*anew || h.resets(previous)) {
                gain = combined(gain.add(previous), "addition")?;
            }
            previous = h;
        }
    }
    gain.hint = ResetHint::Gauge;
    Some(gain.compact())
}

/// `irate` and `idelta`.
pub fn instant(per_second: bool, w: &Window<'_>, place: &Place<'_>) -> Option<Sample> {
    let n = w.len();
    if n < 2 {
        return None;
    }
    let seconds = (w.times()[n - 1] - w.times()[n - 2]) as f64 / 1000.0;
    if seconds == 0.0 {
        return None;
    }
    match (w.sample(n - 2), w.sample(n - 1)) {
        (Sample::Float(a), Sample::Float(b)) => {
            let gain = if per_second && (b < a || begins(w, n - 1)) { b } else { b - a };
            Some(Sample::Float(if per_second { gain / seconds } else { gain }))
        }
        (Sample::Histogram(a), Sample::Histogram(b)) => {
            let is_gauge = a.hint == ResetHint::Gauge || b.hint == ResetHint::Gauge;
            if per_second && is_gauge {
                place.notes.warn(&format!("this native histogram metric is not a counter: {:?}", place.name()), place.span);
            }
            let gauges = a.hint == ResetHint::Gauge && b.hint == ResetHint::Gauge;
            if !per_second && !gauges {
                place.notes.warn(&format!("this native histogram metric is not a gauge: {:?}", place.name()), place.span);
            }
            let mut gain = if per_second && (begins(w, n - 1) || b.resets(&a)) {
                (*b).clone()
            } else {
                match b.sub(&a) {
                    Ok((h, remarks)) => {
                        place.remark(Remarks { reset_collision: false, ..remarks }, "subtraction");
                        h
                    }
                    Err(_) => {
                        place.notes.mixed_schemas(place.name(), place.span);
                        return None;
                    }
                }
            };
            gain.hint = ResetHint::Gauge;
            let gain = if per_second { gain.divided(seconds) } else { gain };
            Some(Sample::Histogram(Arc::new(gain.compact())))
        }
        _ => {
            place.notes.mixed(place.name(), place.span);
            None
        }
    }
}
