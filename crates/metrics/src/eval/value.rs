//! Values while they are calculated: columns over a grid of steps, one for each series.

use std::sync::Arc;

use base::labels::METRIC_NAME;
use base::{Labels, LabelsBuilder};

use crate::histogram::Histogram;
use crate::spec::STALE_NAN_BITS;

/// Stands in a column where a series has no float. It is the staleness marker, which no calculation ever yields:
/// arithmetic makes NaNs quiet, and the marker is not.
pub const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether a float of a column is there.
#[inline]
pub fn is_present(v: f64) -> bool {
    v.to_bits() != STALE_NAN_BITS
}

/// Whether all floats are there.
pub fn all_present(values: &[f64]) -> bool {
    // To the end in any case: so it is done for several at a time.
    !values.iter().fold(false, |absent, v| absent | !is_present(*v))
}

/// Steps `start, start + step, ...`, `n` of them, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// First step.
    pub start: i64,
    /// Distance; at least 1 even if there is only one step.
    pub step: i64,
    /// Number of steps.
    pub n: usize,
}

impl Grid {
    /// Time of step `i`.
    pub fn at(&self, i: usize) -> i64 {
        self.start + self.step * i as i64
    }
    /// Time of the last step.
    pub fn last(&self) -> i64 {
        self.at(self.n.saturating_sub(1))
    }
    /// Only the first step.
    pub fn first_only(&self) -> Grid {
        Grid { n: 1, ..*self }
    }
}

/// A float or a histogram.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

impl Sample {
    /// How many samples it counts as.
    pub fn weight(&self) -> usize {
        match self {
            Sample::Float(_) => 1,
            Sample::Histogram(h) => h.weight(),
        }
    }
}

/// A series' histograms by step.
pub type Histograms = Vec<Option<Arc<Histogram>>>;

/// One value, or none, for each step of a grid.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// Floats; [`ABSENT`] where there is none.
    pub floats: Vec<f64>,
    /// Histograms, if there is any. Where there is one, there is no float.
    pub histograms: Option<Box<Histograms>>,
}

impl Column {
    /// Nothing at any of `n` steps.
    pub fn absent(n: usize) -> Self {
        Column { floats: vec![ABSENT; n], histograms: None }
    }
    /// These floats.
    pub fn of(floats: Vec<f64>) -> Self {
        Column { floats, histograms: None }
    }
    /// Number of steps.
    pub fn len(&self) -> usize {
        self.floats.len()
    }
    /// The histogram at step `i`.
    #[inline]
    pub fn histogram(&self, i: usize) -> Option<&Arc<Histogram>> {
        self.histograms.as_ref().and_then(|h| h[i].as_ref())
    }
    /// Whether there is a value at step `i`.
    #[inline]
    pub fn has(&self, i: usize) -> bool {
        is_present(self.floats[i]) || self.histogram(i).is_some()
    }
    /// The value at step `i`.
    pub fn get(&self, i: usize) -> Option<Sample> {
        let v = self.floats[i];
        if is_present(v) { Some(Sample::Float(v)) } else { self.histogram(i).cloned().map(Sample::Histogram) }
    }
    /// Sets the value at step `i`.
    pub fn set(&mut self, i: usize, s: Sample) {
        match s {
            Sample::Float(v) => {
                self.floats[i] = v;
                if let Some(h) = &mut self.histograms {
                    h[i] = None;
                }
            }
            Sample::Histogram(h) => {
                self.floats[i] = ABSENT;
                let n = self.floats.len();
                self.histograms.get_or_insert_with(|| Box::new(vec![None; n]))[i] = Some(h);
            }
        }
    }
    /// Removes the value at step `i`.
    pub fn clear(&mut self, i: usize) {
        self.floats[i] = ABSENT;
        if let Some(h) = &mut self.histograms {
            h[i] = None;
        }
    }
    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.floats.iter().all(|v| !is_present(*v)) && self.histograms.as_ref().is_none_or(|h| h.iter().all(Option::is_none))
    }
    /// How many float samples the histograms count for.
    pub fn histogram_weight(&self) -> usize {
        self.histograms.as_ref().map_or(0, |h| h.iter().flatten().map(|h| h.weight()).sum())
    }
    /// Only the floats.
    pub fn without_histograms(mut self) -> Self {
        self.histograms = None;
        self
    }
    /// The first value at each of `n` steps.
    pub fn spread(&self, n: usize) -> Column {
        let histograms = self.histogram(0).map(|h| Box::new(vec![Some(h.clone()); n]));
        Column { floats: vec![self.floats.first().copied().unwrap_or(ABSENT); n], histograms }
    }
}

/// A series of the result of an expression.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its labels, the name still among them.
    pub labels: Labels,
    /// Whether the name no longer says what the values are. It is removed at the end of the query, so that functions
    /// and aggregations can still tell series of different names apart.
    pub drop_name: bool,
    /// Its values.
    pub column: Column,
}

impl Series {
    /// A series whose name is right.
    pub fn new(labels: Labels, column: Column) -> Self {
        Series { labels, drop_name: false, column }
    }
    /// The same series with new values that its name does not describe.
    pub fn derived(&self, column: Column) -> Self {
        Series { labels: self.labels.clone(), drop_name: true, column }
    }
    /// The metric's name, or nothing.
    pub fn name(&self) -> &str {
        self.labels.get(METRIC_NAME).unwrap_or("")
    }
}

/// Value of an expression on a grid.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number at each step.
    Scalar(Vec<f64>),
    /// Series, in the order in which an instant query shows them.
    Vector(Vec<Series>),
    /// A text.
    Text(String),
}

/// Labels that say what a value is, and that go when the value becomes something else: the name, and the type and
/// unit that OTLP metrics may bring along.
pub const NAMING: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// The labels for which `keep` holds.
pub fn keep_labels(labels: &Labels, mut keep: impl FnMut(&str) -> bool) -> Labels {
    let mut b = LabelsBuilder::default();
    for (n, v) in labels {
        if keep(n) {
            b.push(n, v);
        }
    }
    // A subset of a valid label set is valid.
    b.finish().unwrap_or_default()
}

/// The labels without the name and what belongs to it.
pub fn without_name(labels: &Labels) -> Labels {
    keep_labels(labels, |n| !NAMING.contains(&n))
}

/// The labels with these set (or removed, where the value is empty).
pub fn with_labels(labels: &Labels, set: &[(&str, &str)]) -> Labels {
    let mut b = LabelsBuilder::default();
    for (n, v) in labels {
        if !set.iter().any(|(s, _)| *s == n) {
            b.push(n, v);
        }
    }
    for (i, (n, v)) in set.iter().enumerate() {
        if !set[..i].iter().any(|(s, _)| s == n) {
            b.push(n, v);
        }
    }
    b.finish().unwrap_or_default()
}
