//! Rows of other nodes as sources of a scan: they come slice by slice, in the table's order, and are read when their turn
//! comes, so that a scan holds a batch of each and never all of them.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use base::{Error, Result};
use parking_lot::Mutex;

use super::index::Stretch;
use super::layout::internal;
use super::order::{key_values, time_key};
use super::view::stretches_of;
use crate::scan::{Direction, RowStream};
use crate::spec::{Order, TableSpec};

/// One stream of whole rows, shared between the scan, which looks where it stands, and the piece that reads it.
#[derive(Clone)]
pub struct Arrivals(Arc<Mutex<State>>);

struct State {
    spec: &'static TableSpec,
    batches: Box<dyn Iterator<Item = Result<RecordBatch>> + Send>,
    // The caller's number by the stream's; none for series that were not asked for.
    numbers: Vec<Option<u32>>,
    at_hand: Option<RecordBatch>,
}

/// The rows of one slice of a stream.
#[derive(Clone)]
pub struct Slice {
    from: Arrivals,
    slice: i64,
}

impl Arrivals {
    /// Takes over a stream's rows; its series are the caller's `numbers`.
    pub fn new(spec: &'static TableSpec, stream: RowStream, numbers: Vec<Option<u32>>) -> Arrivals {
        Arrivals(Arc::new(Mutex::new(State { spec, batches: stream.batches, numbers, at_hand: None })))
    }

    /// The slice of the rows that come next. Waits for them.
    pub fn slice(&self) -> Result<Option<i64>> {
        self.0.lock().slice()
    }

    /// The rows of the slice that comes next, and the stretches of their first batch.
    pub fn rows(&self, slice: i64) -> Result<Option<(Slice, Vec<Stretch>)>> {
        let mut s = self.0.lock();
        if s.slice()? != Some(slice) {
            return Ok(None);
        }
        let stretches = s.at_hand.as_ref().map(|b| s.stretches(b)).transpose()?.unwrap_or_default();
        Ok(Some((Slice { from: self.clone(), slice }, stretches)))
    }
}

impl Slice {
    /// The next batch of the slice and its stretches.
    pub fn next(&self) -> Result<Option<(RecordBatch, Vec<Stretch>)>> {
        let mut s = self.from.0.lock();
        if s.slice()? != Some(self.slice) {
            return Ok(None);
        }
        s.at_hand.take().map(|b| Ok((b.clone(), s.stretches(&b)?))).transpose()
    }
}

/// Checks that batches of a stream are what a scan may merge: whole rows of announced series, each batch within one slice,
/// slices in the direction asked for, rows in the table's order.
pub struct OrderCheck {
    spec: &'static TableSpec,
    direction: Direction,
    series: usize,
    // The last row: its slice, and its place within it.
    last: Option<(i64, (u128, u128))>,
}

impl OrderCheck {
    /// For a stream that announced so many series.
    pub fn new(spec: &'static TableSpec, direction: Direction, series: usize) -> OrderCheck {
        OrderCheck { spec, direction, series, last: None }
    }

    /// An error of kind `Corrupt` if the batch is not what may come next.
    pub fn check(&mut self, batch: &RecordBatch) -> Result<()> {
        let wrong = |what: &str| Err(Error::corrupt(format!("rows of another node: {what}")));
        if batch.schema() != self.spec.schema() {
            return wrong("not the columns of the table");
        }
        let series = batch.column(0).as_primitive::<UInt32Type>().values();
        let times = batch.column(1).as_primitive::<Int64Type>().values();
        if series.iter().any(|s| *s as usize >= self.series) {
            return wrong("a series that was not announced");
        }
        let keys = match self.spec.order {
            Order::Key(key) => Some(key_values(batch.column_by_name(key).ok_or_else(|| internal("the key column is missing"))?)),
            Order::Series(_) => None,
        };
        for (i, t) in times.iter().enumerate() {
            let place = keys.as_ref().map_or_else(|| (u128::from(series[i]), time_key(*t)), |k| (k[i], 0));
            let slice = self.spec.slice_of(*t);
            match self.last {
                Some((s, last)) if s == slice && place < last => return wrong("not in order"),
                Some((s, _)) if s != slice && i > 0 => return wrong("of several slices in one batch"),
                Some((s, _)) if s != slice && (s < slice) != (self.direction == Direction::Forward) => {
                    return wrong("slices in the other direction");
                }
                _ => self.last = Some((slice, place)),
            }
        }
        Ok(())
    }
}

impl State {
    fn slice(&mut self) -> Result<Option<i64>> {
        while self.at_hand.as_ref().is_none_or(|b| b.num_rows() == 0) {
            let Some(next) = self.batches.next() else { return Ok(None) };
            self.at_hand = Some(next?);
        }
        let first = self.at_hand.as_ref().map(|b| b.column(1).as_primitive::<Int64Type>().value(0));
        Ok(first.map(|t| self.spec.slice_of(t)))
    }

    /// A batch's stretches under the caller's numbers. The last one may go on in the next batch.
    fn stretches(&self, batch: &RecordBatch) -> Result<Vec<Stretch>> {
        let by_series = matches!(self.spec.order, Order::Series(_));
        let mut out = stretches_of(batch, by_series);
        if by_series {
            for s in &mut out {
                let number = self.numbers.get(s.series as usize).copied().flatten();
                s.series = number.ok_or_else(|| internal("arriving rows are of a series that was not asked for"))?;
            }
        }
        if let Some(last) = out.last_mut() {
            last.last = i64::MAX;
        }
        Ok(out)
    }
}
