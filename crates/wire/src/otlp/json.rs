//! OTLP's JSON form, turned into the protobuf bytes of the same request.
//!
//! Ids are hexadecimal, enumerations numbers (names are understood), 64-bit integers texts or numbers, names in
//! lowerCamelCase; `null` is absence and names that are not known are passed over.

use std::borrow::Cow;
use std::fmt;

use base::{Error, Result};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::schema::{Field, Schema, Type};
use crate::encoding::shorten;
use crate::proto::Writer;

/// The protobuf bytes of a message of this schema. `Invalid` for text that is not one.
///
/// Nesting is bounded by [`crate::limits::VALUE_DEPTH`]; beside the output nothing grows with the text.
pub fn to_protobuf(schema: &'static Schema, body: &[u8]) -> Result<Vec<u8>> {
    let mut w = Writer { out: Vec::with_capacity(body.len() / 2) };
    let mut de = serde_json::Deserializer::from_slice(body);
    Message { w: &mut w, schema }
        .deserialize(&mut de)
        .and_then(|()| de.end())
        .map_err(|e| Error::invalid(format!("the OTLP request is not valid JSON: {e}")))?;
    Ok(w.out)
}

/// Decodes standard or URL-safe base64, padded or not.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut n) = (0u32, 0);
    for b in text.bytes() {
        let v = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(v);
        n += 6;
        if n >= 8 {
            n -= 8;
            out.push((bits >> n) as u8);
        }
    }
    Some(out)
}

/// Encodes standard base64 with padding.
pub fn to_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let three = chunk.iter().fold(0u32, |v, b| v << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(three >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { digit as char } else { '=' });
        }
    }
    out
}

/// Encodes lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[(b >> 4) as usize] as char, DIGITS[(b & 15) as usize] as char]).collect()
}

/// Decodes hexadecimal.
pub fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| (b as char).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|p| Some((digit(p[0])? << 4 | digit(p[1])?) as u8)).collect()
}

struct Message<'w> {
    w: &'w mut Writer,
    schema: &'static Schema,
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with {:?}", self.schema.fields.first().map_or("", |f| f.name))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match self.schema.field(&key) {
                Some(field) => map.next_value_seed(Content { w: &mut *self.w, field, element: false })?,
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }
}

/// The value of a field, or one element of its list.
struct Content<'w> {
    w: &'w mut Writer,
    field: &'static Field,
    element: bool,
}

impl<'de> DeserializeSeed<'de> for Content<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl Content<'_> {
    fn wrong<T, E: de::Error>(&self, found: impl fmt::Display) -> std::result::Result<T, E> {
        Err(E::custom(format_args!("field {:?} cannot be {found}", self.field.name)))
    }
    fn integer<E: de::Error>(self, v: i128) -> std::result::Result<(), E> {
        let n = self.field.number;
        match self.field.ty {
            Type::Varint | Type::Enum(_) => match (i64::try_from(v), u64::try_from(v)) {
                (Ok(v), _) => self.w.varint(n, v as u64),
                (_, Ok(v)) => self.w.varint(n, v),
                _ => return self.wrong(v),
            },
            Type::Zigzag => match i64::try_from(v) {
                Ok(v) => self.w.varint(n, ((v << 1) ^ (v >> 63)) as u64),
                Err(_) => return self.wrong(v),
            },
            Type::Signed64 => match i64::try_from(v) {
                Ok(v) => self.w.fixed64(n, v as u64),
                Err(_) => return self.wrong(v),
            },
            Type::Fixed64 => match u64::try_from(v) {
                Ok(v) => self.w.fixed64(n, v),
                Err(_) => return self.wrong(v),
            },
            Type::Fixed32 => match u32::try_from(v) {
                Ok(v) => self.w.fixed32(n, v),
                Err(_) => return self.wrong(v),
            },
            Type::Double => self.w.double(n, v as f64),
            _ => return self.wrong("a number"),
        }
        Ok(())
    }
    fn bytes<E: de::Error>(self, decoded: Option<Vec<u8>>, text: &str) -> std::result::Result<(), E> {
        match decoded {
            Some(b) => self.w.bytes(self.field.number, &b),
            None => return self.wrong(format_args!("{:?}", shorten(text))),
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Content<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of field {:?}", self.field.name)
    }
    fn visit_unit<E: de::Error>(self) -> std::result::Result<(), E> {
        Ok(())
    }
    fn visit_bool<E: de::Error>(self, v: bool) -> std::result::Result<(), E> {
        if !matches!(self.field.ty, Type::Bool) {
            return self.wrong(v);
        }
        self.w.varint(self.field.number, u64::from(v));
        Ok(())
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> std::result::Result<(), E> {
        self.integer(i128::from(v))
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> std::result::Result<(), E> {
        self.integer(i128::from(v))
    }
    fn visit_f64<E: de::Error>(self, v: f64) -> std::result::Result<(), E> {
        match self.field.ty {
            Type::Double => self.w.double(self.field.number, v),
            // 1e18 and the like, from languages that know no integers
            _ if v.fract() == 0.0 && v.abs() < 1e20 => return self.integer(v as i128),
            _ => return self.wrong(v),
        }
        Ok(())
    }
    fn visit_str<E: de::Error>(self, v: &str) -> std::result::Result<(), E> {
        let n = self.field.number;
        match self.field.ty {
            Type::Text => self.w.bytes(n, v.as_bytes()),
            Type::Hex => return self.bytes(hex(v), v),
            Type::Base64 => return self.bytes(base64(v), v),
            Type::Double => match v.parse::<f64>() {
                Ok(d) => self.w.double(n, d),
                Err(_) => return self.wrong(format_args!("{:?}", shorten(v))),
            },
            Type::Enum(names) if names.contains(&v) => {
                let place = names.iter().position(|name| *name == v).unwrap_or(0);
                self.w.varint(n, place as u64);
            }
            Type::Varint | Type::Zigzag | Type::Fixed32 | Type::Fixed64 | Type::Signed64 | Type::Enum(_) => match v.parse::<i128>() {
                Ok(i) => return self.integer(i),
                Err(_) => return self.wrong(format_args!("{:?}", shorten(v))),
            },
            Type::Bool | Type::Message(_) => return self.wrong("a text"),
        }
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        if !self.field.repeated || self.element {
            return self.wrong("a list");
        }
        while seq.next_element_seed(Content { w: &mut *self.w, field: self.field, element: true })?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<(), A::Error> {
        let Type::Message(schema) = self.field.ty else { return self.wrong("an object") };
        if self.field.repeated && !self.element {
            return self.wrong("an object; it is a list");
        }
        let mark = self.w.begin(self.field.number);
        Message { w: &mut *self.w, schema }.visit_map(map)?;
        self.w.end(mark);
        Ok(())
    }
}

#[cfg(test)]
#[path = "json/tests.rs"]
mod tests;
