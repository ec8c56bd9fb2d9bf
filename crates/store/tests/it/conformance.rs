//! One contract, many stores.

use std::path::Path;
use std::sync::Arc;

use base::Kind;
use bytes::Bytes;
use disk::{Fs, RealFs, SimFs};
use store::{Created, Faulty, FsStore, Object, Store};

fn objects(s: &dyn Store) {
    assert_eq!(s.get("a/none").unwrap_err().kind(), Kind::NotFound);
    assert_eq!(s.len("a/none").unwrap_err().kind(), Kind::NotFound);
    assert_eq!(s.get_range("a/none", 0..1).unwrap_err().kind(), Kind::NotFound);
    s.delete("a/none").unwrap();
    assert_eq!(s.list("a/").unwrap(), []);
    s.put("a/b/one", Bytes::from_static(b"0123456789")).unwrap();
    assert_eq!(s.get("a/b/one").unwrap(), "0123456789");
    assert_eq!(s.len("a/b/one").unwrap(), 10);
    assert_eq!(s.get_range("a/b/one", 3..7).unwrap(), "3456");
    assert_eq!(s.get_range("a/b/one", 0..10).unwrap(), "0123456789");
    assert_eq!(s.get_range("a/b/one", 4..4).unwrap(), "");
    assert_eq!(s.get_range("a/b/one", 5..11).unwrap_err().kind(), Kind::Corrupt, "it ends before the range does");
    s.put("a/b/one", Bytes::from_static(b"again")).unwrap();
    assert_eq!(s.get("a/b/one").unwrap(), "again", "replaced whole");
    s.put("a/b/empty", Bytes::new()).unwrap();
    assert_eq!((s.len("a/b/empty").unwrap(), s.get("a/b/empty").unwrap()), (0, Bytes::new()));
    for bad in ["", "/a", "a/", "a//b", "../x", "a/./b"] {
        assert_eq!(s.put(bad, Bytes::new()).unwrap_err().kind(), Kind::Invalid, "{bad:?}");
    }
}

fn lists(s: &dyn Store) {
    let keys = ["l/a", "l/a.b/c", "l/a/b", "l/b/1970-01-01/x", "l/b!_.*'()-Z/y", "lx"];
    for key in keys.iter().filter(|k| **k != "l/a") {
        s.put(key, Bytes::from_static(b"xy")).unwrap();
    }
    let found: Vec<String> = s.list("l/").unwrap().into_iter().map(|o| o.key).collect();
    assert_eq!(found, ["l/a.b/c", "l/a/b", "l/b!_.*'()-Z/y", "l/b/1970-01-01/x"]);
    assert_eq!(s.list("l/b/").unwrap(), [Object { key: "l/b/1970-01-01/x".into(), len: 2 }], "a prefix ends at a slash");
    assert!(s.list("").unwrap().iter().any(|o| o.key == "lx"));
    assert_eq!(s.get("l/b!_.*'()-Z/y").unwrap(), "xy");
    s.delete("l/a/b").unwrap();
    s.delete("l/a/b").unwrap();
    assert_eq!(s.list("l/a/").unwrap(), []);
    assert_eq!(s.get("l/a/b").unwrap_err().kind(), Kind::NotFound);
}

fn creates(s: &dyn Store) {
    assert_eq!(s.create("c/meta", Bytes::from_static(b"first")).unwrap(), Created::Yes);
    assert_eq!(s.create("c/meta", Bytes::from_static(b"second")).unwrap(), Created::Exists);
    assert_eq!(s.get("c/meta").unwrap(), "first");
    assert_eq!(s.list("c/").unwrap().len(), 1, "nothing is left aside");
    s.delete("c/meta").unwrap();
    assert_eq!(s.create("c/meta", Bytes::from_static(b"third")).unwrap(), Created::Yes);
}

fn races(s: Arc<dyn Store>) {
    for round in 0..10 {
        let key = format!("r/{round}");
        let winners: Vec<usize> = std::thread::scope(|t| {
            let hands: Vec<_> = (0..8)
                .map(|n| {
                    let (s, key) = (&s, &key);
                    t.spawn(move || s.create(key, format!("by {n}").into()).unwrap() == Created::Yes)
                })
                .collect();
            hands.into_iter().enumerate().filter_map(|(n, h)| h.join().unwrap().then_some(n)).collect()
        });
        assert_eq!(winners.len(), 1, "round {round}: one creates, the others see that it exists");
        assert_eq!(s.get(&key).unwrap(), format!("by {}", winners[0]));
    }
}

fn files(s: &dyn Store, fs: &dyn Fs, dir: &Path, len: usize) {
    let data: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
    let path = dir.join("source");
    fs.create(&path).unwrap().write_at(0, &data).unwrap();
    s.put_file("f/big", fs, &path).unwrap();
    assert_eq!(s.len("f/big").unwrap(), len as u64);
    let from = len as u64 - len as u64 / 3;
    assert_eq!(s.get_range("f/big", from..len as u64).unwrap(), &data[from as usize..]);
    assert!(s.get("f/big").unwrap() == data);
    assert_eq!(s.put_file("f/none", fs, &dir.join("no such file")).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(s.list("f/").unwrap().len(), 1, "a failure leaves nothing");
}

/// Everything above; `len` is the size of the largest file.
pub fn conforms(s: Arc<dyn Store>, fs: &dyn Fs, dir: &Path, len: usize) {
    objects(&*s);
    lists(&*s);
    creates(&*s);
    files(&*s, fs, dir, len);
    races(s);
}

#[test]
fn a_directory_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let store = FsStore::new(Arc::new(RealFs), dir.path().join("store"), "n1");
    conforms(Arc::new(store), &RealFs, dir.path(), 3 << 20);
    let sim = SimFs::seeded(1);
    sim.create_dir_all(Path::new("/w")).unwrap();
    conforms(Arc::new(FsStore::new(Arc::new(sim.clone()), "/store", "n1")), &sim, Path::new("/w"), 3 << 20);
}

#[test]
fn a_faulty_store_without_faults_conforms() {
    let sim = SimFs::seeded(1);
    sim.create_dir_all(Path::new("/w")).unwrap();
    let inner = Arc::new(FsStore::new(Arc::new(sim.clone()), "/store", "n1"));
    conforms(Arc::new(Faulty::new(inner, 1)), &sim, Path::new("/w"), 100_000);
}

#[test]
fn two_processes_on_one_directory_do_not_meet_in_names() {
    let dir = tempfile::tempdir().unwrap();
    let store = |n: &str| Arc::new(FsStore::new(Arc::new(RealFs), dir.path(), n));
    let (a, b) = (store("a"), store("b"));
    std::thread::scope(|t| {
        for s in [&a, &b] {
            t.spawn(move || {
                for i in 0..200 {
                    // The directory comes and goes all the time.
                    s.put("d/e/same", format!("{i}").into()).unwrap();
                    s.delete("d/e/same").unwrap();
                }
            });
        }
    });
    assert_eq!(a.list("").unwrap(), []);
}

#[test]
fn what_a_directory_confirmed_survives_a_power_cut() {
    for seed in 1..=50 {
        let sim = SimFs::seeded(seed);
        let s = FsStore::new(Arc::new(sim.clone()), "/store", "n1");
        let mut confirmed = vec![];
        for i in 0..10 {
            sim.crash_after(seed % 7 + 3 + i);
            let key = format!("x/{i}/y");
            if s.create(&key, Bytes::from(key.clone())).is_ok() {
                confirmed.push(key);
            }
            if sim.is_dead() {
                break;
            }
        }
        sim.power_cut();
        for key in confirmed {
            assert_eq!(s.get(&key).unwrap(), key, "seed {seed}");
        }
        for o in s.list("").unwrap() {
            assert_eq!(s.get(&o.key).unwrap(), o.key, "seed {seed}: whole or not at all");
        }
    }
}

#[test]
fn a_store_that_can_all_passes_the_check_and_one_that_cannot_is_told_why() {
    let dir = tempfile::tempdir().unwrap();
    let inner = Arc::new(FsStore::new(Arc::new(RealFs), dir.path(), "n"));
    for step in store::check(&*inner).unwrap() {
        step.result.unwrap_or_else(|e| panic!("{}: {e}", step.what));
    }
    assert_eq!(inner.list("").unwrap(), [], "the check leaves nothing");
    let faulty = Faulty::new(inner, 1);
    faulty.set(store::Faults { down: true, ..Default::default() });
    let steps = store::check(&faulty).unwrap();
    // Giving up needs nothing where there are no parts.
    assert_eq!(steps.iter().filter(|s| s.result.is_err()).count(), steps.len() - 1);
}
