//! The store that fails on command does.

use std::sync::Arc;

use base::Kind;
use bytes::Bytes;
use disk::SimFs;
use store::{Created, Faults, Faulty, FsStore, Store};

fn faulty(seed: u64) -> Faulty {
    Faulty::new(Arc::new(FsStore::new(Arc::new(SimFs::seeded(1)), "/s", "n")), seed)
}

#[test]
fn a_store_that_is_down_answers_nothing_and_comes_back() {
    let s = faulty(1);
    s.put("a", Bytes::from_static(b"1")).unwrap();
    s.set(Faults { down: true, ..Faults::default() });
    for e in [s.get("a").err(), s.put("b", Bytes::new()).err(), s.create("c", Bytes::new()).err(), s.list("").err(), s.delete("a").err()] {
        assert_eq!(e.unwrap().kind(), Kind::Unavailable);
    }
    s.set(Faults::default());
    assert_eq!(s.list("").unwrap().len(), 1, "nothing happened meanwhile");
    assert!(s.directory().is_none());
}

#[test]
fn a_share_of_calls_fails_and_some_of_them_were_done() {
    let s = faulty(3);
    s.set(Faults { fail_percent: 30, ..Faults::default() });
    let failed = (0..1000).filter(|i| s.create(&format!("k/{i}"), Bytes::new()).is_err()).collect::<Vec<_>>();
    assert!((200..400).contains(&failed.len()), "{}", failed.len());
    s.set(Faults::default());
    let done = failed.iter().filter(|i| s.create(&format!("k/{i}"), Bytes::new()).unwrap() == Created::Exists).count();
    assert!(done > failed.len() / 4 && done < failed.len() * 3 / 4, "{done} of {}", failed.len());
    assert_eq!(s.calls().1, failed.len() as u64);
}

#[test]
fn the_same_seed_fails_the_same_calls() {
    let run = |seed| {
        let s = faulty(seed);
        s.set(Faults { fail_percent: 50, ..Faults::default() });
        (0..64).map(|_| s.list("").is_ok()).collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
