//! Puts unsorted rows in the table's order and removes their doubles.
//!
//! Rows arrive nearly sorted by time within each series, so a counting sort by (tenant, slice, series) does most of
//! the work, and a bucket is sorted by time only where it is not already.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_buffer::ScalarBuffer;
use arrow_schema::{DataType, Field, SchemaRef};
use arrow_select::concat::concat;
use arrow_select::take::take;
use base::{Result, Tenant};
use std::collections::HashMap;

use super::SeriesNames;
use super::blank::{blank, is_blank};
use super::layout::internal;
use super::piece::held_bytes;
use super::resolve::{Resolver, RowRef};
use crate::spec::{Order, TableSpec};

/// Rows of one tenant and slice.
pub struct Group {
    pub tenant: Tenant,
    pub slice: i64,
    /// Positions in [`Ordered::rows`].
    pub range: Range<usize>,
}

/// Rows in order, as positions into joined batches.
pub struct Ordered {
    joined: Joined,
    pub rows: Vec<u32>,
    pub groups: Vec<Group>,
    /// Numbers of the series that occur, in key order, with their tenants.
    pub series: Vec<(Tenant, Vec<u32>)>,
    pub doubles: u64,
}

impl Ordered {
    /// A piece of the rows as a batch.
    pub fn batch(&self, range: Range<usize>) -> Result<RecordBatch> {
        let rows = UInt32Array::from(self.rows[range].to_vec());
        self.joined.columns(rows.len(), |column| take(column, &rows, None).map_err(internal))
    }

    /// Bytes that the columns of all rows take.
    pub fn bytes(&self) -> usize {
        self.joined.columns.iter().flatten().map(held_bytes).sum()
    }
}

/// Batches as one, but for columns without any value.
struct Joined {
    schema: SchemaRef,
    columns: Vec<Option<ArrayRef>>,
    rows: usize,
}

impl Joined {
    fn new(schema: SchemaRef, batches: &[RecordBatch]) -> Result<Joined> {
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let column = |i: usize| match batches {
            _ if schema.field(i).is_nullable() && batches.iter().all(|b| is_blank(b.column(i))) => Ok(None),
            [one] => Ok(Some(one.column(i).clone())),
            _ => concat(&batches.iter().map(|b| b.column(i).as_ref()).collect::<Vec<_>>()).map(Some).map_err(internal),
        };
        let columns = (0..schema.fields().len()).map(column).collect::<Result<Vec<_>>>()?;
        Ok(Joined { schema, columns, rows })
    }

    /// What becomes of the columns, of `rows` rows each.
    fn columns(&self, rows: usize, each: impl Fn(&ArrayRef) -> Result<ArrayRef>) -> Result<RecordBatch> {
        let whole = |(c, f): (&Option<ArrayRef>, &Arc<Field>)| c.as_ref().map_or_else(|| Ok(blank(f.data_type(), rows)), &each);
        let columns = self.columns.iter().zip(self.schema.fields()).map(whole).collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(self.schema.clone(), columns).map_err(internal)
    }

    fn column(&self, i: usize) -> Result<&ArrayRef> {
        self.columns[i].as_ref().ok_or_else(|| internal("a column that is never null has no values"))
    }
}

/// `batches` as one.
pub fn join(schema: SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch> {
    let joined = Joined::new(schema, batches)?;
    joined.columns(joined.rows, |column| Ok(column.clone()))
}

/// Key of a row as a number that sorts as the key's bytes do. Keys of at most 16 bytes only (see `Layout::new`).
pub fn key_values(a: &ArrayRef) -> Vec<u128> {
    match a.data_type() {
        DataType::FixedSizeBinary(_) => a
            .as_fixed_size_binary()
            .iter()
            .map(|v| {
                let mut b = [0; 16];
                if let Some(v) = v {
                    b[..v.len().min(16)].copy_from_slice(&v[..v.len().min(16)]);
                }
                u128::from_be_bytes(b)
            })
            .collect(),
        DataType::UInt32 => a.as_primitive::<UInt32Type>().values().iter().map(|v| u128::from(*v)).collect(),
        _ => a.as_primitive::<Int64Type>().values().iter().map(|v| time_key(*v)).collect(),
    }
}

/// A time as an unsigned number of the same order.
pub fn time_key(t: i64) -> u128 {
    u128::from(t as u64 ^ (1 << 63))
}

/// Ranks of series numbers: by tenant, then by key.
struct Ranks {
    // Rank and tenant by number; only numbers that occur are set.
    of: Vec<(u32, u32)>,
    tenants: Vec<(Tenant, Vec<u32>)>,
    // First rank of each tenant.
    starts: Vec<u32>,
}

impl Ranks {
    fn new(numbers: &[u32], names: &dyn SeriesNames) -> Ranks {
        let most = numbers.iter().max().map_or(0, |m| *m as usize + 1);
        let mut seen = vec![false; most];
        numbers.iter().for_each(|n| seen[*n as usize] = true);
        let mut distinct: Vec<u32> = (0..most as u32).filter(|n| seen[*n as usize]).collect();
        names.order(&mut distinct);
        let mut r = Ranks { of: vec![(0, 0); most], tenants: vec![], starts: vec![] };
        for (rank, n) in distinct.iter().enumerate() {
            let tenant = names.key(*n).tenant;
            if r.tenants.last().is_none_or(|t| t.0 != tenant) {
                r.tenants.push((tenant, vec![]));
                r.starts.push(rank as u32);
            }
            let at = r.tenants.len() - 1;
            r.tenants[at].1.push(*n);
            r.of[*n as usize] = (rank as u32, at as u32);
        }
        r
    }
}

/// Orders the rows of `batches`.
pub fn order(spec: &'static TableSpec, batches: &[RecordBatch], names: &dyn SeriesNames) -> Result<Ordered> {
    // Without rows there is nothing in any column.
    let joined = match batches {
        [] => Joined::new(spec.schema(), &[RecordBatch::new_empty(spec.schema())])?,
        _ => Joined::new(spec.schema(), batches)?,
    };
    u32::try_from(joined.rows).map_err(|_| internal("too many rows in one part"))?;
    let numbers = joined.column(0)?.as_primitive::<UInt32Type>().values().clone();
    let times = joined.column(1)?.as_primitive::<Int64Type>().values().clone();
    let ranks = Ranks::new(&numbers, names);
    let mut slices: Vec<i64> = vec![];
    let mut slice_of: HashMap<i64, u32> = HashMap::new();
    for t in &times {
        // Neighbours mostly share a slice, and there are few of them.
        let slice = spec.slice_of(*t);
        if slices.last() != Some(&slice) && slice_of.insert(slice, 0).is_none() {
            slices.push(slice);
        }
    }
    slices.sort_unstable();
    slices.iter().enumerate().for_each(|(i, s)| {
        slice_of.insert(*s, i as u32);
    });
    let sorter = Sorter {
        spec,
        joined: &joined,
        whole: OnceCell::new(),
        times: &times,
        numbers: &numbers,
        ranks: &ranks,
        slices: &slices,
        slice_of: &slice_of,
    };
    let (rows, groups, doubles) = match spec.order {
        Order::Series(_) => sorter.by_series()?,
        Order::Key(key) => sorter.by_key(key)?,
    };
    Ok(Ordered { rows, groups, doubles, series: ranks.tenants, joined })
}

struct Sorter<'a> {
    spec: &'static TableSpec,
    joined: &'a Joined,
    /// What the resolver looks at, made when there is something to resolve.
    whole: OnceCell<RecordBatch>,
    times: &'a ScalarBuffer<i64>,
    numbers: &'a ScalarBuffer<u32>,
    ranks: &'a Ranks,
    slices: &'a [i64],
    slice_of: &'a HashMap<i64, u32>,
}

type Sorted = (Vec<u32>, Vec<Group>, u64);

impl Sorter<'_> {
    fn slice_index(&self, t: i64, last: &mut (i64, u32)) -> u32 {
        let slice = self.spec.slice_of(t);
        if last.0 != slice {
            *last = (slice, self.slice_of.get(&slice).copied().unwrap_or(0));
        }
        last.1
    }

    /// Bucket of each row and their sizes. Buckets ascend by tenant, slice, and series (if `series`).
    fn buckets(&self, series: bool) -> (Vec<u64>, impl Fn(u64) -> (usize, usize)) {
        let slices = self.slices.len() as u64;
        let widths: Vec<u64> = self.ranks.tenants.iter().map(|t| if series { t.1.len() as u64 } else { 1 }).collect();
        let mut bases = vec![0u64];
        widths.iter().for_each(|w| bases.push(bases[bases.len() - 1] + w * slices));
        let mut last = (i64::MIN, 0);
        let ids = (self.times.iter().zip(self.numbers))
            .map(|(t, n)| {
                let (rank, tenant) = self.ranks.of[*n as usize];
                let within = if series { u64::from(rank - self.ranks.starts[tenant as usize]) } else { 0 };
                bases[tenant as usize] + u64::from(self.slice_index(*t, &mut last)) * widths[tenant as usize] + within
            })
            .collect();
        let place = move |id: u64| {
            let tenant = bases.partition_point(|b| *b <= id) - 1;
            (tenant, ((id - bases[tenant]) / widths[tenant].max(1)) as usize)
        };
        (ids, place)
    }

    fn group(&self, (tenant, slice): (usize, usize), range: Range<usize>) -> Group {
        Group { tenant: self.ranks.tenants[tenant].0.clone(), slice: self.slices[slice], range }
    }

    fn whole(&self) -> Result<&RecordBatch> {
        if let Some(whole) = self.whole.get() {
            return Ok(whole);
        }
        let whole = self.joined.columns(self.joined.rows, |column| Ok(column.clone()))?;
        // The resolver wants tables ordered by series without their series.
        let first = usize::from(matches!(self.spec.order, Order::Series(_)));
        let columns: Vec<usize> = (first..whole.num_columns()).collect();
        let whole = whole.project(&columns).map_err(internal)?;
        Ok(self.whole.get_or_init(|| whole))
    }

    fn by_series(&self) -> Result<Sorted> {
        let (ids, place) = self.buckets(true);
        let order = sort_by_bucket(&ids);
        let resolver = Resolver::new(self.spec);
        let mut out = Vec::with_capacity(order.len());
        let mut groups: Vec<Group> = vec![];
        let (mut doubles, mut current) = (0, None);
        for bucket in order.chunk_by(|a, b| ids[*a as usize] == ids[*b as usize]) {
            let at = place(ids[bucket[0] as usize]);
            let start = out.len();
            doubles += self.resolve_bucket(bucket, &resolver, &mut out)?;
            match groups.last_mut().filter(|_| current == Some(at)) {
                Some(g) => g.range.end = out.len(),
                None => groups.push(self.group(at, start..out.len())),
            }
            current = Some(at);
        }
        Ok((out, groups, doubles))
    }

    /// Rows of one series and slice, in order of arrival: appends them in order, without doubles.
    fn resolve_bucket(&self, bucket: &[u32], resolver: &Resolver, out: &mut Vec<u32>) -> Result<u64> {
        let time = |r: &u32| self.times[*r as usize];
        if bucket.windows(2).all(|w| time(&w[0]) < time(&w[1])) {
            out.extend_from_slice(bucket);
            return Ok(0);
        }
        let mut sorted = bucket.to_vec();
        sorted.sort_by_key(time);
        let mut doubles = 0;
        let mut refs = vec![];
        for same in sorted.chunk_by(|a, b| time(a) == time(b)) {
            if same.len() == 1 {
                out.push(same[0]);
                continue;
            }
            refs.clear();
            refs.extend(same.iter().map(|r| RowRef { batch: 0, row: *r }));
            doubles += resolver.resolve(&mut refs, &[self.whole()?], &|_, _| Ordering::Equal);
            out.extend(refs.iter().map(|r| r.row));
        }
        Ok(doubles as u64)
    }

    fn by_key(&self, key: &str) -> Result<Sorted> {
        let keys = key_values(self.joined.column(self.joined.schema.index_of(key).map_err(internal)?)?);
        let (ids, place) = self.buckets(false);
        let mut order = sort_by_bucket(&ids);
        let resolver = Resolver::new(self.spec);
        let rank = |r: RowRef| self.ranks.of[self.numbers[r.row as usize] as usize].0;
        let mut out = Vec::with_capacity(order.len());
        let (mut groups, mut doubles, mut refs) = (vec![], 0, vec![]);
        for bucket in order.chunk_by_mut(|a, b| ids[*a as usize] == ids[*b as usize]) {
            let at = place(ids[bucket[0] as usize]);
            let start = out.len();
            let mut keyed: Vec<(u128, i64, u32)> = bucket.iter().map(|r| (keys[*r as usize], self.times[*r as usize], *r)).collect();
            keyed.sort_unstable();
            for same in keyed.chunk_by(|a, b| a.0 == b.0) {
                if same.len() == 1 {
                    out.push(same[0].2);
                    continue;
                }
                refs.clear();
                refs.extend(same.iter().map(|r| RowRef { batch: 0, row: r.2 }));
                doubles += resolver.resolve(&mut refs, &[self.whole()?], &|a, b| rank(a).cmp(&rank(b))) as u64;
                out.extend(refs.iter().map(|r| r.row));
            }
            groups.push(self.group(at, start..out.len()));
        }
        Ok((out, groups, doubles))
    }
}

/// Positions of rows in order of their buckets, rows of one bucket in order of arrival.
fn sort_by_bucket(ids: &[u64]) -> Vec<u32> {
    let most = ids.iter().max().map_or(0, |m| m + 1);
    if most > 4 * ids.len() as u64 + 65_536 {
        let mut order: Vec<u32> = (0..ids.len() as u32).collect();
        order.sort_by_key(|r| ids[*r as usize]);
        return order;
    }
    let mut starts = vec![0u32; most as usize + 1];
    ids.iter().for_each(|id| starts[*id as usize + 1] += 1);
    for i in 1..starts.len() {
        starts[i] += starts[i - 1];
    }
    let mut order = vec![0; ids.len()];
    for (row, id) in ids.iter().enumerate() {
        let at = &mut starts[*id as usize];
        order[*at as usize] = row as u32;
        *at += 1;
    }
    order
}
