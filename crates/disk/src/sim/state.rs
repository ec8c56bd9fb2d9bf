//! The inside of the simulated disk: inodes, what waits to become durable, and what a reboot makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use super::Loss;

/// A disk writes whole sectors or not at all.
pub const SECTOR: u64 = 512;
/// An inode's number.
pub type Ino = u64;
/// The root directory.
pub const ROOT: Ino = 0;

/// A change of a file that is not durable yet.
#[derive(Clone)]
enum Write {
    Bytes { offset: u64, data: Vec<u8> },
    Len(u64),
}

#[derive(Default)]
pub struct FileNode {
    durable: Vec<u8>,
    view: Vec<u8>,
    waiting: Vec<Write>,
    /// Sectors whose reads fail.
    pub bad_sectors: BTreeSet<u64>,
    /// Whether any directory's view names it: it counts against the capacity.
    linked: bool,
    /// Durable entries that name it.
    durable_links: u32,
    /// Open handles of this life.
    pub handles: u32,
}

impl FileNode {
    pub fn flip(&mut self, offset: u64, mask: u8) -> io::Result<()> {
        let at = offset as usize;
        *self.view.get_mut(at).ok_or(io::ErrorKind::UnexpectedEof)? ^= mask;
        if let Some(b) = self.durable.get_mut(at) {
            *b ^= mask;
        }
        for w in &mut self.waiting {
            if let Write::Bytes { offset: o, data } = w
                && let Some(b) = offset.checked_sub(*o).and_then(|i| data.get_mut(i as usize))
            {
                *b ^= mask;
            }
        }
        Ok(())
    }
}

#[derive(Default)]
pub struct DirNode {
    pub now: BTreeMap<String, Ino>,
    durable: BTreeMap<String, Ino>,
}

enum Node {
    File(FileNode),
    Dir(DirNode),
}

/// A change of one or two directories.
#[derive(Clone)]
pub enum Change {
    Link { dir: Ino, name: String, ino: Ino },
    Unlink { dir: Ino, name: String, ino: Ino },
    Rename { from_dir: Ino, from: String, to_dir: Ino, to: String, ino: Ino },
}

impl Change {
    fn ino(&self) -> Ino {
        match self {
            Change::Link { ino, .. } | Change::Unlink { ino, .. } | Change::Rename { ino, .. } => *ino,
        }
    }

    fn touches(&self, d: Ino) -> bool {
        match self {
            Change::Link { dir, .. } | Change::Unlink { dir, .. } => *dir == d,
            Change::Rename { from_dir, to_dir, .. } => *from_dir == d || *to_dir == d,
        }
    }
}

/// Everything behind the lock.
pub struct State {
    nodes: BTreeMap<Ino, Node>,
    next_ino: Ino,
    /// Directory changes that are not durable yet, oldest first.
    waiting: Vec<Change>,
    random: u64,
    pub capacity: u64,
    pub used: u64,
    pub ops: u64,
    /// Counts reboots; handles remember theirs.
    pub life: u64,
    pub dies_in: Option<u64>,
    pub dead: bool,
    pub fail_syncs: u64,
    pub fail_reads: u64,
    pub lying_sync: bool,
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

impl State {
    pub fn new(seed: u64, capacity: u64) -> Self {
        State {
            nodes: BTreeMap::from([(ROOT, Node::Dir(DirNode::default()))]),
            next_ino: 1,
            waiting: vec![],
            random: seed,
            capacity,
            used: 0,
            ops: 0,
            life: 0,
            dies_in: None,
            dead: false,
            fail_syncs: 0,
            fail_reads: 0,
            lying_sync: false,
        }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    pub fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other("the machine is down")) } else { Ok(()) }
    }

    /// To be called before every changing operation.
    pub fn begin_change(&mut self) -> io::Result<()> {
        self.alive()?;
        match &mut self.dies_in {
            Some(0) => {
                self.dead = true;
                return self.alive();
            }
            Some(n) => *n -= 1,
            None => {}
        }
        self.ops += 1;
        Ok(())
    }

    pub fn file(&mut self, ino: Ino) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(&ino) {
            Some(Node::File(f)) => Ok(f),
            Some(Node::Dir(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub fn dir(&mut self, ino: Ino) -> io::Result<&mut DirNode> {
        match self.nodes.get_mut(&ino) {
            Some(Node::Dir(d)) => Ok(d),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub fn is_dir(&self, ino: Ino) -> bool {
        matches!(self.nodes.get(&ino), Some(Node::Dir(_)))
    }

    pub fn len(&self, ino: Ino) -> u64 {
        match self.nodes.get(&ino) {
            Some(Node::File(f)) => f.view.len() as u64,
            _ => 0,
        }
    }

    pub fn find(&mut self, names: &[String]) -> io::Result<Ino> {
        let mut at = ROOT;
        for n in names {
            at = self.dir(at)?.now.get(n).copied().ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    pub fn find_dir(&mut self, names: &[String]) -> io::Result<Ino> {
        let ino = self.find(names)?;
        self.dir(ino).map(|_| ino)
    }

    /// Files that are remembered, with or without a name.
    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.nodes.values().filter(|n| matches!(n, Node::File(_))).count()
    }

    pub fn new_file(&mut self) -> Ino {
        self.add(Node::File(FileNode::default()))
    }

    pub fn new_dir(&mut self) -> Ino {
        self.add(Node::Dir(DirNode::default()))
    }

    fn add(&mut self, node: Node) -> Ino {
        let ino = self.next_ino;
        self.next_ino += 1;
        self.nodes.insert(ino, node);
        ino
    }

    /// Makes a directory change visible, and lets it wait for the directory's sync.
    pub fn change(&mut self, c: Change) -> io::Result<()> {
        self.apply(&c, false);
        self.waiting.push(c);
        Ok(())
    }

    /// Applies a change to the views, or to what is durable.
    fn apply(&mut self, c: &Change, durable: bool) {
        match c {
            Change::Link { dir, name, ino } => self.put(*dir, name, *ino, durable),
            Change::Unlink { dir, name, ino } => self.take(*dir, name, *ino, durable),
            Change::Rename { from_dir, from, to_dir, to, ino } => {
                self.take(*from_dir, from, *ino, durable);
                self.put(*to_dir, to, *ino, durable);
            }
        }
    }

    fn put(&mut self, dir: Ino, name: &str, ino: Ino, durable: bool) {
        let Ok(d) = self.dir(dir) else { return };
        let entries = if durable { &mut d.durable } else { &mut d.now };
        let old = entries.insert(name.to_owned(), ino);
        if durable {
            self.count_durable(old, false);
            self.count_durable(Some(ino), true);
        } else {
            if let Some(old) = old.filter(|&o| o != ino) {
                self.set_linked(old, false);
            }
            self.set_linked(ino, true);
        }
    }

    /// Removes an entry if it still names `ino`.
    fn take(&mut self, dir: Ino, name: &str, ino: Ino, durable: bool) {
        let Ok(d) = self.dir(dir) else { return };
        let entries = if durable { &mut d.durable } else { &mut d.now };
        if entries.get(name) == Some(&ino) {
            entries.remove(name);
            if durable {
                self.count_durable(Some(ino), false);
            } else {
                self.set_linked(ino, false);
            }
        }
    }

    fn set_linked(&mut self, ino: Ino, linked: bool) {
        let Ok(f) = self.file(ino) else { return };
        let len = f.view.len() as u64;
        match (std::mem::replace(&mut f.linked, linked), linked) {
            (false, true) => self.used += len,
            (true, false) => self.used -= len,
            _ => {}
        }
    }

    fn count_durable(&mut self, ino: Option<Ino>, more: bool) {
        if let Some(Ok(f)) = ino.map(|i| self.file(i)) {
            f.durable_links = if more { f.durable_links + 1 } else { f.durable_links - 1 };
        }
    }

    /// Forgets files that nothing can name again, or a long simulation would keep all it ever wrote.
    fn forget_unreachable(&mut self) {
        let awaited: BTreeSet<Ino> = self.waiting.iter().map(Change::ino).collect();
        self.nodes.retain(|ino, n| match n {
            Node::File(f) => f.linked || f.durable_links > 0 || f.handles > 0 || awaited.contains(ino),
            Node::Dir(_) => true,
        });
    }

    pub fn sync_dir(&mut self, dir: Ino) -> io::Result<()> {
        if self.lying_sync {
            return Ok(());
        }
        let (due, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|c| c.touches(dir));
        self.waiting = waiting;
        for c in &due as &Vec<Change> {
            self.apply(c, true);
        }
        self.forget_unreachable();
        Ok(())
    }

    pub fn read_at(&mut self, ino: Ino, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if self.fail_reads > 0 {
            self.fail_reads -= 1;
            return Err(eio());
        }
        let f = self.file(ino)?;
        let from = (offset as usize).min(f.view.len());
        let n = buf.len().min(f.view.len() - from);
        if n > 0 && f.bad_sectors.range(offset / SECTOR..=(offset + n as u64 - 1) / SECTOR).next().is_some() {
            return Err(eio());
        }
        buf[..n].copy_from_slice(&f.view[from..from + n]);
        Ok(n)
    }

    pub fn write_at(&mut self, ino: Ino, offset: u64, data: &[u8]) -> io::Result<()> {
        let (capacity, used) = (self.capacity, self.used);
        let f = self.file(ino)?;
        let end = offset + data.len() as u64;
        let room = if f.linked { capacity.saturating_sub(used) } else { u64::MAX };
        let allowed_end = (f.view.len() as u64).saturating_add(room);
        // As a real disk: what fits is written before the error.
        let fits = if end > allowed_end { allowed_end.saturating_sub(offset) as usize } else { data.len() };
        self.store(ino, offset, &data[..fits.min(data.len())]);
        if fits < data.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    /// The write during which the machine died: it may have reached the disk in part.
    pub fn half_write(&mut self, ino: Ino, offset: u64, data: &[u8]) {
        if self.capacity.saturating_sub(self.used) > data.len() as u64 {
            self.store(ino, offset, data);
        }
    }

    fn store(&mut self, ino: Ino, offset: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let Ok(f) = self.file(ino) else { return };
        let before = f.view.len();
        write_into(&mut f.view, offset, data);
        let (linked, grown) = (f.linked, (f.view.len() - before) as u64);
        let last = (offset + data.len() as u64 - 1) / SECTOR;
        f.bad_sectors.retain(|s| *s < offset / SECTOR || *s > last);
        f.waiting.push(Write::Bytes { offset, data: data.to_vec() });
        if linked {
            self.used += grown;
        }
    }

    pub fn set_len(&mut self, ino: Ino, len: u64) -> io::Result<()> {
        let (capacity, used) = (self.capacity, self.used);
        let f = self.file(ino)?;
        let before = f.view.len() as u64;
        if f.linked && len > before && len - before > capacity.saturating_sub(used) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        f.view.resize(len as usize, 0);
        f.waiting.push(Write::Len(len));
        if f.linked {
            self.used = self.used + len - before;
        }
        Ok(())
    }

    pub fn sync(&mut self, ino: Ino) -> io::Result<()> {
        let fails = self.fail_syncs > 0;
        let lies = self.lying_sync;
        if fails {
            self.fail_syncs -= 1;
            let waiting = std::mem::take(&mut self.file(ino)?.waiting);
            self.settle(ino, waiting, Loss::Whim);
            return Err(eio());
        }
        let f = self.file(ino)?;
        if !lies {
            let waiting = std::mem::take(&mut f.waiting);
            self.settle(ino, waiting, Loss::Nothing);
        }
        Ok(())
    }

    /// Brings writes to the disk, or not.
    fn settle(&mut self, ino: Ino, waiting: Vec<Write>, loss: Loss) {
        let Ok(f) = self.file(ino) else { return };
        let mut durable = std::mem::take(&mut f.durable);
        for w in waiting {
            let fate = match loss {
                Loss::Nothing => 0,
                Loss::All => 1,
                Loss::Whim => self.below(3),
            };
            match (w, fate) {
                (_, 1) => {}
                (Write::Len(len), _) => durable.resize(len as usize, 0),
                (Write::Bytes { offset, data }, 0) => write_into(&mut durable, offset, &data),
                (Write::Bytes { offset, data }, _) => self.tear(&mut durable, offset, &data),
            }
        }
        if let Ok(f) = self.file(ino) {
            f.durable = durable;
        }
    }

    /// Writes some sectors of `data`: the first few, or any. The length may or may not have grown to its end.
    fn tear(&mut self, durable: &mut Vec<u8>, offset: u64, data: &[u8]) {
        let end = offset + data.len() as u64;
        let sectors = (offset / SECTOR)..=((end.max(1) - 1) / SECTOR);
        let prefix = self.below(2) == 0;
        let cut = offset / SECTOR + self.below(sectors.end() - sectors.start() + 1);
        if self.below(2) == 0 && (durable.len() as u64) < end {
            durable.resize(end as usize, 0);
        }
        for s in sectors {
            let kept = if prefix { s < cut } else { self.below(2) == 0 };
            if kept {
                let (from, to) = ((s * SECTOR).max(offset), ((s + 1) * SECTOR).min(end));
                write_into(durable, from, &data[(from - offset) as usize..(to - offset) as usize]);
            }
        }
    }

    pub fn reboot(&mut self, loss: Loss) {
        self.life += 1;
        self.dead = false;
        self.dies_in = None;
        self.fail_syncs = 0;
        self.fail_reads = 0;
        for c in std::mem::take(&mut self.waiting) {
            let kept = match loss {
                Loss::Nothing => true,
                Loss::Whim => self.below(2) == 0,
                Loss::All => false,
            };
            if kept {
                self.apply(&c, true);
            }
        }
        let files: Vec<Ino> = self.nodes.iter().filter(|(_, n)| matches!(n, Node::File(_))).map(|(i, _)| *i).collect();
        for ino in files {
            let Ok(f) = self.file(ino) else { continue };
            let waiting = std::mem::take(&mut f.waiting);
            self.settle(ino, waiting, loss);
        }
        self.views_from_durable();
    }

    /// Makes every view what is durable, and forgets what can no longer be reached.
    fn views_from_durable(&mut self) {
        let mut reached = BTreeSet::new();
        let mut todo = vec![ROOT];
        while let Some(ino) = todo.pop() {
            if !reached.insert(ino) {
                continue;
            }
            if let Some(Node::Dir(d)) = self.nodes.get(&ino) {
                todo.extend(d.durable.values());
            }
        }
        self.nodes.retain(|ino, _| reached.contains(ino));
        self.used = 0;
        for n in self.nodes.values_mut() {
            match n {
                Node::Dir(d) => d.now = d.durable.clone(),
                Node::File(f) => {
                    f.view = f.durable.clone();
                    f.linked = true;
                    f.handles = 0;
                    self.used += f.view.len() as u64;
                }
            }
        }
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        let mut out = vec![];
        let mut todo = vec![(ROOT, PathBuf::from("/"))];
        while let Some((ino, path)) = todo.pop() {
            match self.nodes.get(&ino) {
                Some(Node::Dir(d)) => todo.extend(d.now.iter().map(|(n, i)| (*i, path.join(n)))),
                Some(Node::File(_)) => out.push(path),
                None => {}
            }
        }
        out.sort();
        out
    }
}

fn write_into(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let (from, to) = (offset as usize, offset as usize + data.len());
    if bytes.len() < to {
        bytes.resize(to, 0);
    }
    bytes[from..to].copy_from_slice(data);
}
