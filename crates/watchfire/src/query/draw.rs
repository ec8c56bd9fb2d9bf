//! Metric queries in a terminal: a line of bars for each series.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Deserialize;

/// A series of a metric query.
#[derive(Deserialize)]
pub(super) struct Series {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    value: Option<(f64, String)>,
}

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Bars of a line at most.
const WIDTH: usize = 60;

/// Draws all of them on one scale.
pub(super) fn draw(out: &mut dyn Write, series: &[Series]) -> io::Result<()> {
    let number = |t: &str| t.parse::<f64>().unwrap_or(f64::NAN);
    let mut times: Vec<i64> = series.iter().flat_map(|s| s.values.iter().map(|(t, _)| (t * 1000.0) as i64)).collect();
    times.sort_unstable();
    times.dedup();
    let (first, last) = (times.first().copied().unwrap_or(0), times.last().copied().unwrap_or(0));
    let all = series.iter().flat_map(|s| s.values.iter().map(|(_, v)| number(v))).filter(|v| v.is_finite());
    let (low, high) = all.fold((0f64, 0f64), |(low, high), v| (low.min(v), high.max(v)));
    for s in series {
        let labels: Vec<String> = s.metric.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
        let labels = format!("{{{}}}", labels.join(", "));
        if let Some((_, v)) = &s.value {
            writeln!(out, "{labels} {v}")?;
            continue;
        }
        let columns = times.len().clamp(1, WIDTH);
        let mut greatest: Vec<Option<f64>> = vec![None; columns];
        for (t, v) in &s.values {
            let at = ((t * 1000.0) as i64 - first) as f64 / ((last - first) as f64).max(1.0);
            let column = ((at * columns as f64) as usize).min(columns - 1);
            greatest[column] = Some(greatest[column].unwrap_or(f64::NEG_INFINITY).max(number(v)));
        }
        let bar = |v: &Option<f64>| match v {
            Some(v) if v.is_finite() => BARS[(((v - low) / (high - low).max(f64::MIN_POSITIVE)) * 7.0).round() as usize % 8],
            _ => ' ',
        };
        let bars: String = greatest.iter().map(bar).collect();
        writeln!(out, "{bars} {} {labels}", s.values.last().map_or("", |(_, v)| v.as_str()))?;
    }
    if !series.is_empty() && times.len() > 1 {
        writeln!(out, "bars from {low} to {high}, {} to {}", super::rfc3339(first * 1_000_000), super::rfc3339(last * 1_000_000))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_drawn_on_one_scale() {
        let text = r#"[{"metric":{"app":"a"},"values":[[0,"0"],[60,"5"],[120,"10"]]},{"metric":{},"values":[[0,"10"],[120,"NaN"]]}]"#;
        let series: Vec<Series> = serde_json::from_str(text).unwrap();
        let mut out = vec![];
        draw(&mut out, &series).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "▁▅█ 10 {app=\"a\"}\n█   NaN {}\nbars from 0 to 10, 1970-01-01T00:00:00.000Z to 1970-01-01T00:02:00.000Z\n");
        let vector: Vec<Series> = serde_json::from_str(r#"[{"metric":{"app":"a"},"value":[0,"7"]}]"#).unwrap();
        let mut out = vec![];
        draw(&mut out, &vector).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "{app=\"a\"} 7\n");
    }
}
