//! Windows that lie alike: where samples come at equal distances and steps are a multiple of these, as scraping and dashboards make
//! it, each window has its samples where the one before has them, a few positions on. Such windows are calculated together,
//! without a look at their times.

use crate::eval::value::Grid;
use crate::eval::window::Shape;

/// Samples at equal distances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Position behind the last of them.
    pub end: usize,
    /// Milliseconds from one to the next.
    pub distance: i64,
}

impl Run {
    /// The samples at equal distances that begin at position `from`, which is one.
    pub fn new(times: &[i64], from: usize) -> Run {
        let Some(next) = times.get(from + 1) else { return Run { end: from + 1, distance: 0 } };
        let distance = next - times[from];
        let pairs = || times[from..].iter().zip(&times[from + 1..]);
        // To the end in most cases: so it is done for several at a time.
        let odd = |(a, b): (&i64, &i64)| b - a != distance;
        let end = match pairs().fold(false, |any, p| any | odd(p)) {
            false => times.len(),
            true => pairs().position(odd).map_or(times.len(), |at| from + at + 1),
        };
        Run { end, distance }
    }
}

/// Windows whose samples lie alike, one behind the other. All samples are floats.
#[derive(Debug)]
pub struct Alike<'a> {
    /// Their samples, of the first window's first on.
    values: &'a [f64],
    /// Samples of a window.
    samples: usize,
    /// Positions from one window to the next.
    stride: usize,
    /// How the samples lie in each of them.
    pub shape: Shape,
}

impl<'a> Alike<'a> {
    /// `n` windows of `samples` each (at least one), `stride` positions apart.
    pub fn new(values: &'a [f64], samples: usize, stride: usize, n: usize, shape: Shape) -> Self {
        Alike { values: &values[..(n - 1) * stride + samples], samples, stride, shape }
    }
    /// The samples of each window, oldest window first.
    pub fn windows(&self) -> impl Iterator<Item = &'a [f64]> {
        self.values.windows(self.samples).step_by(self.stride)
    }
    /// The first and the last sample of each window.
    pub fn ends(&self) -> impl Iterator<Item = (f64, f64)> {
        let values = |from: usize| self.values[from..].chunks(self.stride).map(|c| c[0]);
        values(0).zip(values(self.samples - 1))
    }
    /// Number of samples of each window.
    pub fn samples(&self) -> usize {
        self.samples
    }
    /// Whether no float is less than the one before it.
    pub fn rises(&self) -> bool {
        !self.values.windows(2).fold(false, |any, p| any | (p[1] < p[0]))
    }
}

/// How many windows from `end` on, a step of the grid apart, end before `before`; at most `most`.
pub fn windows_before(grid: &Grid, end: i64, before: i64, most: usize) -> usize {
    if end >= before { 0 } else { (((before - 1 - end) / grid.step) as usize).saturating_add(1).min(most) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_the_distance_changes() {
        let times = [0, 10, 20, 30, 35, 45, 55, 100];
        let run = |from| Run::new(&times, from);
        assert_eq!(run(0), Run { end: 4, distance: 10 });
        assert_eq!(run(3), Run { end: 5, distance: 5 });
        assert_eq!(run(4), Run { end: 7, distance: 10 });
        assert_eq!(run(6), Run { end: 8, distance: 45 });
        assert_eq!(run(7), Run { end: 8, distance: 0 });
    }

    #[test]
    fn windows_that_end_before_a_time() {
        let grid = Grid { start: 0, step: 60, n: 100 };
        let count = |end, before| windows_before(&grid, end, before, 5);
        assert_eq!([count(10, 10), count(10, 11), count(10, 70), count(10, 71), count(10, i64::MAX)], [0, 1, 1, 2, 5]);
    }

    #[test]
    fn each_window_has_its_samples() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 4.5];
        let alike = |n| Alike::new(&values, 3, 2, n, Shape::default());
        assert_eq!(alike(2).windows().collect::<Vec<_>>(), [&values[0..3], &values[2..5]]);
        assert_eq!(alike(2).ends().collect::<Vec<_>>(), [(1.0, 3.0), (3.0, 5.0)]);
        assert!(alike(2).rises() && !Alike::new(&values, 3, 1, 4, Shape::default()).rises());
    }
}
