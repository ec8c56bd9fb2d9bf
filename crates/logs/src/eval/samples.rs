//! Samples of unwrapped labels. They come oldest slice first, so a window is computed as soon as a later slice begins,
//! and what no later window needs is let go.

use base::{Error, Kind, Labels, Result};

use super::Series;
use super::metric::Sink;
use super::steps::Windows;
use crate::limits;

/// A sample: nanoseconds, value.
pub type Sample = (i64, f64);

#[derive(Default)]
struct Held {
    samples: Vec<Sample>,
    sorted: bool,
    points: Vec<(u32, f64)>,
}

/// The samples of the windows that are not computed yet, and the points of those that are.
pub struct Samples<F> {
    windows: Windows,
    function: F,
    series: Vec<Held>,
    next: u32,
    held: usize,
    points: usize,
}

impl<F: Fn(&mut Vec<f64>, (i64, i64), &[Sample]) -> f64> Samples<F> {
    /// `function` computes a window that has samples; its arguments are scratch space, the window's edges and samples.
    pub fn new(windows: Windows, function: F) -> Self {
        Samples { windows, function, series: vec![], next: 0, held: 0, points: 0 }
    }

    /// The points of all series.
    pub fn finish(mut self, labels: &[Labels]) -> Result<Vec<Series>> {
        self.slice(i64::MAX)?;
        let with_points = self.series.into_iter().zip(labels).filter(|(s, _)| !s.points.is_empty());
        Ok(with_points.map(|(s, l)| Series { labels: l.clone(), points: s.points }).collect())
    }
}

impl<F: Fn(&mut Vec<f64>, (i64, i64), &[Sample]) -> f64> Sink for Samples<F> {
    fn row(&mut self, number: u32, time: i64, _: usize, value: f64) -> Result<()> {
        let n = number as usize;
        if self.series.len() <= n {
            self.series.resize_with(n + 1, Held::default);
        }
        self.held += 1;
        if self.held > limits::SAMPLES {
            return Err(Error::new(
                Kind::Unprocessable,
                format!("a window of the query holds more than {} samples: use a shorter window or a narrower selector", limits::SAMPLES),
            ));
        }
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
        let (mut held, mut points) = (0, 0);
        for s in &mut self.series {
            if !s.sorted {
                s.samples.sort_by_key(|s| s.0);
                s.sorted = true;
            }
            for k in from..self.next {
                let lo = s.samples.partition_point(|s| s.0 <= self.windows.before(k));
                let hi = s.samples.partition_point(|s| s.0 <= self.windows.end(k));
                if lo < hi {
                    s.points.push((k, (self.function)(&mut scratch, (self.windows.before(k), self.windows.end(k)), &s.samples[lo..hi])));
                }
            }
            let gone = s.samples.partition_point(|s| s.0 <= keep_after);
            s.samples.drain(..gone);
            held += s.samples.len();
            points += s.points.len();
        }
        self.held = held;
        self.points = points;
        if self.points > limits::CELLS {
            return Err(Error::new(
                Kind::Unprocessable,
                "the query makes too many points: use a longer step, a shorter range, or group by fewer labels",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::steps::Steps;
    use super::*;

    #[test]
    fn early_windows_are_computed_early_and_give_the_same() {
        let w = Windows::new(Steps::range(10, 50, 10).unwrap(), 15, 0);
        let sum = |_: &mut Vec<f64>, _: (i64, i64), s: &[Sample]| s.iter().map(|s| s.1).sum();
        let samples = [(3, 1.0), (1, 2.0), (12, 4.0), (21, 8.0), (40, 16.0)];
        let labels = [Labels::empty()];
        let run = |advance: bool| {
            let mut s = Samples::new(w, sum);
            for (t, v) in samples {
                if advance && t > 4 {
                    s.slice(t - t % 10).unwrap();
                }
                s.row(0, t, 0, v).unwrap();
            }
            (s.held, s.finish(&labels).unwrap())
        };
        let (all, plain) = run(false);
        let (few, early) = run(true);
        assert_eq!(plain, early);
        assert_eq!(plain[0].points, [(0, 3.0), (1, 4.0), (2, 8.0), (3, 16.0), (4, 16.0)]);
        assert!(all == 5 && few < 3, "{few} held");
    }
}
