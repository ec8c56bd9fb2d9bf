//! What the tests of the language share: a store filled from lists of samples, and comparison of numbers.

use std::sync::Arc;

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, UInt32Array};
use base::{Labels, Tenant};
use metrics::SPEC;
use table::MemoryRows;

/// A sample as a test writes it.
#[derive(Clone, Debug)]
pub enum Point {
    Float(f64),
    /// A `Histogram` message.
    #[allow(dead_code)]
    Histogram(Vec<u8>),
}

/// Adds samples of a series by time in milliseconds.
pub fn load(rows: &MemoryRows, labels: Labels, samples: &[(i64, Point)]) {
    load_with_starts(rows, labels, samples, &[]);
}

/// The same, with the start of each sample's counting; none where the list is too short.
pub fn load_with_starts(rows: &MemoryRows, labels: Labels, samples: &[(i64, Point)], starts: &[Option<i64>]) {
    let times: Vec<i64> = samples.iter().map(|s| s.0).collect();
    let values: Vec<f64> = samples.iter().map(|s| if let Point::Float(v) = s.1 { v } else { 0.0 }).collect();
    let mut histograms = BinaryViewBuilder::new();
    for s in samples {
        match &s.1 {
            Point::Float(_) => histograms.append_null(),
            Point::Histogram(h) => histograms.append_value(h),
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from(vec![0; samples.len()])),
        Arc::new(Int64Array::from(times)),
        Arc::new(Float64Array::from(values)),
        Arc::new(histograms.finish()),
        Arc::new((0..samples.len()).map(|i| starts.get(i).copied().flatten()).collect::<Int64Array>()),
    ];
    rows.append(&SPEC, Tenant::default(), labels, RecordBatch::try_new(SPEC.schema(), columns).unwrap());
}

/// Whether two results of the same calculation in another order are equal.
pub fn almost(a: f64, b: f64) -> bool {
    if a == b || a.is_nan() && b.is_nan() {
        return true;
    }
    if !a.is_finite() || !b.is_finite() {
        return false;
    }
    let (s, d) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || s < f64::MIN_POSITIVE { d < 1e-6 * f64::MIN_POSITIVE } else { d / s.min(f64::MAX) < 1e-6 }
}
