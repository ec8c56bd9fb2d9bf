//! Runs stages for their tests.

use base::Labels;

use super::pipeline::Outcome;
use super::{Entry, Moment, Pipeline, Stages, State};

/// A pipeline from YAML.
pub(super) fn pipeline(yaml: &str) -> Pipeline {
    Stages::from_yaml(yaml).expect(yaml).build().expect(yaml)
}

/// What is wrong with stages.
pub(super) fn refused(yaml: &str) -> String {
    Stages::from_yaml(yaml).expect_err(yaml)
}

/// `a=1 b=2` as labels.
pub(super) fn labels(text: &str) -> Labels {
    Labels::from_pairs(text.split_whitespace().map(|p| p.split_once('=').expect(p))).expect(text)
}

/// The clocks at a second.
pub(super) fn at(second: i64) -> Moment {
    Moment { now_ns: second * 1_000_000_000, elapsed_ns: second * 1_000_000_000 }
}

/// The time that lines of tests have unless they say another.
pub(super) const TIME_NS: i64 = 1_700_000_000_000_000_000;

/// Runs lines of one stream through stages, all at once, then lets go of what is held.
pub(super) fn outcome(yaml: &str, from: &str, lines: &[&str]) -> Outcome {
    let (p, mut state, mut out) = (pipeline(yaml), State::default(), Outcome::default());
    for (i, line) in lines.iter().enumerate() {
        p.process(Entry::new(labels(from), TIME_NS + i as i64, *line), at(1_700_000_000), &mut state, &mut out);
    }
    p.release(true, at(1_700_000_000), &mut state, &mut out);
    out
}

/// The same; each entry as `{labels} line`, with `[metadata]` between if there is some.
pub(super) fn run(yaml: &str, from: &str, lines: &[&str]) -> Vec<String> {
    outcome(yaml, from, lines).entries.iter().map(shown).collect()
}

/// One line in, one line out.
pub(super) fn one(yaml: &str, from: &str, line: &str) -> String {
    run(yaml, from, &[line]).join(" | ")
}

/// The time of one line after the stages.
pub(super) fn time(yaml: &str, line: &str) -> i64 {
    outcome(yaml, "", &[line]).entries[0].time_ns
}

fn shown(e: &Entry) -> String {
    let metadata: Vec<String> = e.metadata.iter().map(|(n, v)| format!("{n}={v}")).collect();
    let metadata = if metadata.is_empty() { String::new() } else { format!("[{}] ", metadata.join(" ")) };
    let tenant = e.tenant.as_ref().map_or(String::new(), |t| format!("@{t} "));
    format!("{} {tenant}{metadata}{}", e.labels.to_labels().unwrap(), e.line)
}
