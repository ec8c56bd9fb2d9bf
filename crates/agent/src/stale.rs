//! Ends series: what was there at the last collection and is not any more gets one staleness marker, so that a query
//! does not show its last value for five more minutes.

use std::collections::HashSet;

use base::Labels;

use crate::deliver::Sample;

/// The value of a staleness marker: a NaN with bits of its own (Prometheus' `value.StaleNaN`).
pub const MARKER: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Remembers the series of the last collection.
#[derive(Default)]
pub struct Ended {
    last: HashSet<Labels>,
}

impl Ended {
    /// Appends a marker at `time_ms` for each series that `samples` no longer has.
    pub fn mark(&mut self, samples: &mut Vec<Sample>, time_ms: i64) {
        let now: HashSet<Labels> = samples.iter().map(|s| s.labels.clone()).collect();
        let mut gone: Vec<&Labels> = self.last.difference(&now).collect();
        gone.sort();
        samples.extend(gone.into_iter().map(|l| Sample::float(l.clone(), time_ms, MARKER)));
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_that_disappears_is_marked_once() {
        let s = |name: &str, t| Sample::float(Labels::from_pairs([("__name__", name)]).unwrap(), t, 1.0);
        let mut ended = Ended::default();
        let mut first = vec![s("a", 1), s("b", 1)];
        ended.mark(&mut first, 1);
        assert_eq!(first.len(), 2);
        let mut second = vec![s("a", 2)];
        ended.mark(&mut second, 2);
        assert_eq!(second[1].labels.get("__name__"), Some("b"));
        assert_eq!((second[1].number().to_bits(), second[1].time_ms), (MARKER.to_bits(), 2));
        let mut third = vec![s("a", 3)];
        ended.mark(&mut third, 3);
        assert_eq!(third.len(), 1, "marked once only");
    }
}
