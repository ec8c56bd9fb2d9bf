//! Memory at the edge: for bodies that arrive, and for answers that wait for their clients.

use std::sync::Arc;
use std::time::Duration;

use base::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A budget is counted in pieces of this size, because a semaphore counts in 32 bits.
pub(crate) const PIECE: usize = 4 << 10;

/// Memory for things of one kind. Who finds none waits for its turn.
pub struct Budget {
    free: Arc<Semaphore>,
    pieces: u32,
    wait: Duration,
    refusal: &'static str,
}

impl Budget {
    /// A budget of `bytes`. Who waits for `wait` is refused with `refusal`.
    pub fn new(bytes: usize, wait: Duration, refusal: &'static str) -> Self {
        let pieces = pieces(bytes).max(1);
        Budget { free: Arc::new(Semaphore::new(pieces as usize)), pieces, wait, refusal }
    }
    /// Takes `bytes`; what is larger than the whole budget takes all of it. An error of kind `Unavailable` when there is none in time.
    pub async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let wanted = pieces(bytes).min(self.pieces);
        match timeout(self.wait, self.free.clone().acquire_many_owned(wanted)).await {
            Ok(Ok(p)) => Ok(p),
            _ => Err(Error::unavailable(self.refusal)),
        }
    }
    /// Takes `bytes` if they are there and nobody waits for them.
    pub fn try_take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.free.clone().try_acquire_many_owned(pieces(bytes).min(self.pieces)).ok()
    }
    /// Bytes taken.
    pub fn used(&self) -> usize {
        (self.pieces as usize - self.free.available_permits()) * PIECE
    }
}

fn pieces(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX)
}
