//! Counts and bytes per window. A line adds to the window it enters and is taken off at the one it has left, so its cost
//! does not depend on how many windows overlap.

use base::{Labels, Result};

use super::Series;
use super::budget::{self, Budget};
use super::metric::Sink;
use super::steps::Windows;

/// One difference per step.
#[derive(Clone, Copy, Default)]
struct Cell {
    lines: i64,
    bytes: i64,
}

/// What is counted, by series number and step.
pub struct Counts<'b> {
    windows: Windows,
    series: Vec<Vec<Cell>>,
    budget: &'b Budget,
    /// Of the budget.
    taken: usize,
}

impl<'b> Counts<'b> {
    /// Nothing yet.
    pub fn new(windows: Windows, budget: &'b Budget) -> Self {
        Counts { windows, series: vec![], budget, taken: 0 }
    }

    fn note(cells: &mut [Cell], k: Option<u32>, lines: i64, bytes: i64) {
        if let Some(cell) = k.and_then(|k| cells.get_mut(k as usize)) {
            cell.lines += lines;
            cell.bytes += bytes;
        }
    }

    fn slot(&mut self, number: u32) -> Result<&mut Vec<Cell>> {
        let n = number as usize;
        while self.series.len() <= n {
            self.series.push(vec![]);
        }
        if self.series[n].is_empty() {
            let steps = self.windows.count() as usize;
            let bytes = steps * size_of::<Cell>();
            self.budget.take(bytes)?;
            self.taken += bytes;
            self.series[n] = vec![Cell::default(); steps];
        }
        Ok(&mut self.series[n])
    }

    /// The points: `value(lines, bytes)` where there was a line.
    pub fn finish(self, labels: &[Labels], value: impl Fn(i64, i64) -> f64) -> Result<Vec<Series>> {
        let mut out = vec![];
        for (cells, labels) in self.series.into_iter().zip(labels) {
            let (mut lines, mut bytes) = (0, 0);
            let mut points = vec![];
            for (k, c) in cells.into_iter().enumerate() {
                lines += c.lines;
                bytes += c.bytes;
                if lines > 0 {
                    points.push((k as u32, value(lines, bytes)));
                }
            }
            if !points.is_empty() {
                out.push(Series { labels: labels.clone(), points });
            }
        }
        self.budget.swap(self.taken, budget::weight(&out))?;
        Ok(out)
    }
}

impl Sink for Counts<'_> {
    fn slice(&mut self, _: i64) -> Result<()> {
        Ok(())
    }

    fn row(&mut self, number: u32, time: i64, bytes: usize, _: f64) -> Result<()> {
        let (enters, leaves) = (self.windows.enters(time), self.windows.leaves(time));
        let cells = self.slot(number)?;
        Self::note(cells, enters, 1, bytes as i64);
        Self::note(cells, leaves, -1, -(bytes as i64));
        Ok(())
    }

    /// Lines that enter and leave the same windows are counted together, so that the cost is that of the windows.
    fn run(&mut self, number: u32, times: &[i64], bytes: &dyn Fn(usize) -> usize) -> Result<()> {
        let windows = self.windows;
        let cells = self.slot(number)?;
        for (sign, is_end) in [(1, false), (-1, true)] {
            let mut from = 0;
            while from < times.len() {
                let k = if is_end { windows.leaves(times[from]) } else { windows.enters(times[from]) };
                // From here on the lines are of later windows, up to the last which no window knows.
                let until = match k {
                    None => times.len(),
                    Some(k) => {
                        let last = if is_end { windows.before(k) } else { windows.end(k) };
                        from + gallop(&times[from..], last)
                    }
                };
                let total: usize = (from..until).map(bytes).sum();
                Self::note(cells, k, sign * (until - from) as i64, sign * total as i64);
                from = until;
            }
        }
        Ok(())
    }
}

/// How many of the ascending `times`, the first of which is one, are not after `last`.
fn gallop(times: &[i64], last: i64) -> usize {
    let mut step = 1;
    while step < times.len() && times[step] <= last {
        step *= 2;
    }
    let low = step / 2;
    (low + times[low..times.len().min(step)].partition_point(|t| *t <= last)).max(1)
}

#[cfg(test)]
mod tests {
    use table::Cancel;

    use super::super::steps::Steps;
    use super::*;

    #[test]
    fn each_window_counts_its_lines() {
        let w = Windows::new(Steps::range(10, 40, 10).unwrap(), 20, 0);
        let budget = Budget::new(96, Cancel::default());
        let mut c = Counts::new(w, &budget);
        for t in [1, 10, 11, 35] {
            c.row(1, t, 3, 0.0).unwrap();
        }
        let labels = [Labels::empty(), Labels::from_pairs([("a", "b")]).unwrap()];
        assert!(c.row(2, 1, 3, 0.0).is_err(), "there is room for the steps of one series");
        budget.give(200);
        let s = c.finish(&labels, |lines, bytes| (lines * 100 + bytes) as f64).unwrap();
        assert!(budget.take(136).is_err());
        assert_eq!(s.len(), 1, "a series without lines is no series");
        assert_eq!(s[0].points, [(0, 206.0), (1, 309.0), (2, 103.0), (3, 103.0)]);
    }

    #[test]
    fn a_run_counts_as_its_rows_do() {
        let mut seed = 7u64;
        let mut random = move |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        for case in 0..500 {
            let steps = Steps::range(100, 100 + random(300) as i64, 1 + random(40) as i64).unwrap();
            let w = Windows::new(steps, 1 + random(80) as i64, random(60) as i64 - 30);
            let mut times: Vec<i64> = (0..random(60)).map(|_| random(500) as i64).collect();
            times.sort_unstable();
            let bytes = |i: usize| i % 7;
            let budget = Budget::new(1 << 20, Cancel::default());
            let (mut rows, mut run) = (Counts::new(w, &budget), Counts::new(w, &budget));
            times.iter().enumerate().for_each(|(i, t)| rows.row(0, *t, bytes(i), 0.0).unwrap());
            run.run(0, &times, &bytes).unwrap();
            let labels = [Labels::empty()];
            let shown = |lines: i64, bytes: i64| (lines * 1_000 + bytes) as f64;
            let rows = rows.finish(&labels, shown).unwrap();
            assert_eq!(rows, run.finish(&labels, shown).unwrap(), "case {case}");
            let there = |k: u32| times.iter().filter(|t| **t > w.before(k) && **t <= w.end(k)).count();
            let want: Vec<(u32, usize)> = (0..w.count()).map(|k| (k, there(k))).filter(|(_, n)| *n > 0).collect();
            let got: Vec<(u32, usize)> = rows.iter().flat_map(|s| s.points.iter().map(|(k, v)| (*k, *v as usize / 1_000))).collect();
            assert_eq!(got, want, "case {case}");
        }
    }
}
