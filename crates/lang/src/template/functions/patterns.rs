//! Patterns. The pattern is the first argument; where it is a literal it is compiled when the template is read.

use regex::Regex;

use super::{Function, GoesOn, Value};
use crate::re2;
use crate::template::{bounded, held};

/// Compiles a pattern.
pub(in crate::template) fn compile(pattern: &str) -> Result<Regex, String> {
    re2::compile(pattern)
}

pub(super) const ALL: &[Function] = &[
    Function::pattern("regexReplaceAll", 3, |p, a, goes_on| replaced(p, a, goes_on, true)),
    Function::pattern("mustRegexReplaceAll", 3, |p, a, goes_on| replaced(p, a, goes_on, true)),
    Function::pattern("regexReplaceAllLiteral", 3, |p, a, goes_on| replaced(p, a, goes_on, false)),
    Function::pattern("mustRegexReplaceAllLiteral", 3, |p, a, goes_on| replaced(p, a, goes_on, false)),
    Function::pattern("regexMatch", 2, |p, a, _| Ok(Value::Bool(p.is_match(a[1].as_text()?)))),
    Function::pattern("regexFind", 2, |p, a, _| Ok(Value::owned(p.find(a[1].as_text()?).map_or("", |m| m.as_str())))),
    Function::pattern("regexSplit", 3, |p, a, goes_on| {
        let (text, limit) = (a[1].as_text()?, crate::template::numbers::to_int(&a[2]));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut stopped = Ok(());
        let parts = p.splitn(text, limit).map_while(|part| {
            stopped = goes_on();
            stopped.is_ok().then(|| part.to_owned())
        });
        let list = held::listed(parts)?;
        stopped.map(|()| list)
    }),
    Function::pattern("count", 2, |p, a, goes_on| {
        let found = p.find_iter(a[1].as_text()?).try_fold(0, |n, _| goes_on().map(|()| n + 1));
        found.map(Value::Int)
    }),
];

/// Arguments: pattern, text, replacement, in which `$1` stands for a group if `expand` says so.
fn replaced<'a>(p: &Regex, a: &[Value<'a>], goes_on: GoesOn<'_>, expand: bool) -> Result<Value<'a>, String> {
    let (text, by) = (a[1].as_text()?, a[2].as_text()?);
    let mut out = String::new();
    let mut last = 0;
    let groups = if expand { by.matches('$').count() } else { 0 };
    for found in p.captures_iter(text) {
        goes_on()?;
        // No group is longer than the whole.
        held::checked(groups.saturating_mul(found.get_match().len()))?;
        let whole = found.get_match();
        out.push_str(&text[last..whole.start()]);
        if expand {
            found.expand(by, &mut out);
        } else {
            out.push_str(by);
        }
        bounded(out.len())?;
        last = whole.end();
    }
    out.push_str(&text[last..]);
    bounded(out.len())?;
    Ok(Value::owned(out))
}
