//! The labels of a stream: what is accepted, and `service_name`.

use base::{Error, Labels, LabelsBuilder, Result};
use wire::Options;

use super::limits::QUOTED_LABELS;

/// The label by which users find their service.
pub const SERVICE_NAME: &str = "service_name";
/// Its value when no label tells it.
pub const UNKNOWN_SERVICE: &str = "unknown_service";
/// Labels that tell the service, the first one present counts (Loki's `discover_service_name`).
pub const SERVICE_LABELS: [&str; 11] = [
    "service",
    "app",
    "application",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
];

/// Why a stream is refused.
#[derive(Clone, Debug)]
pub struct BadStream {
    /// Metric label.
    pub reason: &'static str,
    /// For people.
    pub error: Error,
}

fn bad(reason: &'static str, message: String) -> BadStream {
    BadStream { reason, error: Error::invalid(message) }
}

/// At most [`QUOTED_LABELS`] characters of a label string.
pub fn quoted(labels: &str) -> String {
    labels.chars().take(QUOTED_LABELS).collect()
}

/// The labels of a new stream, with `service_name`. `shown` is how messages name the stream.
pub fn labels(pairs: &[(&str, &str)], shown: &str, options: &Options) -> std::result::Result<Labels, BadStream> {
    if pairs.is_empty() {
        return Err(bad("missing_labels", "error at least one label pair is required per stream".into()));
    }
    if pairs.len() as u64 > options.labels {
        let message = format!("entry for stream '{}' has {} label names; limit {}", quoted(shown), pairs.len(), options.labels);
        return Err(bad("max_label_names_per_series", message));
    }
    let mut builder = LabelsBuilder::default();
    for (name, value) in pairs {
        if name.len() as u64 > options.label_name_bytes {
            return Err(bad("label_name_too_long", format!("stream '{}' has label name too long: '{}'", quoted(shown), quoted(name))));
        }
        if value.len() as u64 > options.label_value_bytes {
            return Err(bad("label_value_too_long", format!("stream '{}' has label value too long: '{}'", quoted(shown), quoted(value))));
        }
        if pairs.iter().filter(|(n, _)| n == name).count() > 1 {
            return Err(bad("duplicate_label_names", format!("stream '{}' has duplicate label name: '{}'", quoted(shown), quoted(name))));
        }
        builder.push(name, value);
    }
    if !builder.contains(SERVICE_NAME) {
        let told = SERVICE_LABELS.iter().find_map(|s| pairs.iter().find(|(n, v)| n == s && !v.is_empty()));
        builder.push(SERVICE_NAME, told.map_or(UNKNOWN_SERVICE, |(_, v)| v));
    }
    builder.finish().map_err(|error| BadStream { reason: "invalid_labels", error })
}

/// The pairs of a label string, owned.
pub fn parse(text: &str) -> Result<Vec<(String, String)>> {
    let mut pairs = vec![];
    wire::loki::labels::parse(text, |n, v| {
        pairs.push((n.to_owned(), v.to_owned()));
        // One more than is allowed is enough to refuse it.
        if pairs.len() > base::limits::LABELS_PER_SERIES { Err(Error::invalid("the stream has too many labels")) } else { Ok(()) }
    })?;
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_told_by_the_first_label_that_does() {
        let name = |p: &[(&str, &str)]| labels(p, "{}", &Options::default()).unwrap().get(SERVICE_NAME).unwrap().to_owned();
        assert_eq!(name(&[("job", "j"), ("app", "a")]), "a");
        assert_eq!(name(&[("job", "j"), ("service_name", "s"), ("app", "a")]), "s");
        assert_eq!(name(&[("x", "y")]), "unknown_service");
        assert_eq!(name(&[("app", ""), ("container", "c")]), "c");
    }

    #[test]
    fn bad_streams_are_named() {
        let o = Options { labels: 2, label_name_bytes: 3, label_value_bytes: 4, ..Options::default() };
        let reason = |p: &[(&str, &str)]| labels(p, "{..}", &o).unwrap_err().reason;
        assert_eq!(reason(&[]), "missing_labels");
        assert_eq!(reason(&[("a", "1"), ("b", "1"), ("c", "1")]), "max_label_names_per_series");
        assert_eq!(reason(&[("abcd", "1")]), "label_name_too_long");
        assert_eq!(reason(&[("a", "12345")]), "label_value_too_long");
        assert_eq!(reason(&[("a", "1"), ("a", "2")]), "duplicate_label_names");
        assert!(parse(&format!("{{{}}}", "a=\"b\",".repeat(300))).is_err());
    }
}
