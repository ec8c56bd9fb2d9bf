//! What a kill leaves is what was synced, and a program sees no difference to another disk.

use std::io::ErrorKind;
use std::path::Path;

use super::VolatileFs;
use crate::{Fs, RealFs, SimFs, read, write_durably};

#[test]
fn only_synced_bytes_reach_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (fs, path) = (VolatileFs::default(), dir.path().join("log"));
    let f = fs.create(&path).unwrap();
    f.write_at(0, b"first ").unwrap();
    f.sync().unwrap();
    f.write_at(6, b"second").unwrap();
    f.write_at(0, b"F").unwrap();
    drop(f);
    assert_eq!(read(&fs, &path).unwrap(), b"First second", "the process that wrote it sees it, with a new handle too");
    assert_eq!(fs.list(dir.path()).unwrap()[0].len, 12);
    assert_eq!(read(&RealFs, &path).unwrap(), b"first ");
    let after_the_kill = VolatileFs::default();
    assert_eq!(read(&after_the_kill, &path).unwrap(), b"first ");
}

#[test]
fn a_file_renamed_before_its_sync_is_empty_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let (fs, aside, path) = (VolatileFs::default(), dir.path().join("x.tmp"), dir.path().join("x"));
    write_durably(&fs, &path, b"old").unwrap();
    fs.create(&aside).unwrap().write_at(0, b"new").unwrap();
    fs.rename(&aside, &path).unwrap();
    assert_eq!(read(&fs, &path).unwrap(), b"new");
    assert_eq!(read(&RealFs, &path).unwrap(), b"");
    write_durably(&fs, &path, b"newer").unwrap();
    assert_eq!(read(&RealFs, &path).unwrap(), b"newer");
}

#[test]
fn a_directory_takes_its_cached_files_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (fs, old, new) = (VolatileFs::default(), dir.path().join("old"), dir.path().join("new"));
    fs.create_dir_all(&old).unwrap();
    fs.create(&old.join("f")).unwrap().write_at(0, b"here").unwrap();
    fs.rename(&old, &new).unwrap();
    assert_eq!(read(&fs, &new.join("f")).unwrap(), b"here");
    assert_eq!(read(&RealFs, &new.join("f")).unwrap(), b"");
}

#[test]
fn files_that_are_clean_and_closed_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let fs = VolatileFs::default();
    for i in 0..10 {
        write_durably(&fs, &dir.path().join(i.to_string()), b"x").unwrap();
        read(&fs, &dir.path().join(i.to_string())).unwrap();
    }
    assert_eq!(fs.0.files.lock().len(), 0, "each would keep a file of the system open");
}

#[test]
fn a_full_disk_takes_nothing_new_and_gives_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let (fs, path) = (VolatileFs::default(), dir.path().join("f"));
    let f = fs.create(&path).unwrap();
    f.write_at(0, b"12345678").unwrap();
    fs.set_full(true);
    assert_eq!(fs.free_bytes(dir.path()).unwrap(), 0);
    assert_eq!(f.write_at(6, b"xxx").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(fs.create(&dir.path().join("g")).err().unwrap().kind(), ErrorKind::StorageFull);
    assert_eq!(fs.create_dir_all(&dir.path().join("d")).unwrap_err().kind(), ErrorKind::StorageFull);
    f.write_at(6, b"xx").unwrap();
    f.sync().unwrap();
    assert_eq!(read(&RealFs, &path).unwrap(), b"123456xx");
    fs.set_full(false);
    f.write_at(8, b"9").unwrap();
    assert!(fs.free_bytes(dir.path()).unwrap() > 0);
}

/// Random writes, cuts, growths and syncs against the simulated disk, which keeps whole files in memory: after each step both
/// show the same bytes, and after a power cut as well.
#[test]
fn as_the_simulated_disk_sees_it() {
    for seed in 0..5u64 {
        let dir = tempfile::tempdir().unwrap();
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut below = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % n
        };
        let model = SimFs::seeded(seed);
        let (path, at) = (dir.path().join("f"), Path::new("/f"));
        let mut fs = VolatileFs::default();
        let (mut f, mut m) = (fs.create(&path).unwrap(), model.create(at).unwrap());
        model.sync_dir(Path::new("/")).unwrap();
        for step in 0..200 {
            match below(20) {
                0..10 => {
                    let data = vec![(step % 250) as u8 + 1; below(6000) as usize];
                    let offset = below(30_000);
                    f.write_at(offset, &data).unwrap();
                    m.write_at(offset, &data).unwrap();
                }
                10..14 => {
                    let len = below(40_000);
                    f.set_len(len).unwrap();
                    m.set_len(len).unwrap();
                }
                14..18 => {
                    f.sync().unwrap();
                    m.sync().unwrap();
                }
                18 => {
                    f = fs.create(&path).unwrap();
                    m = model.create(at).unwrap();
                }
                _ => {
                    // The killed process's memory is gone with its handles.
                    fs = VolatileFs::default();
                    model.power_cut();
                    (f, m) = (fs.open(&path).unwrap(), model.open(at).unwrap());
                }
            }
            assert!(read(&fs, &path).unwrap() == read(&model, at).unwrap(), "seed {seed}, step {step}");
        }
    }
}
