use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use base::{Error, Kind};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::*;
use crate::deliver::{Batch, Loss};

/// What the store answers to a batch.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Answer {
    Take,
    Refuse(Kind),
    /// The batch is stored after all, although the answer says no.
    TakeAndSayNo,
}

/// A store in memory: rows are a set, positions come with them.
#[derive(Default)]
pub(super) struct Store {
    rows: Mutex<BTreeSet<(i64, String, String)>>,
    pub(super) positions: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(super) losses: Mutex<Vec<Loss>>,
    pub(super) answer: Mutex<Vec<Answer>>,
    pub(super) given: Mutex<Vec<usize>>,
}

impl Deliver for Store {
    fn deliver(&self, batch: Batch<'_>) -> base::Result<()> {
        let Batch::Lines(b) = batch else { panic!("files have no samples") };
        let answer = self.answer.lock().pop().unwrap_or(Answer::Take);
        self.given.lock().push(b.count() as usize);
        if let Answer::Refuse(kind) = answer {
            return Err(Error::new(kind, "not now"));
        }
        for s in &b.streams {
            let name = s.labels.get("filename").unwrap().to_owned();
            self.rows.lock().extend(s.lines.iter().map(|l| (l.time_ns, name.clone(), l.text.clone())));
        }
        self.positions.lock().insert(b.source.clone(), b.position.clone());
        if answer == Answer::Take { Ok(()) } else { Err(Error::unavailable("it is not known whether it was stored")) }
    }
    fn positions(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        self.positions.lock().iter().filter(|(n, _)| n.starts_with(prefix)).map(|(n, p)| (n.clone(), p.clone())).collect()
    }
    fn lost(&self, loss: &Loss) {
        self.losses.lock().push(loss.clone());
    }
}

/// A directory, a store, and a source that can be killed.
pub(super) struct Rig {
    pub(super) dir: TempDir,
    pub(super) store: Arc<Store>,
    clock: Clock,
    settings: Settings,
    source: Source,
}

impl Rig {
    pub(super) fn new(pattern: &str, from: From) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let include = vec![format!("{}/{pattern}", dir.path().display())];
        let settings = Settings { include, from, max_line_bytes: 1000, ..Settings::default() };
        Rig::with(dir, settings)
    }
    fn with(dir: TempDir, settings: Settings) -> Rig {
        let (store, clock) = (Arc::new(Store::default()), Clock::manual(1_000_000));
        let source = start(&store, &clock, &settings);
        Rig { dir, store, clock, settings, source }
    }
    /// As after a crash: what is in memory is gone.
    pub(super) fn restart(&mut self) {
        self.source = start(&self.store, &self.clock, &self.settings);
    }
    pub(super) fn poll(&mut self) -> Polled {
        self.clock.advance_ns(1_000_000_000);
        self.source.poll()
    }
    /// Longer than a renamed file is waited for.
    pub(super) fn poll_later(&mut self) -> Polled {
        self.clock.advance_ns(100_000_000_000);
        self.source.poll()
    }
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
    pub(super) fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap().write_all(text.as_ref()).unwrap();
    }
    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }
    pub(super) fn copy_truncate(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
        OpenOptions::new().write(true).open(self.path(from)).unwrap().set_len(0).unwrap();
    }
    /// All stored lines, in order of time.
    pub(super) fn lines(&self) -> Vec<String> {
        self.store.rows.lock().iter().map(|r| r.2.clone()).collect()
    }
    fn names(&self) -> BTreeSet<String> {
        self.store.rows.lock().iter().map(|r| Path::new(&r.1).file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }
    fn lost(&self) -> Vec<(&'static str, u64, u64)> {
        self.store.losses.lock().iter().map(|l| (l.reason, l.lines, l.bytes)).collect()
    }
}

fn start(store: &Arc<Store>, clock: &Clock, settings: &Settings) -> Source {
    let context = Context { deliver: store.clone(), clock: clock.clone(), host: "h1".into(), never: vec![], stats: Arc::default() };
    Source::new("test", settings.clone(), context).unwrap()
}

#[test]
fn files_in_utf16_are_read_by_their_mark() {
    let mut r = Rig::new("*.log", From::Start);
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    r.append("a.log", wide("\u{feff}one\r\ntw"));
    assert_eq!(r.poll().lines, 1);
    r.restart();
    r.append("a.log", wide("o\n"));
    assert_eq!(r.poll().lines, 1);
    r.append("b.log", "\u{feff}three\n");
    r.poll();
    assert_eq!(r.lines(), ["one", "two", "three"]);
}

#[test]
fn lines_come_with_their_labels_and_times_that_rise() {
    let mut r = Rig::new("*.log", From::Start);
    r.settings.labels.insert("env".into(), "dev".into());
    r.restart();
    r.append("a.log", "one\none\r\ntwo\npart");
    assert_eq!(r.poll().lines, 3);
    r.append("a.log", "ial\n");
    assert_eq!(r.poll().lines, 1);
    assert_eq!(r.poll().lines, 0);
    assert_eq!(r.lines(), ["one", "one", "two", "partial"]);
    let a = r.path("a.log").display().to_string();
    let l = r.source.labels_of(&a).unwrap();
    assert_eq!(l, Labels::from_pairs([("env", "dev"), ("filename", a.as_str()), ("host", "h1"), ("job", "files")]).unwrap());
}

#[test]
fn old_content_is_passed_over_only_where_the_pattern_is_new() {
    let mut r = Rig::new("*.log", From::End);
    r.append("old.log", "old\nbegun");
    r.poll();
    r.append("old.log", " line\n");
    r.append("new.log", "first\n");
    r.poll();
    assert_eq!(
        r.lines().into_iter().collect::<BTreeSet<_>>(),
        ["first", "begun line"].map(String::from).into(),
        "whole line, and a file that appears later from its start"
    );
    // While we are down: an old file goes on, a new one appears, and a new pattern finds an old one.
    r.append("old.log", "down\n");
    r.append("late.log", "late\n");
    r.append("x.txt", "text\n");
    let txt = r.settings.include[0].replace("*.log", "*.txt");
    r.settings.include.push(txt);
    r.restart();
    r.poll();
    r.append("x.txt", "more text\n");
    r.poll();
    let got: BTreeSet<_> = r.lines().into_iter().collect();
    assert_eq!(got, ["first", "begun line", "down", "late", "more text"].map(String::from).into());
}

#[test]
fn a_start_that_was_not_recorded_is_not_forgotten() {
    let mut r = Rig::new("*.log", From::End);
    r.append("a.log", "old\n");
    r.store.answer.lock().push(Answer::Refuse(Kind::Unavailable));
    assert!(r.poll().wait.is_some());
    r.append("a.log", "new\n");
    r.poll();
    r.poll();
    assert_eq!(r.lines(), ["new"]);
}

#[test]
fn a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_start() {
    let mut r = Rig::new("a.log", From::Start);
    r.append("a.log", "1\n");
    r.poll();
    r.append("a.log", "2\n");
    r.rename("a.log", "a.log.1");
    r.append("a.log", "4\n");
    r.poll();
    // The writer has not reopened yet, and dies in the middle of a line.
    r.append("a.log.1", "3\nno end");
    r.poll();
    assert_eq!(r.lines().len(), 4);
    r.poll_later();
    r.poll_later();
    assert_eq!(r.lines(), ["1", "2", "4", "3", "no end"].map(String::from));
    assert_eq!(r.names(), ["a.log".to_string()].into());
    r.restart();
    r.poll_later();
    r.poll_later();
    assert_eq!(r.lines().len(), 5);
}

#[test]
fn a_removed_file_is_read_to_its_end_and_forgotten() {
    let mut r = Rig::new("*.log", From::Start);
    r.append("a.log", "1\n");
    r.poll();
    r.append("a.log", "2\nend");
    fs::remove_file(r.path("a.log")).unwrap();
    r.poll();
    r.poll_later();
    assert_eq!(r.lines(), ["1", "2", "end"]);
    r.poll();
    let stored: Vec<usize> = r.store.positions.lock().iter().filter(|(n, _)| !n.ends_with("scope")).map(|(_, p)| p.len()).collect();
    assert_eq!(stored, [0], "an empty position says that it is done with");
    assert!(r.source.tails.is_empty() && r.source.labels.len() == 1);
}

#[test]
fn renamed_twice_while_nobody_looked() {
    let mut r = Rig::new("a.log", From::Start);
    r.append("a.log.3", "from before us\n");
    r.append("a.log", "1\n");
    r.poll();
    for (down, n) in [(false, 2), (true, 5)] {
        r.append("a.log", format!("{n}\n"));
        r.rename("a.log", &format!("a.log.{}", n + 100));
        r.append("a.log", format!("{}\n", n + 1));
        r.rename("a.log", &format!("a.log.{}", n + 101));
        r.append("a.log", format!("{}\n", n + 2));
        if down {
            r.restart();
        }
        r.poll();
    }
    let mut got: Vec<i32> = r.lines().iter().map(|l| l.parse().unwrap()).collect();
    got.sort();
    assert_eq!(got, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_renamed_file_that_matches_too_is_not_read_again() {
    let mut r = Rig::new("a.log*", From::Start);
    r.append("a.log", "1\n");
    r.poll();
    r.append("a.log", "2\n");
    r.rename("a.log", "a.log.1");
    r.append("a.log", "3\n");
    r.restart();
    r.poll();
    r.rename("a.log.1", "a.log.2");
    r.append("a.log.2", "tail without end");
    r.poll();
    r.poll_later();
    r.restart();
    r.poll_later();
    let mut got = r.lines();
    got.sort();
    assert_eq!(got, ["1", "2", "3", "tail without end"]);
}

#[test]
fn a_truncated_file_starts_over_and_its_copy_has_the_rest() {
    for restart in [false, true] {
        let mut r = Rig::new("a.log*", From::Start);
        r.append("a.log", "1 some line\n");
        r.poll();
        r.append("a.log", "2 not read yet\n");
        r.copy_truncate("a.log", "a.log.1");
        r.append("a.log", "3 after the truncation, and longer than everything before it\n");
        if restart {
            r.restart();
        }
        r.poll();
        r.poll();
        r.poll_later();
        r.poll_later();
        let mut got: Vec<_> = r.lines().iter().map(|l| l[..1].to_owned()).collect();
        got.sort();
        assert_eq!(got, ["1", "2", "3"], "restart: {restart}");
        assert!(r.lost().is_empty());
    }
}

#[test]
fn a_copy_under_way_is_not_read_as_a_file_of_its_own() {
    let mut r = Rig::new("a.log*", From::Start);
    r.append("a.log", "1 one\n2 two\n");
    r.poll();
    r.append("a.log.1", "1 on");
    r.poll();
    r.append("a.log.1", "e\n2 two\n");
    r.poll();
    assert_eq!(r.lines(), ["1 one", "2 two"]);
    fs::write(r.path("a.log"), "3 three\n").unwrap();
    r.poll();
    r.poll();
    r.poll_later();
    assert_eq!(r.lines(), ["1 one", "2 two", "3 three"]);
    // A copy that stays is not read either, if it is long enough not to be alike by chance.
    let long: String = (0..200).map(|i| format!("{i} of many lines\n")).collect();
    r.append("a.log.big", &long);
    r.poll();
    let before = r.lines().len();
    fs::copy(r.path("a.log.big"), r.path("a.log.big.bak")).unwrap();
    r.poll();
    r.poll_later();
    r.append("a.log.big.bak", "of its own\n");
    r.poll();
    assert_eq!(r.lines().len(), before + 1);
}

#[test]
fn truncation_without_a_copy_is_a_loss_that_is_counted() {
    let mut r = Rig::new("*.log", From::Start);
    r.append("a.log", "1\n23");
    r.poll();
    fs::write(r.path("a.log"), "4\n5\n6\n7\n").unwrap();
    r.poll();
    assert_eq!(r.lines(), ["1", "4", "5", "6", "7"]);
    assert_eq!(r.lost(), [("truncated", 0, 2)]);
    // Grown past the position, with a first line as before: the bytes before the position tell.
    fs::write(r.path("a.log"), "4\n5\n6\n8\n9\n").unwrap();
    r.poll();
    assert_eq!(r.lines()[5..], ["4", "5", "6", "8", "9"].map(String::from));
}

#[test]
fn the_inode_of_a_removed_file_is_another_file() {
    let mut r = Rig::new("*.log", From::Start);
    r.append("a.log", "1\n2\n");
    r.poll();
    // The same inode under another name with other content, as after removal and reuse while we were down.
    r.rename("a.log", "b.log");
    fs::write(r.path("b.log"), "other\ncontent\n").unwrap();
    r.restart();
    r.poll();
    assert_eq!(r.lines(), ["1", "2", "other", "content"]);
    assert_eq!(r.names(), ["a.log".to_string(), "b.log".to_string()].into());
}

#[test]
fn a_file_is_known_again_by_path_and_content() {
    let mut r = Rig::new("*.log", From::Start);
    r.append("a.log", "1\n2\n");
    r.poll();
    // Other device numbers after a boot.
    let mut moved = BTreeMap::new();
    for (n, p) in std::mem::take(&mut *r.store.positions.lock()) {
        moved.insert(n.replacen("file/test/", "file/test/9", 1).replace("9scope", "scope"), p);
    }
    *r.store.positions.lock() = moved;
    r.append("a.log", "3\n");
    r.restart();
    r.poll();
    assert_eq!(r.lines(), ["1", "2", "3"]);
}

#[test]
fn a_refused_batch_is_given_again_as_it_was() {
    let mut r = Rig::new("*.log", From::Start);
    r.poll();
    r.append("a.log", "1\n2\n");
    *r.store.answer.lock() = vec![Answer::TakeAndSayNo, Answer::Refuse(Kind::Unavailable)];
    assert_eq!(r.poll().wait, Some(Duration::from_secs(1)));
    assert!(r.lines().is_empty());
    r.append("a.log", "3\n");
    r.poll();
    r.poll();
    r.poll();
    assert_eq!(r.lines(), ["1", "2", "3"], "stored once, although it was given three times");
    assert_eq!(*r.store.given.lock(), [0, 2, 2, 2, 1]);
}

#[test]
fn one_streams_limit_does_not_hold_the_others_up() {
    let mut r = Rig::new("*.log", From::Start);
    r.append("a.log", "a\n");
    r.append("b.log", "b\n");
    r.store.answer.lock().push(Answer::Refuse(Kind::LimitExceeded));
    assert_eq!(r.poll().lines, 1);
    r.poll();
    assert_eq!(r.lines().len(), 2);
}

#[test]
fn what_can_never_be_taken_is_counted_and_passed_over() {
    let mut r = Rig::new("*.log", From::Start);
    r.append("a.log", "bad\n");
    r.store.answer.lock().push(Answer::Refuse(Kind::Invalid));
    r.poll();
    r.append("a.log", "good\n");
    r.poll();
    assert_eq!(r.lines(), ["good"]);
    assert_eq!((r.lost()[0].0, r.lost()[0].1), ("refused", 1));
}

#[test]
fn long_lines_are_cut_across_restarts_and_counted() {
    let mut r = Rig::new("*.log", From::Start);
    r.append("a.log", "x".repeat(1500));
    r.poll();
    r.append("a.log", "y".repeat(700));
    r.restart();
    r.poll();
    r.append("a.log", "z\nnext\n");
    r.restart();
    r.poll();
    let got = r.lines();
    assert_eq!((got.len(), got[1].as_str()), (2, "next"));
    assert!(got[0].starts_with(&"x".repeat(1000)) && got[0].ends_with("[cut by watchfire after 1000 bytes]"));
    assert_eq!(r.lost().iter().map(|l| (l.1, l.2)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)), (1, 1201));
}

#[test]
fn a_large_file_is_read_in_bounded_pieces() {
    let mut r = Rig::new("*.log", From::Start);
    let text: String = (0..1_200_000).map(|i| format!("line {i:07}\n")).collect();
    r.append("a.log", &text);
    let first = r.poll();
    assert!(first.more && first.lines < 1_200_000 && first.lines > 100_000);
    assert_eq!(r.source.pause(first), Pause::None);
    while r.poll().more {}
    let got = r.lines();
    assert_eq!(got.len(), 1_200_000);
    assert!(got.iter().enumerate().all(|(i, l)| *l == format!("line {i:07}")));
    assert!(r.store.given.lock().iter().all(|&n| n <= crate::limits::LINES_PER_BATCH));
}

#[test]
fn packed_excluded_and_own_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path().display().to_string();
    let settings = Settings {
        include: vec![format!("{d}/**")],
        exclude: vec!["secret*".into(), format!("{d}/no/**")],
        from: From::Start,
        ..Settings::default()
    };
    let mut r = Rig::with(dir, settings);
    for sub in ["no", "data"] {
        fs::create_dir(r.path(sub)).unwrap();
    }
    for f in ["a.log.gz", "secret.log", "no/x.log", "data/wal"] {
        r.append(f, "never\n");
    }
    r.append("packed.log", b"\x1f\x8b\x08never\n");
    r.append("a.log", "yes\n");
    std::os::unix::fs::symlink(r.path("data"), r.path("link")).unwrap();
    let wal = format!("{d}/link/*");
    r.settings.include.push(wal);
    r.source =
        Source::new("test", r.settings.clone(), Context { never: vec![r.path("data")], ..start(&r.store, &r.clock, &r.settings).context })
            .unwrap();
    r.poll();
    assert_eq!(r.lines(), ["yes"]);
    assert!(own_output().iter().all(|id| !r.source.tails.contains_key(id)));
}

#[test]
fn an_unreadable_file_is_counted_and_read_once_it_can_be() {
    use std::os::unix::fs::PermissionsExt;
    let mut r = Rig::new("*.log", From::End);
    r.append("a.log", "old\n");
    fs::set_permissions(r.path("a.log"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(r.path("a.log")).is_ok() {
        return; // permissions do not hold for root: there is no unreadable file to test with
    }
    r.poll();
    r.append("b.log", "b\n");
    r.poll();
    assert_eq!(r.source.tails.values().filter(|t| t.unreadable).count(), 1);
    fs::set_permissions(r.path("a.log"), fs::Permissions::from_mode(0o600)).unwrap();
    r.append("a.log", "new\n");
    r.poll();
    assert_eq!(r.lines(), ["b", "new"]);
}

#[test]
fn settings_have_units_and_no_unknown_keys() {
    let s: Settings = serde_json::from_str(r#"{"include":["/var/log/*.log"],"from":"start","poll_interval":"500ms"}"#).unwrap();
    assert_eq!((s.from, s.poll_interval, s.rotated_wait), (From::Start, Duration::from_millis(500), Duration::from_secs(60)));
    assert_eq!(serde_json::from_str::<Settings>(&serde_json::to_string(&s).unwrap()).unwrap(), s);
    for bad in [r#"{"includes":[]}"#, r#"{"poll_interval":"5"}"#, r#"{"poll_interval":"0s"}"#, r#"{"from":"middle"}"#] {
        assert!(serde_json::from_str::<Settings>(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_pattern_that_is_not_absolute_is_refused() {
    let context =
        Context { deliver: Arc::new(Store::default()), clock: Clock::manual(0), host: "h".into(), never: vec![], stats: Arc::default() };
    let settings = Settings { include: vec!["*.log".into()], ..Settings::default() };
    assert_eq!(Source::new("x", settings, context).err().unwrap().kind(), Kind::Invalid);
}

#[test]
fn a_clock_that_was_set_back_is_believed() {
    let mut r = Rig::new("*.log", From::Start);
    let at = |r: &Rig, text: &str| r.store.rows.lock().iter().find(|row| row.2 == text).map(|row| row.0).unwrap();
    r.clock.jump_ns(7_200_000_000_000);
    r.append("a.log", "ahead 1\nahead 2\n");
    r.poll();
    r.clock.jump_ns(-7_200_000_000_000);
    r.append("a.log", "right 1\nright 2\n");
    r.poll();
    assert!(at(&r, "ahead 1") < at(&r, "ahead 2"));
    assert!(at(&r, "right 1") < at(&r, "ahead 1") - 7_000_000_000_000 && at(&r, "right 1") < at(&r, "right 2"));
    // By less than a second it was only corrected: times go on rising.
    r.clock.jump_ns(-1_500_000_000);
    r.append("a.log", "corrected\n");
    r.poll();
    assert_eq!(at(&r, "corrected"), at(&r, "right 2") + 1);
    r.restart();
    r.append("a.log", "restarted\n");
    r.poll();
    assert_eq!(r.lines(), ["right 1", "right 2", "corrected", "restarted", "ahead 1", "ahead 2"]);
}

/// Renames `from` to `to` and compresses it, as logrotate does one rotation later.
fn pack(r: &Rig, from: &str, to: &str) {
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    packed.write_all(&fs::read(r.path(from)).unwrap()).unwrap();
    fs::write(r.path(to), packed.finish().unwrap()).unwrap();
    let times = fs::metadata(r.path(from)).unwrap().modified().unwrap();
    OpenOptions::new().append(true).open(r.path(to)).unwrap().set_modified(times).unwrap();
    fs::remove_file(r.path(from)).unwrap();
}

#[test]
fn what_was_compressed_while_nobody_looked_is_read_on() {
    let mut r = Rig::new("a.log", From::Start);
    let text = |from: u32, to: u32| (from..to).map(|i| format!("line {i:05}\n")).collect::<String>();
    r.append("a.log", text(0, 100));
    r.poll();
    r.append("a.log", text(100, 60_000));
    pack(&r, "a.log", "a.log.2.gz");
    // Nobody ever saw this one.
    r.append("a.log.1", text(60_000, 60_100));
    pack(&r, "a.log.1", "a.log.1.gz");
    r.append("a.log", text(60_100, 60_200));
    for _ in 0..3 {
        r.restart();
        while r.poll().more {}
        while r.poll_later().more {}
        let mut got = r.lines();
        got.sort();
        assert_eq!(got, (0..60_200).map(|i| format!("line {i:05}")).collect::<Vec<_>>());
    }
    // Other files of that name are left alone, and so is one that is not whole.
    r.append("a.log.3.gz", b"\x1f\x8b\x08never\n");
    r.restart();
    r.poll_later();
    assert_eq!(r.lines().len(), 60_200);
}
