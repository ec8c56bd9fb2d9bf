//! Stretches: rows of one series at equal distances in time, as scraping makes them, without a series and a time for each.
//!
//! A scan that may answer with them ([`ScanRequest::stretches`]) gives two kinds of batches: rows, and stretches, a row for each, with its
//! values as a list. So nothing is written or read for each sample but its value.
//!
//! [`ScanRequest::stretches`]: crate::ScanRequest

use std::sync::{Arc, LazyLock};

use arrow_array::builder::BooleanBufferBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt32Type};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, UInt32Array};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use base::{Error, Result};

/// Rows of one series at equal distances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch<'a> {
    /// Which of the scan's series.
    pub series: u32,
    /// Time of the first row.
    pub first: i64,
    /// From each to the next; 0 if there is only one.
    pub step: i64,
    /// The wanted column of doubles, which has no nulls; all other wanted columns have nothing else.
    pub values: &'a [f64],
    /// Whether all values are finite numbers. Where it is not said, they may be as well.
    pub are_finite: bool,
}

impl Stretch<'_> {
    /// Time of the last row.
    pub fn last(&self) -> i64 {
        self.first + self.step * (self.values.len() as i64 - 1)
    }
}

/// Name of the column that only batches of stretches have.
const STEP: &str = "step";

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let field = |name: &str, ty| Field::new(name, ty, false);
    let values = DataType::List(Arc::new(field("item", DataType::Float64)));
    Arc::new(Schema::new(vec![
        field("series", DataType::UInt32),
        field("first", DataType::Int64),
        field(STEP, DataType::Int64),
        field("are_finite", DataType::Boolean),
        field("values", values),
    ]))
});

/// The stretches of a batch; `None` if it is one of rows.
pub fn stretches(batch: &RecordBatch) -> Option<impl Iterator<Item = Stretch<'_>>> {
    if batch.schema_ref() != &*SCHEMA {
        return None;
    }
    let series = batch.column(0).as_primitive::<UInt32Type>().values();
    let times = [1, 2].map(|c| batch.column(c).as_primitive::<Int64Type>().values());
    let are_finite = batch.column(3).as_boolean();
    let list = batch.column(4).as_list::<i32>();
    let (values, ends) = (list.values().as_primitive::<Float64Type>().values(), list.value_offsets());
    Some((0..batch.num_rows()).map(move |i| Stretch {
        series: series[i],
        first: times[0][i],
        step: times[1][i],
        values: &values[ends[i] as usize..ends[i + 1] as usize],
        are_finite: are_finite.value(i),
    }))
}

/// Collects stretches for a batch. The memory of its values serves the next as soon as nobody holds the batch.
#[derive(Default)]
pub(crate) struct Collected {
    series: Vec<u32>,
    firsts: Vec<i64>,
    steps: Vec<i64>,
    are_finite: Vec<bool>,
    ends: Vec<i32>,
    /// The values of all.
    pub values: Vec<f64>,
    given: Buffer,
}

impl Collected {
    /// Begins a batch.
    pub fn begin(&mut self) {
        if self.values.capacity() == 0 {
            self.values = std::mem::take(&mut self.given).into_vec().unwrap_or_default();
        }
        self.values.clear();
    }

    /// The next stretch, whose values have been added.
    pub fn push(&mut self, series: u32, first: i64, step: i64, are_finite: bool) {
        self.series.push(series);
        self.firsts.push(first);
        self.steps.push(step);
        self.are_finite.push(are_finite);
        self.ends.push(self.values.len() as i32);
    }

    /// Number of values of the stretches.
    pub fn rows(&self) -> usize {
        self.ends.last().map_or(0, |end| *end as usize)
    }

    /// A batch of all that was collected; `None` if that is nothing.
    pub fn finish(&mut self) -> Result<Option<RecordBatch>> {
        if self.series.is_empty() {
            return Ok(None);
        }
        // Of a stretch that was lost, values may be left.
        self.values.truncate(self.rows());
        let rows = self.values.len();
        let values = Buffer::from_vec(std::mem::take(&mut self.values));
        self.given = values.clone();
        let offsets = ScalarBuffer::from_iter(std::iter::once(0).chain(self.ends.drain(..)));
        let values: ArrayRef = Arc::new(Float64Array::new(ScalarBuffer::new(values, 0, rows), None));
        let item = Arc::new(Field::new("item", DataType::Float64, false));
        let mut are_finite = BooleanBufferBuilder::new(self.series.len());
        are_finite.append_slice(&self.are_finite);
        self.are_finite.clear();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(std::mem::take(&mut self.series))),
            Arc::new(Int64Array::from(std::mem::take(&mut self.firsts))),
            Arc::new(Int64Array::from(std::mem::take(&mut self.steps))),
            Arc::new(BooleanArray::new(are_finite.finish(), None)),
            Arc::new(ListArray::new(item, OffsetBuffer::new(offsets), values, None)),
        ];
        let batch = RecordBatch::try_new(SCHEMA.clone(), columns);
        batch.map(Some).map_err(|e| Error::internal(format!("stretches: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_come_back_from_their_batch() {
        let mut all = Collected::default();
        let mut memory = vec![];
        assert!(all.finish().unwrap().is_none());
        for round in 0..3 {
            all.begin();
            all.values.extend([1.0, 2.0, 3.0]);
            all.push(7, 100, 15, true);
            all.values.extend([f64::INFINITY]);
            all.push(9, round, 0, false);
            // Lost while it was read.
            all.values.push(4.0);
            let batch = all.finish().unwrap().unwrap();
            let found: Vec<Stretch<'_>> = stretches(&batch).unwrap().collect();
            let of = |series, first, step, values, are_finite| Stretch { series, first, step, values, are_finite };
            assert_eq!(found, [of(7, 100, 15, &[1.0, 2.0, 3.0], true), of(9, round, 0, &[f64::INFINITY], false)]);
            assert_eq!((found[0].last(), found[1].last()), (130, round));
            memory.push(found[0].values.as_ptr());
        }
        assert_eq!(memory[0], memory[1], "its memory is used again");
        let rows = RecordBatch::try_from_iter([("series", Arc::new(UInt32Array::from(vec![1])) as ArrayRef)]).unwrap();
        assert!(stretches(&rows).is_none());
    }
}
