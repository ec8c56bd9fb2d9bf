//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction`: over classic histograms, whose buckets are
//! series with the label `le`, and over native ones.

use std::collections::HashMap;

use base::labels::METRIC_NAME;
use base::{Labels, Result};
use lang::Span;

use crate::eval::Evaluator;
use crate::eval::notes::of_metric;
use crate::eval::value::{Column, Grid, Sample, Series, is_present, keep_labels, with_labels};
use crate::histogram::Histogram;
use crate::promql::function::Func;
use crate::promql::plan::{CallPlan, Plan};

/// The label with a bucket's upper bound.
const BOUND: &str = "le";
/// Counts this close together are the same: differences of sums of floats.
const TOLERANCE: f64 = 1e-12;

/// A bucket: its upper bound and how many observations are not above it.
type Bucket = (f64, f64);

/// What was put right in the buckets.
#[derive(Default, PartialEq, Debug)]
struct Fixed {
    forced: bool,
}

fn almost_equal(a: f64, b: f64) -> bool {
    let d = (a - b).abs();
    let s = a.abs() + b.abs();
    a == b
        || if a == 0.0 || b == 0.0 || s < f64::MIN_POSITIVE { d < TOLERANCE * f64::MIN_POSITIVE } else { d / s.min(f64::MAX) < TOLERANCE }
}

/// Puts equal bounds together and makes the counts rise; buckets come sorted. Counts may fall where the buckets of one
/// scrape were not taken at one instant.
fn straighten(buckets: &mut Vec<Bucket>) -> Fixed {
    buckets.dedup_by(|b, a| {
        let same = a.0 == b.0;
        if same {
            a.1 += b.1;
        }
        same
    });
    let mut fixed = Fixed::default();
    let mut before = buckets.first().map_or(0.0, |b| b.1);
    for b in buckets.iter_mut().skip(1) {
        if b.1 != before && almost_equal(before, b.1) {
            b.1 = before;
        } else if b.1 < before {
            b.1 = before;
            fixed.forced = true;
        } else {
            before = b.1;
        }
    }
    fixed
}

fn is_whole(buckets: &[Bucket]) -> bool {
    buckets.last().is_some_and(|b| b.0 == f64::INFINITY)
}

/// The quantile of sorted buckets, with linear interpolation.
fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Fixed) {
    let plain = |v| (v, Fixed::default());
    if q.is_nan() || !is_whole(buckets) {
        return plain(f64::NAN);
    }
    if q < 0.0 {
        return plain(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return plain(f64::INFINITY);
    }
    let fixed = straighten(buckets);
    let last = buckets.len() - 1;
    let all = buckets[last].1;
    if last == 0 || all == 0.0 || all.is_nan() {
        return (f64::NAN, fixed);
    }
    let mut rank = q * all;
    let b = buckets[..last].partition_point(|b| b.1 < rank);
    if b == last {
        return (buckets[last - 1].0, fixed);
    }
    if b == 0 && buckets[0].0 <= 0.0 {
        return (buckets[0].0, fixed);
    }
    let (mut start, end, mut count) = (0.0, buckets[b].0, buckets[b].1);
    if b > 0 {
        start = buckets[b - 1].0;
        count -= buckets[b - 1].1;
        rank -= buckets[b - 1].1;
    }
    (start + (end - start) * (rank / count), fixed)
}

/// The fraction of observations between two values.
fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> (f64, Fixed) {
    if !is_whole(buckets) {
        return (f64::NAN, Fixed::default());
    }
    let fixed = straighten(buckets);
    let count = buckets[buckets.len() - 1].1;
    if buckets.len() < 2 || count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, fixed);
    }
    if lower >= upper {
        return (0.0, fixed);
    }
    let rank_of = |v: f64| {
        let mut rank = 0.0;
        for (i, b) in buckets.iter().enumerate() {
            let from = match i {
                0 if b.0 > 0.0 => 0.0,
                0 => f64::NEG_INFINITY,
                _ => buckets[i - 1].0,
            };
            if from >= v {
                return rank;
            }
            if b.0 > v {
                if from == f64::NEG_INFINITY {
                    return b.1;
                }
                return rank + (b.1 - rank) * (v - from) / (b.0 - from);
            }
            rank = b.1;
        }
        count
    };
    ((rank_of(upper).min(count) - rank_of(lower).min(count)) / count, fixed)
}

/// What there is under one set of labels.
#[derive(Default)]
struct Source {
    /// Bounds and positions of the bucket series, by bound.
    buckets: Vec<(f64, usize)>,
    /// Positions of series that may hold native histograms.
    native: Vec<usize>,
    /// Labels of the result.
    labels: Labels,
}

impl Source {
    fn name(&self) -> &str {
        self.labels.get(METRIC_NAME).unwrap_or("")
    }
}

/// Which figure of a histogram, with its parameters at each step.
enum Figure<'p> {
    Quantile(&'p [f64]),
    Fraction(&'p [f64], &'p [f64]),
}

impl Evaluator<'_> {
    /// `histogram_quantile` and `histogram_fraction`.
    pub(super) fn histogram_figure(&self, c: &CallPlan, grid: &Grid) -> Result<Vec<Series>> {
        if c.func == Func::HistogramFraction {
            let (lower, upper) = (self.scalar(&c.args[0], grid)?, self.scalar(&c.args[1], grid)?);
            let sources = self.sources(&c.args[2], c, 2, grid)?;
            return self.figure(&Figure::Fraction(&lower, &upper), &sources, c, 2, grid);
        }
        let q = self.scalar(&c.args[0], grid)?;
        self.check_quantiles(&q, c, 0);
        let sources = self.sources(&c.args[1], c, 1, grid)?;
        self.figure(&Figure::Quantile(&q), &sources, c, 1, grid)
    }

    /// `histogram_quantiles(v, "label", q...)`: each quantile as a series with the quantile in a label.
    pub(super) fn histogram_quantiles(&self, c: &CallPlan, grid: &Grid) -> Result<Vec<Series>> {
        let sources = self.sources(&c.args[0], c, 0, grid)?;
        let Plan::Text(label) = &c.args[1] else { return Ok(vec![]) };
        let mut out = vec![];
        for (i, arg) in c.args.iter().enumerate().skip(2) {
            let q = self.scalar(arg, grid)?;
            self.check_quantiles(&q, c, i);
            let text = q.first().map_or(String::new(), |q| {
                let t = lang::number::format(*q);
                if q.is_finite() && q.fract() == 0.0 { format!("{t}.0") } else { t }
            });
            for mut s in self.figure(&Figure::Quantile(&q), &sources, c, 0, grid)? {
                s.labels = with_labels(&s.labels, &[(label, &text)]);
                out.push(s);
            }
        }
        Ok(out)
    }

    fn check_quantiles(&self, q: &[f64], c: &CallPlan, arg: usize) {
        for q in q.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
            self.notes.warn(&format!("quantile value should be between 0 and 1, got {}", lang::number::general(*q)), c.spans[arg]);
        }
    }

    /// The series of a vector sorted into histograms.
    fn sources(&self, plan: &Plan, c: &CallPlan, arg: usize, grid: &Grid) -> Result<(Vec<Series>, Vec<Source>)> {
        let series = self.vector(plan, grid)?;
        let mut index: HashMap<Labels, usize> = HashMap::new();
        let mut list: Vec<Source> = vec![];
        let mut of = |labels: Labels, list: &mut Vec<Source>| {
            *index.entry(labels.clone()).or_insert_with(|| {
                list.push(Source { labels, ..Source::default() });
                list.len() - 1
            })
        };
        for (i, s) in series.iter().enumerate() {
            if s.column.histograms.is_some() {
                let k = of(s.labels.clone(), &mut list);
                list[k].native.push(i);
            }
            if !s.column.floats.iter().any(|v| is_present(*v)) {
                continue;
            }
            let text = s.labels.get(BOUND).unwrap_or("");
            let Some(bound) = lang::number::parse(text) else {
                let what = format!("bucket label {BOUND:?} is missing or has a malformed value of {text:?}{}", of_metric(s.name()));
                self.notes.warn(&what, c.spans[arg]);
                continue;
            };
            let k = of(keep_labels(&s.labels, |n| n != BOUND), &mut list);
            list[k].buckets.push((bound, i));
        }
        for s in &mut list {
            s.buckets.retain(|b| !b.0.is_nan());
            s.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Ok((series, list))
    }

    fn figure(
        &self,
        f: &Figure<'_>,
        (series, list): &(Vec<Series>, Vec<Source>),
        c: &CallPlan,
        arg: usize,
        grid: &Grid,
    ) -> Result<Vec<Series>> {
        let mut out = vec![];
        let mut here: Vec<Bucket> = vec![];
        for source in list {
            self.check()?;
            let mut column = Column::absent(grid.n);
            let mut forced = false;
            for i in 0..grid.n {
                here.clear();
                here.extend(source.buckets.iter().map(|&(le, s)| (le, series[s].column.floats[i])).filter(|b| is_present(b.1)));
                let native = source.native.iter().find_map(|&s| series[s].column.get(i).filter(|v| matches!(v, Sample::Histogram(_))));
                let value = match native {
                    Some(_) if !here.is_empty() => {
                        let what = format!("vector contains a mix of classic and native histograms{}", of_metric(source.name()));
                        self.notes.warn(&what, c.spans[arg]);
                        continue;
                    }
                    Some(Sample::Histogram(h)) => self.native_quantity(f, &h, i, source.name(), c.spans[arg]),
                    _ if here.is_empty() => continue,
                    _ => {
                        let (v, fixed) = match f {
                            Figure::Quantile(q) => quantile(q[i], &mut here),
                            Figure::Fraction(a, b) => fraction(a[i], b[i], &mut here),
                        };
                        forced |= fixed.forced;
                        v
                    }
                };
                column.floats[i] = value;
            }
            if forced {
                let what = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
                self.notes.info(&format!("{what}{}", of_metric(source.name())), c.spans[arg]);
            }
            if !column.is_empty() {
                out.push(Series { labels: source.labels.clone(), drop_name: true, column });
            }
        }
        Ok(out)
    }

    /// The figure of a native histogram at a step. Says so if observations of NaN, which are in no bucket, have a part in it.
    fn native_quantity(&self, f: &Figure<'_>, h: &Histogram, i: usize, name: &str, span: Span) -> f64 {
        let missing = || if h.sum.is_nan() && h.count != 0.0 { h.count - h.in_buckets() } else { 0.0 };
        match f {
            Figure::Quantile(q) => {
                let missing = if (0.0..=1.0).contains(&q[i]) { missing() } else { 0.0 };
                if missing > 0.0 {
                    let beyond = h.count - missing < q[i] * h.count;
                    let what = if beyond { "result is NaN" } else { "result is skewed higher" };
                    self.notes.nan_observations("histogram_quantile", what, name, span);
                }
                h.quantile(q[i])
            }
            Figure::Fraction(a, b) => {
                if a[i] < b[i] && missing() > 0.0 {
                    self.notes.nan_observations("histogram_fraction", "which are excluded from all fractions", name, span);
                }
                h.fraction(a[i], b[i])
            }
        }
    }
}
