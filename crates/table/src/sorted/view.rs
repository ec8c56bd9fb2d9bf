//! Sources as one scan or merge sees them: which of their series were asked for, and their pieces of a slice.
//!
//! Each source numbers its series in its own way. A view maps these numbers once to the caller's, which are ranks in
//! label order over all sources; from then on nothing compares labels.

use std::cmp::{Ordering, Reverse};
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeSet, BinaryHeap};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use base::{Error, Kind, Labels, Matcher, Result, Tenant};

use super::arrivals::Slice;
use super::cache::FileSeries;
use super::combine::Sources;
use super::data::{DataFile, overlap};
use super::index::{Segment, Stretch};
use super::layout::internal;
use super::order::order;
use super::part::Part;
use super::piece::{Mapped, Piece, Rows};
use super::prune::Prune;
use super::text::read::Reads;
use super::{Budget, SeriesNames, Source};
use crate::missing::Missing;
use crate::scan::{Meter, TimeRange};
use crate::spec::{Order, TableSpec};

/// Memory for labels is taken from the budget in steps of this size.
const RESERVE_STEP: usize = 64 << 10;

/// What is asked of the sources.
pub struct Asked<'a> {
    pub spec: &'static TableSpec,
    pub tenant: &'a Tenant,
    pub matchers: &'a [Matcher],
    pub range: TimeRange,
    pub prune: Prune,
    /// Whether series without rows in the range shall be left out, where stretches can tell.
    pub only_used: bool,
    /// Whether all rows are wanted: sources are then read one after the other and segments as wholes, so that memory does not grow
    /// with the number of sources times that of series. Only of tables ordered by series.
    pub whole: bool,
    /// Takes notes of rows that cannot be read.
    pub missing: Missing,
    /// Counts what is read.
    pub meter: Meter,
}

/// Sorted rows of unsorted ones, of one slice.
struct MemorySegment {
    slice: i64,
    batch: RecordBatch,
    stretches: Vec<Stretch>,
}

enum Rest {
    File {
        data: Arc<DataFile>,
        series: Arc<FileSeries>,
        hidden_days: Vec<i64>,
    },
    Part {
        part: Arc<Part>,
        names: Arc<dyn SeriesNames>,
    },
    Memory {
        segments: Vec<MemorySegment>,
        names: Arc<dyn SeriesNames>,
    },
    /// Rows of another node: they are not here, only their series are.
    Arriving {
        series: Arc<[Labels]>,
    },
}

struct View {
    rest: Rest,
    // The caller's number by the source's number less `base`; `u32::MAX` where it was not asked for.
    base: u32,
    map: Arc<Vec<u32>>,
}

impl View {
    fn get(&self, number: u32) -> Option<u32> {
        let at = number.checked_sub(self.base)?;
        self.map.get(at as usize).copied().filter(|n| *n != u32::MAX)
    }

    /// Where the numbers lie that were asked for.
    fn numbers(&self) -> Range<u32> {
        self.base..self.base.saturating_add(self.map.len() as u32)
    }

    /// Whether it is a file of the same series under the same numbers.
    fn has_series_of(&self, other: &View) -> bool {
        match (&self.rest, &other.rest) {
            (Rest::File { series: a, .. }, Rest::File { series: b, .. }) => a.are_those_of(b),
            _ => false,
        }
    }

    fn labels(&self, number: u32) -> Result<Labels> {
        match &self.rest {
            Rest::File { series, .. } => series.labels(number),
            Rest::Part { names, .. } | Rest::Memory { names, .. } => Ok(names.key(number).labels),
            Rest::Arriving { series } => {
                series.get(number as usize).cloned().ok_or_else(|| internal("arriving rows name a series that was not announced"))
            }
        }
    }

    fn encoded(&self) -> Option<(&Arc<DataFile>, &[i64])> {
        match &self.rest {
            Rest::File { data, hidden_days, .. } => Some((data, hidden_days)),
            Rest::Part { part, .. } => Some((&part.data, &[])),
            Rest::Memory { .. } | Rest::Arriving { .. } => None,
        }
    }
}

/// Memory taken from a budget until it is dropped.
pub struct Reserved(usize, Arc<dyn Budget>);

impl Reserved {
    pub fn none(budget: &Arc<dyn Budget>) -> Self {
        Reserved(0, budget.clone())
    }
    pub fn add(&mut self, bytes: usize) -> Result<()> {
        self.1.reserve(bytes)?;
        self.0 += bytes;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.1.release(self.0);
    }
}

/// A source, and its numbers of the series asked for, in label order.
struct Found {
    view: View,
    numbers: Vec<u32>,
    /// What its rows take in memory.
    bytes: usize,
}

impl Found {
    /// `None` if the source has nothing of what is asked.
    fn of(source: Source, asked: &Asked<'_>) -> Result<Option<Found>> {
        let (rest, numbers, bytes) = match source {
            Source::File { file, hidden_days } => {
                if !wanted_at_all(asked, &hidden_days, &file.meta().partitions) {
                    return Ok(None);
                }
                let Some((data, series)) = file.both(asked.tenant, &hidden_days, &asked.missing)? else { return Ok(None) };
                let matching = series.matching(asked.tenant, asked.matchers);
                (Rest::File { data, series, hidden_days }, matching, 0)
            }
            Source::Part { part, names } => {
                if !wanted_at_all(asked, &[], part.partitions()) {
                    return Ok(None);
                }
                let mine = part.series.iter().find(|s| s.0 == *asked.tenant).map_or(&[][..], |s| &s.1);
                let matching = mine.iter().copied().filter(|n| matches(asked, names.as_ref(), *n)).collect();
                (Rest::Part { part, names }, matching, 0)
            }
            Source::Rows { batches, names } => {
                let (segments, bytes, numbers) = sort_head(asked, &batches, names.as_ref())?;
                (Rest::Memory { segments, names }, numbers, bytes)
            }
        };
        let view = View { rest, base: 0, map: Arc::default() };
        let numbers = if asked.only_used { used(asked, &view, numbers)? } else { numbers };
        Ok(Some(Found { view, numbers, bytes }))
    }
}

/// The values of a label among the series asked for. No labels are put together where a source has them in columns.
pub fn label_values(sources: &[Source], asked: &Asked<'_>, name: &str) -> Result<BTreeSet<String>> {
    let mut out = BTreeSet::new();
    for source in sources {
        let Some(found) = Found::of(source.clone(), asked)? else { continue };
        match &found.view.rest {
            Rest::File { series, .. } => series.values(&found.numbers, name, &mut out),
            _ => {
                for n in found.numbers {
                    let labels = found.view.labels(n)?;
                    if let Some(v) = labels.get(name).filter(|v| !out.contains(*v)) {
                        out.insert(v.to_owned());
                    }
                }
            }
        }
    }
    Ok(out)
}

/// All sources of one scan or merge.
pub struct Views {
    spec: &'static TableSpec,
    tenant: Tenant,
    range: TimeRange,
    prune: Prune,
    whole: bool,
    missing: Missing,
    meter: Meter,
    views: Vec<View>,
    /// The series asked for that the sources know, in label order.
    pub labels: Arc<[Labels]>,
    _reserved: Reserved,
}

impl Sources for Views {
    fn map(&self, source: usize, number: u32) -> Option<u32> {
        self.views[source].get(number)
    }

    fn compare(&self, a: (usize, u32), b: (usize, u32)) -> Ordering {
        match (self.map(a.0, a.1), self.map(b.0, b.1)) {
            (Some(x), Some(y)) => x.cmp(&y),
            _ => {
                let bytes = |(s, n): (usize, u32)| self.views[s].labels(n).map(|l| l.as_bytes().to_vec()).unwrap_or_default();
                bytes(a).cmp(&bytes(b))
            }
        }
    }
}

impl Views {
    /// Views of `sources`, then of rows that will arrive of the series in `arriving`.
    pub fn new(sources: Vec<Source>, arriving: &[Arc<[Labels]>], asked: Asked<'_>, budget: &Arc<dyn Budget>) -> Result<Views> {
        let mut views = vec![];
        let mut reserved = Reserved::none(budget);
        // Of each view, the numbers of the series asked for, in label order.
        let mut asked_for: Vec<Vec<u32>> = vec![];
        let mut labels = vec![];
        for source in sources {
            let file = source.file().cloned();
            let Some(mut found) = Found::of(source, &asked)? else { continue };
            reserved.add(found.bytes)?;
            if asked.whole {
                // The labels of one file are in memory at a time: with a million series they are a hundred megabytes.
                add_series(&mut labels, &mut views, &mut found)?;
                found.numbers = vec![];
                if let (Rest::File { series, .. }, Some(file)) = (&mut found.view.rest, file) {
                    *series = Arc::new(FileSeries::none());
                    file.release();
                }
            }
            views.push(found.view);
            asked_for.push(found.numbers);
        }
        for series in arriving {
            reserved.add(series.iter().map(|l| l.as_bytes().len() + size_of::<Labels>()).sum())?;
            // Of tables ordered by a key, rows of other series come along to decide between copies.
            let wanted = |n: &u32| asked.matchers.iter().all(|m| m.matches(&series[*n as usize]));
            let mut numbers: Vec<u32> = (0..series.len() as u32).filter(wanted).collect();
            // They are announced in order, but by somebody else.
            numbers.sort_by(|a, b| series[*a as usize].cmp(&series[*b as usize]));
            views.push(View { rest: Rest::Arriving { series: series.clone() }, base: 0, map: Arc::default() });
            asked_for.push(numbers);
        }
        let labels = if asked.whole { labels.into() } else { rank(&asked_for, &mut views, &mut reserved)? };
        Ok(Views {
            spec: asked.spec,
            tenant: asked.tenant.clone(),
            range: asked.range,
            prune: asked.prune,
            whole: asked.whole,
            missing: asked.missing,
            meter: asked.meter,
            views,
            labels,
            _reserved: reserved,
        })
    }

    /// The slices that have rows to look at, oldest first.
    pub fn slices(&self) -> Vec<i64> {
        let mut out: Vec<i64> = vec![];
        for v in &self.views {
            match &v.rest {
                Rest::Memory { segments, .. } => out.extend(segments.iter().map(|s| s.slice)),
                _ => out.extend(segments_of(v, self.spec, &self.tenant, self.range).map(|s| s.slice)),
            }
        }
        out.sort_unstable();
        out.dedup();
        out
    }

    /// The caller's numbers of the series of the `i`-th stream of arriving rows, as far as they were asked for.
    pub fn numbers(&self, i: usize) -> Vec<Option<u32>> {
        let Some((_, v)) = self.arriving().nth(i) else { return vec![] };
        let Rest::Arriving { series } = &v.rest else { return vec![] };
        (0..series.len() as u32).map(|n| v.get(n)).collect()
    }

    /// The views of arriving rows, with their places among all.
    fn arriving(&self) -> impl Iterator<Item = (usize, &View)> {
        self.views.iter().enumerate().filter(|(_, v)| matches!(v.rest, Rest::Arriving { .. }))
    }

    /// A piece of the `i`-th stream of arriving rows.
    pub fn arriving_piece(&self, i: usize, rows: Slice, stretches: Vec<Stretch>) -> Option<Piece> {
        let (source, _) = self.arriving().nth(i)?;
        Some(Piece::new(source, Rows::Arriving(rows), stretches, self.missing.clone(), self.meter.clone()))
    }

    /// The pieces of a slice.
    pub fn pieces(&self, slice: i64, reads: &Reads) -> Result<Vec<Piece>> {
        let mut out = vec![];
        for (source, v) in self.views.iter().enumerate() {
            if let Rest::Memory { segments, .. } = &v.rest {
                for s in segments.iter().filter(|s| s.slice == slice) {
                    out.extend(self.memory_piece(source, v, s));
                }
            } else if let Some((data, _)) = v.encoded() {
                for s in segments_of(v, self.spec, &self.tenant, self.range).filter(|s| s.slice == slice) {
                    match self.segment_piece(source, v, data, s, reads) {
                        Ok(p) => out.extend(p),
                        Err(e) if e.kind() == Kind::Corrupt => data.report(s, None, u64::from(s.rows), &e, &self.missing),
                        Err(e) => return Err(e),
                    }
                }
            }
        }
        Ok(out)
    }

    /// A piece of all rows of a segment. `None` if not all of them were asked for.
    fn whole_piece(&self, source: usize, v: &View, data: &Arc<DataFile>, s: &Segment) -> Result<Option<Piece>> {
        let (mut all, mut are_steady) = (true, true);
        let stretches = data.stretch_reader(s, |x| {
            all &= v.get(x.series).is_some();
            are_steady &= x.step > 0 || x.rows == 1;
        })?;
        if !all {
            return Ok(None);
        }
        let stretches = Mapped { stretches, are_steady, map: v.map.clone(), base: v.base };
        let rows = Rows::Whole { data: data.clone(), segment: s.clone(), stretches };
        Ok(Some(Piece::new(source, rows, vec![], self.missing.clone(), self.meter.clone())))
    }

    fn segment_piece(&self, source: usize, v: &View, data: &Arc<DataFile>, s: &Segment, reads: &Reads) -> Result<Option<Piece>> {
        if self.whole
            && let Some(whole) = self.whole_piece(source, v, data, s)?
        {
            return Ok(Some(whole));
        }
        let (mut ranges, mut stretches) = match self.spec.order {
            Order::Series(_) if !s.may_have(&v.numbers()) => return Ok(None),
            Order::Series(_) => self.touching(data.pick(s, reads, v.numbers(), |n| v.get(n))?),
            Order::Key(_) => {
                let ranges = self.prune.ranges(data, s);
                let rows = ranges.iter().map(|r| r.end - r.start).sum();
                let all = Stretch { series: 0, rows, first: s.first, last: s.last, step: 0 };
                (ranges, if rows == 0 { vec![] } else { vec![all] })
            }
        };
        if stretches.is_empty() || self.prune.excludes(data, s) {
            return Ok(None);
        }
        let only = self.prune.pages(data, s);
        if let Some(only) = &only {
            leave(only, &mut ranges, &mut stretches, self.spec.order);
            if stretches.is_empty() {
                return Ok(None);
            }
        }
        let rows = Rows::Segment { data: data.clone(), segment: s.clone(), ranges, only };
        Ok(Some(Piece::new(source, rows, stretches, self.missing.clone(), self.meter.clone())))
    }

    fn memory_piece(&self, source: usize, v: &View, s: &MemorySegment) -> Option<Piece> {
        let (ranges, stretches) = match self.spec.order {
            Order::Series(_) => self.select(v, &s.stretches),
            Order::Key(_) => (std::iter::once(0..s.batch.num_rows() as u32).collect(), s.stretches.clone()),
        };
        let rows = Rows::Memory { batch: s.batch.clone(), ranges };
        (!stretches.is_empty()).then(|| Piece::new(source, rows, stretches, self.missing.clone(), self.meter.clone()))
    }

    /// The stretches of series that were asked for and touch the range, under the caller's numbers.
    fn select(&self, v: &View, stretches: &[Stretch]) -> (Vec<Range<u32>>, Vec<Stretch>) {
        let mut at = 0;
        let placed = stretches.iter().map(|s| {
            let rows = at..at + s.rows;
            at = rows.end;
            (rows, s)
        });
        self.touching(placed.filter_map(|(rows, s)| Some((rows, Stretch { series: v.get(s.series)?, ..*s }))).unzip())
    }

    /// Those that touch the range.
    fn touching(&self, (mut ranges, mut stretches): (Vec<Range<u32>>, Vec<Stretch>)) -> (Vec<Range<u32>>, Vec<Stretch>) {
        let touches = |s: &Stretch| self.range.touches(s.first, s.last);
        if !stretches.iter().all(touches) {
            let mut of = stretches.iter();
            ranges.retain(|_| of.next().is_some_and(touches));
            stretches.retain(touches);
        }
        (ranges, stretches)
    }
}

/// Takes what is not in `only` out of the stretches, and those that are then empty away, with their ranges.
fn leave(only: &[Range<u32>], ranges: &mut Vec<Range<u32>>, stretches: &mut Vec<Stretch>, order: Order) {
    match order {
        // One stretch, however many ranges.
        Order::Key(_) => stretches.iter_mut().for_each(|s| s.rows = ranges.iter().map(|r| overlap(only, r)).sum()),
        Order::Series(_) => {
            stretches.iter_mut().zip(ranges.iter()).for_each(|(s, r)| s.rows = overlap(only, r));
            ranges.retain(|r| overlap(only, r) > 0);
        }
    }
    stretches.retain(|s| s.rows > 0);
}

fn matches(asked: &Asked<'_>, names: &dyn SeriesNames, number: u32) -> bool {
    if asked.matchers.is_empty() {
        return true;
    }
    let labels = names.key(number).labels;
    asked.matchers.iter().all(|m| m.matches(&labels))
}

/// Whether a source has any partition to look at.
fn wanted_at_all(asked: &Asked<'_>, hidden_days: &[i64], partitions: &[super::Partition]) -> bool {
    let mine = |p: &&super::Partition| p.tenant == asked.tenant.as_str() && !hidden_days.contains(&p.day);
    partitions.iter().filter(mine).any(|p| near(asked.spec, asked.range, p.first_time, p.last_time))
}

/// Whether rows of these times must be looked at. Of tables ordered by a key, copies of one row may have different
/// times within a slice, and any of them may be the one that is kept: so whole slices are.
fn near(spec: &'static TableSpec, range: TimeRange, first: i64, last: i64) -> bool {
    match spec.order {
        Order::Series(_) => range.touches(first, last),
        Order::Key(_) => range.touches(spec.slice_of(first), spec.slice_of(last).saturating_add(spec.slice - 1)),
    }
}

fn segments_of<'a>(v: &'a View, spec: &'static TableSpec, tenant: &'a Tenant, range: TimeRange) -> impl Iterator<Item = &'a Segment> {
    v.encoded().into_iter().flat_map(move |(data, hidden)| {
        data.directory.segments.iter().filter(move |s| {
            near(spec, range, s.first, s.last)
                && data.directory.tenants[s.tenant as usize] == *tenant
                && !hidden.contains(&spec.day_of(s.slice))
        })
    })
}

/// Which of `numbers` have a stretch in the range. Of tables ordered by key all may have one.
fn used(asked: &Asked<'_>, v: &View, numbers: Vec<u32>) -> Result<Vec<u32>> {
    let (Order::Series(_), Some((data, hidden))) = (asked.spec.order, v.encoded()) else { return Ok(numbers) };
    let mut mine = data.directory.segments.iter().filter(|s| data.directory.tenants[s.tenant as usize] == *asked.tenant);
    if hidden.is_empty() && mine.all(|s| asked.range.contains(s.first) && asked.range.contains(s.last)) {
        // A source knows no series without rows.
        return Ok(numbers);
    }
    let all = match &v.rest {
        Rest::File { series, .. } => Some(series.ranks(asked.tenant).len()),
        _ => None,
    };
    let mut unseen = vec![false; numbers.iter().max().map_or(0, |m| *m as usize + 1)];
    numbers.iter().for_each(|n| unseen[*n as usize] = true);
    let asked_for = numbers.iter().min().copied().unwrap_or(0)..unseen.len() as u32;
    let mut left = numbers.len();
    let mut see = |series: u32| {
        if let Some(unseen) = unseen.get_mut(series as usize) {
            left -= usize::from(std::mem::take(unseen));
        }
        left
    };
    // Most series go on from slice to slice: one that lies in the range says it of nearly all, without a look at times.
    let (whole, parts): (Vec<&Segment>, Vec<&Segment>) = segments_of(v, asked.spec, asked.tenant, asked.range)
        .filter(|s| s.may_have(&asked_for))
        .partition(|s| asked.range.contains(s.first) && asked.range.contains(s.last));
    for s in whole.iter().chain(&parts) {
        let inside = asked.range.contains(s.first) && asked.range.contains(s.last);
        let found = if inside {
            data.series(s, all).map(|found| found.map(|series| series.into_iter().map(&mut see).last()))
        } else {
            data.stretches(s).map(|stretches| {
                let there = stretches.iter().filter(|x| asked.range.touches(x.first, x.last));
                Some(there.map(|x| see(x.series)).last())
            })
        };
        match found {
            // All there are have rows.
            Ok(None) | Ok(Some(Some(0))) => return Ok(numbers),
            Ok(Some(_)) => {}
            Err(e) if e.kind() == Kind::Corrupt => data.report(s, None, u64::from(s.rows), &e, &asked.missing),
            Err(e) => return Err(e),
        }
    }
    Ok(numbers.into_iter().filter(|n| !unseen[*n as usize]).collect())
}

/// Ranks the labels of all views and fills their maps. `numbers` are those of each view in label order, so the least of
/// the first ones of each is the first of all: only labels that are ranked are ever held, not those of every view.
fn rank(numbers: &[Vec<u32>], views: &mut [View], reserved: &mut Reserved) -> Result<Arc<[Labels]>> {
    let mut next = BinaryHeap::with_capacity(views.len());
    // Files of the same series, as those of one day mostly are, number them alike.
    let like = |v: usize| (0..v).find(|u| views[*u].has_series_of(&views[v]) && numbers[*u] == numbers[v]);
    let twins: Vec<Option<usize>> = (0..views.len()).map(like).collect();
    let mut maps: Vec<Vec<u32>> = vec![vec![]; views.len()];
    for (v, numbers) in numbers.iter().enumerate() {
        if twins[v].is_some() {
            continue;
        }
        let (Some(&first), Some(&least), Some(&most)) = (numbers.first(), numbers.iter().min(), numbers.iter().max()) else { continue };
        let len = (most - least) as usize + 1;
        reserved.add((len + numbers.len()) * size_of::<u32>())?;
        views[v].base = least;
        maps[v] = vec![u32::MAX; len];
        next.push(Reverse((views[v].labels(first)?, v, 0)));
    }
    let (mut labels, mut bytes): (Vec<Labels>, usize) = (vec![], 0);
    while let Some(mut first) = next.peek_mut() {
        let Reverse((least, v, at)) = &mut *first;
        if labels.last() != Some(least) {
            bytes += least.as_bytes().len() + size_of::<Labels>();
            labels.push(least.clone());
            if bytes > RESERVE_STEP {
                reserved.add(std::mem::take(&mut bytes))?;
            }
        }
        let view = &views[*v];
        let number = numbers[*v][*at];
        maps[*v][(number - view.base) as usize] = labels.len() as u32 - 1;
        *at += 1;
        match numbers[*v].get(*at) {
            None => _ = PeekMut::pop(first),
            Some(number) => {
                let after = view.labels(*number)?;
                if after < *least {
                    return Err(Error::corrupt("the series of a file are not in their order"));
                }
                *least = after;
            }
        }
    }
    reserved.add(bytes)?;
    views.iter_mut().zip(maps).for_each(|(v, map)| v.map = Arc::new(map));
    for (v, u) in twins.iter().enumerate().filter_map(|(v, u)| Some((v, (*u)?))) {
        (views[v].base, views[v].map) = (views[u].base, views[u].map.clone());
    }
    Ok(labels.into())
}

/// Adds the series of one more source to the labels of those before, which are in order. All numbers are ranks among them.
fn add_series(labels: &mut Vec<Labels>, before: &mut [View], new: &mut Found) -> Result<()> {
    let (Some(&least), Some(&most)) = (new.numbers.iter().min(), new.numbers.iter().max()) else { return Ok(()) };
    let mut map = vec![u32::MAX; (most - least) as usize + 1];
    let mut all: Vec<Labels> = Vec::with_capacity(labels.len().max(new.numbers.len()));
    // New ranks of those before.
    let mut moved = Vec::with_capacity(labels.len());
    let mut old = std::mem::take(labels).into_iter().peekable();
    for n in &new.numbers {
        let mine = new.view.labels(*n)?;
        if all.last().is_some_and(|l| mine < *l) {
            return Err(Error::corrupt("the series of a file are not in their order"));
        }
        while let Some(other) = old.next_if(|l| *l < mine) {
            moved.push(all.len() as u32);
            all.push(other);
        }
        if let Some(same) = old.next_if(|l| *l == mine) {
            moved.push(all.len() as u32);
            all.push(same);
        } else if all.last() != Some(&mine) {
            all.push(mine);
        }
        map[(*n - least) as usize] = all.len() as u32 - 1;
    }
    for other in old {
        moved.push(all.len() as u32);
        all.push(other);
    }
    if all.len() > moved.len() {
        for n in before.iter_mut().flat_map(|v| Arc::make_mut(&mut v.map)).filter(|n| **n != u32::MAX) {
            *n = moved[*n as usize];
        }
    }
    (new.view.base, new.view.map, *labels) = (least, Arc::new(map), all);
    Ok(())
}

/// Picks the rows that were asked for out of unsorted ones, then sorts what is left. Returns the slices, the memory
/// they take, and the numbers of the matching series that occur, in label order.
fn sort_head(asked: &Asked<'_>, batches: &[RecordBatch], names: &dyn SeriesNames) -> Result<(Vec<MemorySegment>, usize, Vec<u32>)> {
    let by_series = matches!(asked.spec.order, Order::Series(_));
    // 0: not looked at yet, 1: another tenant's, 2: does not match, 3: matches.
    let mut verdicts: Vec<u8> = vec![];
    let mut picked = vec![];
    for b in batches {
        let numbers = b.column(0).as_primitive::<UInt32Type>().values();
        let times = b.column(1).as_primitive::<Int64Type>().values();
        let rows: Vec<u32> = (0..b.num_rows())
            .filter(|i| {
                let n = numbers[*i] as usize;
                if n >= verdicts.len() {
                    verdicts.resize(n + 1, 0);
                }
                if verdicts[n] == 0 {
                    let key = names.key(n as u32);
                    let ok = asked.matchers.iter().all(|m| m.matches(&key.labels));
                    verdicts[n] = if key.tenant != *asked.tenant { 1 } else { 2 + u8::from(ok) };
                }
                match by_series {
                    true => verdicts[n] == 3 && asked.range.contains(times[*i]),
                    // The copy of a row that decides may have another series or time, within the same slice.
                    false => verdicts[n] >= 2 && near(asked.spec, asked.range, times[*i], times[*i]) && asked.prune.may_be_row(b, *i),
                }
            })
            .map(|i| i as u32)
            .collect();
        if rows.len() == b.num_rows() {
            picked.push(b.clone());
        } else if !rows.is_empty() {
            picked.push(take_record_batch(b, &UInt32Array::from(rows)).map_err(internal)?);
        }
    }
    if picked.is_empty() {
        return Ok((vec![], 0, vec![]));
    }
    let sorted = order(asked.spec, &picked, names)?;
    let mut segments = vec![];
    let mut bytes = 0;
    for g in &sorted.groups {
        let batch = sorted.batch(g.range.clone())?;
        bytes += batch.get_array_memory_size();
        segments.push(MemorySegment { slice: g.slice, stretches: stretches_of(&batch, by_series), batch });
    }
    let all = sorted.series.into_iter().flat_map(|s| s.1);
    Ok((segments, bytes, all.filter(|n| verdicts.get(*n as usize) == Some(&3)).collect()))
}

/// The stretches of sorted rows.
pub fn stretches_of(batch: &RecordBatch, by_series: bool) -> Vec<Stretch> {
    let series = batch.column(0).as_primitive::<UInt32Type>().values();
    let times = batch.column(1).as_primitive::<Int64Type>().values();
    if !by_series {
        let (first, last) = (times.iter().min(), times.iter().max());
        return vec![Stretch {
            series: 0,
            rows: batch.num_rows() as u32,
            first: first.copied().unwrap_or(0),
            last: last.copied().unwrap_or(0),
            step: 0,
        }];
    }
    let mut at = 0;
    let mut out = vec![];
    for run in series.chunk_by(|a, b| a == b) {
        let times = &times[at..at + run.len()];
        out.push(Stretch { series: run[0], rows: run.len() as u32, first: times[0], last: times[times.len() - 1], step: 0 });
        at += run.len();
    }
    out
}
