//! The spool on a simulated disk: power cuts at every write, damage, a full disk, and a spool that is full itself.

use std::collections::BTreeSet;
use std::path::Path;

use base::Kind;
use disk::{SimFs, SimSettings};
use proptest::prelude::*;
use wire::loki::Streams;

use super::*;

const DIR: &str = "/agent/spool";

struct Rig {
    fs: SimFs,
    clock: Clock,
    spool: Arc<Spool>,
    settings: Settings,
    next: u64,
    endpoints: Vec<&'static str>,
}

fn open(fs: &SimFs, clock: &Clock, settings: &Settings, endpoints: &[&str]) -> Result<Arc<Spool>> {
    let readers = endpoints.iter().map(|n| Reader { name: (*n).into(), takes: crate::ship::Kind::Watchfire.takes() }).collect();
    let context = Context { fs: Arc::new(fs.clone()), dir: DIR.into(), clock: clock.clone(), host: "h".into(), readers };
    Spool::open(settings.clone(), context)
}

/// What an endpoint reads: numbers of lines, and how many each line about a loss states.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    numbers: Vec<u64>,
    stated: u64,
}

impl Rig {
    fn new(fs: SimFs, settings: Settings) -> Rig {
        let clock = Clock::manual(1_000);
        let endpoints = vec!["home"];
        Rig { spool: open(&fs, &clock, &settings, &endpoints).unwrap(), fs, clock, settings, next: 0, endpoints }
    }
    fn small(full: Policy) -> Rig {
        Rig::new(SimFs::default(), Settings { max_bytes: 1 << 20, full, ..Settings::default() })
    }
    fn reopen(&mut self) {
        self.spool = open(&self.fs, &self.clock, &self.settings, &self.endpoints).unwrap();
    }
    /// Delivers `n` numbered lines of `bytes` with this level; the position is the number of the next.
    fn deliver(&mut self, n: u64, level: &str, bytes: usize) -> Result<()> {
        let text = |i: u64| format!("{level} {i} {}", "x".repeat(bytes));
        let lines = (self.next..self.next + n).map(|i| Line { time_ns: 1 + i as i64, text: text(i), metadata: vec![] }).collect();
        let labels = Labels::from_pairs([("job", "a")]).unwrap();
        let streams = vec![Stream { tenant: None, labels, lines }];
        let position = (self.next + n).to_string().into_bytes();
        self.spool.deliver(Batch::Lines(&Lines { streams, source: "file/a".into(), position }))?;
        self.next += n;
        Ok(())
    }
    fn position(&self) -> u64 {
        self.spool.positions("file/").first().map_or(0, |(_, p)| String::from_utf8(p.clone()).unwrap().parse().unwrap())
    }
    /// Reads on from `cursor`, and acknowledges if told so.
    fn read(&self, endpoint: usize, cursor: &mut Cursor, acknowledge: bool) -> Seen {
        let mut seen = Seen::default();
        let taken = self.spool.read(endpoint, cursor, u64::MAX, 1, &mut |s| see(s.body, &mut seen)).unwrap();
        if acknowledge {
            self.spool.acknowledge(endpoint, &taken, vec![]);
        }
        seen
    }
    /// Reads all that is pending.
    fn all(&self, endpoint: usize, acknowledge: bool) -> Seen {
        let mut cursor = Cursor::at(self.spool.floor(endpoint));
        let mut all = Seen::default();
        while cursor.seq < self.spool.next_seq() {
            let seen = self.read(endpoint, &mut cursor, acknowledge);
            all.numbers.extend(seen.numbers);
            all.stated += seen.stated;
        }
        all
    }
    fn lost(&self) -> u64 {
        self.spool.report().lost.by_reason.values().map(|c| c.rows).sum()
    }
}

fn see(body: &[u8], seen: &mut Seen) {
    for e in Streams::new(body).flat_map(|s| s.unwrap().entries()) {
        let line = String::from_utf8(e.unwrap().line.to_vec()).unwrap();
        match serde_json::from_str::<Lost>(&line) {
            Ok(lost) => seen.stated += lost.rows,
            Err(_) => seen.numbers.push(line.split(' ').nth(1).unwrap().parse().unwrap()),
        }
    }
}

#[test]
fn what_is_acknowledged_is_not_given_again_and_the_rest_is() {
    let mut r = Rig::small(Policy::Block);
    r.deliver(3, "info", 5).unwrap();
    r.deliver(2, "info", 5).unwrap();
    let mut cursor = Cursor::at(r.spool.floor(0));
    let first = r.read(0, &mut cursor, true);
    assert_eq!(first.numbers, [0, 1, 2]);
    r.spool.tick();
    r.fs.power_cut();
    r.reopen();
    assert_eq!((r.all(0, false).numbers, r.position()), (vec![3, 4], 5));
    let report = r.spool.report();
    assert_eq!((report.endpoints[0].pending_rows, report.sources[0].rows, report.sources[0].endpoints[0].pending_rows), (2, 5, 2));
    r.all(0, true);
    let report = r.spool.report();
    assert_eq!((report.endpoints[0].pending_rows, report.sources[0].endpoints[0].until_ns), (0, 5));
}

#[test]
fn lanes_acknowledge_in_any_order_and_endpoints_for_themselves() {
    let mut r = Rig::small(Policy::Block);
    r.endpoints = vec!["home", "away"];
    r.reopen();
    for _ in 0..4 {
        r.deliver(1, "info", 5).unwrap();
    }
    let mut live = Cursor::at(r.spool.next_seq() - 2);
    assert_eq!(r.read(0, &mut live, true).numbers, [2]);
    r.spool.tick();
    r.reopen();
    assert_eq!(r.all(0, true).numbers, [0, 1, 3]);
    assert_eq!(r.all(1, false).numbers, [0, 1, 2, 3]);
    r.endpoints = vec!["away"];
    r.spool.tick();
    r.reopen();
    assert_eq!(r.all(0, true).numbers, [0, 1, 2, 3], "also when the order of the settings changes");
}

#[test]
fn segments_go_when_all_have_them_and_positions_stay() {
    let mut r = Rig::small(Policy::Block);
    for _ in 0..60 {
        r.deliver(10, "info", 1000).unwrap();
        r.all(0, true);
        r.spool.tick();
    }
    assert!(r.spool.report().spool.bytes < 200 << 10, "{}", r.spool.report().spool.bytes);
    r.fs.power_cut();
    r.reopen();
    assert_eq!((r.position(), r.all(0, false).numbers), (600, vec![]));
}

#[test]
fn a_full_spool_makes_sources_wait() {
    let mut r = Rig::small(Policy::Block);
    let e = loop {
        if let Err(e) = r.deliver(20, "info", 1000) {
            break e;
        }
    };
    assert_eq!(e.kind(), Kind::Unavailable);
    assert!(r.spool.report().spool.full && r.next > 500 && r.lost() == 0);
    let had = r.all(0, true).numbers;
    assert_eq!(had, (0..r.next).collect::<Vec<_>>());
    r.deliver(20, "info", 1000).unwrap();
    assert!(!r.spool.report().spool.full);
}

#[test]
fn the_oldest_goes_and_each_line_that_goes_is_stated() {
    let mut r = Rig::small(Policy::DropOldest);
    for _ in 0..150 {
        r.deliver(20, "info", 1000).unwrap();
    }
    let lost = r.lost();
    assert!(lost > 1000, "{lost}");
    r.fs.power_cut();
    r.reopen();
    let seen = r.all(0, false);
    assert_eq!(seen.numbers.iter().copied().collect::<BTreeSet<_>>(), (lost..3000).collect());
    assert_eq!((r.lost(), r.spool.report().endpoints[0].pending_rows), (lost, 3000 - lost + loss_lines(&r)));
    assert_eq!(seen.stated, lost);
}

fn loss_lines(r: &Rig) -> u64 {
    let sources = r.spool.report().sources;
    sources.iter().filter(|s| s.source == LOSSES).map(|s| s.endpoints[0].pending_rows).sum()
}

#[test]
fn debug_goes_before_error() {
    let mut r = Rig::small(Policy::DropLowPriority);
    let mut errors = BTreeSet::new();
    for i in 0..200u64 {
        let level = ["debug", "debug", "info", "error"][i as usize % 4];
        if level == "error" {
            errors.extend(r.next..r.next + 5);
            r.deliver(5, level, 1000).unwrap();
        } else {
            r.deliver(10, level, 1000).unwrap();
        }
    }
    let (delivered, lost) = (r.next, r.lost());
    let seen = r.all(0, true);
    let numbers: BTreeSet<u64> = seen.numbers.iter().copied().collect();
    assert_eq!(numbers.len(), seen.numbers.len(), "none is doubled by moving");
    assert_eq!(numbers.len() as u64 + lost, delivered);
    assert!(errors.is_subset(&numbers), "no error is lost while there is debug");
    assert_eq!(seen.stated, lost);
    r.spool.tick();
    r.reopen();
    assert_eq!((r.all(0, false).numbers, r.position()), (vec![], delivered));
}

#[test]
fn damage_costs_the_frame_and_is_stated_once_with_its_lines() {
    let mut r = Rig::small(Policy::Block);
    for n in [3, 4, 5, 6] {
        r.deliver(n, "info", 500).unwrap();
    }
    let path = segment_with(&r.fs, b"info 3 ");
    r.fs.flip(&path.0, path.1, 1).unwrap();
    r.reopen();
    let seen = r.all(0, false);
    assert_eq!(seen.numbers, (0..3).chain(7..18).collect::<Vec<_>>());
    assert_eq!((r.lost(), seen.stated, r.position()), (4, 4, 18));
    assert!(r.spool.report().spool.damaged > 0);
    for _ in 0..2 {
        r.reopen();
        assert_eq!((r.lost(), r.all(0, false).stated), (4, 4), "once, not at each start");
    }
    assert_eq!(r.all(0, true).numbers.len(), 14);
    assert_eq!(r.spool.report().endpoints[0].pending_rows, 0);
}

#[test]
fn damage_to_the_newest_frame_of_a_source_is_read_again_from_the_file() {
    let mut r = Rig::small(Policy::Block);
    r.deliver(3, "info", 500).unwrap();
    r.deliver(4, "info", 500).unwrap();
    let at = segment_with(&r.fs, b"info 3 ");
    r.fs.flip(&at.0, at.1, 1).unwrap();
    r.reopen();
    assert_eq!((r.position(), r.lost()), (3, 0));
}

#[test]
fn the_state_is_there_twice() {
    let mut r = Rig::small(Policy::Block);
    for _ in 0..40 {
        r.deliver(10, "info", 1000).unwrap();
        r.all(0, true);
        r.spool.tick();
    }
    // Everything of the log is gone: the copy beside it knows how far the source was when the last segment began.
    let wal = Path::new(DIR).join(WAL_FOLDER);
    for e in r.fs.list(&wal).unwrap().into_iter().filter(|e| !e.is_dir) {
        r.fs.remove(&wal.join(e.name)).unwrap();
    }
    r.reopen();
    assert!(r.position() > 300, "{}", r.position());
}

/// Where these bytes lie on the disk.
fn segment_with(fs: &SimFs, needle: &[u8]) -> (PathBuf, u64) {
    let wal = Path::new(DIR).join(WAL_FOLDER);
    for e in fs.list(&wal).unwrap().into_iter().filter(|e| !e.is_dir) {
        let bytes = disk::read(fs, &wal.join(&e.name)).unwrap();
        if let Some(at) = bytes.windows(needle.len()).position(|w| w == needle) {
            return (wal.join(e.name), at as u64);
        }
    }
    panic!("it is nowhere");
}

#[test]
fn a_full_disk_makes_sources_wait_and_heals() {
    let fs = SimFs::new(SimSettings { capacity_bytes: 300 << 10, ..SimSettings::default() });
    let mut r = Rig::new(fs, Settings { max_bytes: 1 << 20, ..Settings::default() });
    let mut refused = 0;
    for _ in 0..40 {
        refused += u64::from(r.deliver(10, "info", 1000).is_err());
    }
    assert!(refused > 0 && r.next > 0);
    r.fs.set_capacity(u64::MAX);
    r.deliver(10, "info", 1000).unwrap();
    r.reopen();
    assert_eq!(r.all(0, true).numbers, (0..r.next).collect::<Vec<_>>());
}

#[test]
fn age_is_time_that_passes_not_what_a_clock_says() {
    let mut r = Rig::small(Policy::Block);
    for _ in 0..20 {
        r.deliver(10, "info", 1000).unwrap();
    }
    r.clock.jump_ns(365 * 86_400 * base::units::SECOND_NS);
    r.spool.tick();
    r.clock.jump_ns(-700 * 86_400 * base::units::SECOND_NS);
    r.spool.tick();
    r.reopen();
    assert_eq!((r.all(0, false).numbers.len(), r.lost()), (200, 0));
    r.clock.advance_ns(8 * 86_400 * base::units::SECOND_NS);
    r.spool.tick();
    assert!(r.lost() > 100, "{}", r.lost());
    assert_eq!(r.all(0, false).numbers.len() as u64 + r.lost(), 200);
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_with_words() {
    let fs = SimFs::default();
    fs.create_dir_all(Path::new("/agent")).unwrap();
    fs.create(Path::new(DIR)).unwrap();
    let e = open(&fs, &Clock::manual(0), &Settings::default(), &["home"]).err().unwrap();
    assert!(e.kind() == Kind::Invalid && e.message().contains("memory: true"), "{e}");
}

#[derive(Clone, Debug)]
enum Op {
    Deliver(u64),
    Read { acknowledge: bool },
    Tick,
}

/// Runs until the disk dies. What was acknowledged to the source and to the endpoint, and which of the latter is durable.
fn live(r: &mut Rig, ops: &[Op]) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let (mut has, mut durable) = (BTreeSet::new(), BTreeSet::new());
    let mut cursor = Cursor::at(r.spool.floor(0));
    for op in ops {
        match op {
            Op::Deliver(n) => {
                if r.deliver(*n, "info", 700).is_ok() {
                    durable.clone_from(&has);
                }
            }
            Op::Read { acknowledge } => {
                let mut seen = Seen::default();
                let before = cursor;
                let Ok(taken) = r.spool.read(0, &mut cursor, u64::MAX, 1, &mut |s| see(s.body, &mut seen)) else { continue };
                if *acknowledge {
                    r.spool.acknowledge(0, &taken, vec![]);
                    has.extend(seen.numbers);
                } else {
                    cursor = before;
                }
            }
            Op::Tick => {
                r.spool.tick();
                if !r.fs.is_dead() {
                    durable.clone_from(&has);
                }
            }
        }
    }
    (has, durable)
}

fn check_after(r: &mut Rig, has: &BTreeSet<u64>, durable: &BTreeSet<u64>) {
    let delivered = r.next;
    r.reopen();
    let again: BTreeSet<u64> = r.all(0, false).numbers.into_iter().collect();
    let position = r.position();
    assert!(position >= delivered, "a position that was durable is back: {position} < {delivered}");
    for n in 0..position {
        assert!(has.contains(&n) || again.contains(&n), "line {n} is gone");
    }
    assert!(again.iter().all(|n| *n < position), "lines without their position");
    assert!(again.is_disjoint(durable), "given again though that it was acknowledged was durable");
    r.next = position;
}

#[test]
fn a_routed_source_reaches_its_endpoints_alone() {
    let mut r = Rig::small(Policy::DropOldest);
    r.endpoints = vec!["home", "away"];
    r.reopen();
    let lines = |source: &str, number: u64, bytes: usize| {
        let line = Line { time_ns: 5, text: format!("info {number} {}", "x".repeat(bytes)), metadata: vec![] };
        let labels = Labels::from_pairs([("job", source)]).unwrap();
        let streams = vec![Stream { tenant: None, labels, lines: vec![line] }];
        Lines { streams, source: source.into(), position: vec![1] }
    };
    let (home, both) = (r.spool.route(&["home".to_owned()]), r.spool.route(&[]));
    home.deliver(Batch::Lines(&lines("file/h", 1, 0))).unwrap();
    both.deliver(Batch::Lines(&lines("file/b", 2, 0))).unwrap();
    assert_eq!(home.positions("file/").len(), 2, "positions are those of the spool");
    let pending = |r: &Rig| r.spool.report().endpoints.iter().map(|e| e.pending_rows).collect::<Vec<_>>();
    assert_eq!(pending(&r), [2, 1]);
    // The settings do not matter any more once it is written.
    r.reopen();
    assert_eq!(pending(&r), [2, 1]);
    assert_eq!((r.all(0, false).numbers, r.all(1, true).numbers), (vec![1, 2], vec![2]));
    assert_eq!((r.spool.floor(1), pending(&r)), (r.spool.next_seq(), vec![2, 0]));
    // What was for one endpoint is lost to that one alone, and with nobody else.
    r.all(0, true);
    for i in 0..40 {
        r.spool.route(&["away".to_owned()]).deliver(Batch::Lines(&lines("file/a", 10 + i, 64 << 10))).unwrap();
    }
    r.spool.tick();
    let lost = r.spool.report().lost;
    assert!(r.lost() > 0 && lost.last.iter().all(|l| l.source == "file/a"), "{lost:?}");
}

#[test]
fn the_power_may_go_at_every_write() {
    let ops: Vec<Op> =
        (0..12).flat_map(|i| [Op::Deliver(30), Op::Read { acknowledge: i % 3 != 0 }, Op::Read { acknowledge: true }, Op::Tick]).collect();
    for n in 0..400 {
        let mut r = Rig::new(SimFs::seeded(n), Settings { max_bytes: 1 << 20, ..Settings::default() });
        r.fs.crash_after(n);
        let (has, durable) = live(&mut r, &ops);
        if !r.fs.is_dead() {
            assert!(n > 60, "there are {n} writes");
            return;
        }
        r.fs.crash();
        check_after(&mut r, &has, &durable);
        r.deliver(1, "info", 5).unwrap();
    }
    panic!("it writes without end");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn nothing_is_lost_and_nothing_durable_is_repeated(
        rounds in prop::collection::vec(
            (prop::collection::vec(prop_oneof![
                4 => (1..40u64).prop_map(Op::Deliver),
                3 => any::<bool>().prop_map(|acknowledge| Op::Read { acknowledge }),
                1 => Just(Op::Tick)], 1..25), 0..60u64), 1..4),
        seed in any::<u64>(),
    ) {
        let mut r = Rig::new(SimFs::seeded(seed), Settings { max_bytes: 4 << 20, ..Settings::default() });
        let (mut had, mut kept) = (BTreeSet::new(), BTreeSet::new());
        for (ops, dies_in) in rounds {
            r.fs.crash_after(dies_in);
            let (has, durable) = live(&mut r, &ops);
            kept.extend(durable);
            had.extend(has);
            r.fs.crash();
            check_after(&mut r, &had, &kept);
        }
    }
}
