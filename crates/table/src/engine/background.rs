//! The engine's own threads: one freezes heads, one flushes, one merges and sweeps, and one reads the list of blocks of the store
//! that there is or will be. All only call the steps that anyone may call; without them the engine is as correct, and full sooner.
//!
//! Merging has a thread of its own because it may wait for a store that is slow or away: runs then pile up on the disk,
//! and writes go on (P7). It uploads one block at a time, and after a failure it waits longer each time, and not as long as
//! the other nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base::Result;

use super::bell::Ring;
use super::{Engine, MergeWhat, Refresh};
use crate::limits;

type Body = fn(&Engine);

const THREADS: [(&str, Body); 4] =
    [("table-freeze", freeze_loop), ("table-flush", flush_loop), ("table-merge", merge_loop), ("table-list", list_loop)];

impl Engine {
    pub(super) fn start_threads(self: &Arc<Self>) -> Result<()> {
        for (name, body) in THREADS {
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
        self.stop_merging.cancel();
        self.bell.stop();
        let mut patience = if self.blocks.remote().is_some() { limits::STOP_WAITS } else { u32::MAX };
        for t in self.threads.lock().drain(..) {
            // A call of a store that is away ends late, and nothing depends on it.
            while !t.is_finished() && patience < u32::MAX && patience > 0 {
                self.bell.wait_ended(Duration::from_millis(100));
                patience -= 1;
            }
            if patience == 0 && !t.is_finished() {
                tracing::info!("stopping without waiting for the store");
            } else if t.thread().id() != std::thread::current().id() && t.join().is_err() {
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

    /// One pass over what is old or sealed.
    pub fn flush_due(&self) -> Result<()> {
        let g = self.current();
        let since = g.since_ns.load(Ordering::Acquire) as i64;
        let old = since > 0 && self.clock.now_ns().saturating_sub(since) > self.settings.generation_age.as_nanos() as i64;
        if old || self.stats.pressure.swap(false, Ordering::Relaxed) && self.live.read().generations.len() == 1 {
            self.seal()?;
        }
        self.indexes.trim();
        self.flush_sealed()
    }

    /// One pass over everything but the list of blocks.
    pub fn maintain(&self) -> Result<()> {
        self.flush_due()?;
        self.merge_due()
    }

    /// One pass over what is due to be merged, moved or removed.
    pub fn merge_due(&self) -> Result<()> {
        self.merge(MergeWhat::Due)?;
        self.erase_due()?;
        self.move_blocks()?;
        self.sweep()
    }

    /// One look at the list of blocks, if it is time for one.
    pub fn list_due(&self) -> Result<()> {
        let Some(remote) = self.blocks.remote() else { return Ok(()) };
        let now = self.clock.now_ns();
        let past = |at: &std::sync::atomic::AtomicI64| now.saturating_sub(at.load(Ordering::Relaxed));
        // Who writes alone has read the list once and knows what comes.
        let all = self.blocks_fresh().is_none() || remote.shared && past(&self.listed_ns) > limits::LIST_ALL_NS;
        if all {
            self.refresh(Refresh::All)?;
        } else if remote.shared && past(&self.listed_recent_ns) > limits::LIST_RECENT_NS {
            self.refresh(Refresh::Recent)?;
        }
        if all || past(&self.listed_recent_ns) > limits::LIST_RECENT_NS {
            self.listed_recent_ns.store(now, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Waits after a failure, twice as long as the last time, up to a bound. Where nodes share a store, each for another
    /// time, so that they do not come back to it at once.
    fn wait_after_failure(&self, failures: u32) {
        let longest = Duration::from_millis(1000 << failures.min(6)).min(limits::RETRY_AT_MOST);
        let seed = format!("{}/{}/{failures}", self.blocks.node, self.clock.now_ns());
        let share = 50 + base::hash::hash128(seed.as_bytes()) as u32 % 50;
        self.bell.wait_stop(longest * share / 100);
    }
}

fn freeze_loop(engine: &Engine) {
    engine.bell.wait(Ring::Freeze, Duration::from_millis(500));
    report(engine, "freeze", engine.freeze_due());
}

fn flush_loop(engine: &Engine) {
    engine.bell.wait(Ring::Flush, Duration::from_secs(1));
    if report(engine, "flush", engine.flush_due()) {
        // A full or failing disk is not helped by asking it at once again.
        engine.bell.wait_stop(Duration::from_secs(1));
    }
    engine.bell.merge();
}

fn merge_loop(engine: &Engine) {
    engine.bell.wait(Ring::Merge, Duration::from_secs(1));
    retry(engine, "merge", &engine.merge_failures, engine.merge_due());
}

fn list_loop(engine: &Engine) {
    engine.bell.wait(Ring::List, Duration::from_secs(1));
    let fetched = || -> Result<()> {
        loop {
            if engine.stopping.load(Ordering::SeqCst) || !engine.prefetch()? {
                return Ok(());
            }
        }
    };
    retry(engine, "list of blocks", &engine.list_failures, engine.list_due().and_then(|()| fetched()));
}

fn retry(engine: &Engine, what: &str, failures: &AtomicU32, result: Result<()>) {
    if engine.stopping.load(Ordering::SeqCst) {
        return;
    }
    if report(engine, what, result) {
        engine.wait_after_failure(failures.fetch_add(1, Ordering::Relaxed));
    } else {
        failures.store(0, Ordering::Relaxed);
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
