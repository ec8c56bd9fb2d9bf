//! `pack`: puts the line and some labels into one JSON object, which LogQL's `unpack` takes apart again.

use serde::Deserialize;

use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    labels: Vec<String>,
    /// Whether the line gets the time at which it is packed. Packed streams meet in one, whose order is by time.
    ingest_timestamp: Option<bool>,
}

struct Pack {
    labels: Vec<String>,
    ingest_timestamp: bool,
}

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    Ok(Box::new(Pack { labels: s.labels, ingest_timestamp: s.ingest_timestamp.unwrap_or(true) }))
}

/// Text as JSON has it.
fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

impl Stage for Pack {
    fn apply(&self, entry: &mut Entry, at: Moment, _: &mut Memory<'_>) -> Step {
        let mut packed = std::collections::BTreeMap::new();
        for name in &self.labels {
            let found = entry.labels.get(name).map(str::to_owned).or_else(|| entry.extracted.text(name).map(|t| t.into_owned()));
            if let Some(value) = found {
                packed.insert(name, value);
            }
        }
        packed.keys().for_each(|n| entry.labels.remove(n));
        let pairs: String = packed.iter().map(|(n, v)| format!("{}:{},", quoted(n), quoted(v))).collect();
        entry.line = format!("{{{pairs}\"_entry\":{}}}", quoted(&entry.line));
        if self.ingest_timestamp {
            entry.time_ns = at.now_ns;
        }
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TIME_NS, one, outcome};

    #[test]
    fn labels_move_into_the_line() {
        let stages = "[{logfmt: {mapping: {e: }}}, {pack: {labels: [b, e, none], ingest_timestamp: false}}]";
        assert_eq!(one(stages, "a=1 b=2", "e=\"q\""), r#"{a="1"} {"b":"2","e":"q","_entry":"e=\"q\""}"#);
        assert_eq!(outcome(stages, "", &["x"]).entries[0].time_ns, TIME_NS);
        assert_eq!(outcome("[pack: {labels: []}]", "", &["x", "y"]).entries[1].time_ns, 1_700_000_000_000_000_000);
    }
}
