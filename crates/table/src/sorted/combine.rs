//! The k-way merge of the pieces of one slice: rows in the table's order, each once.
//!
//! Stretches of a series whose time spans do not overlap are copied one after the other without looking at their rows.
//! Only where they do overlap are rows compared, by time (or by key), and only rows of equal time from more than one
//! piece are resolved. Tables ordered by a key are the case of a single series whose key is that column.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use base::Result;

use super::Budget;
use super::gather::Gather;
use super::limits::BATCH_ROWS;
use super::piece::{Piece, Wanted};
use super::resolve::{Resolver, RowRef};
use super::text::read::Reads;
use crate::spec::{Order, TableSpec};

/// What a combination needs to know of the sources.
pub trait Sources: Send {
    /// The caller's number of a source's series; `None` for series that were not asked for.
    fn map(&self, source: usize, number: u32) -> Option<u32>;
    /// Compares two series by key, whether they were asked for or not.
    fn compare(&self, a: (usize, u32), b: (usize, u32)) -> Ordering;
}

/// A running merge.
pub struct Combine {
    pieces: Vec<Piece>,
    heap: BinaryHeap<Reverse<(u32, usize)>>,
    // The series being merged: its pieces in order of time, and whether they follow one another without overlap.
    members: Vec<usize>,
    series: u32,
    in_turn: bool,
    by_series: bool,
    wanted: Wanted,
    resolver: Resolver,
    gather: Gather,
    budget: Arc<dyn Budget>,
    /// Doubles removed so far.
    pub doubles: u64,
    /// Rows read so far.
    pub rows_in: u64,
}

/// Whether stretches of one series overlap in time, so that all columns are needed to tell rows apart. `pieces` are
/// not opened by this.
pub fn overlaps(pieces: &[Piece]) -> bool {
    let mut all: Vec<(u32, i64, i64)> = pieces.iter().flat_map(|p| p.stretches.iter().map(|s| (s.series, s.first, s.last))).collect();
    if pieces.len() < 2 {
        return false;
    }
    all.sort_unstable();
    all.windows(2).any(|w| w[0].0 == w[1].0 && w[1].1 <= w[0].2)
}

impl Combine {
    /// Merges `pieces`. `columns` are the table's columns to read, ascending: all of them if rows may have to be told
    /// apart.
    pub fn new(spec: &'static TableSpec, pieces: Vec<Piece>, columns: Vec<usize>, budget: Arc<dyn Budget>) -> Combine {
        let key = match spec.order {
            Order::Series(_) => None,
            Order::Key(k) => columns.iter().position(|c| *c >= 2 && spec.columns[*c - 2].name == k),
        };
        let heap = pieces.iter().enumerate().filter_map(|(i, p)| Some(Reverse((p.stretches.front()?.series, i)))).collect();
        // Many sources at once share the memory that one may take.
        let batch_rows = (BATCH_ROWS * 16 / pieces.len().max(1)).clamp(1024, BATCH_ROWS);
        Combine {
            pieces,
            heap,
            members: vec![],
            series: 0,
            in_turn: true,
            by_series: key.is_none(),
            wanted: Wanted { columns, key, batch_rows, texts: Arc::default() },
            resolver: Resolver::new(spec),
            gather: Gather::default(),
            budget,
            doubles: 0,
            rows_in: 0,
        }
    }

    /// The same with what the readers of a scan share. Rows that do not pass its sieve may come with empty texts.
    pub fn with_texts(mut self, texts: Arc<Reads>) -> Combine {
        self.wanted.texts = texts;
        self
    }

    /// The next rows: `series` (as [`Sources::map`] numbers them, `u32::MAX` for those not asked for), then the other
    /// columns that were read.
    pub fn next(&mut self, sources: &dyn Sources) -> Result<Option<RecordBatch>> {
        while !self.gather.is_full() {
            if self.members.is_empty() && !self.next_series()? {
                break;
            }
            if self.in_turn || self.members.len() == 1 {
                self.copy()?;
            } else {
                self.compare(sources)?;
            }
        }
        if self.gather.rows() == 0 {
            return Ok(None);
        }
        self.gather.flush(&self.wanted.columns, self.by_series, &self.pieces, sources).map(Some)
    }

    /// Finds the pieces of the next series.
    fn next_series(&mut self) -> Result<bool> {
        let Some(Reverse((series, first))) = self.heap.pop() else { return Ok(false) };
        self.series = series;
        self.members.push(first);
        while let Some(&Reverse((s, p))) = self.heap.peek() {
            if s != series {
                break;
            }
            self.heap.pop();
            self.members.push(p);
        }
        if self.members.len() > 1 {
            let span = |p: &usize| self.pieces[*p].stretches.front().map_or((0, 0), |s| (s.first, s.last));
            self.members.sort_by_key(span);
            self.in_turn = self.by_series && self.members.windows(2).all(|w| span(&w[1]).0 > span(&w[0]).1);
        }
        Ok(true)
    }

    /// Puts a piece whose stretch is at its end, or that damage took it from, back where its next series is.
    fn leave(&mut self, member: usize) {
        let piece = self.members.remove(member);
        if let Some(s) = self.pieces[piece].stretches.front() {
            self.heap.push(Reverse((s.series, piece)));
        }
    }

    /// Loads a member's rows; false if it has none of this series left.
    fn ready(&mut self, member: usize) -> Result<bool> {
        let p = &mut self.pieces[self.members[member]];
        Ok(p.load(&self.wanted, &self.budget)? && p.stretches.front().is_some_and(|s| s.series == self.series))
    }

    /// Copies rows of the first member.
    fn copy(&mut self) -> Result<()> {
        if !self.ready(0)? {
            self.leave(0);
            return Ok(());
        }
        let room = BATCH_ROWS - self.gather.rows();
        self.take(0, room);
        Ok(())
    }

    /// Takes up to `most` rows of the member's current batch and stretch, or its first rows if fewer.
    fn take(&mut self, member: usize, most: usize) {
        let piece = self.members[member];
        let p = &mut self.pieces[piece];
        let Some((held, start, available)) = p.rows() else { return };
        let n = available.min(most);
        let batch = self.gather.batch(piece, p.generation, held);
        self.gather.span(batch, start, n, self.series);
        self.rows_in += n as u64;
        if p.advance(n) {
            self.leave(member);
        }
    }

    /// One step of a merge by key: a run that only one member has, or a group of equal keys.
    fn compare(&mut self, sources: &dyn Sources) -> Result<()> {
        let mut m = 0;
        while m < self.members.len() {
            if self.ready(m)? { m += 1 } else { self.leave(m) }
        }
        // The least key, how many members have it, one of them, and the least key beyond.
        let (mut least, mut count, mut who, mut beyond) = (u128::MAX, 0, 0, u128::MAX);
        for m in 0..self.members.len() {
            let k = self.pieces[self.members[m]].key(0, &self.wanted);
            match k.cmp(&least) {
                Ordering::Less => (beyond, least, count, who) = (least, k, 1, m),
                Ordering::Equal if count > 0 => count += 1,
                Ordering::Equal => (count, who) = (1, m),
                Ordering::Greater => beyond = beyond.min(k),
            }
        }
        match count {
            0 => Ok(()),
            1 => {
                let room = BATCH_ROWS - self.gather.rows();
                let p = &mut self.pieces[self.members[who]];
                let available = p.rows().map_or(0, |r| r.2).min(room);
                let mut n = 1;
                while n < available && p.key(n, &self.wanted) < beyond {
                    n += 1;
                }
                // A key may go on in the next batch: then no other member has it, and the next step takes it alone.
                self.take(who, n);
                Ok(())
            }
            _ => self.group(least, sources),
        }
    }

    /// Collects all rows of one key, removes doubles, and takes what is left.
    fn group(&mut self, key: u128, sources: &dyn Sources) -> Result<()> {
        let mut group: Vec<RowRef> = vec![];
        let mut m = 0;
        while m < self.members.len() {
            let piece = self.members[m];
            let mut ended = false;
            loop {
                let p = &mut self.pieces[piece];
                let Some((held, start, available)) = p.rows() else { break };
                let batch = self.gather.batch(piece, p.generation, held);
                let mut n = 0;
                while n < available && p.key(n, &self.wanted) == key {
                    group.push(RowRef { batch, row: (start + n) as u32 });
                    n += 1;
                }
                ended = n > 0 && p.advance(n);
                if ended || n < available {
                    break;
                }
                if !self.ready(m)? {
                    ended = true;
                    break;
                }
            }
            if ended { self.leave(m) } else { m += 1 }
        }
        self.rows_in += group.len() as u64;
        let batches = self.gather.batches();
        let compare = |a: RowRef, b: RowRef| {
            let series = |r: RowRef| {
                let number = batches[r.batch as usize].column(0).as_primitive::<UInt32Type>().value(r.row as usize);
                (self.pieces[self.gather.piece(r.batch)].source, number)
            };
            sources.compare(series(a), series(b))
        };
        self.doubles += self.resolver.resolve(&mut group, &batches, &compare) as u64;
        for r in group {
            self.gather.span(r.batch, r.row as usize, 1, self.series);
        }
        Ok(())
    }
}
