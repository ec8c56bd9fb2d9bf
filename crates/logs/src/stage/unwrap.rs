//! `| unwrap duration(latency)`: the value of a label as a sample.

use super::RowLabels;
use crate::logql::ast::{Conversion, Unwrap};

/// The value of `__error__` when a label holds no such value.
pub const SAMPLE_ERROR: &str = "SampleExtractionErr";

/// The sample of a row; none if it has no such label. What cannot be read counts as 0 and marks the row as failed.
pub fn sample(unwrap: &Unwrap, labels: &mut RowLabels) -> Option<f64> {
    let text = labels.get(&unwrap.name)?;
    if text.is_empty() {
        return None;
    }
    let quoted = || lang::literal::quote(text);
    let value = match unwrap.conversion {
        Conversion::Number => lang::number::parse(text).ok_or_else(|| format!("strconv.ParseFloat: parsing {}: invalid syntax", quoted())),
        Conversion::Duration | Conversion::DurationSeconds => {
            lang::duration::parse_go(text).map(|ns| ns as f64 / 1e9).ok_or_else(|| format!("time: invalid duration {}", quoted()))
        }
        Conversion::Bytes => lang::size::parse(text).map(|b| b as f64).ok_or_else(|| format!("unhandled size name or number: {text}")),
    };
    match value {
        Ok(v) => Some(v),
        Err(details) => {
            labels.fail(SAMPLE_ERROR, &details);
            Some(0.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SeriesLabels;
    use super::*;
    use base::Labels;

    #[test]
    fn values_are_read_with_their_units() {
        let of = |text: &str, conversion| {
            let mut labels = RowLabels::default();
            labels.start_series(&SeriesLabels::new(&Labels::from_pairs([("x", text)]).unwrap()));
            let v = sample(&Unwrap { name: "x".into(), conversion, filters: vec![] }, &mut labels);
            (v, labels.error().map(str::to_string))
        };
        assert_eq!(of("1.5", Conversion::Number), (Some(1.5), None));
        assert_eq!(of("1m30s", Conversion::Duration), (Some(90.0), None));
        assert_eq!(of("2KiB", Conversion::Bytes), (Some(2048.0), None));
        assert_eq!(of("x", Conversion::Number), (Some(0.0), Some(SAMPLE_ERROR.into())));
        assert_eq!(of("", Conversion::Number), (None, None));
    }
}
