//! Runs one stage on one line, for the stages' tests.

use base::Labels;
use table::Cancel;

use super::{Row, RowLabels, SeriesLabels, Stage};

/// The row's labels afterwards, or `dropped`; a changed line is put in front.
pub fn run_on(stage: &dyn Stage, series: &[(&str, &str)], line: &str) -> String {
    let mut labels = RowLabels::default();
    labels.start_series(&SeriesLabels::new(&Labels::from_pairs(series.iter().copied()).expect("labels")));
    let mut row = Row { time_ns: 1_700_000_000_000_000_000, line: line.into(), labels: &mut labels, cancel: &Cancel::default() };
    if !stage.apply(&mut row) {
        return "dropped".into();
    }
    let changed = if row.line == line { String::new() } else { format!("{} ", row.line) };
    let (mut bytes, mut scratch) = (vec![], vec![]);
    labels.write(&mut bytes, &mut scratch, |_, _| true);
    format!("{changed}{}", Labels::from_canonical(&bytes).expect("canonical"))
}

/// The same on the stream `{app="web"}`.
pub fn run(stage: &dyn Stage, line: &str) -> String {
    run_on(stage, &[("app", "web")], line)
}
