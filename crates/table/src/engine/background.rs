//! The engine's own two threads: one freezes heads, one flushes, merges and sweeps. Both only call the steps that
//! anyone may call; without them the engine is as correct, and full sooner.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::Result;

use super::{Engine, MergeWhat};

impl Engine {
    pub(super) fn start_threads(self: &Arc<Self>) -> Result<()> {
        for (name, body) in [("table-freeze", freeze_loop as fn(&Engine)), ("table-maintain", maintain_loop)] {
            // A weak reference: whoever holds the engine decides when it ends.
            let weak = Arc::downgrade(self);
            let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
                while let Some(engine) = weak.upgrade() {
                    if engine.stopping.load(Ordering::SeqCst) {
                        break;
                    }
                    body(&engine);
                }
            })?;
            self.threads.lock().push(thread);
        }
        Ok(())
    }

    pub(super) fn join_threads(&self) {
        self.bell.freeze();
        self.bell.maintain();
        for t in self.threads.lock().drain(..) {
            if t.thread().id() != std::thread::current().id() && t.join().is_err() {
                tracing::error!("a background thread of the engine panicked");
            }
        }
    }

    /// One pass over what may be frozen.
    pub fn freeze_due(&self) -> Result<()> {
        let generations = self.live.read().generations.clone();
        for g in generations {
            for t in 0..self.tables.len() {
                let min =
                    if self.stats.pressure.load(Ordering::Relaxed) { self.settings.freeze_bytes / 8 } else { self.settings.freeze_bytes };
                if g.freeze(t, min)? {
                    self.stats.freezes.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    /// One pass over what is sealed, due or superseded.
    pub fn maintain(&self) -> Result<()> {
        let g = self.current();
        let since = g.since_ns.load(Ordering::Acquire) as i64;
        let old = since > 0 && self.clock.now_ns().saturating_sub(since) > self.settings.generation_age.as_nanos() as i64;
        if old || self.stats.pressure.swap(false, Ordering::Relaxed) && self.live.read().generations.len() == 1 {
            self.seal()?;
        }
        self.indexes.trim();
        self.flush_sealed()?;
        self.merge(MergeWhat::Due)?;
        self.sweep()
    }
}

fn freeze_loop(engine: &Engine) {
    engine.bell.wait_freeze(Duration::from_millis(500));
    report(engine, "freeze", engine.freeze_due());
}

fn maintain_loop(engine: &Engine) {
    engine.bell.wait_maintain(Duration::from_secs(1));
    if report(engine, "maintenance", engine.maintain()) {
        // A full or failing disk is not helped by asking it at once again.
        engine.bell.wait_maintain(Duration::from_secs(1));
    }
}

fn report(engine: &Engine, what: &str, result: Result<()>) -> bool {
    match result {
        Ok(()) => false,
        Err(e) => {
            engine.stats.background_failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(step = what, error = %e, "background step failed, will try again");
            true
        }
    }
}
