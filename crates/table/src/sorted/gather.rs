//! Collects rows from many batches into one.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int64Type, UInt8Type, UInt32Type};
use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, PrimitiveArray, RecordBatch, UInt32Array, new_null_array};
use arrow_buffer::Buffer;
use arrow_schema::{DataType, Field, Schema};
use arrow_select::interleave::interleave;
use base::Result;
use std::collections::HashMap;

use super::combine::Sources;
use super::layout::internal;
use super::limits::{BATCH_BYTES, BATCH_ROWS};
use super::piece::{Held, Piece};
use crate::spec::SERIES;

struct Span {
    batch: u32,
    start: u32,
    len: u32,
    series: u32,
}

/// Rows picked so far, not yet copied.
#[derive(Default)]
pub struct Gather {
    held: Vec<(Arc<Held>, usize)>,
    known: HashMap<usize, (u64, u32)>,
    spans: Vec<Span>,
    rows: usize,
    bytes: usize,
    /// Batch and row of each row that was picked, if a column needs that; its memory serves flush after flush.
    pairs: Vec<(usize, usize)>,
}

impl Gather {
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether it is time to flush.
    pub fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// The number of a piece's current batch here.
    pub fn batch(&mut self, piece: usize, generation: u64, held: &Arc<Held>) -> u32 {
        match self.known.get(&piece) {
            Some((g, at)) if *g == generation => *at,
            _ => {
                let at = self.held.len() as u32;
                self.held.push((held.clone(), piece));
                self.known.insert(piece, (generation, at));
                at
            }
        }
    }

    pub fn batches(&self) -> Vec<&RecordBatch> {
        self.held.iter().map(|h| &h.0.batch).collect()
    }

    /// The piece that a batch came from.
    pub fn piece(&self, batch: u32) -> usize {
        self.held[batch as usize].1
    }

    /// Picks `len` rows of a batch.
    pub fn span(&mut self, batch: u32, start: usize, len: usize, series: u32) {
        self.rows += len;
        self.bytes += self.held[batch as usize].0.bytes_of(len);
        match self.spans.last_mut() {
            Some(s) if s.batch == batch && s.series == series && (s.start + s.len) as usize == start => s.len += len as u32,
            _ => self.spans.push(Span { batch, start: start as u32, len: len as u32, series }),
        }
    }

    /// Copies what was picked into one batch of `series` and the other columns read, and forgets it.
    pub fn flush(&mut self, columns: &[usize], by_series: bool, pieces: &[Piece], sources: &dyn Sources) -> Result<RecordBatch> {
        let mut pairs = std::mem::take(&mut self.pairs);
        pairs.clear();
        let batches = self.batches();
        let first = batches[0];
        let skip = usize::from(!by_series);
        debug_assert!(by_series || columns.first() == Some(&0), "tables ordered by a key are read with their series");
        let mut arrays: Vec<ArrayRef> =
            vec![Arc::new(if by_series { self.stretch_series() } else { self.mapped_series(&batches, pieces, sources) })];
        for c in skip..first.num_columns() {
            arrays.push(self.column(&batches, c, &mut pairs)?);
        }
        let mut fields = vec![Field::new(SERIES, DataType::UInt32, false)];
        fields.extend(first.schema().fields().iter().skip(skip).map(|f| f.as_ref().clone()));
        let out = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(internal)?;
        self.pairs = pairs;
        self.held.clear();
        self.known.clear();
        self.spans.clear();
        self.rows = 0;
        self.bytes = 0;
        Ok(out)
    }

    fn stretch_series(&self) -> UInt32Array {
        let mut out = Vec::with_capacity(self.rows);
        self.spans.iter().for_each(|s| out.resize(out.len() + s.len as usize, s.series));
        out.into()
    }

    fn mapped_series(&self, batches: &[&RecordBatch], pieces: &[Piece], sources: &dyn Sources) -> UInt32Array {
        let mut out = Vec::with_capacity(self.rows);
        for s in &self.spans {
            let source = pieces[self.piece(s.batch)].source;
            let numbers =
                &batches[s.batch as usize].column(0).as_primitive::<UInt32Type>().values()[s.start as usize..(s.start + s.len) as usize];
            out.extend(numbers.iter().map(|n| sources.map(source, *n).unwrap_or(u32::MAX)));
        }
        out.into()
    }

    fn column(&self, batches: &[&RecordBatch], c: usize, pairs: &mut Vec<(usize, usize)>) -> Result<ArrayRef> {
        // Rows that lie together in one batch are not copied, though their series may differ.
        let whole = self.spans.windows(2).all(|w| w[0].batch == w[1].batch && w[0].start + w[0].len == w[1].start);
        if whole {
            let s = &self.spans[0];
            return Ok(batches[s.batch as usize].column(c).slice(s.start as usize, self.rows));
        }
        if batches.iter().all(|b| b.column(c).null_count() == b.num_rows()) {
            let nulls = batches.iter().map(|b| b.column(c)).find(|nulls| nulls.len() >= self.rows);
            return Ok(nulls.map_or_else(|| new_null_array(batches[0].column(c).data_type(), self.rows), |nulls| nulls.slice(0, self.rows)));
        }
        let no_nulls = batches.iter().all(|b| b.column(c).null_count() == 0);
        match batches[0].column(c).data_type() {
            DataType::Int64 if no_nulls => Ok(self.primitive::<Int64Type>(batches, c)),
            DataType::Float64 if no_nulls => Ok(self.primitive::<Float64Type>(batches, c)),
            DataType::UInt32 if no_nulls => Ok(self.primitive::<UInt32Type>(batches, c)),
            DataType::UInt8 if no_nulls => Ok(self.primitive::<UInt8Type>(batches, c)),
            DataType::FixedSizeBinary(n) if no_nulls => self.fixed(batches, c, *n),
            _ => {
                if pairs.is_empty() {
                    pairs.reserve(self.rows);
                    for s in &self.spans {
                        let batch = s.batch as usize;
                        pairs.extend((s.start as usize..(s.start + s.len) as usize).map(|row| (batch, row)));
                    }
                }
                let columns: Vec<&dyn Array> = batches.iter().map(|b| b.column(c).as_ref()).collect();
                interleave(&columns, pairs).map_err(internal)
            }
        }
    }

    fn primitive<T: ArrowPrimitiveType>(&self, batches: &[&RecordBatch], c: usize) -> ArrayRef {
        let columns: Vec<&[T::Native]> = batches.iter().map(|b| b.column(c).as_primitive::<T>().values().as_ref()).collect();
        let mut out: Vec<T::Native> = Vec::with_capacity(self.rows);
        for s in &self.spans {
            out.extend_from_slice(&columns[s.batch as usize][s.start as usize..(s.start + s.len) as usize]);
        }
        Arc::new(PrimitiveArray::<T>::new(out.into(), None))
    }

    fn fixed(&self, batches: &[&RecordBatch], c: usize, width: i32) -> Result<ArrayRef> {
        let w = width as usize;
        let columns: Vec<&[u8]> = batches.iter().map(|b| b.column(c).as_fixed_size_binary().value_data()).collect();
        let mut out: Vec<u8> = Vec::with_capacity(self.rows * w);
        for s in &self.spans {
            out.extend_from_slice(&columns[s.batch as usize][s.start as usize * w..(s.start + s.len) as usize * w]);
        }
        Ok(Arc::new(FixedSizeBinaryArray::try_new(width, Buffer::from_vec(out), None).map_err(internal)?))
    }
}
