//! The generator against itself: what it makes can be made again, and is what the verifier expects.

use std::collections::{HashMap, HashSet};

use clap::Parser;

use super::rows::{Run, lines, samples, spans};
use super::{Args, limits};

/// A run as its command line describes it, at a fixed time.
pub fn run(signal: &str, more: &[&str]) -> Run {
    let args = Args::try_parse_from([&["load", signal, "--seed", "7"], more].concat()).unwrap();
    Run::new(&args, &base::Clock::manual(1_700_000_000_123_456_789)).unwrap()
}

#[test]
fn same_numbers_same_bytes() {
    for signal in ["logs", "metrics", "traces"] {
        let (a, b) = (run(signal, &[]), run(signal, &[]));
        assert_eq!(a.batch(3, a.start_ns).body, b.batch(3, b.start_ns).body, "{signal}");
        assert_ne!(a.batch(3, a.start_ns).body, a.batch(4, a.start_ns).body, "{signal}: batches differ");
        let other = Run { seed: 8, name: "s8".into(), ..a.clone() };
        assert_ne!(a.batch(3, a.start_ns).body, other.batch(3, a.start_ns).body, "{signal}: seeds differ");
    }
}

#[test]
fn a_line_tells_its_number() {
    let run = run("logs", &[]);
    for sequence in [0, 1, 9, 10, 123_456_789] {
        assert_eq!(lines::sequence_of(&lines::line(&run, sequence)), Some(sequence));
    }
    assert_eq!(lines::sequence_of("seqence=1 "), None);
    assert_eq!(lines::sequence_of("seq=12"), None, "cut off, so the number may be too");
}

#[test]
fn no_two_samples_of_a_series_share_a_time() {
    let run = run("metrics", &["--series", "30", "--batch-rows", "10", "--late", "0.5"]);
    let mut seen = HashSet::new();
    for batch in 0..300 {
        let batch_ns = run.start_ns + batch as i64 * 2_000_000;
        for (i, series) in samples::series_of(&run, batch).enumerate() {
            assert!(seen.insert((series, samples::time_ms(&run, batch, i as u64, batch_ns))), "batch {batch}, series {series}");
        }
    }
    assert!(seen.iter().any(|(_, t)| *t < run.start_ns / 1_000_000), "some are late");
}

#[test]
fn every_series_has_one_sample_a_round() {
    let run = run("metrics", &["--series", "25", "--batch-rows", "10", "--tenants", "2"]);
    assert_eq!(run.series, 13, "of each tenant");
    let mut of_tenant: HashMap<u64, Vec<u64>> = HashMap::new();
    (0..4).for_each(|b| of_tenant.entry(b % 2).or_default().extend(samples::series_of(&run, b)));
    assert_eq!(of_tenant[&0], (0..13).collect::<Vec<_>>());
    assert_eq!(of_tenant[&1], (0..13).collect::<Vec<_>>());
    assert_eq!((run.rows_in(0), run.rows_in(2)), (10, 3));
}

#[test]
fn ids_are_never_repeated() {
    let run = run("traces", &[]);
    let traces: HashSet<_> = (0..10_000).map(|t| spans::trace_id(&run, t)).collect();
    let ids: HashSet<_> = (0..10_000).map(spans::span_id).collect();
    assert_eq!((traces.len(), ids.len()), (10_000, 10_000));
    assert!(!ids.contains(&[0; 8]), "an id of zeros is none");
}

#[test]
fn lateness_keeps_to_its_bound_and_share() {
    let run = run("logs", &["--late", "0.25"]);
    let late: Vec<i64> = (0..4000).map(|i| run.start_ns - lines::time_ns(&run, 0, i, run.start_ns)).filter(|d| *d > 2_000_000).collect();
    assert!((800..1200).contains(&late.len()), "{} of 4000", late.len());
    assert!(late.iter().all(|d| *d <= limits::LATE_NS as i64));
}

#[test]
fn arguments_that_make_no_run() {
    for bad in [
        &["--series", "0"][..],
        &["--tenants", "0"],
        &["--batch-rows", "0"],
        &["--batch-rows", "9999999"],
        &["--start", "0", "--step", "3ms"],
    ] {
        let args = Args::try_parse_from([&["load", "logs"], bad].concat()).unwrap();
        assert!(Run::new(&args, &base::Clock::manual(0)).is_err(), "{bad:?}");
    }
    for bad in [&["--late", "2"][..], &["--rate", "fast"], &["--duration", "10"]] {
        assert!(Args::try_parse_from([&["load", "logs"], bad].concat()).is_err(), "{bad:?}");
    }
}
