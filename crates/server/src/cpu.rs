//! Computing off the async runtime: a bounded number of jobs at once, a bounded wait for a place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::{Error, Result};
use tokio::sync::Semaphore;

/// Places for jobs of one kind. A job keeps its place until it ends, even when nobody waits for it any more.
pub struct Pool {
    what: &'static str,
    places: Arc<Semaphore>,
    size: usize,
    wait: Duration,
    turned_away: AtomicU64,
    panics: AtomicU64,
}

impl Pool {
    /// `size` places for jobs called `what`; a job waits at most `wait` for one.
    pub fn new(what: &'static str, size: usize, wait: Duration) -> Self {
        let size = size.max(1);
        Pool { what, places: Arc::new(Semaphore::new(size)), size, wait, turned_away: AtomicU64::new(0), panics: AtomicU64::new(0) }
    }

    /// Runs `job` on a blocking thread. `Unavailable` when no place came free in time; a panic becomes `Internal`.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let place = match tokio::time::timeout(self.wait, self.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Err(Error::unavailable("shutting down")),
            Err(_) => {
                self.turned_away.fetch_add(1, Ordering::Relaxed);
                return Err(Error::unavailable(format!("too many {} at once ({} run); come again", self.what, self.size)));
            }
        };
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

    /// Whether all jobs under way have ended, within `wait`.
    pub async fn drained(&self, wait: Duration) -> bool {
        let all = u32::try_from(self.size).unwrap_or(u32::MAX);
        tokio::time::timeout(wait, self.places.acquire_many(all)).await.is_ok()
    }

    /// What the jobs are called.
    pub fn what(&self) -> &'static str {
        self.what
    }
    /// Jobs running.
    pub fn running(&self) -> usize {
        self.size - self.places.available_permits()
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
mod tests {
    use super::*;
    use base::Kind;

    #[tokio::test]
    async fn a_full_pool_turns_away_and_a_panic_frees_its_place() {
        let pool = Arc::new(Pool::new("tests", 1, Duration::from_millis(1)));
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let (started, is_started) = tokio::sync::oneshot::channel();
        let busy = tokio::spawn({
            let pool = pool.clone();
            async move {
                pool.run(move || {
                    let _ = started.send(());
                    told.recv().map_err(|e| Error::internal(e.to_string()))
                })
                .await
            }
        });
        is_started.await.unwrap();
        assert_eq!(pool.run(|| Ok(())).await.unwrap_err().kind(), Kind::Unavailable);
        assert_eq!((pool.turned_away(), pool.running()), (1, 1));
        assert!(!pool.drained(Duration::from_millis(1)).await);
        tell.send(()).unwrap();
        busy.await.unwrap().unwrap();
        assert_eq!(pool.run::<()>(|| panic!("on purpose")).await.unwrap_err().kind(), Kind::Internal);
        assert_eq!(pool.panics(), 1);
        assert!(pool.drained(Duration::from_secs(60)).await);
        assert_eq!(pool.run(|| Ok(7)).await.unwrap(), 7);
    }
}
