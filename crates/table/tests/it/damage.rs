//! A flipped byte anywhere: the engine starts, serves the rest, and says what is gone (P9).

use std::path::PathBuf;

use base::Clock;
use disk::{Fs, SimFs};

use table::{Rows as _, ScanRequest, TimeRange};

use crate::toy::{EVENTS, NOTES, Rng, body, header, open, read, rows_of, settings};

type Rows = std::collections::BTreeSet<String>;

/// A disk with rows in blocks, runs and the WAL.
/// Also the rows of the last request: damage to the end of the log cannot be told from a write that was cut short and never
/// acknowledged, so it is served without them and without a report.
fn filled(seed: u64) -> (SimFs, Clock, Rows, Rows) {
    let mut rng = Rng(seed);
    let fs = SimFs::seeded(seed);
    let clock = Clock::manual(1_700_200_000_000_000_000);
    let e = open(&fs, &clock, settings()).unwrap();
    let (mut all, mut last) = (Rows::new(), Rows::new());
    for i in 0..90 {
        let (_, b) = body(&mut rng, &clock, &[]);
        e.ingest(header("a", &clock, None), b.clone().into(), None).unwrap();
        last = rows_of("a", &b).into_iter().map(|r| r.0).collect();
        all.extend(last.iter().cloned());
        match i {
            30 => e.flush().unwrap(),
            60 => e.seal().and_then(|()| e.flush_sealed()).unwrap(),
            _ => {}
        }
    }
    drop(e);
    fs.reboot(disk::Loss::Nothing);
    (fs, clock, all, last)
}

/// What the answers over both tables say they lack.
fn notes(e: &table::Engine) -> Vec<table::Lack> {
    let missing = table::Missing::default();
    for spec in [&NOTES, &EVENTS] {
        let q = ScanRequest::new(spec, base::Tenant::new("a").unwrap(), vec![], TimeRange::ALL);
        let stream = e.scan(&ScanRequest { missing: missing.clone(), ..q }).unwrap();
        stream.batches.for_each(|b| drop(b.unwrap()));
    }
    missing.notes()
}

#[test]
fn a_flipped_byte_costs_little_is_counted_and_never_lies() {
    let (fs, ..) = filled(1);
    let files: Vec<(PathBuf, u64)> =
        fs.paths().into_iter().map(|p| (p.clone(), fs.open(&p).and_then(|f| f.len()).unwrap_or(0))).filter(|(_, n)| *n > 0).collect();
    assert!(
        files.iter().any(|(p, _)| p.starts_with("/data/blocks"))
            && files.iter().any(|(p, _)| p.starts_with("/data/runs"))
            && files.iter().any(|(p, _)| p.starts_with("/data/wal"))
    );
    let mut rng = Rng(9);
    let (mut tried, mut noticed, mut noted) = (0, 0, 0);
    for (path, len) in &files {
        for _ in 0..5 {
            let (fs, clock, all, last) = filled(1);
            let at = rng.below(*len);
            fs.flip(path, at, 1 << rng.below(8)).unwrap();
            let what = format!("{} byte {at}", path.display());
            let e = open(&fs, &clock, settings()).unwrap_or_else(|err| panic!("{what}: does not start: {err}"));
            let got = read(&*e, "a", vec![]).unwrap_or_else(|err| panic!("{what}: does not answer: {err}"));
            tried += 1;
            let extra = got.keys().filter(|k| !all.contains(*k)).count();
            assert_eq!(extra, 0, "{what}: rows that were never sent");
            let tail = |k: &String| path.starts_with("/data/wal") && last.contains(k);
            let missing = all.iter().filter(|k| !got.contains_key(*k) && !tail(k)).count();
            let told = e.losses();
            if missing > 0 {
                assert!(!told.is_empty(), "{what}: {missing} rows are missing and nobody says so");
                noticed += 1;
                // What a scan met is a note of its answer, too; what was met at the start is in the ledger alone.
                if told.iter().any(|l| l.rows.is_some() && l.source.ends_with(".parquet")) {
                    assert!(!notes(&e).is_empty(), "{what}: the answer does not say what it lacks");
                    noted += 1;
                }
            }
            // New rows come in and everything goes on, also through a merge over the damage.
            e.ingest(header("a", &clock, None), "N after 1700200000000000000 x\n".into(), None).unwrap();
            e.flush().unwrap_or_else(|err| panic!("{what}: cannot flush: {err}"));
            let later = read(&*e, "a", vec![]).unwrap_or_else(|err| panic!("{what}: does not answer after a merge: {err}"));
            assert!(got.keys().all(|k| later.contains_key(k)), "{what}: a merge lost rows that could be read");
            assert!(later.contains_key("a N after 1700200000000000000 x"));
        }
    }
    assert!(noticed > 0 && noted > 0, "{tried} flips and {noted} of {noticed} losses noted: the test flips nothing");
}
