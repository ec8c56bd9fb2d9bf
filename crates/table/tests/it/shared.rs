//! Nodes that share a store: what one commits the others read, two owners at once do no harm, nothing vanishes under a
//! reader, and after compaction there is one copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Clock, Kind, Tenant};
use disk::SimFs;
use store::{Faults, Faulty, FsStore, Store};
use table::{Engine, MergeWhat, Refresh, Rows, ScanRequest, Settings, TimeRange};

use crate::toy::{NOTES, Rng, Set, TENANTS, body, header, open_on, read, rows_of, settings};

const T: i64 = 1_700_200_000_000_000_000;
const MINUTE: i64 = 60_000_000_000;

fn bucket(seed: u64) -> Arc<Faulty> {
    Arc::new(Faulty::new(Arc::new(FsStore::new(Arc::new(SimFs::seeded(9)), "/bucket", "n")), seed))
}

fn shared() -> Settings {
    Settings { shared_store: true, ..settings() }
}

fn node(store: &Arc<Faulty>, clock: &Clock, name: &str) -> Arc<Engine> {
    open_on(&SimFs::seeded(7), clock, shared(), Some(store.clone()), name).unwrap()
}

fn owner(e: &Engine, owns: bool) {
    e.set_owner(Arc::new(move |_: &str, _: &Tenant, _| owns));
}

fn push(e: &Engine, clock: &Clock, lines: std::ops::Range<usize>) {
    let text: String = lines.map(|i| format!("N s {} line-{i}\n", T + i as i64)).collect();
    e.ingest(header("a", clock, None), text.into(), None).unwrap();
}

fn lines(e: &Engine) -> usize {
    read(e, "a", vec![]).unwrap().len()
}

fn metas(store: &Arc<Faulty>) -> Vec<String> {
    store.list("blocks/").unwrap().into_iter().map(|o| o.key).filter(|k| k.ends_with("meta.json")).collect()
}

#[test]
fn what_one_node_commits_the_other_learns_by_name() {
    let (store, clock) = (bucket(1), Clock::manual(T));
    let (a, b) = (node(&store, &clock, "a"), node(&store, &clock, "b"));
    let seen = a.commits_since(0);
    push(&a, &clock, 0..10);
    assert_eq!(lines(&b), 0);
    a.flush().unwrap();
    let news = a.commits_since(seen.version);
    assert_eq!((news.blocks.len(), news.reset), (1, false));
    b.learn(&news.blocks).unwrap();
    b.learn(&news.blocks).unwrap();
    assert_eq!(lines(&b), 10);
    assert_eq!(a.commits_since(news.version).blocks, []);
}

#[test]
fn a_commit_whose_answer_was_lost_is_named_when_it_is_found() {
    let mut lost = 0;
    for seed in 0..100 {
        let (store, clock) = (bucket(seed), Clock::manual(T));
        let a = node(&store, &clock, "a");
        let seen = a.commits_since(0);
        push(&a, &clock, 0..10);
        store.set(Faults { fail_percent: 40, ..Faults::default() });
        let failed = a.flush().is_err();
        store.set(Faults::default());
        if !failed || metas(&store).is_empty() {
            continue;
        }
        // It was done, and this node does not know. The list tells it, and from then on the rows are in a block.
        a.refresh(Refresh::All).unwrap();
        assert_eq!(a.commits_since(seen.version).blocks.len(), 1, "seed {seed}");
        lost += 1;
    }
    assert!(lost > 5, "{lost} answers were lost");
}

#[test]
fn runs_of_the_same_number_on_two_nodes_are_not_each_others() {
    let (store, clock) = (bucket(1), Clock::manual(T));
    let (a, b) = (node(&store, &clock, "a"), node(&store, &clock, "b"));
    push(&a, &clock, 0..10);
    push(&b, &clock, 10..20);
    // Both have a run of the same log position; only one is merged.
    for e in [&a, &b] {
        e.seal().unwrap();
        e.flush_sealed().unwrap();
    }
    a.flush().unwrap();
    b.refresh(Refresh::All).unwrap();
    assert_eq!(lines(&b), 20, "b's own run is still read");
}

#[test]
fn two_owners_compacting_at_once_make_one_block_and_lose_nothing() {
    for round in 0..6 {
        let (store, clock) = (bucket(round), Clock::manual(T));
        let (a, b) = (node(&store, &clock, "a"), node(&store, &clock, "b"));
        owner(&a, false);
        owner(&b, false);
        // Replication 2: both hold all rows.
        for i in 0..3 {
            for e in [&a, &b] {
                push(e, &clock, i * 10..(i + 1) * 10);
                e.flush().unwrap();
            }
        }
        assert_eq!(metas(&store).len(), 6);
        for e in [&a, &b] {
            e.refresh(Refresh::All).unwrap();
            owner(e, true);
        }
        std::thread::scope(|t| {
            for e in [&a, &b] {
                t.spawn(move || e.merge(MergeWhat::Whole).unwrap());
            }
        });
        assert_eq!(metas(&store).len(), 7, "one result");
        clock.advance_ns(6 * MINUTE);
        for e in [&a, &b] {
            e.sweep().unwrap();
            e.refresh(Refresh::All).unwrap();
            assert_eq!(lines(e), 30);
            assert_eq!(e.losses(), []);
        }
        let left = store.list("").unwrap();
        assert_eq!(left.len(), 3, "one block of three objects, the loser's are gone: {left:?}");
        assert_eq!(lines(&node(&store, &clock, "c")), 30);
    }
}

#[test]
fn after_compaction_two_copies_cost_as_much_as_one() {
    let stored = |copies: usize| {
        let (store, clock) = (bucket(1), Clock::manual(T));
        let nodes: Vec<_> = ["a", "b"].iter().take(copies).map(|n| node(&store, &clock, n)).collect();
        for i in 0..4 {
            for e in &nodes {
                push(e, &clock, i * 500..(i + 1) * 500);
                e.flush().unwrap();
            }
        }
        nodes[0].refresh(Refresh::All).unwrap();
        nodes[0].merge(MergeWhat::Whole).unwrap();
        clock.advance_ns(6 * MINUTE);
        nodes[0].sweep().unwrap();
        assert_eq!(lines(&nodes[0]), 2000);
        store.list("").unwrap().iter().map(|o| o.len).sum::<u64>()
    };
    let (one, two) = (stored(1), stored(2));
    assert!(two as f64 <= one as f64 * 1.05, "{two} bytes for two copies, {one} for one");
}

#[test]
fn superseded_blocks_stay_for_a_while_and_only_the_owner_deletes_them() {
    let (store, clock) = (bucket(1), Clock::manual(T));
    let (a, b) = (node(&store, &clock, "a"), node(&store, &clock, "b"));
    for i in 0..2 {
        push(&a, &clock, i * 10..(i + 1) * 10);
        owner(&a, false);
        a.flush().unwrap();
    }
    b.refresh(Refresh::All).unwrap();
    owner(&a, true);
    a.merge(MergeWhat::Whole).unwrap();
    a.sweep().unwrap();
    assert_eq!(metas(&store).len(), 3);
    assert_eq!(lines(&b), 20, "who has not heard of the new block reads the old ones");
    clock.advance_ns(6 * MINUTE);
    owner(&a, false);
    a.sweep().unwrap();
    assert_eq!(metas(&store).len(), 3, "not the owner any more");
    owner(&a, true);
    a.sweep().unwrap();
    assert_eq!(metas(&store).len(), 1);
    // b knows the old ones only: it looks again, once, and answers.
    assert_eq!(lines(&b), 20);
}

#[test]
fn a_run_that_comes_back_is_known_by_the_block_that_replaced_its_block() {
    let mut seen = 0;
    for seed in 0..100 {
        let (store, clock) = (bucket(seed), Clock::manual(T));
        let disk = SimFs::seeded(7);
        let a = open_on(&disk, &clock, shared(), Some(store.clone()), "a").unwrap();
        owner(&a, false);
        push(&a, &clock, 0..10);
        store.set(Faults { fail_percent: 40, ..Faults::default() });
        let failed = a.flush().is_err();
        store.set(Faults::default());
        if !failed || metas(&store).is_empty() {
            continue;
        }
        // The block is committed and node a does not know: it keeps its run, dies, and is away while the block is merged and deleted.
        drop(a);
        let b = node(&store, &clock, "b");
        owner(&b, true);
        push(&b, &clock, 10..20);
        b.flush().unwrap();
        b.refresh(Refresh::All).unwrap();
        b.merge(MergeWhat::Whole).unwrap();
        clock.advance_ns(6 * MINUTE);
        b.sweep().unwrap();
        assert_eq!(metas(&store).len(), 1, "seed {seed}: the block that named the run is gone");
        let a = open_on(&disk, &clock, shared(), Some(store), "a").unwrap();
        a.refresh(Refresh::All).unwrap();
        let mut stats = base::stats::Exposition::default();
        a.write_stats(&mut stats);
        let stats = stats.finish();
        assert!(stats.lines().any(|l| l == "watchfire_runs 0"), "seed {seed}: a run whose rows are in a block of a block is not read");
        assert_eq!(lines(&a), 20);
        seen += 1;
    }
    assert!(seen > 5, "{seen} answers were lost");
}

#[test]
fn a_scan_whose_block_vanished_looks_again_or_says_so() {
    let (store, clock) = (bucket(1), Clock::manual(T));
    let nothing = Settings { cache_bytes: 0, ..shared() };
    let a = node(&store, &clock, "a");
    let b = open_on(&SimFs::seeded(3), &clock, nothing.clone(), Some(store.clone()), "b").unwrap();
    owner(&a, false);
    let mut rng = Rng(1);
    // More than one piece of the cache, so that a scan is not done with one read.
    let mut many = |from: usize| {
        for i in from..from + 10 {
            let mut text = String::new();
            for j in 0..60 {
                let words: String = (0..120).map(|_| format!("{:016x}", rng.next())).collect();
                text.push_str(&format!("N s {} {words}\n", T + (i * 100 + j) as i64));
            }
            a.ingest(header("a", &clock, None), text.into(), None).unwrap();
        }
        a.flush().unwrap();
    };
    many(0);
    many(10);
    b.refresh(Refresh::All).unwrap();
    let request = ScanRequest::new(&NOTES, Tenant::new("a").unwrap(), vec![], TimeRange::ALL);
    let rows = |s: table::RowStream| s.batches.map(|b| b.map(|b| b.num_rows())).sum::<Result<usize, _>>();
    let looked = || {
        let mut out = base::stats::Exposition::default();
        b.write_stats(&mut out);
        let text = out.finish();
        let line = text.lines().find(|l| l.starts_with("watchfire_store_looked_again_total ")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    // Begun before, read after the files went.
    let begun = b.scan(&request).unwrap();
    owner(&a, true);
    a.merge(MergeWhat::Whole).unwrap();
    clock.advance_ns(6 * MINUTE);
    a.sweep().unwrap();
    assert_eq!(rows(begun).unwrap(), 1200);
    assert_eq!(looked(), 1);
    // Known by name, and gone before it is first opened.
    owner(&a, false);
    many(20);
    b.learn(&a.commits_since(0).blocks).unwrap();
    owner(&a, true);
    a.merge(MergeWhat::Whole).unwrap();
    clock.advance_ns(6 * MINUTE);
    a.sweep().unwrap();
    assert_eq!(rows(b.scan(&request).unwrap()).unwrap(), 1800);
    assert_eq!(looked(), 2);
    // All gone, by hand: an error that says so, not an answer without rows. Node b has in memory what it read last, and so may answer.
    let c = open_on(&SimFs::seeded(4), &clock, nothing, Some(store.clone()), "c").unwrap();
    c.refresh(Refresh::All).unwrap();
    let begun = c.scan(&request).unwrap();
    for o in store.list("").unwrap().iter().filter(|o| !o.key.ends_with("meta.json")) {
        store.delete(&o.key).unwrap();
    }
    assert_eq!(rows(begun).unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(c.scan(&request).map(|_| ()).unwrap_err().kind(), Kind::Unavailable);
}

#[test]
fn a_closed_day_becomes_one_block_and_a_late_row_does_not_rewrite_it() {
    let (store, clock) = (bucket(1), Clock::manual(T));
    let a = node(&store, &clock, "a");
    let mut rng = Rng(1);
    owner(&a, false);
    for i in 0..3 {
        let mut line = |j: i64| format!("N s {} {:032x}\n", T + i * 1000 + j, u128::from(rng.next()) << 64 | u128::from(rng.next()));
        let text: String = (0..900).map(&mut line).collect();
        a.ingest(header("a", &clock, None), text.into(), None).unwrap();
        a.flush().unwrap();
    }
    owner(&a, true);
    a.merge(MergeWhat::Due).unwrap();
    assert_eq!(metas(&store).len(), 3, "the day is not over");
    clock.advance_ns(30 * 60 * MINUTE);
    a.merge(MergeWhat::Due).unwrap();
    clock.advance_ns(6 * MINUTE);
    a.sweep().unwrap();
    assert_eq!((metas(&store).len(), lines(&a)), (1, 2700));
    owner(&a, false);
    push(&a, &clock, 0..1);
    a.flush().unwrap();
    owner(&a, true);
    clock.advance_ns(3 * 60 * MINUTE);
    a.merge(MergeWhat::Due).unwrap();
    assert_eq!((metas(&store).len(), lines(&a)), (2, 2701), "the late row stays in a block of its own");
}

#[test]
fn orphans_go_when_they_are_old_and_nobodys() {
    let (store, clock) = (bucket(1), Clock::manual(T));
    let (a, b) = (node(&store, &clock, "a"), node(&store, &clock, "b"));
    owner(&b, false);
    push(&a, &clock, 0..10);
    a.flush().unwrap();
    let put = |node: &str, age_days: i64| {
        let at = clock.now_ns() - age_days * 1440 * MINUTE;
        store.put(&format!("blocks/notes/a/2023-11-17/borphan/data.{node}.{at:x}.parquet"), vec![1].into()).unwrap();
    };
    put("a", 0);
    put("a", 2);
    put("b", 2);
    put("b", 8);
    let sweep = |e: &Engine| {
        e.refresh(Refresh::All).unwrap();
        e.sweep().unwrap();
        store.list("blocks/notes/a/2023-11-17/borphan/").unwrap().len()
    };
    assert_eq!(sweep(&a), 2, "its own after a day, the others' after a week");
    assert_eq!(sweep(&b), 1, "b's own of two days");
    assert_eq!(lines(&a), 10);
}

/// Two nodes on a store that fails, stepping at random: whatever a node has flushed the other can learn, and at the end the
/// store alone holds every acknowledged row once.
fn live(seed: u64) -> usize {
    let mut rng = Rng(seed);
    let (store, clock) = (bucket(seed), Clock::manual(T));
    let disks = [SimFs::seeded(seed), SimFs::seeded(seed + 1000)];
    let open = |n: usize| open_on(&disks[n], &clock, shared(), Some(store.clone()), ["n0", "n1"][n]).unwrap();
    let mut nodes = [open(0), open(1)];
    let mut acked: BTreeMap<String, i64> = BTreeMap::new();
    let mut safe = [Set::new(), Set::new()];
    let mut sent = vec![];
    let mut versions = [0, 0];
    for step in 0..150 {
        let when = format!("seed {seed} step {step}");
        clock.advance_ns(rng.below(40) as i64 * 1_000_000_000);
        let n = rng.below(2) as usize;
        let e = nodes[n].clone();
        match rng.below(16) {
            0..=5 => {
                let (tenant, b) = body(&mut rng, &clock, &sent);
                // As replication does it: mostly both hold it.
                for i in if rng.below(3) > 0 { vec![0, 1] } else { vec![n] } {
                    nodes[i].ingest(header(TENANTS[tenant], &clock, None), b.clone().into(), None).unwrap();
                    for (id, v) in rows_of(TENANTS[tenant], &b) {
                        let best = safe[i].entry(id.clone()).or_insert(v);
                        *best = v.max(*best);
                        let best = acked.entry(id).or_insert(v);
                        *best = v.max(*best);
                    }
                }
                sent.push((tenant, b));
            }
            6 => owner(&e, rng.below(2) == 0),
            7 => {
                let percent = [0, 0, 30][rng.below(3) as usize];
                store.set(Faults { down: rng.below(8) == 0, fail_percent: percent, ..Faults::default() });
            }
            8 => drop(e.merge(MergeWhat::Due)),
            9 => drop(e.merge(MergeWhat::Whole)),
            10 => drop(e.sweep()),
            11 => drop(e.list_due()),
            12 => {
                disks[n].crash();
                nodes[n] = open(n);
            }
            _ => {
                // A scan as the cluster does it: the other's rows, then what it committed, then the blocks.
                if e.flush().is_err() {
                    continue;
                }
                let other = &nodes[1 - n];
                // After a start it knows its own blocks, and says that it does not know the others' newest.
                if other.blocks_fresh().is_none() && other.refresh(Refresh::All).is_err() {
                    continue;
                }
                let commits = e.commits_since(versions[n]);
                let learnt = if commits.reset { other.refresh(Refresh::All) } else { other.learn(&commits.blocks) };
                if learnt.is_err() {
                    continue;
                }
                versions[n] = commits.version;
                for tenant in TENANTS {
                    let Ok(got) = read(&**other, tenant, vec![]) else { continue };
                    for (id, v) in safe[n].iter().filter(|(id, _)| id.starts_with(&format!("{tenant} "))) {
                        assert!(got.get(id).is_some_and(|g| g >= v), "{when}: {id} of n{n} is missing at the other");
                    }
                }
            }
        }
    }
    store.set(Faults::default());
    for e in &nodes {
        owner(e, true);
        e.flush().unwrap();
        e.refresh(Refresh::All).unwrap();
        e.merge(MergeWhat::Whole).unwrap();
        assert_eq!(e.losses(), [], "seed {seed}");
    }
    clock.advance_ns(10 * MINUTE);
    for e in &nodes {
        e.refresh(Refresh::All).unwrap();
        e.sweep().unwrap();
    }
    let fresh = node(&store, &clock, "n9");
    let all: Set = TENANTS.iter().flat_map(|t| read(&*fresh, t, vec![]).unwrap()).collect();
    assert_eq!(all, acked, "seed {seed}: the store alone, every row once");
    acked.len()
}

#[test]
fn two_nodes_on_one_store_lose_nothing_and_store_it_once() {
    let seeds: u64 = std::env::var("WATCHFIRE_SIM_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(40);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let rows: usize = std::thread::scope(|s| {
        let hands: Vec<_> =
            (0..threads).map(|t| s.spawn(move || (1..=seeds).filter(|n| n % threads == t).map(live).sum::<usize>())).collect();
        hands.into_iter().map(|h| h.join().expect("a seed failed, see above")).sum()
    });
    assert!(rows as u64 > 100 * seeds, "the simulation must do something: {rows} rows");
}
