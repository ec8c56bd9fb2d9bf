//! A node that is given a store takes the blocks of its data directory there, one by one and while it serves: each is
//! uploaded, checked, committed under its own id, and only then the files here go. Whatever interrupts it, the next start
//! goes on with what is left.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{Error, Result};
use store::Store;

use super::Engine;
use super::blocks::Remote;
use crate::catalog::{Block, Home, PartitionKey};

impl Engine {
    /// Blocks that are still in the data directory although there is a store, and their bytes.
    pub fn blocks_to_move(&self) -> (usize, u64) {
        match self.blocks.remote() {
            None => (0, 0),
            Some(_) => self.of_here().iter().fold((0, 0), |(n, bytes), (_, b)| (n + 1, bytes + b.bytes())),
        }
    }

    fn of_here(&self) -> Vec<(PartitionKey, Arc<Block>)> {
        let live = self.live.read();
        let all = live.catalog.partitions().flat_map(|(k, b)| b.iter().map(move |b| (k.clone(), b.clone())));
        all.filter(|(_, b)| b.home == Home::Here).collect()
    }

    /// The store that blocks go to, for people; none if they stay in the data directory.
    pub fn store_name(&self) -> Option<String> {
        self.blocks.remote().map(|r| r.store.name().to_owned())
    }

    /// From now on blocks go to `store`, with a cache of so many bytes, and those of the data directory are moved there while the engine
    /// serves. The next life must be opened with the same store. An error of kind `Invalid` if there is one already; another if it
    /// cannot be read. Then nothing has changed.
    pub fn take_store(&self, store: Arc<dyn Store>, cache_bytes: u64) -> Result<()> {
        // No block is being written.
        let _one = self.merging.lock();
        if let Some(name) = self.store_name() {
            return Err(Error::invalid(format!("blocks are in a store already: {name}")));
        }
        store.list("blocks/")?;
        let remote = Remote::new(store, false, &self.fs, &self.keys, cache_bytes)?;
        // What the store has beside ours must be known before anything is answered from here on.
        self.all_known.store(false, Ordering::Release);
        if self.blocks.remote.set(remote).is_err() {
            return Err(Error::internal("two stores at once"));
        }
        self.open_store()?;
        self.bell.merge();
        Ok(())
    }

    /// Moves every block of the data directory to the store.
    pub fn move_blocks(&self) -> Result<()> {
        let Some(remote) = self.blocks.remote() else { return Ok(()) };
        let _one = self.merging.lock();
        for (key, block) in self.of_here() {
            if self.stopping.load(Ordering::SeqCst) {
                break;
            }
            if !self.is_expired(&key) {
                self.move_block(remote, &key, &block)?;
            }
        }
        Ok(())
    }

    fn move_block(&self, remote: &Remote, key: &PartitionKey, block: &Arc<Block>) -> Result<()> {
        let name = self.block_key(key, &block.meta.id);
        let here = self.keys.root().join(&name);
        if self.losses.damaged_below(&here) {
            return Ok(());
        }
        let draft = self.blocks.draft(&name, &block.meta.id)?;
        let copied = self
            .copy_file(&here.join(&block.meta.data), &draft.data, &*draft.fs)
            .and_then(|()| self.copy_file(&here.join(&block.meta.series), &draft.series, &*draft.fs))
            .and_then(|()| self.blocks.commit(&name, &draft, block.meta.clone()));
        self.blocks.discard(&draft);
        let moved = copied?;
        verify(remote, &name, &moved)?;
        self.note_commit(&moved);
        self.live.write().catalog.rehome(key, block, Arc::new(moved), self.clock.now_ns());
        self.stats.moved.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn copy_file(&self, from: &Path, to: &Path, to_fs: &dyn disk::Fs) -> Result<()> {
        let from = self.fs.open(from)?;
        let (to, len) = (to_fs.create(to)?, from.len()?);
        let mut buffer = vec![0; (1 << 20).min(len as usize)];
        let mut at = 0;
        while at < len {
            let n = (len - at).min(buffer.len() as u64) as usize;
            from.read_exact_at(at, &mut buffer[..n])?;
            to.write_at(at, &buffer[..n])?;
            at += n as u64;
        }
        Ok(to.sync()?)
    }
}

/// Reads back what the meta has checksums of: the series file, and the data file's tail, which has those of the rest.
fn verify(remote: &Remote, name: &str, block: &Block) -> Result<()> {
    let (m, s) = (&block.meta, &block.meta.sorted);
    let (data, series) = (format!("{name}/{}", m.data), format!("{name}/{}", m.series));
    let right = remote.store.len(&data)? == s.data_bytes
        && crc32c::crc32c(&remote.store.get_range(&data, s.data_tail..s.data_bytes)?) == s.data_tail_crc32c
        && crc32c::crc32c(&remote.store.get(&series)?) == s.series_crc32c;
    if right { Ok(()) } else { Err(Error::corrupt(format!("{name}: the store gives back other bytes than it was given"))) }
}
