//! The series of one table that rows in memory speak of, by small numbers.
//!
//! A registry lives as long as its memtable generation and is never written: runs carry their own series, and the WAL
//! carries the labels of every row in it, so there is nothing to recover or to evict. The fast way in is a 128-bit hash
//! over the label bytes as the client sent them.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};

use base::hash::{hash64, hash128_seeded};
use base::{Labels, Tenant};
use std::collections::HashMap;
use parking_lot::{RwLock, RwLockReadGuard};

use crate::limits;
use crate::sorted::{SeriesKey, SeriesNames};

/// Keys are hashes already: takes eight of their bytes as they are.
#[derive(Default)]
pub struct Already(u64);

impl Hasher for Already {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash64(bytes);
    }
    fn write_u128(&mut self, n: u128) {
        self.0 = n as u64;
    }
}

type ByHash = HashMap<u128, u32, BuildHasherDefault<Already>>;

#[derive(Default)]
struct Inner {
    by_raw: ByHash,
    by_key: ByHash,
    keys: Vec<(SeriesKey, u128)>,
}

/// Label sets to numbers and back.
#[derive(Default)]
pub struct Registry {
    inner: RwLock<Inner>,
    bytes: AtomicUsize,
}

/// What keeps one tenant's raw hashes apart from another's.
pub fn tenant_seed(tenant: &Tenant) -> u128 {
    u128::from(hash64(tenant.as_str().as_bytes())) << 32
}

/// The identity of a series within a table, over all tenants.
pub fn key_hash(tenant: &Tenant, labels: &Labels) -> u128 {
    hash128_seeded(labels.as_bytes(), hash64(tenant.as_str().as_bytes()))
}

/// A registry as it stands, for many look-ups at the cost of one lock. Held for one body: new series wait for it.
pub struct Reader<'a>(RwLockReadGuard<'a, Inner>);

impl Reader<'_> {
    /// The number behind a raw hash.
    pub fn lookup(&self, raw: u128) -> Option<u32> {
        self.0.by_raw.get(&raw).copied()
    }
    /// The identity of a series, the same in every registry.
    pub fn identity(&self, number: u32) -> u128 {
        self.0.keys[number as usize].1
    }
}

impl Registry {
    /// Locks it for reading.
    pub fn reader(&self) -> Reader<'_> {
        Reader(self.inner.read())
    }

    /// The number of a label set, given one if it is new; remembers `raw` as a way to it.
    pub fn intern(&self, raw: Option<u128>, key: SeriesKey) -> u32 {
        let hash = key_hash(&key.tenant, &key.labels);
        let mut i = self.inner.write();
        let i = &mut *i;
        let number = *i.by_key.entry(hash).or_insert_with(|| {
            // Two maps' slots, the key itself, and its label bytes.
            self.bytes.fetch_add(160 + key.labels.as_bytes().len(), Ordering::Relaxed);
            i.keys.push((key, hash));
            (i.keys.len() - 1) as u32
        });
        if let Some(raw) = raw
            && i.by_raw.len() < i.keys.len() * limits::RAW_FORMS_PER_SERIES
        {
            i.by_raw.insert(raw, number);
        }
        number
    }

    /// Bytes it takes, about.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl SeriesNames for Registry {
    fn key(&self, number: u32) -> SeriesKey {
        self.inner.read().keys[number as usize].0.clone()
    }
}
