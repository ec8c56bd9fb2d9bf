//! Plays a script: fleet, load, readers, each step, the proof, the report.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::control;
use super::fleet::{Fleet, Plan};
use super::limits::{LOOK_EVERY, RECONNECTED};
use super::progress::Progress;
use super::reader::Met;
use super::report::{Reads as ReadsFound, Report, Rows, Writes};
use super::script::{Drill, Length, Place, Reads, Step, name};
use super::traffic::{self, Outcome, Traffic};
use crate::load::verify::Verified;

/// How drills are run.
pub struct Conditions {
    /// Form of the scripts.
    pub length: Length,
    /// Bytes of logs a second.
    pub bytes_per_second: f64,
    /// Times that must hold are stretched by this.
    pub slack: f64,
    /// The object store's URL, if it is not a directory of the drill.
    pub store: Option<String>,
    /// Keep directories.
    pub keep: bool,
}

/// One drill while it is played.
pub struct Stage<'a> {
    drill: &'a Drill,
    conditions: &'a Conditions,
    fleet: Fleet,
    traffic: Option<Traffic>,
    began: Instant,
    /// When the last fault ended.
    healed: Option<Instant>,
    report: Report,
    progress: &'a mut Progress,
    stop: &'a AtomicBool,
}

/// Plays one drill. An error is one of the drill itself (no port, no disk, Ctrl-C); what a node does wrong is in the report.
pub fn play(drill: &Drill, nodes: usize, dir: PathBuf, c: &Conditions, progress: &mut Progress, stop: &AtomicBool) -> Result<Report> {
    let reserve = drill.steps.iter().filter(|s| matches!(s, Step::Join(_))).count();
    let store = c.store.as_ref().map(|s| format!("{}/{}-{nodes}", s.trim_end_matches('/'), drill.name));
    let plan = Plan { nodes, reserve, dir, store: store.as_deref(), clock_off: drill.clock_off, keep: c.keep };
    let report = Report { drill: drill.name.into(), nodes, story: drill.story.into(), must: drill.must.into(), ..Report::default() };
    let fleet = Fleet::new(&plan)?;
    let began = Instant::now();
    let mut stage = Stage { drill, conditions: c, fleet, traffic: None, began, healed: None, report, progress, stop };
    if let Err(e) = stage.perform(nodes) {
        if stop.load(Ordering::SeqCst) {
            return Err(e);
        }
        stage.report.reasons.push(format!("{e:#}"));
    }
    stage.report.seconds = began.elapsed().as_secs_f64();
    stage.report.judge(drill, c.slack);
    if !stage.report.passed {
        stage.tell_last_words();
    }
    stage.progress.clear();
    Ok(stage.report)
}

impl Stage<'_> {
    fn perform(&mut self, nodes: usize) -> Result<()> {
        let all: Vec<Place> = (0..nodes).collect();
        all.iter().try_for_each(|p| self.fleet.start(*p))?;
        self.wait_ready(&all)?;
        self.whole(60, "the start")?;
        let urls = (0..self.fleet.len()).map(|p| self.fleet.url(p)).collect();
        let seed = u64::from(std::process::id());
        self.traffic = Some(Traffic::start(urls, self.conditions.bytes_per_second, self.fleet.dir(), seed)?);
        self.began = Instant::now();
        // Even when a step fails, what was acknowledged so far is looked for: that is the first question of whoever reads the report.
        let played = self.drill.steps.iter().try_for_each(|step| self.step(*step));
        let outcome = self.finish_load();
        let proven = outcome.and_then(|o| self.prove(&o));
        played.and(proven)
    }

    /// What happens all the while: progress, and Ctrl-C.
    fn tick(&mut self) -> Result<()> {
        ensure!(!self.stop.load(Ordering::SeqCst), "stopped by Ctrl-C");
        let (rows, reads) = self.traffic.as_ref().map_or((0, 0), |t| (t.acknowledged_rows(), t.watch().met().reads));
        self.progress.show(self.began.elapsed(), rows, reads);
        Ok(())
    }

    fn pause(&mut self, length: Duration) -> Result<()> {
        let until = Instant::now() + length;
        while Instant::now() < until {
            self.tick()?;
            std::thread::sleep(LOOK_EVERY.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    fn tell(&mut self, what: String) {
        self.progress.step(self.drill.name, &what);
        self.report.timeline.push((self.began.elapsed().as_secs_f64(), what));
    }

    fn wait_ready(&mut self, places: &[Place]) -> Result<()> {
        let began = Instant::now();
        for place in places {
            while !self.fleet.is_ready(*place)? {
                ensure!(began.elapsed() < super::limits::START_PATIENCE, "node {} does not get ready", name(*place));
                self.tick()?;
                std::thread::sleep(LOOK_EVERY / 5);
            }
            self.fleet.tell(*place)?;
        }
        Ok(())
    }

    fn wait_end(&mut self, place: Place) -> Result<()> {
        let began = Instant::now();
        while !self.fleet.has_ended(place)? {
            ensure!(began.elapsed() < super::limits::STOP_PATIENCE, "node {} does not stop", name(place));
            self.tick()?;
            std::thread::sleep(LOOK_EVERY / 5);
        }
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<()> {
        if !matches!(step, Step::Wait(..)) {
            self.tell(step.to_string());
        }
        if step.heals() {
            self.healed = Some(Instant::now());
        }
        match step {
            Step::Wait(short, full) => self.pause(Duration::from_secs(if self.conditions.length == Length::Short { short } else { full })),
            Step::Kill(n) => self.fleet.kill(&[n]),
            Step::KillAll => self.fleet.kill(&self.fleet.up()),
            Step::Start(n) | Step::Join(n) => {
                self.fleet.start(n)?;
                self.wait_ready(&[n])
            }
            Step::StartAll => {
                let down = self.fleet.down();
                down.iter().try_for_each(|n| self.fleet.start(*n))?;
                self.wait_ready(&down)
            }
            Step::Stop(n) => {
                self.fleet.terminate(n)?;
                self.wait_end(n)
            }
            Step::Freeze(n) => self.fleet.freeze(n, true),
            Step::Wake(n) => self.fleet.freeze(n, false),
            Step::Wipe(n) => self.fleet.wipe(n),
            Step::CutOff(n) => self.cut_off(n),
            Step::Reconnect(n) => self.reconnect(n),
            Step::Store(places, faults) => {
                let up = self.fleet.up();
                places.iter().filter(|p| up.contains(p)).try_for_each(|p| self.fleet.set_faults(*p, |f| f.store = faults))
            }
            Step::Flush => self.ask_to_flush(),
            Step::Drained(seconds) => self.drained(seconds),
            Step::DiskFull(n, full) => self.fleet.set_faults(n, |f| f.disk_full = full),
            Step::Leave(n) => {
                self.fleet.leave(n)?;
                self.wait_end(n)
            }
            Step::Whole(seconds) => self.whole(seconds, "the fault"),
            Step::Reads(reads) => {
                self.expect(reads);
                Ok(())
            }
            Step::SomeIncomplete => {
                let said = self.traffic.as_ref().map_or(0, |t| t.watch().met().partial_allowed);
                ensure!(said > 0, "no answer said that it was incomplete: the drill did not come to the case that it is for");
                Ok(())
            }
        }
    }

    fn expect(&self, reads: Reads) {
        if let Some(t) = &self.traffic {
            t.watch().expect(reads);
        }
    }

    /// The node loses its network: clients lose it first, since nodes are told one after the other.
    fn cut_off(&mut self, n: Place) -> Result<()> {
        if let Some(t) = &self.traffic {
            t.targets().cut(n, true);
        }
        self.fleet.cut(n, true)
    }

    /// The network is back: for clients last, and only when the nodes have said hello. Until then the lonely node takes the others for dead and
    /// answers with what it has, which is what no system without a third party can better (`docs/decisions/0005`).
    fn reconnect(&mut self, n: Place) -> Result<()> {
        self.fleet.cut(n, false)?;
        self.pause(RECONNECTED)?;
        if let Some(t) = &self.traffic {
            t.targets().cut(n, false);
        }
        Ok(())
    }

    /// The answers are of no interest: what was asked for may fail now, or come to nothing because the node dies.
    fn ask_to_flush(&self) -> Result<()> {
        for url in self.fleet.up().into_iter().map(|p| self.fleet.url(p)) {
            std::thread::Builder::new().name("flush".into()).spawn(move || drop(control::flush(&url)))?;
        }
        Ok(())
    }

    fn drained(&mut self, seconds: u64) -> Result<()> {
        let (began, limit) = (Instant::now(), Duration::from_secs_f64(seconds as f64 * self.conditions.slack));
        for place in self.fleet.up() {
            while let Err(e) = control::flush(&self.fleet.url(place)) {
                ensure!(began.elapsed() < limit, "node {} could not give everything to the object store: {e:#}", name(place));
                self.pause(LOOK_EVERY)?;
            }
        }
        let took = began.elapsed();
        ensure!(took < limit, "the object store had taken everything after {:.1} s only", took.as_secs_f64());
        self.tell(format!("the object store has taken everything, within {:.1} s", took.as_secs_f64()));
        Ok(())
    }

    /// Waits until every node says that every node is there and nothing is held by one alone.
    fn whole(&mut self, seconds: u64, after: &str) -> Result<()> {
        let (began, limit) = (Instant::now(), Duration::from_secs_f64(seconds as f64 * self.conditions.slack));
        while let Some(lack) = self.fleet.lacks() {
            if began.elapsed() > limit {
                bail!("{:.0} s after {after} the fleet was not whole: {lack}", limit.as_secs_f64());
            }
            self.tick()?;
            std::thread::sleep(LOOK_EVERY);
        }
        if let Some(healed) = self.healed.take() {
            let took = healed.elapsed().as_secs_f64();
            self.tell(format!("the fleet is whole again, {took:.1} s after the fault ended"));
            self.report.recovered_seconds = Some(self.report.recovered_seconds.unwrap_or(0.0).max(took));
        }
        Ok(())
    }

    fn finish_load(&mut self) -> Result<Outcome> {
        let Some(traffic) = self.traffic.take() else { bail!("there was no load") };
        self.progress.step(self.drill.name, "waiting for the last requests");
        let stop = self.stop;
        let outcome = traffic.finish(&mut || {
            ensure!(!stop.load(Ordering::SeqCst), "stopped by Ctrl-C");
            Ok(())
        })?;
        self.count_writes(&outcome);
        self.count_reads(&outcome.met);
        Ok(outcome)
    }

    fn count_writes(&mut self, outcome: &Outcome) {
        for (signal, _, r) in &outcome.written {
            let w = &mut self.report.writes;
            *w = Writes {
                requests: w.requests + r.acknowledged_requests,
                rows: w.rows + r.acknowledged_rows,
                failed: w.failed + r.refused_requests + r.abandoned_requests,
                sent_again: w.sent_again + r.retries,
                longest_gap_seconds: w.longest_gap_seconds.max(r.longest_silence_ms / 1e3),
                p99_seconds: w.p99_seconds.max(r.delay.p99 / 1e3),
            };
            for (problem, n) in &r.problems {
                self.report.problem(&format!("{signal:?} not taken: {problem}"), *n);
            }
        }
    }

    fn count_reads(&mut self, met: &Met) {
        self.report.reads = ReadsFound {
            asked: met.reads,
            failed: met.failed,
            partial: met.partial,
            partial_allowed: met.partial_allowed,
            silently_incomplete: met.holes,
            wrong: met.wrong,
            longest_gap_seconds: met.gap_ms / 1e3,
        };
        met.problems.iter().for_each(|(problem, n)| self.report.problem(&format!("read: {problem}"), *n));
    }

    /// Asks every node for every row. In the full form once more when all is in its final form: one node then, since all read the same blocks.
    fn prove(&mut self, outcome: &Outcome) -> Result<()> {
        let up = self.fleet.up();
        self.ask(&up, outcome)?;
        if self.conditions.length == Length::Full {
            for &place in &up {
                self.progress.step(self.drill.name, &format!("node {} brings everything to its final form", name(place)));
                control::flush(&self.fleet.url(place))?;
            }
            self.ask(&up[..up.len().min(1)], outcome)?;
        }
        Ok(())
    }

    fn ask(&mut self, places: &[Place], outcome: &Outcome) -> Result<()> {
        for &place in places {
            self.tick()?;
            let found = traffic::verify(&self.fleet.url(place), &outcome.written)?;
            let took: Vec<String> =
                found.iter().map(|(signal, v)| format!("{signal:?} {:.1} s in {} questions", v.seconds, v.queries)).collect();
            self.tell(format!("node {} was asked for every acknowledged row ({})", name(place), took.join(", ")));
            let sum = |of: fn(&Verified) -> u64| found.iter().map(|(_, v)| of(v)).sum::<u64>();
            let v = &mut self.report.rows;
            *v = Rows {
                acknowledged: sum(|v| v.acknowledged),
                lost: v.lost.max(sum(|v| v.missing)),
                doubled: v.doubled.max(sum(|v| v.doubled)),
                altered: v.altered.max(sum(|v| v.altered)),
                unacknowledged: v.unacknowledged.max(sum(|v| v.unacknowledged)),
                partial: v.partial + sum(|v| v.warnings),
                nodes_asked: v.nodes_asked.max(places.len()),
            };
            for (signal, v) in found.iter().filter(|(_, v)| !v.good()) {
                let what = format!(
                    "node {}, {signal:?}: missing {:?}, doubled {:?}, altered {:?}",
                    name(place),
                    v.missing_examples,
                    v.doubled_examples,
                    v.altered_examples
                );
                self.report.problem(&what, 1);
            }
        }
        Ok(())
    }

    fn tell_last_words(&mut self) {
        self.progress.clear();
        for place in 0..self.fleet.len() {
            let words = self.fleet.last_words(place);
            if !words.is_empty() {
                eprintln!("--- the last words of node {}\n{}", name(place), words.trim_end());
            }
        }
    }
}
