//! Attributes in columns: the frequent keys of a block get a typed column each, and every row still gives back exactly
//! the bytes that came in.
//!
//! A shredded row has a *shape*: the tag byte in front of its messages, then one byte for each message: which key column
//! holds its value, or [`FROM_REST`] for the next message of the rest column. Rows of one program have few shapes, so
//! the shape column is a dictionary. A message is shredded only if writing it again makes the same bytes; a row that
//! cannot be shredded has no shape and lies whole in the rest column.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{BinaryViewBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringViewBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, BinaryViewArray};
use arrow_schema::DataType;
use base::attrs::{Value, read_varint, write_varint};
use base::{Error, Result};
use serde::{Deserialize, Serialize};

/// Key columns of one attribute column: enough for what programs repeat, few enough for footers and merges.
pub const KEYS: usize = 48;
/// A key must occur in one row of this many to get a column.
const RARE: usize = 200;
/// In a shape: the next message of the rest column.
const FROM_REST: u8 = 255;

/// Type of a key column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Str,
    Int,
    Bool,
    Double,
}

/// A key column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyColumn {
    pub key: String,
    pub kind: Kind,
}

impl KeyColumn {
    /// Name of the column in the file.
    pub fn name(&self, column: &str) -> String {
        let suffix = match self.kind {
            Kind::Str => "",
            Kind::Int => ":int",
            Kind::Bool => ":bool",
            Kind::Double => ":double",
        };
        format!("{column}.{}{suffix}", self.key)
    }

    pub fn arrow(&self) -> DataType {
        match self.kind {
            Kind::Str => DataType::Utf8View,
            Kind::Int => DataType::Int64,
            Kind::Bool => DataType::Boolean,
            Kind::Double => DataType::Float64,
        }
    }
}

/// A varint of no more bytes than it needs, and the rest.
fn minimal(b: &[u8]) -> Option<(u64, &[u8])> {
    if *b.first()? < 0x80 {
        return Some((u64::from(b[0]), &b[1..]));
    }
    let (v, rest) = read_varint(b)?;
    let len = b.len() - rest.len();
    // The last of several bytes must carry bits, and ten bytes hold 64 bits and no more.
    (b[len - 1] != 0 && (len < 10 || b[len - 1] == 1)).then_some((v, rest))
}

fn prefixed(b: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = minimal(b)?;
    rest.split_at_checked(usize::try_from(len).ok()?)
}

/// One `KeyValue` with a scalar value, if it is written in the only way that [`write_message`] writes.
fn message(body: &[u8]) -> Option<(&str, Value<'_>)> {
    let (key, rest) = prefixed(body.strip_prefix(&[1 << 3 | 2])?)?;
    let (any, rest) = prefixed(rest.strip_prefix(&[2 << 3 | 2])?)?;
    let (tag, v) = any.split_first()?;
    let value = match *tag {
        0x0a => {
            let (s, left) = prefixed(v)?;
            left.is_empty().then_some(Value::Str(std::str::from_utf8(s).ok()?))?
        }
        0x10 if v == [0] || v == [1] => Value::Bool(v == [1]),
        0x18 => {
            let (n, left) = minimal(v)?;
            left.is_empty().then_some(Value::Int(n as i64))?
        }
        0x21 => Value::Double(f64::from_le_bytes(v.try_into().ok()?)),
        _ => return None,
    };
    rest.is_empty().then_some((std::str::from_utf8(key).ok()?, value))
}

fn kind(v: &Value<'_>) -> Option<Kind> {
    match v {
        Value::Str(_) => Some(Kind::Str),
        Value::Int(_) => Some(Kind::Int),
        Value::Bool(_) => Some(Kind::Bool),
        Value::Double(_) => Some(Kind::Double),
        _ => None,
    }
}

fn varint_len(v: u64) -> usize {
    (64 - (v | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a message in the form that [`message`] reads.
fn write_message(out: &mut Vec<u8>, tag: u8, key: &str, v: &Value<'_>) {
    let any_len = match v {
        Value::Str(s) => 1 + varint_len(s.len() as u64) + s.len(),
        Value::Int(n) => 1 + varint_len(*n as u64),
        Value::Bool(_) => 2,
        _ => 9,
    };
    let body = 1 + varint_len(key.len() as u64) + key.len() + 1 + varint_len(any_len as u64) + any_len;
    out.push(tag);
    write_varint(out, body as u64);
    out.push(1 << 3 | 2);
    write_varint(out, key.len() as u64);
    out.extend_from_slice(key.as_bytes());
    out.push(2 << 3 | 2);
    write_varint(out, any_len as u64);
    base::attrs::write_value(out, v);
}

/// The messages of encoded attributes: each whole, and its inside. `None` if the bytes are anything else, or their tags
/// differ.
fn messages(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let tag = *bytes.first()?;
    let mut out = vec![];
    let mut rest = bytes;
    while !rest.is_empty() {
        let (body, after) = prefixed(rest.strip_prefix(&[tag])?)?;
        out.push((&rest[..rest.len() - after.len()], body));
        rest = after;
    }
    (tag & 0x87 == 2).then_some(out)
}

/// Counts keys, to choose those that get a column.
#[derive(Default)]
pub struct Census {
    counts: HashMap<String, [usize; 4]>,
    rows: usize,
}

impl Census {
    /// Counts the rows of an attribute column.
    pub fn add(&mut self, a: &ArrayRef) {
        let Some(a) = a.as_binary_view_opt() else { return };
        for bytes in a.iter() {
            self.rows += 1;
            for (_, body) in bytes.and_then(messages).unwrap_or_default() {
                let Some((key, v)) = message(body) else { continue };
                let Some(k) = kind(&v) else { continue };
                match self.counts.get_mut(key) {
                    Some(c) => c[k as usize] += 1,
                    None => self.counts.entry(key.to_string()).or_default()[k as usize] += 1,
                }
            }
        }
    }

    /// The most frequent keys, by name.
    pub fn choose(self) -> Vec<KeyColumn> {
        let least = self.rows / RARE + 1;
        let kinds = [Kind::Str, Kind::Int, Kind::Bool, Kind::Double];
        let all = self.counts.into_iter().flat_map(|(key, c)| kinds.map(|kind| (c[kind as usize], KeyColumn { key: key.clone(), kind })));
        let mut all: Vec<(usize, KeyColumn)> = all.filter(|(n, _)| *n >= least).collect();
        all.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        all.truncate(KEYS);
        let mut keys: Vec<KeyColumn> = all.into_iter().map(|(_, k)| k).collect();
        keys.sort_unstable();
        keys
    }
}

enum Builder {
    Str(StringViewBuilder),
    Int(Int64Builder),
    Bool(BooleanBuilder),
    Double(Float64Builder),
}

impl Builder {
    fn new(kind: Kind) -> Builder {
        match kind {
            Kind::Str => Builder::Str(StringViewBuilder::new()),
            Kind::Int => Builder::Int(Int64Builder::new()),
            Kind::Bool => Builder::Bool(BooleanBuilder::new()),
            Kind::Double => Builder::Double(Float64Builder::new()),
        }
    }

    fn push(&mut self, v: Option<Value<'_>>) {
        match (self, v) {
            (Builder::Str(b), Some(Value::Str(s))) => b.append_value(s),
            (Builder::Int(b), Some(Value::Int(n))) => b.append_value(n),
            (Builder::Bool(b), Some(Value::Bool(x))) => b.append_value(x),
            (Builder::Double(b), Some(Value::Double(x))) => b.append_value(x),
            (Builder::Str(b), _) => b.append_null(),
            (Builder::Int(b), _) => b.append_null(),
            (Builder::Bool(b), _) => b.append_null(),
            (Builder::Double(b), _) => b.append_null(),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Builder::Str(mut b) => Arc::new(b.finish()),
            Builder::Int(mut b) => Arc::new(b.finish()),
            Builder::Bool(mut b) => Arc::new(b.finish()),
            Builder::Double(mut b) => Arc::new(b.finish()),
        }
    }
}

/// Splits an attribute column: rest, shape, then the key columns.
pub fn split(a: &ArrayRef, keys: &[KeyColumn]) -> Vec<ArrayRef> {
    let a = a.as_binary_view();
    let at: HashMap<(&str, Kind), u8> = keys.iter().enumerate().map(|(i, k)| ((k.key.as_str(), k.kind), i as u8)).collect();
    let mut rests = BinaryViewBuilder::new();
    let mut shapes = BinaryViewBuilder::new();
    let mut columns: Vec<Builder> = keys.iter().map(|k| Builder::new(k.kind)).collect();
    let mut row: Vec<Option<Value<'_>>> = vec![None; keys.len()];
    let (mut shape, mut rest) = (vec![], vec![]);
    for bytes in a.iter() {
        shape.clear();
        rest.clear();
        row.fill(None);
        for (whole, body) in bytes.and_then(messages).unwrap_or_default() {
            if shape.is_empty() {
                shape.push(whole[0]);
            }
            let column = message(body).and_then(|(key, v)| Some((*at.get(&(key, kind(&v)?))?, v)));
            match column {
                Some((c, v)) if row[c as usize].is_none() => {
                    row[c as usize] = Some(v);
                    shape.push(c);
                }
                _ => {
                    rest.extend_from_slice(whole);
                    shape.push(FROM_REST);
                }
            }
        }
        let shredded = row.iter().any(Option::is_some);
        match (bytes, shredded) {
            (None, _) => rests.append_null(),
            (Some(b), false) => rests.append_value(b),
            (Some(_), true) if rest.is_empty() => rests.append_null(),
            (Some(_), true) => rests.append_value(&rest),
        }
        shapes.append_option(shredded.then_some(&shape));
        columns.iter_mut().zip(&row).for_each(|(b, v)| b.push(*v));
    }
    let mut out: Vec<ArrayRef> = vec![Arc::new(rests.finish()), Arc::new(shapes.finish())];
    out.extend(columns.into_iter().map(Builder::finish));
    out
}

fn value(a: &ArrayRef, i: usize) -> Option<Value<'_>> {
    if a.is_null(i) {
        return None;
    }
    Some(match a.data_type() {
        DataType::Utf8View => Value::Str(a.as_string_view().value(i)),
        DataType::Int64 => Value::Int(a.as_primitive::<Int64Type>().value(i)),
        DataType::Boolean => Value::Bool(a.as_boolean().value(i)),
        _ => Value::Double(a.as_primitive_opt::<Float64Type>()?.value(i)),
    })
}

/// Puts an attribute column together again.
pub fn join(rests: &ArrayRef, shapes: &ArrayRef, columns: &[&ArrayRef], keys: &[KeyColumn]) -> Result<ArrayRef> {
    let bad = || Error::corrupt("the shape of an attribute row names what the row does not have");
    let (rests, shapes) = (rests.as_binary_view(), shapes.as_binary_view());
    if shapes.null_count() == shapes.len() {
        return Ok(Arc::new(rests.clone()));
    }
    let mut out = BinaryViewBuilder::new();
    let mut row = vec![];
    for i in 0..rests.len() {
        let rest = rests.is_valid(i).then(|| rests.value(i));
        if shapes.is_null(i) {
            out.append_option(rest);
            continue;
        }
        row.clear();
        let mut rest = rest.unwrap_or_default();
        let (tag, ids) = shapes.value(i).split_first().ok_or_else(bad)?;
        for id in ids {
            if *id == FROM_REST {
                let (_, after) = rest.get(1..).and_then(prefixed).ok_or_else(bad)?;
                row.extend_from_slice(&rest[..rest.len() - after.len()]);
                rest = after;
                continue;
            }
            let key = keys.get(*id as usize).ok_or_else(bad)?;
            let v = columns.get(*id as usize).and_then(|c| value(c, i)).ok_or_else(bad)?;
            write_message(&mut row, *tag, &key.key, &v);
        }
        out.append_value(&row);
    }
    let out: BinaryViewArray = out.finish();
    Ok(Arc::new(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::attrs::push;
    use proptest::prelude::*;

    fn back(rows: &[Option<Vec<u8>>]) -> (Vec<KeyColumn>, Vec<Option<Vec<u8>>>, Vec<ArrayRef>) {
        let a: ArrayRef = Arc::new(BinaryViewArray::from_iter(rows.iter().map(|r| r.as_deref())));
        let mut census = Census::default();
        census.add(&a);
        let keys = census.choose();
        let parts = split(&a, &keys);
        let columns: Vec<&ArrayRef> = parts[2..].iter().collect();
        let joined = join(&parts[0], &parts[1], &columns, &keys).unwrap();
        let out = joined.as_binary_view().iter().map(|b| b.map(<[u8]>::to_vec)).collect();
        (keys, out, parts)
    }

    #[test]
    fn frequent_keys_become_columns_and_rows_keep_their_bytes() {
        let mut rows = vec![];
        for i in 0..1000i64 {
            let mut b = vec![];
            push(&mut b, "method", &Value::Str("GET"));
            push(&mut b, "status", &Value::Int(i - 500));
            push(&mut b, "hit", &Value::Bool(i % 2 == 0));
            push(&mut b, "list", &Value::Array(&[10, 0]));
            push(&mut b, "status", &Value::Double(0.5));
            push(&mut b, "method", &Value::Str("again"));
            // The tag that spans use for their attributes.
            let b: Vec<u8> = if i % 3 == 0 { retag(&b) } else { b };
            rows.push(Some(b));
        }
        rows.extend([None, Some(vec![]), Some(vec![0x0a, 0x80, 0]), Some(vec![1, 2, 3])]);
        let (keys, out, parts) = back(&rows);
        assert_eq!(out, rows);
        let names: Vec<String> = keys.iter().map(|k| k.name("a")).collect();
        assert_eq!(names, ["a.hit:bool", "a.method", "a.status:int", "a.status:double"]);
        assert_eq!(parts[3].null_count(), 4);
    }

    fn retag(b: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        for (whole, _) in messages(b).unwrap() {
            out.push(9 << 3 | 2);
            out.extend_from_slice(&whole[1..]);
        }
        out
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(rows in proptest::collection::vec(proptest::option::of(proptest::collection::vec(prop_oneof![Just(10u8), Just(18), Just(0), Just(1), Just(2), Just(128), any::<u8>()], 0..24)), 1..60)) {
            prop_assert_eq!(back(&rows).1, rows);
        }

        #[test]
        fn varints_are_as_long_as_they_need(v in any::<u64>(), shift in 0u32..64) {
            let mut b = vec![];
            write_varint(&mut b, v >> shift);
            prop_assert_eq!(b.len(), varint_len(v >> shift));
            prop_assert_eq!(minimal(&b), Some((v >> shift, &[][..])));
        }
    }
}
