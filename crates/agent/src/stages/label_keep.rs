//! `label_keep` (in Promtail `labelallow`): removes all labels but those named.

use super::label_drop::Names;
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};

struct LabelKeep(Vec<String>);

pub(super) fn build(names: Names) -> Result<Box<dyn Stage>, Refused> {
    Ok(Box::new(LabelKeep(names.some()?)))
}

impl Stage for LabelKeep {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        entry.labels.retain(|n| self.0.iter().any(|k| k == n));
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::one;

    #[test]
    fn other_labels_go() {
        assert_eq!(one("[label_keep: [a]]", "a=1 b=2", "x"), "{a=\"1\"} x");
        assert_eq!(one("[labelallow: {values: [none]}]", "a=1", "x"), "{} x");
    }
}
