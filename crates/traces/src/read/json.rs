//! A trace as protobuf's own JSON, the way Tempo writes it: unlike OTLP's JSON, ids are base64 and enumerations are names.
//!
//! 64-bit integers are texts, plain fields that hold their zero value are left out, members of a oneof never are. Written
//! by walking the protobuf message along a table of its fields, so that the two forms of an answer say the same.

use std::fmt::Write;

use base::{Error, Result};
use wire::otlp::json::to_base64;
use wire::proto::{Fields, Value, text};

use crate::limits::JSON_DEPTH;

/// A message: its fields in the order in which they are written.
struct Message {
    fields: &'static [Field],
    /// Its fields are one oneof: the last one counts, zero or not.
    oneof: bool,
}

struct Field {
    number: u32,
    name: &'static str,
    ty: Type,
    repeated: bool,
}

#[derive(Clone, Copy)]
enum Type {
    Text,
    Base64,
    /// 32 bits, varint or fixed: a number.
    Small,
    /// A signed 64-bit varint: a text.
    Int64,
    /// An unsigned 64-bit fixed number: a text.
    Fixed64,
    Bool,
    Double,
    Names(&'static [&'static str]),
    Message(&'static Message),
}

const fn one(number: u32, name: &'static str, ty: Type) -> Field {
    Field { number, name, ty, repeated: false }
}
const fn many(number: u32, name: &'static str, of: &'static Message) -> Field {
    Field { number, name, ty: Type::Message(of), repeated: true }
}
const fn message(fields: &'static [Field]) -> Message {
    Message { fields, oneof: false }
}

static KINDS: [&str; 6] =
    ["SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER", "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER"];
static CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

static RESOURCE_SPANS: Message =
    message(&[one(1, "resource", Type::Message(&RESOURCE)), many(2, "scopeSpans", &SCOPE_SPANS), one(3, "schemaUrl", Type::Text)]);
static RESOURCE: Message = message(&[many(1, "attributes", &KEY_VALUE), one(2, "droppedAttributesCount", Type::Small)]);
static SCOPE_SPANS: Message = message(&[one(1, "scope", Type::Message(&SCOPE)), many(2, "spans", &SPAN), one(3, "schemaUrl", Type::Text)]);
static SCOPE: Message = message(&[
    one(1, "name", Type::Text),
    one(2, "version", Type::Text),
    many(3, "attributes", &KEY_VALUE),
    one(4, "droppedAttributesCount", Type::Small),
]);
static SPAN: Message = message(&[
    one(1, "traceId", Type::Base64),
    one(2, "spanId", Type::Base64),
    one(3, "traceState", Type::Text),
    one(4, "parentSpanId", Type::Base64),
    one(16, "flags", Type::Small),
    one(5, "name", Type::Text),
    one(6, "kind", Type::Names(&KINDS)),
    one(7, "startTimeUnixNano", Type::Fixed64),
    one(8, "endTimeUnixNano", Type::Fixed64),
    many(9, "attributes", &KEY_VALUE),
    one(10, "droppedAttributesCount", Type::Small),
    many(11, "events", &EVENT),
    one(12, "droppedEventsCount", Type::Small),
    many(13, "links", &LINK),
    one(14, "droppedLinksCount", Type::Small),
    one(15, "status", Type::Message(&STATUS)),
]);
static EVENT: Message = message(&[
    one(1, "timeUnixNano", Type::Fixed64),
    one(2, "name", Type::Text),
    many(3, "attributes", &KEY_VALUE),
    one(4, "droppedAttributesCount", Type::Small),
]);
static LINK: Message = message(&[
    one(1, "traceId", Type::Base64),
    one(2, "spanId", Type::Base64),
    one(3, "traceState", Type::Text),
    many(4, "attributes", &KEY_VALUE),
    one(5, "droppedAttributesCount", Type::Small),
    one(6, "flags", Type::Small),
]);
static STATUS: Message = message(&[one(2, "message", Type::Text), one(3, "code", Type::Names(&CODES))]);
static KEY_VALUE: Message = message(&[one(1, "key", Type::Text), one(2, "value", Type::Message(&ANY_VALUE))]);
static ANY_VALUE: Message = Message {
    fields: &[
        one(1, "stringValue", Type::Text),
        one(2, "boolValue", Type::Bool),
        one(3, "intValue", Type::Int64),
        one(4, "doubleValue", Type::Double),
        one(5, "arrayValue", Type::Message(&ARRAY)),
        one(6, "kvlistValue", Type::Message(&KEY_VALUES)),
        one(7, "bytesValue", Type::Base64),
    ],
    oneof: true,
};
static ARRAY: Message = message(&[many(1, "values", &ANY_VALUE)]);
static KEY_VALUES: Message = message(&[many(1, "values", &KEY_VALUE)]);

/// `{"<list>":[...]}` of an encoded `Trace`.
pub(super) fn trace(bytes: &[u8], list: &str) -> Result<String> {
    let mut out = String::with_capacity(bytes.len() * 3);
    let _ = write!(out, "{{\"{list}\":[");
    for (i, item) in wire::proto::repeated(bytes, 1).enumerate() {
        if i > 0 {
            out.push(',');
        }
        object(&mut out, &RESOURCE_SPANS, item.map_err(damaged)?, 1);
    }
    out.push_str("]}");
    Ok(out)
}

fn damaged(e: wire::proto::Malformed) -> Error {
    Error::corrupt(format!("a stored trace cannot be read: {e}"))
}

/// Writes a message. Attributes are stored as they were received, damage inside them included: reading stops there.
fn object(out: &mut String, of: &Message, bytes: &[u8], depth: usize) {
    out.push('{');
    if depth < JSON_DEPTH {
        let mut values: Vec<(usize, Value<'_>)> = vec![];
        let mut walk = Fields::new(bytes);
        while let Ok(Some((number, value))) = walk.next() {
            if let Some(i) = of.fields.iter().position(|f| f.number == number) {
                values.push((i, value));
            }
        }
        if of.oneof {
            values.drain(..values.len().saturating_sub(1));
        }
        members(out, of, values, depth);
    }
    out.push('}');
}

fn members(out: &mut String, of: &Message, mut values: Vec<(usize, Value<'_>)>, depth: usize) {
    // Stable: repeated values keep their order.
    values.sort_by_key(|(i, _)| *i);
    let mut comma = "";
    for group in values.chunk_by(|a, b| a.0 == b.0) {
        let field = &of.fields[group[0].0];
        if field.repeated {
            let _ = write!(out, "{comma}\"{}\":[", field.name);
            let mut between = "";
            for (_, v) in group {
                out.push_str(between);
                scalar(out, field.ty, *v, depth);
                between = ",";
            }
            out.push(']');
        } else {
            let last = group[group.len() - 1].1;
            if !of.oneof && is_zero(field.ty, last) {
                continue;
            }
            let _ = write!(out, "{comma}\"{}\":", field.name);
            scalar(out, field.ty, last, depth);
        }
        comma = ",";
    }
}

fn is_zero(ty: Type, v: Value<'_>) -> bool {
    match (ty, v) {
        (Type::Message(_), _) => false,
        (_, Value::Varint(n) | Value::Fixed64(n)) => n == 0,
        (_, Value::Fixed32(n)) => n == 0,
        (_, Value::Bytes(b)) => b.is_empty(),
    }
}

/// Writes a value; one that does not have its field's wire type is `null`, which readers take as absent.
fn scalar(out: &mut String, ty: Type, v: Value<'_>, depth: usize) {
    // Writing to a string cannot fail.
    let _ = match (ty, v) {
        (Type::Text, Value::Bytes(b)) => {
            out.push_str(&serde_json::Value::from(text(b)).to_string());
            Ok(())
        }
        (Type::Base64, Value::Bytes(b)) => write!(out, "\"{}\"", to_base64(b)),
        (Type::Small, Value::Varint(n)) => write!(out, "{}", n as u32),
        (Type::Small, Value::Fixed32(n)) => write!(out, "{n}"),
        (Type::Int64, Value::Varint(n)) => write!(out, "\"{}\"", n as i64),
        (Type::Fixed64, Value::Fixed64(n)) => write!(out, "\"{n}\""),
        (Type::Bool, Value::Varint(n)) => write!(out, "{}", n != 0),
        (Type::Double, Value::Fixed64(n)) => double(out, f64::from_bits(n)),
        (Type::Names(names), Value::Varint(n)) => match names.get(n as usize) {
            Some(name) => write!(out, "\"{name}\""),
            None => write!(out, "{}", n as i32),
        },
        (Type::Message(of), Value::Bytes(b)) => {
            object(out, of, b, depth + 1);
            Ok(())
        }
        _ => write!(out, "null"),
    };
}

fn double(out: &mut String, d: f64) -> std::fmt::Result {
    match d {
        d if d.is_nan() => write!(out, "\"NaN\""),
        f64::INFINITY => write!(out, "\"Infinity\""),
        f64::NEG_INFINITY => write!(out, "\"-Infinity\""),
        d => write!(out, "{}", serde_json::Value::from(d)),
    }
}
