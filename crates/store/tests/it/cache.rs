//! The cache: right whatever happens to its disk, and within its bound.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use disk::{File, Fs, SimFs};
use store::{Cache, Faults, Faulty, FsStore, Store};

const PIECE: usize = 512 << 10;

struct World {
    disk: SimFs,
    store: Arc<Faulty>,
}

impl World {
    fn new() -> World {
        let inner = FsStore::new(Arc::new(SimFs::seeded(1)), "/s", "n");
        World { disk: SimFs::seeded(2), store: Arc::new(Faulty::new(Arc::new(inner), 1)) }
    }
    fn cache(&self, limit: u64) -> Arc<Cache> {
        Cache::open(self.store.clone(), Arc::new(self.disk.clone()), Path::new("/cache"), limit).unwrap()
    }
    fn object(&self, key: &str, len: usize) -> Bytes {
        let data: Bytes = (0..len).map(|i| (i * 31 + i / 1000 + key.len()) as u8).collect::<Vec<_>>().into();
        self.store.put(key, data.clone()).unwrap();
        data
    }
}

fn read(f: &Arc<dyn File>, at: usize, len: usize) -> Vec<u8> {
    let mut buf = vec![0; len];
    f.read_exact_at(at as u64, &mut buf).unwrap();
    buf
}

#[test]
fn every_range_reads_as_it_is() {
    let w = World::new();
    let len = 3 * PIECE + 1234;
    let data = w.object("o", len);
    for limit in [0, 700 << 10, 64 << 20] {
        let f = w.cache(limit).file("o", len as u64);
        assert_eq!(f.len().unwrap(), len as u64);
        for (at, n) in [(0, 1), (0, len), (PIECE - 1, 2), (PIECE, PIECE), (len - 1, 1), (5, 2 * PIECE), (len, 0)] {
            assert!(read(&f, at, n) == data[at..at + n], "limit {limit}: {n} bytes at {at}");
        }
        let mut past = [0; 10];
        assert_eq!(f.read_at(len as u64 - 4, &mut past).unwrap(), 4);
        assert_eq!(f.read_at(len as u64 + 4, &mut past).unwrap(), 0);
        assert!(f.write_at(0, b"x").is_err());
    }
}

#[test]
fn what_was_read_once_is_read_here_even_after_a_restart() {
    let w = World::new();
    let data = w.object("o", 2 * PIECE);
    let c = w.cache(64 << 20);
    read(&c.file("o", data.len() as u64), 0, data.len());
    assert_eq!((c.stats().misses, c.stats().fetches), (2, 1), "neighbours come with one request");
    w.store.set(Faults { down: true, ..Faults::default() });
    assert!(read(&c.file("o", data.len() as u64), 0, data.len()) == data);
    let again = w.cache(64 << 20);
    assert!(read(&again.file("o", data.len() as u64), 0, data.len()) == data);
    assert_eq!((again.stats().hits, again.stats().misses), (2, 0));
    again.forget("o");
    let e = again.file("o", data.len() as u64).read_at(0, &mut [0; 4]).unwrap_err();
    assert_eq!(base::Error::from(e).kind(), base::Kind::Unavailable);
}

#[test]
fn what_was_uploaded_is_here() {
    let w = World::new();
    let c = w.cache(64 << 20);
    w.disk.create(Path::new("/file")).unwrap().write_at(0, &vec![7; PIECE + 9]).unwrap();
    c.keep("o", &w.disk, Path::new("/file")).unwrap();
    assert!(read(&c.file("o", PIECE as u64 + 9), PIECE - 3, 12) == [7; 12], "the store was never asked");
    assert_eq!(c.stats().misses, 0);
}

#[test]
fn the_bound_holds_and_the_oldest_goes_first() {
    let w = World::new();
    for n in 0..6 {
        w.object(&format!("o{n}"), PIECE);
    }
    let c = w.cache(3 * (PIECE as u64 + 4));
    for n in [0, 1, 2, 0, 3, 4] {
        read(&c.file(&format!("o{n}"), PIECE as u64), 0, 10);
        assert!(c.stats().bytes <= 3 * (PIECE as u64 + 4));
    }
    let on_disk: u64 = w.disk.list(Path::new("/cache")).unwrap().iter().map(|e| e.len).sum();
    assert_eq!(on_disk, c.stats().bytes);
    let before = c.stats().misses;
    read(&c.file("o0", PIECE as u64), 0, 10);
    assert_eq!(c.stats().misses, before, "o0 was used again and stayed");
    read(&c.file("o1", PIECE as u64), 0, 10);
    assert_eq!(c.stats().misses, before + 1, "o1 was the oldest");
    let smaller = w.cache(PIECE as u64 + 4);
    assert_eq!(smaller.stats().bytes, PIECE as u64 + 4, "a smaller bound holds from the start");
}

#[test]
fn damage_on_the_disk_is_fetched_again() {
    let w = World::new();
    let data = w.object("o", PIECE);
    let c = w.cache(64 << 20);
    let f = c.file("o", PIECE as u64);
    read(&f, 0, 1);
    let piece = w.disk.list(Path::new("/cache")).unwrap().remove(0).name;
    w.disk.flip(&Path::new("/cache").join(&piece), 777, 4).unwrap();
    let again = w.cache(64 << 20);
    assert!(read(&again.file("o", PIECE as u64), 0, PIECE) == data);
    assert_eq!((again.stats().hits, again.stats().misses), (0, 1));
    w.disk.open(&Path::new("/cache").join(&piece)).unwrap().set_len(100).unwrap();
    assert!(read(&w.cache(64 << 20).file("o", PIECE as u64), 0, PIECE) == data, "torn by a crash");
}

#[test]
fn a_full_disk_costs_speed_alone() {
    let w = World::new();
    let data = w.object("o", PIECE);
    w.disk.create_dir_all(Path::new("/cache")).unwrap();
    w.disk.set_capacity(1000);
    let c = w.cache(64 << 20);
    assert!(read(&c.file("o", PIECE as u64), 0, PIECE) == data);
    assert_eq!(c.stats().bytes, 0);
}

#[test]
fn many_readers_of_one_piece_ask_the_store_once() {
    let w = World::new();
    let data = w.object("o", PIECE);
    w.store.set(Faults { delay: std::time::Duration::from_millis(50), ..Faults::default() });
    let c = w.cache(64 << 20);
    std::thread::scope(|t| {
        for _ in 0..8 {
            t.spawn(|| assert!(read(&c.file("o", PIECE as u64), 0, PIECE) == data));
        }
    });
    assert_eq!(c.stats().fetches, 1);
}

#[test]
fn reading_on_fetches_ahead() {
    let w = World::new();
    let n = 40;
    let data = w.object("o", n * PIECE);
    let c = w.cache(64 << 20);
    let f = c.file("o", data.len() as u64);
    for i in 0..n {
        assert!(read(&f, i * PIECE, PIECE) == data[i * PIECE..(i + 1) * PIECE]);
    }
    assert!(c.stats().fetches < 10, "{} requests for {n} pieces in a row", c.stats().fetches);
}

/// The number of open files is the number of blocks, and must not decide how much memory they take.
#[test]
fn what_lies_in_memory_does_not_grow_with_the_files() {
    let w = World::new();
    let c = w.cache(0);
    let files: Vec<_> = (0..100)
        .map(|n| {
            w.object(&format!("o{n}"), PIECE);
            c.file(&format!("o{n}"), PIECE as u64)
        })
        .collect();
    for f in &files {
        read(f, 0, 1);
        read(f, 1, 1);
    }
    assert_eq!(c.stats().misses, 100, "small reads in a row fetch a piece once");
    files.iter().rev().for_each(|f| drop(read(f, 2, 1)));
    let found = 200 - c.stats().misses;
    assert!((1..=64).contains(&found), "{found} pieces were in memory");
}
