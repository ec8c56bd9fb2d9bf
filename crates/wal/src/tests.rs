//! The log on the simulated disk and on a real one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Kind;
use disk::{Fs, Loss, RealFs, SimFs, SimSettings};

use super::*;

mod damage;
mod golden;
mod model;

const DIR: &str = "/wal";

/// A frame that owns its payload.
type Owned = (u64, u8, Vec<u8>);

fn small() -> Settings {
    Settings { segment_bytes: 16 << 10 }
}

fn open_from(fs: &SimFs, from_seq: u64) -> (Wal, Recovered, Vec<Owned>) {
    let mut frames = vec![];
    let (wal, recovered) = Wal::open(Arc::new(fs.clone()), Path::new(DIR), small(), from_seq, &mut |f| {
        frames.push((f.seq, f.kind, f.payload.to_vec()));
        Ok(())
    })
    .unwrap();
    (wal, recovered, frames)
}

fn open(fs: &SimFs) -> (Wal, Recovered, Vec<Owned>) {
    open_from(fs, 0)
}

/// Payload that tells frames apart and never looks like zeros.
fn payload(seq: u64, len: usize) -> Vec<u8> {
    (0..len).map(|i| (base::hash::hash64(&[seq.to_le_bytes(), (i as u64 / 8).to_le_bytes()].concat()) >> (i % 8 * 8)) as u8 | 1).collect()
}

fn add(wal: &mut Wal, len: usize) -> Owned {
    let p = payload(wal.next_seq(), len);
    let (a, b) = p.split_at(len / 3);
    let seq = wal.append(seq_kind(wal.next_seq()), &[a, b]).unwrap();
    (seq, seq_kind(seq), p)
}

fn seq_kind(seq: u64) -> u8 {
    (seq % 251) as u8
}

/// Adds and syncs one group of frames with these lengths.
fn group(wal: &mut Wal, lens: &[usize]) -> Vec<Owned> {
    let out = lens.iter().map(|&l| add(wal, l)).collect();
    wal.sync().unwrap();
    out
}

fn segment_files(fs: &SimFs) -> Vec<PathBuf> {
    fs.paths().into_iter().filter(|p| p.extension().is_some_and(|e| e == "wal")).collect()
}

#[test]
fn what_was_synced_comes_back_in_order_and_the_rest_does_not() {
    let fs = SimFs::default();
    let (mut wal, r, frames) = open(&fs);
    assert_eq!((r.next_seq, frames.len()), (1, 0));
    let mut want = group(&mut wal, &[10, 0, 700]);
    want.extend(group(&mut wal, &[5000]));
    add(&mut wal, 33);
    fs.power_cut();
    let (_, r, frames) = open(&fs);
    assert_eq!(frames, want);
    assert_eq!((r.frames, r.bytes, r.next_seq), (4, 5710, 5));
    assert_eq!((r.torn_tail_bytes, r.damage.len()), (0, 0));
}

#[test]
fn many_segments_and_a_hint_where_to_begin() {
    let fs = SimFs::default();
    let (mut wal, ..) = open(&fs);
    let want: Vec<Owned> = (0..40).flat_map(|_| group(&mut wal, &[3000])).collect();
    assert!(segment_files(&fs).len() >= 8, "{:?}", segment_files(&fs));
    fs.power_cut();
    assert_eq!(open(&fs).2, want);
    let (_, r, frames) = open_from(&fs, 23);
    assert_eq!(frames, want[22..]);
    assert_eq!((r.frames, r.next_seq), (18, 41));
}

#[test]
fn whole_segments_go_and_the_rest_stays() {
    let fs = SimFs::default();
    let (mut wal, ..) = open(&fs);
    let mut want: Vec<Owned> = (0..10).flat_map(|_| group(&mut wal, &[100])).collect();
    assert_eq!(wal.rotate().unwrap(), 11);
    assert_eq!(wal.rotate().unwrap(), 11, "nothing is in it yet");
    want.extend(group(&mut wal, &[200]));
    wal.remove_before(10).unwrap();
    assert_eq!(segment_files(&fs).len(), 2, "frame 10 is still needed");
    let before = wal.bytes();
    wal.remove_before(11).unwrap();
    assert_eq!(segment_files(&fs).len(), 1);
    assert!(wal.bytes() < before && wal.bytes() > 200, "{}", wal.bytes());
    fs.power_cut();
    assert_eq!(open(&fs).2, want[10..]);
}

#[test]
fn a_rotation_takes_the_group_being_built_along() {
    let fs = SimFs::default();
    let (mut wal, ..) = open(&fs);
    group(&mut wal, &[10, 10]);
    let pending = add(&mut wal, 20);
    assert_eq!(wal.rotate().unwrap(), pending.0);
    wal.sync().unwrap();
    wal.remove_before(pending.0).unwrap();
    fs.power_cut();
    assert_eq!(open_from(&fs, pending.0).2, [pending]);
}

#[test]
fn nothing_is_left_when_nothing_is_needed_and_numbers_go_on() {
    let fs = SimFs::default();
    let (mut wal, ..) = open(&fs);
    for _ in 0..20 {
        group(&mut wal, &[2000]);
    }
    let next = wal.rotate().unwrap();
    wal.remove_before(next).unwrap();
    assert_eq!((wal.bytes(), fs.total_bytes()), (0, 0));
    wal.close().unwrap();
    assert_eq!(fs.total_bytes(), 0);
    let (mut wal, r, _) = open_from(&fs, next);
    assert_eq!(r.next_seq, next);
    let want = group(&mut wal, &[1]);
    wal.close().unwrap();
    assert!(fs.total_bytes() < 400, "the space prepared for later groups is cut: {}", fs.total_bytes());
    let (_, r, frames) = open_from(&fs, next);
    assert_eq!((frames, r.next_seq), (want, next + 1));
}

#[test]
fn an_open_segment_that_is_not_needed_goes_too() {
    let fs = SimFs::default();
    let (mut wal, ..) = open(&fs);
    group(&mut wal, &[10]);
    wal.remove_before(2).unwrap();
    assert_eq!(fs.total_bytes(), 0);
    let want = group(&mut wal, &[11]);
    assert_eq!(want[0].0, 2);
    fs.power_cut();
    assert_eq!(open_from(&fs, 2).2, want);
}

#[test]
fn an_idle_log_is_small() {
    let fs = SimFs::default();
    let (mut wal, _) = Wal::open(Arc::new(fs.clone()), Path::new(DIR), Settings::default(), 0, &mut |_| Ok(())).unwrap();
    group(&mut wal, &[100]);
    assert!(fs.total_bytes() <= 2 << 20);
    let (writes, bytes) = (fs.ops(), fs.total_bytes());
    for _ in 0..100 {
        group(&mut wal, &[4000]);
    }
    assert_eq!(fs.ops() - writes, 200, "one write and one sync for each group");
    assert_eq!(fs.total_bytes(), bytes, "groups go where zeros were");
}

#[test]
fn an_abandoned_group_leaves_no_trace() {
    let fs = SimFs::default();
    let (mut wal, ..) = open(&fs);
    let mut want = group(&mut wal, &[10]);
    add(&mut wal, 50);
    add(&mut wal, 60);
    wal.abandon();
    assert_eq!(wal.next_seq(), 2);
    wal.sync().unwrap();
    want.extend(group(&mut wal, &[20]));
    fs.power_cut();
    assert_eq!(open(&fs).2, want);
}

#[test]
fn a_failed_sync_burns_the_group_and_its_segment() {
    for seed in 0..50 {
        let fs = SimFs::seeded(seed);
        let (mut wal, ..) = open(&fs);
        let mut acked = group(&mut wal, &[100, 200]);
        let segment = segment_files(&fs);
        let failed: Vec<Owned> = [900, 900, 900].iter().map(|&l| add(&mut wal, l)).collect();
        fs.fail_syncs(1);
        assert_eq!(wal.sync().unwrap_err().kind(), Kind::Unavailable);
        wal.sync().unwrap();
        acked.extend(group(&mut wal, &[50]));
        assert_eq!(acked[2].0, 6, "numbers are not used twice");
        assert_ne!(segment_files(&fs), segment, "the next group is in another segment");
        fs.crash();
        let (mut wal, r, frames) = open(&fs);
        assert!(r.damage.is_empty(), "seed {seed}: {:?}", r.damage);
        assert!(acked.iter().all(|a| frames.contains(a)), "seed {seed}");
        assert!(frames.iter().all(|f| acked.contains(f) || failed.contains(f)), "seed {seed}");
        group(&mut wal, &[1]);
        fs.power_cut();
        let (_, r, again) = open(&fs);
        assert_eq!((r.damage.len(), &again[..frames.len()]), (0, &frames[..]), "seed {seed}");
    }
}

#[test]
fn a_full_disk_stops_writes_eats_nothing_and_heals() {
    let fs = SimFs::new(SimSettings { seed: 3, capacity_bytes: 20_000 });
    let (mut wal, ..) = open(&fs);
    let mut acked = vec![];
    let refused = loop {
        let f = add(&mut wal, 1500);
        match wal.sync() {
            Ok(()) => acked.push(f),
            Err(e) => break e,
        }
    };
    assert_eq!(refused.kind(), Kind::Unavailable);
    // Ten fill the first segment; two more fit where no zeros ahead of them do.
    assert_eq!(acked.len(), 12);
    let used = fs.total_bytes();
    for _ in 0..20 {
        add(&mut wal, 6000);
        assert_eq!(wal.sync().unwrap_err().kind(), Kind::Unavailable);
        assert!(fs.total_bytes() <= used, "retries eat space: {} after {used}", fs.total_bytes());
    }
    fs.set_capacity(u64::MAX);
    acked.extend(group(&mut wal, &[6000]));
    fs.power_cut();
    let (_, r, frames) = open(&fs);
    assert_eq!((frames, r.damage.len()), (acked, 0));
}

#[test]
fn a_frame_above_the_bound_is_refused_and_the_group_is_as_it_was() {
    let fs = SimFs::default();
    let (mut wal, ..) = open(&fs);
    let first = add(&mut wal, 5);
    let half = vec![1; limits::PAYLOAD_BYTES / 2 + 1];
    assert_eq!(wal.append(0, &[&half, &half]).unwrap_err().kind(), Kind::TooLarge);
    wal.append(9, &[&half, &half[2..]]).unwrap();
    wal.sync().unwrap();
    fs.power_cut();
    let (_, r, frames) = open(&fs);
    assert_eq!(frames[0], first);
    assert_eq!((frames[1].0, frames[1].1, frames[1].2.len()), (2, 9, half.len() * 2 - 2));
    assert_eq!(r.bytes, 5 + 2 * half.len() as u64 - 2);
}

#[test]
fn an_error_of_the_visitor_ends_the_start() {
    let fs = SimFs::default();
    group(&mut open(&fs).0, &[1, 2]);
    let mut seen = 0;
    let result = Wal::open(Arc::new(fs.clone()), Path::new(DIR), small(), 0, &mut |_| {
        seen += 1;
        Err(base::Error::new(Kind::TooLarge, "no room"))
    });
    assert_eq!((result.err().unwrap().kind(), seen), (Kind::TooLarge, 1));
}

#[test]
fn settings_are_checked() {
    let result = Wal::open(Arc::new(SimFs::default()), Path::new(DIR), Settings { segment_bytes: 100 }, 0, &mut |_| Ok(()));
    assert_eq!(result.err().unwrap().kind(), Kind::Invalid);
}

#[test]
fn inspect_tells_what_is_there_and_changes_nothing() {
    let fs = SimFs::default();
    let (mut wal, ..) = open(&fs);
    group(&mut wal, &[10, 20]);
    let (ops, bytes) = (fs.ops(), fs.total_bytes());
    let facts = inspect(&fs, Path::new(DIR)).unwrap();
    assert_eq!((fs.ops(), fs.total_bytes()), (ops, bytes));
    assert_eq!(facts.len(), 1);
    assert_eq!(facts[0].header, HeaderFacts::Good { first_seq: 1, synced_seq: 1 });
    let mark = Mark { seq: 1, synced_seq: 1, synced_bytes: 0, frames: 2, bytes: 94 };
    let want = [
        RecordFacts::Mark { offset: 48, mark },
        RecordFacts::Frame { offset: 112, seq: 1, kind: 1, payload_bytes: 10 },
        RecordFacts::Frame { offset: 154, seq: 2, kind: 2, payload_bytes: 20 },
        RecordFacts::Unused { offset: 206, bytes: facts[0].file_bytes - 206 },
    ];
    assert_eq!(facts[0].records, want);
}

#[test]
fn on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/wal");
    let open = |from: u64| {
        let mut frames: Vec<Owned> = vec![];
        let (wal, r) = Wal::open(Arc::new(RealFs), &path, small(), from, &mut |f| {
            frames.push((f.seq, f.kind, f.payload.to_vec()));
            Ok(())
        })
        .unwrap();
        (wal, r, frames)
    };
    let (mut wal, ..) = open(0);
    let want: Vec<Owned> = (0..30).flat_map(|_| group(&mut wal, &[1000, 30])).collect();
    drop(wal);
    let (mut wal, r, frames) = open(0);
    assert_eq!((&frames, r.damage.len(), r.torn_tail_bytes), (&want, 0, 0));
    let next = wal.rotate().unwrap();
    wal.remove_before(next).unwrap();
    wal.close().unwrap();
    assert_eq!(RealFs.list(&path).unwrap(), []);
    assert_eq!(open(next).1.next_seq, 61);
}

#[test]
fn a_reader_beside_the_writer_sees_what_was_synced_and_goes_on_from_its_place() {
    let fs = SimFs::default();
    let (mut wal, _, _) = open(&fs);
    let read = |wal: &Wal, offset: u64| {
        let segment = *wal.segments().last().unwrap();
        let mut r = Reader::open(&fs, Path::new(DIR), segment, offset).unwrap();
        let mut seen = vec![];
        while let Some(found) = r.next() {
            let Found::Frame(f) = found else { panic!("{found:?}") };
            seen.push((f.seq, f.kind, f.payload.to_vec()));
        }
        (seen, r.position())
    };
    let first = group(&mut wal, &[10, 700]);
    add(&mut wal, 5);
    let (seen, at) = read(&wal, 0);
    assert_eq!(seen, first, "the group under way is not there yet");
    wal.abandon();
    let second = group(&mut wal, &[40]);
    let (seen, end) = read(&wal, at);
    assert_eq!((seen, read(&wal, end).0), (second, vec![]));
    wal.rotate().unwrap();
    assert_eq!(wal.open_bytes(), None);
    let third = group(&mut wal, &[1]);
    assert_eq!((read(&wal, 0).0, wal.segments().len()), (third, 2));
    let path = Path::new(DIR).join(crate::format::segment_name(wal.segments()[0].id));
    fs.flip(&path, 200, 1).unwrap();
    let mut r = Reader::open(&fs, Path::new(DIR), wal.segments()[0], 0).unwrap();
    assert!(std::iter::from_fn(|| r.next().map(|f| matches!(f, Found::Damaged(..)))).any(|damaged| damaged));
}
