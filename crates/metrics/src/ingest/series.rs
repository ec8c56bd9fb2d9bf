//! The labels of a new series: what is accepted.

use base::labels::METRIC_NAME;
use base::{Error, Labels, LabelsBuilder};
use wire::Options;
use wire::proto::text;

use super::rows::head;
use crate::limits::SERIES_BYTES;

/// Characters of a series that a message shows.
const SHOWN: usize = 1024;
/// Labels of it that are looked at for that: more than any series has, and the name comes first.
const LOOKED_AT: usize = base::limits::LABELS_PER_SERIES + 1;

/// Why a series is refused.
#[derive(Clone, Debug)]
pub struct BadSeries {
    /// Metric label.
    pub reason: &'static str,
    /// For people.
    pub error: Error,
}

/// A series as messages show it: `name{a="b"}`, cut short. Its labels may be any, and without end.
pub fn show<'a>(labels: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> String {
    let mut name = String::new();
    let mut rest = vec![];
    let mut bytes = 0;
    // A character has at most four bytes.
    let short = |b: &'a [u8]| text(head(b, 4 * SHOWN));
    for (n, v) in labels.take(LOOKED_AT) {
        if n == METRIC_NAME.as_bytes() {
            name = short(v).into_owned();
        } else if bytes <= 4 * SHOWN {
            bytes += n.len().saturating_add(v.len());
            rest.push((short(n), short(v)));
        }
    }
    name + &wire::loki::labels::print(rest.iter().map(|(n, v)| (&**n, &**v))).chars().take(SHOWN).collect::<String>()
}

/// Whether a series may have so many labels of so many bytes. Of more, [`labels`] says what is wrong with them: they need not be written out
/// before.
pub fn fits(labels: usize, bytes: usize, options: &Options) -> bool {
    labels as u64 <= options.labels && bytes <= SERIES_BYTES
}

/// What is wrong with labels that do not fit.
pub fn beyond(labels: &dyn Fn() -> std::result::Result<Labels, BadSeries>) -> BadSeries {
    let too_large = || BadSeries { reason: "series_too_large", error: Error::invalid("a series has too many labels, or too long ones") };
    labels().err().unwrap_or_else(too_large)
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
    let mut bytes = 0;
    for pair in labels {
        let (name, value) = pair.map_err(|e| bad("invalid_labels", e))?;
        // What is too long is not read, for many may refer to it.
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
        bytes += name.len() + value.len();
        if bytes > SERIES_BYTES {
            return Err(bad("series_too_large", format!("its labels have more than {SERIES_BYTES} bytes")));
        }
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            return Err(bad("invalid_labels", "a label is not UTF-8".into()));
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_without_end_are_shown_and_refused() {
        let endless = || std::iter::repeat_with(|| (&b"a"[..], &b"bc"[..]));
        let shown = show(endless());
        assert!(shown.starts_with("{a=\"bc\", a=\"bc\"") && shown.chars().count() == SHOWN, "{shown}");
        let late = || endless().take(100).chain([(METRIC_NAME.as_bytes(), &b"up"[..])]);
        assert!(show(late()).starts_with("up{a="));
        let bad = labels(endless().map(Ok), &|| show(endless()), &Options::default()).unwrap_err();
        assert_eq!(bad.reason, "duplicate_label_names");
    }

    #[test]
    fn what_is_shown_is_cut_at_a_character() {
        let long = "한".repeat(2_000);
        let shown = show([(METRIC_NAME.as_bytes(), &b"up"[..]), (b"a", long.as_bytes())].into_iter());
        assert_eq!(shown, format!("up{{a=\"{}", "한".repeat(SHOWN - 4)));
        let short = show([(&b"b"[..], &b"1"[..]), (METRIC_NAME.as_bytes(), b"up"), (b"a", b"2")].into_iter());
        assert_eq!(short, "up{b=\"1\", a=\"2\"}");
    }
}
