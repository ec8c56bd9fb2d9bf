//! Finding files: which match, which are new, which were renamed, which are gone.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::content::{self, Content};
use super::glob::{Glob, Walk};
use super::position::Position;
use super::tail::{self, FileId, Look, State, Tail};
use super::{From, Source};
use crate::limits;
use crate::stats;

/// Endings of files that hold no lines as they are.
const NOT_TEXT: &[&str] = &["gz", "z", "Z", "bz2", "xz", "lzma", "zst", "lz4", "zip", "journal", "swp"];

impl Source {
    /// Looks for files and says what became of those that are known.
    pub(super) fn discover(&mut self, now_ns: i64) {
        let (found, live) = self.look();
        let mut fresh = vec![];
        for (path, m) in found {
            let id = FileId::of(&m);
            if live.get(&id) != Some(&path) {
                continue; // a second name of a file
            }
            match self.tails.get_mut(&id) {
                Some(t) => {
                    t.latest = Look::of(&m);
                    t.at = path;
                    if matches!(t.state, State::Rotated | State::Done) {
                        t.state = State::Live;
                    }
                }
                None => fresh.push((id, path, m)),
            }
        }
        self.begin_all(fresh, now_ns);
        self.leave(&live, now_ns);
        if self.first_look {
            self.find_recovered(now_ns);
            self.first_look = false;
        }
        if now_ns - self.checked_ns >= limits::FORGET_EVERY_NS {
            self.checked_ns = now_ns;
            self.forget_gone();
        }
    }

    /// Files that match, and for each the path under which it is followed.
    fn look(&mut self) -> (Vec<(PathBuf, Metadata)>, HashMap<FileId, PathBuf>) {
        let mut walk = Walk::default();
        for g in &self.include {
            walk.add(g);
        }
        if walk.is_cut_short() {
            self.say_once("entries", "too many directory entries below the path patterns, files beyond the bound are not looked at");
        }
        let mut live = HashMap::new();
        let mut found = vec![];
        for (path, m) in walk.files {
            let id = FileId::of(&m);
            if path.to_str().is_none() {
                self.say_once("names", "a file name that is not UTF-8 matches a path pattern, such files are not followed");
            } else if !self.own.contains(&id) && self.may_read(&path) {
                live.entry(id).or_insert_with(|| path.clone());
                found.push((path, m));
            }
        }
        (found, live)
    }

    fn may_read(&self, path: &Path) -> bool {
        let packed = path.extension().is_some_and(|e| NOT_TEXT.iter().any(|n| e == *n));
        !packed && !self.exclude.iter().any(|g| g.matches(path)) && !self.context.never.iter().any(|n| path.starts_with(n))
    }

    /// Whether it may be read once it is unpacked: files that were rotated are compressed by and by.
    fn may_unpack(&self, path: &Path) -> bool {
        self.may_read(path) || (content::is_packed(path) && self.may_read(&path.with_extension("")))
    }

    /// Starts to follow files that were not followed. Those that a position is stored for come first, so that no other
    /// file takes the name of their position.
    fn begin_all(&mut self, mut fresh: Vec<(FileId, PathBuf, Metadata)>, now_ns: i64) {
        let mut new = vec![];
        fresh.retain(|(id, ..)| !self.tails.contains_key(id));
        for (id, path, m) in fresh {
            match self.take_recovered(id, &path) {
                Some((source, position)) => {
                    let mut t = Tail::new(id, source, position, path, State::Live, now_ns);
                    (t.stored, t.latest) = (true, Look::of(&m));
                    self.tails.insert(id, t);
                }
                None => new.push((id, path, m)),
            }
        }
        let mut over = 0;
        for (id, path, m) in new {
            if path.canonicalize().is_ok_and(|real| self.context.never.iter().any(|n| real.starts_with(n))) {
                continue; // ours, reached round a link
            }
            if self.tails.len() >= limits::FILES {
                over += 1;
                self.say_once("files", "too many files match the path patterns, some are not followed");
                continue;
            }
            let position = Position::start(&path.to_string_lossy());
            let mut t = Tail::new(id, self.new_source(id), position, path, State::Live, now_ns);
            t.latest = Look::of(&m);
            if self.first_look && self.settings.from == From::End && !self.was_in_scope(&t.at) {
                t.skip_to_end(self.settings.max_line_bytes);
                self.wait_with_position(&mut t);
            }
            self.tails.insert(id, t);
        }
        self.context.stats.files_over_limit.store(over, Ordering::Relaxed);
    }

    /// The stored position of the file `id` at `path`: by its identity, else by path and content.
    fn take_recovered(&mut self, id: FileId, path: &Path) -> Option<(String, Position)> {
        let name = self.source_name(id);
        let mut at = self.recovered.iter().position(|(source, _)| *source == name);
        let by_content = |p: &Position| {
            path.as_os_str() == p.path.as_str() && Content::open(path, id).is_ok_and(|f| tail::is_continued_by(p, &f).unwrap_or(false))
        };
        let same = at.is_some_and(|i| {
            let p = &self.recovered[i].1;
            // A file that cannot be read now has no content to compare.
            Content::open(path, id).map_or(true, |f| tail::is_continued_by(p, &f).unwrap_or(true))
        });
        if !same {
            at = self.recovered.iter().position(|(_, p)| by_content(p)).or(at);
        }
        at.map(|i| self.recovered.swap_remove(i))
    }

    /// Whether the file would have been found had it been there when files were last looked for.
    fn was_in_scope(&self, path: &Path) -> bool {
        let any = |globs: &[Glob]| globs.iter().any(|g| g.matches(path));
        self.scope_known.as_ref().is_some_and(|(include, exclude)| any(include) && !any(exclude))
    }

    fn source_name(&self, id: FileId) -> String {
        format!("{}{}:{}", self.prefix, id.dev, id.ino)
    }

    /// A name for the position of a new file that no other file has.
    pub(super) fn new_source(&self, id: FileId) -> String {
        let name = self.source_name(id);
        let taken = |n: &str| self.tails.values().any(|t| t.source == n) || self.recovered.iter().any(|(s, _)| s == n);
        let mut numbered = (1u64..).map(|i| if i == 1 { name.clone() } else { format!("{name}#{i}") });
        numbered.find(|n| !taken(n)).unwrap_or(name)
    }

    /// Files that no pattern finds any more were renamed or removed.
    fn leave(&mut self, live: &HashMap<FileId, PathBuf>, now_ns: i64) {
        let at: HashMap<&PathBuf, FileId> = live.iter().map(|(id, p)| (p, *id)).collect();
        let mut replaced = vec![];
        for t in self.tails.values_mut().filter(|t| t.state == State::Live && !live.contains_key(&t.id)) {
            stats::add(&self.context.stats.rotations, 1);
            (t.state, t.active_ns) = (State::Rotated, now_ns);
            if t.file.is_none()
                && let Some(p) = find_in_dir(&t.at, t.id)
            {
                t.at = p;
            }
            if at.contains_key(&PathBuf::from(&t.position.path)) {
                replaced.push((t.position.clone(), mtime_of(t)));
            }
        }
        self.tails.retain(|id, t| t.state != State::Skipped || live.contains_key(id));
        for (position, mtime_ns) in replaced {
            self.find_missed(&position, mtime_ns, now_ns);
        }
    }

    /// After a start: files with a stored position that no pattern finds were renamed meanwhile, or are gone.
    fn find_recovered(&mut self, now_ns: i64) {
        // Of the files that were once at a path, the one written to last.
        let mut last: HashMap<String, (i64, Position)> = HashMap::new();
        let recovered = std::mem::take(&mut self.recovered);
        let known: HashSet<FileId> = recovered.iter().filter_map(|(source, _)| parse_id(source, &self.prefix)).collect();
        for (source, position) in recovered {
            let mut mtime_ns = position.time_ns;
            match self.find_renamed(&source, &position, &known) {
                Some((id, at)) => {
                    let mut t = Tail::new(id, source, position.clone(), at, State::Rotated, now_ns);
                    t.stored = true;
                    mtime_ns = mtime_of(&t);
                    self.tails.insert(id, t);
                }
                None => self.forget.push(source),
            }
            let newest = last.entry(position.path.clone()).or_insert((mtime_ns, position.clone()));
            if mtime_ns > newest.0 {
                *newest = (mtime_ns, position);
            }
        }
        for (path, (mtime_ns, position)) in last {
            if self.tails.values().any(|t| t.state == State::Live && !t.stored && t.at.as_os_str() == path.as_str()) {
                self.find_missed(&position, mtime_ns, now_ns);
            }
        }
    }

    /// Where the file of a stored position lies under another name: by its identity, else by its content among files that
    /// have no stored position of their own.
    fn find_renamed(&self, source: &str, position: &Position, known: &HashSet<FileId>) -> Option<(FileId, PathBuf)> {
        let path = Path::new(&position.path);
        let free = |id: &FileId| !self.tails.contains_key(id);
        let holds = |at: &Path, id: FileId| {
            Content::open(at, id).is_ok_and(|f| tail::is_continued_by(position, &f).unwrap_or(false) && f.is_whole())
        };
        if let Some(id) = parse_id(source, &self.prefix).filter(free)
            && let Some(at) = find_in_dir(path, id)
            && holds(&at, id)
        {
            return (at != path).then_some((id, at));
        }
        let name = path.file_name()?.to_str()?;
        let named =
            |p: &Path| p != path && p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(name)) && self.may_unpack(p);
        let mut beside = siblings(path.parent()?);
        // A compressed file is a copy: where the original is still there, it is the one that goes on.
        beside.sort_by_key(|(p, _)| content::is_packed(p));
        let renamed = beside.into_iter().filter(|(p, _)| named(p)).map(|(p, m)| (FileId::of(&m), p));
        renamed.filter(|(id, _)| free(id) && !known.contains(id)).find(|(id, p)| holds(p, *id))
    }

    /// Files that were written to under the path of `old` after it was renamed, and were renamed themselves before anyone
    /// looked: they bear the path's name with something added, are not older than `old`, and nobody knows them.
    fn find_missed(&mut self, old: &Position, old_mtime_ns: i64, now_ns: i64) {
        let path = Path::new(&old.path);
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return };
        for (at, m) in siblings(dir) {
            let id = FileId::of(&m);
            let added = at.file_name().and_then(|n| n.to_str()?.strip_prefix(name.to_str()?));
            let is_rotation = added.is_some_and(|a| a.starts_with(['.', '-', '_']) && a.contains(|c: char| c.is_ascii_digit()));
            let newer = m.mtime().saturating_mul(1_000_000_000).saturating_add(m.mtime_nsec()) >= old_mtime_ns;
            if !is_rotation || !newer || self.tails.contains_key(&id) || self.own.contains(&id) || !self.may_unpack(&at) {
                continue;
            }
            let begins_alike = |p: &Position, f: &Content| p.head.len > 0 && f.read(0, p.head.len).is_ok_and(|b| p.head.begins(&b));
            let Ok(f) = Content::open(&at, id) else { continue };
            if content::is_packed(&at) && (at.with_extension("").exists() || !f.is_whole()) {
                continue; // it is being made; the original is read
            }
            if begins_alike(old, &f) || self.tails.values().any(|t| begins_alike(&t.position, &f)) {
                continue; // a copy of something that is followed
            }
            let mut t = Tail::new(id, self.new_source(id), Position::start(&old.path), at, State::Rotated, now_ns);
            t.latest = Look::of(&m);
            self.tails.insert(id, t);
        }
    }

    /// Lets go of files that were read to their end and do not exist any more.
    fn forget_gone(&mut self) {
        let gone: Vec<FileId> =
            self.tails.values().filter(|t| t.state == State::Done && find_in_dir(&t.at, t.id).is_none()).map(|t| t.id).collect();
        for id in gone {
            self.drop_tail(id);
        }
    }

    /// Stops to follow a file for good.
    pub(super) fn drop_tail(&mut self, id: FileId) {
        if let Some(t) = self.tails.remove(&id) {
            if t.stored {
                self.forget.push(t.source);
            }
            if !self.tails.values().any(|o| o.position.path == t.position.path) {
                self.labels.remove(&t.position.path);
            }
        }
    }

    pub(super) fn say_once(&mut self, key: &'static str, message: &'static str) {
        if !std::mem::replace(self.said.entry(key).or_default(), true) {
            tracing::warn!(source = self.prefix, "{message}");
        }
    }

    pub(super) fn count_files(&self) {
        let stats = &self.context.stats;
        let followed = self.tails.values().filter(|t| matches!(t.state, State::Live | State::Rotated)).count();
        stats.files.store(followed as u64, Ordering::Relaxed);
        stats.files_unreadable.store(self.tails.values().filter(|t| t.unreadable).count() as u64, Ordering::Relaxed);
    }
}

/// Regular files beside each other, links not followed.
pub(super) fn siblings(dir: &Path) -> Vec<(PathBuf, Metadata)> {
    let Ok(entries) = fs::read_dir(dir) else { return vec![] };
    let with_meta = |e: fs::DirEntry| Some((e.path(), e.metadata().ok().filter(Metadata::is_file)?));
    entries.take(limits::DIR_ENTRIES).flatten().filter_map(with_meta).collect()
}

/// The name of the file `id` in the directory of `path`.
pub(super) fn find_in_dir(path: &Path, id: FileId) -> Option<PathBuf> {
    let same = |p: &Path| fs::metadata(p).is_ok_and(|m| FileId::of(&m) == id);
    if same(path) {
        return Some(path.into());
    }
    let entries = fs::read_dir(path.parent()?).ok()?;
    entries.take(limits::DIR_ENTRIES).flatten().filter(|e| e.ino() == id.ino).map(|e| e.path()).find(|p| same(p))
}

fn parse_id(source: &str, prefix: &str) -> Option<FileId> {
    let (dev, ino) = source.strip_prefix(prefix)?.split('#').next()?.split_once(':')?;
    Some(FileId { dev: dev.parse().ok()?, ino: ino.parse().ok()? })
}

fn mtime_of(t: &Tail) -> i64 {
    let m = t.file.as_ref().and_then(|f| f.metadata().ok()).or_else(|| fs::metadata(&t.at).ok().filter(|m| FileId::of(m) == t.id));
    m.map_or(t.position.time_ns, |m| m.mtime().saturating_mul(1_000_000_000).saturating_add(m.mtime_nsec()))
}
