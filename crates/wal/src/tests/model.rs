//! The log against a model: random operations, failures and crashes; acknowledged frames are there exactly once, in
//! order, byte for byte; others may be there or not, but only as they were written.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Append(usize),
    Sync,
    Abandon,
    Rotate,
    /// Frames below this share (of 8) of those acknowledged are needed no more.
    Remove(u64),
    FailSync,
    /// Syncs with this many bytes left.
    FullDisk(u64),
    /// The machine dies during one of the next changing operations.
    DieAfter(u64),
    Crash(Loss),
    /// Crashes, and dies again during recovery.
    CrashTwice(u64),
    Close,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let len = prop_oneof![6 => 0..300usize, 3 => 300..3000usize, 1 => 5000..40_000usize];
    let loss = prop_oneof![Just(Loss::Whim), Just(Loss::Whim), Just(Loss::All), Just(Loss::Nothing)];
    let op = prop_oneof![
        12 => len.prop_map(Op::Append),
        8 => Just(Op::Sync),
        1 => Just(Op::Abandon),
        1 => Just(Op::Rotate),
        1 => (0..9u64).prop_map(Op::Remove),
        1 => Just(Op::FailSync),
        1 => (0..6000u64).prop_map(Op::FullDisk),
        1 => (0..12u64).prop_map(Op::DieAfter),
        2 => loss.prop_map(Op::Crash),
        1 => (0..8u64).prop_map(Op::CrashTwice),
        1 => Just(Op::Close),
    ];
    proptest::collection::vec(op, 1..60)
}

/// What must and what may be in the log.
#[derive(Default)]
struct Model {
    acked: BTreeMap<u64, (u8, Vec<u8>)>,
    /// Written, not acknowledged. A number can be written again if nothing of the first was seen after a crash.
    maybe: Vec<Owned>,
    pending: Vec<Owned>,
    from_seq: u64,
}

struct Run {
    fs: SimFs,
    settings: Settings,
    wal: Option<Wal>,
    model: Model,
}

impl Run {
    fn new(seed: u64, segment_bytes: u64) -> Run {
        Run { fs: SimFs::seeded(seed), settings: Settings { segment_bytes }, wal: None, model: Model::default() }
    }

    fn try_open(&mut self) -> Result<Vec<Owned>, String> {
        let mut frames = vec![];
        let result = Wal::open(Arc::new(self.fs.clone()), Path::new(DIR), self.settings.clone(), self.model.from_seq, &mut |f| {
            frames.push((f.seq, f.kind, f.payload.to_vec()));
            Ok(())
        });
        let (wal, r) = result.map_err(|e| format!("open: {e}"))?;
        if let Some(d) = r.damage.iter().find(|d| d.was_synced) {
            return Err(format!("damage without any: {d:?}"));
        }
        if frames.last().is_some_and(|f| f.0 >= r.next_seq) || wal.next_seq() != r.next_seq || r.frames != frames.len() as u64 {
            return Err(format!("the report is wrong: {r:?}"));
        }
        if self.model.acked.last_key_value().is_some_and(|(s, _)| *s >= r.next_seq) {
            return Err(format!("numbers go backwards to {}", r.next_seq));
        }
        self.wal = Some(wal);
        Ok(frames)
    }

    /// Opens and compares.
    fn reopen(&mut self) -> Result<(), String> {
        let frames = self.try_open()?;
        let m = &mut self.model;
        m.maybe.append(&mut m.pending);
        let mut last = 0;
        for f in &frames {
            let known = m.acked.get(&f.0).is_some_and(|a| (a.0, &a.1) == (f.1, &f.2)) || m.maybe.contains(f);
            if !known || f.0 <= last || f.0 < m.from_seq {
                return Err(format!("frame {} of {} bytes is not one that was written, or comes twice", f.0, f.2.len()));
            }
            last = f.0;
        }
        let got: BTreeMap<u64, (u8, Vec<u8>)> = frames.into_iter().map(|(s, k, p)| (s, (k, p))).collect();
        if let Some(lost) = m.acked.range(m.from_seq..).find(|(s, _)| !got.contains_key(s)) {
            return Err(format!("acknowledged frame {} is lost", lost.0));
        }
        // From here on what was seen must stay.
        m.maybe.clear();
        m.acked = got;
        Ok(())
    }

    fn sync(&mut self) {
        let m = &mut self.model;
        let Some(wal) = &mut self.wal else { return };
        match wal.sync() {
            Ok(()) => m.acked.extend(m.pending.drain(..).map(|(s, k, p)| (s, (k, p)))),
            Err(_) => m.maybe.append(&mut m.pending),
        }
    }

    fn step(&mut self, op: &Op) -> Result<(), String> {
        let wal = self.wal.as_mut().expect("open between steps");
        match op {
            Op::Append(len) => self.model.pending.push(add(wal, *len)),
            Op::Sync => self.sync(),
            Op::Abandon => {
                wal.abandon();
                self.model.pending.clear();
            }
            Op::Rotate => drop(wal.rotate()),
            Op::Remove(share) => {
                let n = self.model.acked.len() as u64 * share / 8;
                let Some(seq) = self.model.acked.keys().nth(n as usize).copied() else { return Ok(()) };
                self.model.from_seq = self.model.from_seq.max(seq);
                let _ = wal.remove_before(seq);
            }
            Op::FailSync => {
                self.fs.fail_syncs(1);
                self.sync();
                self.fs.fail_syncs(0);
            }
            Op::FullDisk(left) => {
                self.fs.set_capacity(self.fs.total_bytes() + left);
                self.sync();
                self.fs.set_capacity(u64::MAX);
            }
            Op::DieAfter(n) => self.fs.crash_after(*n),
            Op::Crash(loss) => {
                self.fs.reboot(*loss);
                return self.reopen();
            }
            Op::CrashTwice(n) => {
                self.fs.crash();
                self.fs.crash_after(*n);
                let _ = self.try_open();
                self.fs.crash();
                return self.reopen();
            }
            Op::Close => {
                let closed = self.wal.take().expect("open between steps").close();
                self.model.pending.clear();
                if closed.is_err() && !self.fs.is_dead() {
                    return Err("a clean stop failed".into());
                }
                if !self.fs.is_dead() {
                    let opened = self.reopen();
                    if !self.fs.is_dead() {
                        return opened;
                    }
                }
            }
        }
        if self.fs.is_dead() {
            self.fs.crash();
            return self.reopen();
        }
        Ok(())
    }

    fn all(&mut self, ops: &[Op]) -> Result<(), String> {
        self.reopen()?;
        for op in ops {
            self.step(op)?;
        }
        self.fs.crash();
        self.reopen()
    }
}

proptest! {
    #![proptest_config(Config { cases: 400, failure_persistence: None, ..Config::default() })]
    #[test]
    fn acknowledged_frames_survive_everything(ops in ops(), seed in any::<u64>(), kib in 4u64..64) {
        let result = Run::new(seed, kib << 10).all(&ops);
        prop_assert!(result.is_ok(), "{}", result.unwrap_err());
    }
}

/// A simulation that cannot turn red proves nothing: with syncs that do nothing it must.
#[test]
fn the_model_test_turns_red_when_syncs_lie() {
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let mut red = 0;
    for seed in 0..100 {
        let ops = ops().new_tree(&mut runner).unwrap().current();
        let mut run = Run::new(seed, 16 << 10);
        run.fs.lying_sync(true);
        red += usize::from(run.all(&ops).is_err());
    }
    assert!(red >= 50, "only {red} of 100 runs noticed");
}
