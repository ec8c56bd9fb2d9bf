//! `rate`, `increase`, `delta`: what a counter or gauge gained over a window, extrapolated to the window's borders; and
//! `irate`, `idelta`: between the last two samples.

use std::sync::Arc;

use base::Labels;
use base::labels::METRIC_NAME;
use lang::Span;

use crate::eval::notes::Notes;
use crate::eval::value::Sample;
use crate::eval::window::Window;
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
pub fn extrapolated(kind: Kind, w: &Window<'_>, place: &Place<'_>) -> Option<Sample> {
    let began = if w.len() > 0 { began_inside(kind, w) } else { None };
    let times = w.times();
    if !w.has_histograms() {
        let v = w.values();
        if v.len() < 2 && began.is_none() {
            return None;
        }
        check_overlap(kind, w, place);
        let gain = gain(w, kind.counter) + if began.is_some() { v[0] } else { 0.0 };
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

/// Last minus first, and for a counter what was lost at each reset.
fn gain(w: &Window<'_>, counter: bool) -> f64 {
    let v = w.values();
    let mut gain = v[v.len() - 1] - v[0];
    if counter && !(w.never_falls() && w.starts().is_empty()) {
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

/// By how much the gain between the first and the last sample is extended. A series that begins or ends inside the
/// window is extended by half the distance of its samples only, and a counter not to before it was zero; one that `began` inside the
/// window was zero then.
fn factor(kind: Kind, w: &Window<'_>, began: Option<i64>, first: f64, gain: f64) -> f64 {
    let times = w.times();
    let (first_time, last_time) = (times[0], times[times.len() - 1]);
    let mut to_start = (first_time - w.start) as f64 / 1000.0;
    let mut to_end = (w.end - last_time) as f64 / 1000.0;
    let mut sampled = (last_time - first_time) as f64 / 1000.0;
    let between = if times.len() > 1 { sampled / (times.len() - 1) as f64 } else { 0.0 };
    let far = between * 1.1;
    if let Some(began) = began {
        to_start = 0.0;
        sampled = (last_time - began) as f64 / 1000.0;
    } else {
        if to_start >= far {
            to_start = between / 2.0;
        }
        if kind.counter {
            let to_zero = if gain > 0.0 && first >= 0.0 { sampled * (first / gain) } else { to_start };
            to_start = to_start.min(to_zero);
        }
    }
    if to_end >= far {
        to_end = between / 2.0;
    }
    let factor = (sampled + to_start + to_end) / sampled;
    if kind.per_second { factor / ((w.end - w.start) as f64 / 1000.0) } else { factor }
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
    let lowest = hs[1..].iter().chain([&first]).map(|h| h.schema).min().unwrap_or(last.schema);
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
