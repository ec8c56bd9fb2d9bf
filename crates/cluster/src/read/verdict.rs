//! Whether one answer is whole, as its parts come or fail to come (P6).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::Error;
use parking_lot::Mutex;
use table::{Lack, Missing};

use super::stats::Counters;
use crate::membership::{Membership, Peer};
use crate::transport::{NodeId, is_unreachable};

/// Collects who gave nothing, or not all, to one answer.
pub struct Verdict {
    membership: Arc<Membership>,
    counters: Arc<Counters>,
    missing: Missing,
    silent: Mutex<Vec<(NodeId, Lack)>>,
    counted: AtomicBool,
}

impl Verdict {
    pub fn new(membership: &Arc<Membership>, counters: &Arc<Counters>, missing: &Missing) -> Arc<Verdict> {
        Arc::new(Verdict {
            membership: membership.clone(),
            counters: counters.clone(),
            missing: missing.clone(),
            silent: Mutex::default(),
            counted: AtomicBool::new(false),
        })
    }

    /// A member that is known to give nothing, and is not asked.
    pub fn absent(&self, peer: &Peer, why: &str) {
        self.silent.lock().push((peer.id, Lack { whose: name(peer), why: why.to_owned(), since_ns: None }));
    }

    /// A member that was asked and gave nothing, or not all.
    pub fn failed(&self, peer: &Peer, why: &Error) {
        if is_unreachable(why) {
            self.membership.suspect(peer.id);
        }
        self.counters.silent.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(node = %peer.id, address = peer.address, error = %why, "a member's rows did not come, or not all");
        self.absent(peer, why.message());
        // Now, while it is known what it may have held: it may be back, and rid of its rows, before the answer ends.
        self.judge();
    }

    /// What a member could not read of its own.
    pub fn lacks(&self, peer: &Peer, lacks: Vec<Lack>) {
        for l in lacks {
            self.note(Lack { whose: format!("{} on {}", l.whose, name(peer)), ..l });
        }
    }

    /// Notes a lack.
    pub fn note(&self, lack: Lack) {
        self.missing.note(lack);
        if !self.counted.swap(true, Ordering::Relaxed) {
            self.counters.incomplete.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Judges by what is known now, and notes what may be missing.
    pub fn judge(&self) {
        let silent = self.silent.lock().clone();
        let ids: Vec<NodeId> = silent.iter().map(|s| s.0).collect();
        if silent.is_empty() {
            return;
        }
        if let Some(why) = self.membership.judge(&ids) {
            silent.into_iter().for_each(|(_, lack)| self.note(lack));
            self.note(Lack { whose: "cluster".into(), why, since_ns: None });
        }
    }
}

/// A member, for people.
pub fn name(peer: &Peer) -> String {
    format!("node {} ({})", peer.address, peer.id)
}
