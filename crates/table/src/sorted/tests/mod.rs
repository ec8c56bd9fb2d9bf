//! Random rows in random places, against a brute-force oracle that knows nothing of batches, files or merging.

mod cache;
mod damage;
mod golden;
mod model;
mod random;
mod stretches;
mod substring;

use std::path::Path;
use std::sync::Arc;

use base::{Matcher, Tenant};
use disk::{Fs, RealFs};
use proptest::prelude::*;

use super::*;
use crate::predicate::Predicate;
use crate::scan::{Direction, RowStream, ScanRequest, TimeRange};
use crate::spec::TableSpec;
use model::*;
use random::*;

fn request(spec: &'static TableSpec, r: &mut Dice) -> ScanRequest {
    let matchers = match r.below(4) {
        0 => vec![Matcher::eq("job", ["a", "b", "c"][r.below(3)])],
        1 => vec![Matcher::new("host", base::MatchOp::Ne, "h1").unwrap()],
        2 => vec![Matcher::eq("rare", "")],
        _ => vec![],
    };
    let day = spec.unit.day();
    let range = match r.below(3) {
        0 => TimeRange::ALL,
        _ => {
            let start = r.below(3 * day as usize) as i64 - day;
            TimeRange { start, end: start + 1 + r.below(2 * day as usize) as i64 }
        }
    };
    let mut q = ScanRequest::new(spec, TENANTS.with(|t| t[r.below(2)].clone()), matchers, range);
    q.columns.retain(|_| r.below(3) > 0);
    q.predicate = random_predicate(spec, r);
    q.direction = if r.below(2) == 0 { Direction::Forward } else { Direction::Backward };
    q
}

fn random_predicate(spec: &'static TableSpec, r: &mut Dice) -> Option<Predicate> {
    let c = spec.columns[r.below(spec.columns.len())];
    let p = match (r.below(4), random_cell(c, r)) {
        (0 | 1, _) => return None,
        (_, Cell::Bytes(b)) if r.below(2) == 0 => Predicate::Equals(c.name.into(), b),
        (_, Cell::Bytes(b)) => {
            let at = r.below(b.len() + 1);
            Predicate::Contains(c.name.into(), b[at..at + r.below(b.len() - at + 1)].to_vec())
        }
        (_, Cell::Int(i)) => Predicate::Between(c.name.into(), i as f64 - 1.0, i as f64 + 1.0),
        (_, Cell::Double(d)) => Predicate::Between(c.name.into(), d - 1.0, d + 1.0),
        (_, Cell::Null) => return None,
    };
    Some(match r.below(3) {
        0 => Predicate::Not(Box::new(p)),
        1 => Predicate::And(vec![p]),
        _ => p,
    })
}

fn check(spec: &'static TableSpec, seed: u64) {
    let mut r = Dice(seed);
    let dir = tempfile::tempdir().unwrap();
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let world = World::random(spec, &mut r);
    let loss = Arc::new(Losses::default());
    let sources = world.place(&mut r, &fs, dir.path(), &loss);
    for _ in 0..4 {
        let q = request(spec, &mut r);
        let got = collect(&q, scan(spec, sources.of(&q.tenant), &q, Arc::new(scan::Unbounded)).unwrap()).unwrap();
        let want = world.oracle(&q);
        if let Some(i) = (0..got.len().max(want.len())).find(|i| got.get(*i) != want.get(*i)) {
            let (found, wanted) = (got.get(i), want.get(i));
            panic!(
                "{} seed {seed} {:?} {:?} {:?}: row {i} of {}\n{found:?}\n{wanted:?}",
                spec.name,
                q.matchers,
                q.range,
                q.predicate,
                want.len()
            );
        }
        if spec.name == SAMPLES.name {
            stretches::check(&world, &sources.of(&q.tenant), &q);
        }
        let apart = collect(&q, over_nodes(spec, sources.of(&q.tenant), &q, &mut r)).unwrap();
        assert_eq!(apart, want, "{} seed {seed}: the same rows on several nodes {:?}", spec.name, q.predicate);
        let mut named: Vec<_> = want.iter().map(|r| r.series.clone()).collect();
        named.sort();
        named.dedup();
        let listed = series(spec, &sources.of(&q.tenant), &ScanRequest { predicate: None, ..q.clone() }).unwrap();
        assert!(listed.is_sorted() && named.iter().all(|n| listed.contains(n)));
    }
    assert_eq!(loss.count(), 0);
}

/// The answer of one node that has some of the sources, and others that have the others; some are on several of them.
fn over_nodes(spec: &'static TableSpec, sources: Vec<Source>, q: &ScanRequest, r: &mut Dice) -> RowStream {
    let mut nodes: Vec<Vec<Source>> = vec![vec![]; 1 + r.below(4)];
    for s in sources {
        for _ in 0..=r.below(2) {
            let node = r.below(nodes.len());
            nodes[node].push(s.clone());
        }
    }
    let mine = nodes.remove(0);
    let whole = wanted_whole(q);
    let budget = || Arc::new(scan::Unbounded);
    // In batches of a few rows, so that a series and a key go on from one to the next.
    let rows = 1 + r.below(5);
    let others = nodes.into_iter().map(|n| {
        let stream = scan_for_merge(spec, n, &whole, budget()).unwrap();
        let mut check = OrderCheck::new(spec, q.direction, stream.series.len());
        let batches = stream.batches.flat_map(move |b| {
            let b = b.unwrap();
            (0..b.num_rows()).step_by(rows).map(move |at| Ok(b.slice(at, rows.min(b.num_rows() - at)))).collect::<Vec<_>>()
        });
        let batches = batches.inspect(move |b| check.check(b.as_ref().unwrap()).unwrap());
        RowStream { series: stream.series, batches: Box::new(batches) }
    });
    let others = others.collect();
    scan_with(spec, mine, others, q, budget()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn scans_equal_the_oracle_wherever_rows_lie(seed in any::<u64>()) {
        for spec in [&LOGS, &SAMPLES, &SPANS, &TOY] {
            check(spec, seed);
        }
    }
}

#[test]
fn a_merge_of_merges_is_the_merge_of_all() {
    for spec in [&LOGS, &SAMPLES, &SPANS, &TOY] {
        let mut r = Dice(11);
        let dir = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let world = World::random(spec, &mut r);
        let tenant = TENANTS.with(|t| t[0].clone());
        let loss = Arc::new(Losses::default());
        let runs: Vec<Source> =
            (0..6).map(|i| world.run(&world.units[i % world.units.len()..], &fs, dir.path(), &format!("r{i}"), &loss)).collect();
        let merge_to = |sources: Vec<Source>, name: &str| {
            let (data, series) = (dir.path().join(format!("{name}.data")), dir.path().join(format!("{name}.series")));
            let (meta, stats) = merge(spec, sources, &tenant, 0, fs.as_ref(), &data, &series, &MergeOptions::default()).unwrap();
            assert_eq!(stats.rows_in, stats.rows_out + stats.doubles + stats.expired);
            let bytes = std::fs::read(&data).unwrap();
            (
                Source::File {
                    file: open(spec, &fs, &data, &series, &meta, loss.clone(), &IndexCache::new(0)).unwrap(),
                    hidden_days: vec![],
                },
                meta,
                bytes,
            )
        };
        let (_, all, all_bytes) = merge_to(runs.clone(), "all");
        let (left, ..) = merge_to(runs[..2].to_vec(), "left");
        let (right, ..) = merge_to(runs[2..].to_vec(), "right");
        let (both, twice, twice_bytes) = merge_to(vec![right, left], "both");
        assert_eq!((all.rows, &all.partitions, all.series), (twice.rows, &twice.partitions, twice.series));
        assert!(all_bytes == twice_bytes, "{}: the same rows make the same bytes", spec.name);
        let mut q = ScanRequest::new(spec, tenant.clone(), vec![], TimeRange { start: 0, end: spec.unit.day() });
        q.columns.truncate(2);
        let got = collect(&q, scan(spec, vec![both], &q, Arc::new(scan::Unbounded)).unwrap()).unwrap();
        assert_eq!(got, world.oracle(&q));
        let mut text = String::new();
        inspect(fs.as_ref(), &dir.path().join("both.data"), &dir.path().join("both.series"), &mut text).unwrap();
        assert!(text.contains(&format!("{} rows", twice.rows)), "{text}");
    }
}

#[test]
fn retention_drops_old_rows_and_cancelling_stops() {
    let mut r = Dice(5);
    let dir = tempfile::tempdir().unwrap();
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let world = World::random(&LOGS, &mut r);
    let tenant = TENANTS.with(|t| t[0].clone());
    let loss = Arc::new(Losses::default());
    let run = world.run(&world.units, &fs, dir.path(), "r", &loss);
    let from = LOGS.unit.day() / 2;
    let (data, series) = (dir.path().join("d"), dir.path().join("s"));
    let options = MergeOptions { keep_from: Some(from), ..Default::default() };
    let (meta, stats) = merge(&LOGS, vec![run.clone()], &tenant, 0, fs.as_ref(), &data, &series, &options).unwrap();
    let q = ScanRequest::new(&LOGS, tenant.clone(), vec![], TimeRange { start: from, end: LOGS.unit.day() });
    assert_eq!(meta.rows as usize, world.oracle(&q).len());
    assert!(stats.expired > 0 && meta.partitions.iter().all(|p| p.first_time >= from));
    options.cancel.cancel();
    assert!(merge(&LOGS, vec![run.clone()], &tenant, 0, fs.as_ref(), &data, &series, &options).is_err());
    q.cancel.cancel();
    assert!(collect(&q, scan(&LOGS, vec![run], &q, Arc::new(scan::Unbounded)).unwrap()).is_err());
}

struct Small;
impl Budget for Small {
    fn reserve(&self, bytes: usize) -> base::Result<()> {
        if bytes > 100 { Err(base::Error::new(base::Kind::Unprocessable, "too much")) } else { Ok(()) }
    }
    fn release(&self, _: usize) {}
}

#[test]
fn a_query_over_its_share_fails() {
    let mut r = Dice(6);
    let world = World::random(&LOGS, &mut r);
    let part = freeze(&LOGS, &world.batches(&world.units[0]), world.names.as_ref()).unwrap();
    let q = ScanRequest::new(&LOGS, TENANTS.with(|t| t[0].clone()), vec![], TimeRange::ALL);
    let sources = vec![Source::Part { part: Arc::new(part), names: world.names.clone() }];
    let e = scan(&LOGS, sources, &q, Arc::new(Small)).and_then(|s| collect(&q, s)).unwrap_err();
    assert_eq!(e.kind(), base::Kind::Unprocessable);
}

thread_local! {
    static TENANTS: [Tenant; 2] = [Tenant::new("anna").unwrap(), Tenant::new("bert").unwrap()];
}
