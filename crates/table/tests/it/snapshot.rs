//! A snapshot is a data directory that opens, whatever becomes of the one that it was made of.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Clock, Kind};
use disk::{Fs, SimFs};
use store::{FsStore, Store};
use table::{Engine, EngineOptions};

use super::toy::*;

const T: i64 = 1_700_200_000_000_000_000;

fn push(e: &Engine, clock: &Clock, text: &str) {
    e.ingest(header("a", clock, None), format!("N s {T} {text}\n").into(), None).unwrap();
}

fn texts(e: &Engine) -> Vec<String> {
    read(e, "a", vec![]).unwrap().keys().map(|k| k.rsplit(' ').next().unwrap().to_owned()).collect()
}

fn open_in(fs: &SimFs, clock: &Clock, dir: &Path) -> Arc<Engine> {
    Engine::open(EngineOptions { dir: dir.to_owned(), ..options(fs, clock, settings(), None, "local") }).unwrap()
}

#[test]
fn it_holds_what_was_there_and_opens_by_itself() {
    let (fs, clock) = (SimFs::seeded(1), Clock::manual(T));
    let e = open(&fs, &clock, settings()).unwrap();
    push(&e, &clock, "block");
    e.flush().unwrap();
    push(&e, &clock, "run");
    e.seal().unwrap();
    e.flush_sealed().unwrap();
    e.keep("document", b"kept").unwrap();
    push(&e, &clock, "memory");
    let without = e.snapshot("without", false).unwrap();
    let with = e.snapshot("with", true).unwrap();
    assert_eq!(with, PathBuf::from("/data/snapshots/with"));
    assert_eq!(e.snapshot("with", true).unwrap_err().kind(), Kind::Invalid);
    // The original goes on, merges, and removes what the snapshots hold.
    push(&e, &clock, "later");
    e.flush().unwrap();
    drop(e);
    for (dir, wanted) in [(without, &["block", "run"][..]), (with, &["block", "memory", "run"])] {
        fs.reboot(disk::Loss::All);
        let e = open_in(&fs, &clock, &dir);
        assert_eq!(texts(&e), wanted, "{}", dir.display());
        assert_eq!(e.kept("doc").unwrap(), [("document".to_owned(), b"kept".to_vec())]);
        assert!(e.losses().is_empty(), "{:?}", e.losses());
        // It takes rows like any other, also after another start.
        push(&e, &clock, "new");
        drop(e);
        let e = open_in(&fs, &clock, &dir);
        assert_eq!(texts(&e).len(), wanted.len() + 1);
        e.flush().unwrap();
        assert_eq!(texts(&e).len(), wanted.len() + 1);
    }
}

#[test]
fn one_that_was_not_finished_is_removed_by_the_next() {
    let (fs, clock) = (SimFs::seeded(2), Clock::manual(T));
    let e = open(&fs, &clock, settings()).unwrap();
    let half = Path::new("/data/snapshots/half.part/runs/r1");
    fs.create_dir_all(half).unwrap();
    fs.create(&half.join("x")).unwrap();
    // Nothing was ever flushed: an empty data directory.
    let empty = e.snapshot("empty", false).unwrap();
    let names: Vec<String> = fs.list(Path::new("/data/snapshots")).unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["empty"]);
    assert!(texts(&open_in(&fs, &clock, &empty)).is_empty());
}

#[test]
fn blocks_in_a_store_are_not_copied() {
    let (fs, clock) = (SimFs::seeded(3), Clock::manual(T));
    let store: Arc<dyn Store> = Arc::new(FsStore::new(Arc::new(SimFs::seeded(9)), "/bucket", "n"));
    let e = open_on(&fs, &clock, settings(), Some(store), "local").unwrap();
    assert_eq!(e.snapshot("x", true).unwrap_err().kind(), Kind::Unprocessable);
}
