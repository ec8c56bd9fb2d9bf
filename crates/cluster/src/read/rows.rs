//! Rows as bytes: the number of rows, then column by column in the table's order. Both sides know the columns and their
//! types, so nothing describes them.
//!
//! A column is one byte that says whether values are missing, then a bit for each row if so, then its values: numbers in little
//! endian (64-bit integers as the difference to the one before), ids as they are, texts and bytes as their lengths and then
//! all of them in a row.

use std::sync::Arc;

use arrow_array::builder::GenericByteViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{BinaryViewType, ByteViewType, Float64Type, Int64Type, StringViewType, UInt8Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, FixedSizeBinaryArray, Float64Array, GenericByteViewArray, Int64Array, RecordBatch, UInt8Array, UInt32Array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_schema::DataType;
use base::{Error, Result};
use bytes::Bytes;
use table::TableSpec;

use super::bytes::{Reader, damaged};
use super::message::{Kind, Message, close};
use crate::limits;

/// A batch of whole rows as messages of about [`limits::MESSAGE_TARGET_BYTES`] before they are compressed.
pub fn encode(batch: &RecordBatch, send: &mut dyn FnMut(Bytes) -> Result<()>) -> Result<()> {
    let n = batch.num_rows();
    if n > 1 && batch.columns().iter().map(value_bytes).sum::<usize>() > limits::MESSAGE_TARGET_BYTES {
        encode(&batch.slice(0, n / 2), send)?;
        return encode(&batch.slice(n / 2, n - n / 2), send);
    }
    let mut out = (n as u32).to_le_bytes().to_vec();
    for c in batch.columns() {
        encode_column(c, &mut out)?;
    }
    if out.len() > limits::MESSAGE_BYTES - 16 {
        return Err(Error::internal("a row is too large to be sent to another node"));
    }
    send(close(Kind::Rows, &out))
}

fn value_bytes(c: &ArrayRef) -> usize {
    match c.data_type() {
        DataType::Utf8View => c.len() * 4 + view_bytes(c.as_string_view()),
        DataType::BinaryView => c.len() * 4 + view_bytes(c.as_binary_view()),
        DataType::FixedSizeBinary(width) => c.len() * *width as usize,
        other => c.len() * other.primitive_width().unwrap_or(8),
    }
}

/// Bytes of all values; the lower half of a view is its length.
fn view_bytes<T: ByteViewType + ?Sized>(a: &GenericByteViewArray<T>) -> usize {
    a.views().iter().map(|v| *v as u32 as usize).sum()
}

fn encode_column(c: &ArrayRef, out: &mut Vec<u8>) -> Result<()> {
    match c.nulls().filter(|n| n.null_count() > 0) {
        None => out.push(0),
        Some(nulls) => {
            out.push(1);
            let bits = nulls.inner();
            out.extend_from_slice(&bits.sliced().as_slice()[..bits.len().div_ceil(8)]);
        }
    }
    match c.data_type() {
        DataType::UInt8 => out.extend_from_slice(c.as_primitive::<UInt8Type>().values()),
        DataType::UInt32 => c.as_primitive::<UInt32Type>().values().iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes())),
        DataType::Int64 => {
            let mut before = 0i64;
            for v in c.as_primitive::<Int64Type>().values() {
                out.extend_from_slice(&v.wrapping_sub(before).to_le_bytes());
                before = *v;
            }
        }
        DataType::Float64 => c.as_primitive::<Float64Type>().values().iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes())),
        DataType::FixedSizeBinary(_) => {
            let a = c.as_fixed_size_binary();
            (0..a.len()).for_each(|i| out.extend_from_slice(a.value(i)));
        }
        DataType::Utf8View => encode_views(c.as_string_view(), out),
        DataType::BinaryView => encode_views(c.as_binary_view(), out),
        other => return Err(Error::internal(format!("no table has a column of type {other}"))),
    }
    Ok(())
}

/// Missing values have a length, too, so that their bytes need no looking at.
fn encode_views<T: ByteViewType + ?Sized>(a: &GenericByteViewArray<T>, out: &mut Vec<u8>) {
    let value = |i: usize| -> &[u8] { if a.is_valid(i) { a.value(i).as_ref() } else { &[] } };
    (0..a.len()).for_each(|i| out.extend_from_slice(&(value(i).len() as u32).to_le_bytes()));
    (0..a.len()).for_each(|i| out.extend_from_slice(value(i)));
}

/// The rows of a message.
pub fn decode(spec: &'static TableSpec, m: &Message) -> Result<RecordBatch> {
    let schema = spec.schema();
    let mut r = Reader(&m.payload);
    // Each row takes at least its series and its time.
    let n = r.count(12)?;
    let columns = schema.fields().iter().map(|f| {
        let nulls = match r.u8()? {
            0 => None,
            1 => Some(NullBuffer::new(BooleanBuffer::new(Buffer::from(r.take(n.div_ceil(8))?), 0, n))),
            _ => return Err(damaged("a column neither has all values nor lacks some")),
        };
        decode_column(f.data_type(), n, nulls, &mut r, &m.payload)
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    r.end()?;
    // Refuses missing values in columns that must have all.
    RecordBatch::try_new(schema, columns).map_err(|e| damaged(&e.to_string()))
}

fn decode_column(ty: &DataType, n: usize, nulls: Option<NullBuffer>, r: &mut Reader<'_>, all: &Bytes) -> Result<ArrayRef> {
    fn numbers<'a, const N: usize>(r: &mut Reader<'a>, n: usize) -> Result<impl Iterator<Item = [u8; N]> + 'a> {
        let bytes = r.take(n.checked_mul(N).ok_or_else(|| damaged("it counts too much"))?)?;
        Ok(bytes.as_chunks::<N>().0.iter().copied())
    }
    Ok(match ty {
        DataType::UInt8 => Arc::new(UInt8Array::new(r.take(n)?.to_vec().into(), nulls)),
        DataType::UInt32 => Arc::new(UInt32Array::new(numbers(r, n)?.map(u32::from_le_bytes).collect::<Vec<_>>().into(), nulls)),
        DataType::Int64 => {
            let mut before = 0i64;
            let values = numbers(r, n)?.map(i64::from_le_bytes).map(|d| {
                before = before.wrapping_add(d);
                before
            });
            Arc::new(Int64Array::new(values.collect::<Vec<_>>().into(), nulls))
        }
        DataType::Float64 => Arc::new(Float64Array::new(numbers(r, n)?.map(f64::from_le_bytes).collect::<Vec<_>>().into(), nulls)),
        DataType::FixedSizeBinary(width) => {
            let bytes = r.take(n.checked_mul(*width as usize).ok_or_else(|| damaged("it counts too much"))?)?;
            Arc::new(FixedSizeBinaryArray::try_new(*width, Buffer::from(bytes), nulls).map_err(|e| damaged(&e.to_string()))?)
        }
        DataType::Utf8View => Arc::new(decode_views::<StringViewType>(n, nulls.as_ref(), r, all)?),
        DataType::BinaryView => Arc::new(decode_views::<BinaryViewType>(n, nulls.as_ref(), r, all)?),
        other => return Err(Error::internal(format!("no table has a column of type {other}"))),
    })
}

/// Values stay where they are, in the message's bytes.
fn decode_views<T: ByteViewType + ?Sized>(
    n: usize,
    nulls: Option<&NullBuffer>,
    r: &mut Reader<'_>,
    all: &Bytes,
) -> Result<GenericByteViewArray<T>> {
    let lengths = r.take(n.checked_mul(4).ok_or_else(|| damaged("it counts too much"))?)?;
    let lengths = || lengths.as_chunks::<4>().0.iter().map(|l| u32::from_le_bytes(*l));
    let total: u64 = lengths().map(u64::from).sum();
    let values = r.take(usize::try_from(total).map_err(|_| damaged("it counts too much"))?)?;
    let mut b = GenericByteViewBuilder::<T>::with_capacity(n);
    let block = b.append_block(Buffer::from(all.slice_ref(values)));
    let mut at = 0;
    for (i, len) in lengths().enumerate() {
        if nulls.is_some_and(|v| v.is_null(i)) {
            b.append_null();
        } else {
            b.try_append_view(block, at, len).map_err(|_| damaged("a text is not UTF-8"))?;
        }
        at += len;
    }
    Ok(b.finish())
}
