//! The series of one table that rows in memory speak of, by small numbers.
//!
//! A registry lives as long as its memtable generation and is never written: runs carry their own series, and the WAL
//! carries the labels of every row in it, so there is nothing to recover or to evict. The fast way in is a 128-bit hash
//! over the label bytes as the client sent them.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use base::hash::{hash64, hash128_seeded};
use base::{Labels, Tenant};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::collections::HashMap;

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
    /// The raw hash that made each series known.
    raws: Vec<u128>,
}

/// Label sets to numbers and back.
#[derive(Default)]
pub struct Registry {
    inner: RwLock<Inner>,
    order: Mutex<LabelOrder>,
    bytes: AtomicUsize,
    /// The registry of the generation before, as long as that is in memory.
    before: Weak<Registry>,
}

/// What keeps one tenant's raw hashes apart from another's.
pub fn tenant_seed(tenant: &Tenant) -> u128 {
    u128::from(hash64(tenant.as_str().as_bytes())) << 32
}

/// The identity of a series within a table, over all tenants.
pub fn key_hash(tenant: &Tenant, labels: &Labels) -> u128 {
    hash128_seeded(labels.as_bytes(), hash64(tenant.as_str().as_bytes()))
}

/// Bytes that a series takes in a registry, about: two maps' slots, the key itself, its places in the lists, and its label bytes.
pub fn weight(labels: &Labels) -> usize {
    184 + labels.as_bytes().len()
}

/// The series in label order, and each one's place in it. Kept between freezes, since most come with no new series.
#[derive(Default)]
struct LabelOrder {
    sorted: Vec<u32>,
    rank: Vec<u32>,
}

impl LabelOrder {
    /// Sorts the new series and merges them in.
    fn extend(&mut self, keys: &[(SeriesKey, u128)]) {
        let mut new: Vec<u32> = (self.rank.len() as u32..keys.len() as u32).collect();
        if new.is_empty() {
            return;
        }
        let key = |n: &u32| &keys[*n as usize].0;
        new.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        let old = std::mem::replace(&mut self.sorted, Vec::with_capacity(keys.len()));
        let (mut a, mut b) = (old.into_iter().peekable(), new.into_iter().peekable());
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            let next = if key(x) <= key(y) { a.next() } else { b.next() };
            self.sorted.extend(next);
        }
        self.sorted.extend(a.chain(b));
        self.rank.resize(keys.len(), 0);
        for (rank, n) in self.sorted.iter().enumerate() {
            self.rank[*n as usize] = rank as u32;
        }
    }
}

/// A registry as it stands, for many look-ups at the cost of one lock. Held for one body: new series wait for it.
pub struct Reader<'a>(RwLockReadGuard<'a, Inner>);

impl Reader<'_> {
    /// The number behind a raw hash. Senders repeat their series in one order, so the series after `last` is looked at
    /// first: that is one read in a row of reads, where the map is a cache miss.
    pub fn lookup(&self, raw: u128, last: u32) -> Option<u32> {
        let next = last.wrapping_add(1);
        if self.0.raws.get(next as usize) == Some(&raw) {
            return Some(next);
        }
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

    /// An empty registry that learns series from the one before it.
    pub fn after(before: &Arc<Registry>) -> Registry {
        Registry { before: Arc::downgrade(before), ..Registry::default() }
    }

    /// The number of a series that the registry before knows by its raw hash, and what it weighs. Its labels are neither read a second
    /// time nor kept twice: most series of a generation were in the one before.
    pub fn inherit(&self, raw: u128) -> Option<(u32, usize)> {
        let before = self.before.upgrade()?;
        let (key, hash) = {
            let i = before.inner.read();
            i.keys[*i.by_raw.get(&raw)? as usize].clone()
        };
        let weight = weight(&key.labels);
        Some((self.insert(Some(raw), key, hash), weight))
    }

    /// The number of a label set, given one if it is new; remembers `raw` as a way to it.
    pub fn intern(&self, raw: Option<u128>, key: SeriesKey) -> u32 {
        let hash = key_hash(&key.tenant, &key.labels);
        self.insert(raw, key, hash)
    }

    fn insert(&self, raw: Option<u128>, key: SeriesKey, hash: u128) -> u32 {
        let mut i = self.inner.write();
        let i = &mut *i;
        let number = *i.by_key.entry(hash).or_insert_with(|| {
            self.bytes.fetch_add(weight(&key.labels), Ordering::Relaxed);
            i.keys.push((key, hash));
            // A series that came by no raw hash is found through the map alone: no raw hash is 0 but by chance.
            i.raws.push(raw.unwrap_or(0));
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

    fn order(&self, numbers: &mut Vec<u32>) {
        let mut order = self.order.lock();
        order.extend(&self.inner.read().keys);
        numbers.sort_unstable_by_key(|n| order.rank[*n as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tenant: &str, name: &str) -> SeriesKey {
        SeriesKey { tenant: Tenant::new(tenant).unwrap(), labels: Labels::from_pairs([("n", name)]).unwrap() }
    }

    #[test]
    fn label_order_holds_as_series_come() {
        let r = Registry::default();
        let mut all = vec![];
        for round in 0..20u64 {
            for i in 0..=round {
                let name = format!("{:x}", hash64(&(round * 100 + i).to_le_bytes()) % 1000);
                all.push(r.intern(Some(u128::from(round * 100 + i)), key(if i % 3 == 0 { "b" } else { "a" }, &name)));
            }
            let mut numbers = all.clone();
            numbers.sort_unstable();
            numbers.dedup();
            r.order(&mut numbers);
            assert!(numbers.is_sorted_by_key(|n| r.key(*n)), "round {round}");
        }
    }

    #[test]
    fn series_are_inherited_while_the_registry_before_lives() {
        let before = Arc::new(Registry::default());
        let n: Vec<u32> = (1..20u128).map(|i| before.intern(Some(i), key("a", &i.to_string()))).collect();
        let r = Registry::after(&before);
        let own = r.intern(Some(7), key("a", "7"));
        assert_eq!(r.inherit(7), Some((own, weight(&key("a", "7").labels))));
        let (other, _) = r.inherit(3).unwrap();
        assert!(other != own && r.reader().lookup(3, u32::MAX) == Some(other) && r.key(other) == before.key(n[2]));
        assert_eq!(r.reader().identity(other), before.reader().identity(n[2]));
        let labels = |k: SeriesKey| k.labels.as_bytes().as_ptr();
        assert_eq!(labels(r.key(other)), labels(before.key(n[2])), "kept once");
        assert_eq!((r.inherit(20), r.intern(Some(20), key("a", "3"))), (None, other));
        drop(before);
        assert_eq!(r.inherit(4), None);
    }

    #[test]
    fn a_hint_never_finds_another_series() {
        let r = Registry::default();
        let n: Vec<u32> = (1..50u128).map(|i| r.intern(Some(i), key("a", &i.to_string()))).collect();
        for last in [0, 7, u32::MAX, 1000] {
            for i in 1..50u128 {
                assert_eq!(r.reader().lookup(i, last), Some(n[i as usize - 1]));
            }
            assert_eq!(r.reader().lookup(50, last), None);
        }
    }
}
