use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::Stages;
use super::*;

/// How the store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Take,
    /// Not now.
    Refuse,
    /// Stored, but the answer is lost.
    TakeAndSayNo,
}

/// Keeps rows and positions, both or neither. Equal rows are one.
#[derive(Default)]
struct Store {
    rows: Mutex<BTreeMap<(String, i64, String), usize>>,
    positions: Mutex<BTreeMap<String, Vec<u8>>>,
    answers: Mutex<Vec<Answer>>,
    lost: Mutex<u64>,
}

impl Deliver for Store {
    fn deliver(&self, batch: Batch<'_>) -> Result<()> {
        let Batch::Lines(lines) = batch else { return Ok(()) };
        let answer = self.answers.lock().pop().unwrap_or(Answer::Take);
        if answer == Answer::Refuse {
            return Err(Error::unavailable("not now"));
        }
        let mut rows = self.rows.lock();
        for s in &lines.streams {
            for l in &s.lines {
                let n = rows.len();
                rows.entry((s.labels.to_string(), l.time_ns, l.text.clone())).or_insert(n);
            }
        }
        self.positions.lock().insert(lines.source.clone(), lines.position.clone());
        if answer == Answer::TakeAndSayNo { Err(Error::unavailable("stored, but who knows")) } else { Ok(()) }
    }
    fn positions(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        self.positions.lock().iter().filter(|(n, p)| n.starts_with(prefix) && !p.is_empty()).map(|(n, p)| (n.clone(), p.clone())).collect()
    }
    fn lost(&self, loss: &Loss) {
        *self.lost.lock() += loss.lines;
    }
}

impl Store {
    /// The texts in the order in which they were stored.
    fn texts(&self) -> Vec<String> {
        let mut rows: Vec<(usize, String)> = self.rows.lock().iter().map(|((_, _, t), n)| (*n, t.clone())).collect();
        rows.sort();
        rows.into_iter().map(|(_, t)| t).collect()
    }
}

const STAGES: &str = "[{multiline: {firstline: '^#', max_lines: 4}}, {static_labels: {x: 1}}]";

fn through(store: &Arc<Store>, clock: &Clock, stages: &str) -> Through {
    let pipeline = Stages::from_yaml(stages).unwrap().build().unwrap();
    Through::new(pipeline, store.clone(), clock.clone(), Arc::default())
}

fn batch(texts: &[&str], first: i64, position: &[u8]) -> Lines {
    let lines = texts.iter().enumerate().map(|(i, t)| Line { time_ns: first + i as i64, text: (*t).into(), metadata: vec![] });
    let stream = Stream { tenant: None, labels: Labels::from_pairs([("a", "1"), ("__b", "2")]).unwrap(), lines: lines.collect() };
    Lines { streams: vec![stream], source: "s".into(), position: position.into() }
}

#[test]
fn what_is_held_is_in_the_position_and_comes_back() {
    let (store, clock) = (Arc::new(Store::default()), Clock::manual(0));
    through(&store, &clock, STAGES).deliver(Batch::Lines(&batch(&["#1", "2"], 10, b"after 2"))).unwrap();
    assert!(store.texts().is_empty());
    // The process dies here.
    let t = through(&store, &clock, STAGES);
    assert_eq!(t.positions("s"), [("s".to_owned(), b"after 2".to_vec())]);
    t.deliver(Batch::Lines(&batch(&["3", "#4"], 12, b"after 4"))).unwrap();
    assert_eq!(store.texts(), ["#1\n2\n3"]);
    assert_eq!(store.rows.lock().keys().next().unwrap().0, "{a=\"1\", x=\"1\"}");
    clock.advance_ns(3_000_000_000);
    t.tick().unwrap();
    assert_eq!(store.texts(), ["#1\n2\n3", "#4"]);
    assert_eq!(store.positions.lock()["s"], b"after 4");
}

#[test]
fn without_its_stage_what_was_held_goes_on_as_it_is() {
    let (store, clock) = (Arc::new(Store::default()), Clock::manual(0));
    through(&store, &clock, STAGES).deliver(Batch::Lines(&batch(&["#1", "2"], 10, b"p"))).unwrap();
    let t = through(&store, &clock, "[]");
    t.positions("");
    t.tick().unwrap();
    assert_eq!(store.texts(), ["#1\n2"]);
    assert_eq!(store.positions.lock()["s"], b"p");
}

#[test]
fn a_batch_that_is_given_again_is_not_processed_again() {
    let (store, clock) = (Arc::new(Store::default()), Clock::manual(0));
    let t = through(&store, &clock, "[limit: {rate: 1, burst: 1, drop: true}]");
    *store.answers.lock() = vec![Answer::Refuse, Answer::TakeAndSayNo];
    for _ in 0..3 {
        let _ = t.deliver(Batch::Lines(&batch(&["a", "b"], 10, b"p")));
        clock.advance_ns(10_000_000_000);
    }
    assert_eq!(store.texts(), ["a"]);
    assert_eq!(t.stats.stage_dropped.get(&["ratelimit_drop_stage"]), 1);
}

#[test]
fn a_source_that_is_done_with_lets_go() {
    let (store, clock) = (Arc::new(Store::default()), Clock::manual(0));
    let t = through(&store, &clock, STAGES);
    t.deliver(Batch::Lines(&batch(&["#1"], 10, b"p"))).unwrap();
    t.deliver(Batch::Lines(&Lines { streams: vec![], source: "s".into(), position: vec![] })).unwrap();
    assert_eq!((store.texts(), store.positions.lock()["s"].is_empty()), (vec!["#1".to_owned()], true));
    assert!(t.sources.lock().is_empty());
}

#[test]
fn a_rate_makes_the_source_wait() {
    let (store, clock) = (Arc::new(Store::default()), Clock::manual(0));
    let t = through(&store, &clock, "[limit: {rate: 1, burst: 1}]");
    t.deliver(Batch::Lines(&batch(&["a", "b", "c"], 10, b"p"))).unwrap();
    let e = t.deliver(Batch::Lines(&batch(&["d"], 20, b"q"))).unwrap_err();
    assert_eq!((e.kind(), e.retry_hint().map(|d| d.as_secs())), (Kind::LimitExceeded, Some(2)));
    clock.advance_ns(2_000_000_000);
    t.deliver(Batch::Lines(&batch(&["d"], 20, b"q"))).unwrap();
    assert_eq!(store.texts(), ["a", "b", "c", "d"]);
}

#[test]
fn lines_that_become_equal_stay_different_rows() {
    let (store, clock) = (Arc::new(Store::default()), Clock::manual(0));
    let t = through(&store, &clock, "[{template: {source: o, template: same}}, {output: {source: o}}]");
    let mut b = batch(&["a", "b", "c"], 10, b"p");
    b.streams[0].lines.iter_mut().for_each(|l| l.time_ns = 5);
    t.deliver(Batch::Lines(&b)).unwrap();
    assert_eq!(store.rows.lock().keys().map(|k| k.1).collect::<Vec<_>>(), [5, 6, 7]);
}

#[test]
fn positions_are_wrapped_and_unwrapped() {
    for (position, held) in [(&b"p"[..], &b""[..]), (b"p", b"h"), (b"stages1\0x", b""), (b"", b"h")] {
        assert_eq!(unwrap(&wrap(position, held)), (position, held));
    }
    assert_eq!(wrap(b"p", b""), b"p", "a position that holds nothing is the source's own");
    assert_eq!(unwrap(b"stages1\0\xff\xff\xff\xff"), (&b"stages1\0\xff\xff\xff\xff"[..], &b""[..]));
}

#[derive(Clone, Debug)]
enum Op {
    /// The source reads so many more lines and gives them, until they are taken or it dies.
    Read(u8, Vec<u8>),
    /// Time passes and what is held for too long goes on.
    Wait(u8),
    Crash,
}

/// Reads numbered lines; its position is the number of the next.
struct Reader {
    store: Arc<Store>,
    clock: Clock,
    through: Through,
    next: usize,
    /// A batch that has not been taken.
    waiting: Option<usize>,
}

impl Reader {
    fn restart(&mut self) {
        self.through = through(&self.store, &self.clock, STAGES);
        let stored = self.through.positions("s").pop().map(|(_, p)| p);
        self.next = stored.map_or(0, |p| String::from_utf8(p).unwrap().parse().unwrap());
        self.waiting = None;
    }
    fn give(&mut self, lines: usize, all: &[String]) {
        let upto = self.waiting.take().unwrap_or((self.next + lines).min(all.len()));
        let texts: Vec<&str> = all[self.next..upto].iter().map(String::as_str).collect();
        let b = batch(&texts, self.next as i64 * 1_000, upto.to_string().as_bytes());
        match self.through.deliver(Batch::Lines(&b)) {
            Ok(()) => self.next = upto,
            Err(_) => self.waiting = Some(upto),
        }
    }
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (1..6u8, prop::collection::vec(0..5u8, 0..3)).prop_map(|(n, a)| Op::Read(n, a)),
        2 => (0..4u8).prop_map(Op::Wait),
        2 => Just(Op::Crash),
    ];
    prop::collection::vec(op, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_once_and_in_order_whatever_crashes(ops in ops(), firsts in prop::collection::vec(any::<bool>(), 120)) {
        let all: Vec<String> = firsts.iter().enumerate().map(|(i, f)| if *f { format!("# {i}") } else { format!("{i}") }).collect();
        let (store, clock) = (Arc::new(Store::default()), Clock::manual(0));
        let mut r = Reader { through: through(&store, &clock, STAGES), store: store.clone(), clock: clock.clone(), next: 0, waiting: None };
        for op in ops {
            match op {
                Op::Read(n, answers) => {
                    let answer = |a: &u8| match a { 0 => Answer::Refuse, 1 => Answer::TakeAndSayNo, _ => Answer::Take };
                    *store.answers.lock() = answers.iter().map(answer).collect();
                    r.give(n as usize, &all);
                    store.answers.lock().clear();
                }
                Op::Wait(seconds) => {
                    clock.advance_ns(i64::from(seconds) * 1_000_000_000);
                    let _ = r.through.tick();
                }
                Op::Crash => r.restart(),
            }
        }
        if r.waiting.is_some() {
            r.give(0, &all);
        }
        let upto = r.next;
        r.through.deliver(Batch::Lines(&Lines { streams: vec![], source: "s".into(), position: vec![] })).unwrap();
        let got: Vec<String> = store.texts().iter().flat_map(|t| t.split('\n').map(str::to_owned).collect::<Vec<_>>()).collect();
        prop_assert_eq!(got, all[..upto].to_vec());
        prop_assert_eq!(*store.lost.lock(), 0);
    }
}
