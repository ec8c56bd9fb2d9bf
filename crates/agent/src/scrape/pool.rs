//! Threads that take what is due.
//!
//! A thread that takes a task sees to it that another one waits for the next: so a task that takes long holds up none, and where
//! tasks are quick there are a few threads for any number of them. A thread that is one too many ends.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::limits;

/// Something to do again and again: says when the next time is, or that it is over.
pub(super) type Task = Box<dyn FnMut() -> Option<Instant> + Send>;

/// The threads and what they have to do. Copies are the same pool.
#[derive(Clone, Default)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when there is something new to wait for, or a thread has ended.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By time; numbered, for there may be several at one time.
    due: BTreeMap<(Instant, u64), Task>,
    next: u64,
    threads: usize,
    /// Threads among them that have no task.
    free: usize,
    is_stopped: bool,
}

impl State {
    fn add(&mut self, at: Instant, task: Task) {
        self.next += 1;
        self.due.insert((at, self.next), task);
    }
}

impl Pool {
    /// Does `task` at this time.
    pub(super) fn add(&self, at: Instant, task: Task) {
        let mut state = self.shared.state.lock();
        if state.is_stopped {
            return;
        }
        state.add(at, task);
        self.ensure_free(&mut state);
        self.shared.changed.notify_one();
    }

    /// Lets nothing begin any more, and waits a moment for what is under way.
    pub fn stop(&self) {
        let until = Instant::now() + limits::SCRAPE_STOP;
        let mut state = self.shared.state.lock();
        state.is_stopped = true;
        state.due.clear();
        self.shared.changed.notify_all();
        while state.threads > 0 && !self.shared.changed.wait_until(&mut state, until).timed_out() {}
    }

    /// Starts a thread if none is free.
    fn ensure_free(&self, state: &mut State) {
        if state.free > 0 || state.threads >= limits::SCRAPE_THREADS || state.is_stopped {
            return;
        }
        let pool = self.clone();
        match std::thread::Builder::new().name("scrape".into()).spawn(move || pool.work()) {
            Ok(_) => (state.threads, state.free) = (state.threads + 1, state.free + 1),
            Err(e) => tracing::error!(error = %e, threads = state.threads, "a thread that scrapes does not start; others do its work"),
        }
    }

    fn work(&self) {
        let mut state = self.shared.state.lock();
        while !state.is_stopped {
            let first = state.due.first_key_value().map(|((at, _), _)| *at);
            if first.is_some_and(|at| at <= Instant::now()) {
                let Some((_, mut task)) = state.due.pop_first() else { continue };
                state.free -= 1;
                self.ensure_free(&mut state);
                drop(state);
                let next = std::panic::catch_unwind(AssertUnwindSafe(&mut task));
                state = self.shared.state.lock();
                match next {
                    Ok(Some(at)) if !state.is_stopped => state.add(at, task),
                    Ok(_) => {}
                    Err(_) => tracing::error!("a scrape panicked; its target is not scraped any more"),
                }
                // Whoever waits may wait for something later than this.
                self.shared.changed.notify_one();
                state.free += 1;
                if state.free > limits::SCRAPE_WAITING {
                    break;
                }
                continue;
            }
            match first {
                Some(at) => _ = self.shared.changed.wait_until(&mut state, at),
                None => self.shared.changed.wait(&mut state),
            }
        }
        state.free -= 1;
        state.threads -= 1;
        self.shared.changed.notify_all();
    }
}

/// When something with this hash is due first: at its place within the interval, wherever `now_ns` is. So places stay the same
/// from start to start, and the targets of a job are spread over its interval.
pub(super) fn first_wait(hash: u64, interval: Duration, now_ns: i64) -> Duration {
    let every = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
    let now = now_ns.max(0) as u64 % every;
    let place = hash % every;
    Duration::from_nanos(if place >= now { place - now } else { every - (now - place) })
}

/// The time after `due`, in steps of the interval; those that have gone by are left out.
pub(super) fn next_due(due: Instant, interval: Duration, now: Instant) -> Instant {
    let late = now.saturating_duration_since(due).as_nanos();
    let steps = u32::try_from(late / interval.as_nanos().max(1)).unwrap_or(u32::MAX).saturating_add(1);
    due + interval.saturating_mul(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn one_that_hangs_holds_up_no_other() {
        let pool = Pool::default();
        let (let_go, hangs) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let now = Instant::now();
        pool.add(
            now,
            Box::new(move || {
                begun.send(()).ok();
                hangs.recv().ok();
                None
            }),
        );
        has_begun.recv().unwrap();
        let (done, is_done) = mpsc::channel();
        for i in 0..3 {
            let (done, mut left) = (done.clone(), 3);
            let again = move || {
                done.send(i).ok();
                left -= 1;
                (left > 0).then(Instant::now)
            };
            pool.add(now, Box::new(again));
        }
        drop(done);
        let mut got: Vec<i32> = is_done.iter().collect();
        got.sort_unstable();
        assert_eq!(got, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
        drop(let_go);
        pool.stop();
        assert_eq!(pool.shared.state.lock().threads, 0);
    }

    #[test]
    fn threads_are_few_and_a_panic_is_one_task() {
        let pool = Pool::default();
        let (done, is_done) = mpsc::channel();
        pool.add(Instant::now(), Box::new(|| panic!("on purpose")));
        for i in 0..200 {
            let done = done.clone();
            pool.add(
                Instant::now(),
                Box::new(move || {
                    done.send(i).ok();
                    None
                }),
            );
        }
        drop(done);
        assert_eq!(is_done.iter().count(), 200);
        assert!(pool.shared.state.lock().threads <= limits::SCRAPE_THREADS);
        pool.stop();
        pool.add(Instant::now(), Box::new(|| None));
        assert_eq!(pool.shared.state.lock().threads, 0, "nothing begins after the end");
    }

    #[test]
    fn places_and_steps() {
        let s = Duration::from_secs;
        let ns = 1_000_000_000;
        for (hash, now_s, wait) in [(3, 0, 3), (3, 3, 0), (3, 4, 9), (13, 104, 9), (0, 9, 1)] {
            assert_eq!(first_wait(hash * ns, s(10), now_s * ns as i64), s(wait), "{hash} {now_s}");
        }
        let t = Instant::now();
        for (late, next) in [(0, 10), (9, 10), (10, 20), (35, 40)] {
            assert_eq!(next_due(t, s(10), t + s(late)), t + s(next), "{late}");
        }
    }
}
