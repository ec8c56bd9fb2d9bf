//! One contract, every disk: what [`Fs`] promises holds for the real one, the simulated one, and the one that a kill cuts from power.
#![allow(clippy::unwrap_used)] // a test

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use disk::{Entry, Fs, RealFs, SimFs, VolatileFs, read, write_durably};

fn files(fs: &dyn Fs, root: &Path) {
    let path = root.join("f");
    assert_eq!(fs.open(&path).err().unwrap().kind(), ErrorKind::NotFound);
    let f = fs.create(&path).unwrap();
    assert!(f.is_empty().unwrap());
    f.write_at(3, b"def").unwrap();
    f.write_at(0, b"abc").unwrap();
    assert_eq!(f.len().unwrap(), 6);
    let mut buf = [0; 10];
    assert_eq!(f.read_at(2, &mut buf).unwrap(), 4);
    assert_eq!(&buf[..4], b"cdef");
    assert_eq!(f.read_at(6, &mut buf).unwrap(), 0);
    assert_eq!(f.read_at(60, &mut buf).unwrap(), 0);
    assert_eq!(f.read_exact_at(2, &mut buf).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    f.write_at(8, b"!").unwrap();
    f.sync().unwrap();
    assert_eq!(read(fs, &path).unwrap(), b"abcdef\0\0!");
    f.set_len(2).unwrap();
    f.set_len(4).unwrap();
    assert_eq!(read(fs, &path).unwrap(), b"ab\0\0", "growing adds zeros, not what was there");
    let again = fs.open(&path).unwrap();
    again.write_at(0, b"x").unwrap();
    f.read_exact_at(0, &mut buf[..2]).unwrap();
    assert_eq!(&buf[..2], b"xb", "two handles, one file");
    let f = fs.create(&path).unwrap();
    assert_eq!(f.len().unwrap(), 0, "creating empties");
}

fn second_names(fs: &dyn Fs, root: &Path) {
    let (path, second) = (root.join("first"), root.join("second"));
    let bytes = vec![7u8; (1 << 20) + 5];
    let f = fs.create(&path).unwrap();
    f.write_at(0, &bytes).unwrap();
    f.sync().unwrap();
    assert_eq!(fs.link_or_copy(&root.join("no"), &second).unwrap_err().kind(), ErrorKind::NotFound);
    fs.link_or_copy(&path, &second).unwrap();
    assert_eq!(fs.link_or_copy(&path, &second).unwrap_err().kind(), ErrorKind::AlreadyExists);
    fs.remove(&path).unwrap();
    assert!(read(fs, &second).unwrap() == bytes, "what has one name less is still there");
}

fn directories(fs: &dyn Fs, root: &Path) {
    let deep = root.join("x/y/z");
    fs.create_dir_all(&deep).unwrap();
    fs.create_dir_all(&deep).unwrap();
    fs.create(&deep.join("b")).unwrap().write_at(0, b"12").unwrap();
    fs.create(&deep.join("a")).unwrap();
    fs.create_dir_all(&deep.join("c")).unwrap();
    let entry = |name: &str, is_dir, len| Entry { name: name.into(), is_dir, len };
    assert_eq!(fs.list(&deep).unwrap(), [entry("a", false, 0), entry("b", false, 2), entry("c", true, 0)]);
    fs.sync_dir(&deep).unwrap();
    assert_eq!(fs.remove_dir(&deep).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    fs.remove_dir(&deep.join("c")).unwrap();
    fs.remove(&deep.join("a")).unwrap();
    assert_eq!(fs.list(&deep).unwrap(), [entry("b", false, 2)]);
    for missing in [fs.list(&root.join("no")).err(), fs.remove(&root.join("no")).err(), fs.sync_dir(&root.join("no")).err()] {
        assert_eq!(missing.unwrap().kind(), ErrorKind::NotFound);
    }
    assert_eq!(fs.create(&root.join("no/f")).err().unwrap().kind(), ErrorKind::NotFound);
    assert!(fs.list(&deep.join("b")).is_err(), "a file has no entries");
    assert!(fs.remove(&deep).is_err(), "a directory is not removed as a file");
    assert!(fs.create_dir_all(&deep.join("b/c")).is_err(), "a file is in the way");
}

fn renames(fs: &dyn Fs, root: &Path) {
    let (a, b) = (root.join("ra"), root.join("sub/rb"));
    fs.create_dir_all(&root.join("sub")).unwrap();
    write_durably(fs, &a, b"from").unwrap();
    write_durably(fs, &b, b"to").unwrap();
    fs.rename(&a, &b).unwrap();
    assert_eq!(fs.open(&a).err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(read(fs, &b).unwrap(), b"from");
    assert_eq!(fs.rename(&a, &b).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs.list(&root.join("sub")).unwrap().len(), 1, "nothing is left aside");
    fs.rename(&b, &b).unwrap();
    assert_eq!(read(fs, &b).unwrap(), b"from");
    write_durably(fs, &a, b"second").unwrap();
    assert_eq!(fs.rename_new(&a, &b).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!((read(fs, &a).unwrap(), read(fs, &b).unwrap()), (b"second".to_vec(), b"from".to_vec()));
    fs.remove(&b).unwrap();
    fs.rename_new(&a, &b).unwrap();
    assert_eq!(fs.open(&a).err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(read(fs, &b).unwrap(), b"second");
}

fn space(fs: &dyn Fs, root: &Path) {
    assert!(fs.free_bytes(root).unwrap() > 1 << 20);
    assert!(fs.free_bytes(&root.join("no")).is_err());
}

fn threads(fs: Arc<dyn Fs>, root: &Path) {
    let f = fs.create(&root.join("shared")).unwrap();
    std::thread::scope(|s| {
        for i in 0..4u8 {
            let f = f.clone();
            s.spawn(move || {
                for block in 0..50 {
                    f.write_at((block * 4 + u64::from(i)) * 100, &[i + 1; 100]).unwrap();
                }
            });
        }
    });
    let all = read(fs.as_ref(), &root.join("shared")).unwrap();
    assert_eq!(all.len(), 20_000);
    assert!(all.chunks(100).enumerate().all(|(i, c)| c.iter().all(|&b| b == (i % 4) as u8 + 1)));
}

fn all(fs: Arc<dyn Fs>, root: &Path) {
    files(fs.as_ref(), root);
    second_names(fs.as_ref(), root);
    directories(fs.as_ref(), root);
    renames(fs.as_ref(), root);
    space(fs.as_ref(), root);
    threads(fs, root);
}

#[test]
fn the_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    all(Arc::new(RealFs), dir.path());
}

#[test]
fn the_disk_that_a_kill_cuts_from_power() {
    let dir = tempfile::tempdir().unwrap();
    all(Arc::new(VolatileFs::default()), dir.path());
}

#[test]
fn the_simulated_disk() {
    let fs = SimFs::default();
    fs.create_dir_all(Path::new("/data/here")).unwrap();
    all(Arc::new(fs), Path::new("/data/here"));
}

/// `/dev/full` takes no byte: the one full disk that every Linux has.
#[cfg(target_os = "linux")]
#[test]
fn a_full_real_disk_is_storage_full() {
    let f = RealFs.open(Path::new("/dev/full")).unwrap();
    assert_eq!(f.write_at(0, b"x").unwrap_err().kind(), ErrorKind::StorageFull);
}
