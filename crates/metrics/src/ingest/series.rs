//! The labels of a new series: what is accepted.

use base::labels::METRIC_NAME;
use base::{Error, Labels, LabelsBuilder};
use wire::Options;
use wire::proto::text;

/// Characters of a series that a message shows.
const SHOWN: usize = 1024;

/// Why a series is refused.
#[derive(Clone, Debug)]
pub struct BadSeries {
    /// Metric label.
    pub reason: &'static str,
    /// For people.
    pub error: Error,
}

/// A series as messages show it: `name{a="b"}`, cut short.
pub fn show<'a>(labels: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> String {
    let mut name = String::new();
    let mut rest = vec![];
    for (n, v) in labels {
        if n == METRIC_NAME.as_bytes() {
            name = text(v).into_owned();
        } else {
            rest.push((text(n), text(v)));
        }
    }
    name + &wire::loki::labels::print(rest.iter().map(|(n, v)| (&**n, &**v))).chars().take(SHOWN).collect::<String>()
}

/// Reads and checks; `show` is the series for people. Names may be any UTF-8 text (Prometheus 3), sorted or not.
pub fn labels<'a>(
    labels: impl Iterator<Item = std::result::Result<(&'a [u8], &'a [u8]), String>>,
    show: &dyn Fn() -> String,
    options: &Options,
) -> std::result::Result<Labels, BadSeries> {
    let bad = |reason, what: String| BadSeries { reason, error: Error::invalid(format!("series {}: {what}", show())) };
    let mut builder = LabelsBuilder::default();
    let mut names: Vec<&str> = vec![];
    for pair in labels {
        let (name, value) = pair.map_err(|e| bad("invalid_labels", e))?;
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            return Err(bad("invalid_labels", "a label is not UTF-8".into()));
        };
        if name.is_empty() {
            return Err(bad("invalid_labels", "a label has no name".into()));
        }
        if names.len() as u64 >= options.labels {
            return Err(bad("max_label_names_per_series", format!("more than {} labels", options.labels)));
        }
        if name.len() as u64 > options.label_name_bytes {
            return Err(bad("label_name_too_long", format!("a label name of {} bytes, limit {}", name.len(), options.label_name_bytes)));
        }
        if value.len() as u64 > options.label_value_bytes {
            return Err(bad(
                "label_value_too_long",
                format!("a label value of {} bytes, limit {}", value.len(), options.label_value_bytes),
            ));
        }
        if names.contains(&name) {
            return Err(bad("duplicate_label_names", format!("label name {name:?} is not unique")));
        }
        names.push(name);
        builder.push(name, value);
    }
    if !builder.contains(METRIC_NAME) {
        return Err(bad("missing_metric_name", "no metric name: label __name__ is missing".into()));
    }
    builder.finish().map_err(|error| BadSeries { reason: "invalid_labels", error })
}
