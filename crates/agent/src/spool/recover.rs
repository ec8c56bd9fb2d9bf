//! Opening the spool: what is there, who has it, and what is missing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::AtomicU64;

use base::{Error, Kind, Result};
use parking_lot::{Condvar, Mutex};
use wal::{Found, Wal};

use super::frame::{self, Head, Place, Section, kind};
use super::index::{EndpointState, Index};
use super::ledger::{EndpointReport, Lost};
use super::ranges::Ranges;
use super::state::{Progress, State, decode_acks};
use super::{Context, Core, LOSSES, STATE_FILE, Settings, Spool, WAL_FOLDER};

/// Rows of a source that are in no frame.
struct Gap {
    source: String,
    /// Number of the frame that shows it.
    seq: u64,
    rows: u64,
    from_ns: i64,
    to_ns: i64,
}

/// What the first walk over the log finds.
#[derive(Default)]
struct Walked {
    sources: BTreeMap<String, Progress>,
    acked: BTreeMap<String, Ranges>,
    losses: super::ledger::Losses,
    reported: BTreeSet<u64>,
    gaps: Vec<Gap>,
    /// The copy of the state, as long as the log has not come past it.
    copy: Option<State>,
    unknown: u64,
}

impl Walked {
    fn frame(&mut self, f: wal::Frame<'_>) {
        if self.copy.as_ref().is_some_and(|c| c.seq <= f.seq) {
            self.take_copy();
        }
        match f.kind {
            kind::STATE => match State::decode(f.payload) {
                Some(s) => self.state(s, f.seq),
                None => self.unknown += 1,
            },
            kind::ACKS => {
                for (name, from, to) in decode_acks(f.payload) {
                    self.acked.entry(name).or_default().add(from, to);
                }
            }
            kind::BATCH => match frame::decode(f.payload) {
                Some((head, sections)) => self.batch(f.seq, head, &sections),
                None => self.unknown += 1,
            },
            _ => self.unknown += 1,
        }
    }

    fn take_copy(&mut self) {
        if let Some(c) = self.copy.take() {
            let seq = c.seq;
            self.state(c, seq);
        }
    }

    fn state(&mut self, s: State, seq: u64) {
        for (name, p) in &s.sources {
            if let Some(known) = self.sources.get(name)
                && p.rows > known.rows
            {
                let rows = p.rows - known.rows;
                self.gaps.push(Gap { source: name.clone(), seq, rows, from_ns: known.last_ns, to_ns: p.last_ns });
            }
        }
        self.sources = s.sources;
        for (name, ranges) in s.acked {
            self.acked.insert(name, ranges);
        }
        self.losses = s.losses;
        self.reported.extend(s.reported);
    }

    fn batch(&mut self, seq: u64, head: Head, sections: &[Section<&[u8]>]) {
        if head.moved {
            return;
        }
        let first_ns = sections.iter().map(|s| s.head.first_ns).min().unwrap_or_default();
        let last_ns = sections.iter().map(|s| s.head.last_ns).max();
        if let Some(known) = self.sources.get(&head.source)
            && head.rows_before > known.rows
        {
            let rows = head.rows_before - known.rows;
            self.gaps.push(Gap { source: head.source.clone(), seq, rows, from_ns: known.last_ns, to_ns: first_ns });
        }
        if head.source == LOSSES {
            self.stated(sections);
        }
        if head.place == Place::Forgotten {
            self.sources.remove(&head.source);
            return;
        }
        let p = self.sources.entry(head.source).or_default();
        if let Place::At(position) = head.place {
            p.position = Some(position);
        }
        p.rows = head.rows_before + head.rows;
        p.last_ns = p.last_ns.max(last_ns.unwrap_or(p.last_ns));
    }

    /// Lines about losses that came after the state are the losses.
    fn stated(&mut self, sections: &[Section<&[u8]>]) {
        let entries = sections.iter().flat_map(|s| wire::loki::Streams::new(s.body)).flatten().flat_map(|s| s.entries());
        for lost in entries.flatten().filter_map(|e| serde_json::from_slice::<Lost>(e.line).ok()) {
            self.losses.note(&lost);
        }
    }
}

/// See [`Spool::open`].
pub fn open(settings: Settings, c: Context) -> Result<Spool> {
    super::is_writable(c.fs.as_ref(), &c.dir).map_err(|e| cannot_write(&c.dir, &e))?;
    let copy = disk::read(c.fs.as_ref(), &c.dir.join(STATE_FILE)).ok().and_then(|b| State::decode(&b));
    let mut found = Walked { copy, ..Walked::default() };
    let wal_settings = wal::Settings { segment_bytes: 1 << 40 }; // it is begun anew here, with the state in front
    let (wal, recovered) = Wal::open(c.fs.clone(), &c.dir.join(WAL_FOLDER), wal_settings, 0, &mut |f| {
        found.frame(f);
        Ok(())
    })?;
    found.take_copy();
    let damaged = recovered.damage.iter().filter(|d| d.was_synced).count() as u64 + found.unknown;
    for d in recovered.damage.iter().filter(|d| !d.known) {
        tracing::error!(
            segment = d.segment,
            offset = d.offset,
            bytes = d.bytes,
            reason = d.reason,
            "the spool is damaged; the rest is sent"
        );
    }
    let mut index = Index { next_seq: wal.next_seq(), reported: found.reported, losses: found.losses, ..Index::default() };
    index.refresh(&wal.segments(), c.clock.elapsed_ns());
    let oldest = index.segments.first().map_or(index.next_seq, |s| s.segment.id);
    for reader in c.readers {
        let mut acked = found.acked.remove(&reader.name).unwrap_or_default();
        acked.add(0, oldest);
        let report = EndpointReport { name: reader.name.clone(), ..EndpointReport::default() };
        index.endpoints.push(EndpointState { reader, acked, sources: HashMap::new(), report });
    }
    for name in found.acked.keys() {
        tracing::warn!(endpoint = name, "the endpoint is not in the settings any more; what it has not acknowledged is not kept for it");
    }
    index.sources = found.sources;
    let now_ns = c.clock.now_ns();
    let spool = Spool {
        begun_at_seq: wal.next_seq(),
        settings,
        fs: c.fs,
        dir: c.dir,
        clock: c.clock,
        host: c.host,
        core: Mutex::new(Core { wal, state_seq: 0, said_ns: 0 }),
        queue: Mutex::default(),
        index: Mutex::new(index),
        news: Condvar::new(),
        damaged: AtomicU64::new(damaged),
    };
    spool.count_pending(&found.gaps)?;
    spool.report_gaps(found.gaps, now_ns);
    // Not for a disk that is full: then it waits for room with the batches.
    spool.tick();
    Ok(spool)
}

impl Spool {
    /// Walks over the frames once more, now that it is known who has which of them.
    fn count_pending(&self, gaps: &[Gap]) -> Result<()> {
        let segments: Vec<wal::Segment> = self.index.lock().segments.iter().map(|s| s.segment).collect();
        for s in segments {
            let mut r = wal::Reader::open(self.fs.as_ref(), &self.dir.join(WAL_FOLDER), s, 0)?;
            while let Some(found) = r.next() {
                let Found::Frame(f) = found else { continue };
                if f.kind != kind::BATCH {
                    continue;
                }
                let Some((head, sections)) = frame::decode(f.payload) else { continue };
                let mut index = self.index.lock();
                for g in gaps.iter().filter(|g| g.source == head.source && g.seq == f.seq) {
                    for e in &mut index.endpoints {
                        e.sources.entry(head.source.clone()).or_default().skip(head.rows_before.saturating_sub(g.rows), head.rows_before);
                    }
                }
                index.add(f.seq, &head, &sections, &|e| !e.acked.contains(f.seq));
            }
        }
        Ok(())
    }

    /// Each gap is stated once.
    fn report_gaps(&self, gaps: Vec<Gap>, now_ns: i64) {
        let known = self.index.lock().reported.clone();
        for g in gaps.into_iter().filter(|g| !known.contains(&g.seq)) {
            self.index.lock().reported.insert(g.seq);
            self.lose(Lost {
                source: g.source,
                reason: "spool_damaged".into(),
                rows: g.rows,
                from_ns: g.from_ns,
                to_ns: g.to_ns,
                noticed_ns: now_ns,
                ..Lost::default()
            });
        }
    }
}

fn cannot_write(dir: &Path, e: &std::io::Error) -> Error {
    // A disk that is full now heals; one that is not ours does not.
    let kind = if e.kind() == std::io::ErrorKind::StorageFull { Kind::Unavailable } else { Kind::Invalid };
    let text = format!(
        "the spool's directory {} cannot be written: {e}. Without it what is collected would be lost with the process. \
         Give it a directory that outlives the process, or set `spool: {{ memory: true }}` if that is what you want",
        dir.display()
    );
    Error::new(kind, text)
}
