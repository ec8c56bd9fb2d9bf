//! Readers: while everything happens, they ask for batches that were acknowledged, at some node, and look at what they get.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use parking_lot::Mutex;

use super::limits::{LATEST, PROBLEMS, READ_EVERY};
use super::script::Reads;
use crate::load::Args;
use crate::load::client::{Client, Targets};
use crate::load::journal::Journal;
use crate::load::rng::Rng;
use crate::load::verify::{self, Verified};

/// What readers met.
#[derive(Clone, Debug, Default)]
pub struct Met {
    /// Reads that ended, while somebody was there to ask.
    pub reads: u64,
    /// Reads that no node answered in time, or that were answered with an error.
    pub failed: u64,
    /// Answers that said they were incomplete where they should be whole.
    pub partial: u64,
    /// Answers that said they were incomplete where they might be.
    pub partial_allowed: u64,
    /// Answers that lacked rows and did not say so.
    pub holes: u64,
    /// Answers with a row twice, or one that is not what was written.
    pub wrong: u64,
    /// The longest time without any answer while somebody was there to ask, milliseconds.
    pub gap_ms: f64,
    /// What went wrong, and how often.
    pub problems: BTreeMap<String, u64>,
}

struct State {
    met: Met,
    expected: Reads,
    /// Counts the changes of what is expected.
    phase: u64,
    last_answer: Instant,
}

/// What all readers of a drill share.
pub struct Watch {
    state: Mutex<State>,
    stop: AtomicBool,
}

impl Watch {
    /// Every read must be whole, for now.
    pub fn new() -> Arc<Self> {
        let state = State { met: Met::default(), expected: Reads::Whole, phase: 0, last_answer: Instant::now() };
        Arc::new(Watch { state: Mutex::new(state), stop: AtomicBool::new(false) })
    }
    /// What readers may meet from now on.
    pub fn expect(&self, reads: Reads) {
        let mut s = self.state.lock();
        s.close_gap();
        s.expected = reads;
        s.phase += 1;
        s.met.partial_allowed = 0;
    }
    /// What was met so far.
    pub fn met(&self) -> Met {
        let mut s = self.state.lock();
        s.close_gap();
        s.met.clone()
    }
    /// Readers end with the read they are at.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Notes a read that began in `phase`, in which `expected` held; `lacks` is what the answer said it may lack, if it did.
    fn note(&self, phase: u64, expected: Reads, result: Result<Verified>, lacks: &str) {
        let mut s = self.state.lock();
        // A read across a change may have met either side of it.
        let expected = if s.phase == phase { expected } else { expected.max(s.expected) };
        match result {
            _ if expected == Reads::Nobody => {}
            Err(e) => {
                s.met.reads += 1;
                s.met.failed += 1;
                s.met.problem(format!("failed: {e:#}"));
            }
            Ok(v) => {
                s.answered();
                s.met.look(expected, &v, lacks);
            }
        }
    }
}

impl State {
    fn answered(&mut self) {
        self.close_gap();
        self.last_answer = Instant::now();
    }
    fn close_gap(&mut self) {
        if self.expected == Reads::Nobody {
            self.last_answer = Instant::now();
        }
        self.met.gap_ms = self.met.gap_ms.max(self.last_answer.elapsed().as_secs_f64() * 1e3);
    }
}

impl Met {
    fn look(&mut self, expected: Reads, v: &Verified, lacks: &str) {
        self.reads += 1;
        if v.warnings > 0 && expected == Reads::Whole {
            self.partial += 1;
            self.problem(format!("an answer said that it is incomplete: {lacks}"));
        } else if v.warnings > 0 {
            self.partial_allowed += 1;
        } else if v.missing > 0 {
            self.holes += 1;
            self.problem(format!("an answer lacked {} of {} rows and did not say so", v.missing, v.acknowledged));
        }
        if v.doubled > 0 || v.altered > 0 {
            self.wrong += 1;
            self.problem(format!("an answer had {} rows twice and {} that are not what was written", v.doubled, v.altered));
        }
    }
    fn problem(&mut self, text: String) {
        let key: String = text.chars().take_while(|c| *c != '\n').take(400).collect();
        if self.problems.len() < PROBLEMS || self.problems.contains_key(&key) {
            *self.problems.entry(key).or_default() += 1;
        }
    }
}

/// One reader: asks for batches of these journals until it is told to stop.
pub struct Reader {
    /// What readers share.
    pub watch: Arc<Watch>,
    /// What was written, with the arguments it was written with.
    pub written: Vec<(Args, Arc<Journal>)>,
    /// The nodes.
    pub targets: Arc<Targets>,
    /// Decides what is asked, and whom.
    pub seed: u64,
}

impl Reader {
    /// Reads until told to stop.
    pub fn run(&self) -> Result<()> {
        let mut random = Rng::of(self.seed, 0x0005_EADE_5000);
        let clients = self.written.iter().map(|(args, _)| Client::new(args, self.targets.clone(), 0)).collect::<Result<Vec<_>>>()?;
        while !self.watch.stop.load(Ordering::SeqCst) {
            let began = Instant::now();
            let which = random.below(self.written.len() as u64) as usize;
            let (journal, client) = (&self.written[which].1, &clients[which]);
            if let Some((batch, time_ns)) = pick(journal, &mut random) {
                client.begin_at(random.below(self.targets.len() as u64) as usize);
                let (phase, expected) = {
                    let s = self.watch.state.lock();
                    (s.phase, s.expected)
                };
                if expected == Reads::Nobody {
                    std::thread::sleep(READ_EVERY);
                    continue;
                }
                let what = format!("{:?} batch {batch}", journal.run().signal);
                let result = verify::verify_batch(client, journal.run(), batch, random.next(), time_ns);
                self.watch.note(phase, expected, result.map_err(|e| e.context(what)), &client.lacks());
            }
            std::thread::sleep(READ_EVERY.saturating_sub(began.elapsed()).max(Duration::from_millis(1)));
        }
        Ok(())
    }
}

/// One acknowledged batch: any, or one of the latest.
fn pick(journal: &Journal, random: &mut Rng) -> Option<(u64, i64)> {
    let n = journal.acknowledgements();
    let from = if random.chance(0.5) { n.saturating_sub(LATEST) } else { 0 };
    (n > 0).then(|| journal.nth(from + random.below((n - from) as u64) as usize)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::verify::Verified;

    fn verified(missing: u64, doubled: u64, warnings: u64) -> Result<Verified> {
        Ok(Verified { acknowledged: 10, found: 10 - missing, missing, doubled, warnings, ..Verified::default() })
    }

    #[test]
    fn a_hole_is_worse_than_an_answer_that_says_so() {
        let watch = Watch::new();
        let note = |result| watch.note(0, Reads::Whole, result, "b");
        note(verified(0, 0, 0));
        note(verified(3, 0, 1));
        note(verified(3, 0, 0));
        note(verified(0, 1, 0));
        note(Err(anyhow::anyhow!("nobody")));
        let m = watch.met();
        assert_eq!((m.reads, m.failed, m.partial, m.holes, m.wrong), (5, 1, 1, 1, 1));
    }

    #[test]
    fn what_may_lack_rows_must_still_say_so() {
        let watch = Watch::new();
        watch.expect(Reads::MayLack);
        watch.note(1, Reads::MayLack, verified(3, 0, 1), "");
        watch.note(1, Reads::MayLack, verified(3, 0, 0), "");
        let m = watch.met();
        assert_eq!((m.partial, m.partial_allowed, m.holes), (0, 1, 1));
    }

    #[test]
    fn a_read_across_a_change_may_meet_either_side() {
        let watch = Watch::new();
        watch.expect(Reads::Nobody);
        watch.note(0, Reads::Whole, Err(anyhow::anyhow!("nobody")), "");
        watch.expect(Reads::Whole);
        watch.note(1, Reads::Nobody, Err(anyhow::anyhow!("nobody")), "");
        assert_eq!(watch.met().failed, 0);
        watch.note(2, Reads::Whole, Err(anyhow::anyhow!("nobody")), "");
        assert_eq!(watch.met().failed, 1);
    }
}
