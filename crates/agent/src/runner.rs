//! Wraps a step in a thread.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base::{Error, Result};
use parking_lot::{Condvar, Mutex};

/// What to do after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The next step follows at once: there is more to do.
    None,
    /// So long after the step began (a steady beat); at once if the step took longer.
    Beat(Duration),
    /// So long from now.
    Rest(Duration),
}

/// A named thread that repeats a step until it is told to stop. Dropping it stops it too.
pub struct Runner {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Runner {
    /// Starts a thread that calls `step` again and again.
    pub fn start(name: &str, mut step: impl FnMut() -> Pause + Send + 'static) -> Result<Runner> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let told = stop.clone();
        let body = move || {
            while !*told.0.lock() {
                let began = Instant::now();
                let until = match step() {
                    Pause::None => continue,
                    Pause::Beat(d) => began + d,
                    Pause::Rest(d) => Instant::now() + d,
                };
                let mut stopped = told.0.lock();
                while !*stopped && !told.1.wait_until(&mut stopped, until).timed_out() {}
            }
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(body);
        let thread = thread.map_err(|e| Error::internal(format!("thread {name} does not start: {e}")))?;
        Ok(Runner { stop, thread: Some(thread) })
    }

    /// True once the thread has ended, which it does only when it is told to or its step panicked.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Tells it to end after the step that is under way, and does not wait.
    pub fn tell(&self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
    }

    /// Lets the step that is under way finish, then ends the thread. An error says that a step panicked.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.tell();
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(Error::internal("a collecting thread panicked")),
            _ => Ok(()),
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if self.end().is_err() {
            tracing::error!("a collecting thread had panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_step_repeats_until_it_is_stopped() {
        let (tx, rx) = mpsc::channel();
        let mut n = 0;
        let r = Runner::start("test", move || {
            n += 1;
            tx.send(n).ok();
            if n < 3 { Pause::None } else { Pause::Rest(Duration::from_secs(3600)) }
        })
        .unwrap();
        assert_eq!((rx.recv(), rx.recv(), rx.recv()), (Ok(1), Ok(2), Ok(3)));
        r.stop().unwrap();
        assert!(rx.recv().is_err(), "no step after the stop");
    }

    #[test]
    fn a_panic_is_seen() {
        let r = Runner::start("test", || panic!("on purpose")).unwrap();
        while !r.is_finished() {
            std::thread::yield_now();
        }
        assert!(r.stop().is_err());
    }
}
