//! `print` and `printf` as Go's `fmt` has them.

use super::value::Value;
use super::{bounded, joined, numbers};
use crate::go_time::Layout;
use crate::literal;

/// `%v` of a value.
pub(super) fn shown(v: &Value<'_>) -> String {
    match v {
        Value::Nil => "<no value>".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Float(f) => numbers::shown(*f),
        Value::Text(t) => t.to_string(),
        Value::Time(ns) => Layout::new("2006-01-02 15:04:05.999999999 -0700 MST").write(*ns, 0),
        Value::List(l) => format!("[{}]", l.iter().map(inner).collect::<Vec<_>>().join(" ")),
        Value::Map(m) => format!("map[{}]", m.iter().map(|(k, v)| format!("{k}:{}", inner(v))).collect::<Vec<_>>().join(" ")),
        Value::Data => "map[]".into(),
    }
}

/// Inside another value an absent one is shown as `fmt` shows it.
fn inner(v: &Value<'_>) -> String {
    if *v == Value::Nil { "<nil>".into() } else { shown(v) }
}

/// `fmt.Sprint`: a space between two operands when neither is text.
pub(super) fn sprint(args: &[Value<'_>]) -> Result<String, String> {
    let mut out = String::new();
    for (i, v) in args.iter().enumerate() {
        let texts = |v: &Value<'_>| matches!(v, Value::Text(_));
        if i > 0 && !texts(v) && !texts(&args[i - 1]) {
            out.push(' ');
        }
        out.push_str(&inner(v));
        bounded(out.len())?;
    }
    Ok(out)
}

/// `fmt.Sprintln`.
pub(super) fn sprintln(args: &[Value<'_>]) -> Result<String, String> {
    Ok(joined(args.iter().map(inner), " ")? + "\n")
}

/// What stands between `%` and the verb.
#[derive(Clone, Copy, Default)]
struct Flags {
    left: bool,
    plus: bool,
    space: bool,
    zero: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// `fmt.Sprintf`.
pub(super) fn sprintf(format: &str, args: &[Value<'_>]) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = format;
    let mut next = args.iter();
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let flags = flags(&mut rest);
        bounded(out.len() + flags.width.max(flags.precision.unwrap_or(0)))?;
        let Some(verb) = rest.chars().next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        rest = &rest[verb.len_utf8()..];
        match verb {
            '%' => out.push('%'),
            _ => match next.next() {
                Some(v) => pad(&mut out, &one(verb, v, flags), flags, v),
                None => out.push_str(&format!("%!{verb}(MISSING)")),
            },
        }
        bounded(out.len())?;
    }
    out.push_str(rest);
    if next.len() > 0 {
        out.push_str(&format!("%!(EXTRA {})", joined(next.map(|v| format!("{}={}", v.kind(), inner(v))), ", ")?));
    }
    bounded(out.len()).map(|()| out)
}

fn flags(rest: &mut &str) -> Flags {
    let mut f = Flags::default();
    while let Some(c) = rest.chars().next().filter(|c| "-+ 0#".contains(*c)) {
        match c {
            '-' => f.left = true,
            '+' => f.plus = true,
            ' ' => f.space = true,
            '0' => f.zero = true,
            _ => f.sharp = true,
        }
        *rest = &rest[1..];
    }
    f.width = number(rest);
    if let Some(after) = rest.strip_prefix('.') {
        *rest = after;
        f.precision = Some(number(rest));
    }
    f
}

fn number(rest: &mut &str) -> usize {
    let n = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, after) = rest.split_at(n);
    *rest = after;
    // More digits than fit are above every bound.
    if digits.is_empty() { 0 } else { digits.parse().unwrap_or(usize::MAX / 2) }
}

fn pad(out: &mut String, text: &str, f: Flags, v: &Value<'_>) {
    let missing = f.width.saturating_sub(text.chars().count());
    let numeric = matches!(v, Value::Int(_) | Value::Float(_));
    match (f.left, f.zero && numeric) {
        (true, _) => {
            out.push_str(text);
            out.extend(std::iter::repeat_n(' ', missing));
        }
        (false, true) => {
            let sign = usize::from(text.starts_with(['-', '+', ' ']));
            out.push_str(&text[..sign]);
            out.extend(std::iter::repeat_n('0', missing));
            out.push_str(&text[sign..]);
        }
        (false, false) => {
            out.extend(std::iter::repeat_n(' ', missing));
            out.push_str(text);
        }
    }
}

fn one(verb: char, v: &Value<'_>, f: Flags) -> String {
    let cut = |t: &str| f.precision.map_or_else(|| t.to_owned(), |n| t.chars().take(n).collect());
    match (verb, v) {
        ('v', Value::Text(_)) | ('s', Value::Text(_)) => cut(&v.shown()),
        ('v', Value::Int(n)) | ('d', Value::Int(n)) => signed(n.to_string(), f),
        ('v', Value::Float(x)) => signed(numbers::shown(*x), f),
        ('v', _) | ('s', Value::List(_) | Value::Map(_) | Value::Time(_)) => inner(v),
        ('q', Value::Text(t)) => literal::quote(&cut(t)),
        ('t', Value::Bool(b)) => b.to_string(),
        ('T', _) => v.kind().into(),
        ('c', Value::Int(n)) => u32::try_from(*n).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER).to_string(),
        ('b' | 'o' | 'x' | 'X', Value::Int(n)) => radix(verb, *n, f),
        ('x', Value::Text(t)) => t.bytes().map(|b| format!("{b:02x}")).collect(),
        ('X', Value::Text(t)) => t.bytes().map(|b| format!("{b:02X}")).collect(),
        ('f' | 'F', Value::Float(x)) => signed(format!("{x:.*}", f.precision.unwrap_or(6).min(400)), f),
        ('e', Value::Float(x)) => signed(numbers::exponent(&format!("{x:.*e}", f.precision.unwrap_or(6).min(400))), f),
        ('E', Value::Float(x)) => signed(numbers::exponent(&format!("{x:.*E}", f.precision.unwrap_or(6).min(400))), f),
        ('g' | 'G', Value::Float(x)) => signed(general(*x, f), f),
        _ => format!("%!{verb}({}={})", v.kind(), inner(v)),
    }
}

fn signed(text: String, f: Flags) -> String {
    match (text.starts_with(['-', '+']), f.plus, f.space) {
        (false, true, _) => format!("+{text}"),
        (false, false, true) => format!(" {text}"),
        _ => text,
    }
}

fn radix(verb: char, n: i64, f: Flags) -> String {
    let (m, sign) = (n.unsigned_abs(), if n < 0 { "-" } else { "" });
    let (prefix, digits) = match verb {
        'b' => ("0b", format!("{m:b}")),
        'o' => ("0", format!("{m:o}")),
        'x' => ("0x", format!("{m:x}")),
        _ => ("0X", format!("{m:X}")),
    };
    signed(format!("{sign}{}{digits}", if f.sharp { prefix } else { "" }), f)
}

/// `%g`: significant digits, zeros at the end left out.
fn general(x: f64, f: Flags) -> String {
    let Some(p) = f.precision.map(|p| p.clamp(1, 400)) else { return numbers::shown(x) };
    if x == 0.0 || !x.is_finite() {
        return numbers::shown(x);
    }
    let scientific = format!("{x:.*e}", p - 1);
    let e: i32 = scientific.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    let trim = |t: &str| if t.contains('.') { t.trim_end_matches('0').trim_end_matches('.').to_owned() } else { t.to_owned() };
    if e < -4 || e >= p as i32 {
        let (digits, e) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        return numbers::exponent(&format!("{}e{e}", trim(digits)));
    }
    trim(&format!("{x:.*}", (p as i32 - 1 - e).max(0) as usize))
}
