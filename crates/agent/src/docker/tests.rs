use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use base::{Error, Kind};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::engine::{Inspected, Listed};
use super::watch::Note;
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

/// Time, container, output, text.
type Row = (i64, String, String, String);

/// A store in memory: rows are a set, positions come with them.
#[derive(Default)]
pub(super) struct Store {
    pub(super) rows: Mutex<BTreeSet<Row>>,
    positions: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(super) losses: Mutex<Vec<Loss>>,
    pub(super) answer: Mutex<Vec<Answer>>,
}

impl Deliver for Store {
    fn deliver(&self, batch: Batch<'_>) -> base::Result<()> {
        let Batch::Lines(b) = batch else { panic!("containers have no samples") };
        let answer = self.answer.lock().pop().unwrap_or(Answer::Take);
        if let Answer::Refuse(kind) = answer {
            return Err(Error::new(kind, "not now"));
        }
        for s in &b.streams {
            let label = |n| s.labels.get(n).unwrap_or_default().to_owned();
            self.rows.lock().extend(s.lines.iter().map(|l| (l.time_ns, label("container"), label("stream"), l.text.clone())));
        }
        match b.position.is_empty() {
            true => self.positions.lock().remove(&b.source),
            false => self.positions.lock().insert(b.source.clone(), b.position.clone()),
        };
        if answer == Answer::Take { Ok(()) } else { Err(Error::unavailable("it is not known whether it was stored")) }
    }
    fn positions(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        self.positions.lock().iter().filter(|(n, _)| n.starts_with(prefix)).map(|(n, p)| (n.clone(), p.clone())).collect()
    }
    fn lost(&self, loss: &Loss) {
        self.losses.lock().push(loss.clone());
    }
}

/// What the Engine knows of a container: its answers, and its log for those who ask it.
#[derive(Clone, Default)]
struct Known {
    listed: serde_json::Value,
    inspected: serde_json::Value,
    /// Output, time, text.
    log: Vec<(u8, i64, String)>,
}

type Engine = Arc<Mutex<BTreeMap<String, Known>>>;

/// Answers what the source asks, on a socket, until the process ends.
fn serve(at: &Path, engine: Engine) {
    let listener = UnixListener::bind(at).unwrap();
    let body = move || {
        for socket in listener.incoming() {
            answer(socket.unwrap(), &engine.lock());
        }
    };
    std::thread::Builder::new().name("engine".into()).spawn(body).unwrap();
}

fn answer(mut socket: UnixStream, engine: &BTreeMap<String, Known>) {
    let mut ask = vec![0; 4096];
    let n = socket.read(&mut ask).unwrap();
    let ask = String::from_utf8(ask[..n].to_vec()).unwrap();
    let path = ask.split(' ').nth(1).unwrap();
    let known = path.split('/').nth(2).and_then(|id| engine.get(id));
    let body = match (path, known) {
        ("/containers/json?all=1", _) => serde_json::to_vec(&engine.values().map(|k| &k.listed).collect::<Vec<_>>()).unwrap(),
        (p, Some(k)) if p.ends_with("/json") => serde_json::to_vec(&k.inspected).unwrap(),
        (p, Some(k)) if k.inspected["HostConfig"]["LogConfig"]["Type"] == "none" => {
            let message = format!(r#"{{"message":"configured logging driver does not support reading: {p}"}}"#);
            socket.write_all(format!("HTTP/1.1 501 Not Implemented\r\nContent-Length: {}\r\n\r\n{message}", message.len()).as_bytes()).ok();
            return;
        }
        (p, Some(k)) => frames(k, p.split("since=").nth(1).unwrap()),
        _ => {
            socket.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 20\r\n\r\n{\"message\":\"no such\"}").ok();
            return;
        }
    };
    socket.write_all(&[format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat()).ok();
}

fn frames(k: &Known, since: &str) -> Vec<u8> {
    let (seconds, ns) = since.split_once('.').unwrap();
    let since = seconds.parse::<i64>().unwrap() * SECOND + ns.parse::<i64>().unwrap();
    let mut out = vec![];
    for (pipe, ns, text) in k.log.iter().filter(|(_, ns, _)| *ns >= since) {
        let message = format!("{} {text}", time(*ns));
        out.extend([&[*pipe, 0, 0, 0][..], &(message.len() as u32).to_be_bytes(), message.as_bytes()].concat());
    }
    out
}

const SECOND: i64 = 1_000_000_000;

fn time(ns: i64) -> String {
    format!("{}.{:09}Z", base::units::format_rfc3339(ns).trim_end_matches('Z'), ns % SECOND)
}

/// An Engine with its directory, a store, and a source that can be killed.
pub(super) struct Rig {
    dir: TempDir,
    engine: Engine,
    pub(super) store: Arc<Store>,
    clock: Clock,
    settings: Settings,
    stats: Arc<Stats>,
    pub(super) source: Source,
}

impl Rig {
    pub(super) fn new() -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        serve(&dir.path().join("s"), engine.clone());
        let endpoint = format!("unix://{}/s", dir.path().display());
        let settings = Settings { endpoint, max_line_bytes: 40_000, ..Settings::default() };
        let (store, clock, stats) = (Arc::<Store>::default(), Clock::manual(1), Arc::<Stats>::default());
        let source = start(&store, &clock, &settings, &stats);
        Rig { dir, engine, store, clock, settings, stats, source }
    }
    /// As after a crash: what is in memory is gone.
    pub(super) fn restart(&mut self) {
        self.source = start(&self.store, &self.clock, &self.settings, &self.stats);
    }
    /// A step that also looks at the list.
    pub(super) fn poll(&mut self) -> Polled {
        self.clock.advance_ns(10 * SECOND);
        self.source.poll()
    }
    pub(super) fn log(&self, id: &str) -> PathBuf {
        self.dir.path().join(id).join(format!("{id}-json.log"))
    }
    pub(super) fn create(&self, id: &str, name: &str, driver: &str, is_removed_at_end: bool) {
        fs::create_dir(self.dir.path().join(id)).unwrap();
        let path = if driver == "json-file" { self.log(id).display().to_string() } else { String::new() };
        let known = Known {
            listed: serde_json::json!({ "Id": id, "Names": [format!("/{name}")], "Image": "box:1", "State": "running" }),
            inspected: serde_json::json!({ "LogPath": path, "HostConfig": { "AutoRemove": is_removed_at_end, "LogConfig": { "Type": driver } } }),
            log: vec![],
        };
        self.engine.lock().insert(id.into(), known);
    }
    /// Docker keeps so many files of its log; it was made at this second.
    fn keep_files(&self, id: &str, files: usize, created_s: i64) {
        let mut engine = self.engine.lock();
        let k = engine.get_mut(id).unwrap();
        k.listed["Created"] = created_s.into();
        k.inspected["HostConfig"]["LogConfig"]["Config"] = serde_json::json!({ "max-file": files.to_string(), "max-size": "20k" });
    }
    pub(super) fn set_state(&self, id: &str, state: &str) {
        self.engine.lock().get_mut(id).unwrap().listed["State"] = state.into();
    }
    pub(super) fn remove(&self, id: &str) {
        self.engine.lock().remove(id);
        fs::remove_dir_all(self.dir.path().join(id)).unwrap();
    }
    /// Docker takes a message; `text` ends with `\n` if it ends a line.
    pub(super) fn write(&self, id: &str, pipe: &str, ns: i64, text: &str) {
        self.engine.lock().get_mut(id).unwrap().log.push((if pipe == "stdout" { 1 } else { 2 }, ns, text.into()));
        let line = format!("{{\"log\":{},\"stream\":\"{pipe}\",\"time\":\"{}\"}}\n", serde_json::to_string(text).unwrap(), time(ns));
        OpenOptions::new().create(true).append(true).open(self.log(id)).unwrap().write_all(line.as_bytes()).unwrap();
    }
    /// As Docker rotates: the oldest of `max` files goes. It never rotates a file without a line.
    pub(super) fn rotate(&self, id: &str, max: usize, compress: bool) {
        if fs::metadata(self.log(id)).unwrap().len() == 0 {
            return;
        }
        let base = self.log(id).display().to_string();
        let ending = if compress { ".gz" } else { "" };
        fs::remove_file(format!("{base}.{}{ending}", max - 1)).ok();
        for n in (1..max - 1).rev() {
            fs::rename(format!("{base}.{n}{ending}"), format!("{base}.{}{ending}", n + 1)).ok();
        }
        fs::rename(&base, format!("{base}.1")).unwrap();
        fs::File::create(&base).unwrap();
        if compress {
            let mut out = flate2::write::GzEncoder::new(fs::File::create(format!("{base}.1.gz")).unwrap(), flate2::Compression::fast());
            out.write_all(&fs::read(format!("{base}.1")).unwrap()).unwrap();
            out.finish().unwrap();
            fs::remove_file(format!("{base}.1")).unwrap();
        }
    }
    pub(super) fn texts(&self, container: &str) -> Vec<String> {
        self.store.rows.lock().iter().filter(|r| r.1 == container).map(|r| r.3.clone()).collect()
    }
    fn lost(&self) -> Vec<(&'static str, u64, Option<i64>, Option<i64>)> {
        self.store.losses.lock().iter().map(|l| (l.reason, l.lines, l.first_ns, l.last_ns)).collect()
    }
}

fn start(store: &Arc<Store>, clock: &Clock, settings: &Settings, stats: &Arc<Stats>) -> Source {
    let context = Context { deliver: store.clone(), clock: clock.clone(), host: "h1".into(), relabel: None, stats: stats.clone() };
    Source::without_events("test", settings.clone(), context).unwrap()
}

#[test]
fn equal_lines_of_one_moment_are_different_rows_and_reading_again_gives_the_same() {
    let mut r = Rig::new();
    r.create("aa", "web", "json-file", false);
    for text in ["same\n", "same\n", "other\n"] {
        r.write("aa", "stdout", 5, text);
    }
    r.write("aa", "stderr", 5, "same\n");
    *r.store.answer.lock() = vec![Answer::TakeAndSayNo];
    r.poll();
    r.restart();
    r.poll();
    let row = |ns, stream: &str, text: &str| (ns, "web".to_owned(), stream.to_owned(), text.to_owned());
    let expected = [row(5, "stderr", "same"), row(5, "stdout", "same"), row(6, "stdout", "same"), row(7, "stdout", "other")];
    assert_eq!(r.store.rows.lock().iter().cloned().collect::<Vec<_>>(), expected);
}

#[test]
fn a_frame_waits_for_its_end_across_a_crash_and_a_rotation() {
    let mut r = Rig::new();
    r.create("aa", "web", "json-file", false);
    let frame = "x".repeat(16 << 10);
    r.write("aa", "stdout", 1, &frame);
    r.write("aa", "stderr", 2, "between\n");
    r.poll();
    assert_eq!(r.texts("web"), ["between"]);
    r.restart();
    r.rotate("aa", 3, true);
    r.write("aa", "stdout", 3, "end\n");
    r.poll();
    assert_eq!(r.texts("web"), [format!("{frame}end"), "between".into()]);
}

#[test]
fn what_lived_and_died_while_nobody_looked_is_read_from_its_start() {
    let mut r = Rig::new();
    r.create("aa", "web", "json-file", false);
    r.write("aa", "stdout", 1, "old\n");
    r.rotate("aa", 3, false);
    r.write("aa", "stdout", 2, "new\n");
    r.write("aa", "stdout", 3, &"y".repeat(16 << 10));
    r.set_state("aa", "exited");
    r.poll();
    r.poll();
    assert_eq!(r.texts("web").len(), 3, "the last line counts as whole when the container has stopped");
    // Started again, it goes on.
    r.set_state("aa", "running");
    r.write("aa", "stdout", 4, "again\n");
    r.restart();
    r.poll();
    assert_eq!((r.texts("web").len(), r.lost()), (4, vec![]));
}

#[test]
fn a_recreated_container_has_a_position_of_its_own_and_the_old_one_is_forgotten() {
    let mut r = Rig::new();
    r.create("aa", "web", "json-file", false);
    r.write("aa", "stdout", 1, "one\n");
    r.poll();
    r.write("aa", "stdout", 2, "two\n");
    r.remove("aa");
    r.create("bb", "web", "json-file", false);
    r.write("bb", "stdout", 3, "three\n");
    r.poll();
    r.poll();
    assert_eq!((r.texts("web"), r.lost()), (vec!["one".to_owned(), "two".into(), "three".into()], vec![]));
    assert_eq!(r.store.positions.lock().keys().cloned().collect::<Vec<_>>(), ["docker/test/bb"]);
}

#[test]
fn removed_while_nobody_looked_is_a_loss_only_if_it_had_not_ended() {
    let mut r = Rig::new();
    for (id, name, state) in [("aa", "done", "exited"), ("bb", "cut", "running")] {
        r.create(id, name, "json-file", false);
        r.write(id, "stdout", 7, "line\n");
        r.set_state(id, state);
    }
    r.poll();
    r.poll();
    r.remove("aa");
    r.remove("bb");
    r.restart();
    r.poll();
    assert_eq!(r.lost(), [("removed", 0, Some(7), None)]);
    assert!(r.store.positions.lock().is_empty());
}

#[test]
fn what_was_rotated_away_is_stated_between_which_times() {
    let mut r = Rig::new();
    r.create("aa", "web", "json-file", false);
    for ns in 1..=6 {
        r.write("aa", "stdout", ns, &format!("line {ns}\n"));
        if ns == 1 {
            r.poll();
            r.restart();
        }
        if ns > 1 && ns < 6 {
            r.rotate("aa", 3, false);
        }
    }
    r.poll();
    assert_eq!(r.texts("web"), ["line 1", "line 4", "line 5", "line 6"]);
    assert_eq!(r.lost(), [("rotated_away", 0, Some(1), Some(4))]);
}

#[test]
fn while_nothing_is_taken_what_docker_rotates_away_is_kept() {
    let mut r = Rig::new();
    r.create("aa", "web", "json-file", false);
    r.write("aa", "stdout", 1, "line 1\n");
    for ns in 2..=9 {
        *r.store.answer.lock() = vec![Answer::Refuse(Kind::Unavailable)];
        r.poll();
        r.rotate("aa", 2, false);
        r.write("aa", "stdout", ns, &format!("line {ns}\n"));
    }
    r.store.answer.lock().clear();
    r.poll();
    assert_eq!((r.texts("web").len(), r.lost()), (9, vec![]));
}

#[test]
fn a_container_that_starts_while_nothing_is_taken_is_kept_too() {
    let mut r = Rig::new();
    r.create("aa", "busy", "json-file", false);
    r.write("aa", "stdout", 1, "line\n");
    *r.store.answer.lock() = vec![Answer::Refuse(Kind::Unavailable); 9];
    r.poll();
    r.create("bb", "web", "json-file", false);
    for ns in 1..=6 {
        r.write("bb", "stdout", ns, &format!("line {ns}\n"));
        r.poll();
        r.rotate("bb", 2, false);
    }
    r.store.answer.lock().clear();
    r.poll();
    assert_eq!((r.texts("web").len(), r.lost()), (6, vec![]));
}

#[test]
fn what_docker_rotated_away_of_a_container_that_nobody_had_read_is_stated() {
    // Made before anybody was told to read: what is gone by then is no loss. Made since: it is, if Docker keeps as many files as it may.
    for (created_s, before, stated) in [(0, 4, false), (100, 4, true), (100, 2, false)] {
        let mut r = Rig::new();
        r.clock.advance_ns(50 * SECOND);
        r.restart();
        r.create("aa", "web", "json-file", false);
        r.keep_files("aa", 3, created_s);
        for n in 0..before {
            r.write("aa", "stdout", created_s * SECOND + n, &format!("line {n}\n"));
            if n + 1 < before {
                r.rotate("aa", 3, false);
            }
        }
        r.poll();
        let first_ns = created_s * SECOND + 1;
        let expected = if stated { vec![("rotated_away", 0, Some(created_s * SECOND), Some(first_ns))] } else { vec![] };
        assert_eq!((r.texts("web").len(), r.lost()), (before.min(3) as usize, expected), "{created_s} {before}");
    }
    // After a restart whatever has no position was made while nobody looked.
    let mut r = Rig::new();
    r.create("aa", "known", "json-file", false);
    r.write("aa", "stdout", 1, "line\n");
    r.poll();
    r.create("bb", "web", "json-file", false);
    r.keep_files("bb", 2, 0);
    for ns in 1..=3 {
        r.write("bb", "stdout", ns, &format!("line {ns}\n"));
        r.rotate("bb", 2, false);
    }
    r.write("bb", "stdout", 4, "line 4\n");
    r.restart();
    r.poll();
    assert_eq!((r.texts("web").len(), r.lost()), (2, vec![("rotated_away", 0, Some(0), Some(3))]));
}

#[test]
fn a_file_that_was_opened_in_time_is_read_though_docker_has_gone_on_from_it() {
    let mut r = Rig::new();
    r.create("aa", "web", "json-file", false);
    r.write("aa", "stdout", 1, "line 1\n");
    let file = fs::File::open(r.log("aa")).unwrap();
    for ns in 2..=5 {
        r.rotate("aa", 2, false);
        r.write("aa", "stdout", ns, &format!("line {ns}\n"));
    }
    let listed: Listed = serde_json::from_value(r.engine.lock()["aa"].listed.clone()).unwrap();
    let inspected: Inspected = serde_json::from_value(r.engine.lock()["aa"].inspected.clone()).unwrap();
    r.source.notes.lock().push_back(Note { listed, inspected: Some(inspected), file: Some((r.log("aa"), file)) });
    r.poll();
    assert_eq!(r.texts("web"), ["line 1", "line 4", "line 5"]);
    assert_eq!(r.lost(), [("rotated_away", 0, Some(1), Some(4))]);
}

#[test]
fn truncated_and_damaged_logs_are_stated() {
    let mut r = Rig::new();
    r.create("aa", "web", "json-file", false);
    r.write("aa", "stdout", 1, "one\n");
    OpenOptions::new().append(true).open(r.log("aa")).unwrap().write_all(b"\0\0\0{\"log\":\n").unwrap();
    r.poll();
    OpenOptions::new().write(true).open(r.log("aa")).unwrap().set_len(0).unwrap();
    r.write("aa", "stdout", 2, "two\n");
    r.poll();
    assert_eq!(r.texts("web"), ["one", "two"]);
    assert_eq!(r.lost(), [("damaged", 1, None, None), ("truncated", 0, Some(1), Some(2))]);
}

#[test]
fn a_container_that_is_gone_before_anybody_could_ask_is_read_by_what_was_opened() {
    let mut r = Rig::new();
    r.create("aa", "brief", "json-file", true);
    r.write("aa", "stdout", 1, "all\n");
    let note = |r: &Rig, inspected| Note {
        listed: Listed::of_event("aa", [("name".to_owned(), "brief".to_owned())].into()),
        inspected,
        file: fs::File::open(r.log("aa")).ok().map(|f| (r.log("aa"), f)),
    };
    r.source.notes.lock().push_back(note(&r, None));
    let inspected: Inspected = serde_json::from_value(r.engine.lock()["aa"].inspected.clone()).unwrap();
    let late = note(&r, Some(inspected));
    r.remove("aa");
    r.poll();
    assert_eq!(r.texts("brief"), ["all"]);
    r.poll();
    r.source.notes.lock().push_back(late);
    r.poll();
    assert_eq!((r.source.containers.len(), r.store.positions.lock().len()), (0, 0), "what is heard late changes nothing");
}

#[test]
fn a_container_that_nobody_could_open_in_time_is_a_loss() {
    let mut r = Rig::new();
    r.create("aa", "brief", "json-file", true);
    let listed = Listed::of_event("aa", [("name".to_owned(), "brief".to_owned())].into());
    r.remove("aa");
    r.source.notes.lock().push_back(Note { listed, inspected: None, file: None });
    r.poll();
    assert_eq!(r.lost(), [("removed", 0, None, None)]);
}

#[test]
fn one_that_had_stopped_goes_on_from_its_place_even_if_it_is_removed_at_once() {
    let mut r = Rig::new();
    r.create("aa", "web", "json-file", false);
    r.write("aa", "stdout", 1, "one\n");
    r.set_state("aa", "exited");
    r.poll();
    r.poll();
    r.write("aa", "stdout", 2, "two\n");
    let file = fs::File::open(r.log("aa")).ok().map(|f| (r.log("aa"), f));
    let listed = Listed::of_event("aa", [("name".to_owned(), "web".to_owned())].into());
    r.source.notes.lock().push_back(Note { listed, inspected: None, file });
    r.remove("aa");
    r.poll();
    assert_eq!((r.texts("web"), r.lost()), (vec!["one".to_owned(), "two".into()], vec![]));
}

#[test]
fn through_the_engine_nothing_is_lost_or_doubled_by_a_restart() {
    let mut r = Rig::new();
    r.create("aa", "local", "local", false);
    for (pipe, ns) in [("stdout", 5), ("stderr", 4), ("stdout", 5), ("stdout", 6)] {
        r.write("aa", pipe, ns * SECOND, "same\n");
    }
    r.poll();
    r.restart();
    for (pipe, ns) in [("stderr", 5), ("stdout", 6), ("stdout", 7)] {
        r.write("aa", pipe, ns * SECOND, "same\n");
    }
    r.poll();
    r.set_state("aa", "exited");
    r.poll();
    r.poll();
    let times: Vec<(i64, String)> = r.store.rows.lock().iter().map(|r| (r.0, r.2.clone())).collect();
    let out = |ns| (ns, "stdout".to_owned());
    let err = |ns| (ns, "stderr".to_owned());
    assert_eq!(
        times,
        [err(4 * SECOND), err(5 * SECOND), out(5 * SECOND), out(5 * SECOND + 1), out(6 * SECOND), out(6 * SECOND + 1), out(7 * SECOND)]
    );
}

#[test]
fn through_the_engine_a_run_that_nobody_saw_is_read() {
    let mut r = Rig::new();
    r.create("aa", "local", "local", false);
    r.write("aa", "stdout", 5 * SECOND, "one\n");
    r.set_state("aa", "exited");
    r.poll();
    r.poll();
    r.write("aa", "stdout", 6 * SECOND, "two\n");
    r.restart();
    r.poll();
    r.poll();
    assert_eq!(r.texts("local"), ["one", "two"]);
    r.write("aa", "stdout", 7 * SECOND, "three\n");
    let listed = Listed::of_event("aa", [("name".to_owned(), "local".to_owned())].into());
    r.source.notes.lock().push_back(Note { listed, inspected: None, file: None });
    r.poll();
    assert_eq!((r.texts("local").len(), r.lost()), (3, vec![]));
}

#[test]
fn reading_goes_on_where_the_way_to_the_log_changes() {
    let mut r = Rig::new();
    r.create("aa", "web", "json-file", false);
    r.write("aa", "stdout", 5, "one\n");
    r.settings.containers_dir = "/nowhere".into();
    r.restart();
    r.poll();
    r.write("aa", "stdout", 5, "two\n");
    r.settings.containers_dir.clear();
    r.restart();
    r.poll();
    r.write("aa", "stdout", 6, "three\n");
    r.settings.containers_dir = "/nowhere".into();
    r.restart();
    r.poll();
    assert_eq!(r.texts("web"), ["one", "two", "three"]);
}

#[test]
fn what_cannot_be_read_is_counted_and_filters_hold() {
    let mut r = Rig::new();
    r.settings.exclude_names = vec!["noisy-*".into()];
    r.restart();
    r.create("aa", "mute", "none", false);
    r.create("bb", "noisy-1", "json-file", false);
    r.write("bb", "stdout", 1, "x\n");
    r.poll();
    r.poll();
    let mut page = base::stats::Exposition::default();
    r.stats.write(&mut page);
    let page = page.finish();
    assert!(page.contains("watchfire_agent_containers 1") && page.contains("watchfire_agent_containers_unreadable 1"), "{page}");
    assert_eq!(r.texts("noisy-1").len(), 0);
}

#[test]
fn settings_are_strict() {
    let s: Settings = serde_json::from_str(r#"{"endpoint":"tcp://h:1","poll_interval":"1s"}"#).unwrap();
    assert_eq!((s.poll_interval, s.job.as_str()), (Duration::from_secs(1), "docker"));
    assert!(serde_json::from_str::<Settings>(r#"{"endpont":"x"}"#).is_err());
}
