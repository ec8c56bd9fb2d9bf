//! What values take while a template is executed.
//!
//! Lists share what they hold, so that a few steps make one that is printed as terabytes, or nests so deeply that letting go of it takes
//! more stack than there is. A list is therefore weighed when it is made, and as if nothing were shared.

use std::borrow::Cow;
use std::rc::Rc;

use super::value::Value;
use crate::limits;

/// Bytes of a list's element beside its text, rounded up; a map's has a place in a tree, too.
pub(super) const ELEMENT_BYTES: usize = 32;

/// Bytes of a value that is kept.
pub(super) fn weight(v: &Value<'_>) -> Result<usize, String> {
    let mut total = 0;
    match v {
        Value::Text(Cow::Owned(t)) => total += t.len(),
        // What is borrowed takes nothing.
        Value::Text(Cow::Borrowed(_)) => {}
        v => add(v, 0, &mut total)?,
    }
    checked(total)
}

/// Bytes of an argument or a result. What somebody else holds was weighed there.
pub(super) fn weight_in_passing(v: &Value<'_>) -> Result<usize, String> {
    match v {
        Value::List(l) if Rc::strong_count(l) > 1 => Ok(0),
        Value::Map(m) if Rc::strong_count(m) > 1 => Ok(0),
        v => weight(v),
    }
}

fn add(v: &Value<'_>, depth: usize, total: &mut usize) -> Result<(), String> {
    match v {
        // It may be printed as often as the list has it.
        Value::Text(t) => *total += t.len(),
        Value::List(l) => {
            deeper(depth)?;
            *total += l.len() * ELEMENT_BYTES;
            l.iter().try_for_each(|v| add(v, depth + 1, total))?;
        }
        Value::Map(m) => {
            deeper(depth)?;
            *total += m.len() * 2 * ELEMENT_BYTES;
            m.iter().try_for_each(|(k, v)| {
                *total += k.len();
                add(v, depth + 1, total)
            })?;
        }
        _ => {}
    }
    checked(*total).map(drop)
}

fn deeper(depth: usize) -> Result<(), String> {
    if depth > limits::TEMPLATE_DEPTH { Err(format!("lists nest more than {} deep", limits::TEMPLATE_DEPTH)) } else { Ok(()) }
}

/// Refuses what is more than an execution may hold.
pub(super) fn checked(bytes: usize) -> Result<usize, String> {
    if bytes > limits::TEMPLATE_HELD { Err(format!("the template holds more than {} MiB", limits::TEMPLATE_HELD >> 20)) } else { Ok(bytes) }
}

/// A list of what an iterator has, if there is room for it.
pub(super) fn listed<'a>(items: impl Iterator<Item = String>) -> Result<Value<'a>, String> {
    let (mut out, mut total) = (vec![], 0);
    for item in items {
        total += ELEMENT_BYTES + item.len();
        checked(total)?;
        out.push(Value::owned(item));
    }
    Ok(Value::list(out))
}
