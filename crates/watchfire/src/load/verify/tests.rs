//! The verifier must tell good from bad: each fault planted here is found and named.

use std::collections::BTreeMap;

use super::Tally;
use crate::load::tests::run;

fn tally(run: &super::Run) -> Tally<'_> {
    let mut t = Tally::new(run, BTreeMap::from([(0, run.start_ns), (2, run.start_ns)]), (0, 1));
    (0..10).chain(20..30).for_each(|s| t.saw(s));
    t
}

#[test]
fn all_there_once_is_good() {
    let run = run("logs", &["--batch-rows", "10"]);
    let v = tally(&run).finish(1.0);
    assert!(v.good());
    assert_eq!((v.acknowledged, v.found, v.unacknowledged), (20, 20, 0));
}

#[test]
fn missing_doubled_altered_and_incomplete_are_told_apart() {
    let run = run("logs", &["--batch-rows", "10"]);
    let mut missing = Tally::new(&run, BTreeMap::from([(0, 0)]), (0, 1));
    (0..9).for_each(|s| missing.saw(s));
    let v = missing.finish(1.0);
    assert_eq!((v.good(), v.missing, v.missing_examples), (false, 1, vec![9]));

    for doubled in [3, 25, 1_000_000] {
        let mut t = tally(&run);
        t.saw(doubled);
        t.saw(doubled);
        let v = t.finish(1.0);
        assert_eq!((v.good(), v.doubled, v.doubled_examples, v.missing), (false, 1, vec![doubled], 0));
    }

    let mut altered = tally(&run);
    altered.altered(|| "x".into());
    assert!(!altered.finish(1.0).good());

    let mut incomplete = tally(&run);
    incomplete.warnings = 1;
    assert!(!incomplete.finish(1.0).good());
}

#[test]
fn rows_without_acknowledgement_may_be_there_once() {
    let run = run("logs", &["--batch-rows", "10"]);
    let mut t = tally(&run);
    (10..15).chain(90..95).for_each(|s| t.saw(s));
    let v = t.finish(1.0);
    assert!(v.good());
    assert_eq!(v.unacknowledged, 10);
}

#[test]
fn what_two_readers_found_is_counted_together() {
    let run = run("logs", &["--batch-rows", "10"]);
    let acknowledged = BTreeMap::from([(0, 0)]);
    let reader = |share, rows: &[u64]| {
        let mut t = Tally::new(&run, acknowledged.clone(), share);
        let mine = (0..100).map(|_| t.is_mine()).collect::<Vec<_>>();
        rows.iter().for_each(|s| t.saw(*s));
        (t, mine)
    };
    let (mut a, of_a) = reader((0, 2), &[0, 1, 2, 3, 4, 77]);
    let (b, of_b) = reader((1, 2), &[4, 5, 6, 7, 8, 9, 77]);
    assert!(of_a.iter().zip(&of_b).all(|(a, b)| a != b), "each question has one reader");
    a.add(b);
    let v = a.finish(1.0);
    assert_eq!((v.missing, v.doubled_examples, v.unacknowledged), (0, vec![77, 4], 1));
}

#[test]
fn of_one_stream_the_other_rows_are_not_missed() {
    let run = run("logs", &["--batch-rows", "10", "--streams", "2"]);
    for seen in [vec![0, 2, 4, 6, 8], vec![0, 2, 4, 6]] {
        let mut t = Tally::new(&run, BTreeMap::from([(0, 0)]), (0, 1));
        t.host = Some(crate::load::rows::lines::host(&run, 0, 0));
        seen.iter().for_each(|s| t.saw(*s));
        let v = t.finish(1.0);
        assert_eq!((v.acknowledged, v.missing), (5, 5 - seen.len() as u64));
    }
}
