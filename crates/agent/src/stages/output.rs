//! `output`: the line becomes what was extracted under a name.

use serde::Deserialize;

use super::parse::required;
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    source: String,
}

struct Output(String);

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    required(&s.source, "source")?;
    Ok(Box::new(Output(s.source)))
}

impl Stage for Output {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        if let Some(text) = entry.extracted.text(&self.0) {
            entry.line = text.into_owned();
        }
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, refused};

    #[test]
    fn the_line_is_replaced_if_there_is_something() {
        assert_eq!(one("[output: {source: a}]", "a=1", "x"), "{a=\"1\"} 1");
        assert_eq!(one("[output: {source: b}]", "a=1", "x"), "{a=\"1\"} x");
        assert!(refused("[output: {source: ''}]").contains("source is required"));
    }
}
