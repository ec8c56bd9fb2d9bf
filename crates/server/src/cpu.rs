//! Computing off the async runtime: a bounded number of jobs at once, a bounded wait for a place.
//!
//! Who waits does so in a queue of its tenant, and the queues take turns: a tenant with a thousand queries delays another's first
//! one by one job, not by a thousand.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::{Error, Kind, Result};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// Places for jobs of one kind. A job keeps its place until it ends, even when nobody waits for it any more.
pub struct Pool {
    what: &'static str,
    places: Arc<Places>,
    size: usize,
    wait: Duration,
    turned_away: AtomicU64,
    panics: AtomicU64,
}

/// For whom a job runs, and how many of its jobs may run at once.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Tenant, or nothing where all are alike.
    pub of: String,
    /// At once; no bound but the pool's own when there is none.
    pub at_once: Option<usize>,
}

impl Turn {
    /// Of a pool in which all jobs wait in one queue.
    pub fn any() -> Turn {
        Turn { of: String::new(), at_once: None }
    }
}

struct Places {
    queues: Mutex<Queues>,
    /// Rings when a place comes free.
    freed: Notify,
}

/// How many of its tenant may run at once, and where its place goes.
type Waiter = (Option<usize>, oneshot::Sender<Place>);

#[derive(Default)]
struct Queues {
    free: usize,
    /// Those that wait, in the order of their turns.
    turns: VecDeque<String>,
    waiting: HashMap<String, VecDeque<Waiter>>,
    running: HashMap<String, usize>,
}

/// A place, until it is dropped.
struct Place {
    places: Arc<Places>,
    of: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queues = self.places.queues.lock();
        queues.free += 1;
        if let Some(n) = queues.running.get_mut(&self.of) {
            *n -= 1;
            if *n == 0 {
                queues.running.remove(&self.of);
            }
        }
        let next = queues.give(&self.places);
        // A place whose taker has gone comes back here, which must not be under the lock.
        drop(queues);
        drop(next);
        self.places.freed.notify_waiters();
    }
}

impl Queues {
    fn may_run(&self, of: &str, at_once: Option<usize>) -> bool {
        at_once.is_none_or(|most| self.running.get(of).copied().unwrap_or(0) < most)
    }

    fn take(&mut self, places: &Arc<Places>, of: &str) -> Place {
        self.free -= 1;
        *self.running.entry(of.to_owned()).or_default() += 1;
        Place { places: places.clone(), of: of.to_owned() }
    }

    /// Gives free places to those that wait, one queue after the other. Returns those that nobody took.
    #[must_use]
    fn give(&mut self, places: &Arc<Places>) -> Vec<Place> {
        let mut left = vec![];
        let mut looked = 0;
        while self.free > 0 && looked < self.turns.len() {
            let Some(of) = self.turns.pop_front() else { break };
            let Some(queue) = self.waiting.get_mut(&of) else { continue };
            queue.retain(|(_, waiter)| !waiter.is_closed());
            let Some(&(at_once, _)) = queue.front() else {
                self.waiting.remove(&of);
                continue;
            };
            if !self.may_run(&of, at_once) {
                self.turns.push_back(of);
                looked += 1;
                continue;
            }
            looked = 0;
            let next = self.waiting.get_mut(&of).and_then(VecDeque::pop_front);
            if let Some((_, waiter)) = next
                && let Err(place) = waiter.send(self.take(places, &of))
            {
                left.push(place);
            }
            if self.waiting.get(&of).is_some_and(|q| !q.is_empty()) {
                self.turns.push_back(of);
            } else {
                self.waiting.remove(&of);
            }
        }
        left
    }
}

impl Pool {
    /// `size` places for jobs called `what`; a job waits at most `wait` for one.
    pub fn new(what: &'static str, size: usize, wait: Duration) -> Self {
        let size = size.max(1);
        let places = Arc::new(Places { queues: Mutex::new(Queues { free: size, ..Queues::default() }), freed: Notify::new() });
        Pool { what, places, size, wait, turned_away: AtomicU64::new(0), panics: AtomicU64::new(0) }
    }

    /// Runs `job` on a blocking thread. `Unavailable` when no place came free in time; a panic becomes `Internal`.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        self.run_in_turn(Turn::any(), job).await
    }

    /// The same in the queue of a tenant; `LimitExceeded` when it is the tenant's own jobs that take all it may have.
    pub async fn run_in_turn<T: Send + 'static>(&self, turn: Turn, job: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let place = self.place(turn).await?;
        let handle = tokio::task::spawn_blocking(move || {
            let result = job();
            drop(place);
            result
        });
        match handle.await {
            Ok(result) => result,
            Err(e) if e.is_panic() => {
                self.panics.fetch_add(1, Ordering::Relaxed);
                Err(Error::internal(format!("a bug of ours ended one of the {}; it is in the server's log", self.what)))
            }
            Err(_) => Err(Error::unavailable("shutting down")),
        }
    }

    async fn place(&self, turn: Turn) -> Result<Place> {
        let waiter = {
            let mut queues = self.places.queues.lock();
            let is_first = !queues.waiting.contains_key(&turn.of);
            // A free place means that all who wait are held up by a bound of their own.
            if queues.free > 0 && is_first && queues.may_run(&turn.of, turn.at_once) {
                return Ok(queues.take(&self.places, &turn.of));
            }
            let (give, waiter) = oneshot::channel();
            queues.waiting.entry(turn.of.clone()).or_default().push_back((turn.at_once, give));
            if is_first {
                queues.turns.push_back(turn.of.clone());
            }
            let left = queues.give(&self.places);
            drop(queues);
            drop(left);
            waiter
        };
        match tokio::time::timeout(self.wait, waiter).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(Error::unavailable("shutting down")),
            Err(_) => {
                self.turned_away.fetch_add(1, Ordering::Relaxed);
                Err(self.no_place(&turn))
            }
        }
    }

    fn no_place(&self, turn: &Turn) -> Error {
        let queues = self.places.queues.lock();
        match turn.at_once {
            Some(most) if !queues.may_run(&turn.of, turn.at_once) => {
                let what = format!("too many {} of one tenant at once", self.what);
                let text = base::limits::beyond(&what, "queries.at_once", most, "Ask for fewer at a time, or come again");
                Error::new(Kind::LimitExceeded, text).retry_after(Duration::from_secs(1))
            }
            _ => Error::unavailable(format!("too many {} at once ({} run); come again", self.what, self.size)),
        }
    }

    /// Whether all jobs under way have ended, within `wait`.
    pub async fn drained(&self, wait: Duration) -> bool {
        let all = async {
            loop {
                let freed = self.places.freed.notified();
                tokio::pin!(freed);
                // From here on no ring is missed.
                freed.as_mut().enable();
                if self.running() == 0 {
                    return;
                }
                freed.await;
            }
        };
        tokio::time::timeout(wait, all).await.is_ok()
    }

    /// What the jobs are called.
    pub fn what(&self) -> &'static str {
        self.what
    }
    /// Jobs running.
    pub fn running(&self) -> usize {
        self.size - self.places.queues.lock().free
    }
    /// Jobs that found no place in time.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }
    /// Jobs that panicked.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
