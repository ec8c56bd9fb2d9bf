//! Scans: rows of any sources that match, slice by slice, in the table's order, each once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_select::filter::filter_record_batch;
use base::{Error, Labels, Result};

use super::arrivals::Arrivals;
use super::combine::{Combine, overlaps};
use super::layout::internal;
use super::piece::Piece;
use super::prune::Prune;
use super::steady::SteadyScan;
use super::text::read::Reads;
use super::view::{self, Asked, Views};
use super::{Budget, Source};
use crate::predicate::{Predicate, Sieve};
use crate::scan::{Direction, RowStream, ScanRequest, TimeRange};
use crate::spec::{Order, SERIES, TableSpec};

/// Scans sources. See [`crate::scan`] for what comes back. Doubles are removed within a slice, which is where copies of
/// a row are: for tables ordered by a key, rows of one identity whose times lie in different slices are different rows.
pub fn scan(spec: &'static TableSpec, sources: Vec<Source>, request: &ScanRequest, budget: Arc<dyn Budget>) -> Result<RowStream> {
    scan_with(spec, sources, vec![], request, budget)
}

/// The same with rows of other nodes among the sources. Their streams hold whole rows, in the table's schema, in the
/// direction asked for, of series in strict label order; copies of the rows that are asked for are among them as
/// [`wanted_whole`] says.
pub fn scan_with(
    spec: &'static TableSpec,
    sources: Vec<Source>,
    streams: Vec<RowStream>,
    request: &ScanRequest,
    budget: Arc<dyn Budget>,
) -> Result<RowStream> {
    let mut scan = begin(spec, sources, streams, request, budget, false)?;
    if scan.views.labels.is_empty() {
        scan.slices.clear();
        scan.arrivals.clear();
    }
    Ok(RowStream { series: scan.views.labels.clone(), batches: Box::new(scan) })
}

/// Rows of sources for another node, which merges them with its own: as [`scan`] gives them, but whole rows, only of series
/// that may have one, and with empty batches in between, so that whoever sends them gets to say that the work goes on.
/// `request` is what [`wanted_whole`] made.
pub fn scan_for_merge(spec: &'static TableSpec, sources: Vec<Source>, request: &ScanRequest, budget: Arc<dyn Budget>) -> Result<RowStream> {
    let scan = begin(spec, sources, vec![], request, budget, true)?;
    Ok(RowStream { series: scan.views.labels.clone(), batches: Box::new(scan) })
}

/// What must be asked of a node so that its rows can be merged with others for `request`: every copy of a row that is asked
/// for, even one that is not an answer itself, because it may be the one that decides; and all columns, since their bytes
/// decide last.
pub fn wanted_whole(request: &ScanRequest) -> ScanRequest {
    let spec = request.table;
    let mut whole = ScanRequest { columns: spec.columns.iter().map(|c| c.name).collect(), stretches: false, ..request.clone() };
    whole.predicate = request.predicate.as_ref().and_then(|p| same_for_all_copies(spec, p));
    if let Order::Key(_) = spec.order {
        // Series and time are no part of a row's identity here, but its slice is.
        whole.matchers.clear();
        let TimeRange { start, end } = request.range;
        let slice_of = |t: i64| t.checked_sub(t.rem_euclid(spec.slice)).unwrap_or(i64::MIN);
        whole.range = TimeRange { start: slice_of(start), end: slice_of(end.saturating_sub(1)).saturating_add(spec.slice) };
    }
    whole
}

/// The part of a predicate on which all copies of a row agree, because it reads nothing but their identity.
fn same_for_all_copies(spec: &'static TableSpec, p: &Predicate) -> Option<Predicate> {
    if let Predicate::And(all) = p {
        let mut kept: Vec<Predicate> = all.iter().filter_map(|p| same_for_all_copies(spec, p)).collect();
        return if kept.len() > 1 { Some(Predicate::And(kept)) } else { kept.pop() };
    }
    let mut columns = vec![];
    p.columns(&mut columns);
    columns.iter().all(|c| spec.identity.contains(c)).then(|| p.clone())
}

fn begin(
    spec: &'static TableSpec,
    sources: Vec<Source>,
    streams: Vec<RowStream>,
    request: &ScanRequest,
    budget: Arc<dyn Budget>,
    for_merge: bool,
) -> Result<Scan> {
    let plan = Plan::new(spec, request)?;
    let asked = Asked {
        spec,
        tenant: &request.tenant,
        matchers: &request.matchers,
        range: request.range,
        prune: Prune::new(spec, request.predicate.as_ref()),
        only_used: for_merge,
        whole: false,
        missing: request.missing.clone(),
        meter: request.meter.clone(),
    };
    let announced: Vec<_> = streams.iter().map(|s| s.series.clone()).collect();
    let views = Views::new(sources, &announced, asked, &budget)?;
    let mut slices = VecDeque::from(views.slices());
    if request.direction == Direction::Backward {
        slices = slices.into_iter().rev().collect();
    }
    let arrivals = streams.into_iter().enumerate().map(|(i, s)| Arrivals::new(spec, s, views.numbers(i))).collect();
    let steady = plan.steady(request, &budget).filter(|_| !for_merge && announced.is_empty());
    let turns = VecDeque::new();
    Ok(Scan { plan, request: request.clone(), views, slices, arrivals, current: None, turns, steady, budget, for_merge, failed: false })
}

/// Label sets of the series that match and may have a row in the range, in label order.
pub fn series(spec: &'static TableSpec, sources: &[Source], request: &ScanRequest) -> Result<Vec<Labels>> {
    let views = Views::new(sources.to_vec(), &[], listed(spec, request), &(Arc::new(Unbounded) as Arc<dyn Budget>))?;
    Ok(views.labels.to_vec())
}

/// The values of a label among the series that match, of every source that has rows in the range. Which of a file's series have rows there
/// is not looked up: a file holds no more than a day, and Prometheus does not look further than its blocks either.
pub fn label_values(spec: &'static TableSpec, sources: &[Source], request: &ScanRequest, name: &str) -> Result<BTreeSet<String>> {
    view::label_values(sources, &Asked { only_used: false, ..listed(spec, request) }, name)
}

/// Series that may have a row in the range.
fn listed<'a>(spec: &'static TableSpec, request: &'a ScanRequest) -> Asked<'a> {
    Asked {
        spec,
        tenant: &request.tenant,
        matchers: &request.matchers,
        range: request.range,
        prune: Prune::default(),
        only_used: true,
        whole: false,
        missing: request.missing.clone(),
        meter: request.meter.clone(),
    }
}

/// A budget without a bound, for work whose memory is bounded by its shape (merges).
pub struct Unbounded;

impl Budget for Unbounded {
    fn reserve(&self, _bytes: usize) -> Result<()> {
        Ok(())
    }
    fn release(&self, _bytes: usize) {}
}

/// Which columns are read and which are given out.
struct Plan {
    spec: &'static TableSpec,
    // The table's columns that are always needed, ascending.
    needed: Vec<usize>,
    // Names of what is given out.
    out: Vec<&'static str>,
    // Among it, what texts of the answer contain.
    texts: Arc<Reads>,
}

impl Plan {
    fn new(spec: &'static TableSpec, request: &ScanRequest) -> Result<Plan> {
        let at = |name: &str| {
            let i = spec.columns.iter().position(|c| c.name == name);
            i.map(|i| i + 2).ok_or_else(|| Error::internal(format!("table {} has no column {name:?}", spec.name)))
        };
        let mut needed = vec![1];
        if let Order::Key(key) = spec.order {
            needed.extend([0, at(key)?]);
        }
        for c in &request.columns {
            needed.push(at(c)?);
        }
        let mut read = vec![];
        if let Some(p) = &request.predicate {
            p.columns(&mut read);
        }
        for c in read.iter().filter(|c| **c != spec.time()) {
            needed.push(at(c)?);
        }
        needed.sort_unstable();
        needed.dedup();
        let out = [SERIES, spec.time()].into_iter().chain(request.columns.iter().copied()).collect();
        let texts = Reads::new(request.predicate.as_ref().and_then(|p| Sieve::of(spec, p)));
        Ok(Plan { spec, needed, out, texts })
    }

    /// How stretches are read, if the request takes them.
    fn steady(&self, request: &ScanRequest, budget: &Arc<dyn Budget>) -> Option<SteadyScan> {
        let is_ours = request.stretches && request.predicate.is_none() && matches!(self.spec.order, Order::Series(_));
        let columns = request.columns.iter().map(|c| self.spec.columns.iter().position(|x| x.name == *c).map(|i| i + 2));
        let columns = columns.collect::<Option<Vec<_>>>().filter(|c| is_ours && !c.is_empty())?;
        Some(SteadyScan::new(columns, request.range, self.texts.clone(), budget.clone()))
    }

    /// All columns of the table, as a resolver wants them.
    fn all(&self) -> Vec<usize> {
        all_columns(self.spec)
    }
}

/// All columns that a merge reads: `series` only where stretches do not say it.
pub fn all_columns(spec: &'static TableSpec) -> Vec<usize> {
    let first = usize::from(matches!(spec.order, Order::Series(_)));
    (first..spec.columns.len() + 2).collect()
}

struct Scan {
    plan: Plan,
    request: ScanRequest,
    views: Views,
    slices: VecDeque<i64>,
    arrivals: Vec<Arrivals>,
    current: Option<(i64, Combine)>,
    /// Pieces of the slice at hand that are read one after the other, and stretches of them as such.
    turns: VecDeque<(i64, Piece)>,
    steady: Option<SteadyScan>,
    budget: Arc<dyn Budget>,
    for_merge: bool,
    failed: bool,
}

impl Scan {
    fn step(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            self.request.cancel.check()?;
            if let Some((slice, c)) = &mut self.current {
                let slice = *slice;
                match c.next(&self.views)? {
                    Some(batch) => {
                        let batch = self.finish(slice, batch)?;
                        if batch.num_rows() > 0 || self.for_merge {
                            return Ok(Some(batch));
                        }
                        continue;
                    }
                    None => self.current = None,
                }
            }
            if let Some(steady) = &mut self.steady {
                if let Some(batch) = steady.next()? {
                    return Ok(Some(batch));
                }
                if let Some((slice, piece)) = self.turns.pop_front() {
                    if let Some(left) = steady.begin(piece)? {
                        self.current = Some((slice, self.combine(vec![left], self.plan.needed.clone())));
                    }
                    continue;
                }
            }
            let Some(slice) = self.next_slice()? else { return Ok(None) };
            let mut pieces = self.pieces(slice)?;
            if self.steady.is_some() && in_turn(&mut pieces, self.views.labels.len()) {
                self.turns = pieces.into_iter().map(|p| (slice, p)).collect();
                continue;
            }
            let tell_apart = match self.plan.spec.order {
                // Of arriving rows it is not known yet whether they overlap with others.
                Order::Series(_) => overlaps(&pieces) || pieces.len() > 1 && pieces.iter().any(Piece::is_arriving),
                Order::Key(_) => pieces.len() > 1,
            };
            let columns = if tell_apart { self.plan.all() } else { self.plan.needed.clone() };
            self.current = Some((slice, self.combine(pieces, columns)));
        }
    }

    fn combine(&self, pieces: Vec<Piece>, columns: Vec<usize>) -> Combine {
        Combine::new(self.plan.spec, pieces, columns, self.budget.clone()).with_texts(self.plan.texts.clone())
    }

    /// The next slice that any source has, in the direction asked for.
    fn next_slice(&mut self) -> Result<Option<i64>> {
        let mut next = self.slices.front().copied();
        for a in &self.arrivals {
            next = match (next, a.slice()?) {
                (Some(x), Some(y)) if self.request.direction == Direction::Forward => Some(x.min(y)),
                (Some(x), Some(y)) => Some(x.max(y)),
                (x, y) => x.or(y),
            };
        }
        if next.is_some() && next == self.slices.front().copied() {
            self.slices.pop_front();
        }
        Ok(next)
    }

    fn pieces(&self, slice: i64) -> Result<Vec<Piece>> {
        let mut pieces = self.views.pieces(slice, &self.plan.texts)?;
        for (i, a) in self.arrivals.iter().enumerate() {
            if let Some((rows, stretches)) = a.rows(slice)? {
                pieces.extend(self.views.arriving_piece(i, rows, stretches));
            }
        }
        Ok(pieces)
    }

    /// Leaves rows out that are not part of the answer, and columns.
    fn finish(&self, slice: i64, batch: RecordBatch) -> Result<RecordBatch> {
        let n = batch.num_rows();
        let mut keep: Option<BooleanBuffer> = None;
        let mut and = |mask: BooleanBuffer| keep = Some(keep.take().map_or_else(|| mask.clone(), |k| &k & &mask));
        if matches!(self.plan.spec.order, Order::Key(_)) {
            let series = batch.column(0).as_primitive::<UInt32Type>().values();
            and(BooleanBuffer::collect_bool(n, |i| series[i] != u32::MAX));
        }
        let TimeRange { start, end } = self.request.range;
        if start > slice || end < slice.saturating_add(self.plan.spec.slice) {
            let times = batch.column(1).as_primitive::<Int64Type>().values();
            let inside = |t: &i64| *t >= start && *t < end;
            // Mostly all: that is seen for several at a time.
            if !times.iter().fold(true, |all, t| all & inside(t)) {
                and(BooleanBuffer::collect_bool(n, |i| inside(&times[i])));
            }
        }
        if let Some(p) = &self.request.predicate {
            let mask = p.eval(&batch, &self.request.cancel)?;
            and(match mask.nulls() {
                Some(valid) => mask.values() & valid.inner(),
                None => mask.values().clone(),
            });
        }
        let columns = self.plan.out.iter().map(|c| batch.schema().index_of(c).map_err(internal)).collect::<Result<Vec<_>>>()?;
        let out = batch.project(&columns).map_err(internal)?;
        match keep {
            Some(k) if k.count_set_bits() < n => filter_record_batch(&out, &BooleanArray::new(k, None)).map_err(internal),
            _ => Ok(out),
        }
    }
}

/// Brings pieces of a slice into an order in which each has, of every series, only rows later than those of the pieces before. False if
/// there is none. `series` is how many there are.
fn in_turn(pieces: &mut [Piece], series: usize) -> bool {
    if pieces.len() < 2 {
        return true;
    }
    pieces.sort_by_key(|p| p.stretches.iter().map(|s| s.first).min());
    let mut ends = vec![i64::MIN; series];
    let mut stretches = pieces.iter().flat_map(|p| &p.stretches);
    stretches.all(|s| ends.get_mut(s.series as usize).is_some_and(|end| s.first > std::mem::replace(end, s.last)))
}

impl Iterator for Scan {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let r = self.step();
        self.failed = r.is_err();
        r.transpose()
    }
}
