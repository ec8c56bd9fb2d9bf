//! Hundreds of seeded lives of the engine: rows come, steps happen in any order, the disk dies in the middle of any write,
//! and after each return everything acknowledged must be there once, and nothing that was never sent (P1–P5, P9).

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Clock, Kind};
use disk::{Loss, SimFs};
use store::{Faults, Faulty, FsStore, Store};
use table::{Engine, MergeWhat, Origin, Refresh};

use crate::toy::{Rng, Set, TENANTS, body, header, open, open_on, read, rows_of, settings};

/// What was sent, by what is known of it.
#[derive(Default)]
struct Model {
    /// Acknowledged, or seen after a crash (which makes it durable).
    acked: Set,
    /// Sent and not acknowledged: may be there. All values each identity was sent with.
    sent: BTreeMap<String, Vec<i64>>,
    bodies: Vec<(usize, String)>,
    /// Position acknowledged last, and the last one sent.
    position: (u64, u64),
}

impl Model {
    fn sent(&mut self, tenant: &str, body: &str) {
        for (id, v) in rows_of(tenant, body) {
            self.sent.entry(id).or_default().push(v);
        }
    }
    fn acked(&mut self, tenant: &str, body: &str) {
        for (id, v) in rows_of(tenant, body) {
            let best = self.acked.entry(id).or_insert(v);
            *best = (*best).max(v);
        }
    }
    /// `ill`: the store fails now and then, so that a read may say that it cannot be answered.
    fn check(&mut self, engine: &Engine, when: &str, fs: &SimFs, ill: bool) {
        for tenant in TENANTS {
            let got = match read(engine, tenant, vec![]) {
                // Reading from a store writes to the cache, and any write may be the disk's last.
                Err(_) if fs.is_dead() => return,
                Err(e) if ill && e.kind() == Kind::Unavailable => continue,
                other => other.unwrap_or_else(|e| panic!("{when}: {e}")),
            };
            let mine = |id: &str| id.starts_with(&format!("{tenant} "));
            for (id, v) in self.acked.iter().filter(|(id, _)| mine(id)) {
                match got.get(id) {
                    None => panic!("{when}: acknowledged row {id} is missing"),
                    Some(g) => assert!(g >= v, "{when}: {id} has the worse copy {g}, {v} was acknowledged"),
                }
            }
            for (id, v) in &got {
                let known = self.sent.get(id).is_some_and(|vs| vs.contains(v));
                assert!(known, "{when}: row {id} = {v} was never sent");
                // What can be read is durable from now on.
                self.acked.insert(id.clone(), *v);
            }
        }
    }
}

/// What a life is lived on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    /// A disk.
    Disk,
    /// A disk whose syncs do nothing.
    LyingDisk,
    /// A disk, and a store for blocks that fails, is away and comes back.
    Store,
}

/// One life after another until `steps` are used up. Returns how many rows were acknowledged and how often it died.
fn live(seed: u64, steps: u64, on: On) -> (usize, u64) {
    let mut rng = Rng(seed);
    let fs = SimFs::seeded(seed);
    fs.lying_sync(on == On::LyingDisk);
    let there = SimFs::seeded(seed);
    let store = Arc::new(Faulty::new(Arc::new(FsStore::new(Arc::new(there), "/bucket", "n")), seed));
    let open = |fs: &SimFs, clock: &Clock| {
        let blocks = (on == On::Store).then(|| store.clone() as Arc<dyn Store>);
        open_on(fs, clock, settings(), blocks, "local")
    };
    let mut ill = false;
    let clock = Clock::manual(1_700_200_000_000_000_000);
    let mut model = Model::default();
    let mut deaths = 0;
    let mut engine = None;
    for step in 0..steps {
        let when = format!("seed {seed} step {step} deaths {deaths}");
        clock.advance_ns(rng.below(20_000_000_000) as i64);
        let e = match &engine {
            Some(e) => e,
            None => match open(&fs, &clock) {
                Ok(e) => {
                    let p = e.positions("src").first().map_or(0, |(_, p)| u64::from_be_bytes(p.as_slice().try_into().unwrap()));
                    assert!(p >= model.position.0 && p <= model.position.1, "{when}: position {p} is not between {:?}", model.position);
                    model.position.0 = p;
                    let losses: Vec<_> = e.losses().into_iter().filter(|l| l.reason != table::WAL_TAIL_DAMAGED).collect();
                    assert_eq!(losses, vec![], "{when}: a crash alone damages nothing that was acknowledged");
                    model.check(&e, &format!("{when} after opening"), &fs, ill);
                    engine.insert(e)
                }
                Err(err) => {
                    assert!(fs.is_dead(), "{when}: cannot open: {err}");
                    deaths += 1;
                    fs.reboot(loss(&mut rng));
                    continue;
                }
            },
        };
        if rng.below(12) == 0 {
            fs.crash_after(rng.below(60));
        }
        if on == On::Store && rng.below(6) == 0 {
            let faults = match rng.below(4) {
                0 => Faults { down: true, ..Faults::default() },
                1 => Faults { fail_percent: 30, ..Faults::default() },
                _ => Faults::default(),
            };
            ill = faults != Faults::default();
            store.set(faults);
        }
        one_step(e, &mut rng, &clock, &mut model, &when, &fs, ill);
        if fs.is_dead() || rng.below(40) == 0 {
            deaths += 1;
            engine = None;
            fs.reboot(loss(&mut rng));
        }
    }
    drop(engine);
    fs.reboot(Loss::All);
    store.set(Faults::default());
    let e = open(&fs, &clock).expect("the last opening");
    model.check(&e, &format!("seed {seed} at the end"), &fs, false);
    e.flush().expect("the last flush");
    all_superseded(&e, &format!("seed {seed} at the end"));
    model.check(&e, &format!("seed {seed} after the last flush"), &fs, false);
    if on == On::Store {
        store_alone_has_it(&store, &clock, &mut model, seed);
    }
    (model.acked.len(), deaths)
}

/// After a flush another disk and the store are enough, and the store holds nothing that is not a block's.
fn store_alone_has_it(store: &Arc<Faulty>, clock: &Clock, model: &mut Model, seed: u64) {
    let when = format!("seed {seed} on another disk");
    let fs = SimFs::seeded(seed + 1);
    let e = open_on(&fs, clock, settings(), Some(store.clone()), "local").expect("opens");
    assert!(e.blocks_fresh().is_some(), "{when}");
    model.check(&e, &when, &fs, false);
    clock.advance_ns(8 * 86_400_000_000_000);
    e.refresh(Refresh::All).expect("lists");
    e.sweep().expect("sweeps");
    let objects = store.list("").expect("lists");
    let metas = objects.iter().filter(|o| o.key.ends_with("/meta.json")).count();
    assert_eq!(objects.len(), 3 * metas, "{when}: a meta and two files for each block: {objects:?}");
}

/// After a flush every run is superseded by blocks and gone, and so is every superseded block. Reading alone would not
/// tell: rows are a set, so a run that came back would only cost time and space.
fn all_superseded(e: &Engine, when: &str) {
    let mut stats = base::stats::Exposition::default();
    e.write_stats(&mut stats);
    let stats = stats.finish();
    for gone in ["watchfire_runs 0", "watchfire_dead_directories 0"] {
        assert!(stats.lines().any(|l| l == gone), "{when}: after a flush, not {gone}");
    }
}

fn loss(rng: &mut Rng) -> Loss {
    [Loss::Nothing, Loss::Whim, Loss::Whim, Loss::All][rng.below(4) as usize]
}

fn one_step(e: &Engine, rng: &mut Rng, clock: &Clock, model: &mut Model, when: &str, fs: &SimFs, ill: bool) {
    let done = match rng.below(20) {
        0..=9 => {
            let (tenant, b) = body(rng, clock, &model.bodies);
            let origin = (rng.below(3) == 0).then(|| {
                model.position.1 += 1;
                Origin { source: "src".into(), position: model.position.1.to_be_bytes().to_vec() }
            });
            let position = origin.as_ref().map(|_| model.position.1);
            model.sent(TENANTS[tenant], &b);
            let result = e.ingest(header(TENANTS[tenant], clock, origin), b.clone().into(), None);
            if result.is_ok() {
                model.acked(TENANTS[tenant], &b);
                model.position.0 = position.unwrap_or(model.position.0);
                model.bodies.push((tenant, b));
            }
            result.map(|_| ())
        }
        10..=11 => e.freeze_due(),
        12 => e.seal(),
        13..=14 => e.flush_sealed(),
        15 => e.list_due().and_then(|()| e.merge(MergeWhat::Due)),
        16 => e.merge(MergeWhat::All),
        17 if rng.below(2) == 0 => e.merge(MergeWhat::Whole),
        17 => e.sweep(),
        18 => e.flush().inspect(|()| {
            if !ill {
                all_superseded(e, when);
            }
        }),
        _ => {
            if !fs.is_dead() {
                model.check(e, when, fs, ill);
            }
            Ok(())
        }
    };
    if let Err(err) = done {
        let excused = ill && err.kind() == Kind::Unavailable;
        assert!(fs.is_dead() || excused, "{when}: failed on a healthy disk: {err} ({:?})", err.kind());
    }
}

#[test]
fn acknowledged_rows_survive_every_death_of_the_disk() {
    many(On::Disk);
}

#[test]
fn acknowledged_rows_survive_with_a_store_that_fails() {
    many(On::Store);
}

fn many(on: On) {
    let seeds: u64 = std::env::var("WATCHFIRE_SIM_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(200);
    let from: u64 = std::env::var("WATCHFIRE_SIM_FROM").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let totals: Vec<(usize, u64)> = std::thread::scope(|s| {
        let hands: Vec<_> = (0..threads)
            .map(|t| s.spawn(move || (from..from + seeds).filter(|n| n % threads == t).map(|n| live(n, 120, on)).collect::<Vec<_>>()))
            .collect();
        hands.into_iter().flat_map(|h| h.join().expect("a seed failed, see above")).collect()
    });
    let (rows, deaths) = totals.iter().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    assert!(
        totals.len() as u64 == seeds && rows > 100 * totals.len() && deaths > totals.len() as u64,
        "the simulation must do something: {rows} rows, {deaths} deaths"
    );
    println!("{seeds} seeds, {rows} rows acknowledged, {deaths} deaths");
}

#[test]
fn the_simulation_sees_a_disk_that_lies_about_syncing() {
    let caught = (1..=20).filter(|&seed| std::panic::catch_unwind(|| live(seed, 120, On::LyingDisk)).is_err()).count();
    assert!(caught >= 15, "only {caught} of 20 lives with a lying disk were noticed");
}

#[test]
fn the_same_seed_lives_the_same_life() {
    assert_eq!(live(42, 100, On::Disk), live(42, 100, On::Disk));
    assert_eq!(live(42, 100, On::Store), live(42, 100, On::Store));
}

#[test]
fn a_failed_sync_is_not_acknowledged_and_the_next_write_is() {
    let fs = SimFs::seeded(5);
    let clock = Clock::manual(1_700_200_000_000_000_000);
    let e = open(&fs, &clock, settings()).unwrap();
    fs.fail_syncs(1);
    let push = |text: &str| e.ingest(header("a", &clock, None), format!("N s 1700200000000000000 {text}\n").into(), None);
    assert_eq!(push("first").unwrap_err().kind(), Kind::Unavailable);
    push("second").unwrap();
    let mut stats = base::stats::Exposition::default();
    e.write_stats(&mut stats);
    assert!(stats.finish().contains("watchfire_wal_sync_failures_total 1\n"));
    drop(e);
    fs.power_cut();
    let e = open(&fs, &clock, settings()).unwrap();
    let got = read(&*e, "a", vec![]).unwrap();
    assert!(got.contains_key("a N s 1700200000000000000 second"));
    assert!(got.len() <= 2, "{got:?}");
}
