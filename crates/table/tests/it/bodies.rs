//! Bodies that become large take turns (P7, P10).

use std::time::Duration;

use base::{Clock, Kind};
use disk::SimFs;
use table::Settings;

use crate::toy::{header, open, read, settings};

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
