//! Each behaviour of the simulated disk.

use std::collections::BTreeSet;

use super::*;
use crate::{read, write_durably};

fn p(s: &str) -> &Path {
    Path::new(s)
}

/// A disk with `/d/a` holding `old`, durably.
fn disk(seed: u64, old: &[u8]) -> SimFs {
    let fs = SimFs::seeded(seed);
    fs.create_dir_all(p("/d")).unwrap();
    let f = fs.create(p("/d/a")).unwrap();
    f.write_at(0, old).unwrap();
    f.sync().unwrap();
    fs.sync_dir(p("/d")).unwrap();
    fs
}

#[test]
fn a_power_cut_drops_what_was_not_synced() {
    let fs = disk(1, b"old");
    let f = fs.open(p("/d/a")).unwrap();
    f.write_at(0, b"newer").unwrap();
    fs.create(p("/d/b")).unwrap();
    fs.rename(p("/d/a"), p("/d/c")).unwrap();
    assert_eq!(read(&fs, p("/d/c")).unwrap(), b"newer", "the program sees it at once");
    fs.power_cut();
    assert_eq!(fs.paths(), [p("/d/a")]);
    assert_eq!(read(&fs, p("/d/a")).unwrap(), b"old");
    assert_eq!(fs.total_bytes(), 3);
}

#[test]
fn a_synced_file_whose_directory_was_not_synced_is_gone() {
    let fs = disk(1, b"old");
    let f = fs.create(p("/d/b")).unwrap();
    f.write_at(0, b"data").unwrap();
    f.sync().unwrap();
    fs.power_cut();
    assert_eq!(fs.paths(), [p("/d/a")]);
}

#[test]
fn a_killed_process_loses_nothing_but_its_handles() {
    let fs = disk(1, b"old");
    let f = fs.open(p("/d/a")).unwrap();
    f.write_at(3, b"er").unwrap();
    fs.reboot(Loss::Nothing);
    assert!(f.len().is_err() && f.read_at(0, &mut [0]).is_err() && f.write_at(0, b"x").is_err() && f.sync().is_err());
    assert_eq!(read(&fs, p("/d/a")).unwrap(), b"older");
}

#[test]
fn a_crash_keeps_drops_or_tears_writes_at_sectors() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let fs = disk(seed, &[b'o'; 4096]);
        fs.open(p("/d/a")).unwrap().write_at(0, &[b'n'; 4096]).unwrap();
        fs.crash();
        let now = read(&fs, p("/d/a")).unwrap();
        assert_eq!(now.len(), 4096);
        for sector in now.chunks(512) {
            assert!(sector.iter().all(|b| *b == sector[0]), "a sector is written whole or not");
        }
        let new = now.iter().filter(|b| **b == b'n').count();
        let prefix = now.windows(2).all(|w| w[0] == b'n' || w[1] == b'o');
        seen.insert(match new {
            0 => "dropped",
            4096 => "kept",
            _ if prefix => "first part",
            _ => "any part",
        });
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn a_torn_append_may_leave_zeros_or_a_shorter_file() {
    let (mut zeros, mut shorter) = (false, false);
    for seed in 0..200 {
        let fs = disk(seed, &[b'o'; 512]);
        fs.open(p("/d/a")).unwrap().write_at(512, &[b'n'; 2048]).unwrap();
        fs.crash();
        let now = read(&fs, p("/d/a")).unwrap();
        assert!(now[..512].iter().all(|b| *b == b'o'));
        zeros |= now.contains(&0);
        shorter |= now.len() > 512 && now.len() < 2560;
    }
    assert!(zeros && shorter);
}

#[test]
fn a_crash_keeps_or_drops_each_directory_change_for_itself() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let fs = disk(seed, b"old");
        let f = fs.create(p("/d/a.tmp")).unwrap();
        f.write_at(0, b"new").unwrap();
        f.sync().unwrap();
        fs.rename(p("/d/a.tmp"), p("/d/a")).unwrap();
        fs.crash();
        let now = read(&fs, p("/d/a")).unwrap();
        assert!(now == b"old" || now == b"new");
        seen.insert((now, fs.paths().len()));
    }
    assert_eq!(seen.len(), 3, "kept, dropped with and without the file aside: {seen:?}");
}

#[test]
fn a_removal_may_come_back() {
    let mut seen = BTreeSet::new();
    for seed in 0..30 {
        let fs = disk(seed, b"old");
        fs.remove(p("/d/a")).unwrap();
        assert_eq!(fs.total_bytes(), 0);
        fs.crash();
        seen.insert(fs.total_bytes());
    }
    assert_eq!(seen, BTreeSet::from([0, 3]));
    let fs = disk(1, b"old");
    fs.remove(p("/d/a")).unwrap();
    fs.sync_dir(p("/d")).unwrap();
    fs.crash();
    assert_eq!(fs.paths(), Vec::<PathBuf>::new());
}

#[test]
fn what_is_written_durably_is_old_or_new_wherever_it_crashes() {
    let mut seen = BTreeSet::new();
    for seed in 0..40 {
        for n in 0..6 {
            let fs = disk(seed, b"old");
            fs.crash_after(n);
            let done = write_durably(&fs, p("/d/a"), b"new");
            assert_eq!(done.is_ok(), n >= 5, "create, write, sync, rename, sync of the directory");
            fs.crash();
            let now = read(&fs, p("/d/a")).unwrap();
            assert!(now == b"new" || done.is_err() && now == b"old");
            seen.insert((n, now));
        }
    }
    assert!(seen.contains(&(4, b"new".to_vec())) && seen.contains(&(4, b"old".to_vec())));
}

#[test]
fn the_same_seed_does_the_same() {
    let run = |seed| {
        let fs = disk(seed, &[1; 3000]);
        for i in 0..20u8 {
            let f = fs.create(&p("/d").join(format!("{i}"))).unwrap();
            f.write_at(0, &[i; 2000]).unwrap();
        }
        fs.crash();
        fs.paths().iter().map(|x| (x.clone(), read(&fs, x).unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn after_the_n_th_change_everything_fails_until_the_reboot() {
    let fs = disk(1, b"old");
    fs.crash_after(2);
    let f = fs.open(p("/d/a")).unwrap();
    f.write_at(0, b"1").unwrap();
    f.sync().unwrap();
    assert!(!fs.is_dead());
    assert!(f.write_at(0, b"2").is_err());
    assert!(fs.is_dead());
    assert!(f.read_at(0, &mut [0]).is_err() && f.len().is_err() && fs.list(p("/d")).is_err() && fs.open(p("/d/a")).is_err());
    assert!(fs.create(p("/d/b")).is_err() && fs.sync_dir(p("/d")).is_err() && fs.free_bytes(p("/d")).is_err());
    fs.power_cut();
    assert_eq!(read(&fs, p("/d/a")).unwrap(), b"1ld");
}

#[test]
fn a_full_disk_says_so_and_takes_what_fits() {
    let fs = SimFs::new(SimSettings { seed: 1, capacity_bytes: 10 });
    let f = fs.create(p("/a")).unwrap();
    f.write_at(0, b"123456").unwrap();
    assert_eq!(fs.free_bytes(p("/")).unwrap(), 4);
    assert_eq!(f.write_at(6, b"7890+").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(fs.free_bytes(p("/")).unwrap(), 0);
    f.write_at(0, b"overwriting needs no room").unwrap_err();
    f.write_at(0, b"abc").unwrap();
    assert_eq!(f.set_len(11).unwrap_err().kind(), io::ErrorKind::StorageFull);
    f.set_len(2).unwrap();
    assert_eq!((fs.free_bytes(p("/")).unwrap(), fs.total_bytes()), (8, 2));
    fs.remove(p("/a")).unwrap();
    assert_eq!(fs.free_bytes(p("/")).unwrap(), 10);
}

#[test]
fn after_a_failed_sync_nobody_knows_and_a_second_one_lies() {
    let mut seen = BTreeSet::new();
    for seed in 0..30 {
        let fs = disk(seed, b"old");
        let f = fs.open(p("/d/a")).unwrap();
        f.write_at(0, b"new").unwrap();
        fs.fail_syncs(1);
        assert_eq!(f.sync().unwrap_err().raw_os_error(), Some(libc::EIO));
        f.sync().unwrap();
        assert_eq!(read(&fs, p("/d/a")).unwrap(), b"new", "the page cache still shows it");
        fs.power_cut();
        seen.insert(read(&fs, p("/d/a")).unwrap());
    }
    assert_eq!(seen, BTreeSet::from([b"old".to_vec(), b"new".to_vec()]));
}

#[test]
fn reads_fail_on_demand_and_in_bad_sectors() {
    let fs = disk(1, &[7; 2000]);
    let f = fs.open(p("/d/a")).unwrap();
    fs.fail_reads(1);
    assert!(f.read_at(0, &mut [0; 10]).is_err());
    assert_eq!(f.read_at(0, &mut [0; 10]).unwrap(), 10);
    fs.break_sector(p("/d/a"), 600).unwrap();
    assert!(f.read_at(500, &mut [0; 20]).is_err() && f.read_at(1023, &mut [0]).is_err());
    assert!(f.read_at(0, &mut [0; 512]).is_ok() && f.read_at(1024, &mut [0; 512]).is_ok());
    f.write_at(512, &[1; 512]).unwrap();
    assert!(f.read_at(500, &mut [0; 20]).is_ok(), "a written sector can be read again");
}

#[test]
fn a_flip_stays() {
    let fs = disk(1, &[0; 100]);
    fs.open(p("/d/a")).unwrap().write_at(100, &[0; 100]).unwrap();
    fs.flip(p("/d/a"), 50, 0x10).unwrap();
    fs.flip(p("/d/a"), 150, 0x01).unwrap();
    assert!(fs.flip(p("/d/a"), 200, 1).is_err());
    fs.open(p("/d/a")).unwrap().sync().unwrap();
    fs.power_cut();
    let now = read(&fs, p("/d/a")).unwrap();
    assert_eq!((now[50], now[150], now.iter().filter(|b| **b != 0).count()), (0x10, 0x01, 2));
}

#[test]
fn a_lying_sync_keeps_nothing() {
    let fs = disk(1, b"old");
    fs.lying_sync(true);
    write_durably(&fs, p("/d/a"), b"new").unwrap();
    fs.power_cut();
    assert_eq!(read(&fs, p("/d/a")).unwrap(), b"old");
}

#[test]
fn changes_are_counted() {
    let fs = disk(1, b"old");
    let before = fs.ops();
    let f = fs.open(p("/d/a")).unwrap();
    f.read_at(0, &mut [0]).unwrap();
    fs.list(p("/d")).unwrap();
    assert_eq!(fs.ops(), before);
    f.write_at(0, b"x").unwrap();
    f.sync().unwrap();
    assert_eq!(fs.ops(), before + 2);
}

#[test]
fn a_handle_outlives_its_name() {
    let fs = disk(1, b"old");
    let f = fs.open(p("/d/a")).unwrap();
    write_durably(&fs, p("/d/a"), b"new").unwrap();
    let mut buf = [0; 3];
    f.read_exact_at(0, &mut buf).unwrap();
    assert_eq!(&buf, b"old");
}

#[test]
fn what_cannot_be_reached_is_forgotten() {
    let fs = disk(1, b"old");
    for i in 0..100 {
        write_durably(&fs, p("/d/a"), &[i]).unwrap();
        let open = fs.create(p("/d/b")).unwrap();
        fs.remove(p("/d/b")).unwrap();
        fs.sync_dir(p("/d")).unwrap();
        open.write_at(0, &[i]).unwrap();
    }
    assert!(fs.0.lock().remembered() <= 4, "{}", fs.0.lock().remembered());
}
