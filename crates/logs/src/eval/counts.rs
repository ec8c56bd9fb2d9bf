//! Counts and bytes per window. A line adds to the first window that holds it and is taken off after the last one, so
//! its cost does not depend on how many windows overlap.

use base::{Error, Kind, Labels, Result};

use super::Series;
use super::steps::Windows;
use crate::limits;

/// One difference per step.
#[derive(Clone, Copy, Default)]
struct Cell {
    lines: i64,
    bytes: i64,
}

/// What is counted, by series number and step.
pub struct Counts {
    windows: Windows,
    series: Vec<Vec<Cell>>,
    cells: usize,
}

impl Counts {
    /// Nothing yet.
    pub fn new(windows: Windows) -> Self {
        Counts { windows, series: vec![], cells: 0 }
    }

    /// A line of `bytes` bytes at `time` in series `number`.
    pub fn add(&mut self, number: u32, time: i64, bytes: usize) -> Result<()> {
        let Some((first, last)) = self.windows.around(time) else { return Ok(()) };
        let series = self.slot(number)?;
        for (k, sign) in [(first as usize, 1), (last as usize + 1, -1)] {
            if let Some(cell) = series.get_mut(k) {
                cell.lines += sign;
                cell.bytes += sign * bytes as i64;
            }
        }
        Ok(())
    }

    fn slot(&mut self, number: u32) -> Result<&mut Vec<Cell>> {
        let n = number as usize;
        while self.series.len() <= n {
            self.series.push(vec![]);
        }
        if self.series[n].is_empty() {
            let steps = self.windows.count() as usize;
            self.cells += steps;
            if self.cells > limits::CELLS {
                return Err(Error::new(
                    Kind::Unprocessable,
                    "the query makes too many points: use a longer step, a shorter range, or group by fewer labels",
                ));
            }
            self.series[n] = vec![Cell::default(); steps];
        }
        Ok(&mut self.series[n])
    }

    /// The points: `value(lines, bytes)` where there was a line.
    pub fn finish(self, labels: &[Labels], value: impl Fn(i64, i64) -> f64) -> Vec<Series> {
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
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::steps::Steps;
    use super::*;

    #[test]
    fn each_window_counts_its_lines() {
        let w = Windows::new(Steps::range(10, 40, 10).unwrap(), 20, 0);
        let mut c = Counts::new(w);
        for t in [1, 10, 11, 35] {
            c.add(1, t, 3).unwrap();
        }
        let labels = [Labels::empty(), Labels::from_pairs([("a", "b")]).unwrap()];
        let s = c.finish(&labels, |lines, bytes| (lines * 100 + bytes) as f64);
        assert_eq!(s.len(), 1, "a series without lines is no series");
        assert_eq!(s[0].points, [(0, 206.0), (1, 309.0), (2, 103.0), (3, 103.0)]);
    }
}
