//! `label_drop` (in Promtail `labeldrop`): removes labels.

use serde::Deserialize;

use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};

/// A list of names, or Alloy's form of it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Names {
    List(Vec<String>),
    Values { values: Vec<String> },
}

impl Names {
    /// The names, of which there must be some.
    pub fn some(self) -> Result<Vec<String>, Refused> {
        let (Names::List(names) | Names::Values { values: names }) = self;
        if names.is_empty() { Err("names of labels are required".into()) } else { Ok(names) }
    }
}

struct LabelDrop(Vec<String>);

pub(super) fn build(names: Names) -> Result<Box<dyn Stage>, Refused> {
    Ok(Box::new(LabelDrop(names.some()?)))
}

impl Stage for LabelDrop {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        self.0.iter().for_each(|n| entry.labels.remove(n));
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, refused};

    #[test]
    fn named_labels_go() {
        assert_eq!(one("[label_drop: [a, none]]", "a=1 b=2", "x"), "{b=\"2\"} x");
        assert_eq!(one("[labeldrop: {values: [b]}]", "a=1 b=2", "x"), "{a=\"1\"} x");
        assert!(refused("[label_drop: []]").contains("required"));
    }
}
