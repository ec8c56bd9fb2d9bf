//! Buffers of bodies that are done with, for the next bodies.
//!
//! What a body was decompressed into lives as long as its rows do, a second or two, and is freed by another thread.
//! Fresh memory of that size is memory that the system gives and clears page by page: a third of the time of a decompression.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::limits::{SPARE_BYTES, SPARE_MAX, SPARE_MIN};

/// Buffers are this much longer than asked for at most, as a share of it: 1 / `SLACK`.
const SLACK: usize = 8;

/// A buffer of the length asked for. It holds bytes of some earlier body until it is written to.
#[derive(Debug)]
pub(crate) struct Spare {
    buffer: Vec<u8>,
    len: usize,
}

/// Those that wait for a body, the longest waiting first.
#[derive(Default)]
struct Shelf {
    buffers: VecDeque<Vec<u8>>,
    bytes: usize,
}

static SHELF: Mutex<Shelf> = Mutex::new(Shelf { buffers: VecDeque::new(), bytes: 0 });

impl Spare {
    /// A buffer of `len` bytes.
    pub fn take(len: usize) -> Self {
        let kept = if is_kept(len) { SHELF.lock().unwrap_or_else(PoisonError::into_inner).take(len) } else { None };
        // A little longer, so that a body of nearly this length finds it fit.
        let buffer = kept.unwrap_or_else(|| vec![0; if is_kept(len) { len + len / (2 * SLACK) } else { len }]);
        Spare { buffer, len }
    }
    /// What is to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.len]
    }
}

impl AsRef<[u8]> for Spare {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if is_kept(self.len) {
            SHELF.lock().unwrap_or_else(PoisonError::into_inner).put(std::mem::take(&mut self.buffer));
        }
    }
}

/// Small ones are not worth it, and large ones too rare.
fn is_kept(len: usize) -> bool {
    (SPARE_MIN..=SPARE_MAX).contains(&len)
}

impl Shelf {
    /// The one put here last among those that fit: it may still be in the processor's cache.
    fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        let fits = |b: &Vec<u8>| (len..=len + len / SLACK).contains(&b.len());
        let buffer = self.buffers.iter().rposition(fits).and_then(|i| self.buffers.remove(i))?;
        self.bytes -= buffer.len();
        Some(buffer)
    }
    /// Keeps it; those that nobody wanted for longest make room.
    fn put(&mut self, buffer: Vec<u8>) {
        self.bytes += buffer.len();
        self.buffers.push_back(buffer);
        while self.bytes > SPARE_BYTES {
            let Some(oldest) = self.buffers.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_for_a_body_that_it_fits() {
        let mut shelf = Shelf::default();
        for n in [1_000_000, 1_100_000, 500_000] {
            shelf.put(vec![0; n]);
        }
        assert_eq!(shelf.take(1_000_000).map(|b| b.len()), Some(1_100_000), "the one put there last");
        assert_eq!(shelf.take(1_000_000).map(|b| b.len()), Some(1_000_000));
        assert_eq!(shelf.take(1_000_000), None);
        assert_eq!(shelf.take(400_000), None, "half of it would be wasted");
        assert_eq!(shelf.bytes, 500_000);
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes() {
        let mut shelf = Shelf::default();
        let n = SPARE_BYTES / 4;
        for i in 0..6u8 {
            shelf.put(vec![i; n]);
        }
        assert!(shelf.bytes <= SPARE_BYTES);
        let left: Vec<u8> = shelf.buffers.iter().map(|b| b[0]).collect();
        assert_eq!(left, [2, 3, 4, 5]);
    }

    #[test]
    fn it_is_as_long_as_asked_for() {
        for len in [0, 10, SPARE_MIN, SPARE_MIN + 1, SPARE_MAX, SPARE_MAX + 1] {
            let mut s = Spare::take(len);
            s.bytes_mut().fill(7);
            assert_eq!(s.as_ref(), vec![7; len]);
        }
    }
}
