//! Adding, subtracting, scaling, comparing of histograms.

use std::sync::Arc;

use crate::histogram::{Buckets, CUSTOM, Histogram, ResetHint, exponential_bound};

/// Two histograms that cannot be calculated with together: one has exponential buckets, the other custom ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incompatible;

/// What should be known about an addition or subtraction that went well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// One side said it was reset, the other that it was not.
    pub reset_collision: bool,
    /// Custom bounds differed; only those that both have were kept.
    pub bounds_reconciled: bool,
}

/// Index of the bucket at a resolution lower by `levels` that holds bucket `index`.
fn coarser(index: i32, levels: i32) -> i32 {
    // Of numbers twice as long: there are resolutions up to 52, and an index may be the least that there is.
    (((i64::from(index) - 1) >> levels) + 1) as i32
}

/// Moves every bucket to the index that `to` says; buckets stay in order and equal indices are added up.
fn reindex(buckets: &Buckets, to: impl Fn(i32) -> i32) -> Buckets {
    let mut out: Buckets = Vec::with_capacity(buckets.len());
    for &(i, c) in buckets {
        let j = to(i);
        match out.last_mut() {
            Some((k, sum)) if *k == j => *sum += c,
            _ => out.push((j, c)),
        }
    }
    out
}

/// `a + sign * b`, bucket by bucket.
fn merge(a: &Buckets, b: &Buckets, sign: f64) -> Buckets {
    let mut out = Vec::with_capacity(a.len().max(b.len()));
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let (x, y) = (a.get(i), b.get(j));
        match (x, y) {
            (Some(x), Some(y)) if x.0 == y.0 => {
                out.push((x.0, x.1 + sign * y.1));
                (i, j) = (i + 1, j + 1);
            }
            (Some(x), y) if y.is_none_or(|y| x.0 < y.0) => {
                out.push(*x);
                i += 1;
            }
            (_, Some(y)) => {
                out.push((y.0, sign * y.1));
                j += 1;
            }
            _ => break,
        }
    }
    out
}

impl Histogram {
    /// The same at a lower resolution.
    pub fn at_schema(&self, schema: i32) -> Histogram {
        if self.schema == schema || self.is_custom() {
            return self.clone();
        }
        let levels = self.schema - schema;
        let side = |b: &Buckets| reindex(b, |i| coarser(i, levels));
        Histogram { schema, positive: side(&self.positive), negative: side(&self.negative), ..self.clone() }
    }

    /// `self + other`.
    pub fn add(&self, other: &Histogram) -> Result<(Histogram, Remarks), Incompatible> {
        self.combine(other, 1.0)
    }
    /// `self - other`.
    pub fn sub(&self, other: &Histogram) -> Result<(Histogram, Remarks), Incompatible> {
        self.combine(other, -1.0)
    }

    fn combine(&self, other: &Histogram, sign: f64) -> Result<(Histogram, Remarks), Incompatible> {
        if self.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        let mut remarks = Remarks::default();
        let hint = combined_hint(self.hint, other.hint, &mut remarks);
        let (mut a, mut b) = if self.is_custom() {
            let (a, b, reconciled) = common_bounds(self, other);
            remarks.bounds_reconciled = reconciled;
            (a, b)
        } else {
            let schema = self.schema.min(other.schema);
            let (mut a, mut b) = (self.clone(), other.clone());
            equalize_zero(&mut a, &mut b);
            (a.at_schema(schema), b.at_schema(schema))
        };
        a.positive = merge(&a.positive, &b.positive, sign);
        a.negative = merge(&a.negative, &b.negative, sign);
        b.positive.clear();
        a.zero_count += sign * b.zero_count;
        a.count += sign * b.count;
        a.sum += sign * b.sum;
        a.hint = hint;
        Ok((a, remarks))
    }

    /// All counts and the sum times `f`.
    pub fn scaled(&self, f: f64) -> Histogram {
        let mut h = self.clone();
        h.each(|c| *c *= f);
        if f < 0.0 {
            h.hint = ResetHint::Gauge;
        }
        h
    }
    /// All counts and the sum divided by `f`; by zero there are no buckets left, for none of them has a count.
    pub fn divided(&self, f: f64) -> Histogram {
        let mut h = self.clone();
        h.each(|c| *c /= f);
        if f == 0.0 {
            h.positive.clear();
            h.negative.clear();
        }
        if f < 0.0 {
            h.hint = ResetHint::Gauge;
        }
        h
    }
    fn each(&mut self, mut f: impl FnMut(&mut f64)) {
        f(&mut self.zero_count);
        f(&mut self.count);
        f(&mut self.sum);
        self.positive.iter_mut().chain(&mut self.negative).for_each(|(_, c)| f(c));
    }

    /// Whether this cannot follow `previous` in a counter without a reset in between.
    pub fn resets(&self, previous: &Histogram) -> bool {
        // Where it says that it was not reset, it speaks of the one before it at its sender; that may not be the one before it here.
        if self.hint == ResetHint::Reset || self.count < previous.count || self.is_custom() != previous.is_custom() {
            return true;
        }
        if self.is_custom() {
            let (now, before, _) = common_bounds(self, previous);
            return shrinks(&now.positive, &before.positive);
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let mut before = previous.clone();
        before.widen_zero(self.zero_threshold);
        if before.zero_threshold != self.zero_threshold || self.zero_count < before.zero_count {
            return true;
        }
        let before = before.at_schema(self.schema);
        shrinks(&self.positive, &before.positive) || shrinks(&self.negative, &before.negative)
    }

    /// Widens the zero bucket to `threshold`, or further, if that lies inside a bucket with observations.
    fn widen_zero(&mut self, mut threshold: f64) {
        if threshold <= self.zero_threshold {
            return;
        }
        let inside = |b: &Buckets, schema: i32, t: f64| {
            b.iter()
                .filter(|(i, c)| *c != 0.0 && exponential_bound(i - 1, schema) < t)
                .map(|(i, _)| exponential_bound(*i, schema))
                .fold(t, f64::max)
        };
        loop {
            let wider = inside(&self.negative, self.schema, inside(&self.positive, self.schema, threshold));
            if wider == threshold {
                break;
            }
            threshold = wider;
        }
        let schema = self.schema;
        // One after the other, from zero outwards, as Prometheus does: whether a counter was reset may depend on the last bit.
        let mut zero = self.zero_count;
        for side in [&mut self.positive, &mut self.negative] {
            side.retain(|(i, c)| {
                let out = exponential_bound(i - 1, schema) >= threshold;
                if !out {
                    zero += c;
                }
                out
            });
        }
        self.zero_count = zero;
        self.zero_threshold = threshold;
    }
}

/// Gives both the same zero bucket.
fn equalize_zero(a: &mut Histogram, b: &mut Histogram) {
    while a.zero_threshold != b.zero_threshold {
        let (narrow, wide) = if a.zero_threshold < b.zero_threshold { (&mut *a, &mut *b) } else { (&mut *b, &mut *a) };
        let want = wide.zero_threshold;
        narrow.widen_zero(want);
    }
}

fn combined_hint(a: ResetHint, b: ResetHint, remarks: &mut Remarks) -> ResetHint {
    use ResetHint as R;
    match (a, b) {
        (a, b) if a == b => a,
        (R::Gauge, _) | (_, R::Gauge) => R::Gauge,
        (R::Reset, R::NotReset) | (R::NotReset, R::Reset) => {
            remarks.reset_collision = true;
            R::Unknown
        }
        _ => R::Unknown,
    }
}

/// Whether any bucket has fewer observations than before.
fn shrinks(now: &Buckets, before: &Buckets) -> bool {
    merge(now, before, -1.0).iter().any(|(_, c)| *c < 0.0)
}

/// Both with the bounds that both have.
fn common_bounds(a: &Histogram, b: &Histogram) -> (Histogram, Histogram, bool) {
    if a.bounds == b.bounds {
        return (a.clone(), b.clone(), false);
    }
    // Both rise. One look at each: there may be tens of thousands of them.
    let mut others = b.bounds.iter().peekable();
    let mut has_other = |x: &f64| {
        while others.next_if(|y| *y < x).is_some() {}
        others.next_if(|y| *y == x).is_some()
    };
    let shared: Arc<[f64]> = a.bounds.iter().copied().filter(|x| has_other(x)).collect();
    let to = |h: &Histogram| {
        let place = |i: i32| {
            let upper = h.borders(i).1;
            shared.partition_point(|b| *b < upper) as i32
        };
        Histogram { schema: CUSTOM, positive: reindex(&h.positive, place), bounds: shared.clone(), ..h.clone() }
    };
    (to(a), to(b), true)
}

/// A sum of histograms that keeps the rounding error of every number apart, so that adding a small histogram to a
/// large one and taking the large one away leaves the small one.
#[derive(Default)]
pub struct Sum {
    total: Option<(Histogram, Histogram)>,
}

impl Sum {
    /// Adds a histogram.
    pub fn add(&mut self, h: &Histogram) -> Result<Remarks, Incompatible> {
        let Some((sum, rest)) = self.total.take() else {
            self.total = Some((h.clone(), Histogram { sum: 0.0, ..h.scaled(0.0) }));
            return Ok(Remarks::default());
        };
        let (added, remarks) = sum.add(h)?;
        // What was lost: each number of the sum against the one before, in the same buckets.
        let zero = |x: &Histogram| Histogram { count: 0.0, sum: 0.0, zero_count: 0.0, positive: vec![], negative: vec![], ..x.clone() };
        let before = zero(&added).add(&sum)?.0;
        let new = zero(&added).add(h)?.0;
        let mut rest = zero(&added).add(&rest)?.0;
        let lost = |b: f64, n: f64, s: f64| {
            if !s.is_finite() {
                0.0
            } else if b.abs() >= n.abs() {
                (b - s) + n
            } else {
                (n - s) + b
            }
        };
        rest.count += lost(before.count, new.count, added.count);
        rest.sum += lost(before.sum, new.sum, added.sum);
        rest.zero_count += lost(before.zero_count, new.zero_count, added.zero_count);
        let side = |b: &Buckets, n: &Buckets, s: &Buckets, r: &Buckets| {
            let at = |x: &Buckets, i: i32| x.binary_search_by_key(&i, |(j, _)| *j).map_or(0.0, |k| x[k].1);
            s.iter().map(|&(i, c)| (i, at(r, i) + lost(at(b, i), at(n, i), c))).collect()
        };
        rest.positive = side(&before.positive, &new.positive, &added.positive, &rest.positive);
        rest.negative = side(&before.negative, &new.negative, &added.negative, &rest.negative);
        self.total = Some((added, rest));
        Ok(remarks)
    }
    /// The sum; `None` if nothing was added.
    pub fn finish(self) -> Option<Histogram> {
        let (sum, rest) = self.total?;
        let hint = sum.hint;
        let infinite = !sum.sum.is_finite();
        let mut h = sum.add(&rest).ok()?.0;
        if infinite {
            h.sum = sum.sum;
        }
        h.hint = hint;
        Some(h)
    }
}
