//! Labels that are worth offering: those whose values are not all ids.

use std::collections::{BTreeMap, BTreeSet};

use base::Result;

use crate::query::{self, Context};

/// Labels that are offered whatever their values are.
const ALWAYS: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

/// A label and how many values it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectedLabel {
    /// Its name.
    pub label: String,
    /// Different values.
    pub cardinality: usize,
}

/// The labels of the streams that match, in order of their names.
pub fn detected_labels(context: Context<'_>, selector: &str, start_ns: i64, end_ns: i64) -> Result<Vec<DetectedLabel>> {
    let series = query::series(context, &[selector], start_ns, end_ns)?;
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in series.iter().flat_map(|l| l.iter()) {
        values.entry(name).or_default().insert(value);
    }
    let kept = values.into_iter().filter(|(name, values)| ALWAYS.contains(name) || !are_ids(values));
    Ok(kept.map(|(name, values)| DetectedLabel { label: name.into(), cardinality: values.len() }).collect())
}

/// Whether all values are numbers or UUIDs; 0 and 1 alone are a yes and a no.
fn are_ids(values: &BTreeSet<&str>) -> bool {
    let switch = values.iter().all(|v| matches!(*v, "0" | "1"));
    !switch && values.iter().all(|v| lang::number::parse(v).is_some() || is_uuid(v))
}

/// The forms in which UUIDs are written: with hyphens, in braces, with `urn:uuid:` in front, or 32 digits.
fn is_uuid(text: &str) -> bool {
    let bare = text.strip_prefix("urn:uuid:").or_else(|| text.strip_prefix('{')?.strip_suffix('}')).unwrap_or(text);
    let bytes = bare.as_bytes();
    match bytes.len() {
        36 => bytes.iter().enumerate().all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { *b == b'-' } else { b.is_ascii_hexdigit() }),
        32 => bytes.iter().all(u8::is_ascii_hexdigit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_names() {
        let ids = |v: &[&str]| are_ids(&v.iter().copied().collect());
        assert!(ids(&["2", "3.5", "0a1b2c3d-0000-1111-2222-333344445555", "{0a1b2c3d-0000-1111-2222-333344445555}"]));
        assert!(ids(&["urn:uuid:0a1b2c3d-0000-1111-2222-333344445555", "0a1b2c3d000011112222333344445555"]));
        assert!(!ids(&["0", "1"]) && !ids(&["1"]) && ids(&["0", "1", "2"]));
        assert!(!ids(&["2", "web"]) && !ids(&["0a1b2c3d-0000-1111-2222_333344445555"]));
    }
}
