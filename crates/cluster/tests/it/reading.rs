//! Any node answers any query as one set (P2, P3), and says when it may miss something (P6).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::{Error, Matcher, Result, Tenant};
use bytes::Bytes;
use cluster::membership::State;
use cluster::transport::{Answer, Messages, Method, Transport, unreachable};
use parking_lot::Mutex;
use table::{Cancel, Direction, Missing, Predicate, Rows, ScanRequest, TimeRange};

use crate::town::{BEGAN_NS, Town};
use crate::toy::{self, EVENTS, NOTES, Rng, Set, rows_of};

/// Rows that exist, with the value of the best copy of each.
fn add(model: &mut Set, body: &str) {
    for (id, v) in rows_of("a", body) {
        let best = model.entry(id).or_insert(v);
        *best = (*best).max(v);
    }
}

fn ingest(town: &Town, node: usize, body: &str) {
    town.at(node).cluster.engine().ingest(toy::header("a", &town.clock, None), body.to_owned().into(), None).unwrap();
}

/// Notes' texts of an answer in the order they come, and what the answer may lack.
fn texts(rows: &dyn Rows, change: impl FnOnce(&mut ScanRequest)) -> (Vec<String>, Vec<String>) {
    let mut q = ScanRequest::new(&NOTES, Tenant::new("a").unwrap(), vec![], TimeRange::ALL);
    change(&mut q);
    let missing = q.missing.clone();
    let mut out = vec![];
    for b in rows.scan(&q).unwrap().batches {
        let b = b.unwrap();
        let text = arrow_array::cast::AsArray::as_string_view(b.column_by_name("text").unwrap());
        out.extend(text.iter().flatten().map(str::to_owned));
    }
    (out, notes(&missing))
}

fn notes(missing: &Missing) -> Vec<String> {
    missing.notes().iter().map(ToString::to_string).collect()
}

/// One step on a node's engine, as its own threads would take it.
fn step(town: &Town, node: usize, rng: &mut Rng) {
    let e = town.at(node).cluster.engine();
    match rng.below(6) {
        0 => e.freeze_due().unwrap(),
        1 => e.seal().and_then(|()| e.flush_sealed()).unwrap(),
        2 => e.flush().unwrap(),
        _ => {}
    }
}

/// Rows spread and doubled over nodes by chance, in memory, runs and blocks, asked through every node.
fn spread(seed: u64) {
    let mut rng = Rng(seed);
    let nodes = 2 + rng.below(2) as usize;
    let town = Town::running(seed, nodes);
    let mut model = Set::new();
    let mut sent = vec![];
    for _ in 0..30 {
        town.clock.advance_ns(rng.below(2_000_000_000) as i64);
        let (_, body) = toy::body(&mut rng, &town.clock, &sent);
        for _ in 0..=rng.below(2) {
            let node = rng.below(nodes as u64) as usize;
            ingest(&town, node, &body);
            step(&town, node, &mut rng);
        }
        add(&mut model, &body);
        sent.push((0, body));
    }
    town.rounds(1, &BTreeSet::new());
    for n in 0..nodes {
        let rows = town.at(n).cluster.rows();
        let what = format!("seed {seed} node {n}");
        assert_eq!(toy::read(rows, "a", vec![]).unwrap(), model, "{what}");
        let name = format!("s{}", rng.below(12));
        let mine = |id: &str| id.starts_with("a N ") && id.split(' ').nth(2) == Some(&name);
        let want: Set = model.iter().filter(|(id, _)| mine(id)).map(|(k, v)| (k.clone(), *v)).collect();
        let got = toy::read(rows, "a", vec![Matcher::eq("name", &name)]).unwrap();
        assert_eq!(got.into_iter().filter(|(id, _)| id.starts_with("a N ")).collect::<Set>(), want, "{what} series {name}");
        conditions(&town, n, &model, &mut rng, &what);
        let q = ScanRequest::new(&NOTES, Tenant::new("a").unwrap(), vec![], TimeRange::ALL);
        let series = rows.series(&q).unwrap();
        assert!(series.is_sorted_by(|a, b| a < b), "{what}");
        let mut listed: Vec<String> = series.iter().map(|l| l.get("name").unwrap().to_owned()).collect();
        listed.sort();
        let mut named: Vec<String> =
            model.keys().filter(|id| id.starts_with("a N ")).filter_map(|id| id.split(' ').nth(2)).map(Into::into).collect();
        named.sort();
        named.dedup();
        assert_eq!(listed, named, "{what}");
        assert!(notes(&q.missing).is_empty(), "{what}");
    }
}

/// A condition that travels (it reads a row's identity) and one that must not (it reads what copies may differ in).
fn conditions(town: &Town, n: usize, model: &Set, rng: &mut Rng, what: &str) {
    let rows = town.at(n).cluster.rows();
    let part = format!("-{}", rng.below(10));
    let mut want: Vec<&str> =
        model.keys().filter(|id| id.starts_with("a N ")).map(|id| id.rsplit(' ').next().unwrap()).filter(|t| t.contains(&part)).collect();
    want.sort_unstable();
    for direction in [Direction::Forward, Direction::Backward] {
        let (mut got, lacks) = texts(rows, |q| {
            q.direction = direction;
            q.columns = vec!["text"];
            q.predicate = Some(Predicate::Contains("text".into(), part.clone().into_bytes()));
        });
        got.sort_unstable();
        assert_eq!((got.iter().map(String::as_str).collect::<Vec<_>>(), lacks), (want.clone(), vec![]), "{what} {direction:?} {part}");
    }
    let most = rng.below(100) as f64;
    let mut q = ScanRequest::new(&EVENTS, Tenant::new("a").unwrap(), vec![], TimeRange::ALL);
    q.predicate = Some(Predicate::Between("weight".into(), 0.0, most / 8.0));
    let got: usize = rows.scan(&q).unwrap().batches.map(|b| b.unwrap().num_rows()).sum();
    let want = model.iter().filter(|(id, v)| id.starts_with("a E ") && **v as f64 <= most).count();
    assert_eq!(got, want, "{what}: events of at most {most}");
}

#[test]
fn every_node_gives_the_same_set_however_the_rows_are_spread() {
    (0..25).for_each(spread);
}

#[test]
fn rows_come_slice_by_slice_in_the_direction_asked_for() {
    let town = Town::running(31, 3);
    let hour = 3_600_000_000_000;
    let mut want = vec![];
    for i in 0..12i64 {
        let text = format!("t{i:02}");
        ingest(&town, i as usize % 3, &format!("N s {} {text}\n", BEGAN_NS - (12 - i) * hour));
        want.push(text);
    }
    let rows = town.at(1).cluster.rows();
    assert_eq!(texts(rows, |_| {}).0, want);
    want.reverse();
    assert_eq!(texts(rows, |q| q.direction = Direction::Backward).0, want);
}

/// Called with the address before a scan is sent there.
type Before = Box<dyn Fn(&str) + Send + Sync>;

/// The wires of a node, with a hand on them.
struct Handled {
    inner: Arc<dyn Transport>,
    before: Before,
    /// A scan's answer ends with an error after so many messages.
    messages: Arc<AtomicUsize>,
}

impl Transport for Handled {
    fn call(&self, address: &str, method: Method, body: Bytes, deadline: Duration, answer: Answer) {
        self.inner.call(address, method, body, deadline, answer);
    }
    fn stream(&self, address: &str, method: Method, body: Bytes, deadline: Duration) -> Result<Messages> {
        (self.before)(address);
        let messages = self.inner.stream(address, method, body, deadline)?;
        let n = self.messages.load(Ordering::SeqCst);
        let cut = std::iter::once(Err(unreachable(address, "the connection was lost")));
        if n == usize::MAX { Ok(messages) } else { Ok(Box::new(messages.take(n).chain(cut))) }
    }
}

/// Two nodes of which the first has a hand on its wires.
fn handled(seed: u64, before: impl Fn(&str) + Send + Sync + 'static) -> (Town, Arc<AtomicUsize>) {
    let messages = Arc::new(AtomicUsize::new(usize::MAX));
    let hold = messages.clone();
    let before: Mutex<Option<Before>> = Mutex::new(Some(Box::new(before)));
    let mut town = Town::new(seed, 2);
    town.wires = Some(Box::new(move |node, inner| match (node, before.lock().take()) {
        (0, Some(before)) => Arc::new(Handled { inner, before, messages: hold.clone() }),
        _ => inner,
    }));
    town.start_all();
    (town, messages)
}

#[test]
fn a_member_that_dies_in_the_middle_is_silent_for_this_answer_and_its_copies_serve() {
    let (town, messages) = handled(41, |_| {});
    let body: String = (0..200).map(|i| format!("N s{} {} text-{i:03}\n", i % 7, BEGAN_NS - i * 60_000_000_000)).collect();
    town.push(0, "a", &body).unwrap();
    assert!(town.at(0).membership.alone_since_ns().is_none(), "both nodes hold the rows");
    for n in [0, 1, 2, 3, 4, usize::MAX] {
        messages.store(n, Ordering::SeqCst);
        town.rounds(1, &BTreeSet::new());
        let (got, lacks) = texts(town.at(0).cluster.rows(), |_| {});
        assert_eq!((got.len(), lacks), (200, vec![]), "{n} messages");
    }
    // A row that only the other one holds, as it says itself.
    ingest(&town, 1, &format!("N only {BEGAN_NS} single\n"));
    town.at(1).membership.mark_alone().unwrap();
    for n in [0, 2] {
        messages.store(n, Ordering::SeqCst);
        town.rounds(1, &BTreeSet::new());
        let (got, lacks) = texts(town.at(0).cluster.rows(), |_| {});
        assert!(got.len() >= 200 && lacks.iter().any(|l| l.contains("node-1")), "{n} messages: {lacks:?}");
    }
    messages.store(usize::MAX, Ordering::SeqCst);
    town.rounds(1, &BTreeSet::new());
    let (got, lacks) = texts(town.at(0).cluster.rows(), |_| {});
    assert_eq!((got.len(), lacks), (201, vec![]));
}

#[test]
fn members_that_are_silent_or_joining_are_not_asked_and_two_of_them_make_it_incomplete() {
    let mut town = Town::running(51, 3);
    town.push(0, "a", &format!("N s {BEGAN_NS} x\n")).unwrap();
    town.stop(2);
    town.pass(Duration::from_secs(2), &BTreeSet::new());
    let scans = town.net.calls(Method::Scan);
    let (got, lacks) = texts(town.at(0).cluster.rows(), |_| {});
    assert_eq!((got, lacks, town.net.calls(Method::Scan) - scans), (vec!["x".to_owned()], vec![], 1));
    town.net.hang("node-1", true);
    let (_, lacks) = texts(town.at(0).cluster.rows(), |_| {});
    assert!(lacks.iter().any(|l| l.contains("node-1")) && lacks.iter().any(|l| l.contains("node-2")), "{lacks:?}");
    let q = ScanRequest::new(&NOTES, Tenant::new("a").unwrap(), vec![], TimeRange::ALL);
    assert_eq!(town.at(0).cluster.rows().series(&q).unwrap().len(), 1);
    assert!(!notes(&q.missing).is_empty(), "a listing says it, too");
}

#[test]
fn a_new_disk_at_the_old_address_does_not_answer_for_the_old_one() {
    let mut town = Town::running(55, 3);
    for i in 0..20 {
        town.push(1, "a", &format!("N s{i} {BEGAN_NS} x{i}\n")).unwrap();
    }
    // Both holders of some rows go at once, and one of them is replaced before anybody noticed.
    town.stop(2);
    town.wipe(1, 56);
    town.start(1).unwrap();
    let (got, lacks) = texts(town.at(0).cluster.rows(), |_| {});
    assert!(got.len() < 20 && lacks.iter().any(|l| l.contains("node-1")), "{} rows, {lacks:?}", got.len());
}

/// A new disk in the place of one that is gone: two names at one address, of which the new one had no row when the question came.
#[test]
fn a_new_member_that_becomes_whole_while_an_answer_goes_on_hides_nothing() {
    let mut town = Town::running(57, 3);
    town.push(0, "a", &format!("N s {BEGAN_NS} x\n")).unwrap();
    town.wipe(2, 58);
    town.pass(Duration::from_secs(2), &BTreeSet::new());
    town.start(2).unwrap();
    let new = town.at(2).membership.clone();
    let tell = |state| {
        new.set_state(state);
        town.rounds(1, &BTreeSet::new());
    };
    tell(State::Joining);
    let q = ScanRequest::new(&NOTES, Tenant::new("a").unwrap(), vec![], TimeRange::ALL);
    let answer = town.at(0).cluster.rows().scan(&q).unwrap();
    tell(State::Active);
    drop(answer);
    assert_eq!(notes(&q.missing), Vec::<String>::new());
}

#[test]
fn a_canceled_scan_ends_everywhere() {
    let town = Town::running(61, 2);
    ingest(&town, 1, &format!("N s {BEGAN_NS} x\n"));
    let cancel = Cancel::default();
    let mut q = ScanRequest::new(&NOTES, Tenant::new("a").unwrap(), vec![], TimeRange::ALL);
    q.cancel = cancel.clone();
    cancel.cancel();
    let ended: Result<usize> = town.at(0).cluster.rows().scan(&q).and_then(|s| s.batches.map(|b| b.map(|b| b.num_rows())).sum());
    assert_eq!(ended.map_err(|e: Error| e.kind()).unwrap_err(), base::Kind::Canceled);
    assert!(notes(&q.missing).is_empty() && town.at(0).membership.silent().is_empty(), "nobody is to blame");
}

/// No seam: between the asker's call and the member's snapshot, the member's rows move into a block. Whoever had looked at the
/// blocks before the call would find them in neither.
#[test]
fn a_row_that_moves_into_a_block_between_two_looks_is_found() {
    let other: Arc<Mutex<Option<Arc<table::Engine>>>> = Arc::default();
    let engine = other.clone();
    let (town, _) = handled(71, move |_| {
        if let Some(e) = &*engine.lock() {
            e.flush().unwrap();
        }
    });
    for i in 0..5 {
        ingest(&town, 1, &format!("N s {} x{i}\n", BEGAN_NS + i));
        *other.lock() = Some(town.at(1).cluster.engine().clone());
        let (got, lacks) = texts(town.at(0).cluster.rows(), |_| {});
        assert_eq!((got.len() as i64, lacks), (i + 1, vec![]), "round {i}");
        assert!(toy::read(&**town.at(1).cluster.engine(), "a", vec![]).unwrap().len() as i64 == i + 1);
    }
}
