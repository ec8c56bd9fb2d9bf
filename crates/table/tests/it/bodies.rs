//! Bodies that become large take turns (P7, P10); bodies that a later build reads otherwise are told (P8).

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Kind};
use disk::SimFs;
use table::{Engine, EngineOptions, Settings};

use crate::toy::{NotesOnly, header, open, options, read, settings};

#[test]
fn a_large_body_waits_for_the_one_before_it_and_replay_waits_for_nothing() {
    let fs = SimFs::seeded(1);
    let clock = Clock::manual(1_700_200_000_000_000_000);
    let patience = |write_wait| Settings { bodies_limit: 100, write_wait, ..settings() };
    let body = |bytes: usize, text: &str| format!("U {bytes}\nN s 1700200000000000000 {text}\n").into();
    let e = open(&fs, &clock, patience(Duration::from_millis(100))).unwrap();
    let prepared = e.prepare(header("a", &clock, None), body(1000, "larger-than-all"), None).unwrap();
    let err = e.ingest(header("a", &clock, None), body(60, "late"), None).unwrap_err();
    assert!(err.kind() == Kind::Unavailable && err.retry_hint().is_some(), "{err}");
    e.ingest(header("a", &clock, None), "N s 1700200000000000000 small\n".into(), None).unwrap();
    e.store(prepared).unwrap();
    e.ingest(header("a", &clock, None), body(60, "late"), None).unwrap();
    let mut stats = base::stats::Exposition::default();
    e.write_stats(&mut stats);
    let stats = stats.finish();
    assert!(stats.contains("watchfire_unpacking_bytes 0\n") && stats.contains("watchfire_writes_deferred_total 1\n"), "{stats}");
    drop(e);
    // With an hour of patience, whoever waits is let in by the one that ends; a refused one gives its room back as well.
    let e = open(&fs, &clock, patience(Duration::from_secs(3600))).unwrap();
    assert_eq!(read(&*e, "a", vec![]).unwrap().len(), 3);
    let prepared = e.prepare(header("a", &clock, None), body(60, "first"), None).unwrap();
    std::thread::scope(|s| {
        let second = s.spawn(|| e.ingest(header("a", &clock, None), body(60, "second"), None));
        e.store(prepared).unwrap();
        second.join().unwrap().unwrap();
    });
    assert_eq!(e.ingest(header("a", &clock, None), "U 100\nN s not-a-time\n".into(), None).unwrap_err().kind(), Kind::Invalid);
    e.ingest(header("a", &clock, None), body(60, "third"), None).unwrap();
    drop(e);
    let e = open(&fs, &clock, Settings { bodies_limit: 1, ..settings() }).unwrap();
    assert_eq!(read(&*e, "a", vec![]).unwrap().len(), 6);
}

#[test]
fn rows_that_a_later_build_refuses_at_replay_are_told_as_lost() {
    let (fs, clock) = (SimFs::seeded(2), Clock::manual(1_700_200_000_000_000_000));
    let e = open(&fs, &clock, settings()).unwrap();
    let too_late = 1_800_000_000_000_000_000_i64;
    let mixed = format!("N s 1700200000000000000 note\nE s 1700200000000 7 1 8\nE s 1700200000000 7 2 8\nN s {too_late} refused-at-once\n");
    assert_eq!(e.ingest(header("a", &clock, None), mixed.into(), None).unwrap().rows, 3);
    e.ingest(header("a", &clock, None), "N s 1700200000000000000 more\n".into(), None).unwrap();
    drop(e);
    let same = open(&fs, &clock, settings()).unwrap();
    assert_eq!((read(&*same, "a", vec![]).unwrap().len(), same.losses()), (4, vec![]), "what was refused to its sender is no loss");
    drop(same);
    let later =
        Engine::open(EngineOptions { codecs: vec![Arc::new(NotesOnly)], ..options(&fs, &clock, settings(), None, "local") }).unwrap();
    assert_eq!(read(&*later, "a", vec![]).unwrap().len(), 2);
    let losses = later.losses();
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert_eq!((losses[0].reason.as_str(), losses[0].rows), ("refused_at_replay", Some(2)));
    assert_eq!(losses[0].detail, "2 of 3 rows that were taken: events are not taken");
}
