//! A store that fails on command.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Error, Result};
use bytes::Bytes;
use disk::Fs;
use parking_lot::Mutex;

use crate::{Created, Object, Store};

/// How a [`Faulty`] store fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Every call fails.
    pub down: bool,
    /// Of a hundred calls so many fail, half of the failing writes after they were done: an answer can be lost too.
    pub fail_percent: u64,
    /// The next create is done, its answer is lost, and from then on the store is down.
    pub down_after_create: bool,
    /// Each call takes this longer.
    pub delay: Duration,
}

/// Any store, and the faults of the day. Which calls fail is decided by a seed. It is never a directory, so that whoever
/// uses it goes the way of distant stores.
pub struct Faulty {
    inner: Arc<dyn Store>,
    state: Mutex<State>,
}

struct State {
    faults: Faults,
    random: u64,
    calls: u64,
    failed: u64,
}

/// When a call fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Well,
    Before,
    After,
}

impl Faulty {
    /// A store without faults so far.
    pub fn new(inner: Arc<dyn Store>, seed: u64) -> Self {
        Faulty { inner, state: Mutex::new(State { faults: Faults::default(), random: seed, calls: 0, failed: 0 }) }
    }

    /// From now on it fails like this.
    pub fn set(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// Calls so far, and those of them that failed.
    pub fn calls(&self) -> (u64, u64) {
        let s = self.state.lock();
        (s.calls, s.failed)
    }

    fn fate(&self) -> Fate {
        let mut s = self.state.lock();
        s.calls += 1;
        // SplitMix64 (Steele, Lea, Flood 2014).
        s.random = s.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = s.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        let fate = match z % 100 {
            _ if s.faults.down => Fate::Before,
            n if n < s.faults.fail_percent / 2 => Fate::After,
            n if n < s.faults.fail_percent => Fate::Before,
            _ => Fate::Well,
        };
        s.failed += u64::from(fate != Fate::Well);
        fate
    }

    #[allow(clippy::disallowed_methods)] // a slow store is slow by the real clock
    fn call<T>(&self, does: impl FnOnce() -> Result<T>) -> Result<T> {
        let fate = self.fate();
        let delay = self.state.lock().faults.delay;
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        if fate == Fate::Before {
            return Err(self.no_answer());
        }
        let done = does()?;
        if fate == Fate::After { Err(self.no_answer()) } else { Ok(done) }
    }

    fn no_answer(&self) -> Error {
        Error::unavailable(format!("{}: the store does not answer", self.inner.name()))
    }
}

impl Store for Faulty {
    fn name(&self) -> String {
        self.inner.name()
    }
    fn put(&self, key: &str, data: Bytes) -> Result<()> {
        self.call(|| self.inner.put(key, data))
    }
    fn create(&self, key: &str, data: Bytes) -> Result<Created> {
        let faults = self.state.lock().faults.clone();
        if faults.down_after_create && !faults.down {
            let _unheard = self.inner.create(key, data)?;
            self.state.lock().faults.down = true;
            return Err(self.no_answer());
        }
        self.call(|| self.inner.create(key, data))
    }
    fn put_file(&self, key: &str, fs: &dyn Fs, path: &Path) -> Result<()> {
        self.call(|| self.inner.put_file(key, fs, path))
    }
    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.call(|| self.inner.get_range(key, range))
    }
    fn get(&self, key: &str) -> Result<Bytes> {
        self.call(|| self.inner.get(key))
    }
    fn len(&self, key: &str) -> Result<u64> {
        self.call(|| self.inner.len(key))
    }
    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        self.call(|| self.inner.list(prefix))
    }
    fn delete(&self, key: &str) -> Result<()> {
        self.call(|| self.inner.delete(key))
    }
}
