//! What was lost, named (promises P8 and P9): damage found on disk, frames that could not be read again.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::Clock;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::sorted::{Damage, LostRows};
use crate::spec::TableSpec;

/// A loss that is final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// What was damaged or dropped: a path, a WAL stretch.
    pub source: String,
    /// Short name, also a metric label.
    pub reason: String,
    /// Rows lost, when that is known.
    pub rows: Option<u64>,
    /// Bytes lost, when that is known.
    pub bytes: Option<u64>,
    /// Time of the first row lost, nanoseconds, when that is known.
    pub first_ns: Option<i64>,
    /// Time of the last row lost.
    pub last_ns: Option<i64>,
    /// When it was found, nanoseconds.
    pub found_ns: i64,
    /// For people.
    pub detail: String,
}

/// The losses of one engine, in the order they were found; the same source and reason is told once.
#[derive(Default)]
pub struct Losses {
    list: Mutex<VecDeque<Loss>>,
    count: AtomicU64,
    rows: AtomicU64,
    damaged: Mutex<BTreeSet<PathBuf>>,
}

impl Losses {
    /// Adds a loss, logs it, and counts it, unless the same one is known.
    pub fn add(&self, loss: Loss) {
        let mut l = self.list.lock();
        if l.iter().any(|k| k.source == loss.source && k.reason == loss.reason && k.detail == loss.detail) {
            return;
        }
        tracing::error!(
            source = loss.source,
            reason = loss.reason,
            rows = loss.rows,
            bytes = loss.bytes,
            detail = loss.detail,
            "rows lost"
        );
        self.count.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(loss.rows.unwrap_or(0), Ordering::Relaxed);
        l.push_back(loss);
        if l.len() > limits::LOSSES {
            l.pop_front();
        }
    }
    /// The losses still remembered one by one.
    pub fn list(&self) -> Vec<Loss> {
        self.list.lock().iter().cloned().collect()
    }
    /// Losses and rows known to be in them, over all.
    pub fn totals(&self) -> (u64, u64) {
        (self.count.load(Ordering::Relaxed), self.rows.load(Ordering::Relaxed))
    }

    /// Whether a file below `dir` was found damaged: it is kept for people to look at.
    pub fn damaged_below(&self, dir: &Path) -> bool {
        self.damaged.lock().iter().any(|p| p.starts_with(dir))
    }

    /// Where the files of a table report their damage.
    pub fn of_table(self: &Arc<Self>, spec: &'static TableSpec, clock: &Clock) -> Arc<dyn Damage> {
        Arc::new(TableDamage { losses: self.clone(), spec, clock: clock.clone() })
    }
}

struct TableDamage {
    losses: Arc<Losses>,
    spec: &'static TableSpec,
    clock: Clock,
}

impl Damage for TableDamage {
    fn lost(&self, what: LostRows) {
        let place = |g: Option<u32>, c: &Option<String>| match (g, c) {
            (Some(g), Some(c)) => format!("row group {g}, column {c}"),
            (Some(g), None) => format!("row group {g}"),
            _ => "file".into(),
        };
        self.losses.damaged.lock().insert(what.path.clone());
        self.losses.add(Loss {
            source: what.path.display().to_string(),
            reason: format!("{}_damaged", self.spec.name),
            rows: Some(what.rows),
            bytes: None,
            first_ns: Some(self.spec.unit.to_ns(what.first_time)),
            last_ns: Some(self.spec.unit.to_ns(what.last_time)),
            found_ns: self.clock.now_ns(),
            detail: format!("{}: {}", place(what.row_group, &what.column), what.reason),
        });
    }
}
