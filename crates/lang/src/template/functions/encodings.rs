//! Base 64 and JSON.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Function, Value};
use crate::json_text::{self, JsonCursor, unescape};
use crate::limits;
use crate::template::held;

pub(super) const ALL: &[Function] = &[
    Function::plain("b64enc", 1, 1, |a| Ok(Value::owned(encoded(a[0].as_text()?.as_bytes())))),
    Function::plain("b64dec", 1, 1, |a| {
        let t = a[0].as_text()?;
        decoded(t).and_then(|b| String::from_utf8(b).ok()).map(Value::owned).ok_or_else(|| format!("{t:?} is not text in base 64"))
    }),
    Function::plain("fromJson", 1, 1, |a| {
        let mut cursor = JsonCursor::new(a[0].as_text()?);
        let value = json(&mut cursor, 0, &mut 0)?;
        if cursor.peek().is_some() { Err("there is more text after the JSON value".into()) } else { Ok(value) }
    }),
];

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, with padding.
fn encoded(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            out.push(if i <= three.len() { char::from(DIGITS[(bits >> (18 - 6 * i) & 63) as usize]) } else { '=' });
        }
    }
    out
}

/// RFC 4648; padding may be missing, as Loki allows.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    for four in text.chunks(4) {
        let mut bits = 0u32;
        for &b in four {
            bits = bits << 6 | DIGITS.iter().position(|d| *d == b)? as u32;
        }
        let bytes = match four.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        bits <<= 6 * (4 - four.len());
        out.extend_from_slice(&bits.to_be_bytes()[1..=bytes]);
    }
    Some(out)
}

/// `held` are the bytes of what was read.
fn json<'a>(cursor: &mut JsonCursor<'_>, depth: usize, held: &mut usize) -> Result<Value<'a>, String> {
    if depth > limits::TEMPLATE_DEPTH {
        return Err("the JSON is too deep".into());
    }
    // A value and what it is kept in.
    *held += 2 * held::ELEMENT_BYTES;
    held::checked(*held)?;
    match cursor.peek() {
        Some(b'{') => {
            let mut members = BTreeMap::new();
            let mut wrong = None;
            let walked = cursor.object(|c, key| match json(c, depth + 1, held) {
                Ok(v) => {
                    members.insert(unescape(key).into_owned(), v);
                    Ok(true)
                }
                Err(e) => {
                    wrong = Some(e);
                    Ok(false)
                }
            });
            match (wrong, walked) {
                (Some(e), _) => Err(e),
                (None, Err(e)) => Err(e.into()),
                (None, Ok(_)) => Ok(Value::Map(Rc::new(members))),
            }
        }
        Some(b'[') => {
            cursor.eat(b'[');
            let mut items = vec![];
            if cursor.eat(b']') {
                return Ok(Value::list(items));
            }
            loop {
                items.push(json(cursor, depth + 1, held)?);
                if cursor.eat(b']') {
                    return Ok(Value::list(items));
                }
                if !cursor.eat(b',') {
                    return Err("expected `,` or `]` after an element".into());
                }
            }
        }
        _ => match cursor.value()? {
            json_text::Value::Text(t) => Ok(Value::owned(unescape(t))),
            json_text::Value::Null => Ok(Value::Nil),
            json_text::Value::Word("true") => Ok(Value::Bool(true)),
            json_text::Value::Word("false") => Ok(Value::Bool(false)),
            // As in Go, every number is a floating point number.
            json_text::Value::Word(w) => crate::number::parse(w).map(Value::Float).ok_or_else(|| format!("{w:?} is not a number")),
            json_text::Value::Object(_) | json_text::Value::Array(_) => Err("unknown value type".into()),
        },
    }
}
