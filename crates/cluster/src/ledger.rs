//! The ledger (promise P8): every record that was not taken, by tenant and reason, with the time range it came from.
//!
//! *Deferred* were asked to come back (429, 503) and are lost only if their sender gives up; *lost* are final. The
//! ledger survives a restart: it is written aside and renamed, at most once per call of [`Ledger::save`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use base::{Result, Tenant};
use disk::Fs;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use table::Loss;

use crate::limits;

/// What is known of one tenant's records that met one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whose.
    pub tenant: String,
    /// Short name, also a metric label.
    pub reason: String,
    /// Requests (deferred) or records (lost).
    pub count: u64,
    /// Bytes, as received (deferred) or of the records (lost).
    pub bytes: u64,
    /// Earliest record's time, nanoseconds; of a deferred request, when it came.
    pub first_ns: i64,
    /// Latest.
    pub last_ns: i64,
    /// When it last happened, nanoseconds.
    pub seen_ns: i64,
    /// The latest in words.
    pub example: String,
}

/// The ledger as the API gives it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LedgerView {
    /// Asked to come back.
    pub deferred: Vec<Entry>,
    /// Final: refused for good.
    pub lost: Vec<Entry>,
    /// Final: stored, and damaged on disk since.
    pub damaged: Vec<Loss>,
}

type Book = BTreeMap<(String, String), Entry>;

#[derive(Default)]
struct Books {
    deferred: Book,
    lost: Book,
    damaged: Vec<Loss>,
    dirty: bool,
}

/// Counts what was not taken.
pub struct Ledger {
    books: Mutex<Books>,
    fs: Arc<dyn Fs>,
    path: PathBuf,
}

impl Ledger {
    /// Opens the ledger at `path`, or begins one. A damaged one is kept beside it and a new one begun.
    pub fn open(fs: Arc<dyn Fs>, path: PathBuf) -> Result<Self> {
        let mut books = Books::default();
        match disk::read(&*fs, &path) {
            Ok(bytes) => match serde_json::from_slice::<LedgerView>(&bytes) {
                Ok(v) => {
                    let book = |es: Vec<Entry>| es.into_iter().map(|e| ((e.tenant.clone(), e.reason.clone()), e)).collect();
                    books = Books { deferred: book(v.deferred), lost: book(v.lost), damaged: v.damaged, dirty: false };
                }
                Err(e) => {
                    tracing::error!(path = %path.display(), error = %e, "the ledger is damaged, keeping it aside and beginning a new one");
                    fs.rename(&path, &path.with_extension("damaged"))?;
                }
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e.into()),
        }
        Ok(Ledger { books: Mutex::new(books), fs, path })
    }

    /// A request that was asked to come back.
    pub fn deferred(&self, tenant: &Tenant, reason: &str, bytes: u64, now_ns: i64) {
        let mut b = self.books.lock();
        b.dirty = true;
        note(&mut b.deferred, (tenant, reason), 1, bytes, now_ns, now_ns, "");
    }

    /// Records that can never be taken, with the time of one of them.
    #[allow(clippy::too_many_arguments)] // one line of a ledger has that many columns
    pub fn lost(&self, tenant: &Tenant, reason: &str, count: u64, bytes: u64, time_ns: i64, now_ns: i64, example: &str) {
        let mut b = self.books.lock();
        b.dirty = true;
        note(&mut b.lost, (tenant, reason), count, bytes, time_ns, now_ns, example);
    }

    /// What it holds, with the damage found on disk since the start added to what was known before.
    pub fn view(&self, damaged: &[Loss]) -> LedgerView {
        let mut b = self.books.lock();
        for d in damaged {
            let same = |k: &Loss| k.source == d.source && k.reason == d.reason && k.detail == d.detail;
            if !b.damaged.iter().any(same) && b.damaged.len() < limits::LEDGER_ENTRIES {
                b.damaged.push(d.clone());
                b.dirty = true;
            }
        }
        LedgerView {
            deferred: b.deferred.values().cloned().collect(),
            lost: b.lost.values().cloned().collect(),
            damaged: b.damaged.clone(),
        }
    }

    /// Makes it durable if it has changed.
    pub fn save(&self, damaged: &[Loss]) -> Result<()> {
        let view = self.view(damaged);
        if !std::mem::take(&mut self.books.lock().dirty) {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(&view).map_err(|e| base::Error::internal(e.to_string()))?;
        disk::write_durably(&*self.fs, &self.path, &text).inspect_err(|_| self.books.lock().dirty = true)?;
        Ok(())
    }
}

fn note(book: &mut Book, (tenant, reason): (&Tenant, &str), count: u64, bytes: u64, time_ns: i64, now_ns: i64, example: &str) {
    let key = (tenant.to_string(), reason.to_owned());
    if book.len() >= limits::LEDGER_ENTRIES && !book.contains_key(&key) {
        // Too many tenants: what happened longest ago makes room.
        if let Some(oldest) = book.iter().min_by_key(|(_, e)| e.seen_ns).map(|(k, _)| k.clone()) {
            book.remove(&oldest);
        }
    }
    let e = book.entry(key).or_insert_with(|| Entry {
        tenant: tenant.to_string(),
        reason: reason.into(),
        count: 0,
        bytes: 0,
        first_ns: time_ns,
        last_ns: time_ns,
        seen_ns: now_ns,
        example: String::new(),
    });
    e.count += count;
    e.bytes += bytes;
    e.first_ns = e.first_ns.min(time_ns);
    e.last_ns = e.last_ns.max(time_ns);
    e.seen_ns = now_ns;
    example.chars().take(300).collect::<String>().clone_into(&mut e.example);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_apart_and_survives_a_restart() {
        let fs: Arc<dyn Fs> = Arc::new(disk::SimFs::seeded(1));
        let open = || Ledger::open(fs.clone(), "/ledger.json".into()).unwrap();
        let t = Tenant::default();
        let l = open();
        l.deferred(&t, "rate_limited", 10, 5);
        l.lost(&t, "too_far_in_future", 1, 3, 100, 6, "entry too new");
        l.lost(&t, "too_far_in_future", 1, 4, 90, 7, "entry too new");
        l.save(&[]).unwrap();
        let v = open().view(&[]);
        assert_eq!((v.deferred[0].count, v.deferred[0].bytes), (1, 10));
        assert_eq!((v.lost[0].count, v.lost[0].bytes, v.lost[0].first_ns, v.lost[0].last_ns), (2, 7, 90, 100));
    }
}
