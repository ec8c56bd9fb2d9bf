//! Wakes the background threads.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Which thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// There may be a head to freeze.
    Freeze,
    /// There may be something to flush.
    Flush,
    /// There may be something to merge.
    Merge,
    /// There may be blocks to read.
    List,
}

/// One flag for each thread, and one that ends all waiting.
#[derive(Default)]
pub(crate) struct Bell {
    state: Mutex<State>,
    cond: Condvar,
}

#[derive(Default)]
struct State {
    rung: [bool; 4],
    stopped: bool,
}

impl Bell {
    fn ring(&self, which: Ring) {
        self.state.lock().rung[which as usize] = true;
        self.cond.notify_all();
    }
    pub fn freeze(&self) {
        self.ring(Ring::Freeze);
    }
    pub fn flush(&self) {
        self.ring(Ring::Flush);
    }
    pub fn merge(&self) {
        self.ring(Ring::Merge);
    }
    pub fn list(&self) {
        self.ring(Ring::List);
    }
    /// From now on nobody waits.
    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.cond.notify_all();
    }
    /// Returns when rung or stopped, or after `at_most`.
    pub fn wait(&self, which: Ring, at_most: Duration) {
        let mut s = self.state.lock();
        let quiet = |s: &mut State| !s.rung[which as usize] && !s.stopped;
        self.cond.wait_while_for(&mut s, quiet, at_most);
        s.rung[which as usize] = false;
    }
    /// Returns when stopped, or after `at_most`.
    pub fn wait_stop(&self, at_most: Duration) {
        self.cond.wait_while_for(&mut self.state.lock(), |s| !s.stopped, at_most);
    }
    /// A pause while threads end.
    pub fn wait_ended(&self, at_most: Duration) {
        self.cond.wait_for(&mut self.state.lock(), at_most);
    }
}
