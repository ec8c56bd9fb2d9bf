//! `split_json`: makes of a line that is a JSON array a line of each element. They share the time but for a nanosecond
//! each, so that equal elements stay different rows.

use serde::Deserialize;

use super::parse::source;
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    source: Option<String>,
}

struct SplitJson(Option<String>);

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    source(&s.source)?;
    Ok(Box::new(SplitJson(s.source)))
}

impl Stage for SplitJson {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        let Some(input) = entry.input(self.0.as_deref()) else { return Step::On };
        if !input.trim_start().starts_with('[') {
            return Step::On;
        }
        let Ok(elements) = serde_json::from_str::<Vec<Box<serde_json::value::RawValue>>>(&input) else { return Step::On };
        let child = |(i, e): (usize, Box<serde_json::value::RawValue>)| Entry {
            line: e.get().to_owned(),
            time_ns: entry.time_ns + i as i64,
            labels: entry.labels.clone(),
            metadata: entry.metadata.clone(),
            tenant: entry.tenant.clone(),
            extracted: entry.extracted.clone(),
        };
        Step::Many(elements.into_iter().enumerate().map(child).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::run;

    #[test]
    fn elements_become_lines() {
        let stages = "[{split_json: {}}, {static_labels: {b: 2}}]";
        assert_eq!(run(stages, "a=1", &[r#" [{"x": 1}, "y"]"#]), [r#"{a="1", b="2"} {"x": 1}"#, r#"{a="1", b="2"} "y""#]);
        assert_eq!(run(stages, "", &["[1", "{}"]), ["{b=\"2\"} [1", "{b=\"2\"} {}"]);
        assert_eq!(run("[split_json: ]", "", &["[]"]), Vec::<String>::new());
    }
}
