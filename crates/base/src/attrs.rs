//! Attributes: lists of named, typed values in one byte form.
//!
//! The form is OTLP's own: a sequence of `KeyValue` messages (opentelemetry-proto `common.proto`), each written as a
//! length-delimited protobuf field. So the attributes of a received span are stored as the bytes that arrived. The
//! number of the field in front of each message does not matter to the reader (spans use 9, log records 6).
//!
//! `KeyValue { 1: key string, 2: value AnyValue }`, `AnyValue { 1: string, 2: bool varint, 3: int64 varint,
//! 4: double, 5: ArrayValue { 1: AnyValue* }, 6: KeyValueList { 1: KeyValue* }, 7: bytes }`.

/// A value borrowed from encoded attributes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value was given.
    Empty,
    /// Text.
    Str(&'a str),
    /// True or false.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// Floating point.
    Double(f64),
    /// An encoded `ArrayValue`.
    Array(&'a [u8]),
    /// An encoded `KeyValueList`.
    Map(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// Reads a varint; returns it and the rest.
#[inline]
pub fn read_varint(b: &[u8]) -> Option<(u64, &[u8])> {
    match b {
        // The lengths of nearly every text.
        [x @ 0..0x80, rest @ ..] => Some((u64::from(*x), rest)),
        [x, y @ 0..0x80, rest @ ..] => Some((u64::from(x & 0x7f) | u64::from(*y) << 7, rest)),
        _ => read_long_varint(b),
    }
}

fn read_long_varint(b: &[u8]) -> Option<(u64, &[u8])> {
    let mut v = 0u64;
    for (i, &x) in b.iter().enumerate().take(10) {
        v |= u64::from(x & 0x7f) << (7 * i);
        if x < 0x80 {
            return Some((v, &b[i + 1..]));
        }
    }
    None
}

/// Appends a varint.
pub fn write_varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// One protobuf field: number, and its payload.
enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

fn read_field(b: &[u8]) -> Option<(u32, Field<'_>, &[u8])> {
    let (tag, b) = read_varint(b)?;
    let n = (tag >> 3) as u32;
    Some(match tag & 7 {
        0 => {
            let (v, b) = read_varint(b)?;
            (n, Field::Varint(v), b)
        }
        1 => (n, Field::Fixed64(u64::from_le_bytes(b.get(..8)?.try_into().ok()?)), &b[8..]),
        2 => {
            let (len, b) = read_varint(b)?;
            let len = usize::try_from(len).ok()?;
            (n, Field::Bytes(b.get(..len)?), &b[len..])
        }
        5 => {
            b.get(..4)?;
            (n, Field::Fixed32, &b[4..])
        }
        _ => return None,
    })
}

/// Decodes an `AnyValue`. Damaged bytes read as [`Value::Empty`].
pub fn read_value(mut b: &[u8]) -> Value<'_> {
    let mut v = Value::Empty;
    while !b.is_empty() {
        let Some((n, f, rest)) = read_field(b) else { return v };
        b = rest;
        v = match (n, f) {
            (1, Field::Bytes(s)) => std::str::from_utf8(s).map_or(Value::Bytes(s), Value::Str),
            (2, Field::Varint(x)) => Value::Bool(x != 0),
            (3, Field::Varint(x)) => Value::Int(x as i64),
            (4, Field::Fixed64(x)) => Value::Double(f64::from_bits(x)),
            (5, Field::Bytes(x)) => Value::Array(x),
            (6, Field::Bytes(x)) => Value::Map(x),
            (7, Field::Bytes(x)) => Value::Bytes(x),
            _ => v,
        };
    }
    v
}

/// Iterates over `key, value` of encoded attributes (also over the inside of a [`Value::Map`]). Stops at damage.
pub fn iter(bytes: &[u8]) -> impl Iterator<Item = (&str, Value<'_>)> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (_, f, r) = read_field(rest)?;
            rest = r;
            let Field::Bytes(mut kv) = f else { continue };
            let (mut key, mut value) = ("", Value::Empty);
            while !kv.is_empty() {
                let Some((n, f, r)) = read_field(kv) else { break };
                kv = r;
                match (n, f) {
                    (1, Field::Bytes(k)) => key = std::str::from_utf8(k).unwrap_or(""),
                    (2, Field::Bytes(v)) => value = read_value(v),
                    _ => {}
                }
            }
            return Some((key, value));
        }
        None
    })
}

/// Iterates over the inside of a [`Value::Array`].
pub fn iter_array(bytes: &[u8]) -> impl Iterator<Item = Value<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (n, f, r) = read_field(rest)?;
            rest = r;
            if let (1, Field::Bytes(v)) = (n, f) {
                return Some(read_value(v));
            }
        }
        None
    })
}

/// The value of `key`.
pub fn get<'a>(bytes: &'a [u8], key: &str) -> Option<Value<'a>> {
    iter(bytes).find(|(k, _)| *k == key).map(|(_, v)| v)
}

/// Encodes an `AnyValue`.
pub fn write_value(out: &mut Vec<u8>, v: &Value<'_>) {
    let bytes = |out: &mut Vec<u8>, n: u8, b: &[u8]| {
        out.push(n << 3 | 2);
        write_varint(out, b.len() as u64);
        out.extend_from_slice(b);
    };
    match v {
        Value::Empty => {}
        Value::Str(s) => bytes(out, 1, s.as_bytes()),
        Value::Bool(x) => out.extend_from_slice(&[2 << 3, u8::from(*x)]),
        Value::Int(x) => {
            out.push(3 << 3);
            write_varint(out, *x as u64);
        }
        Value::Double(x) => {
            out.push(4 << 3 | 1);
            out.extend_from_slice(&x.to_bits().to_le_bytes());
        }
        Value::Array(b) => bytes(out, 5, b),
        Value::Map(b) => bytes(out, 6, b),
        Value::Bytes(b) => bytes(out, 7, b),
    }
}

/// Appends `key = value` to encoded attributes (as field 1, so the result is also a `KeyValueList`).
pub fn push(out: &mut Vec<u8>, key: &str, v: &Value<'_>) {
    let mut any = Vec::with_capacity(16);
    write_value(&mut any, v);
    let mut kv = Vec::with_capacity(key.len() + any.len() + 8);
    kv.push(1 << 3 | 2);
    write_varint(&mut kv, key.len() as u64);
    kv.extend_from_slice(key.as_bytes());
    kv.push(2 << 3 | 2);
    write_varint(&mut kv, any.len() as u64);
    kv.extend_from_slice(&any);
    out.push(1 << 3 | 2);
    write_varint(out, kv.len() as u64);
    out.extend_from_slice(&kv);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut b = vec![];
        push(&mut b, "a", &Value::Str("x"));
        push(&mut b, "n", &Value::Int(-5));
        push(&mut b, "t", &Value::Bool(true));
        push(&mut b, "d", &Value::Double(0.5));
        push(&mut b, "e", &Value::Empty);
        let got: Vec<_> = iter(&b).collect();
        assert_eq!(
            got,
            [("a", Value::Str("x")), ("n", Value::Int(-5)), ("t", Value::Bool(true)), ("d", Value::Double(0.5)), ("e", Value::Empty)]
        );
        assert_eq!(get(&b, "n"), Some(Value::Int(-5)));
        for cut in 0..b.len() {
            let _ = iter(&b[..cut]).count();
        }
    }
}
