//! Hundreds of seeded lives of a cluster. Clients push and try the next node when one fails; nodes die, hang, lose their power, their disk and
//! their links; the object store fails; time passes. After every step some node is asked, and
//!
//! - an answer that says it is whole holds every acknowledged row, each once, and none that was never sent (P1, P2, P3, P6),
//! - when all faults are over, every node's answer is whole (P2), also after everything is merged (P4, P5).
//!
//! What it does not see: two living nodes that are cut from each other take rows alone, and each takes the other for dead. Rows that were
//! acknowledged so are owed only when the cut is healed and their holder lives (`docs/decisions/0005-the-cluster.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster::transport::NodeId;
use disk::Loss;
use store::{Faults, Store};
use table::{BlockMeta, MergeWhat, Refresh};

use crate::town::{DELETE_DELAY, Town};
use crate::toy::{Rng, TENANTS, body, rows_of};

struct Acked {
    /// The best value that was acknowledged.
    value: i64,
    /// Acknowledged by this node while a living one was cut off from it.
    apart: Option<usize>,
}

#[derive(Default)]
struct Model {
    acked: BTreeMap<String, Acked>,
    /// All values each identity was sent with.
    sent: BTreeMap<String, BTreeSet<i64>>,
    bodies: Vec<(usize, String)>,
}

/// What a life came to.
#[derive(Default, Debug, PartialEq, Eq, Clone, Copy)]
struct Tally {
    rows: usize,
    deaths: u64,
    wipes: u64,
    whole: u64,
    partial: u64,
    refused: u64,
}

struct Life {
    seed: u64,
    rng: Rng,
    town: Town,
    model: Model,
    tally: Tally,
    hung: BTreeSet<usize>,
    cut: bool,
    /// Nodes whose disks were lost.
    gone: Vec<NodeId>,
    /// All blocks that ever were in the store, by the keys of their metas.
    blocks: BTreeMap<String, BlockMeta>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let nodes = 2 + rng.below(2) as usize;
        let town = Town::running(seed, nodes);
        Life {
            seed,
            rng,
            town,
            model: Model::default(),
            tally: Tally::default(),
            hung: BTreeSet::new(),
            cut: false,
            gone: vec![],
            blocks: BTreeMap::new(),
        }
    }

    fn pick(&mut self, of: Vec<usize>) -> Option<usize> {
        if of.is_empty() { None } else { Some(of[self.rng.below(of.len() as u64) as usize]) }
    }

    /// Nodes that run and do not hang.
    fn lively(&self) -> Vec<usize> {
        (0..self.town.nodes.len()).filter(|n| self.town.nodes[*n].running.is_some() && !self.hung.contains(n)).collect()
    }

    fn step(&mut self) {
        match self.rng.below(102) {
            0..=41 => self.push(),
            42..=56 => {
                let time = Duration::from_millis([200, 200, 600, 1200, 5000][self.rng.below(5) as usize]);
                self.pass(time);
            }
            57..=74 => self.engine_step(),
            75..=80 => self.kill(),
            81..=87 => self.revive(),
            88..=90 => self.hang(),
            91 => self.cut(),
            92..=93 => self.heal(),
            94..=95 => self.store_weather(),
            96 => self.wipe(),
            97..=98 => self.absence(),
            99 => self.crash_soon(),
            _ => self.leave(),
        }
        self.bury_the_dead();
        self.check();
        self.note_blocks();
    }

    /// A client with a body tries every node in turn.
    fn push(&mut self) {
        let (tenant, text) = body(&mut self.rng, &self.town.clock, &self.model.bodies);
        let mut to = self.lively();
        while let Some(n) = self.pick(to.clone()) {
            to.retain(|x| *x != n);
            for (id, v) in rows_of(TENANTS[tenant], &text) {
                self.model.sent.entry(id).or_default().insert(v);
            }
            let ok = self.town.push(n, TENANTS[tenant], &text).is_ok();
            self.bury_the_dead();
            if !ok {
                self.tally.refused += 1;
                continue;
            }
            let apart = self.cut.then_some(n);
            for (id, v) in rows_of(TENANTS[tenant], &text) {
                let a = self.model.acked.entry(id).or_insert(Acked { value: v, apart });
                // A row that was owed already stays owed; one that is sent again and better is owed as the better one.
                if v > a.value {
                    *a = Acked { value: v, apart };
                } else if v == a.value && a.apart.is_some() {
                    a.apart = a.apart.and(apart);
                }
            }
            self.model.bodies.push((tenant, text));
            return;
        }
    }

    /// Time passes for those that do not hang.
    fn pass(&mut self, time: Duration) {
        self.town.pass(time, &self.hung);
        self.owe();
    }

    /// Rows that were acknowledged apart are owed once nobody is cut off and their holder lives and was heard.
    fn owe(&mut self) {
        if self.cut {
            return;
        }
        let lively = self.lively();
        for a in self.model.acked.values_mut().filter(|a| a.apart.is_some_and(|n| lively.contains(&n))) {
            a.apart = None;
        }
    }

    fn engine_step(&mut self) {
        let Some(n) = self.pick(self.lively()) else { return };
        let e = self.town.at(n).cluster.engine().clone();
        // Disks and the store may fail it; what must hold is checked by reading.
        let _ = match self.rng.below(8) {
            0..=1 => e.freeze_due(),
            2 => e.seal(),
            3 => e.flush_sealed(),
            4 => e.merge(MergeWhat::Due),
            5 => e.merge(MergeWhat::All),
            6 => e.sweep(),
            _ => e.merge(MergeWhat::Whole),
        };
    }

    fn kill(&mut self) {
        let Some(n) = self.pick(self.lively()) else { return };
        self.die(n);
    }

    /// The process ends; some of the times the machine does.
    fn die(&mut self, n: usize) {
        self.town.stop(n);
        self.hung.remove(&n);
        self.tally.deaths += 1;
        let loss = [Loss::Nothing, Loss::Nothing, Loss::Whim, Loss::All][self.rng.below(4) as usize];
        self.town.nodes[n].fs.reboot(loss);
    }

    fn crash_soon(&mut self) {
        let Some(n) = self.pick(self.lively()) else { return };
        let after = self.rng.below(60);
        self.town.nodes[n].fs.crash_after(after);
    }

    /// A node whose disk died is dead.
    fn bury_the_dead(&mut self) {
        for n in 0..self.town.nodes.len() {
            if self.town.nodes[n].running.is_some() && self.town.nodes[n].fs.is_dead() {
                self.die(n);
            }
        }
    }

    fn revive(&mut self) {
        let down: Vec<usize> = (0..self.town.nodes.len()).filter(|n| self.town.nodes[*n].running.is_none()).collect();
        if let Some(n) = self.pick(down) {
            self.start(n);
        }
        if let Some(n) = self.hung.pop_first() {
            self.town.net.hang(&self.town.nodes[n].address.clone(), false);
        }
    }

    fn start(&mut self, n: usize) {
        if self.town.start(n).is_err() {
            self.town.stop(n);
            if self.town.nodes[n].fs.is_dead() {
                self.town.nodes[n].fs.reboot(Loss::Whim);
            }
        }
    }

    /// A hang is noticed as such only if it lasts longer than anybody's patience.
    fn hang(&mut self) {
        let Some(n) = self.pick(self.lively()) else { return };
        self.town.net.hang(&self.town.nodes[n].address.clone(), true);
        self.hung.insert(n);
        self.pass(Duration::from_millis(1400));
    }

    fn cut(&mut self) {
        let lively = self.lively();
        let (Some(a), Some(b)) = (self.pick(lively.clone()), self.pick(lively)) else { return };
        if a == b {
            return;
        }
        let (a, b) = (self.town.nodes[a].address.clone(), self.town.nodes[b].address.clone());
        match self.rng.below(3) {
            0 => self.town.net.mute(&a, &b, true),
            _ => {
                self.town.net.cut(&a, &b, true);
                self.town.net.cut(&b, &a, true);
            }
        }
        self.cut = true;
    }

    fn heal(&mut self) {
        self.town.net.heal();
        for n in self.hung.clone() {
            self.town.net.hang(&self.town.nodes[n].address.clone(), true);
        }
        self.cut = false;
        self.pass(Duration::from_millis(600));
    }

    fn store_weather(&mut self) {
        let down = Faults { down: true, ..Faults::default() };
        let flaky = Faults { fail_percent: 30, ..Faults::default() };
        let faults = [Faults::default(), Faults::default(), down, flaky][self.rng.below(4) as usize].clone();
        self.town.weather.set(faults);
    }

    /// A disk is lost. With two copies that may happen to one node at a time: the others are there, and nothing is owed by this one alone.
    fn wipe(&mut self) {
        let Some(n) = self.pick(self.lively()) else { return };
        let calm = !self.cut && self.hung.is_empty() && self.lively().len() == self.town.nodes.len();
        if !calm {
            return;
        }
        self.town.rounds(3, &self.hung);
        let all_here = self.lively().iter().all(|m| self.town.at(*m).membership.silent().is_empty());
        if !all_here || self.town.at(n).membership.alone_since_ns().is_some() || !self.town.is_active(n) {
            return;
        }
        self.tally.wipes += 1;
        self.gone.push(self.town.nodes[n].id);
        let seed = self.rng.next();
        self.town.wipe(n, seed);
        self.start(n);
    }

    /// A node commits a block, does not hear of it, dies, and is away until the block is merged into others and deleted.
    fn absence(&mut self) {
        let Some(n) = self.pick(self.lively()) else { return };
        let others: Vec<usize> = self.lively().into_iter().filter(|m| *m != n).collect();
        if others.is_empty() || self.cut {
            return;
        }
        self.town.weather.set(Faults { down_after_create: true, ..Faults::default() });
        let _ = self.town.at(n).cluster.engine().flush();
        self.town.weather.set(Faults::default());
        self.note_blocks();
        self.die(n);
        self.pass(Duration::from_secs(5));
        for m in others {
            let e = self.town.at(m).cluster.engine().clone();
            let _ = e.refresh(Refresh::All).and_then(|()| e.flush()).and_then(|()| e.merge(MergeWhat::Whole));
        }
        self.note_blocks();
        self.pass(DELETE_DELAY * 2);
        for m in self.lively() {
            let _ = self.town.at(m).cluster.engine().sweep();
        }
        self.start(n);
        self.bury_the_dead();
        for n in self.lively() {
            self.names_are_known(n);
        }
        self.pass(Duration::from_secs(1));
    }

    fn note_blocks(&mut self) {
        for key in self.town.meta_keys() {
            let meta = || BlockMeta::decode(&self.town.shelf.get(&key).unwrap()).unwrap();
            self.blocks.entry(key.clone()).or_insert_with(meta);
        }
    }

    /// A node that has read the list reads no run whose rows are in a block, or in a block that was made of such a block (P5).
    fn names_are_known(&mut self, n: usize) {
        let e = self.town.at(n).cluster.engine().clone();
        if e.refresh(Refresh::All).is_err() {
            return;
        }
        self.note_blocks();
        let partition = |m: &BlockMeta| (m.table.clone(), m.tenant.clone(), m.day);
        let is_first = |m: &BlockMeta| m.level == 1;
        let first: BTreeMap<(_, &str), &BlockMeta> =
            self.blocks.values().filter(|m| is_first(m)).map(|m| ((partition(m), m.id.as_str()), m)).collect();
        let mut held: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
        for m in self.town.meta_keys().iter().map(|k| &self.blocks[k]) {
            let names = held.entry(partition(m)).or_default();
            for a in &m.ancestors {
                match first.get(&(partition(m), a.as_str())) {
                    Some(block) => names.extend(block.ancestors.iter().map(String::as_str)),
                    None => drop(names.insert(a)),
                }
            }
        }
        for (table, tenant, day, run) in e.unmerged_runs() {
            let partition = (table.to_owned(), tenant.to_string(), day);
            let is_held = held.get(&partition).is_some_and(|names| names.contains(run.as_str()));
            assert!(!is_held, "seed {} node {n}: run {run} is read, and so is a block that holds its rows of {partition:?}", self.seed);
        }
    }

    fn leave(&mut self) {
        let Some(n) = self.pick(self.lively()) else { return };
        if self.town.at(n).cluster.leave(false).is_ok() {
            self.town.stop(n);
        } else {
            self.die(n);
        }
    }

    /// Somebody asks some node for everything.
    fn check(&mut self) {
        let active: Vec<usize> = self.lively().into_iter().filter(|n| self.town.is_active(*n)).collect();
        let Some(n) = self.pick(active) else { return };
        for tenant in TENANTS {
            match self.town.ask(n, tenant) {
                Ok((got, lacks)) => {
                    self.compare(n, tenant, &got, &lacks);
                    *(if lacks.is_empty() { &mut self.tally.whole } else { &mut self.tally.partial }) += 1;
                }
                // An answer that cannot be given is no wrong answer; what must be answered is checked at the end.
                Err(e) => assert!(e.kind() == base::Kind::Unavailable, "seed {}: {e}", self.seed),
            }
        }
    }

    fn compare(&mut self, n: usize, tenant: &str, got: &crate::toy::Set, lacks: &[String]) {
        let when = format!("seed {} node {n} tenant {tenant}", self.seed);
        for (id, v) in got {
            assert!(self.model.sent.get(id).is_some_and(|vs| vs.contains(v)), "{when}: row {id} = {v} was never sent");
        }
        if !lacks.is_empty() {
            return;
        }
        let owed = self.model.acked.iter().filter(|(id, a)| a.apart.is_none() && id.starts_with(&format!("{tenant} ")));
        for (id, a) in owed {
            let Some(g) = got.get(id) else { panic!("{when}: the answer says it is whole and lacks {id}") };
            assert!(*g >= a.value, "{when}: {id} has the worse copy {g}, {} was acknowledged", a.value);
        }
    }

    /// All faults end; then every answer must be whole.
    fn settle(&mut self) {
        self.town.weather.set(Faults::default());
        self.hung.clear();
        self.cut = false;
        self.town.net.heal();
        for n in 0..self.town.nodes.len() {
            self.town.nodes[n].fs.crash_after(u64::MAX);
            while self.town.nodes[n].running.is_none() {
                self.start(n);
            }
        }
        self.pass(Duration::from_secs(20));
        self.bury_the_dead();
        for n in 0..self.town.nodes.len() {
            while self.town.nodes[n].running.is_none() {
                self.start(n);
            }
        }
        self.pass(Duration::from_secs(20));
        self.forget_lost_disks();
        self.must_be_whole("when all is well");
        for n in 0..self.town.nodes.len() {
            self.names_are_known(n);
        }
        for what in [MergeWhat::All, MergeWhat::Whole] {
            for n in 0..self.town.nodes.len() {
                let e = self.town.at(n).cluster.engine().clone();
                e.flush().expect("a flush when all is well");
                e.merge(what).expect("a merge when all is well");
            }
        }
        self.must_be_whole("after everything is merged");
    }

    /// A lost disk of which no node that is left has seen the end (all were started again since) is an operator's to forget.
    fn forget_lost_disks(&mut self) {
        for n in 0..self.town.nodes.len() {
            for id in &self.gone {
                // Most are forgotten already.
                let _ = self.town.at(n).cluster.forget(*id);
            }
        }
    }

    fn must_be_whole(&mut self, when: &str) {
        self.model.acked.values_mut().for_each(|a| a.apart = None);
        for n in 0..self.town.nodes.len() {
            for tenant in TENANTS {
                let (got, lacks) = self.town.ask(n, tenant).unwrap_or_else(|e| panic!("seed {} {when}: {e}", self.seed));
                assert!(lacks.is_empty(), "seed {} node {n} {when}: {lacks:?}", self.seed);
                self.compare(n, tenant, &got, &lacks);
            }
        }
    }
}

fn live(seed: u64, steps: u64) -> Tally {
    let mut life = Life::new(seed);
    for _ in 0..steps {
        life.step();
    }
    life.settle();
    life.tally.rows = life.model.acked.len();
    life.tally
}

#[test]
fn acknowledged_rows_are_in_every_whole_answer() {
    #[allow(clippy::disallowed_methods)] // how long to look is the tester's to say
    let number = |name: &str, otherwise: u64| std::env::var(name).ok().and_then(|s| s.parse().ok()).unwrap_or(otherwise);
    let (seeds, from) = (number("WATCHFIRE_SIM_SEEDS", 100), number("WATCHFIRE_SIM_FROM", 1));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let tallies: Vec<Tally> = std::thread::scope(|s| {
        let hands: Vec<_> = (0..threads)
            .map(|t| s.spawn(move || (from..from + seeds).filter(|n| n % threads == t).map(|n| live(n, 120)).collect::<Vec<_>>()))
            .collect();
        hands.into_iter().flat_map(|h| h.join().expect("a seed failed, see above")).collect()
    });
    let sum = |f: fn(&Tally) -> u64| tallies.iter().map(f).sum::<u64>();
    let (rows, deaths, wipes) = (sum(|t| t.rows as u64), sum(|t| t.deaths), sum(|t| t.wipes));
    let (whole, partial, refused) = (sum(|t| t.whole), sum(|t| t.partial), sum(|t| t.refused));
    println!(
        "{seeds} seeds: {rows} rows, {deaths} deaths, {wipes} wiped disks, {whole} whole and {partial} partial answers, {refused} refusals"
    );
    assert!(rows > 100 * seeds && deaths > seeds && whole > partial && partial > 0, "the simulation must do something");
}

#[test]
fn the_same_seed_lives_the_same_life() {
    assert_eq!(live(42, 80), live(42, 80));
}
