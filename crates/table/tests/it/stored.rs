//! One node whose blocks are in a store: what it does while the store is away, and how it moves there.

use std::path::Path;
use std::sync::Arc;

use base::{Clock, Kind};
use disk::{Fs, SimFs};
use store::{Faults, Faulty, FsStore, Store};
use table::{Engine, MergeWhat, Refresh, Settings};

use crate::toy::{header, open, open_on, read, settings};

const T: i64 = 1_700_200_000_000_000_000;

fn bucket() -> (SimFs, Arc<Faulty>) {
    let there = SimFs::seeded(9);
    (there.clone(), Arc::new(Faulty::new(Arc::new(FsStore::new(Arc::new(there), "/bucket", "n")), 1)))
}

fn push(e: &Engine, clock: &Clock, text: &str) {
    e.ingest(header("a", clock, None), format!("N s {T} {text}\n").into(), None).unwrap();
}

fn stat(e: &Engine, name: &str) -> f64 {
    let mut out = base::stats::Exposition::default();
    e.write_stats(&mut out);
    let text = out.finish();
    let line = text.lines().find(|l| l.strip_prefix(name).is_some_and(|r| r.starts_with(' '))).unwrap_or_else(|| panic!("{name}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn has(e: &Engine, text: &str) -> bool {
    read(e, "a", vec![]).unwrap().contains_key(&format!("a N s {T} {text}"))
}

#[test]
fn while_the_store_is_away_writes_and_recent_reads_go_on_and_then_it_drains() {
    let (_, store) = bucket();
    let (fs, clock) = (SimFs::seeded(1), Clock::manual(T));
    let e = open_on(&fs, &clock, settings(), Some(store.clone()), "local").unwrap();
    push(&e, &clock, "before");
    e.flush().unwrap();
    store.set(Faults { down: true, ..Faults::default() });
    for i in 0..20 {
        push(&e, &clock, &format!("during-{i}"));
        e.seal().unwrap();
        e.flush_sealed().unwrap();
        assert_eq!(e.merge(MergeWhat::Due).err().map(|e| e.kind()), (i >= 2).then_some(Kind::Unavailable), "{i}");
    }
    assert_eq!(stat(&e, "watchfire_runs"), 20.0, "runs pile up on the disk");
    assert!(has(&e, "before") && has(&e, "during-19"), "what was uploaded is in the cache");
    assert_eq!(fs.list(Path::new("/data/staging")).unwrap(), [], "failed uploads leave nothing behind");
    // Killed now, it comes back with what it knew.
    drop(e);
    fs.reboot(disk::Loss::Nothing);
    let e = open_on(&fs, &clock, settings(), Some(store.clone()), "local").unwrap();
    assert_eq!(e.blocks_fresh(), None);
    assert!(has(&e, "before"), "the cache is still there");
    for i in 0..20 {
        assert!(has(&e, &format!("during-{i}")));
    }
    store.set(Faults::default());
    assert!(has(&e, "before"));
    e.refresh(Refresh::All).unwrap();
    assert_eq!(e.blocks_fresh(), Some(clock.now_ns()));
    e.flush().unwrap();
    assert_eq!(stat(&e, "watchfire_runs"), 0.0);
    assert!(has(&e, "before") && has(&e, "during-0"));
}

#[test]
fn a_node_that_never_read_the_list_does_not_answer_as_if_it_had() {
    let (_, store) = bucket();
    let clock = Clock::manual(T);
    let e = open_on(&SimFs::seeded(1), &clock, settings(), Some(store.clone()), "local").unwrap();
    push(&e, &clock, "kept");
    e.flush().unwrap();
    drop(e);
    store.set(Faults { down: true, ..Faults::default() });
    let other = open_on(&SimFs::seeded(2), &clock, settings(), Some(store.clone()), "local").unwrap();
    assert_eq!(read(&*other, "a", vec![]).unwrap_err().kind(), Kind::Unavailable);
    push(&other, &clock, "writes-go-on");
    store.set(Faults::default());
    other.list_due().unwrap();
    assert!(has(&other, "kept") && has(&other, "writes-go-on"));
}

#[test]
fn a_read_of_a_store_that_is_away_says_so_and_is_counted() {
    let (_, store) = bucket();
    let clock = Clock::manual(T);
    let small = Settings { cache_bytes: 0, ..settings() };
    let fs = SimFs::seeded(1);
    let e = open_on(&fs, &clock, small.clone(), Some(store.clone()), "local").unwrap();
    push(&e, &clock, "x");
    e.flush().unwrap();
    drop(e);
    let e = open_on(&fs, &clock, small, Some(store.clone()), "local").unwrap();
    store.set(Faults { down: true, ..Faults::default() });
    let err = read(&*e, "a", vec![]).unwrap_err();
    assert_eq!(err.kind(), Kind::Unavailable);
    assert!(err.message().starts_with("blocks cannot be read now"), "{err}");
    assert_eq!(stat(&e, "watchfire_store_read_failures_total"), 1.0);
    assert_eq!(e.losses(), [], "an outage is no damage");
}

#[test]
fn a_directory_moves_to_a_store_while_it_serves_and_is_checked() {
    let (there, store) = bucket();
    let (fs, clock) = (SimFs::seeded(1), Clock::manual(T));
    let e = open(&fs, &clock, settings()).unwrap();
    for i in 0..5 {
        clock.advance_ns(86_400_000_000_000);
        e.ingest(header("a", &clock, None), format!("N s {} day-{i}\n", clock.now_ns()).into(), None).unwrap();
        e.flush().unwrap();
    }
    let all = read(&*e, "a", vec![]).unwrap();
    assert_eq!(e.store_name(), None);
    store.set(Faults { down: true, ..Faults::default() });
    assert_eq!(e.take_store(store.clone(), 1 << 20).unwrap_err().kind(), Kind::Unavailable);
    assert_eq!((e.store_name(), read(&*e, "a", vec![]).unwrap()), (None, all.clone()), "nothing has changed");
    store.set(Faults::default());
    e.take_store(store.clone(), 1 << 20).unwrap();
    assert_eq!(e.take_store(store.clone(), 1 << 20).unwrap_err().kind(), Kind::Invalid);
    assert_eq!(e.blocks_to_move().0, 5);
    assert_eq!(read(&*e, "a", vec![]).unwrap(), all, "before it begins");
    // The store fails in the middle, and so does the disk.
    store.set(Faults { fail_percent: 30, ..Faults::default() });
    let mut tries = 0;
    while e.move_blocks().is_err() {
        tries += 1;
        assert!(tries < 100);
        assert_eq!(read(&*e, "a", vec![]).map(|r| r.len()).unwrap_or(all.len()), all.len());
    }
    assert!(tries > 0, "it did fail");
    store.set(Faults::default());
    drop(e);
    fs.power_cut();
    let e = open_on(&fs, &clock, settings(), Some(store.clone()), "local").unwrap();
    e.merge_due().unwrap();
    assert_eq!(e.blocks_to_move(), (0, 0));
    e.sweep().unwrap();
    assert_eq!(read(&*e, "a", vec![]).unwrap(), all);
    let here: Vec<_> = fs.paths().into_iter().filter(|p| p.starts_with("/data/blocks") && p.extension().is_some()).collect();
    assert_eq!(here, Vec::<std::path::PathBuf>::new(), "nothing is left here");
    assert_eq!(there.paths().iter().filter(|p| p.ends_with("meta.json")).count(), 5);
    drop(e);
    let without = open(&fs, &clock, settings()).err().expect("it has no blocks any more");
    assert!(without.message().contains("storage.url"), "{without}");
    let fresh = open_on(&SimFs::seeded(5), &clock, settings(), Some(store), "local").unwrap();
    assert_eq!(read(&*fresh, "a", vec![]).unwrap(), all);
}

#[test]
fn a_block_that_somebody_deleted_is_a_loss_with_a_name() {
    let (_, store) = bucket();
    let clock = Clock::manual(T);
    let fs = SimFs::seeded(1);
    let e = open_on(&fs, &clock, settings(), Some(store.clone()), "local").unwrap();
    push(&e, &clock, "x");
    e.flush().unwrap();
    for o in store.list("blocks/").unwrap() {
        store.delete(&o.key).unwrap();
    }
    e.refresh(Refresh::All).unwrap();
    let losses = e.losses();
    assert_eq!((losses.len(), losses[0].reason.as_str(), losses[0].rows), (1, "block_missing", Some(1)), "{losses:?}");
}

#[test]
fn a_damaged_meta_is_named_and_left_alone() {
    let (there, store) = bucket();
    let clock = Clock::manual(T);
    let e = open_on(&SimFs::seeded(1), &clock, settings(), Some(store.clone()), "local").unwrap();
    push(&e, &clock, "x");
    e.flush().unwrap();
    let meta = there.paths().into_iter().find(|p| p.ends_with("meta.json")).unwrap();
    there.flip(&meta, 30, 1).unwrap();
    let e = open_on(&SimFs::seeded(2), &clock, settings(), Some(store.clone()), "local").unwrap();
    assert_eq!(e.losses().iter().map(|l| l.reason.as_str()).collect::<Vec<_>>(), ["meta_damaged"]);
    e.refresh(Refresh::All).unwrap();
    e.sweep().unwrap();
    assert_eq!(store.list("").unwrap().len(), 3, "nothing of it is deleted");
}

#[test]
fn the_threads_upload_and_flushes_do_not_wait_for_a_slow_store() {
    let (_, store) = bucket();
    let fs = SimFs::seeded(1);
    let fast = Settings { background: true, merge_runs: 1, ..settings() };
    let e = open_on(&fs, &Clock::System, fast, Some(store.clone()), "local").unwrap();
    store.set(Faults { delay: std::time::Duration::from_millis(300), ..Faults::default() });
    let began = std::time::Instant::now();
    for i in 0..200 {
        push(&e, &Clock::System, &format!("{i}-{}", "x".repeat(2000)));
    }
    e.seal().unwrap();
    e.flush_sealed().unwrap();
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    store.set(Faults::default());
    e.flush().unwrap();
    assert_eq!(stat(&e, "watchfire_runs"), 0.0);
    assert_eq!(read(&*e, "a", vec![]).unwrap().len(), 200);
    e.shutdown().unwrap();
}
