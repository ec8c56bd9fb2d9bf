//! Checks a native histogram as it is received: one that is taken can be read, calculated with and printed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metrics::histogram::{Histogram, Sum};

fuzz_target!(|body: &[u8]| {
    // Two messages, so that histograms of different resolutions and bounds come together.
    let Some((&at, rest)) = body.split_first() else { return };
    let (first, second) = rest.split_at(usize::from(at).min(rest.len()));
    let mut taken = vec![];
    for message in [first, second] {
        let checked = Histogram::check(message);
        let Some(h) = Histogram::decode(message) else {
            assert!(checked.is_err(), "what is taken can be read");
            continue;
        };
        if checked.is_ok() {
            taken.push(h);
        }
    }
    let mut sum = Sum::default();
    for h in &taken {
        h.all_buckets();
        for q in [-1.0, 0.0, 0.5, 0.99, 1.0, 2.0, f64::NAN] {
            h.quantile(q);
        }
        h.fraction(-1.0, 1.0);
        h.variance();
        h.trimmed(0.5, true);
        h.trimmed(0.5, false);
        h.scaled(-0.5);
        h.divided(0.0);
        assert!(!h.to_string().is_empty());
        for schema in -4..=h.schema.min(8) {
            h.at_schema(schema);
        }
        for other in &taken {
            h.resets(other);
            let _ = (h.add(other), h.sub(other));
        }
        let _ = sum.add(h);
    }
    sum.finish();
});
