//! Flipped bits, torn tails, cut and lost files, sectors that cannot be read.

use proptest::prelude::*;

use super::*;

/// Opens a copy of `dir` as it is on `fs` after `change`, and again, and checks what must hold whatever was changed.
struct Case {
    /// The files of a log: name and bytes.
    files: Vec<(PathBuf, Vec<u8>)>,
    frames: Vec<Owned>,
}

impl Case {
    /// A log of three segments with groups of several frames, stopped cleanly or not.
    fn new(clean: bool) -> Case {
        let fs = SimFs::default();
        let (mut wal, ..) = open(&fs);
        let mut frames = vec![];
        for _ in 0..3 {
            frames.extend(group(&mut wal, &[40, 7]));
            frames.extend(group(&mut wal, &[0, 90, 11]));
            wal.rotate().unwrap();
        }
        frames.extend(group(&mut wal, &[30, 30]));
        if clean {
            wal.close().unwrap();
        } else {
            // Without the space prepared for later groups, whose damage is none.
            wal.rotate().unwrap();
        }
        let files = segment_files(&fs).into_iter().map(|p| (p.clone(), disk::read(&fs, &p).unwrap())).collect();
        Case { files, frames }
    }

    fn disk(&self) -> SimFs {
        let fs = SimFs::default();
        fs.create_dir_all(Path::new(DIR)).unwrap();
        for (path, bytes) in &self.files {
            disk::write_durably(&fs, path, bytes).unwrap();
        }
        fs
    }

    /// The frames that the recovery missed, and what it said. Everything else must be there.
    fn missing(&self, fs: &SimFs) -> (Vec<u64>, Recovered) {
        let (_, r, frames) = open(fs);
        assert!(frames.windows(2).all(|w| w[0].0 < w[1].0));
        assert!(frames.iter().all(|f| self.frames.contains(f)), "a frame that was never written");
        let missing = self.frames.iter().filter(|f| !frames.contains(f)).map(|f| f.0).collect();
        (missing, r)
    }
}

/// The numbers that the damage names.
fn named(r: &Recovered) -> Vec<u64> {
    r.damage.iter().filter_map(|d| d.seq_range).flat_map(|(a, b)| a..=b).collect()
}

#[test]
fn a_flip_costs_at_most_the_frame_it_hits_and_is_counted() {
    let case = Case::new(true);
    let bytes: usize = case.files.iter().map(|f| f.1.len()).sum();
    assert!(bytes > 1500);
    for (path, content) in &case.files {
        for offset in 0..content.len() as u64 {
            let fs = case.disk();
            fs.flip(path, offset, 1 << (offset % 8)).unwrap();
            let before = disk::read(&fs, path).unwrap();
            let (missing, r) = case.missing(&fs);
            let at = format!("{path:?} {offset}");
            let seal = offset + 64 >= content.len() as u64 && path == &case.files[3].0;
            if seal {
                // The last record of all: nothing says that it was synced, and it holds nothing.
                assert_eq!((missing.len(), r.torn_tail_bytes), (0, 64), "{at}");
                continue;
            }
            assert!(missing.len() <= 1, "{at} lost {missing:?}");
            assert_eq!(named(&r), missing, "{at}: {:?}", r.damage);
            assert_eq!((r.damage.len(), r.torn_tail_bytes), (1, 0), "{at}");
            let d = &r.damage[0];
            assert!(d.was_synced && !d.known && d.offset <= offset && offset < d.offset + d.bytes, "{at}: {d:?}");
            // It is set aside byte for byte, and told once.
            let name = format!("{DIR}/damaged/{:020}-{}-{}.lost", d.segment, d.offset, d.bytes);
            let aside = disk::read(&fs, Path::new(&name)).unwrap();
            assert_eq!(aside, before[d.offset as usize..(d.offset + d.bytes) as usize], "{at}");
            let (again, r) = case.missing(&fs);
            assert_eq!(again, missing, "{at}");
            assert!(r.damage.len() == 1 && r.damage[0].known, "{at}: {:?}", r.damage);
        }
    }
}

#[test]
fn a_flip_after_an_unclean_stop_hides_nothing_behind_it() {
    let case = Case::new(false);
    let last = case.files.len() - 1;
    for (i, (path, content)) in case.files.iter().enumerate() {
        for offset in 0..content.len() as u64 {
            let fs = case.disk();
            fs.flip(path, offset, 0x80).unwrap();
            let (missing, r) = case.missing(&fs);
            assert!(missing.len() <= 1, "{path:?} {offset} lost {missing:?}");
            if i < last {
                assert_eq!(named(&r), missing, "{path:?} {offset}");
                assert!(r.damage.len() == 1 && r.damage[0].was_synced, "{path:?} {offset}: {:?}", r.damage);
            } else {
                // The last group may never have been acknowledged; it is counted, but not as a certain loss.
                assert!(r.torn_tail_bytes > 0 || r.damage.len() == 1 && !r.damage[0].was_synced, "{path:?} {offset}");
            }
        }
    }
}

#[test]
fn what_the_last_crash_tore_is_no_loss_later_either() {
    for seed in 0..300 {
        let fs = SimFs::seeded(seed);
        let (mut wal, ..) = open(&fs);
        let acked = group(&mut wal, &[600, 600]);
        let open_group: Vec<Owned> = (0..8).map(|_| add(&mut wal, 900)).collect();
        fs.crash_after(1);
        assert!(wal.sync().is_err());
        fs.crash();
        let (mut wal, r, first) = open(&fs);
        assert!(acked.iter().all(|f| first.contains(f)) && first.iter().all(|f| acked.contains(f) || open_group.contains(f)));
        assert!(r.damage.iter().all(|d| !d.was_synced && !d.known), "seed {seed}: {:?}", r.damage);
        let more = group(&mut wal, &[10]);
        assert!(more[0].0 > first.last().unwrap().0);
        fs.crash();
        let (_, r, second) = open(&fs);
        assert_eq!(second, [first, more].concat(), "seed {seed}");
        assert!(r.damage.iter().all(|d| !d.was_synced && d.known), "seed {seed}: {:?}", r.damage);
    }
}

#[test]
fn the_number_of_a_torn_frame_is_not_used_again() {
    let fs = SimFs::default();
    let (mut wal, ..) = open(&fs);
    let first = group(&mut wal, &[100]);
    group(&mut wal, &[100]);
    let second_group = 48 + 64 + 32 + 100;
    let path = segment_files(&fs).remove(0);
    fs.flip(&path, second_group + 40, 1).unwrap();
    fs.flip(&path, second_group + 64 + 32 + 5, 1).unwrap();
    let (_, r, frames) = open(&fs);
    assert_eq!((frames, r.next_seq, r.torn_tail_bytes), (first, 3, 64 + 32 + 100));
}

#[test]
fn what_a_crash_left_of_a_first_group_is_removed_and_its_name_not_used_again() {
    let fs = SimFs::default();
    fs.create_dir_all(Path::new(DIR)).unwrap();
    let leftover = Path::new(DIR).join(format::segment_name(5));
    disk::write_durably(&fs, &leftover, &[0xaa; 700]).unwrap();
    let (_, r, _) = open(&fs);
    assert_eq!((r.next_seq, r.torn_tail_bytes, r.damage.len()), (6, 700, 0));
    fs.power_cut();
    assert!(segment_files(&fs).is_empty());
}

#[test]
fn what_is_set_aside_is_durable() {
    let case = Case::new(true);
    let fs = case.disk();
    fs.flip(&case.files[0].0, 150, 1).unwrap();
    let harmed = disk::read(&fs, &case.files[0].0).unwrap();
    open(&fs);
    fs.power_cut();
    let aside = disk::read(&fs, &Path::new(DIR).join("damaged/00000000000000000001-112-72.lost")).unwrap();
    assert_eq!(aside, harmed[112..184]);
}

#[test]
fn a_record_that_comes_again_is_not_handed_out_again() {
    let case = Case::new(false);
    let fs = case.disk();
    let (path, content) = &case.files[3];
    let again = &content[112..112 + 32 + 30];
    fs.open(path).unwrap().write_at(content.len() as u64, again).unwrap();
    let (missing, r) = case.missing(&fs);
    assert_eq!((missing.len(), r.torn_tail_bytes, r.frames), (0, again.len() as u64, case.frames.len() as u64));
}

#[test]
fn a_log_cut_anywhere_gives_what_is_before_the_cut() {
    let case = Case::new(true);
    let (path, content) = &case.files[3];
    for len in 0..content.len() as u64 {
        let fs = case.disk();
        fs.open(path).unwrap().set_len(len).unwrap();
        let (missing, r) = case.missing(&fs);
        assert!(r.damage.is_empty(), "cut at {len}: {:?}", r.damage);
        let whole = [112 + 32 + 30, 112 + 2 * (32 + 30)].iter().filter(|&&end| len >= end).count();
        assert_eq!(missing.len(), 2 - whole, "cut at {len}");
        assert!(r.next_seq > case.frames[case.frames.len() - 1 - missing.len()].0);
    }
}

#[test]
fn a_segment_that_lost_its_end_is_a_loss() {
    let case = Case::new(true);
    let (path, content) = &case.files[1];
    for len in 0..content.len() as u64 {
        let fs = case.disk();
        fs.open(path).unwrap().set_len(len).unwrap();
        let (missing, r) = case.missing(&fs);
        assert!(!missing.is_empty());
        assert_eq!(named(&r), missing, "cut at {len}: {:?}", r.damage);
        assert!(r.damage.iter().all(|d| d.was_synced), "cut at {len}: {:?}", r.damage);
    }
}

#[test]
fn a_segment_that_is_gone_is_a_loss() {
    let case = Case::new(true);
    let fs = case.disk();
    fs.remove(&case.files[1].0).unwrap();
    let (missing, r) = case.missing(&fs);
    assert_eq!(missing, [6, 7, 8, 9, 10]);
    assert_eq!(named(&r), missing);
}

#[test]
fn damage_below_the_hint_is_not_a_loss() {
    let case = Case::new(true);
    let fs = case.disk();
    let (path, content) = &case.files[1];
    for at in 100..content.len() as u64 {
        fs.flip(path, at, 0xff).unwrap();
    }
    let (_, r, frames) = open_from(&fs, 9);
    assert_eq!(frames, case.frames[10..]);
    assert_eq!(named(&r), [9, 10], "6 to 8 are not needed");
}

#[test]
fn a_stretch_of_many_records_is_one_damage_with_exact_numbers() {
    let case = Case::new(true);
    let fs = case.disk();
    let (path, _) = &case.files[0];
    // From the payload of frame 1 into the payload of frame 4, with all between.
    let to = 112 + (32 + 40) + (32 + 7) + 64 + 32 + 32 + 20;
    for at in 150..to {
        fs.flip(path, at, 0xff).unwrap();
    }
    let (missing, r) = case.missing(&fs);
    assert_eq!(missing, [1, 2, 3, 4]);
    assert_eq!(named(&r), missing);
    assert_eq!(r.damage.len(), 1);
}

#[test]
fn a_sector_that_cannot_be_read_costs_what_is_in_it() {
    let fs = SimFs::default();
    let (mut wal, ..) = open(&fs);
    let written: Vec<Owned> = (0..12).flat_map(|_| group(&mut wal, &[1000])).collect();
    wal.close().unwrap();
    fs.break_sector(&segment_files(&fs)[0], 5 * 1024).unwrap();
    let (_, r, frames) = open(&fs);
    let missing: Vec<u64> = written.iter().filter(|f| !frames.contains(f)).map(|f| f.0).collect();
    assert!(!missing.is_empty() && missing.len() <= 5, "{missing:?}");
    assert_eq!(named(&r), missing);
    assert!(r.damage.iter().all(|d| d.reason.contains("cannot read")), "{:?}", r.damage);
}

#[test]
fn damage_that_does_not_fit_on_the_disk_does_not_stop_the_start() {
    let case = Case::new(true);
    let fs = case.disk();
    fs.flip(&case.files[0].0, 150, 1).unwrap();
    fs.set_capacity(fs.total_bytes());
    let (missing, r) = case.missing(&fs);
    assert_eq!((missing, named(&r)), (vec![1], vec![1]));
    assert!(r.damage[0].reason.contains("not set aside"), "{:?}", r.damage);
}

#[test]
fn a_frame_inside_a_frame_is_not_taken_for_one() {
    let fs = SimFs::default();
    let (mut wal, ..) = open(&fs);
    // A payload that is a valid frame of this very segment with a number yet to come.
    let mut fake = format::frame_header(1, 7, 3, b"fake").to_vec();
    fake.extend_from_slice(b"fake");
    wal.append(1, &[&[0xee; 100], &fake, &[0xee; 100]]).unwrap();
    wal.append(1, &[b"two"]).unwrap();
    wal.sync().unwrap();
    wal.close().unwrap();
    fs.flip(&segment_files(&fs)[0], 112 + 32 + 10, 1).unwrap();
    let (_, r, frames) = open(&fs);
    assert_eq!(frames, [(2, 1, b"two".to_vec())]);
    assert_eq!(named(&r), [1]);
}

#[test]
fn a_log_of_a_newer_program_is_refused_and_left_alone() {
    let fs = SimFs::default();
    group(&mut open(&fs).0, &[10]);
    let path = segment_files(&fs).remove(0);
    let mut bytes = disk::read(&fs, &path).unwrap();
    bytes[8] = 9;
    let crc = crc32c::crc32c(&bytes[..44]);
    bytes[44..48].copy_from_slice(&crc.to_le_bytes());
    disk::write_durably(&fs, &path, &bytes).unwrap();
    let e = Wal::open(Arc::new(fs.clone()), Path::new(DIR), small(), 0, &mut |_| Ok(())).err().unwrap();
    assert_eq!(e.kind(), Kind::Invalid);
    assert!(e.message().contains("version 9"), "{e}");
    assert_eq!(disk::read(&fs, &path).unwrap(), bytes);
}

#[test]
fn other_files_in_the_folder_are_left_alone() {
    let fs = SimFs::default();
    fs.create_dir_all(Path::new(DIR)).unwrap();
    disk::write_durably(&fs, Path::new("/wal/notes.txt"), b"mine").unwrap();
    let (mut wal, ..) = open(&fs);
    let want = group(&mut wal, &[10]);
    fs.reboot(Loss::Nothing);
    assert_eq!(open(&fs).2, want);
    assert_eq!(disk::read(&fs, Path::new("/wal/notes.txt")).unwrap(), b"mine");
}

/// Overwrites, cuts and removals in any number. Nothing may panic, no frame may appear that was not written, and what is
/// missing is named exactly, but for the end of the log.
#[derive(Clone, Debug)]
enum Harm {
    Noise { file: usize, at: usize, len: usize, seed: u64 },
    Zeros { file: usize, at: usize, len: usize },
    Cut { file: usize, at: usize },
}

fn harm() -> impl Strategy<Value = Harm> {
    let len = prop_oneof![1..40usize, 40..600usize];
    prop_oneof![
        4 => (0..4usize, 0..600usize, len.clone(), any::<u64>()).prop_map(|(file, at, len, seed)| Harm::Noise { file, at, len, seed }),
        2 => (0..4usize, 0..600usize, len).prop_map(|(file, at, len)| Harm::Zeros { file, at, len }),
        1 => (0..4usize, 0..600usize).prop_map(|(file, at)| Harm::Cut { file, at }),
    ]
}

impl Harm {
    fn apply(&self, fs: &SimFs, case: &Case) {
        let (Harm::Noise { file, .. } | Harm::Zeros { file, .. } | Harm::Cut { file, .. }) = self;
        let path = &case.files[*file].0;
        let mut bytes = disk::read(fs, path).unwrap();
        match *self {
            Harm::Noise { at, len, seed, .. } => {
                bytes.iter_mut().skip(at).take(len).zip(payload(seed, len)).for_each(|(b, noise)| *b = noise);
            }
            Harm::Zeros { at, len, .. } => bytes.iter_mut().skip(at).take(len).for_each(|b| *b = 0),
            Harm::Cut { at, .. } => bytes.truncate(at),
        }
        disk::write_durably(fs, path, &bytes).unwrap();
    }
}

#[test]
fn a_segment_that_was_cut_to_nothing_is_damage() {
    let case = Case::new(true);
    for (file, at) in (0..case.files.len() - 1).flat_map(|f| [(f, 0), (f, 7)]) {
        let fs = case.disk();
        Harm::Cut { file, at }.apply(&fs, &case);
        let (missing, r) = case.missing(&fs);
        assert!(!missing.is_empty(), "{file}");
        assert_eq!(named(&r), missing, "{file} cut at {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_harmed_the_rest_is_served_and_the_loss_is_named(harms in proptest::collection::vec(harm(), 1..6)) {
        let case = Case::new(true);
        let fs = case.disk();
        harms.iter().for_each(|h| h.apply(&fs, &case));
        let (missing, r) = case.missing(&fs);
        let named = named(&r);
        let last_there = case.frames.iter().map(|f| f.0).filter(|s| !missing.contains(s)).max().unwrap_or(0);
        let (inside, end): (Vec<u64>, Vec<u64>) = missing.iter().partition(|&&s| s < last_there);
        prop_assert!(named.iter().all(|s| missing.contains(s)), "{:?} named, {:?} missing", named, missing);
        prop_assert!(inside.iter().all(|s| named.contains(s)), "{:?} named, {:?} missing", named, missing);
        prop_assert!(named.windows(2).all(|w| w[0] < w[1]), "told twice: {:?}", named);
        prop_assert!(r.next_seq > last_there && end.iter().all(|s| *s > last_there));
        let (again, second) = case.missing(&fs);
        prop_assert_eq!(again, missing);
        prop_assert!(second.damage.iter().all(|d| d.known || d.bytes == 0), "{:?}", second.damage);
    }
}
