//! Pieces of distant objects on the local disk.
//!
//! An object is cut into pieces of one size; a piece is one file, with its checksum behind its bytes, named by a hash of the
//! object's key. Objects are written once, so a piece is right for ever, and a cache that outlives its process is as good as
//! new: what a crash tore fails its checksum and is fetched again. The piece used longest ago goes first. A disk that cannot
//! keep a piece costs speed, never an answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Error, Result};
use bytes::{Bytes, BytesMut};
use disk::{File, Fs};
use parking_lot::{Condvar, Mutex};

use crate::limits::{PIECE_BYTES, READ_AHEAD_PIECES, RECENT_PIECES};
use crate::{Store, limits};

/// An object's hash and the number of a piece of it.
type Piece = (u128, u64);

/// What a cache did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Pieces read from the local disk.
    pub hits: u64,
    /// Pieces fetched from the store.
    pub misses: u64,
    /// Requests that fetched them.
    pub fetches: u64,
    /// Bytes fetched.
    pub fetched_bytes: u64,
    /// Bytes kept on the disk.
    pub bytes: u64,
}

/// A bounded cache of one store's objects.
pub struct Cache {
    store: Arc<dyn Store>,
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    limit: u64,
    state: Mutex<State>,
    recent: Mutex<Recent>,
    fetched: Condvar,
    hits: AtomicU64,
    misses: AtomicU64,
    fetches: AtomicU64,
    fetched_bytes: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Bytes, and when it was used last.
    pieces: BTreeMap<Piece, (u64, u64)>,
    by_use: BTreeMap<u64, Piece>,
    fetching: BTreeSet<Piece>,
    uses: u64,
    bytes: u64,
}

/// The pieces read last, in memory, so that small reads in a row touch the disk once. One bound for all files: there are as many
/// open files as blocks.
#[derive(Default)]
struct Recent(VecDeque<(Piece, Bytes)>);

impl Recent {
    fn get(&mut self, piece: Piece) -> Option<Bytes> {
        let at = self.0.iter().position(|(p, _)| *p == piece)?;
        let found = self.0.remove(at)?;
        let bytes = found.1.clone();
        self.0.push_front(found);
        Some(bytes)
    }

    fn put(&mut self, piece: Piece, bytes: Bytes) {
        self.remove(|p| p == piece);
        self.0.truncate(RECENT_PIECES - 1);
        self.0.push_front((piece, bytes));
    }

    fn remove(&mut self, gone: impl Fn(Piece) -> bool) {
        self.0.retain(|(p, _)| !gone(*p));
    }
}

impl State {
    fn used(&mut self, piece: Piece) -> bool {
        self.uses += 1;
        let now = self.uses;
        let Some((_, last)) = self.pieces.get_mut(&piece) else { return false };
        self.by_use.remove(last);
        *last = now;
        self.by_use.insert(now, piece);
        true
    }

    fn insert(&mut self, piece: Piece, len: u64) {
        self.remove(piece);
        self.uses += 1;
        self.pieces.insert(piece, (len, self.uses));
        self.by_use.insert(self.uses, piece);
        self.bytes += len;
    }

    fn remove(&mut self, piece: Piece) {
        if let Some((len, last)) = self.pieces.remove(&piece) {
            self.by_use.remove(&last);
            self.bytes -= len;
        }
    }
}

impl Cache {
    /// A cache in `dir`, which is made, of at most `limit` bytes; 0 keeps nothing. Pieces that are there are kept.
    pub fn open(store: Arc<dyn Store>, fs: Arc<dyn Fs>, dir: &Path, limit: u64) -> Result<Arc<Cache>> {
        fs.create_dir_all(dir)?;
        let mut state = State::default();
        for e in fs.list(dir)? {
            match piece_of(&e.name) {
                Some(piece) => state.insert(piece, e.len),
                None => fs.remove(&dir.join(&e.name))?,
            }
        }
        let cache = Cache {
            store,
            fs,
            dir: dir.into(),
            limit,
            state: Mutex::new(state),
            recent: Mutex::default(),
            fetched: Condvar::new(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            fetches: AtomicU64::new(0),
            fetched_bytes: AtomicU64::new(0),
        };
        cache.make_room(0);
        Ok(Arc::new(cache))
    }

    /// An object of `len` bytes as a file that cannot be written.
    pub fn file(self: &Arc<Self>, key: &str, len: u64) -> Arc<dyn File> {
        let hash = base::hash::hash128(key.as_bytes());
        Arc::new(CachedFile { cache: self.clone(), key: key.into(), hash, len, last: Mutex::default() })
    }

    /// Takes in an object that was just written from a local file.
    pub fn keep(&self, key: &str, fs: &dyn Fs, path: &Path) -> Result<()> {
        let file = fs.open(path)?;
        let len = file.len()?;
        if len > self.limit / 4 {
            return Ok(());
        }
        let hash = base::hash::hash128(key.as_bytes());
        for n in 0..len.div_ceil(PIECE_BYTES) {
            let range = piece_range(n, len);
            let mut buf = vec![0; (range.end - range.start) as usize];
            file.read_exact_at(range.start, &mut buf)?;
            self.write((hash, n), &buf);
        }
        Ok(())
    }

    /// Fetches what is missing of an object of `len` bytes.
    pub fn prefetch(self: &Arc<Self>, key: &str, len: u64) -> Result<()> {
        if len > self.limit / 4 {
            return Ok(());
        }
        let hash = base::hash::hash128(key.as_bytes());
        let mut at = 0;
        while at < len.div_ceil(PIECE_BYTES) {
            at += self.pieces(key, hash, len, at..(at + READ_AHEAD_PIECES).min(len.div_ceil(PIECE_BYTES)), 0)?.len().max(1) as u64;
        }
        Ok(())
    }

    /// Drops what it has of an object.
    pub fn forget(&self, key: &str) {
        let hash = base::hash::hash128(key.as_bytes());
        let pieces: Vec<Piece> = self.state.lock().pieces.range((hash, 0)..=(hash, u64::MAX)).map(|(p, _)| *p).collect();
        pieces.into_iter().for_each(|p| self.drop_piece(p));
        self.recent.lock().remove(|(h, _)| h == hash);
    }

    /// Figures since it was opened.
    pub fn stats(&self) -> CacheStats {
        let n = |a: &AtomicU64| a.load(Ordering::Relaxed);
        CacheStats {
            hits: n(&self.hits),
            misses: n(&self.misses),
            fetches: n(&self.fetches),
            fetched_bytes: n(&self.fetched_bytes),
            bytes: self.state.lock().bytes,
        }
    }

    fn path(&self, (hash, n): Piece) -> PathBuf {
        self.dir.join(format!("{hash:032x}-{n:x}"))
    }

    /// The pieces of `wanted` from its first on, as many as come together: one from the disk, or one request's. Where the
    /// first is missing, up to `ahead` missing ones beyond the end of `wanted` are fetched, too.
    fn pieces(&self, key: &str, hash: u128, len: u64, wanted: Range<u64>, ahead: u64) -> Result<Vec<Bytes>> {
        let first = (hash, wanted.start);
        let run = loop {
            let mut s = self.state.lock();
            if s.used(first) {
                drop(s);
                match self.read(first, len) {
                    Some(b) => {
                        self.hits.fetch_add(1, Ordering::Relaxed);
                        return Ok(vec![b]);
                    }
                    None => self.drop_piece(first),
                }
                continue;
            }
            if s.fetching.contains(&first) {
                self.fetched.wait(&mut s);
                continue;
            }
            let end = (wanted.end + ahead).min(len.div_ceil(PIECE_BYTES));
            let missing = |n: &u64| !s.pieces.contains_key(&(hash, *n)) && !s.fetching.contains(&(hash, *n));
            let n = (wanted.start..end).take_while(missing).count() as u64;
            let run = wanted.start..wanted.start + n.clamp(1, READ_AHEAD_PIECES);
            s.fetching.extend(run.clone().map(|n| (hash, n)));
            break run;
        };
        let fetched = self.fetch(key, hash, len, run.clone());
        let mut s = self.state.lock();
        run.for_each(|n| {
            s.fetching.remove(&(hash, n));
        });
        self.fetched.notify_all();
        fetched
    }

    fn fetch(&self, key: &str, hash: u128, len: u64, run: Range<u64>) -> Result<Vec<Bytes>> {
        let start = run.start * PIECE_BYTES;
        let bytes = self.store.get_range(key, start..piece_range(run.end - 1, len).end)?;
        self.fetches.fetch_add(1, Ordering::Relaxed);
        self.fetched_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let cut = |n: u64| {
            let r = piece_range(n, len);
            bytes.slice((r.start - start) as usize..(r.end - start) as usize)
        };
        let pieces: Vec<Bytes> = run.clone().map(cut).collect();
        self.misses.fetch_add(pieces.len() as u64, Ordering::Relaxed);
        run.zip(&pieces).for_each(|(n, b)| self.write((hash, n), b));
        Ok(pieces)
    }

    /// A piece from the disk, if it is whole.
    fn read(&self, piece: Piece, len: u64) -> Option<Bytes> {
        let mut bytes = disk::read(&*self.fs, &self.path(piece)).ok()?;
        let range = piece_range(piece.1, len);
        let at = (range.end - range.start) as usize;
        let sum = bytes.get(at..)?;
        if sum != crc32c::crc32c(&bytes[..at]).to_le_bytes() {
            return None;
        }
        bytes.truncate(at);
        Some(bytes.into())
    }

    fn write(&self, piece: Piece, data: &[u8]) {
        let len = data.len() as u64 + 4;
        if len > self.limit || !self.make_room(len) {
            return;
        }
        let path = self.path(piece);
        let mut whole = BytesMut::with_capacity(data.len() + 4);
        whole.extend_from_slice(data);
        whole.extend_from_slice(&crc32c::crc32c(data).to_le_bytes());
        match self.fs.create(&path).and_then(|f| f.write_at(0, &whole)) {
            Ok(()) => self.state.lock().insert(piece, len),
            Err(e) => {
                tracing::debug!(error = %e, "a piece could not be kept");
                self.drop_piece(piece);
            }
        }
    }

    fn drop_piece(&self, piece: Piece) {
        self.recent.lock().remove(|p| p == piece);
        self.state.lock().remove(piece);
        let _ = self.fs.remove(&self.path(piece));
    }

    /// Removes pieces until `len` more bytes are within the bound. False if the disk is short of room for other things.
    fn make_room(&self, len: u64) -> bool {
        loop {
            let oldest = {
                let s = self.state.lock();
                if s.bytes + len <= self.limit {
                    break;
                }
                s.by_use.first_key_value().map(|(_, p)| *p)
            };
            match oldest {
                Some(p) => self.drop_piece(p),
                None => break,
            }
        }
        self.fs.free_bytes(&self.dir).is_ok_and(|free| free >= len + limits::CACHE_LEAVES_BYTES)
    }
}

/// Bytes of an object of `len` bytes that a piece holds.
fn piece_range(n: u64, len: u64) -> Range<u64> {
    (n * PIECE_BYTES).min(len)..((n + 1) * PIECE_BYTES).min(len)
}

fn piece_of(name: &str) -> Option<Piece> {
    let (hash, n) = name.split_once('-').filter(|(hash, _)| hash.len() == 32)?;
    Some((u128::from_str_radix(hash, 16).ok()?, u64::from_str_radix(n, 16).ok()?))
}

/// An object as a file.
struct CachedFile {
    cache: Arc<Cache>,
    key: String,
    hash: u128,
    len: u64,
    last: Mutex<Last>,
}

/// Where the last read of a file ended, and so how far to read ahead.
#[derive(Default)]
struct Last {
    piece: Option<u64>,
    ahead: u64,
}

impl CachedFile {
    fn piece(&self, n: u64, end: u64) -> Result<Vec<Bytes>> {
        let recent = self.cache.recent.lock().get((self.hash, n));
        if let Some(b) = recent {
            self.cache.state.lock().used((self.hash, n));
            return Ok(vec![b]);
        }
        let ahead = {
            let mut last = self.last.lock();
            match last.piece {
                // Reads go on where the last one ended: each time twice as far.
                Some(m) if m + 1 == n => last.ahead = (last.ahead * 2).clamp(1, READ_AHEAD_PIECES),
                _ => last.ahead = 0,
            }
            last.ahead
        };
        let pieces = self.cache.pieces(&self.key, self.hash, self.len, n..end, ahead)?;
        let wanted = pieces.len().min((end - n) as usize);
        if let Some(b) = pieces[..wanted].last() {
            // A copy, or it would hold all that came with it.
            let b = if pieces.len() > 1 { Bytes::copy_from_slice(b) } else { b.clone() };
            let m = n + wanted as u64 - 1;
            self.cache.recent.lock().put((self.hash, m), b);
            self.last.lock().piece = Some(m);
        }
        Ok(pieces)
    }
}

impl File for CachedFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let end = self.len.min(offset.saturating_add(buf.len() as u64));
        let mut at = offset;
        while at < end {
            let first = at / PIECE_BYTES;
            for (n, b) in (first..).zip(self.piece(first, end.div_ceil(PIECE_BYTES))?) {
                let from = (at - n * PIECE_BYTES) as usize;
                let take = (b.len() - from).min((end - at) as usize);
                let to = (at - offset) as usize;
                buf[to..to + take].copy_from_slice(&b[from..from + take]);
                at += take as u64;
                if at == end {
                    break;
                }
            }
        }
        Ok(end.saturating_sub(offset) as usize)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fn read_only() -> io::Error {
    Error::internal("an object of a store is written once").into()
}
