//! What settings of several stages have in common.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

use super::Refused;
use crate::scalar::Scalar;

/// Compiles a pattern, RE2, not anchored.
pub(super) fn pattern(text: &str) -> Result<::regex::Regex, Refused> {
    lang::re2::compile(text).map_err(|e| format!("invalid expression {text:?}: {e}"))
}

/// The same for a setting that may be absent or empty.
pub(super) fn optional_pattern(text: &Option<String>) -> Result<Option<::regex::Regex>, Refused> {
    text.as_deref().filter(|t| !t.is_empty()).map(pattern).transpose()
}

/// Refuses a source that is written but empty.
pub(super) fn source(source: &Option<String>) -> Result<(), Refused> {
    if source.as_deref() == Some("") { Err("empty source".into()) } else { Ok(()) }
}

/// A text that must be there.
pub(super) fn required(text: &str, name: &str) -> Result<(), Refused> {
    if text.is_empty() { Err(format!("{name} is required")) } else { Ok(()) }
}

/// Refuses what cannot be the name of a label.
pub(super) fn label(name: &str) -> Result<(), Refused> {
    if crate::label_set::is_classic_name(name) { Ok(()) } else { Err(format!("invalid label name: {name:?}")) }
}

/// A name, and where its value comes from: the name itself if nothing is written.
pub(super) fn sources(written: std::collections::BTreeMap<String, Scalar>) -> Vec<(String, String)> {
    written.into_iter().map(|(n, s)| if s.0.is_empty() { (n.clone(), n) } else { (n, s.0) }).collect()
}

/// A duration with a unit; Go's form.
pub(super) fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    let Some(text) = Option::<Scalar>::deserialize(d)? else { return Ok(None) };
    let ns = base::units::parse_duration_ns(&text.0).map_err(|e| D::Error::custom(e.message()))?;
    Ok(Some(Duration::from_nanos(ns.max(0) as u64)))
}

/// A size: a number of bytes, or with a unit. As in the original, `8kb` and `8KiB` are both 8192 bytes.
pub(super) fn size<'de, D: Deserializer<'de>>(d: D) -> Result<Option<usize>, D::Error> {
    let Some(text) = Option::<Scalar>::deserialize(d)? else { return Ok(None) };
    bytes(&text.0).map(Some).ok_or_else(|| D::Error::custom(format!("{:?} is not a size: write for example 8KiB", text.0)))
}

fn bytes(text: &str) -> Option<usize> {
    let text = text.trim();
    let n = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = text[n..].trim().to_ascii_lowercase();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        _ => return None,
    };
    text[..n].parse::<usize>().ok()?.checked_mul(1usize.checked_shl(10 * power)?)
}

/// The greatest length up to `max` that does not end inside a character.
pub(super) fn floor_char(text: &str, max: usize) -> usize {
    let mut n = max.min(text.len());
    while !text.is_char_boundary(n) {
        n -= 1;
    }
    n
}

/// Whether a setting is there that must not be.
pub(super) fn is_set(text: &Option<String>) -> bool {
    text.as_deref().is_some_and(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, want) in [("10", Some(10)), ("8kb", Some(8192)), ("8KiB", Some(8192)), ("1MB", Some(1 << 20)), ("x", None), ("1x", None)]
        {
            assert_eq!(super::bytes(text), want, "{text}");
        }
    }
}
