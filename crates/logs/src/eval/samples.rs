//! Samples of unwrapped labels. They come oldest slice first, so a window is computed as soon as a later slice begins,
//! and what no later window needs is let go.

use base::{Labels, Result};

use super::Series;
use super::budget::{self, Budget, ENTRY_BYTES, POINT_BYTES};
use super::metric::Sink;
use super::steps::Windows;

/// A sample: nanoseconds, value.
pub type Sample = (i64, f64);

#[derive(Default)]
struct Held {
    samples: Vec<Sample>,
    sorted: bool,
    points: Vec<(u32, f64)>,
}

/// The samples of the windows that are not computed yet, and the points of those that are.
pub struct Samples<'b, F> {
    windows: Windows,
    function: F,
    series: Vec<Held>,
    next: u32,
    budget: &'b Budget,
    /// Of the budget.
    taken: usize,
}

impl<'b, F: Fn(&mut Vec<f64>, (i64, i64), &[Sample]) -> f64> Samples<'b, F> {
    /// `function` computes a window that has samples; its arguments are scratch space, the window's edges and samples.
    pub fn new(windows: Windows, budget: &'b Budget, function: F) -> Self {
        Samples { windows, function, series: vec![], next: 0, budget, taken: 0 }
    }

    fn take(&mut self, bytes: usize) -> Result<()> {
        self.taken += bytes;
        self.budget.take(bytes)
    }

    /// The points of all series.
    pub fn finish(mut self, labels: &[Labels]) -> Result<Vec<Series>> {
        self.slice(i64::MAX)?;
        let with_points = self.series.into_iter().zip(labels).filter(|(s, _)| !s.points.is_empty());
        let out: Vec<Series> = with_points.map(|(s, l)| Series { labels: l.clone(), points: s.points }).collect();
        self.budget.swap(self.taken, budget::weight(&out))?;
        Ok(out)
    }
}

impl<F: Fn(&mut Vec<f64>, (i64, i64), &[Sample]) -> f64> Sink for Samples<'_, F> {
    fn row(&mut self, number: u32, time: i64, _: usize, value: f64) -> Result<()> {
        let n = number as usize;
        if self.series.len() <= n {
            self.take((n + 1 - self.series.len()) * ENTRY_BYTES)?;
            self.series.resize_with(n + 1, Held::default);
        }
        self.take(POINT_BYTES)?;
        let held = &mut self.series[n];
        held.sorted = held.samples.is_empty() || held.sorted && held.samples.last().is_some_and(|s| s.0 <= time);
        held.samples.push((time, value));
        Ok(())
    }

    fn slice(&mut self, time: i64) -> Result<()> {
        let from = self.next;
        while self.next < self.windows.count() && self.windows.end(self.next) < time {
            self.next += 1;
        }
        if from == self.next {
            return Ok(());
        }
        let keep_after = if self.next < self.windows.count() { self.windows.before(self.next) } else { i64::MAX };
        let mut scratch = vec![];
        let mut taken = self.series.len() * ENTRY_BYTES;
        for s in &mut self.series {
            if !s.sorted {
                s.samples.sort_by_key(|s| s.0);
                s.sorted = true;
            }
            for k in from..self.next {
                let lo = s.samples.partition_point(|s| s.0 <= self.windows.before(k));
                let hi = s.samples.partition_point(|s| s.0 <= self.windows.end(k));
                self.budget.watch(hi - lo + 1)?;
                if lo < hi {
                    s.points.push((k, (self.function)(&mut scratch, (self.windows.before(k), self.windows.end(k)), &s.samples[lo..hi])));
                }
            }
            let gone = s.samples.partition_point(|s| s.0 <= keep_after);
            s.samples.drain(..gone);
            let bytes = (s.samples.len() + s.points.len()) * POINT_BYTES;
            // Thousands of windows may come to an end at once.
            if taken + bytes > self.taken {
                self.budget.take(taken + bytes - self.taken)?;
                self.taken = taken + bytes;
            }
            taken += bytes;
        }
        self.budget.give(self.taken - taken);
        self.taken = taken;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use table::Cancel;

    use super::super::steps::Steps;
    use super::*;

    #[test]
    fn early_windows_are_computed_early_and_give_the_same() {
        let w = Windows::new(Steps::range(10, 50, 10).unwrap(), 15, 0);
        let sum = |_: &mut Vec<f64>, _: (i64, i64), s: &[Sample]| s.iter().map(|s| s.1).sum();
        let samples = [(3, 1.0), (1, 2.0), (12, 4.0), (21, 8.0), (40, 16.0)];
        let labels = [Labels::empty()];
        let run = |advance: bool| {
            let budget = Budget::new(1 << 20, Cancel::default());
            let mut s = Samples::new(w, &budget, sum);
            for (t, v) in samples {
                if advance && t > 4 {
                    s.slice(t - t % 10).unwrap();
                }
                s.row(0, t, 0, v).unwrap();
            }
            (s.series[0].samples.len(), s.finish(&labels).unwrap())
        };
        let (all, plain) = run(false);
        let (few, early) = run(true);
        assert_eq!(plain, early);
        assert_eq!(plain[0].points, [(0, 3.0), (1, 4.0), (2, 8.0), (3, 16.0), (4, 16.0)]);
        assert!(all == 5 && few < 3, "{few} held");
    }
}
