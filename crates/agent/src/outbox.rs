//! Samples on their way to the place of delivery.
//!
//! A collector measures when its time has come, whether or not there is room. What is refused for now waits here with its
//! times and is offered before what comes next. What waits is bounded, over all collectors together; then the oldest goes,
//! and is stated as lost. So is what waits when the process ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{Clock, Error};
use parking_lot::Mutex;

use crate::deliver::{Batch, Deliver, Loss, Sample, retryable};
use crate::limits;
use crate::stats::{self, Stats};

/// Samples of one collector.
pub(crate) struct Outbox {
    source: String,
    deliver: Arc<dyn Deliver>,
    clock: Clock,
    stats: Arc<Stats>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Vec<Sample>>,
    /// Dropped and not stated yet: a loss is stated once for many of them.
    dropped: Option<Loss>,
    /// When a loss was stated last, by the time that passes.
    stated_ns: Option<i64>,
}

impl Outbox {
    /// An outbox of the collector that the ledger calls `source`.
    pub fn new(source: String, deliver: Arc<dyn Deliver>, clock: Clock, stats: Arc<Stats>) -> Self {
        Outbox { source, deliver, clock, stats, state: Mutex::default() }
    }

    /// Delivers samples, now or later.
    pub fn give(&self, samples: Vec<Sample>) {
        if samples.is_empty() {
            return;
        }
        // Nobody waits for another one's sync while nothing waits.
        if self.state.lock().waiting.is_empty() && self.offer(&samples) {
            return;
        }
        let mut state = self.state.lock();
        self.stats.waiting_samples.fetch_add(samples.len() as u64, Ordering::Relaxed);
        state.waiting.push_back(samples);
        self.settle(&mut state);
        while self.stats.waiting_samples.load(Ordering::Relaxed) > limits::SAMPLES_WAITING {
            let Some(oldest) = self.pop(&mut state) else { break };
            self.drop_for_good(&mut state, &oldest, "no_room");
        }
        self.state_loss(&mut state);
    }

    /// Offers what waits, the oldest first, until something is refused for now.
    fn settle(&self, state: &mut State) {
        while let Some(oldest) = state.waiting.front() {
            if !self.offer(oldest) {
                break;
            }
            self.pop(state);
        }
    }

    fn pop(&self, state: &mut State) -> Option<Vec<Sample>> {
        let oldest = state.waiting.pop_front()?;
        self.stats.waiting_samples.fetch_sub(oldest.len() as u64, Ordering::Relaxed);
        Some(oldest)
    }

    /// Whether nothing is left to do for them: they are delivered, or can never be.
    fn offer(&self, samples: &[Sample]) -> bool {
        let kind = |e: &Error| format!("{:?}", e.kind()).to_lowercase();
        match self.deliver.deliver(Batch::Samples(samples)) {
            Ok(()) => stats::add(&self.stats.samples, samples.len() as u64),
            Err(e) if retryable(&e) => {
                self.stats.deferred.add(&[&kind(&e)], 1);
                return false;
            }
            Err(e) => {
                tracing::error!(source = self.source, error = %e, samples = samples.len(), "samples are refused for good");
                let loss = self.loss(samples, "refused");
                self.stats.lost_samples.add(&[loss.reason], loss.lines);
                self.deliver.lost(&loss);
            }
        }
        true
    }

    fn loss(&self, samples: &[Sample], reason: &'static str) -> Loss {
        let times = samples.iter().map(|s| s.time_ms.saturating_mul(1_000_000));
        let (first_ns, last_ns) = (times.clone().min(), times.max());
        let lines = samples.len() as u64;
        Loss { source: self.source.clone(), reason, lines, bytes: 0, time_ns: self.clock.now_ns(), first_ns, last_ns }
    }

    fn drop_for_good(&self, state: &mut State, samples: &[Sample], reason: &'static str) {
        let new = self.loss(samples, reason);
        self.stats.lost_samples.add(&[reason], new.lines);
        state.dropped = Some(match state.dropped.take() {
            Some(d) => Loss { lines: d.lines + new.lines, first_ns: d.first_ns.or(new.first_ns), ..new },
            None => new,
        });
    }

    /// States what was dropped, not more often than it takes to be useful: each is a line that is kept although there is no room.
    fn state_loss(&self, state: &mut State) {
        let now_ns = self.clock.elapsed_ns();
        let is_time = state.stated_ns.is_none_or(|at| now_ns - at >= limits::SAMPLES_STATED_EVERY_NS) || state.waiting.is_empty();
        if let Some(loss) = state.dropped.take_if(|_| is_time) {
            tracing::warn!(source = loss.source, samples = loss.lines, "samples that waited for room are dropped");
            self.deliver.lost(&loss);
            state.stated_ns = Some(now_ns);
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let mut state = std::mem::take(self.state.get_mut());
        self.settle(&mut state);
        while let Some(oldest) = self.pop(&mut state) {
            self.drop_for_good(&mut state, &oldest, "stopped");
        }
        if let Some(loss) = state.dropped.take() {
            self.deliver.lost(&loss);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Kind, Labels, Result};

    /// Reason, rows, and the times of the first and the last, nanoseconds.
    type Lost = (&'static str, u64, Option<i64>, Option<i64>);

    /// Takes samples, or refuses them.
    #[derive(Default)]
    struct Place {
        refuses: Mutex<Option<Kind>>,
        times: Mutex<Vec<i64>>,
        losses: Mutex<Vec<Lost>>,
    }

    impl Deliver for Place {
        fn deliver(&self, batch: Batch<'_>) -> Result<()> {
            let Batch::Samples(samples) = batch else { panic!("these are samples") };
            match *self.refuses.lock() {
                Some(kind) => Err(Error::new(kind, "no")),
                None => {
                    self.times.lock().extend(samples.iter().map(|s| s.time_ms));
                    Ok(())
                }
            }
        }
        fn positions(&self, _: &str) -> Vec<(String, Vec<u8>)> {
            vec![]
        }
        fn lost(&self, l: &Loss) {
            self.losses.lock().push((l.reason, l.lines, l.first_ns, l.last_ns));
        }
    }

    fn samples(time_ms: i64, n: u64) -> Vec<Sample> {
        (0..n).map(|_| Sample::float(Labels::default(), time_ms, 1.0)).collect()
    }

    fn rig() -> (Arc<Place>, Outbox, Clock, Arc<Stats>) {
        let (place, clock, stats) = (Arc::new(Place::default()), Clock::manual(0), Arc::new(Stats::default()));
        let outbox = Outbox::new("scrape/app".into(), place.clone(), clock.clone(), stats.clone());
        (place, outbox, clock, stats)
    }

    #[test]
    fn what_is_refused_for_now_comes_later_in_order() {
        let (place, outbox, _, stats) = rig();
        outbox.give(samples(1, 1));
        *place.refuses.lock() = Some(Kind::Unavailable);
        outbox.give(samples(2, 1));
        outbox.give(samples(3, 1));
        assert_eq!((place.times.lock().as_slice(), stats.waiting_samples.load(Ordering::Relaxed)), (&[1][..], 2));
        *place.refuses.lock() = None;
        outbox.give(samples(4, 1));
        drop(outbox);
        assert_eq!((place.times.lock().as_slice(), stats.waiting_samples.load(Ordering::Relaxed)), (&[1, 2, 3, 4][..], 0));
        assert!(place.losses.lock().is_empty());
    }

    #[test]
    fn what_there_is_no_room_for_is_stated_with_its_times() {
        let (place, outbox, clock, stats) = rig();
        *place.refuses.lock() = Some(Kind::Unavailable);
        let half = limits::SAMPLES_WAITING / 2;
        for time_ms in 1..=5 {
            outbox.give(samples(time_ms, half));
            clock.advance_ns(1);
        }
        // The first loss is stated at once, the others together.
        assert_eq!(*place.losses.lock(), [("no_room", half, Some(1_000_000), Some(1_000_000))]);
        *place.refuses.lock() = None;
        outbox.give(samples(6, 1));
        assert_eq!(place.losses.lock()[1], ("no_room", 2 * half, Some(2_000_000), Some(3_000_000)));
        let mut times = place.times.lock().clone();
        times.dedup();
        assert_eq!((times, stats.lost_samples.get(&["no_room"])), (vec![4, 5, 6], 3 * half));
    }

    #[test]
    fn what_can_never_be_taken_and_what_waits_at_the_end_is_stated() {
        let (place, outbox, ..) = rig();
        *place.refuses.lock() = Some(Kind::Invalid);
        outbox.give(samples(1, 2));
        *place.refuses.lock() = Some(Kind::Unavailable);
        outbox.give(samples(2, 3));
        drop(outbox);
        assert_eq!(
            *place.losses.lock(),
            [("refused", 2, Some(1_000_000), Some(1_000_000)), ("stopped", 3, Some(2_000_000), Some(2_000_000))]
        );
    }
}
