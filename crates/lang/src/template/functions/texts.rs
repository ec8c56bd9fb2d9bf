//! Texts. Loki's functions take the text first where Sprig's take it last, so that it can come through a pipe.

use super::{Function, Value};
use crate::letters;
use crate::template::numbers::to_int;
use crate::template::{bounded, held, joined};

const ANY: usize = usize::MAX;

pub(super) const ALL: &[Function] = &[
    Function::plain("ToLower", 1, 1, |a| Ok(Value::owned(letters::to_lower(a[0].as_text()?)))),
    Function::plain("ToUpper", 1, 1, |a| Ok(Value::owned(letters::to_upper(a[0].as_text()?)))),
    Function::plain("lower", 1, 1, |a| Ok(Value::owned(letters::to_lower(a[0].as_text()?)))),
    Function::plain("upper", 1, 1, |a| Ok(Value::owned(letters::to_upper(a[0].as_text()?)))),
    Function::plain("title", 1, 1, |a| Ok(Value::owned(title(a[0].as_text()?)))),
    Function::plain("Replace", 4, 4, |a| replaced(a[0].as_text()?, a[1].as_text()?, a[2].as_text()?, to_int(&a[3]))),
    Function::plain("replace", 3, 3, |a| replaced(a[2].as_text()?, a[0].as_text()?, a[1].as_text()?, -1)),
    Function::plain("Trim", 2, 2, |a| trimmed(a, 0, 1, |t, c| t.trim_matches(|x| has(c, x)))),
    Function::plain("TrimLeft", 2, 2, |a| trimmed(a, 0, 1, |t, c| t.trim_start_matches(|x| has(c, x)))),
    Function::plain("TrimRight", 2, 2, |a| trimmed(a, 0, 1, |t, c| t.trim_end_matches(|x| has(c, x)))),
    Function::plain("TrimPrefix", 2, 2, |a| without(a, 0, 1, |t, p| t.strip_prefix(p))),
    Function::plain("TrimSuffix", 2, 2, |a| without(a, 0, 1, |t, p| t.strip_suffix(p))),
    Function::plain("TrimSpace", 1, 1, |a| Ok(Value::owned(a[0].as_text()?.trim()))),
    Function::plain("trim", 1, 1, |a| Ok(Value::owned(a[0].as_text()?.trim()))),
    Function::plain("trimAll", 2, 2, |a| trimmed(a, 1, 0, |t, c| t.trim_matches(|x| has(c, x)))),
    Function::plain("trimPrefix", 2, 2, |a| without(a, 1, 0, |t, p| t.strip_prefix(p))),
    Function::plain("trimSuffix", 2, 2, |a| without(a, 1, 0, |t, p| t.strip_suffix(p))),
    Function::plain("trunc", 2, 2, |a| {
        let (n, t) = (to_int(&a[0]), a[1].as_text()?);
        let len = t.len() as i64;
        match n {
            0.. => bytes(t, 0, n.min(len)),
            _ if len + n > 0 => bytes(t, len + n, len),
            _ => bytes(t, 0, len),
        }
    }),
    Function::plain("substr", 3, 3, |a| {
        let (from, to, t) = (to_int(&a[0]), to_int(&a[1]), a[2].as_text()?);
        let len = t.len() as i64;
        match (from, to) {
            (..0, _) => bytes(t, 0, to),
            (_, 0..) if to <= len => bytes(t, from, to),
            _ => bytes(t, from, len),
        }
    }),
    Function::plain("contains", 2, 2, |a| Ok(Value::Bool(a[1].as_text()?.contains(a[0].as_text()?)))),
    Function::plain("hasPrefix", 2, 2, |a| Ok(Value::Bool(a[1].as_text()?.starts_with(a[0].as_text()?)))),
    Function::plain("hasSuffix", 2, 2, |a| Ok(Value::Bool(a[1].as_text()?.ends_with(a[0].as_text()?)))),
    Function::plain("repeat", 2, 2, |a| {
        let (n, t) = (usize::try_from(to_int(&a[0])).unwrap_or(0), a[1].as_text()?);
        bounded(n.saturating_mul(t.len()))?;
        Ok(Value::owned(t.repeat(n)))
    }),
    Function::plain("indent", 2, 2, |a| indented(a).map(Value::owned)),
    Function::plain("nindent", 2, 2, |a| Ok(Value::owned(format!("\n{}", indented(a)?)))),
    Function::plain("alignLeft", 2, 2, |a| aligned(a, true)),
    Function::plain("alignRight", 2, 2, |a| aligned(a, false)),
    Function::plain("quote", 0, ANY, |a| joined(a.iter().map(|v| crate::literal::quote(&v.shown())), " ").map(Value::owned)),
    Function::plain("squote", 0, ANY, |a| joined(a.iter().map(|v| format!("'{}'", v.shown())), " ").map(Value::owned)),
    Function::plain("cat", 0, ANY, |a| joined(a.iter().map(Value::shown), " ").map(Value::owned)),
    Function::plain("toString", 1, 1, |a| Ok(Value::owned(a[0].shown()))),
    Function::plain("nospace", 1, 1, |a| Ok(Value::owned(a[0].as_text()?.replace(char::is_whitespace, "")))),
    Function::plain("splitList", 2, 2, |a| held::listed(a[1].as_text()?.split(a[0].as_text()?).map(str::to_owned))),
    Function::plain("join", 2, 2, |a| match &a[1] {
        Value::List(l) => joined(l.iter().map(Value::shown), &a[0].shown()).map(Value::owned),
        other => Ok(Value::owned(other.shown())),
    }),
    Function::plain("list", 0, ANY, |a| Ok(Value::list(a.to_vec()))),
    Function::plain("default", 2, 2, |a| Ok(if a[1].is_true() { a[1].clone() } else { a[0].clone() })),
    Function::plain("empty", 1, 1, |a| Ok(Value::Bool(!a[0].is_true()))),
    Function::plain("coalesce", 0, ANY, |a| Ok(a.iter().find(|v| v.is_true()).cloned().unwrap_or(Value::Nil))),
    Function::plain("ternary", 3, 3, |a| Ok(if a[2].is_true() { a[0].clone() } else { a[1].clone() })),
    Function::plain("urlencode", 1, 1, |a| Ok(Value::owned(url_query(a[0].as_text()?)))),
    Function::plain("urldecode", 1, 1, |a| url_decode(a[0].as_text()?).map(Value::owned)),
];

/// As Go cuts text: by bytes. Those of a character that was cut through are shown as every reader of JSON shows them.
fn bytes<'a>(t: &str, from: i64, to: i64) -> Result<Value<'a>, String> {
    let range = || Some(usize::try_from(from).ok()?..usize::try_from(to).ok()?);
    let cut = range().and_then(|r| t.as_bytes().get(r)).ok_or_else(|| format!("slice bounds out of range [{from}:{to}]"))?;
    let mut out = String::with_capacity(cut.len());
    for chunk in cut.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Ok(Value::owned(out))
}

fn chars(t: &str) -> i64 {
    t.chars().count() as i64
}

/// Characters `from..to`.
fn cut(t: &str, from: i64, to: i64) -> String {
    let (from, to) = (from.max(0) as usize, to.max(0) as usize);
    t.chars().take(to).skip(from).collect()
}

fn title(t: &str) -> String {
    let mut begins = true;
    let mut out = String::with_capacity(t.len());
    for c in t.chars() {
        if begins {
            out.push_str(&letters::to_upper(c.encode_utf8(&mut [0; 4])))
        } else {
            out.push(c)
        }
        begins = !c.is_alphanumeric() && !matches!(c, '_' | '\'');
    }
    out
}

/// The first `n` occurrences, all if `n` is negative.
fn replaced<'a>(text: &str, old: &str, new: &str, n: i64) -> Result<Value<'a>, String> {
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    let times = text.matches(old).take(n).count();
    bounded(text.len().saturating_add(times.saturating_mul(new.len())))?;
    Ok(Value::owned(text.replacen(old, new, n)))
}

/// Whether a sorted set has the letter.
fn has(set: &[char], c: char) -> bool {
    set.binary_search(&c).is_ok()
}

fn trimmed<'a>(a: &[Value<'a>], text: usize, set: usize, f: for<'t> fn(&'t str, &[char]) -> &'t str) -> Result<Value<'a>, String> {
    let mut set: Vec<char> = a[set].as_text()?.chars().collect();
    set.sort_unstable();
    Ok(Value::owned(f(a[text].as_text()?, &set)))
}

fn without<'a>(a: &[Value<'a>], text: usize, part: usize, f: for<'t> fn(&'t str, &str) -> Option<&'t str>) -> Result<Value<'a>, String> {
    let text = a[text].as_text()?;
    Ok(Value::owned(f(text, a[part].as_text()?).unwrap_or(text)))
}

fn indented(a: &[Value<'_>]) -> Result<String, String> {
    let (n, t) = (usize::try_from(to_int(&a[0])).unwrap_or(0), a[1].as_text()?);
    bounded(t.len().saturating_add((t.matches('\n').count() + 1).saturating_mul(n)))?;
    let pad = " ".repeat(n);
    Ok(format!("{pad}{}", t.replace('\n', &format!("\n{pad}"))))
}

/// Cut or filled with spaces to so many characters.
fn aligned<'a>(a: &[Value<'a>], left: bool) -> Result<Value<'a>, String> {
    let (n, t) = (to_int(&a[0]), a[1].as_text()?);
    let length = chars(t);
    bounded(n.max(0) as usize)?;
    if n < 0 || n == length {
        return Ok(Value::owned(t));
    }
    let fill = " ".repeat((n - length).max(0) as usize);
    Ok(Value::owned(match (n < length, left) {
        (true, true) => cut(t, 0, n),
        (true, false) => cut(t, length - n, length),
        (false, true) => format!("{t}{fill}"),
        (false, false) => format!("{fill}{t}"),
    }))
}

/// As Go's `url.QueryEscape`.
pub(super) fn url_query(t: &str) -> String {
    let mut out = String::with_capacity(t.len());
    for b in t.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(b)),
            b' ' => out.push('+'),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

fn url_decode(t: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(t.len());
    let mut bytes = t.bytes();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let value = digit().and_then(|h| Some(h * 16 + digit()?));
                value.ok_or_else(|| format!("invalid URL escape in {t:?}"))? as u8
            }
            b => b,
        });
    }
    String::from_utf8(out).map_err(|_| format!("{t:?} is not UTF-8 when decoded"))
}
