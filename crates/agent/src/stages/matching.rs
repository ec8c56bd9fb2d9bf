//! `match`: stages for the lines that a selector matches, or drops those lines. Other lines pass.

use serde::Deserialize;
use serde_yaml_ng::Value;

use super::pipeline::{Outcome, Pipeline};
use super::selector::Selector;
use super::settings::{Place, read};
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// LogQL: a selector, and line filters.
    selector: String,
    #[serde(default)]
    stages: Vec<Value>,
    action: Option<String>,
    /// Named metrics of the original, which are not there.
    #[serde(rename = "pipeline_name")]
    _pipeline_name: Option<String>,
    drop_counter_reason: Option<String>,
}

struct Match {
    selector: Selector,
    /// None: drop.
    inner: Option<Pipeline>,
    reason: String,
}

pub(super) fn build(settings: Value, place: &mut Place) -> Result<Box<dyn Stage>, Refused> {
    let s: Settings = read(settings)?;
    let selector = Selector::parse(&s.selector)?;
    let inner = match s.action.as_deref() {
        None | Some("" | "keep") if s.stages.is_empty() => return Err("stages are required, unless the action is drop".into()),
        None | Some("" | "keep") => Some(place.inner(&s.stages)?),
        Some("drop") if !s.stages.is_empty() => return Err("what is dropped goes through no stages".into()),
        Some("drop") => None,
        Some(a) => return Err(format!("unknown action {a:?}: write keep or drop")),
    };
    Ok(Box::new(Match { selector, inner, reason: s.drop_counter_reason.unwrap_or_else(|| "match_stage".into()) }))
}

impl Stage for Match {
    fn apply(&self, entry: &mut Entry, at: Moment, memory: &mut Memory<'_>) -> Step {
        if !self.selector.matches(&entry.labels, &entry.line) {
            return Step::On;
        }
        let Some(inner) = &self.inner else { return Step::Drop(self.reason.clone()) };
        let mut out = Outcome::default();
        inner.process(std::mem::take(entry), at, memory.state(), &mut out);
        Step::Nested(out.entries, out.dropped)
    }

    fn inner(&self) -> Option<&Pipeline> {
        self.inner.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, outcome, refused, run};

    #[test]
    fn stages_inside_are_for_what_matches() {
        let stages = "[{match: {selector: '{app=\"a\"} |= \"x\"', stages: [{static_labels: {hit: yes}}]}}, {static_labels: {end: 1}}]";
        assert_eq!(one(stages, "app=a", "x"), "{app=\"a\", end=\"1\", hit=\"yes\"} x");
        assert_eq!(one(stages, "app=a", "y"), "{app=\"a\", end=\"1\"} y");
        assert_eq!(one(stages, "app=b", "x"), "{app=\"b\", end=\"1\"} x");
    }

    #[test]
    fn what_matches_is_dropped() {
        let out = outcome(
            "[match: {selector: '{app=~\"a.*\"} !~ \"keep\"', action: drop, drop_counter_reason: noise}]",
            "app=ab",
            &["x", "keep"],
        );
        assert_eq!((out.dropped[0].reason.as_str(), out.entries.len()), ("noise", 1));
        let out = outcome("[match: {selector: '{app=\"a\"}', stages: [{drop: {expression: x}}]}]", "app=a", &["x", "y"]);
        assert_eq!((out.dropped[0].reason.as_str(), out.entries.len()), ("drop_stage", 1));
    }

    #[test]
    fn lines_that_are_held_inside_come_out_after_it() {
        let stages = "[{match: {selector: '{a=\"1\"}', stages: [{multiline: {firstline: '^\\d'}}]}}, {static_labels: {end: 1}}]";
        assert_eq!(run(stages, "a=1", &["1 a", "b", "2 c"]), ["{a=\"1\", end=\"1\"} 1 a\nb", "{a=\"1\", end=\"1\"} 2 c"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(refused("[match: {selector: '{a=\"1\"}'}]").contains("stages are required"));
        assert!(refused("[match: {selector: 'a', action: drop}]").contains("selector"));
        assert!(refused("[match: {selector: '{a=\"1\"}', action: dorp}]").contains("unknown action"));
        assert!(refused("[match: {selector: '{a=\"1\"}', stages: [{jsn: {}}]}]").contains("did you mean \"json\"?"));
        let mut deep = "[drop: {expression: x}]".to_owned();
        for _ in 0..20 {
            deep = format!("[match: {{selector: '{{a=\"1\"}}', stages: {deep}}}]");
        }
        assert!(refused(&deep).contains("nested"));
    }
}
